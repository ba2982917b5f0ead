//! The self-audit: every trigger in force has exactly one next firing or a reason to have none, and every lease has a
//! node that knows of it. Nothing else makes sure of that: a trigger that left the due set is never looked at again.
//!
//! It walks the store in pages, on a thread of its own and with the readers' connections, so that no firing waits for
//! it; only what is found wrong is decided again, in a transaction like any other. What could be wrong is short: the
//! triggers that are *not* due stand together at the end of the due set.

use crate::block_on::block_on;
use crate::error::EngineError;
use crate::inbox::Message;
use crate::node::Node;
use crate::shared::Engine;
use punctual_core::fire;
use punctual_core::id::{Fence, JobId, NodeId, RunId, TriggerId};
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_store::row::TriggerRow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rows of a kind that one step looks at.
const PAGE: usize = 500;
/// Between two rounds.
const ROUND: Duration = Duration::from_secs(60);
/// Between two steps of a round: it is in no hurry, and leaves the readers to others.
const STEP: Duration = Duration::from_millis(20);

/// What the audit has seen to since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Rounds that were finished.
    pub rounds: u64,
    /// When the last one was.
    pub last: Option<Timestamp>,
    /// Triggers that had stopped and fire again.
    pub rearmed: u64,
    /// Leases that no node knew of.
    pub orphans: u64,
}

/// Where a round is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit {
    trigger: Option<TriggerId>,
    run: Option<RunId>,
}

/// What one step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Triggers that had stopped and fire again.
    pub rearmed: usize,
    /// Runs that are leased, for the node to say whether it knows them.
    pub leases: Vec<Leased>,
    /// Whether the round is over.
    pub over: bool,
}

/// A lease, as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The run.
    pub run: RunId,
    /// Its holder.
    pub owner: NodeId,
    /// Its number.
    pub fence: Fence,
}

impl Audit {
    /// Looks at the next page of each kind.
    ///
    /// # Errors
    /// The store could not do it; the next step looks at the same page again.
    pub async fn step(&mut self, engine: &Engine) -> Result<Step, EngineError> {
        let mut step = Step::default();
        let after = self.trigger.unwrap_or(TriggerId(0));
        let stopped = engine.store().triggers_stopped(after, PAGE).await?;
        step.rearmed = engine.rearm_stopped(&stopped).await?;
        let after = self.run.unwrap_or(RunId(0));
        let runs = engine.store().runs_page(after, PAGE).await?;
        step.leases = runs.iter().filter_map(leased).collect();
        self.trigger = stopped.last().map(|(row, _)| row.id).or(self.trigger);
        self.run = runs.last().map(|run| run.id).or(self.run);
        step.over = stopped.len() < PAGE && runs.len() < PAGE;
        if step.over {
            *self = Self::default();
        }
        Ok(step)
    }
}

fn leased(run: &Run) -> Option<Leased> {
    let RunState::Leased(lease) = &run.state else { return None };
    Some(Leased { run: run.id, owner: lease.owner, fence: lease.fence })
}

impl Engine {
    /// Brings those of the triggers back that have instants to come.
    async fn rearm_stopped(
        &self,
        stopped: &[(TriggerRow, punctual_core::id::Revision)],
    ) -> Result<usize, EngineError> {
        let mut jobs = BTreeSet::new();
        for (row, revision) in stopped {
            let job = self.definition(row.job, *revision).await?;
            let when = job.triggers.iter().find(|t| t.name == row.name).map(|t| &t.when);
            if let Some(When::Time(rule)) = when {
                // A fixed delay rests while its run is under way, which only the decision can see.
                let to_come = fire::is_delay(rule)
                    || matches!(fire::next_after(rule, &row.state, row.state.cursor), Ok(Some(_)));
                if to_come {
                    jobs.insert(row.job);
                }
            }
        }
        self.rearm_jobs(jobs.into_iter().collect::<Vec<JobId>>()).await
    }
}

impl Node {
    /// Holds the store's leases against what this node has under way. A lease of its own that it does not know is looked
    /// into by the next cycle; the number of those that are another node's is returned, of which there are none on one
    /// machine once it has started.
    pub fn audit(&mut self, leases: &[Leased]) -> usize {
        let mine = |lease: &&Leased| lease.owner == self.id();
        if leases.iter().filter(mine).any(|lease| !self.knows(lease.run, lease.fence)) {
            self.doubt();
        }
        leases.iter().filter(|lease| lease.owner != self.id()).count()
    }
}

/// The thread that audits.
pub struct Auditor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Auditor {
    /// Starts it; without a thread there is no audit, which is said.
    pub fn start(engine: Engine) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let inbox = engine.inbox().clone();
        let work = move || run(&engine, &stopped);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(work);
        if let Err(error) = &thread {
            inbox.send(Message::Remark(format!("the store is not audited: {error}")));
        }
        Self { stop, thread: thread.ok() }
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends after the step it is in.
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, stop: &AtomicBool) {
    let mut audit = Audit::default();
    while !stop.load(Ordering::Relaxed) {
        let pause = match block_on(audit.step(engine)) {
            Ok(step) => {
                let pause = if step.over { ROUND } else { STEP };
                take(engine, step);
                pause
            }
            // The cycle says what is wrong with the store; here the next round will do.
            Err(_) => ROUND,
        };
        std::thread::park_timeout(pause);
    }
}

fn take(engine: &Engine, step: Step) {
    if step.rearmed > 0 {
        let text = format!("{} triggers had stopped, and fire again", step.rearmed);
        engine.inbox().send(Message::Remark(text));
    }
    let now = engine.clock().now();
    engine.note_audit(|audited| {
        audited.rearmed += step.rearmed as u64;
        if step.over {
            audited.rounds += 1;
            audited.last = Some(now);
        }
    });
    if !step.leases.is_empty() {
        engine.inbox().send(Message::Leases(step.leases));
    }
}
