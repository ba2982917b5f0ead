//! What the three say of one rule in one zone, for the table of disagreements in the docs.

use croner::parser::{CronParser, Seconds};
use std::str::FromStr;

pub fn run(text: &str, zone: &str, from: &str, count: usize) {
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    let tz = jiff::tz::TimeZone::get(zone).expect("a zone");
    let mut cursor = from.parse::<jiff::Timestamp>().expect("an instant").to_zoned(tz);
    let begun = std::time::Instant::now();
    for _ in 0..count {
        match parser.parse(text).expect("a rule").find_next_occurrence(&cursor, false) {
            Ok(next) => {
                println!("croner {}", next.timestamp());
                cursor = next;
            }
            Err(error) => {
                println!("croner {error}");
                break;
            }
        }
    }
    println!("croner took {:?}", begun.elapsed());
    let fields = if text.split(' ').count() == 5 { format!("0 {text}") } else { text.to_owned() };
    let schedule = cron::Schedule::from_str(&fields).expect("a rule");
    let from = chrono::DateTime::parse_from_rfc3339(from).expect("an instant");
    let tz: chrono_tz::Tz = zone.parse().expect("a zone");
    for next in schedule.after(&from.with_timezone(&tz)).take(count) {
        println!("cron   {}", next.to_utc());
    }
}
