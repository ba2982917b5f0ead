//! Named cases of clock changes, and of intervals.

use super::*;
use crate::cron::Dialect;
use crate::zone::ZoneTable;

fn zoned(rule: &str, zone: &str, dst: DstPolicy) -> CronSchedule {
    CronSchedule {
        rule: Arc::new(Cron::parse(rule, Dialect::Standard).expect(rule)),
        zone: ZoneTable::bundled().zone(zone).expect(zone),
        dst,
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect(text)
}

/// The instants in `from..to`, forwards; checked to be the same backwards, and to match.
fn between(schedule: &CronSchedule, from: &str, to: &str) -> Vec<String> {
    let (from, to) = (at(from), at(to));
    let mut found = Vec::new();
    let mut cursor = Timestamp::from_micros(from.as_micros() - 1);
    while let Some(next) = schedule.next_after(cursor).filter(|next| *next < to) {
        assert!(next > cursor);
        assert_eq!(schedule.matches(next), Ok(()));
        found.push(next);
        cursor = next;
    }
    let mut backwards = Vec::new();
    let mut cursor = to;
    while let Some(prev) = schedule.prev_before(cursor).filter(|prev| *prev >= from) {
        backwards.push(prev);
        cursor = prev;
    }
    backwards.reverse();
    assert_eq!(found, backwards);
    found.iter().map(Timestamp::to_string).collect()
}

#[test]
fn a_fixed_time_in_a_gap_fires_at_the_first_instant_after_it() {
    let berlin = |dst| zoned("30 2 * * *", "Europe/Berlin", dst);
    let day = |dst| between(&berlin(dst), "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    let made_up = ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(day(DstPolicy::Debian), made_up);
    assert_eq!(day(DstPolicy::First), made_up);
    assert_eq!(day(DstPolicy::Last), made_up);
    assert_eq!(day(DstPolicy::Both), made_up);
    assert_eq!(day(DstPolicy::Skip), made_up[1..]);
}

#[test]
fn two_fixed_times_in_one_gap_are_one_firing() {
    let rule = zoned("0,30 2,3 * * *", "Europe/Berlin", DstPolicy::Debian);
    assert_eq!(
        between(&rule, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"),
        ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
    );
}

#[test]
fn a_fixed_time_in_a_fold_fires_as_the_policy_says() {
    let day = |dst| {
        between(&zoned("30 2 * * *", "Europe/Berlin", dst), "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z")
    };
    let (first, last) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    assert_eq!(day(DstPolicy::Debian), [first]);
    assert_eq!(day(DstPolicy::Skip), [first]);
    assert_eq!(day(DstPolicy::First), [first]);
    assert_eq!(day(DstPolicy::Last), [last]);
    assert_eq!(day(DstPolicy::Both), [first, last]);
}

#[test]
fn a_wildcard_rule_follows_the_clock_on_the_wall() {
    let rule = zoned("*/30 * * * *", "Europe/Berlin", DstPolicy::Debian);
    assert_eq!(between(&rule, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z").len(), 4);
    assert_eq!(between(&rule, "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z").len(), 4);
    let two = zoned("*/30 2 * * *", "Europe/Berlin", DstPolicy::Debian);
    assert!(between(&two, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z").is_empty());
    assert_eq!(between(&two, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z").len(), 4);
}

#[test]
fn larger_changes_lose_or_repeat_what_they_hold() {
    // Samoa had no 2011-12-30; Casey moved by three hours in 2009 and 2010, Vostok back by seven in 1994.
    let apia = zoned("0 9 * * *", "Pacific/Apia", DstPolicy::Debian);
    assert_eq!(
        between(&apia, "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z"),
        ["2011-12-29T19:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z"]
    );
    let casey = zoned("0 3 * * *", "Antarctica/Casey", DstPolicy::Debian);
    assert_eq!(between(&casey, "2009-10-17T12:00:00Z", "2009-10-18T12:00:00Z"), ["2009-10-17T18:00:00Z"]);
}

#[test]
fn an_interval_stays_on_its_grid() {
    let every = Every {
        interval: Duration::from_secs(90),
        pace: Pace::FixedRate,
        anchor: Some(at("2026-01-01T00:00:00Z")),
        initial_delay: Duration::ZERO,
    };
    let mut cursor = at("2026-01-01T00:00:00Z");
    for _ in 0..1000 {
        cursor = every.next_after(cursor).expect("a grid has no end");
    }
    assert_eq!(cursor, at("2026-01-02T01:00:00Z"));
    assert_eq!(every.prev_before(cursor), Some(at("2026-01-02T00:58:30Z")));
    assert_eq!(every.prev_before(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(every.next_after(at("2026-01-01T00:01:29.5Z")), Some(at("2026-01-01T00:01:30Z")));
    let delayed = Every { initial_delay: Duration::from_secs(7), ..every };
    assert_eq!(delayed.next_after(at("2025-01-01T00:00:00Z")), Some(at("2026-01-01T00:00:07Z")));
    let unanchored = Every { anchor: None, ..every };
    assert_eq!(unanchored.next_after(cursor), None);
}

mod anywhere {
    use super::*;
    use proptest::prelude::*;

    const ZONES: [&str; 9] = [
        "UTC",
        "Europe/Berlin",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Asia/Beirut",
        "Europe/Dublin",
        "Antarctica/Troll",
        "Africa/Monrovia",
        "Pacific/Kwajalein",
    ];

    fn any_rule() -> impl Strategy<Value = String> {
        let minute = prop_oneof![Just("*"), Just("*/7"), Just("30"), Just("0,15"), Just("5-50/9")];
        let hour = prop_oneof![Just("*"), Just("*/3"), Just("2"), Just("0"), Just("1-4"), Just("23")];
        let day =
            prop_oneof![Just("*"), Just("L"), Just("15W"), Just("1-7"), Just("29"), Just("L-2"), Just("LW")];
        let month = prop_oneof![Just("*"), Just("2"), Just("3,10"), Just("*/5")];
        let weekday = prop_oneof![Just("*"), Just("0"), Just("+1-5"), Just("5#5"), Just("SUN#L"), Just("+7")];
        (minute, hour, day, month, weekday).prop_map(|(minute, hour, day, month, weekday)| {
            format!("{minute} {hour} {day} {month} {weekday}")
        })
    }

    fn any_policy() -> impl Strategy<Value = DstPolicy> {
        prop_oneof![
            Just(DstPolicy::Debian),
            Just(DstPolicy::Skip),
            Just(DstPolicy::First),
            Just(DstPolicy::Last),
            Just(DstPolicy::Both)
        ]
    }

    proptest! {
        #[test]
        fn there_is_one_timetable_wherever_one_starts(
            rule in any_rule(),
            zone in 0..ZONES.len(),
            dst in any_policy(),
            from in -100_000_000_i64..7_300_000_000,
            jumps in proptest::collection::vec(1_i64..3_000_000_000_000, 1..20),
        ) {
            let schedule = zoned(&rule, ZONES[zone], dst);
            let from = Timestamp::from_secs(from);
            let Some(first) = schedule.next_after(from) else {
                prop_assert_eq!(schedule.next_after(Timestamp::SEARCH_END), None);
                return Ok(());
            };
            prop_assert!(first > from);
            prop_assert_eq!(schedule.matches(first), Ok(()));
            // Nothing lies between: every start in between finds the same, and none of them matches.
            let span = first.as_micros() - from.as_micros();
            for jump in jumps {
                let between = Timestamp::from_micros(from.as_micros() + jump % span);
                prop_assert_eq!(schedule.next_after(between), Some(first));
                prop_assert!(between == from || schedule.matches(between).is_err());
            }
            let just_after = Timestamp::from_micros(first.as_micros() + 1);
            prop_assert_eq!(schedule.prev_before(just_after), Some(first));
            prop_assert!(schedule.prev_before(first).is_none_or(|prev| prev <= from && schedule.next_after(prev) == Some(first)));
        }

        #[test]
        fn extremes_of_time_have_an_answer(micros in any::<i64>(), rule in any_rule()) {
            let schedule = zoned(&rule, "Europe/Berlin", DstPolicy::Debian);
            let at = Timestamp::from_micros(micros);
            let _ = (schedule.next_after(at), schedule.prev_before(at), schedule.matches(at));
        }
    }
}
