//! Time fields of crontabs and CronJobs: what they mean here, and where they mean something else than it seems.

use super::{BAD_FIELD, NEVER_RUNS, NOT_A_LINE, READ_OTHERWISE};
use punctual_core::cron::{self, Cron, CronError, Dialect, Parsed};
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
    let parsed = cron::parse(text, Dialect::Crontab).map_err(|error| refused(&error, origin))?;
    let Parsed::Cron(cron) = parsed else {
        return Ok(Rule { standard: text.to_owned(), notes: Vec::new() });
    };
    not_never(&cron, text, origin)?;
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

/// Reads the schedule of a CronJob. `origin` is where it stands.
///
/// # Errors
/// Kubernetes refuses it, or would never run it.
pub fn kubernetes(text: &str, origin: &Origin) -> Result<Rule, Box<Diagnostic>> {
    let refuse = |message: String, hint: &str| {
        Box::new(Diagnostic::error(BAD_FIELD, message).at(origin.clone()).hint(hint.to_owned()))
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if !text.starts_with('@') {
        if fields.len() != 5 {
            return Err(refuse(
                format!("the schedule {text:?} has {} fields, not 5", fields.len()),
                "write minute, hour, day of month, month, day of week",
            ));
        }
        if let Some(field) = fields.iter().find(|field| !is_kubernetes_field(field)) {
            return Err(refuse(
                format!("Kubernetes does not know {field:?} in a schedule"),
                "its schedules have numbers, names, * ? , - and / only",
            ));
        }
    }
    // `@every` takes Go's durations, which may be longer than a day only in hours.
    let parsed = cron::parse(text, Dialect::Standard).map_err(|error| {
        let mut diagnostic = error.diagnostic(Some(origin.clone()));
        diagnostic.origin = Some(origin.clone());
        diagnostic
    })?;
    let standard = match parsed {
        Parsed::Reboot => return Err(refuse("Kubernetes knows no @reboot".to_owned(), "write a schedule")),
        Parsed::Every(_) => text.to_owned(),
        Parsed::Cron(cron) => {
            not_never(&cron, text, origin)?;
            fields.iter().enumerate().map(|(at, field)| star(at, field)).collect::<Vec<_>>().join(" ")
        }
    };
    let mut notes = Vec::new();
    if let Some(of_week) = fields.get(4).filter(|field| has_seven(field)) {
        let note = format!("Kubernetes takes 0 to 6 for days of the week, so it refuses {of_week:?}");
        notes.push(
            Diagnostic::warning(READ_OTHERWISE, note)
                .at(origin.clone())
                .detail("7 is taken for Sunday here")
                .hint("write 0 for Sunday in the manifest, and 0,5,6 for 5-7"),
        );
    }
    Ok(Rule { standard, notes })
}

/// Whether a day-of-week field says 7 for Sunday. The 7 of a step is none.
fn has_seven(field: &str) -> bool {
    let days = field.split(',').filter_map(|part| part.split('/').next());
    days.flat_map(|range| range.split('-')).any(|day| day.parse() == Ok(7))
}

fn is_kubernetes_field(field: &str) -> bool {
    let word = |part: &str| part.is_empty() || part.bytes().all(|b| b.is_ascii_digit()) || is_name(part);
    field.split(['*', '?', ',', '-', '/']).all(word)
}

fn is_name(word: &str) -> bool {
    const NAMES: &str = "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat";
    word.len() == 3 && NAMES.split(' ').any(|name| name.eq_ignore_ascii_case(word))
}

/// Kubernetes takes a day field with a `*`, `?` or `*/1` among its parts for a star.
fn star(at: usize, field: &str) -> String {
    let is_star =
        matches!(at, 2 | 4) && field.split(',').any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"));
    if is_star { "*".to_owned() } else { field.to_owned() }
}

fn not_never(cron: &Cron, text: &str, origin: &Origin) -> Result<(), Box<Diagnostic>> {
    let Some(why) = cron.never_fires() else { return Ok(()) };
    let error = Diagnostic::error(NEVER_RUNS, format!("schedule {text:?} never runs"));
    Err(Box::new(error.detail(why).at(origin.clone()).hint("write a day that exists")))
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
    match (error.code.0, error.field) {
        ("CRN004", _) => diagnostic.detail("cron takes such a range for an empty one"),
        (_, Some("day-of-month")) => diagnostic.detail("in a crontab the day-of-month field takes 1-31"),
        (_, Some("day-of-week")) => {
            diagnostic.detail("in a crontab the day-of-week field takes 0-7, sun-sat")
        }
        _ => diagnostic,
    }
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
