//! The cycle and the controls, on the memory store under a clock that tests move.

mod support;

use punctual_core::attempt::Outcome;
use punctual_core::run::{Hold, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_engine::apply::{ApplyMode, ChangeKind};
use punctual_engine::block_on::block_on;
use punctual_engine::error::EngineError;
use punctual_engine::why::WhySubject;
use serde_json::Map;
use std::time::Duration;
use support::{START, World, specs};

const MINUTELY: &str = "job: {name: a, schedule: '* * * * *', run: ['true']}";

#[test]
fn a_run_starts_at_its_instant_and_not_before() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.advance(Duration::from_millis(59_999));
    assert!(world.hands.started.is_empty());
    world.advance(Duration::from_millis(1));
    let run = world.end(0);
    assert_eq!(run.nominal, START.saturating_add(Duration::from_secs(60)));
    assert_eq!(world.verdict(run.id), Some(Verdict::Success));
    assert_eq!(world.told("a"), ["60 run"]);
}

#[test]
fn nothing_is_started_before_its_lease_is_durable() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.advance(Duration::from_secs(60));
    let run = world.hands.started[0].clone();
    assert_eq!(world.run(run.id), run, "the started run is what the store has");
    assert!(matches!(run.state, RunState::Leased(_)));
}

#[test]
fn what_an_unseen_commit_leased_is_started_once_the_node_learns_of_it() {
    let mut world = World::new();
    world.apply(
        "job: {name: a, schedule: '* * * * *', run: ['true'], retryPolicy: {maxRetries: 1, backoff: 0s}}",
    );
    world.clock.advance(Duration::from_secs(60));
    world.commit_unseen();
    assert!(
        block_on(world.node.cycle_once(&mut world.hands)).is_err(),
        "the store has moved on without the node"
    );
    assert!(world.hands.started.is_empty());
    world.cycle();
    assert_eq!(world.hands.started.len(), 1);
    world.cycle();
    assert_eq!(world.hands.started.len(), 1, "once");
    let run = world.end(1);
    assert_eq!(world.hands.started.len(), 1, "the retry");
    world.end(0);
    assert_eq!(world.verdict(run.id), Some(Verdict::Success));
    assert_eq!(world.node.busy(), 0);
}

#[test]
fn an_overlapping_occurrence_is_skipped_with_its_reason() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(130);
    world.end(0);
    world.live(60);
    assert_eq!(world.told("a"), ["60 run", "120 skipped overlap", "180 run"]);
}

#[test]
fn queue_one_holds_one_until_the_first_has_ended() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true'], overlap: queue-one}");
    world.live(190);
    assert_eq!(world.hands.started.len(), 1);
    assert!(world.runs().iter().any(|r| r.state == RunState::Held(Hold::Overlap)));
    world.end(0);
    assert_eq!(world.hands.started.len(), 1, "the held run starts in the cycle that settles the first");
    assert_eq!(world.told("a"), ["60 run", "120 run", "180 skipped overlap"]);
}

#[test]
fn cancel_running_stops_the_old_run_and_then_starts_the_new_one() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true'], overlap: cancel-running}");
    world.live(120);
    let old = world.hands.started[0].clone();
    assert_eq!(world.hands.stopped, [(old.id, old.fence)]);
    assert_eq!(world.hands.started.len(), 1, "the old attempt has not ended");
    world.end(143);
    assert_eq!(world.verdict(old.id), Some(Verdict::Cancelled));
    assert_eq!(world.hands.started.len(), 1);
}

