//! One node: the cycle, and what it keeps between cycles.
//!
//! A cycle is one transaction that settles the attempts that ended, fires what falls due, admits, chooses and
//! leases what can start here. Attempts are started after its commit, never before. Outcomes stay here until a
//! commit that holds them is known.

use crate::book::{Book, Effects};
use crate::error::EngineError;
use crate::executor;
use crate::handlers::Handled;
use crate::quarantine::Kinds;
use crate::shared::Engine;
use crate::stuck::Watch;
use crate::supervisor::protocol::{Ended, Report, SpawnError};
use punctual_core::attempt::{Attempt, Outcome};
use punctual_core::error::Code;
use punctual_core::failpoint;
use punctual_core::fire::Input;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::{Action, Job};
use punctual_core::run::{Run, RunEvent, RunState};
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use punctual_store::{Ask, Cycle, Done, Snapshot, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Items of a kind that one cycle takes at most.
pub(crate) const BATCH_MAX: usize = 10_000;

/// Queued runs that one cycle looks at, at least.
const LOOKED_AT: usize = 256;

/// The definition asks for something that this run does not have.
const NOT_IN_RUN: Code = Code("EXE013");
/// The job is for an executor that this build does not have.
const NO_EXECUTOR: Code = Code("EXE016");

/// How attempts are carried out. Ends come back through [`Node::ended`].
pub trait Executor {
    /// Whether attempts can be started now; while not, none is leased.
    fn is_ready(&self) -> bool {
        true
    }
    /// Starts an attempt of a leased run. An attempt that cannot start ends with the reason.
    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String>;
    /// Tells an attempt to end.
    fn stop(&mut self, run: RunId, fence: Fence);
    /// The last attempt of a run, as it stands now, ended by a decision that is durable.
    fn attempted(&mut self, _job: &Job, _run: &Run) {}
    /// A run ended by a decision that is durable.
    fn finished(&mut self, job: &Job, run: &Run);
    /// A job was paused because its runs ended badly; the decision is durable. Told before the end of the last of them.
    fn paused(&mut self, _job: &str, _reason: &str) {}
    /// The ends of these attempts are recorded, durably: nobody needs to keep them any more.
    fn recorded(&mut self, _attempts: &[(RunId, Fence)]) {}
}

/// A node.
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) engine: Engine,
    pub(crate) cycles: u64,
    /// Items of a kind that one cycle takes: halved when the store refuses a decision, doubled when it takes one.
    pub(crate) batch: usize,
    /// Runs whose decision was refused on its own; this node leaves them alone.
    pub(crate) shunned: BTreeSet<RunId>,
    slots: usize,
    shadow: bool,
    /// A commit whose answer was not seen turned out to have applied, or a panic came after one: not all that was
    /// leased may be known here.
    pub(crate) adrift: bool,
    /// Leased by this node and not known to have ended.
    pub(crate) running: BTreeMap<RunId, Running>,
    /// Ended, and not yet known to be recorded.
    pub(crate) ended: BTreeMap<(RunId, Fence), Attempt>,
    pub(crate) watch: Watch,
}

/// An attempt under way.
pub(crate) struct Running {
    pub(crate) run: Run,
    pub(crate) job: Arc<Job>,
    pub(crate) started: Option<Timestamp>,
}

/// What a cycle did.
#[derive(Clone, Debug, Default)]
pub struct Cycled {
    /// Triggers that were due.
    pub fired: usize,
    /// Runs whose attempts were started.
    pub started: usize,
    /// Runs that ended.
    pub finished: usize,
    /// The earliest instant at which something falls due; `None`: nothing is planned.
    pub next: Option<Timestamp>,
}

impl Node {
    /// A node of the engine that runs at most `slots` attempts at once; in shadow it starts none.
    pub fn new(engine: Engine, id: NodeId, slots: usize, shadow: bool) -> Self {
        Self {
            id,
            engine,
            cycles: 0,
            batch: BATCH_MAX,
            shunned: BTreeSet::new(),
            slots,
            shadow,
            adrift: false,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            watch: Watch::default(),
        }
    }

    /// How many attempts are under way or not yet recorded.
    pub fn busy(&self) -> usize {
        self.running.len()
    }

    /// Whether a cycle would record an end.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Becomes the node of another supervisor's session, which is registered in the store.
    pub fn begin_session(&mut self, id: NodeId) {
        self.id = id;
        self.cycles = 0;
    }

