//! The supervisor process that holds the job processes, and the daemon's end of it.
//!
//! Daemon and supervisor speak over one Unix socket ([`protocol`]). The supervisor also holds the data
//! directory's lock: whoever gets that lock knows that no supervisor, and so no job of one, is left.

mod child;
pub mod journal;
pub mod launch;
mod output;
pub mod process;
pub mod protocol;
pub mod tree;

use protocol::{Report, Request};
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The daemon's end.
#[derive(Debug)]
pub struct Supervisor {
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
        let lock = lock.map(OwnedFd::try_clone).transpose()?;
        let process = Command::new(program)
            .arg("__supervise")
            .arg(journal)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(lock.map_or_else(Stdio::null, Stdio::from))
            .process_group(0)
            .spawn()?;
        let mut reports = BufReader::new(socket.try_clone()?);
        std::thread::Builder::new().name("supervisor-reports".into()).spawn(move || {
            while let Ok(Some(message)) = protocol::receive(&mut reports) {
                report(Some(message));
            }
            report(None);
        })?;
        Ok(Self { socket, process })
    }

    /// Sends a request. A supervisor that is gone shows as the end of its reports.
    pub fn send(&self, request: &Request) {
        let _ = protocol::send(&self.socket, request);
    }

    /// Waits for the process after its reports have ended.
    pub fn wait(mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.process.wait();
    }
}