#[test]
fn a_failure_is_retried_after_its_backoff_and_then_final() {
    let mut world = World::new();
    world.apply(
        "job: {name: a, schedule: '0 9 * * *', run: ['false'], retryPolicy: {maxRetries: 2, backoff: 8s}}",
    );
    let run = block_on(world.engine.submit("a", None, Map::new())).expect("submits").run;
    world.cycle();
    for waits in [8, 16] {
        world.end(1);
        let RunState::Queued { due } = world.run(run).state else { panic!("it waits") };
        let wait = due.since(world.now());
        assert!(wait <= Duration::from_secs(waits) && wait >= Duration::from_secs(waits * 3 / 4), "{wait:?}");
        world.advance(wait - Duration::from_micros(1));
        assert!(world.hands.started.is_empty());
        world.advance(Duration::from_micros(1));
    }
    world.end(1);
    let run = world.run(run);
    assert!(matches!(run.state, RunState::Finished { verdict: Verdict::Failed, .. }));
    assert_eq!(run.attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn latest_coalesces_what_a_downtime_missed() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.advance(Duration::from_secs(600));
    assert_eq!(world.hands.started.len(), 1);
    let told = world.told("a");
    assert_eq!(told.len(), 10);
    assert!(told[..9].iter().all(|t| t.ends_with("coalesced")), "{told:?}");
    assert_eq!(told[9], "600 run");
}

#[test]
fn none_skips_what_a_downtime_missed_and_runs_what_is_on_time() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '*/5 * * * *', run: ['true'], catchUp: none}");
    world.advance(Duration::from_secs(15 * 60 + 30));
    assert_eq!(world.told("a"), ["300 skipped catchUpNone", "600 skipped catchUpNone", "900 run"]);
    world.end(0);
    world.advance(Duration::from_secs(8 * 60));
    assert_eq!(world.told("a")[3], "1200 skipped catchUpNone");
}

#[test]
fn all_runs_what_a_downtime_missed_within_its_count_and_window() {
    let mut world = World::new();
    world.apply(
        "job: {name: a, schedule: '* * * * *', run: ['true'], overlap: allow, \
         catchUp: {policy: all, window: 5m, maxCount: 3, spread: 2s}}",
    );
    world.advance(Duration::from_secs(600));
    world.live(6);
    assert_eq!(world.hands.started.len(), 3);
    let told = world.told("a");
    assert_eq!(told[7..], ["480 run", "540 run", "600 run"]);
    assert_eq!(told[0], "60 skipped catchUpWindow");
    assert_eq!(told[6], "420 skipped catchUpCount");
}

#[test]
fn a_start_deadline_expires_what_waits_for_a_slot() {
    let mut world = World::with_slots(1);
    world.apply(
        "jobs: [{name: big, schedule: '1 9 * * *', run: ['true']}, \
         {name: small, schedule: '2 9 * * *', run: ['true'], startDeadline: 30s}]",
    );
    world.live(60 + 60 + 31);
    assert_eq!(world.told("small"), ["120 expired startDeadline"]);
    assert_eq!(world.hands.started.len(), 1);
}

#[test]
fn slots_bound_what_runs_at_once_and_the_next_starts_when_one_is_free() {
    let mut world = World::with_slots(2);
    let jobs: Vec<String> =
        (0..5).map(|n| format!("{{name: j{n}, schedule: '1 9 * * *', run: ['true']}}")).collect();
    world.apply(&format!("jobs: [{}]", jobs.join(", ")));
    world.live(60);
    assert_eq!(world.hands.started.len(), 2);
    world.end(0);
    assert_eq!(world.hands.started.len(), 2);
    for _ in 0..4 {
        world.end(0);
    }
    assert!(world.runs().iter().all(|r| r.is_finished()));
}

#[test]
fn a_pause_disposes_of_its_time_in_one_range_and_resume_goes_on_from_there() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    world.end(0);
    block_on(world.engine.pause("a", "maintenance")).expect("pauses");
    world.live(300);
    assert!(world.hands.started.is_empty());
    let why = block_on(world.engine.why(WhySubject::Job("a".into()))).expect("answers");
    assert!(why.answer.contains("maintenance"), "{}", why.answer);
    block_on(world.engine.resume("a", false)).expect("resumes");
    world.live(60);
    let told = world.told("a");
    assert_eq!(told[0], "60 run");
    assert!(told[1..6].iter().all(|t| t.ends_with("skipped paused")), "{told:?}");
    assert_eq!(told[6], "420 run");
}

#[test]
fn resume_with_catch_up_treats_the_pause_as_missed_time() {
    let mut world = World::new();
    world.apply(MINUTELY);
    block_on(world.engine.pause("a", "maintenance")).expect("pauses");
    world.advance(Duration::from_secs(300));
    block_on(world.engine.resume("a", true)).expect("resumes");
    world.cycle();
    assert_eq!(world.hands.started.len(), 1);
    assert_eq!(world.told("a")[4], "300 run");
}

