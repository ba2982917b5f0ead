//! The data directory: its layout, its lock, and who holds that.

use punctual_core::id::RunId;
use punctual_core::time::Timestamp;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// A lock of a data directory: the right to write to its store, or to hold its jobs. It is free again once every process that was given it has ended.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; what it wrote of itself (its pid).
    Held(String),
    /// The directory or the file cannot be used.
    Io(io::Error),
}

impl DataDir {
    /// The directory at `root`, made if it does not exist, readable by its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        Ok(Self { root: std::path::absolute(root)? })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the store is.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Where a running daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.root.join("punctual.sock")
    }

    /// The supervisor's journal of starts.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Where a line is written for each attempt that ended.
    pub fn attempt_log(&self) -> PathBuf {
        self.root.join("attempts.log")
    }

    /// Where the output of all attempts is, in a folder a day.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The newest instant that was believed, for the next process.
    pub fn clock(&self) -> PathBuf {
        self.root.join("clock")
    }

    /// Where the output of an attempt is: made of the run's id and a number alone, never of what a client says.
    pub fn log(&self, run: RunId, attempt: u32) -> PathBuf {
        let day = Timestamp::from_micros(run.nominal_millis().saturating_mul(1000)).to_string();
        self.logs().join(&day[..10.min(day.len())]).join(format!("{run}-{attempt}.log"))
    }

    /// Where a supervisor listens.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.root.join("supervisor.sock")
    }

    /// Takes the right to write to the store.
    ///
    /// # Errors
    /// Another process has it, or the file cannot be opened.
    pub fn lock(&self) -> Result<Lock, LockError> {
        self.lock_file("lock")
    }

    /// Takes the lock of the process that holds the jobs: whoever gets it knows that no supervisor is left.
    ///
    /// # Errors
    /// A supervisor has it, or the file cannot be opened.
    pub fn lock_supervisor(&self) -> Result<Lock, LockError> {
        self.lock_file("supervisor.lock")
    }

    fn lock_file(&self, name: &str) -> Result<Lock, LockError> {
        let path = self.root.join(name);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open.map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let note = file.set_len(0).and_then(|()| file.rewind());
                note.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(LockError::Io)?;
                Ok(Lock { file })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                Err(LockError::Held(holder.trim().to_owned()))
            }
            Err(error) => Err(LockError::Io(error.into())),
        }
    }
}

impl Lock {
    /// A descriptor that keeps the lock held in whatever process has it.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }
}
