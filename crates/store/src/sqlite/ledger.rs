//! The ledger tells a store that came back: older than what was acknowledged, another one, or a copy.
//!
//! ```text
//! store/punctual.db   ledger: lineage, commits, home        in the transaction itself
//! store.receipt       lineage, commits                      after each commit, before it is answered
//! ```
//! A kill between the two leaves a receipt that is behind by one group, which is no harm; a store that is behind its
//! receipt has lost what was acknowledged. The receipt is not synchronised at each commit: it is written after the
//! store is on the disk, so that losing the machine can only make it older. It stands beside the store's directory,
//! not in it, so that whoever puts back an older store does not put back the receipt with it.
//!
//! Nothing here decides what follows: a comeback is recorded, and the engine reads it.

use crate::StoreError;
use crate::row::{Comeback, ComebackKind};
use crate::sqlite::codec::{first, list};
use crate::sqlite::sql;
use punctual_core::time::{Timestamp, micros};
use rusqlite::{Connection, Row, params};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

type Result<T> = std::result::Result<T, StoreError>;

/// Longer than any receipt.
const RECEIPT_BYTES_MAX: usize = 256;

/// What the writer keeps of it.
pub(super) struct Ledger {
    lineage: String,
    commits: u64,
    receipt: File,
    path: PathBuf,
}

/// Where the receipt of the store in a directory is: beside the directory.
pub(super) fn receipt_path(file: &Path) -> PathBuf {
    let dir = file.parent().unwrap_or(Path::new("."));
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".receipt");
    dir.with_file_name(name)
}

impl Ledger {
    /// Compares the store with its receipt and with where it was, and records what is not as it was left.
    pub fn open(conn: &Connection, file: &Path) -> Result<Self> {
        let path = receipt_path(file);
        let stored = stored(conn)?;
        let noted = Noted::read(&path)?;
        let home = home(file)?;
        match comeback(&stored, noted.as_ref(), &home) {
            Some(kind) => record(conn, &stored, kind, noted.as_ref(), &home)?,
            None if stored.home != home => _ = conn.execute(sql::LEDGER_HOME, [&home])?,
            None => {}
        }
        let Stored { lineage, commits, .. } = self::stored(conn)?;
        let receipt = create(&path, &line(&lineage, commits)).map_err(|error| io_error(&path, &error))?;
        Ok(Self { lineage, commits, receipt, path })
    }

    /// Counts the transaction that is about to be committed.
    pub fn count(conn: &Connection) -> Result<()> {
        conn.prepare_cached(sql::LEDGER_COMMIT)?.execute([])?;
        Ok(())
    }

    /// Notes a commit that is durable, before anybody is told of it.
    ///
    /// # Errors
    /// The receipt cannot be written: an older store would not be noticed.
    pub fn committed(&mut self) -> std::result::Result<(), String> {
        self.commits += 1;
        let text = line(&self.lineage, self.commits);
        self.receipt
            .write_all_at(text.as_bytes(), 0)
            .map_err(|error| format!("{} cannot be written: {error}", self.path.display()))
    }
}

/// What the store says of itself.
struct Stored {
    lineage: String,
    commits: u64,
    home: String,
}

fn stored(conn: &Connection) -> Result<Stored> {
    let read = |row: &Row<'_>| {
        let commits = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(Stored { lineage: row.get(0)?, commits, home: row.get(2)? })
    };
    first(&mut conn.prepare(sql::LEDGER_GET)?, &[], read)?
        .ok_or_else(|| StoreError::Corrupt("the store's ledger is empty".to_owned()))
}

/// What a receipt says.
struct Noted {
    lineage: String,
    commits: u64,
    /// When it was written: the instant of the last commit that was acknowledged.
    at: Timestamp,
}

impl Noted {
    /// `None` if there is no receipt, or nothing that could be one: a machine that lost its power may leave that.
    fn read(path: &Path) -> Result<Option<Self>> {
        let mut bytes = vec![0; RECEIPT_BYTES_MAX];
        let read = File::open(path).and_then(|file| {
            let length = file.read_at(&mut bytes, 0)?;
            Ok((length, file.metadata()?.modified()?))
        });
        let (length, modified) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, &error)),
        };
        let at = modified.duration_since(UNIX_EPOCH).map_or(0, micros);
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let fields: Vec<&str> = text.lines().next().unwrap_or_default().split(' ').collect();
        let ["receipt", lineage, commits] = fields[..] else { return Ok(None) };
        let Ok(commits) = commits.parse() else { return Ok(None) };
        Ok(Some(Self { lineage: lineage.to_owned(), commits, at: Timestamp::from_micros(at) }))
    }
}

/// Always as long, so that it is written in place.
fn line(lineage: &str, commits: u64) -> String {
    format!("receipt {lineage} {commits:020}\n")
}

fn create(path: &Path, text: &str) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

/// Which file it is: its number, when it was made, where it stands.
fn home(file: &Path) -> Result<String> {
    let read = std::path::absolute(file).and_then(|path| {
        let data = path.metadata()?;
        let made = data.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let made = made.map_or("-".to_owned(), |at| at.as_nanos().to_string());
        Ok(format!("{} {made} {}", data.ino(), path.display()))
    });
    read.map_err(|error| io_error(file, &error))
}

