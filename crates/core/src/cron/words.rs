//! An expression in words, English or Chinese.

use super::pattern::{Field, Item, Kind, MONTHS_LONG, Pattern};
use super::{Cron, parse};

/// The language of an explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified.
    Chinese,
}

use Language::{Chinese, English};

const WEEKDAYS_EN: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const WEEKDAYS_ZH: [&str; 7] = ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"];
/// More times of day are not listed one by one.
const TIMES_LISTED_MAX: usize = 6;

impl Cron {
    /// The rule in words: `at 02:30, Monday through Friday`.
    pub fn explain(&self, language: Language) -> String {
        let pattern = parse::pattern_again(&self.text, self.dialect);
        let parts = [
            time(&pattern, language),
            days(&pattern, language),
            months(&pattern, language),
            years(&pattern, language),
        ];
        match language {
            English => parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
            // The greater comes first.
            Chinese => {
                let [time, mut days, mut months, years] = parts;
                if let (Some(in_months), Some(on_days)) = (&months, &days)
                    && on_days.starts_with("每月")
                {
                    let on_days = on_days.replace("每月 ", "").replace("每月", "");
                    days = Some(between(in_months, "的", &on_days));
                    months = None;
                }
                [years, months, days, time].into_iter().flatten().collect::<Vec<_>>().join("，")
            }
        }
    }
}

/// The values of a field if it is a list of plain numbers. `*/45` in the minute field is 0 and 45: only a step that
/// divides the field is an interval.
fn plain(field: &Field) -> Option<Vec<u16>> {
    let (min, max) = field.kind.bounds();
    let mut values = Vec::new();
    for item in &field.items {
        match item {
            Item::Value(value) => values.push(*value),
            Item::All { step } if !u32::from(max - min + 1).is_multiple_of(*step) => {
                values.extend((min..=max).step_by(usize::try_from(*step).unwrap_or(usize::MAX)));
            }
            _ => return None,
        }
    }
    values.sort_unstable();
    values.dedup();
    Some(values)
}

/// Second, minute and hour.
fn time(pattern: &Pattern, language: Language) -> Option<String> {
    let (minute, hour) = (pattern.field(Kind::Minute)?, pattern.field(Kind::Hour)?);
    let second = pattern.field(Kind::Second).filter(|field| plain(field) != Some(vec![0]));
    if let Some(times) = clock_times(second, minute, hour, language) {
        return Some(times);
    }
    let mut parts = Vec::new();
    let whole_minutes = second.is_none();
    if let Some(second) = second {
        parts.push(unit(second, language));
    }
    // "every second" says every minute, "every minute" every hour.
    let (minute_bare, hour_bare) = (minute.bare, hour.bare);
    if whole_minutes || !minute_bare {
        match (plain(minute).as_deref(), language) {
            (Some([0]), English) if hour_bare && whole_minutes => {
                parts.push("every hour, on the hour".to_owned())
            }
            (Some([0]), Chinese) if hour_bare && whole_minutes => parts.push("每小时整点".to_owned()),
            _ => parts.push(unit(minute, language)),
        }
    }
    let on_the_hour = plain(minute).as_deref() == Some(&[0]) && whole_minutes;
    if !hour_bare {
        parts.push(unit(hour, language));
    } else if !minute_bare && !on_the_hour && (!minute.star || plain(minute).is_some()) {
        parts.push(if language == English { "every hour".to_owned() } else { "每小时".to_owned() });
    }
    if language == Chinese {
        parts.reverse();
    }
    Some(parts.join(if language == English { ", " } else { "，" }))
}

/// `at 02:30 and 14:30`, if the fields are numbers and make a few times of day.
fn clock_times(second: Option<&Field>, minute: &Field, hour: &Field, language: Language) -> Option<String> {
    let seconds = second.map_or_else(|| Some(vec![0]), plain)?;
    let (minutes, hours) = (plain(minute)?, plain(hour)?);
    if seconds.len() * minutes.len() * hours.len() > TIMES_LISTED_MAX {
        return None;
    }
    let mut times = Vec::new();
    for hour in &hours {
        for minute in &minutes {
            for second in &seconds {
                let seconds = if seconds == [0] { String::new() } else { format!(":{second:02}") };
                times.push(format!("{hour:02}:{minute:02}{seconds}"));
            }
        }
    }
    times.sort();
    times.dedup();
    Some(match language {
        English => format!("at {}", join(&times, language)),
        Chinese => join(&times, language),
    })
}

