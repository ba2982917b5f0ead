//! One machine: a store, a clock, a supervisor and, most of the time, a daemon. The daemon is the real engine; what it
//! stands on is simulated.

use crate::check::{Checker, Doing};
use crate::hook::Hook;
use crate::plan::{Job, Plan};
use crate::rng::{self, Rng};
use crate::supervisor::{Supervisor, key_of};
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::{Action, Job as Definition};
use punctual_core::run::Run;
use punctual_core::spec::{Context, JobSpec, Source, load};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_engine::apply::ApplyMode;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::DataDir;
use punctual_engine::error::EngineError;
use punctual_engine::inbox::Message;
use punctual_engine::node::{Cycled, Executor, Node};
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::journal::Past;
use punctual_engine::supervisor::protocol::Report;
use punctual_store::row::NodeRow;
use punctual_store::{Store, StoreError, faults};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;

/// The daemon's executor: it hands on to the supervisor what the checker has seen.
struct Hands {
    checker: Rc<RefCell<Checker>>,
    supervisor: Rc<RefCell<Supervisor>>,
    hook: Rc<RefCell<Hook>>,
    clock: Clock,
    slots: usize,
    /// The daemon ends after so many further starts.
    starts_left: Option<u32>,
    log: Vec<String>,
}

impl Executor for Hands {
    fn is_ready(&self) -> bool {
        self.supervisor.borrow().up
    }

    fn start(&mut self, job: &Definition, run: &Run) -> Result<(), String> {
        if self.hook.borrow().dead {
            return Ok(());
        }
        if self.starts_left == Some(0) {
            self.starts_left = None;
            self.hook.borrow_mut().dead = true;
            return Ok(());
        }
        self.starts_left = self.starts_left.map(|left| left - 1);
        if !matches!(job.action, Action::Run(_)) {
            return Ok(());
        }
        if !self.supervisor.borrow().up {
            return Err("there is no supervisor".into());
        }
        self.checker.borrow_mut().started(run, self.slots);
        let timeout = job.timeout.map(|limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
        let now = self.clock.now().as_micros();
        self.supervisor.borrow_mut().start((run.id, run.fence), now, timeout);
        self.log.push(format!("  starts {} {}", run.id, run.fence.0));
        Ok(())
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        if !self.hook.borrow().dead {
            self.supervisor.borrow_mut().stop((run, fence));
            self.log.push(format!("  stops {run} {}", fence.0));
        }
    }

    fn finished(&mut self, _: &Definition, _: &Run) {}

    fn recorded(&mut self, attempts: &[(RunId, Fence)]) {
        if !self.hook.borrow().dead {
            attempts.iter().for_each(|key| self.supervisor.borrow_mut().acknowledge(*key));
        }
    }
}

/// A daemon that lives.
struct Daemon {
    engine: Engine,
    node: Node,
    /// Its node is registered, and no supervisor of that session was ever attached to.
    unused: bool,
}

/// One machine.
pub struct World {
    /// Its store.
    pub store: Store,
    /// The clock on its wall.
    pub clock: Clock,
    /// What is checked.
    pub checker: Rc<RefCell<Checker>>,
    /// What holds the processes.
    pub supervisor: Rc<RefCell<Supervisor>>,
    /// What befalls the store.
    pub hook: Rc<RefCell<Hook>>,
    hands: Hands,
    daemon: Option<Daemon>,
    data: DataDir,
    nodes: u128,
    /// Machine starts.
    pub boots: u32,
    slots: usize,
    /// What happened, and its hash.
    pub trace: Trace,
    /// When the last cycle asked for the next.
    pub wake: Option<Timestamp>,
}

/// What happened.
#[derive(Default)]
pub struct Trace {
    /// Of all lines.
    pub hash: u64,
    /// The lines, if they are kept.
    pub lines: Option<Vec<String>>,
}

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        self.hash = rng::hash(self.hash, text);
        if let Some(lines) = &mut self.lines {
            lines.push(text.to_owned());
        }
    }
}

thread_local! {
    static ZONES: ZoneTable = ZoneTable::bundled();
}

