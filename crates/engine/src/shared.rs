//! What the threads of one process share: store, definitions, clock, and how to wake the node.

use crate::audit::Audited;
use crate::book::{Book, Effects};
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::definitions::Definitions;
use crate::error::EngineError;
use crate::inbox::{Inbox, Message};
use crate::past::Past;
use crate::pulse::{Beat, Pulse};
use crate::retention::Keep;
use crate::set_back::Repeated;
use crate::stuck::Stuck;
use punctual_core::id::{Fence, JobId, Revision, RunId};
use punctual_core::job::{Action, Job};
use punctual_core::run::{Run, RunState};
use punctual_core::sabotage;
use punctual_core::spec::JobSpec;
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_core::zone::ZoneTable;
use punctual_store::{Ask, Decision, Done, Snapshot, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// No store call waits longer to be tried.
pub const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// The engine of one process. Cloning it shares it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    definitions: RwLock<Arc<Definitions>>,
    clock: Clock,
    zones: ZoneTable,
    data: DataDir,
    inbox: Inbox,
    daemon: RwLock<Option<DaemonFacts>>,
    /// When attempts under way started; the store learns it with their end.
    started: Mutex<BTreeMap<RunId, (Fence, Timestamp)>>,
    /// Attempts under way that run much longer than usual.
    stuck: Mutex<BTreeMap<RunId, (Fence, Stuck)>>,
    /// What cursors were set back over; `None` until it is read.
    repeated: Mutex<Option<Arc<Repeated>>>,
    /// Items that were set aside because they could not be decided.
    quarantined: AtomicU64,
    /// Why the served definitions, as they stand in their files, are not in force.
    definitions_fault: Mutex<Option<String>>,
    /// What the store's comebacks mean; read when it is first needed.
    past: RwLock<Option<Arc<Past>>>,
    pulse: Pulse,
    audited: Mutex<Audited>,
    /// What a decision had to be followed by whose commit was not known to have applied: the node's cycle number
    /// before it, and where its effects will stand.
    unresolved: Mutex<Option<(u64, Told)>>,
    /// How much history and output is kept.
    keep: Mutex<Keep>,
}

/// Where a decision's effects stand, once it has been taken.
type Told = Arc<Mutex<Option<Arc<Effects>>>>;

/// What is said of a running daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonFacts {
    /// Its node's identity.
    pub node: String,
    /// Whether it starts nothing.
    pub shadow: bool,
    /// The definitions it serves; empty if none.
    pub owner: String,
}

