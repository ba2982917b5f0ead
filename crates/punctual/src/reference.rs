//! Keeps docs/reference/cli.md equal to what the commands say of themselves.
//! `PUNCTUAL_UPDATE=1 cargo nextest run -p punctual reference` writes it.

use clap::{Command, CommandFactory};
use std::path::Path;

/// What is written by hand ends here.
const MARK: &str = "<!-- From here on it is what `--help` prints; see CONTRIBUTING.md. -->\n";
/// Help is wrapped at so many columns.
const WIDTH: usize = 110;

#[test]
fn the_reference_of_commands_is_what_they_say_of_themselves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let document = std::fs::read_to_string(&path).expect("the reference is there");
    let (by_hand, _) = document.split_once(MARK).expect("the reference has its mark");
    let mut fresh = format!("{by_hand}{MARK}");
    let mut root = crate::Cli::command().term_width(WIDTH);
    root.build();
    chapter(&mut fresh, &root);
    if std::env::var_os("PUNCTUAL_UPDATE").is_some() {
        std::fs::write(&path, &fresh).expect("the reference can be written");
    }
    assert!(
        document == fresh || std::env::var_os("PUNCTUAL_UPDATE").is_some(),
        "docs/reference/cli.md is out of date: PUNCTUAL_UPDATE=1 cargo nextest run -p punctual reference"
    );
}

/// A command's help, then that of its subcommands.
fn chapter(out: &mut String, command: &Command) {
    let name = command.get_bin_name().unwrap_or("punctual").to_owned();
    let help = command.clone().term_width(WIDTH).disable_version_flag(true).render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    out.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
    for child in command.get_subcommands().filter(|child| child.get_name() != "help" && !child.is_hide_set())
    {
        chapter(out, child);
    }
}
