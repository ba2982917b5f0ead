//! From the mapping of a job to its [`JobSpec`].

use super::bounds;
use super::definition::{
    ActionSpec, CatchUpSpec, CommandSpec, FailureSpec, JobSpec, ProcessSpec, ResourcesSpec, RetrySpec,
};
use super::document::Shared;
use super::origin::{Origins, ValueOrigin};
use super::reader::{EXCLUSIVE, Fields, Reader, UNDECLARED, clip};
use super::table::{CATCH_UP, EXECUTORS, HOOK, JOB, NOTIFY, RESOURCES, RETRY, failure_words, queues};
use super::text::Place;
use super::trigger::{self, Zoning};
use super::yaml::{Entry, Node};
use super::{expand, outcome, output, template};
use crate::error::{Code, Diagnostic};
use std::collections::{BTreeMap, BTreeSet};

const TEMPLATE: Code = Code("DEF016");
const IMPOSSIBLE: Code = Code("DEF018");
const NO_ACTION: Code = Code("DEF101");
const NO_EXECUTOR: Code = Code("DEF102");
/// The job's action is a function of another program.
const EMBEDDED: Code = Code("DEF150");
const EXPANDED_IN_SCRIPT: Code = Code("DEF105");

/// A job that was read, with where its parts stand.
pub(crate) struct Read {
    pub(crate) spec: JobSpec,
    pub(crate) place: Place,
    pub(crate) origins: Origins,
    /// Jobs it waits for, with the places that name them.
    pub(crate) upstreams: Vec<(String, Place)>,
    /// Keys that are checked but not enforced by this release.
    pub(crate) unenforced: Vec<(&'static str, Place)>,
}

/// The keys of one job, each given by the job itself or else by its file's defaults.
pub(super) struct Layers<'n> {
    job: Fields<'n>,
    defaults: Option<&'n Fields<'n>>,
}

impl<'n> Layers<'n> {
    /// The entry in force for `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.job.get(key).or_else(|| self.shared(key))
    }

    /// The entry of the job itself.
    pub(super) fn own(&self, key: &str) -> Option<&'n Entry> {
        self.job.get(key)
    }

    /// The entry of the defaults.
    fn shared(&self, key: &str) -> Option<&'n Entry> {
        let shared = JOB.find(key).is_some_and(|key| key.shared);
        self.defaults.filter(|_| shared).and_then(|defaults| defaults.get(key))
    }
}

/// Reads a job. `None`: it has no name, or so much is wrong that nothing can be said of it as a whole; the reader has
/// why. The rest of a job without a name is read all the same, for its faults.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    defaults: Option<&Fields<'_>>,
    shared: &Shared,
) -> Option<Read> {
    let job = reader.fields(node, &JOB)?;
    let layers = Layers { job, defaults };
    let name_entry = layers.job.get("name");
    if name_entry.is_none() {
        reader.missing(node.place, "the job", "name", "give it a name: `name: data-sync`");
    }
    let name = reader.name(name_entry);
    let place = name_entry.map_or(node.place, |entry| entry.node.place);
    let mut spec = JobSpec::named(name.clone().unwrap_or_default());

    let job = &layers.job;
    spec.description = reader.text(job.get("description"));
    spec.renamed_from = reader.name(job.get("renamedFrom"));
    spec.paused = reader.boolean(layers.get("paused")).unwrap_or(false);
    spec.labels = joined(reader, &layers, "labels").into_iter().map(|(k, (_, v))| (k, v)).collect();
    let zoning = Zoning {
        time_zone: trigger::zone(reader, layers.get("timeZone")).unwrap_or_else(|| "UTC".to_owned()),
        dst: reader.choice(layers.get("dst")).unwrap_or_default(),
    };
    spec.time_zone.clone_from(&zoning.time_zone);
    let upstreams = trigger::read_all(reader, job, &zoning, shared, &mut spec);
    spec.action = read_action(reader, &layers, place, &mut spec.paused);
    read_rules(reader, &layers, &mut spec);
    read_amounts(reader, &layers, shared, &mut spec);
    output::check(reader, layers.job.get("output"), &spec);
    spec.on_failure = read_hook(reader, &layers);
    spec.verify = outcome::read_verify(reader, &layers);
    let none = matches!(spec.action, ActionSpec::None) && layers.job.given(&EXECUTORS).is_empty();
    if none || matches!(spec.action, ActionSpec::Handler(_)) {
        outcome::check_judged(reader, &layers);
    }
    let origins = origins(reader, &layers, place);
    let unenforced = ["resources"];
    let unenforced = unenforced.into_iter().filter_map(|key| Some((key, layers.get(key)?.place))).collect();
    name.map(|_| Read { spec, place, origins, upstreams, unenforced })
}

