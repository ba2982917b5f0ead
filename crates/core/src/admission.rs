//! [`admit`]: what becomes of an arriving occurrence while earlier runs of its job are unfinished.

use crate::job::Overlap;
use crate::occurrence::Reason;
use crate::sabotage;

/// What becomes of an arriving occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It becomes a queued run.
    Queue,
    /// It becomes a run that waits for the earlier ones to end.
    Hold,
    /// It becomes a run that waits, and the earlier ones are told to end.
    CancelOthers,
    /// It does not become a run.
    Skip(Reason),
}

/// Whether somebody waits for this very occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arriving {
    /// A trigger fired it.
    Fired,
    /// A person or a program submitted it: under `skip` it waits its turn instead of being dropped.
    Submitted,
    /// It is one of many of the past: they wait for each other, and cancel nothing.
    Backfilled,
}

/// Decides by the job's overlap policy; `active` runs are queued or leased, `held` ones wait for those.
pub fn admit(overlap: Overlap, active: usize, held: usize, arriving: Arriving) -> Admission {
    if active + held == 0 || sabotage!("overlap-ignored") {
        return Admission::Queue;
    }
    match overlap {
        Overlap::Allow => Admission::Queue,
        _ if arriving == Arriving::Backfilled => Admission::Hold,
        Overlap::QueueAll => Admission::Hold,
        Overlap::QueueOne if held == 0 || sabotage!("queue-one-holds-many") => Admission::Hold,
        Overlap::CancelRunning => Admission::CancelOthers,
        Overlap::Skip | Overlap::QueueOne if arriving == Arriving::Submitted => Admission::Hold,
        Overlap::Skip | Overlap::QueueOne => Admission::Skip(Reason::Overlap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OVERLAPS: [Overlap; 5] =
        [Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::CancelRunning, Overlap::Allow];

    proptest! {
        // proves I-15
        #[test]
        fn only_allow_queues_beside_an_unfinished_run(which in 0..5_usize, active in 0..4_usize, held in 0..4_usize, how in 0..3_usize) {
            let arriving = [Arriving::Fired, Arriving::Submitted, Arriving::Backfilled][how];
            let got = admit(OVERLAPS[which], active, held, arriving);
            if got == Admission::Queue {
                prop_assert!(active + held == 0 || OVERLAPS[which] == Overlap::Allow);
            }
            if arriving != Arriving::Fired {
                prop_assert!(!matches!(got, Admission::Skip(_)));
            }
            prop_assert!(arriving != Arriving::Backfilled || got != Admission::CancelOthers);
        }
    }

    #[test]
    fn queue_one_holds_one() {
        assert_eq!(admit(Overlap::QueueOne, 1, 0, Arriving::Fired), Admission::Hold);
        assert_eq!(admit(Overlap::QueueOne, 1, 1, Arriving::Fired), Admission::Skip(Reason::Overlap));
    }
}
