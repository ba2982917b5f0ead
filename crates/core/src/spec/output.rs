//! The key `output`: how much of a job's output is kept, where it goes, and what is taken out of it.

use super::choice::Choice;
use super::definition::{ActionSpec, JobSpec};
use super::reader::{EXCLUSIVE, Reader, clip};
use super::table::OUTPUT;
use super::yaml::Entry;
use crate::error::{Code, Diagnostic};
use std::collections::BTreeSet;

/// `redact` names a variable that the job does not have.
const UNKNOWN_VARIABLE: Code = Code("DEF130");
/// A value is too short to be looked for.
const TOO_SHORT: Code = Code("DEF131");

/// Shorter values are not replaced in output: they would be found everywhere.
pub const SECRET_BYTES_MIN: usize = 4;

/// No job keeps the output of more runs by number; beyond it, age and bytes decide.
pub(crate) const KEEP_RUNS_MAX: i64 = 5000;

/// Who writes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Punctual, which keeps head and tail.
    Capped,
    /// The job.
    Direct,
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Self)] = &[("capped", Self::Capped), ("direct", Self::Direct)];
}

/// Reads the key; what `redact` names is checked by [`check`].
pub(crate) fn read(reader: &mut Reader<'_>, entry: Option<&Entry>, spec: &mut JobSpec) {
    let Some(entry) = entry else { return };
    if entry.node.map().is_none() {
        spec.output_direct = reader.choice(Some(entry)) == Some(Mode::Direct);
        return;
    }
    let Some(fields) = reader.fields(&entry.node, &OUTPUT) else { return };
    if let Some(bytes) = reader.bytes(fields.get("maxBytes")) {
        spec.output_bytes_max = bytes;
    }
    spec.output_direct = reader.choice(fields.get("mode")) == Some(Mode::Direct);
    spec.output_keep_runs = reader
        .integer(fields.get("keepRuns"), 1, KEEP_RUNS_MAX)
        .map(|runs| u32::try_from(runs).expect("at most KEEP_RUNS_MAX"));
    if let Some(redact) = fields.get("redact") {
        for node in redact.node.list().unwrap_or(std::slice::from_ref(&redact.node)) {
            if let Some((name, _)) = reader.scalar(node, "the name of a variable") {
                spec.redact.insert(name);
            }
        }
    }
    for (key, hint) in [
        ("maxBytes", "leave one of them out: a job that writes its file itself is not cut"),
        ("redact", "leave one of them out: what a job writes itself is not looked at"),
    ] {
        if spec.output_direct
            && let Some(entry) = fields.get(key)
        {
            let message = format!("`{key}` and `mode: direct` exclude each other");
            reader.report(entry.place, Diagnostic::error(EXCLUSIVE, message).hint(hint));
        }
    }
}

/// Checks that what the job itself wants replaced can be. `entry` is the job's own key.
pub(crate) fn check(reader: &mut Reader<'_>, entry: Option<&Entry>, spec: &JobSpec) {
    let Some(redact) = entry.and_then(|entry| entry.node.get("redact")) else { return };
    let ActionSpec::Run(process) = &spec.action else { return };
    let mut reported = BTreeSet::new();
    for node in redact.list().unwrap_or(std::slice::from_ref(redact)) {
        let Some(name) = node.text().filter(|name| reported.insert(name.to_string())) else { continue };
        match process.env.get(name) {
            Some(value) if value.len() < SECRET_BYTES_MIN => {
                let message = format!("the value of {:?} is too short to be taken out of output", clip(name));
                let hint = format!("a value of {SECRET_BYTES_MIN} bytes or more is not found by accident");
                reader.report(node.place, Diagnostic::error(TOO_SHORT, message).hint(hint));
            }
            Some(_) => {}
            // What it holds is known once the run is made.
            None if name.starts_with("PUNCTUAL_PARAM_") => {}
            None => {
                let message = format!("`redact` names {:?}, which the job's `env` does not set", clip(name));
                let hint = match super::suggest::nearest(name, process.env.keys().map(String::as_str)) {
                    Some(near) => format!("write `{near}`"),
                    None => "name a variable of `env`, or PUNCTUAL_PARAM_X for a parameter".to_owned(),
                };
                reader.report(node.place, Diagnostic::error(UNKNOWN_VARIABLE, message).hint(hint));
            }
        }
    }
}
