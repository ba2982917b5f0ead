//! From text to [`Pattern`]: one pass, a position for every fault, and what to write instead.

use super::compile::compile;
use super::error::CronError;
use super::item::{Context, MISPLACED, NOT_IN_DIALECT, Piece, cut, item};
use super::pattern::{Field, Kind, Pattern};
use super::{Cron, Dialect, Parsed};
use crate::error::Code;
use crate::time::parse_duration;
use std::time::Duration;

/// Not 5, 6 or 7 fields.
const FIELD_COUNT: Code = Code("CRN001");
/// A list with an empty part.
const EMPTY_PART: Code = Code("CRN006");
/// A nickname that is none.
const BAD_NICKNAME: Code = Code("CRN009");
/// An expression of another system.
const FOREIGN: Code = Code("CRN010");
/// Quartz wants `?` in exactly one day field.
const QUESTION_MARK: Code = Code("CRN011");
/// An expression of thousands of characters.
const TOO_LONG: Code = Code("CRN013");
/// `@every` without a usable duration.
const BAD_EVERY: Code = Code("CRN014");
/// `@every` or `@reboot` where times on a wall clock are wanted.
const NO_WALL_CLOCK: Code = Code("CRN015");

/// No expression that says something is longer.
const CHARS_MAX: usize = 4096;

pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Parsed, CronError> {
    if text.len() > CHARS_MAX {
        return Err(whole(
            text,
            TOO_LONG,
            format!("the expression has {} bytes, more than {CHARS_MAX}", text.len()),
        ));
    }
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    if trimmed.starts_with('@') {
        return nickname(text, trimmed, dialect);
    }
    let pattern = pattern(text, dialect)?;
    Ok(Parsed::Cron(compiled(text, dialect, &pattern)))
}

/// The pattern of a text that has been parsed before.
pub(super) fn pattern_again(text: &str, dialect: Dialect) -> Pattern {
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    let fields = nickname_fields(trimmed).unwrap_or(text);
    // A nickname stands for fields of the standard, whatever the dialect it was read in.
    let dialect = if trimmed.starts_with('@') { Dialect::Standard } else { dialect };
    pattern(fields, dialect).expect("the text of a Cron parsed when it was made")
}

fn compiled(text: &str, dialect: Dialect, pattern: &Pattern) -> Cron {
    Cron { text: text.into(), dialect, seed: 0, rule: compile(pattern, 0) }
}

pub(super) fn not_a_wall_clock_rule(text: &str, what: &str) -> CronError {
    CronError {
        hint: Some("write it as a trigger of its own: every: 90s, or @reboot".to_owned()),
        ..whole(text, NO_WALL_CLOCK, format!("{what}, not a rule of times on a wall clock"))
    }
}

/// An error about the expression as a whole.
fn whole(text: &str, code: Code, message: String) -> CronError {
    let width = text.chars().take(CHARS_MAX).count();
    CronError { code, message, offset: 0, width, field: None, allowed: None, hint: None }
}