impl Engine {
    /// An engine over an open store.
    pub fn new(store: Store, zones: ZoneTable, clock: Clock, data: DataDir) -> Self {
        let definitions = RwLock::new(Arc::new(Definitions::default()));
        let inner = Inner {
            store,
            definitions,
            clock,
            zones,
            data,
            inbox: Inbox::new(),
            daemon: RwLock::new(None),
            started: Mutex::default(),
            stuck: Mutex::default(),
            repeated: Mutex::default(),
            quarantined: AtomicU64::new(0),
            definitions_fault: Mutex::default(),
            past: RwLock::default(),
            pulse: Pulse::default(),
            audited: Mutex::default(),
            unresolved: Mutex::default(),
            keep: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Its zone table.
    pub fn zones(&self) -> &ZoneTable {
        &self.inner.zones
    }

    /// Its data directory.
    pub fn data(&self) -> &DataDir {
        &self.inner.data
    }

    /// How its node is told of things.
    pub fn inbox(&self) -> &Inbox {
        &self.inner.inbox
    }

    /// The daemon in this process, if there is one.
    pub fn daemon(&self) -> Option<DaemonFacts> {
        self.inner.daemon.read().expect("no holder of this lock panics").clone()
    }

    /// Says that this process is a daemon.
    pub fn set_daemon(&self, facts: DaemonFacts) {
        *self.inner.daemon.write().expect("no holder of this lock panics") = Some(facts);
    }

    /// Items that were set aside since the start because they could not be decided.
    pub fn quarantined(&self) -> u64 {
        self.inner.quarantined.load(Ordering::Relaxed)
    }

    /// Why the served definitions, as they stand in their files, are not in force; `None` if they are.
    pub fn definitions_fault(&self) -> Option<String> {
        self.inner.definitions_fault.lock().expect("no holder of this lock panics").clone()
    }

    /// Says why the served definitions could not be taken over, or that they were.
    pub fn set_definitions_fault(&self, fault: Option<String>) {
        *self.inner.definitions_fault.lock().expect("no holder of this lock panics") = fault;
    }

    pub(crate) fn past_known(&self) -> Option<Arc<Past>> {
        self.inner.past.read().expect("no holder of this lock panics").clone()
    }

    pub(crate) fn set_past(&self, past: Past) -> Arc<Past> {
        let past = Arc::new(past);
        *self.inner.past.write().expect("no holder of this lock panics") = Some(past.clone());
        past
    }

    /// The comebacks have changed: they are read again.
    pub(crate) fn forget_past(&self) {
        *self.inner.past.write().expect("no holder of this lock panics") = None;
    }

    /// What the node's loop touches.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.inner.pulse
    }

    /// How the node's loop does, without asking it or the store; `None` if no loop runs in this process.
    pub fn beat(&self) -> Option<Beat> {
        self.inner.pulse.beat(crate::clock::since_boot())
    }

    /// What the self-audit has seen to.
    pub fn audited(&self) -> Audited {
        *self.inner.audited.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn note_audit(&self, note: impl FnOnce(&mut Audited)) {
        note(&mut self.inner.audited.lock().expect("no holder of this lock panics"));
    }

    /// The effects of the decision that was unresolved, if the node's cycle number shows that it applied after all.
    pub(crate) fn take_unresolved(&self, cycles: u64) -> Option<Effects> {
        let (number, told) = self.inner.unresolved.lock().expect("no holder of this lock panics").take()?;
        let effects = told.lock().expect("no holder of this lock panics").take();
        effects.filter(|_| cycles > number).map(Arc::unwrap_or_clone)
    }

    /// How much history and output is kept.
    pub fn keep(&self) -> Keep {
        *self.inner.keep.lock().expect("no holder of this lock panics")
    }

    /// Says how much history and output is kept.
    pub fn set_keep(&self, keep: Keep) {
        *self.inner.keep.lock().expect("no holder of this lock panics") = keep;
    }

    pub(crate) fn known_repeated(&self) -> Option<Arc<Repeated>> {
        self.inner.repeated.lock().expect("no holder of this lock panics").clone()
    }

    pub(crate) fn know_repeated(&self, repeated: Repeated) -> Arc<Repeated> {
        let repeated = Arc::new(repeated);
        *self.inner.repeated.lock().expect("no holder of this lock panics") = Some(repeated.clone());
        repeated
    }

    pub(crate) fn count_quarantine(&self) {
        self.inner.quarantined.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the attempt under a lease has started.
    pub fn note_start(&self, run: RunId, fence: Fence, at: Timestamp) {
        self.inner.started.lock().expect("no holder of this lock panics").insert(run, (fence, at));
    }

    /// Forgets a start once its end is recorded.
    pub fn forget_start(&self, run: RunId) {
        self.inner.started.lock().expect("no holder of this lock panics").remove(&run);
        self.inner.stuck.lock().expect("no holder of this lock panics").remove(&run);
    }

    /// Notes that the attempt under a lease runs much longer than usual.
    pub fn note_stuck(&self, run: RunId, fence: Fence, stuck: Stuck) {
        self.inner.stuck.lock().expect("no holder of this lock panics").insert(run, (fence, stuck));
    }

    /// Runs that run much longer than usual.
    pub fn stuck(&self) -> Vec<RunId> {
        self.inner.stuck.lock().expect("no holder of this lock panics").keys().copied().collect()
    }

    /// Whether the present attempt of a run runs much longer than usual.
    pub fn stuck_of(&self, run: &Run) -> Option<Stuck> {
        let RunState::Leased(lease) = &run.state else { return None };
        let all = self.inner.stuck.lock().expect("no holder of this lock panics");
        all.get(&run.id).filter(|(fence, _)| *fence == lease.fence).map(|(_, stuck)| *stuck)
    }

    /// The run with the start of its present attempt, where that is known.
    pub fn with_start(&self, mut run: Run) -> Run {
        if let RunState::Leased(lease) = &mut run.state
            && let Some((fence, at)) =
                self.inner.started.lock().expect("no holder of this lock panics").get(&run.id)
            && *fence == lease.fence
        {
            lease.started = Some(*at);
        }
        run
    }

    /// The compiled definitions at hand.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.inner.definitions.read().expect("no holder of this lock panics").clone()
    }

    /// Adds compiled definitions.
    pub fn learn(&self, new: Vec<(JobId, Revision, Arc<Job>)>) {
        let mut shared = self.inner.definitions.write().expect("no holder of this lock panics");
        let definitions = Arc::make_mut(&mut shared);
        for (job, revision, definition) in new {
            definitions.insert(job, revision, definition);
        }
    }

    /// Remembers for whom jobs will wait if what is being decided is written: its answer may never be seen, and the runs
    /// they wait for end all the same.
    pub(crate) fn expect(&self, jobs: &[(JobId, Revision, Arc<Job>)]) {
        let mut shared = self.inner.definitions.write().expect("no holder of this lock panics");
        let waits = |job: &Job| job.triggers.iter().any(|t| matches!(t.when, When::After(_)));
        for (id, _, job) in jobs.iter().filter(|(_, _, job)| waits(job)) {
            Arc::make_mut(&mut shared).expect(*id, job);
        }
    }

    /// Jobs that were expected, asked for and not found.
    fn forget(&self, jobs: impl Iterator<Item = JobId>) {
        let mut shared = self.inner.definitions.write().expect("no holder of this lock panics");
        jobs.for_each(|id| Arc::make_mut(&mut shared).forget(id));
    }

    /// Loads and compiles definitions. One that cannot be compiled any more (a zone that is gone) loads as a job
    /// that fires no more and whose runs fail with the reason.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load(&self, wanted: &BTreeSet<(JobId, Revision)>) -> Result<(), StoreError> {
        let wanted: Vec<_> = wanted.iter().copied().collect();
        let rows = self.store().definitions(&wanted).await?;
        let compiled = rows.into_iter().map(|row| {
            let job = self.compile_text(&row.definition).unwrap_or_else(|why| broken(&why));
            (row.job, row.revision, Arc::new(job))
        });
        self.learn(compiled.collect());
        Ok(())
    }

    fn compile_text(&self, definition: &str) -> Result<Job, String> {
        let json = serde_json::from_str(definition).map_err(|e| e.to_string())?;
        let spec = JobSpec::from_json(&json).map_err(|e| format!("{e:?}"))?;
        self.compile(&spec).map_err(|e| e.to_string())
    }

    /// Compiles a definition with this engine's zone table.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(&self, spec: &JobSpec) -> Result<Job, EngineError> {
        spec.compile(&|name| self.zones().zone(name)).map_err(EngineError::Definition)
    }

