//! The timetable against a second opinion that shares nothing with it: a clock that is watched step by step around
//! every change of every zone from 1970 to 2100, as cron(8) watches the clock on the wall.
//!
//! By default each change meets one rule under one policy; with `PUNCTUAL_TEST_FULL=1` it meets all of them.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use punctual_core::cron::{Cron, Dialect};
use punctual_core::schedule::{CronSchedule, DstPolicy};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use std::collections::HashSet;
use std::sync::Arc;

/// A fixed time, or a wildcard where minutes or hours begin with a star.
const RULES: [&str; 14] = [
    "30 2 * * *",
    "0 0 * * *",
    "0,30 1-3 * * *",
    "*/15 * * * *",
    "5 * * * *",
    "*/20 2 * * *",
    "59 23 * * *",
    "15 0-23/2 * * *",
    "0 3 * * 0",
    "45 1 1-7 * 0",
    "0-59 2 * * *",
    "30 0 * 3,10 *",
    "0 12 31 12 *",
    "0 0,1,2,3,4 * * 1-5",
];
const POLICIES: [DstPolicy; 5] =
    [DstPolicy::Debian, DstPolicy::Skip, DstPolicy::First, DstPolicy::Last, DstPolicy::Both];
/// Seconds of a step: every offset since 1970 is a multiple of it.
const STEP: i64 = 30;
/// Seconds watched before and after a change.
const AROUND: i64 = 5 * 3600;
const LIMIT: i64 = 3 * 3600;

/// A cron expression, read as naively as it can be: five fields of lists of numbers, ranges and steps.
struct Naive {
    /// A bit for each value.
    fields: Vec<u64>,
    both_days_given: bool,
    wildcard: bool,
}

impl Naive {
    fn new(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let fields = words.iter().zip(bounds).map(|(word, bounds)| Self::field(word, bounds)).collect();
        Self {
            fields,
            both_days_given: words[2] != "*" && words[4] != "*",
            wildcard: words[0].starts_with('*') || words[1].starts_with('*'),
        }
    }

    fn field(word: &str, (min, max): (i64, i64)) -> u64 {
        let mut set = 0;
        for part in word.split(',') {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (from.parse().expect("a number"), to.parse().expect("a number")),
                None if range == "*" => (min, max),
                None => (range.parse().expect("a number"), range.parse().expect("a number")),
            };
            let step: usize = step.parse().expect("a number");
            (from..=to).step_by(step).for_each(|value| set |= 1 << value);
        }
        set
    }

    /// Whether the rule has this second of the wall clock, given as seconds since 1970-01-01T00:00:00 on it.
    fn has(&self, local: i64) -> bool {
        let has = |field: usize, value: i64| self.fields[field] >> value & 1 == 1;
        if local % 60 != 0 || !has(0, local.rem_euclid(3600) / 60) || !has(1, local.rem_euclid(86_400) / 3600)
        {
            return false;
        }
        let wall = jiff::Timestamp::from_second(local).expect("in range").to_zoned_datetime(TimeZone::UTC);
        let of_month = has(2, i64::from(wall.day()));
        let of_week = has(4, i64::from(wall.weekday().to_sunday_zero_offset()));
        let day = if self.both_days_given { of_month || of_week } else { of_month && of_week };
        day && has(3, wall.month() as i64)
    }

    /// The seconds at which it fires, from a list of every step's UTC second and wall clock.
    fn watch(&self, clock: &[(i64, i64)], policy: DstPolicy) -> Vec<i64> {
        let fixed = !self.wildcard;
        let mut fires = Vec::new();
        // Until the wall clock has passed this, it shows what it showed before.
        let mut shown_until = i64::MIN;
        for (index, &(at, local)) in clock.iter().enumerate().skip(1) {
            let before = clock[index - 1].1;
            let jump = local - before - STEP;
            let mut made_up = false;
            if jump > 0 && jump <= LIMIT && fixed && policy != DstPolicy::Skip {
                made_up = (before + STEP..local).step_by(STEP as usize).any(|skipped| self.has(skipped));
            }
            if (-LIMIT..0).contains(&jump) {
                shown_until = before + STEP;
            } else if jump < 0 {
                shown_until = i64::MIN;
            }
            let again = local < shown_until;
            let later = || {
                // Set back, by as little as counts, to before this wall time, while it is still ahead.
                let steps = clock[index..].windows(2);
                steps.take_while(|pair| pair[1].1 - pair[0].1 == STEP).count() + 1
            };
            if !made_up && !self.has(local) {
                continue;
            }
            let counts = match policy {
                DstPolicy::Both => true,
                DstPolicy::Debian | DstPolicy::Skip => !(fixed && again),
                DstPolicy::First => !again,
                DstPolicy::Last => match clock.get(index + later()) {
                    Some(&(_, after)) => {
                        let end = clock[index + later() - 1].1;
                        let back = end + STEP - after;
                        !(back > 0 && back <= LIMIT && local >= after)
                    }
                    None => true,
                },
            };
            if made_up || counts {
                fires.push(at);
            }
        }
        fires
    }
}

