//! Applies a decision in the order of the other stores, so that it is refused where they refuse it. Every change
//! notes how to undo it; a refusal undoes all.

use super::{History, State, place};
use crate::StoreError;
use crate::ask::{Decision, Done, Snapshot};
use crate::row::{DedupRow, JobRow, RevisionRow, TriggerRow};
use crate::segment::Appends;
use crate::sqlite::{check_change, check_cursor, check_lease};
use punctual_core::id::{JobId, Revision, RunId, TriggerId};
use punctual_core::run::Run;
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use std::collections::HashSet;

type Result<T> = std::result::Result<T, StoreError>;

/// What was there before a change.
enum Undo {
    Job(JobId, Option<JobRow>),
    Revision(JobId, Revision),
    Trigger(TriggerId, Option<TriggerRow>),
    Run(RunId, Option<Box<Run>>),
    Dedup((JobId, String), Option<DedupRow>),
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused(why.into())
}

impl State {
    /// Writes the decision, or changes nothing.
    pub fn apply(&mut self, seen: &Snapshot, decision: &Decision) -> Result<Done> {
        let mut undo = Vec::new();
        let applied = self.apply_noting(seen, decision, &mut undo);
        if applied.is_err() {
            let stays = |step: &Undo| sabotage!("cursor-outside") && matches!(step, Undo::Trigger(..));
            undo.into_iter().rev().filter(|step| !stays(step)).for_each(|step| self.undo(step));
        }
        applied
    }

    fn apply_noting(&mut self, seen: &Snapshot, decision: &Decision, undo: &mut Vec<Undo>) -> Result<Done> {
        self.apply_jobs(decision, undo)?;
        self.apply_triggers(&decision.triggers, &decision.set_back, undo)?;
        let mut ended = self.apply_runs(seen, &decision.runs, undo)?;
        let taken = self.apply_runs_new(&decision.runs_new, &mut ended, undo)?;
        for row in &decision.dedup {
            if !self.jobs.contains_key(&row.job) {
                return Err(refused(format!("there is no job {}", row.job.0)));
            }
            let key = (row.job, row.key.clone());
            let was = self.dedup.insert(key.clone(), row.clone());
            undo.push(Undo::Dedup(key, was));
        }
        self.append(&Appends { runs: ended, skips: &decision.skips });
        Ok(Done { taken })
    }

    fn undo(&mut self, step: Undo) {
        match step {
            Undo::Job(id, was) => self.put_job(id, was),
            Undo::Revision(job, revision) => drop(self.revisions.remove(&(job, revision))),
            Undo::Trigger(id, was) => self.put_trigger(id, was),
            Undo::Run(id, was) => self.put_run(id, was.map(|run| *run)),
            Undo::Dedup(key, Some(was)) => drop(self.dedup.insert(key, was)),
            Undo::Dedup(key, None) => drop(self.dedup.remove(&key)),
        }
    }

    fn put_job(&mut self, id: JobId, row: Option<JobRow>) {
        if let Some(was) = self.jobs.remove(&id) {
            self.job_names.remove(&was.name);
        }
        if let Some(row) = row {
            self.job_names.insert(row.name.clone(), id);
            self.jobs.insert(id, row);
        }
    }

    fn put_trigger(&mut self, id: TriggerId, row: Option<TriggerRow>) {
        if let Some(was) = self.triggers.remove(&id) {
            self.trigger_names.remove(&(was.job, was.name));
            was.state.next_at.map(|at| self.due.remove(&(at, id)));
        }
        if let Some(row) = row {
            self.trigger_names.insert((row.job, row.name.clone()), id);
            self.due.extend(row.state.next_at.map(|at| (at, id)));
            self.triggers.insert(id, row);
        }
    }

    fn put_run(&mut self, id: RunId, run: Option<Run>) {
        if let Some(was) = self.runs.remove(&id) {
            place(&was).map(|place| self.queued.remove(&place));
            self.run_keys.remove(&(was.job, was.key));
        }
        if let Some(run) = run {
            self.run_keys.insert((run.job, run.key.clone()), id);
            self.queued.extend(place(&run));
            self.runs.insert(id, run);
        }
    }

