//! What a decision must see.

use super::State;
use crate::ask::{Ask, Snapshot};
use crate::row::JobRow;
use punctual_core::id::{JobId, RunId, TriggerId};
use punctual_core::run::{Run, RunState};
use std::collections::{BTreeMap, BTreeSet};

impl State {
    /// The snapshot of `ask`.
    pub fn snapshot(&self, ask: &Ask) -> Snapshot {
        let due = self.due_asked(ask);
        let queued = self.queued_asked(ask);
        let mut triggers: BTreeSet<TriggerId> = due.iter().copied().collect();
        let mut runs: BTreeMap<RunId, &Run> = BTreeMap::new();
        let asked = queued.iter().chain(&ask.runs).filter_map(|id| self.runs.get(id));
        runs.extend(asked.map(|run| (run.id, run)));
        if let Some(node) = ask.leased_by_others_than {
            let elsewhere = |run: &&Run| matches!(&run.state, RunState::Leased(l) if l.owner != node);
            runs.extend(self.runs.values().filter(elsewhere).map(|run| (run.id, run)));
        }
        let mut jobs: BTreeMap<JobId, &JobRow> = self.jobs_asked(ask);
        for job in jobs.keys() {
            let named = self.trigger_names.range((*job, String::new())..);
            triggers.extend(named.take_while(|((of, _), _)| of == job).map(|(_, id)| *id));
        }
        let of_triggers = triggers.iter().map(|id| self.triggers[id].job);
        for id in of_triggers.chain(runs.values().map(|run| run.job)) {
            jobs.insert(id, &self.jobs[&id]);
        }
        for job in jobs.values().filter(|job| job.serial) {
            let keyed = self.run_keys.range((job.id, String::new())..);
            let of_job = keyed.take_while(|((of, _), _)| *of == job.id);
            runs.extend(of_job.map(|(_, id)| (*id, &self.runs[id])));
        }
        let remembered = |(job, key): &(String, String)| {
            self.job_names.get(job).and_then(|id| self.dedup.get(&(*id, key.clone()))).cloned()
        };
        Snapshot {
            jobs: jobs.into_values().cloned().collect(),
            triggers: triggers.iter().map(|id| self.triggers[id].clone()).collect(),
            due,
            runs: runs.into_values().cloned().collect(),
            queued,
            dedup: ask.dedup.iter().filter_map(remembered).collect(),
            job_id_next: self.jobs.last_key_value().map_or(1, |(id, _)| id.0 + 1),
            trigger_id_next: self.triggers.last_key_value().map_or(1, |(id, _)| id.0 + 1),
        }
    }

    fn due_asked(&self, ask: &Ask) -> Vec<TriggerId> {
        let Some((at, limit)) = ask.due else { return Vec::new() };
        let due = self.due.iter().take_while(|(next_at, _)| *next_at <= at);
        due.take(limit).map(|(_, id)| *id).collect()
    }

    fn queued_asked(&self, ask: &Ask) -> Vec<RunId> {
        let Some((at, limit)) = ask.queued else { return Vec::new() };
        let is_due = |id: &RunId| matches!(self.runs[id].state, RunState::Queued { due } if due <= at);
        self.queued.iter().map(|(_, id)| *id).filter(is_due).take(limit).collect()
    }

    fn jobs_asked(&self, ask: &Ask) -> BTreeMap<JobId, &JobRow> {
        if ask.jobs_all {
            return self.jobs.iter().map(|(id, job)| (*id, job)).collect();
        }
        let named = ask.job_names.iter().filter_map(|name| self.job_names.get(name));
        let asked = ask.jobs.iter().chain(named).filter_map(|id| self.jobs.get(id));
        asked.map(|job| (job.id, job)).collect()
    }
}
