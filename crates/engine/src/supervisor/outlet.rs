//! Where the output of one attempt goes, from its start to the last byte.
//!
//! Standard output and standard error are one: what a job writes to them stands in the order in which it was written.

use super::command;
use super::drain::{Drain, Drains};
use super::output::{self, Output};
use super::protocol::{SpawnError, Start};
use super::redact::Redactor;
use crate::clock::Monotonic;
use punctual_core::error::Code;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Its output file cannot be made.
const NO_OUTPUT: Code = Code("EXE012");
/// After its process ended and its group was killed, so long a pipe may stay open in hands that got away.
const DRAIN: Duration = Duration::from_millis(200);

/// The output of an attempt that has not ended.
#[derive(Debug)]
pub enum Outlet {
    /// Through a pipe that is emptied into a capped file.
    Pipe(Drain),
    /// Through such a pipe, of which no more is taken than is in it.
    GivenUp(Drain),
    /// Into the file at this path, which the job has itself.
    Direct(File, PathBuf),
    /// Nowhere any more.
    Closed,
}

/// What a job is to have as standard output and standard error, and what is left here.
pub struct Ends {
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// To be opened once the job has started.
    pub near: Near,
}

/// The near end.
pub enum Near {
    /// Of a pipe.
    Pipe(OwnedFd),
    /// A file.
    File(File),
}

/// Makes the ends of what `start` asks for.
///
/// # Errors
/// There are no descriptors, or the file of a direct output cannot be made.
pub fn ends(start: &Start) -> Result<Ends, SpawnError> {
    if start.output_direct {
        let file = output::create(Path::new(&start.log)).map_err(|e| no_file(&start.log, &e))?;
        let both = [file.try_clone(), file.try_clone()];
        let [stdout, stderr] = both.map(|end| end.map(Stdio::from).map_err(|e| no_file(&start.log, &e)));
        return Ok(Ends { stdout: stdout?, stderr: stderr?, near: Near::File(file) });
    }
    let no_pipe = |e: io::Error| command::unavailable("no pipe for its output", &e);
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| no_pipe(e.into()))?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK).map_err(|e| no_pipe(e.into()))?;
    let stderr = write.try_clone().map_err(no_pipe)?;
    Ok(Ends { stdout: Stdio::from(write), stderr: Stdio::from(stderr), near: Near::Pipe(read) })
}

fn no_file(path: &str, error: &io::Error) -> SpawnError {
    let message = format!("the output file {path} cannot be made: {error}");
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => command::no_descriptor(&message),
        _ => SpawnError::new(NO_OUTPUT, message)
            .hint("see that the data directory can be written and has room"),
    }
}

impl Outlet {
    /// Begins to empty the pipe of a job that has started.
    ///
    /// # Errors
    /// The pipe cannot be watched.
    pub fn open(start: &Start, near: Near, drains: &mut Drains) -> io::Result<Self> {
        let pipe = match near {
            Near::File(file) => return Ok(Self::Direct(file, PathBuf::from(&start.log))),
            Near::Pipe(pipe) => pipe,
        };
        let secret = |name: &String| start.env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let redactor = Redactor::new(start.redact.iter().filter_map(secret));
        let output = Output::new(PathBuf::from(&start.log), start.log_bytes_max);
        drains.open(&start.attempt.run, pipe, output, redactor).map(Self::Pipe)
    }

    /// Bytes that have come so far.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Pipe(drain) | Self::GivenUp(drain) => drain.bytes(),
            Self::Direct(file, _) => file.metadata().map_or(0, |m| m.len()),
            Self::Closed => 0,
        }
    }

    /// The attempt's process has ended: when [`Outlet::give_up`] is due if it is not closed before.
    pub fn ended(&self) -> Monotonic {
        Monotonic::now().after(DRAIN)
    }

    /// It has had its time: first the pipe is given up, then the file. When the next time is over, if there is one.
    pub fn give_up(&mut self) -> Option<Monotonic> {
        match std::mem::replace(self, Self::Closed) {
            Self::Pipe(drain) => {
                let patience = drain.give_up();
                *self = Self::GivenUp(drain);
                Some(Monotonic::now().after(patience))
            }
            _ => None,
        }
    }

    /// Whether all is written, or will not be. An attempt that printed nothing has no file then.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Pipe(drain) | Self::GivenUp(drain) => drain.is_closed(),
            Self::Direct(file, path) => {
                if file.metadata().is_ok_and(|m| m.len() == 0) {
                    let _ = std::fs::remove_file(path);
                }
                true
            }
            Self::Closed => true,
        }
    }
}