    fn apply_jobs(&mut self, decision: &Decision, undo: &mut Vec<Undo>) -> Result<()> {
        let mut rows: Vec<&JobRow> = decision.jobs.iter().collect();
        rows.sort_by_key(|row| row.id);
        if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(refused("the decision names a job twice"));
        }
        for row in &rows {
            let next = self.jobs.last_key_value().map_or(1, |(id, _)| id.0 + 1);
            if !self.jobs.contains_key(&row.id) && row.id.0 != next {
                return Err(refused(format!("a new job must have number {next}, not {}", row.id.0)));
            }
            if self.job_names.get(&row.name).is_some_and(|id| *id != row.id) {
                return Err(refused(format!("another job is named {}", row.name)));
            }
            undo.push(Undo::Job(row.id, self.jobs.get(&row.id).cloned()));
            self.put_job(row.id, Some((*row).clone()));
        }
        for row in &decision.revisions {
            self.apply_revision(row, undo)?;
        }
        for row in &rows {
            if !self.revisions.contains_key(&(row.id, row.revision)) {
                return Err(refused(format!("job {} has no revision {}", row.name, row.revision.0)));
            }
        }
        Ok(())
    }

    fn apply_revision(&mut self, row: &RevisionRow, undo: &mut Vec<Undo>) -> Result<()> {
        let number = (row.job, row.revision);
        if !self.jobs.contains_key(&row.job)
            || self.revisions.contains_key(&number)
            || row.revision < Revision(1)
        {
            return Err(refused(format!("revision {} of job {} cannot be new", row.revision.0, row.job.0)));
        }
        undo.push(Undo::Revision(row.job, row.revision));
        self.revisions.insert(number, row.clone());
        Ok(())
    }

    fn apply_triggers(
        &mut self,
        rows: &[TriggerRow],
        set_back: &[TriggerId],
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        let mut rows: Vec<&TriggerRow> = rows.iter().collect();
        rows.sort_by_key(|row| row.id);
        if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(refused("the decision names a trigger twice"));
        }
        for row in rows {
            if row.state.next_at == Some(Timestamp::from_micros(i64::MAX)) {
                return Err(refused("a trigger's next instant lies beyond all time"));
            }
            let next = self.triggers.last_key_value().map_or(1, |(id, _)| id.0 + 1);
            match self.triggers.get(&row.id) {
                Some(_) if sabotage!("cursor-back") => {}
                Some(stored) => check_cursor(stored, row, set_back)?,
                None if row.id.0 != next => {
                    return Err(refused(format!("a new trigger must have number {next}, not {}", row.id.0)));
                }
                None => {}
            }
            let name = (row.job, row.name.clone());
            if !self.jobs.contains_key(&row.job)
                || self.trigger_names.get(&name).is_some_and(|id| *id != row.id)
            {
                return Err(refused(format!("job {} cannot have a trigger {}", row.job.0, row.name)));
            }
            undo.push(Undo::Trigger(row.id, self.triggers.get(&row.id).cloned()));
            self.put_trigger(row.id, Some(row.clone()));
        }
        Ok(())
    }

    /// Writes changed runs and returns those that ended.
    fn apply_runs<'a>(
        &mut self,
        seen: &Snapshot,
        rows: &'a [Run],
        undo: &mut Vec<Undo>,
    ) -> Result<Vec<&'a Run>> {
        let mut ended = Vec::new();
        let mut named = HashSet::new();
        for run in rows {
            if !named.insert(run.id) {
                return Err(refused(format!("the decision changes the run {} twice", run.id)));
            }
            let shown = seen.runs.binary_search_by_key(&run.id, |stored| stored.id);
            check_change(shown.ok().map(|place| &seen.runs[place]), run)?;
            undo.push(Undo::Run(run.id, self.runs.get(&run.id).cloned().map(Box::new)));
            if run.is_finished() {
                self.put_run(run.id, None);
                ended.push(run);
            } else {
                self.put_run(run.id, Some(run.clone()));
            }
        }
        Ok(ended)
    }

    /// Writes new runs; those that have ended join `ended`. The ones whose key is taken are returned.
    fn apply_runs_new<'a>(
        &mut self,
        rows: &'a [Run],
        ended: &mut Vec<&'a Run>,
        undo: &mut Vec<Undo>,
    ) -> Result<Vec<RunId>> {
        let mut taken = Vec::new();
        let mut gone: HashSet<RunId> = ended.iter().map(|run| run.id).collect();
        for run in rows {
            if gone.contains(&run.id) {
                return Err(refused(format!("the run {} has ended and cannot be new", run.id)));
            }
            check_lease(run)?;
            if self.run_keys.contains_key(&(run.job, run.key.clone())) {
                taken.push(run.id);
            } else if !self.revisions.contains_key(&(run.job, run.revision)) {
                return Err(refused(format!("the run {} has no revision {}", run.id, run.revision.0)));
            } else if self.runs.contains_key(&run.id) {
                return Err(refused(format!("another run has the id {}", run.id)));
            } else if run.is_finished() {
                gone.insert(run.id);
                ended.push(run);
            } else {
                undo.push(Undo::Run(run.id, None));
                self.put_run(run.id, Some(run.clone()));
            }
        }
        Ok(taken)
    }

    fn append(&mut self, appends: &Appends<'_>) {
        if appends.is_empty() {
            return;
        }
        let live = self.history.last().expect("there is a live segment always");
        if live.segment.is_over(self.segment_rows_max, appends) {
            let next = live.segment.number + 1;
            self.history.push(History::empty(next));
        }
        let live = self.history.last_mut().expect("there is a live segment always");
        live.segment.add(appends);
        live.runs.extend(appends.runs.iter().map(|run| (*run).clone()));
        live.skips.extend_from_slice(appends.skips);
    }
}
