//! The one table of keys. The decoder refuses what is not in it; `punctual schema` and the reference are made from it.

use super::choice::words;
use super::keys::{Key, Kind, Shape};
use crate::job::{OnLost, Overlap};
use crate::schedule::Pace;
use crate::trigger::{CatchUpPolicy, UpstreamOn};

/// The executors of the format. This build carries out `run`, and `handler` where a program embeds it.
pub const EXECUTORS: [&str; 7] = ["run", "handler", "http", "container", "kubernetes", "llm", "autoglm"];

/// A document of definitions.
pub static DOCUMENT: Shape = Shape {
    name: "Document",
    about: "One document of definitions. A file may hold several; a directory holds many files",
    only_shared: false,
    others: None,
    keys: &[
        Key::new(
            "defaults",
            &Kind::Object(|| &DEFAULTS),
            "what holds for every job of this file that says nothing else; once a file",
        ),
        Key::new(
            "semaphores",
            &Kind::Names(&Kind::Object(|| &SEMAPHORE)),
            "limits shared by all jobs and nodes, by name; a job takes permits in its `resources`. Known in every file",
        ),
        Key::new(
            "workerPools",
            &Kind::Names(&Kind::Object(|| &WORKER_POOL)),
            "slots with a queue, by name. Known in every file",
        ),
        Key::new(
            "calendars",
            &Kind::Names(&Kind::Object(|| &CALENDAR)),
            "sets of days, by name; a trigger names one in its `calendar`. Known in every file",
        ),
        Key::new("job", &Kind::Object(|| &JOB), "one job"),
        Key::new("jobs", &Kind::List(&Kind::Object(|| &JOB)), "a list of jobs").also(&["tasks"]),
    ],
};

/// A job.
pub static JOB: Shape = Shape {
    name: "Job",
    about: "What to do, when, and under which rules",
    others: None,
    keys: JOB_KEYS,
    only_shared: false,
};

/// `defaults:` of a file: the keys of a job that are marked as shared.
pub static DEFAULTS: Shape = Shape {
    name: "Defaults",
    about: "What holds for every job of the file that says nothing else. `env` and `labels` are joined, all else is replaced as a whole",
    others: None,
    keys: JOB_KEYS,
    only_shared: true,
};

