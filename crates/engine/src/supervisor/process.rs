//! The supervisor: one synchronous loop that starts attempts, watches them and reports their ends.
//!
//! It outlives the daemon. While there is none it goes on: output is kept, timeouts are kept, ends are noted in the
//! journal. The next daemon attaches and is told all. If none comes for as long as jobs may live without one, every tree
//! is told to end, and the supervisor ends with the last of them. It lets go of its lock only then.
//!
//! It is the subreaper of the jobs: what leaves a job's tree becomes its own child, a stray. A stray may live as long
//! as the attempt whose mark it carries, and an attempt has ended only when no stray of it is left.

use super::badge;
use super::cgroup::{self, Bounded, Groups};
use super::child::Child;
use super::drain::Drains;
use super::journal::Journal;
use super::links::{Heard, Links};
use super::protocol::{self, AttemptId, Ended, Limits, Report, Request, Running, SpawnError, Told};
use super::tree;
use super::verify::{Checks, Next};
use crate::clock::{Awake, Clock, Monotonic};
use crate::folders;
use punctual_core::error::Code;
use punctual_core::failpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory for checkpoints cannot be made.
const NO_CHECKPOINT: Code = Code("RUN019");
/// At the end, so long strays that were killed may take to be gone.
const END: Duration = Duration::from_secs(5);
/// The daemon that started it has so long to attach, however short jobs may live without one.
const FIRST: Duration = Duration::from_secs(10);
/// While killed strays die, it looks again so soon.
const SWEEP_AGAIN: Duration = Duration::from_millis(5);

/// Runs the supervisor of `node`'s session until it is over. Until a daemon says otherwise, jobs may live without one
/// for `orphan_timeout`.
///
/// # Errors
/// The socket or the journal failed.
pub fn run(
    listener: UnixListener,
    journal: &Path,
    node: String,
    orphan_timeout: Duration,
    launcher: PathBuf,
) -> io::Result<()> {
    let _ = set_child_subreaper(Some(rustix::process::getpid()));
    if let Some(root) = journal.parent() {
        folders::forget_control(root);
    }
    badge::raise_descriptors();
    cgroup::make_room_early();
    if let Some(data) = journal.parent()
        && let Err(error) = cgroup::end_dead_sessions(data)
    {
        eprintln!("punctual: {error}");
    }
    let mut supervisor = Supervisor {
        journal: Journal::create(journal, &node)?,
        drains: Drains::start()?,
        links: Links::new(listener, node)?,
        launcher,
        data: journal.parent().map_or_else(|| PathBuf::from("."), Path::to_owned),
        groups: None,
        clock: Clock::System,
        children: BTreeMap::new(),
        checks: Checks::default(),
        dying: BTreeSet::new(),
        orphan_timeout: orphan_timeout.max(FIRST),
        alone: Some(Awake::now()),
        last: false,
        told: false,
        limit: None,
    };
    while supervisor.turn()? {}
    // The groups of this session are empty, and go.
    let _ = cgroup::end_dead_sessions(&supervisor.data);
    Ok(())
}

struct Supervisor {
    links: Links,
    journal: Journal,
    drains: Drains,
    launcher: PathBuf,
    /// The data directory, by which its control groups are named.
    data: PathBuf,
    /// Where control groups are made; `None` until an attempt has limits.
    groups: Option<Groups>,
    clock: Clock,
    children: BTreeMap<AttemptId, Child>,
    checks: Checks,
    /// The marks of strays that were killed and are not gone yet.
    dying: BTreeSet<String>,
    orphan_timeout: Duration,
    /// Since when there is no daemon.
    alone: Option<Awake>,
    /// The jobs under way are the last ones, unless another daemon attaches.
    last: bool,
    /// They have been told to end.
    told: bool,
    /// Set once only killed strays are waited for: the instant after which they are not.
    limit: Option<Monotonic>,
}

impl Supervisor {
    /// Waits for the next thing to happen and sees to it. False when all is over.
    fn turn(&mut self) -> io::Result<bool> {
        let ready = self.wait()?;
        if ready.links {
            self.take_requests();
        }
        self.drains.seen();
        for id in ready.ended {
            if let Some(child) = self.children.get_mut(&id) {
                failpoint::pass("supervisor.at-exit");
                child.on_exit(&self.clock);
            }
        }
        let now = Monotonic::now();
        for child in self.children.values_mut().filter(|c| c.deadline().is_some_and(|d| d <= now)) {
            child.on_deadline(now);
        }
        let left = |since: Awake| since.left_of(self.orphan_timeout, Awake::now());
        if !self.told && self.alone.is_some_and(|since| left(since).is_zero()) {
            self.end(Told::Orphaned);
        }
        self.sweep();
        self.report_ends();
        Ok(!self.is_over(now))
    }

