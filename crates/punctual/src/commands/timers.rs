//! Bare `punctual`: what runs next, how it went last, and what is in the way.

use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print, remark};
use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::when::{relative, short, utc};
use crate::zoned::Rules;
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_server::dto::{JobDto, RunDto};
use std::process::ExitCode;
use std::time::Duration;

/// Lists what runs next.
pub fn run(data: &Data, format: Format) -> ExitCode {
    finish(format, list(data, format))
}

fn list(data: &Data, format: Format) -> Result<u8, Failure> {
    let client = Client::open(data)?;
    let mut jobs: Vec<JobDto> = client.get("/v1/jobs")?;
    jobs.sort_by(|a, b| {
        (a.next_time.is_none(), a.next_time, &a.name).cmp(&(b.next_time.is_none(), b.next_time, &b.name))
    });
    match format {
        Format::Json => print(json(&jobs)),
        Format::Table if jobs.is_empty() => remark("no jobs yet: `punctual init` writes a first one"),
        Format::Table => {
            print(table(&jobs, &punctual_engine::zones::open(), client.now()).render(Screen::stdout()));
        }
    }
    if !client.has_daemon() {
        remark("no daemon is running: nothing starts until `punctual serve` does");
    }
    Ok(OK)
}

fn table(jobs: &[JobDto], zones: &ZoneTable, now: Timestamp) -> Table {
    let rules: Vec<Rules> = jobs.iter().map(|job| Rules::of(job, zones)).collect();
    let two_clocks = !rules.iter().all(Rules::is_utc);
    let mut titles = vec!["NEXT", "UTC", ">IN", "JOB", ">LAST", "VERDICT", ">LATE", "WHY"];
    if !two_clocks {
        titles.remove(1);
    }
    let mut table = Table::new(&titles).yielding(&["UTC", "LATE", "LAST"]);
    for (job, rules) in jobs.iter().zip(&rules) {
        let last = job.last_run.as_ref();
        let next = job.next_time.map(|next| next.0);
        let mut cells: Vec<Cell> = vec![
            next.map_or_else(|| Cell::toned("-", Tone::Dim), |next| rules.clock(next).into()),
            next.map_or_else(String::new, utc).into(),
            next.map_or_else(String::new, |next| until(next, now)).into(),
            job.name.as_str().into(),
            last.map_or_else(String::new, |run| relative(last_instant(run), now)).into(),
            last.map_or_else(Cell::default, verdict),
            last.and_then(late).map_or_else(String::new, short).into(),
            why(job, now),
        ];
        if !two_clocks {
            cells.remove(1);
        }
        table.row(cells);
    }
    table
}

fn until(next: Timestamp, now: Timestamp) -> String {
    relative(next, now).trim_start_matches("in ").to_owned()
}

/// When a run last did something: its last attempt's start, else its nominal time.
fn last_instant(run: &RunDto) -> Timestamp {
    let started = run.attempts.last().and_then(|a| a.started_at);
    started.unwrap_or(run.nominal_time).0
}

/// A run's verdict, or where it stands until it has one.
pub fn verdict(run: &RunDto) -> Cell {
    match run.verdict.as_deref() {
        Some("success") => Cell::toned("success", Tone::Good),
        Some("cancelled") => Cell::toned("cancelled", Tone::Dim),
        Some(other) => Cell::toned(other, Tone::Bad),
        None => Cell::toned(&run.state, Tone::Busy),
    }
}

/// From due to the start of the first attempt.
pub fn late(run: &RunDto) -> Option<Duration> {
    run.attempts.first().and_then(|a| a.start_delay_us).map(Duration::from_micros)
}

