//! A crontab's time fields: what they mean here, and where cron means something else than it seems.

use super::{NEVER_RUNS, NOT_A_LINE, READ_OTHERWISE};
use punctual_core::cron::{self, CronError, Dialect, Parsed};
use punctual_core::error::{Code, Diagnostic, Origin};

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
    let parsed = cron::parse(text, Dialect::Crontab).map_err(|error| refused(&error, origin))?;
    let Parsed::Cron(cron) = parsed else {
        return Ok(Rule { standard: text.to_owned(), notes: Vec::new() });
    };
    if let Some(why) = cron.never_fires() {
        let error = Diagnostic::error(NEVER_RUNS, format!("schedule {text:?} never runs"));
        return Err(Box::new(
            error.detail(why).at(origin.clone()).hint("write a day that exists, or drop the line"),
        ));
    }
    let notes = cron
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
    Ok(Rule { standard: standard(text), notes })
}

/// The fields in the syntax of definitions, each as written. To cron a day field that begins with `*` is a star, so that
/// the other one must match as well; definitions take only a bare `*` for one, and say `+` where both must match.
fn standard(text: &str) -> String {
    let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if let [_, _, of_month, _, of_week] = fields.as_mut_slice()
        && (of_month.starts_with('*') || of_week.starts_with('*'))
        && of_month != "*"
        && of_week != "*"
    {
        of_week.insert(0, '+');
    }
    fields.join(" ")
}

fn refused(error: &CronError, origin: &Origin) -> Diagnostic {
    let diagnostic = error.diagnostic(Some(origin.clone()));
    if error.code == Code("CRN004") {
        return diagnostic.detail("cron takes such a range and never runs the line");
    }
    diagnostic
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
