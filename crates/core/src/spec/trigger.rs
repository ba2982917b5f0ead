//! From `schedule` and `triggers` of a job to its [`TriggerSpec`]s.

use super::definition::{CalendarUse, JobSpec, RuleSpec, TriggerSpec};
use super::document::Shared;
use super::length::{Malformed, format_duration, parse_duration};
use super::reader::{EXCLUSIVE, Fields, Reader, UNDECLARED, clip};
use super::table::{CALENDAR_USE, TIME_TRIGGER, TRIGGER};
use super::text::Place;
use super::yaml::{Entry, Node, Value};
use crate::calendar::CalendarMode;
use crate::cron::{self, Dialect, Parsed};
use crate::error::{Code, Diagnostic};
use crate::schedule::{DstPolicy, Pace, SearchLimit};
use crate::time::Timestamp;
use crate::trigger::{Trigger, When};
use crate::zone::{Change, offset_name};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const TWIN: Code = Code("DEF019");
const NO_RULE: Code = Code("DEF021");
const NO_INSTANT: Code = Code("DEF022");
/// A cron rule that may not mean what was meant.
const CRON_NOTE: Code = Code("DEF106");
/// A rule that never fires; the page is shared with `punctual next`.
const NEVER_FIRES: Code = Code("TRG004");
/// An interval below this would only measure the machine.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What the job says for triggers that say nothing themselves.
pub(crate) struct Zoning {
    pub(crate) time_zone: String,
    pub(crate) dst: DstPolicy,
}

/// Reads the triggers of a job into `spec`. Returns the jobs it waits for, with the places that name them.
pub(crate) fn read_all(
    reader: &mut Reader<'_>,
    job: &Fields<'_>,
    zoning: &Zoning,
    shared: &Shared,
    spec: &mut JobSpec,
) -> Vec<(String, Place)> {
    let (schedule, triggers) = (job.get("schedule"), job.get("triggers"));
    if let (Some(schedule), Some(_)) = (schedule, triggers) {
        let both = Diagnostic::error(EXCLUSIVE, "`schedule` and `triggers` exclude each other");
        let detail = "`schedule` is short for triggers by time";
        reader.report(schedule.place, both.detail(detail).hint("move its rule into `triggers`"));
    }
    let mut found: Vec<(Place, TriggerSpec)> = Vec::new();
    if let Some(entry) = schedule {
        for node in entry.node.list().unwrap_or(std::slice::from_ref(&entry.node)) {
            found.extend(read_sugar(reader, node, zoning, shared).map(|trigger| (node.place, trigger)));
        }
    }
    if let Some(entry) = triggers {
        match entry.node.list() {
            Some(nodes) => {
                for node in nodes {
                    found.extend(read_trigger(reader, node, zoning, shared).map(|t| (node.place, t)));
                }
            }
            None => reader.wrong_type(&entry.node, "a list such as `[{cron: \"0 2 * * *\"}]`"),
        }
    }
    let mut upstreams = Vec::new();
    let mut named: HashMap<String, bool> = HashMap::new();
    for (place, trigger) in found {
        refuse_never_allowed(reader, place, &trigger, spec);
        if let Some(twin_is_named) = named.insert(trigger.identity(), trigger.name.is_some()) {
            let message = match &trigger.name {
                Some(name) => format!("two triggers are called {name:?}"),
                None => "two triggers have the same rule and zone".to_owned(),
            };
            let hint = match twin_is_named {
                true => "rename one of them",
                false => "remove one, or give each a `name` if both are meant",
            };
            reader.report(place, Diagnostic::error(TWIN, message).hint(hint));
            continue;
        }
        if let RuleSpec::After { job, .. } = &trigger.rule {
            upstreams.push((job.clone(), place));
        }
        spec.triggers.push(trigger);
    }
    upstreams
}

