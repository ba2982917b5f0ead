//! Instants: microseconds of UTC since 1970, at every boundary.

use std::fmt;
use std::time::Duration;

/// An instant, in microseconds since 1970-01-01T00:00:00Z (leap seconds not counted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 2200-01-01T00:00:00Z: no search for a next firing goes beyond it.
    pub const SEARCH_END: Self = Self(7_258_118_400_000_000);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved later by `by`, held at the largest representable instant.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// This instant moved earlier by `by`, held at the smallest representable instant.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }

    /// How much later this instant is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 instant such as `2026-11-24T09:00:00Z` or `2026-11-24T17:00:00+08:00`.
    ///
    /// # Errors
    /// The text is not an instant with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Self, String> {
        let instant: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| e.to_string())?;
        Ok(Self(instant.as_microsecond()))
    }
}

/// RFC 3339 in UTC; a fraction is written only where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A duration in whole microseconds, held at the largest `i64`.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Reads a duration such as `90s`, `10m`, `1h30m`, `1d`, `1.5h`, `250ms`: numbers with a unit each, of `w d h m s ms us`.
/// A day has 24 hours, a week 7 days.
///
/// # Errors
/// What is wrong with it, as a sentence without an end.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let shown = text.char_indices().nth(32).map_or(text, |(at, _)| &text[..at]);
    let bad = || format!("{shown:?} is not a duration such as 90s, 10m or 1h30m");
    let too_long = || format!("the duration {shown} is too long");
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let unit_micros: u64 = match unit {
            "w" => 7 * 86_400_000_000,
            "d" => 86_400_000_000,
            "h" => 3_600_000_000,
            "m" | "min" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => return Err(bad()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| too_long())?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).expect("at most 9"));
        let part = u128::from(unit_micros) * u128::from(fraction.parse::<u64>().map_err(|_| bad())?) / scale;
        let micros = whole.checked_mul(unit_micros).and_then(|m| m.checked_add(part as u64));
        total = micros.and_then(|m| m.checked_add(total)).ok_or_else(too_long)?;
        rest = after;
    }
    if text.is_empty() { Err(bad()) } else { Ok(Duration::from_micros(total)) }
}
