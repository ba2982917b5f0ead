//! The state machine, replayed over the record alone: how runs stand, what their attempts may follow, how often they
//! were tried (I-10, I-11, I-13, I-18).

use crate::definitions::{Job, OnLost, Overlap};
use crate::history::{Attempt, History, Run};

/// `onLost: retry` tries a lost attempt again at most three times.
const LOSSES_MAX: usize = 3;
/// Waits between retries do not grow beyond this.
const BACKOFF_MAX_US: i64 = 300_000_000;
/// What is written in microseconds may have been cut off.
const ROUNDED_US: i64 = 1_000;

/// The violations.
pub fn check(history: &History) -> Vec<String> {
    let mut violations = Vec::new();
    let jobs = history.jobs();
    for run in &history.runs {
        let Some(job) = jobs.get(run.job.as_str()) else {
            violations.push(format!("I-2 run {} is of {:?}, which was never defined", run.id, run.job));
            continue;
        };
        state(run, job, &mut violations);
        order(run, &mut violations);
        losses(run, job, &mut violations);
        retries(run, job, &mut violations);
        timeouts(history, run, job, &mut violations);
    }
    violations
}

fn is(attempt: &Attempt, outcomes: &[&str]) -> bool {
    attempt.outcome.as_deref().is_some_and(|outcome| outcomes.contains(&outcome))
}

/// Ended because its holder did.
pub fn is_lost(attempt: &Attempt) -> bool {
    is(attempt, &["lost", "interrupted"])
}

/// I-10: no run is left to a daemon that is gone, and a verdict is what the last attempt says.
fn state(run: &Run, job: &Job, violations: &mut Vec<String>) {
    let id = &run.id;
    if matches!(run.state.as_str(), "leased" | "running") {
        violations.push(format!("I-10 run {id} of {} is left {}", run.job, run.state));
    }
    if (run.state == "finished") != run.verdict.is_some() {
        violations.push(format!("I-10 run {id} is {} with verdict {:?}", run.state, run.verdict));
    }
    let last = run.attempts.last().and_then(|a| a.outcome.as_deref());
    let fits = match run.verdict.as_deref() {
        Some("success") => last == Some("success"),
        Some("failed") => matches!(last, Some("failed" | "spawnFailed")),
        Some("timeout") => last == Some("timeout") && job.timeout_us.is_some(),
        Some("lost") => matches!(last, Some("lost" | "interrupted")),
        // Also before its first attempt.
        Some("cancelled") => job.overlap == Overlap::CancelRunning,
        Some(_) => false,
        None => last != Some("success"),
    };
    if !fits {
        violations.push(format!("I-10 run {id} of {} is {:?} after {last:?}", run.job, run.verdict));
    }
    let successes = run.attempts.iter().filter(|a| is(a, &["success"])).count();
    if successes > 1 {
        violations.push(format!("I-11 run {id} has {successes} successes"));
    }
}

/// I-9 and I-10: attempts are numbered from 1, each has ended, and none began before the one before it had ended.
fn order(run: &Run, violations: &mut Vec<String>) {
    let numbers: Vec<u64> = run.attempts.iter().map(|a| a.number).collect();
    if numbers != (1..=numbers.len() as u64).collect::<Vec<_>>() {
        violations.push(format!("I-10 run {} has attempts {numbers:?}", run.id));
    }
    for attempt in &run.attempts {
        if attempt.outcome.is_none() || attempt.finished_us.is_none() {
            violations.push(format!("I-10 run {} has an attempt without end: {attempt:?}", run.id));
        }
        if attempt.finished_us < attempt.started_us {
            violations
                .push(format!("I-10 run {} has an attempt that ended before it began: {attempt:?}", run.id));
        }
    }
    for pair in run.attempts.windows(2) {
        if is(&pair[0], &["success", "cancelled"]) {
            violations.push(format!("I-10 run {} was tried again after {:?}", run.id, pair[0]));
        }
        if let (Some(end), Some(start)) = (pair[0].finished_us, pair[1].started_us)
            && start + ROUNDED_US < end
        {
            violations.push(format!(
                "I-9 run {}: attempt {} began before the last had ended",
                run.id, pair[1].number
            ));
        }
    }
}

