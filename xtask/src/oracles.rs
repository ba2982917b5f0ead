//! `cargo xtask oracles`: thousands of generated rules, answered by `punctual next --stdin` and by Python's croniter
//! and cronsim (`xtask/oracles/oracle.py`), and compared with croner (`xtask/oracles/peers`).

use std::path::Path;
use std::process::{Command, ExitCode};

/// What the virtual environment holds: pinned, so that a difference is ours.
const PACKAGES: [&str; 3] = ["croniter==7.0.0", "cronsim==2.8", "tzdata==2026.6"];

/// Compares `count` generated requests, by default 3,000; `seed` chooses which.
pub fn run(root: &Path, count: &str, seed: &str) -> ExitCode {
    match compare(root, count, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(root: &Path, count: &str, seed: &str) -> Result<(), String> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let environment = target.join("oracles");
    let python = environment.join("bin/python");
    let stamp = environment.join(PACKAGES.join("_"));
    if !stamp.exists() {
        command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        command(Command::new(&python).args(install).args(PACKAGES))?;
        std::fs::write(&stamp, "").map_err(|error| format!("{}: {error}", stamp.display()))?;
    }
    command(
        Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "punctual"]).current_dir(root),
    )?;
    let script = root.join("xtask/oracles/oracle.py");
    command(Command::new(&python).arg(script).arg(target.join("debug/punctual")).args([count, seed]))?;
    command(peers(root, "dev").args(["differential", count, seed]))
}

/// Measures the next firing and parsing beside other crates, on this machine.
pub fn bench(root: &Path) -> ExitCode {
    match command(peers(root, "release").arg("bench")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The package of other implementations, which is not part of the workspace.
fn peers(root: &Path, profile: &str) -> Command {
    let manifest = root.join("xtask/oracles/peers/Cargo.toml");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--profile", profile, "--manifest-path"]).arg(manifest);
    command.arg("--target-dir").arg(target.join("peers")).arg("--");
    command
}

fn command(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("{name} cannot be run: {error}")),
    }
}
