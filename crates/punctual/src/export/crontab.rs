//! Jobs as lines of a crontab.

use super::{LESS_EXACT, NOT_IN_CRONTAB, Verdict, shell};
use crate::import::crontab::Kind;
use punctual_core::cron::{self, Dialect};
use punctual_core::error::Diagnostic;
use punctual_core::job::Overlap;
use punctual_core::schedule::DstPolicy;
use punctual_core::spec::{ActionSpec, CommandSpec, JobSpec, ProcessSpec, RuleSpec, template};
use punctual_core::trigger::CatchUpPolicy;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The cron that will read the crontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// With or without user names; `None`: with, if a job has a `runAs`.
    pub kind: Option<Kind>,
    /// The zone it goes by.
    pub time_zone: String,
    /// Whether it knows `CRON_TZ`, as cronie does and Debian's cron does not.
    pub cron_tz: bool,
    /// The PATH that jobs have here if they name none.
    pub path: String,
}

/// Debian's cron takes no longer commands.
const COMMAND_CHARS_MAX: usize = 998;

/// The jobs as a crontab, and what is to be said of each: errors for those that are left out.
pub fn crontab(jobs: &[JobSpec], target: &Target) -> (String, Vec<Diagnostic>) {
    let as_user = |job: &JobSpec| matches!(&job.action, ActionSpec::Run(process) if process.run_as.is_some());
    let kind = target.kind.unwrap_or(if jobs.iter().any(as_user) { Kind::System } else { Kind::User });
    let mut said = Vec::new();
    let mut entries = Vec::new();
    for job in jobs {
        let mut verdict = Verdict::new(job, NOT_IN_CRONTAB);
        let entry = entry(&mut verdict, kind, target);
        said.append(&mut verdict.said);
        entries.extend(entry.filter(|_| !verdict.refused));
    }
    // A crontab can set HOME but not take it back: jobs that set it come last.
    entries.sort_by_key(|entry| entry.settings.contains_key("HOME"));
    let mut text =
        "# Exported by `punctual export crontab`. Stop the jobs there before cron reads this.\n".to_owned();
    let mut in_force = BTreeMap::new();
    for entry in &entries {
        entry.write(&target.time_zone, &mut in_force, &mut text, &mut said);
    }
    (text, said)
}

/// A job in the words of a crontab.
struct Entry<'j> {
    job: &'j JobSpec,
    settings: BTreeMap<String, String>,
    schedules: Vec<String>,
    user: Option<String>,
    shell: String,
    script: String,
    stdin: Option<String>,
}

fn entry<'j>(verdict: &mut Verdict<'j>, kind: Kind, target: &Target) -> Option<Entry<'j>> {
    let job = verdict.job;
    verdict.check_common();
    check_rules(verdict);
    let (schedules, zone) = schedules(verdict, target);
    let ActionSpec::Run(process) = &job.action else {
        verdict.refuse("it runs no command of this machine", "write a run:, or keep the job here");
        return None;
    };
    let (shell, script) = script(verdict, process)?;
    let mut settings = process.env.clone();
    if settings.insert("SHELL".to_owned(), shell.clone()).is_some_and(|given| given != shell) {
        verdict.warn("its variable SHELL becomes the shell it runs in", "cron has one word for both");
    }
    settings.entry("PATH".to_owned()).or_insert_with(|| target.path.clone());
    if !target.cron_tz {
        if settings.remove("CRON_TZ").is_some() {
            verdict.warn("its variable CRON_TZ is not written", "if it is for cronie, say --cron-tz");
        }
    } else if zone != target.time_zone {
        settings.insert("CRON_TZ".to_owned(), zone.clone());
        settings.entry("TZ".to_owned()).or_insert(zone);
    } else if settings.get("CRON_TZ").is_some_and(|given| *given != zone) {
        settings.insert("CRON_TZ".to_owned(), zone);
    }
    for (name, value) in &settings {
        if setting(name, value).is_none() {
            verdict.refuse(
                format!("the variable {name} cannot be written"),
                "it has a line end, or both kinds of quotes",
            );
        }
    }
    let script = in_directory(verdict, process, &shell, script);
    let user = match (kind, &process.run_as) {
        (Kind::User, None) => None,
        (Kind::User, Some(user)) => {
            verdict.refuse(format!("it runs as {user}"), "write a system crontab: --kind system");
            None
        }
        (Kind::System, Some(user)) if user.contains(':') => {
            verdict.refuse("it runs as a group of its own", "cron takes a user alone");
            None
        }
        (Kind::System, user) => {
            if user.is_none() {
                verdict.refuse(
                    "it names no user",
                    "write runAs: for it; a system crontab has a user in each line",
                );
            }
            user.clone()
        }
    };
    check_text(verdict, &script, process.stdin.as_deref());
    Some(Entry { job, settings, schedules, user, shell, script, stdin: process.stdin.clone() })
}

