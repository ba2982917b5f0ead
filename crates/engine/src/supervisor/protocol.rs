//! What daemon and supervisor say to each other: one JSON object a line, over a Unix socket.
//!
//! The supervisor greets whoever connects with [`Report::Hello`]. A daemon answers with the epoch it read there; if
//! that is still the session's, it is told all attempts and is from then on the one whose requests are carried out.
//! Whoever came before it is told so, after what it had sent has been seen to, and is closed on.
//!
//! Daemon and supervisor may be of different builds, for a supervisor lives on while the daemon is upgraded. So fields
//! that are not known are ignored, new ones have a default, and [`PROTOCOL`] grows when one side would no longer be
//! understood by the other.

use super::judge::{Checkpoint, Findings, Judge};
use punctual_core::error::Code;
use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The number of what is described here.
pub const PROTOCOL: u32 = 1;

/// From the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Become the daemon of this session, if its epoch is the one that was read.
    Attach {
        /// What the daemon speaks.
        protocol: u32,
        /// The epoch of the greeting.
        epoch_seen: u64,
        /// Milliseconds that jobs may live without a daemon, suspended time not counted.
        orphan_timeout_ms: u64,
    },
    /// Start an attempt.
    Start(Box<Start>),
    /// End an attempt's tree: TERM, and KILL after its grace. It may come from anybody who may open the socket.
    Stop {
        /// Which.
        attempt: AttemptId,
    },
    /// The ends of these attempts are recorded, durably.
    Ack {
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// End all trees, each within its grace, and then the supervisor itself once the daemon has left.
    Shutdown,
    /// Kill all trees at once, and then end as after [`Request::Shutdown`]. It may come from anybody, too.
    Kill,
    /// The daemon goes in good order: nothing that it leased waits to be started, and the supervisor ends with the
    /// last of its jobs.
    Leave,
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
    /// No more of it is kept, unless it is direct.
    pub log_bytes_max: u64,
    /// Whether the job writes to that file itself.
    #[serde(default)]
    pub output_direct: bool,
    /// Variables of its environment whose values are taken out of its output.
    #[serde(default)]
    pub redact: Vec<String>,
    /// Milliseconds until it is told to end; `None`: never.
    pub timeout_ms: Option<u64>,
    /// Milliseconds between TERM and KILL.
    pub grace_ms: u64,
    /// Milliseconds without a byte of output until it is told to end; `None`: never.
    #[serde(default)]
    pub no_progress_ms: Option<u64>,
    /// What throttles or kills the tree as a whole.
    #[serde(default)]
    pub limits: Limits,
    /// What each of its processes may have.
    #[serde(default)]
    pub rlimits: Rlimits,
    /// The permissions that are taken from files it makes; `None`: the supervisor's.
    #[serde(default)]
    pub umask: Option<u32>,
    /// What is added to its niceness.
    #[serde(default)]
    pub nice: Option<i32>,
    /// Whether programs that it starts can give it no more rights than it has.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// A file that it reads instead.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// What it is judged by.
    #[serde(default)]
    pub judge: Judge,
    /// A directory that must be there.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
}

impl Start {
    /// One without a program, to be run as this process's own user at the root, bounded by nothing.
    pub fn bare(attempt: AttemptId, log: String, log_bytes_max: u64) -> Self {
        Self {
            attempt,
            argv: Vec::new(),
            env: Vec::new(),
            working_directory: None,
            stdin: None,
            run_as: None,
            log,
            log_bytes_max,
            output_direct: false,
            redact: Vec::new(),
            timeout_ms: None,
            grace_ms: 0,
            no_progress_ms: None,
            limits: Limits::default(),
            rlimits: Rlimits::default(),
            umask: None,
            nice: None,
            no_new_privileges: false,
            stdin_file: None,
            judge: Judge::default(),
            checkpoint: None,
        }
    }
}

/// What throttles or kills a tree as a whole; `None`: no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// What each process of a tree may have; `None`: what the supervisor has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimits {
    /// Descriptors at once.
    pub open_files: Option<u64>,
    /// Bytes of a core file.
    pub core_bytes: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_bytes: Option<u64>,
    /// Bytes of its stack.
    pub stack_bytes: Option<u64>,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
}

/// From the supervisor.
#[expect(clippy::large_enum_variant, reason = "nearly every report is of an end")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Who this is, to whoever connects.
    Hello {
        /// What the supervisor speaks.
        protocol: u32,
        /// The node whose session this is.
        node: String,
        /// How many daemons have attached to it.
        epoch: u64,
        /// Which file it was started from; empty if it cannot tell.
        #[serde(default)]
        build: String,
    },
    /// The daemon is attached. Whatever is not named here is not known to the supervisor.
    Attached {
        /// The session's new epoch.
        epoch: u64,
        /// Under way.
        running: Vec<Running>,
        /// Ended, and not acknowledged.
        ended: Vec<Ended>,
    },
    /// Another daemon has attached since the greeting.
    Refused {
        /// The session's epoch.
        epoch: u64,
    },
    /// Another daemon has attached, and this one is not listened to any more.
    Replaced {
        /// The session's new epoch.
        epoch: u64,
    },
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

