//! Jobs: list, show, apply, pause, resume, trigger, ticks.

use crate::control::{ApplyMode, ControlError, ControlErrorKind, JobView};
use crate::dto::{
    ApplyDto, JobChangeDto, JobDto, PauseRequestDto, ResumeDto, SubmitDto, SubmittedDto, TickDto,
};
use crate::error::{ApiError, NO_JOB};
use crate::moment::parse_moment;
use crate::nearest::nearest;
use crate::request::{Body, Params, bad_body, bad_query};
use crate::router::Engine;
use crate::routes::runs::submitted;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use punctual_core::spec::JobSpec;
use serde::Deserialize;
use serde_json::Value;

pub async fn list(State(engine): State<Engine>) -> Result<Json<Vec<JobDto>>, ApiError> {
    let now = engine.now();
    let jobs = engine.jobs().await?;
    Ok(Json(jobs.iter().map(|job| JobDto::new(job, now)).collect()))
}

pub async fn show(State(engine): State<Engine>, Path(name): Path<String>) -> Result<Json<JobDto>, ApiError> {
    let job = find(&engine, &name).await?;
    Ok(Json(JobDto::new(&job, engine.now())))
}

pub async fn apply(
    State(engine): State<Engine>,
    Body(body): Body<ApplyDto>,
) -> Result<Json<Vec<JobChangeDto>>, ApiError> {
    let mode = if body.dry_run { ApplyMode::DryRun } else { ApplyMode::Apply };
    let read = |definition: &Value| JobSpec::from_json(definition).map_err(|why| bad_body(&why));
    let jobs = body.jobs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let changes = engine.apply(jobs, body.owner, mode, body.prune).await?;
    Ok(Json(changes.iter().map(JobChangeDto::from).collect()))
}

pub async fn pause(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    Body(body): Body<PauseRequestDto>,
) -> Result<Json<JobDto>, ApiError> {
    known(&engine, &name, engine.pause(name.clone(), body.reason).await).await?;
    show(State(engine), Path(name)).await
}

pub async fn resume(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    Body(body): Body<ResumeDto>,
) -> Result<Json<JobDto>, ApiError> {
    known(&engine, &name, engine.resume(name.clone(), body.catch_up).await).await?;
    show(State(engine), Path(name)).await
}

pub async fn trigger(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    Body(body): Body<SubmitDto>,
) -> Result<Json<SubmittedDto>, ApiError> {
    let made = engine.submit(name.clone(), body.key, body.params).await;
    let made = known(&engine, &name, made).await?;
    submitted(&engine, made).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicksQuery {
    from: Option<String>,
    to: Option<String>,
}

/// By default the last day, up to now.
pub async fn ticks(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    Params(query): Params<TicksQuery>,
) -> Result<Json<Vec<TickDto>>, ApiError> {
    let now = engine.now();
    let from = parse_moment(query.from.as_deref().unwrap_or("1d"), now).map_err(bad_query)?;
    let to = parse_moment(query.to.as_deref().unwrap_or("now"), now).map_err(bad_query)?;
    let ticks = known(&engine, &name, engine.ticks(name.clone(), from, to).await).await?;
    Ok(Json(ticks.iter().map(TickDto::from).collect()))
}

/// The job of that name, or an error that names the nearest.
pub async fn find(engine: &Engine, name: &str) -> Result<JobView, ApiError> {
    match engine.job(name.to_owned()).await? {
        Some(job) => Ok(job),
        None => Err(no_job(engine, name).await),
    }
}

/// The same answer; an engine that did not know the job is spoken for with the nearest name.
pub async fn known<T>(engine: &Engine, name: &str, answer: Result<T, ControlError>) -> Result<T, ApiError> {
    match answer {
        Ok(value) => Ok(value),
        Err(error) if error.kind == ControlErrorKind::NoJob => Err(no_job(engine, name).await),
        Err(error) => Err(error.into()),
    }
}

async fn no_job(engine: &Engine, name: &str) -> ApiError {
    let error = ApiError::new(StatusCode::NOT_FOUND, NO_JOB, format!("there is no job {name:?}"));
    let Ok(jobs) = engine.jobs().await else { return error };
    match nearest(name, jobs.iter().map(|j| j.row.name.as_str())) {
        Some(near) => error.hint(format!("did you mean {near:?}?")),
        None if jobs.is_empty() => error.hint("no jobs have been applied yet: `punctual apply FILE`"),
        None => error.hint("`punctual jobs` lists them"),
    }
}