/// `a, b and c`
fn join(parts: &[String], language: Language) -> String {
    match (parts, language) {
        ([], _) => String::new(),
        ([only], _) => only.clone(),
        ([first @ .., last], English) => format!("{} and {last}", first.join(", ")),
        ([first @ .., last], Chinese) => between(&first.join("、"), "和", last),
    }
}

/// Chinese words around a particle, with a space beside numbers.
fn between(left: &str, particle: &str, right: &str) -> String {
    let space = |beside: Option<char>| if beside.is_some_and(|c| c.is_ascii_digit()) { " " } else { "" };
    let (before, after) = (space(left.chars().last()), space(right.chars().next()));
    format!("{left}{before}{particle}{after}{right}")
}

/// `every 5 minutes`, `minutes 5, 10 and 20 through 30`.
fn unit(field: &Field, language: Language) -> String {
    let (singular, plural, zh) = match field.kind {
        Kind::Second => ("second", "seconds", "秒"),
        Kind::Minute => ("minute", "minutes", "分钟"),
        _ => ("hour", "hours", "小时"),
    };
    let values = plain(field);
    if let ([Item::All { step }], None) = (field.items.as_slice(), &values) {
        return match (language, step) {
            (English, 1) => format!("every {singular}"),
            (English, step) => format!("every {step} {plural}"),
            (Chinese, 1) => format!("每{zh}"),
            (Chinese, step) => format!("每 {step} {zh}"),
        };
    }
    let one = values.as_ref().is_some_and(|values| values.len() == 1);
    let list = match values {
        Some(values) => join(&values.iter().map(u16::to_string).collect::<Vec<_>>(), language),
        None => list(field, language, &|value| value.to_string()),
    };
    match language {
        English => format!("{} {list}", if one { singular } else { plural }),
        Chinese => {
            let unit = if field.kind == Kind::Hour { "点" } else { zh.trim_end_matches('钟') };
            between(&between("", "第", &list), unit, "")
        }
    }
}

/// The parts of a field that are values, each by its name.
fn list(field: &Field, language: Language, name: &dyn Fn(u16) -> String) -> String {
    let parts: Vec<String> =
        field.items.iter().filter_map(|item| part(*item, field.kind, language, name)).collect();
    join(&parts, language)
}

fn part(item: Item, kind: Kind, language: Language, name: &dyn Fn(u16) -> String) -> Option<String> {
    let range = |from: u16, to: u16, step: u32| match (language, step) {
        _ if from == to => name(from),
        (English, 1) => format!("{} through {}", name(from), name(to)),
        (English, step) => format!("every {} from {} through {}", ordinal(step), name(from), name(to)),
        (Chinese, 1) => between(&name(from), "至", &name(to)),
        (Chinese, step) => format!("{}（步长 {step}）", between(&name(from), "至", &name(to))),
    };
    let (min, max) = kind.bounds();
    Some(match item {
        Item::All { step } => range(min, max, step),
        Item::Value(value) => name(value),
        Item::Range { from, to, step, .. } | Item::Wrap { from, to, step } => range(from, to, step),
        Item::Hash { from, to, step } => match (language, step) {
            (English, None) => format!("one of {} through {} by the job's name", name(from), name(to)),
            (English, Some(step)) => format!("every {} from a start by the job's name", ordinal(step)),
            (Chinese, None) => {
                let range = between(&name(from), "至", &name(to));
                between(&between("", "由作业名决定的", &range), "之一", "")
            }
            (Chinese, Some(step)) => format!("起点由作业名决定（步长 {step}）"),
        },
        _ => return None,
    })
}

/// `2nd`
fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

