//! What SQLite's errors mean to the callers of a store.

use crate::StoreError;
use rusqlite::ErrorCode;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Self::Refused(text),
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(text),
            // A read ran longer than it may, or another process has the file: nothing was changed.
            Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Deadline
            }
            Some(_) => Self::Io(text),
            // Not from SQLite: a column does not hold what the schema says.
            None => Self::Unreadable(text),
        }
    }
}

/// Whether the whole transaction is lost with it, not only the request that met it.
pub fn loses_transaction(error: &StoreError) -> bool {
    ends_writing(error) || matches!(error, StoreError::Full(_) | StoreError::Deadline)
}

/// Whether nothing may be written any more until the process has been started again: what is on the disk is unknown.
pub fn ends_writing(error: &StoreError) -> bool {
    matches!(error, StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::Moved(_))
}
