//! The output of an attempt, a piece at a time. Following is asking again from where the last piece ended.

use crate::error::{ApiError, NO_LOG};
use crate::request::{Params, Segment};
use crate::routes::runs::resolve;
use crate::{LOG_ABSENT_HEADER, LOG_ATTEMPT_HEADER, LOG_ENDED_HEADER, LOG_OFFSET_HEADER};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use punctual_core::run::{Run, RunState};
use punctual_engine::retention::may_be_pruned;
use punctual_engine::shared::Engine;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// The most bytes in one answer.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Which attempt; by default the newest.
    attempt: Option<u32>,
    /// From which byte.
    #[serde(default)]
    offset: u64,
}

pub async fn read(
    State(engine): State<Engine>,
    Segment(id): Segment,
    Params(query): Params<LogQuery>,
) -> Result<Response, ApiError> {
    let run = resolve(&engine, &id).await?.run;
    let newest = newest_attempt(&run);
    let attempt = query.attempt.or(newest).unwrap_or(1);
    // One that is leased has begun or is about to, whatever this daemon knows of its start by now: who waits for its
    // output is given none yet.
    let known = newest.max(matches!(run.state, RunState::Leased(_)).then(|| run.next_attempt()));
    if Some(attempt) > known && (query.attempt.is_some() || run.is_finished()) {
        return Err(no_attempt(&run, attempt, known.unwrap_or(0)));
    }
    // Whether it has ended is known from before the file is read: what it wrote until then is all in the file.
    let ended = run.is_finished() || run.attempts.iter().any(|a| a.number == attempt);
    let path = engine.data().log(run.id, attempt);
    let offset = query.offset;
    let (data, id) = (engine.data().clone(), run.id);
    let piece = tokio::task::spawn_blocking(move || match read_piece(&path, offset) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(Err(may_be_pruned(&data, id))),
        read => read.map(Ok),
    });
    let (bytes, whole, absent) = match piece.await {
        Ok(Ok(Ok((bytes, whole)))) => (bytes, whole, None),
        Ok(Ok(Err(true))) => (Vec::new(), true, Some("pruned")),
        Ok(Ok(Err(false))) => (Vec::new(), true, Some("empty")),
        Ok(Err(why)) => return Err(unreadable(&why)),
        Err(why) => return Err(unreadable(&why)),
    };
    let next = offset.saturating_add(bytes.len() as u64);
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (LOG_ATTEMPT_HEADER, attempt.to_string()),
        (LOG_OFFSET_HEADER, next.to_string()),
        (LOG_ENDED_HEADER, (ended && whole).to_string()),
    ];
    let mut response = (headers, bytes).into_response();
    if let Some(absent) = absent {
        response.headers_mut().insert(LOG_ABSENT_HEADER, HeaderValue::from_static(absent));
    }
    Ok(response)
}

/// The newest attempt that has started or ended.
fn newest_attempt(run: &Run) -> Option<u32> {
    match &run.state {
        RunState::Leased(lease) if lease.started.is_some() => Some(run.next_attempt()),
        _ => run.attempts.last().map(|a| a.number),
    }
}

/// The bytes from `offset` on, at most a piece, and whether they reach the end of the file.
fn read_piece(path: &std::path::Path, offset: u64) -> std::io::Result<(Vec<u8>, bool)> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(no_follow).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.by_ref().take(PIECE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let whole = bytes.len() < PIECE_BYTES_MAX;
    Ok((bytes, whole))
}

fn no_attempt(run: &Run, attempt: u32, known: u32) -> ApiError {
    let message = match known {
        0 if run.is_finished() => format!("run {} never started: it has no output", run.id),
        0 => format!("run {} has not started yet: it has no output", run.id),
        n => format!("run {} has no attempt {attempt}; it has {n}", run.id),
    };
    ApiError::new(StatusCode::NOT_FOUND, NO_LOG, message).hint(format!("`punctual why {}` says more", run.id))
}

fn unreadable(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, NO_LOG, format!("the log cannot be read: {why}"))
}
