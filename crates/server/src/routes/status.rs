//! How the engine is, and why things are as they are.

use crate::dto::{StatusDto, WhyDto};
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
use punctual_engine::shared::Engine;
use punctual_engine::why::WhySubject;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A trigger that is overdue for longer means that the timer loop is stuck.
const OVERDUE_MAX: Duration = Duration::from_secs(30);

pub async fn status(State(engine): State<Engine>) -> Result<Json<StatusDto>, ApiError> {
    Ok(Json(engine.status().await?.into()))
}

/// What is wrong with the stored data, a sentence each.
pub async fn check(State(engine): State<Engine>) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(engine.store().check().await.map_err(EngineError::from)?))
}

/// What nothing enforces of the jobs' limits where this runs, a sentence each.
pub async fn limits(State(engine): State<Engine>) -> Result<Json<Vec<String>>, ApiError> {
    Ok(Json(engine.unenforced_limits().await?))
}

/// Fails when the timer loop is stuck. A store that does not answer is not a stuck loop: restarting would not help.
pub async fn healthz(State(engine): State<Engine>) -> (StatusCode, &'static str) {
    match engine.status().await {
        Ok(status) if status.overdue > OVERDUE_MAX => (StatusCode::SERVICE_UNAVAILABLE, "overdue\n"),
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
