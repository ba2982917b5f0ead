//! The supervisor process that holds the job processes, and the daemon's end of it.
//!
//! A supervisor is started by a daemon, on which it does not depend: it lives in a session of its own, that of a node,
//! and holds the directory's `supervisor.lock`. Whoever gets that lock knows that no supervisor is left, and so no job
//! of one that is not to be killed. Daemon and supervisor speak over the socket `supervisor.sock` ([`protocol`]), which
//! every later daemon of the directory finds again.

mod badge;
pub mod cgroup;
mod child;
mod command;
mod control;
mod drain;
pub mod journal;
pub mod judge;
pub mod launch;
pub mod links;
mod outlet;
pub(crate) mod output;
pub mod process;
mod progress;
pub mod protocol;
mod redact;
pub mod tree;
pub mod verify;

use crate::clock::Monotonic;
use crate::data_dir::{DataDir, Lock};
use crate::unix_socket;
use protocol::{Ended, Link, PROTOCOL, Report, Request, Running};
use punctual_core::id::NodeId;
use rustix::event::{PollFd, Timespec, poll};
use std::io::{self, BufReader, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// So long the last words of a daemon that leaves may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So long the supervisor may take to greet who only has a word for it.
const GREETING: Duration = Duration::from_secs(1);

/// The daemon's end of a session to which it is attached.
#[derive(Debug)]
pub struct Supervisor {
    link: Link,
    node: NodeId,
    /// It was started from another file than this process.
    outdated: bool,
    /// What was said right after the attempts were told.
    early: Vec<Report>,
    replaced: bool,
}

/// What a supervisor knows of attempts. Whatever is not named was never started by it, or its end is recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Under way.
    pub running: Vec<Running>,
    /// Ended, and not known to be recorded.
    pub ended: Vec<Ended>,
}

/// Why a daemon could not attach.
#[derive(Debug)]
pub enum AttachError {
    /// Nobody answers.
    Silent(String),
    /// The supervisor speaks that number of the protocol, and not this one.
    Protocol(u32),
}

/// Starts the supervisor of `node`'s session. It holds `lock` from now on.
///
/// Its listener is its standard input, so that who connects meanwhile is heard; its lock is its standard output, where
/// no job inherits it.
///
/// # Errors
/// The socket cannot be made, or the process cannot be started.
pub fn launch(
    program: &Path,
    data: &DataDir,
    lock: Lock,
    node: NodeId,
    orphan_timeout: Duration,
) -> io::Result<Child> {
    let listener = unix_socket::bind(&data.supervisor_socket())?;
    Command::new(program)
        .arg0("punctual")
        .arg(tree::SUPERVISE)
        .arg(data.journal())
        .arg(node.to_string())
        .arg(millis(orphan_timeout).to_string())
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(lock.descriptor()?))
        .process_group(0)
        .spawn()
}

/// Attaches to the session of the directory's supervisor, which must answer before `limit`. Jobs may live without a
/// daemon for `orphan_timeout` from now on.
///
/// # Errors
/// It does not answer, or cannot be understood.
pub fn attach(
    data: &DataDir,
    orphan_timeout: Duration,
    limit: Monotonic,
) -> Result<(Supervisor, Session), AttachError> {
    let silent = |why: io::Error| AttachError::Silent(why.to_string());
    let socket = unix_socket::connect(&data.supervisor_socket()).map_err(silent)?;
    let mut link = Link::new(socket).map_err(silent)?;
    let (mut named, mut outdated) = (None, false);
    loop {
        let mut reports = link.receive().into_iter();
        while let Some(report) = reports.next() {
            match report {
                Report::Hello { protocol, .. } if protocol != PROTOCOL => {
                    return Err(AttachError::Protocol(protocol));
                }
                Report::Hello { node, epoch, build, .. } => {
                    let own = self::build();
                    outdated = !build.is_empty() && !own.is_empty() && build != own;
                    let node = u128::from_str_radix(&node, 16);
                    named = Some(NodeId(node.map_err(|why| AttachError::Silent(why.to_string()))?));
                    let orphan_timeout_ms = millis(orphan_timeout);
                    link.send(&Request::Attach { protocol: PROTOCOL, epoch_seen: epoch, orphan_timeout_ms });
                }
                Report::Attached { running, ended, .. } => {
                    let node = named.ok_or_else(|| AttachError::Silent("it did not say who it is".into()))?;
                    // What ended in that very moment came with it, and comes only once.
                    let early = reports.collect();
                    let supervisor = Supervisor { link, node, outdated, early, replaced: false };
                    return Ok((supervisor, Session { running, ended }));
                }
                Report::Refused { .. } => {
                    return Err(AttachError::Silent("another daemon attached to it".into()));
                }
                // Of before the attempts were told, which have it too.
                Report::Started { .. } | Report::Ended(_) | Report::Replaced { .. } => {}
            }
        }
        if !link.is_open() {
            return Err(AttachError::Silent("it closed the connection".into()));
        }
        if !wait(&link, limit) {
            return Err(AttachError::Silent("it takes too long".into()));
        }
        link.flush();
    }
}

