//! Writes a decision, and refuses one that breaks what the store enforces.

use crate::StoreError;
use crate::ask::{Cycle, Decision, Done, Snapshot};
use crate::row::{JobRow, TriggerRow};
use crate::segment::Appends;
use crate::sqlite::book::{Book, place_of};
use crate::sqlite::{codec, history, snapshot, sql};
use punctual_core::id::{Fence, JobId, Revision, RunId, TriggerId};
use punctual_core::run::{Run, RunState};
use rusqlite::{Connection, params};
use std::borrow::Cow;
use std::collections::HashSet;

type Result<T> = std::result::Result<T, StoreError>;

/// Moves the node's cycle from the number it is believed to have to the next.
pub(super) fn move_cycle(conn: &Connection, cycle: Cycle) -> Result<()> {
    let node = cycle.node.0.to_be_bytes();
    let number = i64::try_from(cycle.number).unwrap_or(i64::MAX);
    if conn.prepare_cached(sql::NODE_CYCLE_MOVE)?.execute(params![node, number])? == 1 {
        return Ok(());
    }
    let read = |row: &rusqlite::Row<'_>| Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
    match codec::first(&mut *conn.prepare_cached(sql::NODE_CYCLE)?, &[&node], read)? {
        Some(current) => Err(StoreError::CycleMoved { current }),
        None => Err(refused(format!("the node {} is not registered", cycle.node))),
    }
}

/// Writes the decision into the writer's transaction, which the caller commits or undoes.
pub(super) fn write(
    conn: &Connection,
    book: &mut Book,
    segment_rows_max: u64,
    seen: &Snapshot,
    decision: &Decision,
) -> Result<Done> {
    jobs(conn, book, seen, decision)?;
    triggers(conn, book, seen, decision)?;
    let mut ended = runs(conn, seen, &decision.runs)?;
    let taken = runs_new(conn, &decision.runs_new, &mut ended)?;
    let appends = Appends { runs: ended, skips: &decision.skips };
    history::append(conn, book, segment_rows_max, &appends)?;
    let mut statement = conn.prepare_cached(sql::DEDUP_PUT)?;
    for row in &decision.dedup {
        let expires = row.expires.as_micros();
        statement.execute(params![row.job.0, row.key, row.run.0.to_be_bytes(), expires])?;
    }
    Ok(Done { taken })
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused(why.into())
}

fn jobs(conn: &Connection, book: &mut Book, seen: &Snapshot, decision: &Decision) -> Result<()> {
    let mut rows: Vec<&JobRow> = decision.jobs.iter().collect();
    rows.sort_by_key(|row| row.id);
    if let Some(twice) = rows.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(refused(format!("the decision names job {} twice", twice[0].id.0)));
    }
    for row in &rows {
        if (1..book.job_next).contains(&row.id.0) {
            codec::write_job(&mut conn.prepare_cached(sql::JOB_UPDATE)?, row)?;
        } else if row.id.0 == book.job_next {
            codec::write_job(&mut conn.prepare_cached(sql::JOB_INSERT)?, row)?;
            book.job_next += 1;
        } else {
            return Err(refused(format!("a new job must have number {}, not {}", book.job_next, row.id.0)));
        }
    }
    let mut statement = conn.prepare_cached(sql::REVISION_INSERT)?;
    for row in &decision.revisions {
        statement.execute(params![row.job.0, row.revision.0, row.definition, row.at.as_micros()])?;
    }
    for row in &rows {
        let known = find(&seen.jobs, &row.id, |job| job.id).is_some_and(|job| job.revision == row.revision);
        if !known && !revision_exists(conn, row.id, row.revision)? {
            return Err(refused(format!("job {} has no revision {}", row.name, row.revision.0)));
        }
    }
    Ok(())
}

/// The row with that id among rows that are ordered by it.
fn find<'a, T, K: Ord>(rows: &'a [T], id: &K, id_of: impl Fn(&T) -> K) -> Option<&'a T> {
    rows.binary_search_by(|row| id_of(row).cmp(id)).ok().map(|place| &rows[place])
}