fn nickname_fields(name: &str) -> Option<&'static str> {
    Some(match name {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

fn nickname(text: &str, trimmed: &str, dialect: Dialect) -> Result<Parsed, CronError> {
    if dialect == Dialect::Quartz {
        return Err(whole(text, NOT_IN_DIALECT, "Quartz has no nicknames".to_owned()));
    }
    if trimmed == "@reboot" {
        return Ok(Parsed::Reboot);
    }
    if let Some(fields) = nickname_fields(trimmed) {
        let pattern = pattern(fields, Dialect::Standard).expect("nicknames stand for valid fields");
        return Ok(Parsed::Cron(compiled(text, dialect, &pattern)));
    }
    if let Some(interval) = trimmed.strip_prefix("@every").filter(|_| dialect == Dialect::Standard) {
        return every(text, interval);
    }
    let word = trimmed.split([' ', '\t']).next().unwrap_or_default();
    let lower = word.to_ascii_lowercase();
    let hint = if nickname_fields(word).is_some() || word == "@reboot" {
        format!("{word} stands alone, without fields after it")
    } else if nickname_fields(&lower).is_some() || lower == "@reboot" {
        format!("nicknames are in lower case: {lower}")
    } else {
        "the nicknames are @yearly @annually @monthly @weekly @daily @midnight @hourly @every @reboot"
            .to_owned()
    };
    let message = format!("unknown nickname {:?}", cut(trimmed));
    Err(CronError { hint: Some(hint), ..whole(text, BAD_NICKNAME, message) })
}

fn every(text: &str, interval: &str) -> Result<Parsed, CronError> {
    let hint = Some("write it as @every 90s, @every 10m or @every 1h30m".to_owned());
    let refuse = |why: String| CronError { hint: hint.clone(), ..whole(text, BAD_EVERY, why) };
    if !interval.starts_with([' ', '\t']) {
        return Err(refuse("@every needs a duration after a space".to_owned()));
    }
    let interval = parse_duration(interval.trim()).map_err(refuse)?;
    if interval < Duration::from_millis(1) {
        return Err(refuse("the interval is shorter than a millisecond".to_owned()));
    }
    Ok(Parsed::Every(interval))
}

fn pattern(text: &str, dialect: Dialect) -> Result<Pattern, CronError> {
    // One slot more than any expression has, so that too many are noticed.
    let mut pieces = [Piece { text: "", offset: 0 }; 8];
    let mut count = 0;
    let mut rest = Piece { text, offset: 0 };
    loop {
        let blank = rest.text.len() - rest.text.trim_start_matches([' ', '\t', '\r', '\n']).len();
        rest = rest.skip(blank);
        if rest.text.is_empty() {
            break;
        }
        let end = rest.text.find([' ', '\t', '\r', '\n']).unwrap_or(rest.text.len());
        let piece = rest.first(end);
        if let Some(slot) = pieces.get_mut(count) {
            *slot = piece;
        }
        count += 1;
        rest = Piece { text: &rest.text[end..], offset: rest.offset + piece.chars() };
    }
    foreign(text)?;
    let kinds = kinds(text, dialect, count)?;
    let mut pattern = Pattern { fields: [const { None }; 7], both_days: false };
    for (piece, kind) in pieces.iter().zip(kinds) {
        pattern.fields[*kind as usize] = Some(field(*piece, *kind, dialect)?);
    }
    let of_month = pattern.field(Kind::DayOfMonth).expect("every dialect has it");
    let of_week = pattern.field(Kind::DayOfWeek).expect("every dialect has it");
    if dialect == Dialect::Quartz {
        question_mark(text, of_month, of_week)?;
    }
    pattern.both_days = of_week.plus || dialect == Dialect::Crontab && (of_month.star || of_week.star);
    Ok(pattern)
}

fn kinds(text: &str, dialect: Dialect, count: usize) -> Result<&'static [Kind], CronError> {
    use Kind::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second, Year};
    const ALL: [Kind; 7] = [Second, Minute, Hour, DayOfMonth, Month, DayOfWeek, Year];
    let (wanted, hint) = match (dialect, count) {
        (Dialect::Standard | Dialect::Crontab, 5) => return Ok(&ALL[1..6]),
        (Dialect::Standard | Dialect::Quartz, 6) => return Ok(&ALL[..6]),
        (Dialect::Standard | Dialect::Quartz, 7) => return Ok(&ALL),
        (Dialect::Standard, _) => (
            "5, 6 or 7",
            "the fields are minute hour day-of-month month day-of-week, with seconds before or seconds and year around",
        ),
        (Dialect::Crontab, _) => ("5", "the fields are minute hour day-of-month month day-of-week"),
        (Dialect::Quartz, _) => {
            ("6 or 7", "the fields are second minute hour day-of-month month day-of-week [year]")
        }
    };
    let message = match count {
        0 => "the expression is empty".to_owned(),
        1 => format!("the expression has 1 field, not {wanted}"),
        count => format!("the expression has {count} fields, not {wanted}"),
    };
    Err(CronError { hint: Some(hint.to_owned()), ..whole(text, FIELD_COUNT, message) })
}

