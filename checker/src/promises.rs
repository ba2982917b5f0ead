//! What was acknowledged while faults went on is still so at the end (I-1, I-10, I-18, I-19).

use crate::history::{Asked, History, Run};
use std::collections::BTreeMap;

impl History {
    /// Submitted keys and the runs they were answered with.
    pub fn submitted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.asked.iter().filter_map(|asked| match asked {
            Asked::Submitted { key, run } => Some((key.as_str(), run.as_str())),
            _ => None,
        })
    }
}

/// The violations.
pub fn check(history: &History) -> Vec<String> {
    let runs: BTreeMap<&str, &Run> = history.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    let mut violations: Vec<String> = Vec::new();
    let mut answered: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, id) in history.submitted() {
        if *answered.entry(key).or_insert(id) != id {
            violations.push(format!("I-1 key {key} was answered with two runs, {id} is one"));
        }
        if runs.get(id).is_none_or(|run| run.key != key) {
            violations.push(format!("I-19 the acknowledged run {id} of key {key} is gone"));
        }
    }
    for asked in &history.asked {
        let Asked::Ended { run: id, verdict } = asked else { continue };
        match runs.get(id.as_str()) {
            None => violations.push(format!("I-19 the finished run {id} is gone")),
            Some(run) if run.verdict.as_ref() != Some(verdict) => {
                violations.push(format!("I-10 run {id} was {verdict} and became {:?}", run.verdict));
            }
            Some(_) => {}
        }
    }
    violations
        .extend(history.settings.alive.iter().map(|run| format!("I-18 a process of run {run} is alive")));
    violations
}
