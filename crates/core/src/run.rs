//! A run: the durable unit made from an occurrence. [`Run::apply`] is the only way it changes.
//!
//! ```text
//!            ┌──────────── release ◀── Held ◀─┐
//!            ▼                                │ lost, onLost: hold
//! (new) ▶ Queued{due} ──lease──▶ Leased ──────┤
//!            ▲   │                 │ ended    │
//!            │   └cancel, expire─┐ ▼          │
//!            └──── retry ─────── Finished ◀───┘
//! ```
//! "Scheduled", "ready" and "retrying" are one state, `Queued`, at different distances from `due`.

use crate::attempt::{Attempt, Outcome, words};
use crate::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use crate::job::OnLost;
use crate::occurrence::Reason;
use crate::retry::Retry;
use crate::sabotage;
use crate::time::Timestamp;

/// How often a lost attempt is tried again; these are not counted as retries.
pub const LOSSES_MAX: u32 = 3;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Derived from the occurrence.
    pub id: RunId,
    /// Whose run it is.
    pub job: JobId,
    /// What fired it; `None` if it was submitted.
    pub trigger: Option<TriggerId>,
    /// The definition it was made under, and keeps.
    pub revision: Revision,
    /// The occurrence's key; unique per job among unfinished runs.
    pub key: String,
    /// The instant the rule names, or at which it was submitted.
    pub nominal: Timestamp,
    /// When it first became due to start.
    pub due: Timestamp,
    /// Where it stands.
    pub state: RunState,
    /// The number of the last lease; 0 before the first.
    pub fence: Fence,
    /// Failed attempts that were, or will be, tried again by the retry policy.
    pub retries: u32,
    /// Attempts that were lost with their node.
    pub losses: u32,
    /// Parameters, as the text of a JSON object; empty for none.
    pub params: String,
    /// The lane it waits in.
    pub queue: String,
    /// Smaller first.
    pub priority: i32,
    /// The ended attempts, in order.
    pub attempts: Vec<Attempt>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Waiting for something other than time and capacity.
    Held(Hold),
    /// Waiting for `due`, then for capacity.
    Queued {
        /// Not before this instant.
        due: Timestamp,
    },
    /// Taken by a node, which starts it or has started it.
    Leased(Lease),
    /// Ended; it stays so.
    Finished {
        /// When.
        at: Timestamp,
        /// How.
        verdict: Verdict,
        /// Why, where it never ran.
        reason: Option<Reason>,
    },
}

words! {
    /// What a held run waits for.
    Hold {
        /// An earlier run of the job to end.
        Overlap = "overlap",
        /// A person, after an attempt was lost under `onLost: hold`.
        Lost = "lost",
    }
}

/// A node's claim on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The holder.
    pub owner: NodeId,
    /// Its number; every write of the holder carries it.
    pub fence: Fence,
    /// When it was taken.
    pub since: Timestamp,
    /// When its process started, if that has been recorded.
    pub started: Option<Timestamp>,
    /// Set when the attempt has been told to end, with the outcome it will have.
    pub stop: Option<StopReason>,
}

words! {
    /// Why an attempt was told to end.
    StopReason {
        /// A person cancelled the run.
        Cancel = "cancel",
        /// A newer run takes its place (`overlap: cancel-running`).
        Replaced = "replaced",
    }
}

words! {
    /// How a run ended.
    Verdict {
        /// An attempt succeeded.
        Success = "success",
        /// The last attempt failed.
        Failed = "failed",
        /// The last attempt ran out of time.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its last attempt was lost with its node.
        Lost = "lost",
        /// It could not start in time.
        Expired = "expired",
        /// It would have started, on a daemon that starts nothing (`serve --shadow`).
        Shadow = "shadow",
    }
}

/// What happens to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// A node takes it.
    Lease {
        /// The node.
        owner: NodeId,
    },
    /// Its attempt ended; `fence` is the lease's.
    Ended {
        /// The lease under which it ran.
        fence: Fence,
        /// How it ended.
        attempt: Attempt,
    },
    /// It is to end: at once if no attempt is under way, else when that has been stopped.
    Stop(StopReason),
    /// It did not start in time.
    Expire(Reason),
    /// What it was held for has come.
    Release,
    /// A person lets a lost one go on, and it waits for an earlier run of its job to end.
    Wait,
    /// Its turn came on a daemon that starts nothing.
    Shadow,
}

/// The rules of the job that [`Run::apply`] needs.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// After a failed attempt.
    pub retry: Retry,
    /// After a lost one.
    pub on_lost: OnLost,
}

/// An event that a run in that state cannot take; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// The run ended before.
    Finished,
    /// The event belongs to an older lease.
    StaleFence {
        /// The run's present lease.
        current: Fence,
        /// The event's.
        given: Fence,
    },
    /// The state does not allow it.
    State(&'static str),
}

