//! Ways in which a job could silently stop, or start when it must not: each was one once.

mod support;

use punctual_core::run::{Hold, RunState, Verdict};
use punctual_engine::block_on::block_on;
use std::time::Duration;
use support::{START, World};

const DELAY: &str = "job: {name: a, triggers: [{name: t, every: 10s, pace: fixed-delay}], run: ['true']}";

fn held(world: &World) -> usize {
    world.runs().iter().filter(|r| r.state == RunState::Held(Hold::Overlap)).count()
}

#[test]
fn what_waits_for_a_run_that_is_held_as_lost_goes_on() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true'], overlap: queue-one, onLost: hold}");
    world.live(130);
    assert_eq!(held(&world), 1);
    world.crash();
    world.cycle();
    assert_eq!(held(&world), 0, "nothing is under way that it could wait for");
    world.end(0);
    world.live(60);
    assert_eq!(world.told("a"), ["60 run", "120 run", "180 run"]);
}

#[test]
fn what_is_held_goes_on_when_an_edit_allows_overlap() {
    let mut world = World::new();
    let job = |overlap| format!("job: {{name: a, schedule: '* * * * *', run: ['true'], overlap: {overlap}}}");
    world.apply(&job("queue-all"));
    world.live(190);
    assert_eq!(held(&world), 2);
    world.apply(&job("allow"));
    world.cycle();
    assert_eq!(held(&world), 0);
    assert_eq!(world.hands.started.len(), 3);
}

#[test]
fn a_fixed_delay_waits_for_its_run_whatever_is_edited_or_paused_meanwhile() {
    let mut world = World::new();
    let allow = |timeout| {
        format!(
            "job: {{name: a, triggers: [{{name: t, every: 10s, pace: fixed-delay}}], run: ['true'], overlap: allow, \
             timeout: {timeout}}}"
        )
    };
    world.apply(&allow("1h"));
    world.live(1);
    world.apply(&allow("2h"));
    world.live(20);
    assert_eq!(world.hands.started.len(), 1, "an edit started a second one");
    block_on(world.engine.pause("a", "")).expect("pauses");
    block_on(world.engine.resume("a", false)).expect("resumes");
    world.live(20);
    assert_eq!(world.hands.started.len(), 1, "a pause started a second one");
    world.end(0);
    world.live(9);
    assert!(world.hands.started.is_empty());
    world.live(1);
    assert_eq!(world.hands.started.len(), 1);
}

#[test]
fn a_fixed_delay_whose_run_ends_during_a_pause_goes_on_after_it() {
    let mut world = World::new();
    world.apply(DELAY);
    world.live(1);
    block_on(world.engine.pause("a", "")).expect("pauses");
    world.end(0);
    world.live(30);
    assert!(world.hands.started.is_empty());
    block_on(world.engine.resume("a", false)).expect("resumes");
    world.live(1);
    assert_eq!(world.hands.started.len(), 1);
}

#[test]
fn a_fixed_delay_ends_with_its_count_and_its_window() {
    for limit in ["maxRuns: 1", "end: '2026-11-24T09:00:05Z'"] {
        let mut world = World::new();
        let job = |timeout| {
            format!(
                "job: {{name: a, triggers: [{{name: t, every: 10s, pace: fixed-delay, {limit}}}], run: ['true'], \
                 timeout: {timeout}}}"
            )
        };
        world.apply(&job("1h"));
        world.live(1);
        world.end(0);
        world.live(20);
        world.apply(&job("2h"));
        world.live(20);
        block_on(world.engine.pause("a", "")).expect("pauses");
        block_on(world.engine.resume("a", false)).expect("resumes");
        world.live(20);
        assert_eq!(world.runs().len(), 1, "{limit}");
    }
}

#[test]
fn a_trigger_that_left_the_due_set_for_no_reason_comes_back_with_the_next_daemon() {
    let mut world = World::new();
    world.apply("jobs: [{name: a, schedule: '* * * * *', run: ['true']}, {name: p, schedule: '* * * * *', paused: true}]");
    // As a version does that cannot read the definition.
    let stop = |snapshot: &punctual_store::Snapshot| {
        let stopped = snapshot.triggers.iter().cloned().map(|mut row| {
            row.state.next_at = None;
            row
        });
        punctual_store::Decision { triggers: stopped.collect(), ..Default::default() }
    };
    let ask = punctual_store::Ask { job_names: vec!["a".into(), "p".into()], ..Default::default() };
    block_on(world.store.transact(ask, Duration::from_secs(1), Box::new(stop))).expect("writes");
    world.live(60);
    assert!(world.hands.started.is_empty());
    assert_eq!(block_on(world.engine.rearm_all()).expect("rearms"), 1);
    assert_eq!(block_on(world.engine.rearm_all()).expect("rearms"), 0);
    world.live(60);
    assert_eq!(world.told("a"), ["60 run", "120 skipped overlap"]);
    assert_eq!(world.runs().len(), 1, "a paused job stays so");
}

