//! Jobs as Kubernetes CronJobs.

use super::{NOT_IN_CRONJOB, Verdict};
use crate::import::rule;
use crate::import::yaml::{Style, Value, block};
use punctual_core::error::{Diagnostic, Origin};
use punctual_core::job::Overlap;
use punctual_core::spec::{ActionSpec, CommandSpec, JobSpec, ProcessSpec, RuleSpec, template};
use punctual_core::trigger::CatchUpPolicy;
use serde_json::{Value as Json, json};

/// Where the manifests go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Their namespace, unless a job was imported from one; `None`: the manifests name none.
    pub namespace: Option<String>,
    /// The image in which `run` is carried out; `None`: such jobs are left out.
    pub image: Option<String>,
}

/// The controller makes names of Jobs from that of the CronJob by adding eleven characters; 63 are allowed.
const NAME_CHARS_MAX: usize = 52;

/// The jobs as manifests, a document each, and what is to be said of each: errors for those that are left out.
pub fn k8s(jobs: &[JobSpec], cluster: &Cluster) -> (String, Vec<Diagnostic>) {
    let mut said = Vec::new();
    let mut text = String::new();
    for job in jobs {
        let mut verdict = Verdict::new(job, NOT_IN_CRONJOB);
        let manifest = manifest(&mut verdict, cluster);
        said.append(&mut verdict.said);
        if let Some(Value::Map(pairs)) = manifest.filter(|_| !verdict.refused) {
            text.push_str("---\n");
            text.push_str(&block(&pairs, 0, Style::Spread));
        }
    }
    (text, said)
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn manifest(verdict: &mut Verdict, cluster: &Cluster) -> Option<Value> {
    let job = verdict.job;
    verdict.check_common();
    check_rules(verdict);
    let name_ok = job.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !job.name.starts_with('-')
        && !job.name.ends_with('-')
        && job.name.len() <= NAME_CHARS_MAX;
    if !name_ok {
        verdict.refuse(
            "its name is not for Kubernetes",
            format!("up to {NAME_CHARS_MAX} lower-case letters, digits and - are"),
        );
    }
    let timing = timing(verdict);
    let (namespace, template) = template_of(verdict, cluster)?;
    let (schedule, zone) = timing?;
    let mut metadata = vec![("name".to_owned(), Value::text(&job.name))];
    metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), Value::Text(namespace))));
    if !job.labels.is_empty() {
        let labels = job.labels.iter().map(|(key, value)| (key.clone(), Value::text(value)));
        metadata.push(("labels".to_owned(), Value::Map(labels.collect())));
    }
    if let Some(about) = &job.description {
        metadata.push(("annotations".to_owned(), map([("kubernetes.io/description", Value::text(about))])));
    }
    let policy = match job.overlap {
        Overlap::Skip => "Forbid",
        Overlap::CancelRunning => "Replace",
        _ => "Allow",
    };
    let mut spec = vec![
        ("schedule".to_owned(), Value::Text(schedule)),
        ("timeZone".to_owned(), Value::Text(zone)),
        ("suspend".to_owned(), Value::Bool(job.paused)),
        ("concurrencyPolicy".to_owned(), Value::text(policy)),
    ];
    if let Some(deadline) = job.start_deadline {
        spec.push(("startingDeadlineSeconds".to_owned(), seconds(deadline.as_secs().max(1))));
    }
    let mut job_spec = vec![("backoffLimit".to_owned(), seconds(u64::from(job.retry_policy.max_retries)))];
    if let Some(timeout) = job.timeout {
        job_spec.push(("activeDeadlineSeconds".to_owned(), seconds(timeout.as_secs().max(1))));
    }
    job_spec.push(("template".to_owned(), Value::from_json(&template)));
    spec.push(("jobTemplate".to_owned(), map([("spec", Value::Map(job_spec))])));
    Some(map([
        ("apiVersion", Value::text("batch/v1")),
        ("kind", Value::text("CronJob")),
        ("metadata", Value::Map(metadata)),
        ("spec", Value::Map(spec)),
    ]))
}

