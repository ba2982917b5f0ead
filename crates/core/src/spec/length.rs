//! Lengths of time and amounts, as definitions write them: `1h30m`, `500m` of a processor, `256Mi`.

use std::time::Duration;

/// No length in a definition is greater: ten years.
pub const LENGTH_MAX: Duration = Duration::from_secs(3660 * 86_400);

/// Units from the greatest to the smallest, with their microseconds. A day is always 24 hours.
const UNITS: [(&str, u64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// What people write for a unit, and what it is called here.
const FOREIGN_UNITS: [(&str, &str); 19] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("week", "w"),
    ("weeks", "w"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("µs", "us"),
];

/// Why a text is no length or amount, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The cause, lower case.
    pub reason: String,
    /// What to write instead.
    pub hint: String,
}

fn malformed<T>(reason: impl Into<String>, hint: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed { reason: reason.into(), hint: hint.into() })
}

/// Reads a length such as `30s`, `1h30m`, `1d`, `250ms`: whole numbers, each unit at most once, the greatest first.
///
/// # Errors
/// The text is not of this form, or longer than [`LENGTH_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, Malformed> {
    const FORM: &str = "write a number and a unit, such as 30s, 10m, 1h30m or 1d";
    if text.len() > 64 {
        return malformed("it is too long for a length of time", FORM);
    }
    let mut rest = text.trim();
    if rest.is_empty() {
        return malformed("it is empty", FORM);
    }
    let mut total = 0_u64;
    let mut units_left = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return malformed(format!("a number is missing before {rest:?}"), FORM);
        }
        if unit.is_empty() {
            return match after.chars().next() {
                None => malformed(format!("{number} has no unit"), format!("write {number}s for seconds")),
                Some('.') => malformed(
                    "fractions are not read",
                    "write the rest in the next smaller unit, such as 1h30m for 1.5h",
                ),
                Some(c) => malformed(format!("{c:?} does not belong here"), FORM),
            };
        }
        let Some(place) = units_left.iter().position(|(name, _)| *name == unit) else {
            return refuse_unit(number, unit);
        };
        let parts = number.parse::<u64>().ok().and_then(|n| n.checked_mul(units_left[place].1));
        let sum = parts.and_then(|part| total.checked_add(part));
        match sum {
            Some(sum) if Duration::from_micros(sum) <= LENGTH_MAX => total = sum,
            _ => return malformed("it is more than ten years", "the longest length is 3660d"),
        }
        units_left = &units_left[place + 1..];
        rest = after.trim_start();
    }
    Ok(Duration::from_micros(total))
}

fn refuse_unit(number: &str, unit: &str) -> Result<Duration, Malformed> {
    if UNITS.iter().any(|(name, _)| *name == unit) {
        return malformed(
            format!("the unit {unit:?} comes twice or out of order"),
            "write each unit once, the greatest first: 1d2h3m4s",
        );
    }
    let lower = unit.to_lowercase();
    if let Some((_, known)) = FOREIGN_UNITS.iter().find(|(foreign, _)| *foreign == lower) {
        return malformed(format!("{unit:?} is not a unit here"), format!("write {number}{known}"));
    }
    malformed(
        format!("{unit:?} is not a unit"),
        "the units are w, d, h, m (minutes), s, ms and us; months and years differ in length, use a cron rule",
    )
}

/// The one text of a length: `1h30m`, `0s`; [`parse_duration`] reads it back. Below a microsecond it is cut.
pub fn format_duration(length: Duration) -> String {
    let mut micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in &UNITS[1..] {
        if micros >= *size {
            text.push_str(&format!("{}{unit}", micros / size));
            micros %= size;
        }
    }
    text
}

