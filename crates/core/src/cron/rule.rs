//! A compiled expression: sets of bits, and the search for the next or previous local second in them.
//!
//! Everything here is about one wall clock that never changes; what clock changes do is [`crate::schedule`]'s.
//! The range is 1970-01-01 to 2199-12-31: 230 years of 12 months bound every search.

use crate::civil::{DAY_SECS, Date, month_length, weekday};

/// The first year a rule can name, and the first it fires in.
pub const YEAR_MIN: i32 = 1970;
/// The last year a rule can name, and the last it fires in.
pub const YEAR_MAX: i32 = 2199;
/// 2200-01-01 as a day number: the first day beyond.
const DAY_END: i64 = 84_006;

/// The local seconds an expression matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    /// Bits 0 to 59.
    pub seconds: u64,
    /// Bits 0 to 59.
    pub minutes: u64,
    /// Bits 0 to 23.
    pub hours: u32,
    /// Bits 1 to 12.
    pub months: u16,
    /// `None`: every year.
    pub years: Option<Box<Years>>,
    /// Which days of a month.
    pub days: Days,
    /// Neither minutes nor hours, nor seconds if given, begin with `*`: cron's own distinction for clock changes.
    pub fixed_time: bool,
}

/// A set of years; bit 0 is 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Years([u64; 4]);

impl Years {
    pub fn insert(&mut self, year: i32) {
        let bit = usize::try_from(year - YEAR_MIN).expect("years are checked when parsed");
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn contains(&self, year: i32) -> bool {
        let bit = (year - YEAR_MIN) as usize;
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

/// Which days of a month, as far as that depends only on the month's length and its first weekday.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Days {
    /// How the two day fields go together.
    pub combine: Combine,
    /// Days of the month: bits 1 to 31.
    pub of_month: u32,
    /// Days of the week: bits 0 (Sunday) to 6.
    pub of_week: u8,
    /// What only a few rules have.
    pub special: Option<Box<SpecialDays>>,
}

/// The day fields' rarer forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SpecialDays {
    /// `L`, `L-n`: bit n is the day n before the last.
    pub before_last: u32,
    /// `nW`: bit n is the weekday nearest to day n.
    pub nearest: u32,
    /// `LW`, `L-nW`: bit n is the weekday nearest to the day n before the last.
    pub nearest_before_last: u32,
    /// `d#n`: bit 7 (n - 1) + d.
    pub nth: u64,
    /// `dL`, `d#L`: bits 0 (Sunday) to 6.
    pub last: u8,
}

/// How the two day fields go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Combine {
    /// Neither restricts.
    #[default]
    Every,
    /// Only the day of the month restricts.
    OfMonth,
    /// Only the day of the week restricts.
    OfWeek,
    /// Both restrict, one of them must match.
    Either,
    /// Both must match.
    Both,
}

impl Days {
    /// The days of a month that match: bits 1 to `length`. `first` is the weekday of its first day.
    pub fn mask(&self, first: u8, length: u8) -> u32 {
        let all = (u32::MAX >> (31 - length)) & !1;
        match self.combine {
            Combine::Every => all,
            Combine::OfMonth => self.of_month_mask(first, length) & all,
            Combine::OfWeek => self.of_week_mask(first, length) & all,
            Combine::Either => (self.of_month_mask(first, length) | self.of_week_mask(first, length)) & all,
            Combine::Both => self.of_month_mask(first, length) & self.of_week_mask(first, length) & all,
        }
    }

    fn of_month_mask(&self, first: u8, length: u8) -> u32 {
        let mut mask = self.of_month;
        if let Some(special) = &self.special {
            for before in bits(special.before_last) {
                if before < length {
                    mask |= 1 << (length - before);
                }
            }
            for day in bits(special.nearest) {
                if day <= length {
                    mask |= 1 << nearest_weekday(day, first, length);
                }
            }
            for before in bits(special.nearest_before_last) {
                if before < length {
                    mask |= 1 << nearest_weekday(length - before, first, length);
                }
            }
        }
        mask
    }

