//! Apply: from definitions to jobs, triggers and revisions, in one decision.
//!
//! What fell due until now is settled under the old definition; the new one is in force from then on. A trigger that
//! keeps its name keeps its cursor.

use crate::book::{Book, is_serial};
use crate::clock;
use crate::control::{has_boot, remember_boot, resume};
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::failpoint;
use punctual_core::fire::{self, Input};
use punctual_core::id::{JobId, Revision, TriggerId};
use punctual_core::job::{Job, Overlap};
use punctual_core::spec::{JobSpec, spec_diff};
use punctual_core::trigger::{Trigger, TriggerState};
use punctual_store::row::{JobRow, Pause, RevisionRow, TriggerRow};
use punctual_store::{Ask, Snapshot, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a job rests whose definition says so.
pub const PAUSED_BY_DEFINITION: &str = "its definition says paused";

/// Whether an apply writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// It says what it would change.
    DryRun,
    /// It changes it.
    Apply,
}

/// What an apply does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It did not exist.
    New,
    /// Its definition differs.
    Changed,
    /// Nothing.
    Unchanged,
    /// It is no longer defined: it fires no more, its history stays.
    Retired,
    /// It had been retired, and is defined again.
    Revived,
    /// It takes over the cursors and the history of a job of another name.
    Renamed,
}

/// A job's part in an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChange {
    /// The job.
    pub name: String,
    /// What is done to it.
    pub kind: ChangeKind,
    /// Its revision afterwards.
    pub revision: Revision,
    /// What differs, for people.
    pub differences: Vec<String>,
}

/// A definition on its way into the store.
struct Incoming {
    spec: JobSpec,
    job: Arc<Job>,
    text: String,
}

impl Engine {
    /// Applies definitions. `owner` names the files they come from (empty: applied by hand); with `prune`, jobs of
    /// the same owner that are not among them are retired.
    ///
    /// # Errors
    /// A definition is refused, a job belongs to another owner, or the store could not do it. Nothing has changed.
    pub async fn apply(
        &self,
        specs: Vec<JobSpec>,
        owner: &str,
        mode: ApplyMode,
        prune: bool,
    ) -> Result<Vec<JobChange>, EngineError> {
        let mut incoming = Vec::new();
        for spec in specs {
            let job = Arc::new(self.compile(&spec)?);
            let text = spec.to_json().to_string();
            incoming.push(Incoming { spec, job, text });
        }
        let before = self.texts_in_force().await?;
        let boot = self.daemon().map(|_| clock::boot_id());
        let owner = owner.to_owned();
        let mut ask = Ask { jobs_all: true, ..Ask::default() };
        let engine = self.clone();
        let work = move |book: &mut Book, _: &Snapshot| {
            let mut apply = Apply::new(book, &owner, &before);
            for one in &incoming {
                apply.one(one, boot.as_deref())?;
            }
            if prune {
                let kept: BTreeSet<&str> = incoming.iter().map(|i| i.spec.name.as_str()).collect();
                apply.retire_others(&kept);
            }
            engine.expect(&apply.learned);
            Ok((apply.changes, apply.learned))
        };
        if mode == ApplyMode::DryRun {
            return Ok(self.look(&mut ask, work).await?.0);
        }
        failpoint::reach("apply.before-write").map_err(|_| StoreError::Deadline)?;
        let ((changes, learned), effects, _) = self.write(&mut ask, work).await?;
        failpoint::reach("apply.after-write").map_err(|e| StoreError::CommitUnknown(e.to_string()))?;
        self.learn(learned);
        self.follow(&effects);
        Ok(changes)
    }

    /// The definitions in force, as they are stored; compiled ones are loaded on the way.
    async fn texts_in_force(&self) -> Result<BTreeMap<(JobId, Revision), String>, EngineError> {
        let (rows, _) = self.store().jobs().await?;
        let current: Vec<_> = rows.iter().map(|r| (r.id, r.revision)).collect();
        let definitions = self.store().definitions(&current).await?;
        let unknown = current.into_iter().filter(|(j, r)| self.definitions().job(*j, *r).is_none());
        self.load(&unknown.collect()).await?;
        Ok(definitions.into_iter().map(|d| ((d.job, d.revision), d.definition)).collect())
    }
}

/// An apply under way.
struct Apply<'a> {
    book: &'a mut Book,
    /// Where the jobs and their triggers are in the book; there may be very many.
    names: BTreeMap<String, JobId>,
    triggers: BTreeMap<JobId, Vec<TriggerId>>,
    owner: &'a str,
    before: &'a BTreeMap<(JobId, Revision), String>,
    changes: Vec<JobChange>,
    learned: Vec<(JobId, Revision, Arc<Job>)>,
}

