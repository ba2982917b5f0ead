//! A reader of iCalendar files (RFC 5545), as far as they list whole days. What it cannot say it refuses.

use super::days::DayRange;
use super::{BAD_ICS, DAYS_MAX};
use crate::civil::{Date, month_length, weekday};
use crate::cron::YEAR_MAX;
use crate::error::{Diagnostic, Origin};

/// More events than any list of holidays has.
const EVENTS_MAX: usize = 100_000;
/// Each repeating event is walked day by day over two centuries.
const REPEATING_MAX: usize = 1_000;
/// More days than two centuries have.
const RANGES_MAX: usize = 1_000_000;

/// A content line: unfolded, split at its name, parameters dropped but for what follows.
struct Line {
    number: u32,
    name: String,
    value: String,
}

#[derive(Default)]
struct Event {
    line: u32,
    start: Option<i64>,
    /// The last day, included.
    last: Option<i64>,
    days: Option<i64>,
    rule: Option<(u32, String)>,
    also: Vec<i64>,
    without: Vec<i64>,
    cancelled: bool,
}

pub(super) fn read(text: &str) -> Result<Vec<DayRange>, Diagnostic> {
    let lines = unfold(text);
    if !lines.first().is_some_and(|line| line.name == "BEGIN" && line.value.eq_ignore_ascii_case("VCALENDAR"))
    {
        return Err(refuse(1, "the file does not begin with BEGIN:VCALENDAR".to_owned()));
    }
    let mut ranges = Vec::new();
    let mut blocks: Vec<String> = Vec::new();
    let mut event = Event::default();
    let (mut events, mut repeating) = (0, 0);
    for line in &lines {
        let value = line.value.to_ascii_uppercase();
        match line.name.as_str() {
            "BEGIN" => {
                match value.as_str() {
                    "VEVENT" => event = Event { line: line.number, ..Event::default() },
                    "VTODO" | "VJOURNAL" | "VFREEBUSY" => {
                        return Err(refuse(line.number, format!("{value} is not a list of days")));
                    }
                    _ => {}
                }
                blocks.push(value);
            }
            "END" => {
                if blocks.pop().as_deref() != Some(value.as_str()) {
                    return Err(refuse(line.number, format!("END:{} ends nothing", cut(&line.value))));
                }
                if value == "VEVENT" {
                    events += 1;
                    repeating += usize::from(event.rule.is_some());
                    event.expand(&mut ranges)?;
                }
            }
            _ if blocks.last().is_some_and(|block| block == "VEVENT") => event.take(line)?,
            _ => {}
        }
        if events > EVENTS_MAX || repeating > REPEATING_MAX || ranges.len() > RANGES_MAX {
            return Err(refuse(line.number, "the file lists more days than a calendar can have".to_owned()));
        }
    }
    match blocks.pop() {
        Some(block) => Err(refuse(0, format!("the file ends inside of {}", cut(&block)))),
        None => Ok(ranges),
    }
}

fn refuse(line: u32, message: String) -> Diagnostic {
    let error = Diagnostic::error(BAD_ICS, message);
    if line == 0 {
        return error;
    }
    error.at(Origin { file: "<ics>".to_owned(), line, column: 1, width: 1, snippet: String::new() })
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(at, _)| &text[..at])
}

/// The content lines: a line that begins with a blank continues the one before.
fn unfold(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut whole: Vec<(u32, String)> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), whole.last_mut()) {
            (Some(more), Some((_, last))) => last.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => whole.push((u32::try_from(index + 1).unwrap_or(u32::MAX), line.to_owned())),
        }
    }
    for (number, line) in whole {
        // The value begins at the first colon outside of quotes; parameters stand before it.
        let mut quoted = false;
        let colon = line.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == ':' && !quoted
        });
        let (head, value) = colon.map_or((line.as_str(), ""), |(at, _)| (&line[..at], &line[at + 1..]));
        let name = head.split(';').next().unwrap_or_default().trim().to_ascii_uppercase();
        lines.push(Line { number, name, value: value.trim().to_owned() });
    }
    lines
}

