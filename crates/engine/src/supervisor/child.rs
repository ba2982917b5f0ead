//! One attempt under supervision: started, watched, told to end, reaped.

use super::command::{self, LaunchFiles};
use super::output::Output;
use super::protocol::{Ended, SpawnError, Start, Told};
use super::tree;
use crate::clock::{Clock, Monotonic};
use punctual_core::error::Code;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use wait4::Wait4;

/// After its process ended and its group was killed, so long a pipe may stay open in hands that got away.
const DRAIN: Duration = Duration::from_millis(200);
/// Its output cannot be kept.
const NO_OUTPUT: Code = Code("EXE012");
/// Of one pipe so much is read before the others have their turn.
const READ_BYTES: usize = 64 * 1024;

/// A started attempt.
pub struct Child {
    start: Start,
    mark: String,
    /// Until it is reaped.
    process: Option<std::process::Child>,
    pid: i32,
    pidfd: OwnedFd,
    pipe: Option<File>,
    launch: Option<LaunchFiles>,
    output: Option<Output>,
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
    pub fn spawn(start: Start, launcher: &Path, clock: &Clock) -> Result<Self, SpawnError> {
        let log = open_log(Path::new(&start.log))?;
        let no_pipe = |e: std::io::Error| command::unavailable("no pipe for its output", &e);
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| no_pipe(e.into()))?;
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK).map_err(|e| no_pipe(e.into()))?;
        let (mut command, launch) = command::command(&start, launcher, Vec::new())?;
        let stderr = write.try_clone().map_err(no_pipe)?;
        command.stdin(command::stdin(start.stdin.as_deref())?);
        command.stdout(Stdio::from(write)).stderr(Stdio::from(stderr)).process_group(0);
        let mut process =
            command.spawn().map_err(|e| command::refused(Path::new(command.get_program()), &e))?;
        // The command holds the write ends; while it lives, the pipe has no end.
        drop(command);
        let pid = i32::try_from(process.id()).expect("pids are positive and fit");
        let raw = Pid::from_raw(pid).expect("a child's pid is not 0");
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // What cannot be watched must not run: it would be tried again beside itself.
                tree::signal_group(pid, Signal::KILL);
                let _ = process.wait();
                return Err(command::unavailable("its process could not be watched", &error.into()));
            }
        };
        let deadline = start.timeout_ms.map(|ms| Monotonic::now().after(Duration::from_millis(ms)));
        Ok(Self {
            output: Some(Output::new(log, start.log_bytes_max)),
            mark: start.env.iter().find(|(k, _)| k == tree::MARK).map(|(_, v)| v.clone()).unwrap_or_default(),
            start,
            process: Some(process),
            pid,
            pidfd,
            pipe: Some(File::from(read)),
            launch,
            started_us: clock.now().as_micros(),
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

    /// Its output, while it is open.
    pub fn pipe_fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// When [`Child::on_deadline`] is due.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    /// Tells the tree to end, and sets the instant of its kill.
    pub fn tell(&mut self, told: Told) {
        if self.ended.is_some() || self.told.is_some() {
            return;
        }
        self.told = Some(told);
        tree::signal_group(self.pid(), Signal::TERM);
        // A stopped process acts on TERM only once it goes on.
        tree::signal_group(self.pid(), Signal::CONT);
        self.deadline = Some(Monotonic::now().after(Duration::from_millis(self.start.grace_ms)));
        self.killing = true;
    }

    /// Kills the group at once; what has left it is swept up once the leader is gone.
    pub fn kill(&mut self) {
        // The number of a leader that was reaped may be another's by now.
        if let Some(leader) = self.leader() {
            tree::signal_group(leader, Signal::KILL);
        }
    }

    /// Its timeout, its grace or its drain has passed.
    pub fn on_deadline(&mut self) {
        if self.ended.is_some() {
            self.pipe = None;
        } else if self.killing {
            self.deadline = None;
            self.kill();
        } else {
            self.tell(Told::Timeout);
        }
    }

    /// Takes what output there is.
    pub fn on_output(&mut self) {
        let (Some(pipe), Some(output)) = (self.pipe.as_mut(), self.output.as_mut()) else { return };
        let mut piece = [0_u8; READ_BYTES];
        match pipe.read(&mut piece) {
            Ok(0) => self.pipe = None,
            Ok(length) => output.take(&piece[..length]),
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
    }

    /// Its process has ended: reaps it and kills what is left of its group.
    pub fn on_exit(&mut self, clock: &Clock) {
        // The group is killed before the leader is reaped: until then its number cannot be another's.
        tree::signal_group(self.pid(), Signal::KILL);
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
            ..Ended::at(self.start.attempt.clone(), clock.now().as_micros())
        });
        self.deadline = Some(Monotonic::now().after(DRAIN));
    }

    /// How it ended, once its process is reaped and its output written.
    pub fn finished(&mut self) -> Option<Ended> {
        if self.ended.is_none() || self.pipe.is_some() {
            return None;
        }
        if let Some(output) = self.output.take()
            && let Err(error) = output.close()
        {
            _ = writeln!(
                std::io::stderr(),
                "punctual: output of run {} could not be kept: {error}",
                self.start.attempt.run
            );
        }
        self.ended.clone()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn open_log(path: &Path) -> Result<File, SpawnError> {
    let failed = |e: std::io::Error| {
        let message = format!("the output file {} cannot be made: {e}", path.display());
        match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE) => command::no_descriptor(&message),
            _ => SpawnError::new(NO_OUTPUT, message)
                .hint("see that the data directory can be written and has room"),
        }
    };
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(failed)
}
