//! Chores of the repository. `cargo xtask help` lists them.

mod architecture;
mod kill;
mod oracles;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask tidy             the style test: sizes, names, error pages, links, architecture
cargo xtask tidy --ratchet   the same, and lowers the limits in xtask/ratchet.txt to what is there now
cargo xtask oracles [COUNT [SEED]]   `punctual next` against croniter, cronsim and croner
cargo xtask sim [--seeds N] [--from S] the simulator; with --sabotage all, what it is measured by; with --help, more
cargo xtask kill [--rounds N] [--seed S] [--worlds N] [--report FILE] [--keep] [--debug]
                                      kills the real binary at random instants; the checker judges what is left
cargo xtask kill --failpoints [--stop SECONDS] [--only NAME] [--worlds N] [--report FILE] [--debug]
                                      the same at every named point: abort, error, stop
cargo xtask bench-time                the next firing, in nanoseconds, beside croner and cron";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tidy"] => tidy::run(&root(), tidy::Ratchet::Keep),
        ["tidy", "--ratchet"] => tidy::run(&root(), tidy::Ratchet::Lower),
        ["sim", arguments @ ..] => sim(arguments),
        ["kill", options @ ..] => kill::run(&root(), options),
        ["bench-time"] => oracles::bench(&root()),
        ["oracles"] => oracles::run(&root(), "3000", "1"),
        ["oracles", count] => oracles::run(&root(), count, "1"),
        ["oracles", count, seed] => oracles::run(&root(), count, seed),
        ["help"] | [] => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("error: no chore {:?}\n\n{HELP}", other.join(" "));
            ExitCode::from(2)
        }
    }
}

/// The simulator, optimised, with every assertion and with its sabotages.
fn sim(arguments: &[&str]) -> ExitCode {
    let build = ["run", "--quiet", "--locked", "--package", "punctual-sim", "--profile", "sim"];
    let status = std::process::Command::new(env!("CARGO"))
        .args(build)
        .args(["--features", "sabotage", "--"])
        .args(arguments)
        .current_dir(root())
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the workspace").to_path_buf()
}
