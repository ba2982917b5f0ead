//! Remarks on expressions that are taken, but may not mean what was meant.

use super::error::Note;
use super::pattern::{Item, Kind, Pattern};

/// Remarks on a pattern that was taken.
pub(super) fn notes(pattern: &Pattern, text: &str) -> Vec<Note> {
    let mut notes = Vec::new();
    for field in pattern.fields.iter().flatten() {
        let mut say =
            |message: String| notes.push(Note { offset: field.offset, width: field.width, message });
        let name = field.kind.name();
        for item in &field.items {
            match *item {
                Item::Range { from, to, step, open } => {
                    let overshoots = from < to && step > u32::from(to - from);
                    if open {
                        say(format!("{from}/{step} means {from}-{to}/{step} in the {name} field"));
                    }
                    if overshoots {
                        say(format!("the step {step} passes the end of {from}-{to}: only {from} matches"));
                    }
                }
                Item::All { step } => {
                    let (min, max) = field.kind.bounds();
                    let size = if field.kind == Kind::DayOfWeek { 7 } else { max - min + 1 };
                    if step >= u32::from(size) {
                        say(format!(
                            "the step {step} passes the end of the {name} field: only {min} matches"
                        ));
                    } else if !u32::from(size).is_multiple_of(step)
                        && !field.kind.is_day()
                        && field.kind != Kind::Year
                    {
                        say(format!(
                            "{size} is no multiple of {step}: the last interval of the {name} field is shorter"
                        ));
                    }
                }
                Item::Hash { from, to, step: Some(step) } if step > u32::from(to - from) => {
                    say(format!("the step {step} passes the end of the range: one value matches"));
                }
                _ => {}
            }
        }
    }
    // Positions in a nickname's own fields mean nothing to who wrote the nickname.
    if text.trim_start().starts_with('@') { Vec::new() } else { notes }
}
