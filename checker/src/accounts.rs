//! Every nominal time is accounted for, once, and what did not run was left out for a reason that held (I-1, I-2, I-3,
//! I-5).

use crate::definitions::{CatchUp, Job, Overlap, Rule};
use crate::history::{Apply, Fault, History, Run, Tick};
use crate::oracle::{self, Times};
use std::collections::{BTreeMap, BTreeSet};

/// The violations.
pub fn check(history: &History) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, job) in history.jobs() {
        let none = Vec::new();
        let ticks = history.ticks.get(name).unwrap_or(&none);
        let ticks: Vec<&Tick> = ticks.iter().filter(|t| t.nominal_us < history.settings.settled_us).collect();
        match expected(history, name, &ticks) {
            Ok(times) => account(name, &ticks, &times, &mut violations),
            Err(violation) => violations.push(violation),
        }
        for tick in ticks {
            if let Some(violation) = disposition(history, job, tick) {
                violations.push(violation);
            }
        }
    }
    runs_of_ticks(history, &mut violations);
    keys(history, &mut violations);
    violations
}

/// While the definitions say the same of a job's times: from when (earliest, latest) to when (earliest, latest).
struct Epoch {
    rule: Rule,
    from: (i64, i64),
    to: (i64, i64),
}

fn epochs(applies: &[Apply], name: &str, settled_us: i64) -> Vec<Epoch> {
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut in_force = false;
    for apply in applies {
        let rule = apply.jobs.iter().find(|job| job.name == name).map(|job| job.rule.clone());
        let (now, end) = ((apply.invoke_us, apply.ack_us), (settled_us, settled_us));
        let same = in_force && epochs.last().is_some_and(|last| Some(&last.rule) == rule.as_ref());
        if same {
            continue;
        }
        if let Some(last) = epochs.last_mut().filter(|_| in_force) {
            last.to = now;
        }
        in_force = rule.is_some();
        epochs.extend(rule.map(|rule| Epoch { rule, from: now, to: end }));
    }
    epochs
}

/// The times that must and may have a disposition; an `Err` is a violation.
fn expected(history: &History, name: &str, ticks: &[&Tick]) -> Result<Times, String> {
    let settled = history.settings.settled_us;
    let mut all = Times::default();
    for (place, epoch) in epochs(&history.applies, name, settled).into_iter().enumerate() {
        let mut surely_from = epoch.from.1 + 1;
        let mut first = None;
        if let Rule::Every(step, None) = epoch.rule {
            // It begins at the whole second of its apply, or the next; which one that was, only the record tells.
            // While an edit was under way, times may be those of the rule before.
            let own = if place == 0 { epoch.from.0 } else { epoch.from.1 };
            first = ticks.iter().map(|tick| tick.nominal_us).find(|at| *at >= own);
            let latest = epoch.from.1 + step + 1_000_000;
            match first {
                Some(at) if at % 1_000_000 == 0 && at <= latest => surely_from = at,
                None if settled <= latest => {}
                _ => return Err(format!("I-3 {name} begins at {first:?}, applied in {:?}", epoch.from)),
            }
        }
        let failed = |why| format!("I-2 the rule of {name} cannot be judged: {why}");
        let times =
            oracle::times(&epoch.rule, first, epoch.from.0, epoch.to.1.min(settled)).map_err(failed)?;
        let (sure, unsure): (Vec<i64>, Vec<i64>) =
            times.must.into_iter().partition(|at| *at >= surely_from && *at < epoch.to.0);
        all.must.extend(sure);
        all.may.extend(unsure);
        all.may.extend(times.may);
    }
    Ok(all)
}

fn account(name: &str, ticks: &[&Tick], times: &Times, violations: &mut Vec<String>) {
    let mut named = BTreeSet::new();
    for tick in ticks {
        let at = tick.nominal_us;
        if !named.insert(at) {
            violations.push(format!("I-3 {name} at {at} has two dispositions"));
        }
        if !times.must.contains(&at) && !times.may.contains(&at) {
            violations.push(format!("I-2 {name} at {at} is no time of its rule"));
        }
    }
    for missing in times.must.difference(&named) {
        violations.push(format!("I-3 {name} at {missing} has no disposition"));
    }
}