/// Checks the `defaults` of a file, whether or not a job of it uses them.
pub(crate) fn check_defaults(reader: &mut Reader<'_>, defaults: &Fields<'_>, shared: &Shared) {
    let layers = Layers { job: Fields::none(&JOB, defaults.place), defaults: Some(defaults) };
    let mut spec = JobSpec::named("");
    reader.boolean(layers.get("paused"));
    joined(reader, &layers, "labels");
    trigger::zone(reader, layers.get("timeZone"));
    reader.choice::<super::Dst>(layers.get("dst"));
    read_process(reader, &layers);
    read_shell(reader, &layers);
    read_rules(reader, &layers, &mut spec);
    read_amounts(reader, &layers, shared, &mut spec);
    read_hook(reader, &layers);
}

/// Timeouts, retries and what decides about occurrences and attempts.
fn read_rules(reader: &mut Reader<'_>, layers: &Layers<'_>, spec: &mut JobSpec) {
    spec.timeout = read_timeout(reader, layers.get("timeout"));
    spec.no_progress_timeout = read_timeout(reader, layers.get("noProgressTimeout"));
    if let Some(grace) = reader.duration(layers.get("grace")) {
        spec.grace = grace;
    }
    read_retry(reader, layers, spec);
    spec.on_lost = reader.choice(layers.get("onLost")).unwrap_or_default();
    spec.success_when = outcome::read_success(reader, layers).unwrap_or_default();
    let count = reader.integer(layers.get("pauseAfterFailures"), 1, 1000);
    spec.pause_after_failures = count.map(|count| u32::try_from(count).expect("1 to 1000"));
    spec.checkpoint = reader.boolean(layers.get("checkpoint")).unwrap_or(false);
    spec.overlap = reader.choice(layers.get("overlap")).unwrap_or_default();
    if let Some(catch_up) = read_catch_up(reader, layers.get("catchUp")) {
        spec.catch_up = catch_up;
    }
    spec.start_deadline = reader.positive(layers.get("startDeadline"));
    if let Some(entry) = layers.get("queue")
        && let Some(queue) = reader.text(Some(entry))
    {
        match queues().contains(&queue.as_str()) {
            true => spec.queue = queue,
            false => reader.not_a_word(&entry.node, &queue, &queues()),
        }
    }
    if let Some(priority) = reader.integer(layers.get("priority"), -1000, 1000) {
        spec.priority = i32::try_from(priority).expect("between -1000 and 1000");
    }
}

