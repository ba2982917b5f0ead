//! What other schedulers' files become: crontabs and Kubernetes CronJobs, as definitions or as one JSON object.
//!
//! ```text
//! crontab bytes ─text→ lines ─setting, crontab→ entries ─crontab_jobs→ YAML
//! manifests     ─k8s→ CronJobs ─k8s_jobs→ YAML
//! ```
//! Nothing is dropped in silence: what cannot be taken is an error with its line, beside what can; what is taken
//! but changes is a warning. The modules read no file and no clock; `commands::import` does.

pub mod crontab;
pub mod crontab_jobs;
pub mod k8s;
pub mod k8s_jobs;
pub mod machine;
mod manifest;
pub mod name;
pub(crate) mod rule;
mod setting;
pub mod text;
pub mod yaml;

use punctual_core::error::{Code, Diagnostic, Origin};
use serde_json::{Value, json};

/// A line of a crontab is neither setting nor entry.
const NOT_A_LINE: Code = Code("IMP001");
/// `CRON_TZ`, or a manifest's zone, names no zone.
const UNKNOWN_ZONE: Code = Code("IMP002");
/// A line is no text.
const NOT_TEXT: Code = Code("IMP003");
/// A line of a system crontab has no user.
const NOT_A_USER: Code = Code("IMP004");
/// A file is read although cron would stumble over its encoding or line ends.
const IN_ANOTHER_SHAPE: Code = Code("IMP005");
/// A setting has no counterpart.
const NOT_CARRIED: Code = Code("IMP006");
/// Cron reads a line otherwise than it looks.
const READ_OTHERWISE: Code = Code("IMP007");
/// Cron takes a line, but it has no day to run on.
const NEVER_RUNS: Code = Code("IMP008");
/// A file cannot be read or written, or is left out.
pub const CANNOT_READ: Code = Code("IMP009");
/// A document is no manifest that can be read.
const BAD_DOCUMENT: Code = Code("IMP011");
/// A field of a CronJob is missing or wrong.
const BAD_FIELD: Code = Code("IMP012");
/// An object is no CronJob.
const NOT_A_CRONJOB: Code = Code("IMP013");
/// A CronJob means something that a definition says otherwise, or not at all.
const CLUSTER_ONLY: Code = Code("IMP014");

/// Looks up a time zone: its canonical name, or what to write instead.
pub type Zones<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Whether imported jobs begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// They wait to be resumed, for the cron that still serves the file.
    Paused,
    /// They run as soon as they are served.
    Active,
}

/// What was read and what became of it, ready to be written.
#[derive(Debug, Default)]
pub struct Imported {
    /// One object for each job, with the fields of `--format json`.
    pub jobs: Vec<Value>,
    /// The same jobs as a definitions file.
    pub yaml: String,
    /// What could not be imported.
    pub errors: Vec<Diagnostic>,
    /// What changed on the way.
    pub warnings: Vec<Diagnostic>,
}

impl Imported {
    /// `{"jobs":[…],"errors":[{"line","reason"}],"warnings":[{"line","reason"}]}`; a `file` is named only where
    /// several were read.
    pub fn json(&self, several_files: bool) -> Value {
        let list = |diagnostics: &[Diagnostic]| -> Vec<Value> {
            diagnostics.iter().map(|diagnostic| remark(diagnostic, several_files)).collect()
        };
        json!({ "jobs": self.jobs, "errors": list(&self.errors), "warnings": list(&self.warnings) })
    }
}

fn remark(diagnostic: &Diagnostic, with_file: bool) -> Value {
    let mut remark = serde_json::Map::new();
    let origin = diagnostic.origin.as_ref();
    if with_file {
        remark.insert("file".to_owned(), json!(origin.map(|o| &o.file)));
    }
    remark.insert("line".to_owned(), json!(origin.map(|o| o.line)));
    remark.insert("reason".to_owned(), json!(reason(diagnostic)));
    remark.insert("code".to_owned(), json!(diagnostic.code.0));
    Value::Object(remark)
}

/// A diagnostic in one line.
pub fn reason(diagnostic: &Diagnostic) -> String {
    let mut reason = diagnostic.message.clone();
    for more in [&diagnostic.detail, &diagnostic.hint].into_iter().flatten() {
        reason.push_str("; ");
        reason.push_str(more);
    }
    reason
}

/// A position that means a file as a whole.
fn whole_file(file: &str) -> Origin {
    Origin { file: file.to_owned(), line: 1, column: 1, width: 1, snippet: String::new() }
}

/// A string in which the loader finds nothing to expand.
fn literal(text: &str) -> yaml::Value {
    yaml::Value::Text(text.replace("${", "$${"))
}

/// Text that stays one line of comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}') { ' ' } else { c })
        .collect()
}

/// What could not be imported, as comments of the file written.
fn not_imported(errors: &[Diagnostic]) -> String {
    let line = |error: &Diagnostic| {
        let (file, line) = error.origin.as_ref().map_or(("", 0), |o| (o.file.as_str(), o.line));
        format!("#   {}, line {line}: {}\n", comment(file), comment(&reason(error)))
    };
    if errors.is_empty() {
        String::new()
    } else {
        "# Not imported:\n".to_owned() + &errors.iter().map(line).collect::<String>()
    }
}

/// How tests load what was written.
#[cfg(test)]
pub(crate) mod loading {
    use punctual_core::spec::{self, Definitions, Source};
    use punctual_core::zone::ZoneTable;

    /// The definitions in `yaml`; an error in them ends the test.
    pub(crate) fn load(yaml: &str) -> Definitions {
        let table = ZoneTable::bundled();
        let context = spec::Context {
            env: &|_| None,
            read: &|_, _| Err("no files".to_owned()),
            zones: &|name| table.zone(name),
        };
        match spec::load(&[Source::new("imported.yaml", yaml)], &context) {
            Ok(definitions) => definitions,
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                panic!("{}\n{yaml}", errors.join("\n"))
            }
        }
    }
}
