//! A job's values by the keys of the format, and where each comes from.

use punctual_core::spec::{
    ActionSpec, BoundsSpec, CalendarUse, CatchUpSpec, Choice, CommandSpec, JobSpec, Origins, ProcessSpec,
    RetrySpec, TriggerSpec, ValueOrigin, format_duration,
};
use punctual_engine::view::rule_text;
use std::collections::BTreeMap;
use std::time::Duration;

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its key in the format.
    pub key: &'static str,
    /// What holds.
    pub text: String,
}

/// Every value of a job that holds or may be asked for, in the order of the reference.
pub fn values(spec: &JobSpec) -> Vec<Value> {
    let mut values = Vec::new();
    let mut add = |key, text: String| values.push(Value { key, text });
    if let Some(description) = &spec.description {
        add("description", description.clone());
    }
    for trigger in &spec.triggers {
        add("triggers", trigger_text(trigger));
    }
    action(&spec.action, &mut add);
    let optional = |length: Option<Duration>| length.map_or_else(|| "none".to_owned(), format_duration);
    add("timeout", optional(spec.timeout));
    if let Some(silence) = spec.no_progress_timeout {
        add("noProgressTimeout", format_duration(silence));
    }
    add("grace", format_duration(spec.grace));
    add("retryPolicy", retry_text(&spec.retry_policy));
    add("onLost", spec.on_lost.word().to_owned());
    if !spec.success_when.is_empty() {
        add("successWhen", of(&spec.success_when));
    }
    if let Some(verify) = &spec.verify {
        let limit = format_duration(verify.timeout);
        add("verify", format!("{}, within {limit}", command_text(&verify.command)));
    }
    if let Some(count) = spec.pause_after_failures {
        add("pauseAfterFailures", count.to_string());
    }
    if spec.checkpoint {
        add("checkpoint", "true".to_owned());
    }
    add("overlap", spec.overlap.word().to_owned());
    add("catchUp", catch_up_text(&spec.catch_up));
    add("startDeadline", optional(spec.start_deadline));
    add("queue", spec.queue.clone());
    add("priority", spec.priority.to_string());
    for (key, json) in
        [("resources", of(&spec.resources)), ("limits", of(&spec.limits)), ("labels", of(&spec.labels))]
    {
        if json != "{}" {
            add(key, json);
        }
    }
    add("output", output_text(spec));
    if let Some(command) = &spec.on_failure {
        add("notify", format!("on failure {}", command_text(command)));
    }
    values
}

fn output_text(spec: &JobSpec) -> String {
    let mut text = match spec.output_direct {
        true => "written by the job itself".to_owned(),
        false => format!("{} bytes", spec.output_bytes_max),
    };
    if let Some(runs) = spec.output_keep_runs {
        text.push_str(&format!(", of the newest {runs} runs"));
    }
    if !spec.redact.is_empty() {
        let names: Vec<&str> = spec.redact.iter().map(String::as_str).collect();
        text.push_str(&format!(" without the values of {}", names.join(", ")));
    }
    text
}

fn of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a definition has no maps with keys other than text")
}

