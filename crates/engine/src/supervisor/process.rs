//! The supervisor: one synchronous loop that starts attempts, watches them and reports their ends.
//!
//! It lives exactly as long as the daemon holds the other end of its socket: when that closes, every tree is
//! killed before the supervisor ends and lets go of the data directory's lock.
//!
//! It is the subreaper of the jobs: what leaves a job's tree becomes its own child, a stray. A stray may live as long
//! as the attempt whose mark it carries, and an attempt has ended only when no stray of it is left.

use super::child::Child;
use super::journal::Journal;
use super::protocol::{self, AttemptId, Ended, Link, Report, Request, Told};
use super::tree;
use crate::clock::{Clock, Monotonic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Once the daemon is gone, so long the killed trees may take to be gone too.
const END: Duration = Duration::from_secs(5);
/// While killed strays die, it looks again so soon.
const SWEEP_AGAIN: Duration = Duration::from_millis(5);

/// Runs the supervisor until the daemon is gone or asks for its end.
///
/// # Errors
/// The socket or the journal failed.
pub fn run(socket: UnixStream, journal: &Path, launcher: PathBuf) -> io::Result<()> {
    let _ = set_child_subreaper(Some(rustix::process::getpid()));
    let mut supervisor = Supervisor {
        daemon: Link::new(socket)?,
        journal: Journal::create(journal)?,
        launcher,
        clock: Clock::System,
        children: BTreeMap::new(),
        dying: BTreeSet::new(),
        ending: None,
    };
    while supervisor.turn()? {}
    Ok(())
}

struct Supervisor {
    daemon: Link,
    journal: Journal,
    launcher: PathBuf,
    clock: Clock,
    children: BTreeMap<AttemptId, Child>,
    /// The marks of strays that were killed and are not gone yet.
    dying: BTreeSet<String>,
    /// Set once the daemon is gone: the instant after which nothing is waited for.
    ending: Option<Monotonic>,
}

impl Supervisor {
    /// Waits for the next thing to happen and sees to it. False when all is over.
    fn turn(&mut self) -> io::Result<bool> {
        let ready = self.wait()?;
        self.daemon.flush();
        if ready.daemon {
            self.take_requests();
        }
        for (id, output, exit) in ready.children {
            let Some(child) = self.children.get_mut(&id) else { continue };
            if output {
                child.on_output();
            }
            if exit {
                child.on_exit(&self.clock);
            }
        }
        let now = Monotonic::now();
        for child in self.children.values_mut().filter(|c| c.deadline().is_some_and(|d| d <= now)) {
            child.on_deadline();
        }
        self.sweep();
        self.report_ends();
        let busy = !self.children.is_empty() || !self.dying.is_empty();
        Ok(match self.ending {
            None => true,
            Some(limit) => busy && limit > now,
        })
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = Vec::new();
        if self.daemon.is_open() {
            fds.push(self.daemon.poll_fd());
        }
        let mut places = Vec::new();
        for (id, child) in &self.children {
            let mut place = |fd| {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                fds.len() - 1
            };
            let output = child.pipe_fd().map(&mut place);
            let exit = child.process_fd().map(&mut place);
            places.push((id, output, exit));
        }
        let now = Monotonic::now();
        let mut deadlines: Vec<Monotonic> = self.children.values().filter_map(Child::deadline).collect();
        deadlines.extend(self.ending);
        if !self.dying.is_empty() {
            deadlines.push(now.after(SWEEP_AGAIN));
        }
        let wait = deadlines.into_iter().min().map(|d| d.until_from(now) + Duration::from_millis(1));
        let wait = wait.and_then(|w| Timespec::try_from(w).ok());
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let hit = |place: Option<usize>| place.is_some_and(|p| !fds[p].revents().is_empty());
        let children = places
            .iter()
            .map(|(id, output, exit)| ((*id).clone(), hit(*output), hit(*exit)))
            .filter(|(_, output, exit)| *output || *exit)
            .collect();
        Ok(Ready { daemon: self.daemon.is_open() && hit(Some(0)), children })
    }

    fn take_requests(&mut self) {
        for request in self.daemon.receive() {
            match request {
                Request::Start(start) => self.start(*start),
                Request::Stop { attempt } => {
                    if let Some(child) = self.children.get_mut(&attempt) {
                        child.tell(Told::Stop);
                    }
                }
                Request::Shutdown => {
                    for child in self.children.values_mut() {
                        child.tell(Told::Shutdown);
                    }
                }
            }
        }
        if !self.daemon.is_open() {
            self.daemon_gone();
        }
    }

    fn daemon_gone(&mut self) {
        self.ending = Some(Monotonic::now().after(END));
        for child in self.children.values_mut() {
            child.kill();
        }
    }

    fn start(&mut self, start: protocol::Start) {
        let attempt = start.attempt.clone();
        if self.ending.is_some() || self.children.contains_key(&attempt) {
            return;
        }
        match Child::spawn(start, &self.launcher, &self.clock) {
            Ok(child) => {
                self.journal.started(&attempt, child.pid(), child.started_us());
                let at_us = child.started_us();
                self.report(&Report::Started { attempt: attempt.clone(), at_us, pid: child.pid() });
                self.children.insert(attempt, child);
            }
            Err(error) => {
                let at_us = self.clock.now().as_micros();
                let ended = Ended { spawn_error: Some(error), ..Ended::at(attempt, at_us) };
                self.report(&Report::Ended(ended));
            }
        }
    }

    fn report_ends(&mut self) {
        let dying = &self.dying;
        let done = self.children.values_mut().filter(|child| !dying.contains(child.mark()));
        let ended: Vec<Ended> = done.filter_map(Child::finished).collect();
        for ended in ended {
            self.children.remove(&ended.attempt);
            self.journal.ended(&ended.attempt);
            self.report(&Report::Ended(ended));
        }
    }

    fn report(&mut self, report: &Report) {
        self.daemon.send(report);
    }

    /// Reaps the strays that have ended and kills those whose attempt has. A killed stray's own children become
    /// strays in turn, so that a tree of any depth is gone after some rounds.
    fn sweep(&mut self) {
        self.dying.clear();
        let leaders: BTreeSet<i32> = self.children.values().filter_map(Child::leader).collect();
        for stray in tree::own_children().into_iter().filter(|pid| !leaders.contains(pid)) {
            if !matches!(waitpid(Pid::from_raw(stray), WaitOptions::NOHANG), Ok(None)) {
                continue;
            }
            let mark = tree::mark(stray).unwrap_or_default();
            // One without a mark may belong to any attempt that is under way.
            let wanted =
                |child: &Child| child.leader().is_some() && (mark.is_empty() || child.mark() == mark);
            if !self.children.values().any(wanted) && tree::kill(stray) {
                self.dying.insert(mark);
            }
        }
    }
}

struct Ready {
    daemon: bool,
    /// Attempt, whether its output and whether its process has something.
    children: Vec<(AttemptId, bool, bool)>,
}
