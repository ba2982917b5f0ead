//! [`choose`]: which of the waiting runs start now, and why each of the others does not.
//!
//! Candidates come in the order of [`rank`]: an instant, so that ageing is a property of the order and not a
//! process. A run of a slower class ranks as if it were due later, and is overtaken only until then.

use crate::id::RunId;
use crate::time::Timestamp;
use std::time::Duration;

/// A run that may start as far as time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The run.
    pub run: RunId,
    /// Its place in the order; see [`rank`].
    pub rank: Timestamp,
}

/// What is free on the node that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Runs that may start.
    pub slots: usize,
}

/// Which runs start, and why the others do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// They start, in this order.
    pub picks: Vec<RunId>,
    /// They wait.
    pub left: Vec<(RunId, WhyLeft)>,
}

/// Why a candidate was left waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeft {
    /// Every slot of the node is taken; `ahead` candidates come first.
    Slots {
        /// Candidates before it in the order that were left too.
        ahead: usize,
    },
}

/// Chooses by rank, ties by run id, as many as there are slots.
///
/// ```
/// use punctual_core::id::RunId;
/// use punctual_core::queue::{Candidate, Capacity, WhyLeft, choose, rank};
/// use punctual_core::time::Timestamp;
///
/// let at = |run, secs, queue| Candidate { run: RunId(run), rank: rank(Timestamp::from_secs(secs), queue, 0) };
/// let choice = choose(&[at(1, 100, "normal"), at(2, 100, "realtime")], Capacity { slots: 1 });
/// assert_eq!(choice.picks, [RunId(2)]);
/// assert_eq!(choice.left, [(RunId(1), WhyLeft::Slots { ahead: 0 })]);
/// ```
pub fn choose(candidates: &[Candidate], capacity: Capacity) -> Choice {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by_key(|c| (c.rank, c.run));
    let cut = order.len().min(capacity.slots);
    Choice {
        picks: order[..cut].iter().map(|c| c.run).collect(),
        left: order[cut..].iter().enumerate().map(|(ahead, c)| (c.run, WhyLeft::Slots { ahead })).collect(),
    }
}

/// The place of a run in the order: its due time plus the delay that its class and its priority add.
///
/// `realtime` adds nothing, `high` 1 minute, every other queue 5 minutes; each step of priority 1 second.
pub fn rank(due: Timestamp, queue: &str, priority: i32) -> Timestamp {
    let class = match queue {
        "realtime" => Duration::ZERO,
        "high" => Duration::from_secs(60),
        _ => Duration::from_secs(300),
    };
    let micros = i64::from(priority).saturating_mul(1_000_000);
    Timestamp::from_micros(due.saturating_add(class).as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn choice_is_within_capacity_complete_and_in_order(
            ranks in proptest::collection::vec(-50_i64..50, 0..40), slots in 0..50_usize,
        ) {
            let candidates: Vec<_> = ranks.iter().enumerate()
                .map(|(n, r)| Candidate { run: RunId(n as u128), rank: Timestamp::from_secs(*r) })
                .collect();
            let choice = choose(&candidates, Capacity { slots });
            prop_assert_eq!(choice.picks.len(), slots.min(candidates.len()));
            prop_assert_eq!(choice.picks.len() + choice.left.len(), candidates.len());
            let rank_of = |id: &RunId| candidates[usize::try_from(id.0).expect("small")].rank;
            let worst_pick = choice.picks.iter().map(rank_of).max();
            prop_assert!(choice.left.iter().all(|(id, _)| Some(rank_of(id)) >= worst_pick));
        }
    }

    #[test]
    fn normal_work_outranks_newer_realtime_work_after_five_minutes() {
        let due = Timestamp::from_secs(1000);
        let newer = Timestamp::from_secs(1301);
        assert!(rank(due, "normal", 0) < rank(newer, "realtime", 0));
    }
}
