//! The one router: which path is answered by what, and what holds for all of them.

use crate::error::{ApiError, NO_PATH, TOO_SLOW};
use crate::{BODY_BYTES_MAX, NOW_HEADER, routes};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use punctual_engine::shared::Engine;
use std::time::Duration;

/// No request is worked on for longer.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The whole interface over `engine`.
pub fn router(engine: Engine) -> Router {
    Router::new()
        .route("/healthz", get(routes::status::healthz))
        .route("/v1/status", get(routes::status::status))
        .route("/v1/check", get(routes::status::check))
        .route("/v1/limits", get(routes::status::limits))
        .route("/v1/store/accept", post(routes::status::accept))
        .route("/v1/why", get(routes::status::why))
        .route("/v1/clock", get(routes::clock::show))
        .route("/v1/clock/accept", post(routes::clock::accept))
        .route("/v1/clock/set-back", post(routes::clock::set_back))
        .route("/v1/apply", post(routes::jobs::apply))
        .route("/v1/jobs", get(routes::jobs::list))
        .route("/v1/jobs/{name}", get(routes::jobs::show))
        .route("/v1/jobs/{name}/pause", post(routes::jobs::pause))
        .route("/v1/jobs/{name}/resume", post(routes::jobs::resume))
        .route("/v1/jobs/{name}/trigger", post(routes::jobs::trigger))
        .route("/v1/jobs/{name}/backfill", post(routes::backfill::fill))
        .route("/v1/backfills/{name}/cancel", post(routes::backfill::cancel))
        .route("/v1/jobs/{name}/ticks", get(routes::jobs::ticks))
        .route("/v1/runs", get(routes::runs::list))
        .route("/v1/runs/{id}", get(routes::runs::show))
        .route("/v1/runs/{id}/cancel", post(routes::runs::cancel))
        .route("/v1/runs/{id}/retry", post(routes::runs::retry))
        .route("/v1/runs/{id}/log", get(routes::log::read))
        .route("/v1/prune", post(routes::prune::prune))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(engine.clone(), bounded_and_stamped))
        .with_state(engine)
}

/// Bounds the time of every request, and writes the engine's clock on every answer.
async fn bounded_and_stamped(State(engine): State<Engine>, request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            TOO_SLOW,
            format!("no answer within {} s; a change may still have been made", REQUEST_TIME_MAX.as_secs()),
        )
        .hint("look before asking again: `punctual doctor`, `punctual runs`")
        .into_response(),
    };
    if let Ok(now) = HeaderValue::try_from(engine.clock().now().to_string()) {
        response.headers_mut().insert(NOW_HEADER, now);
    }
    response
}

async fn no_path(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, NO_PATH, format!("there is nothing at {:?}", uri.path()))
        .hint("paths begin with /v1/jobs, /v1/runs, /v1/why, /v1/apply or /v1/status")
}

async fn no_method(uri: Uri) -> ApiError {
    let message = format!("{:?} does not answer to this method", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, NO_PATH, message).hint("GET reads, POST changes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_so() {
        let scratch = seed::Scratch::new("router-slow");
        let slow = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(from_fn_with_state(seed::empty(&scratch), bounded_and_stamped));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let response = slow.oneshot(request).await.expect("never fails");
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.headers()[NOW_HEADER], seed::after(-3600).to_string());
    }
}
