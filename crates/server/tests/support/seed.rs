//! An engine over a store in memory, with one job and one run in each state.

use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::cron::Dialect;
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::{Disposition, Reason, Skip, SkipRange};
use punctual_core::run::{Hold, Lease, Run, RunState, Verdict};
use punctual_core::schedule::DstPolicy;
use punctual_core::spec::{JobSpec, RuleSpec, TriggerSpec};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_engine::apply::ApplyMode;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::DataDir;
use punctual_engine::shared::Engine;
use punctual_store::{Ask, Decision, Snapshot, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// 2026-11-24T09:00:00Z.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_510_800);

/// So many seconds after [`NOW`].
pub fn after(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

/// A directory that goes with the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("punctual-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The job `backup`, daily at 02:00 in Shanghai.
pub fn spec() -> JobSpec {
    let rule = RuleSpec::Cron {
        expression: "0 2 * * *".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        dst: DstPolicy::Debian,
        dialect: Dialect::Standard,
    };
    let trigger = TriggerSpec { name: Some("nightly".to_owned()), ..TriggerSpec::new(rule) };
    JobSpec { triggers: vec![trigger], ..JobSpec::named("backup") }
}

/// An engine without jobs, an hour before [`NOW`].
pub fn empty(scratch: &Scratch) -> Engine {
    let data = DataDir::open(scratch.path()).expect("the directory was made");
    Engine::new(Store::memory(), ZoneTable::bundled(), Clock::manual(after(-3600)), data)
}

/// An engine with the job, its runs and a skipped time; the clock stands at [`NOW`].
pub fn engine(scratch: &Scratch) -> Engine {
    let engine = empty(scratch);
    block_on(engine.apply(vec![spec()], "", ApplyMode::Apply, false)).expect("applied");
    engine.clock().advance(Duration::from_secs(3600));
    let range = SkipRange {
        first: after(-60),
        step: Duration::ZERO,
        count: 1,
        disposition: Disposition::Skipped,
        reason: Some(Reason::Overlap),
    };
    let skip = Skip { job: JobId(1), trigger: TriggerId(1), revision: Revision(1), range, at: after(-60) };
    write(&engine, Decision { runs_new: runs(), skips: vec![skip], ..Decision::default() });
    engine
}

/// Writes a decision about the job to the store.
pub fn write(engine: &Engine, decision: Decision) {
    let ask = Ask { jobs: vec![JobId(1)], ..Ask::default() };
    let decide = Box::new(move |_: &Snapshot| decision.clone());
    let done = block_on(engine.store().transact(ask, Duration::from_secs(5), decide)).expect("written");
    assert!(done.taken.is_empty());
}

/// A run of the job.
pub fn run(key: &str, nominal: Timestamp, state: RunState) -> Run {
    Run {
        id: RunId::derive("backup", "nightly", key, nominal),
        job: JobId(1),
        trigger: Some(TriggerId(1)),
        revision: Revision(1),
        key: key.to_owned(),
        nominal,
        due: nominal,
        state,
        fence: Fence(0),
        retries: 0,
        losses: 0,
        params: String::new(),
        queue: "normal".to_owned(),
        priority: 0,
        attempts: Vec::new(),
    }
}

fn attempt(number: u32, outcome: Outcome, code: i32) -> Attempt {
    let exit = Exit { code: Some(code), cpu_ms: Some(12), start_delay_us: Some(900), ..Exit::default() };
    Attempt { number, node: NodeId(10), started: Some(after(-60)), finished: after(-30), outcome, exit }
}

/// One run in each state; its key is its state, or how it ended.
pub fn runs() -> Vec<Run> {
    let finished = |verdict, reason| RunState::Finished { at: after(-30), verdict, reason };
    let lease = |started| Lease { owner: NodeId(10), fence: Fence(1), since: after(-5), started, stop: None };
    let mut success = run("success", after(-600), finished(Verdict::Success, None));
    success.attempts = vec![attempt(1, Outcome::Failed, 1), attempt(2, Outcome::Success, 0)];
    let mut failed = run("failed", after(-500), finished(Verdict::Failed, None));
    failed.attempts = vec![attempt(1, Outcome::Failed, 7)];
    let mut retrying = run("retrying", after(-400), RunState::Queued { due: after(30) });
    retrying.attempts = vec![attempt(1, Outcome::Failed, 1)];
    let mut leased = run("leased", after(-100), RunState::Leased(lease(None)));
    let mut running = run("running", after(-10), RunState::Leased(lease(Some(after(-5)))));
    (leased.fence, running.fence) = (Fence(1), Fence(1));
    vec![
        success,
        failed,
        retrying,
        run("expired", after(-450), finished(Verdict::Expired, Some(Reason::StartDeadline))),
        run("held", after(-300), RunState::Held(Hold::Overlap)),
        run("ready", after(-200), RunState::Queued { due: after(-200) }),
        run("scheduled", after(100), RunState::Queued { due: after(100) }),
        leased,
        running,
    ]
}

/// The id of the seeded run of that key.
pub fn id_of(key: &str) -> String {
    runs().into_iter().find(|r| r.key == key).expect("it is seeded").id.to_string()
}
