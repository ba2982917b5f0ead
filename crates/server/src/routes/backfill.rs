//! Back-fills: what one would make, making it, and cancelling what is left of it.

use crate::dto::{Instant, RunDto};
use crate::error::ApiError;
use crate::moment::parse_moment_in;
use crate::request::{Body, Segment, bad_query};
use crate::routes::status::zone_of;
use axum::Json;
use axum::extract::State;
use punctual_core::spec::parse_duration;
use punctual_engine::backfill::{Backfill, BackfillRequest, Which};
use punctual_engine::shared::Engine;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many runs, unless the request allows more.
const MAX_DEFAULT: usize = 1000;
/// One each so long, unless the request says otherwise.
const SPREAD: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackfillRequestDto {
    /// Its name; the same again finds what it made. `null`: a new one.
    pub id: Option<String>,
    /// The first nominal time may be this one: an instant, a local time of the job's zone, or how long ago.
    pub from: String,
    /// All are before this one; `null`: now.
    pub to: Option<String>,
    /// Only this trigger's.
    pub trigger: Option<String>,
    /// Those that ran too.
    pub all: bool,
    /// Only those that the record says were missed.
    pub only_missed: bool,
    /// No more than this many; `null`: 1,000.
    pub max: Option<usize>,
    /// Between the due times of two, a duration; `null`: 1 s.
    pub spread: Option<String>,
    /// Only say what would be made.
    pub dry_run: bool,
}

/// What it makes or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackfillDto {
    /// Its id.
    pub id: String,
    /// The job.
    pub job: String,
    /// Where the span begins,
    pub from: Instant,
    /// and ends.
    pub to: Instant,
    /// Nominal times of the span.
    pub times: usize,
    /// Of them left out because they ran, or because they were not missed.
    pub left_out: usize,
    /// How many runs it is about.
    pub runs: usize,
    /// The first nominal time of those.
    pub first: Option<Instant>,
    /// The last.
    pub last: Option<Instant>,
    /// Runs that this request made.
    pub made: usize,
    /// Runs that an earlier request of this id had made.
    pub existing: usize,
    /// When the last of them is due at the earliest.
    pub last_due: Instant,
    /// Changes of the clock in the span.
    pub notes: Vec<String>,
}

pub async fn fill(
    State(engine): State<Engine>,
    Segment(job): Segment,
    Body(body): Body<BackfillRequestDto>,
) -> Result<Json<BackfillDto>, ApiError> {
    let zone = zone_of(&engine, &job).await?;
    let now = engine.clock().now();
    let instant = |text: &str| parse_moment_in(text, now, &zone).map_err(bad_query);
    let which = match (body.all, body.only_missed) {
        (true, true) => return Err(bad_query("give all, or onlyMissed")),
        (true, false) => Which::All,
        (false, true) => Which::Missed,
        (false, false) => Which::NotRun,
    };
    let spread = body.spread.as_deref().map(|text| {
        parse_duration(text)
            .map_err(|_| bad_query(format!("{text:?} is no duration; write it as 10s or 1m30s")))
    });
    let spread = spread.transpose()?;
    let request = BackfillRequest {
        job: job.clone(),
        id: body.id,
        from: instant(&body.from)?,
        to: body.to.as_deref().map_or(Ok(now), instant)?,
        trigger: body.trigger,
        which,
        times_max: body.max.unwrap_or(MAX_DEFAULT),
        spread: spread.unwrap_or(SPREAD),
        dry_run: body.dry_run,
    };
    let (from, to) = (Instant(request.from), Instant(request.to));
    let done: Backfill = engine.backfill(request).await?;
    Ok(Json(BackfillDto {
        id: done.id,
        job,
        from,
        to,
        times: done.times,
        left_out: done.left_out,
        runs: done.nominal.len(),
        first: done.nominal.first().copied().map(Instant),
        last: done.nominal.last().copied().map(Instant),
        made: done.made,
        existing: done.existing,
        last_due: Instant(done.last_due),
        notes: done.notes,
    }))
}

/// The runs that were cancelled, as they are now.
pub async fn cancel(
    State(engine): State<Engine>,
    Segment(id): Segment,
) -> Result<Json<Vec<RunDto>>, ApiError> {
    let cancelled = engine.cancel_backfill(&id).await?;
    let now = engine.clock().now();
    let views = engine.with_names(cancelled).await?;
    Ok(Json(views.iter().map(|view| RunDto::of(view, now)).collect()))
}
