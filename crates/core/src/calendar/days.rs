//! Days as ranges: single dates, spans, yearly dates, and what an ICS file lists.

use super::{BAD_DAY, ics};
use crate::civil::{Date, month_length};
use crate::cron::{YEAR_MAX, YEAR_MIN};
use crate::error::Diagnostic;

/// From one day to another, both included, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayRange {
    /// The first day.
    pub from: i64,
    /// The last day.
    pub to: i64,
}

impl DayRange {
    /// One day.
    pub fn day(date: Date) -> Self {
        Self { from: date.days(), to: date.days() }
    }

    /// Reads `2026-12-25`, `2026-12-24..2027-01-01`, `12-25` (every year) or `12-24..01-01` (every year).
    ///
    /// # Errors
    /// `TRG010` if it is none of them, or the range runs backwards.
    pub fn parse(text: &str) -> Result<Vec<Self>, Diagnostic> {
        let shown: String = text.chars().take(40).collect();
        let refuse = |why: String| {
            Diagnostic::error(BAD_DAY, why)
                .hint("write 2026-12-25, 2026-12-24..2027-01-01, 12-25 or 12-24..01-01")
        };
        let text = text.trim();
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from, to) = (from.trim(), to.trim());
        if let (Some(from), Some(to)) = (yearly(from), yearly(to)) {
            return Ok((YEAR_MIN - 1..=YEAR_MAX).filter_map(|year| every_year(year, from, to)).collect());
        }
        let (from, to) = (Date::parse(from).map_err(refuse)?, Date::parse(to).map_err(refuse)?);
        if from > to {
            return Err(refuse(format!("the range {shown} runs backwards")));
        }
        Ok(vec![Self { from: from.days(), to: to.days() }])
    }

    /// The days of the events of an iCalendar file, with their repetitions until 2199.
    ///
    /// # Errors
    /// `TRG011` with the line of what cannot be read, or cannot be said in whole days.
    pub fn parse_ics(text: &str) -> Result<Vec<Self>, Diagnostic> {
        ics::read(text)
    }
}

/// Reads `12-25`; `02-29` is a day of leap years.
fn yearly(text: &str) -> Option<(u8, u8)> {
    let (month, day) = text.split_once('-').filter(|_| text.len() == 5)?;
    let date = Date::new(2000, month.parse().ok()?, day.parse().ok()?)?;
    Some((date.month, date.day))
}

fn every_year(year: i32, from: (u8, u8), to: (u8, u8)) -> Option<DayRange> {
    let day = |year: i32, (month, day): (u8, u8)| {
        (day <= month_length(year, month)).then(|| Date { year, month, day }.days())
    };
    let end = if to < from { year + 1 } else { year };
    // A range may begin or end on a 29th of February that the year lacks: then on the day inside.
    let begin = day(year, from).or_else(|| (from != to).then(|| Date { year, month: 3, day: 1 }.days()))?;
    let end = day(end, to).or_else(|| (from != to).then(|| Date { year: end, month: 2, day: 28 }.days()))?;
    Some(DayRange { from: begin, to: end })
}

/// A set of days: sorted ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days(Vec<(i32, i32)>);

impl Days {
    /// The union of ranges, cut to 1970 to 2199.
    pub fn new(mut ranges: Vec<DayRange>) -> Self {
        ranges.sort_unstable();
        let mut days: Vec<(i32, i32)> = Vec::new();
        for range in ranges {
            let (from, to) = (range.from.max(0), range.to.min(super::DAYS_MAX));
            if from > to {
                continue;
            }
            let day = |day: i64| i32::try_from(day).expect("the days are cut to two centuries");
            match days.last_mut() {
                Some(last) if i64::from(last.1) + 1 >= from => last.1 = last.1.max(day(to)),
                _ => days.push((day(from), day(to))),
            }
        }
        Self(days)
    }

    /// Whether the set has a day.
    pub fn contains(&self, day: i64) -> bool {
        let next = self.0.partition_point(|(from, _)| i64::from(*from) <= day);
        next > 0 && i64::from(self.0[next - 1].1) >= day
    }

    /// The ranges, first and last day of each.
    pub fn ranges(&self) -> &[(i32, i32)] {
        &self.0
    }
}
