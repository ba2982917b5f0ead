//! The router over the store in this process, where no daemon has the data directory.

use crate::client::NO_DATA;
use crate::failure::{Failure, UNAVAILABLE};
use axum::Router;
use punctual_core::error::Diagnostic;
use punctual_engine::clock::{self, Clock};
use punctual_engine::data_dir::{DataDir, Lock, LockError};
use punctual_engine::shared::Engine;
use punctual_store::{SqliteOptions, Store};
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
        self.engine.store().close();
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
    let data = DataDir::open(directory).map_err(unusable)?;
    let lock = match data.lock() {
        Ok(lock) => lock,
        Err(LockError::Held(_)) => return Ok(None),
        Err(LockError::Io(why)) => return Err(unusable(why)),
    };
    let options = SqliteOptions::new(clock::since_boot);
    let store = Store::open_sqlite(&data.store(), options)
        .map_err(|why| Failure::new(UNAVAILABLE, Diagnostic::error(why.code(), why.to_string())))?;
    let engine = Engine::new(store, punctual_engine::zones::open(), Clock::System, data);
    let router = punctual_server::router::router(engine.clone());
    Ok(Some(Local { router, engine, _lock: lock }))
}
