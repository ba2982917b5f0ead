//! The stores there are, behind one name.

use crate::ask::{Ask, Decide, Done, RunFilter};
use crate::row::{Comeback, DedupRow, JobRow, NodeRow, RevisionRow, TickRecord, TriggerRow, UnfinishedCount};
use crate::sqlite::Depth;
use crate::{Memory, Sqlite, SqliteOptions, StoreError};
use punctual_core::id::{JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use std::path::Path;
use std::time::Duration;

/// How long the small writes wait that take no deadline of their own.
const DEADLINE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, StoreError>;

/// A store. Clones are the same store.
#[derive(Clone, Debug)]
pub enum Store {
    /// In a file of this machine.
    Sqlite(Sqlite),
    /// In memory.
    Memory(Memory),
}

impl Store {
    /// Opens the embedded store in `dir`, or makes one there. The caller holds the directory's lock.
    ///
    /// # Errors
    /// The directory cannot be used, the file is not a store or is damaged, or it is of a newer version.
    pub fn open_sqlite(dir: &Path, options: SqliteOptions) -> Result<Self> {
        Ok(Self::Sqlite(Sqlite::open(dir, options)?))
    }

    /// An empty store in memory.
    pub fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Ends the store for all its clones: what was begun is finished, then its threads have ended.
    pub fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close(),
            Self::Memory(store) => store.close(),
        }
    }

    /// Reads what `ask` names, lets `decide` decide, and writes it, all in one transaction.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing has changed but with [`StoreError::CommitUnknown`] and [`StoreError::Io`],
    /// after which the node's cycle tells.
    pub async fn transact(&self, ask: Ask, deadline: Duration, decide: Decide) -> Result<Done> {
        #[cfg(feature = "faults")]
        return crate::faults::transact(self, ask, deadline, decide).await;
        #[cfg(not(feature = "faults"))]
        self.transact_plain(ask, deadline, decide).await
    }

    pub(crate) async fn transact_plain(&self, ask: Ask, deadline: Duration, decide: Decide) -> Result<Done> {
        match self {
            Self::Sqlite(store) => store.transact(ask, deadline, decide).await,
            Self::Memory(store) => store.transact(&ask, decide),
        }
    }

    /// Registers a node; one that is known keeps its cycle.
    ///
    /// # Errors
    /// As for [`Store::transact`].
    pub async fn register_node(&self, node: NodeRow) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.register_node(node, DEADLINE).await,
            Self::Memory(store) => store.register_node(node),
        }
    }

    /// Remembers a small fact under a name, replacing what was there.
    ///
    /// # Errors
    /// As for [`Store::transact`].
    pub async fn meta_set(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        match self {
            Self::Sqlite(store) => store.meta_set(name, value, DEADLINE).await,
            Self::Memory(store) => store.meta_set(name, value),
        }
    }

    /// Lets a store that came back be used as it is. How many comebacks were not accepted before.
    ///
    /// # Errors
    /// As for [`Store::transact`].
    pub async fn accept_comebacks(&self, at: Timestamp) -> Result<u64> {
        match self {
            Self::Sqlite(store) => store.accept_comebacks(at, DEADLINE).await,
            Self::Memory(_) => Ok(0),
        }
    }

    /// Removes segments of history in which everything was decided before `before`, and submitted keys that had
    /// expired by then. The segment that is written to stays. The number of runs and skips removed.
    ///
    /// # Errors
    /// As for [`Store::transact`].
    pub async fn prune_history(&self, before: Timestamp) -> Result<u64> {
        match self {
            Self::Sqlite(store) => store.prune_history(before, DEADLINE).await,
            Self::Memory(store) => store.prune_history(before),
        }
    }
}

