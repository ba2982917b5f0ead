//! Instants: microseconds of UTC since 1970, at every boundary.

use crate::civil::{DAY_SECS, Date};
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
        // The usual form is read here, since streams of instants are; every other is the library's to judge.
        if let Some(instant) = parse_usual(text.as_bytes()) {
            return Ok(instant);
        }
        let shown = text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at]);
        let instant: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("{shown:?} is not an instant; write it as 2026-11-24T09:00:00Z"))?;
        Ok(Self(instant.as_microsecond()))
    }
}

/// Reads `2026-11-24T09:00:00Z` and `2026-11-24T09:00:00+08:00`, nothing else.
fn parse_usual(text: &[u8]) -> Option<Timestamp> {
    let number = |from: usize, len: usize| {
        text.get(from..from + len)?.iter().try_fold(0_i64, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    };
    let offset = match (text.len(), text.get(19)?) {
        (20, b'Z') => 0,
        (25, sign @ (b'+' | b'-')) if text[22] == b':' => {
            let (hours, minutes) = (number(20, 2)?, number(23, 2)?);
            let secs = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -secs } else { secs })?
        }
        _ => return None,
    };
    if (text[4], text[7], text[10], text[13], text[16]) != (b'-', b'-', b'T', b':', b':') {
        return None;
    }
    let date = Date::new(number(0, 4)? as i32, number(5, 2)? as u8, number(8, 2)? as u8)?;
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then(|| Timestamp::from_secs(date.days() * DAY_SECS + hour * 3600 + minute * 60 + second - offset))
}

/// RFC 3339 in UTC; a fraction is written only where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.as_secs();
        let date = Date::from_days(secs.div_euclid(DAY_SECS).clamp(-719_468, 10_000_000));
        if !(1900..2400).contains(&date.year) {
            return match jiff::Timestamp::from_microsecond(self.0) {
                Ok(instant) => write!(f, "{instant}"),
                Err(_) => write!(f, "{}us", self.0),
            };
        }
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |at: usize, len: usize, mut number: u32| {
            for place in (at..at + len).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        let second = secs.rem_euclid(DAY_SECS) as u32;
        put(0, 4, date.year as u32);
        put(5, 2, u32::from(date.month));
        put(8, 2, u32::from(date.day));
        put(11, 2, second / 3600);
        put(14, 2, second / 60 % 60);
        put(17, 2, second % 60);
        put(20, 6, self.0.rem_euclid(1_000_000) as u32);
        let fraction = text[20..26].iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        let end = if fraction == 0 { 19 } else { 20 + fraction };
        text[end] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=end]).expect("the digits are ASCII"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn instants_are_written_and_read_as_the_library_does(micros in -70_000_000_000_000_000_i64..250_000_000_000_000_000) {
            let micros = if micros % 3 == 0 { micros - micros.rem_euclid(1_000_000) } else { micros };
            let instant = Timestamp::from_micros(micros);
            let reference = jiff::Timestamp::from_microsecond(micros).expect("in range");
            prop_assert_eq!(instant.to_string(), reference.to_string());
            prop_assert_eq!(Timestamp::parse_rfc3339(&instant.to_string()), Ok(instant));
        }
    }

    #[test]
    fn instants_without_an_offset_or_a_day_are_refused() {
        assert_eq!(
            Timestamp::parse_rfc3339("2026-11-24T17:00:00+08:00"),
            Timestamp::parse_rfc3339("2026-11-24T09:00:00Z")
        );
        assert_eq!(
            Timestamp::parse_rfc3339("2026-11-24T09:00:00.25Z").map(|t| t.as_micros() % 1_000_000),
            Ok(250_000)
        );
        for text in ["2026-11-24T09:00:00", "2026-02-30T00:00:00Z", "now", "", "2026-11-24T09:00:00éZ"] {
            assert!(Timestamp::parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for text in
            ["", "90", "s", "-1s", "1 s", "1.s", "1y", "99999999999999999999s", "300000000w", "1.2.3s", "é"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
