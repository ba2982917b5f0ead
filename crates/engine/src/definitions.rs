//! The compiled definitions a node decides by, shared between its threads.

use punctual_core::id::{JobId, Revision};
use punctual_core::job::Job;
use punctual_core::trigger::When;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Compiled definitions by job and revision. A revision never changes, so nothing here is ever stale.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    jobs: HashMap<(JobId, Revision), Arc<Job>>,
    /// Jobs of which some revision waits for another job.
    downstream: BTreeSet<JobId>,
}

impl Definitions {
    /// The definition, if it is at hand.
    pub fn job(&self, job: JobId, revision: Revision) -> Option<Arc<Job>> {
        self.jobs.get(&(job, revision)).cloned()
    }

    /// Adds a definition.
    pub fn insert(&mut self, id: JobId, revision: Revision, job: Arc<Job>) {
        if job.triggers.iter().any(|t| matches!(t.when, When::After(_))) {
            self.downstream.insert(id);
        }
        self.jobs.insert((id, revision), job);
    }

    /// Jobs that may wait for another job: a decision that ends runs must see them.
    pub fn downstream(&self) -> impl Iterator<Item = JobId> + '_ {
        self.downstream.iter().copied()
    }
}
