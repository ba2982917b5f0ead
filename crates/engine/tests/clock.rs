//! Steps of the clock, on a node whose clock is guarded: nothing runs twice, nothing is unaccounted for, and a large
//! step moves no cursor until somebody confirms it.

mod support;

use proptest::prelude::*;
use punctual_core::guard::Verdict;
use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::guarded::Guarded;
use punctual_store::Store;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{START, World};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 86_400;
/// Every minute, the newest that was missed runs; and every minute, each one of the last 20 min that was missed.
const JOBS: &str = "
jobs:
  - {name: newest, schedule: '* * * * *', run: ['true'], overlap: allow, catchUp: {policy: latest, window: 1h}}
  - {name: each, schedule: '* * * * *', run: ['true'], overlap: allow, catchUp: {policy: all, window: 20m, maxCount: 100}}
";

fn guarded() -> (World, std::sync::Arc<Guarded>) {
    let clock = Clock::guarded_manual(START);
    let guard = clock.guard().expect("it is guarded").clone();
    let world = World::with_clock(Store::memory(), clock);
    world.apply(JOBS);
    (world, guard)
}

/// Turns the cycle each second, ends all that starts, and gives how many did.
fn live(world: &mut World, secs: u64) -> usize {
    let mut started = 0;
    for _ in 0..secs {
        world.advance(Duration::from_secs(1));
        for run in std::mem::take(&mut world.hands.started) {
            started += 1;
            world.end_run(&run, 0);
        }
    }
    started
}

/// No run is there twice, and each minute from the start until the clock's present has one disposition.
fn check(world: &World) {
    let mut ids = BTreeSet::new();
    assert!(world.runs().iter().all(|run| ids.insert(run.id)), "no run is there twice");
    for job in ["newest", "each"] {
        let minutes: Vec<i64> = world.ticks(job).iter().map(|t| t.nominal.as_secs()).collect();
        let expected: Vec<i64> = (START.as_secs() + 60..=world.now().as_secs()).step_by(60).collect();
        assert_eq!(minutes, expected, "each minute of {job} has one disposition");
    }
}

fn fault(world: &World) -> Option<String> {
    block_on(world.engine.status()).expect("reads").clock_fault
}

fn cursors(world: &World) -> Vec<Timestamp> {
    let (_, triggers) = block_on(world.store.jobs()).expect("reads");
    triggers.iter().map(|t| t.state.cursor).collect()
}

// proves I-4
#[test]
fn a_large_step_moves_nothing_and_jobs_go_on_as_if_it_had_not_been() {
    for step in [301, HOUR, 86_400, YEAR, -301, -HOUR, -86_400, -YEAR] {
        let (mut world, guard) = guarded();
        live(&mut world, 90);
        let before = cursors(&world);
        guard.step(step * 1_000_000);
        world.cycle();
        assert_eq!(cursors(&world), before, "a step of {step} s moves no cursor");
        assert_eq!(live(&mut world, 600), 20, "both jobs go on at their minutes after {step} s");
        assert!(guard.is_in_doubt());
        let remarks = world.engine.watch_clock();
        assert!(remarks[0].contains("punctual doctor clock"), "{remarks:?}");
        let told = fault(&world).expect("it is told");
        assert!(told.contains("not believed yet"), "{told}");
        guard.step(-step * 1_000_000);
        assert_eq!(live(&mut world, 60), 2);
        assert!(!guard.is_in_doubt(), "it is back where it was");
        assert_eq!(fault(&world), None);
        check(&world);
    }
}

#[test]
fn a_step_forward_that_is_confirmed_is_downtime() {
    for step in [HOUR, 86_400, 30 * 86_400] {
        let (mut world, guard) = guarded();
        live(&mut world, 90);
        guard.step(step * 1_000_000);
        live(&mut world, 30);
        let accepted = block_on(world.engine.accept_clock("ann")).expect("kept");
        let by = Duration::from_secs(step.unsigned_abs());
        assert_eq!(accepted, Some(Verdict::Ahead(by)));
        assert_eq!(block_on(world.engine.accept_clock("ann")).expect("kept"), None, "it was confirmed");
        world.cycle();
        // The newest of one job, and of the other the last 20 minutes, a second apart.
        let started = live(&mut world, 40);
        assert!((21..=23).contains(&started), "{started}");
        check(&world);
        let said = block_on(world.engine.clock_view()).expect("reads").said;
        assert!(said[0].contains("ann: confirmed that the clock was set"), "{said:?}");
    }
}

#[test]
fn the_kernels_word_for_a_minute_confirms_it() {
    let (mut world, guard) = guarded();
    live(&mut world, 10);
    guard.step(HOUR * 1_000_000);
    assert!(!guard.hear(true));
    live(&mut world, 59);
    assert!(!guard.hear(true));
    live(&mut world, 1);
    assert!(guard.hear(true));
    assert_eq!(world.now(), START.saturating_add(Duration::from_secs(70 + 3600)));
}

