//! CronJobs as jobs that behave as in their cluster, as far as a definition can say it.

use super::k8s::{Concurrency, CronJob, Manifests};
use super::name::Names;
use super::yaml::{self, Style, Value};
use super::{CLUSTER_ONLY, Imported, Start, comment, literal, not_imported};
use punctual_core::error::Diagnostic;
use serde_json::json;

/// Retries that a definition takes at most.
const RETRIES_MAX: u64 = 10;

/// The manifests, each with the name of its file, as JSON objects and as one definitions file. `zone` is the zone of
/// the cluster's controller, if it is known.
pub fn jobs(manifests: Vec<(String, Manifests)>, zone: Option<&str>, start: Start) -> Imported {
    let mut out = Imported::default();
    let several = manifests.len() > 1;
    let mut names = Names::default();
    let mut jobs = String::new();
    for (file, manifest) in &manifests {
        out.errors.extend(manifest.errors.iter().cloned());
        out.warnings.extend(manifest.warnings.iter().cloned());
        for cron_job in &manifest.cron_jobs {
            out.jobs.push(json_of(cron_job, several.then_some(file.as_str())));
            differences(cron_job, zone, &mut out.warnings);
            let name = name(cron_job, &mut names);
            jobs.push_str(&format!(
                "  # {}, line {}: CronJob {}/{}\n",
                comment(file),
                cron_job.at.line,
                comment(&cron_job.namespace),
                comment(&cron_job.name)
            ));
            let job = definition(name, cron_job, zone, start);
            jobs.push_str(&yaml::item_lines(&Value::Map(job), 2, Style::Compact));
        }
    }
    out.warnings.sort_by_key(|w| w.origin.as_ref().map(|o| (o.file.clone(), o.line)));
    let files: Vec<&str> = manifests.iter().map(|(file, _)| file.as_str()).collect();
    out.yaml = format!("# Imported by `punctual import k8s` from {}.\n", comment(&files.join(", ")));
    out.yaml.push_str(
        "# Every job is paused: this build does not run containers, and while the cluster serves the CronJobs, they\n\
         # would run twice.\n",
    );
    out.yaml.push_str(&not_imported(&out.errors));
    out.yaml.push_str(if jobs.is_empty() { "\njobs: []\n" } else { "\njobs:\n" });
    out.yaml.push_str(&jobs);
    out
}

fn json_of(job: &CronJob, file: Option<&str>) -> serde_json::Value {
    let containers: Vec<serde_json::Value> = job
        .containers
        .iter()
        .map(|c| json!({ "name": c.name, "image": c.image, "command": c.command, "args": c.args, "env": c.env }))
        .collect();
    let mut object = json!({
        "name": job.name,
        "namespace": job.namespace,
        "schedule": job.schedule,
        "timeZone": job.time_zone,
        "suspend": job.suspend,
        "concurrencyPolicy": job.concurrency.word(),
        "startingDeadlineSeconds": job.starting_deadline_secs,
        "backoffLimit": job.backoff_limit,
        "activeDeadlineSeconds": job.active_deadline_secs,
        "containers": containers,
        "line": job.at.line,
    });
    if let Some(file) = file {
        object["file"] = json!(file);
    }
    object
}

/// The object's name; with its namespace in front if two namespaces have one of this name.
fn name(job: &CronJob, names: &mut Names) -> String {
    if names.is_free(&job.name) {
        names.give(&job.name)
    } else {
        names.give(&format!("{}-{}", job.namespace, job.name))
    }
}