/// Reads. Each sees one instant of the store, and gives up with [`StoreError::Deadline`] when it takes too long.
impl Store {
    /// All jobs and all triggers, by number.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn jobs(&self) -> Result<(Vec<JobRow>, Vec<TriggerRow>)> {
        #[cfg(feature = "faults")]
        crate::faults::read()?;
        match self {
            Self::Sqlite(store) => store.read(|reader| reader.jobs()).await,
            Self::Memory(store) => store.jobs(),
        }
    }

    /// One revision of a job's definition.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn definition(&self, job: JobId, revision: Revision) -> Result<Option<RevisionRow>> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.definition(job, revision)).await,
            Self::Memory(store) => store.definition(job, revision),
        }
    }

    /// Several revisions, in the order asked for; those that do not exist are left out.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn definitions(&self, wanted: &[(JobId, Revision)]) -> Result<Vec<RevisionRow>> {
        #[cfg(feature = "faults")]
        crate::faults::read()?;
        match self {
            Self::Sqlite(store) => {
                let wanted = wanted.to_vec();
                store
                    .read(move |reader| {
                        let found = wanted.iter().map(|(job, revision)| reader.definition(*job, *revision));
                        found.filter_map(Result::transpose).collect()
                    })
                    .await
            }
            Self::Memory(store) => {
                let found = wanted.iter().map(|(job, revision)| store.definition(*job, *revision));
                found.filter_map(Result::transpose).collect()
            }
        }
    }

    /// A job's revisions, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn revisions(&self, job: JobId) -> Result<Vec<RevisionRow>> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.revisions(job)).await,
            Self::Memory(store) => store.revisions(job),
        }
    }

    /// A run, unfinished or in the history.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>> {
        #[cfg(feature = "faults")]
        crate::faults::read()?;
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.run_by_id(id)).await,
            Self::Memory(store) => store.run(id),
        }
    }

    /// Runs, newest first: the unfinished ones by their ids, then the finished ones in the order in which their ends
    /// were recorded.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.runs(&filter)).await,
            Self::Memory(store) => store.runs(&filter),
        }
    }

    /// What the record says of a job's nominal times in [from, to).
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn ticks(&self, job: JobId, from: Timestamp, to: Timestamp) -> Result<TickRecord> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.ticks(job, from, to)).await,
            Self::Memory(store) => store.ticks(job, from, to),
        }
    }

    /// The run that a submitted key made, as long as it is remembered.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn dedup(&self, job: JobId, key: &str) -> Result<Option<DedupRow>> {
        match self {
            Self::Sqlite(store) => {
                let key = key.to_owned();
                store.read(move |reader| reader.dedup(job, &key)).await
            }
            Self::Memory(store) => store.dedup(job, key),
        }
    }

    /// How many cycles a node has committed; `None` if it is not registered.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn node_cycle(&self, node: NodeId) -> Result<Option<u64>> {
        #[cfg(feature = "faults")]
        crate::faults::read()?;
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.node_cycle(node)).await,
            Self::Memory(store) => store.node_cycle(node),
        }
    }

    /// All nodes, by identity.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>> {
        match self {
            Self::Sqlite(store) => store.read(|reader| reader.nodes()).await,
            Self::Memory(store) => store.nodes(),
        }
    }

    /// The jobs that have unfinished runs, with how many, by number.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn unfinished_counts(&self) -> Result<Vec<UnfinishedCount>> {
        match self {
            Self::Sqlite(store) => store.read(|reader| reader.unfinished_counts()).await,
            Self::Memory(store) => store.unfinished_counts(),
        }
    }

    /// The earliest instant at which a trigger or a queued run is due.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn earliest_due(&self) -> Result<Option<Timestamp>> {
        #[cfg(feature = "faults")]
        crate::faults::read()?;
        match self {
            Self::Sqlite(store) => store.read(|reader| reader.earliest_due()).await,
            Self::Memory(store) => store.earliest_due(),
        }
    }

    /// A small fact.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn meta_get(&self, name: &str) -> Result<Option<String>> {
        match self {
            Self::Sqlite(store) => {
                let name = name.to_owned();
                store.read(move |reader| reader.meta(&name)).await
            }
            Self::Memory(store) => store.meta_get(name),
        }
    }

    /// What is wrong with the stored data, a sentence each; empty if nothing is.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn check(&self) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(store) => store.check(Depth::Deep).await,
            Self::Memory(store) => store.check(),
        }
    }

    /// What a short look finds wrong: not every page and archive is read.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn check_shallow(&self) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(store) => store.check(Depth::Shallow).await,
            Self::Memory(store) => store.check(),
        }
    }

    /// The times at which the store was found to be another than the one used last, the oldest first. A store in
    /// memory never comes back.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn comebacks(&self) -> Result<Vec<Comeback>> {
        match self {
            Self::Sqlite(store) => store.read(|reader| reader.comebacks()).await,
            Self::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Triggers in force that are not in the due set, with a number above `after`, by number, at most `limit`; each with
    /// the revision in force of its job.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn triggers_stopped(
        &self,
        after: TriggerId,
        limit: usize,
    ) -> Result<Vec<(TriggerRow, Revision)>> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.triggers_stopped(after, limit)).await,
            Self::Memory(store) => store.triggers_stopped(after, limit),
        }
    }

    /// Unfinished runs with an id above `after`, by id, at most `limit`.
    ///
    /// # Errors
    /// The store cannot be read, or not in time.
    pub async fn runs_page(&self, after: RunId, limit: usize) -> Result<Vec<Run>> {
        match self {
            Self::Sqlite(store) => store.read(move |reader| reader.runs_page(after, limit)).await,
            Self::Memory(store) => store.runs_page(after, limit),
        }
    }
}
