//! When triggers fire: an oracle that shares nothing with `core`. Rules are predicates on the clock on the wall, which is
//! watched minute by minute; offsets come from jiff.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// The clock on the wall, to the minute.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// Days since 1970, on the wall.
    pub day: i64,
    /// Day of the month.
    pub dom: i8,
    /// Hour.
    pub hour: i64,
    /// Minute.
    pub minute: i64,
}

impl Wall {
    fn of(local_secs: i64) -> Self {
        let day = local_secs.div_euclid(DAY);
        let of_day = local_secs.rem_euclid(DAY);
        let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
        Self { day, dom: date.day(), hour: of_day / 3600, minute: of_day / 60 % 60 }
    }
}

/// A cron rule: as it is written, and what it means.
pub struct Rule {
    /// As a definition has it.
    pub text: &'static str,
    seconds: &'static [i64],
    names: fn(Wall) -> bool,
    /// Whether it names fixed times, which clock changes neither lose nor repeat.
    fixed: bool,
}

/// The rules that jobs are given.
pub const RULES: &[Rule] = &[
    Rule { text: "* * * * *", seconds: &[0], names: |_| true, fixed: false },
    Rule { text: "*/7 * * * *", seconds: &[0], names: |w| w.minute % 7 == 0, fixed: false },
    Rule { text: "30 * * * * *", seconds: &[30], names: |_| true, fixed: false },
    Rule { text: "*/20 */10 * * * *", seconds: &[0, 20, 40], names: |w| w.minute % 10 == 0, fixed: false },
    Rule { text: "5,35 * * * *", seconds: &[0], names: |w| w.minute == 5 || w.minute == 35, fixed: false },
    Rule { text: "30 2 * * *", seconds: &[0], names: |w| w.hour == 2 && w.minute == 30, fixed: true },
    Rule {
        text: "15,45 1-3 * * *",
        seconds: &[0],
        names: |w| (1..=3).contains(&w.hour) && (w.minute == 15 || w.minute == 45),
        fixed: true,
    },
    Rule { text: "0 0 * * *", seconds: &[0], names: |w| w.hour == 0 && w.minute == 0, fixed: true },
    Rule {
        text: "10 9-17/2 * * 1-5",
        seconds: &[0],
        names: |w| {
            w.minute == 10
                && (9..=17).contains(&w.hour)
                && w.hour % 2 == 1
                && (1..=5).contains(&weekday(w.day))
        },
        fixed: true,
    },
    Rule {
        text: "0 6 29,1 * *",
        seconds: &[0],
        names: |w| w.hour == 6 && w.minute == 0 && (w.dom == 29 || w.dom == 1),
        fixed: true,
    },
    Rule { text: "*/15 2 * * *", seconds: &[0], names: |w| w.hour == 2 && w.minute % 15 == 0, fixed: false },
    Rule { text: "0 */6 * * *", seconds: &[0], names: |w| w.minute == 0 && w.hour % 6 == 0, fixed: false },
];

/// The zones that rules are read in.
pub const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo"];

/// The names of the policies for clock changes.
pub const DSTS: &[&str] = &["debian", "skip", "first", "last", "both"];

/// Whether a day, counted from 1970, belongs.
pub type Days = fn(i64) -> bool;

/// The calendars: as they are written, and the days that belong.
pub const CALENDARS: &[(&str, Days)] = &[
    ("{weekdays: mon-fri}", |day| (1..=5).contains(&weekday(day))),
    ("{weekdays: [sun, mon, thu, sat]}", |day| [0, 1, 4, 6].contains(&weekday(day))),
    ("{except: ['2026-03-29', '2026-11-25..2026-11-26', '2026-10-25']}", |day| {
        ![20541, 20782, 20783, 20751].contains(&day)
    }),
];

/// How a trigger uses a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On its days.
    Only,
    /// On the others.
    Except,
    /// On its days; what falls on another moves to the next of them.
    NextBusinessDay,
}

/// 0 is Sunday.
fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// What a trigger's instants come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Instants {
    /// A rule of [`RULES`] under a policy of [`DSTS`].
    Cron {
        /// Its place.
        rule: usize,
        /// The policy's place.
        dst: usize,
    },
    /// A grid; `origin` in seconds, and whether it reaches back before that.
    Grid {
        /// Seconds.
        period: i64,
        /// Seconds since 1970.
        origin: i64,
        /// Whether there are instants before the origin.
        both_ways: bool,
    },
    /// One, seconds since 1970.
    At(i64),
}

/// A timetable: instants and what narrows them. Seconds throughout.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Where instants come from.
    pub instants: Instants,
    /// A place in [`ZONES`].
    pub zone: usize,
    /// A place in [`CALENDARS`], and how it is used.
    pub calendar: Option<(usize, Mode)>,
    /// No instant before.
    pub start: Option<i64>,
    /// No instant at or after.
    pub end: Option<i64>,
}

/// Expanded days, kept.
#[derive(Default)]
pub struct Timetables {
    days: BTreeMap<(usize, usize, usize, i64), Rc<Vec<i64>>>,
    zones: Vec<TimeZone>,
}

impl Timetables {
    /// The oracle.
    ///
    /// # Panics
    /// A zone is not in jiff's database.
    pub fn new() -> Self {
        let zones = ZONES.iter().map(|name| TimeZone::get(name).expect("a zone of the database"));
        Self { days: BTreeMap::new(), zones: zones.collect() }
    }