impl<'a> Apply<'a> {
    fn new(book: &'a mut Book, owner: &'a str, before: &'a BTreeMap<(JobId, Revision), String>) -> Self {
        let names = book.jobs.values().map(|j| (j.name.clone(), j.id)).collect();
        let mut triggers: BTreeMap<JobId, Vec<TriggerId>> = BTreeMap::new();
        for trigger in book.triggers.values() {
            triggers.entry(trigger.job).or_default().push(trigger.id);
        }
        Self { book, names, triggers, owner, before, changes: Vec::new(), learned: Vec::new() }
    }

    fn job_named(&self, name: &str) -> Option<JobRow> {
        self.names.get(name).map(|id| self.book.jobs[id].clone())
    }

    fn one(&mut self, incoming: &Incoming, boot: Option<&str>) -> Result<(), EngineError> {
        let name = &incoming.spec.name;
        let found = self.job_named(name);
        let renamed = match (&found, &incoming.spec.renamed_from) {
            (None, Some(old)) => self.job_named(old),
            _ => None,
        };
        let kind = match (&found, &renamed) {
            (None, None) => return self.new_job(incoming, boot),
            (None, Some(_)) => ChangeKind::Renamed,
            (Some(row), _) if row.retired => ChangeKind::Revived,
            (Some(row), _) if self.before.get(&(row.id, row.revision)) == Some(&incoming.text) => {
                ChangeKind::Unchanged
            }
            (Some(_), _) => ChangeKind::Changed,
        };
        let row = found.or(renamed).expect("one of them is there");
        if !self.before.contains_key(&(row.id, row.revision)) {
            return Err(EngineError::State {
                message: format!("the definition of {name} was changed by somebody else in the meantime"),
                hint: "apply again".into(),
            });
        }
        if !row.owner.is_empty() && row.owner != self.owner && !row.retired {
            return Err(EngineError::Owned { job: row.name, owner: row.owner });
        }
        if kind == ChangeKind::Unchanged {
            let revision = row.revision;
            if row.owner != self.owner {
                self.book.put_job(JobRow { owner: self.owner.to_owned(), ..row });
            }
            self.changes.push(JobChange { name: name.clone(), kind, revision, differences: Vec::new() });
            return Ok(());
        }
        self.edit(incoming, row, kind, boot);
        Ok(())
    }

    fn new_job(&mut self, incoming: &Incoming, boot: Option<&str>) -> Result<(), EngineError> {
        let now = self.book.now();
        let id = JobId(self.book.job_id_next);
        self.book.job_id_next += 1;
        let row = JobRow {
            id,
            name: incoming.spec.name.clone(),
            revision: Revision(1),
            paused: incoming.spec.paused.then(|| Pause { since: now, reason: PAUSED_BY_DEFINITION.into() }),
            retired: false,
            serial: is_serial(&incoming.job),
            failures: 0,
            owner: self.owner.to_owned(),
        };
        self.write_definition(incoming, &row);
        for trigger in &incoming.job.triggers {
            self.begin(trigger, &row);
        }
        if let (Some(boot), true) = (boot, has_boot(&incoming.job)) {
            remember_boot(self.book, id, boot);
        }
        self.changed(&row, ChangeKind::New, Vec::new());
        self.names.insert(row.name.clone(), id);
        self.book.put_job(row);
        Ok(())
    }

