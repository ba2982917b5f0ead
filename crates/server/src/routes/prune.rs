//! Removing old history and output on request.

use crate::dto::{PruneDto, PrunedDto};
use crate::error::ApiError;
use crate::request::{Body, bad_body};
use axum::Json;
use axum::extract::State;
use punctual_core::spec::{Malformed, parse_bytes, parse_duration};
use punctual_engine::block_on::block_on;
use punctual_engine::retention::{Keep, Pass, prune_once};
use punctual_engine::shared::Engine;

pub async fn prune(
    State(engine): State<Engine>,
    Body(body): Body<PruneDto>,
) -> Result<Json<PrunedDto>, ApiError> {
    let default = engine.keep();
    let keep = Keep {
        history: measure(body.keep_history.as_deref(), default.history, parse_duration)?,
        output: measure(body.keep_output.as_deref(), default.output, parse_duration)?,
        output_bytes: measure(body.keep_output_bytes.as_deref(), default.output_bytes, parse_bytes)?,
    };
    let pass = if body.dry_run { Pass::Dry } else { Pass::Real };
    // It looks at every file of output, which takes its time.
    let work = tokio::task::spawn_blocking(move || block_on(prune_once(&engine, &keep, pass)));
    let pruned = work.await.map_err(|why| bad_body(format!("the pass did not end: {why}")))??;
    Ok(Json(PrunedDto {
        dry_run: body.dry_run,
        history_rows: pruned.history_rows,
        output_files: pruned.files,
        output_bytes: pruned.bytes,
        output_bytes_kept: pruned.bytes_kept,
        more: pruned.is_partial,
    }))
}

fn measure<T>(
    given: Option<&str>,
    default: Option<T>,
    parse: fn(&str) -> Result<T, Malformed>,
) -> Result<Option<T>, ApiError> {
    match given {
        None => Ok(default),
        Some("none") => Ok(None),
        Some(text) => {
            parse(text).map(Some).map_err(|why| bad_body(format!("{text:?}: {}; {}", why.reason, why.hint)))
        }
    }
}
