//! The daemon's heart: wait for the next instant or message, turn the cycle, start what it leased.
//!
//! The loop is level-triggered: whatever woke it, it asks the store what is due. A lost or a spurious wake-up
//! costs a look, never a run.

use crate::audit::{Auditor, Leased};
use crate::block_on::block_on;
use crate::checkpoints;
use crate::clock::{self, Monotonic};
use crate::data_dir::Lock;
use crate::error::EngineError;
use crate::executor::Account;
use crate::handlers::{Handlers, Pool};
use crate::hands::Hands;
use crate::inbox::{AtStop, Message};
use crate::node::{Cycled, Executor, Node};
use crate::past;
use crate::shared::{DaemonFacts, Engine};
use crate::supervisor::Supervisor;
use crate::supervisor::protocol::{Report, Request};
use crate::timer::Timer;
use punctual_core::error::{Code, Diagnostic, panic_text};
use punctual_core::failpoint;
use punctual_core::id::NodeId;
use punctual_core::job::Job;
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use punctual_store::StoreError;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

/// No wait is longer, so that a wake-up that got lost costs a minute at most.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Old checkpoints are looked for so often.
const PRUNE_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// After a store that could not do it, or work that cannot start yet.
const RETRY: Duration = Duration::from_millis(250);
/// Beyond the jobs' own grace, so long the daemon waits for their ends to be recorded.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Another daemon is attached to the supervisor.
const REPLACED: Code = Code("API035");
/// Between two looks at whether the supervisor has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// How a daemon is run.
pub struct Options {
    /// Attempts at once.
    pub slots: usize,
    /// Record what would start, and start nothing.
    pub shadow: bool,
    /// The definitions it serves, for people.
    pub owner: String,
    /// How attempts are carried out.
    pub work: Work,
    /// So long its jobs may live without a daemon, suspended time not counted.
    pub orphan_timeout: Duration,
    /// What is told of each run that ended.
    pub observer: Box<dyn Observer>,
}

/// How a daemon carries attempts out.
pub enum Work {
    /// As processes, by a supervisor. This program is supervisor and launcher too, under this path.
    Processes(PathBuf),
    /// As functions of this process, which end with it.
    Handlers(Handlers),
}

/// What is told of runs.
pub trait Observer: Send {
    /// The last attempt of a run ended; the decision is durable.
    fn attempted(&mut self, _job: &Job, _run: &Run) {}
    /// A run ended; the decision is durable.
    fn finished(&mut self, job: &Job, run: &Run);
    /// What a `notify` of a run that ended badly reads on its standard input.
    fn notice(&self, job: &Job, run: &Run) -> String;
    /// Something about the daemon itself that people should see.
    fn remark(&mut self, text: &str);
}

/// A daemon over an engine whose data directory this process has locked.
pub struct Daemon {
    pub(crate) engine: Engine,
    pub(crate) node: Node,
    pub(crate) hands: Hands,
    pub(crate) orphan_timeout: Duration,
    /// The node is registered, and no supervisor of its session was ever attached to.
    pub(crate) unused: bool,
    shadow: bool,
    owner: String,
    timer: Timer,
    /// When old checkpoints are looked for next.
    prune_at: Option<Timestamp>,
    /// What the last cycle failed with: it is said once, however often it is repeated.
    trouble: Option<String>,
    /// Held as long as this process writes to the store.
    _lock: Lock,
    /// Held where there is no supervisor and must be none.
    pub(crate) alone: Option<Lock>,
}