impl Event {
    fn take(&mut self, line: &Line) -> Result<(), Diagnostic> {
        let number = line.number;
        match line.name.as_str() {
            "DTSTART" => self.start = Some(day(number, &line.value)?),
            // The end is the first day that is not part of it.
            "DTEND" => self.last = Some(day(number, &line.value)? - 1),
            "DURATION" => self.days = Some(duration_days(number, &line.value)?),
            "RRULE" if self.rule.is_some() => {
                return Err(refuse(number, "an event with two rules of repetition".to_owned()));
            }
            "RRULE" => self.rule = Some((number, line.value.to_ascii_uppercase())),
            "RDATE" | "EXDATE" => {
                for part in line.value.split(',') {
                    let day = day(number, part)?;
                    if line.name == "RDATE" { self.also.push(day) } else { self.without.push(day) }
                }
            }
            "EXRULE" | "RECURRENCE-ID" => {
                return Err(refuse(number, format!("{} is not understood; list the days", line.name)));
            }
            "STATUS" => self.cancelled = line.value.eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
        Ok(())
    }

    fn expand(&mut self, ranges: &mut Vec<DayRange>) -> Result<(), Diagnostic> {
        if self.cancelled {
            return Ok(());
        }
        let start = self.start.ok_or_else(|| refuse(self.line, "an event without DTSTART".to_owned()))?;
        // An end at the start is what some programs write for one day.
        let length =
            self.days.map_or_else(|| self.last.map_or(0, |last| last - start), |days| days - 1).max(0);
        let mut starts = match &self.rule {
            Some((line, rule)) => Repetition::parse(*line, rule, start)?.days(start),
            None => vec![start],
        };
        starts.extend(&self.also);
        self.without.sort_unstable();
        starts.retain(|day| self.without.binary_search(day).is_err());
        ranges.extend(starts.into_iter().map(|from| DayRange { from, to: from + length }));
        Ok(())
    }
}

/// Reads `20261225`, and `20261225T000000` with or without `Z`: midnight only.
fn day(line: u32, text: &str) -> Result<i64, Diagnostic> {
    let text = text.trim();
    let (date, time) = text.split_at_checked(8).unwrap_or((text, ""));
    let digits = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    let parsed = digits.then(|| Date::parse(&format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])));
    match (parsed, time) {
        (Some(Ok(date)), "" | "T000000" | "T000000Z") => Ok(date.days()),
        (Some(Ok(_)), time) if time.starts_with('T') => {
            Err(refuse(line, format!("{} has a time of day; a calendar counts whole days", cut(text))))
        }
        _ => Err(refuse(line, format!("{:?} is not a day", cut(text)))),
    }
}

