//! What must hold: every decision that is committed is judged against what was there before, by rules written anew.
//!
//! The checker keeps its own copy of the store from the decisions it saw. If the store shows something else, something was
//! written outside a transaction, or lost.

mod runs;
mod triggers;

use crate::plan::{Job, Overlap, When};
use crate::supervisor::Supervisor;
use crate::tally::Tally;
use crate::timetable::Timetables;
use punctual_core::id::{JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::{Reason, Skip};
use punctual_core::run::{Hold, Run, RunState, Verdict};
use punctual_core::time::Timestamp;
use punctual_engine::clock::Clock;
use punctual_store::row::{DedupRow, JobRow, TriggerRow};
use punctual_store::{Decision, Done};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, as ARCHITECTURE.md numbers it.
    pub promise: &'static str,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.text)
    }
}

/// What the world has asked of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A cycle, or what a daemon does at its start.
    Cycle,
    /// A run was submitted.
    Submit,
    /// Runs are cancelled.
    Cancel,
    /// A job is paused.
    Pause,
    /// A job is resumed; whether what passed is missed.
    Resume(bool),
    /// Definitions are applied.
    Apply,
    /// The daemon starts after that boot.
    Boot(String),
}

/// The checker and its copy of the store.
pub struct Checker {
    clock: Clock,
    timetables: Timetables,
    supervisor: Rc<RefCell<Supervisor>>,
    /// Every definition of the seed, by number.
    pub definitions: Vec<Rc<Job>>,
    /// What is going on.
    pub doing: Doing,
    /// The node of the daemon that lives.
    pub node: NodeId,
    /// Whether something was refused on purpose, so that jobs may be set aside.
    pub poisoned: bool,
    /// What was seen.
    pub tally: Tally,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// Jobs, as decided.
    pub jobs: BTreeMap<JobId, JobRow>,
    revisions: BTreeMap<(JobId, Revision), usize>,
    /// Triggers, as decided.
    pub triggers: BTreeMap<TriggerId, TriggerRow>,
    /// All runs, as decided.
    pub runs: BTreeMap<RunId, Run>,
    /// Of them those that have not ended.
    pub unfinished: BTreeSet<RunId>,
    /// Nominal times that have their disposition.
    told: BTreeSet<(TriggerId, Timestamp)>,
    /// Keys of occurrences that became runs.
    keys: BTreeMap<(TriggerId, String), RunId>,
    /// Submitted keys.
    pub dedup: BTreeMap<(JobId, String), DedupRow>,
    /// Skips, in the order of their decisions.
    pub skips: Vec<Skip>,
    /// Decisions committed that were not empty.
    pub commits: u64,
}

/// A decision, and what there was before.
struct Commit<'a> {
    decision: &'a Decision,
    taken: &'a [RunId],
    now: Timestamp,
    jobs_before: BTreeMap<JobId, JobRow>,
    /// Ended by it.
    finished: Vec<(Run, Verdict)>,
    /// Arrived, or was released, and waits for its start or has it.
    woken: Vec<RunId>,
}

impl Checker {
    /// A checker of an empty store.
    pub fn new(clock: Clock, supervisor: Rc<RefCell<Supervisor>>) -> Self {
        Self {
            clock,
            timetables: Timetables::new(),
            supervisor,
            definitions: Vec::new(),
            doing: Doing::Cycle,
            node: NodeId(0),
            poisoned: false,
            tally: Tally::default(),
            violations: Vec::new(),
            jobs: BTreeMap::new(),
            revisions: BTreeMap::new(),
            triggers: BTreeMap::new(),
            runs: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            told: BTreeSet::new(),
            keys: BTreeMap::new(),
            dedup: BTreeMap::new(),
            skips: Vec::new(),
            commits: 0,
        }
    }

    /// Notes that a promise was broken.
    pub fn broken(&mut self, promise: &'static str, text: impl Into<String>) {
        self.violations.push(Violation { promise, text: text.into() });
    }

    /// The definition of that revision.
    pub fn definition(&self, job: JobId, revision: Revision) -> Rc<Job> {
        self.definitions[self.revisions[&(job, revision)]].clone()
    }

