//! A rule written back in the standard syntax, whatever dialect it was read in.

use super::pattern::{Field, Item, Kind, Pattern};
use super::{Cron, Dialect, parse};

impl Cron {
    /// The rule in the standard dialect: 5 fields where it has no seconds and no year, `+` where its day fields must
    /// both match. What was standard already comes back as it was written, blanks trimmed.
    pub fn to_standard(&self) -> String {
        let trimmed = self.text.trim_matches([' ', '\t', '\r', '\n']);
        if self.dialect == Dialect::Standard || trimmed.starts_with('@') {
            return trimmed.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        }
        let pattern = parse::pattern_again(&self.text, self.dialect);
        let both = pattern.both_days && !pattern.day_is_bare();
        let fields: Vec<String> = pattern
            .fields
            .iter()
            .flatten()
            // Seconds of 0 and every year are what five fields mean.
            .filter(|field| match field.kind {
                Kind::Second => pattern.has_year() || field.items != [Item::Value(0)],
                Kind::Year => pattern.has_year(),
                _ => true,
            })
            .map(|field| {
                let plus = if both && field.kind == Kind::DayOfWeek { "+" } else { "" };
                format!("{plus}{}", written(field))
            })
            .collect();
        fields.join(" ")
    }
}

impl Pattern {
    fn has_year(&self) -> bool {
        self.field(Kind::Year).is_some_and(|field| !field.bare)
    }

    /// Whether a day field does not restrict, so that it does not matter how the two are combined.
    fn day_is_bare(&self) -> bool {
        [Kind::DayOfMonth, Kind::DayOfWeek]
            .iter()
            .any(|kind| self.field(*kind).is_none_or(|field| field.bare))
    }
}

fn written(field: &Field) -> String {
    if field.bare {
        return "*".to_owned();
    }
    field.items.iter().map(|item| write_item(*item, field.kind)).collect::<Vec<_>>().join(",")
}

fn write_item(item: Item, kind: Kind) -> String {
    let stepped = |base: String, step: u32| if step == 1 { base } else { format!("{base}/{step}") };
    match item {
        Item::All { step } => stepped("*".to_owned(), step),
        Item::Value(value) => value.to_string(),
        Item::Range { from, to, step, .. } => stepped(format!("{from}-{to}"), step),
        Item::Wrap { from, to, step } => {
            // One list for all, since a step counts across the end.
            let mut values = Vec::new();
            let field =
                Field { kind, offset: 0, width: 0, items: vec![item], bare: false, star: false, plus: false };
            field.each_value(0, |value| values.push(value.to_string()));
            if step == 1 && from > to && kind != Kind::DayOfWeek {
                let (min, max) = kind.bounds();
                return format!("{from}-{max},{min}-{to}");
            }
            values.join(",")
        }
        Item::Hash { from, to, step } => {
            let range =
                if (from, to) == kind.hash_bounds() { String::new() } else { format!("({from}-{to})") };
            step.map_or_else(|| format!("H{range}"), |step| format!("H{range}/{step}"))
        }
        Item::Last { before, nearest } => {
            let before = if before == 0 { String::new() } else { format!("-{before}") };
            format!("L{before}{}", if nearest { "W" } else { "" })
        }
        Item::Nearest { day } => format!("{day}W"),
        Item::Nth { weekday, nth } => format!("{weekday}#{nth}"),
        Item::LastWeekday { weekday } => format!("{weekday}#L"),
    }
}