const JOB_KEYS: &[Key] = &[
    Key::new("name", &Kind::Name, "what the job is called; unique in a store").also(&["id"]),
    Key::new("description", &Kind::Text, "what people should know of it"),
    Key::new("labels", &Kind::Names(&Kind::Text), "names and values to select and group jobs by; joined with those of `defaults`").shared(),
    Key::new("renamedFrom", &Kind::Name, "the job's former name: its cursors and history are carried over"),
    Key::new("paused", &Kind::Bool, "whether its triggers rest").or("false").shared(),
    Key::new("schedule", &Kind::Any(&[&Kind::Cron, &Kind::Object(|| &TIME_TRIGGER), &Kind::List(&Kind::Any(&[&Kind::Cron, &Kind::Object(|| &TIME_TRIGGER)]))]), "when it is due: a cron rule, one trigger by time, or a list of them. Short for `triggers`").also(&["trigger"]),
    Key::new("triggers", &Kind::List(&Kind::Object(|| &TRIGGER)), "what makes it due. Two triggers due together make two occurrences"),
    Key::new("timeZone", &Kind::Zone, "the zone of its triggers that name none").or("UTC").shared(),
    Key::new("dst", &Kind::Word(words::<super::Dst>), "what its cron rules do when clocks change").or("debian").shared(),
    Key::new("run", &Kind::Any(&[&Kind::Text, &Kind::List(&Kind::Text)]), "a program and its arguments as a list (no shell; templates allowed), or a script as a text (given to `shell`)").also(&["command", "action"]),
    Key::new("handler", &Kind::Name, "a function of the program that embeds Punctual, by the name it is registered under"),
    Key::new("http", &Kind::Free, "an HTTP request; this build loads the job paused"),
    Key::new("container", &Kind::Free, "a container; this build loads the job paused"),
    Key::new("kubernetes", &Kind::Free, "a Kubernetes Job; this build loads the job paused"),
    Key::new("llm", &Kind::Free, "a call of a language model; this build loads the job paused"),
    Key::new("autoglm", &Kind::Free, "a phone agent's task; this build loads the job paused"),
    Key::new("shell", &Kind::List(&Kind::Text), "the interpreter of a script, which gets it as last argument").or("[/bin/sh, -c]").shared(),
    Key::new("env", &Kind::Names(&Kind::Text), "environment variables beyond those Punctual gives; joined with those of `defaults`").shared(),
    Key::new("runAs", &Kind::Text, "the user, or `user:group`, it runs as; by default whom the daemon runs as").shared(),
    Key::new("workingDirectory", &Kind::Text, "where it starts; by default the user's home").shared(),
    Key::new("stdin", &Kind::Text, "what it reads from its standard input; by default nothing"),
    Key::new("output", &Kind::Any(&[&Kind::Word(words::<super::output::Mode>), &Kind::Object(|| &OUTPUT)]), "how its output is kept; `direct` is short for `{mode: direct}`").shared(),
    Key::new("timeout", &Kind::Seconds, "how long an attempt may take, then its whole process tree gets TERM; a whole number is seconds").shared(),
    Key::new("noProgressTimeout", &Kind::Seconds, "how long an attempt may print nothing, then it is ended as at its `timeout`; a whole number is seconds").shared(),
    Key::new("grace", &Kind::Duration, "from TERM to KILL").or("10s").shared(),
    Key::new("retryPolicy", &Kind::Object(|| &RETRY), "what follows a failed attempt; absent: nothing").shared(),
    Key::new("retries", &Kind::Integer(0, 10), "short for `retryPolicy: {maxRetries: …}`").shared(),
    Key::new("onLost", &Kind::Word(words::<OnLost>), "what follows an attempt that was lost with its node; `hold` and `fail` are at most once").or("retry").shared(),
    Key::new("successWhen", &Kind::Object(|| &SUCCESS), "when an attempt that ended by an exit code has succeeded; absent: its code is 0").shared(),
    Key::new("verify", &Kind::Any(&[&Kind::Text, &Kind::List(&Kind::Text), &Kind::Object(|| &VERIFY)]), "a command that is run after a good exit, as part of the attempt; unless it exits with 0 the attempt has failed"),
    Key::new("pauseAfterFailures", &Kind::Integer(1, 1000), "after so many runs in a row that ended badly (failed, timeout, lost) the job is paused; `punctual resume` counts from 0 again").shared(),
    Key::new("checkpoint", &Kind::Bool, "whether the attempts of a run share a directory, named by PUNCTUAL_CHECKPOINT_DIR").or("false").shared(),
    Key::new("overlap", &Kind::Word(words::<Overlap>), "what happens to an occurrence while an earlier run is unfinished").or("skip").shared(),
    Key::new("catchUp", &Kind::Any(&[&Kind::Word(words::<CatchUpPolicy>), &Kind::Object(|| &CATCH_UP)]), "what happens to occurrences missed while nothing could run").or("{policy: latest, window: 1d}").shared(),
    Key::new("startDeadline", &Kind::Duration, "a run that has not started so long after its nominal time expires").shared(),
    Key::new("queue", &Kind::Word(queues), "the lane it waits in").or("normal").shared(),
    Key::new("priority", &Kind::Integer(-1000, 1000), "smaller first").or("5").shared(),
    Key::new("resources", &Kind::Object(|| &RESOURCES), "what must be free for it to start; never kills. Enforced by a later release").shared(),
    Key::new("limits", &Kind::Object(|| &LIMITS), "what throttles or kills its process tree, by a control group").shared(),
    Key::new("rlimits", &Kind::Object(|| &RLIMITS), "what each of its processes may have").shared(),
    Key::new("umask", &Kind::Text, "the permissions taken from files it makes, octal as `\"027\"`; by default the daemon's").shared(),
    Key::new("nice", &Kind::Integer(-20, 19), "how much less urgent it is than the daemon, as of nice(1); below 0 only as root").or("0").shared(),
    Key::new("noNewPrivileges", &Kind::Bool, "whether `sudo`, `su` and other set-user-id programs give it no rights. By default true with `runAs`, else false").shared(),
    Key::new("notify", &Kind::Object(|| &NOTIFY), "whom to tell").shared(),
];

