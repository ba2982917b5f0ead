//! What the daemon does about its clock in every turn of its loop, and what people can ask and say about it.

use crate::block_on::block_on;
use crate::clock::Clock;
use crate::control::AHEAD;
use crate::error::EngineError;
use crate::guarded::{ClockFacts, words};
use crate::inbox::{Inbox, Message};
use crate::shared::Engine;
use crate::synchronised::{self, Synchronised};
use punctual_core::guard::Verdict;
use punctual_core::id::JobId;
use punctual_core::time::Timestamp;
use punctual_core::trigger::When;
use punctual_store::row::{JobRow, TriggerRow};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// So often the kernel is asked while a step is doubted.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// What was said about the clock is kept so many times.
const SAID_MAX: usize = 100;
/// Where in the store.
const SAID: &str = "clock.said";

/// How the clock stands, and what waits because of it.
#[derive(Clone, Debug)]
pub struct ClockView {
    /// How it stands; `None` for a clock without a guard.
    pub facts: Option<ClockFacts>,
    /// Whether the kernel says that it is synchronised, if anybody here knows.
    pub synchronised: Option<Synchronised>,
    /// Triggers that have been decided ahead of the clock, farthest first.
    pub ahead: Vec<Ahead>,
    /// What people said about the clock, oldest first: instant, user, what.
    pub said: Vec<String>,
}

/// A trigger that has been decided ahead of the clock, and does not fire before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Its job.
    pub job: String,
    /// Its name.
    pub trigger: String,
    /// Until when it has been decided.
    pub until: Timestamp,
}

impl Engine {
    /// Looks at the clock and keeps what it says for the next process. What people should be told comes back; while a
    /// step is doubted, the kernel is asked by the way.
    pub fn watch_clock(&self) -> Vec<String> {
        let Some(guard) = self.clock().guard() else { return Vec::new() };
        if guard.is_in_doubt() {
            ask_kernel(self.clock().clone(), self.inbox().clone());
        }
        guard.keep();
        let (mut remarks, went_back) = guard.take_remarks();
        if went_back && let Ok(Some(text)) = block_on(self.ahead_text()) {
            remarks.push(text);
        }
        remarks
    }

