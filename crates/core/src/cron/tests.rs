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

/// Each with the code, the offset and a part of the hint or message.
#[test]
fn what_is_refused_has_its_place_and_advice() {
    let cases = [
        ("60 0 * * *", "CRN003", 0, "0-59"),
        ("0 0 10-5 * *", "CRN004", 4, "write 10-31,1-5"),
        ("0 22-4 * * *", "CRN004", 2, "write 22-23,0-4"),
        ("0 0 * * 5-1", "CRN004", 8, "write 5-6,0-1"),
        ("0 0 * * 7-3", "CRN004", 8, "write 0-3"),
        ("0 0 /30 * *", "CRN005", 4, "write */30"),
        ("*/0 * * * *", "CRN005", 2, "from 1"),
        ("*/ * * * *", "CRN005", 0, "whole number"),
        ("0,,5 * * * *", "CRN006", 2, "comma"),
        ("0, * * * *", "CRN006", 2, "comma"),
        ("* * * * MONDAY", "CRN007", 8, "MON"),
        ("* * * MON *", "CRN007", 6, "day-of-week"),
        ("JAN * * * *", "CRN007", 0, "month"),
        ("0 12 1-15W * *", "CRN008", 5, "range"),
        ("0 12 +1 * MON", "CRN008", 5, "day-of-week"),
        ("? 12 * * *", "CRN008", 0, "write *"),
        ("0 0 * * L", "CRN008", 8, "FRI#L"),
        ("0 0 * * 1#6", "CRN008", 8, "1 to 5"),
        ("0 0 L-31 * *", "CRN008", 4, "1 to 30"),
        ("0 0 32W * *", "CRN008", 4, "15W"),
        ("@Daily", "CRN009", 0, "@daily"),
        ("@daily 0 0 * * *", "CRN009", 0, "stands alone"),
        ("rate(5 minutes)", "CRN010", 0, "@every 5m"),
        ("* * * *", "CRN001", 0, "minute hour"),
        ("* * * * * * * *", "CRN001", 0, "fields"),
        ("", "CRN001", 0, "empty"),
        ("99999999999999999999 * * * *", "CRN003", 0, "0-59"),
        ("*/99999999999999999999 * * * *", "CRN003", 2, "too large"),
        ("0 0 0 1 1 * 1969", "CRN003", 12, "1970-2199"),
        ("0 0 0 1 1 * 2200", "CRN003", 12, "1970-2199"),
        ("@every 5", "CRN014", 0, "@every 90s"),
        ("@every", "CRN014", 0, "@every 90s"),
        ("@every 1us", "CRN014", 0, "millisecond"),
        ("0 0 ＊ * *", "CRN002", 4, "ASCII"),
        ("0 0 * * H#2", "CRN007", 8, "H"),
        ("0 0 H(5-1) * *", "CRN004", 4, "backwards"),
        ("0 0 H(1 * *", "CRN002", 4, "H(0-29)"),
        ("0 0 0 1 1 * H", "CRN008", 12, "H(2027-2030)"),
        ("0 0 -1 * *", "CRN002", 4, "missing"),
        ("0 0 1- * *", "CRN002", 6, "missing"),
        ("0 0 1-2-3 * *", "CRN002", 6, "2-3"),
        ("0 0 1/2/3 * *", "CRN005", 6, "2/3"),
    ];
    for (text, code, offset, words) in cases {
        let error = error(text, Dialect::Standard);
        assert_eq!((error.code.0, error.offset), (code, offset), "{text}: {error}");
        let said = format!("{error} {:?}", error.hint);
        assert!(said.contains(words), "{text}: {said}");
    }
}

#[test]
fn a_crontab_takes_what_cron_takes() {
    for text in [
        "5/15 * * * *",
        "0 0 ? * *",
        "0 0 L * *",
        "0 0 * * 1#2",
        "0 0 * * +1",
        "H * * * *",
        "0 0 * * * *",
        "5x * * * *",
        "0 0 * * FRI-SUN",
    ] {
        error(text, Dialect::Crontab);
    }
    let monday_the_odd = Cron::parse("0 0 */2 * 1", Dialect::Crontab).expect("cron takes it");
    assert_eq!(monday_the_odd.to_standard(), "0 0 */2 * +1");
    assert!(monday_the_odd.rule().matches_local(local("2026-11-23 00:00")));
    assert!(!monday_the_odd.rule().matches_local(local("2026-11-25 00:00")));
    assert!(standard("0 0 */2 * 1").rule().matches_local(local("2026-11-25 00:00")));
    let unrestricted = Cron::parse("0 0 * * 1", Dialect::Crontab).expect("cron takes it");
    assert_eq!(unrestricted.to_standard(), "0 0 * * 1");
}