fn seconds(secs: u64) -> Value {
    Value::Number(i64::try_from(secs).unwrap_or(i64::MAX))
}

fn check_rules(verdict: &mut Verdict) {
    let job = verdict.job;
    if matches!(job.overlap, Overlap::QueueOne | Overlap::QueueAll) {
        verdict.refuse("it waits for an earlier run", "concurrencyPolicy knows Allow, Forbid and Replace");
    }
    if job.catch_up.policy == CatchUpPolicy::All {
        verdict
            .refuse("missed times are made up for", "Kubernetes starts the latest alone; keep the job here");
    }
    if job.catch_up.policy == CatchUpPolicy::None && job.start_deadline.is_none() {
        verdict.warn("Kubernetes starts the latest time missed", "a startDeadline bounds how late");
    }
    super::crontab::check_judged(verdict);
    if job.on_failure.is_some() {
        verdict.warn("nobody is told when it fails", "write an alert for failed Jobs");
    }
    if job.timeout.is_some() && job.retry_policy.max_retries > 0 {
        verdict.warn("its timeout bounds all attempts together", "in Kubernetes activeDeadlineSeconds does");
    }
    if job.paused {
        verdict.warn(
            "it is paused here and written with suspend: true",
            "set it to false once the job is stopped here",
        );
    }
}

/// A day-of-week field with 0 for Sunday, as Kubernetes has it; it refuses 7. A range up to 7 becomes its days.
fn zero_for_sunday(field: &str) -> String {
    let part = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        match (from.parse::<usize>(), to.parse::<usize>(), step.parse::<usize>()) {
            (Ok(from), Ok(7), Ok(step @ 1..)) if from <= 7 => {
                // `7/2` begins at Sunday and ends with it.
                let mut days: Vec<usize> = (from..=7).step_by(step).map(|day| day % 7).collect();
                days.sort_unstable();
                days.dedup();
                days.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
            }
            _ => part.to_owned(),
        }
    };
    field.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// The schedule and its zone.
fn timing(verdict: &mut Verdict) -> Option<(String, String)> {
    let [trigger] = verdict.job.triggers.as_slice() else {
        verdict.refuse("it does not have exactly one schedule", "make a job of each");
        return None;
    };
    let RuleSpec::Cron { expression, time_zone, dialect, .. } = &trigger.rule else {
        verdict.refuse("it is not due by a cron rule", "write a cron rule, such as */5 * * * *");
        return None;
    };
    if *dialect != punctual_core::cron::Dialect::Standard {
        verdict.refuse("its rule is written for Quartz", "write it as a standard rule");
    }
    let mut fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.len() == 7 && fields[6] == "*" {
        fields.pop();
    }
    if fields.len() == 6 && fields[0] == "0" {
        fields.remove(0);
    }
    if let Some(of_week) = fields.get(4)
        && of_week.starts_with('+')
    {
        verdict.refuse(format!("{expression:?} wants both day fields to match"), "Kubernetes takes either");
        return None;
    }
    let of_week = fields.get(4).map(|field| zero_for_sunday(field));
    if let (Some(field), Some(of_week)) = (fields.get_mut(4), &of_week) {
        *field = of_week;
    }
    let schedule = fields.join(" ");
    let nowhere = Origin { file: String::new(), line: 1, column: 1, width: 1, snippet: String::new() };
    if let Err(error) = rule::kubernetes(&schedule, &nowhere) {
        let hint = error.hint.clone().unwrap_or_else(|| "write it with numbers, ranges and steps".to_owned());
        verdict.refuse(format!("{expression:?} is not for Kubernetes: {}", error.message), hint);
    }
    Some((schedule, time_zone.clone()))
}

