//! What people and programs ask for: pause, resume, submit, cancel, retry. Each is one decision in one book.

use crate::book::Book;
use crate::clock;
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::admission::Arriving;
use punctual_core::fire::Input;
use punctual_core::id::{JobId, RunId};
use punctual_core::job::{Action, Job};
use punctual_core::occurrence::Occurrence;
use punctual_core::run::{Hold, Run, RunEvent, RunState, StopReason};
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_store::row::{DedupRow, JobRow, Pause, TriggerRow};
use punctual_store::{Ask, Snapshot};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// A submitted key is remembered at least so long.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// What the keys of occurrences and of our own runs begin with, besides the names of triggers.
const KEYS_RESERVED: [&str; 6] = ["after:", "backfill:", "boot:", "event:", "retry:", "submitted:"];
/// A boot trigger's key outlives every boot.
const BOOTS_KEPT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A cursor further ahead of the clock than this is worth a word.
pub(crate) const AHEAD: Duration = Duration::from_secs(300);

/// What a submitted run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whether the key had been submitted before, and this is that run.
    pub existing: bool,
}

impl Engine {
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
    /// There is no such job, it is not paused, this build cannot carry it out, or the store could not do it.
    pub async fn resume(&self, job: &str, catch_up: bool) -> Result<(), EngineError> {
        let boot = self.daemon().map(|_| clock::boot_id());
        self.on_job(job, move |book, row, triggers| {
            if row.paused.is_none() {
                return Err(EngineError::State {
                    message: format!("job {} is not paused", row.name),
                    hint: format!("punctual why {} says when it runs next", row.name),
                });
            }
            if let Some(job) = book.definition(row.id, row.revision) {
                can_carry_out(&job, &row.name)?;
            }
            resume(
                book,
                row,
                triggers,
                if catch_up || sabotage!("resume-catches-up") { Input::Tick } else { Input::Resumed },
                boot.as_deref(),
            );
            Ok(())
        })
        .await
    }

    /// Submits a run. A key that was submitted in the last 24 hours gives the run it made then.
    ///
    /// # Errors
    /// There is no such job, it is retired, this build cannot carry it out, or the store could not do it.
    pub async fn submit(
        &self,
        job: &str,
        key: Option<String>,
        params: Map<String, Value>,
    ) -> Result<Submitted, EngineError> {
        if let Some(key) = key.as_deref().filter(|key| KEYS_RESERVED.iter().any(|r| key.starts_with(r))) {
            return Err(reserved(key));
        }
        self.submit_for(job, key, params, None).await
    }

    /// As [`Engine::submit`], for a nominal time of the past.
    async fn submit_for(
        &self,
        job: &str,
        key: Option<String>,
        params: Map<String, Value>,
        nominal: Option<Timestamp>,
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
                let occurrence = Occurrence { key: key.clone(), nominal: nominal.unwrap_or(now), due: now };
                let Some(job) = book.definition(row.id, row.revision) else {
                    // Asked again once the definition is loaded.
                    return Ok(Submitted { run: RunId(0), existing: false });
                };
                can_carry_out(&job, &name)?;
                // Under the key of an occurrence to come, that occurrence would find its place taken.
                if given && job.trigger_of(&key).is_some() {
                    return Err(reserved(&key));
                }
                let arriving = Arriving::Submitted;
                let admitted =
                    book.admit(&job, row.id, row.revision, None, occurrence, params.clone(), arriving);
                let run = admitted.expect("a submitted run is queued or held, never skipped");
                if given && !sabotage!("dedup-forgotten") {
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
            Some(run) => Ok(self.with_start(run)),
            None if self.store().run(run).await?.is_some() => Err(EngineError::State {
                message: format!("run {run} has ended"),
                hint: format!("punctual runs shows how; punctual retry {run} runs it again"),
            }),
            None => Err(EngineError::NoRun(run.to_string())),
        }
    }

    /// Lets a run go on that was lost and waits for a person. Runs a finished run's occurrence again, as a new run of
    /// the job's present definition with the same nominal time and parameters.
    ///
    /// # Errors
    /// There is no such run, it is under way or waits for something else, its job is gone, or the store could not do it.
    pub async fn retry(&self, run: RunId) -> Result<Submitted, EngineError> {
        let old = self.store().run(run).await?.ok_or_else(|| EngineError::NoRun(run.to_string()))?;
        if old.state == RunState::Held(Hold::Lost) {
            return self.let_go(run).await;
        }
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
        self.submit_for(&job.name, Some(key), params, Some(old.nominal)).await
    }

    async fn let_go(&self, run: RunId) -> Result<Submitted, EngineError> {
        let mut ask = Ask { runs: vec![run], ..Ask::default() };
        let (gone, effects, _) = self
            .write(&mut ask, move |book, snapshot| {
                let waits = |r: &Run| r.id == run && r.state == RunState::Held(Hold::Lost);
                Ok(snapshot.runs.iter().any(waits) && book.let_go(run))
            })
            .await?;
        self.follow(&effects);
        match gone {
            true => Ok(Submitted { run, existing: true }),
            false => Err(EngineError::State {
                message: format!("run {run} no longer waits for a person"),
                hint: format!("punctual why {run} says where it stands"),
            }),
        }
    }