/// Whether a file is a copy: it has another number and was made at another time. Where the file system does not say when,
/// a copy is known by its place. A file that was moved keeps both.
fn is_copy(was: &str, is: &str) -> bool {
    let (mut was, mut is) = (was.splitn(3, ' '), is.splitn(3, ' '));
    if was.next() == is.next() {
        return false;
    }
    match (was.next(), is.next()) {
        (Some("-"), _) | (_, Some("-")) => was.next() != is.next(),
        (was, is) => was != is,
    }
}

fn comeback(stored: &Stored, noted: Option<&Noted>, home: &str) -> Option<ComebackKind> {
    if let Some(noted) = noted {
        if noted.lineage != stored.lineage {
            return Some(ComebackKind::Foreign);
        }
        if noted.commits > stored.commits {
            return Some(ComebackKind::Behind);
        }
    }
    (!stored.home.is_empty() && is_copy(&stored.home, home)).then_some(ComebackKind::Copied)
}

/// Writes a comeback down. From then on the store is another: it takes a new name.
fn record(
    conn: &Connection,
    stored: &Stored,
    kind: ComebackKind,
    noted: Option<&Noted>,
    home: &str,
) -> Result<()> {
    let known_until: Option<i64> = conn.query_row(sql::KNOWN_UNTIL, [], |row| row.get(0))?;
    let missing = match kind {
        ComebackKind::Behind => noted.map_or(0, |noted| noted.commits - stored.commits),
        _ => 0,
    };
    let receipt = noted.map(|noted| line(&noted.lineage, noted.commits)).unwrap_or_default();
    // A copy's original may live on: what it does is not known before somebody says so.
    let lost_until = match kind {
        ComebackKind::Behind | ComebackKind::Foreign => noted.map(|noted| noted.at.as_micros()),
        ComebackKind::Copied | ComebackKind::Restored => None,
    };
    conn.execute_batch("BEGIN IMMEDIATE")?;
    // A start that was killed before it wrote the receipt finds the same again.
    let newest = comebacks(conn)?.pop().filter(|newest| newest.accepted.is_none());
    let known = newest.is_some() && newest_receipt(conn)? == Some(receipt.clone()) && !receipt.is_empty();
    let written = (|| -> Result<()> {
        if !known {
            let missing = i64::try_from(missing).unwrap_or(i64::MAX);
            let put =
                params![kind.as_str(), missing, receipt.trim_end(), known_until.unwrap_or(0), lost_until];
            conn.execute(sql::COMEBACK_PUT, put)?;
        }
        conn.execute(sql::LEDGER_RENEW, [home])?;
        Ok(())
    })();
    conn.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    written
}

fn newest_receipt(conn: &Connection) -> Result<Option<String>> {
    let read = |row: &Row<'_>| Ok(format!("{}\n", row.get::<_, String>(3)?));
    Ok(list(&mut conn.prepare(sql::COMEBACK_ALL)?, &[], read)?.pop())
}

/// Writes down, in a store that nobody has open, that it was restored from a backup made at `made`.
pub(super) fn restored(conn: &Connection, made: Timestamp) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let written = (|| -> Result<()> {
        let kind = ComebackKind::Restored.as_str();
        conn.execute(sql::COMEBACK_PUT, params![kind, 0, "", made.as_micros(), None::<i64>])?;
        // Its home is the next place it is opened at.
        conn.execute(sql::LEDGER_RENEW, [""])?;
        Ok(())
    })();
    conn.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    written
}

/// The store's own name, and how many transactions it holds.
pub(super) fn name(conn: &Connection) -> Result<(String, u64)> {
    stored(conn).map(|stored| (stored.lineage, stored.commits))
}

/// All comebacks, the oldest first.
pub(super) fn comebacks(conn: &Connection) -> Result<Vec<Comeback>> {
    list(&mut *conn.prepare_cached(sql::COMEBACK_ALL)?, &[], |row| {
        let word: String = row.get(1)?;
        let instant = |column| -> Result<Option<Timestamp>> {
            Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
        };
        Ok(Comeback {
            number: row.get(0)?,
            kind: ComebackKind::parse(&word)
                .ok_or_else(|| StoreError::Unreadable(format!("a comeback is {word:?}")))?,
            missing: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
            known_until: instant(4)?.unwrap_or(Timestamp::EPOCH),
            lost_until: instant(5)?,
            accepted: instant(6)?,
        })
    })
}

/// Lets what came back be used. How many comebacks were not accepted before.
pub(super) fn accept(conn: &Connection, at: Timestamp) -> Result<u64> {
    Ok(conn.prepare_cached(sql::COMEBACK_ACCEPT)?.execute([at.as_micros()])? as u64)
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_is_no_copy() {
        assert!(!is_copy("7 100 /a", "7 100 /a"));
        assert!(!is_copy("7 100 /a", "7 100 /b"), "moved");
        assert!(!is_copy("7 - /a", "8 - /a"), "a file system that numbers as it likes");
        assert!(is_copy("7 100 /a", "8 200 /a"), "put back in its place");
        assert!(is_copy("7 100 /a", "8 200 /b"));
        assert!(is_copy("7 - /a", "8 - /b"));
        assert!(!is_copy("7 100 /a", "8 100 /a"), "the number changed with the mount");
    }
}