/// A trigger by time, as `schedule` takes it.
pub static TIME_TRIGGER: Shape = Shape {
    name: "TimeTrigger",
    about: "One rule in time: exactly one of `cron`, `every`, `at`",
    only_shared: false,
    others: None,
    keys: &TIME_KEYS,
};

/// Any trigger, as `triggers` takes it.
pub static TRIGGER: Shape = Shape {
    name: "Trigger",
    about: "What makes a job due: exactly one of `cron`, `every`, `at`, `after`",
    only_shared: false,
    others: None,
    keys: &TRIGGER_KEYS,
};

const TIME_KEYS: [Key; 15] = [
    Key::new(
        "name",
        &Kind::Name,
        "what the trigger is called; by default a hash of its rule and zone, so that it keeps its cursor while they stay",
    ),
    Key::new(
        "cron",
        &Kind::Cron,
        "a cron rule of 5, 6 (seconds first) or 7 (year last) fields, or a nickname such as `@daily`",
    ),
    Key::new("every", &Kind::Duration, "an interval"),
    Key::new("at", &Kind::Instant, "one instant, as 2026-12-24T18:00:00Z, or without offset in `timeZone`"),
    Key::new("timeZone", &Kind::Zone, "the zone of `cron`, `at`, `start`, `end` and `calendar`"),
    Key::new("dst", &Kind::Word(words::<super::Dst>), "what a cron rule does when clocks change"),
    Key::new(
        "dialect",
        &Kind::Word(words::<super::Dialect>),
        "how the cron rule is read; `quartz` counts days of the week from 1 = Sunday",
    )
    .or("standard"),
    Key::new(
        "jitter",
        &Kind::Duration,
        "each occurrence is due up to so much later, by a hash, so that many jobs do not start at once",
    )
    .or("0s"),
    Key::new(
        "calendar",
        &Kind::Any(&[&Kind::Name, &Kind::Object(|| &CALENDAR_USE)]),
        "the days on which it fires",
    ),
    Key::new("start", &Kind::Instant, "no occurrence before this instant"),
    Key::new("end", &Kind::Instant, "no occurrence at or after this instant"),
    Key::new("maxRuns", &Kind::Integer(1, 1_000_000_000), "no more occurrences than so many"),
    Key::new(
        "pace",
        &Kind::Word(words::<Pace>),
        "whether `every` counts from one start to the next on a grid, or from an end to the next start",
    )
    .or("fixed-rate"),
    Key::new("initialDelay", &Kind::Duration, "before the first occurrence of `every`, from its first apply")
        .or("0s"),
    Key::new(
        "anchor",
        &Kind::Instant,
        "an instant the grid of `every` goes through; by default its first apply",
    ),
];

const TRIGGER_KEYS: [Key; 17] = {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = TIME_KEYS;
    let after = Key::new("after", &Kind::Name, "another job: due when a run of it ends");
    let on = Key::new(
        "on",
        &Kind::Word(words::<UpstreamOn>),
        "how that run must have ended: `success`, `failure` (failed, timeout, lost), or `any` (also cancelled or expired)",
    )
    .or("success");
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, after, on]
};

/// A trigger's use of a calendar.
pub static CALENDAR_USE: Shape = Shape {
    name: "CalendarUse",
    about: "A calendar and how its days count",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("name", &Kind::Name, "a calendar of `calendars`"),
        Key::new("mode", &Kind::Word(words::<super::CalendarMode>), "`only`: on its days; `except`: on all others; `next-business-day`: what falls on another day moves to the next of its days, at the same time of day").or("only"),
    ],
};

