//! Calendars: which days count.
//!
//! A day belongs to a calendar if its weekday does or `include` names it, unless `except` names it; a day in both
//! `include` and `except` belongs (a working Saturday inside a holiday list). A calendar is shared by name, and its
//! [`Calendar::version`] is a hash of what it says, so that a run's record can tell which calendar it was judged by.

mod days;
mod ics;

pub use days::{DayRange, Days};

use crate::civil::{DAY_SECS, Date, weekday};
use crate::error::{Code, Diagnostic};
use crate::schedule::{Schedule, SearchLimit};
use crate::time::Timestamp;
use crate::zone::Zone;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// A day, range or set of weekdays that cannot be read.
const BAD_DAY: Code = Code("TRG010");
/// An ICS file that says what a calendar of days cannot.
const BAD_ICS: Code = Code("TRG011");
/// A calendar without a single day.
const NO_DAYS: Code = Code("TRG012");

/// Days from 1970 to 2199; beyond them no schedule has an instant.
const DAYS_MAX: i64 = 84_006;
/// How many instants on days that do not count are passed before a search gives up.
const PASSED_MAX: u32 = 100_000;
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A set of days with a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    weekdays: Weekdays,
    include: Days,
    except: Days,
    version: String,
}

/// What a calendar says, as given; [`CalendarParts::build`] makes the calendar.
#[derive(Clone, Debug, Default)]
pub struct CalendarParts {
    weekdays: Option<Weekdays>,
    include: Vec<DayRange>,
    except: Vec<DayRange>,
}

impl CalendarParts {
    /// Nothing said yet: every day.
    pub fn new() -> Self {
        Self::default()
    }

    /// The weekdays that count. Not called: every day, or none beside those included if any are.
    #[must_use]
    pub fn weekdays(mut self, weekdays: Weekdays) -> Self {
        self.weekdays = Some(weekdays);
        self
    }

    /// Adds days that count, of whatever weekday, and whatever `except` says.
    #[must_use]
    pub fn include(mut self, days: impl IntoIterator<Item = DayRange>) -> Self {
        self.include.extend(days);
        self
    }

    /// Adds days that do not count.
    #[must_use]
    pub fn except(mut self, days: impl IntoIterator<Item = DayRange>) -> Self {
        self.except.extend(days);
        self
    }

    /// The calendar called `name`.
    ///
    /// # Errors
    /// `TRG012` if not a single day from 1970 to 2199 belongs to it.
    pub fn build(self, name: &str) -> Result<Calendar, Diagnostic> {
        let otherwise = if self.include.is_empty() { Weekdays::ALL } else { Weekdays::NONE };
        let mut calendar = Calendar {
            name: name.to_owned(),
            weekdays: self.weekdays.unwrap_or(otherwise),
            include: Days::new(self.include),
            except: Days::new(self.except),
            version: String::new(),
        };
        if calendar.next_day(0).is_none() {
            let message = format!("no day belongs to calendar {name:?}");
            return Err(
                Diagnostic::error(NO_DAYS, message).hint("remove from except, or add to include or weekdays")
            );
        }
        calendar.version = calendar.digest();
        Ok(calendar)
    }
}

impl Calendar {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A hash of what the calendar says, 16 hexadecimal digits. It changes when any day from 1970 to 2199 does.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update([self.weekdays.0]);
        for days in [&self.include, &self.except] {
            hash.update((days.ranges().len() as u64).to_le_bytes());
            for (from, to) in days.ranges() {
                hash.update(from.to_le_bytes());
                hash.update(to.to_le_bytes());
            }
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a day (since 1970-01-01) belongs to the calendar.
    pub fn contains(&self, day: i64) -> bool {
        self.include.contains(day) || self.weekdays.contains(weekday(day)) && !self.except.contains(day)
    }

    /// The first day of the calendar at or after `day`; `None` if there is none until 2199.
    pub fn next_day(&self, day: i64) -> Option<i64> {
        (day.max(0)..DAYS_MAX).find(|day| self.contains(*day))
    }

    /// The last day of the calendar at or before `day`; `None` if there is none since 1970.
    pub fn prev_day(&self, day: i64) -> Option<i64> {
        (0..=day.min(DAYS_MAX)).rev().find(|day| self.contains(*day))
    }

    /// Why a day does or does not belong, in words.
    pub fn reason(&self, day: i64) -> String {
        let date = Date::from_days(day);
        let name = WEEKDAYS[usize::from(weekday(day))];
        if self.include.contains(day) {
            format!("{date} is included in calendar {}", self.name)
        } else if self.except.contains(day) {
            format!("{date} is an exception of calendar {}", self.name)
        } else if self.weekdays.contains(weekday(day)) {
            format!("{date} is a {name}, a day of calendar {}", self.name)
        } else {
            format!("{date} is a {name}, not a day of calendar {}", self.name)
        }
    }
}

/// Short: the name and version; the days are of no use in a log.
impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({}, {})", self.name, self.version)
    }
}

