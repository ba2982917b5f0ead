//! What there was to see. A history that shows too little proves nothing, and is refused.

use crate::definitions::Rule;
use crate::history::{END, History};
use std::collections::BTreeMap;
use std::fmt;

/// Counts of a history, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Runs of the record.
    pub runs: usize,
    /// Lines of the witness.
    pub lines: usize,
    /// Faults by kind.
    pub faults: BTreeMap<String, usize>,
    /// Faults that killed a process.
    pub kills: usize,
    /// Of those, with at least one attempt under way.
    pub kills_in_the_middle: usize,
    /// Attempts under way at faults.
    pub hits: usize,
    /// Of those, at a kill, that went on to their own end, which is recorded.
    pub outlived: usize,
    /// Attempts by outcome.
    pub attempts: BTreeMap<String, usize>,
    /// Nominal times by disposition.
    pub ticks: BTreeMap<String, usize>,
}

impl Sum {
    /// The counts of a history.
    pub fn of(history: &History) -> Self {
        let mut sum = Self { runs: history.runs.len(), lines: history.lines.len(), ..Self::default() };
        let spans = spans(history);
        for fault in history.faults.iter().filter(|fault| fault.kind != END) {
            let under_way = || spans.iter().filter(|s| s.from_us < fault.from_us && fault.from_us < s.to_us);
            *sum.faults.entry(fault.kind.clone()).or_default() += 1;
            sum.hits += under_way().count();
            sum.kills += usize::from(fault.kill);
            sum.kills_in_the_middle += usize::from(fault.kill && under_way().count() > 0);
            sum.outlived += under_way().filter(|s| fault.kill && s.ended).count();
        }
        for attempt in history.runs.iter().flat_map(|run| &run.attempts) {
            *sum.attempts.entry(attempt.outcome.clone().unwrap_or_else(|| "none".into())).or_default() += 1;
        }
        for tick in history.ticks.values().flatten() {
            *sum.ticks.entry(tick.disposition.clone()).or_default() += 1;
        }
        sum
    }

    /// These counts with those of another history.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.lines += other.lines;
        self.kills += other.kills;
        self.kills_in_the_middle += other.kills_in_the_middle;
        self.hits += other.hits;
        self.outlived += other.outlived;
        let maps = [
            (&mut self.faults, &other.faults),
            (&mut self.attempts, &other.attempts),
            (&mut self.ticks, &other.ticks),
        ];
        for (mine, theirs) in maps {
            theirs.iter().for_each(|(name, count)| *mine.entry(name.clone()).or_default() += count);
        }
    }
}

/// When an attempt was under way.
struct Span {
    from_us: i64,
    to_us: i64,
    /// By itself, and its end is recorded.
    ended: bool,
}

/// Each attempt's, by the witness, and by the record where its end was not seen.
fn spans(history: &History) -> Vec<Span> {
    let seen = history.by_attempt();
    let attempts = history.runs.iter().flat_map(|run| run.attempts.iter().map(|a| (run.id.as_str(), a)));
    let span = |(run, attempt): (&str, &crate::history::Attempt)| {
        let lines = seen.get(&(run, attempt.number))?;
        let end = lines.iter().find(|line| line.kind.starts_with("end:")).map(|line| line.at_us);
        let to_us = end.or(attempt.finished_us).unwrap_or(i64::MAX);
        let ended = matches!(attempt.outcome.as_deref(), Some("success" | "failed"));
        Some(Span { from_us: lines[0].at_us, to_us, ended })
    };
    attempts.filter_map(span).collect()
}

/// Why a history proves nothing.
pub fn too_little(history: &History) -> Vec<String> {
    let (sum, settings) = (Sum::of(history), &history.settings);
    let mut too_little = Vec::new();
    if sum.runs < settings.runs_min {
        too_little.push(format!("V-1 only {} runs, and {} are wanted", sum.runs, settings.runs_min));
    }
    if sum.hits < settings.hits_min {
        too_little
            .push(format!("V-2 only {} attempts were hit, and {} are wanted", sum.hits, settings.hits_min));
    }
    for (name, job) in history.jobs().into_iter().filter(|(_, job)| job.rule != Rule::Asked) {
        if !history.lines.iter().any(|line| line.job == name) {
            too_little.push(format!("V-3 job {name} ({:?}) was never seen", job.rule));
        }
    }
    for word in &settings.dispositions {
        if !sum.ticks.contains_key(word) {
            too_little.push(format!("V-4 no time was {word}"));
        }
    }
    too_little
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |map: &BTreeMap<String, usize>| {
            map.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "faults    {}", list(&self.faults))?;
        writeln!(
            f,
            "kills     {}, of them {} in the middle of attempts",
            self.kills, self.kills_in_the_middle
        )?;
        let (hits, outlived) = (self.hits, self.outlived);
        writeln!(
            f,
            "hit       {hits} attempts were under way at a fault; {outlived} outlived a kill and ended as recorded"
        )?;
        writeln!(f, "runs      {}, and {} lines of the witness", self.runs, self.lines)?;
        writeln!(f, "attempts  {}", list(&self.attempts))?;
        write!(f, "times     {}", list(&self.ticks))
    }
}
