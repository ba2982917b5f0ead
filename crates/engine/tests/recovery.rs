//! What becomes of jobs when their store comes back older, and what the node finds out by itself.

mod support;

use punctual_core::attempt::Outcome;
use punctual_core::id::{Fence, JobId};
use punctual_core::run::{Hold, Run, RunEvent, RunState, StopReason, Verdict};
use punctual_engine::audit::Audit;
use punctual_engine::block_on::block_on;
use punctual_engine::clock;
use punctual_engine::executor;
use punctual_engine::supervisor::journal::{Past, Start};
use punctual_engine::supervisor::protocol::Ended;
use punctual_store::row::ComebackKind;
use punctual_store::{Ask, Decision, Snapshot, SqliteOptions, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{START, World};

/// A directory for a store, which goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("punctual-recovery-{}-{name}", std::process::id()));
        std::fs::create_dir_all(path.join("store")).expect("the temporary directory can be written");
        Self(path)
    }

    fn open(&self) -> Store {
        let options = SqliteOptions::new(clock::since_boot);
        Store::open_sqlite(&self.0.join("store"), options).expect("the store opens")
    }

    fn file(&self) -> PathBuf {
        self.0.join("store/punctual.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn bytes(file: &Path) -> Vec<u8> {
    std::fs::read(file).expect("readable")
}

/// As the supervisor's journal holds a start.
fn journaled(run: &Run, world: &World) -> Start {
    let at_us = world.now().as_micros();
    Start { attempt: executor::attempt_id(run), pid: 1, ticks: 1, at_us, gone: true }
}

fn job_run(world: &World, job: &str, secs: u64) -> Run {
    let nominal = START.saturating_add(Duration::from_secs(secs));
    let view = block_on(world.engine.job(job)).expect("there is such a job");
    world
        .runs()
        .into_iter()
        .find(|run| run.job == view.row.id && run.nominal == nominal)
        .unwrap_or_else(|| panic!("{job} has no run for {secs}"))
}

const JOBS: &str = "jobs: [
    {name: again, schedule: '* * * * *', run: ['true'], overlap: allow, catchUp: {policy: all, spread: 0s}},
    {name: done, schedule: '* * * * *', run: ['true'], overlap: allow, catchUp: {policy: all, spread: 0s}},
    {name: once, schedule: '* * * * *', run: ['true'], overlap: allow, onLost: hold, catchUp: {policy: all, spread: 0s}}]";

// proves I-20
#[test]
fn a_store_that_comes_back_older_starts_nothing_until_it_is_accepted_and_then_knows_what_the_journal_knew() {
    let scratch = Scratch::new("older");
    let mut world = World::over(scratch.open(), 64);
    world.apply(JOBS);
    world.live(60);
    (0..3).for_each(|_| _ = world.end(0));
    world.store.close();
    let older = bytes(&scratch.file());

    // A minute that will be lost.
    world.store = scratch.open();
    world.crash();
    world.live(60);
    let started = std::mem::take(&mut world.hands.started);
    let starts: Vec<Start> = started.iter().map(|run| journaled(run, &world)).collect();
    assert_eq!(starts.len(), 3);
    let done = job_run(&world, "done", 120);
    let end = Ended {
        code: Some(0),
        started_us: Some(world.now().as_micros()),
        ..Ended::at(executor::attempt_id(&done), 9)
    };
    let journal = Past { starts, ends: vec![end] };
    started.iter().for_each(|run| world.end_run(run, 0));
    world.store.close();
    std::fs::write(scratch.file(), older).expect("writable");
    // The receipt was written by this world's clock.
    let receipt = std::fs::File::options().write(true).open(scratch.0.join("store.receipt")).expect("there");
    let now = Duration::from_micros(world.now().as_micros().unsigned_abs());
    receipt.set_modified(std::time::UNIX_EPOCH + now).expect("settable");

    world.store = scratch.open();
    world.crash();
    let held = block_on(world.engine.past()).expect("reads").held().cloned().expect("it is held");
    assert_eq!(held.kind, ComebackKind::Behind);
    assert!(held.missing > 0, "{held:?}");
    assert_eq!(block_on(world.engine.merge_starts(&journal)).expect("merges"), 3);
    world.live(90);
    assert!(world.hands.started.is_empty(), "nothing is started");
    let decided = world.told("again").into_iter().filter(|tick| !tick.ends_with("pending"));
    assert_eq!(decided.collect::<Vec<_>>(), ["60 run"], "nothing is fired");
    let why = block_on(world.engine.status()).expect("reads").held.expect("the status says so");
    assert!(why.contains("came back older"), "{why}");

    // Another start of the daemon changes nothing of that.
    world.crash();
    world.live(1);
    assert!(world.hands.started.is_empty());
    assert_eq!(block_on(world.engine.accept_store()).expect("accepts").map(|c| c.kind), Some(held.kind));
    assert_eq!(block_on(world.engine.accept_store()).expect("accepts"), None);
    world.live(5);

    // What the journal knew to have started is lost, and onLost decides.
    let again = job_run(&world, "again", 120);
    assert_eq!(again.attempts[0].outcome, Outcome::Lost);
    let lease = world.hands.started.iter().find(|run| run.id == again.id).expect("it is tried again");
    assert!(lease.fence > Fence(1_000_000), "{:?} may have been used in the lost time", lease.fence);
    let done = job_run(&world, "done", 120);
    assert_eq!(world.verdict(done.id), Some(Verdict::Success), "its end is known from the journal");
    assert!(world.hands.started.iter().all(|run| run.id != done.id));
    let once = job_run(&world, "once", 120);
    assert_eq!(once.state, RunState::Held(Hold::Lost), "it may have run, and must not run twice");
    assert!(world.hands.started.iter().all(|run| run.id != once.id));
    assert!(again.fence.0 > started[0].fence.0);
    // What nobody had started runs as after any downtime.
    assert!(
        world.hands.started.iter().any(|run| run.nominal == START.saturating_add(Duration::from_secs(180)))
    );
    for (secs, may_repeat) in [(60, false), (120, true)] {
        let id = job_run(&world, "again", secs).id;
        let view = block_on(world.engine.run(id)).expect("reads").expect("is there");
        assert_eq!(view.may_repeat, may_repeat, "{secs}");
    }
    world.live(120);
    let later = job_run(&world, "again", 300).id;
    assert!(!block_on(world.engine.run(later)).expect("reads").expect("is there").may_repeat);
    world.store.close();
}