/// A length, or a whole number of seconds.
fn read_timeout(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<std::time::Duration> {
    let node = &entry?.node;
    if node.json().is_i64() {
        let seconds = reader.integer(entry, 1, 316_224_000)?;
        return Some(std::time::Duration::from_secs(seconds.unsigned_abs()));
    }
    reader.positive(entry)
}

fn read_retry(reader: &mut Reader<'_>, layers: &Layers<'_>, spec: &mut JobSpec) {
    if let (Some(policy), Some(retries)) = (layers.job.get("retryPolicy"), layers.job.get("retries"))
        && policy.node.get("maxRetries").is_some()
    {
        reader.report(
            retries.place,
            Diagnostic::error(EXCLUSIVE, "`retries` and `retryPolicy.maxRetries` say the same")
                .hint("keep `retryPolicy`"),
        );
    }
    // What the job says beats what its file says, whichever of the two keys it uses.
    let own = layers.job.given(&["retryPolicy", "retries"]);
    let (policy, retries) = match own.is_empty() {
        false => (layers.job.get("retryPolicy"), layers.job.get("retries")),
        true => (layers.shared("retryPolicy"), layers.shared("retries")),
    };
    if let Some(entry) = policy
        && let Some(fields) = reader.fields(&entry.node, &RETRY)
    {
        spec.retry_policy = RetrySpec { max_retries: 3, ..RetrySpec::NONE };
        if let Some(retries) = reader.integer(fields.get("maxRetries"), 0, 10) {
            spec.retry_policy.max_retries = u32::try_from(retries).expect("0 to 10");
        }
        if let Some(backoff) = reader.duration(fields.get("backoff")) {
            spec.retry_policy.backoff = backoff;
        }
        match reader.duration(fields.get("maxBackoff")) {
            Some(most) => spec.retry_policy.max_backoff = most,
            None => {
                let policy = &mut spec.retry_policy;
                policy.max_backoff = policy.max_backoff.max(policy.backoff);
            }
        }
        spec.retry_policy.retry_on = fields.get("retryOn").map(|entry| read_failures(reader, entry));
        spec.retry_policy.never_on =
            fields.get("neverOn").map_or_else(BTreeSet::new, |e| read_failures(reader, e));
        if spec.retry_policy.max_backoff < spec.retry_policy.backoff
            && let Some(entry) = fields.get("maxBackoff")
        {
            let hint = "write at least as much as `backoff`";
            reader.not_allowed(entry.node.place, "`maxBackoff` is less than `backoff`".to_owned(), hint);
        }
    }
    if let Some(retries) = reader.integer(retries, 0, 10) {
        spec.retry_policy.max_retries = u32::try_from(retries).expect("0 to 10");
    }
}

/// A list of kinds of failure and exit codes.
fn read_failures(reader: &mut Reader<'_>, entry: &Entry) -> BTreeSet<FailureSpec> {
    let mut failures = BTreeSet::new();
    for node in entry.node.list().unwrap_or(std::slice::from_ref(&entry.node)) {
        let known = failure_words();
        let Some((text, _)) = reader.scalar(node, "a kind of failure or an exit code") else { continue };
        let code = text.parse().ok().filter(|code: &u8| *code > 0).map(FailureSpec::Code);
        match code.or_else(|| failure(&text)) {
            Some(failure) => _ = failures.insert(failure),
            None if text.parse::<i64>().is_ok() => {
                reader.not_allowed(
                    node.place,
                    format!("{text} is no exit code of a failure"),
                    "write 1 to 255",
                );
            }
            None => reader.not_a_word(node, &text, &known),
        }
    }
    failures
}

fn failure(word: &str) -> Option<FailureSpec> {
    match word {
        "exit" => Some(FailureSpec::Exit),
        "signal" => Some(FailureSpec::Signal),
        "timeout" => Some(FailureSpec::Timeout),
        "noProgress" => Some(FailureSpec::NoProgress),
        "oom" => Some(FailureSpec::Oom),
        "spawn" => Some(FailureSpec::Spawn),
        "verify" => Some(FailureSpec::Verify),
        _ => None,
    }
}

fn read_catch_up(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<CatchUpSpec> {
    let entry = entry?;
    let mut catch_up = CatchUpSpec::default();
    if entry.node.map().is_none() {
        catch_up.policy = reader.choice(Some(entry))?;
        return Some(catch_up);
    }
    let fields = reader.fields(&entry.node, &CATCH_UP)?;
    if let Some(policy) = reader.choice(fields.get("policy")) {
        catch_up.policy = policy;
    }
    if let Some(window) = reader.duration(fields.get("window")) {
        catch_up.window = window;
    }
    if let Some(count) = reader.integer(fields.get("maxCount"), 1, 100_000) {
        catch_up.max_count = u32::try_from(count).expect("at most 100,000");
    }
    if let Some(spread) = reader.duration(fields.get("spread")) {
        catch_up.spread = spread;
    }
    Some(catch_up)
}

/// Resources, limits, and how much output is kept.
fn read_amounts(reader: &mut Reader<'_>, layers: &Layers<'_>, shared: &Shared, spec: &mut JobSpec) {
    if let Some(entry) = layers.get("resources")
        && let Some(fields) = reader.fields(&entry.node, &RESOURCES)
    {
        spec.resources.cpu_millis = reader.cpu(fields.get("cpu"));
        spec.resources.memory_bytes = reader.bytes(fields.get("memory"));
        for other in &fields.others {
            read_permits(reader, other, shared, &mut spec.resources);
        }
    }
    if let Some(entry) = layers.get("limits")
        && let Some(limits) = bounds::read_limits(reader, entry)
    {
        spec.limits = limits;
    }
    output::read(reader, layers.get("output"), spec);
}

fn read_permits(reader: &mut Reader<'_>, entry: &Entry, shared: &Shared, resources: &mut ResourcesSpec) {
    let Some(permits) = shared.semaphores.get(&entry.key).map(|semaphore| semaphore.permits) else {
        let names = shared.semaphores.keys().map(String::as_str).chain(["cpu", "memory"]);
        let hint = match super::suggest::nearest(&entry.key, names) {
            Some(near) => format!("write `{near}`"),
            None => format!("declare it: `semaphores: {{{}: {{permits: 10}}}}`", clip(&entry.key)),
        };
        let message = format!("the resource {:?} is not declared", clip(&entry.key));
        reader.report(entry.place, Diagnostic::error(UNDECLARED, message).hint(hint));
        return;
    };
    let Some(wanted) = reader.integer(Some(entry), 1, 1_000_000) else { return };
    let wanted = u32::try_from(wanted).expect("at most a million");
    if wanted > permits {
        let message = format!("{wanted} permits of {:?} are never free: it has {permits}", entry.key);
        let hint = format!("ask for at most {permits}, or declare more permits");
        reader.report(entry.node.place, Diagnostic::error(IMPOSSIBLE, message).hint(hint));
    }
    resources.permits.insert(entry.key.clone(), wanted);
}

/// What is done. A job without action, or with one this build cannot carry out, gets a warning.
fn read_action(reader: &mut Reader<'_>, layers: &Layers<'_>, place: Place, paused: &mut bool) -> ActionSpec {
    let given = layers.job.given(&EXECUTORS);
    for second in given.iter().skip(1) {
        let message =
            format!("a job does one thing: `{}` and `{}` exclude each other", given[0].key, second.key);
        reader.report(second.place, Diagnostic::error(EXCLUSIVE, message).hint("make two jobs of them"));
    }
    let process = read_process(reader, layers);
    // Also where no script uses it.
    read_shell(reader, layers);
    let Some(entry) = given.first() else {
        reader.report(
            place,
            Diagnostic::warning(
                NO_ACTION,
                "the job does nothing: its runs succeed at once and leave a history",
            )
            .hint("add `run: [program, argument]`, or a script `run: \"…\"`"),
        );
        return ActionSpec::None;
    };
    let executor = JOB.find(&entry.key).map_or("run", |key| key.name);
    let url =
        entry.node.text().is_some_and(|text| text.starts_with("http://") || text.starts_with("https://"));
    let executor = if executor == "run" && entry.key != "run" && url { "http" } else { executor };
    if executor == "run" {
        return match read_command(reader, entry, layers) {
            Some(command) => ActionSpec::Run(ProcessSpec { command, ..process }),
            None => ActionSpec::None,
        };
    }
    if executor == "handler" {
        let Some(name) = reader.name(Some(entry)) else { return ActionSpec::None };
        let message = format!("only a program that embeds Punctual can carry out the handler {name:?}");
        let hint = "in `punctual serve` every attempt of it fails; use `run` there";
        reader.report(entry.place, Diagnostic::warning(EMBEDDED, message).hint(hint));
        return ActionSpec::Handler(name);
    }
    *paused = true;
    reader.report(
        entry.place,
        Diagnostic::warning(
            NO_EXECUTOR,
            format!("this build cannot carry out `{executor}`: the job is loaded paused"),
        )
        .hint("the definition is kept as it stands"),
    );
    ActionSpec::Other { executor: executor.to_owned(), definition: entry.node.json() }
}

/// Everything of a process but its command.
fn read_process(reader: &mut Reader<'_>, layers: &Layers<'_>) -> ProcessSpec {
    let mut env = BTreeMap::new();
    for (name, (place, value)) in joined(reader, layers, "env") {
        if !expand::is_variable(&name) || name.starts_with("PUNCTUAL_") {
            let message = format!("{:?} cannot be set by a job", clip(&name));
            let hint = match name.starts_with("PUNCTUAL_") {
                true => "names that begin with PUNCTUAL_ are given by Punctual; take another",
                false => "names of variables have letters, digits and `_`, and begin with no digit",
            };
            reader.not_allowed(place, message, hint);
            continue;
        }
        env.insert(name, value);
    }
    let run_as = read_user(reader, layers.get("runAs"));
    ProcessSpec {
        command: CommandSpec::Argv(Vec::new()),
        bounds: bounds::read(reader, |key| layers.get(key), run_as.is_some()),
        run_as,
        env,
        working_directory: reader.text(layers.get("workingDirectory")).filter(|path| !path.is_empty()),
        stdin: reader.raw_text(layers.job.get("stdin")),
    }
}

fn read_user(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<String> {
    let entry = entry?;
    let text = reader.text(Some(entry))?;
    let part = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && !name.contains(|c: char| c.is_whitespace() || c == '/' || c == ':')
    };
    let (user, group) =
        text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
    if part(user) && group.is_none_or(part) {
        return Some(text);
    }
    reader.not_allowed(
        entry.node.place,
        format!("{:?} is no user", clip(&text)),
        "write `user` or `user:group`",
    );
    None
}

/// `run`: a list is a program with arguments, a text a script for the job's shell.
pub(super) fn read_command(
    reader: &mut Reader<'_>,
    entry: &Entry,
    layers: &Layers<'_>,
) -> Option<CommandSpec> {
    if let Some(items) = entry.node.list() {
        return read_argv(reader, entry, items).map(CommandSpec::Argv);
    }
    if entry.node.map().is_some() || entry.node.is_null() {
        reader.wrong_type(&entry.node, "a list (a program and its arguments) or a text (a script)");
        return None;
    }
    let script = reader.raw_text(Some(entry))?;
    if script.trim().is_empty() {
        reader.not_allowed(
            entry.node.place,
            "an empty script".to_owned(),
            "write a command, or remove the key",
        );
        return None;
    }
    if let Some((offset, width, name)) = template::in_script(&script) {
        let place = reader.inside(&entry.node, offset, width);
        let hint = match template::variable(name) {
            Some(variable) => format!("write \"${variable}\", or give program and arguments as a list"),
            None => "write \"$PUNCTUAL_PARAM_X\" for a parameter, or give program and arguments as a list"
                .to_owned(),
        };
        reader.report(
            place,
            Diagnostic::error(TEMPLATE, "a script takes no templates")
                .detail("a value put into a script would be read as shell text")
                .hint(hint),
        );
        return None;
    }
    let shell = read_shell(reader, layers)?;
    Some(CommandSpec::Shell { shell, script })
}

fn read_shell(reader: &mut Reader<'_>, layers: &Layers<'_>) -> Option<Vec<String>> {
    let Some(entry) = layers.get("shell") else { return Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]) };
    match entry.node.list() {
        Some(items) if !items.is_empty() => items.iter().map(|item| argument(reader, item)).collect(),
        _ => {
            reader.wrong_type(&entry.node, "a list such as [bash, -euo, pipefail, -c]");
            None
        }
    }
}

