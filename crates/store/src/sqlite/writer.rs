//! The writer: one thread, one transaction for all that waits, answers after the disk has it.
//!
//! Each request has a savepoint: one that is refused undoes itself and nothing else. What loses the transaction
//! loses it for all; if that was for want of space, each is tried once more alone. After an error of the disk
//! nothing is written any more: what it holds is unknown until the process has been started again.

use crate::ask::{Ask, Decide, Decision, Snapshot};
use crate::row::NodeRow;
use crate::sqlite::archive::Order;
use crate::sqlite::book::Book;
use crate::sqlite::fault::{ends_writing, loses_transaction};
use crate::sqlite::files::{Files, Gone};
use crate::sqlite::ledger::{self, Ledger};
use crate::sqlite::ticket::{Answer, Ticket};
use crate::sqlite::{history, snapshot, sql, write};
use crate::{Done, StoreError};
use punctual_core::error::panic_text;
use punctual_core::failpoint;
use punctual_core::time::Timestamp;
use rusqlite::{Connection, params};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

type Result<T> = std::result::Result<T, StoreError>;

/// Requests that share a transaction, at most.
const GROUP_MAX: usize = 256;

/// What the writer is sent.
pub(super) enum Command {
    Request(Request),
    Close,
}

pub(super) struct Request {
    pub work: Work,
    pub ticket: Arc<Ticket>,
}

/// What a request wants written.
pub(super) enum Work {
    Transact(Box<Ask>, Decide),
    Register(NodeRow),
    MetaPut(String, String),
    Prune(Timestamp),
    /// The segment's archive is durable, and has this checksum.
    Archived(i64, [u8; 32]),
    Accept(Timestamp),
}

pub(super) struct Writer {
    pub conn: Connection,
    pub book: Book,
    pub ledger: Ledger,
    pub files: Files,
    /// What the store's check must say of the writer.
    pub complaint: Arc<Mutex<Option<String>>>,
    pub segment_rows_max: u64,
    /// Frames in the write-ahead log after the last commit.
    pub wal_frames: Arc<AtomicI32>,
    pub wal_frames_max: i32,
    pub archiver: Sender<Order>,
    /// Whether the archiver has something to do once the transaction is durable.
    pub look: bool,
    /// Why nothing is written any more.
    pub dead: Option<StoreError>,
}

