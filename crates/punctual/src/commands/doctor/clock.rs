//! `punctual doctor clock`: how the clock stands, and what somebody who knows says about it.

use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, json, print};
use crate::when::short;
use nix::unistd::{User, getuid};
use punctual_server::dto::{AcceptedDto, ClockDto, SaidDto, SetBackDto};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Triggers that are named for people.
const NAMED_MAX: usize = 10;

/// Say how the clock stands, and confirm a step of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual doctor clock
  punctual doctor clock --accept       the clock was set on purpose, and is right now
  punctual doctor clock --set-back     it had run ahead and is right now: let what it decided ahead fire again

A clock that moved by more than 5 minutes against the time that has passed is not believed at once: jobs go on by the time
that has passed, until the kernel has been synchronised for a minute, or --accept says that the clock is right. Both are
written down with the user. Exits 1 while the clock is not believed, or triggers have been decided ahead of it.")]
pub struct Args {
    /// Believe the clock as it is now
    #[arg(long, conflicts_with = "set_back")]
    accept: bool,
    /// Let triggers that have been decided more than 5 minutes ahead of the clock fire from now on; what has run
    /// already does not run again
    #[arg(long)]
    set_back: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, clock(&args))
}

fn clock(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let said = SaidDto { by: user() };
    if args.set_back {
        let done: SetBackDto = client.post("/v1/clock/set-back", &said)?;
        match args.format {
            Format::Json => print(json(&done)),
            Format::Table => print(set_back_text(&done)),
        }
        return Ok(OK);
    }
    if args.accept {
        let done: AcceptedDto = client.post("/v1/clock/accept", &said)?;
        match args.format {
            Format::Json => print(json(&done)),
            Format::Table if done.accepted => print(format!("confirmed: it is {}\n", done.clock.now)),
            Format::Table => print("there is nothing to confirm: the clock is believed\n"),
        }
        return Ok(OK);
    }
    let clock: ClockDto = client.get("/v1/clock")?;
    match args.format {
        Format::Json => print(json(&clock)),
        Format::Table => print(text(&clock)),
    }
    Ok(if clock.verdict == "steady" && clock.ahead_triggers == 0 { OK } else { NO })
}

/// Who says it: the user, and whom `sudo` was asked by.
fn user() -> String {
    let name = User::from_uid(getuid()).ok().flatten().map_or_else(|| getuid().to_string(), |user| user.name);
    match std::env::var("SUDO_USER") {
        Ok(asked) if !asked.is_empty() && asked != name => format!("{asked} as {name}"),
        _ => name,
    }
}

fn set_back_text(done: &SetBackDto) -> String {
    if done.triggers == 0 {
        return "no trigger has been decided ahead of the clock\n".to_owned();
    }
    format!(
        "{} fire from now on; they had been decided until {}, and {} nominal times of that have run already and do not \
         run again\n",
        counted(done.triggers),
        done.until,
        done.ran
    )
}

fn counted(triggers: usize) -> String {
    format!("{triggers} trigger{}", if triggers == 1 { "" } else { "s" })
}

fn text(clock: &ClockDto) -> String {
    let mut text = String::new();
    let by = short(Duration::from_millis(clock.by_ms.unwrap_or_default()));
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:<14}{value}");
    line("time", clock.now.to_string());
    line("wall clock", clock.wall.to_string());
    let moved = short(Duration::from_millis(clock.moved_ms.unsigned_abs()));
    let direction = if clock.moved_ms < 0 { "back" } else { "forward" };
    line(
        "moved",
        format!("{moved} {direction} since the daemon was started, against the time that has passed"),
    );
    let by_whom = clock.synchronised_by.as_deref().unwrap_or_default();
    line(
        "kernel",
        match clock.synchronised {
            Some(true) => format!("synchronised ({by_whom})"),
            Some(false) => format!("not synchronised ({by_whom})"),
            None => "unknown: none of timedatectl, chronyc and busybox says".to_owned(),
        },
    );
    let verdict = match clock.verdict.as_str() {
        "ahead" | "behind" => {
            let way = if clock.verdict == "ahead" { "forward" } else { "back" };
            let since = short(Duration::from_millis(clock.doubted_ms.unwrap_or_default()));
            format!(
                "set {by} {way}, {since} ago, and not believed yet: jobs go on by `time`. It is believed once the kernel \
                 has been synchronised for a minute. If it is right: punctual doctor clock --accept; if it is wrong: \
                 set it right"
            )
        }
        "before" => format!(
            "{by} before what was seen before this boot; nothing fires twice. Is it set? It is believed until it moves"
        ),
        _ => "believed".to_owned(),
    };
    line("verdict", verdict);
    if clock.ahead_triggers > 0 {
        line(
            "waiting",
            format!(
                "{} decided ahead of the clock. If the clock is right now: punctual doctor clock --set-back",
                counted(clock.ahead_triggers)
            ),
        );
        for ahead in clock.ahead.iter().take(NAMED_MAX) {
            line("", format!("{} ({}) until {}", ahead.job, ahead.trigger, ahead.until));
        }
    }
    for (n, said) in clock.said.iter().rev().take(NAMED_MAX).rev().enumerate() {
        line(if n == 0 { "said" } else { "" }, said.clone());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::after;
    use punctual_server::dto::{AheadDto, Instant};

    fn steady() -> ClockDto {
        ClockDto {
            now: after(0),
            wall: after(0),
            moved_ms: -200,
            verdict: "steady".to_owned(),
            by_ms: None,
            doubted_ms: None,
            synchronised: Some(true),
            synchronised_by: Some("timedatectl".to_owned()),
            ahead_triggers: 0,
            ahead: Vec::new(),
            said: Vec::new(),
        }
    }

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let fine = text(&steady());
        assert!(
            fine.contains("verdict       believed\n") && fine.contains("synchronised (timedatectl)"),
            "{fine}"
        );
        let ahead = ClockDto {
            wall: after(3600),
            verdict: "ahead".to_owned(),
            by_ms: Some(3_600_000),
            doubted_ms: Some(42_000),
            synchronised: None,
            ..steady()
        };
        let told = text(&ahead);
        for part in ["set 1h", "forward", "not believed yet", "--accept", "none of timedatectl"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let waiting =
            AheadDto { job: "backup".to_owned(), trigger: "t".to_owned(), until: Instant(after(90_000).0) };
        let back =
            ClockDto { ahead_triggers: 1, ahead: vec![waiting], said: vec!["x ann: y".into()], ..steady() };
        let told = text(&back);
        for part in ["1 trigger decided ahead", "--set-back", "backup (t) until", "said          x ann: y"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
