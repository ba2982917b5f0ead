//! The pulse of the node's loop: what its turns touch and any thread may read, also while the loop hangs.

use punctual_core::time::Timestamp;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Nothing has been touched yet.
const NEVER: i64 = i64::MIN;

/// What the loop touches. Instants of the monotonic clock are milliseconds since the machine was started.
#[derive(Debug)]
pub struct Pulse {
    /// When the loop must be heard of again: the beginning of a turn, or the end of the wait that was planned.
    expected_ms: AtomicI64,
    /// When the last turn ended, microseconds of the wall clock.
    last_us: AtomicI64,
    longest_us: AtomicU64,
    turns: AtomicU64,
}

/// How the loop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// How long ago it should have been heard of; zero if it waits for an instant that is to come.
    pub late: Duration,
    /// When its last turn ended.
    pub last: Option<Timestamp>,
    /// The longest turn there was.
    pub longest: Duration,
    /// Turns since it started.
    pub turns: u64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            expected_ms: AtomicI64::new(NEVER),
            last_us: AtomicI64::new(NEVER),
            longest_us: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// A turn begins.
    pub fn turn(&self, since_boot: Duration) {
        self.expected_ms.store(millis(since_boot), Ordering::Relaxed);
    }

    /// A turn that began at `began` has ended.
    pub fn turned(&self, began: Duration, since_boot: Duration, now: Timestamp) {
        let took = u64::try_from(since_boot.saturating_sub(began).as_micros()).unwrap_or(u64::MAX);
        self.longest_us.fetch_max(took, Ordering::Relaxed);
        self.last_us.store(now.as_micros(), Ordering::Relaxed);
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.turn(since_boot);
    }

    /// It waits for `wait`, or until something happens.
    pub fn rest(&self, since_boot: Duration, wait: Duration) {
        self.expected_ms.store(millis(since_boot.saturating_add(wait)), Ordering::Relaxed);
    }

    /// How it does; `None` if there is no loop.
    pub fn beat(&self, since_boot: Duration) -> Option<Beat> {
        let expected = self.expected_ms.load(Ordering::Relaxed);
        if expected == NEVER {
            return None;
        }
        let late = millis(since_boot).saturating_sub(expected).max(0);
        let last = Some(self.last_us.load(Ordering::Relaxed)).filter(|last| *last != NEVER);
        Some(Beat {
            late: Duration::from_millis(late.unsigned_abs()),
            last: last.map(Timestamp::from_micros),
            longest: Duration::from_micros(self.longest_us.load(Ordering::Relaxed)),
            turns: self.turns.load(Ordering::Relaxed),
        })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves L-7
    #[test]
    fn a_loop_that_is_not_heard_of_is_late_whether_it_turns_or_waits() {
        let pulse = Pulse::default();
        let secs = Duration::from_secs;
        assert_eq!(pulse.beat(secs(5)), None);
        pulse.turn(secs(10));
        assert_eq!(pulse.beat(secs(45)).map(|beat| beat.late), Some(secs(35)));
        pulse.turned(secs(10), secs(50), Timestamp::from_secs(7));
        pulse.rest(secs(50), secs(60));
        let beat = pulse.beat(secs(100)).expect("there is a loop");
        assert_eq!((beat.late, beat.longest, beat.turns), (Duration::ZERO, secs(40), 1));
        assert_eq!(beat.last, Some(Timestamp::from_secs(7)));
        assert_eq!(pulse.beat(secs(115)).map(|beat| beat.late), Some(secs(5)));
    }
}
