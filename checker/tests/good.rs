//! A history that a faultless scheduler would leave is found to be good, and each way to break it is noticed.

#[path = "support/made.rs"]
mod made;

use punctual_checker::history::History;
use punctual_checker::{check, sabotage};
use std::process::Command;

#[test]
fn a_good_history_has_no_violations() {
    let report = check(&made::history());
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.sum.hits >= 3 && report.sum.kills_in_the_middle == 2, "{}", report.sum);
}

#[test]
fn every_sabotage_is_noticed() {
    let history = made::history();
    for (name, number, _) in sabotage::ALL {
        let mut broken = history.clone();
        sabotage::apply(name, &mut broken).expect("the made history can show each");
        let violations = check(&broken).violations;
        let begins = format!("{number} ");
        assert!(violations.iter().any(|v| v.starts_with(&begins)), "{name} went unnoticed: {violations:?}");
    }
    assert_eq!(sabotage::unnoticed(&history), (sabotage::ALL.len(), Vec::new()));
}

#[test]
fn what_is_read_from_files_is_what_was_written() {
    let history = made::history();
    let folder = made::written(&history, "read");
    let read = History::read(&folder).expect("a history");
    assert_eq!((&read.runs, &read.ticks, &read.lines), (&history.runs, &history.ticks, &history.lines));
    assert_eq!((&read.settings, &read.asked), (&history.settings, &history.asked));
    assert_eq!(check(&read), check(&history));
}

#[test]
fn the_program_says_by_its_exit_code_what_it_found() {
    let folder = made::written(&made::history(), "program");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_punctual-checker"))
            .args(arguments)
            .arg(&folder)
            .output()
            .expect("the checker starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&[]);
    assert!(code == Some(0) && text.contains("0 violations"), "{text}");
    for (name, number, _) in sabotage::ALL {
        let (code, text) = run(&["--sabotage", name]);
        assert!(code == Some(1) && text.contains(&format!("of {number}, such as")), "{name}: {text}");
    }
    assert_eq!(run(&["--sabotage", "nonsense"]).0, Some(2));
    std::fs::remove_file(folder.join("witness")).expect("it was written");
    assert_eq!(run(&[]).0, Some(2), "a file that is missing is not nothing to complain of");
}