/// I-13: `onLost` is obeyed.
fn losses(run: &Run, job: &Job, violations: &mut Vec<String>) {
    let losses = run.attempts.iter().filter(|a| is_lost(a)).count();
    let verdict = run.verdict.as_deref();
    let last_is_lost = run.attempts.last().is_some_and(is_lost);
    let obeyed = match job.on_lost {
        OnLost::Fail => losses == 0 || (losses == 1 && last_is_lost && verdict == Some("lost")),
        OnLost::Hold => {
            let held = run.state == "held" && run.reason.as_deref() == Some("lost");
            losses == 0 || (losses == 1 && last_is_lost && held)
        }
        OnLost::Retry => {
            let given_up = verdict == Some("lost");
            losses <= LOSSES_MAX + 1 && (given_up == (losses > LOSSES_MAX) || verdict == Some("cancelled"))
        }
    };
    if !obeyed {
        violations.push(format!(
            "I-13 run {} of {} with {losses} losses is {} {verdict:?}",
            run.id, run.job, run.state
        ));
    }
}

/// I-13: failures are tried again as often as the policy says, and not before its wait is over.
fn retries(run: &Run, job: &Job, violations: &mut Vec<String>) {
    let failures: Vec<usize> = (0..run.attempts.len())
        .filter(|at| is(&run.attempts[*at], &["failed", "timeout", "spawnFailed"]))
        .collect();
    if failures.len() > job.retries_max + 1 {
        violations.push(format!("I-13 run {} of {} failed {} times", run.id, run.job, failures.len()));
    }
    let given_up = matches!(run.verdict.as_deref(), Some("failed" | "timeout"));
    if given_up && failures.len() < job.retries_max + 1 {
        violations.push(format!(
            "I-13 run {} of {} was given up after {} failures",
            run.id,
            run.job,
            failures.len()
        ));
    }
    for (done, at) in failures.iter().enumerate() {
        let next = run.attempts.get(at + 1).and_then(|attempt| attempt.started_us);
        let (Some(end), Some(start)) = (run.attempts[*at].finished_us, next) else { continue };
        let doubled = i64::try_from(done).ok().and_then(|n| 1_i64.checked_shl(u32::try_from(n).ok()?));
        let wait = doubled
            .and_then(|n| n.checked_mul(job.backoff_us))
            .map_or(BACKOFF_MAX_US, |w| w.min(BACKOFF_MAX_US));
        // Up to a quarter is taken off.
        if start + ROUNDED_US < end + wait / 4 * 3 {
            violations.push(format!(
                "I-13 run {} of {} was tried again {} µs after a failure",
                run.id,
                run.job,
                start - end
            ));
        }
    }
}

/// I-18: an attempt ends by its timeout and its grace, and is not said to have run into it before.
fn timeouts(history: &History, run: &Run, job: &Job, violations: &mut Vec<String>) {
    for attempt in &run.attempts {
        let (Some(start), Some(end)) = (attempt.started_us, attempt.finished_us) else { continue };
        let timed_out = is(attempt, &["timeout"]);
        let Some(timeout) = job.timeout_us else {
            if timed_out {
                violations
                    .push(format!("I-18 run {} of {} has no timeout, and ran into it", run.id, run.job));
            }
            continue;
        };
        if timed_out && end - start + ROUNDED_US < timeout {
            violations.push(format!(
                "I-18 run {} of {} was timed out after {} µs",
                run.id,
                run.job,
                end - start
            ));
        }
        let most = timeout + job.grace_us + history.settings.slack_us;
        if end - start > most && !history.faulty(start, end, |_| true) {
            violations.push(format!("I-18 run {} of {} ran {} µs", run.id, run.job, end - start));
        }
    }
}