/// A set of days.
pub static CALENDAR: Shape = Shape {
    name: "Calendar",
    about: "A set of days: those of `weekdays` without those of `except`, and those of `include`",
    only_shared: false,
    others: None,
    keys: &[
        Key::new(
            "weekdays",
            &Kind::Any(&[&Kind::Text, &Kind::List(&Kind::Text)]),
            "days of the week, as `mon-fri` or `[mon, wed]`; absent: every day, or with `include` only its days",
        ),
        Key::new(
            "include",
            &Kind::List(&Kind::Any(&[&Kind::Text, &Kind::Object(|| &DAYS)])),
            "further days, whatever `except` says: dates `2026-12-25`, ranges `2026-12-24..2026-12-31`, every year `12-25`, or `ics:` a file",
        ),
        Key::new(
            "except",
            &Kind::List(&Kind::Any(&[&Kind::Text, &Kind::Object(|| &DAYS)])),
            "days taken out, written as in `include`",
        ),
    ],
};

/// Days from a file.
pub static DAYS: Shape = Shape {
    name: "CalendarFile",
    about: "The days of a file",
    only_shared: false,
    others: None,
    keys: &[Key::new("ics", &Kind::Text, "an iCalendar file, relative to the file of definitions")],
};

/// A policy for failed attempts.
pub static RETRY: Shape = Shape {
    name: "RetryPolicy",
    about: "What follows a failed attempt",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("maxRetries", &Kind::Integer(0, 10), "attempts after the first").or("3"),
        Key::new("backoff", &Kind::Duration, "before the first retry; doubles with each further one")
            .or("1s"),
        Key::new("maxBackoff", &Kind::Duration, "no wait is longer").or("5m"),
        Key::new(
            "retryOn",
            &FAILURES,
            "the failures that are tried again: `exit` (any code that is no success), codes such as `75`, `signal`, `timeout`, `noProgress`, `oom` (out of memory), `spawn` (it could not be started), `verify`. Absent: all",
        ),
        Key::new("neverOn", &FAILURES, "failures that are never tried again, whatever `retryOn` says"),
    ],
};

const FAILURES: Kind = Kind::List(&Kind::Any(&[&Kind::Word(failure_words), &Kind::Integer(1, 255)]));

/// When an attempt has succeeded.
pub static SUCCESS: Shape = Shape {
    name: "SuccessWhen",
    about: "When an attempt that ended by an exit code has succeeded: everything given here holds",
    only_shared: false,
    others: None,
    keys: &[
        Key::new(
            "exitCodes",
            &Kind::Any(&[&Kind::List(&Kind::Integer(0, 255)), &Kind::Integer(0, 255)]),
            "the codes that are a success",
        )
        .or("[0]"),
        Key::new(
            "output",
            &Kind::Text,
            "a regular expression that must match somewhere in the kept output; `^` and `$` are ends of lines",
        ),
        Key::new("outputNot", &Kind::Text, "a regular expression that must match nowhere in the kept output"),
    ],
};

/// A command that looks at what an attempt did.
pub static VERIFY: Shape = Shape {
    name: "Verify",
    about: "A command that looks at what an attempt did, with its user, environment and directory; it reads the kept output on standard input",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("run", &Kind::Any(&[&Kind::Text, &Kind::List(&Kind::Text)]), "as `run` of a job"),
        Key::new("timeout", &Kind::Duration, "how long it may take").or("1m"),
    ],
};

/// What happens to missed occurrences.
pub static CATCH_UP: Shape = Shape {
    name: "CatchUp",
    about: "What happens to occurrences missed while nothing could run",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("policy", &Kind::Word(words::<CatchUpPolicy>), "which of them still run").or("latest"),
        Key::new("window", &Kind::Duration, "none older than this").or("1d"),
        Key::new("maxCount", &Kind::Integer(1, 100_000), "with `all`: no more than so many, the newest")
            .or("100"),
        Key::new("spread", &Kind::Duration, "with `all`: one each so long").or("1s"),
    ],
};

