//! Runs what the README shows, in order, in an empty folder, and compares what is printed with what it says.
//!
//! A comment before a block says what the block is:
//! - `<!-- file: jobs.yaml -->`: the block is written to that file.
//! - `<!-- tested -->`: each line `$ command` is run by `sh`; the lines below it are its output (both streams).
//!   `…` stands for any text within a line, and alone on a line for any lines. A command that ends with ` &`
//!   runs on until the end; `export NAME=VALUE` holds for the lines after it.
//! - `<!-- tested: eventually -->`: the same, asked again until the output is as shown, for what needs a daemon.
//!   Instants, spans of time, run ids and the width of gaps are not compared.
//!
//! Commands of other blocks only need to exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often a command of an `eventually` block is asked, and how long the pause is.
const TRIES_MAX: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    File { path: String, text: String },
    Command { line: usize, command: String, output: String, eventually: bool },
}

#[test]
fn the_readme_is_true() {
    tour("README.md");
}

#[test]
fn the_chinese_readme_is_true() {
    tour("README.zh-CN.md");
}

#[test]
fn the_guide_to_retries_and_checks_is_true() {
    tour("docs/guides/retry-and-verify.md");
}

#[test]
fn commands_in_the_documents_exist() {
    let mut documents = vec![root().join("README.md"), root().join("README.zh-CN.md")];
    for folder in ["docs", "docs/guides", "docs/concepts", "docs/reference"] {
        let listing = std::fs::read_dir(root().join(folder)).into_iter().flatten();
        documents.extend(listing.map(|entry| entry.expect("the folder can be listed").path()));
    }
    let mut missing = Vec::new();
    for path in documents.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(path).expect("a document is text");
        for command in commands(&text) {
            let help = binary().arg(&command).arg("--help").output().expect("the binary starts");
            if !help.status.success() {
                missing.push(format!("{}: punctual {command}", path.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_punctual"))
}

fn tour(document: &str) {
    let text = std::fs::read_to_string(root().join(document)).expect("the document is there");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(document);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder of a test can be made");
    let mut exports = Vec::new();
    let mut running = Running(Vec::new());
    for step in steps(&text) {
        match step {
            Step::File { path, text } => {
                let path = folder.join(path);
                std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
                std::fs::write(path, text).expect("a file");
            }
            Step::Command { command, .. } if command.starts_with("export ") => {
                let (name, value) = command["export ".len()..].split_once('=').expect("NAME=VALUE");
                exports.push((name.to_owned(), value.to_owned()));
            }
            Step::Command { command, .. } if command.ends_with(" &") => {
                let command = format!("exec {}", command.trim_end_matches(" &"));
                let log = std::fs::File::create(folder.join("background.log")).expect("a file");
                let errors = log.try_clone().expect("a file");
                let mut shell = shell(&folder, &exports, &command);
                let child = shell.stdout(log).stderr(errors).spawn();
                running.0.push(child.expect("sh starts"));
            }
            Step::Command { line, command, output, eventually } => {
                let (tries, seen): (_, fn(&str) -> String) =
                    if eventually { (TRIES_MAX, unmeasured) } else { (1, str::to_owned) };
                let is_as_shown = |got: &str| matches(&seen(&output), &seen(got));
                let got = ask(&folder, &exports, &command, is_as_shown, tries);
                assert!(
                    is_as_shown(&got),
                    "{document}:{line}: $ {command}\n--- the document says\n{output}\n--- it prints\n{got}"
                );
            }
        }
    }
}

/// What `command` prints, asked until it is as shown, or `tries` times.
fn ask(
    folder: &Path,
    exports: &[(String, String)],
    command: &str,
    is_as_shown: impl Fn(&str) -> bool,
    tries: u32,
) -> String {
    let mut got = String::new();
    for _ in 0..tries {
        let output = shell(folder, exports, &format!("{{ {command}\n}} 2>&1")).output().expect("sh starts");
        got = String::from_utf8_lossy(&output.stdout).into_owned();
        if is_as_shown(&got) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    got
}

/// The text without what differs from one time to the next.
fn unmeasured(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| "(),;:".contains(c));
        let bare = bare.trim_end_matches("…");
        let digits = |text: &str, many: usize| {
            text.len() > many && text.bytes().take(many).all(|b| b.is_ascii_digit())
        };
        let is_date = digits(bare, 4) && bare[4..].starts_with('-');
        let is_time = digits(bare, 2) && bare[2..].starts_with(':');
        let is_run =
            bare.starts_with("01") && bare.len() >= 16 && bare.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_date || is_time || is_run || is_span(bare) || bare == "now" {
            "*".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| {
        let words = line.split_whitespace().filter(|word| *word != "ago").map(word);
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `3ms`, `1h30m`, `2.5s`.
fn is_span(text: &str) -> bool {
    let units = |c: char| "usmhd".contains(c);
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(units)
        && text.chars().all(|c| c.is_ascii_digit() || c == '.' || units(c))
}

fn shell(folder: &Path, exports: &[(String, String)], command: &str) -> Command {
    let own = Path::new(env!("CARGO_BIN_EXE_punctual")).parent().expect("the binary is in a folder");
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null());
    shell.env_clear().env("PATH", path).env("HOME", folder).env("TZ", "UTC").env("LANG", "C.UTF-8");
    shell.envs(exports.iter().map(|(name, value)| (name, value)));
    shell
}

/// Background commands; they end with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // A daemon is asked to end, so that its jobs end with it.
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

/// The blocks that a comment marks, in order.
fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut mark = "";
    let mut lines = document.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            mark = comment;
        } else if line.starts_with("```") {
            let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            if let Some(path) = mark.strip_prefix("file: ") {
                let text = block.iter().map(|(_, line)| format!("{line}\n")).collect();
                steps.push(Step::File { path: path.to_owned(), text });
            } else if mark.starts_with("tested") {
                console(&block, mark == "tested: eventually", &mut steps);
            }
            mark = "";
        }
    }
    steps
}

fn console(block: &[(usize, &str)], eventually: bool, steps: &mut Vec<Step>) {
    for (number, text) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step::Command { line: number + 1, command, output: String::new(), eventually });
        } else if let Some(Step::Command { output, .. }) = steps.last_mut() {
            output.push_str(text);
            output.push('\n');
        }
    }
}

