//! Cron expressions: parsed with a position for every error, compiled to sets of bits, explained, written back.
//!
//! ```text
//! text ─parse→ Pattern ─compile→ Rule ─next_local→ local second        (crate::schedule puts it into a zone)
//!                 └─explain, to_standard
//! ```
//! The syntax is that of the Open Cron Pattern Specification 1.0 to 1.4 with `L-n`, `LW`, `H`, `@every` beside it;
//! `docs/concepts/time.md` has the table.

mod compile;
mod error;
mod item;
mod notes;
mod parse;
mod pattern;
mod rule;
mod words;
mod write;

pub use error::{CronError, Note};
pub(crate) use rule::Rule;
pub use rule::{YEAR_MAX, YEAR_MIN};
pub use words::Language;

use std::time::Duration;

#[cfg(test)]
mod tests;

/// Which program's expressions these are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The Open Cron Pattern Specification and our extensions: 5, 6 (seconds first) or 7 (year last) fields.
    #[default]
    Standard,
    /// Quartz: 6 or 7 fields, 1 = Sunday, `?` in exactly one day field, ranges may pass a field's end.
    Quartz,
    /// A crontab as Debian's cron reads it: 5 fields, a day field that begins with `*` counts as a star.
    Crontab,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Times on a wall clock.
    Cron(Cron),
    /// `@every 90s`: an interval, first due that long after it began; no zone is involved.
    Every(Duration),
    /// `@reboot`: once after each start of the machine; it has no times.
    Reboot,
}

/// Reads an expression.
///
/// # Errors
/// [`CronError`], with the position of the first fault.
pub fn parse(text: &str, dialect: Dialect) -> Result<Parsed, CronError> {
    parse::parse(text, dialect)
}

/// A cron expression that names times on a wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cron {
    text: Box<str>,
    dialect: Dialect,
    seed: u64,
    rule: Rule,
}

impl Cron {
    /// Reads an expression of fields or a nickname such as `@daily`. Where it has an `H`, seed 0 stands until
    /// [`Cron::resolve`] gives the job's.
    ///
    /// # Errors
    /// [`CronError`], with the position of the first fault; also for `@reboot` and `@every`, which have no times
    /// on a wall clock ([`parse()`] takes them).
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, CronError> {
        match parse(text, dialect)? {
            Parsed::Cron(cron) => Ok(cron),
            Parsed::Every(_) => Err(parse::not_a_wall_clock_rule(text, "@every is an interval")),
            Parsed::Reboot => Err(parse::not_a_wall_clock_rule(text, "@reboot has no times")),
        }
    }

    /// The same rule with every `H` placed by `seed`, a hash of the job's name: jobs of one rule spread out, and
    /// each keeps its place for ever.
    #[must_use]
    pub fn resolve(&self, seed: u64) -> Self {
        let pattern = parse::pattern_again(&self.text, self.dialect);
        Self { seed, rule: compile::compile(&pattern, seed), ..self.clone() }
    }

    /// Whether the rule has an `H`, so that [`Cron::resolve`] matters.
    pub fn has_hash(&self) -> bool {
        self.text.contains(['H', 'h']) && parse::pattern_again(&self.text, self.dialect).has_hash()
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dialect it was read in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether cron's rule for fixed times applies when clocks change: neither minutes nor hours, nor seconds if
    /// given, begin with `*`.
    pub fn is_fixed_time(&self) -> bool {
        self.rule.fixed_time
    }

    /// Remarks on what the expression means, where that may surprise.
    pub fn notes(&self) -> Vec<Note> {
        notes::notes(&parse::pattern_again(&self.text, self.dialect), &self.text)
    }

    /// Why the rule never fires, if so: `February has at most 29 days`.
    pub fn never_fires(&self) -> Option<String> {
        if self.rule.next_local(0).is_some() {
            return None;
        }
        let months = self.rule.months;
        let days_max = (1..=12_u8)
            .filter(|month| months >> month & 1 == 1)
            .map(|month| crate::civil::month_length(2000, month))
            .max()
            .unwrap_or(31);
        let nothing = "no day from 1970 to 2199 matches its day, month, day-of-week and year fields";
        let plain = self.rule.days.special.is_none() && self.rule.days.of_month != 0;
        Some(if plain && self.rule.days.of_month.trailing_zeros() > u32::from(days_max) {
            match months.count_ones() {
                1 => {
                    let month = pattern::MONTHS_LONG[months.trailing_zeros() as usize - 1];
                    format!("{month} has at most {days_max} days")
                }
                _ => format!("the months it names have at most {days_max} days"),
            }
        } else {
            nothing.to_owned()
        })
    }

    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// Why a local second does not match.
impl Cron {
    /// The first field that does not match a local second, in words; `None` if all do.
    pub(crate) fn mismatch(&self, local: i64) -> Option<String> {
        if self.rule.matches_local(local) {
            return None;
        }
        let second = local.rem_euclid(crate::civil::DAY_SECS);
        let date = crate::civil::Date::from_days(local.div_euclid(crate::civil::DAY_SECS));
        let rule = &self.rule;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Some(if !rule.matches_year(date.year) {
            format!("the year field does not have {}", date.year)
        } else if rule.months >> date.month & 1 == 0 {
            format!("the month field does not have {}", date.month)
        } else if !rule.matches_day(date.days()) {
            let weekday = pattern::WEEKDAYS[usize::from(date.weekday())];
            format!("the day fields do not match {date}, a {weekday}")
        } else if rule.hours >> hour & 1 == 0 {
            format!("the hour field does not have {hour}")
        } else if rule.minutes >> minute & 1 == 0 {
            format!("the minute field does not have {minute}")
        } else {
            format!("the second field does not have {second}")
        })
    }
}