impl Daemon {
    /// Takes the data directory over: attaches to the supervisor whose jobs an earlier daemon left, or settles what that
    /// one held and starts another.
    ///
    /// # Errors
    /// Processes of an earlier supervisor cannot be ended, none can be started, or the store fails.
    pub fn start(engine: Engine, lock: Lock, options: Options) -> Result<Self, String> {
        engine.data().make_job_folders().map_err(|e| format!("{}: {e}", engine.data().root().display()))?;
        let (program, handlers) = match options.work {
            Work::Processes(program) => (Some(program), Handlers::new()),
            Work::Handlers(handlers) => (None, handlers),
        };
        let hands = Hands {
            engine: engine.clone(),
            account: Account::own(),
            program,
            supervisor: None,
            started: Vec::new(),
            handlers: Pool::new(handlers, engine.clock().clone(), engine.inbox().clone()),
            notices: BTreeSet::new(),
            notices_waiting: VecDeque::new(),
            paused: BTreeMap::new(),
            observer: options.observer,
        };
        // Its identity is the session's, see below.
        let node = Node::new(engine.clone(), NodeId(clock::random()), options.slots, options.shadow);
        let timer = Timer::new().map_err(|e| e.to_string())?;
        let (orphan_timeout, shadow, owner) = (options.orphan_timeout, options.shadow, options.owner);
        let mut daemon = Self {
            engine,
            node,
            hands,
            orphan_timeout,
            unused: false,
            shadow,
            owner,
            timer,
            prune_at: None,
            trouble: None,
            _lock: lock,
            alone: None,
        };
        // What waits for a run that has ended must be known to wait.
        block_on(daemon.engine.load_all()).map_err(|e| e.to_string())?;
        daemon.open_session()?;
        daemon.look_over()?;
        Ok(daemon)
    }

    /// Sees to triggers that stopped or are ahead of the clock.
    fn look_over(&mut self) -> Result<(), String> {
        let (engine, hands) = (&self.engine, &mut self.hands);
        if let Some(held) = block_on(engine.past()).map_err(|e| e.to_string())?.held() {
            let told = past::told(held);
            hands.observer.remark(&format!(
                "{told}; nothing is started until `punctual doctor store --accept` ({})",
                past::HELD
            ));
        }
        let rearmed = block_on(engine.rearm_all()).map_err(|e| e.to_string())?;
        if rearmed > 0 {
            hands.observer.remark(&format!("{rearmed} triggers had stopped, and fire again"));
        }
        if let Some(ahead) = block_on(engine.ahead_text()).map_err(|e| e.to_string())? {
            hands.observer.remark(&ahead);
        }
        Ok(())
    }

    /// Says which node this process is now.
    pub(crate) fn say_who(&self) {
        let (node, owner) = (self.node.id().to_string(), self.owner.clone());
        self.engine.set_daemon(DaemonFacts { node, shadow: self.shadow, owner });
    }

    pub(crate) fn remark(&mut self, text: &str) {
        self.hands.observer.remark(text);
    }

    /// Turns the cycle until it is told to end.
    ///
    /// # Errors
    /// The store failed in a way after which only a restart helps, or another daemon has taken the jobs over.
    pub fn run(mut self) -> Result<(), String> {
        if let Err(error) = block_on(self.engine.fire_boot(clock::boot_id())) {
            self.hands.observer.remark(&format!("boot triggers could not be fired: {error}"));
        }
        let auditor = Auditor::start(self.engine.clone());
        loop {
            let began = clock::since_boot();
            self.engine.pulse().turn(began);
            if let Some(at_stop) = self.take_messages()? {
                drop(auditor);
                return self.shut_down(at_stop);
            }
            for remark in self.engine.watch_clock() {
                self.hands.observer.remark(&remark);
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
                Ok(_) if self.part_with_outdated() => None,
                Ok(cycled) => Some(self.wake(&cycled)),
                Err(error) => {
                    self.check(&error)?;
                    retry(&self)
                }
            };
            let wake = if restored { wake } else { retry(&self) };
            self.keep_house();
            self.engine.pulse().turned(began, clock::since_boot(), self.engine.clock().now());
            if let Some(wake) = wake {
                self.wait(self.node.looks_at().map_or(wake, |looks| looks.min(wake)))?;
            }
        }
    }

