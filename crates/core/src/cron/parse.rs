//! From text to [`Pattern`]: one pass, a position for every fault, and what to write instead.

use super::compile::compile;
use super::error::{CronError, Note};
use super::pattern::{Field, Item, Kind, Pattern};
use super::{Cron, Dialect, Parsed};
use crate::error::Code;
use crate::time::parse_duration;
use std::time::Duration;

/// Not 5, 6 or 7 fields.
const FIELD_COUNT: Code = Code("CRN001");
/// A part of a field that is not a value, range, step or special form.
const MALFORMED: Code = Code("CRN002");
/// A number outside of its field.
const OUT_OF_RANGE: Code = Code("CRN003");
/// A range that runs backwards.
const BACKWARDS: Code = Code("CRN004");
/// A step of zero, or none where one must be.
const BAD_STEP: Code = Code("CRN005");
/// A list with an empty part.
const EMPTY_PART: Code = Code("CRN006");
/// A name that is none, or stands in a field without names.
const BAD_NAME: Code = Code("CRN007");
/// `L`, `W`, `#`, `?`, `+`, `H` where it has no meaning.
const MISPLACED: Code = Code("CRN008");
/// A nickname that is none.
const BAD_NICKNAME: Code = Code("CRN009");
/// An expression of another system.
const FOREIGN: Code = Code("CRN010");
/// Quartz wants `?` in exactly one day field.
const QUESTION_MARK: Code = Code("CRN011");
/// A form that this dialect does not have.
const NOT_IN_DIALECT: Code = Code("CRN012");
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

/// A text for a message, cut to a sensible length.
fn cut(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at])
}

/// A piece of the expression and where it begins, in characters.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Piece<'a> {
    fn chars(self) -> usize {
        // Expressions are ASCII unless they are wrong.
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }

    /// The rest after `bytes` bytes, which are ASCII.
    fn skip(self, bytes: usize) -> Self {
        Self { text: &self.text[bytes..], offset: self.offset + bytes }
    }

    fn first(self, bytes: usize) -> Self {
        Self { text: &self.text[..bytes], offset: self.offset }
    }

    /// The pieces before and after the first `separator`.
    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        let before = self.first(at);
        let after = Self { text: &self.text[at + 1..], offset: self.offset + before.chars() + 1 };
        Some((before, after))
    }
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

/// What a part of a field needs to know of its surroundings.
#[derive(Clone, Copy)]
struct Context {
    kind: Kind,
    dialect: Dialect,
}

impl Context {
    fn error(self, at: Piece<'_>, code: Code, message: String) -> CronError {
        CronError {
            code,
            message,
            offset: at.offset,
            width: at.chars(),
            field: Some(self.kind.name()),
            allowed: Some(self.kind.allowed()),
            hint: None,
        }
    }

    fn hinted(self, at: Piece<'_>, code: Code, message: String, hint: impl Into<String>) -> CronError {
        CronError { hint: Some(hint.into()), ..self.error(at, code, message) }
    }