impl Run {
    /// The run after `event`.
    ///
    /// # Errors
    /// The event does not apply in this state; the caller keeps the run as it was.
    pub fn apply(&self, event: RunEvent, policy: &Policy, now: Timestamp) -> Result<Run, Illegal> {
        let mut next = self.clone();
        match (&self.state, event) {
            (RunState::Finished { .. }, _) => return Err(Illegal::Finished),
            (RunState::Queued { due }, RunEvent::Lease { owner }) => {
                if *due > now {
                    return Err(Illegal::State("it is not due"));
                }
                let grown = if sabotage!("fence-not-grown") { self.fence.0.max(1) } else { self.fence.0 + 1 };
                next.fence = Fence(grown);
                next.state = RunState::Leased(Lease {
                    owner,
                    fence: next.fence,
                    since: now,
                    started: None,
                    stop: None,
                });
            }
            (_, RunEvent::Lease { .. }) => return Err(Illegal::State("it is not queued")),
            (RunState::Leased(lease), RunEvent::Ended { fence, attempt }) => {
                if lease.fence != fence && !sabotage!("any-fence-settles") {
                    return Err(Illegal::StaleFence { current: lease.fence, given: fence });
                }
                next.settle(lease.stop, attempt, policy, now);
            }
            (_, RunEvent::Ended { fence, .. }) => {
                return Err(Illegal::StaleFence { current: self.fence, given: fence });
            }
            (RunState::Leased(lease), RunEvent::Stop(reason)) => {
                let stop = Some(lease.stop.unwrap_or(reason));
                next.state = RunState::Leased(Lease { stop, ..lease.clone() });
            }
            (_, RunEvent::Stop(_)) => next.finish(now, Verdict::Cancelled, None),
            (RunState::Queued { .. }, RunEvent::Expire(reason)) => {
                next.finish(now, Verdict::Expired, Some(reason))
            }
            (RunState::Held(_), RunEvent::Expire(reason)) => next.finish(now, Verdict::Expired, Some(reason)),
            (RunState::Leased(_), RunEvent::Expire(_)) => return Err(Illegal::State("it has been leased")),
            (RunState::Held(_), RunEvent::Release) => {
                next.state = RunState::Queued { due: self.due.max(now) };
            }
            (RunState::Queued { .. }, RunEvent::Shadow) => next.finish(now, Verdict::Shadow, None),
            (_, RunEvent::Shadow) => return Err(Illegal::State("it is not queued")),
            (_, RunEvent::Release) => return Err(Illegal::State("it is not held")),
            (RunState::Held(Hold::Lost), RunEvent::Wait) => next.state = RunState::Held(Hold::Overlap),
            (_, RunEvent::Wait) => return Err(Illegal::State("it does not wait for a person")),
        }
        Ok(next)
    }

    fn settle(&mut self, stop: Option<StopReason>, attempt: Attempt, policy: &Policy, now: Timestamp) {
        let outcome = attempt.outcome;
        let wait = policy.retry.wait_after(self.id, self.retries, outcome, &attempt.exit);
        self.attempts.push(attempt);
        match outcome {
            Outcome::Success if sabotage!("success-retried") && self.attempts.len() == 1 => {
                self.state = RunState::Queued { due: now };
            }
            Outcome::Success => self.finish(now, Verdict::Success, None),
            // Whoever asked for the end gets it, however the attempt met it.
            _ if stop.is_some() && !sabotage!("cancel-forgotten") => {
                self.finish(now, Verdict::Cancelled, None)
            }
            Outcome::Cancelled => self.finish(now, Verdict::Cancelled, None),
            Outcome::Lost | Outcome::Interrupted => {
                self.losses += 1;
                match policy.on_lost {
                    OnLost::Fail if sabotage!("lost-fail-retried") => {
                        self.state = RunState::Queued { due: now }
                    }
                    OnLost::Retry if self.losses <= LOSSES_MAX || sabotage!("lost-unbounded") => {
                        self.state = RunState::Queued { due: now }
                    }
                    OnLost::Hold => self.state = RunState::Held(Hold::Lost),
                    OnLost::Retry | OnLost::Fail => self.finish(now, Verdict::Lost, None),
                }
            }
            Outcome::Failed | Outcome::Timeout | Outcome::SpawnFailed => match wait {
                Some(wait) => {
                    self.retries += if sabotage!("retry-counted-twice") { 2 } else { 1 };
                    self.state = RunState::Queued { due: now.saturating_add(wait) };
                }
                None if outcome == Outcome::Timeout => self.finish(now, Verdict::Timeout, None),
                None => self.finish(now, Verdict::Failed, None),
            },
        }
    }

    fn finish(&mut self, at: Timestamp, verdict: Verdict, reason: Option<Reason>) {
        self.state = RunState::Finished { at, verdict, reason };
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, RunState::Finished { .. })
    }

    /// The number the next attempt will have, from 1.
    pub fn next_attempt(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }
}
