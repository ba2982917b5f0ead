//! A schedule: instants in time. [`Schedule::next_after`] is the one timetable everything asks.
//!
//! A cron rule names local seconds; a zone shows them never, once or twice; a [`DstPolicy`] says what follows.
//! The timetable is a set of instants that does not depend on where a search begins: [`CronSchedule::matches`]
//! defines it, `next_after` and `prev_before` walk it.

use crate::cron::Cron;
use crate::error::Code;
use crate::sabotage;
use crate::time::{Timestamp, micros};
use crate::zone::{Change, Span, Zone};
use std::sync::Arc;
use std::time::Duration;

/// Changes of the wall clock beyond this lose or repeat what they hold, under every policy.
const CHANGE_SECS_MAX: i32 = 3 * 3600;
/// No local second: beyond every search.
const NEVER: i64 = i64::MAX;

/// Instants in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Times on a wall clock.
    Cron(CronSchedule),
    /// At a fixed rate, on a grid through `anchor`, or a fixed delay after the last run's end.
    Every(Every),
    /// Once.
    At(Timestamp),
}

/// A cron rule on the wall clock of a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct CronSchedule {
    /// The rule; triggers of one text may share it.
    pub rule: Arc<Cron>,
    /// The zone whose wall clock it reads.
    pub zone: Arc<Zone>,
    /// What happens when that clock is changed.
    pub dst: DstPolicy,
}

/// What happens to a rule when the wall clock jumps by up to three hours. Each of the others departs from `debian`
/// in one thing. Larger jumps lose or repeat what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DstPolicy {
    /// cron(8)'s: a fixed-time rule in a gap fires once, at the first instant after it; in a fold the first time
    /// round. Wildcard rules follow the clock on the wall: not in the gap, both times round.
    #[default]
    Debian,
    /// What a gap holds is lost, of fixed-time rules too.
    Skip,
    /// In a fold every rule fires the first time round only.
    First,
    /// In a fold every rule fires the last time round only.
    Last,
    /// In a fold every rule fires both times.
    Both,
}

/// Which rounds of a fold count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounds {
    First,
    Last,
    Both,
}

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// From one instant to the next, or from an end to the next start.
    pub interval: Duration,
    /// Grid or delay.
    pub pace: Pace,
    /// The grid's origin; `None` until the trigger's first apply anchors it.
    pub anchor: Option<Timestamp>,
    /// Before the first instant, counted from the first apply.
    pub initial_delay: Duration,
}

/// What an interval is measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// From one nominal time to the next, on a grid.
    #[default]
    FixedRate,
    /// From the end of a run.
    FixedDelay,
}

/// The search for a next instant gave up at its bound. It says nothing of what lies beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimit;

impl SearchLimit {
    /// The code of whatever diagnostic tells of it.
    pub const CODE: Code = Code("TRG005");
}

impl Schedule {
    /// The first instant after `after`; `None` if there is none before [`Timestamp::SEARCH_END`].
    ///
    /// # Errors
    /// [`SearchLimit`] if the search gave up. No schedule of today does: a cron rule's search is bounded by the
    /// calendar and complete, an interval's is arithmetic.
    pub fn next_after(&self, after: Timestamp) -> Result<Option<Timestamp>, SearchLimit> {
        Ok(match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Every(every) => every.next_after(after),
            Self::At(at) => (*at > after).then_some(*at),
        }
        .filter(|next| *next < Timestamp::SEARCH_END))
    }

    /// The last instant before `before`; `None` if there is none since 1970.
    ///
    /// # Errors
    /// As [`Schedule::next_after`].
    pub fn prev_before(&self, before: Timestamp) -> Result<Option<Timestamp>, SearchLimit> {
        Ok(match self {
            Self::Cron(cron) => cron.prev_before(before),
            Self::Every(every) => every.prev_before(before),
            Self::At(at) => (*at < before).then_some(*at),
        })
    }

    /// Whether the schedule has the instant `at`.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn matches(&self, at: Timestamp) -> Result<(), String> {
        match self {
            Self::Cron(cron) => cron.matches(at),
            Self::Every(every) => every.matches(at),
            Self::At(only) if *only == at => Ok(()),
            Self::At(only) => Err(format!("it fires once, at {only}")),
        }
    }
}

