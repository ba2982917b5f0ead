//! Back-fills: which nominal times, each once, and what they do to the runs beside them.

mod support;

use punctual_core::id::RunId;
use punctual_core::run::{Run, Verdict};
use punctual_core::time::Timestamp;
use punctual_engine::backfill::{Backfill, BackfillRequest, Which, is_backfill};
use punctual_engine::block_on::block_on;
use punctual_engine::error::EngineError;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{START, World};

const MINUTE: Duration = Duration::from_secs(60);

fn job(overlap: &str) -> String {
    format!("job: {{name: a, schedule: '* * * * *', run: ['true'], overlap: {overlap}, catchUp: none}}")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START.as_secs() + secs)
}

/// The last hour before the start.
fn hour() -> BackfillRequest {
    BackfillRequest {
        job: "a".into(),
        id: Some("h".into()),
        from: at(-3600),
        to: at(0),
        trigger: None,
        which: Which::NotRun,
        times_max: 1000,
        spread: Duration::from_secs(1),
        dry_run: false,
    }
}

fn fill(world: &World, request: BackfillRequest) -> Backfill {
    block_on(world.engine.backfill(request)).expect("fills")
}

fn code(world: &World, request: BackfillRequest) -> String {
    block_on(world.engine.backfill(request)).expect_err("is refused").code().to_string()
}

/// Ends whatever starts until nothing is left, and gives the runs in the order of their starts.
fn drain(world: &mut World, most_at_once: usize) -> Vec<Run> {
    let mut done = Vec::new();
    for _ in 0..2000 {
        world.cycle();
        assert!(world.hands.started.len() <= most_at_once, "{:?}", world.hands.started);
        let started = std::mem::take(&mut world.hands.started);
        if started.is_empty() {
            if world.runs().iter().all(Run::is_finished) {
                return done;
            }
            world.clock.advance(Duration::from_millis(500));
        }
        for run in started {
            world.end_run(&run, 0);
            done.push(run);
        }
    }
    panic!("it does not end");
}

// proves I-1
#[test]
fn a_preview_makes_nothing_and_a_repeat_makes_nothing_twice() {
    let mut world = World::new();
    world.apply(&job("allow"));
    let preview = fill(&world, BackfillRequest { dry_run: true, ..hour() });
    assert_eq!((preview.times, preview.nominal.len(), preview.made), (60, 60, 0));
    assert_eq!((preview.nominal[0], preview.nominal[59]), (at(-3600), at(-60)));
    assert_eq!(world.runs(), []);
    let done = fill(&world, hour());
    assert_eq!((done.made, done.existing, done.last_due), (60, 0, at(59)));
    let again = fill(&world, hour());
    assert_eq!((again.made, again.existing), (0, 60), "the answer was lost");
    let done = drain(&mut world, 60);
    assert_eq!(done.iter().map(|r| r.id).collect::<BTreeSet<RunId>>().len(), 60);
    let again = fill(&world, hour());
    assert_eq!((again.made, again.existing), (0, 60), "and so it is once they have ended");
    block_on(world.store.prune_history(at(365 * 86_400))).expect("forgets the keys");
    let again = fill(&world, BackfillRequest { which: Which::All, ..hour() });
    assert_eq!((again.made, again.existing), (0, 60), "even when its keys are forgotten");
    let other = fill(&world, BackfillRequest { id: None, ..hour() });
    assert_eq!((other.times, other.left_out, other.made), (60, 60, 0), "they have run");
    let all = fill(&world, BackfillRequest { id: None, which: Which::All, ..hour() });
    assert_eq!(all.made, 60);
    assert_eq!(world.runs().iter().filter(|run| is_backfill(run)).count(), 120);
}

#[test]
fn only_what_did_not_run_or_was_missed() {
    let mut world = World::new();
    world.apply(&job("skip"));
    world.live(125);
    let run = world.hands.started.remove(0);
    assert_eq!(world.told("a"), ["60 run", "120 skipped overlap"]);
    world.end_run(&run, 1);
    world.advance(Duration::from_secs(300));
    let span = BackfillRequest { from: at(0), to: at(425), ..hour() };
    let dry = |which| fill(&world, BackfillRequest { which, dry_run: true, ..span.clone() }).nominal;
    assert_eq!(dry(Which::NotRun), [at(0), at(120), at(180), at(240), at(300), at(360)]);
    assert_eq!(dry(Which::Missed), [at(180), at(240), at(300), at(360)]);
    assert_eq!(dry(Which::All).len(), 8);
    world.apply("job: {name: b, triggers: [{name: x, cron: '*/2 * * * *'}, {name: y, cron: '0 * * * *'}, {name: z, every: 5m, pace: fixed-delay}], run: ['true']}");
    let b = BackfillRequest { job: "b".into(), ..hour() };
    assert_eq!(fill(&world, BackfillRequest { dry_run: true, ..b.clone() }).times, 31);
    let y = BackfillRequest { trigger: Some("y".into()), ..b.clone() };
    let done = fill(&world, y);
    assert_eq!(done.made, 1);
    assert!(world.runs().iter().any(|run| run.key == "backfill:h:y:2026-11-24T08:00:00Z"));
    assert_eq!(code(&world, BackfillRequest { trigger: Some("z".into()), ..b }), "API051");
}

