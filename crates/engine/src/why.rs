//! Why: the one answer to "why (not)?", from what is stored.

use crate::error::EngineError;
use crate::executor;
use crate::shared::Engine;
use crate::view::{JobView, RunView, rule_text};
use punctual_core::attempt::{Attempt, Outcome};
use punctual_core::fire;
use punctual_core::id::RunId;
use punctual_core::job::{Job, Overlap};
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::{Hold, Run, RunState, Verdict};
use punctual_core::schedule::Schedule;
use punctual_core::spec::format_duration;
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_store::RunFilter;
use std::time::Duration;

/// What one asks why about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhySubject {
    /// Why is, or is not, this job running?
    Job(String),
    /// Why is this run as it is?
    Run(RunId),
    /// What became of this job at that instant?
    JobAt(String, Timestamp),
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// One sentence.
    pub answer: String,
    /// The stored reason, where there is one.
    pub reason: Option<Reason>,
    /// The rule that said so.
    pub rule: Option<String>,
    /// The next nominal time of the job.
    pub next: Option<Timestamp>,
    /// What else is known, a line each.
    pub facts: Vec<String>,
}

impl Engine {
    /// The one answer to "why (not)?".
    ///
    /// # Errors
    /// There is no such job or run, or the store cannot be read.
    pub async fn why(&self, subject: WhySubject) -> Result<Why, EngineError> {
        match subject {
            WhySubject::Run(id) => {
                let view = self.run(id).await?.ok_or_else(|| EngineError::NoRun(id.to_string()))?;
                self.why_run(&view).await
            }
            WhySubject::Job(name) => self.why_job(&name).await,
            WhySubject::JobAt(name, at) => self.why_at(&name, at).await,
        }
    }

    async fn why_job(&self, name: &str) -> Result<Why, EngineError> {
        let view = self.job(name).await?;
        let now = self.clock().now();
        let unfinished =
            RunFilter { job: Some(view.row.id), unfinished: true, limit: 100, ..RunFilter::default() };
        let current = self.runs(unfinished).await?.into_iter().find(|r| !r.run.is_finished());
        let past = self.past().await?;
        let mut why = match (&view.row.paused, &current, view.next) {
            (None, None, Some(_)) if past.held().is_some() => Why {
                answer: format!(
                    "{name} does not fire: {}",
                    past.held().map(crate::past::told).unwrap_or_default()
                ),
                rule: Some("punctual doctor store --accept".into()),
                ..Why::default()
            },
            (Some(pause), ..) => Why {
                answer: format!(
                    "{name} does not fire: it has been paused since {} ({})",
                    pause.since, pause.reason
                ),
                reason: Some(Reason::Paused),
                rule: Some(format!("punctual resume {name} lets it fire again")),
                ..Why::default()
            },
            (None, Some(run), _) => self.why_run(run).await?,
            (None, None, Some(next)) => Why {
                answer: format!(
                    "{name} is not running; it runs next at {next}, {} from now",
                    length(next.since(now))
                ),
                ..Why::default()
            },
            (None, None, None) => Why {
                answer: format!("{name} has nothing to come: no trigger of it has a next time"),
                reason: Some(Reason::Ended),
                ..Why::default()
            },
        };
        why.next = view.next;
        why.facts.extend(
            view.spec.triggers.iter().map(|t| format!("trigger {}: {}", t.identity(), rule_text(&t.rule))),
        );
        if view.row.failures > 0 {
            let runs =
                if view.row.failures == 1 { "run".into() } else { format!("{} runs", view.row.failures) };
            why.facts.push(format!("its last {runs} ended badly"));
        }
        if let Some(last) = &view.last {
            why.facts.push(format!("its last run {} {}", last.id, told(last)));
            why.facts.extend(last.attempts.iter().map(attempt_line));
        }
        Ok(why)
    }

    async fn why_run(&self, view: &RunView) -> Result<Why, EngineError> {
        let run = &view.run;
        let job = self.definition(run.job, run.revision).await?;
        let mut why = self.state_of(view, &job);
        if why.rule.is_none() && run.attempts.last().is_some_and(|a| a.outcome == Outcome::Timeout) {
            why.rule = job.timeout.map(|t| format!("timeout: {}", length(t)));
        }
        why.facts.push(match &view.trigger {
            Some(trigger) => format!("fired by trigger {trigger} for {}", run.nominal),
            None => format!("submitted at {} with key {}", run.due, run.key),
        });
        if let Some(old) = executor::rerun_of(&run.key) {
            why.facts.push(format!("a person had it do the work of run {old} again"));
        }
        why.facts.extend(run.attempts.iter().map(attempt_line));
        why.facts.extend(view.stuck.map(|stuck| format!("it {}", stuck.told(self.clock().now()))));
        if view.may_repeat {
            why.facts.push(
                "it may repeat a run of a time that the store has lost (punctual doctor store tells of which)".into(),
            );
        }
        if let (RunState::Queued { .. }, Some(held)) = (&run.state, self.past().await?.held()) {
            why.answer = format!("run {} of {} waits: {}", run.id, view.job, crate::past::told(held));
            why.rule = Some("punctual doctor store --accept".into());
        }
        let (_, triggers) = self.store().jobs().await?;
        why.next =
            triggers.iter().filter(|t| t.job == run.job && t.live).filter_map(|t| t.state.next_at).min();
        Ok(why)
    }

