//! What every store must do, a scenario each. Each begins with an empty store.

#![allow(clippy::cloned_ref_to_slice_refs, reason = "an array of what is expected reads better")]

use super::*;
use crate::ask::{Cycle, RunFilter};
use crate::row::{DedupRow, Pause};
use punctual_core::run::{Hold, StopReason};

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
}

fn new(runs: Vec<Run>) -> Decision {
    Decision { runs_new: runs, ..Decision::default() }
}

fn changed(runs: Vec<Run>) -> Decision {
    Decision { runs, ..Decision::default() }
}

pub fn jobs_and_triggers_come_back_as_written(store: &Store) {
    let paused = Some(Pause { since: at(5), reason: "for now".to_owned() });
    let first = JobRow { paused, serial: true, failures: 3, owner: "a.yaml".to_owned(), ..job(1, "one") };
    let second = JobRow { retired: true, ..job(2, "two") };
    let mut parked = trigger(2, 2, 9, None);
    (parked.live, parked.state.fired, parked.state.anchor) = (false, 4, at(-3));
    let decision = Decision {
        jobs: vec![first.clone(), second.clone()],
        revisions: vec![revision(1, 1), revision(2, 1)],
        triggers: vec![trigger(1, 1, -5, Some(7)), parked.clone()],
        ..Decision::default()
    };
    let empty = look(store, Ask::default());
    assert_eq!((empty.job_id_next, empty.trigger_id_next), (1, 1));
    put(store, Ask::default(), decision).expect("they are new");

    let triggers = vec![trigger(1, 1, -5, Some(7)), parked];
    assert_eq!(wait(store.jobs()), Ok((vec![first.clone(), second.clone()], triggers.clone())));
    let seen = look(store, Ask { jobs_all: true, ..Ask::default() });
    assert_eq!((seen.jobs, seen.triggers), (vec![first, second], triggers));
    assert_eq!((seen.job_id_next, seen.trigger_id_next), (3, 3));

    let again = Decision {
        jobs: vec![JobRow { revision: Revision(2), name: "uno".to_owned(), ..job(1, "") }],
        revisions: vec![revision(1, 2)],
        triggers: vec![trigger(1, 1, 7, None)],
        ..Decision::default()
    };
    put(store, Ask::default(), again.clone()).expect("a change");
    let (jobs, triggers) = wait(store.jobs()).expect("readable");
    assert_eq!((&jobs[0], &triggers[0]), (&again.jobs[0], &again.triggers[0]));
    assert_eq!(wait(store.definition(JobId(1), Revision(2))), Ok(Some(revision(1, 2))));
    assert_eq!(wait(store.definition(JobId(1), Revision(3))), Ok(None));
    assert_eq!(wait(store.revisions(JobId(1))), Ok(vec![revision(1, 1), revision(1, 2)]));
    let wanted = [(JobId(2), Revision(1)), (JobId(9), Revision(1)), (JobId(1), Revision(2))];
    assert_eq!(wait(store.definitions(&wanted)), Ok(vec![revision(2, 1), revision(1, 2)]));
}

pub fn a_job_brings_all_its_triggers_and_a_serial_one_its_runs(store: &Store) {
    with_jobs(store, 3);
    let serial = JobRow { serial: true, ..job(2, "job2") };
    let decision = Decision {
        jobs: vec![serial.clone()],
        triggers: vec![trigger(4, 2, 0, None)],
        runs_new: vec![run(1, 1, 50), run(2, 1, 50), run(2, 2, 60)],
        ..Decision::default()
    };
    put(store, Ask::default(), decision).expect("new");

    let by_name = Ask { job_names: vec!["job2".to_owned(), "nobody".to_owned()], ..Ask::default() };
    let by_number = Ask { jobs: vec![JobId(2), JobId(99)], ..Ask::default() };
    for ask in [by_name, by_number] {
        let seen = look(store, ask);
        assert_eq!(seen.jobs, [serial.clone()]);
        assert_eq!(seen.triggers, [trigger(2, 2, 0, Some(2)), trigger(4, 2, 0, None)]);
        assert_eq!(seen.runs, [run(2, 1, 50), run(2, 2, 60)]);
    }
    // One run of it brings the job, and the job its other run.
    let seen = look(store, of_runs(&[&run(2, 2, 60), &run(1, 1, 50), &run(3, 9, 9)]));
    assert_eq!(seen.jobs, [job(1, "job1"), serial]);
    assert_eq!(seen.runs.len(), 3);
    assert_eq!(seen.triggers, []);
}

