//! Setting cursors back after a clock that was wrong had run ahead: the one way by which they go back, asked for by a
//! person, and written down.
//!
//! What ran keeps having run: a nominal time that became a run before the cursor went back makes no other one when it
//! comes again. What was skipped, coalesced or expired without a run is decided anew when its time really comes, and
//! then counts instead of what had been recorded.

use crate::book::Book;
use crate::control::AHEAD;
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::error::Code;
use punctual_core::fire::{self, Firing, Input};
use punctual_core::id::{JobId, RunId, TriggerId};
use punctual_core::job::Job;
use punctual_core::occurrence::Occurrence;
use punctual_core::time::Timestamp;
use punctual_core::trigger::{TriggerState, When};
use punctual_store::row::TriggerRow;
use punctual_store::{Ask, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// More runs were made ahead of the clock than are kept apart.
const TOO_MANY: Code = Code("API040");
/// Runs that one span may hold.
const RUNS_MAX: usize = 100_000;
/// Spans that are kept.
const SPANS_MAX: usize = 1000;
/// Where they stand in the store.
const REPEATED: &str = "clock.repeated";

/// What cursors were set back over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// Nominal times after the first and up to the second came twice.
    pub spans: Vec<(Timestamp, Timestamp)>,
    /// Runs that had been made of them, whose nominal times had not come again at the last setting back.
    pub runs: BTreeSet<RunId>,
}

/// What a setting back did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// Triggers whose cursor went back.
    pub triggers: usize,
    /// Nominal times ahead that have run already, and do not run again.
    pub ran: usize,
    /// Until when they had been decided; the present instant if none was ahead.
    pub until: Timestamp,
}

impl Engine {
    /// Sets the cursors that are well ahead of the clock back to now, because `who` says so.
    ///
    /// # Errors
    /// Too many runs were made ahead of the clock, or the store could not do it.
    pub async fn set_back(&self, who: &str) -> Result<SetBack, EngineError> {
        self.load_all().await?;
        let now = self.clock().now();
        let limit = now.saturating_add(AHEAD);
        let (_, triggers) = self.store().jobs().await?;
        let mut until: BTreeMap<JobId, Timestamp> = BTreeMap::new();
        for trigger in triggers.iter().filter(|t| t.state.cursor > limit) {
            let until = until.entry(trigger.job).or_insert(now);
            *until = trigger.state.cursor.max(*until);
        }
        let Some(last) = until.values().max().copied() else {
            return Ok(SetBack { triggers: 0, ran: 0, until: now });
        };
        let mut repeated = Repeated::clone(&*self.repeated().await?);
        repeated.forget_before(now);
        let before = repeated.runs.len();
        for (job, until) in &until {
            repeated.runs.extend(self.runs_ahead(*job, now, *until).await?);
            if repeated.runs.len() > RUNS_MAX {
                return Err(too_many());
            }
        }
        repeated.spans.push((now, last));
        let ran = repeated.runs.len() - before;
        // First what must not run again, then the cursors: whatever ends in between, nothing runs twice.
        self.keep_repeated(repeated).await?;
        self.say(who, &format!("set cursors back from {last}")).await?;
        let mut ask = Ask { jobs: until.into_keys().collect(), ..Ask::default() };
        let (triggers, effects, _) =
            self.write(&mut ask, move |book, snapshot| Ok(set_back(book, snapshot, limit))).await?;
        self.follow(&effects);
        Ok(SetBack { triggers, ran, until: last })
    }

    async fn runs_ahead(
        &self,
        job: JobId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RunId>, EngineError> {
        let next = |at: Timestamp| Timestamp::from_micros(at.as_micros().saturating_add(1));
        let record = self.store().ticks(job, next(now), next(until)).await?;
        Ok(record.runs.into_iter().map(|run| run.id).collect())
    }

    /// What cursors were set back over, read from the store once.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn repeated(&self) -> Result<Arc<Repeated>, EngineError> {
        if let Some(known) = self.known_repeated() {
            return Ok(known);
        }
        let text = self.store().meta_get(REPEATED).await?.unwrap_or_default();
        Ok(self.know_repeated(Repeated::parse(&text)))
    }

    async fn keep_repeated(&self, repeated: Repeated) -> Result<(), EngineError> {
        self.store().meta_set(REPEATED, &repeated.text()).await?;
        self.know_repeated(repeated);
        Ok(())
    }
}

impl Repeated {
    /// Whether a nominal time lies in a span that came twice.
    pub fn spans(&self, nominal: Timestamp) -> bool {
        self.spans.iter().any(|(from, until)| *from < nominal && nominal <= *until)
    }