/// How output is kept.
pub static OUTPUT: Shape = Shape {
    name: "Output",
    about: "How the output of an attempt is kept",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("maxBytes", &Kind::Bytes, "what is kept of it: the beginning and, from its end, up to 256Ki").or("8Mi"),
        Key::new(
            "mode",
            &Kind::Word(words::<super::output::Mode>),
            "`capped`: through a pipe into a file that is kept to `maxBytes`; `direct`: the job gets the file itself, without cap and redaction",
        )
        .or("capped"),
        Key::new(
            "keepRuns",
            &Kind::Integer(1, super::output::KEEP_RUNS_MAX),
            "the output of so many ended runs is kept, the newest; absent: of all that are young enough",
        ),
        Key::new(
            "redact",
            &Kind::List(&Kind::Text),
            "variables of `env` (or PUNCTUAL_PARAM_X) whose values are replaced by `[redacted]` in what is kept",
        ),
    ],
};

/// What a job needs to start.
pub static RESOURCES: Shape = Shape {
    name: "Resources",
    about: "What must be free for a job to start",
    only_shared: false,
    others: Some(&Kind::Integer(1, 1_000_000)),
    keys: &[
        Key::new("cpu", &Kind::Cpu, "processors, as `500m` or `2`"),
        Key::new("memory", &Kind::Bytes, "bytes, as `256Mi`"),
    ],
};

/// What throttles or kills a job.
pub static LIMITS: Shape = Shape {
    name: "Limits",
    about: "What throttles or kills a job's process tree",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("cpu", &Kind::Cpu, "processors it gets at most, as `500m` or `2`; more makes it wait"),
        Key::new(
            "memory",
            &Kind::Bytes,
            "memory and swap it has at most, file caches included; more makes the kernel kill in it",
        ),
        Key::new(
            "pids",
            &Kind::Integer(1, 4_194_304),
            "processes and threads it has at most; more cannot be started",
        ),
    ],
};

/// What each process of a job may have.
pub static RLIMITS: Shape = Shape {
    name: "Rlimits",
    about: "What each process of a job may have, as of setrlimit(2), soft and hard; by default what the daemon was started with",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("openFiles", &Kind::Integer(4, 1 << 30), "descriptors at once"),
        Key::new("core", &Kind::Bytes, "size of a core file; 0 for none"),
        Key::new("fileSize", &Kind::Bytes, "size of a file that it writes, at least `4Ki`"),
        Key::new("stack", &Kind::Bytes, "size of its stack, at least `128Ki`"),
        Key::new("cpuTime", &Kind::Duration, "processor time, in whole seconds; a second later it is killed"),
    ],
};

/// Whom to tell.
pub static NOTIFY: Shape = Shape {
    name: "Notify",
    about: "Whom to tell of a run's end",
    only_shared: false,
    others: None,
    keys: &[Key::new("onFailure", &Kind::Object(|| &HOOK), "when a run ended otherwise than in success")],
};

/// A command that is told of a run.
pub static HOOK: Shape = Shape {
    name: "Hook",
    about: "A command; it gets the run as JSON and the last 50 lines of its output on standard input",
    only_shared: false,
    others: None,
    keys: &[Key::new(
        "run",
        &Kind::Any(&[&Kind::Text, &Kind::List(&Kind::Text)]),
        "as `run` of a job, with the job's `shell`, `env`, `runAs` and `workingDirectory`",
    )],
};

/// A shared limit.
pub static SEMAPHORE: Shape = Shape {
    name: "Semaphore",
    about: "A limit shared by all jobs on all nodes. Enforced by a later release",
    only_shared: false,
    others: None,
    keys: &[Key::new("permits", &Kind::Integer(1, 1_000_000), "how many at once").or("10")],
};

