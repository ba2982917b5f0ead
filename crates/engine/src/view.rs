//! What people ask about: jobs, runs, ticks and why. All of it is read from the record; nothing is recomputed but
//! what has not happened yet.

use crate::error::EngineError;
use crate::set_back::Repeated;
use crate::shared::Engine;
use crate::stuck::{SAMPLES_MAX, Stuck};
use punctual_core::fire;
use punctual_core::id::{JobId, Revision, RunId};
use punctual_core::job::Job;
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::{Run, RunState, Verdict};
use punctual_core::schedule::Pace;
use punctual_core::spec::{JobSpec, RuleSpec, format_duration};
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_store::RunFilter;
use punctual_store::row::{JobRow, RevisionRow, TriggerRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Nominal times that one answer lists; [`Engine::ticks`] gives one more where there are more.
pub const TICKS_LISTED_MAX: usize = 100_000;

/// A job, as listed.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its row.
    pub row: JobRow,
    /// Its definition.
    pub spec: Arc<JobSpec>,
    /// Its triggers in force.
    pub triggers: Vec<TriggerRow>,
    /// The next nominal time of any of them.
    pub next: Option<Timestamp>,
    /// Its newest finished run.
    pub last: Option<Run>,
    /// Queued and leased runs.
    pub active: u64,
    /// Held runs.
    pub held: u64,
}

/// A run with the names that belong to it.
#[derive(Clone, Debug)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// Its job's name.
    pub job: String,
    /// Its trigger's name; `None` if it was submitted.
    pub trigger: Option<String>,
    /// Set while it runs much longer than its job usually does.
    pub stuck: Option<Stuck>,
    /// Whether it may repeat a run that the store has lost.
    pub may_repeat: bool,
}

/// What became of one nominal time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The nominal time.
    pub nominal: Timestamp,
    /// What became of it.
    pub disposition: Disposition,
    /// Why, where it did not run.
    pub reason: Option<Reason>,
    /// The run it became.
    pub run: Option<RunId>,
    /// The trigger's name.
    pub trigger: String,
    /// The revision that decided.
    pub revision: Revision,
}

/// How the engine stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The daemon's node; `None` if no daemon answers.
    pub node: Option<String>,
    /// Whether the daemon starts nothing.
    pub shadow: bool,
    /// The program's version.
    pub version: &'static str,
    /// The engine's clock.
    pub now: Timestamp,
    /// Jobs in force.
    pub jobs: usize,
    /// Of them paused.
    pub paused: usize,
    /// How long the oldest due trigger or run has been due.
    pub overdue: Duration,
    /// Why nothing fires, if the store came back and nobody has accepted it.
    pub held: Option<String>,
    /// How the daemon's loop does; `None` if there is none.
    pub beat: Option<crate::pulse::Beat>,
    /// What the self-audit has seen to.
    pub audited: crate::audit::Audited,
    /// Items set aside since the daemon started because they could not be decided.
    pub quarantined: u64,
    /// Runs that run much longer than their jobs usually do.
    pub stuck: Vec<RunId>,
    /// Why the served definitions, as they stand in their files, are not in force.
    pub definitions_fault: Option<String>,
    /// What is wrong with the clock, in a sentence.
    pub clock_fault: Option<String>,
    /// Version and source of the zone table.
    pub zones: (String, String),
    /// The definitions served.
    pub owner: String,
}

