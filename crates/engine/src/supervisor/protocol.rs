//! What daemon and supervisor say to each other: one JSON object a line, over a Unix socket.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};

/// From the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Start an attempt.
    Start(Box<Start>),
    /// End an attempt's tree: TERM, and KILL after its grace.
    Stop {
        /// Which.
        attempt: AttemptId,
    },
    /// End all trees, each within its grace, then the supervisor itself.
    Shutdown,
}

/// An attempt, by its run and its lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run's id, as text.
    pub run: String,
    /// The lease's number.
    pub fence: i64,
}

/// All that is needed to start an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Which.
    pub attempt: AttemptId,
    /// Program and arguments; not empty.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Where it starts; `None`: the home of whom it runs as.
    pub working_directory: Option<String>,
    /// What it reads; `None`: nothing.
    pub stdin: Option<String>,
    /// `user` or `user:group` to run as; `None`: whom the daemon runs as.
    pub run_as: Option<String>,
    /// Where its output goes.
    pub log: String,
    /// No more of it is kept.
    pub log_bytes_max: u64,
    /// Milliseconds until it is told to end; `None`: never.
    pub timeout_ms: Option<u64>,
    /// Milliseconds between TERM and KILL.
    pub grace_ms: u64,
}

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Its process exists.
    Started {
        /// Which.
        attempt: AttemptId,
        /// Microseconds since the epoch.
        at_us: i64,
        /// Its process, which leads its group.
        pid: i32,
    },
    /// Its tree is gone and its output is written.
    Ended(Ended),
}

/// How an attempt's process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub attempt: AttemptId,
    /// When its process started, microseconds since the epoch; `None` if it did not.
    pub started_us: Option<i64>,
    /// Microseconds since the epoch.
    pub at_us: i64,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Processor time, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Largest resident set, bytes.
    pub memory_bytes_max: Option<u64>,
    /// Why it was told to end, if it was.
    pub told: Option<Told>,
    /// Why it could not be started, if it could not.
    pub spawn_error: Option<String>,
}

/// Why an attempt was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Its timeout passed.
    Timeout,
    /// The daemon asked for it.
    Stop,
    /// The daemon is going away.
    Shutdown,
}

/// Writes one message.
///
/// # Errors
/// The socket is gone.
pub fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads one message; `None` at the end.
///
/// # Errors
/// The socket failed, or the line is not a message.
pub fn receive<T: for<'de> Deserialize<'de>>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(io::Error::other)
}