/// What cron does not do for a job, or does always.
fn check_rules(verdict: &mut Verdict) {
    let job = verdict.job;
    if job.retry_policy.max_retries > 0 {
        verdict.refuse("it is tried again when it fails", "loop in the command, or keep the job here");
    }
    if job.timeout.is_some() {
        verdict.refuse("it has a timeout", "run it by timeout(1) instead");
    }
    check_judged(verdict);
    match job.overlap {
        Overlap::Allow => {}
        Overlap::Skip => {
            verdict.warn("cron starts it though an earlier run goes on", "run it by `flock -n FILE`")
        }
        _ => verdict
            .refuse("it waits for, or ends, an earlier run", "cron starts it each time; keep the job here"),
    }
    match job.catch_up.policy {
        CatchUpPolicy::None => {}
        CatchUpPolicy::Latest => {
            verdict.warn("cron loses the times at which it is down", "anacron makes up for days")
        }
        CatchUpPolicy::All => {
            verdict.refuse("missed times are made up for", "cron loses them; keep the job here")
        }
    }
    let mails = matches!(&job.action, ActionSpec::Run(process) if process.env.contains_key("MAILTO"));
    if job.on_failure.is_some() && !mails {
        verdict.warn("nobody is told when it fails", "cron mails what it prints to MAILTO");
    }
}

/// What nobody else does with the work of an attempt.
pub(super) fn check_judged(verdict: &mut Verdict) {
    let job = verdict.job;
    if !job.success_when.is_empty() || job.verify.is_some() {
        verdict.refuse(
            "its exit code alone does not say whether it succeeded",
            "check its work in the command itself",
        );
    }
    if job.checkpoint {
        verdict.refuse("its attempts share a directory", "give it one of its own in the command");
    }
    if job.pause_after_failures.is_some() {
        verdict.warn("it goes on however often it fails", "suspend it by hand");
    }
}

/// The time fields of each trigger, and the zone of all.
fn schedules(verdict: &mut Verdict, target: &Target) -> (Vec<String>, String) {
    let mut schedules = Vec::new();
    let mut zones: Vec<&str> = Vec::new();
    for trigger in &verdict.job.triggers {
        match &trigger.rule {
            RuleSpec::Boot => schedules.push("@reboot".to_owned()),
            RuleSpec::Cron { expression, time_zone, dst, dialect } => {
                match time_fields(expression, *dialect) {
                    Ok(fields) => schedules.push(fields),
                    Err((reason, hint)) => verdict.refuse(reason, hint),
                }
                if *dst != DstPolicy::Debian {
                    verdict.refuse("it has a rule of its own for clock changes", "cron's is `dst: debian`");
                }
                zones.push(time_zone);
            }
            RuleSpec::Every { .. } => {
                verdict.refuse("it runs at an interval", "write a cron rule, such as */5 * * * *")
            }
            RuleSpec::At(_) => verdict.refuse("it runs once", "use at(1)"),
            RuleSpec::After { .. } => {
                verdict.refuse("it runs after another job", "start both in one command with &&")
            }
        }
    }
    if verdict.job.triggers.is_empty() {
        verdict.refuse("it has no schedule", "cron starts nothing by hand");
    }
    zones.sort_unstable();
    zones.dedup();
    if zones.len() > 1 {
        verdict.refuse("its triggers are in several zones", "make a job of each");
    }
    let zone = zones.first().map_or_else(|| target.time_zone.clone(), |zone| (*zone).to_owned());
    if zone != target.time_zone && !target.cron_tz {
        verdict.refuse(
            format!("it goes by {zone}, cron by {}", target.time_zone),
            "if it is for cronie, which knows CRON_TZ, say --cron-tz; if the machine is in another zone, --time-zone",
        );
    }
    (schedules, zone)
}

