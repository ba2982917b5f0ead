//! The `punctual` command.

mod attempt_log;
mod client;
mod commands;
mod data;
mod definitions;
mod export;
mod failpoint;
mod failure;
mod import;
mod local;
mod measured;
#[cfg(test)]
mod reference;
#[cfg(test)]
#[path = "../../server/tests/support/seed.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod seed;
mod table;
mod terminal;
mod when;
mod zoned;

use clap::{CommandFactory, Parser, Subcommand};
use data::Data;
use failure::Format;
use std::ffi::OsString;
use std::process::ExitCode;

/// Every job on time, once per occurrence, and accounted for
///
/// Without a command: what runs next, how it went last, and what is in the way.
#[derive(Debug, Parser)]
#[command(name = "punctual", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Args),
    Check(commands::check::Args),
    Schema(commands::schema::Args),
    Serve(commands::serve::Args),
    #[command(name = "__supervise", hide = true)]
    Supervise(commands::hidden::Supervise),
    #[command(name = "__launch", hide = true)]
    Launch(commands::hidden::Launch),
    #[command(name = "__verify", hide = true)]
    Verify(commands::hidden::Verify),
    Apply(commands::apply::Args),
    Jobs(commands::jobs::Args),
    Show(commands::show::Args),
    Trigger(commands::trigger::Args),
    Backfill(commands::backfill::Args),
    Runs(commands::runs::Args),
    Logs(commands::logs::Args),
    Cancel(commands::cancel::Args),
    Retry(commands::retry::Args),
    Pause(commands::pause::Args),
    Resume(commands::resume::Args),
    Next(commands::next::Args),
    Explain(commands::explain::Args),
    Ticks(commands::ticks::Args),
    Why(commands::why::Args),
    Prune(commands::prune::Args),
    Doctor(commands::doctor::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
    InstallService(commands::install_service::Args),
    Completions(commands::completions::Args),
}

/// `--data` and `--format` before the command mean what they mean after it, and a command that has no such option
/// refuses it there.
fn after_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(option) = arguments.get(at).and_then(|argument| argument.to_str()) {
        at += match option {
            "--data" | "--format" => 2,
            _ if option.starts_with("--data=") || option.starts_with("--format=") => 1,
            _ => break,
        };
    }
    let is_command =
        |name: &OsString| Cli::command().get_subcommands().any(|known| known.get_name() == *name);
    if at > 1 && arguments.get(at).is_some_and(is_command) {
        arguments[1..=at].rotate_right(1);
    }
    arguments
}

fn main() -> ExitCode {
    failpoint::listen();
    let arguments = std::env::args_os().collect();
    let cli = Cli::parse_from(after_command(arguments));
    let Some(command) = cli.command else {
        return commands::timers::run(&cli.data, cli.format);
    };
    match command {
        Command::Init(args) => commands::init::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Schema(args) => commands::schema::run(args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Supervise(args) => commands::hidden::supervise(args),
        Command::Launch(args) => commands::hidden::become_job(args),
        Command::Verify(args) => commands::hidden::verify(&args),
        Command::Apply(args) => commands::apply::run(args),
        Command::Jobs(args) => commands::jobs::run(args),
        Command::Show(args) => commands::show::run(args),
        Command::Trigger(args) => commands::trigger::run(args),
        Command::Backfill(args) => commands::backfill::run(args),
        Command::Runs(args) => commands::runs::run(args),
        Command::Logs(args) => commands::logs::run(args),
        Command::Cancel(args) => commands::cancel::run(args),
        Command::Retry(args) => commands::retry::run(args),
        Command::Pause(args) => commands::pause::run(args),
        Command::Resume(args) => commands::resume::run(args),
        Command::Next(args) => commands::next::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Ticks(args) => commands::ticks::run(args),
        Command::Why(args) => commands::why::run(args),
        Command::Prune(args) => commands::prune::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Backup(args) => commands::backup::run(args),
        Command::Restore(args) => commands::restore::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::InstallService(args) => commands::install_service::run(args),
        Command::Completions(args) => commands::completions::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_before_the_command_are_the_commands() {
        let turned = |line: &str| {
            let turned = after_command(line.split(' ').map(OsString::from).collect());
            turned.join(OsString::from(" ").as_os_str()).into_string().expect("it was text")
        };
        for (line, expected) in [
            ("punctual --data d runs -n 5", "punctual runs --data d -n 5"),
            ("punctual --format json --data=d next a", "punctual next --format json --data=d a"),
            ("punctual --data runs jobs", "punctual jobs --data runs"),
            ("punctual --data d", "punctual --data d"),
            ("punctual --data", "punctual --data"),
            ("punctual --data d nonsense", "punctual --data d nonsense"),
            ("punctual runs --data d", "punctual runs --data d"),
            ("punctual", "punctual"),
        ] {
            assert_eq!(turned(line), expected);
        }
        assert!(
            Cli::try_parse_from(after_command(
                ["punctual", "--data", "d", "runs"].map(OsString::from).to_vec()
            ))
            .is_ok()
        );
    }
}
