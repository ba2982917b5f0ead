//! The book: one snapshot of the store, worked on by the pure decisions, and closed as one [`Decision`].
//!
//! Everything that changes runs and triggers goes through here, whoever asks: the node's cycle, an edit, a
//! pause, a submitted run. It has no effects and reads no clock; what must happen after the commit is returned
//! beside the decision.

mod start;

use crate::backfill::is_backfill;
use crate::definitions::Definitions;
use crate::past::Past;
use crate::set_back::Repeated;
use punctual_core::admission::{Admission, Arriving, admit};
use punctual_core::attempt::Outcome;
use punctual_core::fire::{self, Firing, Input};
use punctual_core::id::{Fence, JobId, Revision, RunId, TriggerId};
use punctual_core::invariant;
use punctual_core::job::{Job, Overlap};
use punctual_core::occurrence::{Disposition, Occurrence, Skip, SkipRange};
use punctual_core::run::{Hold, Policy, Run, RunEvent, RunState, StopReason};
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use punctual_core::trigger::{Trigger, When};
use punctual_store::row::{DedupRow, JobRow, RevisionRow, TriggerRow};
use punctual_store::{Decision, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nominal times that one trigger may dispose of in one transaction.
pub const TICKS_MAX: usize = 10_000;

/// Nominal times after which one cycle fires no further trigger: a downtime of many jobs is disposed of in several, so
/// that none holds up the store.
const TICKS_A_CYCLE: u64 = 1_000_000;
/// So many nominal times that are skipped are as much work as one that becomes a run.
const TICKS_A_RUN: u64 = 50;

/// Bounded firings that one disposal may take: 14 days of a trigger that fires each 100 ms are 12 million.
const DISPOSALS_MAX: usize = 10_000;

/// What must happen once the decision is durable.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Leased by this decision: start them.
    pub leased: Vec<Run>,
    /// Told to end while an attempt is under way: stop it.
    pub stopped: Vec<(RunId, Fence)>,
    /// Whose last attempt ended by this decision, as they stood after it.
    pub attempted: Vec<Run>,
    /// Ended by this decision.
    pub finished: Vec<Run>,
    /// Jobs that were paused because their runs ended badly, by name, with the reason.
    pub paused: Vec<(String, String)>,
    /// Definitions that were needed and not at hand: load them and decide again.
    pub missing: BTreeSet<(JobId, Revision)>,
    /// Jobs whose triggers were needed and are not in the snapshot: ask for them and decide again.
    pub unread: BTreeSet<JobId>,
    /// Triggers whose next instant could not be found, in words: they fire no more until they are edited, or until
    /// the next daemon finds it.
    pub gave_up: Vec<String>,
}

/// A snapshot being worked on.
pub struct Book {
    pub(crate) now: Timestamp,
    definitions: Arc<Definitions>,
    pub(crate) repeated: Arc<Repeated>,
    pub(crate) jobs: BTreeMap<JobId, JobRow>,
    pub(crate) triggers: BTreeMap<TriggerId, TriggerRow>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    /// The unfinished ones of them, by job.
    unfinished: BTreeMap<JobId, BTreeSet<RunId>>,
    runs_new: BTreeSet<RunId>,
    runs_changed: BTreeSet<RunId>,
    jobs_changed: BTreeSet<JobId>,
    pub(crate) triggers_changed: BTreeSet<TriggerId>,
    pub(crate) job_id_next: i64,
    pub(crate) trigger_id_next: i64,
    /// Nominal times disposed of.
    ticks: u64,
    pub(crate) decision: Decision,
    pub(crate) effects: Effects,
    pub(crate) past: Arc<Past>,
}

impl Book {
    /// Opens the book at `now`. What is in `repeated` has run and runs no more.
    pub fn new(
        snapshot: &Snapshot,
        definitions: Arc<Definitions>,
        repeated: Arc<Repeated>,
        now: Timestamp,
    ) -> Self {
        let mut unfinished: BTreeMap<JobId, BTreeSet<RunId>> = BTreeMap::new();
        for run in &snapshot.runs {
            unfinished.entry(run.job).or_default().insert(run.id);
        }
        Self {
            unfinished,
            now,
            definitions,
            repeated,
            jobs: snapshot.jobs.iter().map(|j| (j.id, j.clone())).collect(),
            triggers: snapshot.triggers.iter().map(|t| (t.id, t.clone())).collect(),
            runs: snapshot.runs.iter().map(|r| (r.id, r.clone())).collect(),
            runs_new: BTreeSet::new(),
            runs_changed: BTreeSet::new(),
            jobs_changed: BTreeSet::new(),
            triggers_changed: BTreeSet::new(),
            job_id_next: snapshot.job_id_next,
            trigger_id_next: snapshot.trigger_id_next,
            ticks: 0,
            decision: Decision::default(),
            effects: Effects::default(),
            past: Arc::default(),
        }
    }