pub fn due_triggers_come_earliest_first_and_no_more_than_asked(store: &Store) {
    with_jobs(store, 4);
    let decision =
        Decision { triggers: vec![trigger(1, 1, 1, Some(3)), trigger(4, 4, 0, None)], ..Decision::default() };
    put(store, Ask::default(), decision).expect("cursors go forward");
    let seen = look(store, Ask { due: Some((at(3), 2)), ..Ask::default() });
    assert_eq!(seen.due, [TriggerId(2), TriggerId(1)]);
    assert_eq!(seen.triggers, [trigger(1, 1, 1, Some(3)), trigger(2, 2, 0, Some(2))]);
    assert_eq!(seen.jobs, [job(1, "job1"), job(2, "job2")]);
    let all = look(store, Ask { due: Some((at(99), 100)), ..Ask::default() });
    assert_eq!(all.due, [TriggerId(2), TriggerId(1), TriggerId(3)]);
    assert_eq!(look(store, Ask { due: Some((at(1), 9)), ..Ask::default() }).due, []);
    assert_eq!(wait(store.earliest_due()), Ok(Some(at(2))));
    put(store, Ask::default(), new(vec![run(1, 1, 1)])).expect("new");
    assert_eq!(wait(store.earliest_due()), Ok(Some(at(1))));
}

pub fn a_cursor_never_goes_back(store: &Store) {
    with_jobs(store, 1);
    let to = |cursor, next| Decision { triggers: vec![trigger(1, 1, cursor, next)], ..Decision::default() };
    put(store, Ask::default(), to(10, Some(11))).expect("forward");
    refused(put(store, Ask::default(), to(9, Some(11))));
    refused(put(store, Ask { due: Some((at(50), 5)), ..Ask::default() }, to(9, Some(10))));
    put(store, Ask::default(), to(10, Some(12))).expect("standing is not going back");
    put(store, Ask::default(), to(10, None)).expect("nor is leaving the due set");
    refused(put(store, Ask::default(), to(9, Some(12))));
    put(store, Ask::default(), to(10, Some(12))).expect("it comes back");
    assert_eq!(wait(store.jobs()).expect("readable").1, [trigger(1, 1, 10, Some(12))]);
    let said = |id| Decision { set_back: vec![TriggerId(id)], ..to(3, Some(4)) };
    refused(put(store, Ask::default(), said(2)));
    put(store, Ask::default(), said(1)).expect("a person said so");
    assert_eq!(wait(store.jobs()).expect("readable").1, [trigger(1, 1, 3, Some(4))]);
    refused(put(store, Ask::default(), to(2, Some(4))));
}

