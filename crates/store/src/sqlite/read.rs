//! Reads, each in one snapshot of the file: a run that moves to history meanwhile is found once.

use crate::ask::RunFilter;
use crate::row::{Comeback, DedupRow, JobRow, NodeRow, RevisionRow, TickRecord, TriggerRow, UnfinishedCount};
use crate::segment::Segment;
use crate::sqlite::codec::{self, first, list};
use crate::sqlite::history::{Place, segments};
use crate::sqlite::sql::{self, of_segment};
use crate::sqlite::{Monotonic, archive, check, ledger, snapshot};
use crate::{RUNS_MAX, StoreError};
use punctual_core::id::{JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use rusqlite::Connection;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Result<T> = std::result::Result<T, StoreError>;

/// Instructions of SQLite's machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

/// Archives a reader keeps open.
const ARCHIVES_OPEN_MAX: usize = 8;

/// What a reader is sent.
pub(crate) enum Command {
    Read(Box<dyn FnOnce(&Reader) + Send>),
    Close,
}

/// One connection that only reads, on a thread of its own.
pub(crate) struct Reader {
    conn: Connection,
    /// Where the archives are, and those that are open, the last used first.
    archive_dir: PathBuf,
    archives: RefCell<Vec<(i64, Connection)>>,
    /// Whether the present read missed an archive that its snapshot names.
    missed: Cell<bool>,
    monotonic: Monotonic,
    time_max: Duration,
    /// When the present read has used up its time, nanoseconds of the monotonic clock.
    limit: Arc<AtomicU64>,
}

impl Reader {
    pub fn new(
        conn: Connection,
        archive_dir: PathBuf,
        monotonic: Monotonic,
        time_max: Duration,
    ) -> Result<Self> {
        let limit = Arc::new(AtomicU64::new(u64::MAX));
        let (archives, missed) = (RefCell::default(), Cell::new(false));
        let mut reader = Self { conn, archive_dir, archives, missed, monotonic, time_max, limit };
        let over = reader.over();
        reader.conn.progress_handler(LOOK_EVERY, Some(over))?;
        Ok(reader)
    }

    /// Asks, from time to time, whether the present read has used up its time.
    fn over(&self) -> impl FnMut() -> bool + Send + 'static {
        let (monotonic, limit) = (self.monotonic, Arc::clone(&self.limit));
        move || nanos(monotonic()) > limit.load(Ordering::Relaxed)
    }

    /// Serves until it is told to close or nobody can ask any more.
    pub fn run(self, commands: &Mutex<Receiver<Command>>) {
        loop {
            let next = commands.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match next {
                Ok(Command::Read(read)) => read(&self),
                Ok(Command::Close) | Err(_) => return,
            }
        }
    }

    /// Runs `read` in one read transaction that may last as long as a read may.
    pub fn in_snapshot<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<T> {
        self.missed.set(false);
        let value = self.in_one_snapshot(&read);
        // An archive that is gone was pruned since, or is lost; the next snapshot tells.
        if self.missed.get() { self.in_one_snapshot(&read) } else { value }
    }

    fn in_one_snapshot<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<T> {
        let limit = (self.monotonic)().saturating_add(self.time_max);
        self.limit.store(nanos(limit), Ordering::Relaxed);
        self.conn.execute_batch("BEGIN")?;
        let value = read(self);
        // Ending is never cut short: an open transaction would keep the log from being moved.
        self.limit.store(u64::MAX, Ordering::Relaxed);
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK")?;
        }
        value
    }

    pub fn jobs(&self) -> Result<(Vec<JobRow>, Vec<TriggerRow>)> {
        let jobs = list(&mut *self.conn.prepare_cached(sql::JOB_ALL)?, &[], codec::job)?;
        let mut triggers = list(&mut *self.conn.prepare_cached(sql::TRIGGER_ALL)?, &[], codec::trigger)?;
        triggers.sort_unstable_by_key(|trigger| trigger.id);
        Ok((jobs, triggers))
    }

    pub fn definition(&self, job: JobId, revision: Revision) -> Result<Option<RevisionRow>> {
        let mut statement = self.conn.prepare_cached(sql::REVISION_BY_NUMBER)?;
        first(&mut statement, &[&job.0, &revision.0], codec::revision)
    }

    pub fn revisions(&self, job: JobId) -> Result<Vec<RevisionRow>> {
        list(&mut *self.conn.prepare_cached(sql::REVISION_OF_JOB)?, &[&job.0], codec::revision)
    }

    pub fn run_by_id(&self, id: RunId) -> Result<Option<Run>> {
        let bytes = id.0.to_be_bytes();
        let hot = first(&mut *self.conn.prepare_cached(sql::RUN_BY_ID)?, &[&bytes], codec::hot_run)?;
        if hot.is_some() {
            return Ok(hot);
        }
        for (place, segment) in segments(&self.conn)? {
            if segment.may_hold(id) {
                let found = self.segment(place, &segment, |conn, number| {
                    let sql = of_segment(sql::HISTORY_RUN_BY_ID, number);
                    first(&mut *conn.prepare_cached(&sql)?, &[&bytes], codec::history_run)
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let limit = filter.limit.min(RUNS_MAX);
        let mut runs = Vec::new();
        if filter.unfinished && filter.verdicts.is_empty() {
            runs = match filter.job {
                Some(job) => {
                    list(&mut *self.conn.prepare_cached(sql::RUN_OF_JOB)?, &[&job.0], codec::hot_run)?
                }
                None => list(&mut *self.conn.prepare_cached(sql::RUN_ALL)?, &[], codec::hot_run)?,
            };
            runs.retain(|run| filter.spans(run.nominal));
            runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
            runs.truncate(limit);
        }
        for (place, segment) in segments(&self.conn)? {
            if runs.len() >= limit {
                break;
            }
            if segment.may_touch(filter.since, filter.until) {
                let wanted = limit - runs.len();
                runs.extend(
                    self.segment(place, &segment, |conn, number| listed(conn, number, filter, wanted))?,
                );
            }
        }
        Ok(runs)
    }

    pub fn ticks(&self, job: JobId, from: Timestamp, to: Timestamp) -> Result<TickRecord> {
        let span: [&dyn rusqlite::ToSql; 3] = [&job.0, &from.as_micros(), &to.as_micros()];
        let runs = list(&mut *self.conn.prepare_cached(sql::RUN_OF_JOB)?, &[&job.0], codec::hot_run)?;
        let mut record = TickRecord { runs, skips: Vec::new() };
        record.runs.retain(|run| run.trigger.is_some() && (from..to).contains(&run.nominal));
        for (place, segment) in segments(&self.conn)? {
            if !segment.may_touch(Some(from), Some(to)) {
                continue;
            }
            let (runs, skips) = self.segment(place, &segment, |conn, number| {
                let (runs, skips) =
                    (of_segment(sql::HISTORY_RUN_TICKS, number), of_segment(sql::HISTORY_SKIP_TICKS, number));
                Ok((
                    list(&mut *conn.prepare_cached(&runs)?, &span, codec::history_run)?,
                    list(&mut *conn.prepare_cached(&skips)?, &span, codec::skip)?,
                ))
            })?;
            record.runs.extend(runs);
            record.skips.extend(skips);
        }
        record.sort();
        Ok(record)
    }

    /// Reads from a segment, wherever it is.
    fn segment<T>(
        &self,
        place: Place,
        segment: &Segment,
        read: impl FnOnce(&Connection, i64) -> Result<T>,
    ) -> Result<T> {
        match place {
            Place::Live | Place::Sealed => read(&self.conn, segment.number),
            Place::Archived => self.archive(segment.number, read),
        }
    }

    fn archive<T>(&self, number: i64, read: impl FnOnce(&Connection, i64) -> Result<T>) -> Result<T> {
        let mut open = self.archives.borrow_mut();
        if let Some(place) = open.iter().position(|(held, _)| *held == number) {
            open[..=place].rotate_right(1);
        } else {
            let Some(mut conn) = archive::read(&self.archive_dir, number)? else {
                self.missed.set(true);
                let file = archive::path(&self.archive_dir, number);
                return Err(StoreError::Unreadable(format!("{} is missing", file.display())));
            };
            conn.progress_handler(LOOK_EVERY, Some(self.over()))?;
            open.truncate(ARCHIVES_OPEN_MAX - 1);
            open.insert(0, (number, conn));
        }
        read(&open[0].1, number)
    }

    pub fn dedup(&self, job: JobId, key: &str) -> Result<Option<DedupRow>> {
        first(&mut *self.conn.prepare_cached(sql::DEDUP_BY_JOB)?, &[&job.0, &key], codec::dedup)
    }

    pub fn nodes(&self) -> Result<Vec<NodeRow>> {
        list(&mut *self.conn.prepare_cached(sql::NODE_ALL)?, &[], codec::node)
    }

    pub fn node_cycle(&self, node: NodeId) -> Result<Option<u64>> {
        let bytes = node.0.to_be_bytes();
        first(&mut *self.conn.prepare_cached(sql::NODE_CYCLE)?, &[&bytes], |row| {
            Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
        })
    }

    pub fn unfinished_counts(&self) -> Result<Vec<UnfinishedCount>> {
        list(&mut *self.conn.prepare_cached(sql::RUN_COUNTS)?, &[], |row| {
            let count =
                |column| -> Result<u64> { Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0)) };
            Ok(UnfinishedCount {
                job: JobId(row.get(0)?),
                held: count(1)?,
                queued: count(2)?,
                leased: count(3)?,
            })
        })
    }

    pub fn earliest_due(&self) -> Result<Option<Timestamp>> {
        let trigger = snapshot::earliest(&self.conn, sql::DUE_EARLIEST)?;
        let queued = snapshot::queued_due_earliest(&self.conn)?;
        Ok(trigger.into_iter().chain(queued).min())
    }

    pub fn check(&self, depth: check::Depth) -> Result<Vec<String>> {
        check::check(&self.conn, &self.archive_dir, depth)
    }

    pub fn comebacks(&self) -> Result<Vec<Comeback>> {
        ledger::comebacks(&self.conn)
    }

    pub fn triggers_stopped(&self, after: TriggerId, limit: usize) -> Result<Vec<(TriggerRow, Revision)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        list(&mut *self.conn.prepare_cached(sql::TRIGGER_STOPPED)?, &[&after.0, &limit], |row| {
            Ok((codec::trigger(row)?, Revision(row.get(8)?)))
        })
    }

    pub fn runs_page(&self, after: RunId, limit: usize) -> Result<Vec<Run>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let after = after.0.to_be_bytes();
        list(&mut *self.conn.prepare_cached(sql::RUN_PAGE)?, &[&after, &limit], codec::hot_run)
    }

    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        first(&mut *self.conn.prepare_cached(sql::META_GET)?, &[&name], |row| Ok(row.get(0)?))
    }
}

/// The finished runs of one segment that the filter wants, the last recorded first.
fn listed(conn: &Connection, number: i64, filter: &RunFilter, wanted: usize) -> Result<Vec<Run>> {
    let verdicts = (!filter.verdicts.is_empty()).then(|| {
        serde_json::Value::from(filter.verdicts.iter().map(|v| v.as_str()).collect::<Vec<_>>()).to_string()
    });
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let statement = match filter.job {
        Some(_) => sql::HISTORY_RUN_LIST_OF_JOB,
        None => sql::HISTORY_RUN_LIST,
    };
    list(
        &mut *conn.prepare_cached(&of_segment(statement, number))?,
        &[
            &filter.job.map(|job| job.0),
            &filter.since.map(Timestamp::as_micros),
            &filter.until.map(Timestamp::as_micros),
            &verdicts,
            &wanted,
        ],
        codec::history_run,
    )
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
