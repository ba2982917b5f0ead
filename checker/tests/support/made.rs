//! A made history: what a faultless scheduler leaves that is killed twice, and a witness beside it.

use punctual_checker::definitions::{self, Job, OnLost, Overlap, Rule};
use punctual_checker::history::{Apply, Asked, Attempt, Fault, History, Line, Run, Settings, Tick};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const S: i64 = 1_000_000;
/// A whole second.
const BEGIN: i64 = 1_795_500_000 * S;
const END: i64 = BEGIN + 60 * S;
/// Killed, and up again.
const DOWN: [(i64, i64); 2] =
    [(BEGIN + 20 * S + S / 2, BEGIN + 23 * S + S / 2), (BEGIN + 40 * S + S / 4, BEGIN + 41 * S)];

fn document() -> Value {
    json!({"defaults": {"grace": "1s"}, "jobs": [
        {"name": "short", "schedule": {"every": "1s"}},
        {"name": "wide", "schedule": {"every": "2s"}, "overlap": "allow", "catchUp": {"policy": "all"}},
        {"name": "busy", "schedule": {"every": "2s"}},
        {"name": "flaky", "schedule": {"every": "5s"}, "overlap": "allow", "retryPolicy": {"maxRetries": 2, "backoff": "200ms"}},
        {"name": "fails", "schedule": {"every": "5s"}, "overlap": "allow", "onLost": "fail"},
        {"name": "holds", "schedule": "*/4 * * * * *", "overlap": "skip", "onLost": "hold"},
        {"name": "bare", "schedule": "*/2 * * * * *", "overlap": "allow", "catchUp": "none"},
        {"name": "asked"},
    ]})
}

/// How long a run of the job takes.
fn takes(job: &str) -> i64 {
    match job {
        "wide" => 3 * S,
        "busy" => 5 * S,
        "fails" | "holds" => S * 3 / 4,
        _ => S / 4,
    }
}

/// The first instant from `at` on at which the scheduler is up.
fn up(at: i64) -> i64 {
    DOWN.iter().find(|(from, to)| (*from..*to).contains(&at)).map_or(at, |(_, to)| *to)
}

/// The history.
pub fn history() -> History {
    let jobs = definitions::read(&document()).expect("the checker knows its own document");
    let mut made = Made::default();
    for job in jobs.iter().filter(|job| job.rule != Rule::Asked) {
        made.job(job);
    }
    made.run(jobs.last().expect("the last one is asked for"), BEGIN + 10 * S, BEGIN + 10 * S, "key-1");
    let run = made.runs.last().expect("it was just made").id.clone();
    made.lines.sort_by_key(|line| line.at_us);
    let fault =
        |(from_us, to_us)| Fault { kind: "KillBoth".into(), from_us, to_us, kill: true, may_lose: true };
    History {
        settings: Settings {
            settled_us: END,
            slack_us: S / 2,
            first_word_us: S / 10,
            unlabelled: BTreeSet::from(["bare".to_owned()]),
            hits_min: 2,
            ..Settings::default()
        },
        applies: vec![Apply { invoke_us: BEGIN - S / 10, ack_us: BEGIN - S / 20, jobs }],
        faults: DOWN.map(fault).to_vec(),
        asked: vec![
            Asked::Submitted { key: "key-1".into(), run: run.clone() },
            Asked::Submitted { key: "key-1".into(), run: run.clone() },
            Asked::Ended { run, verdict: "success".into() },
        ],
        runs: made.runs,
        ticks: made.ticks,
        lines: made.lines,
    }
}

#[derive(Default)]
struct Made {
    runs: Vec<Run>,
    ticks: BTreeMap<String, Vec<Tick>>,
    lines: Vec<Line>,
}

impl Made {
    fn job(&mut self, job: &Job) {
        let step = match &job.rule {
            Rule::Every(step, _) => *step,
            Rule::Cron(rule, _) => rule[2..3].parse::<i64>().expect("*/n") * S,
            Rule::Asked => return,
        };
        // A run of the job is unfinished until then.
        let mut busy = i64::MIN;
        let mut at = BEGIN;
        while at < END {
            let newer_due = up(at) >= at + step;
            let (disposition, reason) = if job.catch_up == definitions::CatchUp::None && newer_due {
                ("skipped", Some("catchUpNone"))
            } else if job.catch_up == definitions::CatchUp::Latest && newer_due {
                ("coalesced", None)
            } else if job.overlap == Overlap::Skip && busy > up(at) {
                ("skipped", Some("overlap"))
            } else {
                ("run", None)
            };
            let ran = disposition == "run";
            if ran {
                busy = self.run(job, at, up(at), &format!("{}:{at}", job.name));
            }
            let run = self.runs.last().filter(|_| ran).map(|run| run.id.clone());
            let tick = Tick {
                nominal_us: at,
                disposition: disposition.into(),
                reason: reason.map(str::to_owned),
                run,
            };
            self.ticks.entry(job.name.clone()).or_default().push(tick);
            at += step;
        }
    }