    /// The definition in force.
    pub fn in_force(&self, job: JobId) -> Rc<Job> {
        self.definition(job, self.jobs[&job].revision)
    }

    fn own(&self, job: JobId) -> impl Iterator<Item = &Run> {
        self.unfinished.iter().map(|id| &self.runs[id]).filter(move |run| run.job == job)
    }

    /// Judges a decision that is durable.
    pub fn commit(&mut self, decision: &Decision, done: &Done) {
        if is_empty(decision) {
            return;
        }
        self.commits += 1;
        let mut commit = Commit {
            decision,
            taken: &done.taken,
            now: self.clock.now(),
            jobs_before: self.jobs.clone(),
            finished: Vec::new(),
            woken: Vec::new(),
        };
        for row in &decision.revisions {
            let number = number_of(&row.definition);
            self.revisions.insert((row.job, row.revision), number);
        }
        for row in &decision.jobs {
            self.job_row(row, &commit);
        }
        for run in &decision.runs {
            self.changed(run, &mut commit);
        }
        for run in decision.runs_new.iter().filter(|run| !done.taken.contains(&run.id)) {
            self.arrived(run, &mut commit);
        }
        self.check_triggers(&commit);
        self.follow(&commit);
        self.check_overlap(&commit);
        for skip in &decision.skips {
            self.tally.skip(skip);
            self.skips.push(skip.clone());
        }
        for row in &decision.dedup {
            self.dedup.insert((row.job, row.key.clone()), row.clone());
        }
    }

    fn job_row(&mut self, row: &JobRow, commit: &Commit<'_>) {
        let before = commit.jobs_before.get(&row.id);
        let edited = before.is_none_or(|b| b.revision != row.revision || b.retired != row.retired);
        if edited && self.doing != Doing::Apply {
            self.broken("I-10", format!("job {} is changed by {:?}", row.name, self.doing));
        }
        let paused = before.is_some_and(|b| b.paused.is_none()) && row.paused.is_some();
        let resumed = before.is_some_and(|b| b.paused.is_some()) && row.paused.is_none();
        let may_pause = match self.doing {
            Doing::Pause | Doing::Apply => true,
            _ => self.poisoned,
        };
        if paused && !may_pause {
            self.broken("L-7", format!("job {} is paused by {:?}: {:?}", row.name, self.doing, row.paused));
        }
        if resumed && !matches!(self.doing, Doing::Resume(_) | Doing::Apply) {
            self.broken("I-10", format!("job {} is resumed by {:?}", row.name, self.doing));
        }
        self.jobs.insert(row.id, row.clone());
    }

