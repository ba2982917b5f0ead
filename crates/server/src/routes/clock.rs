//! The clock: how it stands, and what people say about it.

use crate::dto::Instant;
use crate::error::ApiError;
use crate::request::Body;
use axum::Json;
use axum::extract::State;
use punctual_core::guard::Verdict;
use punctual_engine::clock_watch::ClockView;
use punctual_engine::shared::Engine;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Triggers that are named at most; the count is of all.
const AHEAD_LISTED_MAX: usize = 100;

/// How the clock stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockDto {
    /// What time it is taken to be.
    pub now: Instant,
    /// What the wall clock says.
    pub wall: Instant,
    /// How much the wall clock has moved against the clock that counts suspended time since the process that answers
    /// was started, milliseconds; positive: forward.
    pub moved_ms: i64,
    /// `steady`; `ahead` or `behind` while a step is not believed; `before` while it is before an earlier boot.
    pub verdict: String,
    /// How far ahead or behind, milliseconds.
    pub by_ms: Option<u64>,
    /// For how long the step has not been believed, milliseconds.
    pub doubted_ms: Option<u64>,
    /// Whether the kernel says that its clock is synchronised; `null` if nobody here knows.
    pub synchronised: Option<bool>,
    /// The program that says so.
    pub synchronised_by: Option<String>,
    /// How many triggers have been decided more than 5 minutes ahead.
    pub ahead_triggers: usize,
    /// The farthest of them.
    pub ahead: Vec<AheadDto>,
    /// What people said about the clock, oldest first.
    pub said: Vec<String>,
}

/// A trigger that has been decided ahead of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AheadDto {
    /// Its job.
    pub job: String,
    /// Its name.
    pub trigger: String,
    /// Until when it has been decided; it fires again after that.
    pub until: Instant,
}

/// Who says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SaidDto {
    /// The user, for the record.
    pub by: String,
}

/// What setting cursors back did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetBackDto {
    /// Triggers whose cursor went back.
    pub triggers: usize,
    /// Nominal times ahead that have run already, and do not run again.
    pub ran: usize,
    /// Until when they had been decided.
    pub until: Instant,
}

/// What was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedDto {
    /// Whether there was a step to confirm.
    pub accepted: bool,
    /// The clock after it.
    pub clock: ClockDto,
}

pub async fn show(State(engine): State<Engine>) -> Result<Json<ClockDto>, ApiError> {
    // The programs that know whether the kernel is synchronised are waited for, beside other requests.
    let asked = engine.clone();
    let view = tokio::task::spawn_blocking(move || punctual_engine::block_on::block_on(asked.clock_view()));
    match view.await {
        Ok(view) => Ok(Json(dto(&engine, &view?))),
        Err(_) => Ok(Json(dto(&engine, &engine.clock_view().await?))),
    }
}

pub async fn accept(
    State(engine): State<Engine>,
    Body(body): Body<SaidDto>,
) -> Result<Json<AcceptedDto>, ApiError> {
    let accepted = engine.accept_clock(&body.by).await?.is_some();
    Ok(Json(AcceptedDto { accepted, clock: show(State(engine)).await?.0 }))
}

pub async fn set_back(
    State(engine): State<Engine>,
    Body(body): Body<SaidDto>,
) -> Result<Json<SetBackDto>, ApiError> {
    let done = engine.set_back(&body.by).await?;
    Ok(Json(SetBackDto { triggers: done.triggers, ran: done.ran, until: Instant(done.until) }))
}

fn dto(engine: &Engine, view: &ClockView) -> ClockDto {
    let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let now = engine.clock().now();
    let facts = view.facts.as_ref();
    let doubt = facts.and_then(|facts| facts.doubt);
    let (verdict, by) = match doubt.map(|doubt| doubt.verdict) {
        Some(Verdict::Ahead(by)) => ("ahead", Some(by)),
        Some(Verdict::Behind(by)) => ("behind", Some(by)),
        Some(Verdict::Steady) | None => match facts.and_then(|facts| facts.before) {
            Some(before) => ("before", Some(before.since(now))),
            None => ("steady", None),
        },
    };
    let ahead = view.ahead.iter().take(AHEAD_LISTED_MAX).map(|ahead| AheadDto {
        job: ahead.job.clone(),
        trigger: ahead.trigger.clone(),
        until: Instant(ahead.until),
    });
    ClockDto {
        now: Instant(facts.map_or(now, |facts| facts.now)),
        wall: Instant(facts.map_or(now, |facts| facts.wall)),
        moved_ms: facts.map_or(0, |facts| facts.moved_us / 1000),
        verdict: verdict.to_owned(),
        by_ms: by.map(millis),
        doubted_ms: facts.filter(|facts| facts.doubt.is_some()).map(|facts| millis(facts.doubted_for)),
        synchronised: view.synchronised.map(|answer| answer.is),
        synchronised_by: view.synchronised.map(|answer| answer.by.to_owned()),
        ahead_triggers: view.ahead.len(),
        ahead: ahead.collect(),
        said: view.said.clone(),
    }
}
