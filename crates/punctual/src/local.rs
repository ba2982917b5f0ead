//! The router over the store in this process, where no daemon has the data directory.

use crate::client::{NO_DATA, NOT_ALLOWED};
use crate::failure::{Failure, UNAVAILABLE, remark};
use axum::Router;
use punctual_core::error::Diagnostic;
use punctual_engine::clock::{self, Clock};
use punctual_engine::data_dir::{DataDir, Lock, LockError};
use punctual_engine::inbox::Message;
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::{self, protocol::AttemptId, protocol::Request};
use punctual_store::{SqliteOptions, Store};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The store, opened and locked by this process.
pub struct Local {
    /// What answers requests.
    pub router: Router,
    engine: Engine,
    /// Held as long as the store is open.
    _lock: Lock,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.tell_supervisor();
        self.engine.store().close();
    }
}

impl Local {
    /// Jobs under way that were cancelled are told so by their supervisor, which lives on without a daemon. Where it is
    /// not to be reached, the next daemon tells them.
    fn tell_supervisor(&self) {
        let stops = self.engine.inbox().take().into_iter().filter_map(|message| match message {
            Message::Stop { run, fence } => {
                Some(Request::Stop { attempt: AttemptId { run: run.to_string(), fence: fence.0 } })
            }
            _ => None,
        });
        let stops: Vec<Request> = stops.collect();
        if !stops.is_empty()
            && let Err(why) = supervisor::tell(self.engine.data(), &stops)
        {
            remark(format!("no daemon is running ({why}): what is under way is told to end by the next one"));
        }
    }
}

/// Opens the store under the directory's lock. `None` if another process has the lock.
///
/// # Errors
/// The directory or the store cannot be opened.
pub fn open(directory: &Path) -> Result<Option<Local>, Failure> {
    let unusable = |why: std::io::Error| {
        let message = format!("the data directory {} cannot be used", directory.display());
        let error = Diagnostic::error(NO_DATA, message)
            .detail(why.to_string())
            .hint("run it as its owner, or name another with --data");
        Failure::new(UNAVAILABLE, error)
    };
    let owner = std::fs::metadata(directory).map_err(unusable)?.uid();
    belongs_to(directory, owner, rustix::process::geteuid().as_raw())?;
    let data = DataDir::open(directory).map_err(unusable)?;
    let lock = match data.lock() {
        Ok(lock) => lock,
        Err(LockError::Held(_)) => return Ok(None),
        Err(LockError::Io(why)) => return Err(unusable(why)),
    };
    let options = SqliteOptions::new(clock::since_boot);
    let store = Store::open_sqlite(&data.store(), options)
        .map_err(|why| Failure::new(UNAVAILABLE, Diagnostic::error(why.code(), why.to_string())))?;
    let clock = Clock::guarded(&data);
    let engine = Engine::new(store, punctual_engine::zones::open(), clock, data);
    let router = punctual_server::router::router(engine.clone());
    Ok(Some(Local { router, engine, _lock: lock }))
}

/// Root could open another user's store, but what it writes there that user's daemon could not open again.
pub fn belongs_to(directory: &Path, owner: u32, user: u32) -> Result<(), Failure> {
    if owner == user {
        return Ok(());
    }
    let message = format!("{} belongs to user {owner}, and no daemon is running there", directory.display());
    let error = Diagnostic::error(NOT_ALLOWED, message)
        .hint(format!("run it as that user: sudo -u '#{owner}' punctual …"));
    Err(Failure::new(UNAVAILABLE, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_opened_by_its_owner_alone() {
        let refused = belongs_to(Path::new("/srv/jobs"), 1000, 0).expect_err("root is not the owner");
        assert_eq!((refused.exit, refused.error.code.as_str()), (UNAVAILABLE, "API013"));
        assert_eq!(belongs_to(Path::new("/srv/jobs"), 1000, 1000), Ok(()));
    }
}
