//! The clock guard: how far the wall clock is believed.
//!
//! A wall clock that moved by more than [`STEP_MAX`] against the clock that only counts forward (suspended time
//! included) may be right now, or may be wrong now. Until somebody who knows says so, time goes on as it did before
//! the step. The guard is pure: it is shown samples of both clocks and answers what time it is.

use crate::time::{Timestamp, micros};
use std::time::Duration;

/// A smaller step is followed at once: what it passed is missed, as after a short downtime.
pub const STEP_MAX: Duration = Duration::from_secs(300);
/// So long the kernel must have said that its clock is synchronised before a step is believed.
pub const SYNCHRONISED_FOR: Duration = Duration::from_secs(60);
/// Steps within this time count together, so that many small ones are not believed where one large one is not.
const REFERENCE_KEPT: Duration = Duration::from_secs(60);
/// A step that changes by more than this while it is doubted is another step.
const SAME_STEP: Duration = Duration::from_secs(1);

/// The two clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the wall clock says.
    pub wall: Timestamp,
    /// Time since the machine was started, suspended time included.
    pub boot: Duration,
}

/// An instant that was believed, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What time it was.
    pub time: Timestamp,
    /// Time since the machine was started.
    pub boot: Duration,
}

impl Anchor {
    /// What time it is by this anchor, `boot` after the machine's start.
    pub fn at(self, boot: Duration) -> Timestamp {
        self.time.saturating_add(boot.saturating_sub(self.boot))
    }
}

/// How a wall clock stands to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Near enough to be followed.
    Steady,
    /// So far later than time went on.
    Ahead(Duration),
    /// So far earlier.
    Behind(Duration),
}

/// Compares a sample with what time it should be.
///
/// ```
/// use punctual_core::guard::{Anchor, Sample, Verdict, judge};
/// use punctual_core::time::Timestamp;
/// use std::time::Duration;
///
/// let at = |wall, boot| Sample { wall: Timestamp::from_secs(wall), boot: Duration::from_secs(boot) };
/// let anchor = Anchor { time: Timestamp::from_secs(1_000), boot: Duration::from_secs(10) };
/// assert_eq!(judge(anchor, at(1_020, 30)), Verdict::Steady);
/// assert_eq!(judge(anchor, at(4_620, 30)), Verdict::Ahead(Duration::from_secs(3600)));
/// assert_eq!(judge(anchor, at(20, 30)), Verdict::Behind(Duration::from_secs(1000)));
/// ```
pub fn judge(anchor: Anchor, sample: Sample) -> Verdict {
    let expected = anchor.at(sample.boot);
    let (ahead, behind) = (sample.wall.since(expected), expected.since(sample.wall));
    match (ahead > STEP_MAX, behind > STEP_MAX) {
        (true, _) => Verdict::Ahead(ahead),
        (_, true) => Verdict::Behind(behind),
        _ => Verdict::Steady,
    }
}

/// A step that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// How the wall clock stands; never [`Verdict::Steady`].
    pub verdict: Verdict,
    /// When the step was seen, since the machine's start.
    pub since: Duration,
    /// From when on the kernel has said that its clock is synchronised, since the machine's start.
    pub synchronised: Option<Duration>,
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A step is doubted from now on, or it has become another one.
    Doubted(Verdict),
    /// The wall clock went back to where it was; nothing came of the step.
    Undone,
    /// The step is believed: it is the wall clock's time from now on.
    Confirmed(Verdict),
}

/// What time it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What steps are measured from.
    reference: Anchor,
    /// The newest instant that was believed.
    last: Anchor,
    doubt: Option<Doubt>,
}

impl Guard {
    /// Believes the first sample: there is nothing to compare it with.
    pub fn new(sample: Sample) -> Self {
        Self::since(Anchor { time: sample.wall, boot: sample.boot })
    }

    /// Goes on from what an earlier process of the same boot believed.
    pub fn since(last: Anchor) -> Self {
        Self { reference: last, last, doubt: None }
    }