/// Whether `got` is what `expected` describes: line by line, spaces at the ends apart.
fn matches(expected: &str, got: &str) -> bool {
    let lines =
        |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    lines_match(&lines(expected), &lines(got))
}

fn lines_match(expected: &[String], got: &[String]) -> bool {
    match expected.split_first() {
        None => got.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=got.len()).any(|skipped| lines_match(rest, &got[skipped..]))
        }
        Some((line, rest)) => got
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, got: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else { return expected == got };
    let Some(mut left) = got.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

/// The commands of `punctual` in the console blocks of a document.
fn commands(document: &str) -> BTreeSet<String> {
    let lines = document.lines().filter_map(|line| line.strip_prefix("$ "));
    let words = lines.filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "punctual").skip(1);
        words.next().map(str::to_owned)
    });
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn output_is_matched_by_lines_and_gaps() {
    assert!(matches("a\n", "a  \n"));
    assert!(matches("a … c\n", "a b b c"));
    assert!(matches("a\n…\nd", "a\nb\nc\nd"));
    assert!(matches("…\na … b … c\n…", "x\na 1 b 2 c\ny"));
    assert!(!matches("a\n", "a\nb\n"));
    assert!(!matches("a … c", "a b"));
    assert!(!matches("a\n…\nd", "a\nb"));
}

#[test]
fn what_is_measured_is_not_compared() {
    let shown = "2026-11-24 11:53:45Z  1s   hello  now     success  3ms\n01m86pf6ar427r45  in 2h30m";
    let got = "2027-01-02 00:00:00Z  12s  hello  7s ago  success  13ms\n01m86qqqqqqqqqqq    in 5s";
    assert_eq!(unmeasured(shown), unmeasured(got));
    assert_ne!(unmeasured(shown), unmeasured(&got.replace("success", "failed")));
}

#[test]
fn marked_blocks_are_steps_and_others_are_not() {
    let text = "<!-- file: a.yaml -->\n```yaml\nx: 1\n```\n```console\n$ no\n```\n\
        <!-- tested: eventually -->\n```console\n$ punctual jobs\na\n$ b\n```\n";
    let command = |line, command: &str, output: &str| Step::Command {
        line,
        command: command.to_owned(),
        output: output.to_owned(),
        eventually: true,
    };
    let file = Step::File { path: "a.yaml".to_owned(), text: "x: 1\n".to_owned() };
    assert_eq!(steps(text), [file, command(10, "punctual jobs", "a\n"), command(12, "b", "")]);
    assert_eq!(commands(text), BTreeSet::from(["jobs".to_owned()]));
}
