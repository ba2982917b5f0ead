//! Whether an attempt still prints: silence is measured from the last look that saw more than the one before.

use crate::clock::Monotonic;
use std::time::Duration;

/// In the time that it may be silent, so often its output is looked at: the most by which a stall is seen late.
const LOOKS: u32 = 8;

/// How long an attempt has been silent.
#[derive(Debug)]
pub struct Progress {
    silent_max: Duration,
    bytes: u64,
    /// It has printed nothing since, as far as is known.
    silent_since: Monotonic,
    /// When its output is looked at next.
    due: Monotonic,
}

impl Progress {
    /// An attempt that began at `now` and may print nothing for `silent_max`.
    pub fn new(silent_max: Duration, now: Monotonic) -> Self {
        Self { silent_max, bytes: 0, silent_since: now, due: now.after(silent_max / LOOKS) }
    }

    /// When to ask [`Progress::is_stalled`].
    pub fn due(&self) -> Monotonic {
        self.due
    }

    /// Whether it has been silent for too long; `bytes` is what it has printed by `now`. Never true too early.
    pub fn is_stalled(&mut self, bytes: u64, now: Monotonic) -> bool {
        if bytes != self.bytes {
            (self.bytes, self.silent_since) = (bytes, now);
        }
        let end = self.silent_since.after(self.silent_max);
        self.due = end.min(now.after(self.silent_max / LOOKS));
        end <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_byte_and_never_too_little() {
        let start = Monotonic::now();
        let at = |ms| start.after(Duration::from_millis(ms));
        let mut progress = Progress::new(Duration::from_millis(800), start);
        assert_eq!(progress.due(), at(100));
        assert!(!progress.is_stalled(0, at(100)));
        // Printed at some moment since the last look.
        assert!(!progress.is_stalled(5, at(790)));
        assert!(!progress.is_stalled(5, at(1500)));
        assert_eq!(progress.due(), at(1590), "not later than the end of the silence");
        assert!(progress.is_stalled(5, at(1590)));
    }
}