    /// What time it is, and what this sample changed.
    pub fn look(&mut self, sample: Sample) -> (Timestamp, Option<Turn>) {
        let turn = match (judge(self.reference, sample), &mut self.doubt) {
            (Verdict::Steady, None) => None,
            (Verdict::Steady, Some(_)) => Some(Turn::Undone),
            (verdict, Some(doubt)) if is_same(doubt.verdict, verdict) => {
                doubt.verdict = verdict;
                return (self.last.at(sample.boot), None);
            }
            (verdict, _) => {
                self.doubt = Some(Doubt { verdict, since: sample.boot, synchronised: None });
                return (self.last.at(sample.boot), Some(Turn::Doubted(verdict)));
            }
        };
        self.believe(sample, turn.is_some());
        (sample.wall, turn)
    }

    /// Hears whether the kernel says that its clock is synchronised; an hour of it is not better than a minute.
    pub fn hear(&mut self, synchronised: bool, sample: Sample) -> Option<Turn> {
        let turn = self.look(sample).1;
        let Some(doubt) = &mut self.doubt else { return turn };
        if !synchronised {
            doubt.synchronised = None;
            return turn;
        }
        let since = *doubt.synchronised.get_or_insert(sample.boot);
        if sample.boot.saturating_sub(since) < SYNCHRONISED_FOR {
            return turn;
        }
        self.accept(sample).map(Turn::Confirmed)
    }

    /// Believes the wall clock as it is; the step that was doubted, if one was.
    pub fn accept(&mut self, sample: Sample) -> Option<Verdict> {
        self.look(sample);
        let verdict = self.doubt.map(|doubt| doubt.verdict);
        self.believe(sample, true);
        verdict
    }

    /// The step that is doubted.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// The newest instant that was believed.
    pub fn last(&self) -> Anchor {
        self.last
    }

    fn believe(&mut self, sample: Sample, anew: bool) {
        self.last = Anchor { time: sample.wall, boot: sample.boot };
        if anew || sample.boot.saturating_sub(self.reference.boot) >= REFERENCE_KEPT {
            self.reference = self.last;
        }
        self.doubt = None;
    }
}