#[test]
fn applying_the_same_definition_changes_nothing() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: {every: 90s}, run: ['true']}");
    world.live(100);
    world.end(0);
    let before = world.ticks("a");
    let changes = world.apply("job: {name: a, run: ['true'], schedule: {every: 90s}}");
    assert_eq!(changes[0].kind, ChangeKind::Unchanged);
    world.live(1);
    assert_eq!(world.ticks("a"), before);
}

#[test]
fn an_edit_settles_the_past_under_the_old_rule_and_keeps_an_unchanged_trigger() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.clock.advance(Duration::from_secs(60));
    // The edit comes before the cycle that would have fired the minute.
    let changes = world.apply("job: {name: a, schedule: '*/2 * * * *', run: ['true']}");
    assert_eq!((changes[0].kind, changes[0].revision.0), (ChangeKind::Changed, 2));
    world.live(180);
    let ticks = world.ticks("a");
    let seen: Vec<_> = ticks.iter().map(|t| (t.nominal.since(START).as_secs(), t.revision.0)).collect();
    assert_eq!(seen, [(60, 1), (120, 2), (240, 2)]);
}

#[test]
fn a_removed_job_fires_no_more_keeps_its_history_and_may_come_back() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    world.end(0);
    let changes = world.apply("job: {name: b, schedule: '0 0 1 1 *', run: ['true']}");
    assert!(changes.iter().any(|c| c.name == "a" && c.kind == ChangeKind::Retired));
    world.live(120);
    assert!(world.hands.started.is_empty());
    assert_eq!(world.told("a"), ["60 run"]);
    world.apply(MINUTELY);
    world.live(60);
    assert_eq!(world.told("a"), ["60 run", "240 run"]);
}

#[test]
fn a_renamed_job_takes_its_history_along() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    world.end(0);
    let changes = world.apply("job: {name: c, renamedFrom: a, schedule: '* * * * *', run: ['true']}");
    assert_eq!(changes[0].kind, ChangeKind::Renamed);
    world.live(60);
    assert_eq!(world.told("c"), ["60 run", "120 run"]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::new();
    let changes = block_on(world.engine.apply(specs(MINUTELY), "", ApplyMode::DryRun, true)).expect("looks");
    assert_eq!(changes[0].kind, ChangeKind::New);
    assert!(block_on(world.engine.jobs()).expect("lists").is_empty());
}

#[test]
fn a_job_of_served_definitions_cannot_be_applied_from_elsewhere() {
    let world = World::new();
    block_on(world.engine.apply(specs(MINUTELY), "/etc/jobs.yaml", ApplyMode::Apply, true)).expect("applies");
    let other = "job: {name: a, schedule: '0 * * * *', run: ['true']}";
    let refused = block_on(world.engine.apply(specs(other), "", ApplyMode::Apply, false));
    assert!(matches!(refused, Err(EngineError::Owned { .. })), "{refused:?}");
}

#[test]
fn one_key_makes_one_run() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '0 0 1 1 *', run: ['true']}");
    let submit =
        |world: &World| block_on(world.engine.submit("a", Some("k".into()), Map::new())).expect("submits");
    let first = submit(&world);
    assert!(!first.existing);
    world.advance(Duration::from_secs(1));
    assert_eq!((submit(&world).run, submit(&world).existing), (first.run, true));
    world.end(0);
    world.live(1);
    assert_eq!(
        (submit(&world).run, submit(&world).existing),
        (first.run, true),
        "the end does not forget the key"
    );
    assert_eq!(world.runs().len(), 1);
}

#[test]
fn a_submitted_run_waits_its_turn_instead_of_being_skipped() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    let run = block_on(world.engine.submit("a", None, Map::new())).expect("submits").run;
    world.cycle();
    assert_eq!(world.run(run).state, RunState::Held(Hold::Overlap));
    world.end(0);
    assert_eq!(world.hands.started[0].id, run);
}

#[test]
fn cancelling_ends_a_waiting_run_at_once_and_a_running_one_by_its_attempt() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    let running = world.hands.started[0].clone();
    let waiting = block_on(world.engine.submit("a", None, Map::new())).expect("submits").run;
    block_on(world.engine.cancel(waiting)).expect("cancels");
    assert_eq!(world.verdict(waiting), Some(Verdict::Cancelled));
    block_on(world.engine.cancel(running.id)).expect("cancels");
    assert_eq!(world.verdict(running.id), None);
    world.end(143);
    assert_eq!(world.verdict(running.id), Some(Verdict::Cancelled));
    assert!(matches!(block_on(world.engine.cancel(running.id)), Err(EngineError::State { .. })));
    let again = block_on(world.engine.retry(running.id)).expect("retries");
    assert_ne!(again.run, running.id);
}

