//! What may have happened in a time of which the store knows nothing, because it came back older than it was.
//!
//! Nothing fires and nothing starts until somebody accepts the store as it is. From then on three things hold:
//! fences begin beyond what the lost time can have used; a start that the journal of the supervisor knows and the store
//! does not is taken for an attempt that was lost, so that `onLost` decides about it; and what is run for the lost time
//! is known as a possible duplicate.

use crate::book::Book;
use crate::error::EngineError;
use crate::executor;
use crate::inbox::Message;
use crate::shared::Engine;
use crate::supervisor::journal;
use crate::supervisor::protocol::Ended;
use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::run::{Lease, Run, RunEvent, RunState};
use punctual_core::time::Timestamp;
use punctual_store::row::{Comeback, ComebackKind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Firing is held, because the store came back.
pub const HELD: punctual_core::error::Code = punctual_core::error::Code("STO015");

/// No run is leased so often between two states of a store.
const FENCES_A_COMEBACK: i64 = 1_000_000;
/// Under this name the store keeps the starts that only the journal knew of, a line each: run, fence, microseconds, and how
/// the attempt ended where the journal knew that too.
const STARTS: &str = "starts-unrecorded";
/// More are not kept; a journal holds fewer.
const STARTS_MAX: usize = 20_000;

/// The comebacks of a store, and what they mean for what is decided now.
#[derive(Clone, Debug, Default)]
pub struct Past {
    comebacks: Vec<Comeback>,
    starts: BTreeMap<RunId, LostStart>,
}

/// A start that the store has lost and the journal knows.
#[derive(Clone, Debug, PartialEq)]
pub struct LostStart {
    /// The lease it was under.
    pub fence: Fence,
    /// When it was.
    pub at: Timestamp,
    /// How it ended, if the journal knows.
    pub ended: Option<Ended>,
}

impl Past {
    /// The newest comeback that nobody has accepted; while there is one, nothing fires.
    pub fn held(&self) -> Option<&Comeback> {
        self.comebacks.iter().rev().find(|comeback| comeback.accepted.is_none())
    }

    /// The newest comeback.
    pub fn newest(&self) -> Option<&Comeback> {
        self.comebacks.last()
    }

    /// Leases begin above this.
    pub fn fence_floor(&self) -> Fence {
        Fence(i64::try_from(self.comebacks.len()).unwrap_or(i64::MAX).saturating_mul(FENCES_A_COMEBACK))
    }

    /// The start of this run which the store has lost, if there was one after all that it knows of it.
    pub fn lost_start(&self, run: &Run) -> Option<&LostStart> {
        self.starts.get(&run.id).filter(|start| start.fence > run.fence)
    }

    /// Whether a run may repeat one that the store has lost: it is for a time of before the end of the loss, and it ended
    /// after that, or has not yet.
    pub fn may_repeat(&self, run: &Run) -> bool {
        self.comebacks.iter().any(|comeback| match (comeback.lost_until.or(comeback.accepted), &run.state) {
            (None, RunState::Finished { .. }) => false,
            (None, _) => true,
            (Some(until), RunState::Finished { at, .. }) => run.nominal <= until && *at >= until,
            (Some(until), _) => run.nominal <= until,
        })
    }
}

impl Book {
    /// Leases a run, under a fence that no lost time can have used.
    pub(crate) fn lease(&mut self, id: RunId, owner: NodeId) -> bool {
        let floor = self.past.fence_floor();
        if let Some(run) = self.runs.get_mut(&id) {
            run.fence = run.fence.max(floor);
        }
        self.event(id, RunEvent::Lease { owner })
    }

    /// Whether the run was started in a time that the store has lost. Then its attempt ended as the journal says; where
    /// that does not say, the attempt is lost, too, and `onLost` decides.
    pub(crate) fn has_lost_start(&mut self, id: RunId, node: NodeId) -> bool {
        let Some(run) = self.runs.get(&id) else { return false };
        let Some(start) = self.past.lost_start(run).cloned() else { return false };
        let (run, fence, started) = (run.clone(), start.fence, Some(start.at));
        let Some(job) = self.definition(run.job, run.revision) else { return false };
        let number = run.next_attempt();
        let attempt = match &start.ended {
            Some(end) => executor::attempt(end, number, node, run.due, &job),
            None => {
                let reason = "it was started in a time that the store has lost; how it ended is not known";
                let exit = Exit { reason: Some(reason.into()), ..Exit::default() };
                Attempt { number, node, started, finished: self.now, outcome: Outcome::Lost, exit }
            }
        };
        let lease = Lease { owner: node, fence, since: start.at, started, stop: None };
        self.runs.insert(id, Run { fence, state: RunState::Leased(lease), ..run });
        self.event(id, RunEvent::Ended { fence, attempt });
        true
    }
}

impl Engine {
    /// What the store's comebacks mean, read once.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn past(&self) -> Result<std::sync::Arc<Past>, EngineError> {
        if let Some(past) = self.past_known() {
            return Ok(past);
        }
        let comebacks = self.store().comebacks().await?;
        let starts = match comebacks.is_empty() {
            true => BTreeMap::new(),
            false => parse(&self.store().meta_get(STARTS).await?.unwrap_or_default()),
        };
        Ok(self.set_past(Past { comebacks, starts }))
    }

    /// Merges a supervisor's journal into a store that came back older: the starts that the store does not know are kept
    /// in it. How many they are.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn merge_starts(&self, journal: &journal::Past) -> Result<usize, EngineError> {
        let past = self.past().await?;
        if past.held().is_none() {
            return Ok(0);
        }
        let mut unrecorded = past.starts.clone();
        for start in journal.starts.iter().rev().take(STARTS_MAX) {
            let Ok(id) = start.attempt.run.parse::<RunId>() else { continue };
            let (fence, at) = (Fence(start.attempt.fence), Timestamp::from_micros(start.at_us));
            let known = self.store().run(id).await?.is_some_and(|run| run.fence >= fence);
            if !known && unrecorded.get(&id).is_none_or(|held| held.fence < fence) {
                let ended = journal.ends.iter().find(|end| end.attempt == start.attempt).cloned();
                unrecorded.insert(id, LostStart { fence, at, ended });
            }
        }
        let count = unrecorded.len();
        if unrecorded != past.starts {
            self.store().meta_set(STARTS, &write(&unrecorded)).await?;
            self.forget_past();
        }
        Ok(count)
    }

    /// Says that the store is to be used as it is: firing goes on, and what was missed meanwhile is caught up as each
    /// job says. What was accepted; `None` if nothing was held.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn accept_store(&self) -> Result<Option<Comeback>, EngineError> {
        let held = self.past().await?.held().cloned();
        if held.is_some() {
            self.store().accept_comebacks(self.clock().now()).await?;
            self.forget_past();
            self.inbox().send(Message::Wake);
        }
        Ok(held)
    }
}

