//! A crontab's time fields: what they mean here, and where cron means something else than it seems.

use super::{NEVER_RUNS, NOT_A_LINE, READ_OTHERWISE};
use punctual_core::cron::{self, Dialect, Parsed};
use punctual_core::error::{Diagnostic, Origin};

/// The schedule of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// In the syntax of definitions: `+` where cron wants both day fields to match.
    pub standard: String,
    /// Remarks on what cron makes of it.
    pub notes: Vec<Diagnostic>,
}

/// Cron's nicknames; it knows them in lower case only.
const NICKNAMES: [&str; 8] =
    ["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Reads the time fields or nickname of a crontab's line. `origin` is where they stand.
///
/// # Errors
/// Cron refuses them, or would never run them.
pub fn crontab(text: &str, origin: &Origin) -> Result<Rule, Box<Diagnostic>> {
    if text.starts_with('@') && !NICKNAMES.contains(&text) {
        return Err(Box::new(unknown_nickname(text).at(origin.clone())));
    }
    let parsed = cron::parse(text, Dialect::Crontab).map_err(|e| e.diagnostic(Some(origin.clone())))?;
    let Parsed::Cron(cron) = parsed else {
        return Ok(Rule { standard: text.to_owned(), notes: Vec::new() });
    };
    if let Some(why) = cron.never_fires() {
        let error = Diagnostic::error(NEVER_RUNS, format!("schedule {text:?} never runs"));
        return Err(Box::new(error.detail(why).at(origin.clone()).hint("write a day that exists, or drop the line")));
    }
    let mut notes: Vec<Diagnostic> = cron
        .notes()
        .into_iter()
        .map(|note| {
            let at = Origin {
                column: origin.column + u32::try_from(note.offset).unwrap_or(0),
                width: u32::try_from(note.width).unwrap_or(1).max(1),
                ..origin.clone()
            };
            Diagnostic::warning(READ_OTHERWISE, note.message).at(at)
        })
        .collect();
    notes.extend(to_sunday(text).map(|range| {
        Diagnostic::warning(READ_OTHERWISE, format!("the days {range} are taken to end on Sunday"))
            .at(origin.clone())
            .detail("Debian's cron counts Sunday as 0 there, sees the range go backwards and never runs the line")
            .hint(format!("write {} to be read alike everywhere", range_to_seven(range)))
    }));
    Ok(Rule { standard: cron.to_standard(), notes })
}

fn unknown_nickname(text: &str) -> Diagnostic {
    let error = Diagnostic::error(NOT_A_LINE, format!("cron knows no {text}"));
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        known if NICKNAMES.contains(&known) => error.hint(format!("write it in lower case: {known}")),
        "@every_minute" => error.detail("it is FreeBSD's").hint("write * * * * *"),
        _ => error.hint(format!("write one of {}", NICKNAMES.join(", "))),
    }
}

/// The first range of days that ends on a Sunday written as 0 or by name.
fn to_sunday(text: &str) -> Option<&str> {
    let sunday = |day: &str| day == "0" || day.eq_ignore_ascii_case("sun");
    let ranges = text.split_whitespace().nth(4)?.split(',');
    ranges.map(|part| part.split('/').next().unwrap_or(part)).find(|range| {
        range.split_once('-').is_some_and(|(from, to)| !sunday(from) && sunday(to))
    })
}

fn range_to_seven(range: &str) -> String {
    range.split_once('-').map_or_else(String::new, |(from, _)| {
        let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let number = days.iter().position(|day| from.eq_ignore_ascii_case(day));
        format!("{}-7", number.map_or_else(|| from.to_owned(), |n| n.to_string()))
    })
}
