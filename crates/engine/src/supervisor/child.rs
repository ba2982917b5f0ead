//! One attempt under supervision: started, watched, told to end, reaped.

use super::drain::{Drain, Drains};
use super::output::{self, Output};
use super::protocol::{Ended, Start, Told};
use super::redact::Redactor;
use super::tree;
use crate::clock::{Clock, Monotonic};
use rustix::fs::{MemfdFlags, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use wait4::Wait4;

/// After its process ended and its group was killed, so long a pipe may stay open in hands that got away.
const DRAIN: Duration = Duration::from_millis(200);
/// After that, so long its output may take to be written; a disk that hangs must not keep the run from ending.
const CLOSE: Duration = Duration::from_secs(10);

/// A started attempt.
pub struct Child {
    start: Start,
    mark: String,
    /// Until it is reaped.
    process: Option<std::process::Child>,
    pid: i32,
    pidfd: OwnedFd,
    launch: Option<LaunchFiles>,
    output: Sink,
    started_us: i64,
    told: Option<Told>,
    /// When it is told to end; later, when it is killed.
    deadline: Option<Monotonic>,
    killing: bool,
    ended: Option<Ended>,
}

/// Where its output goes.
enum Sink {
    /// Through a pipe that is emptied into a capped file.
    Pipe(Drain),
    /// Through such a pipe of which no more is taken than is in it.
    GivenUp(Drain),
    /// Into the file itself.
    Direct(File),
    /// Nowhere any more.
    Closed,
}

/// Why an attempt could not be started, for people.
pub type SpawnError = String;

impl Child {
    /// Starts `start`; `launcher` is this program, for what only a step between can set.
    ///
    /// # Errors
    /// Says what could not be done and with what.
    pub fn spawn(
        start: Start,
        launcher: &Path,
        clock: &Clock,
        drains: &mut Drains,
    ) -> Result<Self, SpawnError> {
        let (mut command, launch) = command(&start, launcher)?;
        let (stdout, stderr, outlet) = outlet(&start)?;
        command.stdin(stdin(start.stdin.as_deref())?).stdout(stdout).stderr(stderr);
        command.process_group(0);
        let mut process = command.spawn().map_err(|e| explain(&start, &e))?;
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
                return Err(format!("its process could not be watched: {error}"));
            }
        };
        let output = match outlet {
            Outlet::Direct(file) => Sink::Direct(file),
            Outlet::Pipe(pipe) => match drain(&start, pipe, drains) {
                Ok(drain) => Sink::Pipe(drain),
                Err(error) => {
                    tree::signal_group(pid, Signal::KILL);
                    let _ = process.wait();
                    return Err(format!("its output could not be watched: {error}"));
                }
            },
        };
        let deadline = start.timeout_ms.map(|ms| Monotonic::now().after(Duration::from_millis(ms)));
        Ok(Self {
            output,
            mark: start.env.iter().find(|(k, _)| k == tree::MARK).map(|(_, v)| v.clone()).unwrap_or_default(),
            start,
            process: Some(process),
            pid,
            pidfd,
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

    /// Bytes of output that have come so far.
    #[allow(dead_code, reason = "for a timeout that counts from the last byte")]
    pub fn output_bytes(&self) -> u64 {
        match &self.output {
            Sink::Pipe(drain) | Sink::GivenUp(drain) => drain.bytes(),
            Sink::Direct(file) => file.metadata().map_or(0, |m| m.len()),
            Sink::Closed => 0,
        }
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
            self.give_up_output();
        } else if self.killing {
            self.deadline = None;
            self.kill();
        } else {
            self.tell(Told::Timeout);
        }
    }

    /// Its output has had its time: first the pipe is given up, then the file.
    fn give_up_output(&mut self) {
        self.output = match std::mem::replace(&mut self.output, Sink::Closed) {
            Sink::Pipe(drain) => {
                drain.give_up();
                self.deadline = Some(Monotonic::now().after(CLOSE));
                Sink::GivenUp(drain)
            }
            _ => Sink::Closed,
        };
    }

    /// Its process has ended: reaps it and kills what is left of its group.
    pub fn on_exit(&mut self, clock: &Clock) {
        // The group is killed before the leader is reaped: until then its number cannot be another's.
        tree::signal_group(self.pid(), Signal::KILL);
        let Some(process) = self.process.take() else { return };
        let usage = process.wait4();
        let mut launch_error = String::new();
        if let Some(LaunchFiles { mut errors, .. }) = self.launch.take() {
            let _ = errors.rewind().and_then(|()| errors.read_to_string(&mut launch_error));
        }
        let (code, signal) = usage.as_ref().map_or((None, None), |u| (u.status.code(), u.status.signal()));
        let usage = usage.ok();
        self.ended = Some(Ended {
            attempt: self.start.attempt.clone(),
            started_us: Some(self.started_us),
            at_us: clock.now().as_micros(),
            code,
            signal,
            cpu_ms: usage.as_ref().map(|u| millis(u.rusage.utime + u.rusage.stime)),
            memory_bytes_max: usage.as_ref().map(|u| u.rusage.maxrss),
            told: self.told,
            spawn_error: (!launch_error.is_empty()).then_some(launch_error),
        });
        self.deadline = Some(Monotonic::now().after(DRAIN));
    }

    /// How it ended, once its process is reaped and its output written.
    pub fn finished(&mut self) -> Option<Ended> {
        let ended = self.ended.as_ref()?;
        match &self.output {
            Sink::Pipe(drain) | Sink::GivenUp(drain) if !drain.is_closed() => return None,
            // An attempt that printed nothing has no file.
            Sink::Direct(file) if file.metadata().is_ok_and(|m| m.len() == 0) => {
                let _ = std::fs::remove_file(&self.start.log);
            }
            _ => {}
        }
        Some(ended.clone())
    }
}

/// What is left here of where a job's output goes.
enum Outlet {
    /// The end of the pipe that is read.
    Pipe(OwnedFd),
    /// The file it has itself.
    Direct(File),
}

/// Standard output and standard error of a job, which are one, in the order in which they are written to.
fn outlet(start: &Start) -> Result<(Stdio, Stdio, Outlet), SpawnError> {
    if start.output_direct {
        let failed = |e: std::io::Error| format!("the output file {} cannot be made: {e}", start.log);
        let file = output::create(Path::new(&start.log)).map_err(failed)?;
        let both = [file.try_clone().map_err(failed)?, file.try_clone().map_err(failed)?];
        let [stdout, stderr] = both.map(Stdio::from);
        return Ok((stdout, stderr, Outlet::Direct(file)));
    }
    let failed = |e: std::io::Error| format!("no pipe: {e}");
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK).map_err(|e| failed(e.into()))?;
    let stderr = write.try_clone().map_err(failed)?;
    Ok((Stdio::from(write), Stdio::from(stderr), Outlet::Pipe(read)))
}

