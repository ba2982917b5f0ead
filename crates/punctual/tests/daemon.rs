//! The commands beside a running daemon: runs are waited for, followed, cancelled.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const JOBS: &str = "\
jobs:
  - {name: says, run: 'echo out; echo err >&2; echo day $PUNCTUAL_PARAM_DAY'}
  - {name: fails, run: 'exit 7'}
  - {name: killed, run: 'kill -9 $$'}
  - {name: retried, run: 'echo try $PUNCTUAL_ATTEMPT; test $PUNCTUAL_ATTEMPT = 2', retryPolicy: {maxRetries: 1, backoff: 10ms}}
  - {name: waits, run: 'echo waiting; exec sleep 600'}
  - {name: paints, run: ['printf', '\\033[31mred\\033[0m\\033[2J']}
  - {name: missing, run: [/nonexistent/program]}
  - {name: nothing}
";

/// A daemon over a directory of its own; both go with the test.
struct Daemon {
    directory: PathBuf,
    process: Child,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Daemon {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("punctual-daemon-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("the temporary directory can be written");
        std::fs::write(directory.join("jobs.yaml"), JOBS).expect("written");
        let log = std::fs::File::create(directory.join("log")).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(["serve", "--data"])
            .arg(directory.join("data"))
            .arg("--definitions")
            .arg(directory.join("jobs.yaml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary was built");
        let daemon = Self { directory, process };
        daemon.until("it answers", |daemon| daemon.run(&["doctor", "--quiet"]).status.success());
        daemon
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(arguments)
            .env("PUNCTUAL_DATA", self.directory.join("data"))
            .output()
            .expect("the binary was built")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {out}{err}"))
    }

    /// Looks again until it is so; a daemon that never gets there fails the test with its log.
    fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        for _ in 0..600 {
            if is(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("never so: {what}\n{log}");
    }

    /// What `trigger --wait` exits with, and the job's output.
    fn waited(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["trigger", "--wait"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[test]
fn a_run_that_is_waited_for_gives_its_output_and_its_exit_code() {
    let daemon = Daemon::start("wait");
    let (code, out) = daemon.waited(&["says", "--param", "day=monday"]);
    assert_eq!((code, out.as_str()), (Some(0), "out\nerr\nday monday\n"));
    assert_eq!(daemon.waited(&["fails"]), (Some(7), String::new()));
    assert_eq!(daemon.waited(&["killed"]), (Some(137), String::new()));
    assert_eq!(daemon.waited(&["retried"]), (Some(0), "try 1\ntry 2\n".to_owned()));
    assert_eq!(daemon.waited(&["nothing"]), (Some(0), String::new()));
    assert_eq!(daemon.waited(&["missing"]).0, Some(126));
    let ended = daemon.json(&["trigger", "fails", "--wait"]);
    assert_eq!((&ended["verdict"], &ended["attempts"][0]["exitCode"]), (&json!("failed"), &json!(7)));
    let failed = daemon.json(&["runs", "--failed"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(4));
    assert!(failed.as_array().expect("a list").iter().any(|run| run["reason"].is_string()), "{failed:#}");
    assert_eq!(String::from_utf8_lossy(&daemon.run(&["logs", "retried"]).stdout), "try 2\n");
    assert_eq!(
        String::from_utf8_lossy(&daemon.run(&["logs", "retried", "--attempt", "1"]).stdout),
        "try 1\n"
    );
    // What is not shown on a terminal is passed on as it is.
    assert_eq!(daemon.waited(&["paints"]).1, "\x1b[31mred\x1b[0m\x1b[2J");
}

#[test]
fn a_run_under_way_is_seen_and_cancelled() {
    let daemon = Daemon::start("cancel");
    let made = daemon.json(&["trigger", "waits"]);
    let id = made["id"].as_str().expect("an id");
    daemon.until("it runs", |daemon| {
        let run = &daemon.json(&["runs", "waits"])[0];
        run["state"] == "running" && run["attempts"][0]["startedAt"].is_string()
    });
    let running = daemon.json(&["runs", "waits"]);
    assert_eq!((&running[0]["attempts"][0]["finishedAt"], &running[1]), (&Value::Null, &Value::Null));
    daemon.until("it wrote", |daemon| daemon.run(&["logs", &id[..16]]).stdout == b"waiting\n");
    assert!(daemon.json(&["why", id])["answer"].as_str().is_some_and(|answer| answer.contains("running")));
    let mut following = Command::new(env!("CARGO_BIN_EXE_punctual"))
        .args(["logs", "-f", id])
        .env("PUNCTUAL_DATA", daemon.directory.join("data"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    assert_eq!(daemon.json(&["cancel", "waits"]).as_array().map(Vec::len), Some(1));
    daemon.until("it ended", |daemon| daemon.json(&["runs", "waits"])[0]["state"] == "finished");
    assert_eq!(daemon.json(&["runs", "waits"])[0]["verdict"], "cancelled");
    assert!(following.wait().expect("it ends with the run").success());
    let refused = daemon.run(&["apply", &daemon.directory.join("jobs.yaml").to_string_lossy()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("error[RUN004]: "));
}

#[test]
fn a_file_that_was_emptied_changes_nothing_and_the_doctor_says_so() {
    let daemon = Daemon::start("emptied");
    let file = daemon.directory.join("jobs.yaml");
    std::fs::write(&file, "").expect("written");
    let finding = |daemon: &Daemon| daemon.json(&["doctor"]).to_string();
    daemon.until("the doctor sees it", |daemon| finding(daemon).contains("API029"));
    assert_eq!(daemon.json(&["jobs"]).as_array().map(Vec::len), Some(8), "the last good ones go on");
    std::fs::write(&file, format!("{JOBS}  - {{name: added}}\n")).expect("written");
    daemon.until("the next good ones are taken over", |daemon| {
        daemon.json(&["jobs"]).as_array().map(Vec::len) == Some(9)
    });
    assert!(!finding(&daemon).contains("API029"));
}
