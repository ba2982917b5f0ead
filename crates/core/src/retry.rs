//! What follows a failed attempt.

use crate::attempt::{Class, Exit, Outcome};
use crate::id::RunId;
use crate::sabotage;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A job that asks to be left alone for longer is tried again after this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

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

/// A set of failures: exit codes, and the classes that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// A bit for each exit code.
    exits: [u64; 4],
    /// A bit for each class, at its place in [`Class::ALL`].
    classes: u16,
}

/// A failure, as far as a policy tells failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The process ended with this code.
    Exit(u8),
    /// It was of this class.
    Class(Class),
}

impl Failures {
    /// Every failure.
    pub const ALL: Self = Self { exits: [u64::MAX; 4], classes: u16::MAX };
    /// No failure.
    pub const NONE: Self = Self { exits: [0; 4], classes: 0 };

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
            Failure::Class(Class::Exit) => self.exits = [if member { u64::MAX } else { 0 }; 4],
            Failure::Exit(code) => {
                let (word, bit) = (usize::from(code / 64), 1_u64 << (code % 64));
                if member { self.exits[word] |= bit } else { self.exits[word] &= !bit }
            }
            Failure::Class(class) => {
                let bit = bit_of(class);
                if member { self.classes |= bit } else { self.classes &= !bit }
            }
        }
    }

    /// Whether an attempt that ended so is in the set. One that failed in a way nobody can tell is in every set but
    /// the empty one; one that said itself that it failed for good is in none.
    pub fn contains(&self, outcome: Outcome, exit: &Exit) -> bool {
        match Class::of(outcome, exit) {
            None | Some(Class::Reported) => false,
            Some(Class::Exit) => match exit.code.map(u8::try_from) {
                Some(Ok(code)) => self.exits[usize::from(code / 64)] >> (code % 64) & 1 == 1,
                _ => *self != Self::NONE,
            },
            Some(class) => self.classes & bit_of(class) != 0,
        }
    }
}

fn bit_of(class: Class) -> u16 {
    let place = Class::ALL.iter().position(|known| *known == class);
    1 << place.expect("the list has every class")
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

    /// The wait before the retry after `retries` others, for an attempt that ended so; `None`: it is not tried again.
    /// What a job asks for takes the place of the backoff, not of the count.
    pub fn wait_after(&self, run: RunId, retries: u32, outcome: Outcome, exit: &Exit) -> Option<Duration> {
        let wait = self.wait(run, retries + 1).filter(|_| self.failures.contains(outcome, exit))?;
        Some(exit.retry_after.map_or(wait, |asked| asked.min(RETRY_AFTER_MAX)))
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
        let set = Failures::NONE.with(Failure::Exit(75)).with(Failure::Class(Class::Timeout));
        assert!(set.contains(Outcome::Failed, &exit(75)) && !set.contains(Outcome::Failed, &exit(1)));
        assert!(set.contains(Outcome::Timeout, &killed) && !set.contains(Outcome::Failed, &killed));
        assert!(!set.contains(Outcome::SpawnFailed, &Exit::default()));
        let rest = Failures::ALL.without(Failure::Exit(255)).without(Failure::Class(Class::Signal));
        assert!(rest.contains(Outcome::Failed, &exit(0)) && !rest.contains(Outcome::Failed, &exit(255)));
        assert!(!rest.contains(Outcome::Failed, &killed) && rest.contains(Outcome::Failed, &Exit::default()));
        assert!(!Failures::NONE.contains(Outcome::Failed, &Exit::default()));
    }

    #[test]
    fn classes_that_have_no_code_are_told_apart_too() {
        let noted = |class| Exit { code: Some(0), class: Some(class), ..Exit::default() };
        let set = Failures::NONE.with(Failure::Class(Class::Exit));
        assert!(
            set.contains(Outcome::Failed, &Exit { code: Some(0), ..Exit::default() }),
            "0 can be no success"
        );
        assert!(!set.contains(Outcome::Failed, &noted(Class::Verify)));
        assert!(set.with(Failure::Class(Class::Verify)).contains(Outcome::Failed, &noted(Class::Verify)));
        assert!(
            !Failures::ALL.contains(Outcome::Failed, &noted(Class::Reported)),
            "it said that it is for good"
        );
        let timeouts = Failures::NONE.with(Failure::Class(Class::Timeout));
        assert!(!timeouts.contains(Outcome::Timeout, &noted(Class::NoProgress)));
        assert!(!Failures::ALL.contains(Outcome::Success, &Exit::default()));
    }

    #[test]
    fn what_a_job_asks_for_takes_the_place_of_the_backoff() {
        let retry = Retry { retries_max: 1, ..Retry::NONE };
        let asks =
            |secs| Exit { code: Some(75), retry_after: Some(Duration::from_secs(secs)), ..Exit::default() };
        let wait = |retries, exit| retry.wait_after(RunId(7), retries, Outcome::Failed, &exit);
        assert_eq!(wait(0, asks(90)), Some(Duration::from_secs(90)));
        assert_eq!(wait(0, asks(u64::MAX / 2)), Some(RETRY_AFTER_MAX));
        assert_eq!(wait(1, asks(90)), None, "it counts as a retry like another");
        let spared = Retry { failures: Failures::ALL.without(Failure::Exit(75)), ..retry };
        assert_eq!(spared.wait_after(RunId(7), 0, Outcome::Failed, &asks(90)), None);
    }
}
