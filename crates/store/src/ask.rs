//! The one write primitive: ask, snapshot, decision.

use crate::row::{DedupRow, JobRow, RevisionRow, TriggerRow};
use punctual_core::id::{JobId, NodeId, RunId, TriggerId};
use punctual_core::occurrence::Skip;
use punctual_core::run::{Run, Verdict};
use punctual_core::time::Timestamp;

/// A pure function from what is to what shall be. It may be called more than once for one transaction.
pub type Decide = Box<dyn FnMut(&Snapshot) -> Decision + Send>;

/// What a decision must see. The store locks it, reads it and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Moves the node's cycle number, so that an unknown commit can be told from the store afterwards.
    pub cycle: Option<Cycle>,
    /// Triggers of the due set with `next_at` at or before the instant, earliest first, at most so many.
    pub due: Option<(Timestamp, usize)>,
    /// Queued runs due at or before the instant, in the order of `core::queue::rank`, at most so many.
    pub queued: Option<(Timestamp, usize)>,
    /// These runs, if unfinished.
    pub runs: Vec<RunId>,
    /// These jobs with all their triggers, by number.
    pub jobs: Vec<JobId>,
    /// These jobs with all their triggers, by name. A name that does not exist is not an error.
    pub job_names: Vec<String>,
    /// All jobs with all their triggers.
    pub jobs_all: bool,
    /// Leased runs whose owner is not this node.
    pub leased_by_others_than: Option<NodeId>,
    /// Submitted keys that are still remembered. Keys of jobs given by name in `job_names`.
    pub dedup: Vec<(String, String)>,
}

/// A node's place in its own sequence of cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The node.
    pub node: NodeId,
    /// The number before this transaction; the store moves it to one more, or refuses with
    /// [`crate::StoreError::CycleMoved`]. The first is 0.
    pub number: u64,
}

/// What the store read. Whatever is mentioned in it is complete: the job of every trigger and run is in `jobs`,
/// and the unfinished runs of every job in `jobs` that is `serial` are in `runs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Jobs asked for, and the jobs of all other rows, ordered by number.
    pub jobs: Vec<JobRow>,
    /// The triggers that are due, and all triggers of the jobs that were asked for; ordered by number.
    pub triggers: Vec<TriggerRow>,
    /// The numbers of those triggers that were read for being due, earliest `next_at` first.
    pub due: Vec<TriggerId>,
    /// The runs asked for, the queued ones, the leased ones, and the unfinished ones of serial jobs; ordered by id.
    pub runs: Vec<Run>,
    /// Those of them that were read as queued candidates, in the order of their rank.
    pub queued: Vec<RunId>,
    /// The submitted keys that are remembered.
    pub dedup: Vec<DedupRow>,
    /// The number the next new job must take, and on upwards.
    pub job_id_next: i64,
    /// The number the next new trigger must take, and on upwards.
    pub trigger_id_next: i64,
}

/// What the store writes, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// New or changed jobs, whole rows.
    pub jobs: Vec<JobRow>,
    /// New definitions.
    pub revisions: Vec<RevisionRow>,
    /// New or changed triggers, whole rows. A cursor that would go back is refused, unless
    /// `set_back` names its trigger.
    pub triggers: Vec<TriggerRow>,
    /// Triggers among them whose cursor may go back, because a person said so.
    pub set_back: Vec<TriggerId>,
    /// New runs, queued, held, or leased at once. One whose (job, key) is taken by an unfinished run is not
    /// written and is named in [`Done::taken`]. A run that is new and already finished goes straight to history.
    pub runs_new: Vec<Run>,
    /// Changed runs, whole rows, which the snapshot must have shown. Finished ones move to history.
    pub runs: Vec<Run>,
    /// Appended to history.
    pub skips: Vec<Skip>,
    /// Remembered keys.
    pub dedup: Vec<DedupRow>,
}

/// What came of a transaction, known to be durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// New runs that were not written because an unfinished run has their key.
    pub taken: Vec<RunId>,
}

/// Which runs to list; the newest are taken, newest first: unfinished ones by their
/// ids, then finished ones in the order in which their ends were recorded.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this job.
    pub job: Option<JobId>,
    /// Only with a nominal time at or after this.
    pub since: Option<Timestamp>,
    /// Only with a nominal time before this.
    pub until: Option<Timestamp>,
    /// Only finished ones with one of these verdicts; empty: all.
    pub verdicts: Vec<Verdict>,
    /// Whether unfinished runs are wanted too (when `verdicts` is empty).
    pub unfinished: bool,
    /// At most so many, the newest. The store holds it to [`crate::RUNS_MAX`].
    pub limit: usize,
}

impl RunFilter {
    /// Whether a nominal time is in the span.
    pub(crate) fn spans(&self, nominal: Timestamp) -> bool {
        self.since.is_none_or(|since| nominal >= since) && self.until.is_none_or(|until| nominal < until)
    }
}