/// The one thing worth saying about a job: what keeps it from running, else how it ended badly.
fn why(job: &JobDto, now: Timestamp) -> Cell {
    if let Some(pause) = &job.paused {
        let reason = if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
        return Cell::toned(format!("paused{reason}"), Tone::Dim);
    }
    if let Some(next) = job.next_time
        && now.since(next.0) > Duration::from_secs(2)
    {
        return Cell::toned(format!("overdue {}", short(now.since(next.0))), Tone::Bad);
    }
    if job.held_runs > 0 {
        return Cell::toned(format!("{} waiting for the one before", job.held_runs), Tone::Busy);
    }
    if job.active_runs > 0 {
        return Cell::toned(format!("{} under way or due", job.active_runs), Tone::Busy);
    }
    if let Some(run) = &job.last_run
        && !matches!(run.verdict.as_deref(), None | Some("success"))
    {
        return Cell::toned(how_it_ended(run), Tone::Bad);
    }
    match job.next_time {
        None if job.triggers.is_empty() => Cell::toned("no trigger", Tone::Dim),
        None => Cell::toned("no further time", Tone::Dim),
        Some(_) => Cell::default(),
    }
}

/// What a run's last attempt, or its reason, says of its end: `exit 1`, `signal 9`, `overlap`.
pub fn how_it_ended(run: &RunDto) -> String {
    let attempt = run.attempts.last();
    let code = attempt.and_then(|a| a.exit_code).filter(|code| *code != 0).map(|code| format!("exit {code}"));
    let signal = attempt.and_then(|a| a.signal).map(|signal| format!("signal {signal}"));
    let parts: Vec<String> = [code.or(signal), run.reason.clone()].into_iter().flatten().collect();
    let told = parts.join(", ");
    // The page that explains it, unless the reason names one.
    match attempt.and_then(|a| a.code.as_deref()) {
        Some(code) if !told.contains(code) => format!("{told} ({code})").trim_start().to_owned(),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::{NOW, after, job};
    use punctual_server::dto::PauseDto;

    fn listing() -> Vec<JobDto> {
        let mut failed = JobDto { name: "report".to_owned(), next_time: Some(after(-90)), ..job() };
        let run = failed.last_run.as_mut().expect("the example has one");
        run.verdict = Some("failed".to_owned());
        run.attempts[0].exit_code = Some(3);
        let pause = PauseDto { since: after(-60), reason: "disk is full".to_owned() };
        let paused = JobDto {
            name: "paused".to_owned(),
            paused: Some(pause),
            next_time: None,
            last_run: None,
            ..job()
        };
        let ended = JobDto { name: "ended".to_owned(), next_time: None, ..job() };
        let held = JobDto { name: "held".to_owned(), held_runs: 2, active_runs: 1, ..job() };
        let badly = JobDto {
            name: "badly".to_owned(),
            next_time: Some(after(9000)),
            last_run: failed.last_run.clone(),
            ..job()
        };
        vec![failed, job(), held, badly, ended, paused]
    }

    #[test]
    fn the_listing_says_what_is_next_and_what_is_in_the_way() {
        let zones = ZoneTable::bundled();
        let narrow = Screen { width: Some(110), colour: false };
        let expected = "\
NEXT                              IN  JOB       LAST  VERDICT  LATE  WHY
2026-11-24 16:58:30+08:00  1m30s ago  report  2h ago  failed    1ms  overdue 1m30s
2026-11-24 17:03:12+08:00      3m12s  backup  2h ago  success   1ms
2026-11-24 17:03:12+08:00      3m12s  held    2h ago  success   1ms  2 waiting for the one before
2026-11-24 19:30:00+08:00      2h30m  badly   2h ago  failed    1ms  exit 3
-                                     ended   2h ago  success   1ms  no further time
-                                     paused                         paused: disk is full
";
        assert_eq!(table(&listing(), &zones, NOW).render(narrow), expected);
        let wide = table(&listing(), &zones, NOW).render(Screen::PLAIN);
        assert!(wide.starts_with("NEXT                       UTC  "), "{wide}");
        assert!(wide.contains("2026-11-24 17:03:12+08:00  2026-11-24 09:03:12Z"), "{wide}");
    }
}