#[test]
fn what_a_dead_daemon_left_is_lost_and_tried_again_at_most_three_times() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    let run = world.hands.started[0].id;
    for losses in 1..=3 {
        world.crash();
        world.cycle();
        assert_eq!((world.run(run).losses, world.hands.started.len()), (losses, 1));
    }
    world.crash();
    assert_eq!(world.verdict(run), Some(Verdict::Lost));
    assert!(world.run(run).attempts.iter().all(|a| a.outcome == Outcome::Lost));
}

#[test]
fn at_most_once_jobs_are_not_tried_again_after_a_loss() {
    for (policy, held) in [("hold", true), ("fail", false)] {
        let mut world = World::new();
        world.apply(&format!("job: {{name: a, schedule: '* * * * *', run: ['true'], onLost: {policy}}}"));
        world.live(60);
        let run = world.hands.started[0].id;
        world.crash();
        world.live(1);
        assert!(world.hands.started.is_empty());
        assert_eq!(world.run(run).state == RunState::Held(Hold::Lost), held);
        assert_eq!(world.verdict(run) == Some(Verdict::Lost), !held);
    }
}

#[test]
fn a_report_of_an_old_lease_changes_nothing() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(60);
    let old = world.hands.started[0].clone();
    world.crash();
    world.cycle();
    let new = world.hands.started[0].clone();
    assert!(new.fence > old.fence);
    world.end_run(&old, 0);
    assert_eq!(world.run(old.id).state, new.state);
}

// proves I-17
#[test]
fn a_job_runs_after_the_one_it_waits_for_succeeded() {
    let mut world = World::new();
    world.apply(
        "jobs: [{name: a, schedule: '* * * * *', run: ['true']}, {name: b, triggers: [{after: a}], run: ['true']}]",
    );
    world.live(60);
    let run = world.end(1);
    assert!(world.hands.started.is_empty(), "a failure is no success");
    world.live(60);
    let good = world.end(0);
    let after = world.hands.started[0].clone();
    assert_eq!(after.key, format!("after:{}", good.id));
    assert_ne!(run.id, good.id);
}

#[test]
fn a_fixed_delay_counts_from_the_end_of_the_last_run() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: {every: 10s, pace: fixed-delay}, run: ['true']}");
    world.cycle();
    world.live(25);
    world.end(0);
    world.live(9);
    assert!(world.hands.started.is_empty());
    world.live(1);
    assert_eq!(world.end(0).nominal, START.saturating_add(Duration::from_secs(35)));
}

#[test]
fn the_reference_interval_fires_twelve_times_a_minute_on_the_grid() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: {every: 5000ms, initialDelay: 0s}, run: ['true']}");
    world.cycle();
    for _ in 0..59 {
        world.live(1);
        while !world.hands.started.is_empty() {
            world.end(0);
        }
    }
    let expected: Vec<String> = (0..60).step_by(5).map(|s| format!("{s} run")).collect();
    assert_eq!(world.told("a"), expected);
}

#[test]
fn max_runs_ends_a_trigger() {
    let mut world = World::new();
    world.apply("job: {name: a, triggers: [{cron: '* * * * *', maxRuns: 2}], run: ['true'], overlap: allow}");
    world.live(240);
    assert_eq!(world.told("a"), ["60 run", "120 run"]);
}

#[test]
fn a_clock_that_steps_back_fires_nothing_twice() {
    let mut world = World::new();
    world.apply("job: {name: a, schedule: '* * * * *', run: ['true'], overlap: allow}");
    world.live(120);
    let punctual_engine::clock::Clock::Manual(micros) = &world.clock else { panic!("a manual clock") };
    micros.store(START.as_micros(), std::sync::atomic::Ordering::SeqCst);
    world.live(179);
    let runs = world.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    world.live(1);
    assert_eq!(world.told("a"), ["60 run", "120 run", "180 run"]);
}

