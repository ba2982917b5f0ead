//! What the witness saw against what the record says (I-2, I-6, I-8, I-9, I-11, I-12, I-14, I-18).

use crate::attempts::is_lost;
use crate::history::{Attempt, Fault, History, Line, Run};
use std::collections::{BTreeMap, BTreeSet};

/// Witness and record read one clock; instants may have been cut off.
const CLOCK_US: i64 = 1_000;

/// The violations.
pub fn check(history: &History) -> Vec<String> {
    let seen = history.by_attempt();
    let mut violations = Vec::new();
    witnessed(history, &seen, &mut violations);
    fences(history, &mut violations);
    for run in &history.runs {
        early(run, &mut violations);
        if history.settings.unlabelled.contains(&run.job) {
            continue;
        }
        for attempt in &run.attempts {
            let lines = seen.get(&(run.id.as_str(), attempt.number)).map_or(&[][..], Vec::as_slice);
            recorded(history, run, attempt, lines, &mut violations);
        }
    }
    violations
}

type Seen<'a> = BTreeMap<(&'a str, u64), Vec<&'a Line>>;

/// I-8: what ran is recorded, once, and was told what it should be told.
fn witnessed(history: &History, seen: &Seen<'_>, violations: &mut Vec<String>) {
    let runs: BTreeMap<&str, &Run> = history.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    for ((id, number), lines) in seen {
        let starts = lines.iter().filter(|line| line.kind == "start").count();
        if starts != 1 {
            violations.push(format!("I-9 attempt {number} of run {id} began {starts} times"));
        }
        if lines.iter().filter(|line| line.kind.starts_with("end:")).count() > 1 {
            violations.push(format!("I-9 attempt {number} of run {id} ended more than once"));
        }
        let Some(run) = runs.get(id) else {
            violations.push(format!("I-8 run {id} of {} ran and is not recorded", lines[0].job));
            continue;
        };
        let recorded = run.attempts.iter().filter(|a| a.number == *number).count();
        if recorded != 1 {
            violations.push(format!("I-8 attempt {number} of run {id} ran and is recorded {recorded} times"));
        }
        for line in lines {
            if line.job != run.job || line.nominal_us != run.nominal_us || line.key != run.id {
                violations.push(format!("I-14 attempt {number} of run {id} was told {line:?}"));
            }
            if line.at_us + CLOCK_US < run.nominal_us {
                violations.push(format!("I-2 the witness saw run {id} early: {line:?}"));
            }
        }
    }
}

/// I-6 and I-9: the witness's file as a resource that refuses a smaller fence than the largest it has seen of a run.
fn fences(history: &History, violations: &mut Vec<String>) {
    let mut newest: BTreeMap<&str, &Line> = BTreeMap::new();
    let mut starts: BTreeSet<(&str, i64)> = BTreeSet::new();
    for line in history.lines.iter().filter(|line| !line.run.is_empty()) {
        let id = line.run.as_str();
        if line.kind == "start" && !starts.insert((id, line.fence)) {
            violations.push(format!("I-6 run {id}: two starts under fence {}", line.fence));
        }
        match newest.get(id) {
            Some(last) if line.fence < last.fence => {
                violations.push(format!("I-9 run {id}: fence {} is heard after {}", line.fence, last.fence));
            }
            Some(last) if (line.attempt > last.attempt) != (line.fence > last.fence) => {
                violations.push(format!("I-6 run {id}: attempts and fences do not grow together: {line:?}"));
            }
            _ => _ = newest.insert(id, line),
        }
    }
}

/// I-2: nothing starts before its time.
fn early(run: &Run, violations: &mut Vec<String>) {
    for started in run.attempts.iter().filter_map(|a| a.started_us).filter(|at| *at < run.nominal_us) {
        violations.push(format!(
            "I-2 run {} of {} started at {started}, due at {}",
            run.id, run.job, run.nominal_us
        ));
    }
}

/// What one attempt of the record must have had of lines.
fn recorded(history: &History, run: &Run, attempt: &Attempt, lines: &[&Line], violations: &mut Vec<String>) {
    let (id, number) = (&run.id, attempt.number);
    if lines.is_empty() {
        if attempt.started_us.is_some() && !cut_short(history, attempt) {
            violations
                .push(format!("I-2 attempt {number} of run {id} is recorded and never ran: {attempt:?}"));
        }
        return;
    }
    let end = lines.iter().find(|line| line.kind.starts_with("end:"));
    let code = end.map(|line| line.kind["end:".len()..].to_owned());
    let true_end = match attempt.outcome.as_deref() {
        Some("success") => code.as_deref() == Some("0"),
        Some("failed") => code == attempt.exit_code.map(|code| code.to_string()),
        Some("spawnFailed") => false,
        _ => true,
    };
    if !true_end {
        violations.push(format!("I-11 run {id}: {attempt:?} ended as {code:?}"));
    }
    let finished = attempt.finished_us.unwrap_or(i64::MAX);
    if let Some(end) = end
        && matches!(attempt.outcome.as_deref(), Some("success" | "failed"))
        && end.at_us > finished.saturating_add(CLOCK_US)
    {
        violations
            .push(format!("I-11 run {id}: attempt {number} is said to have ended before it did: {end:?}"));
    }
    let late = finished.saturating_add(history.settings.slack_us);
    if let Some(line) = lines.iter().find(|line| line.at_us > late) {
        violations.push(format!("I-18 attempt {number} of run {id} ended and goes on: {line:?}"));
    }
    if is_lost(attempt) {
        loss(history, run, attempt, lines[0], end.copied(), violations);
    }
}

/// I-12: what was lost was under way when something was done that can lose it, and had not ended in peace before.
fn loss(
    history: &History,
    run: &Run,
    attempt: &Attempt,
    first: &Line,
    end: Option<&Line>,
    violations: &mut Vec<String>,
) {
    let (id, number) = (&run.id, attempt.number);
    let finished = attempt.finished_us.unwrap_or(i64::MAX);
    let learnt = history.settings.learnt_us;
    let mut losing = history.faults.iter().filter(|fault| fault.may_lose);
    if !losing.clone().any(|f| f.from_us <= finished && first.at_us <= f.to_us + learnt) {
        violations.push(format!("I-12 attempt {number} of run {id} is lost without need: {attempt:?}"));
    }
    if let Some(end) = end
        && !losing.any(|f| f.from_us <= end.at_us + learnt && end.at_us <= f.to_us + learnt)
    {
        violations.push(format!("I-12 attempt {number} of run {id} had ended when it was lost: {end:?}"));
    }
}

/// Whether it was killed before it can be expected to have said anything. When it is found to be lost is no measure of
/// how long it lived: that is when its holder was struck.
pub fn cut_short(history: &History, attempt: &Attempt) -> bool {
    let word = history.settings.first_word_us;
    let Some((start, end)) = attempt.started_us.zip(attempt.finished_us) else { return false };
    let struck = |f: &Fault| f.may_lose && f.from_us < start + word && start <= f.to_us;
    match attempt.outcome.as_deref() {
        Some("lost" | "interrupted") => end - start < word || history.faults.iter().any(struck),
        Some("cancelled" | "timeout") => end - start < word,
        _ => false,
    }
}
