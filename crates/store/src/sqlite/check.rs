//! Looks for what the schema alone cannot rule out.

use crate::StoreError;
use crate::segment::Segment;
use crate::sqlite::Sqlite;
use crate::sqlite::archive;
use crate::sqlite::codec::list;
use crate::sqlite::history::{Place, segments};
use crate::sqlite::open;
use crate::sqlite::sql::{self, of_segment};
use rusqlite::Connection;
use std::path::Path;
use std::sync::PoisonError;

type Result<T> = std::result::Result<T, StoreError>;

/// A file of more pages is not read from end to end by a shallow check: 64 MiB.
const PAGES_SHALLOW_MAX: i64 = 16_384;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What takes a moment: the rows' agreement with each other, the archives' presence, the pages of a small file.
    Shallow,
    /// Every page, every index, every archive.
    Deep,
}

/// Checks the store in `dir` from outside, whether or not a process has it open, for as long as it takes.
///
/// # Errors
/// It cannot be read.
pub fn inspect(dir: &Path, depth: Depth) -> Result<Vec<String>> {
    let conn = open::reader(&dir.join("punctual.db"))?;
    check(&conn, &dir.join("history"), depth)
}

impl Sqlite {
    pub(crate) async fn check(&self, depth: Depth) -> Result<Vec<String>> {
        let mut found = self.read(move |reader| reader.check(depth)).await?;
        for complaint in [&self.0.archiver_complaint, &self.0.writer_complaint] {
            found.extend(complaint.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        Ok(found)
    }
}

/// Every complaint, a sentence each.
pub(super) fn check(conn: &Connection, archive_dir: &Path, depth: Depth) -> Result<Vec<String>> {
    let pages: i64 = conn.query_row(sql::PAGE_COUNT, [], |row| row.get(0))?;
    let mut found = match depth {
        Depth::Deep => sentences(conn, sql::CHECK_INTEGRITY)?,
        Depth::Shallow if pages <= PAGES_SHALLOW_MAX => sentences(conn, sql::CHECK_QUICK)?,
        Depth::Shallow => Vec::new(),
    };
    found.retain(|sentence| sentence != "ok");
    found.extend(sentences(conn, sql::CHECK_REFERENCES)?);
    found.extend(sentences(conn, sql::CHECK_ROWS)?);
    for (place, segment) in segments(conn)? {
        match (place, depth) {
            (Place::Archived, Depth::Deep) => {
                found.extend(check_archive(archive_dir, &segment, checksum(conn, segment.number)?)?);
            }
            (Place::Archived, Depth::Shallow) => {
                let file = archive::path(archive_dir, segment.number);
                found.extend((!file.exists()).then(|| format!("{} is missing", file.display())));
            }
            (Place::Live | Place::Sealed, Depth::Deep) => {
                found.extend(sentences(conn, &of_segment(sql::CHECK_SEGMENT, segment.number))?);
            }
            (Place::Live | Place::Sealed, Depth::Shallow) => {}
        }
    }
    Ok(found)
}

/// The checksum that the archive of a segment had when it was made.
pub(super) fn checksum(conn: &Connection, segment: i64) -> Result<Option<[u8; 32]>> {
    Ok(conn.query_row(sql::SEGMENT_CHECKSUM, [segment], |row| row.get(0))?)
}

/// What is wrong with the pages.
pub(super) fn quick(conn: &Connection) -> Result<Vec<String>> {
    let mut found = sentences(conn, sql::CHECK_QUICK)?;
    found.retain(|sentence| sentence != "ok");
    Ok(found)
}

fn sentences(conn: &Connection, statement: &str) -> Result<Vec<String>> {
    list(&mut conn.prepare(statement)?, &[], |row| Ok(row.get(0)?))
}

fn check_archive(dir: &Path, segment: &Segment, checksum: Option<[u8; 32]>) -> Result<Option<String>> {
    let file = archive::path(dir, segment.number);
    if let Some(checksum) = checksum.filter(|_| file.exists())
        && archive::checksum(&file)? != checksum
    {
        return Ok(Some(format!(
            "{} has changed since it was written; its disk may be failing",
            file.display()
        )));
    }
    let Some(conn) = archive::read(dir, segment.number)? else {
        return Ok(Some(format!("{} is missing", file.display())));
    };
    let held = sentences(&conn, &of_segment(sql::CHECK_ARCHIVE, segment.number))?;
    let registered = [format!("ok {} {}", segment.runs, segment.skips)];
    Ok((held != registered)
        .then(|| format!("{} holds {}; registered is {}", file.display(), held.join(", "), registered[0])))
}