    /// Whose session it works in.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// One cycle: settle, fire, admit, choose, lease; commit; start.
    ///
    /// # Errors
    /// The store could not do it. What ended is kept for the next cycle.
    pub async fn cycle_once(&mut self, executor: &mut dyn Executor) -> Result<Cycled, EngineError> {
        failpoint::reach("cycle.before").map_err(|_| StoreError::Deadline)?;
        if self.adrift {
            self.catch_up(executor).await?;
        }
        let result = self.cycle_of(self.batch, Kinds::ALL, executor).await;
        match &result {
            Ok(_) => self.batch = (self.batch * 2).min(BATCH_MAX),
            Err(EngineError::Store(StoreError::Refused(why))) if self.batch == 1 => {
                let why = why.clone();
                self.isolate(&why, executor).await?;
            }
            Err(EngineError::Store(StoreError::Refused(_))) => self.batch /= 2,
            Err(_) => {}
        }
        result
    }

    /// Not all that was decided may have been carried out here: the next cycle looks first.
    pub fn doubt(&mut self) {
        self.adrift = true;
    }

    /// Whether this node has an attempt under way, or not yet recorded, under that lease.
    pub(crate) fn knows(&self, run: RunId, fence: Fence) -> bool {
        self.running.get(&run).is_some_and(|running| running.run.fence == fence)
    }

    /// A cycle that takes at most `batch` items of each of `kinds`.
    pub(crate) async fn cycle_of(
        &mut self,
        batch: usize,
        kinds: Kinds,
        executor: &mut dyn Executor,
    ) -> Result<Cycled, EngineError> {
        if self.has_ended() {
            failpoint::reach("settle.before").map_err(|_| StoreError::Deadline)?;
        }
        let now = self.engine.clock().now();
        // A store that came back is not fired from before somebody has said that it may be.
        let held = self.engine.past().await?.held().is_some();
        let kinds = if held { Kinds { due: false, queued: false, ..kinds } } else { kinds };
        let ended: BTreeMap<(RunId, Fence), Attempt> = match kinds.ended {
            true => self.ended.iter().take(batch).map(|(k, v)| (*k, v.clone())).collect(),
            false => BTreeMap::new(),
        };
        let mut ask = self.ask();
        let free = match sabotage!("slots-ignored") {
            true => usize::MAX,
            false => self.slots.saturating_sub(self.running.len() - self.settling()),
        };
        let slots = if executor.is_ready() && !held { free } else { 0 };
        ask.due = kinds.due.then_some((now, batch));
        // More than can start are looked at, so that what waits too long expires while every slot is taken.
        ask.queued = kinds.queued.then_some((now, slots.max(LOOKED_AT).min(batch)));
        ask.runs = ended.keys().map(|(run, _)| *run).collect();
        let (id, shadow, shunned) = (self.id, self.shadow, self.shunned.clone());
        let settled: Vec<(RunId, Fence)> = ended.keys().copied().collect();
        let (fired, effects, done) = self
            .write(ask, move |book, snapshot| {
                failpoint::pass("cycle.decide");
                settle(book, &ended);
                // Those that are left are due still, and the next cycle begins at once.
                for trigger in &snapshot.due {
                    if book.is_full() {
                        break;
                    }
                    match book.is_live(*trigger) {
                        true => book.fire(*trigger, &Input::Tick),
                        // Resuming its job brings it back.
                        false => book.park(*trigger),
                    }
                }
                book.expire();
                book.start(id, slots, shadow, &shunned);
                Ok(snapshot.due.len())
            })
            .await
            .inspect_err(|_| {
                if sabotage!("end-forgotten") {
                    settled.iter().for_each(|key| _ = self.ended.remove(key));
                }
            })?;
        if !settled.is_empty() {
            failpoint::pass("settle.after");
        }
        self.forget(&settled);
        executor.recorded(&settled);
        failpoint::pass("cycle.after-write");
        let mut cycled = Cycled { fired, finished: effects.finished.len(), ..Cycled::default() };
        self.carry_out(&effects, &done.taken, executor, &mut cycled);
        if !held {
            cycled.next = self.engine.store().earliest_due().await?;
        }
        Ok(cycled)
    }

    /// Records what has ended and starts nothing: the way to the daemon's own end.
    ///
    /// # Errors
    /// The store could not do it. What ended is kept.
    pub async fn settle_once(&mut self, executor: &mut dyn Executor) -> Result<(), EngineError> {
        let ended = self.ended.clone();
        let mut ask = self.ask();
        ask.runs = ended.keys().map(|(run, _)| *run).collect();
        let settled: Vec<(RunId, Fence)> = ended.keys().copied().collect();
        let (_, effects, done) = self
            .write(ask, move |book, _| {
                settle(book, &ended);
                Ok(())
            })
            .await?;
        self.forget(&settled);
        executor.recorded(&settled);
        self.carry_out(&effects, &done.taken, executor, &mut Cycled::default());
        Ok(())
    }