impl Writer {
    /// Serves until it is told to close or nobody can ask any more.
    pub fn run(mut self, commands: &Receiver<Command>) {
        let mut open = true;
        while open && let Ok(first) = commands.recv() {
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Request(request) => group.push(request),
                    Command::Close => open = false,
                }
                next = if open && group.len() < GROUP_MAX { commands.try_recv().ok() } else { None };
            }
            group.retain(|request| request.ticket.start());
            self.serve(&mut group);
            self.checkpoint();
        }
        // A failure leaves the log, which the next start reads.
        if self.dead.is_none() && failpoint::reach("store.close").is_ok() {
            let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let _ = self.conn.close();
    }

    fn serve(&mut self, group: &mut [Request]) {
        if group.is_empty() {
            return;
        }
        match self.commit(group) {
            Ok(mut answers) => {
                if let Err(injected) = failpoint::reach("store.after-commit") {
                    answers.fill(Err(StoreError::CommitUnknown(injected.to_string())));
                }
                for (request, answer) in group.iter().zip(answers) {
                    request.ticket.answer(answer);
                }
            }
            Err(StoreError::Full(_)) if group.len() > 1 => {
                for alone in 0..group.len() {
                    self.serve(&mut group[alone..=alone]);
                }
            }
            Err(error) => {
                if ends_writing(&error) {
                    self.dead = Some(error.clone());
                }
                group.iter().for_each(|request| request.ticket.answer(Err(error.clone())));
            }
        }
    }

    /// One transaction for the group: the answers are true once this returns.
    fn commit(&mut self, group: &mut [Request]) -> Result<Vec<Result<Answer>>> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        self.look_at_files()?;
        failpoint::reach("store.before-begin").map_err(|injected| StoreError::Full(injected.to_string()))?;
        let mark = self.book.mark();
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let answers = self.write_all(group).and_then(|answers| {
            Ledger::count(&self.conn)?;
            failpoint::reach("store.before-commit")
                .map_err(|injected| StoreError::Io(injected.to_string()))?;
            self.conn.execute_batch("COMMIT")?;
            Ok(answers)
        });
        if answers.is_ok() {
            let complaint = self.ledger.committed().err();
            *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = complaint;
            if self.book.settle(&mark) || self.look {
                // Its thread ends only after this one.
                let _ = self.archiver.send(Order::Look);
            }
            self.look = false;
        } else {
            self.book.turn_back(&mark);
            // Some errors have already rolled it back.
            if !self.conn.is_autocommit() {
                self.conn.execute_batch("ROLLBACK")?;
            }
        }
        answers
    }

    /// Refuses to write where nobody would ever read. A log that was deleted is still open: what was acknowledged is
    /// brought home into the store's file before the process ends.
    fn look_at_files(&mut self) -> Result<()> {
        match self.files.gone() {
            None => Ok(()),
            Some(Gone::Store(error)) => Err(error),
            Some(Gone::Log(error)) => {
                self.conn.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?;
                Err(error)
            }
        }
    }

    fn write_all(&mut self, group: &mut [Request]) -> Result<Vec<Result<Answer>>> {
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            let mark = self.book.mark();
            self.conn.prepare_cached("SAVEPOINT request")?.execute([])?;
            let answer = self.write(&mut request.work);
            if let Err(error) = &answer {
                if loses_transaction(error) {
                    return Err(error.clone());
                }
                self.book.turn_back(&mark);
                self.conn.prepare_cached("ROLLBACK TO request")?.execute([])?;
            }
            self.conn.prepare_cached("RELEASE request")?.execute([])?;
            answers.push(answer);
        }
        Ok(answers)
    }

    fn write(&mut self, work: &mut Work) -> Result<Answer> {
        match work {
            Work::Transact(ask, decide) => self.transact(ask, decide).map(Answer::Done),
            Work::Register(node) => {
                let cycle = i64::try_from(node.cycle).unwrap_or(i64::MAX);
                let mut statement = self.conn.prepare_cached(sql::NODE_PUT)?;
                statement.execute(params![
                    node.id.0.to_be_bytes(),
                    node.host,
                    node.since.as_micros(),
                    cycle
                ])?;
                Ok(Answer::Done(Done::default()))
            }
            Work::MetaPut(name, value) => {
                self.conn.prepare_cached(sql::META_PUT)?.execute(params![&**name, &**value])?;
                Ok(Answer::Done(Done::default()))
            }
            Work::Prune(before) => {
                self.look = true;
                let removed = history::prune(&self.conn, *before).map(Answer::Removed);
                failpoint::reach("store.prune")
                    .map_err(|injected| StoreError::Refused(injected.to_string()))?;
                removed
            }
            Work::Archived(number, checksum) => {
                history::archived(&self.conn, *number, checksum)?;
                Ok(Answer::Done(Done::default()))
            }
            Work::Accept(at) => ledger::accept(&self.conn, *at).map(Answer::Removed),
        }
    }

    fn transact(&mut self, ask: &Ask, decide: &mut Decide) -> Result<Done> {
        if let Some(cycle) = ask.cycle {
            write::move_cycle(&self.conn, cycle)?;
        }
        let seen = snapshot::read(&self.conn, &self.book, ask)?;
        let decision = decide_contained(decide, &seen)?;
        failpoint::reach("store.after-decide")
            .map_err(|injected| StoreError::Refused(injected.to_string()))?;
        write::write(&self.conn, &mut self.book, self.segment_rows_max, &seen, &decision)
    }

    /// Moves the log into the file once it is long. Only here, between transactions: a second connection would
    /// never find the log of a busy store at rest.
    fn checkpoint(&mut self) {
        if self.wal_frames.load(Ordering::Relaxed) < self.wal_frames_max || self.dead.is_some() {
            return;
        }
        let moved = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match moved.map_err(StoreError::from) {
            Ok(()) => self.wal_frames.store(0, Ordering::Relaxed),
            // The log stays whole, so nothing is lost; it is tried again after the next transaction.
            Err(error) if ends_writing(&error) => self.dead = Some(error),
            Err(_) => {}
        }
    }
}

/// The decision; a panic in it is the caller's, and refuses the caller's request only.
pub(crate) fn decide_contained(decide: &mut Decide, seen: &Snapshot) -> Result<Decision> {
    catch_unwind(AssertUnwindSafe(|| decide(seen))).map_err(|panic| {
        StoreError::Refused(format!("the decision panicked: {}", panic_text(panic.as_ref())))
    })
}
