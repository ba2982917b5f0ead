//! How the engine is, and why things are as they are.

use crate::control::WhySubject;
use crate::dto::{StatusDto, WhyDto};
use crate::error::ApiError;
use crate::moment::parse_moment;
use crate::request::{Params, bad_query};
use crate::router::Engine;
use crate::routes::{jobs, runs};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::time::Duration;

/// A trigger that is overdue for longer means that the timer loop is stuck.
const OVERDUE_MAX: Duration = Duration::from_secs(30);

pub async fn status(State(engine): State<Engine>) -> Result<Json<StatusDto>, ApiError> {
    Ok(Json(engine.status().await?.into()))
}

/// Fails when the timer loop is stuck. A store that does not answer is not a stuck loop: restarting would not help.
pub async fn healthz(State(engine): State<Engine>) -> (StatusCode, &'static str) {
    match engine.status().await {
        Ok(status) if status.due_overdue > OVERDUE_MAX => (StatusCode::SERVICE_UNAVAILABLE, "overdue\n"),
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
            WhySubject::JobAt(job, parse_moment(&at, engine.now()).map_err(bad_query)?)
        }
        (None, Some(run), None) => WhySubject::Run(runs::resolve(&engine, &run).await?.run.id),
        _ => return Err(bad_query("give job, or job and at, or run")),
    };
    let answer = engine.why(subject.clone()).await;
    let why = match &subject {
        WhySubject::Job(job) | WhySubject::JobAt(job, _) => jobs::known(&engine, job, answer).await?,
        WhySubject::Run(_) => answer?,
    };
    Ok(Json(why.into()))
}
