//! A history: everything that is judged, as plain values.

use crate::definitions::{Job, instant, read};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What it is judged by beside the definitions.
    pub settings: Settings,
    /// Definitions, in the order in which they were handed over.
    pub applies: Vec<Apply>,
    /// What was done to the processes.
    pub faults: Vec<Fault>,
    /// What was acknowledged.
    pub asked: Vec<Asked>,
    /// Runs of the record.
    pub runs: Vec<Run>,
    /// Dispositions of the record, by job.
    pub ticks: BTreeMap<String, Vec<Tick>>,
    /// Lines of the witness, in the order of events.
    pub lines: Vec<Line>,
}

/// Instants and tolerances, microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// All that fell due before was settled by the end.
    pub settled_us: i64,
    /// So much later than at its instant a busy machine may do something.
    pub slack_us: i64,
    /// The daemon decides by the ends it knows of, and learns of each within this unless something is done to it.
    pub learnt_us: i64,
    /// So long an attempt that is killed may have lived without a word of its witness.
    pub first_word_us: i64,
    /// Jobs whose witness does not say for which run it is.
    pub unlabelled: BTreeSet<String>,
    /// Runs of processes that were found alive at the end.
    pub alive: Vec<String>,
    /// Fewer runs prove nothing.
    pub runs_min: usize,
    /// Fewer attempts that were under way while something was done to their processes prove nothing.
    pub hits_min: usize,
    /// Dispositions of which at least one is wanted.
    pub dispositions: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settled_us: 0,
            slack_us: 5_000_000,
            learnt_us: 1_200_000,
            first_word_us: 2_000_000,
            unlabelled: BTreeSet::new(),
            alive: Vec::new(),
            runs_min: 20,
            hits_min: 3,
            dispositions: ["run", "skipped", "coalesced"].map(str::to_owned).to_vec(),
        }
    }
}

/// Definitions that were handed over.
#[derive(Clone, Debug)]
pub struct Apply {
    /// They were not in force before.
    pub invoke_us: i64,
    /// They were in force from then on.
    pub ack_us: i64,
    /// What they define.
    pub jobs: Vec<Job>,
}

/// The kind of the fault that ends a history in peace.
pub const END: &str = "End";

/// Something that was done to processes of Punctual.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its name.
    pub kind: String,
    /// From then.
    pub from_us: i64,
    /// To when all answered again.
    pub to_us: i64,
    /// Whether a process was killed by it.
    pub kill: bool,
    /// Whether attempts may be lost by it.
    pub may_lose: bool,
}

/// Something that was asked for and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A submission of `key` was answered with a run.
    Submitted {
        /// The key.
        key: String,
        /// The run's id.
        run: String,
    },
    /// A run was said to have ended so.
    Ended {
        /// The run's id.
        run: String,
        /// Its verdict.
        verdict: String,
    },
    /// A job was paused within these instants at most.
    Paused {
        /// The job.
        job: String,
        /// From then.
        from_us: i64,
        /// To then.
        to_us: i64,
    },
}

/// A run of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job: String,
    /// The occurrence's key.
    pub key: String,
    /// Microseconds since the epoch.
    pub nominal_us: i64,
    /// Where it stood at the end.
    pub state: String,
    /// How it ended.
    pub verdict: Option<String>,
    /// Why it is held or never ran.
    pub reason: Option<String>,
    /// Its attempts, in the order of the record.
    pub attempts: Vec<Attempt>,
}

/// An attempt of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u64,
    /// When its process started.
    pub started_us: Option<i64>,
    /// When it ended.
    pub finished_us: Option<i64>,
    /// How.
    pub outcome: Option<String>,
    /// With which code.
    pub exit_code: Option<i64>,
}

/// A disposition of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Microseconds since the epoch.
    pub nominal_us: i64,
    /// What became of it.
    pub disposition: String,
    /// Why.
    pub reason: Option<String>,
    /// The run it became.
    pub run: Option<String>,
}

/// A line of the witness. One that is unlabelled has an empty run, and nothing else of the run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `start`, `tick`, `child` or `end:CODE`.
    pub kind: String,
    /// The job.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// The attempt's number.
    pub attempt: u64,
    /// Microseconds since the epoch.
    pub nominal_us: i64,
    /// The idempotency key it was told.
    pub key: String,
    /// The fence it was told.
    pub fence: i64,
    /// The process that wrote it.
    pub pid: u32,
    /// When, by the wall clock, microseconds since the epoch.
    pub at_us: i64,
}