    /// Refuses a form which a crontab does not have.
    fn not_in_crontab(self, at: Piece<'_>, what: &str) -> Result<(), CronError> {
        if self.dialect == Dialect::Crontab {
            return Err(self.error(
                at,
                NOT_IN_DIALECT,
                format!("a crontab's {} field has no {what}", self.kind.name()),
            ));
        }
        Ok(())
    }
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

fn item(part: Piece<'_>, context: Context) -> Result<Item, CronError> {
    let (base, step) = match part.split_once('/') {
        Some((base, step)) => (base, Some(self::step(part, step, context)?)),
        None => (part, None),
    };
    let bytes = base.text.as_bytes();
    match bytes.first() {
        // Quartz reads /5 as 0/5.
        None if context.dialect == Dialect::Quartz => {
            let (from, to) = context.kind.bounds();
            Ok(Item::Range { from, to, step: step.unwrap_or(1), open: true })
        }
        None => {
            let hint = format!("write */{}", &part.text[1..]);
            Err(context.hinted(part, BAD_STEP, "a step needs something before the /".to_owned(), hint))
        }
        Some(b'*') if bytes.len() == 1 => Ok(Item::All { step: step.unwrap_or(1) }),
        Some(b'?') if bytes.len() == 1 => question(part, step, context),
        Some(b'H' | b'h') if bytes.len() == 1 || bytes[1] == b'(' => hash(base, step, context),
        _ if context.kind == Kind::DayOfMonth && has_letter(bytes, b"LW") => day_special(part, step, context),
        _ if context.kind == Kind::DayOfWeek && (bytes.contains(&b'#') || ends_with_last(bytes)) => {
            weekday_special(part, step, context)
        }
        _ => range(part, base, step, context),
    }
}

fn has_letter(bytes: &[u8], letters: &[u8]) -> bool {
    bytes.iter().any(|byte| letters.contains(&byte.to_ascii_uppercase()))
}

/// `5L`, `FRIL`, and `L` alone.
fn ends_with_last(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'L'))
}

fn question(part: Piece<'_>, step: Option<u32>, context: Context) -> Result<Item, CronError> {
    context.not_in_crontab(part, "?")?;
    if !context.kind.is_day() {
        let message = format!("? does not belong into the {} field", context.kind.name());
        return Err(context.hinted(part, MISPLACED, message, "write *"));
    }
    if step.is_some() {
        return Err(context.hinted(part, MISPLACED, "? takes no step".to_owned(), "write */n"));
    }
    Ok(Item::All { step: 1 })
}

fn step(part: Piece<'_>, step: Piece<'_>, context: Context) -> Result<u32, CronError> {
    if step.text.is_empty() || !step.text.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("{:?} is not a step", cut(step.text));
        let at = if step.text.is_empty() { part } else { step };
        return Err(context.hinted(at, BAD_STEP, message, "a step is a whole number from 1, as in */5"));
    }
    match step.text.parse::<u32>() {
        Ok(0) => {
            Err(context.hinted(step, BAD_STEP, "a step of 0 never gets on".to_owned(), "write a step from 1"))
        }
        Ok(step) => Ok(step),
        Err(_) => Err(context.error(step, OUT_OF_RANGE, format!("the step {} is too large", cut(step.text)))),
    }
}

/// `5`, `MON`, `1-5`, `10-40/10`, `5/15`.
fn range(part: Piece<'_>, base: Piece<'_>, step: Option<u32>, context: Context) -> Result<Item, CronError> {
    let kind = context.kind;
    let Some((first, last)) = base.split_once('-') else {
        let from = value(base, context)?;
        let Some(step) = step else {
            return Ok(Item::Value(if kind == Kind::DayOfWeek { from % 7 } else { from }));
        };
        if context.dialect == Dialect::Crontab {
            let hint = format!("write {}-{}/{step}", base.text, kind.bounds().1);
            return Err(context.hinted(
                part,
                NOT_IN_DIALECT,
                "a crontab takes a step only after * or a range".to_owned(),
                hint,
            ));
        }
        // Quartz has no number for the Sunday after Saturday.
        let to =
            if kind == Kind::DayOfWeek && context.dialect == Dialect::Quartz { 6 } else { kind.bounds().1 };
        return Ok(Item::Range { from, to, step, open: true });
    };
    let (from, mut to) = (value(first, context)?, value(last, context)?);
    let step = step.unwrap_or(1);
    if kind == Kind::DayOfWeek && to == 0 && from > 0 && context.dialect == Dialect::Standard {
        // A range of days may end on Sunday, whichever of its numbers or its name is written.
        to = 7;
    }
    if from <= to {
        return Ok(Item::Range { from, to, step, open: false });
    }
    if context.dialect == Dialect::Quartz {
        return Ok(Item::Wrap { from, to, step });
    }
    let message = format!("the range {} runs backwards", cut(base.text));
    Err(context.hinted(base, BACKWARDS, message, format!("write {}", unwrapped(from, to, kind))))
}