#[test]
fn quartz_counts_its_days_from_sunday_and_wants_a_question_mark() {
    let quartz =
        |text: &str| Cron::parse(text, Dialect::Quartz).unwrap_or_else(|error| panic!("{text}: {error}"));
    let standard_of = [
        ("0 0 12 ? * 2-6", "0 12 * * 1-5"),
        ("0 15 10 ? * 6L", "15 10 * * 5#L"),
        ("0 15 10 ? * 6#3", "15 10 * * 5#3"),
        ("0 15 10 L-2 * ?", "15 10 L-2 * *"),
        ("0 0/5 14 * * ?", "0-59/5 14 * * *"),
        ("0 0 22-2 * * ?", "0 22-23,0-2 * * *"),
        ("0 0 9 ? * FRI-MON", "0 9 * * 5,6,0,1"),
        ("30 0 9 LW * ? 2027", "30 0 9 LW * * 2027"),
        ("0 0 9 ? * L", "0 9 * * 6"),
        ("0 0 12 1W * ? *", "0 12 1W * *"),
    ];
    for (text, expected) in standard_of {
        assert_eq!(quartz(text).to_standard(), expected, "{text}");
        let (a, b) = (quartz(text), standard(expected));
        assert_eq!(
            (a.rule().seconds, &a.rule().days, a.rule().hours),
            (b.rule().seconds, &b.rule().days, b.rule().hours),
            "{text}"
        );
    }
    assert_eq!(error("0 0 12 * * *", Dialect::Quartz).code.0, "CRN011");
    assert_eq!(error("0 0 12 ? * ?", Dialect::Quartz).code.0, "CRN011");
    assert_eq!(error("0 12 ? * 1", Dialect::Quartz).code.0, "CRN001");
    assert_eq!(error("0 0 12 ? * 0", Dialect::Quartz).code.0, "CRN003");
}

