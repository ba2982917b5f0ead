//! How the engine is, and why things are as they are.

use crate::dto::{StatusDto, StoreAcceptedDto, WhyDto};
use crate::error::ApiError;
use crate::moment::parse_moment_in;
use crate::request::{Params, bad_query};
use crate::routes::runs;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use punctual_core::spec::RuleSpec;
use punctual_core::zone::Zone;
use punctual_engine::error::EngineError;
use punctual_engine::past;
use punctual_engine::shared::Engine;
use punctual_engine::why::WhySubject;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A loop that has not been heard of for longer is stuck; where no loop runs in this process, a trigger that is overdue
/// for longer.
const LATE_MAX: Duration = Duration::from_secs(30);

pub async fn status(State(engine): State<Engine>) -> Result<Json<StatusDto>, ApiError> {
    Ok(Json(engine.status().await?.into()))
}

/// What a short look finds wrong with the stored data, a sentence each.
pub async fn check(State(engine): State<Engine>) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(engine.store().check_shallow().await.map_err(EngineError::from)?))
}

/// What nothing enforces of the jobs' limits where this runs, a sentence each.
pub async fn limits(State(engine): State<Engine>) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(engine.unenforced_limits().await?))
}

/// Lets a store that came back be used as it is.
pub async fn accept(State(engine): State<Engine>) -> Result<Json<StoreAcceptedDto>, ApiError> {
    let held = engine.accept_store().await?;
    Ok(Json(StoreAcceptedDto { held: held.as_ref().map(past::told) }))
}

/// Fails when the timer loop is stuck. A store that does not answer is not a stuck loop: restarting would not help. So
/// the store is not asked where there is a loop to look at.
pub async fn healthz(State(engine): State<Engine>) -> (StatusCode, &'static str) {
    if let Some(beat) = engine.beat() {
        return match beat.late > LATE_MAX {
            true => (StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
            false => (StatusCode::OK, "ok\n"),
        };
    }
    match engine.status().await {
        Ok(status) if status.overdue > LATE_MAX => (StatusCode::SERVICE_UNAVAILABLE, "overdue\n"),
        Ok(_) | Err(_) => (StatusCode::OK, "ok\n"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    job: Option<String>,
    run: Option<String>,
    at: Option<String>,
}

pub async fn why(
    State(engine): State<Engine>,
    Params(query): Params<WhyQuery>,
) -> Result<Json<WhyDto>, ApiError> {
    let subject = match (query.job, query.run, query.at) {
        (Some(job), None, None) => WhySubject::Job(job),
        (Some(job), None, Some(at)) => {
            let zone = zone_of(&engine, &job).await?;
            let at = parse_moment_in(&at, engine.clock().now(), &zone).map_err(bad_query)?;
            WhySubject::JobAt(job, at)
        }
        (None, Some(run), None) => WhySubject::Run(runs::resolve(&engine, &run).await?.run.id),
        _ => return Err(bad_query("give job, or job and at, or run")),
    };
    Ok(Json(engine.why(subject).await?.into()))
}

/// The zone of a job's clock: that of its first cron rule.
pub async fn zone_of(engine: &Engine, job: &str) -> Result<Arc<Zone>, ApiError> {
    let job = engine.job(job).await?;
    let named = job.spec.triggers.iter().find_map(|trigger| match &trigger.rule {
        RuleSpec::Cron { time_zone, .. } => Some(time_zone),
        _ => None,
    });
    Ok(named.and_then(|name| engine.zones().zone(name).ok()).unwrap_or_else(Zone::utc))
}