/// A rule whose every instant falls on a day that its calendar leaves out. What is past counts as well: no clock is
/// read here.
fn refuse_never_allowed(reader: &mut Reader<'_>, place: Place, trigger: &TriggerSpec, job: &JobSpec) {
    let what = match &trigger.rule {
        // Where an `H` falls depends on the name, which may be missing.
        RuleSpec::Cron { expression, .. } if job.name.is_empty() && expression.contains('H') => return,
        RuleSpec::Cron { expression, .. } => format!("{:?}", clip(expression)),
        RuleSpec::At(at) => format!("at {at}"),
        // Without an anchor its instants are not known yet.
        RuleSpec::Every { interval, anchor: Some(_), .. } => format!("every {}", format_duration(*interval)),
        _ => return,
    };
    let Ok(Trigger { when: When::Time(rule), .. }) = job.compile_trigger(trigger, reader.context.zones)
    else {
        return;
    };
    let Some(calendar) = rule.calendar.filter(|calendar| calendar.mode != CalendarMode::NextBusinessDay)
    else {
        return;
    };
    let after =
        rule.start.map_or(Timestamp::from_secs(-1), |start| start.saturating_sub(Duration::from_micros(1)));
    let name = calendar.calendar.name();
    match calendar.next_after(&rule.schedule, after) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let message = format!("schedule {what} never fires: calendar {name:?} leaves out all its days");
            let never = Diagnostic::error(NEVER_FIRES, message);
            let first = rule.schedule.next_after(after).ok().flatten();
            let never = match first.and_then(|at| calendar.allows(at).err()) {
                Some(reason) => never.detail(reason),
                None => never,
            };
            let hint = "change the rule, the days of the calendar, or its `mode`";
            reader.report(place, never.hint(hint));
        }
        Err(SearchLimit) => {
            let message =
                format!("whether calendar {name:?} leaves any day to schedule {what} was not found out");
            let hint = "see `punctual next --cron …` and the days of the calendar";
            reader.report(place, Diagnostic::warning(SearchLimit::CODE, message).hint(hint));
        }
    }
}

