//! Instants as a person writes them: RFC 3339, a duration ago, or `now`.

use punctual_core::civil::{DAY_SECS, Date};
use punctual_core::spec::parse_duration;
use punctual_core::time::Timestamp;
use punctual_core::zone::Zone;

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

/// The same, and `2026-11-24T02:00` or `2026-11-24 02:00:30` on the wall clock of `zone`: its first time round in
/// a fold, the end of a gap in it.
///
/// # Errors
/// It is none of these.
pub fn parse_moment_in(text: &str, now: Timestamp, zone: &Zone) -> Result<Timestamp, String> {
    match local_seconds(text) {
        Some(local) => Ok(Timestamp::from_secs(zone.first_instant(local))),
        None => parse_moment(text, now),
    }
}

/// A wall clock's time, in seconds since its 1970.
fn local_seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = time.split(':').map(|part| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse::<i64>().ok() } else { None }
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(Date::parse(date).ok()?.days() * DAY_SECS + hour * 3600 + minute * 60 + second)
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

    #[test]
    fn a_time_without_offset_is_of_the_zones_clock() {
        let zones = punctual_core::zone::ZoneTable::bundled();
        let zone = zones.zone("Asia/Shanghai").expect("a zone");
        let now = Timestamp::EPOCH;
        let at = Timestamp::parse_rfc3339("2026-11-23T18:00:00Z");
        assert_eq!(parse_moment_in("2026-11-24T02:00", now, &zone), at);
        assert_eq!(parse_moment_in("2026-11-24 02:00:00", now, &zone), at);
        assert_eq!(parse_moment_in("2026-11-23T18:00:00Z", now, &zone), at);
        for bad in ["2026-11-24T2:00", "2026-13-24T02:00", "2026-11-24T24:00", "2026-11-24T02:00:00:00"] {
            assert!(parse_moment_in(bad, now, &zone).is_err(), "{bad}");
        }
    }
}