fn is_same(before: Verdict, now: Verdict) -> bool {
    let signed = |verdict| match verdict {
        Verdict::Steady => 0,
        Verdict::Ahead(by) => micros(by),
        Verdict::Behind(by) => -micros(by),
    };
    signed(before).abs_diff(signed(now)) <= SAME_STEP.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_795_510_800;

    /// Two clocks that a test moves.
    struct Clocks {
        wall_us: i64,
        boot_us: i64,
    }

    impl Clocks {
        fn new() -> Self {
            Self { wall_us: START * 1_000_000, boot_us: 50_000_000 }
        }

        fn pass(&mut self, micros: i64) {
            self.wall_us += micros;
            self.boot_us += micros;
        }

        fn sample(&self) -> Sample {
            Sample {
                wall: Timestamp::from_micros(self.wall_us),
                boot: Duration::from_micros(self.boot_us.unsigned_abs()),
            }
        }
    }

    fn secs(secs: i64) -> i64 {
        secs * 1_000_000
    }

    #[test]
    fn a_step_is_doubted_until_the_kernel_has_been_sure_for_a_minute() {
        let mut clocks = Clocks::new();
        let mut guard = Guard::new(clocks.sample());
        clocks.pass(secs(10));
        clocks.wall_us += secs(3600);
        let by = Verdict::Ahead(Duration::from_secs(3600));
        assert_eq!(guard.look(clocks.sample()), (Timestamp::from_secs(START + 10), Some(Turn::Doubted(by))));
        assert_eq!(guard.hear(true, clocks.sample()), None);
        clocks.pass(secs(50));
        assert_eq!(guard.hear(false, clocks.sample()), None, "it was not sure all the time");
        assert_eq!(guard.hear(true, clocks.sample()), None);
        clocks.pass(secs(59));
        assert_eq!(guard.hear(true, clocks.sample()), None);
        assert_eq!(guard.look(clocks.sample()), (Timestamp::from_secs(START + 119), None));
        clocks.pass(secs(1));
        assert_eq!(guard.hear(true, clocks.sample()), Some(Turn::Confirmed(by)));
        assert_eq!(guard.look(clocks.sample()), (clocks.sample().wall, None));
    }

    #[test]
    fn another_step_is_to_be_confirmed_anew() {
        let mut clocks = Clocks::new();
        let mut guard = Guard::new(clocks.sample());
        clocks.wall_us -= secs(4000);
        guard.hear(true, clocks.sample());
        clocks.pass(secs(59));
        clocks.wall_us += secs(1000);
        let by = Verdict::Behind(Duration::from_secs(3000));
        assert_eq!(guard.hear(true, clocks.sample()), Some(Turn::Doubted(by)));
        clocks.pass(secs(2));
        assert_eq!(guard.hear(true, clocks.sample()), None, "the minute begins again");
        clocks.wall_us += secs(3000);
        assert_eq!(guard.look(clocks.sample()), (clocks.sample().wall, Some(Turn::Undone)));
    }

    #[test]
    fn many_small_steps_at_once_are_one_large_step() {
        let mut clocks = Clocks::new();
        let mut guard = Guard::new(clocks.sample());
        for _ in 0..2 {
            clocks.pass(secs(1));
            clocks.wall_us += secs(200);
            guard.look(clocks.sample());
        }
        assert!(guard.doubt().is_some());
        assert_eq!(
            guard.look(clocks.sample()).0,
            Timestamp::from_secs(START + 202),
            "the first was believed"
        );
    }

    #[test]
    fn a_clock_that_is_one_percent_off_is_followed_for_ever() {
        for percent in [99, 101] {
            let mut clocks = Clocks::new();
            let mut guard = Guard::new(clocks.sample());
            for _ in 0..100_000 {
                clocks.boot_us += secs(60);
                clocks.wall_us += secs(60) * percent / 100;
                assert_eq!(guard.look(clocks.sample()), (clocks.sample().wall, None));
            }
        }
    }

    #[test]
    fn suspended_time_is_no_step() {
        let mut clocks = Clocks::new();
        let mut guard = Guard::new(clocks.sample());
        clocks.pass(secs(40 * 86_400));
        assert_eq!(guard.look(clocks.sample()), (clocks.sample().wall, None));
    }

    #[test]
    fn a_step_between_two_processes_of_one_boot_is_seen() {
        let mut clocks = Clocks::new();
        let last = Guard::new(clocks.sample()).last();
        clocks.pass(secs(7200));
        assert_eq!(Guard::since(last).look(clocks.sample()), (clocks.sample().wall, None));
        clocks.wall_us -= secs(301);
        assert_eq!(Guard::since(last).look(clocks.sample()).0, Timestamp::from_secs(START + 7200));
        let mut guard = Guard::since(last);
        assert_eq!(guard.accept(clocks.sample()), Some(Verdict::Behind(Duration::from_secs(301))));
        assert_eq!(guard.accept(clocks.sample()), None, "there is nothing left to believe");
    }

    proptest! {
        // proves I-4
        #[test]
        fn no_step_beyond_the_limit_moves_time_by_itself(
            steps in proptest::collection::vec((0_i64..120, prop_oneof![Just(0_i64), -40_000_000..40_000_000_i64]), 1..60),
        ) {
            let mut clocks = Clocks::new();
            let mut guard = Guard::new(clocks.sample());
            let mut before = clocks.sample();
            let mut time = before.wall;
            for (pass, step) in steps {
                clocks.pass(secs(pass));
                clocks.wall_us += secs(step);
                let sample = clocks.sample();
                let (now, _) = guard.look(sample);
                let expected = time.saturating_add(sample.boot - before.boot);
                // Twice: from the reference to the last believed instant, and from there to the sample.
                let off = now.since(expected).max(expected.since(now));
                prop_assert!(off <= STEP_MAX * 2, "{now} where {expected} was to be expected");
                prop_assert!(guard.doubt().is_some() || now == sample.wall);
                (before, time) = (sample, now);
            }
        }
    }
}