    /// A run from its first start to its end, which is returned.
    fn run(&mut self, job: &Job, nominal_us: i64, start: i64, key: &str) -> i64 {
        let id = format!("{}-{}", job.name, (nominal_us - BEGIN) / S);
        let mut run = Run { id, job: job.name.clone(), key: key.into(), nominal_us, ..Run::default() };
        let (mut start, mut number) = (start + 500, 1);
        loop {
            let killed = DOWN.iter().find(|(from, _)| (start..start + takes(&job.name)).contains(from));
            let code = if job.name == "flaky" && number < 3 { 3 } else { 0 };
            self.say(&run, number, start, killed.map(|(from, _)| *from), code);
            let end = killed.map_or(start + takes(&job.name) + 700, |(_, to)| *to);
            let outcome = match (killed, code) {
                (Some(_), _) => "lost",
                (None, 0) => "success",
                (None, _) => "failed",
            };
            let exit_code = killed.is_none().then_some(code);
            let (started_us, finished_us) = (Some(start + 100), Some(end));
            run.attempts.push(Attempt {
                number,
                started_us,
                finished_us,
                outcome: Some(outcome.into()),
                exit_code,
            });
            let (state, verdict, reason) = match (outcome, job.on_lost) {
                ("failed", _) => {
                    (start, number) = (end + 200_000 * i64::try_from(number).expect("small"), number + 1);
                    continue;
                }
                ("lost", OnLost::Retry) => {
                    (start, number) = (end + 500, number + 1);
                    continue;
                }
                ("lost", OnLost::Hold) => ("held", None, Some("lost")),
                (verdict, _) => ("finished", Some(verdict), None),
            };
            run.state = state.into();
            (run.verdict, run.reason) = (verdict.map(str::to_owned), reason.map(str::to_owned));
            self.runs.push(run);
            return if state == "held" { i64::MAX } else { end };
        }
    }

    fn say(&mut self, run: &Run, number: u64, start: i64, killed: Option<i64>, code: i64) {
        let bare = run.job == "bare";
        let told = |text: &str| if bare { String::new() } else { text.to_owned() };
        let line = |kind: String, at_us: i64| Line {
            kind,
            job: run.job.clone(),
            run: told(&run.id),
            attempt: if bare { 0 } else { number },
            nominal_us: if bare { 0 } else { run.nominal_us },
            key: told(&run.id),
            fence: if bare { 0 } else { i64::try_from(number).expect("small") },
            pid: u32::try_from(start / 1000 % 1_000_000).expect("in range"),
            at_us,
        };
        self.lines.push(line("start".into(), start));
        let end = start + takes(&run.job);
        let beats = (1..).map(|n| start + n * S / 5).take_while(|at| *at < killed.unwrap_or(end));
        self.lines.extend(beats.map(|at| line("tick".into(), at)));
        if killed.is_none() {
            self.lines.push(line(format!("end:{code}"), end));
        }
    }
}

/// The history in the files of a folder of that name.
pub fn written(history: &History, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("made-{name}"));
    std::fs::create_dir_all(&folder).expect("the folder of a test can be made");
    let put =
        |name: &str, text: String| std::fs::write(folder.join(name), text).expect("it can be written to");
    let time = |us: i64| jiff::Timestamp::from_microsecond(us).expect("in range").to_string();
    let settings = &history.settings;
    put("settings.json", json!({
        "settledUs": settings.settled_us, "slackUs": settings.slack_us, "firstWordUs": settings.first_word_us,
        "unlabelled": settings.unlabelled, "hitsMin": settings.hits_min,
    }).to_string());
    let applies = history
        .applies
        .iter()
        .map(|apply| json!({"invokeUs": apply.invoke_us, "ackUs": apply.ack_us, "document": document()}));
    put("applies.jsonl", lines(applies));
    put("faults.jsonl", lines(history.faults.iter().map(|f| {
        json!({"kind": f.kind, "fromUs": f.from_us, "toUs": f.to_us, "kill": f.kill, "mayLose": f.may_lose})
    })));
    put(
        "asked.jsonl",
        lines(history.asked.iter().map(|asked| match asked {
            Asked::Submitted { key, run } => json!({"kind": "submitted", "key": key, "run": run}),
            Asked::Ended { run, verdict } => json!({"kind": "ended", "run": run, "verdict": verdict}),
            Asked::Paused { job, from_us, to_us } => {
                json!({"kind": "paused", "job": job, "fromUs": from_us, "toUs": to_us})
            }
        })),
    );
    let attempt = |a: &Attempt| {
        json!({
            "number": a.number, "startedAt": a.started_us.map(time), "finishedAt": a.finished_us.map(time),
            "outcome": a.outcome, "exitCode": a.exit_code,
        })
    };
    let runs: Vec<Value> = history.runs.iter().map(|run| json!({
        "id": run.id, "job": run.job, "key": run.key, "nominalTime": time(run.nominal_us), "state": run.state,
        "verdict": run.verdict, "reason": run.reason, "attempts": run.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })).collect();
    put("runs.json", Value::from(runs).to_string());
    let tick = |t: &Tick| {
        json!({
            "nominalTime": time(t.nominal_us), "disposition": t.disposition, "reason": t.reason, "runId": t.run,
        })
    };
    let ticks =
        history.ticks.iter().map(|(job, ticks)| (job.clone(), ticks.iter().map(tick).collect::<Value>()));
    put("ticks.json", ticks.collect::<serde_json::Map<_, _>>().into_iter().collect::<Value>().to_string());
    put(
        "witness",
        history
            .lines
            .iter()
            .map(|line| {
                let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
                let nominal = if line.run.is_empty() { "-".to_owned() } else { time(line.nominal_us) };
                let (kind, job, run, key) = (&line.kind, &line.job, dash(&line.run), dash(&line.key));
                format!(
                    "{kind} {job} {run} {} {nominal} {key} {} {} {}\n",
                    line.attempt, line.fence, line.pid, line.at_us
                )
            })
            .collect(),
    );
    folder
}

fn lines(documents: impl Iterator<Item = Value>) -> String {
    documents.map(|document| format!("{document}\n")).collect()
}
