//! A crontab's entries as jobs that behave as under cron: every difference from a job written by hand is written out.

use super::crontab::{Crontab, Entry};
use super::machine::Machine;
use super::name::{self, Names};
use super::yaml::{self, Style, Value};
use super::{Imported, NOT_CARRIED, reason};
use punctual_core::error::Diagnostic;
use serde_json::json;

/// Whether imported jobs begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// They wait to be resumed, for the cron that still serves the file.
    Paused,
    /// They run as soon as they are served.
    Active,
}

/// The crontabs, each with the name of its file, as JSON objects and as one definitions file.
pub fn jobs(crontabs: Vec<(String, Crontab)>, machine: &Machine, start: Start) -> Imported {
    let mut out = Imported::default();
    let several = crontabs.len() > 1;
    let mut names = Names::default();
    let mut mails = Mails { sendmail: machine.sendmail.as_deref(), said: Vec::new() };
    let mut jobs: Vec<(String, Pairs)> = Vec::new();
    for (file, crontab) in &crontabs {
        out.errors.extend(crontab.errors.iter().cloned());
        out.warnings.extend(crontab.warnings.iter().cloned());
        for entry in &crontab.entries {
            let name = names.give(&name::of_command(&entry.command));
            out.jobs.push(json_of(&name, entry, several.then_some(file.as_str())));
            let notify = mails.notify(file, entry, &mut out.warnings);
            let title = format!("{file}, line {}: {}", entry.at.number, entry.at.text.trim());
            jobs.push((title, definition(name, entry, notify, start)));
        }
    }
    if machine.time_zone.is_none() {
        out.warnings.push(
            Diagnostic::warning(NOT_CARRIED, "the machine's time zone is not known, UTC is written")
                .hint("say it with --time-zone"),
        );
    }
    let files: Vec<&str> = crontabs.iter().map(|(file, _)| file.as_str()).collect();
    out.yaml = document(&files, jobs, machine.time_zone.as_deref().unwrap_or("UTC"), &out.errors, start);
    out
}

type Pairs = Vec<(String, Value)>;

fn json_of(name: &str, entry: &Entry, file: Option<&str>) -> serde_json::Value {
    let env: serde_json::Map<String, serde_json::Value> =
        entry.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut job = json!({
        "name": name,
        "line": entry.at.number,
        "schedule": entry.schedule,
        "user": entry.user,
        "command": entry.command,
        "stdin": entry.stdin,
        "env": env,
        "tz": entry.zone,
    });
    if let Some(file) = file {
        job["file"] = json!(file);
    }
    job
}

fn env<'e>(entry: &'e Entry, name: &str) -> Option<&'e str> {
    entry.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn definition(name: String, entry: &Entry, notify: Option<Value>, start: Start) -> Pairs {
    let mut job: Pairs = vec![("name".to_owned(), Value::Text(name))];
    let mut put = |key: &str, value: Value| job.push((key.to_owned(), value));
    if start == Start::Paused {
        put("paused", Value::Bool(true));
    }
    put("schedule", Value::text(&entry.rule.standard));
    if let Some(zone) = &entry.zone {
        put("timeZone", Value::text(zone));
    }
    let (run, script) = run(&entry.command);
    put("run", run);
    if let Some(shell) = env(entry, "SHELL").filter(|shell| *shell != "/bin/sh") {
        put("shell", Value::texts(&[shell, "-c"]));
    }
    if let Some(stdin) = &entry.stdin {
        put("stdin", Value::text(stdin));
    }
    if let Some(user) = &entry.user {
        put("runAs", Value::text(user));
    }
    if let Some(home) = env(entry, "HOME") {
        put("workingDirectory", Value::text(home));
    }
    // What cron gives where the crontab is silent comes first.
    let mut variables =
        vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("SHELL".to_owned(), "/bin/sh".to_owned())];
    variables.retain(|(name, _)| env(entry, name).is_none());
    variables.extend(entry.env.iter().filter(|(name, _)| name != "LOGNAME" && name != "USER").cloned());
    variables.extend(script);
    put("env", Value::pairs(&variables));
    if let Some(notify) = notify {
        put("notify", notify);
    }
    job
}

/// The command as `run`. `{{` marks a template there, so a command with one goes by the environment.
fn run(command: &str) -> (Value, Option<(String, String)>) {
    if command.contains("{{") {
        let variable = ("CRON_COMMAND".to_owned(), command.to_owned());
        return (Value::text("eval \"$CRON_COMMAND\""), Some(variable));
    }
    (Value::text(command), None)
}

/// `MAILTO` as `notify`, and what is said of it once for each address.
struct Mails<'m> {
    sendmail: Option<&'m str>,
    said: Vec<String>,
}

