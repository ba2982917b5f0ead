//! What people asked for when the answer to its commit was not seen: the node finds out, and does what follows.

use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::job::Job;
use punctual_core::run::Run;
use punctual_core::spec::{Context, JobSpec, Source, load};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_engine::apply::ApplyMode;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::DataDir;
use punctual_engine::error::EngineError;
use punctual_engine::executor::attempt_id;
use punctual_engine::inbox::Message;
use punctual_engine::node::{Executor, Node};
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::protocol::Ended;
use punctual_store::faults::{self, Faults, Refuse};
use punctual_store::row::NodeRow;
use punctual_store::{Ask, Decision, Done, RunFilter, Store, StoreError};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Hides every answer.
struct Hidden;

impl Faults for Hidden {
    fn before(&mut self, _: &Ask) -> Result<Option<Refuse>, StoreError> {
        Ok(None)
    }

    fn after(&mut self, _: Option<&Decision>, answer: Result<Done, StoreError>) -> Result<Done, StoreError> {
        answer.and(Err(StoreError::CommitUnknown("hidden".into())))
    }

    fn read(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Default)]
struct Hands {
    started: Vec<Run>,
    stopped: Vec<(RunId, Fence)>,
}

impl Executor for Hands {
    fn start(&mut self, _: &Job, run: &Run) -> Result<(), String> {
        self.started.push(run.clone());
        Ok(())
    }

    fn stop(&mut self, run: RunId, fence: Fence) {
        self.stopped.push((run, fence));
    }

    fn finished(&mut self, _: &Job, _: &Run) {}
}

struct World {
    engine: Engine,
    node: Node,
    hands: Hands,
}

impl World {
    fn new() -> Self {
        let (store, clock) = (Store::memory(), Clock::manual(Timestamp::from_secs(1_795_510_800)));
        let data = DataDir::open(&std::env::temp_dir().join("punctual-sim")).expect("a directory");
        let row = NodeRow { id: NodeId(1), host: String::new(), since: clock.now(), cycle: 0 };
        block_on(store.register_node(row)).expect("registers");
        let engine = Engine::new(store, ZoneTable::bundled(), clock, data);
        let node = Node::new(engine.clone(), NodeId(1), 8, false);
        Self { engine, node, hands: Hands::default() }
    }

    fn apply(&self, yaml: &str) -> Result<(), EngineError> {
        block_on(self.engine.apply(specs(yaml), "", ApplyMode::Apply, false)).map(drop)
    }

    /// Time passes, and the cycle turns as the daemon's loop does.
    fn pass(&mut self, secs: u64) {
        self.engine.clock().advance(Duration::from_secs(secs));
        for message in self.engine.inbox().take() {
            match message {
                Message::Unsure => self.node.doubt(),
                Message::Stop { run, fence } => self.hands.stop(run, fence),
                _ => {}
            }
        }
        block_on(self.node.cycle_once(&mut self.hands)).expect("cycles");
    }
}

fn specs(yaml: &str) -> Vec<JobSpec> {
    let zones = ZoneTable::bundled();
    let context = Context {
        env: &|_| None,
        read: &|_, path| Err(format!("{path:?} is not there")),
        zones: &|name| zones.zone(name),
    };
    load(&[Source::new("test.yaml", yaml)], &context).expect("is well formed").jobs
}

/// Does something whose answer is not seen.
fn unseen<T>(ask: impl FnOnce() -> Result<T, EngineError>) {
    faults::arm(Some(Rc::new(RefCell::new(Hidden))));
    let answer = ask();
    faults::arm(None);
    assert!(matches!(answer, Err(EngineError::Store(StoreError::CommitUnknown(_)))));
}

#[test]
fn a_job_whose_apply_was_not_answered_follows_the_one_it_waits_for() {
    let mut world = World::new();
    let first = "{name: a, schedule: '* * * * *', run: ['true']}";
    world.apply(&format!("jobs: [{first}]")).expect("applies");
    let both = format!("jobs: [{first}, {{name: b, triggers: [{{after: a}}], run: ['true']}}]");
    unseen(|| world.apply(&both));
    world.pass(60);
    let run = world.hands.started.remove(0);
    let at = world.engine.clock().now().as_micros();
    world.node.ended(&Ended { started_us: Some(at), code: Some(0), ..Ended::at(attempt_id(&run), at) });
    world.pass(1);
    assert_eq!(world.hands.started.len(), 1, "b was not known to wait for a");
    assert_eq!(world.hands.started[0].key, format!("after:{}", run.id));
}

#[test]
fn an_attempt_whose_cancel_was_not_answered_is_told() {
    let mut world = World::new();
    world.apply("jobs: [{name: a, schedule: '* * * * *', run: ['true']}]").expect("applies");
    world.pass(60);
    let run = world.hands.started[0].clone();
    unseen(|| block_on(world.engine.cancel(run.id)));
    world.pass(1);
    assert_eq!(world.hands.stopped, [(run.id, run.fence)]);
}

#[test]
fn a_run_whose_submission_was_not_answered_is_found_by_its_key() {
    let world = World::new();
    world.apply("jobs: [{name: a, schedule: '0 0 1 1 *', run: ['true']}]").expect("applies");
    let submit = || block_on(world.engine.submit("a", Some("k".into()), serde_json::Map::new()));
    unseen(submit);
    let again = submit().expect("answers");
    assert!(again.existing);
    let filter = RunFilter { unfinished: true, limit: 10, ..RunFilter::default() };
    let runs = block_on(world.engine.store().runs(filter)).expect("lists");
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [again.run]);
}