/// A backwards range as the list of forward ones that was probably meant.
fn unwrapped(from: u16, to: u16, kind: Kind) -> String {
    let (min, mut max) = kind.bounds();
    let from = if kind == Kind::DayOfWeek {
        max = 6;
        from % 7
    } else {
        from
    };
    let span = |from: u16, to: u16| if from == to { from.to_string() } else { format!("{from}-{to}") };
    if from <= to { span(from, to) } else { format!("{},{}", span(from, max), span(min, to)) }
}

/// A number or a name of the field.
fn value(at: Piece<'_>, context: Context) -> Result<u16, CronError> {
    let kind = context.kind;
    let (min, max) = kind.bounds();
    if at.text.is_empty() {
        return Err(context.error(
            at,
            MALFORMED,
            format!("a number is missing in the {} field", kind.name()),
        ));
    }
    if at.text.bytes().all(|b| b.is_ascii_digit()) {
        let number = at.text.parse::<u16>().ok();
        // Quartz counts days from Sunday = 1.
        let quartz_day = context.dialect == Dialect::Quartz && kind == Kind::DayOfWeek;
        let (low, high) = if quartz_day { (1, 7) } else { (min, max) };
        let number = number.filter(|n| (low..=high).contains(n)).ok_or_else(|| {
            let message =
                format!("{} is not in the {} field's range {low}-{high}", cut(at.text), kind.name());
            context.error(at, OUT_OF_RANGE, message)
        })?;
        return Ok(if quartz_day { number - 1 } else { number });
    }
    if let Some(named) = kind.named(at.text) {
        return Ok(named);
    }
    Err(not_a_value(at, context))
}

/// The best words for a text that is no value of its field.
fn not_a_value(at: Piece<'_>, context: Context) -> CronError {
    let kind = context.kind;
    let shown = cut(at.text);
    let prefix = at.text.get(..3).unwrap_or_default();
    if at.text.bytes().all(|b| b.is_ascii_alphabetic()) {
        let message = format!("{shown:?} is not a name in the {} field", kind.name());
        if kind.named(prefix).is_some() {
            let hint = format!("names have three letters: {}", prefix.to_ascii_uppercase());
            return context.hinted(at, BAD_NAME, message, hint);
        }
        let home = [Kind::Month, Kind::DayOfWeek].into_iter().find(|other| other.named(prefix).is_some());
        return match home {
            Some(home) => {
                context.hinted(at, BAD_NAME, message, format!("it belongs into the {} field", home.name()))
            }
            None => context.error(at, BAD_NAME, message),
        };
    }
    if let Some(wide) = at.text.chars().find(|c| !c.is_ascii()) {
        let message = format!("{wide:?} is not a character of a cron expression");
        return context.hinted(at, MALFORMED, message, "write plain ASCII digits and signs");
    }
    if at.text.starts_with('-') {
        return context.error(at, OUT_OF_RANGE, format!("{shown} is negative"));
    }
    if at.text.contains(['#', '?', 'L', 'l', 'W', 'w', '+', 'H', 'h']) {
        let message = format!("{shown:?} has no meaning in the {} field", kind.name());
        return context.error(at, MISPLACED, message);
    }
    context.error(at, MALFORMED, format!("{shown:?} is not a value of the {} field", kind.name()))
}

