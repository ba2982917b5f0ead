//! Keeps the second half of docs/reference/commands.md equal to what clap knows: one chapter a command.
//! `PUNCTUAL_UPDATE=1 cargo nextest run -p punctual reference` writes it.

use clap::{Arg, ArgAction, Command, CommandFactory};
use std::fmt::Write as _;
use std::path::Path;

const MARK: &str = "<!-- From here on generated from the commands' own help; see CONTRIBUTING.md. -->\n";

#[test]
fn the_reference_lists_the_commands_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/commands.md");
    let document = std::fs::read_to_string(&path).expect("the reference is there");
    let (written_by_hand, _) = document.split_once(MARK).expect("the reference has its mark");
    let mut fresh = format!("{written_by_hand}{MARK}");
    let mut root = crate::Cli::command();
    root.build();
    for command in root.get_subcommands().filter(|command| !is_help(command) && !command.is_hide_set()) {
        chapter(&mut fresh, "punctual", command);
    }
    if std::env::var_os("PUNCTUAL_UPDATE").is_some() {
        std::fs::write(&path, &fresh).expect("the reference can be written");
    } else {
        assert!(document == fresh, "run: PUNCTUAL_UPDATE=1 cargo nextest run -p punctual reference");
    }
}

fn chapter(out: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write!(out, "\n## {name}\n\n{}\n", sentence(&about)).expect("writing to a string");

    let own = |argument: &&Arg| !argument.is_hide_set() && !is_general(argument);
    let arguments: Vec<&Arg> = command.get_arguments().filter(own).collect();
    if !arguments.is_empty() {
        out.push_str("\n| argument | |\n|---|---|\n");
    }
    for argument in arguments {
        writeln!(out, "| `{}` | {} |", written(argument), meaning(argument)).expect("writing to a string");
    }
    for child in command.get_subcommands().filter(|child| !is_help(child) && !child.is_hide_set()) {
        chapter(out, &name, child);
    }
}

/// The argument as one writes it: `-n, --count N`, `JOB`, `[JOB]`.
fn written(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let takes_values = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = if takes_values { values.join(" ") } else { String::new() };
    if argument.is_positional() {
        let dots = if matches!(argument.get_action(), ArgAction::Append) { "…" } else { "" };
        let value = format!("{value}{dots}");
        return if argument.is_required_set() { value } else { format!("[{value}]") };
    }
    let short = argument.get_short().map(|c| format!("-{c}"));
    let long = argument.get_long().map(|name| format!("--{name}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    format!("{} {value}", names.join(", ")).trim_end().to_owned()
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let takes_values = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let possible: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| takes_values && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() {
        write!(text, "; one of {}", possible.join(", ")).expect("writing to a string");
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_values && !defaults.is_empty() {
        write!(text, "; default `{}`", defaults.join(" ")).expect("writing to a string");
    }
    text
}

fn is_help(command: &Command) -> bool {
    command.get_name() == "help"
}

fn is_general(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

fn sentence(text: &str) -> String {
    let mut letters = text.trim_end().chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str();
    let end = if rest.ends_with(['.', ':', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{end}")
}
