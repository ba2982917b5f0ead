//! Error classes: what kind of end it was, for each attempt that did not succeed. Each has a page.

use super::{Attempt, Exit, Outcome, words};
use crate::error::Code;

words! {
    /// The kind of an attempt's bad end. Policies name them, and people look them up.
    Class {
        /// Its process ended with a code that is no success.
        Exit = "exit",
        /// A signal that nobody here sent ended its process.
        Signal = "signal",
        /// It ran longer than its timeout.
        Timeout = "timeout",
        /// It showed no sign of progress for too long.
        NoProgress = "noProgress",
        /// It needed more memory than it may have.
        Oom = "oom",
        /// It could not be started.
        Spawn = "spawn",
        /// Its node ended, and nobody saw how it did.
        Lost = "lost",
        /// The daemon was stopped and took it along.
        Interrupted = "interrupted",
        /// A person or a policy ended it.
        Cancelled = "cancelled",
        /// It ended well, and what must hold of its work does not.
        Verify = "verify",
        /// It said itself that it failed for good.
        Reported = "reported",
    }
}

const EXIT: Code = Code("RUN006");
const SIGNAL: Code = Code("RUN007");
const TIMEOUT: Code = Code("RUN008");
const NO_PROGRESS: Code = Code("RUN009");
const OOM: Code = Code("RUN010");
const SPAWN: Code = Code("RUN011");
const LOST: Code = Code("RUN012");
const INTERRUPTED: Code = Code("RUN013");
const CANCELLED: Code = Code("RUN014");
const VERIFY: Code = Code("RUN015");
const REPORTED: Code = Code("RUN016");

impl Class {
    /// The page that explains it.
    pub const fn code(self) -> Code {
        match self {
            Self::Exit => EXIT,
            Self::Signal => SIGNAL,
            Self::Timeout => TIMEOUT,
            Self::NoProgress => NO_PROGRESS,
            Self::Oom => OOM,
            Self::Spawn => SPAWN,
            Self::Lost => LOST,
            Self::Interrupted => INTERRUPTED,
            Self::Cancelled => CANCELLED,
            Self::Verify => VERIFY,
            Self::Reported => REPORTED,
        }
    }

    /// The class of an end: what was noted of it, else what outcome and exit tell. `None`: it succeeded.
    pub fn of(outcome: Outcome, exit: &Exit) -> Option<Self> {
        match outcome {
            Outcome::Success => None,
            _ if exit.class.is_some() => exit.class,
            Outcome::Failed if exit.signal.is_some() => Some(Self::Signal),
            Outcome::Failed => Some(Self::Exit),
            Outcome::Timeout => Some(Self::Timeout),
            Outcome::Cancelled => Some(Self::Cancelled),
            Outcome::Interrupted => Some(Self::Interrupted),
            Outcome::Lost => Some(Self::Lost),
            Outcome::SpawnFailed => Some(Self::Spawn),
        }
    }
}

impl Attempt {
    /// What kind of bad end it was; `None`: it succeeded.
    pub fn class(&self) -> Option<Class> {
        Class::of(self.outcome, &self.exit)
    }

    /// The page that explains its bad end. One that could not be started has a reason with a page of its own.
    pub fn code(&self) -> Option<&str> {
        let class = self.class()?;
        let own = self.exit.reason.as_deref().filter(|_| class == Class::Spawn);
        let own = own.and_then(|reason| reason.split_once(':')).map(|(code, _)| code);
        Some(own.filter(|code| is_code(code)).unwrap_or(class.code().0))
    }
}

fn is_code(text: &str) -> bool {
    let (area, number) = text.split_at_checked(3).unwrap_or_default();
    number.len() == 3
        && area.bytes().all(|b| b.is_ascii_uppercase())
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_class_has_a_page_of_its_own() {
        let codes: BTreeSet<Code> = Class::ALL.iter().map(|class| class.code()).collect();
        assert_eq!(codes.len(), Class::ALL.len());
    }

    #[test]
    fn one_that_could_not_be_started_says_which_page() {
        let attempt = |outcome, reason: &str| Attempt {
            number: 1,
            node: crate::id::NodeId(1),
            started: None,
            finished: crate::time::Timestamp::EPOCH,
            outcome,
            exit: Exit { reason: Some(reason.to_owned()), ..Exit::default() },
        };
        assert_eq!(attempt(Outcome::SpawnFailed, "EXE001: no program").code(), Some("EXE001"));
        assert_eq!(attempt(Outcome::SpawnFailed, "no: program").code(), Some("RUN011"));
        assert_eq!(attempt(Outcome::Failed, "EXE001: no program").code(), Some("RUN006"));
        assert_eq!(attempt(Outcome::Success, "").code(), None);
    }

    #[test]
    fn outcome_and_exit_tell_the_class_unless_it_was_noted() {
        let exit = |code, signal, class| Exit { code, signal, class, ..Exit::default() };
        let of = |outcome, exit| Class::of(outcome, &exit);
        assert_eq!(of(Outcome::Success, exit(Some(3), None, None)), None);
        assert_eq!(of(Outcome::Failed, exit(Some(3), None, None)), Some(Class::Exit));
        assert_eq!(of(Outcome::Failed, exit(None, Some(11), None)), Some(Class::Signal));
        assert_eq!(of(Outcome::Failed, exit(None, Some(9), Some(Class::Oom))), Some(Class::Oom));
        assert_eq!(of(Outcome::Failed, exit(Some(0), None, Some(Class::Verify))), Some(Class::Verify));
        assert_eq!(of(Outcome::Timeout, exit(None, Some(15), None)), Some(Class::Timeout));
        assert_eq!(
            of(Outcome::Timeout, exit(None, Some(15), Some(Class::NoProgress))),
            Some(Class::NoProgress)
        );
        for outcome in Outcome::ALL {
            assert_eq!(of(*outcome, Exit::default()).is_none(), *outcome == Outcome::Success);
        }
    }
}