/// The file that this process was started from: an upgrade puts another in its place.
fn build() -> String {
    use std::os::unix::fs::MetadataExt;
    let named = |file: std::fs::Metadata| {
        format!("{} {} {} {}.{}", file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
    };
    std::fs::metadata("/proc/self/exe").map(named).unwrap_or_default()
}

/// Waits until the link has something, false if nothing came before `limit`.
fn wait(link: &Link, limit: Monotonic) -> bool {
    let left = limit.until_from(Monotonic::now());
    let left = Timespec::try_from(left).ok();
    !matches!(poll(&mut [link.poll_fd()], left.as_ref()), Ok(0))
}

/// Says something to the directory's supervisor without being its daemon.
///
/// # Errors
/// There is none, or it does not answer.
pub fn tell(data: &DataDir, requests: &[Request]) -> io::Result<()> {
    let socket = unix_socket::connect(&data.supervisor_socket())?;
    socket.set_read_timeout(Some(GREETING))?;
    socket.set_write_timeout(Some(GREETING))?;
    protocol::receive::<Report>(&mut BufReader::new(&socket))?.ok_or(ErrorKind::UnexpectedEof)?;
    requests.iter().try_for_each(|request| protocol::send(&socket, request))
}

impl Supervisor {
    /// Whose session it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Sends a request. A supervisor that is gone shows as the end of its reports.
    pub fn send(&mut self, request: &Request) {
        self.link.send(request);
    }

    /// The reports that have come; sends what was kept.
    pub fn receive(&mut self) -> Vec<Report> {
        self.link.flush();
        let mut reports = std::mem::take(&mut self.early);
        reports.extend(self.link.receive());
        self.replaced |= reports.iter().any(|report| matches!(report, Report::Replaced { .. }));
        reports
    }

    /// Whether there are reports for which nothing will wake who polls.
    pub fn has_unread(&self) -> bool {
        !self.early.is_empty()
    }

    /// Whether it is there, as far as is known.
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Whether it is of another build than this process, from before an upgrade.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Whether another daemon is attached in this one's place, which must do nothing any more.
    pub fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// What to poll, and for what.
    pub fn poll_fd(&self) -> PollFd<'_> {
        self.link.poll_fd()
    }

    /// Leaves what is under way to the next daemon.
    pub fn leave(mut self) {
        self.send(&Request::Leave);
        let limit = Monotonic::now().after(LAST_WORDS);
        while self.link.is_full() && wait(&self.link, limit) {
            self.receive();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::os::unix::net::UnixStream;

    /// Attaches to somebody that does this with who connects.
    fn attach_to(
        serve: impl FnOnce(UnixStream) + Send + 'static,
    ) -> Result<(Supervisor, Session), AttachError> {
        let root = std::env::temp_dir().join(format!("punctual-attach-{:x}", clock::random()));
        let data = DataDir::open(&root).expect("a scratch directory");
        let listener = unix_socket::bind(&data.supervisor_socket()).expect("a socket");
        let patience = Duration::from_millis(200);
        let served = std::thread::spawn(move || {
            rustix::event::poll(&mut [PollFd::new(&listener, rustix::event::PollFlags::IN)], None)
                .expect("polled");
            serve(listener.accept().expect("somebody connects").0);
        });
        let attached = attach(&data, Duration::from_secs(300), Monotonic::now().after(patience));
        served.join().expect("no panic");
        std::fs::remove_dir_all(root).expect("removable");
        attached
    }

    fn hello(protocol: u32) -> Report {
        Report::Hello { protocol, node: NodeId(7).to_string(), epoch: 4, build: "another".into() }
    }

    #[test]
    fn what_ends_in_the_moment_of_attaching_is_reported() {
        let ended = Ended::at(protocol::AttemptId { run: "run1".into(), fence: 1 }, 5);
        let running = Running { attempt: ended.attempt.clone(), at_us: 1, pid: 1 };
        let (known, last) = (running.clone(), Report::Ended(ended));
        let told = last.clone();
        let (mut supervisor, session) = attach_to(|socket| {
            protocol::send(&socket, &hello(PROTOCOL)).expect("sent");
            protocol::receive::<Request>(&mut BufReader::new(&socket)).expect("a request");
            // By one write, so that they are read at once.
            let mut both = Vec::new();
            let attached = Report::Attached { epoch: 5, running: vec![known], ended: Vec::new() };
            [attached, told].iter().for_each(|report| protocol::send(&mut both, report).expect("text"));
            io::Write::write_all(&mut &socket, &both).expect("sent");
        })
        .expect("attached");
        assert_eq!(session, Session { running: vec![running], ended: Vec::new() });
        assert!(supervisor.has_unread());
        assert_eq!(supervisor.receive(), [last]);
        assert!(!supervisor.has_unread());
    }

    #[test]
    fn a_daemon_attaches_by_the_epoch_it_was_greeted_with() {
        let (supervisor, session) = attach_to(|socket| {
            protocol::send(&socket, &hello(PROTOCOL)).expect("sent");
            let request = protocol::receive(&mut BufReader::new(&socket)).expect("a request");
            let orphan_timeout_ms = 300_000;
            let expected = Request::Attach { protocol: PROTOCOL, epoch_seen: 4, orphan_timeout_ms };
            assert_eq!(request, Some(expected));
            // A later version says more, and what it says before counts for nothing.
            let early = br#"{"Ended":{"attempt":{"run":"r","fence":1},"started_us":null,"at_us":1,"code":0,
                "signal":null,"cpu_ms":null,"memory_bytes_max":null,"told":null,"spawn_error":null}}"#;
            let text = String::from_utf8_lossy(early).replace('\n', " ");
            let later = format!(
                "{text}\n{{\"Attached\":{{\"epoch\":5,\"running\":[],\"ended\":[],\"mood\":\"fine\"}}}}\n"
            );
            std::io::Write::write_all(&mut &socket, later.as_bytes()).expect("sent");
        })
        .expect("it attaches");
        assert_eq!((supervisor.node(), session), (NodeId(7), Session::default()));
        assert!(supervisor.is_outdated());
    }

    #[test]
    fn another_protocol_is_named() {
        let refused = attach_to(|socket| protocol::send(&socket, &hello(PROTOCOL + 1)).expect("sent"));
        assert!(matches!(refused, Err(AttachError::Protocol(2))), "{refused:?}");
    }

    #[test]
    fn who_says_nothing_or_goes_is_not_waited_for() {
        // It is there for as long as it is waited for, and no longer.
        let silent = attach_to(|socket| {
            let _ = rustix::event::poll(&mut [PollFd::new(&socket, rustix::event::PollFlags::HUP)], None);
        });
        assert!(matches!(silent, Err(AttachError::Silent(_))), "{silent:?}");
        let gone = attach_to(drop);
        assert!(matches!(gone, Err(AttachError::Silent(_))), "{gone:?}");
    }
}
