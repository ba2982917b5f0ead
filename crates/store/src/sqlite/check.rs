//! Looks for what the schema alone cannot rule out.

use crate::StoreError;
use crate::sqlite::Sqlite;
use crate::sqlite::codec::list;
use crate::sqlite::history::{Place, segments};
use crate::sqlite::read::Reader;
use crate::sqlite::sql::{self, of_segment};
use rusqlite::Connection;

type Result<T> = std::result::Result<T, StoreError>;

impl Sqlite {
    pub(crate) async fn check(&self) -> Result<Vec<String>> {
        self.read(Reader::check).await
    }
}

/// Every complaint, a sentence each.
pub(super) fn check(conn: &Connection) -> Result<Vec<String>> {
    let mut found = sentences(conn, sql::CHECK_INTEGRITY)?;
    found.retain(|sentence| sentence != "ok");
    found.extend(sentences(conn, sql::CHECK_REFERENCES)?);
    found.extend(sentences(conn, sql::CHECK_ROWS)?);
    for (place, segment) in segments(conn)? {
        if place != Place::Archived {
            found.extend(sentences(conn, &of_segment(sql::CHECK_SEGMENT, segment.number))?);
        }
    }
    Ok(found)
}

fn sentences(conn: &Connection, statement: &str) -> Result<Vec<String>> {
    list(&mut conn.prepare(statement)?, &[], |row| Ok(row.get(0)?))
}