impl CronSchedule {
    /// The first instant after `after` at which the rule fires in its zone.
    ///
    /// ```
    /// use punctual_core::cron::{Cron, Dialect};
    /// use punctual_core::schedule::{CronSchedule, DstPolicy};
    /// use punctual_core::time::Timestamp;
    /// use punctual_core::zone::ZoneTable;
    /// use std::sync::Arc;
    ///
    /// let rule = Arc::new(Cron::parse("30 2 * * *", Dialect::Standard).expect("a rule"));
    /// let zone = ZoneTable::bundled().zone("Europe/Berlin").expect("a zone");
    /// let nightly = CronSchedule { rule, zone, dst: DstPolicy::Debian };
    /// let noon = Timestamp::parse_rfc3339("2027-03-27T12:00:00Z").expect("an instant");
    /// // That night the clock goes from 2 to 3, and the run is not lost.
    /// let next = nightly.next_after(noon).expect("it fires daily");
    /// assert_eq!(next.to_string(), "2027-03-28T01:00:00Z");
    /// ```
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_secs(after.as_secs().checked_add(1)?).map(Timestamp::from_secs)
    }

    /// The last instant before `before` at which the rule fires in its zone.
    pub fn prev_before(&self, before: Timestamp) -> Option<Timestamp> {
        let last = Timestamp::from_micros(before.as_micros().checked_sub(1)?);
        self.prev_secs(last.as_secs()).map(Timestamp::from_secs)
    }

    fn rounds(&self) -> Rounds {
        match self.dst {
            DstPolicy::Debian if sabotage!("fold-twice") => Rounds::Both,
            DstPolicy::Debian | DstPolicy::Skip if self.rule.is_fixed_time() => Rounds::First,
            DstPolicy::Debian | DstPolicy::Skip | DstPolicy::Both => Rounds::Both,
            DstPolicy::First => Rounds::First,
            DstPolicy::Last => Rounds::Last,
        }
    }

    fn makes_up_for_gaps(&self) -> bool {
        self.dst != DstPolicy::Skip && self.rule.is_fixed_time() && !sabotage!("gap-lost")
    }

    /// The first local second in a gap at which the rule would have fired.
    pub fn swallowed(&self, gap: Change) -> Option<i64> {
        let (from, to) = gap.local();
        self.rule.rule().next_local(from).filter(|found| *found < to)
    }

    /// The first local second in a gap that the rule's firing at the gap's end makes up for, if it does.
    pub fn made_up(&self, gap: Change) -> Option<i64> {
        if gap.jump() > 0 && counts(&gap) && self.makes_up_for_gaps() { self.swallowed(gap) } else { None }
    }

    /// The first UTC second at or after `from`.
    fn next_secs(&self, from: i64) -> Option<i64> {
        let spans = self.zone.spans();
        let (rounds, makes_up) = (self.rounds(), self.makes_up_for_gaps());
        let mut search = Forward { schedule: self, empty_from: NEVER, found: NEVER };
        let mut from = from;
        for index in self.zone.span_index(from)..spans.len() {
            let offset = i64::from(spans[index].offset);
            let end = spans.get(index + 1).map_or(NEVER, |next| next.start);
            let mut lo = from + offset;
            if let Some(change) = self.zone.change_before(index).filter(counts) {
                let (local_from, local_to) = change.local();
                let is_gap = change.jump() > 0;
                if is_gap && makes_up && from == change.at && search.at_or_after(local_from) < local_to {
                    return Some(change.at);
                }
                if !is_gap && rounds == Rounds::First {
                    lo = lo.max(local_to);
                }
            }
            let hi = self.last_local(index, end, rounds);
            if lo < hi {
                let found = search.at_or_after(lo);
                if found < hi {
                    return Some(found - offset);
                }
            }
            from = end;
        }
        None
    }

    /// The last UTC second at or before `to`.
    fn prev_secs(&self, to: i64) -> Option<i64> {
        let spans = self.zone.spans();
        let rounds = self.rounds();
        let mut to = to;
        for index in (0..=self.zone.span_index(to)).rev() {
            let Span { start, offset } = spans[index];
            if to < -2 * crate::civil::DAY_SECS {
                return None;
            }
            let offset = i64::from(offset);
            let end = spans.get(index + 1).map_or(NEVER, |next| next.start);
            let change = self.zone.change_before(index).filter(counts);
            let mut lo = if start == i64::MIN { i64::MIN } else { start + offset };
            if let Some(change) = change
                && change.jump() < 0
                && rounds == Rounds::First
            {
                lo = change.local().1;
            }
            let hi = (to + offset).min(self.last_local(index, end, rounds) - 1);
            if let Some(found) = self.rule.rule().prev_local(hi).filter(|found| *found >= lo) {
                return Some(found - offset);
            }
            if let Some(change) = change
                && self.made_up(change).is_some()
            {
                return Some(change.at);
            }
            to = start.checked_sub(1)?;
        }
        None
    }

    /// The local second at which span `index` ends, or from which on a fold at its end comes round again and
    /// only that counts.
    fn last_local(&self, index: usize, end: i64, rounds: Rounds) -> i64 {
        if end == NEVER {
            return NEVER;
        }
        if rounds == Rounds::Last
            && let Some(change) = self.zone.change_before(index + 1).filter(counts)
        {
            return end + i64::from(change.before.min(change.after));
        }
        end + i64::from(self.zone.spans()[index].offset)
    }

    /// Whether the rule fires at `at`: the definition of the timetable.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn matches(&self, at: Timestamp) -> Result<(), String> {
        if at.as_micros().rem_euclid(1_000_000) != 0 {
            return Err("a cron rule fires on whole seconds".to_owned());
        }
        let secs = at.as_secs();
        let index = self.zone.span_index(secs);
        let local = self.zone.local(at);
        let change = self.zone.change_before(index).filter(counts);
        if let Some(change) = change
            && change.jump() > 0
            && change.at == secs
            && self.made_up(change).is_some()
        {
            return Ok(());
        }
        if let Some(why) = self.rule.mismatch(local) {
            return Err(why);
        }
        let rounds = self.rounds();
        if rounds == Rounds::First
            && change.is_some_and(|change| change.jump() < 0 && local < change.local().1)
        {
            return Err("the clock was set back, and it fired the first time round".to_owned());
        }
        let end = self.zone.spans().get(index + 1).map_or(NEVER, |next| next.start);
        if local >= self.last_local(index, end, rounds) {
            return Err("the clock will be set back, and it fires the last time round".to_owned());
        }
        Ok(())
    }
}

