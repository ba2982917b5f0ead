//! The style test: what rustfmt and clippy do not see. Each check is a function from the [`Tree`] to its [`Fault`]s.
//!
//! A fault fails the test unless `xtask/ratchet.txt` allows that many of its kind in its file (or that many lines, of
//! what is too long). The ratchet only turns one way: a file that got better must lower its line there, so it cannot
//! get worse again.

mod codes;
mod documents;
mod invariants;
mod ratchet;
mod sources;
mod tree;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
pub use tree::Tree;

/// Something the style forbids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Which rule, one word: the first column of the ratchet file.
    pub rule: &'static str,
    /// The file, from the root of the repository.
    pub path: String,
    /// The line, from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
    /// What it counts in the ratchet: 1, or the lines of what is too long.
    pub weight: usize,
}

impl Fault {
    /// A fault of a line (from 1), or of the whole file (0).
    pub fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), line, message: message.into(), weight: 1 }
    }

    /// The same fault, counting `lines`.
    pub fn of_lines(self, lines: usize) -> Self {
        Self { weight: lines, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line.max(1), self.rule, self.message)
    }
}

/// What to do with limits that are higher than need be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ratchet {
    /// Say so, and fail.
    Keep,
    /// Lower them.
    Lower,
}

/// Runs all checks on the repository at `root` and prints what is wrong.
pub fn run(root: &Path, ratchet: Ratchet) -> ExitCode {
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut faults = check(&tree);
    faults.extend(crate::architecture::check(root));
    let verdict = match ratchet {
        Ratchet::Keep => ratchet::judge(&tree, faults),
        Ratchet::Lower => ratchet::lower(root, &tree, faults),
    };
    for fault in &verdict {
        println!("{fault}");
    }
    println!("tidy: {} files, {} faults", tree.files.len(), verdict.len());
    if verdict.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(tree: &Tree) -> Vec<Fault> {
    let checks: [fn(&Tree) -> Vec<Fault>; 4] =
        [sources::check, codes::check, documents::check, invariants::check];
    let mut faults: Vec<Fault> = checks.iter().flat_map(|check| check(tree)).collect();
    faults.sort();
    faults
}