    fn of_week_mask(&self, first: u8, length: u8) -> u32 {
        // The week turned so that bit 0 is the first day's weekday, then repeated over five weeks.
        let turned = |week: u8| (u64::from(week) >> first) | ((u64::from(week) << (7 - first)) & 0x7F);
        let mut mask = turned(self.of_week) * 0x1020_4081;
        if let Some(special) = &self.special {
            for nth in 0..5 {
                mask |= turned((special.nth >> (7 * nth) & 0x7F) as u8) << (7 * nth);
            }
            let tail = length - 7;
            mask |= ((turned(special.last) * 0x1020_4081) >> tail) << tail;
        }
        // Bits above the month's end are the caller's to cut.
        (mask << 1) as u32
    }
}

/// The numbers of the bits that are set, in order.
fn bits(mut set: u32) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros() as u8);
        set &= set.wrapping_sub(1);
        bit
    })
}

/// The Monday to Friday nearest to `day`, in the same month.
fn nearest_weekday(day: u8, first: u8, length: u8) -> u8 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

/// The lowest set bit at or above `from`.
fn bit_from(set: u64, from: u32) -> Option<u32> {
    let above = set & (u64::MAX << from);
    (above != 0).then(|| above.trailing_zeros())
}

/// The highest set bit at or below `to`.
fn bit_to(set: u64, to: u32) -> Option<u32> {
    let below = set & (u64::MAX >> (63 - to));
    (below != 0).then(|| 63 - below.leading_zeros())
}

impl Rule {
    /// The first matching local second at or after `from`; `None` if there is none until the end of 2199.
    pub fn next_local(&self, from: i64) -> Option<i64> {
        let from = from.max(0);
        let (day, second) = (from / DAY_SECS, (from % DAY_SECS) as u32);
        if day >= DAY_END {
            return None;
        }
        let today = self.time_from(second);
        let found = self.next_day(if today.is_some() { day } else { day + 1 })?;
        let time = match today {
            Some(time) if found == day => time,
            _ => self.first_time(),
        };
        Some(found * DAY_SECS + i64::from(time))
    }

    /// The last matching local second at or before `to`; `None` if there is none since 1970.
    pub fn prev_local(&self, to: i64) -> Option<i64> {
        let to = to.min(DAY_END * DAY_SECS - 1);
        if to < 0 {
            return None;
        }
        let (day, second) = (to / DAY_SECS, (to % DAY_SECS) as u32);
        let today = self.time_to(second);
        let found = self.prev_day(if today.is_some() { day } else { day - 1 })?;
        let time = match today {
            Some(time) if found == day => time,
            _ => self.last_time(),
        };
        Some(found * DAY_SECS + i64::from(time))
    }

    /// Whether a local second matches.
    pub fn matches_local(&self, local: i64) -> bool {
        let (day, second) = (local.div_euclid(DAY_SECS), local.rem_euclid(DAY_SECS) as u32);
        self.hours >> (second / 3600) & 1 == 1
            && self.minutes >> (second / 60 % 60) & 1 == 1
            && self.seconds >> (second % 60) & 1 == 1
            && self.matches_day(day)
    }

    /// Whether a day matches the day, month and year fields.
    pub fn matches_day(&self, day: i64) -> bool {
        if !(0..DAY_END).contains(&day) {
            return false;
        }
        let date = Date::from_days(day);
        let first = weekday(day - i64::from(date.day) + 1);
        self.matches_year(date.year)
            && self.months >> date.month & 1 == 1
            && self.days.mask(first, month_length(date.year, date.month)) >> date.day & 1 == 1
    }

    /// Whether the year field has this year.
    pub fn matches_year(&self, year: i32) -> bool {
        self.years.as_ref().is_none_or(|years| years.contains(year))
    }

