//! The store's part of a node's cycle, many times over: settle 1,000 runs, start 1,000 new ones, one transaction.
//!
//! ```console
//! $ time cargo run --release -p punctual-store --example cycles -- DIR 600
//! ```
//! It reads no clock: cycles a second are the number given by what `time` says.

use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::run::{Lease, Run, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_core::trigger::TriggerState;
use punctual_store::row::{JobRow, NodeRow, RevisionRow, TriggerRow};
use punctual_store::{Ask, Cycle, Decision, SqliteOptions, Store, StoreError};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const RUNS: i64 = 1000;
const NODE: NodeId = NodeId(1);

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(cycles)) = (arguments.next(), arguments.next().and_then(|n| n.parse::<i64>().ok()))
    else {
        eprintln!("usage: cycles DIR NUMBER");
        return Ok(());
    };
    let store = Store::open_sqlite(Path::new(&dir), SqliteOptions::new(|| Duration::ZERO))?;
    prepare(&store)?;
    let mut running = Vec::new();
    for number in 0..cycles {
        running = cycle(&store, number, running)?;
    }
    let kept: u64 = wait(store.unfinished_counts())?.iter().map(|count| count.leased).sum();
    println!("{cycles} cycles of {RUNS} starts and {RUNS} ends; {kept} runs are under way");
    store.close();
    Ok(())
}

/// A thousand jobs with a trigger each.
fn prepare(store: &Store) -> Result<(), StoreError> {
    wait(store.register_node(NodeRow { id: NODE, host: String::new(), since: Timestamp::EPOCH, cycle: 0 }))?;
    let row = |id| JobRow {
        id: JobId(id),
        name: format!("job{id}"),
        revision: Revision(1),
        paused: None,
        retired: false,
        serial: false,
        failures: 0,
        owner: String::new(),
    };
    let (revision, definition, at) = (Revision(1), "{}".to_owned(), Timestamp::EPOCH);
    let decision = Decision {
        jobs: (1..=RUNS).map(row).collect(),
        revisions: (1..=RUNS)
            .map(|id| RevisionRow { job: JobId(id), revision, definition: definition.clone(), at })
            .collect(),
        triggers: (1..=RUNS).map(|id| trigger(id, 0)).collect(),
        ..Decision::default()
    };
    let decide = Box::new(move |_: &punctual_store::Snapshot| decision.clone());
    wait(store.transact(Ask::default(), Duration::from_secs(60), decide)).map(|_| ())
}

fn trigger(id: i64, cursor: i64) -> TriggerRow {
    let state = TriggerState {
        cursor: Timestamp::from_secs(cursor),
        next_at: Some(Timestamp::from_secs(cursor + 1)),
        anchor: Timestamp::EPOCH,
        fired: cursor.cast_unsigned(),
    };
    TriggerRow { id: TriggerId(id), job: JobId(id), name: format!("t{id}"), state, live: true }
}

/// Settles what runs, fires every trigger, and starts what it fired; the runs that are under way then.
fn cycle(store: &Store, number: i64, running: Vec<Run>) -> Result<Vec<Run>, StoreError> {
    let now = Timestamp::from_secs(number + 1);
    let started: Vec<Run> = (1..=RUNS).map(|job| start(job, now)).collect();
    let ask = Ask {
        cycle: Some(Cycle { node: NODE, number: number.cast_unsigned() }),
        due: Some((now, RUNS as usize)),
        runs: running.iter().map(|run| run.id).collect(),
        ..Ask::default()
    };
    let runs_new = started.clone();
    let decide = Box::new(move |seen: &punctual_store::Snapshot| Decision {
        triggers: seen.triggers.iter().map(|t| trigger(t.id.0, number + 1)).collect(),
        runs_new: runs_new.clone(),
        runs: seen.runs.iter().map(|run| end(run, now)).collect(),
        ..Decision::default()
    });
    wait(store.transact(ask, Duration::from_secs(60), decide))?;
    Ok(started)
}

fn start(job: i64, now: Timestamp) -> Run {
    let key = format!("t{job}:{}", now.as_secs());
    Run {
        id: RunId::derive(&format!("job{job}"), "t", &key, now),
        job: JobId(job),
        trigger: Some(TriggerId(job)),
        revision: Revision(1),
        key,
        nominal: now,
        due: now,
        state: RunState::Leased(Lease {
            owner: NODE,
            fence: Fence(1),
            since: now,
            started: None,
            stop: None,
        }),
        fence: Fence(1),
        retries: 0,
        losses: 0,
        params: String::new(),
        queue: "normal".to_owned(),
        priority: 5,
        attempts: vec![],
    }
}

fn end(run: &Run, now: Timestamp) -> Run {
    let exit = Exit {
        code: Some(0),
        signal: None,
        cpu_ms: Some(1),
        memory_bytes_max: Some(1 << 20),
        start_delay_us: Some(500),
        ..Exit::default()
    };
    let attempt = Attempt {
        number: 1,
        node: NODE,
        started: Some(run.due),
        finished: now,
        outcome: Outcome::Success,
        exit,
    };
    let state = RunState::Finished { at: now, verdict: Verdict::Success, reason: None };
    Run { attempts: vec![attempt], state, ..run.clone() }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
