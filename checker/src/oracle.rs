//! The checker's own timetable: it tries every second of a span against a rule, and knows nothing cleverer.
//!
//! Near a change of its zone's clock a rule may do one thing or another, by a policy that is not judged here: those
//! times may be, and need not be.

use crate::definitions::Rule;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// So near a change of the clock a time may be or not be, seconds.
const CHANGE_S: i64 = 3 * 3600;

/// Nominal times, microseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Each has a disposition.
    pub must: BTreeSet<i64>,
    /// Each of these may have one. All others have none.
    pub may: BTreeSet<i64>,
}

/// The nominal times of `rule` in [from, to), microseconds. Intervals without an anchor of their own count from `first`.
///
/// # Errors
/// The rule cannot be read here.
pub fn times(rule: &Rule, first: Option<i64>, from: i64, to: i64) -> Result<Times, String> {
    let mut times = Times::default();
    match rule {
        Rule::Asked => {}
        Rule::Every(step, _) if *step <= 0 => return Err(format!("an interval of {step} µs")),
        Rule::Every(step, anchor) => {
            let Some(origin) = anchor.or(first) else { return Ok(times) };
            let mut at = origin + (from - origin).div_euclid(*step) * step;
            while at < to {
                if at >= from {
                    times.must.insert(at);
                }
                at += step;
            }
        }
        Rule::Cron(rule, zone) => {
            let zone = TimeZone::get(zone).map_err(|e| e.to_string())?;
            let fields = Fields::read(rule)?;
            let seconds = (from + 999_999).div_euclid(1_000_000)..(to + 999_999).div_euclid(1_000_000);
            for second in seconds {
                let offset = |second| Timestamp::from_second(second).map(|at| zone.to_offset(at));
                let there = offset(second).and_then(|o| Ok(o.to_datetime(Timestamp::from_second(second)?)));
                let there = there.map_err(|e| e.to_string())?;
                if !fields.match_time(there) || !fields.match_day(there) {
                    continue;
                }
                let near = [second - CHANGE_S, second, second + CHANGE_S].map(offset);
                let steady = near.iter().all(|o| o.as_ref().ok() == near[1].as_ref().ok());
                if steady { &mut times.must } else { &mut times.may }.insert(second * 1_000_000);
            }
        }
    }
    Ok(times)
}

/// A cron rule as lists of the numbers it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    seconds: Vec<i64>,
    minutes: Vec<i64>,
    hours: Vec<i64>,
    days: Vec<i64>,
    months: Vec<i64>,
    weekdays: Vec<i64>,
    /// Day and weekday are both named: either is enough.
    either_day: bool,
}

impl Fields {
    fn read(rule: &str) -> Result<Self, String> {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let words = match words.len() {
            5 => [&["0"], &words[..]].concat(),
            6 => words,
            n => return Err(format!("{rule:?} has {n} fields; the checker knows 5 and 6")),
        };
        let named = |word: &str| !word.starts_with('*') && word != "?";
        Ok(Self {
            seconds: list(words[0], 0, 59, &[])?,
            minutes: list(words[1], 0, 59, &[])?,
            hours: list(words[2], 0, 23, &[])?,
            days: list(words[3], 1, 31, &[])?,
            months: list(words[4], 1, 12, &MONTHS)?,
            // Sunday is 0, and 7 as well.
            weekdays: list(words[5], 0, 7, &WEEKDAYS)?.into_iter().map(|day| day % 7).collect(),
            either_day: named(words[3]) && named(words[5]),
        })
    }

    fn match_time(&self, at: DateTime) -> bool {
        let has = |list: &[i64], value: i8| list.contains(&i64::from(value));
        has(&self.seconds, at.second()) && has(&self.minutes, at.minute()) && has(&self.hours, at.hour())
    }

    fn match_day(&self, at: DateTime) -> bool {
        let day = self.days.contains(&i64::from(at.day()));
        let weekday = self.weekdays.contains(&i64::from(at.weekday().to_sunday_zero_offset()));
        let fits = if self.either_day { day || weekday } else { day && weekday };
        fits && self.months.contains(&i64::from(at.month()))
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The numbers of a field: `*`, `a`, `a-b`, each with `/step`, in a list. `names` begin at `least`.
fn list(field: &str, least: i64, most: i64, names: &[&str]) -> Result<Vec<i64>, String> {
    let number = |word: &str| -> Result<i64, String> {
        let lower = word.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower).and_then(|n| i64::try_from(n).ok());
        let value = named.map(|n| n + least).or_else(|| word.parse().ok());
        value
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| format!("{word:?} in {field:?} is out of its range"))
    };
    let mut numbers = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step: i64 =
            step.map_or(Ok(1), str::parse).map_err(|_| format!("the step of {part:?} is no number"))?;
        let (from, to) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (least, most),
            (_, Some((from, to))) => (number(from)?, number(to)?),
            // `5/10` is every tenth from the fifth on.
            (_, None) => (number(range)?, if part.contains('/') { most } else { number(range)? }),
        };
        if step < 1 || from > to {
            return Err(format!("{part:?} names nothing"));
        }
        numbers.extend((from..=to).filter(|n| (n - from) % step == 0));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::instant;

    fn cron(rule: &str, zone: &str, from: &str, to: &str) -> (Vec<String>, usize) {
        let at = |text: &str| instant(text).expect("an instant");
        let times = times(&Rule::Cron(rule.into(), zone.into()), None, at(from), at(to)).expect("a rule");
        let text = |us: &i64| Timestamp::from_microsecond(*us).expect("in range").to_string();
        (times.must.iter().map(text).collect(), times.may.len())
    }

    #[test]
    fn a_rule_is_what_its_fields_say() {
        let (must, may) = cron("30 2 * * *", "Europe/Berlin", "2026-11-24T00:00:00Z", "2026-11-26T00:00:00Z");
        assert_eq!((must, may), (vec!["2026-11-24T01:30:00Z".into(), "2026-11-25T01:30:00Z".into()], 0));
        let (must, _) = cron("5-59/20 0 12 24 nov *", "UTC", "2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z");
        assert_eq!(must, ["2026-11-24T12:00:05Z", "2026-11-24T12:00:25Z", "2026-11-24T12:00:45Z"]);
        // The 24th is a Tuesday: day or weekday.
        let (must, _) = cron("0 0 25 * tue", "UTC", "2026-11-23T12:00:00Z", "2026-11-26T12:00:00Z");
        assert_eq!(must, ["2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"]);
        let (must, _) = cron("0 0 */31 * 7", "UTC", "2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z");
        assert_eq!(must, ["2026-02-01T00:00:00Z"], "a Sunday, and the first of the month");
    }

    #[test]
    fn near_a_change_of_the_clock_times_may_be() {
        let (must, may) = cron("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!((must.len(), may), (8, 4));
    }

    #[test]
    fn intervals_count_from_their_anchor() {
        let every = |anchor, first| times(&Rule::Every(3, anchor), first, 10, 20).expect("a rule").must;
        assert_eq!(every(Some(0), Some(1)), BTreeSet::from([12, 15, 18]));
        assert_eq!(every(None, Some(100)), BTreeSet::from([10, 13, 16, 19]));
        assert_eq!(every(None, None), BTreeSet::new());
    }

    #[test]
    fn what_it_cannot_read_it_refuses() {
        for rule in ["* * *", "61 * * * *", "a * * * *", "*/0 * * * *", "5-3 * * * *", "0 0 L * *"] {
            assert!(Fields::read(rule).is_err(), "{rule}");
        }
    }
}
