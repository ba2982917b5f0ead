//! `xtask/ratchet.txt`: how many faults of a rule a file may have, one `rule path count` a line; for what is too long,
//! how many lines. Numbers only fall.

use super::{Fault, Tree};
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "xtask/ratchet.txt";
const HEAD: &str = "# rule path count: faults, or lines of what is too long, that are there already. Numbers only fall; `cargo xtask tidy --ratchet` lowers them.\n";

type Limits = BTreeMap<(String, String), usize>;

/// The faults beyond their limits, and the limits that are higher than they need to be.
pub fn judge(tree: &Tree, faults: Vec<Fault>) -> Vec<Fault> {
    let (limits, mut verdict) = read(tree);
    let counts = count(&faults);
    for (key, limit) in &limits {
        let count = counts.get(key).copied().unwrap_or(0);
        if count < *limit {
            let (rule, path) = key;
            let message =
                format!("{path} has {count} faults of {rule}, {limit} are allowed: lower the limit");
            verdict.push(Fault::new("ratchet", FILE, 0, message));
        }
    }
    verdict.extend(beyond(&limits, &counts, faults));
    verdict
}

/// Lowers the limits that are too high, then judges. It never raises one.
pub fn lower(root: &Path, tree: &Tree, faults: Vec<Fault>) -> Vec<Fault> {
    let (limits, mut verdict) = read(tree);
    let counts = count(&faults);
    let mut text = HEAD.to_owned();
    for (key, limit) in &limits {
        let kept = counts.get(key).copied().unwrap_or(0).min(*limit);
        if kept > 0 {
            text.push_str(&format!("{} {} {kept}\n", key.0, key.1));
        }
    }
    if let Err(error) = std::fs::write(root.join(FILE), text) {
        verdict.push(Fault::new("ratchet", FILE, 0, error.to_string()));
    }
    verdict.extend(beyond(&limits, &counts, faults));
    verdict
}

fn beyond(limits: &Limits, counts: &Limits, faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    faults.into_iter().filter(|fault| {
        let key = (fault.rule.to_owned(), fault.path.clone());
        counts[&key] > limits.get(&key).copied().unwrap_or(0)
    })
}

fn count(faults: &[Fault]) -> Limits {
    let mut counts = Limits::new();
    for fault in faults {
        *counts.entry((fault.rule.to_owned(), fault.path.clone())).or_default() += fault.weight;
    }
    counts
}

fn read(tree: &Tree) -> (Limits, Vec<Fault>) {
    let mut limits = Limits::new();
    let mut faults = Vec::new();
    let text = tree.file(FILE).map_or("", |file| &file.text);
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split_whitespace().collect();
        match parts.as_slice() {
            [rule, path, limit] if limit.parse::<usize>().is_ok_and(|limit| limit > 0) => {
                let limit = limit.parse().expect("it was parsed just before");
                limits.insert(((*rule).to_owned(), (*path).to_owned()), limit);
            }
            [] => {}
            _ => faults.push(Fault::new("ratchet", FILE, number + 1, "a line is: rule path count")),
        }
    }
    (limits, faults)
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;

    fn judged(limits: &str, faults: usize) -> Vec<&'static str> {
        let tree = Tree { files: vec![File { path: FILE.to_owned(), text: limits.to_owned() }] };
        let fault = Fault::new("unwrap", "a.rs", 1, "");
        judge(&tree, vec![fault; faults]).into_iter().map(|fault| fault.rule).collect()
    }

    #[test]
    fn what_was_there_is_allowed_and_nothing_more() {
        assert!(judged("unwrap a.rs 2\n", 2).is_empty());
        assert_eq!(judged("unwrap a.rs 2\n", 3), ["unwrap"; 3]);
        assert_eq!(judged("", 1), ["unwrap"]);
    }

    #[test]
    fn a_file_that_got_better_must_say_so() {
        assert_eq!(judged("unwrap a.rs 2\n", 1), ["ratchet"]);
        assert_eq!(judged("unwrap a.rs\n", 0), ["ratchet"]);
    }
}
