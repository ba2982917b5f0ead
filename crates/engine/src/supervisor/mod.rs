//! The supervisor process that holds the job processes, and the daemon's end of it.
//!
//! Daemon and supervisor speak over one Unix socket ([`protocol`]). The supervisor also holds the data
//! directory's lock: whoever gets that lock knows that no supervisor, and so no job of one, is left.

mod child;
mod command;
pub mod journal;
pub mod launch;
mod output;
pub mod process;
pub mod protocol;
pub mod tree;

use crate::clock::Monotonic;
use protocol::{Report, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// After it is told to end, so long the supervisor may take to kill its trees; see [`process`].
const END: Duration = Duration::from_secs(8);

/// The daemon's end.
#[derive(Debug)]
pub struct Supervisor {
    requests: Sender<Request>,
    socket: UnixStream,
    process: Child,
}

impl Supervisor {
    /// Starts the supervisor: `program __supervise JOURNAL`, its socket on standard input, the lock on standard
    /// output, where no job inherits it. `report` is called on a thread of its own with each report, and with
    /// `None` once the supervisor is gone.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(
        program: &Path,
        journal: &Path,
        lock: Option<&OwnedFd>,
        mut report: impl FnMut(Option<Report>) + Send + 'static,
    ) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let (mut reports, to) = (BufReader::new(socket.try_clone()?), socket.try_clone()?);
        let lock = lock.map(OwnedFd::try_clone).transpose()?;
        let process = Command::new(program)
            .arg0("punctual")
            .arg(tree::SUPERVISE)
            .arg(journal)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(lock.map_or_else(Stdio::null, Stdio::from))
            .process_group(0)
            .spawn()?;
        // A supervisor that is suspended and reads nothing must not hold up the cycle.
        let (requests, queue) = mpsc::channel();
        std::thread::Builder::new().name("supervisor-requests".into()).spawn(move || {
            while let Ok(request) = queue.recv()
                && protocol::send(&to, &request).is_ok()
            {}
        })?;
        std::thread::Builder::new().name("supervisor-reports".into()).spawn(move || {
            while let Ok(Some(message)) = protocol::receive(&mut reports) {
                report(Some(message));
            }
            report(None);
        })?;
        Ok(Self { requests, socket, process })
    }

    /// Sends a request. A supervisor that is gone shows as the end of its reports.
    pub fn send(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// Closes the socket and waits for the process. False if it had to be killed, so that jobs may be left.
    pub fn wait(mut self) -> bool {
        let _ = self.socket.shutdown(Shutdown::Both);
        let ended = self.ends_in_time();
        if !ended {
            let _ = self.process.kill();
        }
        self.process.wait().is_ok_and(|status| ended && status.success())
    }

    fn ends_in_time(&self) -> bool {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return true };
        let limit = Monotonic::now().after(END);
        loop {
            let left = Timespec::try_from(limit.until_from(Monotonic::now())).ok();
            match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}
