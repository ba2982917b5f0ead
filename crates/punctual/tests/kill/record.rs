//! What the product says happened, and what the witness saw, read into plain values.

use crate::now_us;
use crate::support::World;
use punctual_core::time::Timestamp;
use punctual_engine::clock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A job of the test, as the checks see it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub name: &'static str,
    /// Its nominal times are the whole seconds that many apart.
    pub every_s: i64,
    pub arguments: &'static str,
    pub definition: &'static str,
}

impl Rule {
    pub const fn new(
        name: &'static str,
        every_s: i64,
        arguments: &'static str,
        definition: &'static str,
    ) -> Self {
        Self { name, every_s, arguments, definition }
    }

    /// Whether the definition says so.
    pub fn says(&self, word: &str) -> bool {
        self.definition.contains(word)
    }
}

/// A line of the witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the file: the order of events.
    pub place: usize,
    /// `start`, `tick`, `child` or `end:CODE`.
    pub kind: String,
    pub job: String,
    pub run: String,
    pub attempt: u64,
    pub nominal_us: i64,
    pub key: String,
    pub fence: i64,
    /// By the wall clock, to a hundredth of a second.
    pub at_us: i64,
}

/// A run of the record.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: String,
    pub job: String,
    pub key: String,
    pub nominal_us: i64,
    pub state: String,
    pub verdict: Option<String>,
    pub reason: Option<String>,
    pub attempts: Vec<Attempt>,
}

/// An attempt of the record.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub number: u64,
    pub started_us: Option<i64>,
    pub finished_us: Option<i64>,
    pub outcome: Option<String>,
    pub exit_code: Option<i64>,
}

/// A disposition of the record.
#[derive(Clone, Debug)]
pub struct Tick {
    pub nominal_us: i64,
    pub disposition: String,
    pub reason: Option<String>,
    pub run: Option<String>,
}

/// All of it.
pub struct Record {
    pub rules: &'static [Rule],
    /// The jobs were applied between these instants.
    pub applied_us: (i64, i64),
    /// Everything up to here was seen to.
    pub settled_us: i64,
    /// When something was killed, stopped or suspended.
    pub blows_us: Vec<i64>,
    pub runs: Vec<Run>,
    pub ticks: BTreeMap<&'static str, Vec<Tick>>,
    pub lines: Vec<Line>,
}

impl Record {
    /// Reads the record through the commands, and the witness's file.
    pub fn read(
        world: &World,
        rules: &'static [Rule],
        applied_us: (i64, i64),
        settled_us: i64,
        blows_us: Vec<i64>,
    ) -> Self {
        let runs: Vec<Run> = world.runs().iter().map(run).collect();
        let (from, to) = (Timestamp::from_micros(applied_us.0), Timestamp::from_micros(settled_us));
        let (from, to) = (from.to_string(), to.to_string());
        let ticks = rules.iter().map(|rule| {
            let ticks = world.json(&["ticks", rule.name, "--from", &from, "--to", &to]);
            (rule.name, ticks.as_array().expect("ticks are a list").iter().map(tick).collect())
        });
        let ticks = ticks.collect();
        let boot_us = now_us() - i64::try_from(clock::since_boot().as_micros()).expect("not so old");
        let text = std::fs::read_to_string(world.path("witness")).expect("the witness wrote");
        let lines = text.lines().enumerate().map(|(place, text)| line(place, text, boot_us)).collect();
        Self { rules, applied_us, settled_us, blows_us, runs, ticks, lines }
    }

    /// The witness's lines of each attempt, in order.
    pub fn by_attempt(&self) -> BTreeMap<(&str, u64), Vec<&Line>> {
        let mut attempts: BTreeMap<(&str, u64), Vec<&Line>> = BTreeMap::new();
        for line in &self.lines {
            attempts.entry((&line.run, line.attempt)).or_default().push(line);
        }
        attempts
    }

    /// The witness's lines of each run, in order.
    pub fn by_run(&self) -> BTreeMap<&str, Vec<&Line>> {
        let mut runs: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &self.lines {
            runs.entry(&line.run).or_default().push(line);
        }
        runs
    }

