//! One seed from its beginning to its end: steps by chance, faults among them, then calm, in which all must come to rest.

use crate::check::{Doing, Violation};
use crate::hook::{Blow, Poison};
use crate::plan::{Fault, Job, NAMES, Plan};
use crate::rng::Rng;
use crate::tally::Tally;
use crate::world::{SECOND, World};
use punctual_core::id::RunId;
use punctual_core::run::{Hold, RunState};
use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use punctual_engine::error::EngineError;
use punctual_engine::supervisor::protocol::Report;
use punctual_store::{Store, StoreError, faults};
use serde_json::Map;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What became of a seed.
#[derive(Debug)]
pub struct Played {
    /// The hash of its trace.
    pub hash: u64,
    /// The trace, if it was kept.
    pub lines: Vec<String>,
    /// What was seen.
    pub tally: Tally,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Decisions committed.
    pub commits: u64,
    /// What the store holds at the end, a line each; only where the trace was kept.
    pub rows: Vec<String>,
}

/// Plays a seed over `store`, which is empty.
pub fn play(seed: u64, store: Store, traced: bool) -> Played {
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng);
    let world = World::new(store, &plan, rng.draw(), traced);
    let mut game =
        Game { plan, rng, world, jobs: Vec::new(), keys: BTreeMap::new(), cancelled: Vec::new(), ahead: 0 };
    let result = catch_unwind(AssertUnwindSafe(|| game.play()));
    faults::arm(None);
    if let Err(panic) = result {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        game.world.checker.borrow_mut().broken("panic", text);
    }
    let rows = if traced { rows(&game.world.store) } else { Vec::new() };
    let mut checker = game.world.checker.borrow_mut();
    let violation = checker.violations.first().cloned();
    Played {
        hash: game.world.trace.hash,
        lines: game.world.trace.lines.take().unwrap_or_default(),
        tally: std::mem::take(&mut checker.tally),
        violation,
        commits: checker.commits,
        rows,
    }
}

/// All that a store shows.
fn rows(store: &Store) -> Vec<String> {
    let all = punctual_store::RunFilter { unfinished: true, limit: usize::MAX, ..Default::default() };
    let (jobs, triggers) = block_on(store.jobs()).unwrap_or_default();
    let mut rows: Vec<String> = jobs.iter().map(|job| format!("{job:?}")).collect();
    rows.extend(triggers.iter().map(|trigger| format!("{trigger:?}")));
    rows.extend(block_on(store.runs(all)).unwrap_or_default().iter().map(|run| format!("{run:?}")));
    let (first, last) = (Timestamp::EPOCH, Timestamp::SEARCH_END);
    for job in &jobs {
        let ticks = block_on(store.ticks(job.id, first, last)).unwrap_or_default();
        rows.extend(ticks.skips.iter().map(|skip| format!("{skip:?}")));
        rows.push(format!("{:?}", block_on(store.revisions(job.id)).unwrap_or_default()));
    }
    rows.push(format!("{:?}", block_on(store.nodes()).unwrap_or_default()));
    rows
}

struct Game {
    plan: Plan,
    rng: Rng,
    world: World,
    /// The definitions in force.
    jobs: Vec<Job>,
    /// Submitted keys: the run each made, and when.
    keys: BTreeMap<(String, String), (RunId, Timestamp)>,
    /// Cancels that were acknowledged.
    cancelled: Vec<RunId>,
    /// How far the clock on the wall is ahead of true time, microseconds.
    ahead: i64,
}

impl Game {
    fn play(&mut self) {
        let line = format!("{:?}", self.plan);
        self.world.trace.line(&line);
        self.start();
        self.redefine();
        for _ in 0..self.plan.steps {
            self.step();
            if self.is_broken() {
                return;
            }
        }
        self.come_to_rest();
    }

    fn is_broken(&self) -> bool {
        !self.world.checker.borrow().violations.is_empty()
    }

    fn broken(&self, promise: &'static str, text: impl Into<String>) {
        self.world.checker.borrow_mut().broken(promise, text);
    }

    fn count(&self, what: impl Into<String>) {
        self.world.checker.borrow_mut().tally.count(what);
    }

    fn start(&mut self) {
        for _ in 0..5 {
            match self.world.start() {
                Ok(()) => return,
                Err(error) => self.world.note(&format!("the daemon does not start: {error}")),
            }
        }
    }

