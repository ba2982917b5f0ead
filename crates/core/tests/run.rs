//! A run taken through random events, most of which it must refuse.

use proptest::prelude::*;
use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId};
use punctual_core::job::OnLost;
use punctual_core::occurrence::Reason;
use punctual_core::retry::{Failure, Failures, Retry};
use punctual_core::run::{Hold, Illegal, LOSSES_MAX, Policy, Run, RunEvent, RunState, StopReason, Verdict};
use punctual_core::time::Timestamp;
use std::time::Duration;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const NODE: NodeId = NodeId(1);

fn run() -> Run {
    Run {
        id: RunId::derive("job", "t", "t:1", START),
        job: JobId(1),
        trigger: None,
        revision: Revision(1),
        key: "t:1".to_owned(),
        nominal: START,
        due: START,
        state: RunState::Queued { due: START },
        fence: Fence(0),
        retries: 0,
        losses: 0,
        params: String::new(),
        queue: "normal".to_owned(),
        priority: 5,
        attempts: Vec::new(),
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let on_lost = prop_oneof![Just(OnLost::Retry), Just(OnLost::Hold), Just(OnLost::Fail)];
    (0_u32..6, on_lost)
        .prop_map(|(retries_max, on_lost)| Policy { retry: Retry { retries_max, ..Retry::NONE }, on_lost })
}

/// An event without its fence: an ended attempt comes under the present lease, or under an older one.
#[derive(Clone, Debug)]
enum Plan {
    Lease,
    Ended { outcome: Outcome, fence_behind: i64 },
    Stop(StopReason),
    Expire,
    Release,
}

fn plan() -> impl Strategy<Value = Plan> {
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let behind = prop_oneof![8 => Just(0_i64), 1 => 1_i64..3];
    prop_oneof![
        6 => Just(Plan::Lease),
        8 => (outcome, behind).prop_map(|(outcome, fence_behind)| Plan::Ended { outcome, fence_behind }),
        1 => Just(Plan::Stop(StopReason::Cancel)),
        1 => Just(Plan::Stop(StopReason::Replaced)),
        1 => Just(Plan::Expire),
        1 => Just(Plan::Release),
    ]
}

fn event(plan: &Plan, run: &Run, now: Timestamp) -> RunEvent {
    match plan {
        Plan::Lease => RunEvent::Lease { owner: NODE },
        Plan::Ended { outcome, fence_behind } => RunEvent::Ended {
            fence: Fence(run.fence.0 - fence_behind),
            attempt: Attempt {
                number: run.next_attempt(),
                node: NODE,
                started: Some(now),
                finished: now,
                outcome: *outcome,
                exit: Exit::default(),
            },
        },
        Plan::Stop(reason) => RunEvent::Stop(*reason),
        Plan::Expire => RunEvent::Expire(Reason::StartDeadline),
        Plan::Release => RunEvent::Release,
    }
}

/// What every step, taken or refused, must keep.
fn check_step(before: &Run, event: &RunEvent, after: Result<&Run, &Illegal>) -> Result<(), TestCaseError> {
    let Ok(after) = after else {
        // proves I-7: an end that belongs to an older lease is refused.
        if let RunEvent::Ended { fence, .. } = event
            && let RunState::Leased(lease) = &before.state
        {
            prop_assert_ne!(*fence, lease.fence);
        }
        return Ok(());
    };
    prop_assert!(!before.is_finished(), "a finished run changed");
    let what_a_run_is = |run: &Run| (run.id, run.job, run.nominal, run.key.clone(), run.revision);
    prop_assert_eq!(what_a_run_is(before), what_a_run_is(after));

    let leased = matches!(event, RunEvent::Lease { .. });
    prop_assert_eq!(after.fence.0, before.fence.0 + i64::from(leased), "fences grow with leases only");
    let ended = matches!(event, RunEvent::Ended { .. });
    prop_assert_eq!(after.attempts.len(), before.attempts.len() + usize::from(ended));
    if ended {
        prop_assert!(matches!(before.state, RunState::Leased(_)), "an attempt ended without a lease");
    }
    if let RunState::Leased(lease) = &after.state {
        prop_assert_eq!(lease.fence, after.fence);
    }
    Ok(())
}

fn check_end(run: &Run, policy: &Policy) -> Result<(), TestCaseError> {
    let successes = run.attempts.iter().filter(|a| a.outcome == Outcome::Success).count();
    let last = run.attempts.last().map(|attempt| attempt.outcome);
    let succeeded = matches!(run.state, RunState::Finished { verdict: Verdict::Success, .. });
    prop_assert!(successes <= 1);
    prop_assert_eq!(succeeded, last == Some(Outcome::Success));

    let lost = |a: &&Attempt| matches!(a.outcome, Outcome::Lost | Outcome::Interrupted);
    let losses = u32::try_from(run.attempts.iter().filter(lost).count()).expect("few");
    // One that was told to end is not counted: nothing follows from it.
    let was_cancelled = matches!(run.state, RunState::Finished { verdict: Verdict::Cancelled, .. });
    prop_assert!(run.losses == losses || was_cancelled && run.losses + 1 == losses);
    prop_assert!(run.retries <= policy.retry.retries_max);
    match policy.on_lost {
        OnLost::Retry => prop_assert!(losses <= LOSSES_MAX + 1),
        OnLost::Fail => prop_assert!(losses == 0 || run.is_finished()),
        OnLost::Hold => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // proves I-10, I-11, I-13, I-14
    #[test]
    fn whatever_happens_a_run_obeys_its_states(
        policy in policy(), plans in proptest::collection::vec((plan(), 0_u64..400), 1..60),
    ) {
        let mut run = run();
        let mut now = START;
        for (plan, wait) in &plans {
            now = now.saturating_add(Duration::from_secs(*wait));
            let event = event(plan, &run, now);
            let was_held_as_lost = run.state == RunState::Held(Hold::Lost);
            let was_due = matches!(run.state, RunState::Queued { due } if due <= now);
            let after = run.apply(event.clone(), &policy, now);
            check_step(&run, &event, after.as_ref())?;
            let Ok(after) = after else { continue };
            if matches!(event, RunEvent::Lease { .. }) {
                prop_assert!(was_due && !was_held_as_lost);
            }
            check_end(&after, &policy)?;
            run = after;
        }
    }

    // proves I-13
    #[test]
    fn a_run_that_always_fails_ends_after_its_retries(policy in policy(), outcomes in proptest::collection::vec(
        proptest::sample::select(vec![Outcome::Failed, Outcome::Timeout, Outcome::SpawnFailed, Outcome::Lost]), 40,
    )) {
        let mut run = run();
        for outcome in outcomes {
            let RunState::Queued { due } = run.state else { break };
            run = run.apply(RunEvent::Lease { owner: NODE }, &policy, due).expect("it is due");
            let plan = Plan::Ended { outcome, fence_behind: 0 };
            run = run.apply(event(&plan, &run, due), &policy, due).expect("it is leased");
        }
        prop_assert!(!matches!(run.state, RunState::Queued { .. }), "still trying after {} attempts", run.attempts.len());
        let attempts_max = 1 + policy.retry.retries_max + LOSSES_MAX;
        prop_assert!(run.attempts.len() <= attempts_max as usize);
    }
}

#[test]
fn a_retry_waits_for_its_backoff() {
    let policy = Policy {
        retry: Retry {
            retries_max: 1,
            backoff: Duration::from_secs(40),
            backoff_max: Duration::from_secs(300),
            ..Retry::NONE
        },
        on_lost: OnLost::Retry,
    };
    let leased = run().apply(RunEvent::Lease { owner: NODE }, &policy, START).expect("it is due");
    let failed = event(&Plan::Ended { outcome: Outcome::Failed, fence_behind: 0 }, &leased, START);
    let queued = leased.apply(failed, &policy, START).expect("it is leased");
    let RunState::Queued { due } = queued.state else { panic!("{queued:?}") };
    assert!(due.since(START) >= Duration::from_secs(30) && due.since(START) <= Duration::from_secs(40));
    let early = due.saturating_sub(Duration::from_micros(1));
    let lease = || RunEvent::Lease { owner: NODE };
    assert_eq!(queued.apply(lease(), &policy, early), Err(Illegal::State("it is not due")));
    assert!(queued.apply(lease(), &policy, due).is_ok());
}

#[test]
fn a_failure_that_is_not_retried_ends_the_run() {
    let failures = Failures::NONE.with(Failure::Timeout);
    let policy = Policy { retry: Retry { retries_max: 3, failures, ..Retry::NONE }, on_lost: OnLost::Retry };
    let leased = run().apply(RunEvent::Lease { owner: NODE }, &policy, START).expect("it is due");
    let ended = |outcome, code| {
        let mut event = event(&Plan::Ended { outcome, fence_behind: 0 }, &leased, START);
        if let RunEvent::Ended { attempt, .. } = &mut event {
            attempt.exit.code = code;
        }
        leased.apply(event, &policy, START).expect("it is leased").state
    };
    let failed = ended(Outcome::Failed, Some(1));
    assert!(matches!(failed, RunState::Finished { verdict: Verdict::Failed, .. }), "{failed:?}");
    assert!(matches!(ended(Outcome::Timeout, None), RunState::Queued { .. }));
}