/// An attempt that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which.
    pub attempt: AttemptId,
    /// When its process started, microseconds since the epoch.
    pub at_us: i64,
    /// That process.
    pub pid: i32,
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
    pub spawn_error: Option<SpawnError>,
    /// Whether the kernel killed a process of it because its memory was full.
    #[serde(default)]
    pub oom: bool,
    /// What was asked for and could not be had, for people: a limit that nothing enforces here.
    #[serde(default)]
    pub remark: Option<String>,
    /// What was found besides the exit.
    #[serde(default)]
    pub findings: Findings,
}

impl Ended {
    /// An end of which nothing is known but when it was, microseconds since the epoch.
    pub fn at(attempt: AttemptId, at_us: i64) -> Self {
        Self {
            attempt,
            started_us: None,
            at_us,
            code: None,
            signal: None,
            cpu_ms: None,
            memory_bytes_max: None,
            told: None,
            spawn_error: None,
            oom: false,
            remark: None,
            findings: Findings::default(),
        }
    }
}

/// Why an attempt could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnError {
    /// The page that explains it.
    pub code: String,
    /// Object and cause.
    pub message: String,
    /// What to do about it, where more can be said than the page does.
    pub hint: Option<String>,
}

impl SpawnError {
    /// An error without hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.to_string(), message: message.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `EXE001: no program "sycn" in PATH (/bin); …`
impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Why an attempt was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Its timeout passed.
    Timeout,
    /// It printed nothing for so long as it may be silent.
    NoProgress,
    /// The daemon asked for it.
    Stop,
    /// The daemon is going away and takes the jobs along.
    Shutdown,
    /// No daemon came for longer than jobs may live without one.
    Orphaned,
}

/// Writes one message.
///
/// # Errors
/// The socket is gone.
pub fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    to.write_all(&line(message))
}

fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    line
}

/// Reads one message; `None` at the end. A line without its end is the last word of a process that was killed.
///
/// # Errors
/// The socket failed, or the line is not a message.
pub fn receive<T: for<'de> Deserialize<'de>>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(io::Error::other)
}

/// An end of the socket that never waits: a peer that is suspended in the middle of a line holds nobody up.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    incoming: Vec<u8>,
    /// Sent and not yet taken by the kernel.
    outgoing: VecDeque<u8>,
    open: bool,
}

impl Link {
    /// The end that `socket` is.
    ///
    /// # Errors
    /// It cannot be told not to wait.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, incoming: Vec::new(), outgoing: VecDeque::new(), open: true })
    }

    /// Whether the peer is there, as far as is known.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the kernel has not taken all that was sent.
    pub fn is_full(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// What to poll, and for what.
    pub fn poll_fd(&self) -> PollFd<'_> {
        let write = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN | write)
    }

    /// Sends a message, or keeps it until [`Link::flush`]. To a peer that is gone it goes nowhere.
    pub fn send<T: Serialize>(&mut self, message: &T) {
        if self.open {
            self.outgoing.extend(line(message));
            self.flush();
        }
    }

    /// Sends what the kernel takes of what was kept.
    pub fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            let (piece, _) = self.outgoing.as_slices();
            match self.socket.write(piece) {
                Ok(length) => _ = self.outgoing.drain(..length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // That the peer is gone shows when reading, after all that it said.
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// The messages that have come whole. A line that is none ends the link; what is half there when it ends counts
    /// for nothing.
    pub fn receive<T: for<'de> Deserialize<'de>>(&mut self) -> Vec<T> {
        let mut piece = [0_u8; 64 * 1024];
        while self.open {
            match self.socket.read(&mut piece) {
                Ok(0) => self.open = false,
                Ok(length) => self.incoming.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.open = false,
            }
        }
        let whole = self.incoming.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.incoming.drain(..whole).collect();
        let mut messages = Vec::new();
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(message) => messages.push(message),
                Err(_) => self.open = false,
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(number: i64) -> Request {
        Request::Stop { attempt: AttemptId { run: "r".into(), fence: number } }
    }

    #[test]
    fn a_torn_line_is_the_end_and_not_an_error() {
        let (theirs, ours) = UnixStream::pair().expect("a socket");
        let mut link = Link::new(ours).expect("a link");
        send(&theirs, &stop(1)).expect("sent");
        (&theirs).write_all(b"{\"Start\":{\"attempt\"").expect("sent");
        assert_eq!(link.receive::<Request>(), [stop(1)]);
        assert!(link.is_open(), "half a line is waited for, and nobody waits");
        drop(theirs);
        assert_eq!(link.receive::<Request>(), []);
        assert!(!link.is_open());
    }

    #[test]
    fn a_peer_that_does_not_read_holds_nobody_up() {
        let (theirs, ours) = UnixStream::pair().expect("a socket");
        let mut link = Link::new(ours).expect("a link");
        (0..20_000).for_each(|number| link.send(&stop(number)));
        let reader = std::thread::spawn(move || {
            let mut from = std::io::BufReader::new(theirs);
            (0..20_000).all(|number| receive::<Request>(&mut from).expect("a message") == Some(stop(number)))
        });
        while !link.outgoing.is_empty() {
            rustix::event::poll(&mut [link.poll_fd()], None).expect("polled");
            link.flush();
        }
        assert!(reader.join().expect("no panic"));
    }
}