#[test]
fn a_due_trigger_of_a_job_that_rests_leaves_the_due_set() {
    let mut world = World::new();
    world.apply(
        "jobs: [{name: a, triggers: [{cron: '* * * * *'}, {cron: '*/2 * * * *'}], run: ['true']}, \
         {name: b, schedule: '* * * * *', run: ['true']}]",
    );
    let rest = |snapshot: &punctual_store::Snapshot| {
        let rested = snapshot.jobs.iter().cloned().map(|mut row| {
            row.paused = Some(punctual_store::row::Pause { since: START, reason: "quarantined".into() });
            row
        });
        punctual_store::Decision { jobs: rested.collect(), ..Default::default() }
    };
    let ask = punctual_store::Ask { job_names: vec!["a".into()], ..Default::default() };
    block_on(world.store.transact(ask, Duration::from_secs(1), Box::new(rest))).expect("writes");
    world.advance(Duration::from_secs(120));
    world.end(0);
    let next = block_on(world.store.earliest_due()).expect("reads");
    assert_eq!(next, Some(START.saturating_add(Duration::from_secs(180))), "only what can fire is due");
    block_on(world.engine.resume("a", false)).expect("resumes");
    world.live(60);
    assert_eq!(world.hands.started.len(), 2);
}

#[test]
fn a_retry_by_hand_is_for_the_time_of_the_run_it_repeats() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true']}");
    world.live(60);
    let failed = world.end(1);
    assert_eq!(world.verdict(failed.id), Some(Verdict::Failed));
    world.advance(Duration::from_secs(30));
    let again = block_on(world.engine.retry(failed.id)).expect("retries").run;
    world.cycle();
    let again = world.run(again);
    assert_eq!((again.nominal, again.due), (failed.nominal, world.now()));
}

#[test]
fn a_job_that_comes_back_under_another_name_does_not_rest_because_it_once_did() {
    let mut world = World::new();
    let other = "{name: other, schedule: '0 0 1 1 *', run: ['true']}";
    let job = |text| format!("jobs: [{text}, {other}]");
    world.apply(&job("{name: a, schedule: '* * * * *', run: ['true']}"));
    block_on(world.engine.pause("a", "maintenance")).expect("pauses");
    world.apply(&format!("jobs: [{other}]"));
    world.apply(&job("{name: b, schedule: '* * * * *', run: ['true'], renamedFrom: a}"));
    world.live(60);
    assert_eq!(world.hands.started.len(), 1);
}

#[test]
fn a_clock_that_was_set_back_far_is_told_with_the_end_of_the_silence() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true']}");
    world.live(60);
    assert_eq!(block_on(world.engine.ahead()).expect("reads"), None);
    let seen = world.now();
    let punctual_engine::clock::Clock::Manual(micros) = &world.clock else { panic!("a manual clock") };
    micros.fetch_sub(3_600_000_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(block_on(world.engine.ahead()).expect("reads"), Some((1, seen)));
}

#[test]
fn an_occurrence_is_not_skipped_because_of_a_run_that_ended_in_the_same_cycle() {
    let mut world = World::new();
    let follower = "{name: b, triggers: [{name: t, after: a}], run: ['true'], overlap: skip}";
    world.apply(&format!("jobs: [{{name: a, schedule: '* * * * *', run: ['true']}}, {follower}]"));
    world.live(60);
    world.end(0);
    world.live(60);
    assert_eq!(world.hands.started.len(), 2, "a runs again, and b after its first run");
    // In whichever order they are settled.
    for run in std::mem::take(&mut world.hands.started) {
        world.note_end(&run, 0);
    }
    world.cycle();
    let started: Vec<_> = world.hands.started.iter().map(|run| run.key.clone()).collect();
    assert_eq!(started.len(), 1, "b follows the second run of a: {started:?}");
    assert!(started[0].starts_with("after:"));
}

#[test]
fn a_rule_that_an_edit_made_a_fixed_delay_waits_for_its_run_and_goes_on_after_a_cancel() {
    let mut world = World::new();
    let job = |rule| format!("job: {{name: a, triggers: [{{name: t, {rule}}}], run: ['true']}}");
    world.apply(&job("cron: '* * * * *'"));
    world.live(60);
    world.apply(&job("every: 10s, pace: fixed-delay"));
    world.live(120);
    assert_eq!(world.hands.started.len(), 1, "the rule's next instant is not the delay's");
    let run = world.hands.started.remove(0);
    block_on(world.engine.cancel(run.id)).expect("cancels");
    world.end_run(&run, 1);
    world.live(10);
    assert_eq!(world.hands.started.len(), 1, "the delay counts from the end of the rule's run");
}

#[test]
fn a_pause_settles_all_triggers_before_they_rest() {
    let world = World::new();
    let delay = "{name: t0, every: 10s, pace: fixed-delay}";
    world.apply(&format!(
        "job: {{name: a, triggers: [{delay}, {{name: t1, cron: '* * * * *'}}], run: ['true'], \
         overlap: cancel-running}}"
    ));
    // At the pause the delay fires, and then the rule, whose run ends the delay's.
    world.clock.advance(Duration::from_secs(60));
    block_on(world.engine.pause("a", "")).expect("pauses");
    let (_, triggers) = block_on(world.store.jobs()).expect("reads");
    assert!(triggers.iter().all(|trigger| trigger.state.next_at.is_none()), "{triggers:?}");
}
