//! Back-fill: runs for nominal times that have passed, made on request. First a preview, then the same request again
//! makes the runs; repeated under the same id, whatever became of the answer, it makes each of them once.
//!
//! Its runs wait for each other and for the job's own, whatever the overlap policy but `allow`; what the job's triggers
//! fire meanwhile goes first and is not skipped because of them (see `Book::admit`).

use crate::clock;
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::admission::Arriving;
use punctual_core::error::Code;
use punctual_core::fire;
use punctual_core::id::{JobId, RunId};
use punctual_core::job::Job;
use punctual_core::occurrence::{Disposition, Occurrence, Reason};
use punctual_core::preview::{What, preview};
use punctual_core::run::{Run, RunEvent, RunState, StopReason, Verdict};
use punctual_core::schedule::Schedule;
use punctual_core::time::Timestamp;
use punctual_core::trigger::{TimeRule, TriggerState, When};
use punctual_store::row::{DedupRow, JobRow, TriggerRow};
use punctual_store::{Ask, RUNS_MAX, RunFilter};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// More nominal times than were allowed.
const TOO_MANY: Code = Code("API050");
/// A span or a job in which there is nothing to back-fill.
const NO_SPAN: Code = Code("API051");
/// An id that keys cannot hold.
const BAD_ID: Code = Code("API052");

/// No back-fill makes more runs.
pub const TIMES_MAX: usize = 10_000;
/// Runs that one transaction makes.
const BATCH: usize = 500;
/// A back-fill's keys are remembered so long.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// The keys of its runs begin so.
pub const KEY_PREFIX: &str = "backfill:";
/// An id is no longer, in characters.
const ID_CHARS_MAX: usize = 64;
/// Changes of the clock that a preview tells of.
const NOTES_MAX: usize = 20;

/// Which of the nominal times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Those that did not run, whatever the reason.
    #[default]
    NotRun,
    /// Those that the record says were missed: coalesced, expired, or left out by `catchUp`.
    Missed,
    /// Those that ran too.
    All,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BackfillRequest {
    /// The job.
    pub job: String,
    /// Its name: letters, digits, `.`, `_`, `-`; `None`: a new one.
    pub id: Option<String>,
    /// The first nominal time may be this one,
    pub from: Timestamp,
    /// and all are before this one, which has passed.
    pub to: Timestamp,
    /// Only this trigger's; `None`: those of all.
    pub trigger: Option<String>,
    /// Which of them.
    pub which: Which,
    /// No more than this many, [`TIMES_MAX`] at most.
    pub times_max: usize,
    /// Between the due times of two.
    pub spread: Duration,
    /// Only say what would be made.
    pub dry_run: bool,
}

/// What a back-fill makes or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Its id.
    pub id: String,
    /// Nominal times of the span.
    pub times: usize,
    /// Of them left out because they ran, or because they were not missed.
    pub left_out: usize,
    /// The nominal times that it is about, in order.
    pub nominal: Vec<Timestamp>,
    /// Runs that this request made.
    pub made: usize,
    /// Runs that an earlier request of this id had made.
    pub existing: usize,
    /// When the last of them is due at the earliest.
    pub last_due: Timestamp,
    /// Changes of the clock in the span, in words.
    pub notes: Vec<String>,
}

/// A nominal time of one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Time {
    nominal: Timestamp,
    trigger: String,
}

impl Time {
    fn key(&self, id: &str) -> String {
        format!("{KEY_PREFIX}{id}:{}:{}", self.trigger, self.nominal)
    }
}