fn stop_triggers(world: &World, names: &[&str]) {
    let stop = |snapshot: &Snapshot| {
        let stopped = snapshot.triggers.iter().cloned().map(|mut row| {
            row.state.next_at = None;
            row
        });
        Decision { triggers: stopped.collect(), ..Decision::default() }
    };
    let ask = Ask { job_names: names.iter().map(|n| (*n).to_owned()).collect(), ..Ask::default() };
    block_on(world.store.transact(ask, Duration::from_secs(1), Box::new(stop))).expect("writes");
}

/// A whole round: triggers that were brought back, and leases.
fn round(world: &World, audit: &mut Audit) -> (usize, usize) {
    let mut seen = (0, 0);
    for _ in 0..100 {
        let step = block_on(audit.step(&world.engine)).expect("looks");
        seen = (seen.0 + step.rearmed, seen.1 + step.leases.len());
        if step.over {
            return seen;
        }
    }
    panic!("a round never ends");
}

// proves L-7
#[test]
fn the_audit_brings_back_what_stopped_and_nothing_that_rests_for_a_reason() {
    for store in [Store::memory(), Scratch::new("audit").open()] {
        let mut world = World::over(store, 64);
        let many: String =
            (0..1200).map(|n| format!("{{name: j{n}, schedule: '0 0 * * *', run: ['true']}},")).collect();
        world.apply(&format!(
            "jobs: [{many}
             {{name: a, schedule: '* * * * *', run: ['true']}},
             {{name: paused, schedule: '* * * * *', run: ['true'], paused: true}},
             {{name: ended, schedule: {{at: '2026-11-24T09:00:01Z'}}, run: ['true']}},
             {{name: after, triggers: [{{after: a}}], run: ['true']}},
             {{name: delay, triggers: [{{name: t, every: 10s, pace: fixed-delay}}], run: ['true']}}]"
        ));
        world.live(2);
        let mut audit = Audit::default();
        assert_eq!(round(&world, &mut audit), (0, 2), "the fixed delay waits for its run");
        let every: Vec<String> = (0..1200).map(|n| format!("j{n}")).chain(["a".to_owned()]).collect();
        stop_triggers(&world, &every.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(round(&world, &mut audit).0, 1201);
        assert_eq!(round(&world, &mut audit).0, 0);
        world.live(60);
        assert_eq!(world.told("a")[0], "60 run");
        world.store.close();
    }
}

#[test]
fn a_lease_that_the_node_does_not_know_is_started_after_an_audit() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true']}");
    world.clock.advance(Duration::from_secs(60));
    world.commit_unseen();
    let step = block_on(Audit::default().step(&world.engine)).expect("looks");
    assert_eq!(world.node.audit(&step.leases), 0);
    // The node's cycle number is behind as well: the first cycle says so.
    let _ = block_on(world.node.cycle_once(&mut world.hands));
    world.cycle();
    assert_eq!(world.hands.started.len(), 1);
    let step = block_on(Audit::default().step(&world.engine)).expect("looks");
    assert_eq!(world.node.audit(&step.leases), 0);
    world.cycle();
    assert_eq!(world.hands.started.len(), 1, "once");
}

#[test]
fn a_long_chain_of_jobs_that_end_with_each_other_is_decided() {
    const LENGTH: i64 = 40;
    let mut world = World::with_slots(0);
    let link = |n: i64| {
        let after = match n {
            0 => "schedule: '0 0 1 1 *'".to_owned(),
            n => format!("triggers: [{{after: j{}, on: any}}]", n - 1),
        };
        format!("{{name: j{n}, {after}, run: ['true'], overlap: cancel-running}}")
    };
    let jobs: Vec<String> = (0..LENGTH).map(link).collect();
    world.apply(&format!("jobs: [{}]", jobs.join(", ")));
    let runs: Vec<_> = (0..LENGTH)
        .map(|n| {
            block_on(world.engine.submit(&format!("j{n}"), None, serde_json::Map::new()))
                .expect("submits")
                .run
        })
        .collect();
    world.crash();
    // The end of each ends the queued one of the next: one decision that needs one job after the other.
    let mut ask = Ask { runs: vec![runs[0]], jobs: vec![JobId(1)], ..Ask::default() };
    let first = runs[0];
    let decided = block_on(
        world
            .engine
            .write(&mut ask, move |book, _| Ok(book.event(first, RunEvent::Stop(StopReason::Cancel)))),
    );
    assert!(decided.expect("it is decided").0);
    for run in runs {
        assert_eq!(world.verdict(run), Some(Verdict::Cancelled));
    }
}
