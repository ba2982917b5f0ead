//! How a run may come about and change: I-1, I-2, I-6, I-7, I-9 to I-13, and what the supervisor knows of it.

use super::{Checker, Commit, Doing};
use crate::plan::{Job, OnLost, When};
use punctual_core::attempt::{Attempt, Outcome};
use punctual_core::id::Fence;
use punctual_core::occurrence::Reason;
use punctual_core::run::{Hold, Lease, Run, RunState, StopReason, Verdict};
use punctual_core::time::Timestamp;
use punctual_engine::supervisor::protocol::{Ended, Told};

/// How often a lost attempt is tried again.
const LOSSES_MAX: u32 = 3;

type Verdicts = Result<(), (&'static str, String)>;

fn must(holds: bool, promise: &'static str, text: impl FnOnce() -> String) -> Verdicts {
    if holds { Ok(()) } else { Err((promise, text())) }
}

impl Checker {
    /// A run that was not there before.
    pub(super) fn arrived(&mut self, run: &Run, commit: &mut Commit<'_>) {
        if let Err((promise, text)) = self.may_arrive(run, commit) {
            self.broken(promise, text);
        }
        if let Some(trigger) = run.trigger {
            self.keys.insert((trigger, run.key.clone()), run.id);
        }
        self.tally.arrival(run);
        self.put(run, commit);
        commit.woken.push(run.id);
    }

    fn may_arrive(&self, run: &Run, commit: &Commit<'_>) -> Verdicts {
        must(!self.runs.contains_key(&run.id), "I-1", || format!("run {} comes about twice", run.id))?;
        let same = self.own(run.job).find(|other| other.key == run.key);
        must(same.is_none(), "I-1", || format!("run {} has the key {} of {same:?}", run.id, run.key))?;
        let before = commit.jobs_before.get(&run.job).map(|job| job.revision);
        let now = self.jobs[&run.job].revision;
        must(Some(run.revision) == before || run.revision == now, "I-10", || {
            format!("run {} is of revision {:?}, not {now:?}", run.id, run.revision)
        })?;
        must(run.attempts.is_empty() && run.retries == 0 && run.losses == 0, "I-10", || {
            format!("run {} is born with a past", run.id)
        })?;
        match run.trigger {
            None => {
                must(self.doing == Doing::Submit, "I-2", || format!("nobody submitted run {}", run.id))?;
                must(run.nominal == commit.now, "I-2", || format!("run {} has another time", run.id))?;
            }
            Some(trigger) => {
                must(!self.keys.contains_key(&(trigger, run.key.clone())), "I-1", || {
                    format!("the occurrence {} of trigger {} runs twice", run.key, trigger.0)
                })?;
                must(run.nominal <= commit.now, "I-2", || {
                    format!("run {} of {:?} is made at {:?}", run.id, run.nominal, commit.now)
                })?;
            }
        }
        must(run.due >= run.nominal, "I-2", || {
            format!("run {} is due at {:?}, before its time {:?}", run.id, run.due, run.nominal)
        })?;
        match &run.state {
            RunState::Queued { due } => {
                // One that was held is released at now at the earliest.
                must(*due == run.due || *due == run.due.max(commit.now), "I-2", || {
                    format!("run {} waits for {due:?}", run.id)
                })
            }
            RunState::Held(hold) => {
                must(*hold == Hold::Overlap, "I-10", || format!("run {} is lost", run.id))
            }
            RunState::Leased(lease) => {
                let queued = Run { state: RunState::Queued { due: run.due }, fence: Fence(0), ..run.clone() };
                self.may_lease(&queued, run, lease, commit.now)
            }
            RunState::Finished { verdict, .. } => {
                must(matches!(verdict, Verdict::Expired | Verdict::Cancelled), "I-10", || {
                    format!("run {} is born {verdict:?}", run.id)
                })
            }
        }
    }

    /// A run that is no longer as it was.
    pub(super) fn changed(&mut self, run: &Run, commit: &mut Commit<'_>) {
        let Some(old) = self.runs.get(&run.id).cloned() else {
            return self.broken("I-10", format!("run {} is changed and does not exist", run.id));
        };
        if let Err((promise, text)) = self.may_change(&old, run, commit) {
            self.broken(promise, text);
        }
        if matches!(old.state, RunState::Held(Hold::Overlap)) {
            commit.woken.push(run.id);
        }
        if run.attempts.len() > old.attempts.len() {
            self.tally.attempt(&run.attempts[old.attempts.len()]);
        }
        self.put(run, commit);
    }

    fn put(&mut self, run: &Run, commit: &mut Commit<'_>) {
        if let RunState::Finished { verdict, .. } = run.state {
            self.unfinished.remove(&run.id);
            self.tally.verdict(run, verdict);
            commit.finished.push((run.clone(), verdict));
        } else {
            self.unfinished.insert(run.id);
        }
        self.runs.insert(run.id, run.clone());
    }

    fn may_change(&self, old: &Run, new: &Run, commit: &Commit<'_>) -> Verdicts {
        must(!old.is_finished(), "I-10", || format!("run {} had ended: {:?}", old.id, old.state))?;
        let same = Run {
            state: new.state.clone(),
            fence: new.fence,
            retries: new.retries,
            losses: new.losses,
            attempts: new.attempts.clone(),
            ..old.clone()
        };
        must(same == *new, "I-14", || format!("run {} is another: {old:?} became {new:?}", old.id))?;
        must(new.attempts.starts_with(&old.attempts), "I-10", || format!("run {} forgets attempts", old.id))?;
        let attempts = new.attempts.len() - old.attempts.len();
        let quiet = || must(attempts == 0, "I-10", || format!("run {} has an attempt from nowhere", old.id));
        match (&old.state, &new.state) {
            (RunState::Queued { .. }, RunState::Leased(lease)) => {
                quiet()?;
                self.may_lease(old, new, lease, commit.now)
            }
            (RunState::Leased(before), RunState::Leased(after)) if attempts == 0 => {
                quiet()?;
                self.may_stop(old, before, after, commit)
            }
            (RunState::Leased(lease), _) => {
                must(attempts == 1, "I-10", || format!("run {} ends {attempts} attempts", old.id))?;
                let attempt = &new.attempts[old.attempts.len()];
                self.is_true(old, lease, attempt, commit.now)?;
                let mid = self.after_attempt(old, new, lease, attempt, commit.now)?;
                if mid == *new { Ok(()) } else { self.may_change(&mid, new, commit) }
            }
            (RunState::Held(Hold::Overlap), RunState::Queued { .. } | RunState::Leased(_)) => {
                quiet()?;
                let mid = Run { state: RunState::Queued { due: old.due.max(commit.now) }, ..old.clone() };
                if mid == *new { Ok(()) } else { self.may_change(&mid, new, commit) }
            }
            (_, RunState::Finished { verdict: Verdict::Cancelled, .. }) => {
                quiet()?;
                self.may_cancel(old, commit)
            }
            (_, RunState::Finished { verdict: Verdict::Expired, reason, .. }) => {
                quiet()?;
                let late = self.is_late(old, commit.now);
                let fine = late && old.attempts.is_empty() && *reason == Some(Reason::StartDeadline);
                must(fine, "I-5", || format!("run {} expires: {:?}", old.id, new.state))
            }
            _ => Err(("I-10", format!("run {}: {:?} became {:?}", old.id, old.state, new.state))),
        }
    }

    fn is_late(&self, run: &Run, now: Timestamp) -> bool {
        let deadline = self.definition(run.job, run.revision).deadline;
        let limit = deadline.map(|secs| run.nominal.as_micros() + secs * 1_000_000);
        run.trigger.is_some() && limit.is_some_and(|limit| now.as_micros() > limit)
    }

    fn may_lease(&self, old: &Run, new: &Run, lease: &Lease, now: Timestamp) -> Verdicts {
        let RunState::Queued { due } = old.state else { return Err(("I-10", "not queued".into())) };
        must(due <= now, "I-2", || format!("run {} is leased before {due:?}, at {now:?}", old.id))?;
        must(new.fence == Fence(old.fence.0 + 1) && lease.fence == new.fence, "I-6", || {
            format!("run {}: the lease after {:?} is {:?}", old.id, old.fence, lease.fence)
        })?;
        must(lease.owner == self.node, "I-6", || format!("run {} is leased to the dead", old.id))?;
        must(lease.stop.is_none() && lease.since == now, "I-10", || format!("run {}: {lease:?}", old.id))?;
        let late = old.attempts.is_empty() && self.is_late(old, now);
        must(!late, "I-5", || format!("run {} starts after its deadline", old.id))
    }

    fn may_stop(&self, run: &Run, before: &Lease, after: &Lease, commit: &Commit<'_>) -> Verdicts {
        let same = Lease { stop: before.stop, ..after.clone() } == *before;
        must(same, "I-10", || format!("run {}: {before:?} became {after:?}", run.id))?;
        must(before.stop.is_none() || before.stop == after.stop, "I-10", || {
            format!("run {} is told {:?} after {:?}", run.id, after.stop, before.stop)
        })?;
        match after.stop {
            None => Ok(()),
            Some(_) if before.stop.is_some() => Ok(()),
            Some(_) => self.may_cancel(run, commit),
        }
    }

    fn may_cancel(&self, run: &Run, commit: &Commit<'_>) -> Verdicts {
        let replaced = commit.decision.runs_new.iter().any(|new| {
            new.job == run.job
                && self.definition(new.job, new.revision).overlap == crate::plan::Overlap::CancelRunning
        });
        must(replaced || self.doing == Doing::Cancel, "I-10", || {
            format!("run {} is cancelled by {:?}", run.id, self.doing)
        })
    }

    /// I-11, I-12, I-13: what is recorded of an attempt is what the supervisor saw.
    fn is_true(&self, old: &Run, lease: &Lease, attempt: &Attempt, now: Timestamp) -> Verdicts {
        let number = u32::try_from(old.attempts.len()).unwrap_or(u32::MAX) + 1;
        must(attempt.number == number && attempt.node == lease.owner, "I-10", || {
            format!("run {}: attempt {attempt:?} under {lease:?}", old.id)
        })?;
        if !self.definition(old.job, old.revision).process {
            let fine = matches!(attempt.outcome, Outcome::Success | Outcome::Lost);
            return must(fine, "I-11", || format!("run {} has no process: {attempt:?}", old.id));
        }
        let supervisor = self.supervisor.borrow();
        let truth = supervisor.truth.get(&(old.id, lease.fence));
        let alive = truth.is_some_and(|truth| truth.alive);
        must(!alive, "I-11", || format!("run {} lives, and is said to be {:?}", old.id, attempt.outcome))?;
        match (attempt.outcome, truth) {
            (Outcome::Lost, None) => must(lease.owner != self.node, "I-8", || {
                format!("run {} is lost though it never started", old.id)
            }),
            (Outcome::Lost, Some(truth)) => must(truth.end.is_none() || truth.unseen, "I-12", || {
                format!("run {} ended as {:?}, and is said to be lost", old.id, truth.end)
            }),
            (Outcome::SpawnFailed, None) => {
                must(!supervisor.up, "I-11", || format!("run {} was never tried", old.id))
            }
            (_, None) => Err(("I-11", format!("run {} never started: {attempt:?}", old.id))),
            (outcome, Some(truth)) => {
                let fine = truth.end.as_ref().is_some_and(|end| outcome == outcome_of(end));
                must(fine, "I-11", || format!("run {}: {attempt:?}, in truth {:?}", old.id, truth.end))?;
                let started = attempt.started.map(Timestamp::as_micros);
                let fine = outcome == Outcome::SpawnFailed || started == Some(truth.started);
                must(fine, "I-11", || format!("run {} started at {now:?}", old.id))
            }
        }
    }

    /// I-10, I-13: what follows an attempt; what follows that in the same decision is another change.
    fn after_attempt(
        &self,
        old: &Run,
        new: &Run,
        lease: &Lease,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Run, (&'static str, String)> {
        let definition = self.definition(old.job, old.revision);
        let expected = expected_after(&definition, old, lease.stop, attempt.outcome);
        let mut mid = old.clone();
        mid.attempts.push(attempt.clone());
        mid.state = match &expected {
            After::Ends(verdict) => RunState::Finished { at: now, verdict: *verdict, reason: None },
            After::Retries { backoff } => {
                mid.retries += 1;
                let latest = now.as_micros() + backoff * 1_000_000;
                let range = latest - backoff * 250_000 - 1..=latest;
                match new.state {
                    RunState::Queued { due } if range.contains(&due.as_micros()) => RunState::Queued { due },
                    _ => RunState::Queued { due: Timestamp::from_micros(latest) },
                }
            }
            After::Again => {
                mid.losses += 1;
                RunState::Queued { due: now }
            }
            After::Holds => {
                mid.losses += 1;
                RunState::Held(Hold::Lost)
            }
        };
        if matches!(expected, After::Ends(Verdict::Lost)) {
            mid.losses += 1;
        }
        let ended = matches!(expected, After::Ends(_));
        let fine = mid.retries == new.retries && mid.losses == new.losses && (!ended || mid == *new);
        let promise = if attempt.outcome == Outcome::Success { "I-11" } else { "I-13" };
        must(fine, promise, || {
            format!("run {} after {:?}: {expected:?} expected, not {new:?}", old.id, attempt.outcome)
        })?;
        Ok(mid)
    }

    /// Judges a start, which the daemon has just asked for.
    pub fn started(&mut self, run: &Run, slots: usize) {
        if let Err((promise, text)) = self.may_start(run, slots) {
            self.broken(promise, text);
        }
    }

    fn may_start(&self, run: &Run, slots: usize) -> Verdicts {
        let stored = self.runs.get(&run.id);
        let leased = stored.is_some_and(|stored| match &stored.state {
            RunState::Leased(lease) => lease.fence == run.fence && lease.owner == self.node,
            _ => false,
        });
        must(leased, "I-8", || format!("run {} starts, and is {stored:?}", run.id))?;
        let supervisor = self.supervisor.borrow();
        must(!supervisor.lives(run.id), "I-9", || format!("run {} runs already", run.id))?;
        must(!supervisor.truth.contains_key(&(run.id, run.fence)), "I-6", || {
            format!("lease {:?} of run {} starts twice", run.fence, run.id)
        })?;
        must(supervisor.living().count() < slots, "I-16", || format!("run {} has no slot", run.id))?;
        let definition = self.definition(run.job, run.revision);
        let earlier: Vec<_> = supervisor.truth.iter().filter(|(key, _)| key.0 == run.id).collect();
        let lost = run.attempts.iter().any(|a| matches!(a.outcome, Outcome::Lost | Outcome::Interrupted));
        let once = definition.on_lost != OnLost::Retry;
        must(!(once && lost), "I-13", || format!("run {} starts again after it was lost", run.id))?;
        let retries = definition.retries.map_or(0, |(max, _)| max);
        must(earlier.len() <= (retries + LOSSES_MAX) as usize, "I-13", || {
            format!("run {} starts for the {}th time", run.id, earlier.len() + 1)
        })?;
        let no_trigger = |t: &&crate::plan::Trigger| matches!(t.when, When::After { .. });
        debug_assert!(definition.triggers.iter().filter(no_trigger).count() <= 1, "one of a kind");
        Ok(())
    }
}

#[derive(Debug)]
enum After {
    Ends(Verdict),
    Retries { backoff: i64 },
    Again,
    Holds,
}

fn expected_after(job: &Job, run: &Run, stop: Option<StopReason>, outcome: Outcome) -> After {
    match outcome {
        Outcome::Success => After::Ends(Verdict::Success),
        _ if stop.is_some() => After::Ends(Verdict::Cancelled),
        Outcome::Cancelled => After::Ends(Verdict::Cancelled),
        Outcome::Lost | Outcome::Interrupted => match job.on_lost {
            OnLost::Retry if run.losses < LOSSES_MAX => After::Again,
            OnLost::Hold => After::Holds,
            _ => After::Ends(Verdict::Lost),
        },
        _ => match job.retries {
            Some((max, backoff)) if run.retries < max => {
                After::Retries { backoff: (backoff << run.retries.min(20)).min(300) }
            }
            _ if outcome == Outcome::Timeout => After::Ends(Verdict::Timeout),
            _ => After::Ends(Verdict::Failed),
        },
    }
}

/// What an end means.
pub fn outcome_of(end: &Ended) -> Outcome {
    match end {
        Ended { spawn_error: Some(_), .. } => Outcome::SpawnFailed,
        Ended { told: Some(Told::Timeout), .. } => Outcome::Timeout,
        Ended { told: Some(Told::Stop), .. } => Outcome::Cancelled,
        Ended { code: Some(0), .. } => Outcome::Success,
        Ended { told: Some(Told::Orphaned), .. } => Outcome::Interrupted,
        _ => Outcome::Failed,
    }
}