impl Engine {
    /// Makes a run for each nominal time that is asked for, or says which there would be.
    ///
    /// # Errors
    /// There is no such job, it cannot be carried out here, the request makes no sense, or the store could not do it.
    /// Some of the runs may have been made then; the same request under the same id makes the others.
    pub async fn backfill(&self, request: BackfillRequest) -> Result<Backfill, EngineError> {
        let now = self.clock().now();
        let view = self.job(&request.job).await?;
        let job = self.definition(view.row.id, view.row.revision).await?;
        crate::control::can_carry_out(&job, &request.job)?;
        check(&request, now)?;
        let id = match &request.id {
            Some(id) => id.clone(),
            None => format!("{:08x}", clock::random() as u32),
        };
        let known = self.runs_of(view.row.id, &request).await?;
        let mut times = times(&request, &job, &view.triggers)?;
        let of_span = times.len();
        // What an earlier request of this id made is asked for again, and found.
        let own: BTreeSet<&str> = known.iter().filter_map(|run| own_key(run, &id)).collect();
        match request.which {
            Which::All => {}
            Which::NotRun => {
                let ran = self.ran(view.row.id, &request, &known).await?;
                times.retain(|time| !ran.contains(&time.nominal) || own.contains(time.key(&id).as_str()));
            }
            Which::Missed => {
                let missed = self.missed(&request).await?;
                let ran = self.ran(view.row.id, &request, &known).await?;
                times.retain(|time| {
                    let is_missed = missed.contains(&(time.nominal, time.trigger.clone()));
                    is_missed && !ran.contains(&time.nominal) || own.contains(time.key(&id).as_str())
                });
            }
        }
        if times.len() > request.times_max.min(TIMES_MAX) {
            return Err(too_many(times.len(), &request));
        }
        let last = u32::try_from(times.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let mut done = Backfill {
            id,
            times: of_span,
            left_out: of_span - times.len(),
            nominal: times.iter().map(|time| time.nominal).collect(),
            made: 0,
            existing: 0,
            last_due: now.saturating_add(request.spread.saturating_mul(last)),
            notes: notes(&request, &job),
        };
        // Those that the record knows are there, however long ago their keys were forgotten.
        let fresh: Vec<Time> =
            times.into_iter().filter(|time| !own.contains(time.key(&done.id).as_str())).collect();
        done.existing = done.nominal.len() - fresh.len();
        if request.dry_run {
            return Ok(done);
        }
        for (n, batch) in fresh.chunks(BATCH).enumerate() {
            let (made, existing) = self.fill(&view.row, &done.id, batch, n * BATCH, now, &request).await?;
            done.made += made;
            done.existing += existing;
        }
        Ok(done)
    }

    /// Makes the runs of one batch; how many are new, and how many there were.
    async fn fill(
        &self,
        row: &JobRow,
        id: &str,
        batch: &[Time],
        before: usize,
        now: Timestamp,
        request: &BackfillRequest,
    ) -> Result<(usize, usize), EngineError> {
        let name = row.name.clone();
        let dedup = batch.iter().map(|time| (name.clone(), time.key(id))).collect();
        let mut ask = Ask { job_names: vec![name.clone()], dedup, ..Ask::default() };
        let spread = request.spread;
        let times: Vec<(String, Timestamp, Timestamp)> = batch
            .iter()
            .enumerate()
            .map(|(n, time)| {
                let late = u32::try_from(before + n).unwrap_or(u32::MAX);
                (time.key(id), time.nominal, now.saturating_add(spread.saturating_mul(late)))
            })
            .collect();
        let (made, effects, done) = self
            .write(&mut ask, move |book, snapshot| {
                let Some(row) = book.job_named(&name).filter(|row| !row.retired).cloned() else {
                    return Err(EngineError::NoJob { name: name.clone(), nearest: None });
                };
                let Some(job) = book.definition(row.id, row.revision) else { return Ok(0) };
                let known: BTreeSet<&str> = snapshot.dedup.iter().map(|d| d.key.as_str()).collect();
                let expires = book.now().saturating_add(KEYS_KEPT);
                let mut made = 0;
                for (key, nominal, due) in times.iter().filter(|(key, ..)| !known.contains(key.as_str())) {
                    let occurrence = Occurrence { key: key.clone(), nominal: *nominal, due: *due };
                    let (arriving, params) = (Arriving::Backfilled, String::new());
                    let run = book.admit(&job, row.id, row.revision, None, occurrence, params, arriving);
                    let run = run.expect("a back-filled run is queued or held, never skipped");
                    book.remember(DedupRow { job: row.id, key: key.clone(), run, expires });
                    made += 1;
                }
                Ok(made)
            })
            .await?;
        self.follow(&effects);
        // An unfinished run of a repeat whose key was forgotten: it is there, which is what was asked for.
        let made = made - done.taken.len();
        Ok((made, batch.len() - made))
    }

    /// Cancels the unfinished runs of a back-fill; those that were.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn cancel_backfill(&self, id: &str) -> Result<Vec<Run>, EngineError> {
        check_id(id)?;
        let mut cancelled = Vec::new();
        let mut seen: BTreeSet<RunId> = BTreeSet::new();
        loop {
            let filter = RunFilter { unfinished: true, limit: RUNS_MAX, ..RunFilter::default() };
            let mut runs: Vec<Run> = self.store().runs(filter).await?;
            runs.retain(|run| !run.is_finished() && own_key(run, id).is_some() && seen.insert(run.id));
            if runs.is_empty() {
                return Ok(cancelled);
            }
            // Those that wait for others first: none of them is let go on the way.
            runs.sort_by_key(|run| !matches!(run.state, RunState::Held(_)));
            let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
            let mut ask = Ask { runs: ids.clone(), ..Ask::default() };
            let (mut now, effects, _) = self
                .write(&mut ask, move |book, _| {
                    for id in &ids {
                        book.event(*id, RunEvent::Stop(StopReason::Cancel));
                    }
                    Ok(ids.iter().filter_map(|id| book.run(*id).cloned()).collect::<Vec<_>>())
                })
                .await?;
            self.follow(&effects);
            cancelled.append(&mut now);
        }
    }

