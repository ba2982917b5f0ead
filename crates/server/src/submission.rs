//! What a submission may say: parameters reach the job as environment variables and on its command line, the key as
//! `PUNCTUAL_IDEMPOTENCY_KEY`. What could not be handed over is refused before there is a run.

use crate::dto::SubmitDto;
use crate::error::{ApiError, BAD_SUBMISSION};
use axum::http::StatusCode;
use punctual_core::spec::template;
use serde_json::Value;

/// A key is no longer, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// Names and values together are no longer, in bytes: the kernel starts no process with a variable of 128 KiB.
const PARAMS_BYTES_MAX: usize = 64 * 1024;

/// Refuses a submission whose key or parameters no job could be given.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(submission: &SubmitDto) -> Result<(), ApiError> {
    if let Some(key) = &submission.key {
        check_key(key)?;
    }
    let mut bytes = 0;
    for (name, value) in &submission.params {
        if template::variable(&format!("params.{name}")).is_none() {
            return Err(refused(format!("{name:?} is no name of a parameter"))
                .hint("write letters, digits and _, not beginning with a digit"));
        }
        bytes += name.len()
            + match value {
                Value::String(text) if text.contains('\0') => {
                    return Err(refused(format!("the parameter {name} holds a NUL"))
                        .hint("no process can be given one: encode it, for example as base64"));
                }
                Value::String(text) => text.len(),
                other => other.to_string().len(),
            };
    }
    if bytes > PARAMS_BYTES_MAX {
        return Err(refused(format!("the parameters are {bytes} bytes, more than {PARAMS_BYTES_MAX}"))
            .hint("write them to a file and give its path"));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(refused("the key is empty".to_owned()).hint("leave it out to make a run each time"));
    }
    if key.len() > KEY_BYTES_MAX {
        let message = format!("the key is {} bytes, more than {KEY_BYTES_MAX}", key.len());
        return Err(refused(message).hint("use a hash of it"));
    }
    if key.chars().any(char::is_control) {
        return Err(refused(format!("the key {key:?} holds a control character")).hint("leave it out"));
    }
    Ok(())
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, BAD_SUBMISSION, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn is_fine(key: Option<&str>, name: &str, value: Value) -> bool {
        let params = Map::from_iter([(name.to_owned(), value)]);
        check(&SubmitDto { key: key.map(str::to_owned), params }).is_ok()
    }

    #[test]
    fn keys_are_short_lines_of_text() {
        let longest = "k".repeat(KEY_BYTES_MAX);
        for key in ["a", "report 2026-11-24/東京", &longest] {
            assert!(is_fine(Some(key), "a", json!("")), "{key}");
        }
        for key in ["", "a\nb", "a\0", "\u{7f}", "\u{85}", &format!("{longest}k")] {
            assert!(!is_fine(Some(key), "a", json!("")), "{key:?}");
        }
    }

    #[test]
    fn parameters_are_what_an_environment_can_hold() {
        for name in ["a", "_x", "DAY_2"] {
            assert!(is_fine(None, name, json!("a\nb=c")), "{name}");
        }
        for name in ["", "2a", "a-b", "a.b", "a b", "a=b", "é", "a\0"] {
            assert!(!is_fine(None, name, json!("x")), "{name:?}");
        }
        assert!(!is_fine(None, "a", json!("x\0y")));
        assert!(is_fine(None, "a", json!({"nested": "x\0y"})), "JSON escapes it");
        assert!(is_fine(None, "a", json!("x".repeat(PARAMS_BYTES_MAX - 1))));
        assert!(!is_fine(None, "a", json!("x".repeat(PARAMS_BYTES_MAX))));
        assert!(!is_fine(None, "a", json!(["x".repeat(PARAMS_BYTES_MAX)])));
    }
}
