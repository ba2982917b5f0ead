//! One seed from its beginning to its end: steps by chance, faults among them, then calm, in which all must come to rest.

mod requests;
mod rest;

use crate::check::Violation;
use crate::hook::{Blow, Poison};
use crate::plan::{Fault, Job, Plan};
use crate::rng::Rng;
use crate::tally::Tally;
use crate::world::{SECOND, World};
use punctual_core::id::RunId;
use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use punctual_engine::supervisor::protocol::Report;
use punctual_store::{Store, faults};
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
}
