//! From `calendars` to [`CalendarSpec`]s.

use super::definition::{CalendarSpec, CalendarUse, DaysSpec};
use super::{Zone, ZoneError};
use crate::calendar::CalendarRule;
use std::sync::Arc;
use super::reader::{Reader, clip};
use super::table::{CALENDAR, DAYS};
use super::yaml::{Entry, Node};
use crate::civil::Date;
use crate::error::{Code, Diagnostic};

const NO_DAYS: Code = Code("DEF020");
const DAY_NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// An iCalendar file that is larger is refused: each job that uses it holds a copy.
const ICS_BYTES_MAX: usize = 1 << 20;

/// Reads one calendar.
pub(crate) fn read(reader: &mut Reader<'_>, entry: &Entry) -> Option<CalendarSpec> {
    let fields = reader.fields(&entry.node, &CALENDAR)?;
    let weekdays = fields.get("weekdays").map(|entry| read_weekdays(reader, &entry.node));
    let calendar = CalendarSpec {
        weekdays,
        include: read_days(reader, fields.get("include")),
        except: read_days(reader, fields.get("except")),
    };
    if calendar == CalendarSpec::default() {
        let all = Diagnostic::error(NO_DAYS, format!("the calendar {:?} says nothing", entry.key));
        reader.report(entry.place, all.hint("write `weekdays: mon-fri`, `include:` or `except:`"));
        return None;
    }
    Some(calendar)
}

fn read_weekdays(reader: &mut Reader<'_>, node: &Node) -> Vec<u8> {
    let mut days = [false; 7];
    for item in node.list().unwrap_or(std::slice::from_ref(node)) {
        let Some((text, _)) = reader.scalar(item, "days such as mon-fri") else { continue };
        for part in text.split(',') {
            match weekday_range(part.trim()) {
                Some((first, last)) => {
                    let mut day = first;
                    while day != last {
                        days[day] = true;
                        day = (day + 1) % 7;
                    }
                    days[last] = true;
                }
                None => {
                    let message = format!("{:?} is no day of the week", clip(part));
                    reader.report(
                        item.place,
                        Diagnostic::error(NO_DAYS, message).hint("write mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri"),
                    );
                }
            }
        }
    }
    (0..7_u8).filter(|day| days[usize::from(*day)]).collect()
}

fn weekday_range(text: &str) -> Option<(usize, usize)> {
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        let short = name.get(..3)?;
        let full = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
        let index = DAY_NAMES.iter().position(|known| *known == short)?;
        (name == short || name == full[index]).then_some(index)
    };
    match text.split_once('-') {
        Some((first, last)) => Some((day(first)?, day(last)?)),
        None => day(text).map(|day| (day, day)),
    }
}

fn read_days(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Vec<DaysSpec> {
    let Some(entry) = entry else { return Vec::new() };
    let items = entry.node.list().unwrap_or(std::slice::from_ref(&entry.node));
    items.iter().filter_map(|item| read_day(reader, item)).collect()
}

/// A date, a range of dates, or a file.
fn read_day(reader: &mut Reader<'_>, node: &Node) -> Option<DaysSpec> {
    if node.map().is_some() {
        return read_ics(reader, node);
    }
    let (text, _) = reader.scalar(node, "a date such as 2026-12-25")?;
    let (first, last) = text.split_once("..").unwrap_or((&text, &text));
    let date = |text: &str| Date::parse(text.trim()).map(|_| text.trim().to_owned());
    match (date(first), date(last)) {
        (Ok(first), Ok(last)) if first <= last => Some(DaysSpec::Range(first, last)),
        (Ok(_), Ok(_)) => {
            let hint = "exchange the two dates";
            reader.not_allowed(node.place, format!("{:?} ends before it begins", clip(&text)), hint);
            None
        }
        (Err(reason), _) | (_, Err(reason)) => {
            let message = format!("{:?} is no date", clip(&text));
            reader.report(
                node.place,
                Diagnostic::error(NO_DAYS, message)
                    .detail(reason)
                    .hint("write 2026-12-25, 2026-12-24..2026-12-31, or `ics: FILE`"),
            );
            None
        }
    }
}

fn read_ics(reader: &mut Reader<'_>, node: &Node) -> Option<DaysSpec> {
    let fields = reader.fields(node, &DAYS)?;
    let Some(entry) = fields.get("ics") else {
        reader.missing(node.place, "the calendar file", "ics", "write `ics: holidays.ics`");
        return None;
    };
    let path = reader.text(Some(entry))?;
    let file = reader.texts.name(entry.place.file);
    let fault = match (reader.context.read)(file, &path) {
        Ok(text) if text.len() <= ICS_BYTES_MAX => match check_ics(&text) {
            Ok(()) => return Some(DaysSpec::Ics(text.replace("\r\n", "\n"))),
            Err(fault) => fault,
        },
        Ok(_) => "it is larger than 1 MiB".to_owned(),
        Err(fault) => fault,
    };
    let message = format!("the calendar file {:?} cannot be used", clip(&path));
    let hint = "the path is relative to this file of definitions";
    reader.report(entry.node.place, Diagnostic::error(NO_DAYS, message).detail(fault).hint(hint));
    None
}

fn check_ics(_text: &str) -> Result<(), String> {
    Ok(())
}

/// The rule of a trigger's calendar.
pub(crate) fn compile(
    usage: Option<&CalendarUse>,
    _zones: &dyn Fn(&str) -> Result<Arc<Zone>, ZoneError>,
) -> Result<Option<CalendarRule>, Diagnostic> {
    Ok(usage.map(|_| CalendarRule))
}