/// Slots with a queue.
pub static WORKER_POOL: Shape = Shape {
    name: "WorkerPool",
    about: "Slots with a queue. Enforced by a later release",
    only_shared: false,
    others: None,
    keys: &[
        Key::new("core", &Kind::Integer(1, 100_000), "slots kept").or("10"),
        Key::new("max", &Kind::Integer(1, 100_000), "slots at most").or("50"),
        Key::new(
            "queue",
            &Kind::Any(&[&Kind::Integer(0, 10_000), &Kind::Word(unbounded)]),
            "runs that wait at most; `unbounded` means 10000",
        )
        .or("1000"),
        Key::new("idle", &Kind::Duration, "a slot above `core` ends when idle for so long").or("60s"),
        Key::new(
            "rejection",
            &Kind::Word(words::<super::Rejection>),
            "what happens to a run when slots and queue are full",
        )
        .or("reject"),
    ],
};

/// The lanes of the queue.
pub(crate) fn queues() -> Vec<&'static str> {
    vec!["realtime", "high", "normal"]
}

/// Kinds of failure; besides them stand exit codes.
pub(crate) fn failure_words() -> Vec<&'static str> {
    vec!["exit", "signal", "timeout", "noProgress", "oom", "spawn", "verify"]
}

fn unbounded() -> Vec<&'static str> {
    vec!["unbounded"]
}

/// Every shape of the format, from the outside in.
pub fn shapes() -> [&'static Shape; 20] {
    [
        &DOCUMENT,
        &JOB,
        &DEFAULTS,
        &TIME_TRIGGER,
        &TRIGGER,
        &CALENDAR_USE,
        &CALENDAR,
        &DAYS,
        &RETRY,
        &SUCCESS,
        &VERIFY,
        &CATCH_UP,
        &OUTPUT,
        &RESOURCES,
        &LIMITS,
        &RLIMITS,
        &NOTIFY,
        &HOOK,
        &SEMAPHORE,
        &WORKER_POOL,
    ]
}

/// Words of other schedulers at the place where ours stands, by what to write here.
pub(crate) const FOREIGN: [(&str, &str); 26] = [
    ("cron", "write `schedule: \"…\"`"),
    ("interval", "write `schedule: {every: 30s}`"),
    ("every", "write `schedule: {every: 30s}`"),
    ("at", "write `schedule: {at: 2026-12-24T18:00:00Z}`"),
    ("after", "write `triggers: [{after: other-job}]`"),
    ("when", "write `schedule: \"…\"`"),
    ("concurrencyPolicy", "write `overlap:` with allow, skip (Forbid) or cancel-running (Replace)"),
    ("concurrency", "write `overlap:`"),
    ("startingDeadlineSeconds", "write `startDeadline: 30s`"),
    ("suspend", "write `paused: true`"),
    ("enabled", "write `paused: true` for a job that rests"),
    ("disabled", "write `paused: true`"),
    ("backoffLimit", "write `retryPolicy: {maxRetries: 3}`"),
    ("activeDeadlineSeconds", "write `timeout: 30s`"),
    ("misfire", "write `catchUp:` with none, latest or all"),
    ("cwd", "write `workingDirectory:`"),
    ("workdir", "write `workingDirectory:`"),
    ("user", "write `runAs:`"),
    ("environment", "write `env:`"),
    ("script", "write `run: \"…\"`"),
    ("exec", "write `run: [program, argument]`"),
    ("args", "write program and arguments as one list: `run: [program, argument]`"),
    ("tz", "write `timeZone:`"),
    ("cpu", "write `resources: {cpu: …}` for what must be free, `limits: {cpu: …}` for what it gets at most"),
    ("memory", "write `resources: {memory: …}` for what must be free, `limits: {memory: …}` for what kills"),
    ("maxAttempts", "write `retryPolicy: {maxRetries: …}`, which counts the attempts after the first"),
];
