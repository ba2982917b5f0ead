//! Random histories: the same asks and decisions go to two stores, which must show, refuse and keep the same.
//!
//! A decision is drawn from the snapshot by a seed, so that it is a pure function, as every decision must be. Some
//! break the rules on purpose. `PUNCTUAL_CASES` asks for more cases than the usual few.

use super::*;
use crate::Memory;
use crate::ask::{Cycle, RunFilter, Snapshot};
use crate::row::{DedupRow, Pause};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use punctual_core::run::{Hold, StopReason};
use std::cell::Cell;
use std::sync::mpsc::channel;

/// Small, so that histories have many segments.
const SEGMENT_ROWS_MAX: u64 = 12;
const JOBS: i64 = 6;
const KEYS: u64 = 6;

#[test]
fn sqlite_and_memory_agree() {
    let cases = std::env::var("PUNCTUAL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    let config =
        ProptestConfig { cases, max_shrink_iters: 2000, failure_persistence: None, ..Default::default() };
    let seeds = proptest::collection::vec(any::<u64>(), 1..60);
    let outcome = TestRunner::new(config).run(&seeds, |seeds| {
        let dir = Dir::quick();
        let options = SqliteOptions { segment_rows_max: SEGMENT_ROWS_MAX, ..SqliteOptions::new(still) };
        let mut sqlite = dir.open_with(options);
        let memory = Store::Memory(Memory::with_segment_rows(SEGMENT_ROWS_MAX));
        for (number, seed) in seeds.iter().enumerate() {
            let draw = Draw(Cell::new(*seed));
            if draw.once_in(15) {
                drop(sqlite);
                sqlite = dir.open_with(options);
            }
            let seen = step(&sqlite, &draw.clone(), number);
            prop_assert_eq!(&seen, &step(&memory, &draw, number), "step {} seed {}", number, seed);
        }
        compare(&sqlite, &memory)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Numbers from a seed.
#[derive(Clone)]
struct Draw(Cell<u64>);

impl Draw {
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    fn once_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn number(&self, first: i64, end: i64) -> i64 {
        first + self.below(end.abs_diff(first)).cast_signed()
    }

    fn of<T: Clone>(&self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { Some(all[(self.next() as usize) % all.len()].clone()) }
    }
}

/// What a step showed: the snapshot, if it came to one, and the answer without its wording.
type Shown = (Option<Snapshot>, Result<u64, StoreError>, Vec<RunId>);

fn step(store: &Store, draw: &Draw, number: usize) -> Shown {
    let reworded = |error| match error {
        StoreError::Refused(_) => StoreError::Refused(String::new()),
        other => other,
    };
    match draw.below(12) {
        0 => {
            let before = at(draw.number(0, 4 * 86_400));
            return (None, wait(store.prune_history(before)).map_err(reworded), vec![]);
        }
        1 => {
            let host = format!("host{}", draw.below(3));
            let node = NodeRow { id: node(draw), host, since: at(draw.number(0, 9)), cycle: 0 };
            return (None, wait(store.register_node(node)).map(|()| 0).map_err(reworded), vec![]);
        }
        _ => {}
    }
    let ask = ask(draw);
    let (shows, shown) = channel();
    let seed = draw.clone();
    let decide = Box::new(move |seen: &Snapshot| {
        shows.send(seen.clone()).expect("the step waits for it");
        decision(seen, &seed.clone(), number)
    });
    let answer = wait(store.transact(ask, Duration::from_secs(60), decide)).map_err(reworded);
    let taken = answer.as_ref().map(|done| done.taken.clone()).unwrap_or_default();
    (shown.try_iter().last(), answer.map(|_| 0), taken)
}

fn node(draw: &Draw) -> NodeId {
    NodeId(u128::from(draw.below(3)))
}

fn key(draw: &Draw) -> String {
    format!("k{}", draw.below(KEYS))
}

/// Mostly within a minute, at times on the next days: segments roll by rows and by days.
fn instant(draw: &Draw) -> Timestamp {
    let day = if draw.once_in(6) { draw.number(0, 4) } else { 1 };
    at(day * 86_400 + draw.number(0, 60))
}

fn ask(draw: &Draw) -> Ask {
    let mut ask = Ask::default();
    if draw.once_in(4) {
        ask.cycle = Some(Cycle { node: node(draw), number: draw.below(3) });
    }
    if draw.once_in(2) {
        ask.due = Some((instant(draw), draw.below(4) as usize));
    }
    if draw.once_in(2) {
        ask.queued = Some((instant(draw), draw.below(5) as usize));
    }
    if draw.once_in(5) {
        ask.leased_by_others_than = Some(node(draw));
    }
    ask.jobs_all = draw.once_in(5);
    for _ in 0..draw.below(3) {
        ask.jobs.push(JobId(draw.number(0, JOBS)));
        ask.job_names.push(format!("job{}", draw.below(4)));
        ask.dedup.push((format!("job{}", draw.below(4)), key(draw)));
    }
    ask
}

fn decision(seen: &Snapshot, draw: &Draw, number: usize) -> Decision {
    let mut decision = Decision::default();
    if draw.once_in(3) || seen.job_id_next == 1 {
        jobs(seen, draw, &mut decision);
    }
    if draw.once_in(2) {
        triggers(seen, draw, &mut decision);
    }
    for run in &seen.runs {
        if draw.once_in(2) {
            decision.runs.push(changed_run(run, draw));
        }
    }
    for place in 0..draw.below(5) {
        decision.runs_new.push(new_run(seen, draw, number as u64 * 8 + place));
    }
    for _ in 0..draw.below(3) {
        let count = draw.below(4) + 1;
        let (job, trigger) = (draw.number(1, JOBS), draw.number(1, JOBS));
        let mut skip = skip(job, trigger, 0, 1 + draw.below(3), count);
        (skip.range.first, skip.at) = (instant(draw), instant(draw));
        decision.skips.push(skip);
    }
    if draw.once_in(4) && seen.job_id_next > 1 {
        let job = JobId(draw.number(1, seen.job_id_next + i64::from(draw.once_in(10))));
        let run = RunId(u128::from(draw.below(100)));
        decision.dedup.push(DedupRow { job, key: key(draw), run, expires: instant(draw) });
    }
    decision
}

fn jobs(seen: &Snapshot, draw: &Draw, decision: &mut Decision) {
    if draw.once_in(2) || seen.jobs.is_empty() {
        let id = seen.job_id_next + i64::from(draw.once_in(12));
        let mut row = job(id, &format!("job{}", draw.below(8)));
        row.serial = draw.once_in(2);
        decision.jobs.push(row);
        decision.revisions.push(revision(id, 1));
    }
    if let Some(mut row) = draw.of(&seen.jobs) {
        row.failures = draw.below(4) as u32;
        row.retired = draw.once_in(3);
        row.paused = draw.once_in(2).then(|| Pause { since: instant(draw), reason: "why".to_owned() });
        if draw.once_in(3) {
            row.revision = Revision(row.revision.0 + 1);
            decision.revisions.push(revision(row.id.0, row.revision.0 + i64::from(draw.once_in(10))));
        }
        if draw.once_in(4) {
            row.name = format!("job{}", draw.below(8));
        }
        decision.jobs.push(row);
    }
}

fn triggers(seen: &Snapshot, draw: &Draw, decision: &mut Decision) {
    for row in &seen.triggers {
        let mut row = row.clone();
        if draw.once_in(2) {
            let ahead = if draw.once_in(20) { -1 } else { draw.number(0, 3) };
            row.state.cursor = Timestamp::from_micros(row.state.cursor.as_micros() + ahead);
            row.state.next_at = (!draw.once_in(4)).then(|| instant(draw));
            row.state.fired += draw.below(2);
            row.live = !draw.once_in(6);
            decision.triggers.push(row);
        }
    }
    for place in 0..draw.number(0, 3) {
        let id = seen.trigger_id_next + place + i64::from(draw.once_in(15));
        let job = draw.number(1, seen.job_id_next.max(2) + i64::from(draw.once_in(10)));
        let next_at = draw.once_in(3).then(|| instant(draw));
        let mut row = trigger(id, job, 0, None);
        row.state.next_at = next_at;
        if draw.once_in(10) {
            row.name = "t1".to_owned();
        }
        decision.triggers.push(row);
    }
}

fn state(run: &mut Run, draw: &Draw) {
    run.state = match draw.below(5) {
        0 => RunState::Held(if draw.once_in(2) { Hold::Overlap } else { Hold::Lost }),
        1 => RunState::Queued { due: instant(draw) },
        2 | 3 => {
            run.fence = Fence(run.fence.0 + 1);
            RunState::Leased(Lease {
                owner: node(draw),
                fence: run.fence,
                since: instant(draw),
                started: draw.once_in(2).then(|| instant(draw)),
                stop: draw.once_in(3).then_some(StopReason::Cancel),
            })
        }
        _ => {
            let verdict = draw.of(Verdict::ALL).expect("there are verdicts");
            if draw.once_in(3) {
                run.attempts.push(attempt(run.next_attempt(), draw.number(1, 99), Outcome::Failed));
            }
            let reason = draw.once_in(4).then_some(Reason::WaitTimeout);
            RunState::Finished { at: instant(draw), verdict, reason }
        }
    };
}

fn changed_run(run: &Run, draw: &Draw) -> Run {
    let mut run = run.clone();
    if draw.once_in(40) {
        run.fence = Fence(run.fence.0 - 1);
    }
    state(&mut run, draw);
    if draw.once_in(3) {
        run.attempts.push(attempt(run.next_attempt(), draw.number(1, 99), Outcome::Lost));
    }
    run.retries = draw.below(3) as u32;
    run.priority = draw.number(-2, 3) as i32;
    run
}

fn new_run(seen: &Snapshot, draw: &Draw, unique: u64) -> Run {
    let job = draw.number(1, seen.job_id_next.max(2) + i64::from(draw.once_in(20)));
    let mut new = run(job, 0, 0);
    (new.nominal, new.due, new.key) = (instant(draw), instant(draw), key(draw));
    new.id = RunId(u128::from(new.nominal.as_millis().cast_unsigned()) << 80 | u128::from(unique));
    new.trigger = draw.once_in(2).then(|| TriggerId(draw.number(1, 4)));
    new.queue = draw.of(&["normal", "high", "realtime"]).expect("there are queues").to_owned();
    if draw.once_in(25)
        && let Some(other) = draw.of(&seen.runs)
    {
        new.id = other.id;
    }
    state(&mut new, draw);
    new
}

/// Every read there is, on both.
fn compare(sqlite: &Store, memory: &Store) -> Result<(), TestCaseError> {
    let (end, all) = (at(9 * 86_400), RunFilter { unfinished: true, limit: 9999, ..RunFilter::default() });
    prop_assert_eq!(wait(sqlite.jobs()), wait(memory.jobs()));
    prop_assert_eq!(wait(sqlite.nodes()), wait(memory.nodes()));
    prop_assert_eq!(wait(sqlite.unfinished_counts()), wait(memory.unfinished_counts()));
    prop_assert_eq!(wait(sqlite.earliest_due()), wait(memory.earliest_due()));
    let runs = wait(memory.runs(all.clone()));
    prop_assert_eq!(wait(sqlite.runs(all.clone())), runs.clone());
    for run in runs.expect("memory can be read") {
        prop_assert_eq!(wait(sqlite.run(run.id)), Ok(Some(run)));
    }
    let filters = [
        RunFilter { limit: 3, ..all.clone() },
        RunFilter { limit: 30, unfinished: false, ..all.clone() },
        RunFilter { since: Some(at(86_410)), until: Some(at(2 * 86_400)), ..all.clone() },
        RunFilter { verdicts: vec![Verdict::Failed, Verdict::Lost], ..all.clone() },
    ];
    for filter in filters {
        prop_assert_eq!(wait(sqlite.runs(filter.clone())), wait(memory.runs(filter)));
    }
    for job in (0..JOBS).map(JobId) {
        let of_job = RunFilter { job: Some(job), ..all.clone() };
        prop_assert_eq!(wait(sqlite.runs(of_job.clone())), wait(memory.runs(of_job)));
        for (from, to) in [(at(0), end), (at(86_410), at(86_430)), (at(2 * 86_400), at(3 * 86_400))] {
            prop_assert_eq!(wait(sqlite.ticks(job, from, to)), wait(memory.ticks(job, from, to)));
        }
        prop_assert_eq!(wait(sqlite.revisions(job)), wait(memory.revisions(job)));
        for number in 0..KEYS {
            let key = format!("k{number}");
            prop_assert_eq!(wait(sqlite.dedup(job, &key)), wait(memory.dedup(job, &key)));
        }
    }
    Ok(())
}
