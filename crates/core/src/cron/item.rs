//! A part of a field's list: a value, a range, a step, or one of the special forms.

use super::Dialect;
use super::error::CronError;
use super::pattern::{Item, Kind};
use crate::error::Code;

/// A part of a field that is not a value, range, step or special form.
const MALFORMED: Code = Code("CRN002");
/// A number outside of its field.
const OUT_OF_RANGE: Code = Code("CRN003");
/// A range that runs backwards.
const BACKWARDS: Code = Code("CRN004");
/// A step of zero, or none where one must be.
const BAD_STEP: Code = Code("CRN005");
/// A name that is none, or stands in a field without names.
const BAD_NAME: Code = Code("CRN007");
/// `L`, `W`, `#`, `?`, `+`, `H` where it has no meaning.
pub(super) const MISPLACED: Code = Code("CRN008");
/// A form that this dialect does not have.
pub(super) const NOT_IN_DIALECT: Code = Code("CRN012");

/// A text for a message, cut to a sensible length.
pub(super) fn cut(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at])
}

/// A piece of the expression and where it begins, in characters.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub text: &'a str,
    pub offset: usize,
}

impl<'a> Piece<'a> {
    pub fn chars(self) -> usize {
        // Expressions are ASCII unless they are wrong.
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }

    /// The rest after `bytes` bytes, which are ASCII.
    pub fn skip(self, bytes: usize) -> Self {
        Self { text: &self.text[bytes..], offset: self.offset + bytes }
    }

    pub fn first(self, bytes: usize) -> Self {
        Self { text: &self.text[..bytes], offset: self.offset }
    }

    /// The pieces before and after the first `separator`.
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        let before = self.first(at);
        let after = Self { text: &self.text[at + 1..], offset: self.offset + before.chars() + 1 };
        Some((before, after))
    }
}

/// What a part of a field needs to know of its surroundings.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub kind: Kind,
    pub dialect: Dialect,
}

impl Context {
    pub fn error(self, at: Piece<'_>, code: Code, message: String) -> CronError {
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

    pub fn hinted(self, at: Piece<'_>, code: Code, message: String, hint: impl Into<String>) -> CronError {
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

pub(super) fn item(part: Piece<'_>, context: Context) -> Result<Item, CronError> {
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
        // An open range of days ends on Saturday, the last of the names.
        let (from, to) = if kind == Kind::DayOfWeek { (from % 7, 6) } else { (from, kind.bounds().1) };
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
