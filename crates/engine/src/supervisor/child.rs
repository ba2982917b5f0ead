//! One attempt under supervision: started, watched, told to end, reaped.

use super::badge;
use super::cgroup::{Bounded, Group};
use super::command::{self, LaunchFiles};
use super::drain::Drains;
use super::outlet::{self, Outlet};
use super::progress::Progress;
use super::protocol::{Ended, SpawnError, Start, Told};
use super::tree;
use crate::clock::{Clock, Monotonic};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::time::Duration;
use wait4::Wait4;

/// A started attempt.
pub struct Child {
    start: Start,
    mark: String,
    /// Until it is reaped.
    process: Option<std::process::Child>,
    pid: i32,
    pidfd: OwnedFd,
    launch: Option<LaunchFiles>,
    /// What holds its tree together, and bounds it.
    group: Option<Group>,
    /// What was asked for and could not be had.
    remark: Option<String>,
    progress: Option<Progress>,
    output: Outlet,
    started_us: i64,
    told: Option<Told>,
    /// When it is told to end; later, when it is killed.
    deadline: Option<Monotonic>,
    killing: bool,
    ended: Option<Ended>,
}

impl Child {
    /// Starts `start`; `launcher` is this program, for what only a step between can set.
    ///
    /// # Errors
    /// Says what could not be done and with what.
    pub fn spawn(
        start: Start,
        launcher: &Path,
        clock: &Clock,
        bounded: Bounded,
        drains: &mut Drains,
    ) -> Result<Self, SpawnError> {
        let Bounded { group, remark } = bounded;
        let (mut command, launch) =
            command::command(&start, launcher, group.as_ref().map_or_else(Vec::new, Group::entries))?;
        let ends = outlet::ends(&start)?;
        command.stdin(command::stdin(start.stdin.as_deref(), start.stdin_file.as_deref())?);
        command.stdout(ends.stdout).stderr(ends.stderr).process_group(0);
        let mark =
            start.env.iter().find(|(k, _)| k == tree::MARK).map(|(_, v)| v.clone()).unwrap_or_default();
        let mut process = badge::with(&mark, || command.spawn())
            .map_err(|e| command::refused(Path::new(command.get_program()), &e))?;
        // The command holds the write ends; while it lives, the pipe has no end.
        drop(command);
        let pid = i32::try_from(process.id()).expect("pids are positive and fit");
        let raw = Pid::from_raw(pid).expect("a child's pid is not 0");
        let watched = pidfd_open(raw, PidfdFlags::empty()).map_err(std::io::Error::from);
        let watched = watched.and_then(|pidfd| Ok((pidfd, Outlet::open(&start, ends.near, drains)?)));
        let (pidfd, output) = match watched {
            Ok(watched) => watched,
            Err(error) => {
                // What cannot be watched must not run: it would be tried again beside itself.
                tree::signal_group(pid, Signal::KILL);
                let _ = process.wait();
                return Err(command::unavailable("its process could not be watched", &error));
            }
        };
        // Before its timeout is set, so that no attempt is said to have run into it early.
        let started_us = clock.now().as_micros();
        let deadline = start.timeout_ms.map(|ms| Monotonic::now().after(Duration::from_millis(ms)));
        Ok(Self {
            output,
            mark,
            progress: start
                .no_progress_ms
                .map(|ms| Progress::new(Duration::from_millis(ms), Monotonic::now())),
            start,
            process: Some(process),
            pid,
            pidfd,
            launch,
            group,
            remark,
            started_us,
            told: None,
            deadline,
            killing: false,
            ended: None,
        })
    }

    /// When its process started, microseconds since the epoch.
    pub fn started_us(&self) -> i64 {
        self.started_us
    }

    /// What it was started by.
    pub fn into_start(self) -> Start {
        self.start
    }

    /// Its process, which leads its group.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The same until it is reaped.
    pub fn leader(&self) -> Option<i32> {
        self.process.is_some().then_some(self.pid)
    }

