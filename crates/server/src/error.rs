//! One shape for every refusal: a status and `{"error": {code, message, hint}}`.

use crate::dto::{ErrorBodyDto, ErrorDto};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use punctual_core::error::Code;
use punctual_engine::error::EngineError;

/// More than one run's id begins so.
pub const AMBIGUOUS_RUN: Code = Code("API004");
/// The body cannot be read.
pub const BAD_BODY: Code = Code("API005");
/// The body is larger than is read.
pub const BODY_TOO_LARGE: Code = Code("API006");
/// The answer was not ready in time.
pub const TOO_SLOW: Code = Code("API007");
/// There is nothing at that path.
pub const NO_PATH: Code = Code("API008");
/// A parameter of the query cannot be read.
pub const BAD_QUERY: Code = Code("API009");
/// A key or parameters that no job can be given.
pub const BAD_SUBMISSION: Code = Code("API021");
/// An attempt's log cannot be read.
pub const NO_LOG: Code = Code("API010");

/// A refusal.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Code,
    message: String,
    hint: Option<String>,
}

impl ApiError {
    /// A refusal with that status.
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None }
    }

    /// The same with what to do instead.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::NoJob { .. } | EngineError::NoRun(_) => StatusCode::NOT_FOUND,
            EngineError::Definition(_) => StatusCode::UNPROCESSABLE_ENTITY,
            EngineError::Owned { .. } | EngineError::State { .. } | EngineError::Refused { .. } => {
                StatusCode::CONFLICT
            }
            EngineError::Output(_) | EngineError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, code: error.code(), message: error.to_string(), hint: error.hint() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorBodyDto { code: self.code.to_string(), message: self.message, hint: self.hint };
        (self.status, Json(ErrorDto { error })).into_response()
    }
}
