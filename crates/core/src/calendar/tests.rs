//! Calendars of days, ICS files, and schedules on them.

use super::*;
use crate::cron::{Cron, Dialect};
use crate::schedule::{CronSchedule, DstPolicy};

fn day(text: &str) -> i64 {
    Date::parse(text).expect(text).days()
}

fn days(texts: &[&str]) -> Vec<DayRange> {
    texts.iter().flat_map(|text| DayRange::parse(text).expect(text)).collect()
}

fn workdays() -> Calendar {
    let parts = CalendarParts::new().weekdays(Weekdays::parse("mon-fri").expect("weekdays"));
    parts
        .except(days(&["2026-12-24..2026-12-26", "01-01"]))
        .include(days(&["2026-12-19"]))
        .build("workdays")
        .expect("days")
}

fn rule(calendar: Calendar, mode: CalendarMode) -> CalendarRule {
    CalendarRule { calendar: Arc::new(calendar), mode, zone: Zone::utc() }
}

fn cron(text: &str) -> Schedule {
    let rule = Arc::new(Cron::parse(text, Dialect::Standard).expect(text));
    Schedule::Cron(CronSchedule { rule, zone: Zone::utc(), dst: DstPolicy::Debian })
}

fn firings(rule: &CalendarRule, schedule: &Schedule, from: &str, n: usize) -> Vec<String> {
    let mut cursor = Timestamp::parse_rfc3339(from).expect(from);
    let next = || {
        cursor = rule.next_after(schedule, cursor).expect("within the bound")?;
        Some(cursor.to_string())
    };
    std::iter::from_fn(next).take(n).collect()
}

#[test]
fn days_belong_by_weekday_inclusion_and_exception() {
    let calendar = workdays();
    let belongs = |text| calendar.contains(day(text));
    assert!(belongs("2026-12-23") && belongs("2026-12-19") && belongs("2026-12-28"));
    assert!(!belongs("2026-12-20") && !belongs("2026-12-24") && !belongs("2026-12-25"));
    assert!(!belongs("2027-01-01") && !belongs("2100-01-01"));
    assert_eq!(calendar.reason(day("2026-12-25")), "2026-12-25 is an exception of calendar workdays");
    assert_eq!(calendar.reason(day("2026-12-20")), "2026-12-20 is a Sunday, not a day of calendar workdays");
}

#[test]
fn a_version_is_what_the_calendar_says() {
    assert_eq!(workdays().version(), workdays().version());
    let other = CalendarParts::new().weekdays(Weekdays::ALL).build("workdays").expect("days");
    assert_ne!(workdays().version(), other.version());
    assert_eq!(other.version(), CalendarParts::new().build("all").expect("days").version());
}

#[test]
fn a_rule_fires_only_on_the_days_or_only_beside_them() {
    let only = rule(workdays(), CalendarMode::Only);
    assert_eq!(
        firings(&only, &cron("0 9 * * *"), "2026-12-23T12:00:00Z", 2),
        ["2026-12-28T09:00:00Z", "2026-12-29T09:00:00Z"]
    );
    assert!(only.allows(Timestamp::parse_rfc3339("2026-12-25T09:00:00Z").expect("an instant")).is_err());
    let except = rule(workdays(), CalendarMode::Except);
    assert_eq!(
        firings(&except, &cron("0 9 * * *"), "2026-12-23T12:00:00Z", 3),
        ["2026-12-24T09:00:00Z", "2026-12-25T09:00:00Z", "2026-12-26T09:00:00Z"]
    );
}

#[test]
fn what_falls_on_another_day_moves_and_keeps_its_time() {
    let next = rule(workdays(), CalendarMode::NextBusinessDay);
    // The 25th is a holiday, the 26th and 27th a weekend: all to Monday the 28th, once.
    assert_eq!(
        firings(&next, &cron("0 9 25,26 12 *"), "2026-12-01T00:00:00Z", 2),
        ["2026-12-28T09:00:00Z", "2027-12-27T09:00:00Z"]
    );
    // A later day's earlier hour comes first on the day both move to.
    assert_eq!(
        firings(&next, &cron("0 9-10 26,27 12 *"), "2026-12-01T00:00:00Z", 2),
        ["2026-12-28T09:00:00Z", "2026-12-28T10:00:00Z"]
    );
    let christmas = Timestamp::parse_rfc3339("2026-12-25T09:00:00Z").expect("an instant");
    assert_eq!(next.allows(christmas), Ok(()));
    assert_eq!(next.shift(christmas).to_string(), "2026-12-28T09:00:00Z");
}

#[test]
fn an_ics_file_gives_its_days() {
    let ics = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VTIMEZONE\r\nTZID:X\r\nEND:VTIMEZONE\r\n\
        BEGIN:VEVENT\r\nSUMMARY:Christ\r\n mas: with a colon\r\nDTSTART;VALUE=DATE:20251225\r\nDTEND;VALUE=DATE:20251227\r\n\
        RRULE:FREQ=YEARLY;COUNT=3\r\nEXDATE;VALUE=DATE:20261225\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20201126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART:20260501T000000Z\r\nDURATION:P2D\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART:20260601\r\nSTATUS:CANCELLED\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let days = Days::new(DayRange::parse_ics(ics).expect("it is read"));
    for (text, expected) in [
        ("2025-12-25", true),
        ("2025-12-26", true),
        ("2025-12-27", false),
        ("2026-12-25", false),
        ("2027-12-26", true),
        ("2028-12-25", false),
        ("2026-11-26", true),
        ("2026-11-25", false),
        ("2199-11-28", true),
        ("2026-05-01", true),
        ("2026-05-02", true),
        ("2026-05-03", false),
        ("2026-06-01", false),
    ] {
        assert_eq!(days.contains(day(text)), expected, "{text}");
    }
}

#[test]
fn what_an_ics_file_cannot_say_is_refused_with_its_line() {
    let event = |lines: &str| format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n");
    for (lines, line) in [
        ("DTSTART:20261225T090000Z", 3),
        ("DTSTART:20261325", 3),
        ("SUMMARY:x", 2),
        ("DTSTART:20261225\nRRULE:FREQ=HOURLY", 4),
        ("DTSTART:20261225\nRRULE:FREQ=YEARLY;BYSETPOS=1", 4),
        ("DTSTART:20261225\nRECURRENCE-ID:20261225", 4),
        ("DTSTART:20261225\nDURATION:PT1H", 4),
    ] {
        let error = DayRange::parse_ics(&event(lines)).expect_err(lines);
        assert_eq!(error.origin.map(|origin| origin.line), Some(line), "{lines}");
    }
    assert!(DayRange::parse_ics("").is_err());
    assert!(DayRange::parse_ics("BEGIN:VCALENDAR\nBEGIN:VEVENT\n").is_err());
}

#[test]
fn days_that_are_none_are_refused() {
    for text in
        ["2026-02-30", "2026-12-26..2026-12-24", "13-01", "tomorrow", "", "2026-12-24..", "12-24..2026-01-01"]
    {
        assert!(DayRange::parse(text).is_err(), "{text}");
    }
    assert!(Weekdays::parse("mon-fry").is_err() && Weekdays::parse("").is_err());
    assert_eq!(Weekdays::parse("sat-mon").expect("it may pass the end"), Weekdays(0b100_0011));
    let nothing = CalendarParts::new().weekdays(Weekdays::NONE).build("empty").expect_err("no day");
    assert_eq!(nothing.code, NO_DAYS);
}
