//! What only the embedded store can be asked: its files, its threads, its disk.

mod archives;
mod backup;
mod comeback;
mod crash;
mod damage;
mod disk;
mod files;
mod plans;
mod threads;

use super::*;
use crate::ask::{Ask, Decision, RunFilter};
use crate::conformance::*;
use crate::{Store, StoreError};
use punctual_core::run::{Run, Verdict};

/// The embedded store itself.
fn sqlite(store: &Store) -> &Sqlite {
    match store {
        Store::Sqlite(sqlite) => sqlite,
        Store::Memory(_) => unreachable!("these tests open the embedded one"),
    }
}

fn new(runs_new: Vec<Run>) -> Decision {
    Decision { runs_new, ..Decision::default() }
}

fn everything() -> RunFilter {
    RunFilter { unfinished: true, limit: crate::RUNS_MAX, ..RunFilter::default() }
}

/// A connection beside the store, to look at or to spoil its file.
fn beside(dir: &Dir) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.path().join("punctual.db")).expect("the file is there")
}

fn ended(job: i64, number: u32, secs: i64) -> Run {
    finished(&run(job, number, secs), secs + 1, Verdict::Success)
}