    /// Fires the boot triggers that have not fired for this boot of the kernel.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn fire_boot(&self, boot_id: String) -> Result<(), EngineError> {
        let (jobs, _) = self.store().jobs().await?;
        self.load_all().await?;
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

    /// Loads the definitions in force that are not at hand.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load_all(&self) -> Result<(), EngineError> {
        let (jobs, _) = self.store().jobs().await?;
        let known = self.definitions();
        let unknown = jobs.iter().map(|j| (j.id, j.revision)).filter(|(j, r)| known.job(*j, *r).is_none());
        Ok(self.load(&unknown.collect()).await?)
    }

    /// Brings triggers back that are in force and not due at any time although their rule has instants to come: an
    /// older version could not read their definition, or their search gave up. How many there were.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn rearm_all(&self) -> Result<usize, EngineError> {
        self.load_all().await?;
        let (_, triggers) = self.store().jobs().await?;
        let stopped: BTreeSet<JobId> =
            triggers.iter().filter(|t| t.live && t.state.next_at.is_none()).map(|t| t.job).collect();
        self.rearm_jobs(stopped.into_iter().collect()).await
    }

    /// Brings the triggers of these jobs back that are in force and have instants to come, but are not due. How many.
    pub(crate) async fn rearm_jobs(&self, jobs: Vec<JobId>) -> Result<usize, EngineError> {
        if jobs.is_empty() {
            return Ok(0);
        }
        let mut ask = Ask { jobs, ..Ask::default() };
        let (count, ..) = self.write(&mut ask, |book, snapshot| Ok(rearm(book, snapshot))).await?;
        Ok(count)
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

fn rearm(book: &mut Book, snapshot: &Snapshot) -> usize {
    let mut count = 0;
    for row in snapshot.triggers.iter().filter(|t| t.state.next_at.is_none()) {
        let revision = snapshot.jobs.iter().find(|j| j.id == row.job).map(|j| j.revision);
        let Some(job) = revision.filter(|_| book.is_live(row.id)).and_then(|r| book.definition(row.job, r))
        else {
            continue;
        };
        let Some(trigger) = job.triggers.iter().find(|t| t.name == row.name) else { continue };
        if let Some(next) = book.next_of(trigger, row) {
            let mut row = row.clone();
            row.state.next_at = Some(next);
            book.put_trigger(row);
            count += 1;
        }
    }
    count
}

fn triggers_of(snapshot: &Snapshot, job: JobId) -> Vec<TriggerRow> {
    snapshot.triggers.iter().filter(|t| t.job == job).cloned().collect()
}

/// Refuses a job that was loaded paused because its action is for another build: every run of it would fail.
pub(crate) fn can_carry_out(job: &Job, name: &str) -> Result<(), EngineError> {
    let Action::Unsupported(what) = &job.action else { return Ok(()) };
    Err(EngineError::State {
        message: format!("this build cannot carry out {what}, the action of job {name}"),
        hint: "use `run`, or keep the job paused for a later release; punctual explain DEF102 says more"
            .into(),
    })
}

/// Disposes of what fell due until now and takes the job's triggers out of the due set.
pub(crate) fn pause(book: &mut Book, row: JobRow, triggers: Vec<TriggerRow>, reason: &str) {
    // What one of them fires may end a run of another, which then goes on: they rest once all are settled.
    for trigger in triggers.iter().filter(|t| t.live) {
        book.dispose(trigger.id, &Input::Tick);
    }
    for trigger in triggers.iter().filter(|t| t.live) {
        let mut trigger = book.triggers[&trigger.id].clone();
        if !sabotage!("pause-ignored") {
            trigger.state.next_at = None;
        }
        book.put_trigger(trigger);
    }
    let row = book.jobs[&row.id].clone();
    let paused = Some(Pause { since: book.now(), reason: reason.to_owned() });
    book.put_job(JobRow { paused, ..row });
}

/// Lets the triggers fire again. `input` says what becomes of the time since: skipped as paused, or missed.
pub(crate) fn resume(
    book: &mut Book,
    row: JobRow,
    triggers: Vec<TriggerRow>,
    input: Input,
    boot: Option<&str>,
) {
    let row = JobRow { paused: None, failures: 0, ..book.jobs[&row.id].clone() };
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

pub(crate) fn has_boot(job: &Job) -> bool {
    job.triggers.iter().any(|t| t.when == When::Boot)
}

/// A job that comes to a daemon already running waits for the next boot, as it would with cron.
pub(crate) fn remember_boot(book: &mut Book, job: JobId, boot: &str) {
    if sabotage!("boot-forgotten") {
        return;
    }
    let expires = book.now().saturating_add(BOOTS_KEPT);
    book.remember(DedupRow { job, key: format!("boot:{boot}"), run: RunId(0), expires });
}

fn reserved(key: &str) -> EngineError {
    EngineError::State {
        message: format!("the key {key:?} has the form of a key of an occurrence"),
        hint: "choose another; a key of your own should say what is asked for, such as an order's number"
            .into(),
    }
}
