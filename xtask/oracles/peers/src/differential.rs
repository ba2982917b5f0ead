//! Generated rules in UTC, where croner and we mean the same; what it does across clock changes is in the docs.

use croner::parser::{CronParser, Seconds};
use jiff::{Timestamp as Instant, tz::TimeZone};
use punctual_core::cron::{Cron, Dialect};
use punctual_core::schedule::{CronSchedule, DstPolicy};
use punctual_core::time::Timestamp;
use punctual_core::zone::Zone;
use std::process::ExitCode;
use std::sync::Arc;

/// SplitMix64: the same seed gives the same rules.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

fn field(random: &mut Random, index: usize) -> String {
    let (low, high) = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)][index];
    match (random.between(0, 19), index) {
        (0..=6, _) => "*".to_owned(),
        (7, 3) => "L".to_owned(),
        (8, 3) => format!("{}W", random.between(1, 28)),
        (7, 5) => format!("{}#{}", random.between(0, 6), random.between(1, 4)),
        (8, 5) => format!("{}#L", random.between(0, 6)),
        (9, 4) => ["JAN", "FEB", "MAY", "DEC"][random.between(0, 3) as usize].to_owned(),
        (9, 5) => ["SUN", "MON", "FRI", "SAT"][random.between(0, 3) as usize].to_owned(),
        (7..=9, 0..=2) => format!("*/{}", [2, 5, 7, 15][random.between(0, 3) as usize]),
        (10..=12, _) => {
            let from = random.between(low, high);
            let to = random.between(from, high);
            format!("{from}-{to}/{}", random.between(1, 3))
        }
        _ => {
            let values: Vec<String> = (0..random.between(1, 3)).map(|_| random.between(low, high).to_string()).collect();
            values.join(",")
        }
    }
}

pub fn run(count: usize, seed: u64) -> ExitCode {
    let mut random = Random(seed);
    let parser = CronParser::builder().seconds(Seconds::Required).build();
    let zone = Zone::utc();
    let (mut compared, mut different) = (0, 0);
    while compared < count {
        let mut fields: Vec<String> = (0..6).map(|index| field(&mut random, index)).collect();
        if fields[3] != "*" && fields[5] != "*" && random.between(0, 2) == 0 {
            fields[5].insert(0, '+');
        }
        let text = fields.join(" ");
        let from = random.between(0, 70 * 365 * 86_400) as i64;
        let ours = Cron::parse(&text, Dialect::Standard).unwrap_or_else(|error| panic!("{text}: {error}"));
        let Ok(theirs) = parser.parse(&text) else {
            panic!("croner refuses {text}")
        };
        let schedule = CronSchedule { rule: Arc::new(ours), zone: zone.clone(), dst: DstPolicy::Debian };
        let mut cursor = Timestamp::from_secs(from);
        let mut their_cursor = Instant::from_second(from).expect("in range").to_zoned(TimeZone::UTC);
        for _ in 0..5 {
            // Beyond 2199 we have no answer; rules that sparse are not compared.
            let (Some(next), Ok(their_next)) =
                (schedule.next_after(cursor), theirs.find_next_occurrence(&their_cursor, false))
            else {
                break;
            };
            if next.as_secs() != their_next.timestamp().as_second() {
                println!("{text} after {cursor}: we say {next}, croner {their_next}");
                different += 1;
                break;
            }
            (cursor, their_cursor) = (next, their_next);
        }
        compared += 1;
    }
    println!("croner: {compared} rules compared, {different} different (seed {seed})");
    if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
