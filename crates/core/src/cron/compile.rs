//! From what an expression says to sets of bits.

use super::pattern::{Field, Item, Kind, Pattern, spread};
use super::rule::{Combine, Days, Rule, SpecialDays, Years};

/// Compiles a parsed expression; `seed` decides where an `H` falls.
pub(super) fn compile(pattern: &Pattern, seed: u64) -> Rule {
    let set = |kind: Kind, absent: u64| {
        pattern.field(kind).map_or(absent, |field| {
            let mut bits = 0;
            field.each_value(seed, |value| bits |= 1_u64 << value);
            bits
        })
    };
    let years = pattern.field(Kind::Year).filter(|field| !field.bare).map(|field| {
        let mut years = Years::default();
        field.each_value(seed, |year| years.insert(i32::from(year)));
        Box::new(years)
    });
    let star = |kind: Kind| pattern.field(kind).is_some_and(|field| field.star);
    Rule {
        seconds: set(Kind::Second, 1),
        minutes: set(Kind::Minute, 1),
        hours: set(Kind::Hour, 1) as u32,
        months: set(Kind::Month, 0x1FFE) as u16,
        years,
        days: days(pattern, seed),
        fixed_time: !star(Kind::Second) && !star(Kind::Minute) && !star(Kind::Hour),
    }
}

fn days(pattern: &Pattern, seed: u64) -> Days {
    let bare = |kind: Kind| pattern.field(kind).is_none_or(|field| field.bare);
    let mut days = Days {
        combine: match (bare(Kind::DayOfMonth), bare(Kind::DayOfWeek)) {
            (true, true) => Combine::Every,
            (false, true) => Combine::OfMonth,
            (true, false) => Combine::OfWeek,
            (false, false) if pattern.both_days => Combine::Both,
            (false, false) => Combine::Either,
        },
        ..Days::default()
    };
    let mut special = SpecialDays::default();
    for kind in [Kind::DayOfMonth, Kind::DayOfWeek] {
        let Some(field) = pattern.field(kind) else { continue };
        field.each_value(seed, |value| match kind {
            Kind::DayOfMonth => days.of_month |= 1 << value,
            _ => days.of_week |= 1 << (value % 7),
        });
        for item in &field.items {
            match *item {
                Item::Last { before, nearest: false } => special.before_last |= 1 << before,
                Item::Last { before, nearest: true } => special.nearest_before_last |= 1 << before,
                Item::Nearest { day } => special.nearest |= 1 << day,
                Item::Nth { weekday, nth } => special.nth |= 1 << (7 * (nth - 1) + weekday),
                Item::LastWeekday { weekday } => special.last |= 1 << weekday,
                _ => {}
            }
        }
    }
    days.special = (special != SpecialDays::default()).then(|| Box::new(special));
    days
}

impl Field {
    /// Calls `each` with every plain value of the field; the forms that depend on the month give none.
    pub(super) fn each_value(&self, seed: u64, mut each: impl FnMut(u16)) {
        let (min, max) = self.kind.bounds();
        let mut walk = |from: u16, to: u16, step: u32| {
            let mut value = u32::from(from);
            while value <= u32::from(to) {
                each(value as u16);
                value = value.saturating_add(step);
            }
        };
        for (part, item) in self.items.iter().enumerate() {
            match *item {
                Item::All { step } => walk(min, max, step),
                Item::Value(value) => walk(value, value, 1),
                Item::Range { from, to, step, .. } => walk(from, to, step),
                Item::Wrap { from, to, step } => {
                    // Seen as one range across the field's end; a week has 7 days, its field 8 numbers.
                    let len = if self.kind == Kind::DayOfWeek { 7 } else { max - min + 1 };
                    let mut value = u32::from(from - min);
                    while value <= u32::from(to - min) + u32::from(len) {
                        walk(min + (value % u32::from(len)) as u16, min + (value % u32::from(len)) as u16, 1);
                        value = value.saturating_add(step);
                    }
                }
                Item::Hash { from, to, step } => {
                    let size = u64::from(to - from) + 1;
                    let window = step.map_or(size, |step| size.min(u64::from(step)));
                    let first = from + (spread(seed, self.kind, part) % window) as u16;
                    match step {
                        Some(step) => walk(first, to, step),
                        None => walk(first, first, 1),
                    }
                }
                Item::Last { .. } | Item::Nearest { .. } | Item::Nth { .. } | Item::LastWeekday { .. } => {}
            }
        }
    }
}
