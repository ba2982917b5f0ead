//! Occurrences and what becomes of each: exactly one disposition, with a reason from a closed set.

use crate::id::{JobId, Revision, TriggerId};
use crate::sabotage;
use crate::time::{Timestamp, micros};
use std::time::Duration;

/// One firing of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Unique per job: `trigger:nominal`, `after:RUN`, or what a caller submitted.
    pub key: String,
    /// The instant the rule names.
    pub nominal: Timestamp,
    /// The instant it may start: nominal plus jitter or spread.
    pub due: Timestamp,
}

/// What became of a nominal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// A run was made of it.
    Run,
    /// It was decided not to run.
    Skipped,
    /// A newer missed occurrence runs in its place.
    Coalesced,
    /// It could not start in time.
    Expired,
    /// Its instant has not come, or has not been decided yet.
    Pending,
}

impl Disposition {
    /// The word users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Skipped => "skipped",
            Self::Coalesced => "coalesced",
            Self::Expired => "expired",
            Self::Pending => "pending",
        }
    }

    /// The disposition of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Run, Self::Skipped, Self::Coalesced, Self::Expired, Self::Pending]
            .into_iter()
            .find(|d| d.as_str() == text)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why an occurrence did not become a run that started.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word users see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The reason of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|r| r.as_str() == text)
            }
        }
    };
}

reasons! {
    /// An earlier run of the job was unfinished.
    Overlap = "overlap",
    /// The job was paused.
    Paused = "paused",
    /// The trigger's calendar excludes the day.
    Calendar = "calendar",
    /// The trigger had ended.
    Ended = "ended",
    /// It lay outside the trigger's window.
    Window = "window",
    /// It could not start before its deadline.
    StartDeadline = "startDeadline",
    /// It was missed, and the job catches nothing up.
    CatchUpNone = "catchUpNone",
    /// It was missed longer ago than the catch-up window.
    CatchUpWindow = "catchUpWindow",
    /// It was missed, and newer ones used up the catch-up count.
    CatchUpCount = "catchUpCount",
    /// Its queue was full.
    QueueFull = "queueFull",
    /// It waited longer than its queue allows.
    WaitTimeout = "waitTimeout",
    /// A newer one took its place in a full queue.
    DroppedOldest = "droppedOldest",
    /// Its concurrency key was taken.
    ConcurrencyKey = "concurrencyKey",
    /// The named lock it needs was held.
    LockBusy = "lockBusy",
    /// The budget was used up.
    Budget = "budget",
}

/// Nominal times that got the same disposition without a run: `first`, `first + step`, … , `count` of them.
///
/// An arithmetic progression rather than a bare range, so that the record itself holds each nominal time and
/// nothing has to be recomputed from a rule that may have changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipRange {
    /// The first nominal time.
    pub first: Timestamp,
    /// Between neighbours; zero if there is one only.
    pub step: Duration,
    /// How many; at least 1.
    pub count: u64,
    /// What became of them; never `Run` or `Pending`.
    pub disposition: Disposition,
    /// Why; `None` for coalesced ones.
    pub reason: Option<Reason>,
}

impl SkipRange {
    /// The nominal times, in order.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let step = micros(self.step);
        (0..self.count).map(move |n| {
            let ahead = step.saturating_mul(i64::try_from(n).unwrap_or(i64::MAX));
            Timestamp::from_micros(self.first.as_micros().saturating_add(ahead))
        })
    }

    /// The last nominal time.
    pub fn last(&self) -> Timestamp {
        let n = u32::try_from(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_add(self.step.saturating_mul(n))
    }

    /// Adds one nominal time to the end of `ranges`, lengthening the last progression where it fits.
    pub fn push(ranges: &mut Vec<Self>, at: Timestamp, disposition: Disposition, reason: Option<Reason>) {
        if let Some(last) = ranges.last_mut()
            && last.disposition == disposition
            && last.reason == reason
        {
            let step = at.since(last.last());
            if step > Duration::ZERO && (last.count == 1 || last.step == step) {
                last.step = step;
                last.count += 1;
                return;
            }
        }
        let count = if sabotage!("skip-range-off-by-one") { 2 } else { 1 };
        ranges.push(Self { first: at, step: Duration::ZERO, count, disposition, reason });
    }
}

/// A skip as it stands in the history: which trigger, under which revision, decided when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The job.
    pub job: JobId,
    /// The trigger.
    pub trigger: TriggerId,
    /// The definition that decided.
    pub revision: Revision,
    /// The nominal times and what became of them.
    pub range: SkipRange,
    /// When it was decided.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_hold_exactly_the_times_pushed(steps in proptest::collection::vec(1_i64..4, 0..60)) {
            let mut at = 0;
            let mut pushed = Vec::new();
            let mut ranges = Vec::new();
            for step in steps {
                at += step;
                pushed.push(Timestamp::from_secs(at));
                SkipRange::push(&mut ranges, Timestamp::from_secs(at), Disposition::Coalesced, None);
            }
            let held: Vec<_> = ranges.iter().flat_map(|r| r.times().collect::<Vec<_>>()).collect();
            prop_assert_eq!(held, pushed);
            prop_assert!(ranges.iter().all(|r| r.times().last() == Some(r.last())));
        }
    }
}