fn action(action: &ActionSpec, add: &mut impl FnMut(&'static str, String)) {
    let process = match action {
        ActionSpec::None => return add("run", "nothing: runs succeed at once".to_owned()),
        ActionSpec::Handler(name) => return add("handler", name.clone()),
        ActionSpec::Other { executor, .. } => {
            return add("run", format!("{executor}, for which this build has no executor"));
        }
        ActionSpec::Run(process) => process,
    };
    add("run", command_text(&process.command));
    if let CommandSpec::Shell { shell, .. } = &process.command {
        add("shell", shell.join(" "));
    }
    add("runAs", process.run_as.clone().unwrap_or_else(|| "the daemon's user".to_owned()));
    for (name, value) in &process.env {
        add("env", format!("{name}={value}"));
    }
    add(
        "workingDirectory",
        process.working_directory.clone().unwrap_or_else(|| "the user's home".to_owned()),
    );
    if let Some(stdin) = &process.stdin {
        add("stdin", format!("{stdin:?}"));
    }
    bounds(&process.bounds, process.run_as.is_some(), add);
}

fn bounds(bounds: &BoundsSpec, as_user: bool, add: &mut impl FnMut(&'static str, String)) {
    if !bounds.rlimits.is_empty() {
        add("rlimits", of(&bounds.rlimits));
    }
    if let Some(mask) = bounds.umask {
        add("umask", format!("{mask:03o}"));
    }
    if let Some(nice) = bounds.nice {
        add("nice", nice.to_string());
    }
    if bounds.no_new_privileges || as_user {
        add("noNewPrivileges", bounds.no_new_privileges.to_string());
    }
}

fn command_text(command: &CommandSpec) -> String {
    match command {
        CommandSpec::Argv(words) => of(words),
        CommandSpec::Shell { script, .. } => script.clone(),
    }
}

fn trigger_text(trigger: &TriggerSpec) -> String {
    let mut text = format!("{}: {}", trigger.identity(), rule_text(&trigger.rule));
    if let Some(CalendarUse { name, mode, .. }) = &trigger.calendar {
        text.push_str(&format!(", calendar {name} ({})", mode.word()));
    }
    if !trigger.jitter.is_zero() {
        text.push_str(&format!(", jitter {}", format_duration(trigger.jitter)));
    }
    for (name, instant) in [("start", trigger.start), ("end", trigger.end)] {
        if let Some(instant) = instant {
            text.push_str(&format!(", {name} {instant}"));
        }
    }
    if let Some(most) = trigger.max_runs {
        text.push_str(&format!(", at most {most} runs"));
    }
    text
}

fn retry_text(policy: &RetrySpec) -> String {
    match policy.max_retries {
        0 => "none".to_owned(),
        most => format!(
            "{most} {}, after {} doubling up to {}",
            if most == 1 { "retry" } else { "retries" },
            format_duration(policy.backoff),
            format_duration(policy.max_backoff)
        ),
    }
}

fn catch_up_text(catch_up: &CatchUpSpec) -> String {
    use punctual_core::trigger::CatchUpPolicy::{All, Latest, None};
    let window = format_duration(catch_up.window);
    match catch_up.policy {
        None => "none".to_owned(),
        Latest => format!("latest, within {window}"),
        All => format!("all, within {window}, at most {}", catch_up.max_count),
    }
}

/// The values that the same job would have if its definition said no more than what to run.
pub fn built_in(spec: &JobSpec) -> Vec<Value> {
    let mut plain = JobSpec::named(&spec.name);
    if let ActionSpec::Run(process) = &spec.action {
        let command = match &process.command {
            CommandSpec::Shell { script, .. } => CommandSpec::Shell {
                shell: ["/bin/sh", "-c"].map(str::to_owned).to_vec(),
                script: script.clone(),
            },
            argv => argv.clone(),
        };
        let env = BTreeMap::new();
        plain.action = ActionSpec::Run(ProcessSpec {
            command,
            run_as: None,
            env,
            working_directory: None,
            stdin: None,
            bounds: BoundsSpec::default(),
        });
    }
    values(&plain).into_iter().filter(|value| value.key != "run").collect()
}

/// Where a value comes from: `jobs.yaml:7`, `defaults, jobs.yaml:2`, `built-in`. Without the file, what can be told
/// from the value: `built-in` if it is the default.
pub fn origin(value: &Value, origins: Option<&Origins>, built_in: &[Value]) -> String {
    let Some(origins) = origins else {
        return if built_in.contains(value) { "built-in".to_owned() } else { "definition".to_owned() };
    };
    let keys: &[&str] = match value.key {
        "triggers" => &["triggers", "schedule"],
        "run" => &["run", "http", "container", "kubernetes", "llm", "autoglm"],
        key => &[key],
    };
    match keys.iter().find_map(|key| origins.values.get(*key)) {
        Some(ValueOrigin::Job { line }) => format!("{}:{line}", origins.file),
        Some(ValueOrigin::Defaults { line }) => format!("defaults, {}:{line}", origins.file),
        None => "built-in".to_owned(),
    }
}