#[test]
fn why_names_the_disposition_of_an_instant_and_the_rule_behind_it() {
    let mut world = World::new();
    world.apply(MINUTELY);
    world.live(130);
    let at = |s| Timestamp::from_secs(START.as_secs() + s);
    let why = |t| block_on(world.engine.why(WhySubject::JobAt("a".into(), t))).expect("answers");
    let skipped = why(at(120));
    assert_eq!(skipped.rule.as_deref(), Some("overlap: skip"));
    assert_eq!(skipped.next, Some(at(180)));
    assert!(why(at(60)).answer.contains("running since"), "{}", why(at(60)).answer);
    assert!(why(at(61)).answer.contains("no nominal time"), "{}", why(at(61)).answer);
}

#[test]
fn an_edit_of_a_paused_job_accounts_for_the_pause_until_then() {
    let mut world = World::new();
    world.apply(MINUTELY);
    block_on(world.engine.pause("a", "maintenance")).expect("pauses");
    world.advance(Duration::from_secs(60));
    world.apply("job: {name: a, schedule: '* * * * *', run: ['false']}");
    block_on(world.engine.resume("a", false)).expect("resumes");
    world.live(60);
    assert_eq!(world.told("a"), ["60 skipped paused", "120 run"]);
}

#[test]
fn a_trigger_that_cannot_be_decided_is_set_aside_and_the_others_go_on() {
    let mut world = World::new();
    let jobs: Vec<String> = ["a", "b", "c", "d"]
        .map(|name| format!("{{name: {name}, schedule: '* * * * *', run: ['true'], overlap: allow}}"))
        .into();
    world.apply(&format!("jobs: [{}]", jobs.join(", ")));
    // A count that cannot grow makes firing the trigger panic where overflow is checked, as it is in tests.
    let poison = |snapshot: &punctual_store::Snapshot| punctual_store::Decision {
        triggers: snapshot
            .triggers
            .iter()
            .map(|t| {
                let mut row = t.clone();
                row.state.fired = u64::MAX;
                row
            })
            .collect(),
        ..Default::default()
    };
    let ask = punctual_store::Ask { job_names: vec!["c".into()], ..Default::default() };
    block_on(world.store.transact(ask, Duration::from_secs(1), Box::new(poison))).expect("writes");
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(30));
        let _ = block_on(world.node.cycle_once(&mut world.hands));
    }
    for job in ["a", "b", "d"] {
        assert!(
            world.told(job).iter().filter(|t| t.ends_with("run")).count() >= 10,
            "{job}: {:?}",
            world.told(job)
        );
    }
    let why = block_on(world.engine.why(WhySubject::Job("c".into()))).expect("answers");
    assert!(why.answer.contains("quarantined"), "{}", why.answer);
    assert_eq!(world.engine.quarantined(), 1);
}

#[test]
fn an_occurrence_follows_the_clock_of_its_trigger_or_of_its_job() {
    let world = World::new();
    world.apply(
        "job: {name: a, timeZone: Asia/Shanghai, triggers: [{name: t, every: 1h}, \
         {name: u, at: '2026-12-01T02:00', timeZone: Asia/Tokyo}, {name: v, cron: '0 2 * * *', timeZone: UTC}]}",
    );
    let jobs = block_on(world.engine.jobs()).expect("lists");
    let job = block_on(world.engine.definition(jobs[0].row.id, jobs[0].row.revision)).expect("loads");
    let zone = |key: &str| job.zone_of(key).name().to_owned();
    assert_eq!(zone("t:2026-11-24T09:00:00Z"), "Asia/Shanghai");
    assert_eq!(zone("u:2026-11-24T09:00:00Z"), "Asia/Tokyo");
    assert_eq!(zone("v:2026-11-24T09:00:00Z"), "UTC");
    assert_eq!(zone("submitted:1"), "Asia/Shanghai");
}

#[test]
fn a_key_of_an_occurrence_cannot_be_submitted() {
    let world = World::new();
    world.apply("job: {name: a, triggers: [{name: nightly, cron: '0 2 * * *'}], run: ['true']}");
    let submit = |key: &str| block_on(world.engine.submit("a", Some(key.to_owned()), Map::new()));
    for key in ["nightly:2026-11-25T02:00:00Z", "boot:1", "after:x", "retry:x"] {
        assert!(matches!(submit(key), Err(EngineError::State { .. })), "{key}");
    }
    assert!(submit("order:17").is_ok());
}
