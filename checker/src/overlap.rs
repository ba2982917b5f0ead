//! Runs of a job that may not run beside each other did not, as the witness saw it (I-15).

use crate::definitions::Overlap;
use crate::history::History;
use std::collections::BTreeMap;

/// The violations: a sweep over the spans of each job's runs, from the first word of a run to its last. A run that
/// waits to be tried again is unfinished, so its span has no gaps.
pub fn check(history: &History) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, _) in history.jobs().into_iter().filter(|(_, job)| job.overlap != Overlap::Allow) {
        let mut spans: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let lines =
            history.lines.iter().enumerate().filter(|(_, line)| line.job == name && !line.run.is_empty());
        for (place, line) in lines {
            spans.entry(&line.run).or_insert((place, place)).1 = place;
        }
        let mut spans: Vec<((usize, usize), &str)> =
            spans.into_iter().map(|(run, span)| (span, run)).collect();
        spans.sort_unstable();
        let mut latest: Option<((usize, usize), &str)> = None;
        for (span, run) in spans {
            if let Some((before, other)) = latest
                && span.0 < before.1
            {
                violations.push(format!("I-15 runs {other} and {run} of {name} overlap"));
            }
            if latest.is_none_or(|(before, _)| before.1 < span.1) {
                latest = Some((span, run));
            }
        }
    }
    violations
}
