//! A run taken through random events, most of which it must refuse.

use proptest::prelude::*;
use punctual_core::attempt::{Attempt, Class, Exit, Outcome};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId};
use punctual_core::job::OnLost;
use punctual_core::occurrence::Reason;
use punctual_core::retry::{Failure, Failures, RETRY_AFTER_MAX, Retry};
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
    let spared = proptest::option::of(proptest::sample::select(Class::ALL.to_vec()));
    (0_u32..6, on_lost, spared).prop_map(|(retries_max, on_lost, spared)| {
        let failures = spared.map_or(Failures::ALL, |class| Failures::ALL.without(Failure::Class(class)));
        Policy { retry: Retry { retries_max, failures, ..Retry::NONE }, on_lost }
    })
}

/// An event without its fence: an ended attempt comes under the present lease, or under an older one.
#[derive(Clone, Debug)]
enum Plan {
    Lease,
    Ended { outcome: Outcome, exit: Exit, fence_behind: i64 },
    Stop(StopReason),
    Expire,
    Release,
    Wait,
}

/// What a process may have left: a code, a signal, a class that neither tells, a wish to be left alone.
fn exit() -> impl Strategy<Value = Exit> {
    let class = proptest::option::weighted(0.3, proptest::sample::select(Class::ALL.to_vec()));
    let code = proptest::option::of(0..256_i32);
    let signal = proptest::option::weighted(0.2, 1..65_i32);
    let retry_after = proptest::option::weighted(0.3, (0_u64..200_000).prop_map(Duration::from_secs));
    (class, code, signal, retry_after).prop_map(|(class, code, signal, retry_after)| Exit {
        class,
        code,
        signal,
        retry_after,
        ..Exit::default()
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    let behind = prop_oneof![8 => Just(0_i64), 1 => 1_i64..3];
    prop_oneof![
        6 => Just(Plan::Lease),
        8 => (outcome, exit(), behind)
            .prop_map(|(outcome, exit, fence_behind)| Plan::Ended { outcome, exit, fence_behind }),
        1 => Just(Plan::Stop(StopReason::Cancel)),
        1 => Just(Plan::Stop(StopReason::Replaced)),
        1 => Just(Plan::Expire),
        1 => Just(Plan::Release),
        1 => Just(Plan::Wait),
    ]
}

fn ended(outcome: Outcome) -> Plan {
    Plan::Ended { outcome, exit: Exit::default(), fence_behind: 0 }
}

fn event(plan: &Plan, run: &Run, now: Timestamp) -> RunEvent {
    match plan {
        Plan::Lease => RunEvent::Lease { owner: NODE },
        Plan::Ended { outcome, exit, fence_behind } => RunEvent::Ended {
            fence: Fence(run.fence.0 - fence_behind),
            attempt: Attempt {
                number: run.next_attempt(),
                node: NODE,
                started: Some(now),
                finished: now,
                outcome: *outcome,
                exit: exit.clone(),
            },
        },
        Plan::Stop(reason) => RunEvent::Stop(*reason),
        Plan::Expire => RunEvent::Expire(Reason::StartDeadline),
        Plan::Release => RunEvent::Release,
        Plan::Wait => RunEvent::Wait,
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

/// What is tried again is what may be, when its job asked for it, and never later than a day on.
fn check_retry(
    before: &Run,
    event: &RunEvent,
    after: &Run,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let RunEvent::Ended { attempt, .. } = event else { return Ok(()) };
    if after.retries == before.retries {
        return Ok(());
    }
    prop_assert_eq!(after.retries, before.retries + 1);
    prop_assert!(policy.retry.failures.contains(attempt.outcome, &attempt.exit));
    prop_assert_ne!(attempt.class(), Some(Class::Reported), "it said that it failed for good");
    let RunState::Queued { due } = after.state else { panic!("{:?}", after.state) };
    match attempt.exit.retry_after {
        Some(asked) => prop_assert_eq!(due.since(now), asked.min(RETRY_AFTER_MAX)),
        None => prop_assert!(due.since(now) <= policy.retry.backoff_max),
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
            check_retry(&run, &event, &after, &policy, now)?;
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
            let plan = ended(outcome);
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
    let failed = event(&ended(Outcome::Failed), &leased, START);
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
    let failures = Failures::NONE.with(Failure::Class(Class::Timeout));
    let policy = Policy { retry: Retry { retries_max: 3, failures, ..Retry::NONE }, on_lost: OnLost::Retry };
    let leased = run().apply(RunEvent::Lease { owner: NODE }, &policy, START).expect("it is due");
    let after = |outcome, code| {
        let mut event = event(&ended(outcome), &leased, START);
        if let RunEvent::Ended { attempt, .. } = &mut event {
            attempt.exit.code = code;
        }
        leased.apply(event, &policy, START).expect("it is leased").state
    };
    let failed = after(Outcome::Failed, Some(1));
    assert!(matches!(failed, RunState::Finished { verdict: Verdict::Failed, .. }), "{failed:?}");
    assert!(matches!(after(Outcome::Timeout, None), RunState::Queued { .. }));
}

#[test]
fn a_lost_run_that_a_person_lets_go_may_have_to_wait_for_another() {
    let policy = Policy { retry: Retry::NONE, on_lost: OnLost::Hold };
    let step = |run: &Run, event: RunEvent| run.apply(event, &policy, START);
    let leased = step(&run(), RunEvent::Lease { owner: NODE }).expect("it is due");
    let held = step(&leased, event(&ended(Outcome::Lost), &leased, START)).expect("it is leased");
    assert_eq!(held.state, RunState::Held(Hold::Lost));
    assert!(step(&held, RunEvent::Lease { owner: NODE }).is_err(), "nobody takes it by itself");
    let waiting = step(&held, RunEvent::Wait).expect("a person lets it go on");
    assert_eq!(waiting.state, RunState::Held(Hold::Overlap));
    assert!(step(&waiting, RunEvent::Wait).is_err());
    assert!(matches!(step(&waiting, RunEvent::Release).expect("its turn").state, RunState::Queued { .. }));
}