type Refusal = (String, String);

/// A rule in the words of a crontab.
fn time_fields(expression: &str, dialect: Dialect) -> Result<String, Refusal> {
    let refuse = |reason: &str, hint: &str| Err((format!("{expression:?} {reason}"), hint.to_owned()));
    if dialect != Dialect::Standard {
        return refuse("is written for Quartz", "write it as a standard rule");
    }
    if expression.starts_with('@') {
        return Ok(expression.to_owned());
    }
    let mut fields: Vec<String> = expression.split_whitespace().map(str::to_owned).collect();
    if fields.len() == 7 && fields.pop().is_some_and(|year| year != "*") {
        return refuse("names years", "a crontab has no field for them");
    }
    if fields.len() == 6 && fields.remove(0) != "0" {
        return refuse("names seconds", "a crontab has no field for them");
    }
    let [_, _, of_month, _, of_week] = fields.as_mut_slice() else {
        return refuse("does not have five fields", "write five");
    };
    for field in [&mut *of_month, &mut *of_week] {
        if field == "?" {
            "*".clone_into(field);
        }
    }
    let both = of_week.starts_with('+');
    if both {
        of_week.remove(0);
    }
    let restrict = of_month != "*" && of_week != "*";
    // To cron a day field that begins with `*` is a star, and the other one must match as well.
    let star = of_month.starts_with('*') || of_week.starts_with('*');
    if restrict && both && !star {
        return refuse(
            "wants both day fields to match",
            "test one of them in the command: [ $(date +%u) = 1 ] && …",
        );
    }
    if restrict && star && !both {
        for (field, all) in [(of_month, "1-31"), (of_week, "0-6")] {
            if let Some(step) = field.strip_prefix('*') {
                *field = format!("{all}{step}");
            }
        }
    }
    let fields = fields.join(" ");
    match cron::parse(&fields, Dialect::Crontab) {
        Ok(_) => Ok(fields),
        Err(error) => {
            let hint =
                error.hint.unwrap_or_else(|| "write it with numbers, ranges and steps of ranges".to_owned());
            Err((format!("{expression:?} is not for a crontab: {}", error.message), hint))
        }
    }
}

/// The shell, and the script it gets.
fn script(verdict: &mut Verdict, process: &ProcessSpec) -> Option<(String, String)> {
    match &process.command {
        CommandSpec::Shell { shell, script } => match shell.as_slice() {
            [shell, option] if option == "-c" => Some((shell.clone(), script.clone())),
            other => {
                Some(("/bin/sh".to_owned(), shell::line(&[other, std::slice::from_ref(script)].concat())))
            }
        },
        CommandSpec::Argv(argv) => {
            let plain: Result<Vec<String>, _> =
                argv.iter().map(|word| template::render(word, &|_| None)).collect();
            let Ok(words) = plain else {
                verdict
                    .refuse("its arguments have templates", "use what `date` prints, or keep the job here");
                return None;
            };
            if let [shell, option, script] = words.as_slice()
                && option == "-c"
                && shell::is_posix(shell)
            {
                return Some((shell.clone(), script.clone()));
            }
            // Cron's shell would only wait; without it the job has one process less.
            Some(("/bin/sh".to_owned(), format!("exec {}", shell::line(&words))))
        }
    }
}

