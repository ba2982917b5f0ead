//! Starts against recorded attempts without looking at any label: by time alone, the earliest deadline first.
//!
//! A witness that is told nothing, or a product that tells it wrongly, cannot hide a start too many or too few here.

use crate::history::{Attempt, History};
use crate::seen::cut_short;
use std::collections::BTreeSet;

/// Starts are seen by the clock by which they are planned.
const CLOCK_US: i64 = 1_000;

/// A recorded attempt: one start is expected within it.
struct Slot<'a> {
    /// Not before.
    release: i64,
    /// Not after.
    deadline: i64,
    attempt: &'a Attempt,
    run: &'a str,
}

/// The violations.
pub fn check(history: &History) -> Vec<String> {
    history.jobs().keys().flat_map(|job| of_job(history, job)).collect()
}

fn of_job(history: &History, job: &str) -> Vec<String> {
    let mut starts: Vec<i64> = history
        .lines
        .iter()
        .filter(|line| line.job == job && line.kind == "start")
        .map(|line| line.at_us)
        .collect();
    starts.sort_unstable();
    let mut slots = slots(history, job);
    slots.sort_by_key(|slot| slot.release);
    let mut violations = Vec::new();
    let mut taken = vec![false; slots.len()];
    // Released and not taken, by deadline.
    let mut open: BTreeSet<(i64, usize)> = BTreeSet::new();
    let mut next = 0;
    for start in starts {
        while next < slots.len() && slots[next].release <= start + CLOCK_US {
            open.insert((slots[next].deadline, next));
            next += 1;
        }
        open = open.split_off(&(start, 0));
        match open.pop_first() {
            Some((_, place)) => taken[place] = true,
            None => violations.push(format!("I-2 {job} started at {start}, and no recorded attempt fits")),
        }
    }
    for slot in slots.iter().zip(taken).filter(|(_, taken)| !taken).map(|(slot, _)| slot) {
        // One of which the record does not know whether it started may not have.
        if slot.attempt.started_us.is_some() && !cut_short(history, slot.attempt) {
            violations.push(format!(
                "I-2 no start of {job} fits attempt {} of run {}",
                slot.attempt.number, slot.run
            ));
        }
    }
    let successes = |attempt: &&Slot<'_>| attempt.attempt.outcome.as_deref() == Some("success");
    let (recorded, seen) = (
        slots.iter().filter(successes).count(),
        history.lines.iter().filter(|line| line.job == job && line.kind == "end:0").count(),
    );
    if recorded > seen {
        violations.push(format!("I-11 {job} has {recorded} successes, and {seen} were seen"));
    }
    violations
}

fn slots<'a>(history: &'a History, job: &str) -> Vec<Slot<'a>> {
    let mut slots = Vec::new();
    for run in history.runs.iter().filter(|run| run.job == job) {
        let mut release = run.nominal_us;
        for attempt in run.attempts.iter().filter(|attempt| attempt.outcome.as_deref() != Some("spawnFailed"))
        {
            let deadline = attempt.finished_us.unwrap_or(i64::MAX);
            slots.push(Slot { release, deadline, attempt, run: &run.id });
            release = deadline;
        }
    }
    slots
}
