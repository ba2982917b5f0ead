//! A crontab's entries as jobs that behave as under cron: every difference from a job written by hand is written out.

use super::crontab::{Crontab, Entry};
use super::machine::Machine;
use super::name::{self, Names};
use super::yaml::{self, Style, Value};
use super::{Imported, NOT_CARRIED, Start, comment, literal, not_imported};
use punctual_core::error::Diagnostic;
use serde_json::json;

/// The crontabs, each with the name of its file, as JSON objects and as one definitions file.
pub fn jobs(crontabs: Vec<(String, Crontab)>, machine: &Machine, start: Start) -> Imported {
    let mut out = Imported::default();
    let several = crontabs.len() > 1;
    let mut names = Names::default();
    let mut mails = Mails { sendmail: machine.sendmail.as_deref(), said: Vec::new() };
    let mut jobs: Vec<(String, Pairs)> = Vec::new();
    let zone = machine.time_zone.as_deref().unwrap_or("UTC");
    for (file, crontab) in &crontabs {
        out.errors.extend(crontab.errors.iter().cloned());
        out.warnings.extend(crontab.warnings.iter().cloned());
        for entry in &crontab.entries {
            let name = names.give(&name::of_command(&entry.command));
            out.jobs.push(json_of(&name, entry, several.then_some(file.as_str())));
            let notify = mails.notify(file, entry, &mut out.warnings);
            let title = format!("{file}, line {}: {}", entry.at.number, entry.at.text.trim());
            jobs.push((title, definition(name, entry, notify, machine, start)));
        }
    }
    if machine.time_zone.is_none() {
        out.warnings.push(
            Diagnostic::warning(NOT_CARRIED, "the machine's time zone is not known, UTC is written")
                .hint("say it with --time-zone"),
        );
    }
    let files: Vec<&str> = crontabs.iter().map(|(file, _)| file.as_str()).collect();
    out.yaml = document(&files, jobs, zone, &out.errors, start);
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

fn definition(name: String, entry: &Entry, notify: Option<Value>, machine: &Machine, start: Start) -> Pairs {
    let mut job: Pairs = vec![("name".to_owned(), Value::Text(name))];
    let mut put = |key: &str, value: Value| job.push((key.to_owned(), value));
    if start == Start::Paused {
        put("paused", Value::Bool(true));
    }
    put("schedule", Value::text(&entry.rule.standard));
    if let Some(zone) = &entry.zone {
        put("timeZone", Value::text(zone));
    }
    let shell = env(entry, "SHELL").unwrap_or("/bin/sh");
    put("run", run(&entry.command, shell));
    if shell != "/bin/sh" {
        put("shell", Value::List(vec![literal(shell), Value::text("-c")]));
    }
    if let Some(stdin) = &entry.stdin {
        put("stdin", Value::text(stdin));
    }
    if let Some(user) = &entry.user {
        put("runAs", Value::text(user));
        // Under cron, sudo and sendmail work.
        put("noNewPrivileges", Value::Bool(false));
    }
    if let Some(home) = env(entry, "HOME") {
        put("workingDirectory", literal(home));
    } else if entry.user.as_ref().is_some_and(|user| machine.homeless.contains(user)) {
        put("workingDirectory", Value::text("/"));
    }
    put("env", variables(entry, machine.time_zone.as_deref().unwrap_or("UTC")));
    if let Some(notify) = notify {
        put("notify", notify);
    }
    job
}

/// The environment: first what cron gives where the crontab is silent. `CRON_TZ` moves the schedule alone, so that the
/// job keeps the machine's zone.
fn variables(entry: &Entry, zone: &str) -> Value {
    let silent = [("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")];
    let moved = entry.zone.as_ref().map(|_| ("TZ", zone));
    let silent = silent.into_iter().chain(moved).filter(|(name, _)| env(entry, name).is_none());
    let given = entry.env.iter().filter(|(name, _)| is_carried(name));
    let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
    Value::Map(silent.chain(given).map(|(name, value)| (name.to_owned(), literal(value))).collect())
}

/// Whether a job's environment can have a variable of this name: LOGNAME and USER are those of the user.
pub(super) fn is_carried(name: &str) -> bool {
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("PUNCTUAL_")
        && !matches!(name, "LOGNAME" | "USER")
}

/// The command as `run`. A script takes nothing that looks like a template, so a command with such (`{{json .}}`) is
/// written as the arguments of its shell.
fn run(command: &str, shell: &str) -> Value {
    let template = |at: usize| command[at..].strip_prefix("{{").map(str::trim_start);
    let looks_like = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic());
    if command.char_indices().any(|(at, _)| template(at).is_some_and(looks_like)) {
        let script = command.replace("{{", "{{{{");
        return Value::List(vec![literal(shell), Value::text("-c"), literal(&script)]);
    }
    Value::text(command)
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
    text.push_str(&not_imported(errors));
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
            ("shell" | "runAs" | "noNewPrivileges" | "workingDirectory" | "notify", value) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::crontab::{self, Kind};
    use crate::import::loading::load;
    use crate::import::text::Encoding;
    use punctual_core::job::{OnLost, Overlap};
    use punctual_core::spec::{self, ActionSpec, CommandSpec, JobSpec, RuleSpec};
    use punctual_core::trigger::CatchUpPolicy;
    use punctual_core::zone::ZoneTable;

    fn import(kind: Kind, text: &str, sendmail: Option<&str>) -> Imported {
        let table = ZoneTable::bundled();
        let zones = |name: &str| table.zone(name).map(|z| z.name().to_owned()).map_err(|e| e.to_string());
        let crontab = crontab::read("f", text.as_bytes(), kind, Encoding::Utf8, None, &zones);
        let machine = Machine {
            time_zone: Some("Europe/Vienna".to_owned()),
            sendmail: sendmail.map(str::to_owned),
            users: Vec::new(),
            homeless: vec!["nobody".to_owned()],
        };
        jobs(vec![("f".to_owned(), crontab)], &machine, Start::Paused)
    }

    /// The shell's command line that a job starts, templates put in.
    fn argv(job: &JobSpec) -> Vec<String> {
        let ActionSpec::Run(process) = &job.action else { panic!("{} runs nothing", job.name) };
        match &process.command {
            CommandSpec::Argv(argv) => {
                let render = |arg: &String| spec::template::render(arg, &|_| None).expect("no templates");
                argv.iter().map(render).collect()
            }
            CommandSpec::Shell { shell, script } => shell.iter().chain([script]).cloned().collect(),
        }
    }

    #[test]
    fn a_written_job_behaves_as_under_cron() {
        let text = "MAILTO=ops@example.com\nHOME=/srv/${x}\nSHELL=/bin/bash\nCRON_TZ=Asia/Tokyo\n\
                    30 4 */2 * mon www-data echo \"${HOME}\" '{{json .}}' {{.x}} \\% %in ${put}%\n";
        let imported = import(Kind::System, text, Some("/usr/sbin/sendmail"));
        let definitions = load(&imported.yaml);
        let [job] = definitions.jobs.as_slice() else { panic!("{}", imported.yaml) };
        assert_eq!(argv(job), ["/bin/bash", "-c", "echo \"${HOME}\" '{{json .}}' {{.x}} % "]);
        let ActionSpec::Run(process) = &job.action else { panic!("it runs") };
        assert_eq!(process.stdin.as_deref(), Some("in ${put}\n"));
        assert_eq!(process.run_as.as_deref(), Some("www-data"));
        assert_eq!(process.working_directory.as_deref(), Some("/srv/${x}"));
        let env: Vec<(&str, &str)> = process.env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            env,
            [
                ("CRON_TZ", "Asia/Tokyo"),
                ("HOME", "/srv/${x}"),
                ("MAILTO", "ops@example.com"),
                ("PATH", "/usr/bin:/bin"),
                ("SHELL", "/bin/bash"),
                ("TZ", "Europe/Vienna")
            ]
        );
        let RuleSpec::Cron { expression, time_zone, .. } = &job.triggers[0].rule else {
            panic!("a cron rule")
        };
        assert_eq!((expression.as_str(), time_zone.as_str()), ("30 4 */2 * +mon", "Asia/Tokyo"));
        assert!(job.paused);
        assert_eq!((job.overlap, job.on_lost), (Overlap::Allow, OnLost::Fail));
        assert_eq!((job.catch_up.policy, job.retry_policy.max_retries), (CatchUpPolicy::None, 0));
        let Some(CommandSpec::Argv(hook)) = &job.on_failure else { panic!("a hook") };
        assert!(hook[2].contains("'ops@example.com'") && hook[2].ends_with("| /usr/sbin/sendmail -i -t"));
    }

    #[test]
    fn the_machines_zone_is_written_out_and_what_all_share_stands_once() {
        let imported = import(Kind::User, "PATH=/x\n0 0 * * * a\nB=1\n@reboot b\n", None);
        let definitions = load(&imported.yaml);
        let RuleSpec::Cron { time_zone, .. } = &definitions.jobs[0].triggers[0].rule else { panic!("cron") };
        assert_eq!(time_zone, "Europe/Vienna");
        assert_eq!(definitions.jobs[1].triggers[0].rule, RuleSpec::Boot);
        assert_eq!(imported.yaml.matches("PATH").count(), 1, "{}", imported.yaml);
        let ActionSpec::Run(process) = &definitions.jobs[1].action else { panic!("it runs") };
        assert_eq!(process.env.get("B").map(String::as_str), Some("1"));
        assert_eq!(process.env.get("PATH").map(String::as_str), Some("/x"));
    }

    #[test]
    fn a_user_without_a_home_starts_at_the_root() {
        let imported =
            import(Kind::System, "@daily nobody a\n@daily root b\nHOME=/x\n@daily nobody c\n", None);
        let directory = |job: &JobSpec| match &job.action {
            ActionSpec::Run(process) => process.working_directory.clone(),
            _ => None,
        };
        let directories: Vec<Option<String>> = load(&imported.yaml).jobs.iter().map(directory).collect();
        assert_eq!(directories, [Some("/".to_owned()), None, Some("/x".to_owned())]);
    }

    #[test]
    fn mailto_without_a_mailer_or_with_an_unsafe_address_is_said_once() {
        let twice = |to: &str| format!("MAILTO={to}\n* * * * * a\n* * * * * b\n");
        for (to, sendmail) in
            [("ops", None), ("$(x)", Some("/s")), ("-oops", Some("/s")), ("'a b;c'", Some("/s"))]
        {
            let imported = import(Kind::User, &twice(to), sendmail);
            assert_eq!(imported.warnings.len(), 1, "{to}");
            assert!(!imported.yaml.contains("notify"), "{to}");
            load(&imported.yaml);
        }
        assert!(import(Kind::User, &twice("\"\""), None).warnings.is_empty());
    }

    #[test]
    fn what_is_not_imported_is_named_in_the_file() {
        let imported = import(Kind::User, "61 * * * * a\nLOGNAME=x\nA-B=c\n* * * * * b\n", None);
        assert!(imported.yaml.contains("#   f, line 1: "), "{}", imported.yaml);
        assert_eq!(imported.warnings.len(), 2);
        assert_eq!(load(&imported.yaml).jobs.len(), 1);
        assert_eq!(load(&import(Kind::User, "", None).yaml).jobs.len(), 0);
    }

    #[test]
    fn json_has_one_object_a_line_with_what_cron_knows_of_it() {
        let imported = import(Kind::System, "A=1\n17 *\t* * *\troot\tcat%x\nbad\n", None);
        assert_eq!(
            imported.json(false)["jobs"],
            json!([{
                "name": "cat", "line": 2, "schedule": "17 *\t* * *", "user": "root", "command": "cat", "stdin": "x\n",
                "env": {"A": "1"}, "tz": null,
            }])
        );
        assert_eq!(imported.json(false)["errors"][0]["line"], json!(3));
        assert!(imported.json(false)["errors"][0]["reason"].is_string());
    }

    proptest::proptest! {
        /// Whatever stands in a crontab, what is written loads, and starts what cron would start.
        #[test]
        fn what_is_written_loads_and_says_the_same(
            command in "[ -~äß\u{85}\u{2028}]{1,60}",
            value in "[ -~ä]{0,20}",
            input in proptest::option::of("[ -$&-\\[\\]-~]{0,20}"),
        ) {
            let command = format!("x{}", command.trim_end());
            let line = command.replace('%', "\\%") + &input.as_ref().map_or_else(String::new, |i| format!("%{i}"));
            let quote = if value.contains('"') { '\'' } else { '"' };
            proptest::prop_assume!(!value.contains(quote));
            proptest::prop_assume!(input.is_none() || !command.ends_with('\\'));
            let imported = import(Kind::User, &format!("A={quote}{value}{quote}\n* * * * * {line}\n"), None);
            proptest::prop_assert!(imported.errors.is_empty(), "{:?}", imported.errors);
            let definitions = load(&imported.yaml);
            let job = &definitions.jobs[0];
            proptest::prop_assert_eq!(argv(job), vec!["/bin/sh".to_owned(), "-c".to_owned(), command]);
            let ActionSpec::Run(process) = &job.action else { panic!("it runs") };
            proptest::prop_assert_eq!(process.env.get("A"), Some(&value));
            let expected = input.map(|i| if i.is_empty() { i } else { i + "\n" });
            proptest::prop_assert_eq!(&process.stdin, &expected);
        }
    }
}