    fn step(&mut self) {
        if !self.world.is_up() {
            let wait = self.rng.between(0, 40) * SECOND;
            self.world.pass(wait);
            self.start();
        }
        if !self.plan.faults.is_empty() && self.rng.chance(self.plan.roughness) {
            let fault = self.plan.faults[self.rng.place(self.plan.faults.len())];
            self.strike(fault);
        }
        match self.rng.below(100) {
            0..=41 => self.live(1),
            42..=57 => {
                let rounds = self.rng.between(2, 12);
                self.live(rounds);
            }
            58..=64 => self.submit(),
            65..=69 => self.cancel(),
            70..=73 => self.pause(),
            74..=79 => self.resume(),
            80..=85 => self.redefine(),
            86..=87 => self.retire(),
            88..=92 => {
                let micros = self.rng.between(1, 900 * SECOND);
                self.world.pass(micros);
            }
            _ => {
                let micros = self.rng.between(0, 3 * SECOND);
                self.world.pass(micros);
            }
        }
        self.report();
        if !(self.has(Fault::Missed) && self.rng.chance(30)) {
            self.world.cycle();
        } else {
            self.count("fault Missed");
        }
        self.count_blows();
        self.check_standing();
    }

    fn has(&self, fault: Fault) -> bool {
        self.plan.faults.contains(&fault)
    }

    /// Time passes to the next thing that happens, so often.
    fn live(&mut self, rounds: i64) {
        for _ in 0..rounds {
            let now = self.world.now().as_micros();
            let most = self.rng.between(1, 90 * SECOND);
            let wake = self.world.wake.map_or(most, |wake| (wake.as_micros() - now).max(0));
            let end = {
                let supervisor = self.world.supervisor.borrow();
                supervisor.next_end().map_or(most, |end| (end - supervisor.passed).max(0))
            };
            let late = if self.rng.chance(30) { self.rng.between(0, SECOND) } else { 0 };
            self.world.pass(wake.min(end).min(most) + late);
            self.report();
            self.world.cycle();
            if !self.world.is_up() || self.is_broken() {
                return;
            }
        }
    }

    /// The supervisor's reports reach the daemon.
    fn report(&mut self) {
        let mut reports = std::mem::take(&mut self.world.supervisor.borrow_mut().outbox);
        if !self.world.is_up() {
            return;
        }
        if self.has(Fault::Reorder) && reports.len() > 1 && self.rng.chance(40) {
            self.count("fault Reorder");
            for place in (1..reports.len()).rev() {
                let other = self.rng.place(place + 1);
                reports.swap(place, other);
            }
        }
        let mut late = Vec::new();
        for report in reports {
            if self.has(Fault::Late) && self.rng.chance(25) {
                self.count("fault Late");
                late.push(report);
                continue;
            }
            self.world.deliver(&report);
            let mut supervisor = self.world.supervisor.borrow_mut();
            if supervisor.echoes.len() < 8 && matches!(report, Report::Ended(_)) {
                supervisor.echoes.push(report);
            }
        }
        self.world.supervisor.borrow_mut().outbox.splice(0..0, late);
        let echoes = self.world.supervisor.borrow().echoes.len();
        if self.has(Fault::Echo) && echoes > 0 && self.rng.chance(50) {
            self.count("fault Echo");
            let place = self.rng.place(echoes);
            let echo = match self.rng.chance(20) {
                true => self.world.supervisor.borrow_mut().echoes.remove(place),
                false => self.world.supervisor.borrow().echoes[place].clone(),
            };
            self.world.deliver(&echo);
        }
    }

    fn strike(&mut self, fault: Fault) {
        self.world.note(&format!("fault {fault:?}"));
        let soon = u32::try_from(self.rng.below(3)).unwrap_or(0);
        let blow = |world: &World, blow| world.hook.borrow_mut().blow = Some((soon, blow));
        match fault {
            Fault::Crash => self.world.end_daemon(),
            Fault::CrashBefore => blow(&self.world, Blow::CrashBefore),
            Fault::CrashAfter => blow(&self.world, Blow::CrashAfter),
            Fault::CrashAtStart => self.world.end_at_start(Some(soon)),
            Fault::Machine => {
                self.world.end_machine(&mut self.rng);
                let micros = self.rng.between(SECOND, 600 * SECOND);
                self.world.pass(micros);
            }
            Fault::Supervisor => self.world.lose_supervisor(),
            Fault::UnknownApplied => blow(&self.world, Blow::UnknownApplied),
            Fault::UnknownLost => blow(&self.world, Blow::UnknownLost),
            Fault::Slow => blow(&self.world, Blow::Slow),
            Fault::Full => self.world.hook.borrow_mut().full = 1 + soon,
            Fault::Reads => {
                let before = u32::try_from(self.rng.below(6)).unwrap_or(0);
                self.world.hook.borrow_mut().reads = Some((before, 1 + soon));
            }
            Fault::Poison => return self.poison(),
            Fault::Forward => self.step_clock(true),
            Fault::Back => self.step_clock(false),
            Fault::Downtime => {
                self.world.end_daemon();
                let micros = self.rng.between(60 * SECOND, 36 * 3600 * SECOND);
                self.world.pass(micros);
            }
            Fault::Stall => {
                let micros = self.rng.between(60 * SECOND, 30 * 3600 * SECOND);
                self.world.pass(micros);
            }
            Fault::Spurious => {
                for _ in 0..self.rng.between(1, 3) {
                    self.world.cycle();
                }
            }
            Fault::Missed | Fault::Echo | Fault::Late | Fault::Reorder => return,
        }
        let at_once = !matches!(
            fault,
            Fault::CrashBefore
                | Fault::CrashAfter
                | Fault::UnknownApplied
                | Fault::UnknownLost
                | Fault::Slow
                | Fault::Full
        );
        if at_once {
            self.count(format!("fault {fault:?}"));
        }
    }