pub fn numbers_names_and_revisions_are_guarded(store: &Store) {
    with_jobs(store, 2);
    let jobs = |jobs: Vec<JobRow>, revisions| Decision { jobs, revisions, ..Decision::default() };
    refused(put(store, Ask::default(), jobs(vec![job(4, "gap")], vec![revision(4, 1)])));
    refused(put(store, Ask::default(), jobs(vec![job(3, "job1")], vec![revision(3, 1)])));
    refused(put(store, Ask::default(), jobs(vec![job(3, "bare")], vec![])));
    refused(put(store, Ask::default(), jobs(vec![], vec![revision(1, 1)])));
    refused(put(store, Ask::default(), jobs(vec![], vec![revision(9, 1)])));
    refused(put(store, Ask::default(), jobs(vec![job(1, "x"), job(1, "y")], vec![])));
    let twice = JobRow { revision: Revision(7), ..job(1, "job1") };
    refused(put(store, Ask::default(), jobs(vec![twice], vec![])));
    let triggers = |rows: Vec<TriggerRow>| Decision { triggers: rows, ..Decision::default() };
    refused(put(store, Ask::default(), triggers(vec![trigger(5, 1, 0, None)])));
    refused(put(store, Ask::default(), triggers(vec![trigger(3, 9, 0, None)])));
    let same_name = TriggerRow { name: "t1".to_owned(), ..trigger(3, 1, 0, None) };
    refused(put(store, Ask::default(), triggers(vec![same_name])));
    let no_revision = Run { revision: Revision(8), ..run(1, 1, 1) };
    refused(put(store, Ask::default(), new(vec![no_revision.clone()])));
    refused(put(store, Ask::default(), new(vec![finished(&no_revision, 2, Verdict::Success)])));
    let seen = look(store, Ask { jobs_all: true, ..Ask::default() });
    assert_eq!((seen.job_id_next, seen.trigger_id_next, seen.jobs.len()), (3, 3, 2));
    // The numbers that were refused are still to be had.
    put(store, Ask::default(), jobs(vec![job(3, "job3")], vec![revision(3, 1)])).expect("new");
    put(store, Ask::default(), triggers(vec![trigger(3, 3, 0, Some(1))])).expect("new");
}

pub fn a_run_lives_from_queued_to_history(store: &Store) {
    with_jobs(store, 1);
    let queued = run(1, 1, 10);
    put(store, Ask::default(), new(vec![queued.clone()])).expect("new");
    assert_eq!(wait(store.run(queued.id)), Ok(Some(queued.clone())));
    let lease = leased(&queued, NODE, 10);
    let ask = of_runs(&[&queued]);
    assert_eq!(look(store, ask.clone()).runs, [queued.clone()]);
    put(store, ask.clone(), changed(vec![lease.clone()])).expect("under the next fence");
    assert_eq!(look(store, ask.clone()).runs, [lease.clone()]);
    let counts = wait(store.unfinished_counts()).expect("readable");
    assert_eq!(counts.iter().map(|c| (c.held, c.queued, c.leased)).collect::<Vec<_>>(), [(0, 0, 1)]);

    let end = finished(&lease, 12, Verdict::Success);
    put(store, ask.clone(), changed(vec![end.clone()])).expect("it ends");
    assert_eq!(look(store, ask).runs, []);
    assert_eq!(wait(store.run(queued.id)), Ok(Some(end)));
    assert_eq!(wait(store.unfinished_counts()), Ok(vec![]));
    // Its key is free again.
    let next = Run { id: RunId(queued.id.0 + 1), ..queued };
    assert_eq!(put(store, Ask::default(), new(vec![next])), Ok(Done::default()));
}

pub fn a_run_keeps_every_column(store: &Store) {
    with_jobs(store, 1);
    let mut full = leased(&run(1, 1, 10), NodeId(u128::MAX), 11);
    (full.trigger, full.due, full.retries, full.losses, full.priority) = (None, at(11), 2, 1, -4);
    (full.params, full.queue) = ("{\"a\":1}".to_owned(), "realtime".to_owned());
    full = Run { fence: Fence(4), ..full };
    full = leased(&full, NodeId(u128::MAX), 11);
    full.attempts = vec![attempt(1, 20, Outcome::Failed), attempt(2, 30, Outcome::Lost)];
    let mut bare = attempt(3, 40, Outcome::SpawnFailed);
    (bare.started, bare.exit) = (None, Exit::default());
    full.attempts.push(bare);
    let lease = |started, stop| {
        RunState::Leased(Lease { owner: NodeId(u128::MAX), fence: Fence(5), since: at(11), started, stop })
    };
    let states = [
        RunState::Queued { due: at(99) },
        RunState::Held(Hold::Overlap),
        RunState::Held(Hold::Lost),
        lease(None, None),
        lease(Some(at(12)), Some(StopReason::Cancel)),
        lease(Some(at(12)), Some(StopReason::Replaced)),
    ];
    put(store, Ask::default(), new(vec![full.clone()])).expect("new");
    for state in states {
        full.state = state;
        put(store, of_runs(&[&full]), changed(vec![full.clone()])).expect("the fence stays");
        assert_eq!(wait(store.run(full.id)), Ok(Some(full.clone())));
    }
    full.state =
        RunState::Finished { at: at(50), verdict: Verdict::Expired, reason: Some(Reason::StartDeadline) };
    put(store, of_runs(&[&full]), changed(vec![full.clone()])).expect("it ends");
    assert_eq!(wait(store.run(full.id)), Ok(Some(full)));
    let never_ran = RunState::Finished { at: at(1), verdict: Verdict::Cancelled, reason: None };
    let never_ran = Run { state: never_ran, ..run(1, 2, 1) };
    put(store, Ask::default(), new(vec![never_ran.clone()])).expect("straight to history");
    assert_eq!(wait(store.run(never_ran.id)), Ok(Some(never_ran)));
}