    /// The book of a store with this past.
    #[must_use]
    pub fn after(self, past: Arc<Past>) -> Self {
        Self { past, ..self }
    }

    /// The run as the book has it now.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    /// The job of that name.
    pub fn job_named(&self, name: &str) -> Option<&JobRow> {
        self.jobs.values().find(|j| j.name == name)
    }

    /// The definition of that revision; if it is not at hand, it is noted as missing.
    pub fn definition(&mut self, job: JobId, revision: Revision) -> Option<Arc<Job>> {
        let found = self.definitions.job(job, revision);
        if found.is_none() {
            self.effects.missing.insert((job, revision));
        }
        found
    }

    /// Fires a trigger of a job that is neither paused nor retired, and admits what comes of it.
    pub fn fire(&mut self, id: TriggerId, input: &Input) {
        let row = self.triggers[&id].clone();
        let job_row = &self.jobs[&row.job];
        let revision = job_row.revision;
        let Some(job) = self.definition(row.job, revision) else { return };
        let Some(trigger) = job.triggers.iter().find(|t| t.name == row.name) else {
            return self.give_up(row);
        };
        // A fixed delay counts from the end of its run, whatever else is resumed meanwhile.
        if *input == Input::Resumed && is_delay(trigger) && self.is_under_way(row.job, id) {
            return;
        }
        match fire::fire(&job, trigger, &row.state, input, self.now, TICKS_MAX) {
            Ok(firing) => self.take_firing(&job, revision, row, firing),
            Err(_) => self.give_up(row),
        }
    }

    /// Whether as many nominal times have been disposed of as one cycle should.
    pub fn is_full(&self) -> bool {
        self.ticks >= TICKS_A_CYCLE
    }

    /// Disposes of all that fell due until now, however much that is.
    pub fn dispose(&mut self, id: TriggerId, input: &Input) {
        for _ in 0..DISPOSALS_MAX {
            let before = self.triggers[&id].state;
            self.fire(id, input);
            let after = self.triggers[&id].state;
            // A bounded firing that has not reached now asks for another.
            if after == before || after.next_at.is_none_or(|next| next > self.now) {
                return;
            }
        }
    }

    /// Takes a trigger that cannot fire out of the due set, where it would be found again and again.
    pub fn park(&mut self, id: TriggerId) {
        let mut row = self.triggers[&id].clone();
        row.state.next_at = None;
        self.put_trigger(row);
    }

    fn give_up(&mut self, row: TriggerRow) {
        let job = self.jobs.get(&row.job).map_or("", |j| j.name.as_str());
        self.effects.gave_up.push(format!("trigger {} of job {job}", row.name));
        self.park(row.id);
    }

    /// When a trigger in force is due next, as far as its state tells; a fixed delay whose run is under way is not.
    /// A search that gives up is noted.
    pub fn next_of(&mut self, trigger: &Trigger, row: &TriggerRow) -> Option<Timestamp> {
        let When::Time(rule) = &trigger.when else { return None };
        if fire::is_delay(rule) {
            // A run under way may be one that a rule of another kind made, before an edit.
            return match row.state.next_at {
                _ if self.is_under_way(row.job, row.id) => None,
                Some(next) => fire::delay_from(rule, &row.state, next),
                None => fire::delay_from(rule, &row.state, self.now),
            };
        }
        fire::next_after(rule, &row.state, row.state.cursor).unwrap_or_else(|_| {
            self.note_search(&row.name, row.job);
            None
        })
    }

    /// Notes that the search for a trigger's next instant gave up.
    pub fn note_search(&mut self, trigger: &str, job: JobId) {
        let job = self.jobs.get(&job).map_or("", |j| j.name.as_str());
        self.effects.gave_up.push(format!("trigger {trigger} of job {job}"));
    }