    /// The ends of these attempts are recorded.
    pub(crate) fn forget(&mut self, settled: &[(RunId, Fence)]) {
        for key in settled {
            self.ended.remove(key);
            // The run may have been leased again meanwhile.
            if self.running.get(&key.0).is_some_and(|running| running.run.fence == key.1) {
                self.running.remove(&key.0);
                self.engine.forget_start(key.0);
            }
        }
    }

    /// The end that would be recorded first.
    pub(crate) fn first_ended(&self) -> Option<(RunId, Fence)> {
        self.ended.keys().next().copied()
    }

    /// Gives up on recording an end here: its run stays leased until the next daemon finds it.
    pub(crate) fn drop_ended(&mut self, key: (RunId, Fence)) {
        self.ended.remove(&key);
    }

    /// What this node works on.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn carry_out(
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

    /// Takes a report of the supervisor. False if it is of no attempt that is under way here.
    pub fn report(&mut self, report: &Report) -> bool {
        match report {
            Report::Started { attempt, at_us, .. } => {
                let Ok(id) = attempt.run.parse() else { return false };
                let Some(running) = self.running.get_mut(&id) else { return false };
                if running.run.fence != Fence(attempt.fence) {
                    return false;
                }
                let at = self.engine.clock().of_wall(Timestamp::from_micros(*at_us));
                running.started = Some(at);
                self.watch.started(running.run.job, id, running.run.fence, at);
                self.engine.note_start(id, running.run.fence, at);
                true
            }
            Report::Ended(ended) => self.ended(ended),
            Report::Hello { .. }
            | Report::Attached { .. }
            | Report::Refused { .. }
            | Report::Replaced { .. } => false,
        }
    }

    /// Takes the end of an attempt. False if that is not under way here: its end is recorded already.
    pub fn ended(&mut self, ended: &Ended) -> bool {
        let Ok(id) = ended.attempt.run.parse::<RunId>() else { return false };
        let Some(running) = self.running.get(&id) else { return false };
        if running.run.fence != Fence(ended.attempt.fence) && !sabotage!("any-fence-settles") {
            return false;
        }
        let number = running.run.next_attempt();
        let ended = &executor::by_the_clock(self.engine.clock(), ended);
        let (job, fence) = (running.run.job, running.run.fence);
        let attempt = executor::attempt(ended, number, self.id, due_of(&running.run), &running.job);
        if let (Outcome::Success, Some(started)) = (attempt.outcome, attempt.started) {
            self.watch.succeeded(job, attempt.finished.since(started));
        }
        self.ended.insert((id, fence), attempt);
        true
    }

    /// Takes the end of a handler's attempt.
    pub fn handled(&mut self, handled: &Handled) {
        let Some(running) = self.running.get(&handled.run) else { return };
        if running.run.fence != handled.fence {
            return;
        }
        let attempt = executor::handled(handled, &running.run, self.id, due_of(&running.run), &running.job);
        self.ended.insert((handled.run, handled.fence), attempt);
    }

    /// The longest grace of the attempts under way.
    pub fn grace_max(&self) -> Duration {
        self.running.values().map(|r| r.job.grace).max().unwrap_or_default()
    }

    fn settling(&self) -> usize {
        let settling = |(run, fence): &&(RunId, Fence)| {
            self.running.get(run).is_some_and(|running| running.run.fence == *fence)
        };
        self.ended.keys().filter(settling).count()
    }

    pub(crate) fn ask(&self) -> Ask {
        Ask { cycle: Some(Cycle { node: self.id, number: self.cycles }), ..Ask::default() }
    }

    /// Writes through the engine and keeps this node's place in its sequence of cycles.
    pub(crate) async fn write<T, F>(
        &mut self,
        mut ask: Ask,
        work: F,
    ) -> Result<(T, Effects, Done), EngineError>
    where
        T: Send + 'static,
        F: Fn(&mut Book, &Snapshot) -> Result<T, EngineError> + Send + Sync + 'static,
    {
        let result = self.engine.write(&mut ask, work).await;
        if let Some(cycle) = ask.cycle {
            self.cycles = cycle.number;
        }
        if let Err(EngineError::Store(StoreError::CycleMoved { current })) = &result {
            self.cycles = *current;
            self.adrift = !sabotage!("unknown-is-lost");
        }
        result
    }
}

fn settle(book: &mut Book, ended: &BTreeMap<(RunId, Fence), Attempt>) {
    book.events(
        ended.iter().map(|((run, fence), attempt)| {
            (*run, RunEvent::Ended { fence: *fence, attempt: attempt.clone() })
        }),
    );
}

/// When the present attempt of a leased run was due to start.
pub(crate) fn due_of(run: &Run) -> Timestamp {
    match (&run.state, run.attempts.last()) {
        (RunState::Leased(lease), Some(_)) => lease.since,
        _ => run.due,
    }
}
