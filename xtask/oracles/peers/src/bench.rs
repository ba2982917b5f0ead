//! Nanoseconds for the next firing and for parsing, medians, ours beside croner and cron in one run.

use croner::parser::{CronParser, Seconds};
use punctual_core::cron::{Cron, Dialect};
use punctual_core::schedule::{CronSchedule, DstPolicy};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use std::hint::black_box;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

/// Kind and rule, with seconds, as all three read it; `None` where cron has no such syntax.
const RULES: [(&str, &str, Option<&str>); 9] = [
    ("everyday", "0 */5 * * * *", Some("0 */5 * * * *")),
    ("everyday", "0 30 2 * * *", Some("0 30 2 * * *")),
    ("everyday", "0 0 9-17 * * 1-5", Some("0 0 9-17 * * 2-6")),
    ("everyday", "0 0 3 1 * *", Some("0 0 3 1 * *")),
    ("everyday", "* * * * * *", Some("* * * * * *")),
    ("sparse", "0 0 0 1 1 *", Some("0 0 0 1 1 *")),
    ("sparse", "0 0 0 L * *", None),
    ("worst", "0 0 0 29 2 +1", None),
    ("worst", "0 0 0 8-14 2 +5#2", None),
];
const ZONES: [&str; 2] = ["UTC", "Europe/Berlin"];
const BATCHES: usize = 15;
const FROM_SECS: i64 = 1_795_510_800;

/// The median over batches of the nanoseconds that one call takes.
fn median(calls: usize, mut call: impl FnMut()) -> f64 {
    (0..calls / 10 + 1).for_each(|_| call());
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..calls).for_each(|_| call());
            begun.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

pub fn run() -> ExitCode {
    let table = ZoneTable::bundled();
    println!("{:<10} {:<20} {:<14} {:>9} {:>9} {:>9}", "kind", "rule", "zone", "ours", "croner", "cron");
    for (kind, text, for_cron) in RULES {
        for name in ZONES {
            let zone = table.zone(name).expect("known");
            let rule = Arc::new(Cron::parse(text, Dialect::Standard).expect("valid"));
            let schedule = CronSchedule { rule, zone, dst: DstPolicy::Debian };
            let start = Timestamp::from_secs(FROM_SECS);
            let mut cursor = start;
            let ours = median(20_000, || cursor = black_box(schedule.next_after(cursor)).unwrap_or(start));

            let parser = CronParser::builder().seconds(Seconds::Required).build();
            let theirs = parser.parse(text).expect("valid");
            let tz = jiff::tz::TimeZone::get(name).expect("known");
            let start = jiff::Timestamp::from_second(FROM_SECS).expect("in range").to_zoned(tz);
            let mut cursor = start.clone();
            let croner = median(200, || {
                let next = black_box(theirs.find_next_occurrence(&cursor, false));
                cursor = next.ok().filter(|next| next.year() < 2190).unwrap_or_else(|| start.clone());
            });

            let cron = for_cron.map(|text| {
                let schedule = cron::Schedule::from_str(text).expect("valid");
                let tz: chrono_tz::Tz = name.parse().expect("known");
                let start = chrono::DateTime::from_timestamp(FROM_SECS, 0).expect("in range").with_timezone(&tz);
                let mut cursor = start;
                median(200, || cursor = black_box(schedule.after(&cursor).next()).unwrap_or(start))
            });
            let cron = cron.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}"));
            println!("{kind:<10} {text:<20} {name:<14} {ours:>9.0} {croner:>9.0} {cron:>9}");
        }
    }
    for (_, text, for_cron) in RULES.iter().take(4) {
        let ours = median(20_000, || drop(black_box(Cron::parse(black_box(text), Dialect::Standard))));
        let parser = CronParser::builder().seconds(Seconds::Required).build();
        let croner = median(2_000, || drop(black_box(parser.parse(black_box(text)))));
        let cron = median(2_000, || drop(black_box(cron::Schedule::from_str(black_box(for_cron.expect("cron has it"))))));
        println!("{:<10} {text:<20} {:<14} {ours:>9.0} {croner:>9.0} {cron:>9.0}", "parse", "");
    }
    ExitCode::SUCCESS
}