    /// Whether a run of the trigger has not ended.
    pub(crate) fn is_under_way(&self, job: JobId, trigger: TriggerId) -> bool {
        self.unfinished.get(&job).into_iter().flatten().any(|run| self.runs[run].trigger == Some(trigger))
    }

    fn take_firing(&mut self, job: &Arc<Job>, revision: Revision, mut row: TriggerRow, mut firing: Firing) {
        self.pass_by_what_ran(job, &row, &mut firing);
        if firing.state != row.state {
            row.state = firing.state;
            self.put_trigger(row.clone());
        }
        self.ticks += firing.skips.iter().map(|range| range.count).sum::<u64>();
        // A run is a row, a skip is a part of one.
        self.ticks += firing.occurrences.len() as u64 * TICKS_A_RUN;
        for range in firing.skips {
            self.skip(row.job, row.id, revision, range);
        }
        for occurrence in firing.occurrences {
            self.admit(job, row.job, revision, Some(&row), occurrence, String::new(), Arriving::Fired);
        }
    }

    /// Admits an occurrence by the job's overlap policy; the run it became, if it became one.
    #[expect(clippy::too_many_arguments, reason = "an occurrence and all that it belongs to")]
    pub fn admit(
        &mut self,
        job: &Job,
        job_id: JobId,
        revision: Revision,
        trigger: Option<&TriggerRow>,
        occurrence: Occurrence,
        params: String,
        arriving: Arriving,
    ) -> Option<RunId> {
        let (active, held) = self.unfinished(job_id);
        let (active, held, filling) = self.beside(active, held, arriving);
        let admission = match admit(job.overlap, active.len(), held.len(), arriving) {
            // What is back-filled does not make a trigger skip, and is not cancelled for it: it goes on after.
            Admission::Queue if filling && job.overlap != Overlap::Allow => Admission::Hold,
            admission => admission,
        };
        let state = match admission {
            Admission::Queue => RunState::Queued { due: occurrence.due },
            Admission::Hold | Admission::CancelOthers => RunState::Held(Hold::Overlap),
            Admission::Skip(reason) => {
                let trigger = trigger.expect("only a fired occurrence is skipped by overlap");
                let mut ranges = Vec::new();
                SkipRange::push(&mut ranges, occurrence.nominal, Disposition::Skipped, Some(reason));
                for range in ranges {
                    self.skip(job_id, trigger.id, revision, range);
                }
                self.rearm(job_id, revision, trigger.id);
                return None;
            }
        };
        let trigger_name = trigger.map_or("", |t| t.name.as_str());
        let id = RunId::derive(&job.name, trigger_name, &occurrence.key, occurrence.nominal);
        if self.runs.contains_key(&id) {
            return Some(id);
        }
        let run = Run {
            id,
            job: job_id,
            trigger: trigger.map(|t| t.id),
            revision,
            key: occurrence.key,
            nominal: occurrence.nominal,
            due: occurrence.due,
            state,
            fence: Fence(0),
            retries: 0,
            losses: 0,
            params,
            queue: job.queue.clone(),
            priority: job.priority,
            attempts: Vec::new(),
        };
        self.runs.insert(id, run);
        self.unfinished.entry(job_id).or_default().insert(id);
        self.runs_new.insert(id);
        if admission == Admission::CancelOthers {
            for other in active.into_iter().chain(held) {
                self.event(other, RunEvent::Stop(StopReason::Replaced));
            }
        }
        Some(id)
    }

    /// The unfinished runs that count for what arrives, and whether there are others: those of a back-fill count for
    /// each other only.
    fn beside(
        &self,
        mut active: Vec<RunId>,
        mut held: Vec<RunId>,
        arriving: Arriving,
    ) -> (Vec<RunId>, Vec<RunId>, bool) {
        let before = active.len() + held.len();
        if arriving != Arriving::Backfilled {
            let own = |id: &RunId| !is_backfill(&self.runs[id]);
            active.retain(own);
            held.retain(own);
        }
        let filling = active.len() + held.len() < before;
        (active, held, filling)
    }

    /// Applies an event to a run, with all that follows from its end. False if the run cannot take it.
    pub fn event(&mut self, id: RunId, event: RunEvent) -> bool {
        let applied = self.change(id, event);
        self.follow(applied.then_some(id).as_slice());
        applied
    }