/// The namespace and the pod template.
fn template_of(verdict: &mut Verdict, cluster: &Cluster) -> Option<(Option<String>, Json)> {
    let job = verdict.job;
    match &job.action {
        ActionSpec::Other { executor, definition } if executor == "container" => {
            if definition["image"].as_str().is_none() {
                verdict.refuse("its container names no image", "write image: in container:");
            }
            let env = definition["env"].as_object().into_iter().flatten();
            let env: Vec<Json> = env.map(|(name, value)| json!({ "name": name, "value": value })).collect();
            let mut container = definition.clone();
            container["name"] = definition.get("name").cloned().unwrap_or_else(|| json!(job.name));
            if !env.is_empty() {
                container["env"] = Json::Array(env);
            }
            Some((cluster.namespace.clone(), pod(job, container)))
        }
        ActionSpec::Other { executor, definition }
            if executor == "kubernetes" && definition["podTemplate"].is_object() =>
        {
            let namespace =
                definition["namespace"].as_str().map(str::to_owned).or_else(|| cluster.namespace.clone());
            let mut template = definition["podTemplate"].clone();
            if template["spec"].get("restartPolicy").is_none() {
                template["spec"]["restartPolicy"] = json!("Never");
            }
            Some((namespace, template))
        }
        ActionSpec::Run(process) => {
            let container = process_container(verdict, process, cluster)?;
            Some((cluster.namespace.clone(), pod(job, container)))
        }
        _ => {
            verdict.refuse("it runs no container", "write a container: or a run: for it");
            None
        }
    }
}

fn pod(job: &JobSpec, container: Json) -> Json {
    json!({ "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.grace.as_secs(),
        "containers": [container],
    }})
}

