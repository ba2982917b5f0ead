//! The invariants of ARCHITECTURE.md that can be seen from outside, each over the whole record.

use crate::record::{Attempt, Line, Record, Run};
use std::collections::{BTreeMap, BTreeSet};

/// The witness's clock counts hundredths of a second, and stands for the wall clock less than this exactly.
const CLOCK_US: i64 = 50_000;
/// An attempt that was killed so soon after its process was made may not have written its first line.
const FIRST_LINE_US: i64 = 2_000_000;
/// A killed tree may go on writing for so long on a machine that has other things to do.
const KILLED_US: i64 = 5_000_000;
/// `onLost: retry` tries a lost attempt again at most three times.
const LOSSES_MAX: usize = 3;

/// Every violation, named.
pub fn check(record: &Record) -> Vec<String> {
    let checks = [
        accounted,
        dispositions,
        skips,
        starts,
        not_early,
        one_at_a_time,
        states,
        successes,
        losses,
        overlaps,
        strays,
    ];
    checks.iter().flat_map(|check| check(record)).collect()
}

/// I-3: every nominal time between the first apply and the end has exactly one disposition.
fn accounted(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for rule in record.rules {
        let step = rule.every_s * 1_000_000;
        let ticks: Vec<i64> = record.ticks[rule.name].iter().map(|tick| tick.nominal_us).collect();
        // The rule begins at a whole second; which one depends on when within the apply's time it was applied.
        let (earliest, latest) = record.applied_us;
        let first = ticks.first().copied().unwrap_or(i64::MAX);
        if first % 1_000_000 != 0 || first < earliest || first > latest + step + 1_000_000 {
            violations.push(format!("I-3 {} begins at {first}, applied in {earliest}..{latest}", rule.name));
            continue;
        }
        let count = (record.settled_us - 1 - first) / step + 1;
        let expected: Vec<i64> = (0..count).map(|n| first + n * step).collect();
        let named: BTreeSet<i64> = ticks.iter().copied().collect();
        for missing in expected.iter().filter(|t| !named.contains(t)) {
            violations.push(format!("I-3 {} at {missing} has no disposition", rule.name));
        }
        if ticks.len() != named.len() {
            let times = twice(&ticks);
            violations.push(format!("I-3 {} has two dispositions at {times:?}", rule.name));
        }
        for phantom in named.iter().filter(|t| (**t - first) % step != 0) {
            violations.push(format!("I-2 {} at {phantom} is no time of its rule", rule.name));
        }
    }
    violations
}

