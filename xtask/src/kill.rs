//! `cargo xtask kill`: the kill tests of the real binary, as many rounds as one likes.

use std::path::Path;
use std::process::{Command, ExitCode};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    failpoints: bool,
    /// Names of the environment, with their values.
    variables: Vec<(&'static str, String)>,
    debug: bool,
}

/// Runs them; the daemon is the release build, with fail points in it.
pub fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let asked = match read(arguments) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["test", "--quiet", "--package", "punctual"]);
    // A debug build has its fail points anyway.
    if !asked.debug {
        command.args(["--release", "--features", "failpoints"]);
    }
    let test = match asked.failpoints {
        true => "what_fails_at_a_named_point_is_made_good",
        false => "nothing_is_lost_or_doubled_whatever_is_killed",
    };
    command.args(["--test", "kill", "--", "--exact", "--nocapture", test]).envs(asked.variables);
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked { failpoints: false, variables: Vec::new(), debug: false };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let (option, inline) = word.split_once('=').map_or((*word, None), |(o, v)| (o, Some(v.to_owned())));
        let mut value = || inline.clone().or_else(|| words.next().map(|v| (*v).to_owned()));
        let mut set = |name| -> Result<(), String> {
            let value = value().ok_or_else(|| format!("{option} wants a value"))?;
            asked.variables.push((name, value));
            Ok(())
        };
        match option {
            "--rounds" => set("PUNCTUAL_KILL_ROUNDS")?,
            "--seed" => set("PUNCTUAL_KILL_SEED")?,
            "--worlds" => set("PUNCTUAL_KILL_WORLDS")?,
            "--report" => set("PUNCTUAL_KILL_REPORT")?,
            "--stop" => set("PUNCTUAL_KILL_STOP_SECONDS")?,
            "--only" => set("PUNCTUAL_KILL_ONLY")?,
            "--failpoints" => asked.failpoints = true,
            "--keep" => asked.variables.push(("PUNCTUAL_KILL_KEEP", "1".into())),
            "--debug" => asked.debug = true,
            _ => return Err(format!("kill has no option {word:?}")),
        }
    }
    if asked.failpoints {
        asked.variables.push(("PUNCTUAL_KILL_ALL", "1".into()));
    }
    let given = |asked: &Asked, name| asked.variables.iter().any(|(known, _)| *known == name);
    for (name, usual) in [("PUNCTUAL_KILL_WORLDS", "3"), ("PUNCTUAL_KILL_STOP_SECONDS", "30")] {
        if !given(&asked, name) {
            asked.variables.push((name, usual.into()));
        }
    }
    // The test runs elsewhere.
    for (_, file) in asked.variables.iter_mut().filter(|(name, _)| *name == "PUNCTUAL_KILL_REPORT") {
        *file = std::path::absolute(&*file).map_err(|e| e.to_string())?.to_string_lossy().into_owned();
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_the_environment_of_the_test() {
        let asked = read(&["--rounds", "1000", "--seed=7"]).expect("known");
        let of =
            |name| asked.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("PUNCTUAL_KILL_ROUNDS"), Some("1000"));
        assert_eq!(of("PUNCTUAL_KILL_SEED"), Some("7"));
        assert_eq!(of("PUNCTUAL_KILL_WORLDS"), Some("3"));
        assert!(!asked.failpoints && read(&["--failpoints"]).expect("known").failpoints);
        assert!(read(&["--rounds"]).is_err() && read(&["--often"]).is_err());
    }
}
