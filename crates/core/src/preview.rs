//! What is to come, with what a person wants marked: changes of the clock, and days that a calendar leaves out.

use crate::calendar::{CalendarMode, CalendarRule};
use crate::civil::DAY_SECS;
use crate::schedule::{CronSchedule, Schedule, SearchLimit};
use crate::time::Timestamp;
use crate::zone::Zone;

/// So many days that are left out have a line of their own, beside one for each firing.
const SKIPPED_DAYS_SHOWN: usize = 20;

/// A line of a preview, in order of `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it fires; for what does not fire, when it would have, or the change of the clock that swallowed it.
    pub at: Timestamp,
    /// What happens then.
    pub what: What,
}

/// What happens at an instant of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It fires.
    Fires,
    /// It fires at the first instant after a gap, for a time (local seconds) that the clock skips.
    FiresAfterGap {
        /// The first skipped local second at which it would have fired.
        wall: i64,
    },
    /// It fires in an hour that comes twice, the first time.
    FiresFirstTime,
    /// It fires in an hour that comes twice, the second time.
    FiresSecondTime,
    /// It fires on another day than the rule says.
    FiresMoved,
    /// The clock skips a time (local seconds) at which it would have fired, and nothing makes up for it.
    Lost {
        /// The first such local second.
        wall: i64,
    },
    /// The calendar leaves out this day, or this instant's.
    SkippedDay {
        /// Why, in words.
        reason: String,
    },
    /// The calendar leaves out this instant's day and all others until one fires.
    SkippedUntil {
        /// When the next fires; `None`: none ever does.
        next: Option<Timestamp>,
    },
}

impl What {
    /// Whether a run comes of it.
    pub fn fires(&self) -> bool {
        !matches!(self, Self::Lost { .. } | Self::SkippedDay { .. } | Self::SkippedUntil { .. })
    }
}

/// The next `count` firings after `after`, with what is skipped between them: a line a day, but once there are
/// `count` + 20 of those a line for all days up to the next firing.
///
/// # Errors
/// [`SearchLimit`] if a calendar leaves out so much that a search gives up.
pub fn preview(
    schedule: &Schedule,
    calendar: Option<&CalendarRule>,
    after: Timestamp,
    count: usize,
) -> Result<Vec<Entry>, SearchLimit> {
    let mut entries = Vec::new();
    let (mut fired, mut skipped) = (0, 0);
    let mut cursor = after;
    while fired < count {
        let moving = calendar.filter(|rule| rule.mode == CalendarMode::NextBusinessDay);
        let next = match moving {
            Some(rule) => rule.next_after(schedule, cursor)?,
            None => schedule.next_after(cursor)?,
        };
        let Some(next) = next else { break };
        if let Schedule::Cron(cron) = schedule {
            entries.extend(lost_between(cron, cursor, next));
        }
        cursor = next;
        if let Some((rule, Err(reason))) = calendar.map(|rule| (rule, rule.allows(next))) {
            if skipped >= SKIPPED_DAYS_SHOWN.saturating_add(count) {
                let until = rule.next_after(schedule, next)?;
                entries.push(Entry { at: next, what: What::SkippedUntil { next: until } });
                let Some(until) = until else { break };
                cursor = Timestamp::from_micros(until.as_micros() - 1);
                continue;
            }
            entries.push(Entry { at: next, what: What::SkippedDay { reason } });
            skipped += 1;
            cursor = end_of_day(&rule.zone, next);
            continue;
        }
        let what = match schedule {
            _ if moving.is_some() && schedule.matches(next).is_err() => What::FiresMoved,
            Schedule::Cron(cron) => mark(cron, next),
            _ => What::Fires,
        };
        entries.push(Entry { at: next, what });
        fired += 1;
    }
    Ok(entries)
}

/// The last microsecond of an instant's local day.
fn end_of_day(zone: &Zone, at: Timestamp) -> Timestamp {
    let tomorrow = zone.local(at).div_euclid(DAY_SECS) + 1;
    let begins = Timestamp::from_secs(zone.first_instant(tomorrow * DAY_SECS));
    Timestamp::from_micros(begins.as_micros() - 1).max(at)
}

fn lost_between(cron: &CronSchedule, after: Timestamp, next: Timestamp) -> Vec<Entry> {
    let gaps = cron.zone.changes(after.as_secs() + 1, next.as_secs() + 1).filter(|change| change.jump() > 0);
    let lost = gaps.filter(|change| cron.made_up(*change).is_none()).filter_map(|change| {
        let wall = cron.swallowed(change)?;
        Some(Entry { at: Timestamp::from_secs(change.at), what: What::Lost { wall } })
    });
    lost.collect()
}