#[test]
fn special_days_fall_where_they_should() {
    let cases = [
        ("0 0 L-3 * *", "2026-02-01 00:00", "2026-02-25"),
        ("0 0 LW * *", "2026-01-01 00:00", "2026-01-30"),
        ("0 0 LW * *", "2026-05-01 00:00", "2026-05-29"),
        ("0 0 31W * *", "2026-02-01 00:00", "2026-03-31"),
        ("0 0 30W * *", "2026-08-01 00:00", "2026-08-31"),
        ("0 0 31W * *", "2026-05-01 00:00", "2026-05-29"),
        ("0 0 1W,LW * *", "2026-08-01 00:00", "2026-08-03"),
        ("0 0 * * 5#5", "2026-02-01 00:00", "2026-05-29"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29"),
        ("0 0 29 2 +1", "2026-01-01 00:00", "2044-02-29"),
        ("0 0 * * FRI-SUN", "2026-11-23 00:00", "2026-11-27"),
        ("0 0 * * SAT-0", "2026-11-23 00:00", "2026-11-28"),
        ("0 0 * * 7", "2026-11-23 00:00", "2026-11-29"),
        ("0 0 * * 5/2", "2026-11-28 00:00", "2026-12-04"),
        ("0 0 31 * *", "2026-11-01 00:00", "2026-12-31"),
        ("0 0 0 1 1 * 2199", "2026-01-01 00:00", "2199-01-01"),
    ];
    for (text, from, expected) in cases {
        let found = standard(text).rule().next_local(local(from));
        assert_eq!(found, Some(local(&format!("{expected} 00:00"))), "{text}");
    }
}

#[test]
fn rules_that_never_fire_say_why() {
    let why = |text: &str| standard(text).never_fires();
    assert_eq!(why("0 0 30 2 *"), Some("February has at most 29 days".to_owned()));
    assert_eq!(why("0 0 31 2,4,6 *"), Some("the months it names have at most 30 days".to_owned()));
    assert!(why("0 0 0 29 2 * 2027").is_some() && why("0 0 8 * +1#1").is_some());
    assert_eq!(why("0 0 29 2 *"), None);
    assert_eq!(why("0 0 30 2 1"), None);
}

#[test]
fn surprises_are_noted() {
    let notes = |text: &str| standard(text).notes().into_iter().map(|note| note.message).collect::<Vec<_>>();
    assert_eq!(notes("5/15 * * * *"), ["5/15 means 5-59/15 in the minute field"]);
    assert_eq!(notes("*/90 * * * *"), ["the step 90 passes the end of the minute field: only 0 matches"]);
    assert_eq!(notes("0 1-5/9 * * *"), ["the step 9 passes the end of 1-5: only 1 matches"]);
    assert_eq!(notes("*/7 * * * *").len(), 1);
    assert!(notes("*/15 9-17 1 * 1-5").is_empty() && notes("@daily").is_empty());
}

#[test]
fn a_hash_spreads_jobs_and_keeps_each_in_its_place() {
    let rule = standard("H H(0-7) * * *");
    assert!(rule.has_hash() && !standard("0 0 * * *").has_hash() && !standard("0 0 * MAR THU").has_hash());
    let minutes: std::collections::BTreeSet<i64> =
        (0..1000).filter_map(|seed| Some(rule.resolve(seed).rule().next_local(0)? / 60 % 60)).collect();
    assert_eq!(minutes.len(), 60);
    // These numbers are a promise: a job must not move when Punctual is upgraded.
    let places: Vec<Option<i64>> = (1..4).map(|seed| rule.resolve(seed).rule().next_local(0)).collect();
    assert_eq!(places, PLACES);
    let stepped = standard("H/20 * * * *").resolve(7);
    assert_eq!(stepped.rule().minutes.count_ones(), 3);
    let restricted = standard("0 0 H * *").resolve(9);
    assert!(restricted.rule().days.of_month.trailing_zeros() <= 28);
}

const PLACES: [Option<i64>; 3] = [Some(13_740), Some(19_020), Some(14_100)];

mod any_text {
    use super::super::*;
    use proptest::prelude::*;

    fn survives(text: &str) {
        for dialect in [Dialect::Standard, Dialect::Quartz, Dialect::Crontab] {
            match parse(text, dialect) {
                Ok(Parsed::Cron(cron)) => {
                    let again = Cron::parse(&cron.to_standard(), Dialect::Standard);
                    let again =
                        again.unwrap_or_else(|error| panic!("{text:?} as {:?}: {error}", cron.to_standard()));
                    let (a, b) = (cron.rule(), again.rule());
                    assert_eq!(
                        (a.seconds, a.minutes, a.hours, a.months),
                        (b.seconds, b.minutes, b.hours, b.months)
                    );
                    assert_eq!(a.next_local(1_700_000_000), b.next_local(1_700_000_000), "{text:?}");
                    let next = a.next_local(1_700_000_000);
                    assert!(
                        next.is_none_or(|next| next >= 1_700_000_000 && a.prev_local(next) == Some(next))
                    );
                    let _ = (
                        cron.explain(Language::English),
                        cron.explain(Language::Chinese),
                        cron.notes(),
                        cron.never_fires(),
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    let chars = text.chars().count();
                    assert!(
                        error.offset <= chars && error.offset + error.width <= chars.max(1),
                        "{text:?}: {error:?}"
                    );
                    assert!(!error.message.is_empty() && error.message.len() < 400, "{error}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_panics_and_errors_lie_inside(text in ".{0,40}") {
            survives(&text);
        }

        #[test]
        fn nothing_like_an_expression_panics(text in "[0-9*,/LWH#?+()a-cJANFEBSUMO -]{0,30}( [0-9*,/LWH#?+-]{1,8}){3,6}") {
            survives(&text);
        }

        #[test]
        fn expressions_are_found_again(text in "[0-9*/,-]{1,5} [0-9*/,-]{1,4} (\\*|\\?|L|LW|[1-9]W|L-[1-9]|[1-9](-1[0-9])?(/[1-3])?) (\\*|[1-9]|JAN-DEC/3) [+]?(\\*|[0-7]|[0-5]#[1-5]|FRIL|MON-SUN|H)") {
            survives(&text);
        }
    }

    #[test]
    fn a_hundred_kilobytes_of_anything_are_refused_at_once() {
        for piece in ["*", "1,", "* ", "é", "\0", "(", "@every ", "9", "1-", "*/", "\n", "H(", "+"] {
            let text = piece.repeat(100_000 / piece.len());
            survives(&text);
            let fields = format!("{text} * * * *");
            survives(&fields);
        }
    }
}
