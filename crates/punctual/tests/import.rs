//! What `punctual import` and `punctual export` print for whole files. After an intended change
//! `PUNCTUAL_UPDATE=1 cargo nextest run -p punctual --test import` writes them anew: look at the difference.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import")
}

fn punctual(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
    command.args(args).current_dir(fixtures()).output().expect("the binary was built for this test")
}

/// Compares what a command prints with a file.
fn prints(args: &[&str], file: &str) -> Output {
    let output = punctual(args);
    let text = String::from_utf8(output.stdout.clone()).expect("output is text");
    let path = fixtures().join(file);
    if std::env::var_os("PUNCTUAL_UPDATE").is_some() {
        std::fs::write(&path, &text).expect("fixtures can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the fixture exists");
    assert_eq!(text, expected, "punctual {}", args.join(" "));
    output
}

const CRONTAB: [&str; 5] = ["import", "crontab", "--time-zone", "Europe/Vienna", "--kind=system"];

#[test]
fn a_busy_crontab_becomes_definitions_and_one_json_object() {
    let yaml = prints(&[&CRONTAB[..], &["busy.crontab"]].concat(), "busy.yaml");
    assert_eq!(yaml.status.code(), Some(1), "some lines were refused");
    let told = String::from_utf8_lossy(&yaml.stderr).into_owned();
    assert!(told.contains("busy.crontab:16:1") && told.contains("error[IMP002]"), "{told}");
    let json = prints(&[&CRONTAB[..], &["--format=json", "busy.crontab"]].concat(), "busy.json");
    assert_eq!((json.status.code(), json.stderr.as_slice()), (Some(1), &b""[..]), "all is in the object");
}

#[test]
fn manifests_become_definitions_and_one_json_object() {
    assert_eq!(prints(&["import", "k8s", "cluster.yaml"], "cluster.definitions.yaml").status.code(), Some(1));
    prints(&["import", "k8s", "--format=json", "cluster.yaml"], "cluster.json");
}

#[test]
fn what_was_imported_is_exported_again() {
    let crontab =
        ["export", "crontab", "--time-zone", "Europe/Vienna", "--cron-tz", "--definitions", "busy.yaml"];
    assert_eq!(prints(&crontab, "busy.exported.crontab").status.code(), Some(0));
    let k8s = ["export", "k8s", "--definitions", "cluster.definitions.yaml"];
    assert_eq!(prints(&k8s, "cluster.exported.yaml").status.code(), Some(0));
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart_from_one_that_cannot_be_imported() {
    let output = punctual(&["import", "crontab", "no-such-file"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[IMP009]"));
    assert!(output.stdout.is_empty());
    let there = punctual(&["import", "crontab", "busy.crontab", "-o", "busy.yaml"]);
    assert_eq!(there.status.code(), Some(2), "an existing file is not overwritten");
}

#[test]
fn a_system_crontab_that_is_taken_for_a_users_is_remarked_on() {
    let output = punctual(&["import", "crontab", "--format=json", "system.crontab"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let reason = json["warnings"][0]["reason"].as_str().expect("a warning");
    assert!(reason.contains("--kind system"), "{reason}");
}