/// Names other systems' expressions, rather than complain about their first letter.
fn foreign(text: &str) -> Result<(), CronError> {
    let lower = text.trim_start().get(..6).unwrap_or(text.trim()).to_ascii_lowercase();
    let (what, hint) = if lower.starts_with("rate(") {
        ("an AWS rate expression", "write an interval: every: 5m, or @every 5m")
    } else if lower.starts_with("cron(") {
        ("an AWS cron expression", "write the fields without cron( ), and without the year if it is *")
    } else if lower.starts_with("at(") {
        ("an AWS one-time expression", "write a trigger at: 2026-12-24T18:00:00Z")
    } else if lower.starts_with("every ") {
        ("words", "write */5 * * * *, or @every 5m")
    } else if lower.starts_with("rrule") || lower.starts_with("freq=") || lower.starts_with("dtstar") {
        ("an iCalendar rule", "write it as cron fields, or put the dates into a calendar")
    } else if lower.starts_with("*-*-*") {
        ("a systemd calendar event", "write *-*-* 02:00:00 as 0 2 * * *")
    } else if lower.starts_with("tz=") || lower.starts_with("cron_t") {
        ("a rule with a zone before it", "give the zone as timeZone beside the rule")
    } else {
        return Ok(());
    };
    let message = format!("{:?} is {what}, not a cron expression", cut(text.trim()));
    Err(CronError { hint: Some(hint.to_owned()), ..whole(text, FOREIGN, message) })
}

fn question_mark(text: &str, of_month: &Field, of_week: &Field) -> Result<(), CronError> {
    let marks: usize = [of_month, of_week].iter().filter(|field| field.bare && !field.star).count();
    if marks == 1 {
        return Ok(());
    }
    let message = if marks == 0 { "neither day field is ?" } else { "both day fields are ?" };
    Err(CronError {
        hint: Some("Quartz wants ? in exactly one of day-of-month and day-of-week".to_owned()),
        field: Some(Kind::DayOfMonth.name()),
        offset: of_month.offset,
        width: of_week.offset + of_week.width - of_month.offset,
        ..whole(text, QUESTION_MARK, message.to_owned())
    })
}

fn field(piece: Piece<'_>, kind: Kind, dialect: Dialect) -> Result<Field, CronError> {
    let context = Context { kind, dialect };
    let mut list = piece;
    let mut plus = false;
    if list.text.starts_with('+') {
        if kind != Kind::DayOfWeek {
            let message = format!("+ does not belong into the {} field", kind.name());
            let hint = "+ goes before day-of-week and means that both day fields must match";
            return Err(context.hinted(list.first(1), MISPLACED, message, hint));
        }
        if dialect != Dialect::Standard {
            return Err(context.error(list.first(1), NOT_IN_DIALECT, "this dialect has no +".to_owned()));
        }
        plus = true;
        list = list.skip(1);
    }
    let mut items = Vec::with_capacity(1);
    let mut rest = Some(list);
    while let Some(part) = rest {
        let (part, after) = match part.split_once(',') {
            Some((part, after)) => (part, Some(after)),
            None => (part, None),
        };
        if part.text.is_empty() {
            let message = format!("a part of the {} field's list is empty", kind.name());
            let at = Piece { text: "", offset: part.offset };
            return Err(context.hinted(at, EMPTY_PART, message, "remove the extra comma"));
        }
        items.push(item(part, context)?);
        rest = after;
    }
    Ok(Field {
        kind,
        offset: piece.offset,
        width: piece.chars(),
        bare: matches!(list.text, "*" | "?"),
        star: list.text.starts_with('*'),
        plus,
        items,
    })
}