fn twice(times: &[i64]) -> Vec<i64> {
    times.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// I-1 and I-3: a disposition of `run` names its run, and every fired run has one.
fn dispositions(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    for (job, ticks) in &record.ticks {
        for tick in ticks {
            match tick.disposition.as_str() {
                "run" | "expired" => {
                    let id = tick.run.as_deref().unwrap_or("none");
                    *made.entry(id).or_default() += 1;
                    let fits = |r: &Run| r.id == id && r.job == *job && r.nominal_us == tick.nominal_us;
                    if !record.runs.iter().any(fits) {
                        violations.push(format!("I-1 {job} at {}: there is no run {id}", tick.nominal_us));
                    }
                }
                "skipped" | "coalesced" => {}
                other => violations.push(format!("I-3 {job} at {} is {other}", tick.nominal_us)),
            }
        }
    }
    for run in record.runs.iter().filter(|run| run.job != "asked" && run.nominal_us < record.settled_us) {
        if made.get(run.id.as_str()) != Some(&1) {
            violations.push(format!(
                "I-1 run {} of {} belongs to {:?} ticks",
                run.id,
                run.job,
                made.get(run.id.as_str())
            ));
        }
    }
    violations
}

/// The daemon decides by the ends it knows of; while a round suspends it, for a second, it learns of none.
const LEARNT_LATE_US: i64 = 1_200_000;

/// I-5: what was skipped was skipped for a reason that held.
fn skips(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for rule in record.rules {
        for tick in record.ticks[rule.name].iter().filter(|tick| tick.run.is_none()) {
            let reason = tick.reason.as_deref().unwrap_or("");
            let unfinished = |run: &&Run| {
                let before = run.job == rule.name && run.nominal_us < tick.nominal_us;
                before
                    && (run.state != "finished"
                        || end(run).is_none_or(|end| end + LEARNT_LATE_US >= tick.nominal_us))
            };
            let justified = match (tick.disposition.as_str(), reason) {
                ("skipped", "overlap") => {
                    !rule.says("overlap: allow") && record.runs.iter().any(|r| unfinished(&r))
                }
                ("skipped", "catchUpNone") => rule.says("catchUp: none"),
                ("coalesced", _) => !rule.says("catchUp: none") && !rule.says("policy: all"),
                _ => false,
            };
            if !justified {
                let (what, at) = (&tick.disposition, tick.nominal_us);
                violations.push(format!("I-5 {} at {at} is {what} for {reason:?} without need", rule.name));
            }
        }
    }
    violations
}

fn end(run: &Run) -> Option<i64> {
    run.attempts.last().and_then(|attempt| attempt.finished_us)
}

/// I-8 and I-12: the lines of the witness and the attempts of the record are the same.
fn starts(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    let seen = record.by_attempt();
    let runs: BTreeMap<&str, &Run> = record.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    for ((id, number), lines) in &seen {
        let starts = lines.iter().filter(|line| line.kind == "start").count();
        if starts != 1 {
            violations.push(format!("I-9 attempt {number} of run {id} began {starts} times"));
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
        }
    }
    for run in &record.runs {
        for attempt in &run.attempts {
            if attempt.started_us.is_some()
                && !seen.contains_key(&(&run.id, attempt.number))
                && !cut_short(attempt)
            {
                violations.push(format!(
                    "I-2 attempt {} of run {} is recorded and never ran: {attempt:?}",
                    attempt.number, run.id
                ));
            }
        }
    }
    violations
}

/// Whether it was killed before it can be expected to have said anything.
fn cut_short(attempt: &Attempt) -> bool {
    let killed = matches!(attempt.outcome.as_deref(), Some("lost" | "interrupted" | "cancelled"));
    let lived = attempt.finished_us.zip(attempt.started_us).map(|(end, start)| end - start);
    killed && lived.is_some_and(|lived| lived < FIRST_LINE_US)
}

/// I-2: nothing starts before its time, by the record or by the witness.
fn not_early(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for run in &record.runs {
        for started in run.attempts.iter().filter_map(|a| a.started_us).filter(|at| *at < run.nominal_us) {
            violations.push(format!(
                "I-2 run {} of {} started at {started}, due at {}",
                run.id, run.job, run.nominal_us
            ));
        }
    }
    for line in record.lines.iter().filter(|line| line.at_us + CLOCK_US < line.nominal_us) {
        violations.push(format!("I-2 the witness saw run {} early: {line:?}", line.run));
    }
    violations
}

/// I-6 and I-9: fences grow from attempt to attempt, and no attempt says anything once the next has begun.
fn one_at_a_time(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for (id, lines) in record.by_run() {
        let mut current: Option<&Line> = None;
        for line in lines {
            match current {
                Some(last) if line.attempt < last.attempt => {
                    violations.push(format!(
                        "I-9 run {id}: attempt {} lives on in attempt {}",
                        line.attempt, last.attempt
                    ));
                }
                Some(last) if line.attempt > last.attempt && line.fence <= last.fence => {
                    violations.push(format!("I-6 run {id}: fence {} after {}", line.fence, last.fence));
                }
                Some(last) if line.attempt == last.attempt && line.fence != last.fence => {
                    violations.push(format!("I-6 run {id}: attempt {} has two fences", line.attempt));
                }
                _ => {}
            }
            if current.is_none_or(|last| line.attempt > last.attempt) {
                current = Some(line);
            }
        }
    }
    violations
}

/// I-10: no run is left to a daemon that is gone; attempts are numbered from 1, and all but the last were tried again.
fn states(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for run in &record.runs {
        let id = &run.id;
        if matches!(run.state.as_str(), "leased" | "running") {
            violations.push(format!("I-10 run {id} of {} is left {}", run.job, run.state));
        }
        if (run.state == "finished") != run.verdict.is_some() {
            violations.push(format!("I-10 run {id} is {} with verdict {:?}", run.state, run.verdict));
        }
        let numbers: Vec<u64> = run.attempts.iter().map(|a| a.number).collect();
        if numbers != (1..=numbers.len() as u64).collect::<Vec<_>>() {
            violations.push(format!("I-10 run {id} has attempts {numbers:?}"));
        }
        if let Some(attempt) = run.attempts.iter().find(|a| a.outcome.is_none() || a.finished_us.is_none()) {
            violations.push(format!("I-10 run {id} has an attempt without end: {attempt:?}"));
        }
        let last = run.attempts.last().and_then(|a| a.outcome.as_deref());
        let fits = match run.verdict.as_deref() {
            Some("success") => last == Some("success"),
            Some("failed") => last == Some("failed"),
            Some("lost") => matches!(last, Some("lost" | "interrupted")),
            // Also before its first attempt.
            Some("cancelled") => run.job == "replaced",
            Some(_) => false,
            None => last != Some("success"),
        };
        if !fits {
            violations.push(format!("I-10 run {id} of {} is {:?} after {last:?}", run.job, run.verdict));
        }
    }
    violations
}

/// I-11: at most one success, and it is true.
fn successes(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    let seen = record.by_attempt();
    for run in &record.runs {
        let successes: Vec<&Attempt> =
            run.attempts.iter().filter(|a| a.outcome.as_deref() == Some("success")).collect();
        if successes.len() > 1 {
            violations.push(format!("I-11 run {} has {} successes", run.id, successes.len()));
        }
        for attempt in &run.attempts {
            let said = seen.get(&(run.id.as_str(), attempt.number));
            let end = said.and_then(|lines| lines.iter().find(|line| line.kind.starts_with("end:")));
            let end = end.map(|line| line.kind["end:".len()..].to_owned());
            let wanted = match attempt.outcome.as_deref() {
                Some("success") => Some("0".to_owned()),
                Some("failed") => attempt.exit_code.map(|code| code.to_string()),
                _ => continue,
            };
            if end != wanted {
                violations.push(format!("I-11 run {}: {attempt:?} ended as {end:?}", run.id));
            }
        }
    }
    violations
}

/// I-13: attempts are bounded, and `onLost` is obeyed.
fn losses(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    for run in &record.runs {
        let rule = record.rules.iter().find(|rule| rule.name == run.job);
        let says = |word| rule.is_some_and(|rule| rule.says(word));
        let lost = |a: &&Attempt| matches!(a.outcome.as_deref(), Some("lost" | "interrupted"));
        let losses = run.attempts.iter().filter(lost).count();
        let failures = run.attempts.iter().filter(|a| a.outcome.as_deref() == Some("failed")).count();
        let verdict = run.verdict.as_deref();
        let obeyed = if says("onLost: fail") {
            losses == 0 || (losses == 1 && run.attempts.len() == 1 && verdict == Some("lost"))
        } else if says("onLost: hold") {
            let held = run.state == "held" && run.reason.as_deref() == Some("lost");
            losses == 0 || (losses == 1 && run.attempts.len() == 1 && held)
        } else {
            losses <= LOSSES_MAX + 1
                && ((verdict == Some("lost")) == (losses > LOSSES_MAX) || verdict == Some("cancelled"))
        };
        if !obeyed {
            violations.push(format!(
                "I-13 run {} of {} with {losses} losses is {} {verdict:?}",
                run.id, run.job, run.state
            ));
        }
        let failures_max = if says("maxRetries: 2") { 3 } else { 0 };
        if failures > failures_max {
            violations.push(format!("I-13 run {} of {} failed {failures} times", run.id, run.job));
        }
    }
    violations
}

/// I-15: what the witness saw of two runs of a job does not overlap, unless the job allows it.
fn overlaps(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    let runs = record.by_run();
    for rule in record.rules.iter().filter(|rule| !rule.says("overlap: allow")) {
        // A run that waits to be tried again is unfinished: its span goes from its first line to its last.
        let mut spans: Vec<(usize, usize, &str)> = runs
            .iter()
            .filter(|(_, lines)| lines[0].job == rule.name)
            .filter_map(|(id, lines)| Some((lines.first()?.place, lines.last()?.place, *id)))
            .collect();
        spans.sort_unstable();
        for pair in spans.windows(2).filter(|pair| pair[1].0 < pair[0].1) {
            violations.push(format!("I-15 runs {} and {} of {} overlap", pair[0].2, pair[1].2, rule.name));
        }
    }
    violations
}

/// I-18: nothing of an attempt is heard of after its end.
fn strays(record: &Record) -> Vec<String> {
    let mut violations = Vec::new();
    let seen = record.by_attempt();
    for run in &record.runs {
        for attempt in &run.attempts {
            let lines = seen.get(&(run.id.as_str(), attempt.number)).into_iter().flatten();
            let end = attempt.finished_us.unwrap_or(i64::MAX).saturating_add(KILLED_US);
            for line in lines.filter(|line| line.at_us > end) {
                violations.push(format!(
                    "I-18 attempt {} of run {} ended and goes on: {line:?}",
                    attempt.number, run.id
                ));
            }
        }
    }
    violations
}
