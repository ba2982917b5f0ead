//! What follows from how runs end: pauses, people's decisions, jobs that wait for others, attempts that take too long.

mod support;

use punctual_core::attempt::{Class, Outcome};
use punctual_core::id::{Fence, RunId};
use punctual_core::run::{Hold, Run, RunState, StopReason, Verdict};
use punctual_engine::block_on::block_on;
use punctual_engine::error::EngineError;
use punctual_engine::executor;
use punctual_engine::supervisor::judge::Findings;
use punctual_engine::supervisor::protocol::{Ended, Report, Told};
use serde_json::Map;
use std::time::Duration;
use support::World;

const MINUTE: Duration = Duration::from_secs(60);

/// Starts what is due and ends it so, `times` times, a minute apart.
fn minutes(world: &mut World, codes: &[i32]) -> Vec<RunId> {
    let mut runs = Vec::new();
    for code in codes {
        world.advance(MINUTE);
        runs.push(world.end(*code).id);
    }
    runs
}

fn paused(world: &World, job: &str) -> Option<String> {
    let view = block_on(world.engine.job(job)).expect("there is such a job");
    view.row.paused.map(|pause| pause.reason)
}

#[test]
fn a_job_is_paused_after_so_many_bad_runs_in_a_row() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true'], pauseAfterFailures: 3}");
    minutes(&mut world, &[1, 1, 0, 1, 1]);
    assert_eq!(paused(&world, "a"), None, "a success in between begins the count anew");
    let last = minutes(&mut world, &[1])[0];
    assert_eq!(
        paused(&world, "a"),
        Some(format!("3 runs in a row ended badly, the last is {last} (RUN018)"))
    );
    world.live(300);
    assert!(world.hands.started.is_empty(), "it fires no more");
    block_on(world.engine.resume("a", false)).expect("it is paused");
    assert_eq!(block_on(world.engine.job("a")).expect("there is such a job").row.failures, 0);
    let told = world.told("a");
    assert!(told.contains(&"420 skipped paused".to_owned()), "{told:?}");
    minutes(&mut world, &[1, 1]);
    assert_eq!(paused(&world, "a"), None, "resuming begins the count anew");
    minutes(&mut world, &[1]);
    assert!(paused(&world, "a").is_some());
}

#[test]
fn what_is_cancelled_or_tried_again_does_not_count_as_a_bad_run() {
    let mut world = World::new();
    world.apply(
        "job: {name: a, schedule: '* * * * *', run: ['true'], pauseAfterFailures: 1, \
         retryPolicy: {maxRetries: 1, backoff: 1s}}",
    );
    world.advance(MINUTE);
    world.end(1);
    assert_eq!(paused(&world, "a"), None, "its run has not ended");
    world.advance(Duration::from_secs(2));
    let run = world.hands.started[0].clone();
    block_on(world.engine.cancel(run.id)).expect("it is under way");
    world.end(143);
    assert_eq!(world.verdict(run.id), Some(Verdict::Cancelled));
    assert_eq!(paused(&world, "a"), None);
    world.advance(MINUTE);
    world.end(1);
    world.advance(Duration::from_secs(2));
    world.end(1);
    assert!(paused(&world, "a").expect("both tries failed").starts_with("a run ended badly"));
}

// proves I-17
#[test]
fn a_job_runs_after_the_ends_that_it_names() {
    let mut world = World::new();
    world.apply(
        "jobs:
- {name: a, schedule: '* * * * *', run: ['true']}
- {name: good, triggers: [{after: a}], run: ['true']}
- {name: bad, triggers: [{after: a, on: failure}], run: ['true']}
- {name: any, triggers: [{after: a, on: any}], run: ['true']}",
    );
    let after = |world: &mut World, end: &dyn Fn(&mut World, &Run)| {
        world.advance(MINUTE);
        let run = world.hands.started.remove(0);
        end(world, &run);
        world.cycle();
        let mut jobs: Vec<String> = Vec::new();
        while let Some(next) = world.hands.started.first().cloned() {
            assert_eq!(next.key, format!("after:{}", run.id));
            jobs.push(block_on(world.engine.run(next.id)).expect("reads").expect("it is there").job);
            world.end(0);
        }
        jobs.sort();
        jobs.join(" ")
    };
    assert_eq!(after(&mut world, &|world, run| world.end_run(run, 0)), "any good");
    assert_eq!(after(&mut world, &|world, run| world.end_run(run, 1)), "any bad");
    let timeout = |world: &mut World, run: &Run| {
        told(world, run, Told::Timeout);
    };
    assert_eq!(after(&mut world, &timeout), "any bad");
    let cancel = |world: &mut World, run: &Run| {
        block_on(world.engine.cancel(run.id)).expect("it is under way");
        world.end_run(run, 143);
    };
    assert_eq!(after(&mut world, &cancel), "any", "a run that was cancelled has not failed");
}

fn told(world: &mut World, run: &Run, told: Told) {
    let now = world.now().as_micros();
    let ended = Ended {
        started_us: Some(now),
        signal: Some(15),
        told: Some(told),
        ..Ended::at(executor::attempt_id(run), now)
    };
    assert!(world.node.ended(&ended));
    world.cycle();
}