/// I-5: what was left out was left out for a reason that held.
fn disposition(history: &History, job: &Job, tick: &Tick) -> Option<String> {
    let at = tick.nominal_us;
    let missed = history.faulty(at, at, |_| true) || history.paused(&job.name, at);
    let reason = tick.reason.as_deref().unwrap_or("");
    let justified = match (tick.disposition.as_str(), reason) {
        ("run", _) => tick.run.is_some(),
        ("skipped", "overlap") => job.overlap != Overlap::Allow && unfinished_at(history, job, at),
        ("skipped", "paused") => history.paused(&job.name, at),
        ("skipped", "catchUpNone") => job.catch_up == CatchUp::None && missed,
        ("coalesced", _) => job.catch_up == CatchUp::Latest && missed && runs_later(history, job, at),
        _ => false,
    };
    let (name, what) = (&job.name, &tick.disposition);
    (!justified).then(|| format!("I-5 {name} at {at} is {what} for {reason:?} without need"))
}

/// Whether an earlier run may have been unfinished, as far as the daemon knew, when the tick was decided.
fn unfinished_at(history: &History, job: &Job, at: i64) -> bool {
    let slack =
        if history.faulty(at, at, |_| true) { history.settings.slack_us } else { history.settings.learnt_us };
    // While one of its processes stands still, the daemon learns of no end.
    let stood = |f: &&Fault| !f.kill && f.from_us <= at && at <= f.to_us + history.settings.slack_us;
    let since = history.faults.iter().filter(stood).map(|f| f.from_us).fold(at, i64::min);
    let end = |run: &Run| run.attempts.last().and_then(|attempt| attempt.finished_us);
    let open = |run: &Run| run.state != "finished" || end(run).is_none_or(|end| end + slack >= since);
    history.runs.iter().any(|run| run.job == job.name && run.nominal_us < at && open(run))
}

/// What is coalesced goes into a later time that is not.
fn runs_later(history: &History, job: &Job, at: i64) -> bool {
    let ticks = history.ticks.get(&job.name).into_iter().flatten();
    ticks.filter(|tick| tick.nominal_us > at).any(|tick| tick.disposition != "coalesced")
}

/// I-1: a disposition names its run, and every run of a rule belongs to one.
fn runs_of_ticks(history: &History, violations: &mut Vec<String>) {
    let runs: BTreeMap<&str, &Run> = history.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    for (job, ticks) in &history.ticks {
        for tick in ticks {
            let Some(id) = tick.run.as_deref() else { continue };
            *made.entry(id).or_default() += 1;
            if runs.get(id).is_none_or(|run| run.job != *job || run.nominal_us != tick.nominal_us) {
                violations.push(format!("I-1 {job} at {}: there is no such run {id}", tick.nominal_us));
            }
        }
    }
    let submitted: BTreeSet<&str> = history.submitted().map(|(_, run)| run).collect();
    let by_rule = |run: &&Run| {
        let ruled = history.job(&run.job).is_some_and(|job| job.rule != Rule::Asked);
        ruled && run.nominal_us < history.settings.settled_us && !submitted.contains(run.id.as_str())
    };
    for run in history.runs.iter().filter(by_rule) {
        let count = made.get(run.id.as_str()).copied().unwrap_or(0);
        if count != 1 {
            violations.push(format!("I-1 run {} of {} belongs to {count} times", run.id, run.job));
        }
    }
}

/// I-1: one run for a key, and for an id.
fn keys(history: &History, violations: &mut Vec<String>) {
    let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for run in &history.runs {
        if !ids.insert(&run.id) || !keys.insert((&run.job, &run.key)) {
            violations
                .push(format!("I-1 run {} of {}, key {}, is not the only one", run.id, run.job, run.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions;
    use serde_json::json;

    fn apply(invoke_us: i64, ack_us: i64, every: &str) -> Apply {
        let document = json!({"jobs": [{"name": "a", "schedule": {"every": every}}]});
        Apply { invoke_us, ack_us, jobs: definitions::read(&document).expect("known") }
    }

    fn spans(applies: &[Apply]) -> Vec<((i64, i64), (i64, i64))> {
        epochs(applies, "a", 100).into_iter().map(|epoch| (epoch.from, epoch.to)).collect()
    }

    #[test]
    fn an_edit_that_changes_no_times_begins_nothing_new() {
        let retired = Apply { jobs: Vec::new(), ..apply(50, 51, "1s") };
        assert_eq!(spans(&[apply(1, 2, "1s"), apply(10, 11, "1s")]), [((1, 2), (100, 100))]);
        assert_eq!(
            spans(&[apply(1, 2, "1s"), apply(10, 11, "2s"), retired.clone(), apply(60, 61, "2s")]),
            [((1, 2), (10, 11)), ((10, 11), (50, 51)), ((60, 61), (100, 100))]
        );
    }
}