// proves I-15
#[test]
fn runs_wait_for_each_other_and_for_the_jobs_own_which_go_first() {
    for overlap in ["skip", "queue-one", "queue-all", "cancel-running"] {
        let mut world = World::new();
        world.apply(&job(overlap));
        fill(&world, BackfillRequest { from: at(-300), ..hour() });
        world.cycle();
        assert_eq!(world.hands.started.len(), 1, "one at a time under {overlap}");
        world.advance(MINUTE);
        let (told, stopped) = (world.told("a"), world.hands.stopped.len());
        assert_eq!(
            (told, stopped),
            (vec!["60 run".to_owned()], 0),
            "neither skipped nor cancelling under {overlap}"
        );
        let started = drain(&mut world, 1);
        assert!(
            started.iter().position(|run| !is_backfill(run)) == Some(1),
            "the trigger's goes next: {started:?}"
        );
        let nominal: Vec<Timestamp> = started.iter().filter(|r| is_backfill(r)).map(|r| r.nominal).collect();
        assert_eq!(nominal, [-300, -240, -180, -120, -60].map(at), "in order under {overlap}");
    }
    let mut world = World::new();
    world.apply(&job("allow"));
    let spread = Duration::from_secs(10);
    fill(&world, BackfillRequest { from: at(-300), spread, ..hour() });
    world.cycle();
    assert_eq!(world.hands.started.len(), 1, "spread out");
    world.live(40);
    assert_eq!(world.hands.started.len(), 5);
}

#[test]
fn what_is_left_can_be_cancelled_and_filled_again() {
    let mut world = World::new();
    world.apply(&job("skip"));
    fill(&world, hour());
    world.cycle();
    let cancelled = block_on(world.engine.cancel_backfill("h")).expect("cancels");
    assert_eq!(cancelled.len(), 60);
    assert_eq!(block_on(world.engine.cancel_backfill("other")).expect("cancels"), []);
    assert_eq!(world.hands.started.len(), 1, "one was under way, and is told to end");
    let under_way = world.hands.started.remove(0);
    world.note_end(&under_way, 143);
    assert!(drain(&mut world, 1).is_empty());
    let verdicts = world.runs().into_iter().filter(|run| world.verdict(run.id) == Some(Verdict::Cancelled));
    assert!(verdicts.count() >= 59);
    let again = fill(&world, BackfillRequest { id: Some("i".into()), ..hour() });
    assert!(again.made >= 59, "what was cancelled did not run: {again:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    world.apply(&job("skip"));
    assert_eq!(code(&world, BackfillRequest { times_max: 59, ..hour() }), "API050");
    let year = BackfillRequest { from: at(-365 * 86_400), times_max: 1_000_000, ..hour() };
    assert_eq!(code(&world, year), "API050");
    assert_eq!(code(&world, BackfillRequest { from: at(0), ..hour() }), "API051");
    assert_eq!(code(&world, BackfillRequest { to: at(1), ..hour() }), "API051");
    for id in ["", "a:b", "a b", "é", &"x".repeat(65)] {
        assert_eq!(code(&world, BackfillRequest { id: Some(id.to_owned()), ..hour() }), "API052");
    }
    let none = block_on(world.engine.backfill(BackfillRequest { job: "b".into(), ..hour() }));
    assert!(matches!(none, Err(EngineError::NoJob { .. })));
    assert_eq!(world.runs(), []);
}

#[test]
fn nothing_follows_a_run_of_the_past_and_changes_of_the_clock_are_told() {
    let mut world = World::new();
    world.apply(
        "jobs: [{name: a, schedule: {cron: '30 2 * * *', timeZone: Europe/Berlin}, run: ['true']}, \
         {name: after, triggers: [{after: a}], run: ['true']}]",
    );
    let autumn = |day| Timestamp::parse_rfc3339(&format!("2026-10-{day}T00:00:00Z")).expect("an instant");
    let done = fill(&world, BackfillRequest { from: autumn(24), to: autumn(27), ..hour() });
    assert_eq!((done.made, done.notes.len()), (3, 1), "{done:?}");
    assert!(done.notes[0].starts_with("2026-10-25T00:30:00Z"), "{:?}", done.notes);
    let ended = drain(&mut world, 1);
    assert_eq!(ended.len(), 3, "the job after it is not fired");
}