impl Engine {
    /// All jobs in force, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobView>, EngineError> {
        let (rows, triggers) = self.store().jobs().await?;
        let rows: Vec<JobRow> = rows.into_iter().filter(|r| !r.retired).collect();
        let newest = self.store().runs(RunFilter { limit: 10_000, ..RunFilter::default() }).await?;
        let mut last: BTreeMap<JobId, Run> = BTreeMap::new();
        for run in newest {
            last.entry(run.job).or_insert(run);
        }
        let mut views = self.views(rows, &triggers, last).await?;
        views.sort_by(|a, b| a.row.name.cmp(&b.row.name));
        Ok(views)
    }

    /// The job of that name.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub async fn job(&self, name: &str) -> Result<JobView, EngineError> {
        let (rows, triggers) = self.store().jobs().await?;
        let Some(row) = rows.into_iter().find(|r| r.name == name && !r.retired) else {
            return Err(EngineError::NoJob { name: name.to_owned(), nearest: self.nearest(name).await? });
        };
        let filter = RunFilter { job: Some(row.id), limit: 1, ..RunFilter::default() };
        let last = self.store().runs(filter).await?.into_iter().map(|run| (run.job, run)).collect();
        let view = self.views(vec![row], &triggers, last).await?.pop();
        view.ok_or_else(|| EngineError::NoJob { name: name.to_owned(), nearest: None })
    }

    /// Jobs with their definitions and counts; `last` holds the newest finished run of each.
    async fn views(
        &self,
        rows: Vec<JobRow>,
        triggers: &[TriggerRow],
        mut last: BTreeMap<JobId, Run>,
    ) -> Result<Vec<JobView>, EngineError> {
        let wanted: Vec<_> = rows.iter().map(|r| (r.id, r.revision)).collect();
        let mut definitions: BTreeMap<JobId, RevisionRow> =
            self.store().definitions(&wanted).await?.into_iter().map(|d| (d.job, d)).collect();
        let counts = self.store().unfinished_counts().await?;
        let counts: BTreeMap<JobId, (u64, u64)> =
            counts.into_iter().map(|c| (c.job, (c.queued + c.leased, c.held))).collect();
        let mut views = Vec::new();
        for row in rows {
            let Some(definition) = definitions.remove(&row.id) else { continue };
            let spec = Arc::new(read_spec(&definition)?);
            let mine: Vec<_> = triggers.iter().filter(|t| t.job == row.id && t.live).cloned().collect();
            let next = mine.iter().filter_map(|t| t.state.next_at).min();
            let (active, held) = counts.get(&row.id).copied().unwrap_or_default();
            views.push(JobView { last: last.remove(&row.id), row, spec, triggers: mine, next, active, held });
        }
        Ok(views)
    }

    /// The revisions of a job's definition, oldest first.
    ///
    /// # Errors
    /// There is no such job, or the store cannot be read.
    pub async fn revisions(&self, name: &str) -> Result<Vec<RevisionRow>, EngineError> {
        let id = self.job_id(name).await?;
        Ok(self.store().revisions(id).await?)
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<RunView>, EngineError> {
        let runs = self.store().runs(filter).await?;
        self.with_names(runs).await
    }

    /// One run.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<RunView>, EngineError> {
        let run = self.store().run(id).await?;
        Ok(self.with_names(run.into_iter().collect()).await?.pop())
    }

    /// The runs with the names that belong to them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn with_names(&self, runs: Vec<Run>) -> Result<Vec<RunView>, EngineError> {
        let (jobs, triggers) = self.store().jobs().await?;
        let jobs: BTreeMap<_, _> = jobs.into_iter().map(|j| (j.id, j.name)).collect();
        let triggers: BTreeMap<_, _> = triggers.into_iter().map(|t| (t.id, t.name)).collect();
        let past = self.past().await?;
        let view = |run: Run| RunView {
            may_repeat: past.may_repeat(&run),
            job: jobs.get(&run.job).cloned().unwrap_or_default(),
            trigger: run.trigger.and_then(|t| triggers.get(&t).cloned()),
            stuck: self.stuck_of(&run),
            run,
        };
        Ok(runs.into_iter().map(|run| view(self.with_start(run))).collect())
    }

    /// How long the newest successful attempts of a job took, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn lengths(&self, job: JobId) -> Result<Vec<Duration>, EngineError> {
        let newest = RunFilter {
            job: Some(job),
            verdicts: vec![Verdict::Success],
            limit: SAMPLES_MAX,
            ..RunFilter::default()
        };
        let runs = self.store().runs(newest).await?;
        let last = runs.iter().filter_map(|run| run.attempts.last());
        Ok(last.filter_map(|attempt| Some(attempt.finished.since(attempt.started?))).collect())
    }

    async fn job_id(&self, name: &str) -> Result<JobId, EngineError> {
        let (jobs, _) = self.store().jobs().await?;
        match jobs.into_iter().find(|j| j.name == name) {
            Some(job) => Ok(job.id),
            None => Err(EngineError::NoJob { name: name.to_owned(), nearest: self.nearest(name).await? }),
        }
    }

    /// What became of each nominal time of a job from `from` up to, not including, `to`: the past from the record,
    /// what is to come as `pending`. At most one more than [`TICKS_LISTED_MAX`], which tells that there are more.
    ///
    /// # Errors
    /// There is no such job, or the store cannot be read.
    pub async fn ticks(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<Vec<Tick>, EngineError> {
        let id = self.job_id(name).await?;
        let (jobs, triggers) = self.store().jobs().await?;
        let row = jobs.into_iter().find(|j| j.id == id).expect("it was there a moment ago");
        let names: BTreeMap<_, _> = triggers.iter().map(|t| (t.id, t.name.clone())).collect();
        let name_of = |t| names.get(&t).cloned().unwrap_or_default();
        let record = self.store().ticks(id, from, to).await?;
        let repeated = self.repeated().await?;
        let mut ticks: Vec<Tick> = Vec::new();
        for run in record.runs {
            let Some(trigger) = run.trigger else { continue };
            let (disposition, reason) = match run.state {
                RunState::Finished { verdict: Verdict::Expired, reason, .. } => {
                    (Disposition::Expired, reason)
                }
                _ => (Disposition::Run, None),
            };
            let (nominal, revision) = (run.nominal, run.revision);
            ticks.push(Tick {
                nominal,
                disposition,
                reason,
                run: Some(run.id),
                trigger: name_of(trigger),
                revision,
            });
        }
        for skip in record.skips {
            let times = skip.range.times().filter(|t| *t >= from && *t < to);
            ticks.extend(times.take(TICKS_LISTED_MAX + 1).map(|nominal| Tick {
                nominal,
                disposition: skip.range.disposition,
                reason: skip.range.reason,
                run: None,
                trigger: name_of(skip.trigger),
                revision: skip.revision,
            }));
        }
        if !row.retired {
            self.pending(&row, &triggers, from, to, &mut ticks).await?;
        }
        ticks.sort_by(|a, b| (a.nominal, &a.trigger).cmp(&(b.nominal, &b.trigger)));
        keep_what_counts(&mut ticks, &repeated);
        ticks.truncate(TICKS_LISTED_MAX + 1);
        Ok(ticks)
    }

    /// Adds what lies beyond the cursors. A paused job's triggers have nothing to come until they are resumed.
    async fn pending(
        &self,
        row: &JobRow,
        triggers: &[TriggerRow],
        from: Timestamp,
        to: Timestamp,
        ticks: &mut Vec<Tick>,
    ) -> Result<(), EngineError> {
        let job = self.definition(row.id, row.revision).await?;
        for trigger in triggers.iter().filter(|t| t.job == row.id && t.live) {
            let Some(When::Time(rule)) =
                job.triggers.iter().find(|t| t.name == trigger.name).map(|t| &t.when)
            else {
                continue;
            };
            let before = Timestamp::from_micros(from.as_micros() - 1);
            let mut at = trigger.state.cursor.max(before);
            while ticks.len() <= TICKS_LISTED_MAX {
                let next = if fire::is_delay(rule) {
                    trigger.state.next_at.filter(|next| *next > at)
                } else {
                    fire::next_after(rule, &trigger.state, at).unwrap_or(None)
                };
                let Some(next) = next.filter(|n| *n < to) else { break };
                at = next;
                let reason = row.paused.is_some().then_some(Reason::Paused);
                ticks.push(Tick {
                    nominal: next,
                    disposition: Disposition::Pending,
                    reason,
                    run: None,
                    trigger: trigger.name.clone(),
                    revision: row.revision,
                });
            }
        }
        Ok(())
    }

    /// The next nominal times of a job, at most `count`, strictly after `after`.
    ///
    /// # Errors
    /// There is no such job, or the store cannot be read.
    pub async fn next(
        &self,
        name: &str,
        after: Timestamp,
        count: usize,
    ) -> Result<Vec<(Timestamp, String)>, EngineError> {
        let view = self.job(name).await?;
        let job = self.definition(view.row.id, view.row.revision).await?;
        let mut times = Vec::new();
        for row in &view.triggers {
            let Some(When::Time(rule)) = job.triggers.iter().find(|t| t.name == row.name).map(|t| &t.when)
            else {
                continue;
            };
            if fire::is_delay(rule) {
                times.extend(row.state.next_at.filter(|n| *n > after).map(|n| (n, row.name.clone())));
                continue;
            }
            let mut at = after.max(row.state.cursor);
            for _ in 0..count {
                let Some(next) = fire::next_after(rule, &row.state, at).unwrap_or(None) else { break };
                times.push((next, row.name.clone()));
                at = next;
            }
        }
        times.sort();
        times.truncate(count);
        Ok(times)
    }

    /// A compiled definition, loaded if it is not at hand.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn definition(&self, job: JobId, revision: Revision) -> Result<Arc<Job>, EngineError> {
        if let Some(found) = self.definitions().job(job, revision) {
            return Ok(found);
        }
        self.load(&BTreeSet::from([(job, revision)])).await?;
        self.definitions()
            .job(job, revision)
            .ok_or_else(|| EngineError::NoJob { name: String::new(), nearest: None })
    }

    /// How the engine stands.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn status(&self) -> Result<Status, EngineError> {
        let (jobs, triggers) = self.store().jobs().await?;
        let jobs: Vec<_> = jobs.into_iter().filter(|j| !j.retired).collect();
        let clock_fault = self.clock_fault(&jobs, &triggers).await?;
        let now = self.clock().now();
        let due = self.store().earliest_due().await?;
        let daemon = self.daemon();
        Ok(Status {
            node: daemon.as_ref().map(|d| d.node.clone()),
            shadow: daemon.as_ref().is_some_and(|d| d.shadow),
            version: env!("CARGO_PKG_VERSION"),
            now,
            jobs: jobs.len(),
            paused: jobs.iter().filter(|j| j.paused.is_some()).count(),
            overdue: due.map_or(Duration::ZERO, |due| now.since(due)),
            held: self.past().await?.held().map(crate::past::told),
            beat: self.beat(),
            audited: self.audited(),
            quarantined: self.quarantined(),
            stuck: self.stuck(),
            definitions_fault: self.definitions_fault(),
            clock_fault,
            zones: (self.zones().version().to_owned(), self.zones().source().to_owned()),
            owner: daemon.map(|d| d.owner).unwrap_or_default(),
        })
    }
}

