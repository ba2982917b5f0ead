//! One suite for every store: named scenarios, and random histories in which the stores must agree row by row.

mod random;
mod scenarios;

use crate::ask::{Ask, Decision, Done};
use crate::row::{JobRow, NodeRow, RevisionRow, TriggerRow};
use crate::{SqliteOptions, Store, StoreError};
use punctual_core::attempt::{Attempt, Class, Exit, Outcome};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::{Disposition, Reason, Skip, SkipRange};
use punctual_core::run::{Lease, Run, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_core::trigger::TriggerState;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

macro_rules! for_every_store {
    ($($scenario:ident,)*) => {
        mod on_memory {
            $(
                #[test]
                fn $scenario() {
                    super::scenarios::$scenario(&super::Store::memory());
                }
            )*
        }
        mod on_sqlite {
            $(
                #[test]
                fn $scenario() {
                    super::on_sqlite(super::scenarios::$scenario);
                }
            )*
        }
    };
}

for_every_store! {
    jobs_and_triggers_come_back_as_written,
    a_job_brings_all_its_triggers_and_a_serial_one_its_runs,
    due_triggers_come_earliest_first_and_no_more_than_asked,
    a_cursor_never_goes_back,
    numbers_names_and_revisions_are_guarded,
    a_run_lives_from_queued_to_history,
    a_run_keeps_every_column,
    a_taken_key_is_named_and_nothing_of_it_written,
    fences_only_grow_and_only_unfinished_runs_change,
    queued_runs_come_by_rank,
    leases_of_others_are_found,
    a_cycle_moves_by_one_or_not_at_all,
    a_refused_decision_leaves_nothing,
    a_panic_in_a_decision_is_contained,
    submitted_keys_are_remembered,
    ticks_hold_runs_and_skips_of_the_span,
    runs_are_listed_newest_first,
    history_is_pruned_by_whole_segments,
    facts_and_nodes_are_kept,
    a_closed_store_says_so,
}

/// The scenario on a fresh file, which must be sound at its end and open again.
fn on_sqlite(scenario: fn(&Store)) {
    let dir = Dir::new();
    let store = dir.open();
    scenario(&store);
    drop(store);
    assert_eq!(wait(dir.open().check()), Ok(vec![]));
}

/// Waits for a future on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A clock that stands still: nothing times out.
pub fn still() -> Duration {
    Duration::ZERO
}

/// A directory of a test's own, removed at its end.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// In memory where the system has such a place: for tests that do not ask what a disk keeps.
    pub fn quick() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    fn within(parent: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("punctual-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory can be written");
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn open(&self) -> Store {
        self.open_with(SqliteOptions::new(still))
    }

    pub fn open_with(&self, options: SqliteOptions) -> Store {
        Store::open_sqlite(&self.0, options).expect("the store opens")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What is left in the temporary directory hurts nobody.
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(self.receipt());
    }
}

impl Dir {
    /// The store's receipt, which stands beside the directory.
    pub fn receipt(&self) -> PathBuf {
        self.0.with_extension("receipt")
    }
}

pub const NODE: NodeId = NodeId(7);

pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Writes `decision` without looking at anything but `ask`.
pub fn put(store: &Store, ask: Ask, decision: Decision) -> Result<Done, StoreError> {
    wait(store.transact(ask, Duration::from_secs(60), Box::new(move |_| decision.clone())))
}

/// Reads `ask` in a transaction that writes nothing.
pub fn look(store: &Store, ask: Ask) -> crate::Snapshot {
    let (seen, snapshot) = std::sync::mpsc::channel();
    let decide = Box::new(move |snapshot: &crate::Snapshot| {
        seen.send(snapshot.clone()).expect("the test waits for it");
        Decision::default()
    });
    wait(store.transact(ask, Duration::from_secs(60), decide)).expect("nothing is written");
    snapshot.recv().expect("it was decided")
}

pub fn job(id: i64, name: &str) -> JobRow {
    JobRow {
        id: JobId(id),
        name: name.to_owned(),
        revision: Revision(1),
        paused: None,
        retired: false,
        serial: false,
        failures: 0,
        owner: String::new(),
    }
}

pub fn revision(job: i64, number: i64) -> RevisionRow {
    RevisionRow {
        job: JobId(job),
        revision: Revision(number),
        definition: format!("{{\"revision\":{number}}}"),
        at: at(number),
    }
}

pub fn trigger(id: i64, job: i64, cursor: i64, next_at: Option<i64>) -> TriggerRow {
    TriggerRow {
        id: TriggerId(id),
        job: JobId(job),
        name: format!("t{id}"),
        state: TriggerState { cursor: at(cursor), next_at: next_at.map(at), anchor: at(0), fired: 0 },
        live: true,
    }
}

/// A run of `job` with the key `k<number>`, nominal and due at `secs`, queued.
pub fn run(job: i64, number: u32, secs: i64) -> Run {
    let key = format!("k{number}");
    Run {
        id: RunId::derive(&format!("job{job}"), "t", &key, at(secs)),
        job: JobId(job),
        trigger: Some(TriggerId(job)),
        revision: Revision(1),
        key,
        nominal: at(secs),
        due: at(secs),
        state: RunState::Queued { due: at(secs) },
        fence: Fence(0),
        retries: 0,
        losses: 0,
        params: String::new(),
        queue: "normal".to_owned(),
        priority: 5,
        attempts: vec![],
    }
}

/// The run under its next lease.
pub fn leased(run: &Run, owner: NodeId, since: i64) -> Run {
    let fence = Fence(run.fence.0 + 1);
    let lease = Lease { owner, fence, since: at(since), started: None, stop: None };
    Run { fence, state: RunState::Leased(lease), ..run.clone() }
}

/// The run after an attempt with that outcome, finished.
pub fn finished(run: &Run, secs: i64, verdict: Verdict) -> Run {
    let outcome = if verdict == Verdict::Success { Outcome::Success } else { Outcome::Failed };
    let mut run = run.clone();
    run.attempts.push(attempt(run.next_attempt(), secs, outcome));
    run.state = RunState::Finished { at: at(secs), verdict, reason: None };
    run
}

pub fn attempt(number: u32, secs: i64, outcome: Outcome) -> Attempt {
    Attempt {
        number,
        node: NODE,
        started: Some(at(secs - 1)),
        finished: at(secs),
        outcome,
        exit: Exit {
            code: Some(0),
            signal: None,
            cpu_ms: Some(12),
            memory_bytes_max: Some(1 << 20),
            start_delay_us: Some(250),
            reason: Some("why \"so\"".to_owned()),
            // What has no column of its own; only some have it.
            class: (number.is_multiple_of(2) && outcome != Outcome::Success).then_some(Class::Verify),
            retry_after: number.is_multiple_of(3).then_some(Duration::from_micros(90_000_001)),
        },
    }
}

pub fn skip(job: i64, trigger: i64, first: i64, step: u64, count: u64) -> Skip {
    Skip {
        job: JobId(job),
        trigger: TriggerId(trigger),
        revision: Revision(1),
        range: SkipRange {
            first: at(first),
            step: Duration::from_secs(step),
            count,
            disposition: Disposition::Skipped,
            reason: Some(Reason::Overlap),
        },
        at: at(first + 1),
    }
}

/// Jobs 1 to `count`, named `job1` and so on, each with the trigger of its number, due at its number.
pub fn with_jobs(store: &Store, count: i64) {
    let decision = Decision {
        jobs: (1..=count).map(|id| job(id, &format!("job{id}"))).collect(),
        revisions: (1..=count).map(|id| revision(id, 1)).collect(),
        triggers: (1..=count).map(|id| trigger(id, id, 0, Some(id))).collect(),
        ..Decision::default()
    };
    put(store, Ask::default(), decision).expect("they are new");
    let node = NodeRow { id: NODE, host: "host".to_owned(), since: at(0), cycle: 0 };
    wait(store.register_node(node)).expect("a node can be registered");
}

/// Names runs in an ask.
pub fn of_runs(runs: &[&Run]) -> Ask {
    Ask { runs: runs.iter().map(|run| run.id).collect(), ..Ask::default() }
}
