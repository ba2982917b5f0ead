//! What an expression says, field by field, as parsed: the form that is compiled, explained and written back.

/// One of the seven fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Year,
}

pub(crate) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(crate) const MONTHS_LONG: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Kind {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Year => "year",
        }
    }

    /// The values it takes, in words.
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0-59",
            Self::Hour => "0-23",
            Self::DayOfMonth => "1-31, L, LW, nW",
            Self::Month => "1-12, JAN-DEC",
            Self::DayOfWeek => "0-7, SUN-SAT, d#n, dL",
            Self::Year => "1970-2199",
        }
    }

    /// The least and the greatest value.
    pub fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
            Self::Year => (1970, 2199),
        }
    }

    /// The values `H` chooses from: those that every month and week has.
    pub fn hash_bounds(self) -> (u16, u16) {
        match self {
            Self::DayOfMonth => (1, 28),
            Self::DayOfWeek => (0, 6),
            other => other.bounds(),
        }
    }

    pub fn is_day(self) -> bool {
        matches!(self, Self::DayOfMonth | Self::DayOfWeek)
    }

    /// The value of a three-letter name in any case.
    pub fn named(self, name: &str) -> Option<u16> {
        let names: &[&str] = match self {
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
            _ => return None,
        };
        let at = names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(at as u16 + u16::from(self == Self::Month))
    }
}

/// A field as parsed. Days of the week count from Sunday = 0 whatever the dialect; 7 appears only as a range's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub kind: Kind,
    /// Where the field begins, in characters, and how long it is.
    pub offset: usize,
    pub width: usize,
    /// The parts of its list.
    pub items: Vec<Item>,
    /// It is `*` or `?` and nothing else.
    pub bare: bool,
    /// It begins with `*`.
    pub star: bool,
    /// It begins with `+` (day of week only).
    pub plus: bool,
}

/// A part of a field's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `*` and `*/n`; `?`.
    All { step: u32 },
    /// `n`.
    Value(u16),
    /// `a-b`, `a-b/n`; `a/n` has the greatest value as its end and is `open`.
    Range { from: u16, to: u16, step: u32, open: bool },
    /// `a-b` that passes the field's end and goes on at its beginning (Quartz only).
    Wrap { from: u16, to: u16, step: u32 },
    /// `H`, `H/n`, `H(a-b)`, `H(a-b)/n`.
    Hash { from: u16, to: u16, step: Option<u32> },
    /// `L`, `L-n`, `LW`, `L-nW`.
    Last { before: u8, nearest: bool },
    /// `nW`.
    Nearest { day: u8 },
    /// `d#n`.
    Nth { weekday: u8, nth: u8 },
    /// `dL`, `d#L`.
    LastWeekday { weekday: u8 },
}

/// An expression as parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Seconds to year; `None` for a field the expression does not have.
    pub fields: [Option<Field>; 7],
    /// The day fields are combined by AND, by `+` or by the dialect's rule.
    pub both_days: bool,
}

impl Pattern {
    pub fn field(&self, kind: Kind) -> Option<&Field> {
        self.fields[kind as usize].as_ref()
    }

    /// Whether a hash of the job's name is needed to know its instants.
    pub fn has_hash(&self) -> bool {
        self.fields
            .iter()
            .flatten()
            .flat_map(|field| &field.items)
            .any(|item| matches!(item, Item::Hash { .. }))
    }
}

/// Where an `H` falls: a number that depends on nothing but the job's seed, the field and the part of its list.
/// It never changes between versions: a job's hour would move.
pub(crate) fn spread(seed: u64, kind: Kind, part: usize) -> u64 {
    // The finalizer of SplitMix64, twice, so that neighbouring fields are unrelated.
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    };
    let place = (kind as u64) << 8 | (part as u64 & 0xFF);
    mix(mix(seed).wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}
