//! What is stored about jobs and triggers. Runs and skips are `core`'s own types.

use punctual_core::id::{JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::Skip;
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use punctual_core::trigger::TriggerState;

/// A job's row: everything but its definition, which stands with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its number; given out by the store, see [`crate::Snapshot::job_id_next`].
    pub id: JobId,
    /// Unique.
    pub name: String,
    /// The definition in force.
    pub revision: Revision,
    /// Set while it is paused.
    pub paused: Option<Pause>,
    /// Whether it was removed from the definitions: it fires no more, its history stays.
    pub retired: bool,
    /// Whether deciding about it needs its unfinished runs (overlap other than `allow`, a limit).
    pub serial: bool,
    /// Runs that ended badly since the last success.
    pub failures: u32,
    /// The definitions file that owns it; empty if it was applied by hand.
    pub owner: String,
}

/// Why and since when a job is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// By whom or why, for people.
    pub reason: String,
}

/// A trigger's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerRow {
    /// Its number; given out by the store.
    pub id: TriggerId,
    /// Its job.
    pub job: JobId,
    /// Its name in the definition, or a hash; unique per job.
    pub name: String,
    /// Cursor, next nominal time and counters. A trigger whose `next_at` is `None` is not in the due set.
    pub state: TriggerState,
    /// Whether it is in force. A trigger that left the definition keeps its row for the history.
    pub live: bool,
}

/// One revision of a job's definition, as canonical JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRow {
    /// The job.
    pub job: JobId,
    /// Its number.
    pub revision: Revision,
    /// The definition.
    pub definition: String,
    /// When it was applied.
    pub at: Timestamp,
}

/// A key that was submitted, and the run it made; kept at least until `expires`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupRow {
    /// The job.
    pub job: JobId,
    /// The key.
    pub key: String,
    /// The run it made.
    pub run: RunId,
    /// Until when a repeat finds it.
    pub expires: Timestamp,
}

/// A node, as its daemon registered itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its identity.
    pub id: NodeId,
    /// The host's name, for people.
    pub host: String,
    /// When it was registered.
    pub since: Timestamp,
    /// How many cycles it has committed.
    pub cycle: u64,
}

/// What the record says of a job's nominal times in a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickRecord {
    /// Runs made by a trigger, unfinished and finished, with a nominal time in the span; ordered by it.
    pub runs: Vec<Run>,
    /// Skips that touch the span; ordered by their first nominal time. They may reach beyond it.
    pub skips: Vec<Skip>,
}

impl TickRecord {
    /// Brings both lists into their order, whatever order they were read in.
    pub(crate) fn sort(&mut self) {
        self.runs.sort_by_key(|run| (run.nominal, run.id));
        self.skips.sort_by_key(|skip| (skip.range.first, skip.trigger, skip.at, skip.range.count));
    }
}

/// How many unfinished runs a job has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedCount {
    /// The job.
    pub job: JobId,
    /// Waiting for something other than time and capacity.
    pub held: u64,
    /// Waiting for their time or for capacity.
    pub queued: u64,
    /// Taken by a node.
    pub leased: u64,
}

/// A time at which the store was found to be another than the one that was used last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comeback {
    /// From 1.
    pub number: i64,
    /// What was found.
    pub kind: ComebackKind,
    /// Transactions that were acknowledged and are not there, where they can be counted.
    pub missing: u64,
    /// The last instant of which the store knew anything.
    pub known_until: Timestamp,
    /// Until when something may have happened that it does not know; `None`: until it was accepted.
    pub lost_until: Option<Timestamp>,
    /// When somebody said to go on with it; `None`: nothing fires.
    pub accepted: Option<Timestamp>,
}

/// How a store came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComebackKind {
    /// Transactions that were acknowledged are missing.
    Behind,
    /// It is not the store that was in use here.
    Foreign,
    /// Its file is a copy: the original may be in use elsewhere.
    Copied,
    /// It was restored from a backup.
    Restored,
}

impl ComebackKind {
    /// The word it is stored as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Foreign => "foreign",
            Self::Copied => "copied",
            Self::Restored => "restored",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Behind, Self::Foreign, Self::Copied, Self::Restored].into_iter().find(|k| k.as_str() == word)
    }
}
