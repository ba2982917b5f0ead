//! Documents: every relative link leads to a file of the tree, and every anchor to a heading. What lies under
//! crates/ is a piece of a document that is put together elsewhere.

use super::{Fault, Tree};

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.ending(".md").filter(|file| !file.path.starts_with("crates/")) {
        for (number, link) in links(&file.text) {
            if let Some(message) = broken(tree, &file.path, &link) {
                faults.push(Fault::new("link", &file.path, number, message));
            }
        }
    }
    faults
}

/// The targets of `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part between backticks is code.
        for prose in line.split('`').step_by(2) {
            for rest in prose.split("](").skip(1) {
                if let Some((target, _)) = rest.split_once(')') {
                    found.push((number + 1, target.to_owned()));
                }
            }
        }
    }
    found
}

fn broken(tree: &Tree, from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { from.to_owned() } else { resolve(from, path) };
    if !tree.has(target.trim_end_matches('/')) {
        return Some(format!("{link:?} leads to {target}, which is not there"));
    }
    let file = tree.file(&target).filter(|_| !anchor.is_empty())?;
    let heads = file.text.lines().filter(|line| line.starts_with('#'));
    let known = heads.map(|head| slug(head.trim_start_matches('#'))).any(|slug| slug == anchor);
    (!known).then(|| format!("{link:?} leads to a heading that {target} does not have"))
}

/// `path` as seen from the folder of the file `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchor that a heading gets on the web.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let tree = Tree {
            files: vec![
                file("docs/a.md", "[b](b.md) [top](../README.md#the-tour) `[no](c.md)`\n[lost](c.md)"),
                file("docs/b.md", "# B\n[self](#b) [gone](#c) [web](https://example.com/)"),
                file("README.md", "## The tour\n[docs](docs/)"),
            ],
        };
        let places: Vec<(String, usize)> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(places, [("docs/a.md".to_owned(), 2), ("docs/b.md".to_owned(), 2)]);
    }
}
