//! Whether the files that are open are still the ones under their names.
//!
//! SQLite goes on with a log that was deleted as if nothing had happened: it commits into a file that nobody will ever
//! open again. So the writer looks before each transaction.

use crate::StoreError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file under a name: device and number.
type Identity = (u64, u64);

pub(super) struct Files {
    store: (PathBuf, Option<Identity>),
    log: (PathBuf, Option<Identity>),
}

/// What is no longer under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The log only: it is still open, and can be brought home.
    Log(StoreError),
    /// The store itself.
    Store(StoreError),
}

impl Files {
    /// The files of the store at `file`, as they are now.
    pub fn note(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        Self { store: (file.to_owned(), identity(file)), log: (log.clone(), identity(&log)) }
    }

    /// What is gone, if anything. A log that did not exist is taken note of once it does.
    pub fn gone(&mut self) -> Option<Gone> {
        let (path, was) = &self.store;
        if identity(path) != *was {
            return Some(Gone::Store(moved(path)));
        }
        let (path, was) = &mut self.log;
        let is = identity(path);
        if was.is_none() {
            *was = is;
        }
        (is != *was).then(|| Gone::Log(moved(path)))
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

fn moved(path: &Path) -> StoreError {
    StoreError::Moved(format!("{} was removed or replaced", path.display()))
}