/// Cron starts in HOME; any other directory is gone to by the script.
fn in_directory(verdict: &mut Verdict, process: &ProcessSpec, shell: &str, script: String) -> String {
    let home = process.env.get("HOME");
    let Some(directory) = process.working_directory.as_ref().filter(|directory| Some(*directory) != home)
    else {
        return script;
    };
    if !shell::is_posix(shell) {
        verdict.refuse(
            "it has a working directory",
            format!("go to it in the script; {shell} is no POSIX shell"),
        );
    }
    format!("cd {} || exit; {script}", shell::quote(directory))
}

fn check_text(verdict: &mut Verdict, script: &str, stdin: Option<&str>) {
    if script.contains(['\n', '\0', '\r']) {
        verdict.refuse("its command has more than one line", "put it into a file and run that");
    }
    if script.trim_start().starts_with(['*', '=']) {
        verdict
            .refuse("its command begins with * or =", "cron takes that for a sixth field, or for a setting");
    }
    if stdin.is_some() && script.ends_with('\\') {
        verdict.refuse("its command ends with a backslash", "cron would take the % after it for a plain one");
    }
    if let Some(stdin) = stdin {
        if stdin.contains("\\\n") || stdin.ends_with('\\') {
            verdict.refuse("a line of its input ends with a backslash", "put the input into a file");
        }
        if stdin.contains(['\0', '\r']) {
            verdict
                .refuse("its input has characters that a crontab cannot hold", "put the input into a file");
        }
        if !(stdin.is_empty() || stdin.ends_with('\n')) {
            verdict.warn("its input gets an end of line", "cron ends the last line");
        }
    }
}

/// A setting that cron reads back as this value.
fn setting(name: &str, value: &str) -> Option<String> {
    if value.contains(['\n', '\0', '\r']) {
        return None;
    }
    let quoted = value.starts_with(['"', '\'']);
    let blank =
        value.is_empty() || value.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0B') != value;
    if !(quoted || blank) {
        return Some(format!("{name}={value}"));
    }
    let quote = ['"', '\''].into_iter().find(|quote| !value.contains(*quote))?;
    Some(format!("{name}={quote}{value}{quote}"))
}

impl Entry<'_> {
    /// Writes the settings that are not `in_force` yet, and the entry. `zone` is cron's own.
    fn write(
        &self,
        zone: &str,
        in_force: &mut BTreeMap<String, String>,
        text: &mut String,
        said: &mut Vec<Diagnostic>,
    ) {
        let stale: Vec<String> =
            in_force.keys().filter(|name| !self.settings.contains_key(*name)).cloned().collect();
        let mut script = self.script.clone();
        let (reset, unset): (Vec<String>, Vec<String>) =
            stale.into_iter().partition(|name| matches!(name.as_str(), "TZ" | "CRON_TZ"));
        if !unset.is_empty() {
            if !shell::is_posix(&self.shell) {
                let error = Diagnostic::error(
                    NOT_IN_CRONTAB,
                    format!("job {}: it must not have {}", self.job.name, unset.join(", ")),
                );
                return said.push(
                    error.hint(
                        "an earlier job sets them, and a crontab cannot take them back; export it alone",
                    ),
                );
            }
            script = format!("unset {}; {script}", unset.join(" "));
        }
        let command = percent(&script, self.stdin.as_deref());
        if command.chars().count() > COMMAND_CHARS_MAX {
            let error = Diagnostic::error(
                NOT_IN_CRONTAB,
                format!("job {}: its command is longer than {COMMAND_CHARS_MAX} characters", self.job.name),
            );
            return said.push(error.hint("put it into a file and run that"));
        }
        text.push('\n');
        for name in reset {
            let _ = writeln!(text, "{name}={zone}");
            in_force.remove(&name);
        }
        for (name, value) in &self.settings {
            if in_force.get(name) != Some(value)
                && let Some(line) = setting(name, value)
            {
                let _ = writeln!(text, "{line}");
                in_force.insert(name.clone(), value.clone());
            }
        }
        let about = self.job.description.as_deref().map_or_else(String::new, |about| format!(": {about}"));
        let about: String = about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "# {}{about}", self.job.name);
        let rests = if self.job.paused { "# paused: " } else { "" };
        if self.job.paused {
            let warning = Diagnostic::warning(
                LESS_EXACT,
                format!("job {}: it is paused and written as a comment", self.job.name),
            );
            said.push(warning.hint("take `# paused: ` away to let cron start it"));
        }
        let user = self.user.as_deref().map_or_else(String::new, |user| format!("{user} "));
        for schedule in &self.schedules {
            let _ = writeln!(text, "{rests}{schedule} {user}{command}");
        }
    }
}