pub fn a_taken_key_is_named_and_nothing_of_it_written(store: &Store) {
    with_jobs(store, 2);
    let first = run(1, 1, 10);
    put(store, Ask::default(), new(vec![first.clone()])).expect("new");
    let same_id = first.clone();
    let same_key = Run { id: RunId(1), ..first.clone() };
    let ended = finished(&Run { id: RunId(2), ..first.clone() }, 11, Verdict::Failed);
    let other_job = run(2, 1, 10);
    let fresh = run(1, 2, 20);
    let twin = Run { id: RunId(3), ..fresh.clone() };
    let all = vec![same_id.clone(), same_key, ended, other_job.clone(), fresh.clone(), twin];
    let done = put(store, Ask::default(), new(all)).expect("taken is no error");
    assert_eq!(done.taken, [same_id.id, RunId(1), RunId(2), RunId(3)]);
    let listed = RunFilter { unfinished: true, limit: 10, ..RunFilter::default() };
    let ids: Vec<RunId> = wait(store.runs(listed)).expect("readable").iter().map(|run| run.id).collect();
    assert_eq!(ids.len(), 3);
    assert!([first.id, other_job.id, fresh.id].iter().all(|id| ids.contains(id)));
    // A key that is given up in the same decision can be taken in it.
    let end = finished(&leased(&first, NODE, 10), 11, Verdict::Success);
    let next = Run { id: RunId(4), ..first.clone() };
    let both = Decision { runs: vec![end], runs_new: vec![next.clone()], ..Decision::default() };
    assert_eq!(put(store, of_runs(&[&first]), both), Ok(Done::default()));
    assert_eq!(wait(store.run(RunId(4))), Ok(Some(next)));
    // The id of one run with the key of another is an error, not a taken key.
    let same_id = Run { id: fresh.id, ..run(1, 77, 20) };
    refused(put(store, Ask::default(), new(vec![same_id.clone()])));
    refused(put(store, Ask::default(), new(vec![finished(&same_id, 21, Verdict::Success)])));
}

pub fn fences_only_grow_and_only_unfinished_runs_change(store: &Store) {
    with_jobs(store, 1);
    let queued = run(1, 1, 10);
    let second = leased(&leased(&queued, NODE, 10), NODE, 11);
    put(store, Ask::default(), new(vec![second.clone()])).expect("new, leased at once");
    let ask = of_runs(&[&queued]);
    refused(put(store, ask.clone(), changed(vec![leased(&queued, NODE, 12)])));
    refused(put(store, ask.clone(), changed(vec![finished(&queued, 12, Verdict::Success)])));
    refused(put(store, Ask::default(), changed(vec![finished(&second, 12, Verdict::Success)])));
    refused(put(store, ask.clone(), changed(vec![second.clone(), second.clone()])));
    let stranger = Run { key: "other".to_owned(), ..second.clone() };
    refused(put(store, ask.clone(), changed(vec![stranger])));
    let unlike = Run { fence: Fence(9), ..second.clone() };
    refused(put(store, ask.clone(), changed(vec![unlike])));
    assert_eq!(wait(store.run(queued.id)), Ok(Some(second.clone())));
    let end = finished(&second, 12, Verdict::Success);
    put(store, ask.clone(), changed(vec![end.clone()])).expect("the fence stays");
    refused(put(store, ask, changed(vec![end])));
}