// proves I-1
#[test]
fn after_a_step_back_that_is_confirmed_a_person_sets_the_cursors_back() {
    let (mut world, guard) = guarded();
    live(&mut world, 90);
    // A wrong clock is believed for 10 minutes, three days ahead.
    guard.step(3 * 86_400 * 1_000_000);
    guard.accept();
    live(&mut world, 600);
    let ran: BTreeSet<_> = world.runs().iter().map(|run| run.id).collect();
    guard.step(-3 * 86_400 * 1_000_000);
    guard.accept();
    let remarks = world.engine.watch_clock();
    assert!(remarks.iter().any(|r| r.contains("2 triggers have seen")), "{remarks:?}");
    assert_eq!(live(&mut world, 120), 0, "what was decided is not decided again by itself");
    let (count, until) = block_on(world.engine.ahead()).expect("reads").expect("both are ahead");
    assert_eq!(count, 2);
    let done = block_on(world.engine.set_back("ann")).expect("sets back");
    assert_eq!((done.triggers, done.until), (2, until));
    assert!(done.ran > 20, "{done:?}");
    assert_eq!(live(&mut world, 600), 20, "they fire again from now on");
    let next = block_on(world.engine.set_back("ann")).expect("sets nothing back");
    assert_eq!(next.triggers, 0);
    // The days until the wrong time pass, by a restart in between; what ran there does not run again.
    world.crash();
    world.advance(Duration::from_secs(3 * 86_400 - 3600));
    for run in std::mem::take(&mut world.hands.started) {
        world.end_run(&run, 0);
    }
    let started = live(&mut world, 7200);
    assert!(ran.iter().all(|id| world.runs().iter().filter(|r| r.id == *id).count() == 1));
    assert!((200..240).contains(&started), "{started} of 240 minutes, less those that had run");
    check(&world);
}

#[test]
fn stamps_of_a_doubted_clock_are_corrected() {
    let (mut world, guard) = guarded();
    live(&mut world, 59);
    world.advance(Duration::from_secs(1));
    guard.step(YEAR * 1_000_000);
    let now = world.now();
    let ends = |wall: Timestamp| world.clock.of_wall(wall);
    let wall = now.saturating_add(Duration::from_secs(YEAR.unsigned_abs()));
    assert_eq!(ends(wall), now, "it was stamped after the step");
    assert_eq!(ends(now), now, "and this one before");
    guard.accept();
    assert_eq!((ends(wall), ends(now)), (wall, now), "what is believed is not corrected");
}

#[test]
fn small_steps_are_followed() {
    let (mut world, guard) = guarded();
    live(&mut world, 90);
    guard.step(-100 * 1_000_000);
    assert_eq!(live(&mut world, 100), 0, "nothing fires twice");
    assert_eq!(live(&mut world, 60), 2);
    guard.step(200 * 1_000_000);
    assert_eq!(
        live(&mut world, 10),
        1 + 3 + 2,
        "the newest of one, each of the other, and the minute that came meanwhile"
    );
    check(&world);
}

#[test]
fn a_clock_that_is_one_percent_off_is_followed() {
    for by in [10_000, -10_000] {
        let (mut world, guard) = guarded();
        let mut started = 0;
        for _ in 0..3600 {
            guard.step(by);
            started += live(&mut world, 1);
        }
        let minutes = usize::try_from(world.now().since(START).as_secs() / 60).expect("few");
        assert_eq!(started, 2 * minutes);
        assert!(!guard.is_in_doubt());
        check(&world);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Live(u64),
    /// As the machine does when it is suspended, or the daemon when it is down.
    Sleep(u64),
    Step(i64),
    Accept,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1_u64..200).prop_map(Op::Live),
        1 => (60_u64..20_000).prop_map(Op::Sleep),
        2 => (-400_i64..400).prop_map(Op::Step),
        1 => (-20_000_i64..20_000).prop_map(Op::Step),
        1 => Just(Op::Accept),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    // proves I-3
    #[test]
    fn whatever_the_clock_does_each_minute_is_accounted_for(ops in proptest::collection::vec(op(), 1..25)) {
        let (mut world, guard) = guarded();
        let mut latest = START;
        for op in ops {
            match op {
                Op::Live(secs) => _ = live(&mut world, secs),
                Op::Sleep(secs) => world.clock.advance(Duration::from_secs(secs)),
                Op::Step(secs) => guard.step(secs * 1_000_000),
                Op::Accept => _ = block_on(world.engine.accept_clock("the test")).expect("kept"),
                Op::Crash => world.crash(),
            }
            live(&mut world, 1);
            latest = latest.max(world.now());
        }
        // The clock passes all that has been seen.
        world.clock.advance(latest.since(world.now()));
        live(&mut world, 150);
        check(&world);
    }
}