/// `H`, `H(a-b)`, each with or without a step.
fn hash(base: Piece<'_>, step: Option<u32>, context: Context) -> Result<Item, CronError> {
    if context.dialect != Dialect::Standard {
        return Err(context.error(base, NOT_IN_DIALECT, "this dialect has no H".to_owned()));
    }
    let (mut from, mut to) = context.kind.hash_bounds();
    if base.text.len() > 1 {
        let inside = base.text[2..].strip_suffix(')').map(|text| Piece { text, offset: base.offset + 2 });
        let range = inside.and_then(|inside| inside.split_once('-'));
        let Some((first, last)) = range else {
            let message = format!("{:?} is not a range after H", cut(&base.text[1..]));
            return Err(context.hinted(base, MALFORMED, message, "write it as H(0-29)"));
        };
        (from, to) = (value(first, context)?, value(last, context)?);
        if from > to {
            let message = format!("the range {} runs backwards", cut(base.text));
            return Err(context.error(base, BACKWARDS, message));
        }
    } else if context.kind == Kind::Year {
        let message = "H in the year field needs a range".to_owned();
        return Err(context.hinted(base, MISPLACED, message, "write it as H(2027-2030)"));
    }
    Ok(Item::Hash { from, to, step })
}

/// `L`, `L-3`, `LW`, `L-3W`, `15W`.
fn day_special(part: Piece<'_>, step: Option<u32>, context: Context) -> Result<Item, CronError> {
    context.not_in_crontab(part, "L or W")?;
    let upper = part.text.to_ascii_uppercase();
    let misplaced = |message: String, hint: &str| Err(context.hinted(part, MISPLACED, message, hint));
    if step.is_some() {
        return misplaced("L and W take no step".to_owned(), "list the days instead");
    }
    let (day, nearest) = match upper.strip_suffix('W') {
        Some(day) => (day, true),
        None => (upper.as_str(), false),
    };
    if day == "L" {
        return Ok(Item::Last { before: 0, nearest });
    }
    let number = |text: &str, max: u8| {
        text.parse::<u8>().ok().filter(|_| text.len() <= 2).filter(|n| (1..=max).contains(n))
    };
    if let Some(before) = day.strip_prefix("L-") {
        return match number(before, 30) {
            Some(before) => Ok(Item::Last { before, nearest }),
            None => misplaced(
                format!("{:?} does not count days before the last", cut(before)),
                "L-n takes 1 to 30",
            ),
        };
    }
    if nearest {
        if day.contains('-') {
            return misplaced(
                "W takes one day, not a range".to_owned(),
                "list the days: 1W,2W,3W; or write * * 1-5",
            );
        }
        if let Some(day) = number(day, 31) {
            return Ok(Item::Nearest { day });
        }
    }
    misplaced(format!("{:?} is not a day of the month", cut(part.text)), "write L, L-3, LW or 15W")
}

/// `5#3`, `5#L`, `5L`, `FRIL`.
fn weekday_special(part: Piece<'_>, step: Option<u32>, context: Context) -> Result<Item, CronError> {
    context.not_in_crontab(part, "# or L")?;
    let misplaced = |message: String, hint: &str| Err(context.hinted(part, MISPLACED, message, hint));
    if step.is_some() {
        return misplaced("# and L take no step".to_owned(), "list the days instead");
    }
    if part.text.eq_ignore_ascii_case("L") {
        if context.dialect == Dialect::Quartz {
            return Ok(Item::Value(6));
        }
        return misplaced(
            "L alone is not a day of the week".to_owned(),
            "write SAT, or FRI#L for the last Friday",
        );
    }
    let Some((day, nth)) = part.split_once('#') else {
        let day = part.first(part.text.len() - 1);
        let weekday = value(day, context)? % 7;
        return Ok(Item::LastWeekday { weekday: weekday as u8 });
    };
    let weekday = (value(day, context)? % 7) as u8;
    match nth.text {
        "L" | "l" => Ok(Item::LastWeekday { weekday }),
        "1" | "2" | "3" | "4" | "5" => Ok(Item::Nth { weekday, nth: nth.text.as_bytes()[0] - b'0' }),
        other => misplaced(
            format!("{:?} does not count weeks of a month", cut(other)),
            "after # write 1 to 5, or L",
        ),
    }
}

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
