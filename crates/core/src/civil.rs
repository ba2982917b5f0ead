//! Days and months of the proleptic Gregorian calendar, as plain arithmetic.
//!
//! A day is a number: days since 1970-01-01. A local second is seconds since 1970-01-01T00:00:00 on some wall clock.
//! Weekdays count from Sunday = 0. The range that is guaranteed is 1900 to 2400, wider than any search.

/// Seconds of a day without clock changes.
pub const DAY_SECS: i64 = 86_400;

/// A date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year, such as 2026.
    pub year: i32,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
}

impl Date {
    /// The date, if there is such a day.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let valid = (1900..2400).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= month_length(year, month);
        valid.then_some(Self { year, month, day })
    }

    /// The date of the day `days` since 1970-01-01.
    ///
    /// The method of Neri and Schneider ("Euclidean affine functions and their application to calendar
    /// algorithms", 2022): no branches, no loops.
    pub fn from_days(days: i64) -> Self {
        // Shifted by one era of 400 years, so that everything is unsigned; years begin in March.
        let shifted = u32::try_from(days + 719_468).unwrap_or(0);
        let century_part = 4 * shifted + 3;
        let century = century_part / 146_097;
        let of_century = century_part % 146_097 / 4;
        let product = 2_939_745_u64 * u64::from(4 * of_century + 3);
        let year_of_century = (product >> 32) as u32;
        let day_of_year = (product as u32) / 2_939_745 / 4;
        let month_part = 2141 * day_of_year + 197_913;
        let month = month_part >> 16;
        let day = (month_part & 0xFFFF) / 2141;
        let after_december = u32::from(day_of_year >= 306);
        Self {
            year: (100 * century + year_of_century + after_december) as i32,
            month: (month - 12 * after_december) as u8,
            day: day as u8 + 1,
        }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        let (year, month) = if self.month <= 2 {
            (i64::from(self.year) - 1, i64::from(self.month) + 12)
        } else {
            (i64::from(self.year), i64::from(self.month))
        };
        let century = year.div_euclid(100);
        let of_year = (153 * (month - 3) + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + year.div_euclid(4) - century + century.div_euclid(4) + of_year - 719_468
    }

    /// The day of the week, Sunday = 0.
    pub fn weekday(self) -> u8 {
        weekday(self.days())
    }

    /// Reads `2026-12-25`.
    ///
    /// # Errors
    /// The text is not of this form, or there is no such day.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = |part: &str, len: usize| {
            (part.len() == len && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u16>().ok())
                .flatten()
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts[..] else {
            return Err(format!("{text:?} is not a date; write it as 2026-12-25"));
        };
        let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2)) else {
            return Err(format!("{text:?} is not a date; write it as 2026-12-25"));
        };
        let date = u8::try_from(month).ok().zip(u8::try_from(day).ok());
        date.and_then(|(month, day)| Self::new(i32::from(year), month, day))
            .ok_or_else(|| format!("there is no day {text} between 1900 and 2399"))
    }
}

/// ISO 8601: `2026-12-25`.
impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// The day of the week of a day since 1970-01-01, Sunday = 0.
pub fn weekday(days: i64) -> u8 {
    (days + 4).rem_euclid(7) as u8
}

/// How many days a month has.
pub fn month_length(year: i32, month: u8) -> u8 {
    if month == 2 { 28 + u8::from(is_leap(year)) } else { 30 | (month ^ (month >> 3)) }
}

/// Whether a year has a 29th of February.
pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_agrees_with_the_reference() {
        let mut civil = jiff::civil::date(1900, 1, 1);
        let first = Date { year: 1900, month: 1, day: 1 }.days();
        for days in first..first + 146_097 {
            let date = Date::from_days(days);
            let expected = (i32::from(civil.year()), civil.month() as u8, civil.day() as u8);
            assert_eq!((date.year, date.month, date.day), expected, "day {days}");
            assert_eq!(date.days(), days);
            assert_eq!(i8::try_from(date.weekday()), Ok(civil.weekday().to_sunday_zero_offset()));
            assert_eq!(month_length(date.year, date.month), civil.days_in_month() as u8);
            civil = civil.tomorrow().expect("far from the end of time");
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        assert_eq!(Date::parse("2026-12-25"), Ok(Date { year: 2026, month: 12, day: 25 }));
        for text in ["2026-02-29", "2026-13-01", "2026-1-1", "20261225", "", "2026-12-25-", "x", "+026-01-01"]
        {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