    /// The instants after `after` and up to `until` (microseconds), and whether the calendar lets each be.
    pub fn between(&mut self, table: &Table, after: i64, until: i64) -> Vec<(i64, bool)> {
        let (from, to) = (after.div_euclid(1_000_000) + 1, until.div_euclid(1_000_000));
        let from = table.start.map_or(from, |start| from.max(start));
        let to = table.end.map_or(to, |end| to.min(end - 1));
        if from > to {
            return Vec::new();
        }
        let found: Vec<i64> = match &table.instants {
            Instants::At(at) => [*at].into_iter().filter(|at| (from..=to).contains(at)).collect(),
            Instants::Grid { period, origin, both_ways } => {
                let first = if *both_ways { from } else { from.max(*origin) };
                let first = first + (origin - first).rem_euclid(*period);
                (0..).map(|n| first + n * period).take_while(|at| *at <= to).collect()
            }
            Instants::Cron { rule, dst } => (from.div_euclid(DAY)..=to.div_euclid(DAY))
                .flat_map(|day| self.cron_day(table, *rule, *dst, day))
                .filter(|at| (from..=to).contains(at))
                .collect(),
        };
        found.into_iter().map(|at| (at, self.counts(table, at))).collect()
    }

    /// The first instant after `after` (microseconds), in seconds, if there is one in the next 40 days.
    pub fn next(&mut self, table: &Table, after: i64) -> Option<i64> {
        let mut from = after;
        let first = match table.instants {
            Instants::At(at) => (at - 1) * 1_000_000,
            Instants::Grid { origin, both_ways: false, .. } => (origin - 1) * 1_000_000,
            _ => from,
        };
        from = from.max(first).max(table.start.map_or(from, |start| (start - 1) * 1_000_000));
        for _ in 0..40 {
            let until = from + DAY * 1_000_000;
            if let Some((at, _)) = self.between(table, from, until).first() {
                return Some(*at);
            }
            from = until;
        }
        None
    }

    fn counts(&self, table: &Table, at: i64) -> bool {
        let Some((calendar, mode)) = table.calendar else { return true };
        let day = (at + self.offset(table.zone, at)).div_euclid(DAY);
        match mode {
            Mode::Only => (CALENDARS[calendar].1)(day),
            Mode::Except => !(CALENDARS[calendar].1)(day),
            Mode::NextBusinessDay => true,
        }
    }

    /// The instants of a day of UTC.
    fn cron_day(&mut self, table: &Table, rule: usize, dst: usize, day: i64) -> Vec<i64> {
        let Some((calendar, Mode::NextBusinessDay)) = table.calendar else {
            return self.watched(rule, table.zone, dst, day).to_vec();
        };
        // In UTC alone, where a day on the wall is a day.
        let belongs = CALENDARS[calendar].1;
        if !belongs(day) {
            return Vec::new();
        }
        let mut found = self.watched(rule, table.zone, dst, day).to_vec();
        for moved in (1..).take_while(|back| !belongs(day - back)) {
            found.extend(self.watched(rule, table.zone, dst, day - moved).iter().map(|at| at + moved * DAY));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn watched(&mut self, rule: usize, zone: usize, dst: usize, day: i64) -> Rc<Vec<i64>> {
        if let Some(known) = self.days.get(&(rule, zone, dst, day)) {
            return known.clone();
        }
        let found = Rc::new(self.watch(&RULES[rule], zone, DSTS[dst], day));
        self.days.insert((rule, zone, dst, day), found.clone());
        found
    }

    /// Watches the clock on the wall through a day of UTC.
    fn watch(&self, rule: &Rule, zone: usize, dst: &str, day: i64) -> Vec<i64> {
        let mut found = Vec::new();
        let quiet = self.offset(zone, day * DAY - 4 * 3600) == self.offset(zone, (day + 1) * DAY + 4 * 3600);
        let steady = self.offset(zone, day * DAY);
        for minute in 0..1440 {
            let at = day * DAY + minute * 60;
            let offset = if quiet { steady } else { self.offset(zone, at) };
            let named = (rule.names)(Wall::of(at + offset));
            let fires = match quiet {
                true => named,
                false => self.fires_at_change(rule, zone, dst, at, offset, named),
            };
            if fires {
                found.extend(rule.seconds.iter().map(|second| at + second));
            }
        }
        found
    }

    /// Whether the rule fires in the minute `at`, near a change of the clock.
    fn fires_at_change(
        &self,
        rule: &Rule,
        zone: usize,
        dst: &str,
        at: i64,
        offset: i64,
        named: bool,
    ) -> bool {
        // The clock showed this minute before, or will again, if it is set back by `by` around here.
        let by_before = self.offset(zone, at - 3 * 3600) - offset;
        let second = by_before > 0 && self.offset(zone, at - by_before) - offset == by_before;
        let by_after = offset - self.offset(zone, at + 3 * 3600);
        let first = by_after > 0 && offset - self.offset(zone, at + by_after) == by_after;
        let round = match dst {
            "first" => !second,
            "last" => !first,
            "both" => true,
            _ => !(second && rule.fixed),
        };
        if named && round {
            return true;
        }
        // The minutes that a change forward has just passed over.
        let before = self.offset(zone, at - 60);
        rule.fixed
            && dst != "skip"
            && offset > before
            && (0..(offset - before) / 60).any(|n| (rule.names)(Wall::of(at + before + n * 60)))
    }

    fn offset(&self, zone: usize, at: i64) -> i64 {
        let at = Timestamp::from_second(at).expect("an instant of this century");
        i64::from(self.zones[zone].to_offset(at).seconds())
    }
}
