//! What was seen: a run of the simulator that saw too little proves nothing.

use crate::plan::Fault;
use punctual_core::attempt::{Attempt, Outcome};
use punctual_core::occurrence::{Disposition, Reason, Skip};
use punctual_core::run::{Run, RunState, Verdict};
use std::collections::BTreeMap;

/// Counts by what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often.
    pub counts: BTreeMap<String, u64>,
}

/// Reasons that this release gives.
const REASONS: [Reason; 8] = [
    Reason::Overlap,
    Reason::Paused,
    Reason::Calendar,
    Reason::Ended,
    Reason::StartDeadline,
    Reason::CatchUpNone,
    Reason::CatchUpWindow,
    Reason::CatchUpCount,
];

const VERDICTS: [Verdict; 6] = [
    Verdict::Success,
    Verdict::Failed,
    Verdict::Timeout,
    Verdict::Cancelled,
    Verdict::Lost,
    Verdict::Expired,
];

const OUTCOMES: [Outcome; 7] = [
    Outcome::Interrupted,
    Outcome::Success,
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Cancelled,
    Outcome::Lost,
    Outcome::SpawnFailed,
];

impl Tally {
    /// Counts one.
    pub fn count(&mut self, what: impl Into<String>) {
        self.add(what, 1);
    }

    /// Counts so many.
    pub fn add(&mut self, what: impl Into<String>, count: u64) {
        *self.counts.entry(what.into()).or_default() += count;
    }

    pub(crate) fn skip(&mut self, skip: &Skip) {
        match skip.range.reason {
            Some(reason) => self.add(format!("reason {}", reason.as_str()), skip.range.count),
            None => {
                self.add(format!("disposition {}", skip.range.disposition.as_str()), skip.range.count);
            }
        }
    }

    pub(crate) fn arrival(&mut self, run: &Run) {
        self.count("disposition run");
        if let RunState::Held(_) = run.state {
            self.count("runs that waited for another");
        }
    }

    pub(crate) fn attempt(&mut self, attempt: &Attempt) {
        self.count(format!("outcome {}", attempt.outcome.as_str()));
    }

    pub(crate) fn verdict(&mut self, run: &Run, verdict: Verdict) {
        self.count(format!("verdict {}", verdict.as_str()));
        if run.attempts.len() > 1 {
            self.count("runs of several attempts");
        }
    }

    /// Adds another's counts.
    pub fn join(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            self.add(what.clone(), *count);
        }
    }

    /// What must have been seen and was not.
    pub fn missing(&self) -> Vec<String> {
        let faults = Fault::ALL.iter().map(|fault| format!("fault {fault:?}"));
        let reasons = REASONS.iter().map(|reason| format!("reason {}", reason.as_str()));
        let verdicts = VERDICTS.iter().map(|verdict| format!("verdict {}", verdict.as_str()));
        let outcomes = OUTCOMES.iter().map(|outcome| format!("outcome {}", outcome.as_str()));
        let others =
            [Disposition::Run, Disposition::Coalesced].map(|d| format!("disposition {}", d.as_str()));
        let adoptions = ["attempts that a later daemon adopted", "ends that a later daemon found"];
        let others = others.into_iter().chain(adoptions.map(str::to_owned));
        let wanted = faults.chain(reasons).chain(verdicts).chain(outcomes).chain(others);
        wanted.filter(|what| !self.counts.contains_key(what)).collect()
    }
}
