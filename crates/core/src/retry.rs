//! What follows a failed attempt.

use crate::attempt::{Exit, Outcome};
use crate::id::RunId;
use crate::sabotage;
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
    /// Which failures are tried again; after any other the run has failed.
    pub failures: Failures,
}

/// A set of failures: exit codes, and the kinds that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// A bit for each exit code.
    exits: [u64; 4],
    signal: bool,
    timeout: bool,
    spawn: bool,
}

/// A failure, as far as a policy tells failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The process ended with this code.
    Exit(u8),
    /// The process ended by a signal.
    Signal,
    /// The attempt ran into its timeout.
    Timeout,
    /// The process could not be started.
    Spawn,
}

impl Failures {
    /// Every failure.
    pub const ALL: Self = Self { exits: [u64::MAX; 4], signal: true, timeout: true, spawn: true };
    /// No failure.
    pub const NONE: Self = Self { exits: [0; 4], signal: false, timeout: false, spawn: false };

    /// The set with `failure` in it.
    #[must_use]
    pub fn with(mut self, failure: Failure) -> Self {
        self.put(failure, true);
        self
    }

    /// The set with `failure` taken out.
    #[must_use]
    pub fn without(mut self, failure: Failure) -> Self {
        self.put(failure, false);
        self
    }

    fn put(&mut self, failure: Failure, member: bool) {
        match failure {
            Failure::Exit(code) => {
                let (word, bit) = (usize::from(code / 64), 1_u64 << (code % 64));
                if member { self.exits[word] |= bit } else { self.exits[word] &= !bit }
            }
            Failure::Signal => self.signal = member,
            Failure::Timeout => self.timeout = member,
            Failure::Spawn => self.spawn = member,
        }
    }

    /// Whether an attempt that ended so is in the set. One that failed in a way nobody can tell is in every set but
    /// the empty one.
    pub fn contains(&self, outcome: Outcome, exit: &Exit) -> bool {
        match outcome {
            Outcome::Timeout => self.timeout,
            Outcome::SpawnFailed => self.spawn,
            _ => match (exit.code.map(u8::try_from), exit.signal) {
                (Some(Ok(code)), _) => self.exits[usize::from(code / 64)] >> (code % 64) & 1 == 1,
                (_, Some(_)) => self.signal,
                _ => *self != Self::NONE,
            },
        }
    }
}

impl Retry {
    /// No retries: the default of a job without `retryPolicy`.
    pub const NONE: Self = Self {
        retries_max: 0,
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(300),
        failures: Failures::ALL,
    };

    /// The wait before retry `number` (from 1), or `None` if there is no further one.
    ///
    /// A quarter of the wait is jitter, a hash of run and number: runs that failed together do not return together.
    pub fn wait(&self, run: RunId, number: u32) -> Option<Duration> {
        let unbounded = u32::from(sabotage!("retry-unbounded") && self.retries_max > 0);
        if number == 0 || number > self.retries_max + unbounded {
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
        let retry = Retry { retries_max: 10, backoff_max: Duration::from_secs(20), ..Retry::NONE };
        let wait = |n| retry.wait(RunId(7), n);
        for n in 1..=10 {
            let full = Duration::from_secs(1 << (n - 1)).min(Duration::from_secs(20));
            let got = wait(n).expect("within the retries");
            assert!(got <= full && got >= full * 3 / 4, "retry {n}: {got:?} of {full:?}");
        }
        assert_eq!(wait(11), None);
        assert_eq!(wait(3), wait(3));
    }

    #[test]
    fn a_set_of_failures_tells_codes_signals_and_timeouts_apart() {
        let exit = |code| Exit { code: Some(code), ..Exit::default() };
        let killed = Exit { signal: Some(9), ..Exit::default() };
        let set = Failures::NONE.with(Failure::Exit(75)).with(Failure::Timeout);
        assert!(set.contains(Outcome::Failed, &exit(75)) && !set.contains(Outcome::Failed, &exit(1)));
        assert!(set.contains(Outcome::Timeout, &killed) && !set.contains(Outcome::Failed, &killed));
        assert!(!set.contains(Outcome::SpawnFailed, &Exit::default()));
        let rest = Failures::ALL.without(Failure::Exit(255)).without(Failure::Signal);
        assert!(rest.contains(Outcome::Failed, &exit(0)) && !rest.contains(Outcome::Failed, &exit(255)));
        assert!(!rest.contains(Outcome::Failed, &killed) && rest.contains(Outcome::Failed, &Exit::default()));
        assert!(!Failures::NONE.contains(Outcome::Failed, &Exit::default()));
    }
}
