//! What a daemon makes of the attempts of the one before it.

mod support;

use punctual_core::attempt::Outcome;
use punctual_core::run::Run;
use punctual_engine::attach::Attached;
use punctual_engine::block_on::block_on;
use punctual_engine::supervisor::Session;
use punctual_engine::supervisor::protocol::{AttemptId, Ended, Running};
use std::time::Duration;
use support::World;

const JOB: &str =
    "job: {name: a, schedule: '* * * * *', run: ['true'], overlap: allow, catchUp: all, onLost: fail}";

fn outcomes(world: &World, run: &Run) -> Vec<Outcome> {
    world.run(run.id).attempts.iter().map(|attempt| attempt.outcome).collect()
}

#[test]
fn what_runs_is_adopted_what_ended_is_settled_and_what_never_arrived_is_started() {
    let mut world = World::new();
    world.apply(JOB);
    world.live(120);
    let [ended, goes_on] = &world.hands.started.clone()[..] else { panic!("two run") };
    world.clock.advance(Duration::from_secs(60));
    world.commit_unseen();
    world.end_unseen(ended, 0);
    let attached = world.replace();
    let counted = Attached { adopted: 1, ended: 1, started: 1, ..Attached::default() };
    assert_eq!(attached, counted);
    assert_eq!((world.node.busy(), world.node.has_ended()), (3, true));
    let never_arrived = world.hands.started.last().expect("it was started").clone();
    assert_eq!(never_arrived.fence.0, 1, "under the lease it had");
    // Before the end is recorded the daemon dies again, and that is no loss either.
    let again = Attached { adopted: 2, ended: 1, ..Attached::default() };
    assert_eq!(world.replace(), again);
    world.cycle();
    assert_eq!(outcomes(&world, ended), [Outcome::Success]);
    assert!(world.hands.supervisor.ended.is_empty(), "it is acknowledged");
    for run in [goes_on, &never_arrived] {
        world.end_run(run, 1);
        assert_eq!(outcomes(&world, run), [Outcome::Failed]);
    }
    assert_eq!(world.replace(), Attached::default());
    assert_eq!(world.told("a"), ["60 run", "120 run", "180 run"]);
}

#[test]
fn what_was_told_to_end_meanwhile_is_told_so() {
    let mut world = World::new();
    world.apply(JOB);
    world.live(60);
    let run = world.hands.started[0].clone();
    // Without the daemon, by whoever has the store's lock.
    block_on(world.engine.cancel(run.id)).expect("cancels");
    world.replace();
    assert_eq!(world.hands.stopped, [(run.id, run.fence)]);
    world.end_run(&run, 143);
    assert_eq!(world.verdict(run.id), Some(punctual_core::run::Verdict::Cancelled));
}

#[test]
fn an_end_in_the_journal_of_a_session_that_is_over_counts() {
    let mut world = World::new();
    world.apply(JOB);
    world.live(120);
    let [ended, lost] = &world.hands.started.clone()[..] else { panic!("two run") };
    world.end_unseen(ended, 0);
    world.crash();
    assert_eq!(outcomes(&world, ended), [Outcome::Success]);
    assert_eq!(outcomes(&world, lost), [Outcome::Lost]);
    let started = world.run(lost.id).attempts[0].started;
    assert!(started.is_some(), "the journal knows that it had started");
    world.cycle();
    assert!(world.hands.started.is_empty() && world.hands.supervisor.running.is_empty());
}

#[test]
fn what_belongs_to_no_lease_is_named() {
    let mut world = World::new();
    world.apply(JOB);
    let id = |run: &str| AttemptId { run: run.into(), fence: 1 };
    let session = Session {
        running: vec![Running { attempt: id("01m86cjy70nn9n4qpyvw6pbwt1"), at_us: 0, pid: 1 }],
        ended: vec![Ended::at(id("01m86cjy70nn9n4qpyvw6pbwt1-notify"), 0)],
    };
    let attached = block_on(world.node.attach_once(&session, &mut world.hands)).expect("attaches");
    let unknown = Attached {
        unknown_running: vec![session.running[0].attempt.clone()],
        unknown_ended: vec![session.ended[0].attempt.clone()],
        ..Attached::default()
    };
    assert_eq!(attached, unknown);
}
