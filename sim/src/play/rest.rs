//! What must be true between steps, and the calm at the end, in which all must come to rest.

use super::Game;
use crate::check::Doing;
use crate::hook::Hook;
use crate::world::{SECOND, World};
use punctual_core::id::RunId;
use punctual_core::run::{Hold, RunState, Verdict};
use punctual_engine::block_on::block_on;
use punctual_store::RunFilter;

impl Game {
    /// The store shows what was decided, and what lives is what is leased.
    pub(super) fn check_standing(&mut self) {
        if self.is_broken() {
            return;
        }
        let healthy = std::mem::replace(&mut *self.world.hook.borrow_mut(), silent(&self.world));
        self.compare(40);
        *self.world.hook.borrow_mut() = healthy;
        let checker = self.world.checker.borrow();
        let living: Vec<_> = self.world.supervisor.borrow().living().collect();
        drop(checker);
        for (run, fence) in living {
            let state = self.world.checker.borrow().runs.get(&run).map(|run| run.state.clone());
            let leased = matches!(&state, Some(RunState::Leased(lease)) if lease.fence == fence);
            if !leased {
                self.broken("I-9", format!("a process of run {run} lives, and it is {state:?}"));
            }
        }
    }

    /// Compares the store with the checker's copy: all that is unfinished, and so many that ended.
    fn compare(&mut self, ended: usize) {
        let store = self.world.store.clone();
        let checker = self.world.checker.borrow();
        let Ok((jobs, triggers)) = block_on(store.jobs()) else { return };
        let filter =
            RunFilter { unfinished: true, limit: checker.unfinished.len() + ended, ..Default::default() };
        let Ok(runs) = block_on(store.runs(filter)) else { return };
        let mut found = Vec::new();
        if !jobs.iter().eq(checker.jobs.values()) {
            found.push(format!("jobs are {jobs:?}, decided were {:?}", checker.jobs));
        }
        for (stored, known) in triggers.iter().zip(checker.triggers.values()) {
            if stored != known {
                found.push(format!("trigger {stored:?} was decided to be {known:?}"));
            }
        }
        if triggers.len() != checker.triggers.len() {
            found.push("there are other triggers than were decided".to_owned());
        }
        let unfinished = runs.iter().filter(|run| !run.is_finished()).count();
        if unfinished != checker.unfinished.len() {
            found.push(format!("{unfinished} runs are unfinished, not {}", checker.unfinished.len()));
        }
        for run in &runs {
            if checker.runs.get(&run.id) != Some(run) {
                found.push(format!("run {run:?} was decided to be {:?}", checker.runs.get(&run.id)));
            }
        }
        drop(checker);
        found.into_iter().for_each(|text| self.broken("I-19", text));
    }

    /// No more faults: time passes, and all that was begun must end.
    pub(super) fn come_to_rest(&mut self) {
        self.world.note("no more faults");
        self.world.hook.borrow_mut().heal();
        self.world.end_at_start(None);
        let poisoned = self.world.checker.borrow().poisoned;
        self.plan.faults.clear();
        self.world.supervisor.borrow_mut().calm = true;
        if poisoned && self.world.is_up() {
            self.world.end_daemon();
        }
        if !self.world.is_up() {
            self.start();
        }
        self.report();
        self.world.cycle();
        self.world.checker.borrow_mut().poisoned = false;
        self.catch_up_clock();
        self.resume_all();
        for _ in 0..12 {
            self.world.pass(20 * SECOND);
            self.report();
            self.world.cycle();
            if self.is_broken() {
                return;
            }
        }
        self.end_service();
        if !self.is_broken() {
            self.check_rest();
        }
    }

    /// The clock is right again, and no trigger has seen more than it shows.
    fn catch_up_clock(&mut self) {
        let latest = {
            let checker = self.world.checker.borrow();
            checker.triggers.values().map(|t| t.state.cursor.as_micros()).max().unwrap_or(0)
        };
        let behind = latest - self.world.now().as_micros();
        if behind > 0 {
            self.world.step_clock(behind + 5 * SECOND);
        }
    }

    fn resume_all(&mut self) {
        let paused: Vec<String> = {
            let checker = self.world.checker.borrow();
            let paused = checker.jobs.values().filter(|job| job.paused.is_some() && !job.retired);
            paused.map(|job| job.name.clone()).collect()
        };
        for name in paused {
            let answer = self.world.ask(Doing::Resume(false), |engine| block_on(engine.resume(&name, false)));
            if !matches!(answer, Some(Ok(()))) {
                self.broken("L-3", format!("{name} cannot be resumed: {answer:?}"));
            }
        }
    }

