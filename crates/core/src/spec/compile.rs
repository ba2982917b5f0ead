//! From a [`JobSpec`] to the [`Job`] that the decisions work with.

use super::definition::{
    ActionSpec, CommandSpec, FailureSpec, JobSpec, ProcessSpec, RetrySpec, RuleSpec, TriggerSpec, VerifySpec,
};
use super::{Zone, ZoneError};
use crate::attempt::Class;
use crate::cron::Cron;
use crate::error::Diagnostic;
use crate::job::{Action, Bounds, Command, Job, Limits, Output, Process, Success, Verify};
use crate::retry::{Failure, Failures, Retry};
use crate::schedule::{CronSchedule, Every, Schedule};
use crate::trigger::{CatchUp, TimeRule, Trigger, Upstream, When};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Gives a zone by name.
pub type Zones<'a> = &'a dyn Fn(&str) -> Result<Arc<Zone>, ZoneError>;

impl JobSpec {
    /// The job as the decisions see it. `zones` gives zones by name.
    ///
    /// # Errors
    /// A rule or zone that this build cannot read. A definition that [`super::load`] gave has none, unless the zone
    /// table has changed since.
    pub fn compile(&self, zones: Zones<'_>) -> Result<Job, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let mut triggers = Vec::new();
        let zone = zones(&self.time_zone).map_err(|error| vec![error.diagnostic()])?;
        let mut trigger_zones = Vec::new();
        for trigger in &self.triggers {
            let own = match &trigger.rule {
                RuleSpec::Cron { time_zone, .. } => Some(time_zone),
                _ => trigger.time_zone.as_ref(),
            };
            match own.map(|name| zones(name)).transpose() {
                Ok(own) => trigger_zones.extend(own.map(|zone| (trigger.identity(), zone))),
                Err(error) => faults.push(error.diagnostic()),
            }
            match self.compile_trigger(trigger, zones) {
                Ok(trigger) => triggers.push(trigger),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let process = match &self.action {
            ActionSpec::Run(process) => Some(process),
            _ => None,
        };
        Ok(Job {
            name: self.name.clone(),
            zone,
            trigger_zones,
            triggers,
            action: match &self.action {
                ActionSpec::None => Action::None,
                ActionSpec::Run(process) => {
                    Action::Run(Process { limits: self.limits.compile(), ..process.compile() })
                }
                ActionSpec::Handler(name) => Action::Handler(name.clone()),
                ActionSpec::Other { executor, .. } => Action::Unsupported(executor.clone()),
            },
            overlap: self.overlap,
            retry: Retry {
                retries_max: self.retry_policy.max_retries,
                backoff: self.retry_policy.backoff,
                backoff_max: self.retry_policy.max_backoff,
                failures: self.retry_policy.failures(),
            },
            on_lost: self.on_lost,
            success: self.success(),
            pause_after_failures: self.pause_after_failures,
            checkpoint: self.checkpoint,
            timeout: self.timeout,
            no_progress_timeout: self.no_progress_timeout,
            grace: self.grace,
            start_deadline: self.start_deadline,
            queue: self.queue.clone(),
            priority: self.priority,
            output: Output {
                bytes_max: self.output_bytes_max,
                direct: self.output_direct,
                redact: self.redact.iter().cloned().collect(),
            },
            on_failure: self
                .on_failure
                .as_ref()
                .map_or(Action::None, |command| Action::Run(hook(command, process))),
        })
    }

    fn success(&self) -> Success {
        let compiled =
            |verify: &VerifySpec| Verify { command: verify.command.compile(), timeout: verify.timeout };
        Success {
            exit_codes: self.success_when.exit_codes.clone(),
            output: self.success_when.output.clone(),
            output_not: self.success_when.output_not.clone(),
            verify: self.verify.as_ref().map(compiled),
        }
    }

    /// One of its triggers as the decisions see it.
    pub(super) fn compile_trigger(
        &self,
        trigger: &TriggerSpec,
        zones: Zones<'_>,
    ) -> Result<Trigger, Diagnostic> {
        let catch_up = CatchUp {
            policy: self.catch_up.policy,
            window: self.catch_up.window,
            count_max: self.catch_up.max_count,
            spread: self.catch_up.spread,
        };
        let schedule = match &trigger.rule {
            RuleSpec::Cron { expression, time_zone, dst, dialect } => {
                let rule = Cron::parse(expression, *dialect).map_err(|error| error.diagnostic(None))?;
                let rule = if rule.has_hash() { rule.resolve(seed(&self.name)) } else { rule };
                let zone = zones(time_zone).map_err(|error| error.diagnostic())?;
                Schedule::Cron(CronSchedule { rule: Arc::new(rule), zone, dst: *dst })
            }
            RuleSpec::Every { interval, pace, initial_delay, anchor } => Schedule::Every(Every {
                interval: *interval,
                pace: *pace,
                anchor: *anchor,
                initial_delay: *initial_delay,
            }),
            RuleSpec::At(instant) => Schedule::At(*instant),
            RuleSpec::Boot => return Ok(Trigger { name: trigger.identity(), when: When::Boot, catch_up }),
            RuleSpec::After { job, on } => {
                let when = When::After(Upstream { job: job.clone(), on: *on });
                return Ok(Trigger { name: trigger.identity(), when, catch_up });
            }
        };
        let rule = TimeRule {
            schedule,
            calendar: super::calendar::compile(trigger.calendar.as_ref(), zones)?,
            start: trigger.start,
            end: trigger.end,
            jitter: trigger.jitter,
            occurrences_max: trigger.max_runs,
        };
        Ok(Trigger { name: trigger.identity(), when: When::Time(rule), catch_up })
    }
}

impl RetrySpec {
    fn failures(&self) -> Failures {
        let each = |failure: &FailureSpec| match failure {
            FailureSpec::Exit => Failure::Class(Class::Exit),
            FailureSpec::Code(code) => Failure::Exit(*code),
            FailureSpec::Signal => Failure::Class(Class::Signal),
            FailureSpec::Timeout => Failure::Class(Class::Timeout),
            FailureSpec::NoProgress => Failure::Class(Class::NoProgress),
            FailureSpec::Oom => Failure::Class(Class::Oom),
            FailureSpec::Spawn => Failure::Class(Class::Spawn),
            FailureSpec::Verify => Failure::Class(Class::Verify),
        };
        let retried = match &self.retry_on {
            None => Failures::ALL,
            Some(listed) => listed.iter().map(each).fold(Failures::NONE, Failures::with),
        };
        self.never_on.iter().map(each).fold(retried, Failures::without)
    }
}

impl ProcessSpec {
    fn compile(&self) -> Process {
        Process {
            command: self.command.compile(),
            run_as: self.run_as.clone(),
            env: self.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            working_directory: self.working_directory.clone(),
            stdin: self.stdin.clone(),
            bounds: self.bounds.compile(),
            limits: Limits::default(),
        }
    }
}

impl CommandSpec {
    fn compile(&self) -> Command {
        match self {
            Self::Argv(argv) => Command::Argv(argv.clone()),
            Self::Shell { shell, script } => Command::Shell { shell: shell.clone(), script: script.clone() },
        }
    }
}

/// A hook runs as the job does: same user, environment, directory and bounds; what limits the job's tree does not
/// limit what tells of its end. Its standard input is the run's report.
fn hook(command: &CommandSpec, process: Option<&ProcessSpec>) -> Process {
    let command = command.compile();
    match process.map(ProcessSpec::compile) {
        Some(process) => Process { command, stdin: None, ..process },
        None => Process {
            command,
            run_as: None,
            env: Vec::new(),
            working_directory: None,
            stdin: None,
            bounds: Bounds::default(),
            limits: Limits::default(),
        },
    }
}

/// Where the `H` of a job's cron rules fall: a hash of its name.
pub fn seed(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}