/// Where cursors were set back, a nominal time may stand twice: a run counts, else what is to come, else one of the
/// two reasons. Everywhere else two would be a fault, and are shown.
fn keep_what_counts(ticks: &mut Vec<Tick>, repeated: &Repeated) {
    let weight = |tick: &Tick| match tick.disposition {
        _ if tick.run.is_some() => 2,
        Disposition::Pending => 1,
        _ => 0,
    };
    // The later of two is kept in the place of the earlier.
    ticks.dedup_by(|later, earlier| {
        let same = (later.nominal, &later.trigger) == (earlier.nominal, &earlier.trigger);
        let twice = same && repeated.spans(later.nominal);
        if twice && weight(later) >= weight(earlier) {
            std::mem::swap(later, earlier);
        }
        twice
    });
}

fn read_spec(row: &RevisionRow) -> Result<JobSpec, EngineError> {
    let corrupt = |why: String| {
        let at = format!("revision {} of job {}", row.revision.0, row.job.0);
        EngineError::Store(punctual_store::StoreError::Corrupt(format!("{at}: {why}")))
    };
    let json = serde_json::from_str(&row.definition).map_err(|e| corrupt(e.to_string()))?;
    JobSpec::from_json(&json).map_err(corrupt)
}

/// A trigger's rule, as it is written.
pub fn rule_text(rule: &RuleSpec) -> String {
    match rule {
        RuleSpec::Cron { expression, time_zone, .. } => format!("{expression} ({time_zone})"),
        RuleSpec::Every { interval, pace: Pace::FixedRate, .. } => {
            format!("every {}", format_duration(*interval))
        }
        RuleSpec::Every { interval, .. } => {
            format!("{} after the last run's end", format_duration(*interval))
        }
        RuleSpec::At(at) => format!("at {at}"),
        RuleSpec::Boot => "@reboot".into(),
        RuleSpec::After { job, .. } => format!("after {job}"),
    }
}
