//! `punctual-checker [--sabotage NAME] FOLDER…`: judges histories. Exits with 0 if nothing is wrong with them, 1 if
//! something is, 2 if they cannot be read.

use punctual_checker::history::History;
use punctual_checker::{check, sabotage, shown, sum::Sum};
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
punctual-checker FOLDER…                   judges the histories in these folders
punctual-checker --sabotage NAME FOLDER…   breaks each in that way first, to see whether it is noticed
punctual-checker --sabotages               the names";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let judged = match arguments.as_slice() {
        [] | ["--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["--sabotages"] => {
            sabotage::ALL.iter().for_each(|(name, number, _)| println!("{name:28} {number}"));
            return ExitCode::SUCCESS;
        }
        ["--sabotage", name, folders @ ..] if !folders.is_empty() => judge(folders, Some(name)),
        folders => judge(folders, None),
    };
    match judged {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn judge(folders: &[&str], break_by: Option<&str>) -> Result<bool, String> {
    let mut sum = Sum::default();
    let mut violations = Vec::new();
    for folder in folders {
        let mut history = History::read(Path::new(folder))?;
        if let Some(name) = break_by {
            sabotage::apply(name, &mut history)?;
        }
        let report = check(&history);
        sum.add(&report.sum);
        violations.extend(report.violations);
    }
    println!("{sum}");
    println!("{} violations", violations.len());
    if !violations.is_empty() {
        println!("{}", shown(&violations));
    }
    Ok(violations.is_empty())
}
