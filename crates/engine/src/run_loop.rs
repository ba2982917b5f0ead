//! The daemon's heart: wait for the next instant or message, turn the cycle, start what it leased.
//!
//! The loop is level-triggered: whatever woke it, it asks the store what is due. A lost or a spurious wake-up
//! costs a look, never a run.

use crate::audit::{Auditor, Leased};
use crate::block_on::block_on;
use crate::clock::{self, Monotonic};
use crate::data_dir::Lock;
use crate::error::EngineError;
use crate::executor::{self, Account};
use crate::handlers::{Handlers, Pool};
use crate::inbox::Message;
use crate::node::{Cycled, Executor, Node};
use crate::past;
use crate::shared::{DaemonFacts, Engine};
use crate::supervisor::protocol::{AttemptId, Report, Request, Start};
use crate::supervisor::{Supervisor, journal};
use crate::timer::Timer;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::{Action, Job, Process};
use punctual_core::run::{Run, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_store::row::NodeRow;
use punctual_store::{Ask, StoreError};
use std::collections::{BTreeSet, VecDeque};
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

/// Notifications at once, beside the attempts. Many runs may end badly at one instant.
const NOTICES_MAX: usize = 16;
/// Further ones wait; beyond this they are said to be left out.
const NOTICES_WAITING_MAX: usize = 1000;
/// A notification that takes longer is told to end.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(300);

/// How a daemon is run.
pub struct Options {
    /// Attempts at once.
    pub slots: usize,
    /// Record what would start, and start nothing.
    pub shadow: bool,
    /// The definitions it serves, for people.
    pub owner: String,
    /// The program that is supervisor and launcher; `None`: no process can be started here.
    pub program: Option<PathBuf>,
    /// The functions of this program that jobs may name.
    pub handlers: Handlers,
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
    /// What the last cycle failed with: it is said once, however often it is repeated.
    trouble: Option<String>,
}

/// The daemon's executor: the supervisor and what surrounds it.
struct Hands {
    engine: Engine,
    account: Account,
    program: Option<PathBuf>,
    supervisor: Option<Supervisor>,
    handlers: Pool,
    /// Notifications under way, and those that wait for one of them to end.
    notices: BTreeSet<AttemptId>,
    notices_waiting: VecDeque<Start>,
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
            handlers: Pool::new(options.handlers, engine.clock().clone(), engine.inbox().clone()),
            notices: BTreeSet::new(),
            notices_waiting: VecDeque::new(),
            observer: options.observer,
        };
        let mut node = Node::new(engine.clone(), id, options.slots, options.shadow);
        let leased = block_on(leased_runs(&engine, id)).map_err(|e| e.to_string())?;
        let journal = engine.data().journal();
        let starts = journal::read(&journal);
        journal::kill_survivors(&journal, &starts, &leased)?;
        hands.start_supervisor(&lock).map_err(|e| format!("the supervisor cannot be started: {e}"))?;
        let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
        let since = engine.clock().now();
        let row = NodeRow { id, host, since, cycle: 0 };
        block_on(engine.store().register_node(row)).map_err(|e| e.to_string())?;
        // What waits for a run that is lost must be known to wait.
        block_on(engine.load_all()).map_err(|e| e.to_string())?;
        hands.merge_journal(&starts).map_err(|e| e.to_string())?;
        for run in block_on(node.recover_once(&starts, &mut hands)).map_err(|e| e.to_string())? {
            hands
                .observer
                .remark(&format!("run {} was under way when the last daemon ended; it is lost", run.id));
        }
        let rearmed = block_on(engine.rearm_all()).map_err(|e| e.to_string())?;
        if rearmed > 0 {
            hands.observer.remark(&format!("{rearmed} triggers had stopped, and fire again"));
        }
        let ahead = block_on(engine.ahead()).map_err(|e| e.to_string())?;
        if let Some((count, until)) = ahead {
            hands.observer.remark(&format!(
                "the clock is behind what {count} triggers have seen, and none of them fires again before {until}; was \
                 it set back?"
            ));
        }
        let facts = DaemonFacts { node: id.to_string(), shadow: options.shadow, owner: options.owner };
        engine.set_daemon(facts);
        let timer = Timer::new().map_err(|e| e.to_string())?;
        Ok(Self { engine, node, hands, lock, timer, trouble: None })
    }

    /// Turns the cycle until it is told to end, then ends the jobs and records their ends.
    ///
    /// # Errors
    /// The store failed in a way after which only a restart helps.
    pub fn run(mut self) -> Result<(), String> {
        if let Err(error) = block_on(self.engine.fire_boot(clock::boot_id())) {
            self.hands.observer.remark(&format!("boot triggers could not be fired: {error}"));
        }
        let auditor = Auditor::start(self.engine.clone());
        loop {
            let began = clock::since_boot();
            self.engine.pulse().turn(began);
            if self.take_messages() {
                drop(auditor);
                return self.shut_down();
            }
            let retry = |daemon: &Self| Some(daemon.engine.clock().now().saturating_add(RETRY));
            let restored = self.restore_supervisor();
            let cycled = self.cycle_contained();
            if cycled.is_ok() && self.trouble.take().is_some() {
                self.hands.observer.remark("cycles succeed again");
            }
            let wake = match cycled {
                // What ended meanwhile is recorded at once.
                Ok(_) if self.node.has_ended() => None,
                Ok(cycled) => Some(self.wake(&cycled)),
                Err(error) => {
                    self.check(&error)?;
                    retry(&self)
                }
            };
            let wake = if restored { wake } else { retry(&self) };
            self.engine.pulse().turned(began, clock::since_boot(), self.engine.clock().now());
            if let Some(wake) = wake {
                self.wait(wake)?;
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
            // What it had decided may not have been carried out to the end.
            self.node.doubt();
            Ok(Cycled { next: Some(self.engine.clock().now()), ..Cycled::default() })
        })
    }

    fn wait(&self, until: Timestamp) -> Result<(), String> {
        self.engine.pulse().rest(clock::since_boot(), until.since(self.engine.clock().now()));
        self.timer.wait(until, self.engine.inbox().event()).map_err(|e| format!("the timer failed: {e}"))
    }

    /// When to look again if nothing happens before.
    fn wake(&self, cycled: &Cycled) -> Timestamp {
        let now = self.engine.clock().now();
        let latest = now.saturating_add(LOOK_AGAIN);
        match cycled.next {
            // What is due and could not be started waits for a slot, whose return is a message.
            Some(next) if next <= now && cycled.fired + cycled.started + cycled.finished == 0 => {
                now.saturating_add(RETRY)
            }
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
                Message::Report(Some(report)) if self.hands.notice_ended(&report) => {}
                Message::Report(Some(report)) => self.node.report(&report),
                Message::Handled(handled) => self.node.handled(&handled),
                Message::Report(None) => self.hands.supervisor_gone(),
                Message::Stop { run, fence } => self.hands.stop(run, fence),
                Message::Leases(leases) => self.audit(&leases),
                Message::Remark(text) => self.hands.observer.remark(&text),
                Message::Shutdown => end = true,
            }
        }
        end
    }

    /// Counts the leases that nobody holds, which only a start can have left behind.
    fn audit(&mut self, leases: &[Leased]) {
        let orphans = self.node.audit(leases);
        if orphans > 0 {
            self.hands.observer.remark(&format!(
                "{orphans} runs are leased to a node that is not there; a restart records them as lost"
            ));
        }
        self.engine.note_audit(|audited| audited.orphans += orphans as u64);
    }

    /// Where there is no supervisor, makes sure that nothing of it is left, writes down what is lost with it, and
    /// starts another. False if that must be tried again; nothing is started meanwhile.
    fn restore_supervisor(&mut self) -> bool {
        if self.hands.is_ready() {
            return true;
        }
        let restored = self.end_survivors().and_then(|()| {
            self.hands
                .start_supervisor(&self.lock)
                .map_err(|e| format!("the supervisor cannot be started: {e}"))?;
            self.hands.start_notices()
        });
        restored.map_err(|error| self.hands.observer.remark(&error)).is_ok()
    }

    /// Kills what a supervisor that is gone has left, and takes its attempts for lost.
    fn end_survivors(&mut self) -> Result<(), String> {
        let journal = self.engine.data().journal();
        journal::kill_survivors(&journal, &journal::read(&journal), &self.node.running())?;
        self.node.lose_all();
        Ok(())
    }

    fn shut_down(mut self) -> Result<(), String> {
        let limit = Monotonic::now().after(self.node.grace_max() + SHUTDOWN);
        if let Some(supervisor) = &self.hands.supervisor {
            supervisor.send(Request::Shutdown);
        }
        self.hands.handlers.stop_all();
        while self.node.busy() > 0 || !self.hands.notices.is_empty() {
            if self.node.has_ended()
                && let Err(error) = block_on(self.node.settle_once(&mut self.hands))
            {
                self.check(&error)?;
            }
            let left = limit.until_from(Monotonic::now());
            if left.is_zero() {
                let text = "some attempts did not end in time; the next start records them as lost";
                self.hands.observer.remark(text);
                break;
            }
            if self.node.busy() > 0 || !self.hands.notices.is_empty() {
                self.wait(self.engine.clock().now().saturating_add(left.min(RETRY)))?;
            }
            self.take_messages();
            if !self.hands.is_ready()
                && let Err(error) = self.end_survivors()
            {
                self.hands.observer.remark(&error);
            }
        }
        if let Some(supervisor) = self.hands.supervisor.take()
            && !supervisor.wait()
            && let Err(error) = self.end_survivors()
        {
            self.hands.observer.remark(&error);
        }
        self.engine.store().close();
        Ok(())
    }

    /// After a failed write nothing that was read can be trusted: the process ends, and the next start recovers.
    fn check(&mut self, error: &EngineError) -> Result<(), String> {
        let trouble = error.to_string();
        if self.trouble.as_ref() != Some(&trouble) {
            self.hands.observer.remark(&format!("a cycle failed and is repeated: {trouble}"));
            self.trouble = Some(trouble);
        }
        match error {
            EngineError::Store(
                StoreError::Io(_)
                | StoreError::Corrupt(_)
                | StoreError::Moved(_)
                | StoreError::Closed
                | StoreError::Version(_),
            ) => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

/// The runs that earlier nodes had under way.
async fn leased_runs(engine: &Engine, me: NodeId) -> Result<Vec<String>, EngineError> {
    let mut ask = Ask { leased_by_others_than: Some(me), ..Ask::default() };
    let leased = |run: &&Run| matches!(run.state, RunState::Leased(_));
    let (runs, ..) = engine
        .write(&mut ask, move |_, snapshot| {
            Ok(snapshot.runs.iter().filter(leased).map(|run| run.id.to_string()).collect())
        })
        .await?;
    Ok(runs)
}

impl Hands {
    /// Says that the store came back, if it did, and keeps what only the journal knows.
    fn merge_journal(&mut self, starts: &[journal::Start]) -> Result<(), EngineError> {
        let past = block_on(self.engine.past())?;
        if let Some(held) = past.held() {
            let unknown = block_on(self.engine.merge_starts(starts))?;
            let told = past::told(held);
            self.observer.remark(&format!(
                "{told}; nothing is started until `punctual doctor store --accept` ({})",
                past::HELD
            ));
            if unknown > 0 {
                self.observer.remark(&format!(
                    "the journal holds {unknown} starts that the store does not know; they are taken for lost"
                ));
            }
        }
        Ok(())
    }

    /// The supervisor's reports have ended, which they do not before this daemon closes the socket.
    fn supervisor_gone(&mut self) {
        if let Some(gone) = self.supervisor.take() {
            gone.wait();
            self.notices.clear();
            self.observer.remark("the supervisor ended; its attempts are killed and recorded as lost");
        }
    }

    fn start_supervisor(&mut self, lock: &Lock) -> io::Result<()> {
        let Some(program) = &self.program else { return Ok(()) };
        let inbox = self.engine.inbox().clone();
        let report = move |report| inbox.send(Message::Report(report));
        let lock = lock.descriptor()?;
        let journal = self.engine.data().journal();
        self.supervisor = Some(Supervisor::start(program, &journal, Some(&lock), report)?);
        Ok(())
    }

    fn request(&self, start: Start) -> Result<(), String> {
        let Some(supervisor) = &self.supervisor else {
            return Err("this program starts no processes; it was not told where `punctual` is".into());
        };
        supervisor.send(Request::Start(Box::new(start)));
        Ok(())
    }

    /// Starts the command that is told of a run which ended badly, or keeps it until others have ended.
    fn notify(&mut self, job: &Job, process: &Process, run: &Run) -> Result<(), String> {
        if self.notices_waiting.len() >= NOTICES_WAITING_MAX {
            return Err(format!("{NOTICES_WAITING_MAX} others wait for it"));
        }
        let process = Process { stdin: Some(self.observer.notice(job, run)), ..process.clone() };
        let log = self.engine.data().log(run.id, run.next_attempt()).with_extension("notify.log");
        let mut start = executor::start(job, &process, run, log, &self.account)?;
        start.attempt.run.push_str("-notify");
        let longest = u64::try_from(NOTICE_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
        start.timeout_ms = Some(start.timeout_ms.map_or(longest, |ms| ms.min(longest)));
        self.notices_waiting.push_back(start);
        self.start_notices()
    }

    fn start_notices(&mut self) -> Result<(), String> {
        while self.notices.len() < NOTICES_MAX
            && let Some(start) = self.notices_waiting.pop_front()
        {
            self.notices.insert(start.attempt.clone());
            self.request(start)?;
        }
        Ok(())
    }

    /// Whether it was a notification that ended; the next one starts.
    fn notice_ended(&mut self, report: &Report) -> bool {
        let Report::Ended(ended) = report else { return false };
        let known = self.notices.remove(&ended.attempt);
        if known && let Err(error) = self.start_notices() {
            self.observer.remark(&format!("a notification could not be started: {error}"));
        }
        known
    }
}

impl Executor for Hands {
    fn is_ready(&self) -> bool {
        self.supervisor.is_some() || self.program.is_none()
    }

    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String> {
        match &job.action {
            Action::Run(process) => {
                let log = self.engine.data().log(run.id, run.next_attempt());
                self.request(executor::start(job, process, run, log, &self.account)?)
            }
            Action::Handler(name) => {
                let log = self.engine.data().log(run.id, run.next_attempt());
                self.handlers.start(name, job, run, log)
            }
            Action::None | Action::Unsupported(_) => Ok(()),
        }
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        if self.handlers.stop(run, fence) {
            return;
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.send(Request::Stop { attempt: AttemptId { run: run.to_string(), fence: fence.0 } });
        }
    }

    fn finished(&mut self, job: &Job, run: &Run) {
        self.observer.finished(job, run);
        let RunState::Finished { verdict, .. } = run.state else { return };
        let badly = matches!(verdict, Verdict::Failed | Verdict::Timeout | Verdict::Lost | Verdict::Expired);
        if let (true, Action::Run(process)) = (badly, &job.on_failure)
            && let Err(error) = self.notify(job, process, run)
        {
            self.observer
                .remark(&format!("the notification of run {} could not be started: {error}", run.id));
        }
    }
}
