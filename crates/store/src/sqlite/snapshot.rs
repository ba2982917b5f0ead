//! Reads what a decision must see, inside the writer's transaction.

use crate::StoreError;
use crate::ask::{Ask, Snapshot};
use crate::row::{JobRow, TriggerRow};
use crate::sqlite::book::Book;
use crate::sqlite::{codec, sql};
use punctual_core::id::{JobId, RunId, TriggerId};
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

type Result<T> = std::result::Result<T, StoreError>;

/// Reads the snapshot of `ask`. The writer's transaction is the lock: nobody else writes.
pub(super) fn read(conn: &Connection, book: &Book, ask: &Ask) -> Result<Snapshot> {
    let mut reader =
        Reader { conn, book, jobs: BTreeMap::new(), triggers: BTreeMap::new(), runs: BTreeMap::new() };
    let due = reader.due(ask)?;
    let queued = reader.queued(ask)?;
    reader.runs_asked(ask)?;
    reader.jobs_asked(ask)?;
    reader.jobs_mentioned()?;
    reader.runs_of_serial_jobs()?;
    let mut dedup = Vec::new();
    let mut statement = conn.prepare_cached(sql::DEDUP_BY_NAME)?;
    for (job, key) in &ask.dedup {
        dedup.extend(codec::first(&mut statement, &[job, key], codec::dedup)?);
    }
    Ok(Snapshot {
        jobs: reader.jobs.into_values().collect(),
        triggers: reader.triggers.into_values().collect(),
        due,
        runs: reader.runs.into_values().collect(),
        queued,
        dedup,
        job_id_next: book.job_next,
        trigger_id_next: book.trigger_next(),
    })
}

struct Reader<'a> {
    conn: &'a Connection,
    book: &'a Book,
    jobs: BTreeMap<JobId, JobRow>,
    triggers: BTreeMap<TriggerId, TriggerRow>,
    runs: BTreeMap<RunId, Run>,
}

impl Reader<'_> {
    fn due(&mut self, ask: &Ask) -> Result<Vec<TriggerId>> {
        let Some((at, limit)) = ask.due else { return Ok(Vec::new()) };
        let mut statement = self.conn.prepare_cached(sql::DUE_READ)?;
        let rows = codec::list(&mut statement, &[&at.as_micros(), &bound(limit)], codec::trigger)?;
        let order = rows.iter().map(|row| row.id).collect();
        self.triggers.extend(rows.into_iter().map(|row| (row.id, row)));
        Ok(order)
    }

    fn queued(&mut self, ask: &Ask) -> Result<Vec<RunId>> {
        let Some((at, limit)) = ask.queued else { return Ok(Vec::new()) };
        // Without this the walk below would pass by every run that is queued for later.
        if queued_due_earliest(self.conn)?.is_none_or(|first| first > at) {
            return Ok(Vec::new());
        }
        let mut statement = self.conn.prepare_cached(sql::RUN_QUEUED)?;
        let rows = codec::list(&mut statement, &[&at.as_micros(), &bound(limit)], codec::hot_run)?;
        let order = rows.iter().map(|run| run.id).collect();
        self.take_runs(rows);
        Ok(order)
    }

    fn runs_asked(&mut self, ask: &Ask) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql::RUN_BY_ID)?;
        for id in &ask.runs {
            if let Some(run) = codec::first(&mut statement, &[&id.0.to_be_bytes()], codec::hot_run)? {
                self.runs.insert(run.id, run);
            }
        }
        if let Some(node) = ask.leased_by_others_than {
            let mut statement = self.conn.prepare_cached(sql::RUN_LEASED_ELSEWHERE)?;
            let rows = codec::list(&mut statement, &[&node.0.to_be_bytes()], codec::hot_run)?;
            self.take_runs(rows);
        }
        Ok(())
    }

    fn take_runs(&mut self, rows: Vec<Run>) {
        self.runs.extend(rows.into_iter().map(|run| (run.id, run)));
    }

    fn jobs_asked(&mut self, ask: &Ask) -> Result<()> {
        let mut asked = Vec::new();
        if ask.jobs_all {
            asked = codec::list(&mut *self.conn.prepare_cached(sql::JOB_ALL)?, &[], codec::job)?;
            let rows = codec::list(&mut *self.conn.prepare_cached(sql::TRIGGER_ALL)?, &[], codec::trigger)?;
            self.triggers.extend(rows.into_iter().map(|row| (row.id, row)));
        } else {
            let mut by_id = self.conn.prepare_cached(sql::JOB_BY_ID)?;
            for id in &ask.jobs {
                asked.extend(codec::first(&mut by_id, &[&id.0], codec::job)?);
            }
            let mut by_name = self.conn.prepare_cached(sql::JOB_BY_NAME)?;
            for name in &ask.job_names {
                asked.extend(codec::first(&mut by_name, &[name], codec::job)?);
            }
            for job in &asked {
                self.triggers_of(job.id)?;
            }
        }
        self.jobs.extend(asked.into_iter().map(|job| (job.id, job)));
        Ok(())
    }

    fn triggers_of(&mut self, job: JobId) -> Result<()> {
        let mut ids = self.conn.prepare_cached(sql::TRIGGER_IDS_OF_JOB)?;
        for id in codec::list(&mut ids, &[&job.0], |row| Ok(TriggerId(row.get(0)?)))? {
            if !self.triggers.contains_key(&id) {
                let row = trigger(self.conn, self.book, id)?
                    .ok_or_else(|| StoreError::Unreadable(format!("trigger {} stands nowhere", id.0)))?;
                self.triggers.insert(id, row);
            }
        }
        Ok(())
    }

    fn jobs_mentioned(&mut self) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql::JOB_BY_ID)?;
        let of_triggers = self.triggers.values().map(|trigger| trigger.job);
        for id in of_triggers.chain(self.runs.values().map(|run| run.job)) {
            if let Entry::Vacant(place) = self.jobs.entry(id) {
                let job = codec::first(&mut statement, &[&id.0], codec::job)?
                    .ok_or_else(|| StoreError::Unreadable(format!("job {} is missing", id.0)))?;
                place.insert(job);
            }
        }
        Ok(())
    }

    fn runs_of_serial_jobs(&mut self) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql::RUN_OF_JOB)?;
        for job in self.jobs.values().filter(|job| job.serial) {
            let rows = codec::list(&mut statement, &[&job.id.0], codec::hot_run)?;
            self.runs.extend(rows.into_iter().map(|run| (run.id, run)));
        }
        Ok(())
    }
}

/// One trigger as it stands.
pub(super) fn trigger(conn: &Connection, book: &Book, id: TriggerId) -> Result<Option<TriggerRow>> {
    let Some(place) = book.place(id.0) else { return Ok(None) };
    codec::first(&mut *conn.prepare_cached(sql::TRIGGER_BY_ID)?, &[&id.0, &place], codec::trigger)
}

/// The earliest due instant of the queued runs.
pub(super) fn queued_due_earliest(conn: &Connection) -> Result<Option<Timestamp>> {
    earliest(conn, sql::RUN_DUE_EARLIEST)
}

/// The one instant that `statement` answers with, or none.
pub(super) fn earliest(conn: &Connection, statement: &str) -> Result<Option<Timestamp>> {
    let read = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros));
    Ok(codec::first(&mut *conn.prepare_cached(statement)?, &[], read)?.flatten())
}

fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