    /// Applies events that came about together. What follows from one end sees all of them: an occurrence is not skipped
    /// because of a run whose end is known as well. The runs that took theirs.
    pub fn events(&mut self, events: impl IntoIterator<Item = (RunId, RunEvent)>) -> Vec<RunId> {
        let mut applied = Vec::new();
        for (id, event) in events {
            if self.change(id, event) {
                applied.push(id);
            }
        }
        self.follow(&applied);
        applied
    }

    fn change(&mut self, id: RunId, event: RunEvent) -> bool {
        let Some(run) = self.runs.get(&id).cloned() else { return false };
        let Some(job) = self.definition(run.job, run.revision) else { return false };
        let policy = Policy { retry: job.retry, on_lost: job.on_lost };
        let Ok(next) = run.apply(event.clone(), &policy, self.now) else { return false };
        invariant!(I6, next.fence >= run.fence, "run {id}: fence {:?} after {:?}", next.fence, run.fence);
        let successes = next.attempts.iter().filter(|a| a.outcome == Outcome::Success).count();
        invariant!(I11, successes <= 1, "run {id} has {successes} successes");
        if matches!(event, RunEvent::Ended { .. }) {
            self.effects.attempted.push(next.clone());
        }
        if let (RunState::Leased(lease), RunEvent::Stop(_)) = (&next.state, event) {
            self.effects.stopped.push((id, lease.fence));
        }
        if next.is_finished()
            && let Some(unfinished) = self.unfinished.get_mut(&run.job)
        {
            unfinished.remove(&id);
        }
        self.runs_changed.insert(id);
        self.runs.insert(id, next);
        true
    }

    /// What follows from the ends among changed runs: the count of failures, held runs, then triggers that wait.
    fn follow(&mut self, changed: &[RunId]) {
        let mut ended = Vec::new();
        for id in changed {
            let run = self.runs[id].clone();
            match run.state {
                RunState::Finished { verdict, .. } => {
                    self.count_failure(&run, verdict);
                    self.release(run.job);
                    ended.push((run, verdict));
                }
                // It waits for a person; nothing waits for it.
                RunState::Held(Hold::Lost) => self.release(run.job),
                _ => {}
            }
        }
        for (run, verdict) in ended {
            if let Some(trigger) = run.trigger {
                self.rearm(run.job, run.revision, trigger);
            }
            // What follows a job follows its present, not its past.
            if is_backfill(&run) {
                continue;
            }
            let Some(name) = self.jobs.get(&run.job).map(|j| j.name.clone()) else { continue };
            for trigger in self.waiting_for(&name) {
                self.fire(trigger, &Input::UpstreamEnded { run: run.id, verdict });
            }
        }
    }

    /// Tells a trigger with a fixed delay that its run has ended, or was skipped.
    fn rearm(&mut self, job: JobId, revision: Revision, trigger: TriggerId) {
        // The run may have been made before an edit: the rule in force counts, and another of its runs may go on.
        let revision = self.jobs.get(&job).map_or(revision, |row| row.revision);
        if self.is_live(trigger) {
            if !self.is_under_way(job, trigger) && !sabotage!("delay-not-rearmed") {
                self.fire(trigger, &Input::RunEnded);
            }
        } else if !self.triggers.contains_key(&trigger)
            && let Some(definition) = self.definition(job, revision)
            && definition.triggers.iter().any(is_delay)
        {
            self.effects.unread.insert(job);
        }
    }

    /// Lets the oldest held run of a job go, those of a back-fill last, if nothing of it is queued or leased.
    fn release(&mut self, job: JobId) {
        let (active, held) = self.unfinished(job);
        if active.is_empty()
            && !sabotage!("held-never-released")
            && let Some(oldest) =
                held.into_iter().min_by_key(|id| (is_backfill(&self.runs[id]), self.runs[id].nominal, *id))
        {
            self.event(oldest, RunEvent::Release);
        }
    }

    /// Lets all held runs of a job go: nothing waits for anything any more.
    pub fn release_all(&mut self, job: JobId) {
        for run in self.unfinished(job).1 {
            self.event(run, RunEvent::Release);
        }
    }