fn drain(start: &Start, pipe: OwnedFd, drains: &mut Drains) -> std::io::Result<Drain> {
    let secret = |name: &String| start.env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let redactor = Redactor::new(start.redact.iter().filter_map(secret));
    let output = Output::new(PathBuf::from(&start.log), start.log_bytes_max);
    drains.open(&start.attempt.run, pipe, output, redactor)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The input: a sealed copy in memory, so that no process has to feed a pipe.
fn stdin(text: Option<&str>) -> Result<Stdio, SpawnError> {
    let Some(text) = text else { return Ok(Stdio::null()) };
    memory_file("stdin", text.as_bytes()).map(Stdio::from)
}

fn memory_file(name: &str, content: &[u8]) -> Result<File, SpawnError> {
    let failed = |e: std::io::Error| format!("no memory for its {name}: {e}");
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut file = File::from(memory);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}

/// What supervisor and launcher hand each other, in memory. The launcher opens them through this process, so that no
/// descriptor has to be inherited by the job.
struct LaunchFiles {
    #[expect(dead_code, reason = "it is there as long as it is open")]
    environment: File,
    /// What the launcher could not do.
    errors: File,
}

/// The command; with a launcher between, also what that reads and writes.
fn command(start: &Start, launcher: &Path) -> Result<(Command, Option<LaunchFiles>), SpawnError> {
    let Some(program) = start.argv.first() else { return Err("there is no program to start".into()) };
    let Some(user) = &start.run_as else {
        let path = start.env.iter().find(|(k, _)| k == "PATH").map_or("/usr/bin:/bin", |(_, v)| v.as_str());
        let directory = start.working_directory.as_deref().unwrap_or("/");
        if !Path::new(directory).is_dir() {
            return Err(format!("the working directory {directory} does not exist"));
        }
        let found = find_program(program, path, directory)?;
        let mut command = Command::new(found);
        command.arg0(program).args(&start.argv[1..]).current_dir(directory);
        command.env_clear().envs(start.env.iter().map(|(k, v)| (k, v)));
        return Ok((command, None));
    };
    let environment =
        serde_json::to_vec(&start.env).map_err(|e| format!("its environment is no text: {e}"))?;
    let environment = memory_file("environment", &environment)?;
    let errors = memory_file("errors", &[])?;
    let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = Command::new(launcher);
    command.arg0("punctual").args(["__launch", "--user", user]);
    command.arg("--environment").arg(path(&environment)).arg("--errors").arg(path(&errors));
    if let Some(directory) = &start.working_directory {
        command.args(["--directory", directory]);
    }
    command.current_dir("/").arg("--").args(&start.argv);
    // The mark, so that it is known for what it is from the first moment; see `Launch::environment` for the rest.
    command.env_clear().envs(start.env.iter().filter(|(k, _)| k == tree::MARK).map(|(k, v)| (k, v)));
    Ok((command, Some(LaunchFiles { environment, errors })))
}

/// Finds a program as a shell would, so that a missing one is a typed error and the fast path stays open.
fn find_program(name: &str, path: &str, directory: &str) -> Result<PathBuf, SpawnError> {
    let runnable =
        |file: &Path| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        let file = Path::new(directory).join(name);
        return match file.metadata() {
            Err(e) => Err(format!("the program {} cannot be started: {e}", file.display())),
            Ok(_) if !runnable(&file) => Err(format!(
                "the program {} is not executable; chmod +x it, or name its interpreter",
                file.display()
            )),
            Ok(_) => Ok(file),
        };
    }
    path.split(':')
        .map(|dir| Path::new(directory).join(dir).join(name))
        .find(|file| runnable(file))
        .ok_or_else(|| format!("no program {name:?} in PATH ({path})"))
}

fn explain(start: &Start, error: &std::io::Error) -> String {
    let program = start.argv.first().map_or("", String::as_str);
    match error.raw_os_error() {
        Some(8) => format!("{program} is neither a binary of this machine nor a script with a #! line"),
        Some(7) => format!("{program}: arguments and environment are too long for the kernel"),
        _ => format!("{program} could not be started: {error}"),
    }
}
