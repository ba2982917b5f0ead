//! The embedded store: one file, one writer thread, and reader threads with connections of their own.
//!
//! All writes go through one channel. What waits in it becomes one transaction (`writer.rs`), with a savepoint for
//! each request, and is answered once `COMMIT`, and so the disk, has returned. The engine holds the lock of the
//! data directory, so no other process writes.

mod archive;
mod backup;
mod book;
mod check;
mod codec;
mod fault;
mod files;
mod history;
mod ledger;
mod open;
mod read;
mod snapshot;
mod sql;
#[cfg(test)]
mod tests;
mod ticket;
mod write;
mod writer;

pub use backup::{Manifest, back_up, restore};
pub use check::{Depth, inspect};
pub(crate) use write::{check_change, check_cursor, check_lease};
pub(crate) use writer::decide_contained;

use crate::StoreError;
use crate::segment::SEGMENT_ROWS_MAX;
use archive::{Archiver, Order};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use ticket::{Answer, Ticket, Watch};
use tokio::sync::oneshot;
use writer::{Command, Request, Work, Writer};

/// A clock that never goes back, from any start. The store has none of its own.
pub type Monotonic = fn() -> Duration;

/// What SQLite reads and writes at once, unless it was told otherwise when the file was made.
const PAGE_BYTES: u64 = 4096;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// What deadlines and time limits are measured by.
    pub monotonic: Monotonic,
    /// A segment of history is sealed when it has so many rows (or its day has ended).
    pub segment_rows_max: u64,
    /// Connections that read; one long read then does not keep the others waiting.
    pub readers: usize,
    /// A read is given up after so long: an open one keeps the log from being emptied.
    pub read_time_max: Duration,
    /// The log is moved into the file when it is longer than this, bytes.
    pub log_bytes_max: u64,
    /// The file may not grow beyond this, pages of 4 KiB; `None`: the disk's end. For tests of a full disk.
    pub pages_max: Option<u32>,
}

impl SqliteOptions {
    /// The usual options, on this clock.
    pub fn new(monotonic: Monotonic) -> Self {
        Self {
            monotonic,
            segment_rows_max: SEGMENT_ROWS_MAX,
            readers: 2,
            read_time_max: Duration::from_secs(10),
            log_bytes_max: 8 << 20,
            pages_max: None,
        }
    }
}

/// The embedded store. Clones are the same store; the last one closes it.
#[derive(Clone)]
pub struct Sqlite(Arc<Shared>);

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("file", &self.0.file).finish_non_exhaustive()
    }
}

struct Shared {
    file: PathBuf,
    writes: Sender<Command>,
    reads: Sender<read::Command>,
    archiver: Sender<Order>,
    archiver_stop: Arc<AtomicBool>,
    archiver_complaint: Arc<Mutex<Option<String>>>,
    writer_complaint: Arc<Mutex<Option<String>>>,
    watch: Arc<Watch>,
    monotonic: Monotonic,
    readers: usize,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    writer: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl Sqlite {
    pub(crate) fn open(dir: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let file = dir.join("punctual.db");
        let archives = dir.join("history");
        let (writes, written) = channel();
        let (reads, read) = channel();
        let (archiver, orders) = channel();
        let writer = writer(&file, options, archiver.clone())?;
        let writer_complaint = Arc::clone(&writer.complaint);
        let writer = Some(spawn("store-writer", move || writer.run(&written))?);
        let mut threads = Threads { writer, others: Vec::new() };
        let read = Arc::new(Mutex::new(read));
        for _ in 0..options.readers.max(1) {
            let conn = open::reader(&file)?;
            let time_max = options.read_time_max;
            let reader = read::Reader::new(conn, archives.clone(), options.monotonic, time_max)?;
            let read = Arc::clone(&read);
            threads.others.push(spawn("store-reader", move || reader.run(&read))?);
        }
        let watch = Arc::new(Watch::default());
        let (watching, monotonic) = (Arc::clone(&watch), options.monotonic);
        threads.others.push(spawn("store-watch", move || watching.run(monotonic))?);
        let archiver_stop = Arc::new(AtomicBool::new(false));
        let archiver_complaint = Arc::new(Mutex::new(None));
        let archiving = Archiver {
            file: file.clone(),
            dir: archives,
            writes: writes.clone(),
            stop: Arc::clone(&archiver_stop),
            complaint: Arc::clone(&archiver_complaint),
        };
        threads.others.push(spawn("store-archiver", move || archiving.run(&orders))?);
        // What an earlier process left undone.
        let _ = archiver.send(Order::Look);
        Ok(Self(Arc::new(Shared {
            file,
            writes,
            reads,
            archiver,
            archiver_stop,
            archiver_complaint,
            writer_complaint,
            watch,
            monotonic,
            readers: options.readers.max(1),
            threads: Mutex::new(threads),
        })))
    }

    /// Sends a write; the answer comes once it is durable, or at the deadline.
    async fn write(&self, work: Work, deadline: Duration) -> Result<Answer, StoreError> {
        let (ticket, answer) = Ticket::new();
        let end = (self.0.monotonic)().saturating_add(deadline);
        let place = self.0.watch.add(end, &ticket).ok_or(StoreError::Deadline)?;
        let sent = self.0.writes.send(Command::Request(Request { work, ticket }));
        let answer = match sent {
            Ok(()) => answer.await.unwrap_or(Err(StoreError::Closed)),
            Err(_) => Err(StoreError::Closed),
        };
        self.0.watch.remove(place);
        answer
    }

    /// Runs `read` on a reader's thread, in one snapshot.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&read::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |reader: &read::Reader| {
            // The caller may have gone.
            let _ = reply.send(reader.in_snapshot(read));
        });
        self.0.reads.send(read::Command::Read(work)).map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// Waits until what was sealed by now has been archived.
    #[cfg(test)]
    pub(crate) fn archive_now(&self) {
        let (done, told) = channel();
        for order in [Order::Look, Order::Report(done)] {
            self.0.archiver.send(order).expect("the archiver runs as long as the store");
        }
        told.recv().expect("it reports");
    }
}

