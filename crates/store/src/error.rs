//! What can go wrong with a store.

use punctual_core::error::Code;
use std::fmt;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It was not tried before the deadline: nothing has changed.
    Deadline,
    /// The commit's answer was not seen. Whether it applied is told by the node's cycle, never by trying again.
    CommitUnknown(String),
    /// The node's cycle is not where the caller believed; nothing has changed.
    CycleMoved {
        /// Where it is.
        current: u64,
    },
    /// The decision broke a rule the store enforces; nothing has changed.
    Refused(String),
    /// The disk is full; nothing has changed.
    Full(String),
    /// The data cannot be read as a store, and nothing is written to it any more.
    Corrupt(String),
    /// Something that is stored does not say what it should, or is missing; the rest of the store is sound.
    Unreadable(String),
    /// The store was written by a newer version, or its engine is too old to be trusted.
    Version(String),
    /// A file of the store was removed or replaced while it was open. After this the process must end.
    Moved(String),
    /// A backup is not whole, or not one.
    Backup(String),
    /// Reading or writing failed. After this on a write, the process must end and recover by restarting.
    Io(String),
    /// The store has been closed.
    Closed,
}

impl StoreError {
    /// The page that explains it.
    pub const fn code(&self) -> Code {
        match self {
            Self::Deadline => Code("STO001"),
            Self::CommitUnknown(_) => Code("STO002"),
            Self::CycleMoved { .. } => Code("STO003"),
            Self::Refused(_) => Code("STO004"),
            Self::Full(_) => Code("STO005"),
            Self::Corrupt(_) => Code("STO006"),
            Self::Version(_) => Code("STO007"),
            Self::Io(_) => Code("STO008"),
            Self::Closed => Code("STO009"),
            Self::Unreadable(_) => Code("STO010"),
            Self::Moved(_) => Code("STO011"),
            Self::Backup(_) => Code("STO012"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => write!(f, "the store did not get to it in time; nothing was changed"),
            Self::CommitUnknown(why) => write!(f, "the store did not say whether it committed: {why}"),
            Self::CycleMoved { current } => {
                write!(f, "the node's cycle is at {current}, not where it was believed")
            }
            Self::Refused(why) => write!(f, "the store refused the change: {why}"),
            Self::Full(why) => write!(f, "the disk is full: {why}"),
            Self::Corrupt(why) => write!(f, "the store cannot be read: {why}"),
            Self::Unreadable(why) => write!(f, "a part of the store cannot be read: {why}"),
            Self::Version(why) => write!(f, "the store does not fit this program: {why}"),
            Self::Moved(why) => write!(f, "the store's files were changed while it was in use: {why}"),
            Self::Backup(why) => write!(f, "the backup cannot be used: {why}"),
            Self::Io(why) => write!(f, "the store could not be read or written: {why}"),
            Self::Closed => write!(f, "the store has been closed"),
        }
    }
}

impl std::error::Error for StoreError {}
