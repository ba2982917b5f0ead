//! Instants as a person writes them: RFC 3339, a duration ago, or `now`.

use punctual_core::time::Timestamp;
use std::time::Duration;

/// Reads `2026-11-24T09:00:00Z`, `1d` (that long before `now`) or `now`.
///
/// # Errors
/// It is none of these; the text says what is allowed.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(ago) = parse_duration(text) {
        return Ok(now.saturating_sub(ago));
    }
    Timestamp::parse_rfc3339(text).map_err(|_| {
        format!("{text:?} is neither an instant such as 2026-11-24T09:00:00Z, nor a duration such as 90m or 1d, nor now")
    })
}

/// Reads `90s`, `1h30m`, `1d`, `2w`: whole numbers, each with a unit; a day has 24 hours.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        rest = &rest[letters..];
        millis = millis.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
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
