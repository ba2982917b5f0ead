//! The daemon's heart: wait for the next instant or message, turn the cycle, start what it leased.
//!
//! The loop is level-triggered: whatever woke it, it asks the store what is due. A lost or a spurious wake-up
//! costs a look, never a run.

use crate::block_on::block_on;
use crate::clock::{self, Monotonic};
use crate::data_dir::Lock;
use crate::error::EngineError;
use crate::executor::{self, Account};
use crate::inbox::Message;
use crate::node::{Cycled, Executor, Node};
use crate::shared::{DaemonFacts, Engine};
use crate::supervisor::protocol::{AttemptId, Request};
use crate::supervisor::{Supervisor, journal};
use crate::timer::Timer;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::{Action, Job, Process};
use punctual_core::run::{Run, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_store::StoreError;
use punctual_store::row::NodeRow;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

/// No wait is longer, so that a wake-up that got lost costs a minute at most.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// After a store that could not do it, or work that cannot start yet.
const RETRY: Duration = Duration::from_millis(250);
/// Beyond the jobs' own grace, so long the daemon waits for their ends to be recorded.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How a daemon is run.
pub struct Options {
    /// Attempts at once.
    pub slots: usize,
    /// Record what would start, and start nothing.
    pub shadow: bool,
    /// The definitions it serves, for people.
    pub owner: String,
    /// This program, which is also supervisor and launcher.
    pub program: PathBuf,
    /// What is told of each run that ended.
    pub observer: Box<dyn Observer>,
}

/// What is told of runs.
pub trait Observer: Send {
    /// A run ended; the decision is durable.
    fn finished(&mut self, job: &Job, run: &Run);
    /// What a `notify` of a run that ended badly reads on its standard input.
    fn notice(&self, job: &Job, run: &Run) -> String;
    /// Something about the daemon itself that people should see.
    fn remark(&mut self, text: &str);
}

/// A daemon over an engine whose data directory this process has locked.
pub struct Daemon {
    engine: Engine,
    node: Node,
    hands: Hands,
    lock: Lock,
    timer: Timer,
}

/// The daemon's executor: the supervisor and what surrounds it.
struct Hands {
    engine: Engine,
    account: Account,
    program: PathBuf,
    supervisor: Option<Supervisor>,
    observer: Box<dyn Observer>,
}

impl Daemon {
    /// Takes the data directory over: makes sure that nothing of an earlier daemon lives, starts the supervisor,
    /// registers the node and writes down what was lost.
    ///
    /// # Errors
    /// Processes of an earlier daemon cannot be ended, the supervisor cannot be started, or the store fails.
    pub fn start(engine: Engine, lock: Lock, options: Options) -> Result<Self, String> {
        let id = NodeId(clock::random());
        let account = Account::own();
        let mut hands = Hands {
            engine: engine.clone(),
            account,
            program: options.program,
            supervisor: None,
            observer: options.observer,
        };
        let mut node = Node::new(engine.clone(), id, options.slots, options.shadow);
        let leased = block_on(leased_runs(&engine)).map_err(|e| e.to_string())?;
        let starts = journal::read(&engine.data().journal());
        journal::kill_survivors(&starts, &leased)?;
        hands.start_supervisor(&lock).map_err(|e| format!("the supervisor cannot be started: {e}"))?;
        let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
        let since = engine.clock().now();
        let row = NodeRow { id, host, since, cycle: 0 };
        block_on(engine.store().register_node(row)).map_err(|e| e.to_string())?;
        for run in block_on(node.recover_once(&starts, &mut hands)).map_err(|e| e.to_string())? {
            hands
                .observer
                .remark(&format!("run {} was under way when the last daemon ended; it is lost", run.id));
        }
        let facts = DaemonFacts { node: id.to_string(), shadow: options.shadow, owner: options.owner };
        engine.set_daemon(facts);
        let timer = Timer::new().map_err(|e| e.to_string())?;
        Ok(Self { engine, node, hands, lock, timer })
    }

    /// Turns the cycle until it is told to end, then ends the jobs and records their ends.
    ///
    /// # Errors
    /// The store failed in a way after which only a restart helps.
    pub fn run(mut self) -> Result<(), String> {
        if let Err(error) = block_on(self.engine.fire_boot(clock::boot_id())) {
            self.hands.observer.remark(&format!("boot triggers could not be fired: {error}"));
        }
        loop {
            if self.take_messages() {
                return self.shut_down();
            }
            let wake = match self.cycle_contained() {
                Ok(cycled) => self.wake(&cycled),
                Err(error) => {
                    self.check(&error)?;
                    self.engine.clock().now().saturating_add(RETRY)
                }
            };
            if !self.node.has_ended() {
                self.timer
                    .wait(wake, self.engine.inbox().event())
                    .map_err(|e| format!("the timer failed: {e}"))?;
            }
        }
    }

    /// A cycle; a panic in it is an error like another, and the timer goes on.
    fn cycle_contained(&mut self) -> Result<Cycled, EngineError> {
        let cycle = AssertUnwindSafe(|| block_on(self.node.cycle_once(&mut self.hands)));
        catch_unwind(cycle).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            self.engine.set_aside(format!("a cycle panicked, and the next goes on: {text}"));
            Ok(Cycled::default())
        })
    }

    /// When to look again if nothing happens before.
    fn wake(&self, cycled: &Cycled) -> Timestamp {
        let now = self.engine.clock().now();
        let latest = now.saturating_add(LOOK_AGAIN);
        match cycled.next {
            // What is due and could not be started waits for a slot, whose return is a message.
            Some(next) if next <= now && cycled.started + cycled.finished == 0 => now.saturating_add(RETRY),
            Some(next) => next.min(latest),
            None => latest,
        }
    }

    /// True if the daemon is to end.
    fn take_messages(&mut self) -> bool {
        let mut end = false;
        for message in self.engine.inbox().take() {
            match message {
                Message::Wake => {}
                Message::Report(Some(report)) => self.node.report(&report),
                Message::Report(None) => self.replace_supervisor(),
                Message::Stop { run, fence } => self.hands.stop(run, fence),
                Message::Remark(text) => self.hands.observer.remark(&text),
                Message::Shutdown => end = true,
            }
        }
        end
    }

    /// The supervisor is gone, and with it the record of how its attempts end.
    fn replace_supervisor(&mut self) {
        let Some(gone) = self.hands.supervisor.take() else { return };
        gone.wait();
        self.hands.observer.remark("the supervisor ended; its attempts are killed and recorded as lost");
        let starts = journal::read(&self.engine.data().journal());
        match journal::kill_survivors(&starts, &self.node.running()) {
            Ok(()) => self.node.lose_all(),
            Err(error) => self.hands.observer.remark(&error),
        }
        if let Err(error) = self.hands.start_supervisor(&self.lock) {
            self.hands.observer.remark(&format!("the supervisor cannot be started: {error}"));
        }
    }

    fn shut_down(mut self) -> Result<(), String> {
        let limit = Monotonic::now().after(self.node.grace_max() + SHUTDOWN);
        if let Some(supervisor) = &self.hands.supervisor {
            supervisor.send(&Request::Shutdown);
        }
        while self.node.busy() > 0 {
            if self.node.has_ended() {
                match block_on(self.node.settle_once(&mut self.hands)) {
                    Ok(()) => {}
                    Err(error) => self.check(&error)?,
                }
            }
            let left = limit.until_from(Monotonic::now());
            if left.is_zero() {
                self.hands
                    .observer
                    .remark("some attempts did not end in time; the next start records them as lost");
                break;
            }
            if self.node.busy() > 0 && !self.node.has_ended() {
                let wake = self.engine.clock().now().saturating_add(left.min(RETRY));
                self.timer
                    .wait(wake, self.engine.inbox().event())
                    .map_err(|e| format!("the timer failed: {e}"))?;
            }
            for message in self.engine.inbox().take() {
                match message {
                    Message::Report(Some(report)) => self.node.report(&report),
                    Message::Report(None) => self.node.lose_all(),
                    _ => {}
                }
            }
        }
        if let Some(supervisor) = self.hands.supervisor.take() {
            supervisor.wait();
        }
        self.engine.store().close();
        Ok(())
    }

    /// After a failed write nothing that was read can be trusted: the process ends, and the next start recovers.
    fn check(&mut self, error: &EngineError) -> Result<(), String> {
        self.hands.observer.remark(&format!("a cycle failed and is repeated: {error}"));
        match error {
            EngineError::Store(
                StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::Closed | StoreError::Version(_),
            ) => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

async fn leased_runs(engine: &Engine) -> Result<Vec<String>, StoreError> {
    let filter = punctual_store::RunFilter { unfinished: true, limit: 10_000, ..Default::default() };
    let runs = engine.store().runs(filter).await?;
    Ok(runs.iter().filter(|r| matches!(r.state, RunState::Leased(_))).map(|r| r.id.to_string()).collect())
}

impl Hands {
    fn start_supervisor(&mut self, lock: &Lock) -> io::Result<()> {
        let inbox = self.engine.inbox().clone();
        let report = move |report| inbox.send(Message::Report(report));
        let lock = lock.descriptor()?;
        let journal = self.engine.data().journal();
        self.supervisor = Some(Supervisor::start(&self.program, &journal, Some(&lock), report)?);
        Ok(())
    }

    fn request(&self, job: &Job, process: &Process, run: &Run, suffix: &str) -> Result<(), String> {
        let log = self.engine.data().log(run.id, run.next_attempt());
        let log = if suffix.is_empty() { log } else { log.with_extension(format!("{suffix}.log")) };
        let mut start = executor::start(job, process, run, log, &self.account)?;
        start.attempt.run.push_str(suffix);
        let Some(supervisor) = &self.supervisor else { return Err("there is no supervisor".into()) };
        supervisor.send(&Request::Start(Box::new(start)));
        Ok(())
    }
}

impl Executor for Hands {
    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String> {
        match &job.action {
            Action::Run(process) => self.request(job, process, run, ""),
            Action::None | Action::Unsupported(_) => Ok(()),
        }
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.send(&Request::Stop { attempt: AttemptId { run: run.to_string(), fence: fence.0 } });
        }
    }

    fn finished(&mut self, job: &Job, run: &Run) {
        self.observer.finished(job, run);
        let RunState::Finished { verdict, .. } = run.state else { return };
        let badly = matches!(verdict, Verdict::Failed | Verdict::Timeout | Verdict::Lost | Verdict::Expired);
        if let (true, Action::Run(process)) = (badly, &job.on_failure) {
            let process = Process { stdin: Some(self.observer.notice(job, run)), ..process.clone() };
            if let Err(error) = self.request(job, &process, run, "-notify") {
                self.observer
                    .remark(&format!("the notification of run {} could not be started: {error}", run.id));
            }
        }
    }
}
