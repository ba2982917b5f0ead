//! Jobs: list, show, apply, pause, resume, trigger, ticks.

use crate::dto::{
    ApplyDto, JobChangeDto, JobDto, PauseRequestDto, ResumeDto, SubmitDto, SubmittedDto, TickDto,
};
use crate::error::ApiError;
use crate::moment::parse_moment;
use crate::request::{Body, Params, Segment, bad_body, bad_query};
use crate::routes::runs::submitted;
use crate::submission;
use axum::Json;
use axum::extract::State;
use punctual_core::spec::JobSpec;
use punctual_engine::apply::ApplyMode;
use punctual_engine::shared::Engine;
use punctual_engine::view::TICKS_LISTED_MAX;
use serde::Deserialize;
use serde_json::Value;

pub async fn list(State(engine): State<Engine>) -> Result<Json<Vec<JobDto>>, ApiError> {
    let now = engine.clock().now();
    let jobs = engine.jobs().await?;
    Ok(Json(jobs.iter().map(|job| JobDto::new(job, now)).collect()))
}

pub async fn show(State(engine): State<Engine>, Segment(name): Segment) -> Result<Json<JobDto>, ApiError> {
    let job = engine.job(&name).await?;
    Ok(Json(JobDto::new(&job, engine.clock().now())))
}

pub async fn apply(
    State(engine): State<Engine>,
    Body(body): Body<ApplyDto>,
) -> Result<Json<Vec<JobChangeDto>>, ApiError> {
    let mode = if body.dry_run { ApplyMode::DryRun } else { ApplyMode::Apply };
    let read = |definition: &Value| JobSpec::from_json(definition).map_err(|why| bad_body(&why));
    let jobs = body.jobs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let changes = engine.apply(jobs, &body.owner, mode, body.prune).await?;
    Ok(Json(changes.iter().map(JobChangeDto::from).collect()))
}

pub async fn pause(
    State(engine): State<Engine>,
    Segment(name): Segment,
    Body(body): Body<PauseRequestDto>,
) -> Result<Json<JobDto>, ApiError> {
    engine.pause(&name, &body.reason).await?;
    show(State(engine), Segment(name)).await
}

pub async fn resume(
    State(engine): State<Engine>,
    Segment(name): Segment,
    Body(body): Body<ResumeDto>,
) -> Result<Json<JobDto>, ApiError> {
    engine.resume(&name, body.catch_up).await?;
    show(State(engine), Segment(name)).await
}

pub async fn trigger(
    State(engine): State<Engine>,
    Segment(name): Segment,
    Body(body): Body<SubmitDto>,
) -> Result<Json<SubmittedDto>, ApiError> {
    submission::check(&body)?;
    let made = engine.submit(&name, body.key, body.params).await?;
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
    Segment(name): Segment,
    Params(query): Params<TicksQuery>,
) -> Result<Json<Vec<TickDto>>, ApiError> {
    let now = engine.clock().now();
    let from = parse_moment(query.from.as_deref().unwrap_or("1d"), now).map_err(bad_query)?;
    let to = parse_moment(query.to.as_deref().unwrap_or("now"), now).map_err(bad_query)?;
    if from > to {
        return Err(
            bad_query(format!("it ends at {to}, before it begins at {from}")).hint("exchange the two")
        );
    }
    let ticks = engine.ticks(&name, from, to).await?;
    if ticks.len() > TICKS_LISTED_MAX {
        let why = format!("{name} has more than {TICKS_LISTED_MAX} nominal times from {from} to {to}");
        return Err(bad_query(why).hint("ask for a shorter span"));
    }
    Ok(Json(ticks.iter().map(TickDto::from).collect()))
}
