//! Kills the daemon, its supervisor or both, again and again, at random instants and at named ones, and lets the checker
//! hold the record against what an independent witness saw: nothing is lost, doubled, overlapping or unaccounted for.
//!
//! `cargo xtask kill` does more of it. It speaks through the environment: `PUNCTUAL_KILL_ROUNDS`, `PUNCTUAL_KILL_SEED`
//! (repeats a campaign's choices), `PUNCTUAL_KILL_WORLDS` (so many at once), `PUNCTUAL_KILL_REPORT` (a file).

#[path = "kill/blow.rs"]
mod blow;
#[path = "kill/load.rs"]
mod load;
#[path = "kill/point.rs"]
mod point;
#[path = "kill/story.rs"]
mod story;
mod support;

use blow::{BLOWS, Blow};
use punctual_checker::sum::Sum;
use punctual_engine::clock::Clock;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use story::{Story, judge};
use support::World;

/// Rounds in a test run; each is a blow and what it takes to recover.
const ROUNDS: u64 = 10;
/// Rounds in one data directory, so that what is wrong can be looked at.
const ROUNDS_A_WORLD: u64 = 25;

/// What came out of one world.
struct Outcome {
    sum: Sum,
    violations: Vec<String>,
    /// Ways to break its history that the checker tried on itself.
    sabotages: usize,
}

// proves I-1, I-2, I-3, I-5, I-6, I-8, I-9, I-10, I-11, I-13, I-14 and I-15
#[test]
fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let rounds = number("PUNCTUAL_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("PUNCTUAL_KILL_SEED").unwrap_or_else(|| now_us().unsigned_abs() % 1_000_000);
    let at_once = number("PUNCTUAL_KILL_WORLDS").unwrap_or(1).max(1);
    eprintln!("PUNCTUAL_KILL_SEED={seed} PUNCTUAL_KILL_ROUNDS={rounds}");
    let worlds = rounds.div_ceil(ROUNDS_A_WORLD).max(1);
    let head = format!("{rounds} rounds with seed {seed}, {at_once} data directories at once");
    let left = |world: u64| rounds.saturating_sub(world * ROUNDS_A_WORLD).min(ROUNDS_A_WORLD);
    each(worlds, at_once, head, |world| campaign(world, left(world), seed));
}

/// Of the cases every so many are tried in a test run; no multiple of the number of actions, so that each has its turn.
const CASES_STEP: usize = 10;

// proves I-1, I-3, I-8, I-9, I-11, I-13 and I-19
#[test]
fn what_fails_at_a_named_point_is_made_good() {
    let seed = number("PUNCTUAL_KILL_SEED").unwrap_or_else(|| now_us().unsigned_abs() % 1_000_000);
    let at_once = number("PUNCTUAL_KILL_WORLDS").unwrap_or(3).max(1);
    let stop = Duration::from_secs(number("PUNCTUAL_KILL_STOP_SECONDS").unwrap_or(2));
    let step = if number("PUNCTUAL_KILL_ALL").is_some() { 1 } else { CASES_STEP };
    let only = std::env::var("PUNCTUAL_KILL_ONLY").unwrap_or_default();
    let mut cases: Vec<(usize, point::Case)> = point::cases().into_iter().enumerate().collect();
    cases.retain(|(place, case)| match only.is_empty() {
        true => (place + usize::try_from(seed).unwrap_or(0)).is_multiple_of(step),
        false => format!("{}={}", case.point, case.action).starts_with(&only),
    });
    eprintln!("PUNCTUAL_KILL_SEED={seed}, {} cases", cases.len());
    let stop_s = stop.as_secs();
    let head = format!("{} named points and actions with seed {seed}, stops of {stop_s} s", cases.len());
    each(cases.len() as u64, at_once, head, |at| {
        let (place, case) = cases[usize::try_from(at).expect("it counts the cases")];
        case.run(place as u64, seed, stop)
    });
}

