//! What follows a failed attempt.

use crate::id::RunId;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How often and when a failed attempt is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first; 0 for none.
    pub retries_max: u32,
    /// Before the first retry; doubles with each further one.
    pub backoff: Duration,
    /// No wait is longer.
    pub backoff_max: Duration,
}

impl Retry {
    /// No retries: the default of a job without `retryPolicy`.
    pub const NONE: Self =
        Self { retries_max: 0, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(300) };

    /// The wait before retry `number` (from 1), or `None` if there is no further one.
    ///
    /// A quarter of the wait is jitter, a hash of run and number: runs that failed together do not return together.
    pub fn wait(&self, run: RunId, number: u32) -> Option<Duration> {
        if number == 0 || number > self.retries_max {
            return None;
        }
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(number - 1).unwrap_or(u32::MAX));
        let full = doubled.min(self.backoff_max);
        let mut hash = Sha256::new();
        hash.update(run.0.to_le_bytes());
        hash.update(number.to_le_bytes());
        let digest = hash.finalize();
        let draw = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let jitter = (full / 4).mul_f64(f64::from(draw) / f64::from(u32::MAX));
        Some(full - jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_end_with_the_retries() {
        let retry =
            Retry { retries_max: 10, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(20) };
        let wait = |n| retry.wait(RunId(7), n);
        for n in 1..=10 {
            let full = Duration::from_secs(1 << (n - 1)).min(Duration::from_secs(20));
            let got = wait(n).expect("within the retries");
            assert!(got <= full && got >= full * 3 / 4, "retry {n}: {got:?} of {full:?}");
        }
        assert_eq!(wait(11), None);
        assert_eq!(wait(3), wait(3));
    }
}