#[test]
fn a_lost_run_that_is_held_goes_on_when_a_person_says_so() {
    let mut world = World::new();
    world.apply("job: {name: a, run: ['true'], onLost: hold}");
    let submit = |world: &World| block_on(world.engine.submit("a", None, Map::new())).expect("takes it").run;
    let lost = submit(&world);
    world.cycle();
    world.crash();
    assert_eq!(world.run(lost).state, RunState::Held(Hold::Lost));

    // Beside another run it waits for that one's end.
    let other = submit(&world);
    world.cycle();
    let gone = block_on(world.engine.retry(lost)).expect("a person lets it go");
    assert_eq!((gone.run, gone.existing), (lost, true), "the very run goes on");
    assert_eq!(world.run(lost).state, RunState::Held(Hold::Overlap));
    assert!(matches!(block_on(world.engine.retry(lost)), Err(EngineError::State { .. })), "once");
    world.cycle();
    assert_eq!(world.hands.started.iter().map(|run| run.id).collect::<Vec<_>>(), [other]);
    world.end(0);
    let again = world.hands.started[0].clone();
    assert_eq!((again.id, again.attempts.len()), (lost, 1));
    world.end(0);
    assert_eq!(world.verdict(lost), Some(Verdict::Success));

    // With nothing beside it, at once; and a person may end it as well.
    let lost = submit(&world);
    world.cycle();
    world.crash();
    block_on(world.engine.retry(lost)).expect("a person lets it go");
    world.cycle();
    assert_eq!(world.hands.started[0].id, lost);
    world.crash();
    block_on(world.engine.cancel(lost)).expect("it is held again");
    assert_eq!(world.verdict(lost), Some(Verdict::Cancelled));
}

#[test]
fn the_class_and_what_a_job_asked_for_are_recorded() {
    let mut world = World::new();
    world.apply(
        "job: {name: a, schedule: '* * * * *', run: ['true'], retryPolicy: {maxRetries: 2, backoff: 1s, neverOn: [verify]}}",
    );
    world.advance(MINUTE);
    let run = world.hands.started.remove(0);
    let now = world.now();
    let ended = |code: i32, findings: Findings, run: &Run| Ended {
        started_us: Some(now.as_micros()),
        code: Some(code),
        findings,
        ..Ended::at(executor::attempt_id(run), now.as_micros())
    };
    let wait = Findings { retry_after_ms: Some(600_000), ..Findings::default() };
    world.node.ended(&ended(75, wait, &run));
    world.cycle();
    let stored = world.run(run.id);
    assert_eq!(stored.state, RunState::Queued { due: now.saturating_add(Duration::from_secs(600)) });
    assert_eq!(stored.attempts[0].exit.retry_after, Some(Duration::from_secs(600)));
    world.advance(Duration::from_secs(600));
    let again = world.hands.started.iter().find(|r| r.id == run.id).cloned().expect("its time has come");
    let unmet = Findings { unmet: Some("its verify command exited with 1".into()), ..Findings::default() };
    world.node.ended(&ended(0, unmet, &again));
    world.cycle();
    let stored = world.run(run.id);
    let last = stored.attempts.last().expect("two attempts");
    assert_eq!((last.outcome, last.class()), (Outcome::Failed, Some(Class::Verify)));
    assert_eq!(world.verdict(run.id), Some(Verdict::Failed), "neverOn: [verify]");
    assert!(!matches!(stored.state, RunState::Leased(ref lease) if lease.stop == Some(StopReason::Cancel)));
}

#[test]
fn an_attempt_that_takes_much_longer_than_usual_is_pointed_out_once() {
    let mut world = World::new();
    world.apply("job: {name: a, run: ['true'], overlap: allow}");
    let begin = |world: &mut World| {
        block_on(world.engine.submit("a", None, Map::new())).expect("takes it");
        world.cycle();
        let run = world.hands.started.remove(0);
        let attempt = executor::attempt_id(&run);
        world.node.report(&Report::Started { attempt, at_us: world.now().as_micros(), pid: 1 });
        run
    };
    for _ in 0..5 {
        let run = begin(&mut world);
        let began = world.now().as_micros();
        world.clock.advance(Duration::from_secs(20));
        let now = world.now().as_micros();
        let ended =
            Ended { started_us: Some(began), code: Some(0), ..Ended::at(executor::attempt_id(&run), now) };
        world.node.ended(&ended);
        world.cycle();
    }
    assert!(world.node.look_at_length().stuck.is_empty(), "they have ended");
    let slow = begin(&mut world);
    assert!(world.node.looks_at().is_some_and(|at| at <= world.now().saturating_add(MINUTE)));
    world.clock.advance(Duration::from_secs(59));
    assert!(world.node.look_at_length().stuck.is_empty());
    world.clock.advance(Duration::from_secs(1));
    let found = world.node.look_at_length().stuck;
    assert_eq!(found.iter().map(|(run, fence, _)| (*run, *fence)).collect::<Vec<_>>(), [(slow.id, Fence(1))]);
    assert!(world.node.look_at_length().stuck.is_empty(), "once");
    let view = block_on(world.engine.run(slow.id)).expect("reads").expect("it is there");
    assert_eq!(view.stuck.map(|stuck| stuck.usual), Some(Duration::from_secs(20)));
    assert_eq!(block_on(world.engine.status()).expect("reads").stuck, [slow.id]);
    world.end_run(&slow, 0);
    assert!(world.engine.stuck().is_empty(), "it has ended");
    assert_eq!(block_on(world.engine.lengths(slow.job)).expect("reads").len(), 6);
}