    /// The live triggers that wait for the job of that name.
    fn waiting_for(&mut self, name: &str) -> Vec<TriggerId> {
        let definitions = self.definitions.clone();
        let mut found = Vec::new();
        for id in definitions.downstream(name) {
            let Some(revision) = self.jobs.get(&id).map(|row| row.revision) else {
                self.effects.unread.insert(id);
                continue;
            };
            let Some(job) = self.definition(id, revision) else { continue };
            let waits = |t: &&Trigger| matches!(&t.when, When::After(upstream) if upstream.job == name);
            for trigger in job.triggers.iter().filter(waits) {
                match self.triggers.values().find(|t| t.job == id && t.name == trigger.name) {
                    Some(row) => found.push(row.id),
                    None => _ = self.effects.unread.insert(id),
                }
            }
        }
        found.into_iter().filter(|t| self.is_live(*t)).collect()
    }

    /// Whether the trigger is in force and its job neither paused nor retired.
    pub fn is_live(&self, trigger: TriggerId) -> bool {
        self.triggers.get(&trigger).is_some_and(|t| {
            let rests = |job: &JobRow| job.retired || (job.paused.is_some() && !sabotage!("pause-ignored"));
            t.live && self.jobs.get(&t.job).is_some_and(|job| !rests(job))
        })
    }

    /// The unfinished runs of a job: queued or leased, and held.
    pub(crate) fn unfinished(&self, job: JobId) -> (Vec<RunId>, Vec<RunId>) {
        let mut active = Vec::new();
        let mut held = Vec::new();
        for id in self.unfinished.get(&job).into_iter().flatten() {
            match self.runs[id].state {
                RunState::Queued { .. } | RunState::Leased(_) => active.push(*id),
                RunState::Held(Hold::Overlap) => held.push(*id),
                // It waits for a person, and nothing waits for it.
                RunState::Held(Hold::Lost) | RunState::Finished { .. } => {}
            }
        }
        (active, held)
    }

    /// Records nominal times that did not become runs.
    pub fn skip(&mut self, job: JobId, trigger: TriggerId, revision: Revision, range: SkipRange) {
        self.decision.skips.push(Skip { job, trigger, revision, range, at: self.now });
    }

    /// Writes a job row.
    pub fn put_job(&mut self, row: JobRow) {
        self.jobs_changed.insert(row.id);
        self.jobs.insert(row.id, row);
    }

    /// Writes a trigger row.
    pub fn put_trigger(&mut self, row: TriggerRow) {
        let before = self.triggers.get(&row.id).map(|t| t.state.cursor);
        invariant!(
            I4,
            before.is_none_or(|b| row.state.cursor >= b) || sabotage!("cursor-back"),
            "trigger {}: cursor {:?} after {before:?}",
            row.id.0,
            row.state
        );
        self.triggers_changed.insert(row.id);
        self.triggers.insert(row.id, row);
    }

    /// Writes a definition.
    pub fn put_revision(&mut self, row: RevisionRow) {
        self.decision.revisions.push(row);
    }

    /// Remembers a key.
    pub fn remember(&mut self, row: DedupRow) {
        self.decision.dedup.push(row);
    }

    /// Adds a definition to those the book decides by, after it wrote it.
    pub fn learn(&mut self, job: JobId, revision: Revision, definition: Arc<Job>) {
        Arc::make_mut(&mut self.definitions).insert(job, revision, definition);
    }

    /// The instant the book was opened at.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Closes the book.
    pub fn close(mut self) -> (Decision, Effects) {
        for (id, run) in &self.runs {
            if run.is_finished() && (self.runs_new.contains(id) || self.runs_changed.contains(id)) {
                self.effects.finished.push(run.clone());
            }
            if self.runs_new.contains(id) {
                self.decision.runs_new.push(run.clone());
            } else if self.runs_changed.contains(id) {
                self.decision.runs.push(run.clone());
            }
        }
        self.decision.jobs = self.jobs_changed.iter().map(|id| self.jobs[id].clone()).collect();
        self.decision.triggers = self.triggers_changed.iter().map(|id| self.triggers[id].clone()).collect();
        (self.decision, self.effects)
    }
}

/// Whether deciding about a job needs its unfinished runs.
pub fn is_serial(job: &Job) -> bool {
    job.overlap != Overlap::Allow || job.triggers.iter().any(is_delay)
}

fn is_delay(trigger: &Trigger) -> bool {
    matches!(&trigger.when, When::Time(rule) if fire::is_delay(rule))
}
