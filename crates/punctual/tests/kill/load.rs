//! What the daemon of a kill test has to do: jobs of every policy, each of them the witness.

use crate::support::World;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Name, schedule, the witness's arguments after its file, and what else the definition says.
type Rule = (&'static str, &'static str, &'static [&'static str], &'static str);

const RULES: [Rule; 15] = [
    ("short", r#"{"every": "1s"}"#, &["0", "0"], r#"{"overlap": "skip"}"#),
    ("wide", r#"{"every": "1s"}"#, &["varied", "0"], r#"{"overlap": "allow"}"#),
    (
        "flaky",
        r#"{"every": "2s"}"#,
        &["100", "flaky"],
        r#"{"overlap": "skip", "retryPolicy": {"maxRetries": 2, "backoff": "200ms"}}"#,
    ),
    ("lost-fail", r#"{"every": "2s"}"#, &["1000", "0"], r#"{"overlap": "allow", "onLost": "fail"}"#),
    ("lost-hold", r#"{"every": "2s"}"#, &["1000", "0"], r#"{"overlap": "allow", "onLost": "hold"}"#),
    ("stray", r#"{"every": "2s"}"#, &["300", "0", "stray"], r#"{"overlap": "skip"}"#),
    ("seconds", r#""* * * * * *""#, &["200", "0"], r#"{"overlap": "skip"}"#),
    (
        "late-all",
        r#""*/1 * * * * *""#,
        &["0", "0"],
        r#"{"overlap": "allow", "catchUp": {"policy": "all", "spread": "0s"}}"#,
    ),
    ("late-latest", r#"{"every": "1s"}"#, &["0", "0"], r#"{"overlap": "allow", "catchUp": "latest"}"#),
    ("late-none", r#"{"every": "1s"}"#, &["0", "0"], r#"{"overlap": "allow", "catchUp": "none"}"#),
    ("one-waits", r#"{"every": "2s"}"#, &["2500", "0"], r#"{"overlap": "queue-one"}"#),
    ("replaced", r#"{"every": "2s"}"#, &["3000", "0"], r#"{"overlap": "cancel-running", "grace": "1s"}"#),
    (
        "too-long",
        r#"{"every": "3s"}"#,
        &["20000", "0"],
        r#"{"overlap": "skip", "timeout": "1s", "grace": "1s"}"#,
    ),
    ("bare", r#"{"every": "1s"}"#, &["400", "0", "bare"], r#"{"overlap": "allow"}"#),
    ("paused", r#"{"every": "1s"}"#, &["0", "0"], r#"{"overlap": "allow"}"#),
];

/// The job whose definition changes, every so many seconds.
pub const EDITED: [&str; 2] = ["1s", "2s"];
/// The job that is submitted.
pub const ASKED: &str = "asked";

/// The definitions of a world; `edit` counts the changes of the job that changes.
pub fn document(world: &World, edit: usize) -> Value {
    let (witness, file) = (witness().display().to_string(), world.path("witness").display().to_string());
    let folder = world.path("").display().to_string();
    let job = |name: &str, schedule: Option<&str>, arguments: &[&str], more: &str| {
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("it is written above");
        let mut job = Map::from_iter([("name".to_owned(), json!(name))]);
        job.extend(schedule.map(|text| ("schedule".to_owned(), read(text))));
        job.extend(read(more).as_object().expect("an object").clone());
        let run: Vec<&str> =
            [&witness, &file].into_iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        job.insert("run".to_owned(), json!(run));
        Value::Object(job)
    };
    let mut jobs: Vec<Value> = RULES
        .iter()
        .map(|(name, schedule, arguments, more)| job(name, Some(schedule), arguments, more))
        .collect();
    let every = format!(r#"{{"every": "{}"}}"#, EDITED[edit % EDITED.len()]);
    jobs.push(job("edited", Some(&every), &["100", "0"], r#"{"overlap": "allow"}"#));
    jobs.push(job(ASKED, None, &["500", "0"], "{}"));
    let env = json!({"TEST_FOLDER": folder.trim_end_matches('/')});
    json!({"defaults": {"timeZone": "UTC", "grace": "2s", "workingDirectory": "/", "env": env}, "jobs": jobs})
}

/// The names of the jobs that have times.
pub fn scheduled() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, ..)| *name).chain(["edited"])
}

/// The witness, built beside the daemon if it is not there or not the present one.
fn witness() -> &'static Path {
    static WITNESS: OnceLock<PathBuf> = OnceLock::new();
    WITNESS.get_or_init(|| {
        let daemon = Path::new(env!("CARGO_BIN_EXE_punctual"));
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "punctual-checker",
            "--bin",
            "punctual-witness",
        ]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo starts").success(), "the witness is built");
        daemon.with_file_name("punctual-witness")
    })
}
