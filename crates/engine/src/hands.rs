//! The daemon's hands: the executor over the supervisor, the handlers, and the notifications of runs that ended badly.

use crate::checkpoints;
use crate::executor::{self, Account};
use crate::handlers::Pool;
use crate::node::Executor;
use crate::run_loop::Observer;
use crate::shared::Engine;
use crate::supervisor::protocol::{AttemptId, Request, Start};
use crate::supervisor::{Session, Supervisor};
use punctual_core::failpoint;
use punctual_core::id::{Fence, RunId};
use punctual_core::job::{Action, Job, Process};
use punctual_core::run::{Run, RunState, Verdict};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

/// What the name of a notification's attempt ends with, after the run's.
const NOTICE: &str = "-notify";
/// Notifications at once, beside the attempts. Many runs may end badly at one instant.
const NOTICES_MAX: usize = 16;
/// Further ones wait; beyond this they are said to be left out.
const NOTICES_WAITING_MAX: usize = 1000;
/// A notification that takes longer is told to end.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(300);

/// The daemon's executor: the supervisor and what surrounds it.
pub(crate) struct Hands {
    pub(crate) engine: Engine,
    pub(crate) account: Account,
    /// The program that is supervisor and launcher; `None` where handlers do the work.
    pub(crate) program: Option<PathBuf>,
    pub(crate) supervisor: Option<Supervisor>,
    /// The supervisors that this process started and that have not been seen to end.
    pub(crate) started: Vec<Child>,
    pub(crate) handlers: Pool,
    /// Notifications under way, and those that wait for one of them to end.
    pub(crate) notices: BTreeSet<AttemptId>,
    pub(crate) notices_waiting: VecDeque<Start>,
    /// Jobs that were paused, with the reason, until the run that led to it is told of.
    pub(crate) paused: BTreeMap<String, String>,
    pub(crate) observer: Box<dyn Observer>,
}

impl Hands {
    /// Sends a request. Without a supervisor it goes nowhere: whatever it is about is seen to when there is one.
    pub(crate) fn request(&mut self, request: &Request) {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.send(request);
        }
    }

    /// Remembers a supervisor that this process started, and reaps those that have ended.
    pub(crate) fn reap(&mut self, child: Child) {
        self.started.push(child);
        self.started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// The notifications of an earlier daemon that are under way; and those that wait for a supervisor start.
    pub(crate) fn adopt_notices(&mut self, session: &Session) {
        let notices = session.running.iter().map(|running| &running.attempt);
        self.notices = notices.filter(|attempt| attempt.run.ends_with(NOTICE)).cloned().collect();
        self.start_notices();
    }

    /// Starts the command that is told of a run which ended badly, or keeps it until others have ended.
    fn notify(
        &mut self,
        job: &Job,
        process: &Process,
        run: &Run,
        paused: Option<String>,
    ) -> Result<(), String> {
        if self.notices_waiting.len() >= NOTICES_WAITING_MAX {
            return Err(format!("{NOTICES_WAITING_MAX} others wait for it"));
        }
        let process = Process { stdin: Some(self.observer.notice(job, run)), ..process.clone() };
        let log = self.engine.data().log(run.id, run.next_attempt()).with_extension("notify.log");
        let mut start = executor::command(job, &process, run, log, &self.account)?;
        start.attempt.run.push_str(NOTICE);
        start.env.extend(paused.map(|reason| ("PUNCTUAL_JOB_PAUSED".to_owned(), reason)));
        let longest = u64::try_from(NOTICE_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
        start.timeout_ms = Some(start.timeout_ms.map_or(longest, |ms| ms.min(longest)));
        self.notices_waiting.push_back(start);
        self.start_notices();
        Ok(())
    }

    fn start_notices(&mut self) {
        while self.supervisor.is_some()
            && self.notices.len() < NOTICES_MAX
            && let Some(start) = self.notices_waiting.pop_front()
        {
            self.notices.insert(start.attempt.clone());
            self.request(&Request::Start(Box::new(start)));
        }
    }

    /// If it was a notification that ended, the next one starts.
    pub(crate) fn notice_ended(&mut self, attempt: &AttemptId) {
        if self.notices.remove(attempt) {
            self.start_notices();
        }
    }
}

impl Executor for Hands {
    fn is_ready(&self) -> bool {
        self.supervisor.is_some() || self.program.is_none()
    }

    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String> {
        match &job.action {
            Action::Run(_) if self.program.is_none() => {
                Err("this program has handlers and starts no processes; `punctual serve` does".into())
            }
            Action::Run(process) => {
                let start = executor::start(job, process, run, self.engine.data(), &self.account)?;
                failpoint::reach("start.before-request").map_err(|e| e.to_string())?;
                self.request(&Request::Start(Box::new(start)));
                failpoint::pass("start.after-request");
                Ok(())
            }
            Action::Handler(name) => {
                let log = self.engine.data().log(run.id, run.next_attempt());
                self.handlers.start(name, job, run, log)
            }
            Action::None | Action::Unsupported(_) => Ok(()),
        }
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        if !self.handlers.stop(run, fence) {
            self.request(&Request::Stop { attempt: AttemptId { run: run.to_string(), fence: fence.0 } });
        }
    }

    fn recorded(&mut self, attempts: &[(RunId, Fence)]) {
        if self.supervisor.is_none() || attempts.is_empty() {
            return;
        }
        let attempts =
            attempts.iter().map(|(run, fence)| AttemptId { run: run.to_string(), fence: fence.0 }).collect();
        failpoint::pass("ack.before");
        self.request(&Request::Ack { attempts });
    }

    fn paused(&mut self, job: &str, reason: &str) {
        self.observer.remark(&format!("job {job} is paused: {reason}"));
        self.paused.insert(job.to_owned(), reason.to_owned());
    }

    fn attempted(&mut self, job: &Job, run: &Run) {
        self.observer.attempted(job, run);
    }

    fn finished(&mut self, job: &Job, run: &Run) {
        self.observer.finished(job, run);
        let RunState::Finished { verdict, .. } = run.state else { return };
        if job.checkpoint && verdict == Verdict::Success {
            checkpoints::remove(&self.engine, run.id);
        }
        let paused = self.paused.remove(&job.name);
        let badly = matches!(verdict, Verdict::Failed | Verdict::Timeout | Verdict::Lost | Verdict::Expired);
        if let (true, Action::Run(process)) = (badly, &job.on_failure)
            && let Err(error) = self.notify(job, process, run, paused)
        {
            self.observer
                .remark(&format!("the notification of run {} could not be started: {error}", run.id));
        }
    }
}