/// Reads `P3D`, `P1W`.
fn duration_days(line: u32, text: &str) -> Result<i64, Diagnostic> {
    let upper = text.to_ascii_uppercase();
    let inner = upper.trim_start_matches('+').strip_prefix('P').unwrap_or_default();
    let days = [('D', 1), ('W', 7)].into_iter().find_map(|(unit, days)| {
        inner.strip_suffix(unit)?.parse::<u16>().ok().map(|count| i64::from(count) * days)
    });
    days.filter(|days| *days > 0)
        .ok_or_else(|| refuse(line, format!("the duration {:?} is not one of whole days", cut(text))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A rule of repetition, as far as it is understood.
struct Repetition {
    frequency: Frequency,
    interval: i64,
    count: Option<usize>,
    until: i64,
    months: Vec<u8>,
    month_days: Vec<i8>,
    /// Weekday, and which of the period (0: every).
    weekdays: Vec<(u8, i8)>,
}

impl Repetition {
    fn parse(line: u32, text: &str, start: i64) -> Result<Self, Diagnostic> {
        let bad =
            |part: &str| refuse(line, format!("{:?} of a rule of repetition is not understood", cut(part)));
        let mut rule = Self {
            frequency: Frequency::Yearly,
            interval: 1,
            count: None,
            until: DAYS_MAX,
            months: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
        };
        let mut frequency = None;
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| bad(part))?;
            match key {
                "FREQ" => {
                    frequency = Some(match value {
                        "DAILY" => Frequency::Daily,
                        "WEEKLY" => Frequency::Weekly,
                        "MONTHLY" => Frequency::Monthly,
                        "YEARLY" => Frequency::Yearly,
                        _ => return Err(bad(part)),
                    });
                }
                "INTERVAL" => {
                    rule.interval =
                        value.parse().ok().filter(|n| (1..1000).contains(n)).ok_or_else(|| bad(part))?
                }
                "COUNT" => rule.count = Some(value.parse().map_err(|_| bad(part))?),
                "UNTIL" => rule.until = day(line, value.get(..8).unwrap_or(value))?,
                "BYMONTH" => rule.months = list(value, 1..=12).ok_or_else(|| bad(part))?,
                "BYMONTHDAY" => {
                    rule.month_days =
                        list(value, -31..=31).filter(|days| !days.contains(&0)).ok_or_else(|| bad(part))?;
                }
                "BYDAY" => {
                    rule.weekdays =
                        value.split(',').map(by_day).collect::<Option<_>>().ok_or_else(|| bad(part))?;
                }
                "WKST" => {}
                _ => return Err(bad(part)),
            }
        }
        rule.frequency = frequency.ok_or_else(|| bad("a missing FREQ"))?;
        rule.complete(line, start)
    }

    /// Fills in what the first day says, and refuses combinations with another meaning than a set of days.
    fn complete(mut self, line: u32, start: i64) -> Result<Self, Diagnostic> {
        let first = Date::from_days(start);
        let numbered = self.weekdays.iter().any(|(_, nth)| *nth != 0);
        let by_month = matches!(self.frequency, Frequency::Monthly | Frequency::Yearly);
        let yearly_days_without_month =
            self.frequency == Frequency::Yearly && !self.weekdays.is_empty() && self.months.is_empty();
        if numbered && !by_month
            || yearly_days_without_month
            || self.frequency == Frequency::Weekly && !self.month_days.is_empty()
        {
            return Err(refuse(
                line,
                "this combination in a rule of repetition is not understood".to_owned(),
            ));
        }
        if self.frequency == Frequency::Yearly && self.months.is_empty() {
            self.months = if self.month_days.is_empty() { vec![first.month] } else { (1..=12).collect() };
        }
        if by_month && self.month_days.is_empty() && self.weekdays.is_empty() {
            self.month_days = vec![first.day as i8];
        }
        if self.frequency == Frequency::Weekly && self.weekdays.is_empty() {
            self.weekdays = vec![(first.weekday(), 0)];
        }
        Ok(self)
    }

    fn days(&self, start: i64) -> Vec<i64> {
        let last = self.until.min(DAYS_MAX);
        let days = (start..=last).filter(|day| *day == start || self.has(start, *day));
        days.take(self.count.unwrap_or(usize::MAX)).collect()
    }

    fn has(&self, start: i64, day: i64) -> bool {
        let (first, date) = (Date::from_days(start), Date::from_days(day));
        let periods = match self.frequency {
            Frequency::Daily => day - start,
            // Weeks begin on Monday, whatever WKST says: it matters only for intervals of weeks.
            Frequency::Weekly => (day + 3).div_euclid(7) - (start + 3).div_euclid(7),
            Frequency::Monthly => {
                i64::from(date.year - first.year) * 12 + i64::from(date.month) - i64::from(first.month)
            }
            Frequency::Yearly => i64::from(date.year - first.year),
        };
        let length = month_length(date.year, date.month) as i8;
        let of_month = |wanted: &i8| *wanted == date.day as i8 || *wanted == date.day as i8 - length - 1;
        let nth = (date.day as i8 - 1) / 7 + 1;
        let nth_last = -((length - date.day as i8) / 7 + 1);
        let of_week = |wanted: &(u8, i8)| wanted.0 == weekday(day) && [0, nth, nth_last].contains(&wanted.1);
        date.year <= YEAR_MAX
            && periods % self.interval == 0
            && (self.months.is_empty() || self.months.contains(&date.month))
            && (self.month_days.is_empty() || self.month_days.iter().any(of_month))
            && (self.weekdays.is_empty() || self.weekdays.iter().any(of_week))
    }
}

/// Numbers with commas between, each in `range`.
fn list<T: std::str::FromStr + PartialOrd>(text: &str, range: std::ops::RangeInclusive<T>) -> Option<Vec<T>> {
    text.split(',').map(|part| part.parse::<T>().ok().filter(|value| range.contains(value))).collect()
}

/// Reads `MO`, `4TH`, `-1FR`.
fn by_day(text: &str) -> Option<(u8, i8)> {
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"].iter().position(|day| *day == name)?;
    let nth = if nth.is_empty() { 0 } else { nth.parse::<i8>().ok().filter(|n| *n != 0 && n.abs() <= 5)? };
    Some((weekday as u8, nth))
}