/// Says what a definition cannot say, or says otherwise.
fn differences(job: &CronJob, zone: Option<&str>, warnings: &mut Vec<Diagnostic>) {
    let which = format!("CronJob {}", job.name);
    let mut say = |message: String, detail: &str, hint: &str| {
        let warning = Diagnostic::warning(CLUSTER_ONLY, format!("{which}: {message}")).at(job.at.clone());
        let warning = if detail.is_empty() { warning } else { warning.detail(detail) };
        warnings.push(if hint.is_empty() { warning } else { warning.hint(hint) });
    };
    say(
        "the job is loaded paused".to_owned(),
        "this build has no executor for containers",
        "keep the CronJob in the cluster until one is there, or write a run: of your own",
    );
    if job.time_zone.is_none() && zone.is_none() {
        say(
            "the manifest names no zone, UTC is written".to_owned(),
            "such a schedule is in the zone of the cluster's kube-controller-manager, which is mostly UTC",
            "say another with --time-zone",
        );
    }
    if !job.dropped.is_empty() {
        say(format!("not carried over: {}", job.dropped.join(", ")), "", "");
    }
    if job.elaborate {
        say(
            "its pod is kept as it stands under kubernetes: podTemplate".to_owned(),
            "it has more than one container's image, command, arguments and plain environment",
            "",
        );
    }
    if job.backoff_limit > RETRIES_MAX {
        say(
            format!("backoffLimit {} becomes {RETRIES_MAX} retries, the most there are", job.backoff_limit),
            "",
            "",
        );
    }
    if job.active_deadline_secs.is_some() && job.backoff_limit > 0 {
        say(
            "activeDeadlineSeconds becomes a timeout".to_owned(),
            "in the cluster it bounds all attempts together, here each of them",
            "",
        );
    }
}

fn definition(name: String, job: &CronJob, zone: Option<&str>, start: Start) -> Vec<(String, Value)> {
    let mut pairs: Vec<(String, Value)> = vec![("name".to_owned(), Value::Text(name))];
    let mut put = |key: &str, value: Value| pairs.push((key.to_owned(), value));
    if start == Start::Paused || job.suspend {
        put("paused", Value::Bool(true));
    }
    put("schedule", Value::text(&job.rule.standard));
    put("timeZone", Value::text(job.time_zone.as_deref().or(zone).unwrap_or("UTC")));
    put(
        "overlap",
        Value::text(match job.concurrency {
            Concurrency::Allow => "allow",
            Concurrency::Forbid => "skip",
            Concurrency::Replace => "cancel-running",
        }),
    );
    put("catchUp", Value::text("latest"));
    if let Some(deadline) = job.starting_deadline_secs.filter(|secs| *secs > 0) {
        put("startDeadline", seconds(deadline));
    }
    put(
        "retryPolicy",
        Value::Map(match job.backoff_limit.min(RETRIES_MAX) {
            0 => vec![("maxRetries".to_owned(), Value::Number(0))],
            // The job controller's: 10 s, doubling to six minutes.
            retries => vec![
                ("maxRetries".to_owned(), Value::Number(i64::try_from(retries).expect("at most ten"))),
                ("backoff".to_owned(), Value::text("10s")),
                ("maxBackoff".to_owned(), Value::text("6m")),
            ],
        }),
    );
    if let Some(deadline) = job.active_deadline_secs.filter(|secs| *secs > 0) {
        put("timeout", seconds(deadline));
    }
    put("grace", seconds(job.grace_secs));
    if !job.labels.is_empty() {
        let labels = job.labels.iter().map(|(key, value)| (key.clone(), literal(value)));
        put("labels", Value::Map(labels.collect()));
    }
    if job.elaborate {
        put(
            "kubernetes",
            Value::Map(vec![
                ("namespace".to_owned(), Value::text(&job.namespace)),
                ("podTemplate".to_owned(), Value::from_json(&job.template)),
            ]),
        );
    } else {
        put("container", container(job));
    }
    pairs
}

fn seconds(secs: u64) -> Value {
    Value::Text(format!("{secs}s"))
}

