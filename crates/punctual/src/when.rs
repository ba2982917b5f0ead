//! Instants and durations as people read them.

use punctual_core::time::Timestamp;
use std::time::Duration;

/// An instant to the second in UTC: `2026-11-24 09:00:00Z`.
pub fn utc(at: Timestamp) -> String {
    Timestamp::from_secs(at.as_secs()).to_string().replace('T', " ")
}

/// A duration in at most two units: `250ms`, `3m12s`, `2h`, `4d3h`.
pub fn short(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    if duration < Duration::from_millis(1) {
        return if duration.is_zero() { "0s".to_owned() } else { format!("{}us", duration.as_micros()) };
    }
    if duration < Duration::from_secs(1) {
        return format!("{}ms", duration.as_millis());
    }
    if duration < Duration::from_secs(10) && duration.subsec_millis() >= 100 {
        return format!("{}.{}s", duration.as_secs(), duration.subsec_millis() / 100);
    }
    let seconds = duration.as_secs();
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, name) in UNITS.iter().skip(first).take(2) {
        if rest >= *unit {
            text.push_str(&format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    text
}

/// How far off an instant is: `in 3m12s`, `2h ago`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let whole = |d: Duration| short(Duration::from_secs(d.as_secs()));
    match (at.since(now), now.since(at)) {
        (ahead, _) if ahead >= Duration::from_secs(1) => format!("in {}", whole(ahead)),
        (_, past) if past >= Duration::from_secs(1) => format!("{} ago", whole(past)),
        _ => "now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [
            (0, "0s"),
            (7, "7us"),
            (250_000, "250ms"),
            (1_000_000, "1s"),
            (1_520_000, "1.5s"),
            (72_900_000, "1m12s"),
            (7_200_000_000, "2h"),
            (7_205_000_000, "2h"),
            (360_000_000_000, "4d4h"),
        ];
        for (micros, text) in cases {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn instants_are_told_to_the_second() {
        let now = Timestamp::from_secs(1_795_510_800);
        assert_eq!(utc(Timestamp::from_micros(1_795_510_800_123_456)), "2026-11-24 09:00:00Z");
        assert_eq!(relative(now.saturating_add(Duration::from_secs(192)), now), "in 3m12s");
        assert_eq!(relative(now.saturating_sub(Duration::from_secs(7200)), now), "2h ago");
        assert_eq!(relative(now, now), "now");
    }
}