fn parse(text: &str) -> BTreeMap<RunId, LostStart> {
    let start = |line: &str| {
        let mut fields = line.splitn(4, ' ');
        let run = fields.next()?.parse().ok()?;
        let fence = Fence(fields.next()?.parse().ok()?);
        let at = Timestamp::from_micros(fields.next()?.parse().ok()?);
        let ended = fields.next().and_then(|json| serde_json::from_str(json).ok());
        Some((run, LostStart { fence, at, ended }))
    };
    text.lines().filter_map(start).collect()
}

fn write(starts: &BTreeMap<RunId, LostStart>) -> String {
    starts.iter().fold(String::new(), |mut text, (run, start)| {
        let end = start.ended.as_ref().map(|end| serde_json::to_string(end).expect("an end is plain data"));
        let end = end.map(|end| format!(" {end}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{run} {} {}{end}", start.fence.0, start.at.as_micros());
        text
    })
}

/// A comeback, for people: what happened to the store.
pub fn told(comeback: &Comeback) -> String {
    let known = comeback.known_until;
    match comeback.kind {
        ComebackKind::Behind => format!(
            "the store came back older: {} transactions that had been acknowledged are missing, after {known}",
            comeback.missing
        ),
        ComebackKind::Foreign => "the store is not the one that was in use here before".to_owned(),
        ComebackKind::Copied => {
            "the store is a copy of another: if the original is still in use, both would start the same jobs"
                .to_owned()
        }
        ComebackKind::Restored => format!("the store was restored from a backup of {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::protocol::AttemptId;

    #[test]
    fn starts_are_read_as_they_were_written() {
        let end = Ended { code: Some(3), ..Ended::at(AttemptId { run: "x y".into(), fence: 3 }, 9) };
        let start =
            |fence, at_us, ended| LostStart { fence: Fence(fence), at: Timestamp::from_micros(at_us), ended };
        let starts =
            BTreeMap::from([(RunId(7), start(3, -5, Some(end))), (RunId(u128::MAX), start(1, 9, None))]);
        assert_eq!(parse(&write(&starts)), starts);
        assert_eq!(parse("nonsense\n1 2\n\n"), BTreeMap::new());
    }
}