/// Command and input as one line, read back by cron as they are.
fn percent(script: &str, stdin: Option<&str>) -> String {
    let escaped = |text: &str| text.replace('%', "\\%");
    let mut line = escaped(script.trim_start_matches([' ', '\t']));
    if let Some(stdin) = stdin {
        line.push('%');
        let ended = stdin.strip_suffix('\n').unwrap_or(stdin);
        line.push_str(&escaped(ended).replace('\n', "%"));
        if ended.ends_with('\n') || ended.is_empty() && !stdin.is_empty() {
            line.push('%');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Start;
    use crate::import::crontab as reader;
    use crate::import::crontab_jobs::jobs;
    use crate::import::loading::load;
    use crate::import::machine::Machine;
    use crate::import::text::Encoding;

    const PATH: &str = "/usr/bin:/bin";

    fn target() -> Target {
        Target { kind: None, time_zone: "UTC".to_owned(), cron_tz: true, path: PATH.to_owned() }
    }

    fn imported(kind: Kind, text: &str) -> Vec<JobSpec> {
        let zones = |name: &str| Ok(name.to_owned());
        let crontab = reader::read("f", text.as_bytes(), kind, Encoding::Utf8, None, &zones);
        assert!(crontab.errors.is_empty(), "{:?}\n{text}", crontab.errors);
        let machine = Machine {
            time_zone: Some("UTC".to_owned()),
            sendmail: None,
            users: Vec::new(),
            homeless: Vec::new(),
        };
        load(&jobs(vec![("f".to_owned(), crontab)], &machine, Start::Active).yaml).jobs
    }

    fn defined(yaml: &str) -> (String, Vec<Diagnostic>) {
        let rules = "overlap: allow, catchUp: none, onLost: fail";
        let jobs = load(&format!("defaults: {{{rules}}}\njobs:\n  - {{name: j, {yaml}}}\n")).jobs;
        crontab(&jobs, &target())
    }

    /// What a crontab starts: everything of the jobs but their names.
    fn starts(jobs: &[JobSpec]) -> Vec<(Vec<RuleSpec>, ActionSpec)> {
        let key = |job: &JobSpec| {
            let mut action = job.action.clone();
            if let ActionSpec::Run(process) = &mut action {
                // CRON_TZ stays in force as cron's own zone once it was set.
                process
                    .env
                    .retain(|name, value| !(matches!(name.as_str(), "CRON_TZ" | "TZ") && value == "UTC"));
            }
            (job.triggers.iter().map(|trigger| trigger.rule.clone()).collect(), action)
        };
        jobs.iter().map(key).collect()
    }

    #[test]
    fn a_crontab_comes_back_as_it_went_in() {
        let text = "SHELL=/bin/bash\nMAILTO=\"\"\n\
                    17 * * * * root cd / && run-parts --report /etc/cron.hourly\n\
                    0 0 */2 * mon www-data date +\\%F\nA=' x '\n@reboot root start\n\
                    CRON_TZ=Europe/Berlin\n30 2 * * * root cat%one%%two \\% %\nCRON_TZ=UTC\n5 4 1 * sun root x\n@daily root y%\n";
        let jobs = imported(Kind::System, text);
        let (written, said) = crontab(&jobs, &target());
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(starts(&imported(Kind::System, &written)), starts(&jobs), "{written}");
    }

    #[test]
    fn rules_are_said_in_cron_s_words_or_refused() {
        let cases = [
            ("0 0 */2 * +mon", Ok("0 0 */2 * mon")),
            ("0 0 */2 * mon", Ok("0 0 1-31/2 * mon")),
            ("0 0 1 * */2", Ok("0 0 1 * 0-6/2")),
            ("0 30 2 * * *", Ok("30 2 * * *")),
            ("0 30 2 * * ? *", Ok("30 2 * * *")),
            ("0 0 ? * 5-7", Ok("0 0 * * 5-7")),
            ("@weekly", Ok("@weekly")),
            ("30 30 2 * * *", Err("seconds")),
            ("0 30 2 * * * 2030", Err("years")),
            ("0 0 13 * +fri", Err("both day fields")),
            ("0 0 L * *", Err("not for a crontab")),
            ("5/15 * * * *", Err("not for a crontab")),
            ("H * * * *", Err("not for a crontab")),
        ];
        for (rule, expected) in cases {
            match (time_fields(rule, Dialect::Standard), expected) {
                (Ok(fields), Ok(expected)) => assert_eq!(fields, expected, "{rule}"),
                (Err((reason, _)), Err(part)) => assert!(reason.contains(part), "{rule}: {reason}"),
                (got, _) => panic!("{rule}: {got:?}"),
            }
        }
    }

    #[test]
    fn what_cron_cannot_say_is_refused_with_every_reason() {
        let cases: [(&str, usize); 12] = [
            ("schedule: {every: 5m}, run: x", 1),
            ("schedule: \"@daily\", run: x, retries: 3", 1),
            ("schedule: \"@daily\", run: x, timeout: 5m, overlap: queue-all, catchUp: all", 3),
            ("schedule: \"@daily\"", 1),
            ("schedule: \"@daily\", container: {image: x}", 1),
            ("schedule: {cron: \"@daily\", dst: skip}, run: x", 1),
            ("schedule: {cron: \"@daily\", maxRuns: 3}, run: x", 1),
            ("schedule: \"@daily\", run: \"a\\nb\"", 1),
            ("schedule: \"@daily\", run: [x, \"{{ job }}\"]", 1),
            ("schedule: \"@daily\", run: x, env: {A: \"a\\nb\"}", 1),
            ("run: x", 1),
            ("schedule: [{cron: \"@daily\"}, {cron: \"@daily\", timeZone: Asia/Tokyo}], run: x", 1),
        ];
        for (yaml, reasons) in cases {
            let (text, said) = defined(yaml);
            assert_eq!(said.len(), reasons, "{yaml}: {said:?}");
            assert!(said.iter().all(|d| d.code == NOT_IN_CRONTAB && d.hint.is_some()), "{yaml}");
            assert_eq!(text.lines().filter(|line| line.contains("@daily")).count(), 0, "{yaml}");
        }
        let debian = Target { cron_tz: false, ..target() };
        let jobs = load("jobs: [{name: j, schedule: {cron: \"@daily\", timeZone: Asia/Tokyo}, run: x}]").jobs;
        assert!(crontab(&jobs, &debian).1.iter().any(|d| d.message.contains("Asia/Tokyo")));
    }

    #[test]
    fn without_cron_tz_none_is_written() {
        let debian = Target { cron_tz: false, ..target() };
        let rules = "overlap: allow, catchUp: none";
        for schedule in ["@reboot", "@daily"] {
            let job = format!(
                "{{name: j, {rules}, schedule: \"{schedule}\", run: x, env: {{CRON_TZ: Asia/Tokyo}}}}"
            );
            let (text, said) = crontab(&load(&format!("job: {job}")).jobs, &debian);
            assert!(!text.contains("CRON_TZ") && text.contains(schedule), "{text}");
            assert_eq!(said.iter().map(|d| d.code).collect::<Vec<_>>(), [LESS_EXACT], "{said:?}");
        }
    }

    #[test]
    fn defaults_of_hand_written_jobs_are_remarked_on() {
        let (text, said) =
            crontab(&load("job: {name: j, schedule: \"@daily\", run: [echo, a b]}").jobs, &target());
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|d| d.code == LESS_EXACT));
        assert!(text.ends_with("# j\n@daily exec echo 'a b'\n"), "{text}");
    }

    #[test]
    fn a_paused_job_is_a_comment_and_a_directory_is_gone_to() {
        let (text, said) =
            defined("schedule: \"@daily\", run: a; b, paused: true, workingDirectory: /my dir");
        assert!(text.ends_with("# paused: @daily cd '/my dir' || exit; a; b\n"), "{text}");
        assert_eq!(said.len(), 1);
    }

    #[test]
    fn a_setting_of_an_earlier_job_does_not_reach_a_later_one() {
        let yaml = "defaults: {overlap: allow, catchUp: none}\njobs:\n  \
                    - {name: a, schedule: \"@daily\", run: a, env: {A: 1, HOME: /x, PATH: /y}}\n  \
                    - {name: b, schedule: \"@daily\", run: b, env: {B: 2}}\n  \
                    - {name: c, schedule: \"@daily\", run: c, timeZone: Asia/Tokyo}\n  \
                    - {name: d, schedule: \"@daily\", run: d}\n";
        let (text, said) = crontab(&load(yaml).jobs, &target());
        assert!(said.is_empty(), "{said:?}");
        let zones = |name: &str| Ok(name.to_owned());
        let read = reader::read("f", text.as_bytes(), Kind::User, Encoding::Utf8, None, &zones);
        let command = |name: &str| {
            let entry = read.entries.iter().find(|entry| entry.command.ends_with(name)).expect(name);
            let env: Vec<String> = entry.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
            (entry.command.clone(), entry.zone.clone(), env.join(" "))
        };
        assert_eq!(command("b"), ("b".into(), None, "B=2 PATH=/usr/bin:/bin SHELL=/bin/sh".into()));
        let (c, zone, env) = command("c");
        assert_eq!((c.as_str(), zone.as_deref()), ("unset B; c", Some("Asia/Tokyo")));
        assert!(env.contains("TZ=Asia/Tokyo"));
        let (d, zone, env) = command("d");
        assert_eq!((d.as_str(), zone.as_deref()), ("unset B; d", Some("UTC")));
        assert!(env.contains("TZ=UTC") && !env.contains("HOME"));
        let (a, _, env) = command("a");
        assert_eq!(a, "unset B; a");
        assert!(env.contains("HOME=/x") && env.contains("PATH=/y"));
    }

    proptest::proptest! {
        #[test]
        fn commands_inputs_and_variables_survive(
            script in "[!-)+-~][ -~]{0,30}",
            value in "[ -~]{0,12}",
            stdin in proptest::option::of("([ -\\[\\]-~\\n]{0,20}\\n)?"),
        ) {
            let mut jobs = load("defaults: {overlap: allow, catchUp: none}\njob: {name: j, schedule: \"@daily\", run: x}").jobs;
            let ActionSpec::Run(process) = &mut jobs[0].action else { panic!("it runs") };
            process.command = CommandSpec::Shell { shell: vec!["/bin/sh".into(), "-c".into()], script: script.clone() };
            process.env.insert("A".to_owned(), value.clone());
            process.stdin = stdin.clone();
            let (text, said) = crontab(&jobs, &target());
            proptest::prop_assume!(said.is_empty());
            let zones = |name: &str| Ok(name.to_owned());
            let read = reader::read("f", text.as_bytes(), Kind::User, Encoding::Utf8, None, &zones);
            let [entry] = read.entries.as_slice() else { panic!("{text}") };
            proptest::prop_assert_eq!(&entry.command, &script);
            proptest::prop_assert_eq!(&entry.stdin, &stdin);
            proptest::prop_assert!(entry.env.contains(&("A".to_owned(), value)), "{}", text);
        }
    }
}
