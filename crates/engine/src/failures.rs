//! What bad ends lead to: a count for each job, a pause where it is too high, and a person's word where a run waits.

use crate::backfill::is_backfill;
use crate::book::Book;
use crate::control;
use punctual_core::error::Code;
use punctual_core::id::RunId;
use punctual_core::job::Overlap;
use punctual_core::run::{Run, RunEvent, Verdict};
use punctual_store::row::{JobRow, TriggerRow};

/// The job was paused because its runs ended badly.
const PAUSED: Code = Code("RUN018");

impl Book {
    /// Counts the bad ends of a job's runs since its last success.
    pub(crate) fn count_failure(&mut self, run: &Run, verdict: Verdict) {
        let Some(row) = self.jobs.get(&run.job) else { return };
        let before = row.failures;
        let failures = match verdict {
            Verdict::Success => 0,
            Verdict::Failed | Verdict::Timeout | Verdict::Lost => before.saturating_add(1),
            Verdict::Cancelled | Verdict::Expired | Verdict::Shadow => before,
        };
        if failures == before {
            return;
        }
        let row = JobRow { failures, ..row.clone() };
        self.put_job(row);
        if failures > before {
            self.pause_after(run, failures);
        }
    }

    /// Pauses a job whose last `failures` runs ended badly, if it is to be.
    fn pause_after(&mut self, run: &Run, failures: u32) {
        let Some(row) = self.jobs.get(&run.job).cloned() else { return };
        // What the past brings to light does not stop the present.
        if row.paused.is_some() || row.retired || is_backfill(run) {
            return;
        }
        let Some(definition) = self.definition(row.id, row.revision) else { return };
        if definition.pause_after_failures.is_none_or(|most| failures < most) {
            return;
        }
        let triggers: Vec<TriggerRow> = self.triggers.values().filter(|t| t.job == row.id).cloned().collect();
        if !definition.triggers.iter().all(|t| triggers.iter().any(|row| row.name == t.name)) {
            self.effects.unread.insert(row.id);
            return;
        }
        let runs = if failures == 1 { "a run".into() } else { format!("{failures} runs in a row") };
        let reason = format!("{runs} ended badly, the last is {} ({PAUSED})", run.id);
        self.effects.paused.push((row.name.clone(), reason.clone()));
        control::pause(self, row, triggers, &reason);
    }

    /// Lets a run go on that waits for a person: at once, or after an earlier run of its job. False if none waits.
    pub fn let_go(&mut self, id: RunId) -> bool {
        let Some(run) = self.run(id) else { return false };
        let (job, revision) = (run.job, run.revision);
        let Some(definition) = self.definition(job, revision) else { return false };
        let free = definition.overlap == Overlap::Allow || self.unfinished(job).0.is_empty();
        self.event(id, if free { RunEvent::Release } else { RunEvent::Wait })
    }
}