/// What is special about an instant at which the rule fires.
fn mark(cron: &CronSchedule, at: Timestamp) -> What {
    let secs = at.as_secs();
    let index = cron.zone.span_index(secs);
    let local = cron.zone.local(at);
    if let Some(change) = cron.zone.change_before(index) {
        if change.at == secs
            && let Some(wall) = cron.made_up(change)
        {
            return What::FiresAfterGap { wall };
        }
        if change.jump() < 0 && local < change.local().1 {
            return What::FiresSecondTime;
        }
    }
    match cron.zone.change_before(index + 1) {
        Some(change) if change.jump() < 0 && local >= change.local().0 => What::FiresFirstTime,
        _ => What::Fires,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{CalendarParts, Weekdays};
    use crate::cron::{Cron, Dialect};
    use crate::schedule::DstPolicy;
    use crate::zone::ZoneTable;
    use std::sync::Arc;

    fn cron(text: &str, dst: DstPolicy) -> Schedule {
        let rule = Arc::new(Cron::parse(text, Dialect::Standard).expect(text));
        let zone = ZoneTable::bundled().zone("Europe/Berlin").expect("known");
        Schedule::Cron(CronSchedule { rule, zone, dst })
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    fn whats(schedule: &Schedule, from: &str, count: usize) -> Vec<What> {
        let entries = preview(schedule, None, at(from), count).expect("within the bound");
        entries.into_iter().map(|entry| entry.what).collect()
    }

    #[test]
    fn changes_of_the_clock_are_marked() {
        let wall = at("2026-03-29T02:30:00Z").as_secs();
        let daily = |dst| cron("30 2 * * *", dst);
        let spring = "2026-03-28T12:00:00Z";
        assert_eq!(whats(&daily(DstPolicy::Debian), spring, 2), [What::FiresAfterGap { wall }, What::Fires]);
        assert_eq!(whats(&daily(DstPolicy::Skip), spring, 1), [What::Lost { wall }, What::Fires]);
        let autumn = "2026-10-25T00:00:00Z";
        assert_eq!(
            whats(&daily(DstPolicy::Both), autumn, 3),
            [What::FiresFirstTime, What::FiresSecondTime, What::Fires]
        );
    }

    #[test]
    fn a_day_that_the_calendar_leaves_out_is_one_line() {
        let weekdays = CalendarParts::new().weekdays(Weekdays::parse("mon-fri").expect("weekdays"));
        let calendar = CalendarRule {
            calendar: Arc::new(weekdays.build("workdays").expect("days")),
            mode: CalendarMode::Only,
            zone: ZoneTable::bundled().zone("Europe/Berlin").expect("known"),
        };
        let hourly = cron("0 9-17 * * *", DstPolicy::Debian);
        let entries = preview(&hourly, Some(&calendar), at("2026-11-27T15:30:00Z"), 2).expect("in bounds");
        let reasons: Vec<String> =
            entries.iter().map(|entry| format!("{} {:?}", entry.at, entry.what.fires())).collect();
        assert_eq!(
            reasons,
            [
                "2026-11-27T16:00:00Z true",
                "2026-11-28T08:00:00Z false",
                "2026-11-29T08:00:00Z false",
                "2026-11-30T08:00:00Z true"
            ]
        );
    }

    #[test]
    fn many_days_that_the_calendar_leaves_out_are_one_line() {
        let rule = |parts: CalendarParts| CalendarRule {
            calendar: Arc::new(parts.build("c").expect("days")),
            mode: CalendarMode::Only,
            zone: ZoneTable::bundled().zone("Europe/Berlin").expect("known"),
        };
        let lines = |calendar: &CalendarRule, text: &str, count| {
            let schedule = cron(text, DstPolicy::Debian);
            preview(&schedule, Some(calendar), at("2026-11-24T00:00:00Z"), count).expect("within the bound")
        };
        let workdays = rule(CalendarParts::new().weekdays(Weekdays::parse("mon-fri").expect("weekdays")));
        let never = lines(&workdays, "0 9 * * sat", 3);
        assert_eq!(never.len(), 24);
        assert_eq!(never[23].what, What::SkippedUntil { next: None });
        let day = crate::calendar::DayRange::parse("2030-01-01").expect("a day");
        let once = lines(&rule(CalendarParts::new().include(day)), "0 9 * * *", 2);
        let fires = at("2030-01-01T08:00:00Z");
        assert_eq!(once[22].what, What::SkippedUntil { next: Some(fires) });
        assert_eq!(once[23], Entry { at: fires, what: What::Fires });
        assert_eq!(once.len(), 25, "{once:?}");
    }
}
