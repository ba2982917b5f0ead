//! The store in memory: for the simulator and for tests. It keeps the rules of the others, and no promise of a disk.

mod apply;
mod read;

use crate::ask::{Ask, Decide, Done, RunFilter};
use crate::row::{DedupRow, JobRow, NodeRow, RevisionRow, TickRecord, TriggerRow, UnfinishedCount};
use crate::segment::{SEGMENT_ROWS_MAX, Segment};
use crate::sqlite::decide_contained;
use crate::{RUNS_MAX, StoreError};
use punctual_core::id::{JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::Skip;
use punctual_core::queue::rank;
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Result<T> = std::result::Result<T, StoreError>;

/// The store in memory. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<JobId, JobRow>,
    job_names: BTreeMap<String, JobId>,
    revisions: BTreeMap<(JobId, Revision), RevisionRow>,
    triggers: BTreeMap<TriggerId, TriggerRow>,
    trigger_names: BTreeMap<(JobId, String), TriggerId>,
    due: BTreeSet<(Timestamp, TriggerId)>,
    /// Unfinished runs only.
    runs: BTreeMap<RunId, Run>,
    run_keys: BTreeMap<(JobId, String), RunId>,
    /// Queued runs by rank.
    queued: BTreeSet<(Timestamp, RunId)>,
    dedup: BTreeMap<(JobId, String), DedupRow>,
    nodes: BTreeMap<NodeId, NodeRow>,
    meta: BTreeMap<String, String>,
    /// The oldest first; the last is the live one.
    history: Vec<History>,
    segment_rows_max: u64,
    closed: bool,
}

#[derive(Debug)]
struct History {
    segment: Segment,
    runs: Vec<Run>,
    skips: Vec<Skip>,
}

impl History {
    fn empty(number: i64) -> Self {
        Self { segment: Segment::empty(number), runs: Vec::new(), skips: Vec::new() }
    }
}

/// The place of a queued run in the claim's order.
fn place(run: &Run) -> Option<(Timestamp, RunId)> {
    match run.state {
        RunState::Queued { due } => Some((rank(due, &run.queue, run.priority), run.id)),
        _ => None,
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_segment_rows(SEGMENT_ROWS_MAX)
    }
}

impl Memory {
    /// An empty store whose segments are sealed at this many rows.
    pub fn with_segment_rows(segment_rows_max: u64) -> Self {
        let history = vec![History::empty(1)];
        Self(Arc::new(Mutex::new(State { history, segment_rows_max, ..State::default() })))
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }

    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    pub(crate) fn transact(&self, ask: &Ask, mut decide: Decide) -> Result<Done> {
        let mut state = self.state()?;
        if let Some(cycle) = ask.cycle {
            let node = state
                .nodes
                .get(&cycle.node)
                .ok_or_else(|| StoreError::Refused(format!("the node {} is not registered", cycle.node)))?;
            if node.cycle != cycle.number {
                return Err(StoreError::CycleMoved { current: node.cycle });
            }
        }
        let seen = state.snapshot(ask);
        let decision = decide_contained(&mut decide, &seen)?;
        let done = state.apply(&seen, &decision)?;
        if let Some(node) = ask.cycle.and_then(|cycle| state.nodes.get_mut(&cycle.node)) {
            node.cycle += 1;
        }
        Ok(done)
    }

    pub(crate) fn register_node(&self, row: NodeRow) -> Result<()> {
        let mut state = self.state()?;
        let cycle = state.nodes.get(&row.id).map_or(row.cycle, |node| node.cycle);
        state.nodes.insert(row.id, NodeRow { cycle, ..row });
        Ok(())
    }

    pub(crate) fn meta_set(&self, name: String, value: String) -> Result<()> {
        self.state()?.meta.insert(name, value);
        Ok(())
    }

    pub(crate) fn meta_get(&self, name: &str) -> Result<Option<String>> {
        Ok(self.state()?.meta.get(name).cloned())
    }

    pub(crate) fn prune_history(&self, before: Timestamp) -> Result<u64> {
        let mut state = self.state()?;
        let live = state.history.pop().expect("there is a live segment always");
        let over = |h: &History| h.segment.at_max.is_some_and(|at| at < before);
        let removed =
            state.history.iter().filter(|h| over(h)).map(|h| h.segment.runs + h.segment.skips).sum();
        state.history.retain(|h| !over(h));
        state.history.push(live);
        state.dedup.retain(|_, row| row.expires >= before);
        Ok(removed)
    }

    pub(crate) fn jobs(&self) -> Result<(Vec<JobRow>, Vec<TriggerRow>)> {
        let state = self.state()?;
        Ok((state.jobs.values().cloned().collect(), state.triggers.values().cloned().collect()))
    }

    pub(crate) fn definition(&self, job: JobId, revision: Revision) -> Result<Option<RevisionRow>> {
        Ok(self.state()?.revisions.get(&(job, revision)).cloned())
    }

