//! The files of the repository, as git lists them: tracked, or new and not ignored.

use std::path::Path;
use std::process::Command;

/// All text files of the repository, by path.
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
}

/// One text file.
pub struct File {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl Tree {
    /// Reads the repository at `root`. Files that are not UTF-8 are left out.
    ///
    /// # Errors
    /// `git ls-files` does not work there.
    pub fn read(root: &Path) -> Result<Self, String> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("git ls-files does not start: {e}"))?;
        if !listing.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listing.stderr).trim()));
        }
        let mut files: Vec<File> = String::from_utf8_lossy(&listing.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .filter_map(|path| {
                let text = std::fs::read_to_string(root.join(path)).ok()?;
                Some(File { path: path.to_owned(), text })
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files with this ending, such as `.rs`.
    pub fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.ends_with(ending))
    }

    /// Whether `path` is a file, or a folder with a file in it.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }
}

impl File {
    /// Whether all of it is test code, by its place or its name.
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| {
            matches!(
                part,
                "tests"
                    | "conformance"
                    | "benches"
                    | "fuzz"
                    | "tests.rs"
                    | "proptests.rs"
                    | "oracle.rs"
                    | "oracles"
            ) || part.ends_with("_tests.rs")
        })
    }

    /// The lines before the test module at the end, with their numbers from 1; none of a test file.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().take(self.code_lines()).enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The lines that [`File::code`] leaves out.
    pub fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().skip(self.code_lines()).map(|(i, line)| (i + 1, line))
    }

    fn code_lines(&self) -> usize {
        if self.is_test() {
            return 0;
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let is_module = |line: &str| line.contains("mod ") && line.ends_with('{');
        let start = (0..lines.len()).find(|i| {
            lines[*i].trim() == "#[cfg(test)]"
                && lines[i + 1..]
                    .iter()
                    .find(|l| !l.trim_start().starts_with('#'))
                    .is_some_and(|l| is_module(l))
        });
        start.unwrap_or(lines.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_file_begin_at_its_test_module() {
        let text = "fn a() {}\n#[cfg(test)]\nfn b() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n}\n";
        let file = |path: &str| File { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(file("crates/x/src/lib.rs").code().count(), 3);
        assert_eq!(file("crates/x/src/lib.rs").tests().next(), Some((4, "#[cfg(test)]")));
        assert_eq!(file("crates/x/tests/lib.rs").code().count(), 0);
    }
}