    fn edit(&mut self, incoming: &Incoming, row: JobRow, kind: ChangeKind, boot: Option<&str>) {
        let now = self.book.now();
        let old = self.triggers(row.id);
        // What fell due until now is the old definition's.
        for trigger in old.iter().filter(|t| t.live) {
            self.book.dispose(trigger.id, &so_far(&row));
        }
        let before = self.before.get(&(row.id, row.revision));
        let old_spec =
            before.and_then(|t| serde_json::from_str(t).ok()).and_then(|v| JobSpec::from_json(&v).ok());
        let differences = old_spec.as_ref().map(|old| spec_diff(old, &incoming.spec));
        // The definition's `paused` speaks when it changes; in between, pause and resume do.
        let was_paused = old_spec.is_some_and(|s| s.paused);
        let by_definition = || Some(Pause { since: now, reason: PAUSED_BY_DEFINITION.into() });
        // A job that comes back, under this or another name, comes back as its definition says.
        let paused = match (incoming.spec.paused, was_paused && !row.retired) {
            (true, false) => row.paused.clone().or_else(by_definition),
            (false, true) => None,
            _ if row.retired => incoming.spec.paused.then(by_definition).flatten(),
            _ => row.paused.clone(),
        };
        let resumed = row.paused.is_some() && paused.is_none() && !row.retired;
        let next = JobRow {
            name: incoming.spec.name.clone(),
            revision: Revision(row.revision.0 + 1),
            paused,
            retired: false,
            serial: is_serial(&incoming.job),
            owner: self.owner.to_owned(),
            ..row.clone()
        };
        if resumed {
            resume(self.book, row.clone(), old, Input::Resumed, boot);
        }
        self.write_definition(incoming, &next);
        self.names.remove(&row.name);
        self.names.insert(next.name.clone(), next.id);
        self.book.put_job(next.clone());
        if incoming.job.overlap == Overlap::Allow {
            self.book.release_all(next.id);
        }
        self.replace_triggers(incoming, &next);
        if let (Some(boot), true) = (boot, has_boot(&incoming.job)) {
            remember_boot(self.book, next.id, boot);
        }
        self.changed(&next, kind, differences.unwrap_or_default());
    }

    /// Triggers of the same name keep their cursor; others end, or begin now.
    fn replace_triggers(&mut self, incoming: &Incoming, row: &JobRow) {
        let now = self.book.now();
        let old = self.triggers(row.id);
        for trigger in &incoming.job.triggers {
            let Some(known) = old.iter().find(|t| t.name == trigger.name) else {
                self.begin(trigger, row);
                continue;
            };
            let mut known = known.clone();
            known.live = true;
            known.state.cursor = known.state.cursor.max(now);
            known.state.next_at =
                if row.paused.is_some() { None } else { self.book.next_of(trigger, &known) };
            self.book.put_trigger(known);
        }
        for mut gone in old {
            if !incoming.job.triggers.iter().any(|t| t.name == gone.name) {
                gone.live = false;
                gone.state.next_at = None;
                self.book.put_trigger(gone);
            }
        }
    }

    fn begin(&mut self, trigger: &Trigger, row: &JobRow) {
        let now = self.book.now();
        let blank = TriggerState { cursor: now, next_at: None, anchor: now, fired: 0 };
        let mut state = fire::begin(trigger, now).unwrap_or_else(|_| {
            self.book.note_search(&trigger.name, row.id);
            blank
        });
        if row.paused.is_some() {
            state.next_at = None;
        }
        let id = TriggerId(self.book.trigger_id_next);
        self.book.trigger_id_next += 1;
        self.book.put_trigger(TriggerRow { id, job: row.id, name: trigger.name.clone(), state, live: true });
    }

    fn retire_others(&mut self, kept: &BTreeSet<&str>) {
        let gone: Vec<JobRow> = self
            .book
            .jobs
            .values()
            .filter(|j| j.owner == self.owner && !j.retired && !kept.contains(j.name.as_str()))
            .cloned()
            .collect();
        for row in gone {
            for trigger in self.triggers(row.id).iter().filter(|t| t.live) {
                self.book.dispose(trigger.id, &so_far(&row));
            }
            for mut trigger in self.triggers(row.id) {
                trigger.state.next_at = None;
                trigger.live = false;
                self.book.put_trigger(trigger);
            }
            self.changed(&row, ChangeKind::Retired, Vec::new());
            let row = self.book.jobs[&row.id].clone();
            self.book.put_job(JobRow { retired: true, ..row });
        }
    }

    fn write_definition(&mut self, incoming: &Incoming, row: &JobRow) {
        let (job, revision) = (row.id, row.revision);
        let definition = incoming.text.clone();
        self.book.put_revision(RevisionRow { job, revision, definition, at: self.book.now() });
        self.book.learn(job, revision, incoming.job.clone());
        self.learned.push((job, revision, incoming.job.clone()));
    }

    fn changed(&mut self, row: &JobRow, kind: ChangeKind, differences: Vec<String>) {
        self.changes.push(JobChange { name: row.name.clone(), kind, revision: row.revision, differences });
    }

    fn triggers(&self, job: JobId) -> Vec<TriggerRow> {
        self.triggers.get(&job).into_iter().flatten().map(|id| self.book.triggers[id].clone()).collect()
    }
}

/// What the time since a trigger's cursor was for its job.
fn so_far(row: &JobRow) -> Input {
    if row.paused.is_some() { Input::Resumed } else { Input::Tick }
}
