//! Which waiting runs start now, and which have waited too long.

use super::Book;
use punctual_core::id::{JobId, NodeId, Revision, RunId};
use punctual_core::occurrence::Reason;
use punctual_core::queue::{self, Candidate, Capacity};
use punctual_core::run::{Hold, RunEvent, RunState};
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use std::collections::BTreeSet;

impl Book {
    /// Ends queued and held runs whose start deadline has passed.
    pub fn expire(&mut self) {
        let waiting: Vec<(RunId, JobId, Revision, Timestamp)> = self
            .runs
            .values()
            .filter(|r| matches!(r.state, RunState::Queued { .. } | RunState::Held(Hold::Overlap)))
            .filter(|r| r.attempts.is_empty() && r.trigger.is_some())
            .map(|r| (r.id, r.job, r.revision, r.nominal))
            .collect();
        for (id, job, revision, nominal) in waiting {
            let Some(definition) = self.definition(job, revision) else { continue };
            if definition.start_deadline.is_some_and(|d| self.now > nominal.saturating_add(d))
                && !sabotage!("deadline-ignored")
            {
                self.event(id, RunEvent::Expire(Reason::StartDeadline));
            }
        }
    }

    /// Chooses among the queued runs that are due and leases the picks to `node`; in shadow, ends them.
    /// `shunned` runs are left alone.
    pub fn start(&mut self, node: NodeId, slots: usize, shadow: bool, shunned: &BTreeSet<RunId>) {
        let candidates: Vec<Candidate> = self
            .runs
            .values()
            .filter(|run| !shunned.contains(&run.id))
            .filter_map(|run| match run.state {
                RunState::Queued { due } if due <= self.now => {
                    Some(Candidate { run: run.id, rank: queue::rank(due, &run.queue, run.priority) })
                }
                _ => None,
            })
            .collect();
        let slots = if shadow { usize::MAX } else { slots };
        for id in queue::choose(&candidates, Capacity { slots }).picks {
            if shadow {
                self.event(id, RunEvent::Shadow);
            } else if self.has_lost_start(id, node) {
                // What the journal knows of it has been written down, and decides what becomes of it.
            } else if self.lease(id, node) {
                self.effects.leased.push(self.runs[&id].clone());
            }
        }
    }
}