    fn is_every_day(&self) -> bool {
        self.days.combine == Combine::Every && self.months == 0x1FFE && self.years.is_none()
    }

    fn next_day(&self, from: i64) -> Option<i64> {
        if from >= DAY_END {
            return None;
        }
        if self.is_every_day() {
            return Some(from);
        }
        let date = Date::from_days(from);
        let (mut year, mut month, mut day) = (date.year, date.month, date.day);
        let mut first_day = from - i64::from(day) + 1;
        loop {
            if self.months >> month & 1 == 1 && self.matches_year(year) {
                let length = month_length(year, month);
                let mask = self.days.mask(weekday(first_day), length);
                if let Some(day) = bit_from(u64::from(mask), u32::from(day)) {
                    return Some(first_day + i64::from(day) - 1);
                }
            }
            let later = bit_from(u64::from(self.months), u32::from(month) + 1);
            match later.filter(|_| self.matches_year(year)) {
                Some(later) => month = later as u8,
                None => {
                    year = (year + 1..=YEAR_MAX).find(|year| self.matches_year(*year))?;
                    month = self.months.trailing_zeros() as u8;
                }
            }
            day = 1;
            first_day = Date { year, month, day }.days();
        }
    }

    fn prev_day(&self, to: i64) -> Option<i64> {
        if to < 0 {
            return None;
        }
        if self.is_every_day() {
            return Some(to);
        }
        let date = Date::from_days(to);
        let (mut year, mut month, mut day) = (date.year, date.month, date.day);
        let mut first_day = to - i64::from(day) + 1;
        loop {
            if self.months >> month & 1 == 1 && self.matches_year(year) {
                let length = month_length(year, month);
                let mask = self.days.mask(weekday(first_day), length);
                if let Some(day) = bit_to(u64::from(mask), u32::from(day)) {
                    return Some(first_day + i64::from(day) - 1);
                }
            }
            let earlier = bit_to(u64::from(self.months), u32::from(month) - 1);
            match earlier.filter(|_| self.matches_year(year)) {
                Some(earlier) => month = earlier as u8,
                None => {
                    year = (YEAR_MIN..year).rev().find(|year| self.matches_year(*year))?;
                    month = 15 - self.months.leading_zeros() as u8;
                }
            }
            day = 31;
            first_day = Date { year, month, day: 1 }.days();
        }
    }

    /// The first matching second of a day at or after `second`.
    fn time_from(&self, second: u32) -> Option<u32> {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(found) = bit_from(self.seconds, second % 60)
            {
                return Some(hour * 3600 + minute * 60 + found);
            }
            if let Some(found) = bit_from(self.minutes, minute + 1) {
                return Some(hour * 3600 + found * 60 + self.seconds.trailing_zeros());
            }
        }
        let found = bit_from(u64::from(self.hours), hour + 1)?;
        Some(found * 3600 + self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros())
    }

    /// The last matching second of a day at or before `second`.
    fn time_to(&self, second: u32) -> Option<u32> {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let last_second = 63 - self.seconds.leading_zeros();
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(found) = bit_to(self.seconds, second % 60)
            {
                return Some(hour * 3600 + minute * 60 + found);
            }
            if minute > 0
                && let Some(found) = bit_to(self.minutes, minute - 1)
            {
                return Some(hour * 3600 + found * 60 + last_second);
            }
        }
        let found = bit_to(u64::from(self.hours), hour.checked_sub(1)?)?;
        Some(found * 3600 + (63 - self.minutes.leading_zeros()) * 60 + last_second)
    }

    fn first_time(&self) -> u32 {
        self.hours.trailing_zeros() * 3600
            + self.minutes.trailing_zeros() * 60
            + self.seconds.trailing_zeros()
    }

    fn last_time(&self) -> u32 {
        (31 - self.hours.leading_zeros()) * 3600
            + (63 - self.minutes.leading_zeros()) * 60
            + (63 - self.seconds.leading_zeros())
    }
}