    /// What was seen, in one line.
    pub fn summary(&self) -> String {
        let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
        for attempt in self.runs.iter().flat_map(|run| &run.attempts) {
            *outcomes.entry(attempt.outcome.as_deref().unwrap_or("unended")).or_default() += 1;
        }
        let mut dispositions: BTreeMap<&str, u32> = BTreeMap::new();
        for tick in self.ticks.values().flatten() {
            *dispositions.entry(&tick.disposition).or_default() += 1;
        }
        let (runs, lines, hit) = (self.runs.len(), self.lines.len(), self.hit().len());
        format!(
            "{runs} runs, {lines} lines, {hit} attempts hit; attempts {outcomes:?}; ticks {dispositions:?}"
        )
    }

    /// A test that saw too little proves nothing.
    pub fn vacuity(&self, rounds: u64) -> Vec<String> {
        let mut too_little = Vec::new();
        // Most rounds kill something, and at every instant several jobs are under way.
        if (self.hit().len() as u64) < rounds {
            too_little
                .push(format!("only {} running attempts were hit in {rounds} rounds", self.hit().len()));
        }
        if (self.runs.len() as u64) < 10 * rounds {
            too_little.push(format!("only {} runs in {rounds} rounds", self.runs.len()));
        }
        for rule in self.rules {
            if !self.lines.iter().any(|line| line.job == rule.name) {
                too_little.push(format!("job {} never ran", rule.name));
            }
        }
        for word in ["success", "failed", "lost", "interrupted", "cancelled"] {
            let outcomes = self.runs.iter().flat_map(|run| &run.attempts).map(|a| a.outcome.as_deref());
            if !outcomes.into_iter().any(|outcome| outcome == Some(word)) {
                too_little.push(format!("no attempt was {word}"));
            }
        }
        for word in ["run", "skipped", "coalesced"] {
            if !self.ticks.values().flatten().any(|tick| tick.disposition == word) {
                too_little.push(format!("no tick was {word}"));
            }
        }
        too_little
    }

    /// Attempts that had begun, and in the middle of which a blow fell.
    fn hit(&self) -> BTreeSet<(&str, u64)> {
        let begun = self.by_attempt();
        let attempts = self.runs.iter().flat_map(|run| run.attempts.iter().map(|a| (run.id.as_str(), a)));
        attempts
            .filter(|(_, a)| {
                let span = a.started_us.zip(a.finished_us);
                span.is_some_and(|(from, to)| self.blows_us.iter().any(|blow| (from..to).contains(blow)))
            })
            .map(|(run, a)| (run, a.number))
            .filter(|key| begun.contains_key(key))
            .collect()
    }
}

/// An instant of a document, microseconds since the epoch.
pub fn instant(value: &Value) -> i64 {
    Timestamp::parse_rfc3339(value.as_str().expect("an instant is a text")).expect("an instant").as_micros()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn run(value: &Value) -> Run {
    let attempts = value["attempts"].as_array().expect("attempts are a list").iter();
    Run {
        id: text(&value["id"]).expect("a run has an id"),
        job: text(&value["job"]).expect("a run has a job"),
        key: text(&value["key"]).expect("a run has a key"),
        nominal_us: instant(&value["nominalTime"]),
        state: text(&value["state"]).expect("a run has a state"),
        verdict: text(&value["verdict"]),
        reason: text(&value["reason"]),
        attempts: attempts
            .map(|attempt| Attempt {
                number: attempt["number"].as_u64().expect("an attempt has a number"),
                started_us: attempt["startedAt"].is_string().then(|| instant(&attempt["startedAt"])),
                finished_us: attempt["finishedAt"].is_string().then(|| instant(&attempt["finishedAt"])),
                outcome: text(&attempt["outcome"]),
                exit_code: attempt["exitCode"].as_i64(),
            })
            .collect(),
    }
}

fn tick(value: &Value) -> Tick {
    Tick {
        nominal_us: instant(&value["nominalTime"]),
        disposition: text(&value["disposition"]).expect("a tick has a disposition"),
        reason: text(&value["reason"]),
        run: text(&value["runId"]),
    }
}

fn line(place: usize, text: &str, boot_us: i64) -> Line {
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, job, run, attempt, nominal, key, fence, uptime] = words[..] else {
        panic!("line {place} of the witness is torn: {text:?}");
    };
    let hundredths: i64 = uptime.replace('.', "").parse().expect("seconds with two digits after the point");
    Line {
        place,
        kind: kind.to_owned(),
        job: job.to_owned(),
        run: run.to_owned(),
        attempt: attempt.parse().expect("a number"),
        nominal_us: Timestamp::parse_rfc3339(nominal).expect("an instant").as_micros(),
        key: key.to_owned(),
        fence: fence.parse().expect("a number"),
        at_us: boot_us + hundredths * 10_000,
    }
}
