//! Sealed segments move to files of their own, with the indexes that the live one cannot afford.
//!
//! ```text
//! sealed table ─copy in pieces→ NNNNNN.tmp ─index, fsync, rename→ NNNNNN.db ─writer: register, drop table→ archived
//! ```
//! A crash anywhere leaves a sealed table that is copied again, or a file that the register does not know and that is
//! removed. A thread of its own does it: the writer only drops the table. What fails is tried again when the next
//! segment is sealed or the store is opened, and is a complaint of the store's check until then.

use crate::StoreError;
use crate::segment::Segment;
use crate::sqlite::history::{Place, segments};
use crate::sqlite::open;
use crate::sqlite::sql::{self, of_segment};
use crate::sqlite::ticket::Ticket;
use crate::sqlite::writer::{Command, Request, Work};
use punctual_core::failpoint;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows copied in one read transaction, which must be short: the log cannot be emptied while it lasts.
const PIECE_ROWS: i64 = 20_000;

/// Read at once where a whole file is read.
pub(super) const COPY_BYTES: usize = 1 << 18;

/// What the archiver is sent.
pub(super) enum Order {
    /// Something was sealed or pruned.
    Look,
    /// Tell when all that was ordered before has been done.
    #[cfg(test)]
    Report(Sender<()>),
    Close,
}

pub(super) struct Archiver {
    pub file: PathBuf,
    pub dir: PathBuf,
    pub writes: Sender<Command>,
    pub stop: Arc<AtomicBool>,
    /// What went wrong last, for the store's check.
    pub complaint: Arc<Mutex<Option<String>>>,
}

/// Where the archive of a segment is.
pub(super) fn path(dir: &Path, number: i64) -> PathBuf {
    dir.join(format!("{number:06}.db"))
}

impl Archiver {
    /// Serves until it is told to close.
    pub fn run(self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Look => {
                    let failed = self.look().err().filter(|error| *error != StoreError::Closed);
                    *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) =
                        failed.map(|error| format!("history could not be archived: {error}"));
                }
                #[cfg(test)]
                Order::Report(done) => drop(done.send(())),
                Order::Close => return,
            }
        }
    }

    fn look(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(|error| io(&self.dir, &error))?;
        let register = segments(&open::reader(&self.file)?)?;
        self.sweep(&register)?;
        for (place, segment) in register.iter().rev() {
            if *place == Place::Sealed {
                self.copy(segment)?;
                let checksum = checksum(&path(&self.dir, segment.number))?;
                failpoint::reach("archive.before-register")
                    .map_err(|injected| StoreError::Io(injected.to_string()))?;
                self.register(segment.number, checksum)?;
            }
        }
        Ok(())
    }

    /// Removes what the register does not know: pruned archives, and what a crash left.
    fn sweep(&self, register: &[(Place, Segment)]) -> Result<()> {
        let known: Vec<PathBuf> =
            register.iter().map(|(_, segment)| path(&self.dir, segment.number)).collect();
        for entry in fs::read_dir(&self.dir).map_err(|error| io(&self.dir, &error))? {
            let found = entry.map_err(|error| io(&self.dir, &error))?.path();
            let ours = found.extension().is_some_and(|end| end == "db" || end == "tmp");
            if ours && !known.contains(&found) {
                fs::remove_file(&found).map_err(|error| io(&found, &error))?;
            }
        }
        Ok(())
    }

    fn copy(&self, segment: &Segment) -> Result<()> {
        let whole = path(&self.dir, segment.number);
        let part = whole.with_extension("tmp");
        if part.exists() {
            fs::remove_file(&part).map_err(|error| io(&part, &error))?;
        }
        open::create(&part)?;
        self.fill(&part, segment)?;
        let copy = fs::File::open(&part).map_err(|error| io(&part, &error))?;
        copy.sync_all().map_err(|error| io(&part, &error))?;
        failpoint::reach("archive.before-rename").map_err(|injected| StoreError::Io(injected.to_string()))?;
        fs::rename(&part, &whole).map_err(|error| io(&whole, &error))?;
        let dir = fs::File::open(&self.dir).map_err(|error| io(&self.dir, &error))?;
        dir.sync_all().map_err(|error| io(&self.dir, &error))
    }

    fn fill(&self, part: &Path, segment: &Segment) -> Result<()> {
        let conn = Connection::open_with_flags(
            part,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        conn.busy_timeout(open::BUSY)?;
        // Until it is renamed the copy is nobody's, so it needs no journal; it is synchronised as a whole.
        conn.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
        conn.execute_batch("PRAGMA synchronous = OFF")?;
        conn.execute("ATTACH ?1 AS store", [self.file.to_string_lossy()])?;
        conn.execute_batch(&of_segment(sql::ARCHIVE_CREATE, segment.number))?;
        self.fill_table(&conn, sql::ARCHIVE_RUNS, segment.runs, segment.number)?;
        self.fill_table(&conn, sql::ARCHIVE_SKIPS, segment.skips, segment.number)?;
        conn.execute_batch(&of_segment(sql::ARCHIVE_INDEX, segment.number))?;
        conn.close().map_err(|(_, error)| error.into())
    }

    /// Copies a table whose rows are numbered from 1 without gaps: it was only ever appended to.
    fn fill_table(&self, conn: &Connection, statement: &str, rows: u64, number: i64) -> Result<()> {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut copied = 0;
        let mut piece = conn.prepare(&of_segment(statement, number))?;
        while copied < rows {
            if self.stop.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            let taken = piece.execute([copied, copied + PIECE_ROWS])?;
            if taken == 0 {
                return Err(StoreError::Corrupt(format!("segment {number} holds fewer rows than {rows}")));
            }
            copied += i64::try_from(taken).unwrap_or(i64::MAX);
        }
        if copied == rows {
            Ok(())
        } else {
            Err(StoreError::Corrupt(format!("segment {number} holds more rows than {rows}")))
        }
    }

    /// Lets the writer register the archive and drop the table.
    fn register(&self, number: i64, checksum: [u8; 32]) -> Result<()> {
        let (ticket, answer) = Ticket::new();
        let request = Request { work: Work::Archived(number, checksum), ticket };
        self.writes.send(Command::Request(request)).map_err(|_| StoreError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed)).map(|_| ())
    }
}

/// The SHA-256 of a file. SQLite keeps no checksums of its own: in a file that never changes again, this finds every bit
/// that has.
pub(super) fn checksum(file: &Path) -> Result<[u8; 32]> {
    let mut open = fs::File::open(file).map_err(|error| io(file, &error))?;
    let mut sum = Sha256::new();
    let mut bytes = vec![0; COPY_BYTES];
    loop {
        match open.read(&mut bytes).map_err(|error| io(file, &error))? {
            0 => return Ok(sum.finalize().into()),
            read => sum.update(&bytes[..read]),
        }
    }
}

/// Opens an archive for reading; `None` if it is not there.
pub(super) fn read(dir: &Path, number: i64) -> Result<Option<Connection>> {
    let file = path(dir, number);
    if !file.exists() {
        return Ok(None);
    }
    Ok(Some(open::reader(&file)?))
}

pub(super) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    if error.kind() == std::io::ErrorKind::StorageFull {
        StoreError::Full(text)
    } else {
        StoreError::Io(text)
    }
}