    /// Runs of the job with a nominal time in the span; a part that holds more than the store lists is halved.
    async fn runs_of(&self, job: JobId, request: &BackfillRequest) -> Result<Vec<Run>, EngineError> {
        let mut runs = Vec::new();
        let mut parts = vec![(request.from, request.to)];
        while let Some((from, to)) = parts.pop() {
            let span = RunFilter { since: Some(from), until: Some(to), ..RunFilter::default() };
            let filter = RunFilter { job: Some(job), unfinished: true, limit: RUNS_MAX, ..span };
            let mut found = self.store().runs(filter).await?;
            let half = to.since(from) / 2;
            if found.len() < RUNS_MAX || half.is_zero() {
                runs.append(&mut found);
            } else {
                let middle = from.saturating_add(half);
                parts.extend([(from, middle), (middle, to)]);
            }
        }
        Ok(runs)
    }

    /// Nominal times of the span that ran, or are to run. One that was cancelled or expired did not.
    async fn ran(
        &self,
        job: JobId,
        request: &BackfillRequest,
        known: &[Run],
    ) -> Result<BTreeSet<Timestamp>, EngineError> {
        let record = self.store().ticks(job, request.from, request.to).await?;
        Ok(record.runs.iter().chain(known).filter(|run| has_run(run)).map(|run| run.nominal).collect())
    }

    async fn missed(&self, request: &BackfillRequest) -> Result<BTreeSet<(Timestamp, String)>, EngineError> {
        let ticks = self.ticks(&request.job, request.from, request.to).await?;
        let missed = ticks.into_iter().filter(|tick| match tick.disposition {
            Disposition::Coalesced | Disposition::Expired => true,
            Disposition::Skipped => matches!(
                tick.reason,
                Some(Reason::CatchUpNone | Reason::CatchUpWindow | Reason::CatchUpCount)
            ),
            Disposition::Run | Disposition::Pending => false,
        });
        Ok(missed.map(|tick| (tick.nominal, tick.trigger)).collect())
    }
}

/// Whether the run is one of a back-fill.
pub fn is_backfill(run: &Run) -> bool {
    run.trigger.is_none() && run.key.starts_with(KEY_PREFIX)
}

/// The back-fill that an occurrence of this key belongs to.
pub fn id_of(key: &str) -> Option<&str> {
    key.strip_prefix(KEY_PREFIX)?.split_once(':').map(|(id, _)| id)
}

fn own_key<'a>(run: &'a Run, id: &str) -> Option<&'a str> {
    (is_backfill(run) && id_of(&run.key) == Some(id)).then_some(&*run.key)
}

fn has_run(run: &Run) -> bool {
    match &run.state {
        RunState::Finished { verdict, .. } => {
            !matches!(verdict, Verdict::Expired | Verdict::Cancelled | Verdict::Shadow)
        }
        _ => true,
    }
}

fn check(request: &BackfillRequest, now: Timestamp) -> Result<(), EngineError> {
    request.id.as_deref().map_or(Ok(()), check_id)?;
    let refuse = |message: String, hint: &str| {
        Err(EngineError::Refused { code: NO_SPAN, message, hint: hint.to_owned() })
    };
    if request.from >= request.to {
        let message = format!("the span from {} to {} is empty", request.from, request.to);
        return refuse(message, "give the earlier instant as --from");
    }
    if request.to > now {
        let message = format!("the span ends at {}, which has not come", request.to);
        return refuse(
            message,
            "a back-fill is of the past: end it now, and let the triggers fire what comes",
        );
    }
    Ok(())
}

