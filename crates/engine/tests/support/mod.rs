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
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::DataDir;
use punctual_engine::executor;
use punctual_engine::node::{Executor, Node};
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::journal::Past;
use punctual_engine::supervisor::protocol::Ended;
use punctual_engine::view::Tick;
use punctual_store::row::NodeRow;
use punctual_store::{Ask, Cycle, RunFilter, Store};
use std::collections::BTreeSet;
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
}

impl Executor for Hands {
    fn start(&mut self, job: &Job, run: &Run) -> Result<(), String> {
        assert!(matches!(job.action, Action::Run(_)));
        self.started.push(run.clone());
        Ok(())
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        self.stopped.push((run, fence));
    }

    fn finished(&mut self, _: &Job, run: &Run) {
        self.finished.push(run.clone());
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
        let clock = Clock::manual(START);
        let (engine, node) = start(&store, &clock, 1, slots);
        Self { store, clock, engine, node, hands: Hands::default(), nodes: 1, slots }
    }

    /// The daemon dies, its jobs with it, and another starts.
    pub fn crash(&mut self) {
        self.nodes += 1;
        (self.engine, self.node) = start(&self.store, &self.clock, self.nodes, self.slots);
        self.hands = Hands::default();
        block_on(self.engine.load_all()).expect("loads");
        block_on(self.node.recover_once(&Past::default(), &mut self.hands)).expect("recovers");
        assert_eq!(block_on(self.engine.rearm_all()).expect("rearms"), 0, "no trigger stops");
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

    /// Tells the node of an end.
    pub fn note_end(&mut self, run: &Run, code: i32) {
        let now = self.now().as_micros();
        self.node.ended(&Ended {
            started_us: Some(now),
            code: Some(code),
            ..Ended::at(executor::attempt_id(run), now)
        });
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
