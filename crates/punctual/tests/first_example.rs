//! Serves examples/first with the real binary until it has shown what it promises: a success, a retry, a failure and
//! a skip, each told by the command that ./run names for it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often the commands are asked; the example needs some seconds of real time.
const TRIES_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(200);

struct Served {
    daemon: Child,
    data: PathBuf,
}

impl Served {
    fn start() -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-example");
        let _ = std::fs::remove_dir_all(&data);
        let log = data.with_extension("log");
        let log = std::fs::File::create(&log).expect("a file beside the store");
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first");
        let daemon = Command::new(env!("CARGO_BIN_EXE_punctual"))
            .arg("serve")
            .arg("--data")
            .arg(&data)
            .arg("--definitions")
            .arg(&definitions)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self { daemon, data }
    }

    /// What a command prints with `--format json`; `None` as long as it fails.
    fn ask(&self, arguments: &[&str]) -> Option<Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(arguments)
            .args(["--format", "json", "--data"])
            .arg(&self.data)
            .output()
            .expect("the binary starts");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("one JSON document"))
    }

    /// Asks until one item of the list answers `wanted`, and returns it.
    fn wait(&self, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        for _ in 0..TRIES_MAX {
            last = self.ask(arguments);
            let items = last.as_ref().and_then(Value::as_array).into_iter().flatten();
            if let Some(item) = items.into_iter().find(|item| wanted(item)) {
                return item.clone();
            }
            std::thread::sleep(PAUSE);
        }
        panic!("punctual {} never showed it: {last:?}", arguments.join(" "));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // At a terminal, the daemon would be interrupted, and takes its jobs along.
        let _ = Command::new("kill").args(["-INT", &self.daemon.id().to_string()]).status();
        let _ = self.daemon.wait();
    }
}

#[test]
fn the_first_example_shows_a_success_a_retry_a_failure_and_a_skip() {
    let served = Served::start();
    let attempts = |run: &Value| run["attempts"].as_array().map_or(0, Vec::len);

    let success = served.wait(&["runs", "hello"], |run| run["verdict"] == "success");
    assert_eq!(attempts(&success), 1, "{success}");

    let retried = served.wait(&["runs", "flaky"], |run| run["verdict"] == "success");
    assert_eq!(attempts(&retried), 2, "{retried}");
    assert_eq!(retried["attempts"][0]["exitCode"], 1, "{retried}");

    let failed = served.wait(&["runs", "broken"], |run| run["verdict"] == "failed");
    assert_eq!(failed["attempts"][0]["exitCode"], 3, "{failed}");

    let skipped = served.wait(&["ticks", "slow"], |tick| tick["disposition"] == "skipped");
    assert_eq!(skipped["reason"], "overlap", "{skipped}");
}
