//! The syntax: what is taken, what is refused, and where the error points.

use super::*;
use crate::civil::{DAY_SECS, Date};

fn local(text: &str) -> i64 {
    let (date, time) = text.split_once(' ').expect("date and time");
    let mut parts = time.split(':').map(|part| part.parse::<i64>().expect("a number"));
    let mut next = || parts.next().unwrap_or(0);
    let secs = next() * 3600 + next() * 60 + next();
    Date::parse(date).expect("a date").days() * DAY_SECS + secs
}

fn standard(text: &str) -> Cron {
    Cron::parse(text, Dialect::Standard).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str, dialect: Dialect) -> CronError {
    match parse(text, dialect) {
        Ok(parsed) => panic!("{text} was taken as {parsed:?}"),
        Err(error) => error,
    }
}

/// The instants named by the conformance vectors of the Open Cron Pattern Specification.
#[test]
fn conformance_vectors_match() {
    let vectors: &[(&str, &[&str], &[&str])] = &[
        ("15 10 * * *", &["2025-03-10 10:15:00"], &["2025-03-10 10:14", "2025-03-10 10:15:30"]),
        ("30 8 * jan Mon", &["2025-01-06 08:30"], &["2025-02-03 08:30"]),
        (
            "5-59/15 9 * * *",
            &["2025-03-10 09:05", "2025-03-10 09:20", "2025-03-10 09:35", "2025-03-10 09:50"],
            &["2025-03-10 09:15"],
        ),
        (
            "0 12 1 * MON",
            &["2025-10-01 12:00", "2025-10-06 12:00", "2025-09-01 12:00", "2025-09-08 12:00"],
            &["2025-10-07 12:00"],
        ),
        ("0 12 * * MON", &["2025-10-06 12:00"], &["2025-10-07 12:00"]),
        ("0 12 1-31 * MON", &["2025-10-06 12:00", "2025-10-07 12:00"], &["2025-10-08 11:00"]),
        ("@yearly", &["2026-01-01 00:00"], &["2026-01-02 00:00"]),
        ("@monthly", &["2026-02-01 00:00"], &["2026-02-02 00:00"]),
        ("@weekly", &["2025-10-05 00:00"], &["2025-10-06 00:00"]),
        ("@daily", &["2025-10-07 00:00"], &["2025-10-07 00:01"]),
        ("@hourly", &["2025-10-07 10:00"], &["2025-10-07 10:01"]),
        ("30 15 10 * * *", &["2025-03-10 10:15:30"], &["2025-03-10 10:15:29"]),
        ("0 15 10 * * * 2025", &["2025-03-10 10:15"], &["2026-03-10 10:15"]),
        ("0 0 0 1 1 * 1970-2199/2", &["2026-01-01 00:00"], &["2025-01-01 00:00"]),
        ("0 0 L * *", &["2025-02-28 00:00"], &["2025-02-27 00:00"]),
        ("0 0 * * FRI#L", &["2025-02-28 00:00"], &["2025-02-21 00:00"]),
        ("0 0 * * 5L", &["2025-02-28 00:00"], &["2025-02-21 00:00"]),
        ("0 0 * * TUE#3", &["2025-06-17 00:00"], &["2025-06-10 00:00"]),
        ("0 12 15W * *", &["2025-06-16 12:00"], &["2025-06-15 12:00"]),
        ("0 12 1W * *", &["2025-02-03 12:00"], &["2025-02-01 12:00"]),
        ("0 12 1 * +MON", &["2025-09-01 12:00"], &["2025-09-08 12:00", "2025-10-01 12:00"]),
    ];
    for (text, matching, others) in vectors {
        let cron = standard(text);
        for at in *matching {
            assert!(cron.rule().matches_local(local(at)), "{text} misses {at}");
            assert_eq!(cron.rule().next_local(local(at)), Some(local(at)), "{text} from {at}");
            assert_eq!(cron.rule().prev_local(local(at)), Some(local(at)), "{text} to {at}");
        }
        for at in *others {
            assert!(!cron.rule().matches_local(local(at)), "{text} matches {at}");
        }
    }
}