/// Each world in its own data directory, so many at once; then it is summed up.
fn each(worlds: u64, at_once: u64, head: String, run: impl Fn(u64) -> Outcome + Sync) {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Total::new(head)));
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(worlds) {
            scope.spawn(|| {
                loop {
                    let world = next.fetch_add(1, Ordering::Relaxed);
                    if world >= worlds {
                        break;
                    }
                    let outcome = contained(|| run(world));
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(world, outcome);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner).end();
}

/// One data directory: so many blows, then the checker.
fn campaign(number: u64, rounds: u64, seed: u64) -> Outcome {
    let mut random = Random(seed.wrapping_add(number.wrapping_mul(0xd1b5_4a32_d192_ed03)));
    let mut world = World::new(&format!("kill-{number}"), "jobs: []\n");
    let mut story = Story::begin(&mut world, World::start);
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(200 + random.below(1200)));
        story.look(&world, round);
        match random.below(6) {
            0 => story.edit(&world),
            1 | 2 => story.pause_or_resume(&world),
            _ => std::thread::sleep(Duration::from_millis(random.below(600))),
        }
        let drawn = Blow::random(&mut random);
        let first_pass = usize::try_from(round).ok().and_then(|r| BLOWS.get(r)).filter(|_| number == 0);
        let blow = first_pass.copied().unwrap_or(drawn);
        eprintln!("world {number}, round {round}: {blow:?}");
        blow.strike(&mut world, &mut story, &mut random);
    }
    // Most rounds kill something, and at every instant several jobs are under way.
    finish(&format!("world {number}"), world, story, rounds, 10 * rounds, &["run", "skipped"])
}

/// A world that panics says so, and the others go on.
fn contained(world: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let violations = vec![format!("L-3 it came to no end: {text}")];
        Outcome { sum: Sum::default(), violations, sabotages: 0 }
    })
}

/// The end of a world: its files are judged, and kept if anything is wrong with them.
fn finish(
    name: &str,
    mut world: World,
    story: Story,
    hits_min: u64,
    runs_min: u64,
    dispositions: &[&str],
) -> Outcome {
    let folder = story.end(&mut world, hits_min, runs_min, dispositions);
    let (report, sabotages, unnoticed) = judge(&folder);
    let mut violations = report.violations;
    violations.extend(
        unnoticed.iter().map(|broken| format!("V-9 the sabotage {broken} of this history is not noticed")),
    );
    if violations.is_empty() && std::env::var_os("PUNCTUAL_KILL_KEEP").is_none() {
        _ = std::fs::remove_dir_all(world.path(""));
    } else {
        eprintln!("{name}: {} violations; see {}", violations.len(), folder.display());
    }
    Outcome { sum: report.sum, violations, sabotages }
}

/// Over all worlds.
#[derive(Default)]
struct Total {
    /// What was asked for.
    head: String,
    began_us: i64,
    worlds: u64,
    sum: Sum,
    sabotages: usize,
    violations: Vec<String>,
}

impl Total {
    fn new(head: String) -> Self {
        Self { head, began_us: now_us(), ..Self::default() }
    }

    /// Takes in a world, and reports, so that what is broken off has said what it saw.
    fn add(&mut self, world: u64, outcome: Outcome) {
        self.worlds += 1;
        self.sum.add(&outcome.sum);
        self.sabotages += outcome.sabotages;
        self.violations.extend(outcome.violations.iter().map(|text| format!("{text} (world {world})")));
        let faults: usize = self.sum.faults.values().sum();
        let (kills, middle) = (self.sum.kills, self.sum.kills_in_the_middle);
        let (worlds, violations) = (self.worlds, self.violations.len());
        eprintln!(
            "{worlds} worlds: {faults} faults, {kills} kills, {middle} of them in the middle of attempts, {violations} violations"
        );
        if let Ok(file) = std::env::var("PUNCTUAL_KILL_REPORT") {
            std::fs::write(&file, self.report()).expect("the report can be written");
        }
    }

    fn report(&self) -> String {
        let Self { head, worlds, sum, sabotages, violations, .. } = self;
        let minutes = (now_us() - self.began_us) / 6_000_000;
        let (minutes, tenths) = (minutes / 10, minutes % 10);
        let mut text = format!("{head}\n{worlds} data directories in {minutes}.{tenths} min\n{sum}\n");
        _ = writeln!(text, "sabotages {sabotages} of these histories tried, each noticed unless listed");
        _ = writeln!(text, "{} violations", violations.len());
        text + &punctual_checker::shown(violations)
    }

    /// Fails if anything is wrong.
    fn end(self) {
        eprintln!("{}", self.report());
        assert!(self.violations.is_empty(), "{} violations", self.violations.len());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The wall clock, microseconds since the epoch.
fn now_us() -> i64 {
    Clock::System.now().as_micros()
}

/// SplitMix64: the same seed, the same choices.
pub struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