    /// I-15: the overlap policy, at the end of a decision.
    fn check_overlap(&mut self, commit: &Commit<'_>) {
        let mut found = Vec::new();
        for id in &commit.woken {
            let run = &self.runs[id];
            if !is_active(run) {
                continue;
            }
            let arrived = commit.decision.runs_new.iter().any(|new| new.id == *id);
            let in_force = self.in_force(run.job);
            // One that arrived under a policy that an edit has just lifted is let go.
            let lifted = in_force.overlap == Overlap::Allow;
            let definition =
                if arrived && !lifted { self.definition(run.job, run.revision) } else { in_force };
            let others = self.own(run.job).filter(|other| other.id != *id && is_active(other));
            if let Some(other) = others.into_iter().next()
                && definition.overlap != Overlap::Allow
            {
                found.push(format!("run {id} of {} is active beside {}", definition.name, other.id));
            }
        }
        let jobs: BTreeSet<JobId> = self.unfinished.iter().map(|id| self.runs[id].job).collect();
        for job in jobs {
            if self.own(job).any(is_held) && !self.own(job).any(is_active) {
                found.push(format!("a run of {} waits for nothing", self.jobs[&job].name));
            }
        }
        for new in commit.decision.runs_new.iter().filter(|run| is_held(run) && run.trigger.is_some()) {
            let others = || self.own(new.job).filter(|other| other.id != new.id);
            let replaced = |other: &Run| match &other.state {
                RunState::Leased(lease) => lease.stop.is_some(),
                RunState::Held(Hold::Lost) => true,
                _ => false,
            };
            let fine = match self.definition(new.job, new.revision).overlap {
                Overlap::Skip | Overlap::Allow => false,
                Overlap::QueueOne => !others().any(is_held),
                Overlap::QueueAll => true,
                Overlap::CancelRunning => others().all(replaced),
            };
            if !fine {
                found.push(format!("run {} of {} waits", new.id, self.jobs[&new.job].name));
            }
        }
        for skip in commit.decision.skips.iter().filter(|s| s.range.reason == Some(Reason::Overlap)) {
            let gone = commit.finished.iter().filter(|(run, _)| run.job == skip.job).any(|(_, verdict)| {
                matches!(verdict, Verdict::Expired | Verdict::Shadow | Verdict::Cancelled)
            });
            let fine = match self.definition(skip.job, skip.revision).overlap {
                Overlap::Skip => gone || self.own(skip.job).any(|run| is_active(run) || is_held(run)),
                Overlap::QueueOne => {
                    // An edit that lifts the policy lets the one that waits go at once.
                    let lifted = self.in_force(skip.job).overlap == Overlap::Allow;
                    gone || self.own(skip.job).any(|run| is_held(run) || (lifted && is_active(run)))
                }
                _ => false,
            };
            if !fine {
                found.push(format!("{:?} of {} is skipped", skip.range.first, self.jobs[&skip.job].name));
            }
        }
        found.into_iter().for_each(|text| self.broken("I-15", text));
    }

    /// I-17: what follows the runs that ended, and nothing else does.
    fn follow(&mut self, commit: &Commit<'_>) {
        let mut expected: BTreeMap<TriggerId, usize> = BTreeMap::new();
        let mut unsure = BTreeSet::new();
        for (id, row) in &self.triggers {
            let job = &self.jobs[&row.job];
            if commit.jobs_before.get(&row.job) != Some(job) {
                unsure.insert(*id);
                continue;
            }
            let definition = self.in_force(row.job);
            let Some(When::After { job: upstream, on }) =
                definition.triggers.iter().find(|t| t.name == row.name).map(|t| &t.when)
            else {
                continue;
            };
            let live = row.live && job.paused.is_none() && !job.retired;
            let ended = commit.finished.iter().filter(|(run, verdict)| {
                self.jobs[&run.job].name == *upstream && triggers::follows(*on, *verdict)
            });
            expected.insert(*id, if live { ended.count() } else { 0 });
        }
        for (trigger, count) in expected {
            if unsure.contains(&trigger) {
                continue;
            }
            let runs = commit.decision.runs_new.iter().filter(|run| run.trigger == Some(trigger)).count();
            let skips = commit.decision.skips.iter().filter(|skip| skip.trigger == trigger);
            let skips: u64 = skips.map(|skip| skip.range.count).sum();
            if runs as u64 + skips != count as u64 {
                let text =
                    format!("trigger {} follows {count} ends with {runs} runs, {skips} skips", trigger.0);
                self.broken("I-17", text);
            }
        }
    }
}

fn is_empty(decision: &Decision) -> bool {
    decision.jobs.is_empty()
        && decision.revisions.is_empty()
        && decision.triggers.is_empty()
        && decision.runs.is_empty()
        && decision.runs_new.is_empty()
        && decision.skips.is_empty()
        && decision.dedup.is_empty()
}

fn is_active(run: &Run) -> bool {
    matches!(run.state, RunState::Queued { .. } | RunState::Leased(_))
}

fn is_held(run: &Run) -> bool {
    run.state == RunState::Held(Hold::Overlap)
}

/// Which definition of the seed a stored one is: its description says.
fn number_of(definition: &str) -> usize {
    let json: serde_json::Value = serde_json::from_str(definition).expect("the store holds what was applied");
    json["description"].as_str().and_then(|text| text.parse().ok()).expect("every definition is numbered")
}