fn days(pattern: &Pattern, language: Language) -> Option<String> {
    let of_month = pattern.field(Kind::DayOfMonth).filter(|field| !field.bare);
    let of_week = pattern.field(Kind::DayOfWeek).filter(|field| !field.bare);
    match (of_month, of_week) {
        (None, None) => {
            let months = pattern.field(Kind::Month).is_some_and(|field| !field.bare);
            let fixed = pattern.field(Kind::Hour).is_some_and(|hour| !hour.star || plain(hour).is_some());
            let every = if language == English { "every day" } else { "每天" };
            (fixed || months).then(|| every.to_owned())
        }
        (Some(days), None) => Some(days_of_month(days, language)),
        (None, Some(days)) => Some(days_of_week(days, language)),
        (Some(month), Some(week)) => {
            let (month, week) = (days_of_month(month, language), days_of_week(week, language));
            Some(match (language, pattern.both_days) {
                (English, true) => format!("{month} if it is also {}", week.trim_start_matches("on ")),
                (English, false) => format!("{month} or {week}"),
                (Chinese, true) => format!("{month}且为{week}"),
                (Chinese, false) => format!("{month}或{week}"),
            })
        }
    }
}

fn days_of_month(field: &Field, language: Language) -> String {
    let special = |item: &Item| {
        Some(match (language, *item) {
            (English, Item::Last { before: 0, nearest: false }) => "the last day of the month".to_owned(),
            (English, Item::Last { before: 0, nearest: true }) => {
                "the last weekday (Monday to Friday) of the month".to_owned()
            }
            (English, Item::Last { before, nearest: false }) => {
                format!("{before} days before the last day of the month")
            }
            (English, Item::Last { before, nearest: true }) => {
                format!("the weekday nearest to {before} days before the last day of the month")
            }
            (English, Item::Nearest { day }) => {
                format!("the weekday (Monday to Friday) nearest to day {day} of the month")
            }
            (Chinese, Item::Last { before: 0, nearest: false }) => "每月最后一天".to_owned(),
            (Chinese, Item::Last { before: 0, nearest: true }) => {
                "每月最后一个工作日（周一至周五）".to_owned()
            }
            (Chinese, Item::Last { before, nearest: false }) => {
                format!("每月倒数第 {} 天", u16::from(before) + 1)
            }
            (Chinese, Item::Last { before, nearest: true }) => {
                format!("最接近每月倒数第 {} 天的工作日", u16::from(before) + 1)
            }
            (Chinese, Item::Nearest { day }) => format!("最接近每月 {day} 日的工作日（周一至周五）"),
            _ => return None,
        })
    };
    let name = |day: u16| if language == English { day.to_string() } else { format!("{day} 日") };
    let plain = list(field, language, &name);
    let one = matches!(field.items.as_slice(), [Item::Value(_)]);
    let mut parts = Vec::new();
    if !plain.is_empty() {
        parts.push(match language {
            English => format!("{} {plain} of the month", if one { "day" } else { "days" }),
            Chinese => between("", "每月", &plain),
        });
    }
    parts.extend(field.items.iter().filter_map(special));
    let joined = join(&parts, language);
    if language == English { format!("on {joined}") } else { joined }
}

fn days_of_week(field: &Field, language: Language) -> String {
    let names = if language == English { WEEKDAYS_EN } else { WEEKDAYS_ZH };
    let name = |day: u16| names[usize::from(day % 7)].to_owned();
    let special = |item: &Item| {
        Some(match (language, *item) {
            (English, Item::Nth { weekday, nth }) => {
                format!(
                    "the {} {} of the month",
                    ["first", "second", "third", "fourth", "fifth"][usize::from(nth) - 1],
                    name(u16::from(weekday))
                )
            }
            (English, Item::LastWeekday { weekday }) => {
                format!("the last {} of the month", name(u16::from(weekday)))
            }
            (Chinese, Item::Nth { weekday, nth }) => {
                format!(
                    "每月第{}个{}",
                    ["一", "二", "三", "四", "五"][usize::from(nth) - 1],
                    name(u16::from(weekday))
                )
            }
            (Chinese, Item::LastWeekday { weekday }) => format!("每月最后一个{}", name(u16::from(weekday))),
            _ => return None,
        })
    };
    let plain = list(field, language, &name);
    let mut parts: Vec<String> = (!plain.is_empty()).then_some(plain).into_iter().collect();
    parts.extend(field.items.iter().filter_map(special));
    let joined = join(&parts, language);
    if language == English { format!("on {joined}") } else { joined }
}