    pub(crate) fn revisions(&self, job: JobId) -> Result<Vec<RevisionRow>> {
        let state = self.state()?;
        Ok(state.revisions.values().filter(|row| row.job == job).cloned().collect())
    }

    pub(crate) fn run(&self, id: RunId) -> Result<Option<Run>> {
        let state = self.state()?;
        let may_hold = state.history.iter().rev().filter(|h| h.segment.may_hold(id));
        let finished = || may_hold.flat_map(|h| h.runs.iter()).find(|run| run.id == id);
        Ok(state.runs.get(&id).or_else(finished).cloned())
    }

    pub(crate) fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let state = self.state()?;
        let wants = |run: &&Run| {
            filter.job.is_none_or(|job| job == run.job)
                && filter.spans(run.nominal)
                && match &run.state {
                    RunState::Finished { verdict, .. } => {
                        filter.verdicts.is_empty() || filter.verdicts.contains(verdict)
                    }
                    _ => filter.unfinished && filter.verdicts.is_empty(),
                }
        };
        let unfinished = state.runs.values().rev();
        let finished = state.history.iter().rev().flat_map(|h| h.runs.iter().rev());
        Ok(unfinished.chain(finished).filter(wants).take(filter.limit.min(RUNS_MAX)).cloned().collect())
    }

    pub(crate) fn triggers_stopped(
        &self,
        after: TriggerId,
        limit: usize,
    ) -> Result<Vec<(TriggerRow, Revision)>> {
        let state = self.state()?;
        let stopped = |row: &TriggerRow| {
            let job = state.jobs.get(&row.job).filter(|job| !job.retired && job.paused.is_none())?;
            (row.id > after && row.live && row.state.next_at.is_none()).then(|| (row.clone(), job.revision))
        };
        Ok(state.triggers.values().filter_map(stopped).take(limit).collect())
    }

    pub(crate) fn runs_page(&self, after: RunId, limit: usize) -> Result<Vec<Run>> {
        let state = self.state()?;
        Ok(state.runs.values().filter(|run| run.id > after).take(limit).cloned().collect())
    }

    pub(crate) fn ticks(&self, job: JobId, from: Timestamp, to: Timestamp) -> Result<TickRecord> {
        let state = self.state()?;
        let finished = state.history.iter().flat_map(|h| h.runs.iter());
        let runs = state.runs.values().chain(finished);
        let made = |run: &&Run| run.job == job && run.trigger.is_some() && (from..to).contains(&run.nominal);
        let touches = |skip: &&Skip| skip.job == job && skip.range.first < to && skip.range.last() >= from;
        let skips = state.history.iter().flat_map(|h| h.skips.iter());
        let mut record = TickRecord {
            runs: runs.filter(made).cloned().collect(),
            skips: skips.filter(touches).cloned().collect(),
        };
        record.sort();
        Ok(record)
    }

    pub(crate) fn dedup(&self, job: JobId, key: &str) -> Result<Option<DedupRow>> {
        Ok(self.state()?.dedup.get(&(job, key.to_owned())).cloned())
    }

    pub(crate) fn nodes(&self) -> Result<Vec<NodeRow>> {
        Ok(self.state()?.nodes.values().cloned().collect())
    }

    pub(crate) fn node_cycle(&self, node: NodeId) -> Result<Option<u64>> {
        Ok(self.state()?.nodes.get(&node).map(|row| row.cycle))
    }

    pub(crate) fn unfinished_counts(&self) -> Result<Vec<UnfinishedCount>> {
        let mut counts: BTreeMap<JobId, UnfinishedCount> = BTreeMap::new();
        for run in self.state()?.runs.values() {
            let empty = UnfinishedCount { job: run.job, held: 0, queued: 0, leased: 0 };
            let count = counts.entry(run.job).or_insert(empty);
            match run.state {
                RunState::Held(_) => count.held += 1,
                RunState::Queued { .. } => count.queued += 1,
                RunState::Leased(_) => count.leased += 1,
                RunState::Finished { .. } => unreachable!("finished runs are in the history"),
            }
        }
        Ok(counts.into_values().collect())
    }

    pub(crate) fn earliest_due(&self) -> Result<Option<Timestamp>> {
        let state = self.state()?;
        let trigger = state.due.first().map(|(at, _)| *at);
        let queued = state.queued.iter().filter_map(|(_, id)| match state.runs[id].state {
            RunState::Queued { due } => Some(due),
            _ => None,
        });
        Ok(trigger.into_iter().chain(queued).min())
    }

    pub(crate) fn check(&self) -> Result<Vec<String>> {
        let state = self.state()?;
        let history = state.history.iter().flat_map(|h| h.runs.iter());
        let twice = history.filter(|run| state.runs.contains_key(&run.id));
        Ok(twice.map(|run| format!("the run {} is both unfinished and in the history", run.id)).collect())
    }
}
