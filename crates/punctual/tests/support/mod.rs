//! A daemon of the real binary in a folder of its own, and what can be asked and seen of it from outside.

#![allow(dead_code, reason = "each test takes what it needs")]

pub mod jobs;

use punctual_engine::clock::Monotonic;
use punctual_engine::supervisor::tree::MARK;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// What is waited for comes within this time even on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A folder with definitions, a data directory, and perhaps a daemon.
pub struct World {
    folder: PathBuf,
    /// The binary that its daemon is.
    pub program: PathBuf,
    daemon: Option<Child>,
}

impl World {
    /// An empty folder of that name, with these definitions.
    pub fn new(name: &str, definitions: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder of a test can be made");
        fs::write(folder.join("jobs.yaml"), definitions).expect("the folder can be written to");
        Self { folder, program: PathBuf::from(env!("CARGO_BIN_EXE_punctual")), daemon: None }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts the daemon.
    pub fn start(&mut self) {
        self.start_with(&[], &[]);
    }

    /// Starts the daemon with further arguments and environment variables, and waits until it answers.
    pub fn start_with(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        self.launch(arguments, environment);
        self.answer();
    }

    /// Waits until the daemon answers.
    pub fn answer(&mut self) {
        let socket = self.path("data/punctual.sock");
        until("the daemon to answer", || {
            let daemon = self.daemon.as_mut().expect("it was just started");
            if let Some(status) = daemon.try_wait().expect("it is a child") {
                let log = fs::read_to_string(self.folder.join("daemon.log")).unwrap_or_default();
                panic!("the daemon ended at its start with {status}; its log:\n{log}");
            }
            UnixStream::connect(&socket).ok()
        });
    }

    /// Starts the daemon and does not wait for it.
    pub fn launch(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        assert!(self.daemon.is_none(), "the daemon runs");
        let log = File::options().append(true).create(true).open(self.path("daemon.log")).expect("a log");
        let mut command = Command::new(&self.program);
        command.args(["serve", "--data"]).arg(self.path("data"));
        command.arg("--definitions").arg(self.path("jobs.yaml")).args(arguments);
        command.env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        self.daemon = Some(command.spawn().expect("the binary starts"));
    }

    /// The daemon's process.
    pub fn daemon(&self) -> i32 {
        let daemon = self.daemon.as_ref().expect("the daemon runs");
        i32::try_from(daemon.id()).expect("a pid")
    }

    /// The processes that hold the jobs of this folder: one, or none for a moment after it was killed.
    pub fn supervisors(&self) -> Vec<i32> {
        let journal = self.path("data/journal").to_string_lossy().into_owned();
        processes()
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
                words.get(1) == Some(&&b"__supervise"[..]) && words.get(2) == Some(&journal.as_bytes())
            })
            .collect()
    }

    /// Whether there is no daemon, or it has ended by itself; then there is none any more.
    pub fn has_ended(&mut self) -> bool {
        let ended = |daemon: &mut Child| daemon.try_wait().expect("it is a child").is_some();
        if self.daemon.as_mut().is_some_and(ended) {
            self.daemon = None;
        }
        self.daemon.is_none()
    }

    /// Waits for the end of a daemon that was told or made to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        until("the daemon to end", || daemon.try_wait().expect("it is a child"))
    }

    /// Ends the daemon as a service manager does: its jobs go on.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.daemon(), Signal::TERM);
        self.wait()
    }

    /// Ends the daemon with its jobs, as somebody at a terminal does.
    pub fn end(&mut self) -> ExitStatus {
        signal(self.daemon(), Signal::INT);
        self.wait()
    }

    /// The daemon, which is not this world's any more.
    pub fn let_go(&mut self) -> Child {
        self.daemon.take().expect("the daemon runs")
    }

    /// Kills the daemon, and nothing else.
    pub fn kill(&mut self) {
        signal(self.daemon(), Signal::KILL);
        self.wait();
    }

    /// Runs a command of the binary on the folder's data.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        command.args(arguments).arg("--data").arg(self.path("data")).stdin(Stdio::null());
        command.output().expect("the binary starts")
    }

    /// The document that a command prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(&[arguments, &["--format", "json"]].concat());
        let (text, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{arguments:?} printed {text:?} {errors:?}: {e}"))
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Vec<Value> {
        self.json(&["runs", "-n", "10000"]).as_array().expect("runs are a list").clone()
    }

    /// Processes of jobs of this folder that are alive: pid and run. They are known by `TEST_FOLDER`, which the
    /// definitions set to the folder's path.
    pub fn alive(&self) -> Vec<(i32, String)> {
        let mine = format!("TEST_FOLDER={}", self.folder.display());
        let run_of = |pid: i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let entries = || environment.split(|b| *b == 0).map(String::from_utf8_lossy);
            entries().find(|e| **e == *mine)?;
            entries().find_map(|e| e.strip_prefix(MARK)?.strip_prefix('=').map(str::to_owned))
        };
        processes().filter_map(|pid| Some((pid, run_of(pid)?))).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // What outlives a daemon does not outlive its test.
        let left = self.supervisors().into_iter().chain(self.alive().into_iter().map(|(pid, _)| pid));
        left.collect::<Vec<_>>().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        self.alive().into_iter().for_each(|(pid, _)| signal(pid, Signal::KILL));
    }
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

/// Looks until there is an answer.
///
/// # Panics
/// None comes in [`PATIENCE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Monotonic::now().after(PATIENCE);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!limit.until_from(Monotonic::now()).is_zero(), "waited in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Posts a JSON body to the daemon at `socket`; status and body of the answer.
pub fn post(socket: &Path, path: &str, body: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: punctual\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}