fn revision_exists(conn: &Connection, job: JobId, revision: Revision) -> Result<bool> {
    let mut statement = conn.prepare_cached(sql::REVISION_EXISTS)?;
    Ok(statement.query_row(params![job.0, revision.0], |row| row.get(0))?)
}

fn triggers(conn: &Connection, book: &mut Book, seen: &Snapshot, decision: &Decision) -> Result<()> {
    let mut rows: Vec<&TriggerRow> = decision.triggers.iter().collect();
    rows.sort_by_key(|row| row.id);
    if let Some(twice) = rows.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(refused(format!("the decision names trigger {} twice", twice[0].id.0)));
    }
    for row in rows {
        let place = place_of(row.state.next_at)?;
        match book.place(row.id.0) {
            Some(was) => {
                let stored = stored_trigger(conn, book, seen, row)?;
                check_cursor(&stored, row, &decision.set_back)?;
                change_trigger(conn, &stored, row, was)?;
            }
            None if row.id.0 == book.trigger_next() => insert_trigger(conn, row, place)?,
            None => {
                let next = book.trigger_next();
                return Err(refused(format!("a new trigger must have number {next}, not {}", row.id.0)));
            }
        }
        book.put(row.id.0, place);
    }
    Ok(())
}

fn stored_trigger<'a>(
    conn: &Connection,
    book: &Book,
    seen: &'a Snapshot,
    row: &TriggerRow,
) -> Result<Cow<'a, TriggerRow>> {
    if let Some(stored) = find(&seen.triggers, &row.id, |trigger| trigger.id) {
        return Ok(Cow::Borrowed(stored));
    }
    let read = snapshot::trigger(conn, book, row.id)?;
    let read = read.ok_or_else(|| StoreError::Unreadable(format!("trigger {} stands nowhere", row.id.0)))?;
    Ok(Cow::Owned(read))
}

/// A cursor does not go back, unless a person said so.
pub(crate) fn check_cursor(stored: &TriggerRow, row: &TriggerRow, set_back: &[TriggerId]) -> Result<()> {
    if row.state.cursor < stored.state.cursor && !set_back.contains(&row.id) {
        return Err(refused(format!(
            "the cursor of trigger {} would go back from {} to {}",
            row.id.0, stored.state.cursor, row.state.cursor
        )));
    }
    Ok(())
}

fn change_trigger(conn: &Connection, stored: &TriggerRow, row: &TriggerRow, was: i64) -> Result<()> {
    let fixed = |t: &TriggerRow| (t.job, t.state.anchor, t.live);
    if fixed(row) != fixed(stored) || row.name != stored.name {
        conn.prepare_cached(sql::TRIGGER_UPDATE)?.execute(params![
            row.id.0,
            row.job.0,
            row.name,
            row.state.anchor.as_micros(),
            row.live
        ])?;
    }
    let place = place_of(row.state.next_at)?;
    let (cursor, fired) = (row.state.cursor.as_micros(), fired(row));
    if place == was {
        conn.prepare_cached(sql::DUE_UPDATE)?.execute(params![was, row.id.0, cursor, fired])?;
    } else {
        conn.prepare_cached(sql::DUE_DELETE)?.execute(params![was, row.id.0])?;
        conn.prepare_cached(sql::DUE_INSERT)?.execute(params![place, row.id.0, cursor, fired])?;
    }
    Ok(())
}

fn insert_trigger(conn: &Connection, row: &TriggerRow, place: i64) -> Result<()> {
    let anchor = row.state.anchor.as_micros();
    conn.prepare_cached(sql::TRIGGER_INSERT)?
        .execute(params![row.id.0, row.job.0, row.name, anchor, row.live])?;
    let cursor = row.state.cursor.as_micros();
    conn.prepare_cached(sql::DUE_INSERT)?.execute(params![place, row.id.0, cursor, fired(row)])?;
    Ok(())
}

fn fired(row: &TriggerRow) -> i64 {
    i64::try_from(row.state.fired).unwrap_or(i64::MAX)
}

