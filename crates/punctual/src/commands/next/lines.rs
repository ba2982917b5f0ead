//! The table of firings: both clocks, and what is special about each.

use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::when::{relative, utc};
use punctual_core::civil::{DAY_SECS, Date};
use punctual_core::preview::{Entry, What};
use punctual_core::schedule::Schedule;
use punctual_core::time::Timestamp;
use punctual_core::trigger::TimeRule;
use punctual_core::zone::{Zone, offset_name};
use std::sync::Arc;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A line of the table.
pub(super) struct Line {
    pub entry: Entry,
    /// Of which trigger, where there may be several.
    pub trigger: Option<String>,
    /// On whose clock it is shown beside UTC.
    pub zone: Arc<Zone>,
}

/// The zone on whose clock a rule's firings are shown.
pub(super) fn zone_of(rule: &TimeRule) -> Arc<Zone> {
    match (&rule.schedule, &rule.calendar) {
        (Schedule::Cron(cron), _) => cron.zone.clone(),
        (_, Some(calendar)) => calendar.zone.clone(),
        _ => Zone::utc(),
    }
}

/// Cuts the lines after the `count`th that fires.
pub(super) fn keep_first(lines: &mut Vec<Line>, count: usize) {
    let mut fired = 0;
    lines.retain(|line| {
        let kept = fired < count;
        fired += usize::from(line.entry.what.fires());
        kept
    });
}

/// The table's text.
pub(super) fn render(lines: &[Line], now: Timestamp, screen: Screen) -> String {
    if lines.is_empty() {
        return "no firing is to come\n".to_owned();
    }
    let several = lines.iter().any(|line| line.trigger != lines[0].trigger);
    let mut table = Table::new(&["LOCAL", "ZONE", "UTC", "IN", "NOTE"]).yielding(&["UTC", "ZONE"]);
    for line in lines {
        let at = line.entry.at;
        let tone = if line.entry.what.fires() { Tone::Plain } else { Tone::Dim };
        let note = note(&line.entry.what);
        let note = match &line.trigger {
            Some(trigger) if several => format!("{trigger} {note}").trim_end().to_owned(),
            _ => note,
        };
        let is_mark = !matches!(line.entry.what, What::Fires);
        table.row([
            Cell::toned(local(at, &line.zone), tone),
            Cell::toned(line.zone.name(), Tone::Dim),
            Cell::toned(utc(at), tone),
            Cell::toned(relative(at, now), Tone::Dim),
            Cell::toned(note, if is_mark { Tone::Busy } else { Tone::Plain }),
        ]);
    }
    table.render(screen)
}

/// `Sun 2026-03-29 03:00:00 +02:00`
fn local(at: Timestamp, zone: &Zone) -> String {
    let seconds = zone.local(at);
    let date = Date::from_days(seconds.div_euclid(DAY_SECS));
    let weekday = WEEKDAYS[usize::from(date.weekday())];
    format!("{weekday} {date} {} {}", clock(seconds), offset_name(zone.offset_at(at.as_secs())))
}

/// `03:00:00`
fn clock(local: i64) -> String {
    let second = local.rem_euclid(DAY_SECS);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn note(what: &What) -> String {
    match what {
        What::Fires => String::new(),
        What::FiresAfterGap { wall } => format!("gap: the clock skips {}, fires right after", clock(*wall)),
        What::FiresFirstTime => "fold: this hour comes twice, the first time".to_owned(),
        What::FiresSecondTime => "fold: this hour comes twice, the second time".to_owned(),
        What::FiresMoved => "moved to the next business day".to_owned(),
        What::Lost { wall } => format!("gap: the clock skips {}, nothing fires for it", clock(*wall)),
        What::SkippedDay { reason } => format!("skipped: {reason}"),
        What::SkippedUntil { next: Some(next) } => format!("… nothing is allowed until {}", utc(*next)),
        What::SkippedUntil { next: None } => "… nothing is allowed from here on".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_core::zone::ZoneTable;

    #[test]
    fn both_clocks_are_shown_and_changes_are_marked() {
        let zone = ZoneTable::bundled().zone("Europe/Berlin").expect("known");
        let at = Timestamp::parse_rfc3339("2026-03-29T01:00:00Z").expect("an instant");
        let what = What::FiresAfterGap { wall: 9_000 };
        let lines = [Line { entry: Entry { at, what }, trigger: None, zone }];
        assert_eq!(
            render(&lines, at, Screen::PLAIN),
            "LOCAL                           ZONE           UTC                   IN   NOTE\n\
             Sun 2026-03-29 03:00:00 +02:00  Europe/Berlin  2026-03-29 01:00:00Z  now  \
             gap: the clock skips 02:30:00, fires right after\n"
        );
        let screen = Screen { width: Some(80), colour: false };
        assert_eq!(
            render(&lines, at, screen),
            "LOCAL                           ZONE           UTC                   IN   NOTE\n\
             Sun 2026-03-29 03:00:00 +02:00  Europe/Berlin  2026-03-29 01:00:00Z  now\n    \
             gap: the clock skips 02:30:00, fires right after\n"
        );
    }

    #[test]
    fn days_that_are_left_out_together_say_until_when() {
        let at = Timestamp::from_secs(0);
        let until = |next| note(&What::SkippedUntil { next });
        assert_eq!(until(Some(at)), "… nothing is allowed until 1970-01-01 00:00:00Z");
        assert_eq!(until(None), "… nothing is allowed from here on");
    }
}