impl History {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// Names the file that is missing or cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let text = |name: &str| {
            std::fs::read_to_string(folder.join(name))
                .map_err(|e| format!("{}: {e}", folder.join(name).display()))
        };
        let document = |name: &str| -> Result<Value, String> {
            serde_json::from_str(&text(name)?).map_err(|e| format!("{name}: {e}"))
        };
        let documents = |name: &str| -> Result<Vec<Value>, String> {
            let text = text(name)?;
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(|line| serde_json::from_str(line).map_err(|e| format!("{name}: {e}"))).collect()
        };
        let list = |name: &str, value: &Value| {
            value.as_array().cloned().ok_or_else(|| format!("{name} is no list: {value}"))
        };
        let ticks = document("ticks.json")?;
        let ticks = ticks.as_object().ok_or("ticks.json is no object")?;
        let jobs = ticks.iter().map(|(job, ticks)| {
            Ok((job.clone(), list("ticks.json", ticks)?.iter().map(tick).collect::<Result<_, String>>()?))
        });
        Ok(Self {
            settings: settings(&document("settings.json")?)?,
            applies: documents("applies.jsonl")?.iter().map(apply).collect::<Result<_, _>>()?,
            faults: documents("faults.jsonl")?.iter().map(fault).collect::<Result<_, _>>()?,
            asked: documents("asked.jsonl")?.iter().map(asked).collect::<Result<_, _>>()?,
            runs: list("runs.json", &document("runs.json")?)?.iter().map(run).collect::<Result<_, _>>()?,
            ticks: jobs.collect::<Result<_, String>>()?,
            lines: text("witness")?.lines().map(line).collect::<Result<_, _>>()?,
        })
    }

    /// The definition of a job: the last one that was handed over.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.applies.iter().rev().find_map(|apply| apply.jobs.iter().find(|job| job.name == name))
    }

    /// All jobs that were ever defined.
    pub fn jobs(&self) -> BTreeMap<&str, &Job> {
        let all = self.applies.iter().flat_map(|apply| &apply.jobs);
        all.map(|job| (job.name.as_str(), job)).collect()
    }

    /// The lines of each attempt whose witness names it, in order.
    pub fn by_attempt(&self) -> BTreeMap<(&str, u64), Vec<&Line>> {
        let mut attempts: BTreeMap<(&str, u64), Vec<&Line>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| !line.run.is_empty()) {
            attempts.entry((&line.run, line.attempt)).or_default().push(line);
        }
        attempts
    }

    /// Whether a job was paused at that instant, as far as was asked.
    pub fn paused(&self, name: &str, at: i64) -> bool {
        let covers = |asked: &Asked| matches!(asked, Asked::Paused { job, from_us, to_us } if job == name && (*from_us..=*to_us).contains(&at));
        self.asked.iter().any(covers)
    }

    /// Whether a fault that `wanted` says lies within [from, to], the slack on both sides included.
    pub fn faulty(&self, from_us: i64, to_us: i64, wanted: impl Fn(&Fault) -> bool) -> bool {
        let slack = self.settings.slack_us;
        let near = |fault: &Fault| fault.from_us - slack <= to_us && from_us <= fault.to_us + slack;
        self.faults.iter().any(|fault| near(fault) && wanted(fault))
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn needed(value: &Value, key: &str) -> Result<String, String> {
    text(&value[key]).ok_or_else(|| format!("there is no {key} in {value}"))
}

fn at(value: &Value, key: &str) -> Result<Option<i64>, String> {
    match &value[key] {
        Value::Null => Ok(None),
        Value::String(text) => instant(text).map(Some).ok_or_else(|| format!("{key} is no instant: {text}")),
        other => Err(format!("{key} is no instant: {other}")),
    }
}

fn micros(value: &Value, key: &str) -> Result<i64, String> {
    value[key].as_i64().ok_or_else(|| format!("there is no number {key} in {value}"))
}

fn settings(value: &Value) -> Result<Settings, String> {
    let usual = Settings::default();
    let number = |key: &str, usual: i64| value[key].as_i64().unwrap_or(usual);
    let count =
        |key: &str, usual: usize| value[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(usual);
    let texts =
        |key: &str| value[key].as_array().map(|list| list.iter().filter_map(text).collect::<Vec<_>>());
    Ok(Settings {
        settled_us: micros(value, "settledUs")?,
        slack_us: number("slackUs", usual.slack_us),
        learnt_us: number("learntUs", usual.learnt_us),
        first_word_us: number("firstWordUs", usual.first_word_us),
        unlabelled: texts("unlabelled").unwrap_or_default().into_iter().collect(),
        alive: texts("alive").unwrap_or_default(),
        runs_min: count("runsMin", usual.runs_min),
        hits_min: count("hitsMin", usual.hits_min),
        dispositions: texts("dispositions").unwrap_or(usual.dispositions),
    })
}

fn apply(value: &Value) -> Result<Apply, String> {
    let (invoke_us, ack_us) = (micros(value, "invokeUs")?, micros(value, "ackUs")?);
    Ok(Apply { invoke_us, ack_us, jobs: read(&value["document"])? })
}

fn fault(value: &Value) -> Result<Fault, String> {
    Ok(Fault {
        kind: needed(value, "kind")?,
        from_us: micros(value, "fromUs")?,
        to_us: micros(value, "toUs")?,
        kill: value["kill"].as_bool().ok_or("a fault does not say whether it kills")?,
        may_lose: value["mayLose"].as_bool().ok_or("a fault does not say whether it may lose attempts")?,
    })
}

fn asked(value: &Value) -> Result<Asked, String> {
    match needed(value, "kind")?.as_str() {
        "submitted" => Ok(Asked::Submitted { key: needed(value, "key")?, run: needed(value, "run")? }),
        "ended" => Ok(Asked::Ended { run: needed(value, "run")?, verdict: needed(value, "verdict")? }),
        "paused" => Ok(Asked::Paused {
            job: needed(value, "job")?,
            from_us: micros(value, "fromUs")?,
            to_us: micros(value, "toUs")?,
        }),
        other => Err(format!("asked.jsonl: what is {other:?}?")),
    }
}

fn run(value: &Value) -> Result<Run, String> {
    let attempts = value["attempts"].as_array().ok_or_else(|| format!("a run without attempts: {value}"))?;
    let attempt = |attempt: &Value| -> Result<Attempt, String> {
        Ok(Attempt {
            number: attempt["number"]
                .as_u64()
                .ok_or_else(|| format!("an attempt without number: {value}"))?,
            started_us: at(attempt, "startedAt")?,
            finished_us: at(attempt, "finishedAt")?,
            outcome: text(&attempt["outcome"]),
            exit_code: attempt["exitCode"].as_i64(),
        })
    };
    Ok(Run {
        id: needed(value, "id")?,
        job: needed(value, "job")?,
        key: needed(value, "key")?,
        nominal_us: at(value, "nominalTime")?.ok_or("a run without its time")?,
        state: needed(value, "state")?,
        verdict: text(&value["verdict"]),
        reason: text(&value["reason"]),
        attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
    })
}

fn tick(value: &Value) -> Result<Tick, String> {
    Ok(Tick {
        nominal_us: at(value, "nominalTime")?.ok_or("a tick without its time")?,
        disposition: needed(value, "disposition")?,
        reason: text(&value["reason"]),
        run: text(&value["runId"]),
    })
}

/// `KIND JOB RUN ATTEMPT NOMINAL KEY FENCE PID MICROSECONDS`, with `-` for what the witness does not say.
fn line(text: &str) -> Result<Line, String> {
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, job, run, attempt, nominal, key, fence, pid, at_us] = words[..] else {
        return Err(format!("a line of the witness is torn: {text:?}"));
    };
    let bad = |what: &str| format!("the {what} of a line of the witness cannot be read: {text:?}");
    let known = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    let number = |word: &str, what: &str| match word {
        "-" => Ok(0),
        word => word.parse::<i64>().map_err(|_| bad(what)),
    };
    Ok(Line {
        kind: kind.to_owned(),
        job: job.to_owned(),
        run: known(run),
        attempt: u64::try_from(number(attempt, "attempt")?).map_err(|_| bad("attempt"))?,
        nominal_us: if nominal == "-" { 0 } else { instant(nominal).ok_or_else(|| bad("nominal time"))? },
        key: known(key),
        fence: number(fence, "fence")?,
        pid: u32::try_from(number(pid, "pid")?).map_err(|_| bad("pid"))?,
        at_us: number(at_us, "instant")?,
    })
}
