//! Whether the limits of jobs hold on this machine.

use crate::error::EngineError;
use crate::shared::Engine;
use crate::supervisor::cgroup::Groups;
use std::collections::BTreeMap;

impl Engine {
    /// What nothing enforces of the limits of the jobs in force, with the jobs that this concerns, for people: a
    /// sentence each, none if all limits hold. It looks at the control groups of this process: ask the daemon.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn unenforced_limits(&self) -> Result<Vec<String>, EngineError> {
        let mut jobs = self.jobs().await?;
        jobs.retain(|job| !job.spec.limits.is_empty());
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let groups = Groups::make(self.data().root());
        let mut unenforced: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for job in jobs {
            if let Some(remark) = groups.unenforced_of(&job.spec.limits.compile()) {
                unenforced.entry(remark).or_default().push(job.spec.name.clone());
            }
        }
        let sentence =
            |(remark, jobs): (String, Vec<String>)| format!("{remark}; this concerns {}", jobs.join(", "));
        Ok(unenforced.into_iter().map(sentence).collect())
    }
}
