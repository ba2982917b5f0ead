//! Looks for what the schema alone cannot rule out.

use crate::StoreError;
use crate::segment::Segment;
use crate::sqlite::Sqlite;
use crate::sqlite::archive;
use crate::sqlite::codec::list;
use crate::sqlite::history::{Place, segments};
use crate::sqlite::read::Reader;
use crate::sqlite::sql::{self, of_segment};
use rusqlite::Connection;
use std::path::Path;
use std::sync::PoisonError;

type Result<T> = std::result::Result<T, StoreError>;

impl Sqlite {
    pub(crate) async fn check(&self) -> Result<Vec<String>> {
        let complaint = self.0.archiver_complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = self.read(Reader::check).await?;
        found.extend(complaint);
        Ok(found)
    }
}

/// Every complaint, a sentence each.
pub(super) fn check(conn: &Connection, archive_dir: &Path) -> Result<Vec<String>> {
    let mut found = sentences(conn, sql::CHECK_INTEGRITY)?;
    found.retain(|sentence| sentence != "ok");
    found.extend(sentences(conn, sql::CHECK_REFERENCES)?);
    found.extend(sentences(conn, sql::CHECK_ROWS)?);
    for (place, segment) in segments(conn)? {
        match place {
            Place::Archived => found.extend(check_archive(archive_dir, &segment)?),
            Place::Live | Place::Sealed => {
                found.extend(sentences(conn, &of_segment(sql::CHECK_SEGMENT, segment.number))?);
            }
        }
    }
    Ok(found)
}

fn sentences(conn: &Connection, statement: &str) -> Result<Vec<String>> {
    list(&mut conn.prepare(statement)?, &[], |row| Ok(row.get(0)?))
}

fn check_archive(dir: &Path, segment: &Segment) -> Result<Option<String>> {
    let file = archive::path(dir, segment.number);
    let Some(conn) = archive::read(dir, segment.number)? else {
        return Ok(Some(format!("{} is missing", file.display())));
    };
    let held = sentences(&conn, &of_segment(sql::CHECK_ARCHIVE, segment.number))?;
    let registered = [format!("ok {} {}", segment.runs, segment.skips)];
    Ok((held != registered)
        .then(|| format!("{} holds {}; registered is {}", file.display(), held.join(", "), registered[0])))
}
