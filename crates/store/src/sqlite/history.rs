//! Segments of history in the file: the register, opening, sealing, appending.

use crate::StoreError;
use crate::segment::{Appends, Segment};
use crate::sqlite::book::Book;
use crate::sqlite::codec::{append_run, append_skip, list};
use crate::sqlite::sql::{self, of_segment};
use punctual_core::id::RunId;
use punctual_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

/// Where a segment's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, and still growing.
    Live,
    /// In the file, complete.
    Sealed,
    /// In an archive file of its own.
    Archived,
}

impl Place {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sealed => "sealed",
            Self::Archived => "archived",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        [Self::Live, Self::Sealed, Self::Archived]
            .into_iter()
            .find(|place| place.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt(format!("a segment is {text:?}")))
    }
}

/// The register of segments, the newest first.
pub(super) fn segments(conn: &Connection) -> Result<Vec<(Place, Segment)>, StoreError> {
    list(&mut *conn.prepare_cached(sql::SEGMENT_ALL)?, &[], segment)
}

fn segment(row: &Row<'_>) -> Result<(Place, Segment), StoreError> {
    let id = |column| -> Result<Option<RunId>, StoreError> {
        Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(|bytes| RunId(u128::from_be_bytes(bytes))))
    };
    let instant = |column| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    let segment = Segment {
        number: row.get(0)?,
        day: row.get(2)?,
        runs: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        skips: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
        nominal: instant(5)?.zip(instant(6)?).map(|(first, last)| first..=last),
        ids: id(7)?.zip(id(8)?).map(|(first, last)| first..=last),
        at_max: instant(9)?,
    };
    Ok((Place::parse(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?, segment))
}

/// The segment that history is appended to; a fresh store gets its first.
pub(super) fn live(conn: &Connection) -> Result<Segment, StoreError> {
    match segments(conn)?.into_iter().next() {
        Some((Place::Live, segment)) => Ok(segment),
        Some((place, segment)) => Err(StoreError::Corrupt(format!(
            "the newest segment of history, {}, is {}",
            segment.number,
            place.as_str()
        ))),
        None => {
            let create = of_segment(sql::SEGMENT_CREATE, 1);
            conn.execute_batch(&format!("BEGIN IMMEDIATE; {create} COMMIT;"))?;
            Ok(Segment::empty(1))
        }
    }
}

/// Appends to the live segment, or first seals it and opens another.
pub(super) fn append(
    conn: &Connection,
    book: &mut Book,
    rows_max: u64,
    appends: &Appends<'_>,
) -> Result<(), StoreError> {
    if appends.is_empty() {
        return Ok(());
    }
    if book.live.is_over(rows_max, appends) {
        write(conn, Place::Sealed, &book.live)?;
        book.live = Segment::empty(book.live.number + 1);
        conn.execute_batch(&of_segment(sql::SEGMENT_CREATE, book.live.number))?;
    }
    if !appends.runs.is_empty() {
        let mut statement = conn.prepare_cached(&of_segment(sql::HISTORY_RUN_INSERT, book.live.number))?;
        for run in &appends.runs {
            append_run(&mut statement, run)?;
        }
    }
    if !appends.skips.is_empty() {
        let mut statement = conn.prepare_cached(&of_segment(sql::HISTORY_SKIP_INSERT, book.live.number))?;
        for skip in appends.skips {
            append_skip(&mut statement, skip)?;
        }
    }
    book.live.add(appends);
    write(conn, Place::Live, &book.live)
}

fn write(conn: &Connection, place: Place, segment: &Segment) -> Result<(), StoreError> {
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    conn.prepare_cached(sql::SEGMENT_UPDATE)?.execute(params![
        segment.number,
        place.as_str(),
        segment.day,
        count(segment.runs),
        count(segment.skips),
        segment.nominal.as_ref().map(|n| n.start().as_micros()),
        segment.nominal.as_ref().map(|n| n.end().as_micros()),
        segment.ids.as_ref().map(|ids| ids.start().0.to_be_bytes()),
        segment.ids.as_ref().map(|ids| ids.end().0.to_be_bytes()),
        segment.at_max.map(Timestamp::as_micros),
    ])?;
    Ok(())
}

/// Removes sealed and archived segments in which everything was decided before `before`, and submitted keys that had
/// expired by then. The rows of runs and skips removed. The archiver unlinks the files that are no longer registered.
pub(super) fn prune(conn: &Connection, before: Timestamp) -> Result<u64, StoreError> {
    let mut removed = 0;
    for (place, segment) in segments(conn)? {
        if place == Place::Live || segment.at_max.is_none_or(|at| at >= before) {
            continue;
        }
        if place == Place::Sealed {
            conn.execute_batch(&of_segment(sql::SEGMENT_DROP, segment.number))?;
        }
        conn.prepare_cached(sql::SEGMENT_DELETE)?.execute([segment.number])?;
        removed += segment.runs + segment.skips;
    }
    conn.prepare_cached(sql::DEDUP_PRUNE)?.execute([before.as_micros()])?;
    Ok(removed)
}

/// Notes that a segment's archive is durable and drops its tables, unless it was pruned meanwhile.
pub(super) fn archived(conn: &Connection, number: i64, checksum: &[u8; 32]) -> Result<(), StoreError> {
    if conn.prepare_cached(sql::SEGMENT_ARCHIVED)?.execute(params![number, checksum])? == 1 {
        conn.execute_batch(&of_segment(sql::SEGMENT_DROP, number))?;
    }
    Ok(())
}
