//! Error codes and their pages: each code that the crates declare has a page `docs/errors/<CODE>.md`, each page a
//! code, and no code is declared twice.

use super::{Fault, Tree};
use std::collections::BTreeMap;

const AREAS: [&str; 9] = ["CRN", "ZON", "TRG", "DEF", "IMP", "STO", "RUN", "EXE", "API"];
const PAGE_LINES_MIN: usize = 5;
const PAGE_LINES_MAX: usize = 40;

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut declared: BTreeMap<String, String> = BTreeMap::new();
    for file in tree.ending(".rs").filter(|file| file.path.starts_with("crates/")) {
        for (number, line) in file.code() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for code in codes_in(line) {
                let place = format!("{}:{number}", file.path);
                if let Some(earlier) = declared.insert(code.clone(), place) {
                    let message = format!("{code} is declared at {earlier} too; a code has one meaning");
                    faults.push(Fault::new("code", &file.path, number, message));
                }
                if tree.file(&format!("docs/errors/{code}.md")).is_none() {
                    let message = format!("{code} has no page docs/errors/{code}.md");
                    faults.push(Fault::new("code", &file.path, number, message));
                }
            }
        }
    }
    for file in tree.ending(".md").filter(|file| file.path.starts_with("docs/errors/")) {
        let name = file.path.trim_start_matches("docs/errors/").trim_end_matches(".md");
        if name != "README" {
            page(name, &file.path, &file.text, declared.contains_key(name), &mut faults);
        }
    }
    faults
}

fn page(name: &str, path: &str, text: &str, is_declared: bool, faults: &mut Vec<Fault>) {
    let mut fault = |message: String| faults.push(Fault::new("code", path, 0, message));
    if !is_code(name) {
        fault(format!("the name is not a code of a known area ({})", AREAS.join(", ")));
        return;
    }
    if !is_declared {
        fault(format!("no crate declares Code(\"{name}\")"));
    }
    if !text.starts_with(&format!("# {name}: ")) {
        fault(format!("the title must be \"# {name}: …\""));
    }
    let lines = text.lines().count();
    if !(PAGE_LINES_MIN..=PAGE_LINES_MAX).contains(&lines) {
        fault(format!("{lines} lines; a page has {PAGE_LINES_MIN} to {PAGE_LINES_MAX}"));
    }
}

/// The codes that a line of Rust declares.
fn codes_in(line: &str) -> Vec<String> {
    let mark = concat!("Code", "(\"");
    let parts = line.split(mark).skip(1);
    parts.filter_map(|rest| rest.split_once('"')).map(|(code, _)| code.to_owned()).collect()
}

fn is_code(text: &str) -> bool {
    text.len() == 6
        && AREAS.iter().any(|area| text.starts_with(area))
        && text[3..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;

    fn faults_of(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        let tree = Tree { files: files.iter().map(file).collect() };
        check(&tree).into_iter().map(|fault| fault.message).collect()
    }

    const DECLARED: (&str, &str) = ("crates/x/src/a.rs", concat!("const A: Code = Code", "(\"TRG004\");"));
    const PAGE: (&str, &str) = ("docs/errors/TRG004.md", "# TRG004: it never fires\n\n.\n.\n.\n");

    #[test]
    fn a_code_and_its_page_are_content() {
        assert_eq!(faults_of(&[DECLARED, PAGE]), Vec::<String>::new());
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_faults() {
        assert_eq!(faults_of(&[DECLARED]), ["TRG004 has no page docs/errors/TRG004.md"]);
        assert_eq!(faults_of(&[PAGE]), ["no crate declares Code(\"TRG004\")"]);
    }

    #[test]
    fn a_code_is_declared_once() {
        let second = ("crates/x/src/b.rs", DECLARED.1);
        assert_eq!(faults_of(&[DECLARED, second, PAGE]).len(), 1);
    }
}
