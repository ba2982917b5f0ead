//! A node on the memory store with a clock and jobs that do what the test says.

#![allow(dead_code, reason = "each test file uses its part of it")]

use punctual_core::fire::Input;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::{Action, Job};
use punctual_core::run::{Run, RunState, Verdict};
use punctual_core::spec::{Context, JobSpec, Source, load};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_engine::apply::{ApplyMode, JobChange};
use punctual_engine::attach::Attached;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::DataDir;
use punctual_engine::executor;
use punctual_engine::node::{Executor, Node};
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::Session;
use punctual_engine::supervisor::journal::{Past, Start};
use punctual_engine::supervisor::protocol::{AttemptId, Ended, Running};
use punctual_engine::view::Tick;
use punctual_store::row::NodeRow;
use punctual_store::{Ask, Cycle, RunFilter, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// 2026-11-24T09:00:00Z, a Tuesday.
pub const START: Timestamp = Timestamp::from_secs(1_795_510_800);

/// What the node started and stopped.
#[derive(Default)]
pub struct Hands {
    pub started: Vec<Run>,
    pub stopped: Vec<(RunId, Fence)>,
    pub finished: Vec<Run>,
    pub supervisor: Supervisor,
}

/// What a supervisor knows: it outlives the daemon, or does not.
#[derive(Default)]
pub struct Supervisor {
    pub running: BTreeMap<AttemptId, Timestamp>,
    pub ended: BTreeMap<AttemptId, Ended>,
}

impl Supervisor {
    fn end(&mut self, ended: &Ended) -> bool {
        let ran = self.running.remove(&ended.attempt).is_some();
        if ran {
            self.ended.insert(ended.attempt.clone(), ended.clone());
        }
        ran
    }

    fn session(&self) -> Session {
        let running = |(attempt, at): (&AttemptId, &Timestamp)| Running {
            attempt: attempt.clone(),
            at_us: at.as_micros(),
            pid: 1,
        };
        Session {
            running: self.running.iter().map(running).collect(),
            ended: self.ended.values().cloned().collect(),
        }
    }

    fn journal(&self) -> Past {
        let start = |(attempt, at): (&AttemptId, &Timestamp)| Start {
            attempt: attempt.clone(),
            pid: 1,
            ticks: 0,
            at_us: at.as_micros(),
            gone: true,
        };
        Past {
            starts: self.running.iter().map(start).collect(),
            ends: self.ended.values().cloned().collect(),
        }
    }
}

impl Executor for Hands {
    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String> {
        assert!(matches!(job.action, Action::Run(_)));
        let (id, RunState::Leased(lease)) = (executor::attempt_id(run), &run.state) else {
            panic!("only what is leased is started: {run:?}")
        };
        assert!(!self.supervisor.ended.contains_key(&id), "{id:?} is started though it has ended");
        let before = self.supervisor.running.insert(id, lease.since);
        assert!(before.is_none(), "I-9: {run:?} is started though it runs");
        self.started.push(run.clone());
        Ok(())
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        self.stopped.push((run, fence));
    }

    fn finished(&mut self, _: &Job, run: &Run) {
        self.finished.push(run.clone());
    }

    fn recorded(&mut self, attempts: &[(RunId, Fence)]) {
        for (run, fence) in attempts {
            self.supervisor.ended.remove(&AttemptId { run: run.to_string(), fence: fence.0 });
        }
    }
}

/// One node, its store and its hands.
pub struct World {
    pub store: Store,
    pub clock: Clock,
    pub engine: Engine,
    pub node: Node,
    pub hands: Hands,
    nodes: u128,
    slots: usize,
}

impl World {
    pub fn new() -> Self {
        Self::with_slots(64)
    }

    pub fn with_slots(slots: usize) -> Self {
        Self::over(Store::memory(), slots)
    }

    pub fn over(store: Store, slots: usize) -> Self {
        Self::start(store, Clock::manual(START), slots)
    }

    pub fn with_clock(store: Store, clock: Clock) -> Self {
        Self::start(store, clock, 64)
    }

    fn start(store: Store, clock: Clock, slots: usize) -> Self {
        let (engine, node) = start(&store, &clock, 1, slots);
        Self { store, clock, engine, node, hands: Hands::default(), nodes: 1, slots }
    }

    /// The daemon dies, its jobs with it, and another starts.
    pub fn crash(&mut self) {
        self.nodes += 1;
        (self.engine, self.node) = start(&self.store, &self.clock, self.nodes, self.slots);
        let past = std::mem::take(&mut self.hands).supervisor.journal();
        block_on(self.engine.load_all()).expect("loads");
        block_on(self.node.recover_once(&past, &mut self.hands)).expect("recovers");
        assert_eq!(block_on(self.engine.rearm_all()).expect("rearms"), 0, "no trigger stops");
    }

    /// The daemon dies, its jobs live on, and the next one attaches to their supervisor.
    pub fn replace(&mut self) -> Attached {
        (self.engine, self.node) = start(&self.store, &self.clock, self.nodes, self.slots);
        block_on(self.engine.load_all()).expect("loads");
        let session = self.hands.supervisor.session();
        let attached = block_on(self.node.attach_once(&session, &mut self.hands)).expect("attaches");
        assert_eq!((attached.unknown_running.len(), attached.unknown_ended.len()), (0, 0), "{attached:?}");
        assert_eq!(block_on(self.engine.rearm_all()).expect("rearms"), 0, "no trigger stops");
        attached
    }

    pub fn apply(&self, yaml: &str) -> Vec<JobChange> {
        block_on(self.engine.apply(specs(yaml), "", ApplyMode::Apply, true)).expect("applies")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn cycle(&mut self) {
        block_on(self.node.cycle_once(&mut self.hands)).expect("cycles");
    }

    /// Moves the clock and turns the cycle once there.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.cycle();
    }

    /// Turns the cycle at each second of the way.
    pub fn live(&mut self, secs: u64) {
        for _ in 0..secs {
            self.advance(Duration::from_secs(1));
        }
    }

    /// Ends the oldest attempt under way with an exit code, and records it.
    pub fn end(&mut self, code: i32) -> Run {
        let run = self.hands.started.remove(0);
        self.end_run(&run, code);
        run
    }

    pub fn end_run(&mut self, run: &Run, code: i32) {
        self.note_end(run, code);
        self.cycle();
    }

    /// Tells the node of an end; one of an attempt that does not run is none.
    pub fn note_end(&mut self, run: &Run, code: i32) {
        let (ended, ran) = self.end_unseen(run, code);
        assert_eq!(self.node.ended(&ended), ran, "{run:?}");
    }

    /// An attempt ends, and nobody tells the node. Whether it ran.
    pub fn end_unseen(&mut self, run: &Run, code: i32) -> (Ended, bool) {
        let now = self.now().as_micros();
        let ended =
            Ended { started_us: Some(now), code: Some(code), ..Ended::at(executor::attempt_id(run), now) };
        self.hands.started.retain(|started| (started.id, started.fence) != (run.id, run.fence));
        let ran = self.hands.supervisor.end(&ended);
        (ended, ran)
    }

    /// Leases what is queued in the node's name, as a commit does whose answer the node never saw.
    pub fn commit_unseen(&mut self) {
        let id = NodeId(self.nodes);
        let number = block_on(self.store.node_cycle(id)).expect("reads").expect("is registered");
        let cycle = Some(Cycle { node: id, number });
        let mut ask =
            Ask { cycle, due: Some((self.now(), 100)), queued: Some((self.now(), 100)), ..Ask::default() };
        let lease = self.engine.write(&mut ask, move |book, snapshot| {
            snapshot.due.iter().for_each(|trigger| book.fire(*trigger, &Input::Tick));
            book.start(id, 64, false, &BTreeSet::new());
            Ok(())
        });
        block_on(lease).expect("commits");
    }

    pub fn runs(&self) -> Vec<Run> {
        let filter = RunFilter { unfinished: true, limit: 10_000, ..RunFilter::default() };
        block_on(self.store.runs(filter)).expect("lists")
    }

    pub fn run(&self, id: RunId) -> Run {
        block_on(self.store.run(id)).expect("reads").expect("is there")
    }

    pub fn verdict(&self, id: RunId) -> Option<Verdict> {
        match self.run(id).state {
            RunState::Finished { verdict, .. } => Some(verdict),
            _ => None,
        }
    }

    pub fn ticks(&self, job: &str) -> Vec<Tick> {
        block_on(self.engine.ticks(job, START, self.now().saturating_add(Duration::from_secs(1))))
            .expect("lists")
    }

    /// Each tick of a job as seconds since the start, disposition and reason.
    pub fn told(&self, job: &str) -> Vec<String> {
        let tell = |t: Tick| {
            let reason = t.reason.map(|r| format!(" {}", r.as_str())).unwrap_or_default();
            format!("{} {}{reason}", t.nominal.since(START).as_secs(), t.disposition.as_str())
        };
        self.ticks(job).into_iter().map(tell).collect()
    }
}

fn start(store: &Store, clock: &Clock, number: u128, slots: usize) -> (Engine, Node) {
    let data = DataDir::open(&std::env::temp_dir().join("punctual-engine-tests")).expect("a directory");
    let engine = Engine::new(store.clone(), ZoneTable::bundled(), clock.clone(), data);
    let row = NodeRow { id: NodeId(number), host: String::new(), since: clock.now(), cycle: 0 };
    block_on(store.register_node(row)).expect("registers");
    let node = Node::new(engine.clone(), NodeId(number), slots, false);
    (engine, node)
}

pub fn specs(yaml: &str) -> Vec<JobSpec> {
    let zones = ZoneTable::bundled();
    let context = Context {
        env: &|_| None,
        read: &|_, path| Err(format!("{} is not there", Path::new(path).display())),
        zones: &|name| zones.zone(name),
    };
    let loaded = load(&[Source::new("test.yaml", yaml)], &context);
    loaded.unwrap_or_else(|errors| panic!("{errors:?}")).jobs
}