pub fn queued_runs_come_by_rank(store: &Store) {
    with_jobs(store, 1);
    let of = |number, secs, queue: &str| Run { queue: queue.to_owned(), ..run(1, number, secs) };
    let normal = of(1, 100, "normal");
    let realtime = of(2, 120, "realtime");
    let later = of(3, 121, "realtime");
    let high = of(4, 110, "high");
    let mut held = of(5, 1, "normal");
    held.state = RunState::Held(Hold::Overlap);
    let all = vec![normal.clone(), realtime.clone(), later.clone(), high.clone(), held];
    put(store, Ask::default(), new(all)).expect("new");
    let ask = |secs, limit| Ask { queued: Some((at(secs), limit)), ..Ask::default() };
    assert_eq!(look(store, ask(120, 10)).queued, [realtime.id, high.id, normal.id]);
    assert_eq!(look(store, ask(120, 1)).queued, [realtime.id]);
    assert_eq!(look(store, ask(99, 10)).queued, []);
    let seen = look(store, ask(500, 10));
    assert_eq!(seen.queued, [realtime.id, later.id, high.id, normal.id]);
    assert!(seen.runs.is_sorted_by_key(|run| run.id) && seen.runs.len() == 4);
    assert_eq!(seen.jobs, [job(1, "job1")]);
}

pub fn leases_of_others_are_found(store: &Store) {
    with_jobs(store, 1);
    let mine = leased(&run(1, 1, 10), NODE, 10);
    let theirs = leased(&run(1, 2, 10), NodeId(8), 10);
    put(store, Ask::default(), new(vec![mine, theirs.clone(), run(1, 3, 10)])).expect("new");
    let seen = look(store, Ask { leased_by_others_than: Some(NODE), ..Ask::default() });
    assert_eq!(seen.runs, [theirs]);
}

pub fn a_cycle_moves_by_one_or_not_at_all(store: &Store) {
    with_jobs(store, 1);
    let cycle = |number| Ask { cycle: Some(Cycle { node: NODE, number }), ..Ask::default() };
    put(store, cycle(0), Decision::default()).expect("the first is 0");
    assert_eq!(wait(store.node_cycle(NODE)), Ok(Some(1)));
    let again = put(store, cycle(0), new(vec![run(1, 1, 1)]));
    assert_eq!(again, Err(StoreError::CycleMoved { current: 1 }));
    refused(put(store, cycle(1), changed(vec![run(1, 1, 1)])));
    assert_eq!(wait(store.node_cycle(NODE)), Ok(Some(1)));
    put(store, cycle(1), new(vec![run(1, 1, 1)])).expect("where it is");
    assert_eq!(wait(store.node_cycle(NODE)), Ok(Some(2)));
    let unknown = Ask { cycle: Some(Cycle { node: NodeId(99), number: 0 }), ..Ask::default() };
    refused(put(store, unknown, Decision::default()));
    assert_eq!(wait(store.node_cycle(NodeId(99))), Ok(None));
}

pub fn a_refused_decision_leaves_nothing(store: &Store) {
    with_jobs(store, 2);
    let before = (wait(store.jobs()), look(store, Ask { jobs_all: true, ..Ask::default() }));
    let decision = Decision {
        jobs: vec![JobRow { failures: 9, ..job(1, "job1") }, job(3, "job3")],
        revisions: vec![revision(3, 1)],
        triggers: vec![trigger(1, 1, 5, Some(9)), trigger(2, 2, 5, None), trigger(3, 3, 0, Some(1))],
        set_back: vec![],
        runs_new: vec![run(1, 1, 1), finished(&run(1, 2, 2), 3, Verdict::Success)],
        skips: vec![skip(1, 1, 3, 0, 1)],
        dedup: vec![DedupRow { job: JobId(77), key: "k".to_owned(), run: RunId(1), expires: at(9) }],
        runs: vec![],
    };
    refused(put(store, Ask::default(), decision.clone()));
    assert_eq!((wait(store.jobs()), look(store, Ask { jobs_all: true, ..Ask::default() })), before);
    assert_eq!(wait(store.ticks(JobId(1), at(0), at(99))), Ok(Default::default()));
    let everything = RunFilter { unfinished: true, limit: 100, ..RunFilter::default() };
    assert_eq!(wait(store.runs(everything)), Ok(vec![]));
    put(store, Ask::default(), Decision { dedup: vec![], ..decision }).expect("without its fault");
}

