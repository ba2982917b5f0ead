//! What follows a commit: attempts are started and stopped, ends are told.

use super::{Cycled, Executor, NO_EXECUTOR, NOT_IN_RUN, Node, Running};
use crate::book::Effects;
use crate::executor;
use crate::supervisor::protocol::{Ended, SpawnError};
use punctual_core::id::RunId;
use punctual_core::job::{Action, Job};
use punctual_core::run::Run;
use punctual_core::sabotage;

impl Node {
    pub(super) fn carry_out(
        &mut self,
        effects: &Effects,
        taken: &[RunId],
        executor: &mut dyn Executor,
        cycled: &mut Cycled,
    ) {
        for run in effects.leased.iter().filter(|r| !taken.contains(&r.id)) {
            let Some(job) = self.engine.definitions().job(run.job, run.revision) else { continue };
            self.running.insert(run.id, Running { run: run.clone(), job: job.clone(), started: None });
            cycled.started += 1;
            self.start(&job, run, executor);
        }
        for (run, fence) in effects.stopped.iter().filter(|_| !sabotage!("stop-not-sent")) {
            executor.stop(*run, *fence);
        }
        for (job, reason) in &effects.paused {
            executor.paused(job, reason);
        }
        for run in &effects.attempted {
            if let Some(job) = self.engine.definitions().job(run.job, run.revision) {
                executor.attempted(&job, run);
            }
        }
        for run in &effects.finished {
            if let Some(job) = self.engine.definitions().job(run.job, run.revision) {
                executor.finished(&job, run);
            }
        }
    }

    fn start(&mut self, job: &Job, run: &Run, executor: &mut dyn Executor) {
        let now = self.engine.clock().now();
        let at_once = |spawn_error: Option<SpawnError>| Ended {
            started_us: spawn_error.is_none().then_some(now.as_micros()),
            code: spawn_error.is_none().then_some(0),
            spawn_error,
            ..Ended::at(executor::attempt_id(run), now.as_micros())
        };
        match &job.action {
            Action::None => _ = self.ended(&at_once(None)),
            Action::Unsupported(what) => {
                let message = format!("this build of Punctual cannot carry out {what}");
                self.ended(&at_once(Some(SpawnError::new(NO_EXECUTOR, message))));
            }
            Action::Run(_) | Action::Handler(_) => {
                if let Err(error) = executor.start(job, run) {
                    self.ended(&at_once(Some(SpawnError::new(NOT_IN_RUN, error))));
                }
            }
        }
    }
}
