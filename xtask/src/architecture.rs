//! Compares the crate table of ARCHITECTURE.md with `cargo metadata`: which of our crates each one uses, that the
//! arrows point down, and which libraries are nowhere in a crate's tree.

use crate::tidy::Fault;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const MAP: &str = "ARCHITECTURE.md";

/// One row `| crate | this code must not | uses | never in its tree |` under the heading "Crates".
#[derive(Debug)]
struct Row {
    name: String,
    uses: BTreeSet<String>,
    never: BTreeSet<String>,
}

/// A crate of the workspace as cargo knows it.
#[derive(Debug, Default)]
struct Package {
    /// Our crates that it needs to be built and to run.
    uses: BTreeSet<String>,
    /// Our crates that its tests need.
    tests_use: BTreeSet<String>,
    /// Every library in its tree, tests excepted.
    tree: BTreeSet<String>,
}

/// What ARCHITECTURE.md says wrongly of the workspace at `root`.
pub fn check(root: &Path) -> Vec<Fault> {
    let compared = std::fs::read_to_string(root.join(MAP))
        .map_err(|e| format!("{MAP}: {e}"))
        .and_then(|map| Ok(compare(&rows(&map)?, &packages(&metadata(root)?))));
    let messages = compared.unwrap_or_else(|error| vec![error]);
    messages.into_iter().map(|message| Fault::new("architecture", MAP, 0, message)).collect()
}

fn compare(rows: &[Row], packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut faults = Vec::new();
    for name in packages.keys().filter(|name| !rows.iter().any(|row| row.name == **name)) {
        faults.push(format!("crate {name} has no row in the table of crates"));
    }
    for (place, row) in rows.iter().enumerate() {
        let Some(package) = packages.get(&row.name) else {
            faults.push(format!("there is no crate {} in the workspace", row.name));
            continue;
        };
        if package.uses != row.uses {
            faults.push(format!("{} uses {:?}, the table says {:?}", row.name, package.uses, row.uses));
        }
        let below: BTreeSet<&str> = rows[place + 1..].iter().map(|row| row.name.as_str()).collect();
        for used in package.uses.union(&package.tests_use).filter(|used| !below.contains(used.as_str())) {
            faults.push(format!("{} uses {used}, which is not below it in the table", row.name));
        }
        for banned in row.never.intersection(&package.tree) {
            faults.push(format!("{banned} is in the tree of {}, and must not be", row.name));
        }
    }
    faults
}

fn rows(map: &str) -> Result<Vec<Row>, String> {
    let section = map.split("\n## Crates\n").nth(1).ok_or("there is no section \"## Crates\"")?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows: Vec<Row> = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let ["", name, _, uses, never, ""] = cells.as_slice() else { return None };
            let name = name.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned();
            Some(Row { name, uses: names(uses), never: names(never) })
        })
        .collect();
    if rows.is_empty() { Err("the section \"## Crates\" has no table".to_owned()) } else { Ok(rows) }
}

fn metadata(root: &Path) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}

fn packages(metadata: &Value) -> BTreeMap<String, Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> =
        list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let ours: BTreeSet<String> = list(&metadata["workspace_members"]).iter().map(text).collect();

    // id → (id of what it needs, whether only its tests need it)
    let mut needs: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let needed = list(&node["deps"]).into_iter().map(|dep| {
            let only_tests = list(&dep["dep_kinds"]).iter().all(|kind| kind["kind"] == "dev");
            (text(&dep["pkg"]), only_tests)
        });
        needs.insert(text(&node["id"]), needed.collect());
    }

    let mut packages = BTreeMap::new();
    for id in &ours {
        let mut package = Package::default();
        for (used, only_tests) in needs[id].iter().filter(|(used, _)| ours.contains(used)) {
            let list = if *only_tests { &mut package.tests_use } else { &mut package.uses };
            list.insert(names[used].clone());
        }
        let mut open = vec![id];
        let mut seen = BTreeSet::from([id]);
        while let Some(next) = open.pop() {
            for (used, only_tests) in &needs[next] {
                if !only_tests && seen.insert(used) {
                    package.tree.insert(names[used].clone());
                    open.push(used);
                }
            }
        }
        packages.insert(names[id].clone(), package);
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_shows_the_crates_as_they_are() {
        let faults: Vec<String> = check(&crate::root()).into_iter().map(|fault| fault.message).collect();
        assert_eq!(faults, Vec::<String>::new());
    }

    const TABLE: &str = "# Map\n\n## Crates\n| crate | not | uses | never |\n|---|---|---|---|\n\
        | `top` | know | `low` | |\n| `low` | do I/O | nothing | `tokio` |\n\n## Next\n| `x` | | | |\n";

    fn package(uses: &[&str], tests_use: &[&str], tree: &[&str]) -> Package {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Package { uses: set(uses), tests_use: set(tests_use), tree: set(tree) }
    }

    fn faults_of(top: Package, low: Package) -> Vec<String> {
        let packages = BTreeMap::from([("top".to_owned(), top), ("low".to_owned(), low)]);
        compare(&rows(TABLE).expect("the table is well formed"), &packages)
    }

    #[test]
    fn an_arrow_that_points_up_and_a_banned_library_are_found() {
        let top = || package(&["low"], &[], &["low", "tokio"]);
        assert_eq!(faults_of(top(), package(&[], &[], &["jiff"])), Vec::<String>::new());
        let up = faults_of(top(), package(&[], &["top"], &[]));
        assert_eq!(up, ["low uses top, which is not below it in the table"]);
        let banned = faults_of(top(), package(&[], &[], &["tokio"]));
        assert_eq!(banned, ["tokio is in the tree of low, and must not be"]);
        assert_eq!(faults_of(package(&[], &[], &[]), package(&[], &[], &[])).len(), 1);
    }
}
