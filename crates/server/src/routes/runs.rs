//! Runs: list, show, cancel, retry; and finding a run by the beginning of its id.

use crate::dto::{RunDto, SubmittedDto};
use crate::error::{AMBIGUOUS_RUN, ApiError};
use crate::moment::parse_moment;
use crate::request::{Params, Segment, bad_query};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use punctual_core::id::{JobId, RunId};
use punctual_core::run::Verdict;
use punctual_core::time::Timestamp;
use punctual_engine::control::Submitted;
use punctual_engine::error::EngineError;
use punctual_engine::shared::Engine;
use punctual_engine::view::RunView;
use punctual_store::RunFilter;
use serde::Deserialize;

/// How many runs are listed if the query does not say.
const LIMIT_DEFAULT: usize = 20;
/// More are not listed at once.
const LIMIT_MAX: usize = 10_000;
/// Verdicts that `failed=true` lists.
const FAILED: [Verdict; 3] = [Verdict::Failed, Verdict::Timeout, Verdict::Lost];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunsQuery {
    job: Option<String>,
    #[serde(default)]
    failed: bool,
    since: Option<String>,
    until: Option<String>,
    /// Unfinished ones only.
    #[serde(default)]
    unfinished: bool,
    limit: Option<usize>,
}

pub async fn list(
    State(engine): State<Engine>,
    Params(query): Params<RunsQuery>,
) -> Result<Json<Vec<RunDto>>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if limit > LIMIT_MAX {
        let why = format!("{limit} runs are more than the {LIMIT_MAX} of one answer");
        return Err(bad_query(why).hint("go back in parts: each ends (`until`) where the one before began"));
    }
    let now = engine.clock().now();
    let instant =
        |text: Option<String>| text.map(|text| parse_moment(&text, now)).transpose().map_err(bad_query);
    let filter = RunFilter {
        job: match &query.job {
            Some(name) => Some(job_id(&engine, name).await?),
            None => None,
        },
        since: instant(query.since)?,
        until: instant(query.until)?,
        verdicts: if query.failed { FAILED.to_vec() } else { Vec::new() },
        unfinished: !query.failed,
        limit,
    };
    let mut runs = engine.runs(filter).await?;
    if query.unfinished {
        runs.retain(|view| !view.run.is_finished());
    }
    Ok(Json(runs.iter().map(|view| RunDto::of(view, now)).collect()))
}

/// The number of a job. One that was removed from the definitions still has its history.
async fn job_id(engine: &Engine, name: &str) -> Result<JobId, ApiError> {
    let (jobs, _) = engine.store().jobs().await.map_err(EngineError::from)?;
    match jobs.into_iter().find(|job| job.name == name) {
        Some(job) => Ok(job.id),
        None => Ok(engine.job(name).await?.row.id),
    }
}

pub async fn show(State(engine): State<Engine>, Segment(id): Segment) -> Result<Json<RunDto>, ApiError> {
    let view = resolve(&engine, &id).await?;
    Ok(Json(RunDto::of(&view, engine.clock().now())))
}

pub async fn cancel(State(engine): State<Engine>, Segment(id): Segment) -> Result<Json<RunDto>, ApiError> {
    let view = resolve(&engine, &id).await?;
    let run = engine.cancel(view.run.id).await?;
    Ok(Json(RunDto::of(&RunView { run, ..view }, engine.clock().now())))
}

pub async fn retry(
    State(engine): State<Engine>,
    Segment(id): Segment,
) -> Result<Json<SubmittedDto>, ApiError> {
    let view = resolve(&engine, &id).await?;
    let made = engine.retry(view.run.id).await?;
    submitted(&engine, made).await
}

/// The run that a submission made or found, as it stands.
pub async fn submitted(engine: &Engine, made: Submitted) -> Result<Json<SubmittedDto>, ApiError> {
    let view = engine.run(made.run).await?.ok_or_else(|| no_run(&made.run.to_string()))?;
    Ok(Json(SubmittedDto { run: RunDto::of(&view, engine.clock().now()), existing: made.existing }))
}

/// The run that `text` names: a whole id, the beginning of one, or `last`.
pub async fn resolve(engine: &Engine, text: &str) -> Result<RunView, ApiError> {
    if let Ok(id) = text.parse::<RunId>() {
        return engine.run(id).await?.ok_or_else(|| no_run(text));
    }
    let newest = |limit| RunFilter { unfinished: true, limit, ..RunFilter::default() };
    if text == "last" {
        let last = engine.runs(newest(1)).await?.into_iter().next();
        return last.ok_or_else(|| no_run(text));
    }
    let (since, until) = prefix_span(text).ok_or_else(|| no_run(text))?;
    let span = RunFilter { since: Some(since), until: Some(until), ..newest(LIMIT_MAX) };
    let text = text.to_ascii_lowercase();
    let mut found: Vec<RunView> = engine.runs(span).await?;
    found.retain(|view| view.run.id.to_string().starts_with(&text));
    match found.len() {
        0 => Err(no_run(&text)),
        1 => Ok(found.remove(0)),
        n => Err(ApiError::new(
            StatusCode::CONFLICT,
            AMBIGUOUS_RUN,
            format!("{n} runs have an id that begins with {text:?}"),
        )
        .hint(format!("write more of it, for example {}", found[0].run.id))),
    }
}

/// The nominal times that a run may have whose id begins with `prefix`: its first 48 bits are milliseconds.
fn prefix_span(prefix: &str) -> Option<(Timestamp, Timestamp)> {
    if prefix.len() < PREFIX_MIN || prefix.len() > 26 || !prefix.is_ascii() {
        return None;
    }
    let filled = |digit: &str| {
        let text = format!("{prefix}{}", digit.repeat(26 - prefix.len()));
        text.parse::<RunId>().ok().map(RunId::nominal_millis)
    };
    let until = filled("z")?.checked_add(1)?;
    Some((
        Timestamp::from_micros(filled("0")?.checked_mul(1_000)?),
        Timestamp::from_micros(until.checked_mul(1_000)?),
    ))
}

/// Shorter beginnings would span months.
const PREFIX_MIN: usize = 6;

fn no_run(text: &str) -> ApiError {
    ApiError::from(EngineError::NoRun(text.to_owned()))
        .hint("`punctual runs` lists them; the first characters of an id are enough, at least 6")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_spans_the_nominal_times_of_the_ids_that_begin_so() {
        let at = Timestamp::from_micros(1_795_500_000_123_000);
        let id = RunId::derive("a", "t", "k", at).to_string();
        for length in PREFIX_MIN..=26 {
            let (since, until) = prefix_span(&id[..length]).expect("a prefix");
            assert!(since <= at && at < until, "{length}");
        }
        let (since, until) = prefix_span(&id[..10]).expect("a prefix");
        assert_eq!(until.as_micros() - since.as_micros(), 1_000);
        assert_eq!(prefix_span("01k"), None);
        assert_eq!(prefix_span("backup!"), None);
    }
}