/// A process of this machine as a container of the given image.
fn process_container(verdict: &mut Verdict, process: &ProcessSpec, cluster: &Cluster) -> Option<Json> {
    let Some(image) = &cluster.image else {
        verdict.refuse("it runs a command of this machine", "say in which image to run it: --image IMAGE");
        return None;
    };
    if process.stdin.is_some() {
        verdict.refuse("it reads an input", "put it into a ConfigMap and a volume");
    }
    if process.run_as.is_some() {
        verdict.warn("the user it runs as is lost", "set securityContext: {runAsUser: …}");
    }
    let command: Vec<String> = match &process.command {
        CommandSpec::Shell { shell, script } => shell.iter().chain([script]).cloned().collect(),
        CommandSpec::Argv(argv) => {
            let plain: Result<Vec<String>, _> =
                argv.iter().map(|word| template::render(word, &|_| None)).collect();
            let Ok(words) = plain else {
                verdict.refuse("its arguments have templates", "use what the image can find out itself");
                return None;
            };
            words
        }
    };
    // Kubernetes replaces $(NAME) in commands and values; $$ stands for one $.
    let command: Vec<String> = command.iter().map(|word| word.replace("$(", "$$(")).collect();
    let mut container = json!({ "name": verdict.job.name, "image": image, "command": command });
    if !process.env.is_empty() {
        let env = process.env.iter().map(|(n, v)| json!({ "name": n, "value": v.replace("$(", "$$(") }));
        container["env"] = Json::Array(env.collect());
    }
    if let Some(directory) = &process.working_directory {
        container["workingDir"] = json!(directory);
    }
    Some(container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Start;
    use crate::import::k8s as reader;
    use crate::import::k8s_jobs::jobs;
    use crate::import::loading::load;

    const MANIFEST: &str = r#"
apiVersion: batch/v1
kind: CronJob
metadata: {name: data-sync, labels: {tier: batch}}
spec:
  schedule: "*/5 * * * 1-5"
  timeZone: Asia/Tokyo
  suspend: true
  concurrencyPolicy: Replace
  startingDeadlineSeconds: 200
  jobTemplate:
    spec:
      backoffLimit: 2
      activeDeadlineSeconds: 240
      template:
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 5
          containers:
            - name: sync
              image: example/sync:1.2
              command: ["/bin/sh", "-c"]
              args: ["sync --all $(A) \"it's\""]
              env: [{name: A, value: "yes"}, {name: B, value: "1"}]
"#;

    fn read(text: &str) -> reader::CronJob {
        let mut manifests = reader::read("f", text.as_bytes().to_vec(), &|name| Ok(name.to_owned()));
        assert!(manifests.errors.is_empty(), "{:?}\n{text}", manifests.errors);
        let mut job = manifests.cron_jobs.remove(0);
        job.at.line = 0;
        job.at.column = 0;
        job.at.width = 0;
        job
    }

    fn there_and_back(text: &str) -> (String, Vec<Diagnostic>) {
        let manifests = reader::read("f", text.as_bytes().to_vec(), &|name| Ok(name.to_owned()));
        let imported = jobs(vec![("f".to_owned(), manifests)], None, Start::Active);
        k8s(&load(&imported.yaml).jobs, &Cluster::default())
    }

    #[test]
    fn a_cron_job_comes_back_as_it_went_in() {
        let (text, said) = there_and_back(MANIFEST);
        assert!(said.iter().all(|d| d.code != NOT_IN_CRONJOB), "{said:?}");
        let (mut back, mut went) = (read(&text), read(MANIFEST));
        back.template = Json::Null;
        went.template = Json::Null;
        assert_eq!(back, went, "{text}");
        let elaborate = MANIFEST
            .replace("value: \"1\"", "valueFrom: {secretKeyRef: {name: s, key: k}}")
            .replace("{name: data-sync,", "{name: data-sync, namespace: prod,");
        let (text, _) = there_and_back(&elaborate);
        let (back, went) = (read(&text), read(&elaborate));
        assert_eq!((back.template, back.namespace), (went.template, went.namespace), "{text}");
    }

    #[test]
    fn a_process_needs_an_image() {
        let jobs = load("job: {name: j, schedule: \"0 0 2 * * 7\", run: \"echo $(date)\", env: {A: 1}, workingDirectory: /w}").jobs;
        let (text, said) = k8s(&jobs, &Cluster::default());
        assert!(text.is_empty() && said.iter().any(|d| d.message.contains("command of this machine")));
        let cluster = Cluster { namespace: Some("n".to_owned()), image: Some("debian:12".to_owned()) };
        let (text, said) = k8s(&jobs, &cluster);
        assert!(said.is_empty(), "{said:?}");
        let job = read(&text);
        assert_eq!((job.schedule.as_str(), job.namespace.as_str()), ("0 2 * * 0", "n"));
        assert_eq!(job.containers[0].command, ["/bin/sh", "-c", "echo $$(date)"]);
        assert_eq!((job.backoff_limit, job.concurrency), (0, reader::Concurrency::Forbid));
    }

    #[test]
    fn sunday_is_written_as_zero() {
        let cases = [
            ("7", "0"),
            ("5-7", "0,5,6"),
            ("1,7", "1,0"),
            ("3-7/2", "0,3,5"),
            ("7-7", "0"),
            ("*/7", "*/7"),
            ("1-5", "1-5"),
            ("fri", "fri"),
        ];
        for (ours, theirs) in cases {
            let text = format!("job: {{name: j, schedule: \"0 0 * * {ours}\", container: {{image: i}}}}");
            let (text, said) = k8s(&load(&text).jobs, &Cluster::default());
            assert!(said.iter().all(|d| d.code != NOT_IN_CRONJOB), "{ours}: {said:?}");
            assert_eq!(read(&text).schedule, format!("0 0 * * {theirs}"), "{ours}");
            assert!(read(&text).rule.notes.is_empty(), "{ours}");
        }
    }

    #[test]
    fn what_kubernetes_cannot_say_is_refused() {
        let cases = [
            "name: J, schedule: \"@daily\"",
            "name: j, schedule: {every: 5m}",
            "name: j, schedule: [\"@daily\", \"@hourly\"]",
            "name: j, schedule: \"30 0 2 * * *\"",
            "name: j, schedule: \"0 0 L * *\"",
            "name: j, schedule: \"0 0 13 * +fri\"",
            "name: j, schedule: \"@reboot\"",
            "name: j, schedule: \"@daily\", overlap: queue-one",
            "name: j, schedule: \"@daily\", catchUp: all",
        ];
        for job in cases {
            let jobs = load(&format!("job: {{{job}, container: {{image: i}}}}")).jobs;
            let (text, said) = k8s(&jobs, &Cluster::default());
            assert!(text.is_empty(), "{job}: {text}");
            assert_eq!(said.iter().filter(|d| d.code == NOT_IN_CRONJOB).count(), 1, "{job}: {said:?}");
        }
    }
}
