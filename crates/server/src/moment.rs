//! Instants as a person writes them: RFC 3339, a duration ago, or `now`.

use punctual_core::spec::parse_duration;
use punctual_core::time::Timestamp;

/// Reads `2026-11-24T09:00:00Z`, `1d` (that long before `now`) or `now`.
///
/// # Errors
/// It is none of these; the text says what is allowed.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.saturating_sub(ago));
    }
    Timestamp::parse_rfc3339(text).map_err(|_| {
        format!("{text:?} is neither an instant such as 2026-11-24T09:00:00Z, nor a duration such as 90m or 1d, nor now")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms() {
        let now = Timestamp::from_secs(100_000);
        assert_eq!(parse_moment("now", now), Ok(now));
        assert_eq!(parse_moment("1d", now), Ok(Timestamp::from_secs(13_600)));
        assert_eq!(parse_moment("1h30m", now), Ok(Timestamp::from_secs(94_600)));
        assert_eq!(parse_moment("1970-01-01T00:00:07Z", now), Ok(Timestamp::from_secs(7)));
        for bad in ["", "5", "d", "1y", "-1d", "1.5h", "99999999999999999999s", "tomorrow"] {
            assert!(parse_moment(bad, now).is_err(), "{bad}");
        }
    }
}