impl World {
    /// A machine over an empty store; its daemon has not started.
    ///
    /// # Panics
    /// The temporary directory cannot be used.
    pub fn new(store: Store, plan: &Plan, salt: u64, traced: bool) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(plan.start));
        let supervisor = Rc::new(RefCell::new(Supervisor::new(salt)));
        let checker = Rc::new(RefCell::new(Checker::new(clock.clone(), supervisor.clone())));
        let hook = Rc::new(RefCell::new(Hook::new(checker.clone())));
        faults::arm(Some(hook.clone()));
        let hands = Hands {
            checker: checker.clone(),
            supervisor: supervisor.clone(),
            hook: hook.clone(),
            clock: clock.clone(),
            slots: plan.slots,
            starts_left: None,
            log: Vec::new(),
        };
        let data = DataDir::open(&std::env::temp_dir().join("punctual-sim")).expect("a directory");
        let trace = Trace { hash: 0, lines: traced.then(Vec::new) };
        Self {
            store,
            clock,
            checker,
            supervisor,
            hook,
            hands,
            daemon: None,
            data,
            nodes: 0,
            boots: 1,
            slots: plan.slots,
            trace,
            wake: None,
        }
    }

    /// The clock now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a daemon lives.
    pub fn is_up(&self) -> bool {
        self.daemon.is_some()
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, text: &str) {
        let line = format!("{} {text}", self.now());
        self.trace.line(&line);
        self.note_hands();
    }

    fn note_hands(&mut self) {
        for line in std::mem::take(&mut self.hands.log) {
            self.trace.line(&line);
        }
    }

    /// Time passes for all.
    pub fn pass(&mut self, micros: i64) {
        let Clock::Manual(wall) = &self.clock else { return };
        wall.fetch_add(micros, Ordering::SeqCst);
        let now = self.now().as_micros();
        self.supervisor.borrow_mut().pass(micros, now);
    }

    /// The clock on the wall is set, and nothing else moves.
    pub fn step_clock(&mut self, micros: i64) {
        let Clock::Manual(wall) = &self.clock else { return };
        wall.fetch_add(micros, Ordering::SeqCst);
    }

    /// Starts a daemon, as `run_loop` does.
    ///
    /// # Errors
    /// The store could not do it; there is no daemon then.
    pub fn start(&mut self) -> Result<(), EngineError> {
        self.hook.borrow_mut().dead = false;
        self.hands.starts_left = None;
        self.checker.borrow_mut().doing = Doing::Cycle;
        let id = self.another_node();
        let zones = ZoneTable::bundled();
        let engine = Engine::new(self.store.clone(), zones, self.clock.clone(), self.data.clone());
        let node = Node::new(engine.clone(), id, self.slots, false);
        self.daemon = Some(Daemon { engine, node, unused: false });
        let started = self.begin();
        if started.is_err() || self.hook.borrow().dead {
            self.end_daemon();
            started?;
            return Err(EngineError::Store(StoreError::Closed));
        }
        self.check_leases();
        Ok(())
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        let engine = self.daemon.as_ref().expect("it was just made").engine.clone();
        block_on(engine.load_all())?;
        self.open_session()?;
        let rearmed = block_on(engine.rearm_all())?;
        if rearmed > 0 && !self.checker.borrow().poisoned {
            self.checker.borrow_mut().broken("L-7", format!("{rearmed} triggers had stopped"));
        }
        let boot = format!("boot{}", self.boots);
        self.checker.borrow_mut().doing = Doing::Boot(boot.clone());
        let booted = block_on(engine.fire_boot(boot));
        self.checker.borrow_mut().doing = Doing::Cycle;
        let remark = booted.map_or_else(|e| e.to_string(), |()| String::new());
        self.note(&format!("a daemon has started {remark}"));
        Ok(())
    }

    fn another_node(&mut self) -> NodeId {
        self.nodes += 1;
        NodeId(self.nodes)
    }

    /// Comes to a supervisor, as `session` does: attaches to the one that is there, or settles what an earlier one held
    /// and launches another.
    fn open_session(&mut self) -> Result<(), EngineError> {
        if !self.supervisor.borrow().up {
            let past = self.supervisor.borrow().past();
            if !self.daemon.as_ref().is_some_and(|daemon| daemon.unused) {
                let id = self.another_node();
                self.begin_session(id)?;
                self.daemon.as_mut().expect("it is there").unused = true;
            }
            let daemon = self.daemon.as_mut().expect("it is there");
            let lost = block_on(daemon.node.recover_once(&past, &mut self.hands))?;
            let id = daemon.node.id();
            self.supervisor.borrow_mut().launch(id);
            self.note(&format!("a supervisor has started, {} lost", lost.len()));
        }
        let session = self.supervisor.borrow().session;
        if self.daemon.as_ref().expect("it is there").node.id() != session {
            self.begin_session(session)?;
        }
        let told = self.supervisor.borrow_mut().attach();
        let daemon = self.daemon.as_mut().expect("it is there");
        daemon.unused = false;
        self.checker.borrow_mut().node = session;
        let attached = block_on(daemon.node.attach_once(&told, &mut self.hands))?;
        block_on(daemon.node.recover_once(&Past::default(), &mut self.hands))?;
        for attempt in attached.unknown_running {
            self.checker.borrow_mut().broken("I-9", format!("{attempt:?} lives and has no lease"));
            self.supervisor.borrow_mut().stop(key_of(&attempt));
        }
        for attempt in attached.unknown_ended {
            self.supervisor.borrow_mut().acknowledge(key_of(&attempt));
        }
        let (adopted, ended, started) = (attached.adopted, attached.ended, attached.started);
        self.note(&format!("attached: {adopted} adopted, {ended} ended, {started} started"));
        self.checker.borrow_mut().tally.add("attempts that a later daemon adopted", adopted as u64);
        self.checker.borrow_mut().tally.add("ends that a later daemon found", ended as u64);
        Ok(())
    }

    fn begin_session(&mut self, id: NodeId) -> Result<(), EngineError> {
        let row = NodeRow { id, host: String::new(), since: self.now(), cycle: 0 };
        if self.hook.borrow().dead {
            return Err(EngineError::Store(StoreError::Closed));
        }
        block_on(self.store.register_node(row))?;
        self.daemon.as_mut().expect("it is there").node.begin_session(id);
        self.checker.borrow_mut().node = id;
        Ok(())
    }

    /// No run is leased to the dead once a daemon has started.
    fn check_leases(&mut self) {
        let mut checker = self.checker.borrow_mut();
        let me = checker.node;
        let dead = checker.unfinished.iter().find(|id| match &checker.runs[*id].state {
            punctual_core::run::RunState::Leased(lease) => lease.owner != me,
            _ => false,
        });
        if let Some(run) = dead.copied() {
            checker.broken("I-13", format!("run {run} is leased to the dead"));
        }
    }

    /// The daemon ends; its supervisor and the jobs live on.
    pub fn end_daemon(&mut self) {
        self.daemon = None;
        self.wake = None;
        self.hands.starts_left = None;
        self.supervisor.borrow_mut().detach();
        self.note("the daemon has ended");
    }

    /// The machine ends, and all that runs on it.
    pub fn end_machine(&mut self, rng: &mut Rng) {
        self.end_daemon();
        let now = self.now().as_micros();
        self.supervisor.borrow_mut().die_with_machine(rng, now);
        self.boots += 1;
    }

    /// The daemon ends in the middle of the next starts, after so many of them; `None`: it does not.
    pub fn end_at_start(&mut self, after: Option<u32>) {
        self.hands.starts_left = after;
    }

    /// The supervisor is killed; the daemon sees that before its next cycle.
    pub fn lose_supervisor(&mut self) {
        self.supervisor.borrow_mut().die();
        self.note("the supervisor has ended");
    }

    /// Hands a report to the daemon.
    pub fn deliver(&mut self, report: &Report) {
        let Some(daemon) = &mut self.daemon else { return };
        let known = daemon.node.report(report);
        if let (false, Report::Ended(end)) = (known, report) {
            self.supervisor.borrow_mut().acknowledge(key_of(&end.attempt));
        }
        let Report::Ended(end) = report else { return };
        let key = key_of(&end.attempt);
        let text =
            format!("  {} {} (known: {known}) has ended: {:?} {:?}", key.0, key.1.0, end.code, end.told);
        self.trace.line(&text);
    }

    /// Takes what the daemon was told, as its loop does.
    fn take_messages(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let mut unsure = false;
        for message in daemon.engine.inbox().take() {
            match message {
                Message::Stop { run, fence } => self.hands.stop(run, fence),
                Message::Unsure => unsure = true,
                Message::Remark(text) => self.trace.line(&format!("  remark: {text}")),
                _ => {}
            }
        }
        if unsure {
            daemon.node.doubt();
        }
        self.note_hands();
    }

    /// Turns the cycle until it has nothing to do; whether all went well.
    pub fn cycle(&mut self) -> bool {
        for _ in 0..12 {
            if self.daemon.is_none() {
                return false;
            }
            self.take_messages();
            if !self.supervisor.borrow().up
                && let Err(error) = self.open_session()
            {
                self.note(&format!("no supervisor: {error}"));
            }
            if self.hook.borrow().dead {
                self.end_daemon();
                return false;
            }
            let daemon = self.daemon.as_mut().expect("it was there");
            let result = block_on(daemon.node.cycle_once(&mut self.hands));
            let again = daemon.node.has_ended();
            if self.hook.borrow().dead {
                self.end_daemon();
                return false;
            }
            match result {
                Ok(cycled) => {
                    self.note_cycle(&cycled);
                    self.wake = cycled.next;
                    self.check_started();
                    let more = cycled.next.is_some_and(|next| next <= self.now());
                    if !again && (!more || cycled.fired + cycled.started + cycled.finished == 0) {
                        if !more {
                            self.check_due();
                        }
                        return true;
                    }
                }
                Err(error) => {
                    self.note(&format!("a cycle fails: {error}"));
                    self.wake = None;
                    if fatal(&error) {
                        self.end_daemon();
                    }
                    return false;
                }
            }
        }
        true
    }

    fn note_cycle(&mut self, cycled: &Cycled) {
        let (fired, started, finished) = (cycled.fired, cycled.started, cycled.finished);
        self.note(&format!("a cycle: {fired} fired, {started} started, {finished} ended"));
    }

    /// Whatever this daemon leased has been started, once a cycle of it went well.
    fn check_started(&mut self) {
        let mut checker = self.checker.borrow_mut();
        let supervisor = self.supervisor.borrow();
        let me = checker.node;
        let forgotten = checker.unfinished.iter().find(|id| match &checker.runs[*id].state {
            punctual_core::run::RunState::Leased(lease) if lease.owner == me => {
                let run = &checker.runs[*id];
                let process = checker.definition(run.job, run.revision).process;
                process && !supervisor.truth.contains_key(&(**id, lease.fence))
            }
            _ => false,
        });
        if let Some(run) = forgotten.copied().filter(|_| !checker.poisoned) {
            checker.broken("I-8", format!("run {run} is leased and was never started"));
        }
        let untold = checker.unfinished.iter().find(|id| match &checker.runs[*id].state {
            punctual_core::run::RunState::Leased(lease) => {
                lease.stop.is_some() && supervisor.is_untold((**id, lease.fence))
            }
            _ => false,
        });
        if let Some(run) = untold.copied() {
            checker.broken("I-18", format!("run {run} was cancelled, and its process is not told"));
        }
    }

    /// Nothing is overdue once a cycle has nothing more to do.
    fn check_due(&mut self) {
        let now = self.now();
        let mut checker = self.checker.borrow_mut();
        if let Some(text) = checker.overdue(now, false).first().cloned().filter(|_| !checker.poisoned) {
            checker.broken("L-7", text);
        }
    }

    /// Asks the engine for something; nothing if there is no daemon.
    pub fn ask<T>(
        &mut self,
        doing: Doing,
        what: impl FnOnce(&Engine) -> Result<T, EngineError>,
    ) -> Option<Result<T, EngineError>> {
        let engine = self.daemon.as_ref()?.engine.clone();
        self.checker.borrow_mut().doing = doing;
        let answer = what(&engine);
        self.checker.borrow_mut().doing = Doing::Cycle;
        if self.hook.borrow().dead {
            self.end_daemon();
        }
        Some(answer)
    }

    /// Applies definitions; jobs that are not among them are retired.
    pub fn apply(&mut self, jobs: &[Job]) -> Option<Result<(), EngineError>> {
        let specs = specs(&crate::plan::yaml(jobs));
        self.ask(Doing::Apply, |engine| block_on(engine.apply(specs, "", ApplyMode::Apply, true)).map(|_| ()))
    }
}

/// After these the daemon ends and its next start recovers.
fn fatal(error: &EngineError) -> bool {
    use StoreError::{Closed, Corrupt, Io, Version};
    matches!(error, EngineError::Store(Io(_) | Corrupt(_) | Closed | Version(_)))
}

fn specs(yaml: &str) -> Vec<JobSpec> {
    ZONES.with(|zones| {
        let context = Context {
            env: &|_| None,
            read: &|_, path| Err(format!("{path:?} is not there")),
            zones: &|name| zones.zone(name),
        };
        let loaded = load(&[Source::new("sim.yaml", yaml)], &context);
        loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{yaml}")).jobs
    })
}
