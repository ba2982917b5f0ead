//! `check`, `schema` and `init` as users meet them: exit codes, where output goes, and its form.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("punctual-check-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a file for the test");
        }
        Self(folder)
    }

    /// Runs the program in the folder. No daemon is asked: there is no data directory here.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_punctual"))
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("PUNCTUAL_DATA")
            .env("XDG_STATE_HOME", &self.0)
            .output()
            .expect("the program was built for this test")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

const GOOD: &str = "job: {name: good, schedule: \"0 2 * * *\", run: [./x], timeout: 1h}\n";
const WARNED: &str = "job: {name: warned, schedule: \"0 2 * * *\", run: [./x]}\n";
const BAD: &str = "job:\n  name: bad\n  shedule: \"0 2 * * *\"\n  timeout: 5min\n";

#[test]
fn exit_codes_are_those_of_the_reference() {
    let folder = Folder::new("codes", &[("good.yaml", GOOD), ("warned.yaml", WARNED), ("bad.yaml", BAD)]);
    let code = |arguments: &[&str]| folder.run(arguments).status.code();
    assert_eq!(code(&["check", "good.yaml", "--strict"]), Some(0));
    assert_eq!(code(&["check", "warned.yaml"]), Some(0));
    assert_eq!(code(&["check", "warned.yaml", "--strict"]), Some(1));
    assert_eq!(code(&["check", "bad.yaml"]), Some(1));
    assert_eq!(code(&["check", "missing.yaml"]), Some(1));
    assert_eq!(code(&["check"]), Some(2));
    assert_eq!(code(&["check", "good.yaml", "--nonsense"]), Some(2));
}

#[test]
fn errors_go_to_standard_error_with_place_reason_and_suggestion() {
    let folder = Folder::new("form", &[("bad.yaml", BAD)]);
    let output = folder.run(&["check", "bad.yaml"]);
    assert_eq!(text(&output.stdout), "1 file: 2 errors, 1 warning\n");
    let expected = "\
error[DEF005]: unknown key `shedule`
  --> bad.yaml:3:3
  |
3 |   shedule: \"0 2 * * *\"
  |   ^^^^^^^
  = hint: write `schedule`

error[DEF009]: \"5min\" is not a length of time
  --> bad.yaml:4:12
  |
4 |   timeout: 5min
  |            ^^^^
  = detail: \"min\" is not a unit here
  = hint: write 5m

";
    assert!(text(&output.stderr).starts_with(expected), "{}", text(&output.stderr));
}

#[test]
fn json_is_one_document_with_everything_of_all_files() {
    let folder = Folder::new("json", &[("a.yaml", GOOD), ("b.yaml", BAD), ("c.yaml", "job: [")]);
    let output = folder.run(&["check", ".", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let errors: Vec<_> = document["errors"].as_array().expect("a list").iter().map(|e| &e["code"]).collect();
    assert_eq!(errors, ["DEF005", "DEF009", "DEF002"]);
    assert_eq!(document["errors"][0]["line"], 3);
    assert_eq!(document["files"], 3);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_schema_is_json_and_the_first_file_passes_its_check() {
    let folder = Folder::new("init", &[]);
    let schema: Value = serde_json::from_slice(&folder.run(&["schema"]).stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(folder.run(&["init", "new"]).status.code(), Some(0));
    assert_eq!(folder.run(&["check", "new", "--strict"]).status.code(), Some(0));
    assert_eq!(folder.run(&["init", "new"]).status.code(), Some(1), "a file that is there is left alone");
}
