//! What the style says about Rust and scripts: sizes, names, and words that have no place in them.

use super::tree::File;
use super::{Fault, Tree};

const MODULE_LINES_MAX: usize = 600;
/// "To about 60 lines, flat matches excepted" is what the style says; this is where it stops being about 60.
const FUNCTION_LINES_MAX: usize = 80;
const NAMES_BANNED: [&str; 7] = ["common", "utils", "util", "helpers", "types", "models", "misc"];

/// Folders that exist on somebody's machine only.
const MACHINE_PATHS: [&str; 7] = ["/home/", "/root/", "/Users/", "/tmp/", "/work/", "/workspace/", "/build/"];

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.ending(".rs") {
        size(file, &mut faults);
        functions(file, &mut faults);
        name(file, &mut faults);
        unfinished(file, &mut faults);
        unwraps(file, &mut faults);
    }
    for file in &tree.files {
        machine_paths(file, &mut faults);
    }
    faults
}

fn size(file: &File, faults: &mut Vec<Fault>) {
    let lines = file.code().count();
    if lines > MODULE_LINES_MAX {
        let message = format!("{lines} lines without tests; split it below {MODULE_LINES_MAX}");
        faults.push(Fault::new("size", &file.path, 0, message).of_lines(lines));
    }
}

/// Relies on rustfmt: a function ends at the first `}` that is indented as its head is.
fn functions(file: &File, faults: &mut Vec<Fault>) {
    let lines: Vec<(usize, &str)> = file.code().collect();
    for (place, (number, line)) in lines.iter().enumerate() {
        let head = line.trim_start();
        let indent = &line[..line.len() - head.len()];
        let words = head.split_whitespace().take_while(|word| !word.contains('"'));
        let is_function =
            words.take(4).any(|word| word == "fn") && !head.starts_with("//") && !head.contains('$');
        if !is_function || head.ends_with(';') || head.ends_with('}') {
            continue;
        }
        let end = format!("{indent}}}");
        let head_end = format!("{indent})"); // with a semicolon: a function of a trait, without a body
        let is_end = |line: &str| line == end || line.starts_with(&head_end) && line.ends_with(';');
        let body: Vec<&str> =
            lines[place..].iter().map(|(_, line)| *line).take_while(|line| !is_end(line)).collect();
        let arms = body.iter().filter(|line| line.contains("=>")).count();
        let is_flat_match = arms * 2 > body.len();
        if body.len() > FUNCTION_LINES_MAX && !is_flat_match {
            let message = format!("a function of {} lines; split it at about 60", body.len());
            faults.push(Fault::new("function", &file.path, *number, message).of_lines(body.len()));
        }
    }
}

fn name(file: &File, faults: &mut Vec<Fault>) {
    for part in file.path.trim_end_matches(".rs").split('/') {
        if NAMES_BANNED.contains(&part) {
            let message = format!("a module named {part:?} says nothing; name what it does");
            faults.push(Fault::new("name", &file.path, 0, message));
        }
    }
}

fn unfinished(file: &File, faults: &mut Vec<Fault>) {
    // Written in two parts, so that this file does not find itself.
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    for (number, line) in file.text.lines().enumerate() {
        for mark in marks {
            if line.contains(mark) {
                let message = format!("{mark}…) is not for the tree");
                faults.push(Fault::new("unfinished", &file.path, number + 1, message));
            }
        }
        for word in words {
            if line.split_once("//").is_some_and(|(_, comment)| comment.contains(word)) {
                let message = format!("{word}: do it, or say in a sentence what is missing and why");
                faults.push(Fault::new("unfinished", &file.path, number + 1, message));
            }
        }
    }
}

fn unwraps(file: &File, faults: &mut Vec<Fault>) {
    for (number, line) in file.code() {
        let is_comment = line.trim_start().starts_with("//");
        if !is_comment && line.contains(concat!(".unwrap", "()")) {
            let message = "unwrap outside tests; return the error, or expect(\"why it holds\")";
            faults.push(Fault::new("unwrap", &file.path, number, message));
        }
    }
}

/// In comments of sources and scripts: an example path there belongs to a document, anything else to one machine.
fn machine_paths(file: &File, faults: &mut Vec<Fault>) {
    let rust = file.path.ends_with(".rs");
    let script = file.text.starts_with("#!") || file.path.ends_with(".toml");
    if !rust && !script {
        return;
    }
    let mark = if rust { "//" } else { "#" };
    for (number, line) in file.text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix(mark) else { continue };
        for path in MACHINE_PATHS {
            let found = comment.find(path).is_some_and(|at| {
                let before = comment[..at].chars().next_back();
                before.is_none_or(|c| c.is_whitespace() || "`\"'(".contains(c))
            });
            if found {
                let message = format!("a comment names {path}…, a place on somebody's machine");
                faults.push(Fault::new("path", &file.path, number + 1, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(path: &str, text: &str) -> Vec<&'static str> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&Tree { files: vec![file] }).into_iter().map(|fault| fault.rule).collect()
    }

    #[test]
    fn each_rule_finds_what_it_forbids() {
        assert_eq!(faults_of("crates/x/src/utils.rs", ""), ["name"]);
        assert_eq!(faults_of("crates/x/src/helpers/a.rs", ""), ["name"]);
        assert_eq!(faults_of("crates/x/src/a.rs", concat!("fn f() { todo", "!() }")), ["unfinished"]);
        assert_eq!(faults_of("crates/x/src/a.rs", concat!("let a = b.unwrap", "();")), ["unwrap"]);
        assert_eq!(faults_of("crates/x/src/a.rs", &"a\n".repeat(MODULE_LINES_MAX + 1)), ["size"]);
        assert_eq!(faults_of("crates/x/src/a.rs", concat!("// see /ho", "me/a")), ["path"]);
    }

    #[test]
    fn a_long_function_is_found_unless_it_is_a_flat_match() {
        let of = |line: &str| format!("    fn f(\n    ) {{\n{}    }}\n", line.repeat(FUNCTION_LINES_MAX));
        assert_eq!(faults_of("crates/x/src/a.rs", &of("        a();\n")), ["function"]);
        assert!(faults_of("crates/x/src/a.rs", &of("        A => b,\n")).is_empty());
        assert!(faults_of("crates/x/src/a.rs", &"    fn f() {\n    }\n".repeat(100)).is_empty());
    }

    #[test]
    fn tests_may_unwrap_and_be_long() {
        let unwrap = concat!("let a = b.unwrap", "();\n").repeat(MODULE_LINES_MAX + 1);
        assert!(faults_of("crates/x/tests/a.rs", &unwrap).is_empty());
        assert!(
            faults_of("crates/x/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{unwrap}}}")).is_empty()
        );
        assert!(faults_of("crates/x/src/a.rs", concat!("/// let a = b.unwrap", "();")).is_empty());
    }

    #[test]
    fn an_address_is_not_a_machine_path() {
        assert!(faults_of("crates/x/src/a.rs", "// https://example.com/home/a").is_empty());
    }
}
