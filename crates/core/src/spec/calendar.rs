//! From `calendars` to [`CalendarSpec`]s, and to the rules of triggers.

use super::definition::{CalendarSpec, CalendarUse};
use super::reader::{Reader, clip};
use super::table::{CALENDAR, DAYS};
use super::text::Place;
use super::yaml::{Entry, Node};
use super::{Zone, ZoneError};
use crate::calendar::{Calendar, CalendarParts, CalendarRule, DayRange, Days, Weekdays};
use crate::civil::Date;
use crate::error::{Code, Diagnostic};
use std::sync::Arc;

const UNREADABLE: Code = Code("DEF020");
const DAY_NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Reads one calendar.
pub(crate) fn read(reader: &mut Reader<'_>, entry: &Entry) -> Option<CalendarSpec> {
    let before = reader.found();
    let fields = reader.fields(&entry.node, &CALENDAR)?;
    let weekdays = fields.get("weekdays").and_then(|entry| read_weekdays(reader, &entry.node));
    let calendar = CalendarSpec {
        weekdays,
        include: read_days(reader, fields.get("include")),
        except: read_days(reader, fields.get("except")),
    };
    if reader.found() == before
        && let Err(diagnostic) = calendar.build(&entry.key)
    {
        reader.report(entry.place, diagnostic);
    }
    Some(calendar)
}

/// The days of the week, in order.
fn read_weekdays(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let mut days = [false; 7];
    for item in node.list().unwrap_or(std::slice::from_ref(node)) {
        let (text, _) = reader.scalar(item, "days such as mon-fri")?;
        match Weekdays::parse(&text) {
            Ok(set) => (0..7_u8).for_each(|day| days[usize::from(day)] |= set.contains(day)),
            Err(diagnostic) => reader.report(item.place, diagnostic),
        }
    }
    Some(DAY_NAMES.iter().zip(days).filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect())
}

fn read_days(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Vec<String> {
    let Some(entry) = entry else { return Vec::new() };
    let items = entry.node.list().unwrap_or(std::slice::from_ref(&entry.node));
    let mut days: Vec<String> = items.iter().flat_map(|item| read_day(reader, item)).collect();
    days.sort_unstable();
    days.dedup();
    days
}

/// A date, a range of dates, or the days of a file.
fn read_day(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    if node.map().is_some() {
        return read_ics(reader, node).unwrap_or_default();
    }
    let Some((text, _)) = reader.scalar(node, "a date such as 2026-12-25") else { return Vec::new() };
    match DayRange::parse(&text) {
        Ok(_) => vec![text.split_whitespace().collect()],
        Err(diagnostic) => {
            reader.report(node.place, diagnostic);
            Vec::new()
        }
    }
}

fn read_ics(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let fields = reader.fields(node, &DAYS)?;
    let Some(entry) = fields.get("ics") else {
        reader.missing(node.place, "the calendar file", "ics", "write `ics: holidays.ics`");
        return None;
    };
    let path = reader.text(Some(entry))?;
    let file = reader.texts.name(entry.place.file);
    match (reader.context.read)(file, &path) {
        Err(fault) => {
            let message = format!("the calendar file {:?} cannot be read", clip(&path));
            let hint = "the path is relative to this file of definitions";
            reader.report(entry.node.place, Diagnostic::error(UNREADABLE, message).detail(fault).hint(hint));
            None
        }
        Ok(text) => match DayRange::parse_ics(&text) {
            Ok(ranges) => Some(written_out(ranges)),
            Err(diagnostic) => {
                report_ics(reader, entry.node.place, &path, diagnostic);
                None
            }
        },
    }
}

/// A fault inside a calendar file, told where the file is named.
fn report_ics(reader: &mut Reader<'_>, place: Place, path: &str, diagnostic: Diagnostic) {
    let line = diagnostic.origin.as_ref().map_or(String::new(), |at| format!(" line {}", at.line));
    let detail = match &diagnostic.detail {
        Some(detail) => format!("{}{line}: {detail}", clip(path)),
        None => format!("in {}{line}", clip(path)),
    };
    reader.report(place, diagnostic.detail(detail));
}

/// Days of a file as dates and ranges: each day once, in order.
fn written_out(ranges: Vec<DayRange>) -> Vec<String> {
    let date = |day: i32| Date::from_days(i64::from(day)).to_string();
    let days = Days::new(ranges);
    let ranges = days.ranges().iter();
    ranges
        .map(|(from, to)| match from == to {
            true => date(*from),
            false => format!("{}..{}", date(*from), date(*to)),
        })
        .collect()
}

impl CalendarSpec {
    /// The calendar of this name.
    ///
    /// # Errors
    /// `TRG010` for a day that is none, `TRG012` if no day is left.
    pub fn build(&self, name: &str) -> Result<Calendar, Diagnostic> {
        let mut parts = CalendarParts::new();
        if let Some(weekdays) = &self.weekdays {
            parts = parts.weekdays(match weekdays.is_empty() {
                true => Weekdays::NONE,
                false => Weekdays::parse(&weekdays.join(","))?,
            });
        }
        for day in &self.include {
            parts = parts.include(DayRange::parse(day)?);
        }
        for day in &self.except {
            parts = parts.except(DayRange::parse(day)?);
        }
        parts.build(name)
    }
}

/// The rule of a trigger's calendar.
pub(crate) fn compile(
    usage: Option<&CalendarUse>,
    zones: &dyn Fn(&str) -> Result<Arc<Zone>, ZoneError>,
) -> Result<Option<CalendarRule>, Diagnostic> {
    let Some(usage) = usage else { return Ok(None) };
    let calendar = Arc::new(usage.days.build(&usage.name)?);
    let zone = zones(&usage.time_zone).map_err(|error| error.diagnostic())?;
    Ok(Some(CalendarRule { calendar, mode: usage.mode, zone }))
}