    /// The mark that its processes carry.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Readable once its process has ended; `None` after that has been seen.
    pub fn process_fd(&self) -> Option<BorrowedFd<'_>> {
        self.ended.is_none().then(|| self.pidfd.as_fd())
    }

    /// When [`Child::on_deadline`] is due.
    pub fn deadline(&self) -> Option<Monotonic> {
        let look = self.progress.as_ref().filter(|_| self.told.is_none() && self.ended.is_none());
        self.deadline.into_iter().chain(look.map(Progress::due)).min()
    }

    /// Tells the tree to end, and sets the instant of its kill.
    pub fn tell(&mut self, told: Told) {
        if self.ended.is_some() || self.told.is_some() {
            return;
        }
        self.told = Some(told);
        // A stopped process acts on TERM only once it goes on.
        for signal in [Signal::TERM, Signal::CONT] {
            // The launcher may not have entered yet.
            match self.group.as_ref().filter(|group| !group.processes().is_empty()) {
                Some(group) => group.signal(signal),
                None => tree::signal_tree(self.pid(), signal),
            }
        }
        self.deadline = Some(Monotonic::now().after(Duration::from_millis(self.start.grace_ms)));
        self.killing = true;
    }

    /// Kills the group at once; what has left it is swept up once the leader is gone.
    pub fn kill(&mut self) {
        if let Some(group) = &self.group {
            group.kill();
        }
        // The number of a leader that was reaped may be another's by now.
        if let Some(leader) = self.leader() {
            tree::signal_group(leader, Signal::KILL);
        }
    }

    /// Its timeout, its grace or its drain has passed.
    pub fn on_deadline(&mut self, now: Monotonic) {
        if self.ended.is_some() {
            self.deadline = self.output.give_up();
        } else if self.killing {
            self.deadline = None;
            self.kill();
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.tell(Told::Timeout);
        } else {
            let bytes = self.output.bytes();
            if self.progress.as_mut().is_some_and(|progress| progress.is_stalled(bytes, now)) {
                self.tell(Told::NoProgress);
            }
        }
    }

    /// Its process has ended: reaps it and kills what is left of its group.
    pub fn on_exit(&mut self, clock: &Clock) {
        // The group is killed before the leader is reaped: until then its number cannot be another's.
        self.kill();
        let Some(process) = self.process.take() else { return };
        let usage = process.wait4();
        let spawn_error = self.launch.take().and_then(LaunchFiles::error);
        let (code, signal) = usage.as_ref().map_or((None, None), |u| (u.status.code(), u.status.signal()));
        let usage = usage.ok();
        self.ended = Some(Ended {
            started_us: Some(self.started_us),
            code,
            signal,
            cpu_ms: usage.as_ref().map(|u| millis(u.rusage.utime + u.rusage.stime)),
            memory_bytes_max: usage.as_ref().map(|u| u.rusage.maxrss),
            told: self.told,
            spawn_error,
            remark: self.remark.take(),
            ..Ended::at(self.start.attempt.clone(), clock.now().as_micros())
        });
        self.deadline = Some(self.output.ended());
    }

    /// Whether its process is reaped and others of its control group are not gone yet.
    pub fn is_dying(&self) -> bool {
        self.ended.is_some() && self.group.is_some()
    }

    /// Kills what is left in the control group of an ended process; once that is empty, reads what it tells.
    pub fn sweep(&mut self) {
        let (Some(ended), Some(group)) = (&mut self.ended, &self.group) else { return };
        group.kill();
        if !group.processes().is_empty() {
            return;
        }
        ended.oom = group.oom();
        ended.memory_bytes_max = group.memory_bytes_max().or(ended.memory_bytes_max);
        self.group = None;
    }

    /// How it ended, once its process is reaped and its output written.
    pub fn finished(&mut self) -> Option<Ended> {
        if self.is_dying() {
            return None;
        }
        self.ended.as_ref().filter(|_| self.output.is_closed()).cloned()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