    /// Nothing fires any more; what there is ends.
    fn end_service(&mut self) {
        let names: Vec<String> = {
            let checker = self.world.checker.borrow();
            checker.jobs.values().filter(|job| !job.retired).map(|job| job.name.clone()).collect()
        };
        for name in names {
            let answer = self.world.ask(Doing::Pause, |engine| block_on(engine.pause(&name, "the end")));
            if !matches!(answer, Some(Ok(()))) {
                self.broken("L-3", format!("{name} cannot be paused: {answer:?}"));
            }
        }
        let now = self.world.now();
        let overdue = self.world.checker.borrow_mut().overdue(now, true);
        overdue.into_iter().for_each(|text| self.broken("I-3", text));
        for round in 0..6000 {
            self.report();
            self.world.cycle();
            let unfinished: Vec<RunId> = self.world.checker.borrow().unfinished.iter().copied().collect();
            if unfinished.is_empty() || self.is_broken() {
                return;
            }
            if round % 20 == 19 {
                self.end_the_endless(&unfinished);
            }
            let micros = {
                let supervisor = self.world.supervisor.borrow();
                let end = supervisor.next_end().map(|end| end - supervisor.passed);
                let now = self.world.now().as_micros();
                let wake = self.world.wake.map(|wake| wake.as_micros() - now);
                let next = end.into_iter().chain(wake).filter(|micros| *micros > 0).min();
                next.unwrap_or(SECOND).min(3600 * SECOND)
            };
            self.world.pass(micros);
        }
        let left: Vec<String> = {
            let checker = self.world.checker.borrow();
            checker.unfinished.iter().take(3).map(|id| format!("{:?}", checker.runs[id])).collect()
        };
        self.broken("L-4", format!("these do not end: {left:?}"));
    }

    /// What waits for a person gets one: held runs and processes without an end are cancelled.
    fn end_the_endless(&mut self, unfinished: &[RunId]) {
        for run in unfinished {
            let state = self.world.checker.borrow().runs[run].state.clone();
            let endless = match state {
                RunState::Held(Hold::Lost) => true,
                RunState::Leased(lease) => lease.stop.is_none(),
                _ => false,
            };
            if endless {
                self.cancel_run(*run);
            }
        }
    }

    /// At the end: all accounted for, and the store in order.
    fn check_rest(&mut self) {
        self.compare(usize::MAX / 2);
        match block_on(self.world.store.check()) {
            Ok(faults) if faults.is_empty() => {}
            other => self.broken("I-19", format!("the store says {other:?}")),
        }
        self.check_acknowledged();
        self.check_ends();
    }

    fn check_acknowledged(&self) {
        let checker = self.world.checker.borrow();
        let mut found = Vec::new();
        for ((job, key), (run, _)) in &self.keys {
            if !checker.runs.contains_key(run) {
                found.push(format!("run {run}, acknowledged for {key} of {job}, is gone"));
            }
        }
        for run in &self.cancelled {
            let state = &checker.runs[run].state;
            if !matches!(state, RunState::Finished { verdict: Verdict::Cancelled | Verdict::Success, .. }) {
                found.push(format!("run {run} was cancelled, and is {state:?}"));
            }
        }
        drop(checker);
        found.into_iter().for_each(|text| self.broken("I-19", text));
    }

    /// I-12: every end that was seen is an attempt of its run.
    fn check_ends(&self) {
        let checker = self.world.checker.borrow();
        let supervisor = self.world.supervisor.borrow();
        let mut found = Vec::new();
        for ((run, fence), truth) in &supervisor.truth {
            let Some(stored) = checker.runs.get(run) else { continue };
            let attempts = stored.attempts.len();
            let place = usize::try_from(fence.0).unwrap_or(0);
            if place > attempts || place == 0 {
                found.push(format!("lease {} of run {run} left no attempt: {truth:?}", fence.0));
            }
        }
        drop(checker);
        found.into_iter().for_each(|text| self.broken("I-12", text));
    }
}

/// A store without faults, while the simulator itself looks.
fn silent(world: &World) -> Hook {
    Hook::new(world.checker.clone())
}