pub fn a_panic_in_a_decision_is_contained(store: &Store) {
    with_jobs(store, 1);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let answer = wait(store.transact(
        Ask { jobs_all: true, ..Ask::default() },
        Duration::from_secs(60),
        Box::new(|_| panic!("on purpose")),
    ));
    std::panic::set_hook(hook);
    assert_eq!(answer, Err(StoreError::Refused("the decision panicked: on purpose".to_owned())));
    put(store, Ask::default(), new(vec![run(1, 1, 1)])).expect("the store goes on");
}

pub fn submitted_keys_are_remembered(store: &Store) {
    with_jobs(store, 2);
    let row = DedupRow { job: JobId(1), key: "order-1".to_owned(), run: RunId(5), expires: at(100) };
    put(store, Ask::default(), Decision { dedup: vec![row.clone()], ..Decision::default() }).expect("a job");
    let asked = |job: &str| Ask {
        job_names: vec![job.to_owned()],
        dedup: vec![(job.to_owned(), "order-1".to_owned()), (job.to_owned(), "order-2".to_owned())],
        ..Ask::default()
    };
    assert_eq!(look(store, asked("job1")).dedup, [row.clone()]);
    assert_eq!(look(store, asked("job2")).dedup, []);
    assert_eq!(look(store, asked("nobody")).dedup, []);
    let newer = DedupRow { run: RunId(6), expires: at(200), ..row };
    put(store, Ask::default(), Decision { dedup: vec![newer.clone()], ..Decision::default() }).expect("anew");
    assert_eq!(wait(store.dedup(JobId(1), "order-1")), Ok(Some(newer.clone())));
    wait(store.prune_history(at(200))).expect("pruning");
    assert_eq!(wait(store.dedup(JobId(1), "order-1")), Ok(Some(newer)));
    wait(store.prune_history(at(201))).expect("pruning");
    assert_eq!(wait(store.dedup(JobId(1), "order-1")), Ok(None));
}

pub fn ticks_hold_runs_and_skips_of_the_span(store: &Store) {
    with_jobs(store, 2);
    let early = finished(&run(1, 1, 10), 11, Verdict::Success);
    let live = run(1, 2, 20);
    let submitted = Run { trigger: None, ..run(1, 3, 15) };
    let later = finished(&run(1, 4, 30), 31, Verdict::Failed);
    let others = run(2, 1, 20);
    let wide = skip(1, 1, 5, 10, 4);
    let narrow = skip(1, 1, 25, 0, 1);
    let decision = Decision {
        runs_new: vec![later.clone(), early.clone(), live.clone(), submitted, others],
        skips: vec![narrow.clone(), wide.clone(), skip(2, 2, 12, 0, 1)],
        ..Decision::default()
    };
    put(store, Ask::default(), decision).expect("new");
    let ticks = |from, to| wait(store.ticks(JobId(1), at(from), at(to))).expect("readable");
    assert_eq!(ticks(0, 100).runs, [early.clone(), live.clone(), later]);
    assert_eq!(ticks(0, 100).skips, [wide.clone(), narrow.clone()]);
    assert_eq!(ticks(10, 30).runs, [early, live.clone()]);
    assert_eq!(ticks(26, 36).skips, [wide.clone()]);
    assert_eq!(ticks(20, 21).runs, [live]);
    assert_eq!(ticks(20, 21).skips, [wide]);
    assert_eq!(ticks(40, 50), Default::default());
    let dates = narrow.range.times().collect::<Vec<_>>();
    assert_eq!(dates, [at(25)]);
}

