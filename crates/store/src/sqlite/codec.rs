//! Rows to values and back. A value that the schema cannot hold is refused, one that it should not hold
//! is reported and harms no other row.

use crate::StoreError;
use crate::row::{DedupRow, JobRow, NodeRow, Pause, RevisionRow, TriggerRow};
use punctual_core::attempt::{Attempt, Class, Exit, Outcome};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::{Disposition, Reason, Skip, SkipRange};
use punctual_core::queue::rank;
use punctual_core::run::{Hold, Lease, Run, RunState, StopReason, Verdict};
use punctual_core::time::{Timestamp, micros};
use punctual_core::trigger::TriggerState;
use rusqlite::{CachedStatement, Row, ToSql, params};
use serde_json::{Value, json};
use std::time::Duration;

/// Where a trigger stands that is not in the due set.
pub const NOT_DUE: i64 = i64::MAX;

type Result<T> = std::result::Result<T, StoreError>;

pub fn list<T>(
    statement: &mut rusqlite::Statement<'_>,
    params: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub fn first<T>(
    statement: &mut rusqlite::Statement<'_>,
    params: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

fn instant(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

fn instant_or_none(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

fn bytes(row: &Row<'_>, column: usize) -> Result<u128> {
    Ok(u128::from_be_bytes(row.get::<_, [u8; 16]>(column)?))
}

fn count<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T> {
    let value: i64 = row.get(column)?;
    T::try_from(value)
        .map_err(|_| StoreError::Unreadable(format!("{value} is out of range in column {column}")))
}

fn word<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(text)
        .ok_or_else(|| StoreError::Unreadable(format!("{text:?} is none of the words that may stand here")))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `id, job, name, cursor, next_at, anchor, fired, live`
pub fn trigger(row: &Row<'_>) -> Result<TriggerRow> {
    let next_at = instant(row, 4)?;
    Ok(TriggerRow {
        id: TriggerId(row.get(0)?),
        job: JobId(row.get(1)?),
        name: row.get(2)?,
        state: TriggerState {
            cursor: instant(row, 3)?,
            next_at: (next_at.as_micros() != NOT_DUE).then_some(next_at),
            anchor: instant(row, 5)?,
            fired: count(row, 6)?,
        },
        live: row.get(7)?,
    })
}

/// `id, name, revision, paused_since, paused_reason, retired, serial, failures, owner`
pub fn job(row: &Row<'_>) -> Result<JobRow> {
    let reason: Option<String> = row.get(4)?;
    Ok(JobRow {
        id: JobId(row.get(0)?),
        name: row.get(1)?,
        revision: Revision(row.get(2)?),
        paused: instant_or_none(row, 3)?.zip(reason).map(|(since, reason)| Pause { since, reason }),
        retired: row.get(5)?,
        serial: row.get(6)?,
        failures: count(row, 7)?,
        owner: row.get(8)?,
    })
}

pub fn write_job(statement: &mut CachedStatement<'_>, job: &JobRow) -> Result<usize> {
    Ok(statement.execute(params![
        job.id.0,
        job.name,
        job.revision.0,
        job.paused.as_ref().map(|p| p.since.as_micros()),
        job.paused.as_ref().map(|p| &p.reason),
        job.retired,
        job.serial,
        job.failures,
        job.owner,
    ])?)
}

/// `job, revision, definition, at`
pub fn revision(row: &Row<'_>) -> Result<RevisionRow> {
    Ok(RevisionRow {
        job: JobId(row.get(0)?),
        revision: Revision(row.get(1)?),
        definition: row.get(2)?,
        at: instant(row, 3)?,
    })
}

/// `job, key, run, expires`
pub fn dedup(row: &Row<'_>) -> Result<DedupRow> {
    Ok(DedupRow {
        job: JobId(row.get(0)?),
        key: row.get(1)?,
        run: RunId(bytes(row, 2)?),
        expires: instant(row, 3)?,
    })
}

/// `id, host, since, cycle`
pub fn node(row: &Row<'_>) -> Result<NodeRow> {
    Ok(NodeRow {
        id: NodeId(bytes(row, 0)?),
        host: row.get(1)?,
        since: instant(row, 2)?,
        cycle: count(row, 3)?,
    })
}

/// The columns of an unfinished run, in the order of `run_by_id.sql`.
pub fn hot_run(row: &Row<'_>) -> Result<Run> {
    let fence = Fence(row.get(14)?);
    let state = match row.get::<_, i64>(7)? {
        0 => RunState::Held(word(row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?, Hold::parse)?),
        1 => RunState::Queued { due: instant(row, 9)? },
        2 => RunState::Leased(Lease {
            owner: NodeId(bytes(row, 10)?),
            fence,
            since: instant(row, 11)?,
            started: instant_or_none(row, 12)?,
            stop: row.get::<_, Option<String>>(13)?.map(|text| word(&text, StopReason::parse)).transpose()?,
        }),
        other => return Err(StoreError::Unreadable(format!("a run has state {other}"))),
    };
    let attempts: Option<String> = row.get(20)?;
    Ok(Run {
        id: RunId(bytes(row, 0)?),
        job: JobId(row.get(1)?),
        trigger: row.get::<_, Option<i64>>(2)?.map(TriggerId),
        revision: Revision(row.get(3)?),
        key: row.get(4)?,
        nominal: instant(row, 5)?,
        due: instant(row, 6)?,
        state,
        fence,
        retries: count(row, 15)?,
        losses: count(row, 16)?,
        params: row.get(17)?,
        queue: row.get(18)?,
        priority: count(row, 19)?,
        attempts: attempts.map_or(Ok(Vec::new()), |text| attempts_of(&text))?,
    })
}

/// The columns of an unfinished run that its state decides; the others are empty, as the schema demands.
struct HotState<'a> {
    state: i64,
    hold: Option<&'static str>,
    due: Option<Timestamp>,
    lease: Option<&'a Lease>,
}

impl<'a> HotState<'a> {
    fn of(run: &'a Run) -> Result<Self> {
        let empty = Self { state: 0, hold: None, due: None, lease: None };
        Ok(match &run.state {
            RunState::Held(hold) => Self { hold: Some(hold.as_str()), ..empty },
            RunState::Queued { due } => Self { state: 1, due: Some(*due), ..empty },
            RunState::Leased(lease) => Self { state: 2, lease: Some(lease), ..empty },
            RunState::Finished { .. } => {
                return Err(StoreError::Refused(format!("the run {} is finished", run.id)));
            }
        })
    }

    fn rank(&self, run: &Run) -> Option<i64> {
        self.due.map(|due| rank(due, &run.queue, run.priority).as_micros())
    }
}

/// Inserts an unfinished run; 0 rows if one of its id or key stands there.
pub fn insert_run(statement: &mut CachedStatement<'_>, run: &Run) -> Result<usize> {
    let hot = HotState::of(run)?;
    Ok(statement.execute(params![
        run.id.0.to_be_bytes(),
        run.job.0,
        run.trigger.map(|t| t.0),
        run.revision.0,
        run.key,
        run.nominal.as_micros(),
        run.due.as_micros(),
        hot.state,
        hot.hold,
        hot.due.map(Timestamp::as_micros),
        hot.rank(run),
        hot.lease.map(|l| l.owner.0.to_be_bytes()),
        hot.lease.map(|l| l.since.as_micros()),
        hot.lease.and_then(|l| l.started).map(Timestamp::as_micros),
        hot.lease.and_then(|l| l.stop).map(StopReason::as_str),
        run.fence.0,
        run.retries,
        run.losses,
        run.params,
        run.queue,
        run.priority,
        attempts_text(&run.attempts),
    ])?)
}

/// Writes what of an unfinished run may change; 0 rows if it is not there or its fence would go back.
pub fn update_run(statement: &mut CachedStatement<'_>, run: &Run) -> Result<usize> {
    let hot = HotState::of(run)?;
    Ok(statement.execute(params![
        run.id.0.to_be_bytes(),
        run.due.as_micros(),
        hot.state,
        hot.hold,
        hot.due.map(Timestamp::as_micros),
        hot.rank(run),
        hot.lease.map(|l| l.owner.0.to_be_bytes()),
        hot.lease.map(|l| l.since.as_micros()),
        hot.lease.and_then(|l| l.started).map(Timestamp::as_micros),
        hot.lease.and_then(|l| l.stop).map(StopReason::as_str),
        run.fence.0,
        run.retries,
        run.losses,
        run.params,
        run.queue,
        run.priority,
        attempts_text(&run.attempts),
    ])?)
}

/// The columns of a finished run, in the order of `history_run_by_id.sql`.
pub fn history_run(row: &Row<'_>) -> Result<Run> {
    let earlier: Option<String> = row.get(16)?;
    let mut attempts = earlier.map_or(Ok(Vec::new()), |text| attempts_of(&text))?;
    // One that the columns could not hold whole stands among those before it; see `append_run`.
    if let Some(number) = row.get::<_, Option<u32>>(17)?
        && attempts.last().is_none_or(|attempt| attempt.number != number)
    {
        attempts.push(last_attempt(row)?);
    }
    let reason: Option<String> = row.get(9)?;
    Ok(Run {
        id: RunId(bytes(row, 0)?),
        job: JobId(row.get(1)?),
        trigger: row.get::<_, Option<i64>>(2)?.map(TriggerId),
        revision: Revision(row.get(3)?),
        key: row.get(4)?,
        nominal: instant(row, 5)?,
        due: instant(row, 6)?,
        state: RunState::Finished {
            at: instant(row, 7)?,
            verdict: word(row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?, Verdict::parse)?,
            reason: reason.map(|text| word(&text, Reason::parse)).transpose()?,
        },
        fence: Fence(row.get(10)?),
        retries: count(row, 11)?,
        losses: count(row, 12)?,
        params: row.get(13)?,
        queue: row.get(14)?,
        priority: count(row, 15)?,
        attempts,
    })
}

fn last_attempt(row: &Row<'_>) -> Result<Attempt> {
    let unsigned = |column| -> Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(|value| u64::try_from(value).unwrap_or(0)))
    };
    Ok(Attempt {
        number: count(row, 17)?,
        node: NodeId(bytes(row, 18)?),
        started: instant_or_none(row, 19)?,
        finished: instant(row, 20)?,
        outcome: word(row.get_ref(21)?.as_str().map_err(rusqlite::Error::from)?, Outcome::parse)?,
        exit: Exit {
            code: row.get(22)?,
            signal: row.get(23)?,
            cpu_ms: unsigned(24)?,
            memory_bytes_max: unsigned(25)?,
            start_delay_us: unsigned(26)?,
            reason: row.get(27)?,
            class: None,
            retry_after: None,
        },
    })
}

/// Appends a finished run.
pub fn append_run(statement: &mut CachedStatement<'_>, run: &Run) -> Result<()> {
    let RunState::Finished { at, verdict, reason } = &run.state else {
        return Err(StoreError::Refused(format!("the run {} is not finished", run.id)));
    };
    // The last attempt has columns; what is seldom known of one has none, and then it stands in the text too, whole.
    let (last, text) = match run.attempts.split_last() {
        Some((last, _)) if more_of(last).is_some() => (Some(last), &run.attempts[..]),
        Some((last, earlier)) => (Some(last), earlier),
        None => (None, &[][..]),
    };
    statement.execute(params![
        run.id.0.to_be_bytes(),
        run.job.0,
        run.trigger.map(|t| t.0),
        run.revision.0,
        run.key,
        run.nominal.as_micros(),
        run.due.as_micros(),
        at.as_micros(),
        verdict.as_str(),
        reason.map(Reason::as_str),
        run.fence.0,
        run.retries,
        run.losses,
        run.params,
        run.queue,
        run.priority,
        attempts_text(text),
        last.map(|a| a.number),
        last.map(|a| a.node.0.to_be_bytes()),
        last.and_then(|a| a.started).map(Timestamp::as_micros),
        last.map(|a| a.finished.as_micros()),
        last.map(|a| a.outcome.as_str()),
        last.and_then(|a| a.exit.code),
        last.and_then(|a| a.exit.signal),
        last.and_then(|a| a.exit.cpu_ms).map(signed),
        last.and_then(|a| a.exit.memory_bytes_max).map(signed),
        last.and_then(|a| a.exit.start_delay_us).map(signed),
        last.and_then(|a| a.exit.reason.as_deref()),
    ])?;
    Ok(())
}

/// `job, trigger, revision, first, step, count, disposition, reason, at`
pub fn skip(row: &Row<'_>) -> Result<Skip> {
    let reason: Option<String> = row.get(7)?;
    Ok(Skip {
        job: JobId(row.get(0)?),
        trigger: TriggerId(row.get(1)?),
        revision: Revision(row.get(2)?),
        range: SkipRange {
            first: instant(row, 3)?,
            step: Duration::from_micros(count(row, 4)?),
            count: count(row, 5)?,
            disposition: word(row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?, Disposition::parse)?,
            reason: reason.map(|text| word(&text, Reason::parse)).transpose()?,
        },
        at: instant(row, 8)?,
    })
}

pub fn append_skip(statement: &mut CachedStatement<'_>, skip: &Skip) -> Result<()> {
    statement.execute(params![
        skip.job.0,
        skip.trigger.0,
        skip.revision.0,
        skip.range.first.as_micros(),
        micros(skip.range.step),
        signed(skip.range.count),
        skip.range.last().as_micros(),
        skip.range.disposition.as_str(),
        skip.range.reason.map(Reason::as_str),
        skip.at.as_micros(),
    ])?;
    Ok(())
}

/// What is seldom known of an attempt, as a JSON object.
fn more_of(attempt: &Attempt) -> Option<Value> {
    let Exit { class, retry_after, .. } = &attempt.exit;
    if class.is_none() && retry_after.is_none() {
        return None;
    }
    Some(json!({"class": class.map(Class::as_str), "retryAfterUs": retry_after.map(micros)}))
}

/// Attempts as a JSON array of arrays; `None` for none, which is the usual case for those before the last.
fn attempts_text(attempts: &[Attempt]) -> Option<String> {
    if attempts.is_empty() {
        return None;
    }
    let rows = attempts.iter().map(|a| {
        let mut row = json!([
            a.number,
            a.node.to_string(),
            a.started.map(Timestamp::as_micros),
            a.finished.as_micros(),
            a.outcome.as_str(),
            a.exit.code,
            a.exit.signal,
            a.exit.cpu_ms,
            a.exit.memory_bytes_max,
            a.exit.start_delay_us,
            a.exit.reason,
        ]);
        row.as_array_mut().expect("it is a list").extend(more_of(a));
        row
    });
    Some(Value::Array(rows.collect()).to_string())
}

fn attempts_of(text: &str) -> Result<Vec<Attempt>> {
    let corrupt = || StoreError::Unreadable(format!("these are not attempts: {text:.200}"));
    let rows: Vec<Vec<Value>> = serde_json::from_str(text).map_err(|_| corrupt())?;
    rows.iter().map(|row| attempt_of(row).ok_or_else(corrupt)).collect()
}

fn attempt_of(row: &[Value]) -> Option<Attempt> {
    let [number, node, started, finished, outcome, code, signal, cpu, memory, delay, reason, more @ ..] = row
    else {
        return None;
    };
    // Absent where there is nothing more to know.
    let more = |name| more.first().and_then(|more| more.get(name)).filter(|value| !value.is_null());
    let small = |value: &Value| value.as_i64().and_then(|v| i32::try_from(v).ok());
    Some(Attempt {
        number: u32::try_from(number.as_u64()?).ok()?,
        node: NodeId(u128::from_str_radix(node.as_str()?, 16).ok()?),
        started: started.as_i64().map(Timestamp::from_micros),
        finished: Timestamp::from_micros(finished.as_i64()?),
        outcome: Outcome::parse(outcome.as_str()?)?,
        exit: Exit {
            code: small(code),
            signal: small(signal),
            cpu_ms: cpu.as_u64(),
            memory_bytes_max: memory.as_u64(),
            start_delay_us: delay.as_u64(),
            reason: reason.as_str().map(str::to_owned),
            class: match more("class") {
                Some(class) => Some(Class::parse(class.as_str()?)?),
                None => None,
            },
            retry_after: match more("retryAfterUs") {
                Some(micros) => Some(Duration::from_micros(micros.as_u64()?)),
                None => None,
            },
        },
    })
}
