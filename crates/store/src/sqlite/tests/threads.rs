use super::*;
use crate::ask::Snapshot;
use crate::row::JobRow;
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Waker};

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<crate::Done, StoreError>> + Send + 'a>>;

/// A transaction that keeps the writer until it is told to go on. It has begun when this returns.
pub(super) fn busy_writer(store: &Store) -> (Waiting<'_>, Sender<()>) {
    busy_writer_for(store, Duration::from_secs(60), Decision::default())
}

fn busy_writer_for(store: &Store, deadline: Duration, decision: Decision) -> (Waiting<'_>, Sender<()>) {
    let (free, freed) = channel();
    let (begins, begun) = channel();
    let decide = Box::new(move |_: &Snapshot| {
        begins.send(()).expect("the test waits for it");
        freed.recv().expect("the test frees it");
        decision.clone()
    });
    let mut future: Waiting<'_> = Box::pin(store.transact(Ask::default(), deadline, decide));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    begun.recv().expect("it begins");
    (future, free)
}

/// A clock that the test moves; each test has its own process or its own clock.
macro_rules! clock {
    ($millis:ident, $clock:ident) => {
        static $millis: AtomicU64 = AtomicU64::new(0);
        fn $clock() -> Duration {
            Duration::from_millis($millis.load(Ordering::Relaxed))
        }
    };
}

#[test]
fn a_deadline_ends_the_wait_and_says_whether_it_was_begun() {
    clock!(MILLIS, clock);
    let dir = Dir::new();
    let store = dir.open_with(SqliteOptions::new(clock));
    with_jobs(&store, 1);
    let deadline = Duration::from_millis(1);
    let (begun, free) = busy_writer_for(&store, deadline, new(vec![run(1, 1, 1)]));
    let decide = Box::new(|_: &Snapshot| new(vec![run(1, 2, 2)]));
    let mut waiting = Box::pin(store.transact(Ask::default(), deadline, decide));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    MILLIS.store(2, Ordering::Relaxed);
    assert_eq!(wait(waiting), Err(StoreError::Deadline));
    assert!(matches!(wait(begun), Err(StoreError::CommitUnknown(_))));
    free.send(()).expect("the writer waits for it");
    // The one that had been begun was written, as it may be; the other never will be.
    put(&store, Ask::default(), new(vec![run(1, 3, 3)])).expect("the writer is free");
    let keys: Vec<String> =
        wait(store.runs(everything())).expect("readable").into_iter().map(|run| run.key).collect();
    assert_eq!(keys, ["k3", "k1"]);
}

#[test]
fn a_request_whose_caller_has_gone_is_not_carried_out() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 1);
    let (busy, free) = busy_writer(&store);
    let decide = Box::new(|_: &Snapshot| new(vec![run(1, 1, 1)]));
    let mut gone = Box::pin(store.transact(Ask::default(), Duration::from_secs(60), decide));
    assert!(gone.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(gone);
    free.send(()).expect("the writer waits for it");
    wait(busy).expect("it writes nothing");
    put(&store, Ask::default(), Decision::default()).expect("the writer is free");
    assert_eq!(wait(store.runs(everything())), Ok(vec![]));
}

#[test]
fn one_refusal_in_a_group_undoes_only_itself() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 2);
    let (busy, free) = busy_writer(&store);
    let mut waits = Vec::new();
    for number in 1..=40_u32 {
        let decide = Box::new(move |seen: &Snapshot| {
            let trigger = trigger(seen.trigger_id_next, 1, 0, Some(50));
            let failures = if number.is_multiple_of(3) { 0 } else { number };
            let mut jobs = vec![JobRow { failures, ..job(1, "job1") }];
            // Every third breaks a rule, and only after the rest of it was written.
            if number.is_multiple_of(3) {
                jobs.push(job(2, "job1"));
            }
            Decision { jobs, triggers: vec![trigger], ..Decision::default() }
        });
        let ask = Ask { jobs_all: true, ..Ask::default() };
        let mut future = Box::pin(store.transact(ask, Duration::from_secs(60), decide));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waits.push(future);
    }
    free.send(()).expect("the writer waits for it");
    wait(busy).expect("it writes nothing");
    for (number, answer) in (1_u32..).zip(waits.into_iter().map(wait)) {
        assert_eq!(answer.is_ok(), !number.is_multiple_of(3), "{number}: {answer:?}");
    }
    let (jobs, triggers) = wait(store.jobs()).expect("readable");
    assert_eq!(jobs[0].failures, 40);
    assert_eq!(triggers.len(), 2 + 40 - 13);
    assert_eq!(wait(store.check()), Ok(vec![]));
}

#[test]
fn many_writers_and_readers_see_each_run_once() {
    const WRITERS: u32 = 6;
    const RUNS: u32 = 40;
    let dir = Dir::new();
    let options =
        SqliteOptions { segment_rows_max: 30, log_bytes_max: 64 << 10, ..SqliteOptions::new(still) };
    let store = dir.open_with(options);
    with_jobs(&store, i64::from(WRITERS));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..RUNS {
                        let fresh = leased(&run(i64::from(writer), number, 10), NODE, 10);
                        put(store, Ask::default(), new(vec![fresh.clone()])).expect("a key of its own");
                        let end = Decision {
                            runs: vec![finished(&fresh, 11, Verdict::Success)],
                            ..Decision::default()
                        };
                        put(store, of_runs(&[&fresh]), end).expect("nobody else has it");
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut most = 0;
                    while !done.load(Ordering::Relaxed) {
                        let runs = wait(store.runs(everything())).expect("readable");
                        let ids: HashSet<_> = runs.iter().map(|run| run.id).collect();
                        assert_eq!(ids.len(), runs.len(), "a run was found twice");
                        assert!(runs.len() >= most, "a run was lost");
                        most = runs.len();
                    }
                })
            })
            .collect();
        let wrote: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        for ended in wrote.into_iter().chain(readers.into_iter().map(|reader| reader.join())) {
            ended.expect("no thread found a fault");
        }
    });
    sqlite(&store).archive_now();
    let runs = wait(store.runs(everything())).expect("readable");
    assert_eq!(runs.len(), (WRITERS * RUNS) as usize);
    assert_eq!(wait(store.check()), Ok(vec![]));
}

#[test]
fn a_read_that_takes_too_long_is_given_up() {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    fn racing() -> Duration {
        Duration::from_secs(LOOKS.fetch_add(1, Ordering::Relaxed))
    }
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 1);
    let runs = (0..3000).map(|number| ended(1, number, 10)).collect();
    put(&store, Ask::default(), new(runs)).expect("new");
    drop(store);
    let read_time_max = Duration::from_millis(500);
    let store = dir.open_with(SqliteOptions { read_time_max, ..SqliteOptions::new(racing) });
    assert_eq!(wait(store.runs(everything())), Err(StoreError::Deadline));
    // The reader is none the worse for it.
    assert_eq!(wait(store.meta_get("zones")), Ok(None));
}
