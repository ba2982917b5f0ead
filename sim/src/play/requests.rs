//! What people ask of the daemon while a seed plays.

use super::Game;
use crate::check::Doing;
use crate::plan::{Job, NAMES, When};
use crate::world::SECOND;
use punctual_core::id::RunId;
use punctual_engine::block_on::block_on;
use punctual_engine::error::EngineError;
use serde_json::Map;

impl Game {
    pub(super) fn draw_job(&mut self, name: &'static str) -> Job {
        let number = self.world.checker.borrow().definitions.len();
        let now = self.world.now().as_secs();
        let job = Job::draw(&mut self.rng, number, name, now);
        self.world.checker.borrow_mut().definitions.push(job.clone().into());
        job
    }

    /// New definitions, or others under known names.
    pub(super) fn redefine(&mut self) {
        let mut jobs = self.jobs.clone();
        let count = if jobs.is_empty() { self.rng.between(1, 4) } else { 1 };
        for _ in 0..count {
            let name = self.rng.pick(&NAMES);
            let mut job = self.draw_job(name);
            if let Some(old) = jobs.iter_mut().find(|j| j.name == name) {
                if self.rng.chance(60) {
                    // The same triggers under other policies.
                    job.triggers.clone_from(&old.triggers);
                    *self.world.checker.borrow_mut().definitions.last_mut().expect("just drawn") =
                        job.clone().into();
                }
                *old = job;
            } else {
                jobs.push(job);
            }
        }
        self.apply(jobs);
    }

    pub(super) fn retire(&mut self) {
        let mut jobs = self.jobs.clone();
        if jobs.len() > 1 {
            let gone = self.rng.place(jobs.len());
            jobs.remove(gone);
            self.apply(jobs);
        }
    }

    pub(super) fn apply(&mut self, jobs: Vec<Job>) {
        // What waits for a job needs that job.
        let names: Vec<&str> = jobs.iter().map(|job| job.name).collect();
        let known = |job: &Job| {
            job.triggers.iter().all(|t| match &t.when {
                When::After { job, .. } => names.contains(job),
                _ => true,
            })
        };
        let jobs: Vec<Job> = jobs.iter().filter(|job| known(job)).cloned().collect();
        if jobs.is_empty() {
            return;
        }
        let numbers: Vec<_> = jobs.iter().map(|job| job.number).collect();
        let answer = self.world.apply(&jobs);
        let text = answer.as_ref().map(|a| a.as_ref().err().map(ToString::to_string));
        self.world.note(&format!("apply {numbers:?}: {text:?}"));
        match answer {
            Some(Ok(())) => self.jobs = jobs,
            Some(Err(error)) => self.only_the_store(&error, "an apply"),
            None => {}
        }
        // Whether it was applied is seen in the store, whatever was answered.
        let checker = self.world.checker.borrow();
        let in_force = checker.jobs.values().filter(|job| !job.retired);
        self.jobs = in_force.map(|job| (*checker.in_force(job.id)).clone()).collect();
    }

    /// The engine may refuse because of the store, and of nothing else.
    fn only_the_store(&self, error: &EngineError, what: &str) {
        if !matches!(error, EngineError::Store(_)) {
            self.broken("L-3", format!("{what} is refused: {error}"));
        }
    }

    pub(super) fn submit(&mut self) {
        let Some(name) = (!self.jobs.is_empty()).then(|| self.jobs[self.rng.place(self.jobs.len())].name)
        else {
            return;
        };
        let key = format!("k{}", self.rng.below(4));
        let submitted = self
            .world
            .ask(Doing::Submit, |engine| block_on(engine.submit(name, Some(key.clone()), Map::new())));
        let Some(answer) = submitted else { return };
        self.world.note(&format!("submit {name} {key}: {:?}", answer.as_ref().map_err(ToString::to_string)));
        let now = self.world.now();
        match answer {
            Ok(submitted) => {
                let known = self.keys.get(&(name.to_owned(), key.clone()));
                if let Some((run, at)) = known
                    && now.as_micros() - at.as_micros() < 86_400 * SECOND
                    && *run != submitted.run
                {
                    self.broken("I-1", format!("key {key} of {name} made {run}, then {}", submitted.run));
                }
                if !self.world.checker.borrow().runs.contains_key(&submitted.run) {
                    self.broken("I-19", format!("run {} was acknowledged and is not there", submitted.run));
                }
                if !submitted.existing {
                    self.keys.insert((name.to_owned(), key), (submitted.run, now));
                }
            }
            Err(EngineError::Store(_) | EngineError::State { .. }) => {}
            Err(error) => self.only_the_store(&error, "a submitted run"),
        }
    }

    pub(super) fn cancel(&mut self) {
        let run = {
            let checker = self.world.checker.borrow();
            let unfinished: Vec<RunId> = checker.unfinished.iter().copied().collect();
            (!unfinished.is_empty()).then(|| unfinished[self.rng.place(unfinished.len())])
        };
        if let Some(run) = run {
            self.cancel_run(run);
        }
    }

    pub(super) fn cancel_run(&mut self, run: RunId) {
        let Some(answer) = self.world.ask(Doing::Cancel, |engine| block_on(engine.cancel(run))) else {
            return;
        };
        self.world.note(&format!("cancel {run}: {}", answer.is_ok()));
        match answer {
            Ok(_) => self.cancelled.push(run),
            Err(EngineError::Store(_)) => {}
            Err(error) => self.only_the_store(&error, "a cancel"),
        }
    }

    pub(super) fn pause(&mut self) {
        let Some(name) = (!self.jobs.is_empty()).then(|| self.jobs[self.rng.place(self.jobs.len())].name)
        else {
            return;
        };
        let answer = self.world.ask(Doing::Pause, |engine| block_on(engine.pause(name, "the sim")));
        self.world.note(&format!("pause {name}: {:?}", answer.map(|a| a.map_err(|e| e.to_string()))));
    }

    pub(super) fn resume(&mut self) {
        let paused: Vec<String> = {
            let checker = self.world.checker.borrow();
            let paused = checker.jobs.values().filter(|job| job.paused.is_some() && !job.retired);
            paused.map(|job| job.name.clone()).collect()
        };
        if paused.is_empty() {
            return;
        }
        let name = paused[self.rng.place(paused.len())].clone();
        let catch_up = self.rng.chance(40);
        let answer =
            self.world.ask(Doing::Resume(catch_up), |engine| block_on(engine.resume(&name, catch_up)));
        self.world.note(&format!("resume {name}: {:?}", answer.map(|a| a.map_err(|e| e.to_string()))));
    }
}