fn months(pattern: &Pattern, language: Language) -> Option<String> {
    let field = pattern.field(Kind::Month).filter(|field| !field.bare)?;
    Some(match language {
        English => {
            format!("in {}", list(field, language, &|month| MONTHS_LONG[usize::from(month) - 1].to_owned()))
        }
        Chinese => list(field, language, &|month| format!("{month} 月")),
    })
}

fn years(pattern: &Pattern, language: Language) -> Option<String> {
    let field = pattern.field(Kind::Year).filter(|field| !field.bare)?;
    Some(match language {
        English => format!("in {}", list(field, language, &|year| year.to_string())),
        Chinese => list(field, language, &|year| format!("{year} 年")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    #[test]
    fn expressions_are_told_in_two_languages() {
        let cases = [
            ("*/5 * * * *", "every 5 minutes", "每 5 分钟"),
            ("* * * * *", "every minute", "每分钟"),
            ("@hourly", "every hour, on the hour", "每小时整点"),
            ("@daily", "at 00:00, every day", "每天，00:00"),
            ("30 2 * * MON-FRI", "at 02:30, on Monday through Friday", "星期一至星期五，02:30"),
            ("0 9,18 1 * *", "at 09:00 and 18:00, on day 1 of the month", "每月 1 日，09:00 和 18:00"),
            ("15 * * * *", "minute 15, every hour", "每小时，第 15 分"),
            (
                "*/10 9-17 * * *",
                "every 10 minutes, hours 9 through 17, every day",
                "每天，第 9 至 17 点，每 10 分钟",
            ),
            ("0 0 L * *", "at 00:00, on the last day of the month", "每月最后一天，00:00"),
            ("0 0 * * FRI#L", "at 00:00, on the last Friday of the month", "每月最后一个星期五，00:00"),
            ("0 0 * * 2#3", "at 00:00, on the third Tuesday of the month", "每月第三个星期二，00:00"),
            (
                "0 12 1 * +MON",
                "at 12:00, on day 1 of the month if it is also Monday",
                "每月 1 日且为星期一，12:00",
            ),
            ("0 12 1 * MON", "at 12:00, on day 1 of the month or on Monday", "每月 1 日或星期一，12:00"),
            ("0 0 1 1 *", "at 00:00, on day 1 of the month, in January", "1 月的 1 日，00:00"),
            ("30 0 12 * * * 2027", "at 12:00:30, every day, in 2027", "2027 年，每天，12:00:30"),
            ("*/15 * * * * *", "every 15 seconds", "每 15 秒"),
            (
                "5-59/15 * * * *",
                "minutes every 15th from 5 through 59, every hour",
                "每小时，第 5 至 59（步长 15）分",
            ),
            ("0 0 1,15 * *", "at 00:00, on days 1 and 15 of the month", "每月 1 日和 15 日，00:00"),
            (
                "0 0 L 2-4 *",
                "at 00:00, on the last day of the month, in February through April",
                "2 月至 4 月的最后一天，00:00",
            ),
        ];
        for (text, english, chinese) in cases {
            let cron = Cron::parse(text, Dialect::Standard).expect(text);
            assert_eq!(cron.explain(English), english, "{text}");
            assert_eq!(cron.explain(Chinese), chinese, "{text}");
        }
    }

    #[test]
    fn a_step_that_does_not_divide_its_field_is_told_by_its_values() {
        let cases = [
            ("*/70 * * * *", "every hour, on the hour", "每小时整点"),
            ("*/45 * * * *", "minutes 0 and 45, every hour", "每小时，第 0 和 45 分"),
            ("*/45 9 * * *", "at 09:00 and 09:45, every day", "每天，09:00 和 09:45"),
            (
                "0 */5 * * *",
                "at 00:00, 05:00, 10:00, 15:00 and 20:00, every day",
                "每天，00:00、05:00、10:00、15:00 和 20:00",
            ),
            ("*/40 * * * * *", "seconds 0 and 40", "第 0 和 40 秒"),
            ("*/90 * * * * *", "every minute", "每分钟"),
            ("*/30 */6 * * *", "every 30 minutes, every 6 hours", "每 6 小时，每 30 分钟"),
        ];
        for (text, english, chinese) in cases {
            let cron = Cron::parse(text, Dialect::Standard).expect(text);
            assert_eq!(cron.explain(English), english, "{text}");
            assert_eq!(cron.explain(Chinese), chinese, "{text}");
        }
    }
}