    /// Why a run is where it is, with the reason and the rule behind that.
    fn state_of(&self, view: &RunView, job: &Job) -> Why {
        let (run, name) = (&view.run, &view.job);
        let now = self.clock().now();
        let (answer, rule, reason) = match &run.state {
            RunState::Queued { due } if *due > now && !run.attempts.is_empty() => {
                (format!("waits until {due} to be tried again"), Some(retry_rule(run, job)), None)
            }
            RunState::Queued { due } if *due > now => {
                (format!("is due at {due}"), Some("jitter, or the spread of a catch-up".into()), None)
            }
            RunState::Queued { .. } if self.daemon().is_none() => (
                format!("waits in queue {}: no daemon is running", run.queue),
                Some("punctual serve".into()),
                None,
            ),
            RunState::Queued { .. } => (
                format!("waits in queue {}: every slot of the node is taken", run.queue),
                Some("the slots of the node (punctual serve --slots)".into()),
                None,
            ),
            RunState::Held(Hold::Overlap) => (
                "waits for an earlier run of the job to end".into(),
                Some(rule_of(Reason::Overlap, job)),
                Some(Reason::Overlap),
            ),
            RunState::Held(Hold::Lost) => (
                format!(
                    "lost its daemon and waits for a person: punctual retry {} lets it go on, cancel ends it",
                    run.id
                ),
                Some("onLost: hold".into()),
                None,
            ),
            RunState::Leased(lease) => {
                let since = lease.started.unwrap_or(lease.since);
                (format!("has been running since {since}, for {}", length(now.since(since))), None, None)
            }
            RunState::Finished { reason, .. } => (told(run), reason.map(|r| rule_of(r, job)), *reason),
        };
        Why { answer: format!("run {} of {name} {answer}", run.id), reason, rule, ..Why::default() }
    }

    async fn why_at(&self, name: &str, at: Timestamp) -> Result<Why, EngineError> {
        let ticks = self.ticks(name, at, at.saturating_add(Duration::from_secs(1))).await?;
        let Some(view) = self.jobs().await?.into_iter().find(|j| j.row.name == name) else {
            return Ok(Why { answer: format!("{name} has been removed"), ..Why::default() });
        };
        let Some(tick) = ticks.first() else { return self.why_never(&view, at).await };
        if let Some(run) = tick.run
            && let Some(view) = self.run(run).await?
        {
            return self.why_run(&view).await;
        }
        let job = self.definition(view.row.id, tick.revision).await?;
        let answer = match (tick.disposition, tick.reason) {
            (Disposition::Pending, _) => format!("{name} has not come to {} yet", tick.nominal),
            (Disposition::Coalesced, _) => {
                format!("{name} missed {}, and a newer occurrence ran in its place", tick.nominal)
            }
            (disposition, reason) => {
                let because = reason.map(|r| format!(" ({})", r.as_str())).unwrap_or_default();
                format!("{name} did not run for {}: {}{because}", tick.nominal, disposition.as_str())
            }
        };
        let rule = match tick.disposition {
            Disposition::Coalesced => Some("catchUp: latest".into()),
            _ => tick.reason.map(|r| rule_of(r, &job)),
        };
        let facts = vec![format!("decided by trigger {} under revision {}", tick.trigger, tick.revision.0)];
        Ok(Why { answer, reason: tick.reason, rule, next: view.next, facts })
    }