/// What only writes; reads are in `read`.
impl Sqlite {
    pub(crate) async fn transact(
        &self,
        ask: crate::Ask,
        deadline: Duration,
        decide: crate::Decide,
    ) -> Result<crate::Done, StoreError> {
        match self.write(Work::Transact(Box::new(ask), decide), deadline).await? {
            Answer::Done(done) => Ok(done),
            Answer::Removed(_) => unreachable!("a decision is answered with what came of it"),
        }
    }

    pub(crate) async fn register_node(
        &self,
        node: crate::row::NodeRow,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        self.write(Work::Register(node), deadline).await.map(|_| ())
    }

    pub(crate) async fn meta_set(
        &self,
        name: String,
        value: String,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        self.write(Work::MetaPut(name, value), deadline).await.map(|_| ())
    }

    pub(crate) async fn prune_history(
        &self,
        before: punctual_core::time::Timestamp,
        deadline: Duration,
    ) -> Result<u64, StoreError> {
        match self.write(Work::Prune(before), deadline).await? {
            Answer::Removed(rows) => Ok(rows),
            Answer::Done(_) => unreachable!("pruning is answered with a count"),
        }
    }
}

impl Sqlite {
    pub(crate) async fn accept_comebacks(
        &self,
        at: punctual_core::time::Timestamp,
        deadline: Duration,
    ) -> Result<u64, StoreError> {
        match self.write(Work::Accept(at), deadline).await? {
            Answer::Removed(count) => Ok(count),
            Answer::Done(_) => unreachable!("accepting is answered with a count"),
        }
    }
}

/// The writer, with the file open and its schema up to date.
fn writer(file: &Path, options: SqliteOptions, archiver: Sender<Order>) -> Result<Writer, StoreError> {
    let mut conn = open::writer(file)?;
    if let Some(pages) = options.pages_max {
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    let wal_frames = Arc::new(AtomicI32::new(0));
    let seen = Arc::clone(&wal_frames);
    conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames| {
        seen.store(frames, Ordering::Relaxed);
        Ok(())
    }))?;
    let ledger = ledger::Ledger::open(&conn, file)?;
    let book = book::Book::read(&conn)?;
    Ok(Writer {
        files: files::Files::note(file),
        complaint: Arc::default(),
        conn,
        book,
        ledger,
        segment_rows_max: options.segment_rows_max,
        wal_frames,
        wal_frames_max: i32::try_from(options.log_bytes_max / PAGE_BYTES).unwrap_or(i32::MAX),
        archiver,
        look: false,
        dead: None,
    })
}

impl Shared {
    /// The writer ends last: only the last connection can bring the log home.
    fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        self.archiver_stop.store(true, Ordering::Relaxed);
        // A send fails only where the thread has ended already.
        let _ = self.archiver.send(Order::Close);
        for _ in 0..self.readers {
            let _ = self.reads.send(read::Command::Close);
        }
        self.watch.close();
        // A panic in a thread was reported by it; the store is closed either way.
        threads.others.into_iter().for_each(|thread| drop(thread.join()));
        let _ = self.writes.send(Command::Close);
        threads.writer.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Io(format!("a thread could not be started: {error}")))
}
