//! What a job says about how its attempts end: when one has succeeded, and what follows many bad ends.

use super::definition::{CommandSpec, SuccessSpec, VerifySpec};
use super::job::{Layers, read_command};
use super::reader::{Reader, clip};
use super::table::{SUCCESS, VERIFY};
use super::yaml::Entry;
use crate::error::{Code, Diagnostic};
use crate::pattern;
use std::time::Duration;

const NO_PATTERN: Code = Code("DEF140");
const NOTHING_TO_JUDGE: Code = Code("DEF141");

/// How long a `verify` may take unless it says otherwise.
pub(super) const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads `successWhen`.
pub(super) fn read_success(reader: &mut Reader<'_>, layers: &Layers<'_>) -> Option<SuccessSpec> {
    let entry = layers.get("successWhen")?;
    let fields = reader.fields(&entry.node, &SUCCESS)?;
    Some(SuccessSpec {
        exit_codes: fields.get("exitCodes").map_or_else(Vec::new, |codes| read_codes(reader, codes)),
        output: read_pattern(reader, fields.get("output")),
        output_not: read_pattern(reader, fields.get("outputNot")),
    })
}

/// A list of exit codes, or one; in order, each once.
fn read_codes(reader: &mut Reader<'_>, entry: &Entry) -> Vec<u8> {
    let nodes = entry.node.list().unwrap_or(std::slice::from_ref(&entry.node));
    if nodes.is_empty() {
        let hint = "write the codes that are a success, as [0, 3]";
        reader.not_allowed(entry.node.place, "no exit code is a success".to_owned(), hint);
    }
    let mut codes = Vec::new();
    for node in nodes {
        let one = Entry { key: String::new(), place: node.place, node: node.clone() };
        codes.extend(reader.integer(Some(&one), 0, 255).and_then(|code| u8::try_from(code).ok()));
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn read_pattern(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<String> {
    let entry = entry?;
    let text = reader.raw_text(Some(entry))?;
    match pattern::compile(&text) {
        Ok(_) if !text.is_empty() => return Some(text),
        Ok(_) => {
            let hint = "write what the output must contain, or leave the key out";
            reader.not_allowed(entry.node.place, "an empty pattern matches every output".to_owned(), hint);
        }
        Err(why) => {
            let message = format!("{:?} is no pattern for output", clip(&text));
            let hint = "write a regular expression, in single quotes: `output: '^done in [0-9]+ s$'`";
            let fault = Diagnostic::error(NO_PATTERN, message).detail(why).hint(hint);
            reader.report(entry.node.place, fault);
        }
    }
    None
}

/// Reads `verify`: a command as `run` takes it, or a mapping with one.
pub(super) fn read_verify(reader: &mut Reader<'_>, layers: &Layers<'_>) -> Option<VerifySpec> {
    let entry = layers.get("verify")?;
    if entry.node.map().is_none() {
        let command = read_command(reader, entry, layers)?;
        return Some(VerifySpec { command, timeout: VERIFY_TIMEOUT });
    }
    let fields = reader.fields(&entry.node, &VERIFY)?;
    let timeout = reader.positive(fields.get("timeout")).unwrap_or(VERIFY_TIMEOUT);
    let Some(run) = fields.get("run") else {
        reader.missing(entry.place, "`verify`", "run", "write `verify: {run: [./check.sh]}`");
        return None;
    };
    let command: CommandSpec = read_command(reader, run, layers)?;
    Some(VerifySpec { command, timeout })
}

/// Refuses what judges a process in a job that has none.
pub(super) fn check_judged(reader: &mut Reader<'_>, layers: &Layers<'_>) {
    for key in ["successWhen", "verify", "checkpoint"] {
        if let Some(entry) = layers.own(key) {
            let message = format!("`{key}` is about a process, and this job runs none");
            let fault = Diagnostic::error(NOTHING_TO_JUDGE, message);
            reader.report(entry.place, fault.hint("add `run:`, or remove the key"));
        }
    }
}