/// Writes changed runs; those that ended leave the table and are returned for the history.
fn runs<'a>(conn: &Connection, seen: &Snapshot, rows: &'a [Run]) -> Result<Vec<&'a Run>> {
    let mut ended = Vec::new();
    let mut update = conn.prepare_cached(sql::RUN_UPDATE)?;
    let mut delete = conn.prepare_cached(sql::RUN_DELETE)?;
    let mut named = HashSet::with_capacity(rows.len());
    for run in rows {
        if !named.insert(run.id) {
            return Err(refused(format!("the decision changes the run {} twice", run.id)));
        }
        check_change(find(&seen.runs, &run.id, |stored| stored.id), run)?;
        let written = if run.is_finished() {
            ended.push(run);
            delete.execute([run.id.0.to_be_bytes()])?
        } else {
            codec::update_run(&mut update, run)?
        };
        if written != 1 {
            return Err(refused(format!("the run {} was not unfinished under its fence", run.id)));
        }
    }
    Ok(ended)
}

/// What may not change of a run, whoever asks.
pub(crate) fn check_change(stored: Option<&Run>, run: &Run) -> Result<()> {
    let Some(stored) = stored else {
        return Err(refused(format!("the run {} is not among the unfinished ones that were read", run.id)));
    };
    if run.fence < stored.fence {
        let (run_fence, stored_fence) = (run.fence.0, stored.fence.0);
        return Err(refused(format!(
            "the fence of the run {} would go back from {stored_fence} to {run_fence}",
            run.id
        )));
    }
    let fixed = |r: &Run| (r.job, r.trigger, r.revision, r.nominal);
    if fixed(run) != fixed(stored) || run.key != stored.key {
        return Err(refused(format!("the run {} would become that of another occurrence", run.id)));
    }
    check_lease(run)
}

/// A lease's number is its run's fence.
pub(crate) fn check_lease(run: &Run) -> Result<()> {
    match &run.state {
        RunState::Leased(lease) if lease.fence != run.fence || run.fence <= Fence(0) => {
            Err(refused(format!("the run {} is leased under a number that is not its fence", run.id)))
        }
        _ => Ok(()),
    }
}

/// Writes new runs; those that have ended already join `ended`. The ones whose key is taken are returned.
fn runs_new<'a>(conn: &Connection, rows: &'a [Run], ended: &mut Vec<&'a Run>) -> Result<Vec<RunId>> {
    let mut taken = Vec::new();
    let mut gone: HashSet<RunId> = ended.iter().map(|run| run.id).collect();
    let mut insert = conn.prepare_cached(sql::RUN_INSERT)?;
    for run in rows {
        if gone.contains(&run.id) {
            return Err(refused(format!("the run {} has ended and cannot be new", run.id)));
        }
        check_lease(run)?;
        if run.is_finished() {
            if key_taken(conn, run)? {
                taken.push(run.id);
            } else if !revision_exists(conn, run.job, run.revision)? {
                return Err(refused(format!("the run {} has no revision {}", run.id, run.revision.0)));
            } else if id_taken(conn, run)? {
                return Err(refused(format!("another run has the id {}", run.id)));
            } else {
                gone.insert(run.id);
                ended.push(run);
            }
        } else if codec::insert_run(&mut insert, run)? == 0 {
            if !key_taken(conn, run)? {
                return Err(refused(format!("another run has the id {}", run.id)));
            }
            taken.push(run.id);
        }
    }
    Ok(taken)
}

fn key_taken(conn: &Connection, run: &Run) -> Result<bool> {
    let mut statement = conn.prepare_cached(sql::RUN_KEY_EXISTS)?;
    Ok(statement.query_row(params![run.job.0, run.key], |row| row.get(0))?)
}

fn id_taken(conn: &Connection, run: &Run) -> Result<bool> {
    let mut statement = conn.prepare_cached(sql::RUN_ID_EXISTS)?;
    Ok(statement.query_row([run.id.0.to_be_bytes()], |row| row.get(0))?)
}
