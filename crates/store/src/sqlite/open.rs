//! Opening the file: the engine's version, the settings every connection has, the schema's migrations.

use crate::StoreError;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, StoreError>;

/// The schema's steps, in order. A step that has been released never changes; a test knows its checksum.
pub(super) const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/sqlite/0001_first.sql")),
    (3, include_str!("../../migrations/sqlite/0003_comeback.sql")),
];

/// The first version that cannot corrupt a file with a write-ahead log.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// "PNCT": marks the file as ours.
const APPLICATION_ID: i32 = 0x504E_4354;

/// How long a connection waits for another process before it gives up.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The writer's connection, with the schema brought up to date.
pub(super) fn writer(file: &Path) -> Result<Connection> {
    check_engine(rusqlite::version_number())?;
    create(file)?;
    let conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(BUSY)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Io(format!(
            "{} cannot have a write-ahead log (its journal is {mode}); a network file system cannot hold a store",
            file.display()
        )));
    }
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -65536;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )?;
    conn.set_prepared_statement_cache_capacity(128);
    migrate(&conn)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(conn)
}

/// A connection that can only read.
pub(super) fn reader(file: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(BUSY)?;
    conn.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

/// Creates the file, if it is missing, durably and for its owner only: definitions and parameters are nobody else's.
pub(super) fn create(file: &Path) -> Result<()> {
    let name = |error: std::io::Error| StoreError::Io(format!("{}: {error}", file.display()));
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(name)?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(file).map_err(name)?;
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(name)
}

fn check_engine(version: i32) -> Result<()> {
    if version < SQLITE_VERSION_MIN {
        return Err(StoreError::Version(format!(
            "SQLite {version} can corrupt a store; {SQLITE_VERSION_MIN} or later is needed"
        )));
    }
    Ok(())
}

/// Takes the steps that the file has not seen, all or none.
fn migrate(conn: &Connection) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let taken = migrate_to(conn, MIGRATIONS).and_then(|()| {
        punctual_core::failpoint::reach("store.migrate")
            .map_err(|injected| StoreError::Io(injected.to_string()))
    });
    conn.execute_batch(if taken.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    taken
}

fn migrate_to(conn: &Connection, steps: &[(i64, &str)]) -> Result<()> {
    let id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (tables > 0 || id != 0) {
        return Err(StoreError::Corrupt("the file is a database, but not a store of Punctual".to_owned()));
    }
    conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT",
    )?;
    let newest: Option<i64> = conn.query_row("SELECT max(number) FROM migration", [], |row| row.get(0))?;
    let known = steps.last().map_or(0, |(number, _)| *number);
    if newest.unwrap_or(0) > known {
        return Err(StoreError::Version(format!(
            "the store has schema {}, this program knows up to {known}; run the newer program",
            newest.unwrap_or(0)
        )));
    }
    for (number, step) in steps {
        let checksum = checksum(step);
        let stored: Option<String> = conn
            .query_row("SELECT checksum FROM migration WHERE number = ?1", [number], |row| row.get(0))
            .optional()?;
        match stored {
            Some(stored) if stored == checksum => {}
            Some(_) => {
                return Err(StoreError::Version(format!(
                    "the store's schema {number} is not the one this program knows; it was made by another build"
                )));
            }
            None => {
                conn.execute_batch(step)?;
                conn.execute(
                    "INSERT INTO migration (number, checksum) VALUES (?1, ?2)",
                    params![number, checksum],
                )?;
            }
        }
    }
    Ok(())
}

pub(super) fn checksum(step: &str) -> String {
    Sha256::digest(step.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Dir;
    use crate::sqlite::sql;

    #[test]
    fn every_statement_can_be_prepared() {
        let dir = Dir::new();
        let conn = writer(&dir.path().join("punctual.db")).expect("a new store");
        conn.execute_batch(&sql::of_segment(sql::SEGMENT_CREATE, 1)).expect("the first segment");
        conn.execute_batch("ATTACH ':memory:' AS store").expect("a place to copy from");
        let copied = sql::of_segment(sql::ARCHIVE_CREATE, 1).replace("CREATE TABLE ", "CREATE TABLE store.");
        conn.execute_batch(&copied).expect("the tables of an archive");
        let creating = ["segment_create", "archive_create"];
        for (file, statement) in sql::ALL.iter().filter(|(file, _)| !creating.contains(file)) {
            let lines = statement.lines().filter(|line| !line.starts_with("--"));
            let bare = sql::of_segment(&lines.collect::<Vec<_>>().join("\n"), 1);
            for single in bare.trim().split_inclusive(';') {
                if let Err(error) = conn.prepare(single) {
                    panic!("{file}.sql: {error}");
                }
            }
        }
    }
}