/// A zone, by the name that its table spells.
pub(crate) fn zone(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<String> {
    let entry = entry?;
    let name = reader.text(Some(entry))?;
    match (reader.context.zones)(&name) {
        Ok(zone) => Some(zone.name().to_owned()),
        Err(error) => {
            reader.report(entry.node.place, error.diagnostic());
            None
        }
    }
}

/// An element of `schedule`: a cron rule, or a trigger by time.
fn read_sugar(reader: &mut Reader<'_>, node: &Node, zoning: &Zoning, shared: &Shared) -> Option<TriggerSpec> {
    match &node.value {
        Value::Scalar { .. } => {
            read_cron(reader, node, &zoning.time_zone, zoning.dst, Dialect::Standard).map(TriggerSpec::new)
        }
        Value::List(_) => {
            reader.wrong_type(node, "a cron rule or a mapping such as `{every: 30s}`");
            None
        }
        Value::Map(entries) => {
            if let Some(after) = entries.iter().find(|entry| entry.key == "after") {
                let message = "`after` is no rule in time";
                let hint = "write `triggers: [{after: other-job}]` instead of `schedule`";
                reader.not_allowed(after.place, message.to_owned(), hint);
                return None;
            }
            let fields = reader.fields(node, &TIME_TRIGGER)?;
            read_fields(reader, &fields, zoning, shared)
        }
    }
}

fn read_trigger(
    reader: &mut Reader<'_>,
    node: &Node,
    zoning: &Zoning,
    shared: &Shared,
) -> Option<TriggerSpec> {
    let fields = reader.fields(node, &TRIGGER)?;
    read_fields(reader, &fields, zoning, shared)
}

fn read_fields(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    zoning: &Zoning,
    shared: &Shared,
) -> Option<TriggerSpec> {
    let rules = match fields.has("after") {
        true => fields.given(&["cron", "every", "at", "after"]),
        false => fields.given(&["cron", "every", "at"]),
    };
    for second in rules.iter().skip(1) {
        let message =
            format!("a trigger has one rule: `{}` and `{}` exclude each other", rules[0].key, second.key);
        reader.report(second.place, Diagnostic::error(EXCLUSIVE, message).hint("make two triggers of them"));
    }
    let Some(rule) = rules.first() else {
        let hint = "write one of `cron`, `every`, `at`, or `after` in `triggers`";
        reader.report(fields.place, Diagnostic::error(NO_RULE, "the trigger has no rule").hint(hint));
        return None;
    };
    refuse_strangers(reader, fields, &rule.key);
    let time_zone = match fields.get("timeZone") {
        Some(entry) => zone(reader, Some(entry))?,
        None => zoning.time_zone.clone(),
    };
    let name = reader.name(fields.get("name"));
    let rule = read_rule(reader, fields, rule, &time_zone, zoning.dst)?;
    let mut trigger = TriggerSpec { name, ..TriggerSpec::new(rule) };
    if !matches!(trigger.rule, RuleSpec::Cron { .. }) && fields.get("timeZone").is_some() {
        trigger.time_zone = Some(time_zone.clone());
    }
    trigger.start = instant(reader, fields.get("start"), &time_zone);
    trigger.end = instant(reader, fields.get("end"), &time_zone);
    if let (Some(start), Some(end), Some(entry)) = (trigger.start, trigger.end, fields.get("end"))
        && end <= start
    {
        reader.not_allowed(entry.node.place, "`end` is not after `start`".to_owned(), "exchange them");
    }
    trigger.jitter = reader.duration(fields.get("jitter")).unwrap_or_default();
    trigger.max_runs = reader.integer(fields.get("maxRuns"), 1, 1_000_000_000).map(i64::unsigned_abs);
    trigger.calendar = read_calendar_use(reader, fields, &time_zone, shared);
    Some(trigger)
}

/// Keys that say something about another kind of rule than the one that stands here.
fn refuse_strangers(reader: &mut Reader<'_>, fields: &Fields<'_>, rule: &str) {
    let strangers: &[&str] = match rule {
        "cron" => &["pace", "initialDelay", "anchor"],
        "every" => &["dst", "dialect"],
        "at" => &["dst", "dialect", "pace", "initialDelay", "anchor", "maxRuns", "start", "end"],
        _ => &[
            "dst",
            "dialect",
            "pace",
            "initialDelay",
            "anchor",
            "timeZone",
            "calendar",
            "start",
            "end",
            "jitter",
            "maxRuns",
        ],
    };
    for entry in fields.given(strangers) {
        let message = format!("`{}` means nothing beside `{rule}`", entry.key);
        reader.report(entry.place, Diagnostic::error(EXCLUSIVE, message).hint("remove it"));
    }
    if rule != "after" && fields.has("on") {
        for entry in fields.given(&["on"]) {
            let message = format!("`on` means nothing beside `{rule}`");
            reader.report(entry.place, Diagnostic::error(EXCLUSIVE, message).hint("remove it"));
        }
    }
}

fn read_rule(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    rule: &Entry,
    time_zone: &str,
    dst: DstPolicy,
) -> Option<RuleSpec> {
    match rule.key.as_str() {
        "cron" => {
            let dst = reader.choice(fields.get("dst")).unwrap_or(dst);
            let dialect = reader.choice(fields.get("dialect")).unwrap_or_default();
            read_cron(reader, &rule.node, time_zone, dst, dialect)
        }
        "every" => {
            let interval = reader.duration(Some(rule))?;
            if interval < INTERVAL_MIN {
                let message = "an interval below 100ms".to_owned();
                reader.not_allowed(rule.node.place, message, "write at least 100ms");
                return None;
            }
            let pace = reader.choice(fields.get("pace")).unwrap_or_default();
            let anchor = instant(reader, fields.get("anchor"), time_zone);
            if let (Pace::FixedDelay, Some(entry)) = (pace, fields.get("anchor")) {
                let message = "`anchor` means nothing beside `pace: fixed-delay`";
                let hint = "a fixed delay counts from the end of the last run; remove `anchor`";
                reader.report(entry.place, Diagnostic::error(EXCLUSIVE, message).hint(hint));
            }
            let initial_delay = reader.duration(fields.get("initialDelay")).unwrap_or_default();
            Some(RuleSpec::Every { interval, pace, initial_delay, anchor })
        }
        "at" => instant(reader, Some(rule), time_zone).map(RuleSpec::At),
        _ => {
            let job = reader.name(Some(rule))?;
            let on = reader.choice(fields.get("on")).unwrap_or_default();
            Some(RuleSpec::After { job, on })
        }
    }
}

/// A cron rule; a fault points at its characters inside the scalar.
fn read_cron(
    reader: &mut Reader<'_>,
    node: &Node,
    time_zone: &str,
    dst: DstPolicy,
    dialect: Dialect,
) -> Option<RuleSpec> {
    let (text, _) = reader.scalar(node, "a cron rule such as \"0 2 * * *\"")?;
    let parsed = match cron::parse(&text, dialect) {
        Ok(parsed) => parsed,
        Err(error) => {
            let offset = text.char_indices().nth(error.offset).map_or(text.len(), |(at, _)| at);
            let place = reader.inside(node, offset, error.width);
            let mut diagnostic = error.diagnostic(None);
            if parse_duration(&text).is_ok() {
                diagnostic.hint = Some(format!("for an interval write `schedule: {{every: {text}}}`"));
            }
            reader.report(place, diagnostic);
            return None;
        }
    };
    match parsed {
        Parsed::Reboot => Some(RuleSpec::Boot),
        Parsed::Every(interval) if interval < INTERVAL_MIN => {
            reader.not_allowed(node.place, "an interval below 100ms".to_owned(), "write at least 100ms");
            None
        }
        // The first instant of `@every` is one interval after it began.
        Parsed::Every(interval) => {
            Some(RuleSpec::Every { interval, pace: Pace::FixedRate, initial_delay: interval, anchor: None })
        }
        Parsed::Cron(cron) => {
            if let Some(reason) = cron.never_fires() {
                let message = format!("schedule {:?} never fires", clip(&text));
                let never = Diagnostic::error(NEVER_FIRES, message).detail(reason);
                let hint = match last_day(&text, dialect) {
                    Some(rule) => format!("for the last day of the month write {rule:?}"),
                    None => "change the field that cannot match".to_owned(),
                };
                reader.report(node.place, never.hint(hint));
                return None;
            }
            for note in cron.notes() {
                let offset = text.char_indices().nth(note.offset).map_or(0, |(at, _)| at);
                let place = reader.inside(node, offset, note.width);
                reader.report(place, Diagnostic::warning(CRON_NOTE, note.message));
            }
            Some(RuleSpec::Cron {
                expression: text.split_whitespace().collect::<Vec<_>>().join(" "),
                time_zone: time_zone.to_owned(),
                dst,
                dialect,
            })
        }
    }
}

/// The rule with `L` as its day of the month, if that fires: what is mostly meant by a day that no month of it has.
fn last_day(rule: &str, dialect: Dialect) -> Option<String> {
    let mut fields: Vec<_> = rule.split_whitespace().collect();
    let day = if fields.len() == 5 { 2 } else { 3 };
    *fields.get_mut(day).filter(|field| field.parse().is_ok_and(|day: u8| day > 28))? = "L";
    let rule = fields.join(" ");
    let fires = cron::Cron::parse(&rule, dialect).is_ok_and(|cron| cron.never_fires().is_none());
    fires.then_some(rule)
}

/// An instant: with an offset as it is, without one on the wall clock of `time_zone`.
pub(crate) fn instant(reader: &mut Reader<'_>, entry: Option<&Entry>, time_zone: &str) -> Option<Timestamp> {
    let entry = entry?;
    let (text, _) = reader.scalar(&entry.node, "an instant such as 2026-12-24T18:00:00Z")?;
    if let Ok(instant) = Timestamp::parse_rfc3339(&text) {
        return Some(instant);
    }
    let zone = (reader.context.zones)(time_zone).ok()?;
    match local(&text, &zone) {
        Ok(instant) => Some(instant),
        Err(Malformed { reason, hint }) => {
            let message = format!("{:?} is not an instant", clip(&text));
            reader.report(entry.node.place, Diagnostic::error(NO_INSTANT, message).detail(reason).hint(hint));
            None
        }
    }
}

/// A wall-clock time as an instant. A time that a clock change skips or repeats must be said with its offset.
fn local(text: &str, zone: &Arc<crate::zone::Zone>) -> Result<Timestamp, Malformed> {
    const FORM: &str = "write 2026-12-24T18:00:00Z, with an offset, or 2026-12-24T18:00 in `timeZone`";
    let malformed = |reason: String| Malformed { reason, hint: FORM.to_owned() };
    let civil: jiff::civil::DateTime =
        text.replacen(' ', "T", 1).parse().map_err(|error: jiff::Error| malformed(error.to_string()))?;
    let utc = jiff::tz::Offset::UTC.to_timestamp(civil).map_err(|error| malformed(error.to_string()))?;
    let secs = utc.as_second();
    let first = zone.first_instant(secs);
    let offset = |at: i64| i64::from(zone.offset_at(at));
    // The same time with the offset of either side of the change.
    let sides = |reason: String, change: Change| {
        let [before, after] =
            [change.before, change.after].map(|secs| format!("{civil}{}", offset_name(secs)));
        Malformed { reason, hint: format!("write {before} or {after}, or another time") }
    };
    if first + offset(first) != secs {
        let reason = format!("the clocks of {} skip this time", zone.name());
        return Err(match zone.changes(first, first + 1).next() {
            Some(change) => sides(reason, change),
            None => malformed(reason),
        });
    }
    // The other side of a fold, if there is one, lies within a day.
    let again = zone.changes(first, first + 86_400).find(|change| {
        let later = secs - offset(change.at);
        later > first && later >= change.at && later + offset(later) == secs
    });
    if let Some(change) = again {
        return Err(sides(format!("the clocks of {} show this time twice", zone.name()), change));
    }
    Ok(Timestamp::from_secs(first))
}

fn read_calendar_use(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    time_zone: &str,
    shared: &Shared,
) -> Option<CalendarUse> {
    let entry = fields.get("calendar")?;
    let (name_entry, mode) = match entry.node.map() {
        None => (entry, super::CalendarMode::default()),
        Some(_) => {
            let inner = reader.fields(&entry.node, &CALENDAR_USE)?;
            let Some(name) = inner.get("name") else {
                reader.missing(
                    entry.place,
                    "`calendar`",
                    "name",
                    "write `calendar: {name: workdays, mode: except}`",
                );
                return None;
            };
            (name, reader.choice(inner.get("mode")).unwrap_or_default())
        }
    };
    let name = reader.name(Some(name_entry))?;
    let Some(days) = shared.calendars.get(&name) else {
        let hint = match super::suggest::nearest(&name, shared.calendars.keys().map(String::as_str)) {
            Some(near) => format!("write {near}"),
            None => format!("declare it: `calendars: {{{name}: {{weekdays: mon-fri}}}}`"),
        };
        let unknown = Diagnostic::error(UNDECLARED, format!("the calendar {name:?} is not declared"));
        reader.report(name_entry.node.place, unknown.hint(hint));
        return None;
    };
    Some(CalendarUse { name, mode, time_zone: time_zone.to_owned(), days: days.clone() })
}