    /// What is done beside the cycle, when its time has come.
    fn keep_house(&mut self) {
        let now = self.engine.clock().now();
        if self.node.looks_at().is_some_and(|at| at <= now) {
            self.look_at_length();
        }
        if self.prune_at.is_none_or(|at| at <= now) {
            self.prune_at = Some(now.saturating_add(PRUNE_AGAIN));
            checkpoints::prune(&self.engine);
        }
    }

    /// A cycle; a panic in it is an error like another, and the timer goes on.
    fn cycle_contained(&mut self) -> Result<Cycled, EngineError> {
        let cycle = AssertUnwindSafe(|| block_on(self.node.cycle_once(&mut self.hands)));
        catch_unwind(cycle).unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            self.engine.set_aside(format!("a cycle panicked, and the next goes on: {text}"));
            // What it had decided may not have been carried out to the end.
            self.node.doubt();
            Ok(Cycled { next: Some(self.engine.clock().now()), ..Cycled::default() })
        })
    }

    /// Says which attempts run much longer than usual; asks the history where that is not known.
    fn look_at_length(&mut self) {
        let look = self.node.look_at_length();
        for (run, _, stuck) in &look.stuck {
            let told = stuck.told(self.engine.clock().now());
            self.hands.observer.remark(&format!("run {run} {told}"));
        }
        if look.unknown.is_empty() {
            return;
        }
        let engine = self.engine.clone();
        // The history may be long, and the cycle must not wait for it.
        let _ = std::thread::Builder::new().name("lengths".into()).spawn(move || {
            for job in look.unknown {
                let took = block_on(engine.lengths(job)).unwrap_or_default();
                engine.inbox().send(Message::Took { job, took });
            }
        });
    }

    fn wait(&self, until: Timestamp) -> Result<(), String> {
        if self.hands.supervisor.as_ref().is_some_and(Supervisor::has_unread) {
            return Ok(());
        }
        let length = until.since(self.engine.clock().now());
        self.engine.pulse().rest(clock::since_boot(), length);
        let link = self.hands.supervisor.as_ref().map(Supervisor::poll_fd);
        let event = self.engine.inbox().event();
        self.timer.wait(length, event, link).map_err(|e| format!("the timer failed: {e}"))
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

    /// Takes what has come, and says whether the daemon is to end. What has ended is known before the cycle that fires
    /// at the same instant.
    ///
    /// # Errors
    /// Another daemon has taken the jobs over.
    fn take_messages(&mut self) -> Result<Option<AtStop>, String> {
        self.take_reports()?;
        let mut end = None;
        for message in self.engine.inbox().take() {
            match message {
                Message::Wake => {}
                Message::Unsure => self.node.doubt(),
                Message::Handled(handled) => self.node.handled(&handled),
                Message::Stop { run, fence } => self.hands.stop(run, fence),
                Message::Took { job, took } => self.node.learn_length(job, &took),
                Message::Leases(leases) => self.audit(&leases),
                Message::Remark(text) => self.hands.observer.remark(&text),
                Message::Shutdown(at_stop) => end = Some(at_stop),
            }
        }
        Ok(end)
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

    fn take_reports(&mut self) -> Result<(), String> {
        let Some(supervisor) = &mut self.hands.supervisor else { return Ok(()) };
        let reports = supervisor.receive();
        let (open, replaced) = (supervisor.is_open(), supervisor.is_replaced());
        for report in reports {
            failpoint::pass("report.received");
            if self.node.report(&report) {
                continue;
            }
            // A notification's, or one that is recorded already.
            if let Report::Ended(ended) = report {
                self.hands.notice_ended(&ended.attempt);
                self.hands.request(&Request::Ack { attempts: vec![ended.attempt] });
            }
        }
        if replaced {
            let message = "another daemon has taken over the jobs of this data directory";
            let hint = "was its lock file removed, or is it on a file system without locks?";
            return Err(Diagnostic::error(REPLACED, message).hint(hint).to_string());
        }
        if !open {
            self.hands.supervisor = None;
            self.hands.notices.clear();
            self.hands.observer.remark("the supervisor ended; what it had under way is killed");
        }
        Ok(())
    }

    /// Where there is no supervisor, comes to one. False if that must be tried again; nothing is started meanwhile.
    fn restore_supervisor(&mut self) -> bool {
        if self.hands.is_ready() {
            return true;
        }
        let restored = self.open_session();
        restored.map_err(|error| self.hands.observer.remark(&error)).is_ok()
    }

    /// A supervisor from before an upgrade makes room for another once it holds nothing. Whether it does now.
    fn part_with_outdated(&mut self) -> bool {
        let idle = self.node.busy() == 0 && self.hands.notices.is_empty();
        let outdated = self.hands.supervisor.take_if(|supervisor| idle && supervisor.is_outdated());
        outdated.map(Supervisor::leave).is_some()
    }

    fn shut_down(mut self, at_stop: AtStop) -> Result<(), String> {
        failpoint::reach("shutdown.begin").map_err(|e| e.to_string())?;
        let grace = if at_stop == AtStop::End { self.node.grace_max() } else { Duration::ZERO };
        let limit = Monotonic::now().after(grace + SHUTDOWN);
        if at_stop == AtStop::End {
            self.hands.request(&Request::Shutdown);
        }
        self.hands.handlers.stop_all();
        loop {
            if self.node.has_ended()
                && let Err(error) = block_on(self.node.settle_once(&mut self.hands))
            {
                self.check(&error)?;
            }
            let waits = match at_stop {
                AtStop::End => self.node.busy() > 0 || !self.hands.notices.is_empty(),
                AtStop::Leave => self.node.has_ended() || !self.hands.notices_waiting.is_empty(),
            };
            let left = limit.until_from(Monotonic::now());
            if !waits || left.is_zero() {
                break;
            }
            self.wait(self.engine.clock().now().saturating_add(left.min(RETRY)))?;
            self.take_messages()?;
            if self.hands.supervisor.is_none() {
                self.bury();
            }
        }
        self.part(at_stop);
        failpoint::reach("shutdown.settled").map_err(|e| e.to_string())?;
        self.engine.store().close();
        Ok(())
    }

    /// Leaves the supervisor, and with [`AtStop::End`] sees it end.
    fn part(&mut self, at_stop: AtStop) {
        let left = self.node.busy();
        if at_stop == AtStop::End && left > 0 {
            self.hands.observer.remark("some attempts did not end in time and are killed");
            self.hands.request(&Request::Kill);
        } else if left > 0 {
            let (them, timeout) = (counted(left, "attempt"), self.orphan_timeout.as_secs_f64());
            self.hands.observer.remark(&format!(
                "jobs under way go on ({them}); the next daemon adopts them, and without one they are ended after \
                 {timeout} s"
            ));
        }
        let Some(supervisor) = self.hands.supervisor.take() else { return };
        supervisor.leave();
        if at_stop == AtStop::Leave && (left > 0 || !self.hands.notices.is_empty()) {
            return;
        }
        // It has nothing left to do: its lock is free in a moment.
        let limit = Monotonic::now().after(SHUTDOWN);
        while self.engine.data().lock_supervisor().is_err() {
            if limit.until_from(Monotonic::now()).is_zero() {
                self.hands.observer.remark("the supervisor does not end; the next start sees to it");
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The supervisor ended while the daemon does.
    fn bury(&mut self) {
        let buried = match self.engine.data().lock_supervisor() {
            Ok(_lock) => self.settle_past(),
            Err(_) => return,
        };
        if let Err(error) = buried {
            self.hands.observer.remark(&error);
        }
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

/// `1 attempt`, `2 attempts`
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