/// Suffixes of Kubernetes quantities, with their factor in thousandths.
const SUFFIXES: [(&str, u128); 13] = [
    ("", 1_000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("Pi", 1_000 << 50),
    ("Ei", 1_000 << 60),
];

const CPU_FORM: &str = "write processors as 2, 0.5 or 500m (thousandths)";

/// Reads a Kubernetes quantity of processors (`500m`, `2`, `0.5`) as thousandths of one.
///
/// # Errors
/// The text is no quantity, zero, or finer than a thousandth.
pub fn parse_cpu(text: &str) -> Result<u64, Malformed> {
    match thousandths(text, CPU_FORM)? {
        0 => malformed("it is zero", CPU_FORM),
        millis if millis > 1_000_000_000 => malformed("it is more than a million processors", CPU_FORM),
        millis => Ok(u64::try_from(millis).expect("at most a million processors")),
    }
}

/// Reads a Kubernetes quantity of bytes (`256Mi`, `1G`, `4096`).
///
/// # Errors
/// The text is no quantity, zero, no whole number of bytes, or beyond 2^63.
pub fn parse_bytes(text: &str) -> Result<u64, Malformed> {
    const FORM: &str = "write bytes as 256Mi (2^20), 1Gi (2^30), 500M (10^6) or a number";
    let millis = thousandths(text, FORM)?;
    if !millis.is_multiple_of(1_000) || millis == 0 {
        let hint = match text.strip_suffix('m') {
            Some(number) => {
                format!("`m` means thousandths; write {number}Mi for {number} times 2^20 bytes")
            }
            None => FORM.to_owned(),
        };
        return malformed("it is not a whole number of bytes above zero", hint);
    }
    match i64::try_from(millis / 1_000) {
        Ok(bytes) => Ok(bytes.unsigned_abs()),
        Err(_) => malformed("it is more than 2^63 bytes", FORM),
    }
}

fn thousandths(text: &str, form: &str) -> Result<u128, Malformed> {
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 9 || fraction.contains('.') {
        return malformed(format!("{text:?} does not begin with a number of sensible size"), form);
    }
    let Some((_, factor)) = SUFFIXES.iter().find(|(name, _)| *name == suffix) else {
        let near = |exact: &str, binary: &str| {
            format!("write {number}{exact} (decimal) or {number}{binary} (binary)")
        };
        let hint = match suffix.to_lowercase().as_str() {
            _ if form == CPU_FORM => form.to_owned(),
            "kb" | "kib" | "ki" => near("k", "Ki"),
            "mb" | "mib" | "mi" => near("M", "Mi"),
            "gb" | "gib" | "gi" | "g" => near("G", "Gi"),
            "tb" | "tib" | "ti" | "t" => near("T", "Ti"),
            _ => form.to_owned(),
        };
        return malformed(format!("{suffix:?} is not a suffix of a quantity"), hint);
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).expect("at most nine digits"));
    let parse = |digits: &str| digits.parse::<u128>().unwrap_or(0);
    let scaled = (parse(whole) * scale + parse(fraction)) * factor;
    if !scaled.is_multiple_of(scale) {
        return malformed(format!("{text:?} is finer than a thousandth"), form);
    }
    Ok(scaled / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_read_and_wrong_ones_say_what_to_write() {
        let secs = |n| Ok(Duration::from_secs(n));
        assert_eq!(parse_duration("30s"), secs(30));
        assert_eq!(parse_duration("1h30m"), secs(5400));
        assert_eq!(parse_duration("1h 30m"), secs(5400));
        assert_eq!(parse_duration("1d"), secs(86_400));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("0s"), secs(0));
        for (text, hint) in [
            ("30", "write 30s"),
            ("5min", "write 5m"),
            ("2 hours", "a number and a unit"),
            ("1.5h", "1h30m"),
            ("30m1h", "greatest first"),
            ("1s1s", "each unit once"),
            ("1y", "months and years"),
            ("", "a number and a unit"),
            ("-5s", "a number and a unit"),
            ("99999999999999999999d", "3660d"),
            ("4000d", "3660d"),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.hint.contains(hint), "{text}: {error:?}");
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        assert_eq!(parse_cpu("1000m"), Ok(1000));
        assert_eq!(parse_cpu("0.5"), Ok(500));
        assert_eq!(parse_cpu("2"), Ok(2000));
        assert_eq!(parse_bytes("512Mi"), Ok(512 << 20));
        assert_eq!(parse_bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(parse_bytes("1k"), Ok(1000));
        assert!(parse_bytes("512m").expect_err("millibytes").hint.contains("512Mi"));
        assert!(parse_bytes("512MB").expect_err("no suffix").hint.contains("512M (decimal)"));
        assert!(parse_cpu("0.0001").is_err());
        assert!(parse_cpu("0").is_err() && parse_cpu("").is_err() && parse_cpu("x").is_err());
        assert!(parse_bytes("999999999999999Ei").is_err());
    }

    proptest! {
        #[test]
        fn a_length_survives_its_text(micros in 0_u64..316_224_000_000_000) {
            let length = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&format_duration(length)), Ok(length));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_cpu(&text);
            let _ = parse_bytes(&text);
        }
    }
}