pub fn runs_are_listed_newest_first(store: &Store) {
    with_jobs(store, 2);
    let done = |job, number, secs, verdict| finished(&run(job, number, secs), secs + 1, verdict);
    let a = done(1, 1, 10, Verdict::Success);
    let b = done(2, 1, 5, Verdict::Failed);
    let c = done(1, 2, 20, Verdict::Timeout);
    let d = run(1, 3, 30);
    let e = run(2, 2, 25);
    put(store, Ask::default(), new(vec![a.clone(), b.clone(), e.clone()])).expect("new");
    put(store, Ask::default(), new(vec![d.clone(), c.clone()])).expect("new");
    let list = |filter: RunFilter| {
        let runs = wait(store.runs(filter)).expect("readable");
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let all = RunFilter { unfinished: true, limit: 10, ..RunFilter::default() };
    assert_eq!(list(all.clone()), [d.id, e.id, c.id, b.id, a.id]);
    assert_eq!(list(RunFilter { limit: 3, ..all.clone() }), [d.id, e.id, c.id]);
    assert_eq!(list(RunFilter { limit: 0, ..all.clone() }), []);
    assert_eq!(list(RunFilter { unfinished: false, ..all.clone() }), [c.id, b.id, a.id]);
    assert_eq!(list(RunFilter { job: Some(JobId(1)), ..all.clone() }), [d.id, c.id, a.id]);
    let bad = RunFilter { verdicts: vec![Verdict::Failed, Verdict::Timeout], ..all.clone() };
    assert_eq!(list(bad), [c.id, b.id]);
    let span = RunFilter { since: Some(at(10)), until: Some(at(25)), ..all };
    assert_eq!(list(span), [c.id, a.id]);
}

pub fn history_is_pruned_by_whole_segments(store: &Store) {
    with_jobs(store, 1);
    let day = 86_400;
    for number in 0..3_u32 {
        let secs = i64::from(number) * day + 60;
        let runs_new = vec![finished(&run(1, number, secs), secs, Verdict::Success)];
        let skips = vec![skip(1, 1, secs + 60, 60, 3)];
        put(store, Ask::default(), Decision { runs_new, skips, ..Decision::default() }).expect("new");
    }
    let left = || wait(store.ticks(JobId(1), at(0), at(9 * day))).expect("readable");
    assert_eq!((left().runs.len(), left().skips.len()), (3, 3));
    assert_eq!(wait(store.prune_history(at(100))), Ok(0));
    assert_eq!(wait(store.prune_history(at(day))), Ok(2));
    assert_eq!((left().runs.len(), left().skips.len()), (2, 2));
    // The segment that is written to stays.
    assert_eq!(wait(store.prune_history(at(99 * day))), Ok(2));
    assert_eq!((left().runs.len(), left().skips.len()), (1, 1));
    assert_eq!(wait(store.run(run(1, 0, 60).id)), Ok(None));
}

pub fn facts_and_nodes_are_kept(store: &Store) {
    assert_eq!(wait(store.meta_get("zones")), Ok(None));
    wait(store.meta_set("zones", "2026f")).expect("a fact");
    wait(store.meta_set("zones", "2026g")).expect("it changes");
    assert_eq!(wait(store.meta_get("zones")), Ok(Some("2026g".to_owned())));
    let node = NodeRow { id: NODE, host: "a".to_owned(), since: at(1), cycle: 0 };
    wait(store.register_node(node.clone())).expect("new");
    let cycle = Ask { cycle: Some(Cycle { node: NODE, number: 0 }), ..Ask::default() };
    put(store, cycle, Decision::default()).expect("registered");
    let again = NodeRow { host: "b".to_owned(), since: at(9), ..node };
    wait(store.register_node(again.clone())).expect("again");
    assert_eq!(wait(store.nodes()), Ok(vec![NodeRow { cycle: 1, ..again }]));
}

pub fn a_closed_store_says_so(store: &Store) {
    with_jobs(store, 1);
    let clone = store.clone();
    clone.close();
    assert_eq!(put(store, Ask::default(), Decision::default()), Err(StoreError::Closed));
    assert_eq!(wait(store.jobs()), Err(StoreError::Closed));
    clone.close();
}