fn timetable(schedule: &CronSchedule, from: i64, to: i64) -> Vec<i64> {
    let mut fires = Vec::new();
    let mut cursor = Timestamp::from_secs(from);
    while let Some(next) = schedule.next_after(cursor).filter(|next| next.as_secs() < to) {
        assert!(next > cursor, "{schedule:?} went back from {cursor} to {next}");
        fires.push(next.as_secs());
        cursor = next;
    }
    fires
}

#[test]
fn every_change_of_every_zone_is_as_a_watched_clock_has_it() {
    let full = std::env::var_os("PUNCTUAL_TEST_FULL").is_some();
    let table = ZoneTable::bundled();
    let database = TimeZoneDatabase::bundled();
    let rules: Vec<(Arc<Cron>, Naive)> = RULES
        .iter()
        .map(|text| (Arc::new(Cron::parse(text, Dialect::Standard).expect(text)), Naive::new(text)))
        .collect();
    let mut seen: HashSet<Vec<(i64, i32)>> = HashSet::new();
    let (mut turn, mut compared, mut fired) = (0, 0, 0);
    for name in table.names() {
        let zone = table.zone(name).expect("a name of the table");
        if !seen.insert(zone.spans().iter().map(|span| (span.start, span.offset)).collect()) {
            continue;
        }
        let tz = database.get(name).expect("the same data");
        for change in zone.changes(0, 4_102_444_800) {
            turn += 1;
            // Rules of today repeat themselves: a sample of the coming century is enough where time is short.
            if !full && change.at > 1_900_000_000 && turn % 23 != 0 {
                continue;
            }
            let reach = AROUND + i64::from(change.jump().abs());
            let (from, to) = ((change.at - reach) / STEP * STEP, (change.at + reach) / STEP * STEP);
            let clock: Vec<(i64, i64)> = (from..to)
                .step_by(STEP as usize)
                .map(|at| {
                    let instant = jiff::Timestamp::from_second(at).expect("in range");
                    (at, at + i64::from(tz.to_offset(instant).seconds()))
                })
                .collect();
            for (index, (rule, naive)) in rules.iter().enumerate() {
                for (number, dst) in POLICIES.iter().enumerate() {
                    if !full && turn % (RULES.len() * POLICIES.len()) != index * POLICIES.len() + number {
                        continue;
                    }
                    let schedule = CronSchedule { rule: rule.clone(), zone: zone.clone(), dst: *dst };
                    // What came before the watch began may still count: leave its first hours out.
                    let begin = change.at - reach + LIMIT;
                    let expected: Vec<i64> =
                        naive.watch(&clock, *dst).into_iter().filter(|at| *at > begin).collect();
                    let context = || format!("{} {dst:?} in {name} around {}", RULES[index], change.at);
                    // What a later change repeats lies beyond the watch.
                    let end = change.at + reach - LIMIT;
                    let until =
                        |fires: &[i64]| fires.iter().copied().filter(|at| *at < end).collect::<Vec<_>>();
                    let actual = timetable(&schedule, begin, to);
                    assert_eq!(until(&actual), until(&expected), "{}", context());
                    // The same timetable from wherever one starts, and backwards.
                    for start in [change.at - 1801, change.at - 1, change.at, change.at + 900] {
                        let later: Vec<i64> = actual.iter().copied().filter(|at| *at > start).collect();
                        assert_eq!(timetable(&schedule, start, to), later, "{} from {start}", context());
                    }
                    for pair in actual.windows(2) {
                        let before = schedule.prev_before(Timestamp::from_secs(pair[1]));
                        assert_eq!(before, Some(Timestamp::from_secs(pair[0])), "{}", context());
                    }
                    compared += 1;
                    fired += expected.len();
                }
            }
        }
    }
    println!("{} zones, {turn} changes, {compared} compared, {fired} firings", seen.len());
    assert!(turn > 10_000 && fired > compared, "too little was seen");
}
