//! Definitions said in the words of other schedulers, for the way back.
//!
//! What another scheduler cannot say at all (seconds, retries, calendars) refuses the job, with every reason at once;
//! what it says less exactly (overlap, catch-up) is a warning. Other jobs are written all the same.

mod crontab;
mod k8s;
mod shell;

pub use crontab::{Target, crontab};
pub use k8s::{Cluster, k8s};

use punctual_core::error::{Code, Diagnostic};
use punctual_core::spec::{ActionSpec, BoundsSpec, JobSpec};

/// A crontab cannot say it.
const NOT_IN_CRONTAB: Code = Code("IMP021");
/// A CronJob cannot say it.
const NOT_IN_CRONJOB: Code = Code("IMP022");
/// It is said less exactly.
const LESS_EXACT: Code = Code("IMP023");

/// What is said about one job: refusals and remarks.
struct Verdict<'j> {
    job: &'j JobSpec,
    code: Code,
    said: Vec<Diagnostic>,
    refused: bool,
}

impl<'j> Verdict<'j> {
    fn new(job: &'j JobSpec, code: Code) -> Self {
        Self { job, code, said: Vec::new(), refused: false }
    }

    /// The job is not written, for this reason among others.
    fn refuse(&mut self, reason: impl std::fmt::Display, hint: impl Into<String>) {
        self.refused = true;
        let error = Diagnostic::error(self.code, format!("job {}: {reason}", self.job.name));
        self.said.push(error.hint(hint));
    }

    /// The job is written, though something of it is lost.
    fn warn(&mut self, what: impl std::fmt::Display, hint: impl Into<String>) {
        let warning = Diagnostic::warning(LESS_EXACT, format!("job {}: {what}", self.job.name));
        self.said.push(warning.hint(hint));
    }

    /// What neither a crontab nor a CronJob says of the job as a whole.
    fn check_common(&mut self) {
        if self.job.priority != JobSpec::named("").priority || self.job.queue != JobSpec::named("").queue {
            self.warn("its queue and priority are lost", "there is nothing to write for them");
        }
        if !self.job.resources.is_empty() || !self.job.limits.is_empty() {
            self.warn("its resources and limits are lost", "write them into what it runs");
        }
        if self.job.no_progress_timeout.is_some() {
            self.warn("its noProgressTimeout is lost", "there is nothing to write for it");
        }
        // That sudo gives it nothing is the default here, and nowhere else.
        if let ActionSpec::Run(process) = &self.job.action
            && process.bounds
                != (BoundsSpec { no_new_privileges: process.bounds.no_new_privileges, ..Default::default() })
        {
            self.warn(
                "its rlimits, umask and nice are lost",
                "set them in what it runs: ulimit, umask, nice",
            );
        }
        for trigger in &self.job.triggers {
            if trigger.calendar.is_some() {
                self.refuse(
                    "a trigger has a calendar",
                    "test for the day in what it runs, or keep the job here",
                );
            }
            if trigger.start.is_some() || trigger.end.is_some() || trigger.max_runs.is_some() {
                self.refuse("a trigger has a start, an end or a number of runs", "keep the job here");
            }
            if !trigger.jitter.is_zero() {
                self.warn("its jitter is lost", "sleep for a while in what it runs");
            }
        }
    }
}