    /// Why the record has nothing for an instant.
    async fn why_never(&self, view: &JobView, at: Timestamp) -> Result<Why, EngineError> {
        let name = &view.row.name;
        let answer = format!("{name} has no nominal time at {at}");
        let mut why = Why { answer, next: view.next, ..Why::default() };
        let job = self.definition(view.row.id, view.row.revision).await?;
        for trigger in &job.triggers {
            if let When::Time(rule) = &trigger.when {
                let state = view.triggers.iter().find(|t| t.name == trigger.name).map(|t| t.state);
                let before = Timestamp::from_micros(at.as_micros() - 1);
                let next = state.and_then(|state| fire::next_after(rule, &state, before).unwrap_or(None));
                why.facts.push(match (next, rule.schedule.matches(at)) {
                    // Not of the record: the job, or this rule of it, came later.
                    (Some(next), _) if next == at => {
                        format!("trigger {} has that instant, and was not in force then", trigger.name)
                    }
                    // An interval's instants depend on where it is anchored, which its state knows.
                    (Some(next), _) if matches!(rule.schedule, Schedule::Every(_)) => {
                        format!("trigger {}: the first instant after that is {next}", trigger.name)
                    }
                    (_, Err(because)) => format!("trigger {}: {because}", trigger.name),
                    (_, Ok(())) => format!("trigger {} has no such instant", trigger.name),
                });
            }
        }
        let revisions = self.revisions(name).await?;
        if let Some(first) = revisions.first().filter(|first| at < first.at) {
            why.facts.push(format!("{name} was first applied at {}", first.at));
        }
        Ok(why)
    }
}

/// An ended attempt in a line.
fn attempt_line(attempt: &Attempt) -> String {
    let mut line = format!("attempt {}: {}", attempt.number, attempt.outcome.as_str());
    if let Some(code) = attempt.exit.code {
        line.push_str(&format!(", exit code {code}"));
    }
    if let Some(signal) = attempt.exit.signal {
        line.push_str(&format!(", signal {signal}"));
    }
    if let Some(started) = attempt.started {
        line.push_str(&format!(", after {}", length(attempt.finished.since(started))));
    }
    if let Some(reason) = &attempt.exit.reason {
        line.push_str(&format!(": {reason}"));
    }
    if let Some(class) = attempt.class() {
        line.push_str(&format!(" (class {}, {})", class.as_str(), attempt.code().unwrap_or_default()));
    }
    line
}

/// What made a run wait before its next attempt.
fn retry_rule(run: &Run, job: &Job) -> String {
    let count = format!("retryPolicy: retry {} of {}", run.retries, job.retry.retries_max);
    match run.attempts.last().and_then(|attempt| attempt.exit.retry_after) {
        Some(wait) => format!("{count}; the job asked to wait {}", length(wait)),
        None => count,
    }
}

/// How a finished run ended, as the rest of a sentence.
fn told(run: &Run) -> String {
    let RunState::Finished { at, verdict, reason } = &run.state else { return "has not ended".into() };
    let because = reason.map(|r| format!(" ({})", r.as_str())).unwrap_or_default();
    match verdict {
        Verdict::Success => format!("succeeded at {at}"),
        Verdict::Failed if run.attempts.len() > 1 => {
            format!("failed at {at}, after {} attempts", run.attempts.len())
        }
        Verdict::Failed => format!("failed at {at}"),
        Verdict::Timeout => format!("ran out of time at {at}"),
        Verdict::Cancelled => format!("was cancelled at {at}"),
        Verdict::Lost => format!("was lost with its daemon, found at {at}"),
        Verdict::Expired => format!("expired at {at}{because}"),
        Verdict::Shadow => {
            format!("would have started at {at}; the daemon runs in shadow and starts nothing")
        }
    }
}

/// The rule of the definition behind a reason.
fn rule_of(reason: Reason, job: &Job) -> String {
    let catch_up = job.triggers.first().map(|t| t.catch_up).unwrap_or_default();
    match reason {
        Reason::Overlap => format!("overlap: {}", overlap(job)),
        Reason::StartDeadline => {
            format!("startDeadline: {}", job.start_deadline.map_or_else(|| "none".into(), length))
        }
        Reason::CatchUpNone => "catchUp: none".into(),
        Reason::CatchUpWindow => format!("catchUp.window: {}", length(catch_up.window)),
        Reason::CatchUpCount => format!("catchUp.maxCount: {}", catch_up.count_max),
        Reason::Calendar => "the trigger's calendar".into(),
        Reason::Paused => "the job was paused".into(),
        Reason::Ended => "the trigger's end, or its maxRuns".into(),
        other => other.as_str().to_owned(),
    }
}

fn overlap(job: &Job) -> &'static str {
    match job.overlap {
        Overlap::Skip => "skip",
        Overlap::QueueOne => "queue-one",
        Overlap::QueueAll => "queue-all",
        Overlap::CancelRunning => "cancel-running",
        Overlap::Allow => "allow",
    }
}

fn length(duration: Duration) -> String {
    // Below a second the digits would say more than anybody asks.
    let rounded =
        if duration >= Duration::from_secs(1) { Duration::from_secs(duration.as_secs()) } else { duration };
    format_duration(Duration::from_millis(u64::try_from(rounded.as_millis()).unwrap_or(u64::MAX)))
}