/// Whether a change is small enough for a policy to apply.
fn counts(change: &Change) -> bool {
    change.jump().abs() <= CHANGE_SECS_MAX
}

/// A forward search that remembers its last answer, so that the spans a sparse rule passes cost no search each.
struct Forward<'a> {
    schedule: &'a CronSchedule,
    /// Nothing matches from here up to `found`.
    empty_from: i64,
    found: i64,
}

impl Forward<'_> {
    fn at_or_after(&mut self, local: i64) -> i64 {
        if !(self.empty_from <= local && local <= self.found) {
            self.empty_from = local;
            self.found = self.schedule.rule.rule().next_local(local).unwrap_or(NEVER);
        }
        self.found
    }
}

impl Every {
    /// The first instant, if the interval is anchored: of the grid for a fixed rate, the next start after the end
    /// of a run (the anchor) for a fixed delay.
    fn first(&self) -> Option<Timestamp> {
        let before_first = match self.pace {
            Pace::FixedRate => self.initial_delay,
            Pace::FixedDelay => self.interval,
        };
        Some(self.anchor?.saturating_add(before_first))
    }

    /// The first instant after `after`; `None` without an anchor, and after a fixed delay's only instant.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let first = self.first()?;
        if first > after {
            return Some(first);
        }
        let period = micros(self.interval).max(1);
        let passed = after.as_micros().checked_sub(first.as_micros())? / period;
        let next = passed.checked_add(1)?.checked_mul(period)?.checked_add(first.as_micros())?;
        (self.pace == Pace::FixedRate).then_some(Timestamp::from_micros(next))
    }

    /// The last instant before `before`.
    pub fn prev_before(&self, before: Timestamp) -> Option<Timestamp> {
        let first = self.first()?;
        if first >= before {
            return None;
        }
        let period = micros(self.interval).max(1);
        let passed = before.as_micros().checked_sub(first.as_micros())?.checked_sub(1)? / period;
        match self.pace {
            Pace::FixedRate => Some(Timestamp::from_micros(first.as_micros() + passed * period)),
            Pace::FixedDelay => Some(first),
        }
    }

    fn matches(&self, at: Timestamp) -> Result<(), String> {
        let Some(first) = self.first() else {
            return Err("the interval has no origin yet".to_owned());
        };
        let next = Timestamp::from_micros(at.as_micros().saturating_sub(1));
        match self.next_after(next) {
            Some(found) if found == at => Ok(()),
            _ if at < first => Err(format!("the first instant is {first}")),
            _ => Err(format!("it is not on the grid of {:?} from {first}", self.interval)),
        }
    }
}

#[cfg(test)]
mod tests;