/// A set of weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0x7F);
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether the weekday (Sunday = 0) is in the set.
    pub fn contains(self, weekday: u8) -> bool {
        self.0 >> weekday & 1 == 1
    }

    /// Reads `mon-fri`, `sat,sun`, `mon-wed,fri`: names in any case, whole or of three letters; a range may pass
    /// the week's end.
    ///
    /// # Errors
    /// `TRG010` with the part that is no weekday.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let mut set = 0;
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (Self::day(from)?, Self::day(to)?);
            let length = (to + 7 - from) % 7;
            (0..=length).for_each(|i| set |= 1 << ((from + i) % 7));
        }
        Ok(Self(set))
    }

    fn day(text: &str) -> Result<u8, Diagnostic> {
        let name = text.trim();
        let known = |day: &str| day.eq_ignore_ascii_case(name) || day[..3].eq_ignore_ascii_case(name);
        let at = WEEKDAYS.iter().position(|day| known(day)).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            Diagnostic::error(BAD_DAY, format!("{shown:?} is not a weekday"))
                .hint("write mon-fri, or sat,sun")
        })?;
        Ok(at as u8)
    }
}

/// The weekdays (Sunday = 0) as a set; numbers above 6 are none.
impl FromIterator<u8> for Weekdays {
    fn from_iter<I: IntoIterator<Item = u8>>(days: I) -> Self {
        Self(days.into_iter().filter(|day| *day < 7).fold(0, |set, day| set | 1 << day))
    }
}

/// How a trigger uses a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarRule {
    /// The days.
    pub calendar: Arc<Calendar>,
    /// What they are for.
    pub mode: CalendarMode,
    /// Whose days: an instant's day is that on this zone's wall clock.
    pub zone: Arc<Zone>,
}

/// What a calendar's days are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CalendarMode {
    /// The trigger fires on them only.
    #[default]
    Only,
    /// The trigger does not fire on them.
    Except,
    /// What falls on another day moves to the next of them, at the same time of day.
    NextBusinessDay,
}

impl CalendarRule {
    fn day(&self, at: Timestamp) -> i64 {
        self.zone.local(at).div_euclid(DAY_SECS)
    }

    /// Where an instant of the schedule ends up: itself on a day that counts, moved by the mode that moves, else
    /// `None`.
    fn moved(&self, at: Timestamp) -> Option<Timestamp> {
        let day = self.day(at);
        if self.calendar.contains(day) != (self.mode == CalendarMode::Except) {
            return Some(at);
        }
        if self.mode != CalendarMode::NextBusinessDay {
            return None;
        }
        let local = self.zone.local(at) + (self.calendar.next_day(day)? - day) * DAY_SECS;
        let fraction = at.as_micros().rem_euclid(1_000_000);
        Some(Timestamp::from_micros(self.zone.first_instant(local) * 1_000_000 + fraction))
    }

    /// Whether the trigger fires for the nominal time `at`, there or where [`CalendarRule::shift`] moves it.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn allows(&self, at: Timestamp) -> Result<(), String> {
        self.moved(at).map(drop).ok_or_else(|| self.calendar.reason(self.day(at)))
    }

    /// When the trigger fires for the nominal time `at`: then, or with [`CalendarMode::NextBusinessDay`] at the same
    /// time of day on the next day that counts. A time of day that does not occur on that day becomes the first
    /// instant after the gap, one that occurs twice the first.
    pub fn shift(&self, at: Timestamp) -> Timestamp {
        self.moved(at).unwrap_or(at)
    }

    /// The first instant after `after` at which the schedule fires once the calendar is applied.
    ///
    /// # Errors
    /// [`SearchLimit`] after 100,000 instants that do not count.
    pub fn next_after(
        &self,
        schedule: &Schedule,
        after: Timestamp,
    ) -> Result<Option<Timestamp>, SearchLimit> {
        match self.mode {
            CalendarMode::Only | CalendarMode::Except => self.next_on_days(schedule, after),
            CalendarMode::NextBusinessDay => self.next_moved(schedule, after),
        }
    }

    fn next_on_days(&self, schedule: &Schedule, after: Timestamp) -> Result<Option<Timestamp>, SearchLimit> {
        let mut after = after;
        for _ in 0..PASSED_MAX {
            let Some(next) = schedule.next_after(after)? else { return Ok(None) };
            if self.moved(next).is_some() {
                return Ok(Some(next));
            }
            // The rest of the days up to the next that counts holds nothing.
            let day = self.day(next);
            let counts = |day: &i64| self.calendar.contains(*day) != (self.mode == CalendarMode::Except);
            let Some(day) = (day + 1..DAYS_MAX).find(counts) else { return Ok(None) };
            let begins = self.zone.first_instant(day * DAY_SECS);
            after = Timestamp::from_micros((begins * 1_000_000 - 1).max(next.as_micros()));
        }
        Err(SearchLimit)
    }

    fn next_moved(&self, schedule: &Schedule, after: Timestamp) -> Result<Option<Timestamp>, SearchLimit> {
        // What may end up after `after` falls after the last day that counts before that day.
        let from = self.calendar.prev_day(self.day(after) - 1).map_or(0, |day| day + 1);
        let mut cursor = Timestamp::from_micros(self.zone.first_instant(from * DAY_SECS) * 1_000_000 - 1);
        let mut best: Option<Timestamp> = None;
        for _ in 0..PASSED_MAX {
            let Some(next) = schedule.next_after(cursor)? else { return Ok(best) };
            // Days keep their order when they move: what falls later than the best's day ends up later.
            if best.is_some_and(|best| self.day(next) > self.day(best)) {
                return Ok(best);
            }
            if let Some(moved) = self.moved(next).filter(|moved| *moved > after) {
                best = Some(best.map_or(moved, |best| best.min(moved)));
            }
            cursor = next;
        }
        Err(SearchLimit)
    }
}

#[cfg(test)]
mod tests;
