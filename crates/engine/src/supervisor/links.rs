//! Whom the supervisor listens to: the daemon that is attached, and those that have connected and are not.
//!
//! A daemon attaches by compare-and-swap on the session's epoch, so that of two that come at once one is refused. Before
//! the new one is told anything, all that the old one has sent whole is carried out: what is then not known to the
//! supervisor was never asked of it, and never will be.

use super::protocol::{Ended, Link, PROTOCOL, Report, Request, Running};
use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// So many may be connected without being attached; the oldest gives way.
const WAITING_MAX: usize = 16;

/// The socket of a session and those who are connected to it.
#[derive(Debug)]
pub struct Links {
    listener: UnixListener,
    node: String,
    build: String,
    epoch: u64,
    daemon: Option<Link>,
    waiting: VecDeque<Link>,
}

/// What the supervisor is told, in order.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A daemon has attached, and waits to be told the attempts with [`Links::welcome`]. What it asks comes after.
    Attached {
        /// So long jobs may live without a daemon.
        orphan_timeout: Duration,
    },
    /// By the daemon, or what anybody may ask.
    Request(Request),
    /// The daemon's end of the socket has closed, and it had not said that it leaves.
    Gone,
}

impl Links {
    /// The session of `node`, to which nobody has attached yet.
    ///
    /// # Errors
    /// The listener cannot be told not to wait.
    pub fn new(listener: UnixListener, node: String) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, node, build: super::build(), epoch: 0, daemon: None, waiting: VecDeque::new() })
    }

    /// Whether a daemon is attached, as far as is known.
    pub fn has_daemon(&self) -> bool {
        self.daemon.is_some()
    }

    /// What to poll, and for what.
    pub fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let listener = PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN);
        [listener].into_iter().chain(self.daemon.iter().chain(&self.waiting).map(Link::poll_fd)).collect()
    }

    /// Takes what there is, and sends what was kept.
    pub fn hear(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        self.hear_daemon(&mut heard);
        self.accept();
        for mut link in std::mem::take(&mut self.waiting) {
            link.flush();
            let mut requests = link.receive().into_iter();
            let attach = requests.by_ref().find_map(|request| match request {
                Request::Attach { protocol, epoch_seen, orphan_timeout_ms } => {
                    Some((protocol, epoch_seen, Duration::from_millis(orphan_timeout_ms)))
                }
                // Of anybody else.
                Request::Stop { .. } | Request::Kill => {
                    heard.push(Heard::Request(request));
                    None
                }
                _ => None,
            });
            match attach {
                Some((PROTOCOL, epoch, orphan_timeout)) if epoch == self.epoch => {
                    self.attach(link, orphan_timeout, &mut heard);
                    heard.extend(requests.map(Heard::Request));
                }
                Some(_) => link.send(&Report::Refused { epoch: self.epoch }),
                None if link.is_open() => self.waiting.push_back(link),
                None => {}
            }
        }
        heard
    }

    fn hear_daemon(&mut self, heard: &mut Vec<Heard>) {
        let Some(daemon) = &mut self.daemon else { return };
        daemon.flush();
        let requests = daemon.receive();
        let leaves = requests.contains(&Request::Leave);
        let gone = !daemon.is_open();
        heard.extend(requests.into_iter().map(Heard::Request));
        if gone && !leaves {
            heard.push(Heard::Gone);
        }
        if gone || leaves {
            self.daemon = None;
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            let Ok(mut link) = Link::new(socket) else { continue };
            let (node, build) = (self.node.clone(), self.build.clone());
            link.send(&Report::Hello { protocol: PROTOCOL, node, epoch: self.epoch, build });
            self.waiting.push_back(link);
            if self.waiting.len() > WAITING_MAX {
                self.waiting.pop_front();
            }
        }
    }

    fn attach(&mut self, link: Link, orphan_timeout: Duration, heard: &mut Vec<Heard>) {
        self.hear_daemon(heard);
        self.epoch += 1;
        if let Some(mut earlier) = self.daemon.replace(link) {
            earlier.send(&Report::Replaced { epoch: self.epoch });
        }
        heard.push(Heard::Attached { orphan_timeout });
    }

    /// Tells a daemon that has attached all attempts.
    pub fn welcome(&mut self, running: Vec<Running>, ended: Vec<Ended>) {
        self.send(&Report::Attached { epoch: self.epoch, running, ended });
    }

    /// Tells the daemon, if there is one.
    pub fn send(&mut self, report: &Report) {
        if let Some(daemon) = &mut self.daemon {
            daemon.send(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{self, AttemptId};
    use super::*;
    use crate::clock;
    use std::io::{BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn links() -> (Scratch, Links) {
        let path = std::env::temp_dir().join(format!("punctual-links-{:x}", clock::random()));
        let listener = UnixListener::bind(&path).expect("a scratch socket");
        (Scratch(path), Links::new(listener, "node".into()).expect("links"))
    }

    /// Connects, and reads the epoch of the greeting.
    fn connect(scratch: &Scratch, links: &mut Links) -> (UnixStream, u64) {
        let socket = UnixStream::connect(&scratch.0).expect("it listens");
        assert_eq!(links.hear(), []);
        let Report::Hello { protocol: PROTOCOL, epoch, .. } = next(&socket).expect("a greeting") else {
            panic!("no greeting")
        };
        (socket, epoch)
    }

    /// The next report; a reader of its own takes no more than is there, for each is read before the next is sent.
    fn next(socket: &UnixStream) -> Option<Report> {
        protocol::receive(&mut BufReader::new(socket)).expect("a report")
    }

    fn ask(socket: &UnixStream, request: &Request) {
        protocol::send(socket, request).expect("sent");
    }

    fn attach(socket: &UnixStream, epoch_seen: u64) {
        ask(socket, &Request::Attach { protocol: PROTOCOL, epoch_seen, orphan_timeout_ms: 7 });
    }

    fn stop(fence: i64) -> Request {
        Request::Stop { attempt: AttemptId { run: "r".into(), fence } }
    }

    const ATTACHED: Heard = Heard::Attached { orphan_timeout: Duration::from_millis(7) };

    #[test]
    fn a_later_daemon_takes_over_after_all_that_the_earlier_one_has_sent_whole() {
        let (scratch, mut links) = links();
        let (first, epoch) = connect(&scratch, &mut links);
        attach(&first, epoch);
        assert_eq!(links.hear(), [ATTACHED]);
        links.welcome(Vec::new(), Vec::new());
        assert_eq!(next(&first), Some(Report::Attached { epoch: 1, running: vec![], ended: vec![] }));
        let (second, epoch) = connect(&scratch, &mut links);
        assert_eq!(epoch, 1);
        ask(&first, &stop(1));
        (&first).write_all(b"{\"Stop\":{\"attempt\":").expect("sent");
        attach(&second, epoch);
        assert_eq!(links.hear(), [Heard::Request(stop(1)), ATTACHED]);
        assert_eq!(next(&first), Some(Report::Replaced { epoch: 2 }));
        assert_eq!(next(&first), None, "it is closed on");
        let late = (&first).write_all(b"{\"run\":\"r\",\"fence\":2}}}\n");
        assert!(late.is_err(), "nobody hears the rest");
        assert_eq!(links.hear(), []);
        assert!(links.has_daemon());
    }

    #[test]
    fn of_two_that_saw_the_same_epoch_one_is_refused() {
        let (scratch, mut links) = links();
        let (first, epoch) = connect(&scratch, &mut links);
        let (second, _) = connect(&scratch, &mut links);
        attach(&first, epoch);
        attach(&second, epoch);
        ask(&second, &Request::Shutdown);
        assert_eq!(links.hear(), [ATTACHED], "and what the refused one asks goes unheard");
        assert_eq!(next(&second), Some(Report::Refused { epoch: 1 }));
        assert_eq!(next(&second), None);
    }

    #[test]
    fn who_is_not_attached_may_end_jobs_and_nothing_else() {
        let (scratch, mut links) = links();
        let (somebody, _) = connect(&scratch, &mut links);
        ask(&somebody, &Request::Ack { attempts: Vec::new() });
        ask(&somebody, &Request::Shutdown);
        ask(&somebody, &Request::Leave);
        ask(&somebody, &stop(1));
        ask(&somebody, &Request::Kill);
        drop(somebody);
        assert_eq!(links.hear(), [Heard::Request(stop(1)), Heard::Request(Request::Kill)]);
        assert!(links.waiting.is_empty());
    }

    #[test]
    fn a_daemon_that_leaves_is_not_one_that_is_gone() {
        let (scratch, mut links) = links();
        for leaves in [true, false] {
            let (daemon, epoch) = connect(&scratch, &mut links);
            attach(&daemon, epoch);
            assert_eq!(links.hear(), [ATTACHED]);
            if leaves {
                ask(&daemon, &Request::Leave);
            }
            drop(daemon);
            let last = if leaves { Heard::Request(Request::Leave) } else { Heard::Gone };
            assert_eq!(links.hear(), [last]);
            assert!(!links.has_daemon());
        }
    }
}