impl Mails<'_> {
    fn notify(&mut self, file: &str, entry: &Entry, warnings: &mut Vec<Diagnostic>) -> Option<Value> {
        let to = env(entry, "MAILTO").filter(|to| !to.is_empty())?;
        let first = !self.said.iter().any(|said| said == to);
        let mut say = |warning: Diagnostic| {
            if first {
                warnings.push(warning.at(entry.at.origin(file, 0, 1)));
            }
        };
        if first {
            self.said.push(to.to_owned());
        }
        if !is_safe_address(to) {
            say(Diagnostic::warning(NOT_CARRIED, format!("MAILTO {to:?} is not carried over"))
                .detail("it has characters that cron, too, does not hand to a mailer"));
            return None;
        }
        let Some(sendmail) = self.sendmail else {
            say(Diagnostic::warning(NOT_CARRIED, format!("MAILTO {to:?} is not carried over"))
                .detail("this machine has no sendmail")
                .hint("write a notify: {onFailure: {run: …}} of your own"));
            return None;
        };
        say(Diagnostic::warning(NOT_CARRIED, format!("MAILTO {to:?} becomes a mail when a run fails"))
            .detail("cron mails whatever a command prints; Punctual keeps it, see `punctual logs JOB`"));
        let script = format!(
            "{{ printf 'To: %s\\nSubject: Punctual: %s failed\\n\\n' '{to}' \"$PUNCTUAL_JOB\"; cat; }} | {sendmail} -i -t"
        );
        let run = Value::texts(&["/bin/sh", "-c", &script]);
        Some(Value::Map(vec![("onFailure".to_owned(), Value::Map(vec![("run".to_owned(), run)]))]))
    }
}

/// What cron lets through to a mailer: addresses and commas, no option and nothing a shell would see.
fn is_safe_address(to: &str) -> bool {
    to.chars().all(|c| c.is_ascii_alphanumeric() || "@!:%-.,_+ ".contains(c))
        && to.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

fn document(
    files: &[&str],
    mut jobs: Vec<(String, Pairs)>,
    zone: &str,
    errors: &[Diagnostic],
    start: Start,
) -> String {
    let mut defaults: Pairs = vec![
        ("timeZone".to_owned(), Value::text(zone)),
        ("dst".to_owned(), Value::text("debian")),
        ("overlap".to_owned(), Value::text("allow")),
        ("catchUp".to_owned(), Value::text("none")),
        ("retryPolicy".to_owned(), Value::Map(vec![("maxRetries".to_owned(), Value::Number(0))])),
        ("onLost".to_owned(), Value::text("fail")),
    ];
    lift(&mut jobs, &mut defaults);
    let mut text = format!("# Imported by `punctual import crontab` from {}.\n", comment(&files.join(", ")));
    if start == Start::Paused {
        text.push_str(
            "# Every job is paused: while cron serves the same lines, they would run twice. Take a line out of the\n\
             # crontab, then `paused: true` out of here.\n",
        );
    }
    text.push_str(
        "# As under cron, a job may overlap itself, missed times are not caught up and nothing is tried again.\n",
    );
    if !errors.is_empty() {
        text.push_str("# Not imported:\n");
        for error in errors {
            let (file, line) = error.origin.as_ref().map_or(("", 0), |o| (o.file.as_str(), o.line));
            text.push_str(&format!("#   {}, line {line}: {}\n", comment(file), comment(&reason(error))));
        }
    }
    text.push_str("\ndefaults:\n");
    text.push_str(&yaml::block(&defaults, 2, Style::Compact));
    if jobs.is_empty() {
        return text + "\njobs: []\n";
    }
    text.push_str("\njobs:\n");
    for (title, job) in jobs {
        text.push_str(&format!("  # {}\n", comment(&title)));
        text.push_str(&yaml::item_lines(&Value::Map(job), 2, Style::Compact));
    }
    text
}

/// Moves what all jobs have alike into the defaults: variables one by one, the other keys as a whole.
fn lift(jobs: &mut [(String, Pairs)], defaults: &mut Pairs) {
    let Some((_, first)) = jobs.first().cloned().filter(|_| jobs.len() > 1) else { return };
    for (key, value) in first {
        match (key.as_str(), value) {
            ("env", Value::Map(variables)) => lift_variables(jobs, &variables, defaults),
            ("shell" | "runAs" | "workingDirectory" | "notify", value) => {
                let pair = (key, value);
                if jobs.iter().all(|(_, job)| job.contains(&pair)) {
                    jobs.iter_mut().for_each(|(_, job)| job.retain(|p| *p != pair));
                    defaults.push(pair);
                }
            }
            _ => {}
        }
    }
}

fn lift_variables(jobs: &mut [(String, Pairs)], variables: &Pairs, defaults: &mut Pairs) {
    let mut shared = variables.clone();
    for job in jobs.iter_mut() {
        let own = env_of(job).cloned().unwrap_or_default();
        shared.retain(|pair| own.contains(pair));
    }
    if shared.is_empty() {
        return;
    }
    for job in jobs.iter_mut() {
        if let Some(own) = env_of(job) {
            own.retain(|pair| !shared.contains(pair));
        }
        job.1.retain(|(key, value)| !(key == "env" && *value == Value::Map(Vec::new())));
    }
    defaults.push(("env".to_owned(), Value::Map(shared)));
}

fn env_of(job: &mut (String, Pairs)) -> Option<&mut Pairs> {
    job.1.iter_mut().find_map(|(key, value)| match value {
        Value::Map(pairs) if key == "env" => Some(pairs),
        _ => None,
    })
}

/// Text that stays one line of comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}') { ' ' } else { c })
        .collect()
}
