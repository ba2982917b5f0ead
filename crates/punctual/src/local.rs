//! The router over the store in this process, where no daemon has the data directory.

use crate::failure::Failure;
use axum::Router;
use std::path::Path;

/// Opens the store under the directory's lock. `None` if another process has the lock.
///
/// # Errors
/// The store cannot be opened.
pub fn open(_directory: &Path, _runtime: &tokio::runtime::Runtime) -> Result<Option<Router>, Failure> {
    Ok(None)
}