    /// Forgets the runs whose nominal times have come again by now, with a day to spare, and the oldest spans.
    fn forget_before(&mut self, now: Timestamp) {
        let day_ms = 86_400_000;
        self.runs.retain(|run| run.nominal_millis() > now.as_millis() - day_ms);
        let from = (self.spans.len() + 1).saturating_sub(SPANS_MAX);
        self.spans.drain(..from);
    }

    /// A line each: `span FROM UNTIL` in microseconds, or `run ID`.
    fn text(&self) -> String {
        let spans = self.spans.iter().map(|(a, b)| format!("span {} {}\n", a.as_micros(), b.as_micros()));
        spans.chain(self.runs.iter().map(|run| format!("run {run}\n"))).collect()
    }

    fn parse(text: &str) -> Self {
        let mut repeated = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["span", from, until] => {
                    let micros = |text: &str| text.parse().ok().map(Timestamp::from_micros);
                    repeated.spans.extend(micros(from).zip(micros(until)));
                }
                ["run", id] => repeated.runs.extend(id.parse::<RunId>().ok()),
                _ => {}
            }
        }
        repeated
    }
}

impl Book {
    /// Writes a trigger row whose cursor goes back because a person said so.
    pub fn set_back(&mut self, row: TriggerRow) {
        if !self.decision.set_back.contains(&row.id) {
            self.decision.set_back.push(row.id);
        }
        self.triggers_changed.insert(row.id);
        self.triggers.insert(row.id, row);
    }

    /// Takes out what ran when the clock was ahead: that is its disposition, and it has been counted.
    pub(crate) fn pass_by_what_ran(&mut self, job: &Job, row: &TriggerRow, firing: &mut Firing) {
        if self.repeated.runs.is_empty() {
            return;
        }
        let before = firing.occurrences.len();
        let id = |o: &Occurrence| RunId::derive(&job.name, &row.name, &o.key, o.nominal);
        firing.occurrences.retain(|occurrence| !self.repeated.runs.contains(&id(occurrence)));
        let passed = before - firing.occurrences.len();
        firing.state.fired -= passed as u64;
        if passed > 0
            && firing.state.next_at.is_none()
            && let Some(trigger) = job.triggers.iter().find(|t| t.name == row.name)
        {
            // It may have ended by the count alone.
            firing.state.next_at = self.next_of(trigger, &TriggerRow { state: firing.state, ..row.clone() });
        }
    }
}

fn set_back(book: &mut Book, snapshot: &Snapshot, limit: Timestamp) -> usize {
    let ahead: Vec<TriggerId> =
        snapshot.triggers.iter().filter(|t| t.state.cursor > limit).map(|t| t.id).collect();
    for id in &ahead {
        set_trigger_back(book, *id);
    }
    ahead.len()
}

fn set_trigger_back(book: &mut Book, id: TriggerId) {
    let row = book.triggers[&id].clone();
    let state = TriggerState { cursor: book.now(), next_at: None, ..row.state };
    let row = TriggerRow { state, ..row };
    book.set_back(row.clone());
    if !book.is_live(id) {
        return;
    }
    let revision = book.jobs[&row.job].revision;
    let Some(job) = book.definition(row.job, revision) else { return };
    let Some(trigger) = job.triggers.iter().find(|t| t.name == row.name) else { return };
    let When::Time(rule) = &trigger.when else { return };
    if !fire::is_delay(rule) {
        let next_at = book.next_of(trigger, &row);
        book.set_back(TriggerRow { state: TriggerState { next_at, ..row.state }, ..row });
    } else if !book.is_under_way(row.job, id) {
        // Its run, if one is under way, lets it fire again; else it waits its delay from now.
        book.fire(id, &Input::RunEnded);
    }
}

fn too_many() -> EngineError {
    EngineError::Refused {
        code: TOO_MANY,
        message: format!("more than {RUNS_MAX} runs were made ahead of the clock"),
        hint: "set the clock right and let it reach them, or restore a backup from before".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let at = Timestamp::from_secs;
        let run = RunId::derive("a", "t", "t:1", at(1000));
        let repeated = Repeated { spans: vec![(at(1), at(2)), (at(5), at(9))], runs: [run].into() };
        assert_eq!(Repeated::parse(&repeated.text()), repeated);
        assert_eq!(Repeated::parse("span 1\nrun x\nnonsense\n"), Repeated::default());
        assert!(
            repeated.spans(at(2))
                && repeated.spans(at(6))
                && !repeated.spans(at(1))
                && !repeated.spans(at(5))
        );
        let mut later = repeated.clone();
        later.forget_before(at(1000 + 86_400));
        assert_eq!((later.runs.len(), later.spans), (0, repeated.spans));
    }
}
