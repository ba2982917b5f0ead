//! The history checker: holds a record of Punctual against its definitions and against an independent witness.
//!
//! It is a second opinion, so it shares no code with what it judges: it has its own reading of definitions, its own
//! timetable ([`oracle`], by trying every second) and its own idea of what may follow what. It reads files only.
//!
//! ```text
//! applies.jsonl   the definitions that were handed over, with the instants before and after
//! faults.jsonl    what was done to the processes, from when to when, and whether attempts may be lost by it
//! asked.jsonl     what was acknowledged meanwhile: submitted keys, verdicts, pauses
//! runs.json       `punctual runs -n 10000 --format json` at the end
//! ticks.json      job → `punctual ticks JOB --format json` at the end
//! witness         lines of the program that the jobs were, in the order in which they were written
//! settings.json   up to which instant all had to be settled, tolerances, and what is too little to prove anything
//! ```
//! [`check`] answers with violations, each beginning with the number of the invariant it breaks, and with counts.
//! [`sabotage`] breaks a good history on purpose: the checker must notice each time.

pub mod accounts;
pub mod attempts;
pub mod definitions;
pub mod history;
pub mod matching;
pub mod oracle;
pub mod overlap;
pub mod promises;
pub mod sabotage;
pub mod seen;
pub mod sum;

use history::History;

/// What the checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each violation: the invariant's number, then what and where.
    pub violations: Vec<String>,
    /// What was looked at.
    pub sum: sum::Sum,
}

/// Holds a history against everything that must be true of it.
pub fn check(history: &History) -> Report {
    let checks: [fn(&History) -> Vec<String>; 7] = [
        accounts::check,
        attempts::check,
        seen::check,
        overlap::check,
        matching::check,
        promises::check,
        sum::too_little,
    ];
    let violations = checks.iter().flat_map(|check| check(history)).collect();
    Report { violations, sum: sum::Sum::of(history) }
}

/// A few violations of each kind, for people.
pub fn shown(violations: &[String]) -> String {
    let mut kinds: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for violation in violations {
        kinds.entry(violation.split(' ').next().unwrap_or_default()).or_default().push(violation);
    }
    let few = |(kind, all): (&str, Vec<&str>)| {
        format!("{} of {kind}, such as\n  {}", all.len(), all[..all.len().min(4)].join("\n  "))
    };
    kinds.into_iter().map(few).collect::<Vec<_>>().join("\n")
}
