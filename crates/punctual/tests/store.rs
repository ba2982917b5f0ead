//! The commands on a store that no daemon has: what they print, and what they exit with.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

/// A data directory that goes with the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("punctual-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(arguments)
            .env("PUNCTUAL_DATA", self.0.join("data"))
            .output()
            .expect("the binary was built")
    }

    /// The document of a command that succeeds.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {out}"))
    }

    /// The code and the exit code of a command that fails; standard output stays empty.
    fn refused(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|why| {
            panic!("{arguments:?}: {why}: {}", String::from_utf8_lossy(&output.stderr))
        });
        let code = error["error"]["code"].as_str().expect("a code").to_owned();
        (code, output.status.code().expect("it exits"))
    }

    fn applied(name: &str) -> Self {
        let scratch = Self::new(name);
        let file = scratch.0.join("jobs.yaml");
        let text =
            "jobs:\n  - {name: backup, schedule: '0 2 * * *', run: 'true', timeout: 1m}\n  - {name: idle}\n";
        std::fs::write(&file, text).expect("written");
        let changes = scratch.json(&["apply", &file.to_string_lossy()]);
        let kinds: Vec<_> = changes.as_array().expect("a list").iter().map(|c| c["change"].clone()).collect();
        assert_eq!(kinds, ["new", "new"]);
        scratch
    }
}

#[test]
fn jobs_are_applied_listed_shown_paused_and_resumed() {
    let scratch = Scratch::applied("jobs");
    let jobs = scratch.json(&["jobs"]);
    assert_eq!(
        (&jobs[0]["name"], &jobs[1]["name"], &jobs[2]),
        (&json!("backup"), &json!("idle"), &Value::Null)
    );
    assert_eq!(scratch.json(&[]), jobs);
    assert!(scratch.json(&["show", "backup"])["nextTime"].is_string());
    assert_eq!(scratch.json(&["pause", "backup", "idle", "--reason", "disk"])[1]["paused"]["reason"], "disk");
    let output = scratch.run(&["pause", "backup", "--format", "json"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b"[]\n"[..]));
    assert_eq!(scratch.json(&["why", "backup"])["reason"], "paused");
    assert_eq!(scratch.json(&["resume", "--all"]).as_array().map(Vec::len), Some(2));
    assert_eq!(scratch.json(&["resume", "--all"]), json!([]));
    assert_eq!(scratch.json(&["ticks", "backup"]), json!([]));
    let again = scratch.json(&["apply", &scratch.0.join("jobs.yaml").to_string_lossy(), "--dry-run"]);
    assert_eq!(again[0]["change"], "unchanged");
}

#[test]
fn runs_are_made_found_cancelled_and_retried() {
    let scratch = Scratch::applied("runs");
    let made = scratch.json(&["trigger", "backup", "--key", "k", "--param", "day=x"]);
    assert_eq!((&made["state"], &made["existing"]), (&json!("ready"), &json!(false)));
    assert_eq!(scratch.json(&["trigger", "backup", "--key", "k"])["id"], made["id"]);
    let id = made["id"].as_str().expect("a text");
    let runs = scratch.json(&["runs", "backup", "--since", "1h"]);
    assert_eq!((&runs[0]["id"], &runs[0]["key"], &runs[1]), (&made["id"], &json!("k"), &Value::Null));
    assert!(
        scratch.json(&["why", &id[..16]])["answer"]
            .as_str()
            .is_some_and(|answer| answer.contains("no daemon"))
    );
    assert_eq!(scratch.refused(&["trigger", "backup", "--wait"]), ("API020".to_owned(), 125));
    assert_eq!(scratch.json(&["cancel", "backup"])[0]["verdict"], "cancelled");
    assert_eq!(scratch.json(&["cancel", "backup"]), json!([]));
    assert_eq!(scratch.refused(&["cancel", id]), ("RUN005".to_owned(), 1));
    let again = scratch.json(&["retry", "last"]);
    assert!(again["id"] != made["id"] && again["job"] == "backup");
    assert_eq!(scratch.json(&["runs", "--failed"]), json!([]));
}

