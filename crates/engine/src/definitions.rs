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
    /// Jobs of which some revision waits for the job of that name.
    downstream: HashMap<String, BTreeSet<JobId>>,
}

impl Definitions {
    /// The definition, if it is at hand.
    pub fn job(&self, job: JobId, revision: Revision) -> Option<Arc<Job>> {
        self.jobs.get(&(job, revision)).cloned()
    }

    /// Adds a definition.
    pub fn insert(&mut self, id: JobId, revision: Revision, job: Arc<Job>) {
        self.expect(id, &job);
        self.jobs.insert((id, revision), job);
    }

    /// Remembers for whom the job may wait, once that definition is in force. It need not come to that.
    pub fn expect(&mut self, id: JobId, job: &Job) {
        for trigger in &job.triggers {
            if let When::After(upstream) = &trigger.when {
                self.downstream.entry(upstream.job.clone()).or_default().insert(id);
            }
        }
    }

    /// A job that was expected does not exist.
    pub fn forget(&mut self, id: JobId) {
        self.downstream.values_mut().for_each(|jobs| _ = jobs.remove(&id));
    }

    /// Jobs that may wait for the job of that name.
    pub fn downstream(&self, name: &str) -> impl Iterator<Item = JobId> + '_ {
        self.downstream.get(name).into_iter().flatten().copied()
    }
}
