//! What the writer knows without asking the file: it is the only one who writes.
//!
//! The book follows the transaction: a request that is undone, or a transaction that is lost, turns it back.

use crate::segment::Segment;
use crate::sqlite::codec::{self, NOT_DUE};
use crate::sqlite::history;
use crate::sqlite::sql;
use crate::{StoreError, sqlite::codec::first};
use rusqlite::Connection;

/// Where a slot's trigger does not exist; number 0 is never given out.
const NO_TRIGGER: i64 = i64::MIN;

pub(super) struct Book {
    /// The segment that history is appended to.
    pub live: Segment,
    /// The number of the next new job.
    pub job_next: i64,
    /// Under which `next_at` each trigger stands in `due`, by its number; numbers have no gaps.
    next_at: Vec<i64>,
    /// Slots changed in this transaction, with what they were.
    moved: Vec<(usize, i64)>,
}

/// A state of the book to turn back to.
pub(super) struct Mark {
    live: Segment,
    job_next: i64,
    triggers: usize,
    moved: usize,
}

impl Book {
    pub fn read(conn: &Connection) -> Result<Self, StoreError> {
        let mut next_at = vec![NO_TRIGGER];
        let mut statement = conn.prepare(sql::DUE_ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (trigger, at): (i64, i64) = (row.get(0)?, row.get(1)?);
            if usize::try_from(trigger) != Ok(next_at.len()) {
                return Err(StoreError::Corrupt(format!(
                    "trigger {} has no row in the due set, or more than one",
                    next_at.len()
                )));
            }
            next_at.push(at);
        }
        let job_next = first(&mut *conn.prepare_cached(sql::JOB_NEXT)?, &[], |row| Ok(row.get(0)?))?
            .expect("an aggregate has one row");
        let live = history::live(conn)?;
        Ok(Self { live, job_next, next_at, moved: Vec::new() })
    }

    /// Where trigger `id` stands in `due`, if it exists.
    pub fn place(&self, id: i64) -> Option<i64> {
        let slot = self.next_at.get(usize::try_from(id).ok()?)?;
        (*slot != NO_TRIGGER).then_some(*slot)
    }

    /// The number of the next new trigger.
    pub fn trigger_next(&self) -> i64 {
        i64::try_from(self.next_at.len()).expect("memory ends before i64 does")
    }

    /// Notes that trigger `id` stands under `next_at` now; a new one must have the next number.
    pub fn put(&mut self, id: i64, next_at: i64) {
        let slot = usize::try_from(id).expect("the caller found or numbered it");
        if slot == self.next_at.len() {
            self.next_at.push(next_at);
        } else {
            self.moved.push((slot, self.next_at[slot]));
            self.next_at[slot] = next_at;
        }
    }

    pub fn mark(&self) -> Mark {
        Mark {
            live: self.live.clone(),
            job_next: self.job_next,
            triggers: self.next_at.len(),
            moved: self.moved.len(),
        }
    }

    pub fn turn_back(&mut self, mark: &Mark) {
        self.live = mark.live.clone();
        self.job_next = mark.job_next;
        for (slot, was) in self.moved.drain(mark.moved..).rev() {
            self.next_at[slot] = was;
        }
        self.next_at.truncate(mark.triggers);
    }

    /// Forgets how to turn back: the transaction is durable. Whether it sealed a segment.
    pub fn settle(&mut self, mark: &Mark) -> bool {
        self.moved.clear();
        self.live.number != mark.live.number
    }
}

/// The place in `due` of a next instant.
///
/// # Errors
/// The instant is the one that stands for "not in the due set".
pub(super) fn place_of(next_at: Option<punctual_core::time::Timestamp>) -> Result<i64, StoreError> {
    match next_at.map(punctual_core::time::Timestamp::as_micros) {
        None => Ok(codec::NOT_DUE),
        Some(NOT_DUE) => Err(StoreError::Refused("a trigger's next instant lies beyond all time".to_owned())),
        Some(at) => Ok(at),
    }
}