#[test]
fn refusals_have_a_code_a_hint_and_an_exit_code() {
    let scratch = Scratch::applied("refusals");
    let output = scratch.run(&["show", "bakcup"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text.starts_with("error[RUN001]: ") && text.contains("\n  = hint: did you mean backup?"),
        "{text}"
    );
    for (arguments, code, exit) in [
        (&["show", "bakcup"][..], "RUN001", 3),
        (&["runs", "bakcup"], "RUN001", 3),
        (&["trigger", "bakcup"], "RUN001", 3),
        (&["trigger", "bakcup", "--wait"], "API020", 125),
        (&["ticks", "backup", "--from", "tomorrow"], "API009", 2),
        (&["runs", "--since", "yesterday"], "API009", 2),
        (&["cancel", "bakcup"], "RUN002", 3),
        (&["ticks", "backup", "--from", "1h", "--to", "2h"], "API009", 2),
        (&["runs", "-n", "10001"], "API009", 2),
        (&["trigger", "backup", "--param", "a b=c"], "API021", 2),
        (&["trigger", "backup", "--key", "a\nb"], "API021", 2),
        (&["why", "backup@soon"], "API009", 2),
        (&["jobs", "--data", "/dev/null/none"], "API014", 4),
        (&["retry", "idle"], "API019", 3),
    ] {
        assert_eq!(scratch.refused(arguments), (code.to_owned(), exit), "{arguments:?}");
    }
    assert_eq!(scratch.run(&["logs", "idle"]).status.code(), Some(3));
    for unreadable in [
        &["jobs", "--fromat", "json"][..],
        &["logs", ""],
        &["show", ""],
        &["next"],
        &["serve", "--slots", "0"],
    ] {
        assert_eq!(scratch.run(unreadable).status.code(), Some(2), "{unreadable:?}");
    }
    let paused = scratch.run(&["pause", "nosuch", "backup", "neither"]);
    let text = String::from_utf8_lossy(&paused.stderr);
    assert_eq!((paused.status.code(), &paused.stdout[..]), (Some(3), &b"paused backup\n"[..]));
    assert!(text.contains("\"nosuch\"") && text.contains("\"neither\""), "{text}");
    let text = String::from_utf8_lossy(&scratch.run(&["next"]).stderr).into_owned();
    assert!(text.contains("--cron") && text.contains("--stdin"), "{text}");
    assert_eq!(scratch.run(&["doctor", "--quiet"]).status.code(), Some(1));
    let doctor = scratch.run(&["doctor", "--format", "json"]);
    let findings: Value = serde_json::from_slice(&doctor.stdout).expect("a document");
    assert_eq!((doctor.status.code(), &findings[0]["status"]), (Some(1), &json!("failed")));
    assert!(findings.as_array().expect("a list")[1..].iter().all(|f| f["status"] == "ok"), "{findings:#}");
}

#[test]
fn definitions_that_do_not_load_are_told_with_their_place() {
    let scratch = Scratch::new("bad");
    let file = scratch.0.join("bad.yaml");
    std::fs::write(&file, "job: {name: x, shedule: '* * * * *', run: 'true'}\n").expect("written");
    let output = scratch.run(&["apply", &file.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("bad.yaml:1:16") && text.contains("schedule"), "{text}");
    assert_eq!(scratch.refused(&["apply", &file.to_string_lossy()]).1, 1);
}

#[test]
fn tables_have_no_colour_where_there_is_no_terminal_and_end_quietly_with_their_reader() {
    let scratch = Scratch::applied("tables");
    for arguments in
        [&[][..], &["jobs"], &["runs"], &["ticks", "backup"], &["show", "backup"], &["why", "backup"]]
    {
        let output = scratch.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !text.is_empty() && !text.contains('\x1b'),
            "{arguments:?}: {text}"
        );
    }
    let script = format!("{} completions bash | head -n 1", env!("CARGO_BIN_EXE_punctual"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_job_for_another_build_is_neither_resumed_nor_triggered() {
    let scratch = Scratch::applied("unsupported");
    let file = scratch.0.join("web.yaml");
    std::fs::write(&file, "jobs:\n  - {name: web, http: {url: 'http://localhost/'}}\n").expect("written");
    scratch.json(&["apply", &file.to_string_lossy()]);
    for command in ["resume", "trigger"] {
        let output = scratch.run(&[command, "web"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("cannot carry out http") && text.contains("DEF102"), "{text}");
    }
}