    /// What is to be said if triggers have been decided well ahead of the clock.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn ahead_text(&self) -> Result<Option<String>, EngineError> {
        Ok(self.ahead().await?.map(|(count, until)| {
            format!(
                "the clock is behind what {count} triggers have seen, and not all of them fire again before {until}; \
                 was it set back? punctual doctor clock says what to do"
            )
        }))
    }

    /// What is wrong with the clock, in a sentence; `None` if nothing is. Given what the store says of jobs.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn clock_fault(
        &self,
        jobs: &[JobRow],
        triggers: &[TriggerRow],
    ) -> Result<Option<String>, EngineError> {
        if let Some(facts) = self.clock().guard().map(|guard| guard.facts())
            && let Some(doubt) = facts.doubt
        {
            let how = words(doubt.verdict);
            return Ok(Some(format!(
                "it was set {how} and is not believed yet: jobs go on by {}, it says {}",
                facts.now, facts.wall
            )));
        }
        let ahead = self.ahead_among(jobs, triggers).await?;
        Ok(ahead.first().map(|Ahead { until, .. }| {
            let count = ahead.len();
            format!("{count} triggers have been decided ahead of it, until {until}: was it set back?")
        }))
    }

    /// All that is known of the clock.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn clock_view(&self) -> Result<ClockView, EngineError> {
        let facts = self.clock().guard().map(|guard| guard.facts());
        let (ahead, said) = (self.all_ahead().await?, self.said().await?);
        Ok(ClockView { facts, synchronised: synchronised::ask(), ahead, said })
    }

    /// Believes the wall clock as it is, because `who` says so; the step that was doubted, if one was.
    ///
    /// # Errors
    /// The store could not keep who said it.
    pub async fn accept_clock(&self, who: &str) -> Result<Option<Verdict>, EngineError> {
        let Some(guard) = self.clock().guard() else { return Ok(None) };
        if !guard.is_in_doubt() {
            return Ok(None);
        }
        let how = guard.facts().doubt.map(|doubt| words(doubt.verdict)).unwrap_or_default();
        self.say(who, &format!("confirmed that the clock was set {how}")).await?;
        let accepted = guard.accept();
        self.inbox().send(Message::Wake);
        Ok(accepted)
    }

    /// Triggers of jobs in force that have been decided well ahead of the clock, farthest first.
    async fn all_ahead(&self) -> Result<Vec<Ahead>, EngineError> {
        let (jobs, triggers) = self.store().jobs().await?;
        self.ahead_among(&jobs, &triggers).await
    }

    async fn ahead_among(&self, jobs: &[JobRow], triggers: &[TriggerRow]) -> Result<Vec<Ahead>, EngineError> {
        let limit = self.clock().now().saturating_add(AHEAD);
        let beyond: Vec<&TriggerRow> = triggers.iter().filter(|t| t.live && t.state.cursor > limit).collect();
        if beyond.is_empty() {
            return Ok(Vec::new());
        }
        self.load_all().await?;
        let definitions = self.definitions();
        let jobs: BTreeMap<JobId, &JobRow> = jobs.iter().map(|job| (job.id, job)).collect();
        let mut ahead: Vec<Ahead> = Vec::new();
        for trigger in beyond {
            let Some(job) = jobs.get(&trigger.job).filter(|job| !job.retired) else { continue };
            let rule = definitions.job(job.id, job.revision);
            let rule = rule.as_ref().and_then(|d| d.triggers.iter().find(|t| t.name == trigger.name));
            // What has no times of its own waits for no clock.
            if rule.is_none_or(|rule| matches!(rule.when, When::Time(_))) {
                ahead.push(Ahead {
                    job: job.name.clone(),
                    trigger: trigger.name.clone(),
                    until: trigger.state.cursor,
                });
            }
        }
        ahead.sort_by(|a, b| (b.until, &a.job).cmp(&(a.until, &b.job)));
        Ok(ahead)
    }

    /// How many triggers in force have been decided well ahead of the clock, and until when the last of them rests:
    /// nothing is fired twice, so that a clock which was wrong for a time has silenced them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn ahead(&self) -> Result<Option<(usize, Timestamp)>, EngineError> {
        let ahead = self.all_ahead().await?;
        Ok(ahead.first().map(|first| (ahead.len(), first.until)))
    }

    /// Keeps who said what about the clock, and when.
    pub(crate) async fn say(&self, who: &str, what: &str) -> Result<(), EngineError> {
        let who: String = who.chars().filter(|c| !c.is_control()).take(100).collect();
        let mut said = self.said().await?;
        said.push(format!("{} {who}: {what}", self.clock().now()));
        let from = said.len().saturating_sub(SAID_MAX);
        Ok(self.store().meta_set(SAID, &said[from..].join("\n")).await?)
    }

    async fn said(&self) -> Result<Vec<String>, EngineError> {
        let text = self.store().meta_get(SAID).await?.unwrap_or_default();
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Asks the kernel from time to time, on a thread of its own, until the step is believed or undone.
fn ask_kernel(clock: Clock, inbox: Inbox) {
    let Some(guard) = clock.guard().cloned() else { return };
    if guard.asking.swap(true, Ordering::SeqCst) {
        return;
    }
    let asked = guard.clone();
    let work = move || {
        while asked.is_in_doubt() {
            if asked.hear(synchronised::ask().is_some_and(|answer| answer.is)) {
                inbox.send(Message::Wake);
                break;
            }
            std::thread::sleep(ASK_EVERY);
        }
        asked.asking.store(false, Ordering::SeqCst);
    };
    if std::thread::Builder::new().name("clock".into()).spawn(work).is_err() {
        // The next turn of the loop tries again.
        guard.asking.store(false, Ordering::SeqCst);
    }
}