    fn count_blows(&mut self) {
        for blow in std::mem::take(&mut self.world.hook.borrow_mut().met) {
            self.count(format!("fault {blow:?}"));
        }
    }

    fn step_clock(&mut self, forward: bool) {
        let most = self.rng.pick(&[2, 90, 4000, 40_000, 100_000]) * SECOND;
        let by = self.rng.between(1, most) * if forward { 1 } else { -1 };
        // Not so far that the seed would fire for years.
        if (self.ahead + by).abs() < 3 * 86_400 * SECOND {
            self.ahead += by;
            self.world.step_clock(by);
        }
    }

    fn poison(&mut self) {
        let poison = {
            let checker = self.world.checker.borrow();
            let triggers: Vec<_> = checker.triggers.keys().copied().collect();
            let runs: Vec<_> = checker.unfinished.iter().copied().collect();
            match self.rng.chance(50) {
                true if !triggers.is_empty() => {
                    Some(Poison::Trigger(triggers[self.rng.place(triggers.len())]))
                }
                _ if !runs.is_empty() => Some(Poison::Run(runs[self.rng.place(runs.len())])),
                _ => None,
            }
        };
        if poison.is_some() {
            self.count("fault Poison");
            self.world.checker.borrow_mut().poisoned = true;
            self.world.hook.borrow_mut().poison = poison;
        }
    }

    fn draw_job(&mut self, name: &'static str) -> Job {
        let number = self.world.checker.borrow().definitions.len();
        let now = self.world.now().as_secs();
        let job = Job::draw(&mut self.rng, number, name, now);
        self.world.checker.borrow_mut().definitions.push(job.clone().into());
        job
    }

    /// New definitions, or others under known names.
    fn redefine(&mut self) {
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

    fn retire(&mut self) {
        let mut jobs = self.jobs.clone();
        if jobs.len() > 1 {
            let gone = self.rng.place(jobs.len());
            jobs.remove(gone);
            self.apply(jobs);
        }
    }

    fn apply(&mut self, jobs: Vec<Job>) {
        // What waits for a job needs that job.
        let names: Vec<&str> = jobs.iter().map(|job| job.name).collect();
        let known = |job: &Job| {
            job.triggers.iter().all(|t| match &t.when {
                crate::plan::When::After { job, .. } => names.contains(job),
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

    fn submit(&mut self) {
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

    fn cancel(&mut self) {
        let run = {
            let checker = self.world.checker.borrow();
            let unfinished: Vec<RunId> = checker.unfinished.iter().copied().collect();
            (!unfinished.is_empty()).then(|| unfinished[self.rng.place(unfinished.len())])
        };
        if let Some(run) = run {
            self.cancel_run(run);
        }
    }

    fn cancel_run(&mut self, run: RunId) {
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

    fn pause(&mut self) {
        let Some(name) = (!self.jobs.is_empty()).then(|| self.jobs[self.rng.place(self.jobs.len())].name)
        else {
            return;
        };
        let answer = self.world.ask(Doing::Pause, |engine| block_on(engine.pause(name, "the sim")));
        self.world.note(&format!("pause {name}: {:?}", answer.map(|a| a.map_err(|e| e.to_string()))));
    }

    fn resume(&mut self) {
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

    /// The store shows what was decided, and what lives is what is leased.
    fn check_standing(&mut self) {
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
        let filter = punctual_store::RunFilter {
            unfinished: true,
            limit: checker.unfinished.len() + ended,
            ..Default::default()
        };
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
    fn come_to_rest(&mut self) {
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
            use punctual_core::run::Verdict::{Cancelled, Success};
            let state = &checker.runs[run].state;
            if !matches!(state, RunState::Finished { verdict: Cancelled | Success, .. }) {
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
fn silent(world: &World) -> crate::hook::Hook {
    crate::hook::Hook::new(world.checker.clone())
}

/// Whether an error is one that a healthy store does not give.
pub fn is_fault(error: &StoreError) -> bool {
    !matches!(error, StoreError::Refused(_))
}