    fn is_over(&mut self, now: Monotonic) -> bool {
        if self.links.has_daemon() || !self.last || !self.children.is_empty() {
            self.limit = None;
            return false;
        }
        let limit = *self.limit.get_or_insert_with(|| now.after(END));
        self.dying.is_empty() || limit <= now
    }

    /// Tells all trees to end, and takes them for the last.
    fn end(&mut self, told: Told) {
        (self.last, self.told) = (true, true);
        for child in self.children.values_mut() {
            child.tell(told);
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = self.links.poll_fds();
        let links = fds.len();
        let drained = self.drains.closed_fd();
        fds.push(PollFd::from_borrowed_fd(drained, PollFlags::IN));
        let mut places = Vec::new();
        for (id, child) in &self.children {
            if let Some(process) = child.process_fd() {
                places.push((id, fds.len()));
                fds.push(PollFd::from_borrowed_fd(process, PollFlags::IN));
            }
        }
        let now = Monotonic::now();
        let mut deadlines: Vec<Monotonic> = self.children.values().filter_map(Child::deadline).collect();
        if !self.dying.is_empty() || self.children.values().any(Child::is_dying) {
            deadlines.push(now.after(SWEEP_AGAIN));
        }
        if let Some(since) = self.alone.filter(|_| !self.told) {
            deadlines.push(now.after(since.left_of(self.orphan_timeout, Awake::now())));
        }
        let wait = deadlines.into_iter().min().map(|d| d.until_from(now) + Duration::from_millis(1));
        let wait = wait.and_then(|w| Timespec::try_from(w).ok());
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let hit = |place: usize| !fds[place].revents().is_empty();
        let ended = places.iter().filter(|(_, place)| hit(*place)).map(|(id, _)| (*id).clone()).collect();
        Ok(Ready { links: (0..links).any(hit), ended })
    }

    fn take_requests(&mut self) {
        for heard in self.links.hear() {
            match heard {
                Heard::Attached { orphan_timeout } => self.welcome(orphan_timeout),
                Heard::Gone => self.alone = Some(Awake::now()),
                Heard::Request(Request::Start(start)) => self.start(*start),
                Heard::Request(Request::Stop { attempt }) => {
                    if let Some(child) = self.children.get_mut(&attempt) {
                        child.tell(Told::Stop);
                    }
                }
                Heard::Request(Request::Ack { attempts }) => {
                    failpoint::pass("supervisor.acknowledged");
                    attempts.iter().for_each(|attempt| self.journal.acknowledged(attempt));
                }
                Heard::Request(Request::Shutdown) => self.end(Told::Shutdown),
                Heard::Request(Request::Kill) => {
                    self.end(Told::Shutdown);
                    self.children.values_mut().for_each(Child::kill);
                }
                Heard::Request(Request::Leave) => {
                    self.last = true;
                    self.alone = Some(Awake::now());
                }
                Heard::Request(Request::Attach { .. }) => {}
            }
        }
    }

    /// Tells the daemon that has attached all that is known. Whatever was to end goes on to; what it asks for is started.
    fn welcome(&mut self, orphan_timeout: Duration) {
        (self.orphan_timeout, self.alone) = (orphan_timeout, None);
        (self.last, self.told) = (false, false);
        let running = |(attempt, child): (&AttemptId, &Child)| Running {
            attempt: attempt.clone(),
            at_us: self.checks.began(attempt).unwrap_or(child.started_us()),
            pid: child.pid(),
        };
        let running = self.children.iter().map(running).collect();
        failpoint::pass("supervisor.attached");
        self.links.welcome(running, self.journal.unacknowledged().cloned().collect());
    }

    fn start(&mut self, start: protocol::Start) {
        let attempt = start.attempt.clone();
        // Asked for twice: by a daemon that died, and by the one after it.
        if self.children.contains_key(&attempt) || self.journal.has_ended(&attempt) {
            return;
        }
        failpoint::pass("supervisor.before-spawn");
        let bounded = self.bound(&start);
        let child = made_ready(&start)
            .and_then(|()| Child::spawn(start, &self.launcher, &self.clock, bounded, &mut self.drains));
        match child {
            Ok(child) => {
                failpoint::pass("supervisor.after-spawn");
                self.journal.started(&attempt, child.pid(), child.started_us());
                failpoint::pass("supervisor.after-journal");
                let at_us = child.started_us();
                self.links.send(&Report::Started { attempt: attempt.clone(), at_us, pid: child.pid() });
                self.children.insert(attempt, child);
            }
            Err(error) => {
                let at_us = self.clock.now().as_micros();
                self.note_end(Ended { spawn_error: Some(error), ..Ended::at(attempt, at_us) });
            }
        }
    }

    /// What holds the limits of an attempt, if it has any.
    fn bound(&mut self, start: &protocol::Start) -> Bounded {
        if start.limits == Limits::default() {
            return Bounded::default();
        }
        let groups = self.groups.get_or_insert_with(|| Groups::make(&self.data));
        groups.bound(&format!("{}.{}", start.attempt.run, start.attempt.fence), &start.limits)
    }

    fn report_ends(&mut self) {
        let dying = &self.dying;
        let done = self.children.values_mut().filter(|child| !dying.contains(child.mark()));
        let ended: Vec<Ended> = done.filter_map(Child::finished).collect();
        for ended in ended {
            if let Some(child) = self.children.remove(&ended.attempt) {
                self.follow(child.into_start(), ended);
            }
        }
    }

    /// Starts what looks at the work of a process that has ended, or reports the end of its attempt.
    fn follow(&mut self, mut start: protocol::Start, mut ended: Ended) {
        // Where nothing is started any more, what was not looked at has not succeeded.
        if self.told && start.judge.is_looked_at() {
            ended.told.get_or_insert(Told::Shutdown);
        }
        loop {
            match self.checks.after(start, ended, &self.launcher) {
                Next::Over(over) => return self.note_end(over),
                Next::Start(next) => {
                    let attempt = next.attempt.clone();
                    let bounded = self.bound(&next);
                    let step = (*next).clone();
                    match Child::spawn(step, &self.launcher, &self.clock, bounded, &mut self.drains) {
                        Ok(child) => {
                            // It leads what is alive of the attempt now, whose start stays what it was.
                            let began = self.checks.began(&attempt).unwrap_or(child.started_us());
                            self.journal.started(&attempt, child.pid(), began);
                            self.children.insert(attempt, child);
                            return;
                        }
                        Err(error) => {
                            let at_us = self.clock.now().as_micros();
                            ended = Ended { spawn_error: Some(error), ..Ended::at(attempt, at_us) };
                            start = *next;
                        }
                    }
                }
            }
        }
    }

    /// In the journal first: a daemon that knows of an end may rely on its being kept.
    fn note_end(&mut self, ended: Ended) {
        failpoint::pass("supervisor.before-end-journal");
        self.journal.ended(ended.clone());
        failpoint::pass("supervisor.after-end-journal");
        self.links.send(&Report::Ended(ended));
    }

    /// Reaps the strays that have ended and kills those whose attempt has. A killed stray's own children become
    /// strays in turn, so that a tree of any depth is gone after some rounds.
    fn sweep(&mut self) {
        self.dying.clear();
        self.children.values_mut().for_each(Child::sweep);
        let leaders: BTreeSet<i32> = self.children.values().filter_map(Child::leader).collect();
        for stray in tree::own_children().into_iter().filter(|pid| !leaders.contains(pid)) {
            if !matches!(waitpid(Pid::from_raw(stray), WaitOptions::NOHANG), Ok(None)) {
                continue;
            }
            let (mark, badge) = (tree::mark(stray), badge::of_process(stray));
            let is_of = |child: &&Child| {
                mark.as_deref() == Some(child.mark()) || badge == Some(badge::of_run(child.mark()))
            };
            // One without mark and badge may belong to any attempt that is under way.
            let nameless = mark.is_none() && badge.is_none();
            let wanted = |child: &Child| child.leader().is_some() && (nameless || is_of(&child));
            if !self.children.values().any(wanted) && tree::kill(stray) {
                let whose = self.children.values().find(is_of).map(|child| child.mark().to_owned());
                self.dying.insert(whose.or(mark).unwrap_or_default());
            }
        }
    }
}

/// The checkpoint must be there before the attempt is.
fn made_ready(start: &protocol::Start) -> Result<(), SpawnError> {
    let Some(checkpoint) = &start.checkpoint else { return Ok(()) };
    let from = checkpoint.from.as_deref().map(Path::new);
    folders::make_checkpoint(Path::new(&checkpoint.path), from).map_err(|error| {
        let message = format!("its checkpoint directory {} cannot be made: {error}", checkpoint.path);
        SpawnError::new(NO_CHECKPOINT, message)
            .hint("see that the data directory can be written and has room")
    })
}

struct Ready {
    links: bool,
    /// Attempts whose process has ended.
    ended: Vec<AttemptId>,
}
