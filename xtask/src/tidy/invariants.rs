//! Invariants: ARCHITECTURE.md lists each with its state, `live` or `coming`, and the text of
//! `core::invariant`; a live one is named by a test in a comment: `// proves I-4`, `/// proves I-4, I-6 and I-10 …`.

use super::{Fault, Tree};
use std::collections::{BTreeMap, BTreeSet};

const MAP: &str = "ARCHITECTURE.md";
const TABLE: &str = "crates/core/src/invariant.rs";

/// One row `| **I-4** | live | text |` of ARCHITECTURE.md.
struct Row {
    line: usize,
    state: String,
    text: String,
}

pub fn check(tree: &Tree) -> Vec<Fault> {
    let (Some(map), Some(table)) = (tree.file(MAP), tree.file(TABLE)) else { return Vec::new() };
    let rows = rows(&map.text);
    let texts = texts(&table.text);
    let proofs = proofs(tree);
    let mut faults = Vec::new();
    for (id, row) in &rows {
        let mut fault = |message: String| faults.push(Fault::new("invariant", MAP, row.line, message));
        match texts.get(id) {
            None => fault(format!("{id} is not in {TABLE}")),
            Some(text) if *text != row.text => fault(format!("{id} reads {text:?} in {TABLE}")),
            Some(_) => {}
        }
        match (row.state.as_str(), proofs.contains_key(id)) {
            ("live", false) => fault(format!("{id} is live, but no test says `// proves {id}`")),
            ("coming", true) => fault(format!("{} proves {id}: it is live, not coming", proofs[id])),
            ("live" | "coming", _) => {}
            (state, _) => fault(format!("{id} is {state:?}; say live or coming")),
        }
    }
    for id in texts.keys().filter(|id| !rows.contains_key(*id)) {
        faults.push(Fault::new("invariant", TABLE, 0, format!("{id} has no row in {MAP}")));
    }
    for (id, place) in proofs.iter().filter(|(id, _)| !texts.contains_key(*id)) {
        faults.push(Fault::new("invariant", place, 0, format!("there is no invariant {id}")));
    }
    faults
}

fn rows(map: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for (number, line) in map.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", id, state, text, ""] = cells.as_slice()
            && let Some(id) = id.strip_prefix("**").and_then(|id| id.strip_suffix("**"))
            && is_id(id)
        {
            let row = Row { line: number + 1, state: (*state).to_owned(), text: (*text).to_owned() };
            rows.insert(id.to_owned(), row);
        }
    }
    rows
}

/// The rows `I4 "I-4" "text"` of the table in core.
fn texts(table: &str) -> BTreeMap<String, String> {
    let rows = table.lines().filter_map(|line| {
        let parts: Vec<&str> = line.trim().split('"').collect();
        match parts.as_slice() {
            [_, id, _, text, _] if is_id(id) => Some(((*id).to_owned(), (*text).to_owned())),
            _ => None,
        }
    });
    rows.collect()
}

/// The first place that proves each invariant.
fn proofs(tree: &Tree) -> BTreeMap<String, String> {
    let mut proofs = BTreeMap::new();
    for file in
        tree.ending(".rs").filter(|file| file.path.starts_with("crates/") || file.path.starts_with("sim/"))
    {
        let named: BTreeSet<&str> = file.tests().flat_map(|(_, line)| proven_by(line)).collect();
        for id in named {
            proofs.entry(id.to_owned()).or_insert_with(|| file.path.clone());
        }
    }
    proofs
}

/// The ids that follow "proves" in a comment, up to the first word that is none.
fn proven_by(line: &str) -> Vec<&str> {
    let comment = line.trim_start().strip_prefix("//").and_then(|comment| comment.split_once("proves "));
    let words = comment.map_or("", |(_, ids)| ids).split_whitespace();
    let words = words.map(|word| word.trim_end_matches([',', '.', ':'])).filter(|word| *word != "and");
    words.take_while(|word| is_id(word)).collect()
}

fn is_id(text: &str) -> bool {
    let number = text.strip_prefix("I-").or_else(|| text.strip_prefix("L-"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;

    fn faults_of(state: &str, test: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let tree = Tree {
            files: vec![
                file(MAP, &format!("| **I-4** | {state} | cursors never go back |")),
                file(TABLE, "    I4 \"I-4\" \"cursors never go back\";"),
                file("crates/store/tests/cursors.rs", test),
            ],
        };
        check(&tree).into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn proofs_are_read_from_comments() {
        assert_eq!(proven_by("    // proves I-4, I-10: the cursor"), ["I-4", "I-10"]);
        assert_eq!(
            proven_by("/// Takes them. proves I-2, I-6 and L-4 for this history, not I-9."),
            ["I-2", "I-6", "L-4"]
        );
        assert!(proven_by("let proves = I-4;").is_empty());
    }

    #[test]
    fn a_live_invariant_needs_a_test_and_a_coming_one_has_none() {
        assert_eq!(faults_of("live", "// proves I-4, I-4").len(), 0);
        assert_eq!(faults_of("live", ""), ["I-4 is live, but no test says `// proves I-4`"]);
        assert_eq!(faults_of("coming", "").len(), 0);
        assert_eq!(faults_of("coming", "    // proves I-4").len(), 1);
        assert_eq!(faults_of("coming", "// proves I-99"), ["there is no invariant I-99"]);
    }
}