/// The one container of a plain pod. Executors of later releases read it; nothing in it is expanded.
fn container(job: &CronJob) -> Value {
    let container = &job.containers[0];
    let mut pairs = vec![
        ("name".to_owned(), Value::text(&container.name)),
        ("image".to_owned(), Value::text(&container.image)),
    ];
    for (key, list) in [("command", &container.command), ("args", &container.args)] {
        if !list.is_empty() {
            pairs.push((key.to_owned(), Value::texts(list)));
        }
    }
    if !container.env.is_empty() {
        let text =
            |variable: &serde_json::Value, key: &str| variable[key].as_str().unwrap_or_default().to_owned();
        let env = container.env.iter().map(|v| (text(v, "name"), Value::Text(text(v, "value"))));
        pairs.push(("env".to_owned(), Value::Map(env.collect())));
    }
    Value::Map(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::k8s;
    use crate::import::loading::load;
    use punctual_core::job::Overlap;
    use punctual_core::spec::{ActionSpec, RuleSpec};
    use std::time::Duration;

    const DATA_SYNC: &str = r#"
apiVersion: batch/v1
kind: CronJob
metadata:
  name: data-sync
  labels: {app.kubernetes.io/name: sync, tier: batch}
spec:
  schedule: "*/5 * * * *"
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 200
  jobTemplate:
    spec:
      backoffLimit: 12
      activeDeadlineSeconds: 240
      template:
        spec:
          restartPolicy: OnFailure
          containers:
            - name: sync
              image: example/sync:1.2
              command: ["/bin/sh", "-c"]
              args: ["sync --all ${X} {{ y }}"]
              env: [{name: A, value: "1"}]
"#;

    fn import(text: &str) -> Imported {
        let manifests = k8s::read("f", text.as_bytes().to_vec(), &|name| Ok(name.to_owned()));
        jobs(vec![("f".to_owned(), manifests)], None, Start::Paused)
    }

    #[test]
    fn a_cron_job_becomes_a_paused_job_that_keeps_its_container() {
        let imported = import(DATA_SYNC);
        let definitions = load(&imported.yaml);
        let [job] = definitions.jobs.as_slice() else { panic!("{}", imported.yaml) };
        assert!(job.paused);
        assert_eq!(
            (job.name.as_str(), job.overlap, job.retry_policy.max_retries),
            ("data-sync", Overlap::Skip, 10)
        );
        assert_eq!(job.start_deadline, Some(Duration::from_secs(200)));
        assert_eq!((job.timeout, job.grace), (Some(Duration::from_secs(240)), Duration::from_secs(30)));
        let RuleSpec::Cron { expression, time_zone, .. } = &job.triggers[0].rule else {
            panic!("a cron rule")
        };
        assert_eq!((expression.as_str(), time_zone.as_str()), ("*/5 * * * *", "UTC"));
        let ActionSpec::Other { executor, definition } = &job.action else { panic!("a container") };
        assert_eq!(executor, "container");
        assert_eq!(
            *definition,
            json!({
                "name": "sync", "image": "example/sync:1.2", "command": ["/bin/sh", "-c"],
                "args": ["sync --all ${X} {{ y }}"], "env": {"A": "1"},
            })
        );
        assert_eq!(job.labels.len(), 2);
    }

    #[test]
    fn a_pod_with_more_is_kept_as_it_stands() {
        let text = DATA_SYNC
            .replace("restartPolicy: OnFailure", "serviceAccountName: s")
            .replace("value: \"1\"", "valueFrom: {secretKeyRef: {name: s, key: k}}");
        let imported = import(&text);
        let definitions = load(&imported.yaml);
        let ActionSpec::Other { executor, definition } = &definitions.jobs[0].action else { panic!("a pod") };
        assert_eq!(executor, "kubernetes");
        let pod = &definition["podTemplate"]["spec"];
        assert_eq!(pod["serviceAccountName"], json!("s"));
        assert_eq!(pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["key"], json!("k"));
        assert_eq!(
            imported.jobs[0]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"],
            json!("s")
        );
    }

    #[test]
    fn one_name_in_two_namespaces_makes_two_jobs() {
        let other = DATA_SYNC.replace("  name: data-sync\n", "  name: data-sync\n  namespace: other\n");
        let imported = import(&format!("{DATA_SYNC}---\n{other}"));
        let names: Vec<String> = load(&imported.yaml).jobs.into_iter().map(|job| job.name).collect();
        assert_eq!(names, ["data-sync", "other-data-sync"]);
        assert_eq!(imported.jobs[1]["namespace"], json!("other"));
    }

    #[test]
    fn what_differs_is_said() {
        let imported = import(DATA_SYNC);
        let said: Vec<String> = imported.warnings.iter().map(|w| w.message.clone()).collect();
        for part in ["paused", "no zone", "backoffLimit 12", "timeout"] {
            assert!(said.iter().any(|s| s.contains(part)), "{part}: {said:?}");
        }
        assert_eq!(imported.json(false)["jobs"][0]["concurrencyPolicy"], json!("Forbid"));
    }
}
