//! What people and programs ask for: apply, pause, resume, submit, cancel, retry. Each is one decision in one book.

use crate::book::{Book, is_serial};
use crate::clock;
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::admission::Arriving;
use punctual_core::fire::{self, Input};
use punctual_core::id::{JobId, Revision, RunId, TriggerId};
use punctual_core::job::Job;
use punctual_core::occurrence::Occurrence;
use punctual_core::run::{Run, RunEvent, StopReason};
use punctual_core::spec::JobSpec;
use punctual_core::trigger::{TriggerState, When};
use punctual_store::row::{DedupRow, JobRow, Pause, RevisionRow, TriggerRow};
use punctual_store::{Ask, Snapshot};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A submitted key is remembered at least so long.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A boot trigger's key outlives every boot.
const BOOTS_KEPT: Duration = Duration::from_secs(10 * 365 * 86_400);
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

/// What a submitted run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whether the key had been submitted before, and this is that run.
    pub existing: bool,
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
        let (rows, _) = self.store().jobs().await?;
        let current: Vec<_> = rows.iter().map(|r| (r.id, r.revision)).collect();
        let definitions = self.store().definitions(&current).await?;
        let before: BTreeMap<JobId, String> =
            definitions.into_iter().map(|d| (d.job, d.definition)).collect();
        let known: BTreeSet<_> =
            current.into_iter().filter(|(j, r)| self.definitions().job(*j, *r).is_none()).collect();
        self.load(&known).await?;
        let boot = self.daemon().map(|_| clock::boot_id());
        let owner = owner.to_owned();
        let mut ask = Ask { jobs_all: true, ..Ask::default() };
        let engine = self.clone();
        let ((changes, learned), effects, _) = self
            .write(&mut ask, move |book, _| {
                let mut apply =
                    Apply { book, owner: &owner, before: &before, changes: Vec::new(), learned: Vec::new() };
                for one in &incoming {
                    apply.one(&engine, one, boot.as_deref())?;
                }
                if prune {
                    let kept: BTreeSet<&str> = incoming.iter().map(|i| i.spec.name.as_str()).collect();
                    apply.retire_others(&kept);
                }
                let (changes, learned) = (apply.changes, apply.learned);
                match mode {
                    ApplyMode::Apply => Ok((changes, learned)),
                    ApplyMode::DryRun => Err(EngineError::DryRun(changes)),
                }
            })
            .await
            .or_else(|error| match error {
                EngineError::DryRun(changes) => {
                    Ok(((changes, Vec::new()), Default::default(), Default::default()))
                }
                error => Err(error),
            })?;
        self.learn(learned);
        self.follow(&effects);
        Ok(changes)
    }

    /// Pauses a job's triggers. Runs that are queued or under way go on, and runs can be submitted.
    ///
    /// # Errors
    /// There is no such job, it is paused, or the store could not do it.
    pub async fn pause(&self, job: &str, reason: &str) -> Result<(), EngineError> {
        let reason = reason.to_owned();
        self.on_job(job, move |book, row, triggers| {
            if row.paused.is_some() {
                return Err(EngineError::State {
                    message: format!("job {} is paused already", row.name),
                    hint: format!("punctual resume {} lets it fire again", row.name),
                });
            }
            pause(book, row, triggers, &reason);
            Ok(())
        })
        .await
    }

    /// Lets a paused job fire again. Nominal times that passed meanwhile are skipped as paused; with `catch_up` they
    /// are treated as missed instead.
    ///
    /// # Errors
    /// There is no such job, it is not paused, or the store could not do it.
    pub async fn resume(&self, job: &str, catch_up: bool) -> Result<(), EngineError> {
        let boot = self.daemon().map(|_| clock::boot_id());
        self.on_job(job, move |book, row, triggers| {
            if row.paused.is_none() {
                return Err(EngineError::State {
                    message: format!("job {} is not paused", row.name),
                    hint: format!("punctual why {} says when it runs next", row.name),
                });
            }
            resume(book, row, triggers, if catch_up { Input::Tick } else { Input::Resumed }, boot.as_deref());
            Ok(())
        })
        .await
    }

    /// Submits a run. A key that was submitted in the last 24 hours gives the run it made then.
    ///
    /// # Errors
    /// There is no such job, it is retired, or the store could not do it.
    pub async fn submit(
        &self,
        job: &str,
        key: Option<String>,
        params: Map<String, Value>,
    ) -> Result<Submitted, EngineError> {
        let given = key.is_some();
        let key = key.unwrap_or_else(|| format!("submitted:{:032x}", clock::random()));
        let params = if params.is_empty() { String::new() } else { Value::Object(params).to_string() };
        let name = job.to_owned();
        let mut ask =
            Ask { job_names: vec![name.clone()], dedup: vec![(name.clone(), key.clone())], ..Ask::default() };
        let nearest = self.nearest(job).await?;
        let (submitted, effects, done) = self
            .write(&mut ask, move |book, snapshot| {
                if let Some(known) = snapshot.dedup.iter().find(|d| d.key == key) {
                    return Ok(Submitted { run: known.run, existing: true });
                }
                let row = book.job_named(&name).cloned();
                let row =
                    row.ok_or_else(|| EngineError::NoJob { name: name.clone(), nearest: nearest.clone() })?;
                if row.retired {
                    return Err(EngineError::State {
                        message: format!("job {name} was removed from its definitions"),
                        hint: "apply its definition again to use it".into(),
                    });
                }
                let now = book.now();
                let occurrence = Occurrence { key: key.clone(), nominal: now, due: now };
                let Some(job) = book.definition(row.id, row.revision) else {
                    // Asked again once the definition is loaded.
                    return Ok(Submitted { run: RunId(0), existing: false });
                };
                let arriving = Arriving::Submitted;
                let admitted =
                    book.admit(&job, row.id, row.revision, None, occurrence, params.clone(), arriving);
                let run = admitted.expect("a submitted run is queued or held, never skipped");
                if given {
                    let expires = now.saturating_add(KEYS_KEPT);
                    book.remember(DedupRow { job: row.id, key: key.clone(), run, expires });
                }
                Ok(Submitted { run, existing: false })
            })
            .await?;
        if done.taken.contains(&submitted.run) {
            return Err(EngineError::State {
                message: "an unfinished run has this key, and it was submitted more than a day ago".into(),
                hint: format!("punctual runs {job} shows it; wait for it or use another key"),
            });
        }
        self.follow(&effects);
        Ok(submitted)
    }

    /// Cancels a run: at once if it has not started, else by ending its attempt.
    ///
    /// # Errors
    /// There is no such run, it has ended, or the store could not do it.
    pub async fn cancel(&self, run: RunId) -> Result<Run, EngineError> {
        let mut ask = Ask { runs: vec![run], ..Ask::default() };
        let (cancelled, effects, _) = self
            .write(&mut ask, move |book, _| {
                book.event(run, RunEvent::Stop(StopReason::Cancel));
                Ok(book.run(run).cloned())
            })
            .await?;
        self.follow(&effects);
        match cancelled {
            Some(run) => Ok(run),
            None if self.store().run(run).await?.is_some() => Err(EngineError::State {
                message: format!("run {run} has ended"),
                hint: format!("punctual runs shows how; punctual retry {run} runs it again"),
            }),
            None => Err(EngineError::NoRun(run.to_string())),
        }
    }

    /// Runs a finished run's occurrence again, as a new run of the job's present definition with the same parameters.
    ///
    /// # Errors
    /// There is no such run, it has not ended, its job is gone, or the store could not do it.
    pub async fn retry(&self, run: RunId) -> Result<Submitted, EngineError> {
        let old = self.store().run(run).await?.ok_or_else(|| EngineError::NoRun(run.to_string()))?;
        if !old.is_finished() {
            return Err(EngineError::State {
                message: format!("run {run} has not ended"),
                hint: format!("punctual cancel {run} ends it"),
            });
        }
        let (jobs, _) = self.store().jobs().await?;
        let job =
            jobs.into_iter().find(|j| j.id == old.job).ok_or_else(|| EngineError::NoRun(run.to_string()))?;
        let params = if old.params.is_empty() {
            Map::new()
        } else {
            serde_json::from_str(&old.params).unwrap_or_default()
        };
        let key = format!("retry:{run}:{:016x}", clock::random() as u64);
        self.submit(&job.name, Some(key), params).await
    }

    /// Fires the boot triggers that have not fired for this boot of the kernel.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn fire_boot(&self, boot_id: String) -> Result<(), EngineError> {
        let (jobs, _) = self.store().jobs().await?;
        let wanted =
            jobs.iter().map(|j| (j.id, j.revision)).filter(|(j, r)| self.definitions().job(*j, *r).is_none());
        self.load(&wanted.collect()).await?;
        let booting: Vec<String> = jobs
            .iter()
            .filter(|j| self.definitions().job(j.id, j.revision).is_some_and(|job| has_boot(&job)))
            .map(|j| j.name.clone())
            .collect();
        if booting.is_empty() || boot_id.is_empty() {
            return Ok(());
        }
        let key = format!("boot:{boot_id}");
        let dedup = booting.iter().map(|name| (name.clone(), key.clone())).collect();
        let mut ask = Ask { job_names: booting, dedup, ..Ask::default() };
        let (_, effects, _) = self
            .write(&mut ask, move |book, snapshot| {
                for row in &snapshot.triggers {
                    if !snapshot.dedup.iter().any(|d| d.job == row.job) && book.is_live(row.id) {
                        book.fire(row.id, &Input::Boot { id: boot_id.clone() });
                    }
                }
                for job in &snapshot.jobs {
                    if job.paused.is_none() && !job.retired {
                        remember_boot(book, job.id, &boot_id);
                    }
                }
                Ok(())
            })
            .await?;
        self.follow(&effects);
        Ok(())
    }

    async fn on_job<F>(&self, name: &str, work: F) -> Result<(), EngineError>
    where
        F: Fn(&mut Book, JobRow, Vec<TriggerRow>) -> Result<(), EngineError> + Send + Sync + 'static,
    {
        let nearest = self.nearest(name).await?;
        let name = name.to_owned();
        let mut ask = Ask { job_names: vec![name.clone()], ..Ask::default() };
        let (_, effects, _) = self
            .write(&mut ask, move |book, snapshot| {
                let row = book.job_named(&name).filter(|j| !j.retired).cloned();
                let row =
                    row.ok_or_else(|| EngineError::NoJob { name: name.clone(), nearest: nearest.clone() })?;
                let triggers = triggers_of(snapshot, row.id);
                work(book, row, triggers)
            })
            .await?;
        self.follow(&effects);
        Ok(())
    }

    /// The name of a job that may have been meant by `name`; `None` if that is a job, or nothing is near.
    pub async fn nearest(&self, name: &str) -> Result<Option<String>, EngineError> {
        let (jobs, _) = self.store().jobs().await?;
        if jobs.iter().any(|j| j.name == name && !j.retired) {
            return Ok(None);
        }
        let names = jobs.iter().filter(|j| !j.retired).map(|j| j.name.as_str());
        Ok(punctual_core::spec::suggest::nearest(name, names).map(str::to_owned))
    }
}