fn check_id(id: &str) -> Result<(), EngineError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(fine) {
        return Ok(());
    }
    Err(EngineError::Refused {
        code: BAD_ID,
        message: format!("{id:?} is no id of a back-fill"),
        hint: format!(
            "write 1 to {ID_CHARS_MAX} letters, digits, `.`, `_` or `-`, for example march-reports"
        ),
    })
}

fn too_many(count: usize, request: &BackfillRequest) -> EngineError {
    let most = request.times_max.min(TIMES_MAX);
    let hint = if count <= TIMES_MAX {
        format!("allow them with --max {count}, or choose a shorter span")
    } else {
        format!("choose a shorter span: one back-fill makes {TIMES_MAX} runs at most")
    };
    let message =
        format!("at least {count} nominal times of {} are in the span, more than {most}", request.job);
    EngineError::Refused { code: TOO_MANY, message, hint }
}

/// The time rules that are asked for, with their triggers.
fn rules<'a>(request: &'a BackfillRequest, job: &'a Job) -> impl Iterator<Item = (&'a str, &'a TimeRule)> {
    let wanted = |name: &str| request.trigger.as_deref().is_none_or(|trigger| trigger == name);
    job.triggers.iter().filter(move |trigger| wanted(&trigger.name)).filter_map(|trigger| {
        match &trigger.when {
            When::Time(rule) if !fire::is_delay(rule) => Some((trigger.name.as_str(), rule)),
            _ => None,
        }
    })
}

/// The nominal times of the span by the rules in force, in order; no more than are refused anyway.
fn times(request: &BackfillRequest, job: &Arc<Job>, rows: &[TriggerRow]) -> Result<Vec<Time>, EngineError> {
    let mut times = Vec::new();
    let mut any = false;
    for (name, rule) in rules(request, job) {
        any = true;
        let anchor = rows.iter().find(|row| row.name == name).map_or(request.from, |row| row.state.anchor);
        let before = Timestamp::from_micros(request.from.as_micros() - 1);
        let state = TriggerState { cursor: before, next_at: None, anchor, fired: 0 };
        let mut at = before;
        // Past the bound of what ran and is left out, nothing more is looked at.
        while times.len() <= TIMES_MAX * 10 {
            let next = fire::next_after(rule, &state, at).map_err(|_| gave_up(name))?;
            let Some(next) = next.filter(|next| *next < request.to) else { break };
            at = next;
            if rule.calendar.as_ref().is_none_or(|calendar| calendar.allows(next).is_ok()) {
                times.push(Time { nominal: next, trigger: name.to_owned() });
            }
        }
    }
    if !any {
        return Err(EngineError::Refused {
            code: NO_SPAN,
            message: match &request.trigger {
                Some(trigger) => format!("job {} has no trigger {trigger} with nominal times", request.job),
                None => format!("job {} has no trigger with nominal times", request.job),
            },
            hint: format!(
                "a fixed delay, `after` and @reboot have none; punctual show {} lists its triggers",
                request.job
            ),
        });
    }
    times.sort_by(|a, b| (a.nominal, &a.trigger).cmp(&(b.nominal, &b.trigger)));
    Ok(times)
}

fn gave_up(trigger: &str) -> EngineError {
    EngineError::Refused {
        code: NO_SPAN,
        message: format!("the nominal times of trigger {trigger} cannot be found"),
        hint: "its rule fires too rarely; choose another trigger with --trigger".into(),
    }
}

/// What changes of the clock do to the span.
fn notes(request: &BackfillRequest, job: &Job) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, rule) in rules(request, job) {
        let Schedule::Cron(cron) = &rule.schedule else { continue };
        let before = Timestamp::from_micros(request.from.as_micros() - 1);
        let entries = preview(&rule.schedule, None, before, TIMES_MAX).unwrap_or_default();
        for entry in entries.into_iter().take_while(|entry| entry.at < request.to) {
            let what = match entry.what {
                What::FiresAfterGap { .. } => "stands for a time that the clock skipped",
                What::FiresFirstTime => "is the first of two with this local time",
                What::FiresSecondTime => "is the second of two with this local time",
                What::Lost { .. } => "a change of the clock left a time out, and nothing stands for it",
                _ => continue,
            };
            notes.push(format!("{} ({name}, {}): {what}", entry.at, cron.zone.name()));
        }
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    notes.truncate(NOTES_MAX);
    if more > 0 {
        notes.push(format!("{more} more changes of the clock"));
    }
    notes
}