fn read_argv(reader: &mut Reader<'_>, entry: &Entry, items: &[Node]) -> Option<Vec<String>> {
    let mut argv = Vec::new();
    for item in items {
        argv.push(argument(reader, item)?);
    }
    if argv.first().is_none_or(String::is_empty) {
        reader.not_allowed(
            entry.node.place,
            "no program is named".to_owned(),
            "write [program, argument, …]",
        );
        return None;
    }
    let program = argv[0].rsplit('/').next().unwrap_or_default();
    let shell = matches!(program, "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "busybox");
    for (item, text) in items.iter().zip(&argv).skip(1) {
        if shell && item.text() != Some(text) {
            reader.report(
                item.place,
                Diagnostic::warning(
                    EXPANDED_IN_SCRIPT,
                    "`${…}` for a shell was replaced when the file was loaded",
                )
                .hint("write `$${…}` to leave it to the shell, or give the script as a text"),
            );
        }
        let known = |name: &str| template::variable(name);
        if let Err(fault) = template::render(text, &known) {
            let place = reader.inside(item, fault.offset, fault.width);
            reader.report(place, Diagnostic::error(TEMPLATE, fault.message).hint(fault.hint));
        }
    }
    Some(argv)
}

/// One argument: a text, or a number or boolean as it is written.
fn argument(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let entry = Entry { key: String::new(), place: node.place, node: node.clone() };
    reader.text(Some(&entry))
}

fn read_hook(reader: &mut Reader<'_>, layers: &Layers<'_>) -> Option<CommandSpec> {
    let notify = reader.fields(&layers.get("notify")?.node, &NOTIFY)?;
    let hook = notify.get("onFailure")?;
    let fields = reader.fields(&hook.node, &HOOK)?;
    match fields.get("run") {
        Some(run) => read_command(reader, run, layers),
        None => {
            reader.missing(hook.place, "`onFailure`", "run", "write `onFailure: {run: [./page-me.sh]}`");
            None
        }
    }
}

/// `env` and `labels`: the file's, then the job's, which win.
fn joined(reader: &mut Reader<'_>, layers: &Layers<'_>, key: &str) -> BTreeMap<String, (Place, String)> {
    let mut names = reader.names(layers.shared(key));
    names.extend(reader.names(layers.job.get(key)));
    names
}

/// Where the value of each key comes from.
fn origins(reader: &Reader<'_>, layers: &Layers<'_>, place: Place) -> Origins {
    let file = reader.texts.name(place.file).to_owned();
    let values = JOB.keys().filter_map(|key| {
        let origin = match (layers.job.get(key.name), layers.shared(key.name)) {
            (Some(entry), _) => ValueOrigin::Job { line: entry.place.line },
            (None, Some(entry)) => ValueOrigin::Defaults { line: entry.place.line },
            (None, None) => return None,
        };
        Some((key.name.to_owned(), origin))
    });
    Origins { values: values.collect(), file, line: place.line }
}