/// An apply under way.
struct Apply<'a> {
    book: &'a mut Book,
    owner: &'a str,
    before: &'a BTreeMap<JobId, String>,
    changes: Vec<JobChange>,
    learned: Vec<(JobId, Revision, Arc<Job>)>,
}

impl Apply<'_> {
    fn one(&mut self, engine: &Engine, incoming: &Incoming, boot: Option<&str>) -> Result<(), EngineError> {
        let name = &incoming.spec.name;
        let found = self.book.job_named(name).cloned();
        let renamed = match (&found, &incoming.spec.renamed_from) {
            (None, Some(old)) => self.book.job_named(old).cloned(),
            _ => None,
        };
        let kind = match (&found, &renamed) {
            (None, None) => return self.new_job(incoming, boot),
            (None, Some(_)) => ChangeKind::Renamed,
            (Some(row), _) if row.retired => ChangeKind::Revived,
            (Some(row), _) if self.before.get(&row.id) == Some(&incoming.text) => ChangeKind::Unchanged,
            (Some(_), _) => ChangeKind::Changed,
        };
        let row = found.or(renamed).expect("one of them is there");
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
        self.edit(engine, incoming, row, kind, boot);
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
        self.book.put_job(row);
        Ok(())
    }

    fn edit(
        &mut self,
        engine: &Engine,
        incoming: &Incoming,
        row: JobRow,
        kind: ChangeKind,
        boot: Option<&str>,
    ) {
        let now = self.book.now();
        let old = self.triggers(row.id);
        // What fell due until now is the old definition's.
        for trigger in old.iter().filter(|t| t.live) {
            self.book.dispose(trigger.id, &so_far(&row));
        }
        let before = self.before.get(&row.id);
        let old_spec =
            before.and_then(|t| serde_json::from_str(t).ok()).and_then(|v| JobSpec::from_json(&v).ok());
        let differences: Option<Vec<String>> = None;
        // The definition's `paused` speaks when it changes; in between, pause and resume do.
        let was_paused = old_spec.is_some_and(|s| s.paused);
        let by_definition = || Some(Pause { since: now, reason: PAUSED_BY_DEFINITION.into() });
        let paused = match (incoming.spec.paused, was_paused && kind != ChangeKind::Revived) {
            (true, false) => row.paused.clone().or_else(by_definition),
            (false, true) => None,
            _ if kind == ChangeKind::Revived => incoming.spec.paused.then(by_definition).flatten(),
            _ => row.paused.clone(),
        };
        let resumed = row.paused.is_some() && paused.is_none() && kind != ChangeKind::Revived;
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
        self.book.put_job(next.clone());
        let mut shared = (*engine.definitions()).clone();
        shared.insert(next.id, next.revision, incoming.job.clone());
        for (job, revision, definition) in &self.learned {
            shared.insert(*job, *revision, definition.clone());
        }
        self.book.use_definitions(Arc::new(shared));
        self.replace_triggers(incoming, &next);
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
            known.state.next_at = match &trigger.when {
                _ if row.paused.is_some() => None,
                When::Time(rule) if fire::is_delay(rule) => known.state.next_at.or(Some(now)),
                When::Time(rule) => fire::next_after(rule, &known.state, known.state.cursor).unwrap_or(None),
                When::After(_) | When::Boot => None,
            };
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

    fn begin(&mut self, trigger: &punctual_core::trigger::Trigger, row: &JobRow) {
        let now = self.book.now();
        let blank = TriggerState { cursor: now, next_at: None, anchor: now, fired: 0 };
        let mut state = fire::begin(trigger, now).unwrap_or(blank);
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
            for mut trigger in self.triggers(row.id) {
                if trigger.live {
                    self.book.dispose(trigger.id, &so_far(&row));
                    trigger = self.book.triggers[&trigger.id].clone();
                }
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
        self.learned.push((job, revision, incoming.job.clone()));
    }

    fn changed(&mut self, row: &JobRow, kind: ChangeKind, differences: Vec<String>) {
        self.changes.push(JobChange { name: row.name.clone(), kind, revision: row.revision, differences });
    }

    fn triggers(&self, job: JobId) -> Vec<TriggerRow> {
        self.book.triggers.values().filter(|t| t.job == job).cloned().collect()
    }
}

fn triggers_of(snapshot: &Snapshot, job: JobId) -> Vec<TriggerRow> {
    snapshot.triggers.iter().filter(|t| t.job == job).cloned().collect()
}

/// What the time since a trigger's cursor was for its job.
fn so_far(row: &JobRow) -> Input {
    if row.paused.is_some() { Input::Resumed } else { Input::Tick }
}

/// Disposes of what fell due until now and takes the job's triggers out of the due set.
fn pause(book: &mut Book, row: JobRow, triggers: Vec<TriggerRow>, reason: &str) {
    for trigger in triggers.iter().filter(|t| t.live) {
        book.dispose(trigger.id, &Input::Tick);
        let mut trigger = book.triggers[&trigger.id].clone();
        trigger.state.next_at = None;
        book.put_trigger(trigger);
    }
    let row = book.jobs[&row.id].clone();
    let paused = Some(Pause { since: book.now(), reason: reason.to_owned() });
    book.put_job(JobRow { paused, ..row });
}

/// Lets the triggers fire again. `input` says what becomes of the time since: skipped as paused, or missed.
fn resume(book: &mut Book, row: JobRow, triggers: Vec<TriggerRow>, input: Input, boot: Option<&str>) {
    let row = JobRow { paused: None, ..book.jobs[&row.id].clone() };
    book.put_job(row.clone());
    for trigger in triggers.iter().filter(|t| t.live) {
        book.dispose(trigger.id, &input);
        // Nothing is left to skip; a fixed delay, which has no instants of its own, begins anew.
        book.fire(trigger.id, &Input::Resumed);
    }
    if let Some(boot) = boot {
        remember_boot(book, row.id, boot);
    }
}

fn has_boot(job: &Job) -> bool {
    job.triggers.iter().any(|t| t.when == When::Boot)
}

/// A job that comes to a daemon already running waits for the next boot, as it would with cron.
fn remember_boot(book: &mut Book, job: JobId, boot: &str) {
    let expires = book.now().saturating_add(BOOTS_KEPT);
    book.remember(DedupRow { job, key: format!("boot:{boot}"), run: RunId(0), expires });
}
