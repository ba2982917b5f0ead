//! The supervisor: one synchronous loop that starts attempts, watches them and reports their ends.
//!
//! It lives exactly as long as the daemon holds the other end of its socket: when that closes, every tree is
//! killed before the supervisor ends and lets go of the data directory's lock.

use super::child::Child;
use super::journal::Journal;
use super::protocol::{self, AttemptId, Ended, Report, Request, Told};
use super::tree;
use crate::clock::{Clock, Monotonic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use std::collections::BTreeMap;
use std::io::{self, BufReader, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Once the daemon is gone, so long the killed trees may take to be gone too.
const END: Duration = Duration::from_secs(5);

/// Runs the supervisor until the daemon is gone or asks for its end.
///
/// # Errors
/// The socket or the journal failed.
pub fn run(socket: UnixStream, journal: &Path, launcher: PathBuf) -> io::Result<()> {
    let _ = set_child_subreaper(Some(rustix::process::getpid()));
    let mut supervisor = Supervisor {
        requests: BufReader::new(socket.try_clone()?),
        socket,
        journal: Journal::create(journal)?,
        launcher,
        clock: Clock::System,
        children: BTreeMap::new(),
        ending: None,
    };
    while supervisor.turn()? {}
    Ok(())
}

struct Supervisor {
    socket: UnixStream,
    requests: BufReader<UnixStream>,
    journal: Journal,
    launcher: PathBuf,
    clock: Clock,
    children: BTreeMap<AttemptId, Child>,
    /// Set once no more is started; the instant after which nothing is waited for.
    ending: Option<Option<Monotonic>>,
}

impl Supervisor {
    /// Waits for the next thing to happen and sees to it. False when all is over.
    fn turn(&mut self) -> io::Result<bool> {
        let ready = self.wait()?;
        if ready.requests {
            self.take_requests()?;
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
        self.report_ends();
        self.reap_strays();
        Ok(match self.ending {
            None => true,
            Some(limit) => !self.children.is_empty() && limit.is_none_or(|l| l > now),
        })
    }

    fn wait(&self) -> io::Result<Ready> {
        let daemon_gone = matches!(self.ending, Some(Some(_)));
        let mut fds = Vec::new();
        if !daemon_gone {
            fds.push(PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN));
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
        deadlines.extend(self.ending.flatten());
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
        // A line may already stand in the buffer, where the socket does not show it.
        let requests = !daemon_gone && (hit(Some(0)) || !self.requests.buffer().is_empty());
        Ok(Ready { requests, children })
    }

    fn take_requests(&mut self) -> io::Result<()> {
        loop {
            match protocol::receive(&mut self.requests) {
                Ok(Some(Request::Start(start))) => self.start(*start),
                Ok(Some(Request::Stop { attempt })) => {
                    if let Some(child) = self.children.get_mut(&attempt) {
                        child.tell(Told::Stop);
                    }
                }
                Ok(Some(Request::Shutdown)) => {
                    self.ending = Some(None);
                    for child in self.children.values_mut() {
                        child.tell(Told::Shutdown);
                    }
                }
                Ok(None) => return Ok(self.daemon_gone()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(self.daemon_gone()),
                Err(error) => return Err(error),
            }
            if !self.requests.buffer().contains(&b'\n') {
                return Ok(());
            }
        }
    }

    fn daemon_gone(&mut self) {
        self.ending = Some(Some(Monotonic::now().after(END)));
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
                let ended = Ended {
                    attempt,
                    started_us: None,
                    at_us: self.clock.now().as_micros(),
                    code: None,
                    signal: None,
                    cpu_ms: None,
                    memory_bytes_max: None,
                    told: None,
                    spawn_error: Some(error),
                };
                self.report(&Report::Ended(ended));
            }
        }
    }

    fn report_ends(&mut self) {
        let ended: Vec<Ended> = self.children.values_mut().filter_map(Child::finished).collect();
        for ended in ended {
            self.children.remove(&ended.attempt);
            self.report(&Report::Ended(ended));
        }
    }

    fn report(&mut self, report: &Report) {
        // A daemon that is gone shows as the end of its requests, which is seen to there.
        let _ = protocol::send(&self.socket, report);
    }

    fn reap_strays(&self) {
        let known: Vec<i32> = self.children.values().map(Child::pid).collect();
        for stray in tree::own_children().into_iter().filter(|pid| !known.contains(pid)) {
            let _ = waitpid(Pid::from_raw(stray), WaitOptions::NOHANG);
        }
    }
}

struct Ready {
    requests: bool,
    /// Attempt, whether its output and whether its process has something.
    children: Vec<(AttemptId, bool, bool)>,
}