    /// Opens the book on what `ask` names, lets `work` decide, and writes. `work` may be called several times.
    /// A node's cycle in `ask` is moved along with every transaction.
    ///
    /// # Errors
    /// What `work` refused, or what the store could not do; nothing has changed then, but for a commit whose
    /// answer was not seen and which no cycle vouches for.
    pub async fn write<T, F>(&self, ask: &mut Ask, work: F) -> Result<(T, Effects, Done), EngineError>
    where
        T: Send + 'static,
        F: Fn(&mut Book, &Snapshot) -> Result<T, EngineError> + Send + Sync + 'static,
    {
        self.decide(ask, work, true).await
    }

    /// As [`Engine::write`], but writes nothing: what would be decided.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub async fn look<T, F>(&self, ask: &mut Ask, work: F) -> Result<T, EngineError>
    where
        T: Send + 'static,
        F: Fn(&mut Book, &Snapshot) -> Result<T, EngineError> + Send + Sync + 'static,
    {
        Ok(self.decide(ask, work, false).await?.0)
    }

    async fn decide<T, F>(
        &self,
        ask: &mut Ask,
        work: F,
        writes: bool,
    ) -> Result<(T, Effects, Done), EngineError>
    where
        T: Send + 'static,
        F: Fn(&mut Book, &Snapshot) -> Result<T, EngineError> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let past = self.past().await?;
        let mut forgotten = BTreeSet::new();
        loop {
            let answer = Arc::new(Mutex::new(None));
            let told: Told = Arc::default();
            let repeated = self.repeated().await?;
            let decide = {
                let (answer, told, work) = (answer.clone(), told.clone(), work.clone());
                let (definitions, clock) = (self.definitions(), self.inner.clock.clone());
                let past = past.clone();
                Box::new(move |snapshot: &Snapshot| {
                    let book = Book::new(snapshot, definitions.clone(), repeated.clone(), clock.now());
                    let mut book = book.after(past.clone());
                    let result = work(&mut book, snapshot);
                    let (decision, effects) = book.close();
                    let effects = Arc::new(effects);
                    let complete = effects.missing.is_empty() && effects.unread.is_empty() && writes;
                    let written = if result.is_ok() && complete { decision } else { Decision::default() };
                    let follows = (result.is_ok() && complete).then(|| effects.clone());
                    *told.lock().expect("no holder of this lock panics") = follows;
                    *answer.lock().expect("no holder of this lock panics") = Some((result, effects));
                    written
                })
            };
            let done = self.store().transact(ask.clone(), STORE_DEADLINE, decide).await;
            let answer = answer.lock().expect("no holder of this lock panics").take();
            let done = match (done, &answer) {
                (Err(StoreError::CommitUnknown(why)), Some((_, effects))) => {
                    match self.resolve(ask, effects, why).await {
                        Ok(done) => done,
                        Err(error) => {
                            self.leave_unresolved(ask, told);
                            return Err(error.into());
                        }
                    }
                }
                (Err(error @ StoreError::CommitUnknown(_)), None) => {
                    self.leave_unresolved(ask, told);
                    return Err(error.into());
                }
                (Err(_), Some(_)) if sabotage!("start-before-commit") => Done::default(),
                (done, _) => done?,
            };
            let (result, effects) = answer.ok_or(EngineError::Store(StoreError::Closed))?;
            if let Some(cycle) = &mut ask.cycle {
                cycle.number += 1;
            }
            if effects.missing.is_empty() && effects.unread.is_empty() {
                for trigger in effects.gave_up.iter().filter(|_| writes && result.is_ok()) {
                    self.set_aside(format!("{trigger} fires no more: its next instant cannot be found"));
                }
                // Nobody else has them then, and there may be thousands of runs in them.
                told.lock().expect("no holder of this lock panics").take();
                return result.map(|value| (value, Arc::unwrap_or_clone(effects), done));
            }
            self.learn_missing(ask, &effects, &mut forgotten).await?;
        }
    }

    /// Loads what a decision needed. Each round must bring something that was not at hand, or rule it out: definitions and
    /// jobs are many but not endless, so that a long chain of jobs that wait for each other is decided in the end.
    async fn learn_missing(
        &self,
        ask: &mut Ask,
        effects: &Effects,
        forgotten: &mut BTreeSet<JobId>,
    ) -> Result<(), EngineError> {
        self.load(&effects.missing).await?;
        let known = self.definitions();
        let is_gone = |(job, revision): &&(JobId, Revision)| known.job(*job, *revision).is_none();
        let gone = effects.missing.iter().filter(is_gone).count();
        let (asked, unread): (Vec<JobId>, Vec<JobId>) =
            effects.unread.iter().partition(|job| ask.jobs.contains(job));
        let mut ruled_out = 0;
        for job in &asked {
            ruled_out += usize::from(forgotten.insert(*job));
        }
        if gone > 0 || (effects.missing.is_empty() && unread.is_empty() && ruled_out == 0) {
            let what = "definitions or triggers that runs refer to are missing";
            return Err(EngineError::Store(StoreError::Unreadable(what.into())));
        }
        self.forget(asked.into_iter());
        ask.jobs.extend(unread);
        Ok(())
    }

    /// Keeps what a decision must be followed by until it is known whether it applied.
    fn leave_unresolved(&self, ask: &Ask, told: Told) {
        if let Some(cycle) = ask.cycle {
            let mut unresolved = self.inner.unresolved.lock().expect("no holder of this lock panics");
            *unresolved = Some((cycle.number, told));
        }
    }

    /// A commit's answer was not seen: the node's cycle tells whether it applied, and the runs themselves which of
    /// the leases are this decision's.
    async fn resolve(&self, ask: &Ask, effects: &Effects, why: String) -> Result<Done, StoreError> {
        let Some(cycle) = ask.cycle else {
            // What it leased or stopped, if it did, is for the node to find.
            self.inbox().send(Message::Unsure);
            return Err(StoreError::CommitUnknown(why));
        };
        if sabotage!("unknown-is-applied") {
            return Ok(Done::default());
        }
        if sabotage!("unknown-is-lost") {
            return Err(StoreError::Deadline);
        }
        if self.store().node_cycle(cycle.node).await? != Some(cycle.number + 1) {
            return Err(StoreError::Deadline);
        }
        let mut done = Done::default();
        for run in &effects.leased {
            if self.store().run(run.id).await?.is_none_or(|stored| stored.state != run.state) {
                done.taken.push(run.id);
            }
        }
        Ok(done)
    }

    /// Tells the node what follows from a decision that was taken outside its cycle.
    pub fn follow(&self, effects: &Effects) {
        for (run, fence) in effects.stopped.iter().filter(|_| !sabotage!("stop-not-sent")) {
            self.inbox().send(Message::Stop { run: *run, fence: *fence });
        }
        self.inbox().send(Message::Wake);
    }
}

/// What stands in for a definition that cannot be compiled.
fn broken(why: &str) -> Job {
    Job {
        name: String::new(),
        triggers: Vec::new(),
        action: Action::Unsupported(format!("definition ({why})")),
        overlap: punctual_core::job::Overlap::Allow,
        retry: punctual_core::retry::Retry::NONE,
        on_lost: punctual_core::job::OnLost::Fail,
        timeout: None,
        no_progress_timeout: None,
        grace: Duration::from_secs(10),
        start_deadline: None,
        queue: "normal".into(),
        priority: 0,
        output: punctual_core::job::Output { bytes_max: 1024 * 1024, direct: false, redact: Vec::new() },
        zone: punctual_core::zone::Zone::utc(),
        trigger_zones: Vec::new(),
        on_failure: Action::None,
        success: punctual_core::job::Success::default(),
        pause_after_failures: None,
        checkpoint: false,
    }
}
