//! Kubernetes CronJob manifests (`batch/v1`, `batch/v1beta1`): YAML or JSON, several documents, lists of objects.
//!
//! Each document is parsed by itself, so that a broken one is an error beside the good ones. An object of another kind
//! is named in a warning and so is every field that is not carried over.

use super::manifest::Fields;
use super::rule::{self, Rule};
use super::text;
use super::{BAD_DOCUMENT, BAD_FIELD, NOT_A_CRONJOB, READ_OTHERWISE, UNKNOWN_ZONE, Zones};
use punctual_core::error::{Diagnostic, Origin};
use punctual_core::spec::Source;
use punctual_core::spec::yaml::{self, Node};
use serde_json::{Value, json};

/// A CronJob, its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// Where it begins.
    pub at: Origin,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` if the manifest names none.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: Vec<(String, String)>,
    /// As written.
    pub schedule: String,
    /// What the schedule means.
    pub rule: Rule,
    /// `None`: that of the cluster's controller.
    pub time_zone: Option<String>,
    /// Whether it rests.
    pub suspend: bool,
    /// What happens while an earlier run is unfinished.
    pub concurrency: Concurrency,
    /// How late a run may start.
    pub starting_deadline_secs: Option<u64>,
    /// How often a failed pod is tried again.
    pub backoff_limit: u64,
    /// How long all attempts may take together.
    pub active_deadline_secs: Option<u64>,
    /// From TERM to KILL.
    pub grace_secs: u64,
    /// What runs.
    pub containers: Vec<Container>,
    /// Whether there is more than one container's image, command, arguments and plain environment in the default namespace.
    pub elaborate: bool,
    /// `spec.jobTemplate.spec.template` as it stands.
    pub template: Value,
    /// Paths of fields that are not carried over.
    pub dropped: Vec<String>,
}

/// `concurrencyPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// Both run.
    Allow,
    /// The new one is skipped.
    Forbid,
    /// The old one is ended.
    Replace,
}

impl Concurrency {
    /// The word of the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Forbid => "Forbid",
            Self::Replace => "Replace",
        }
    }
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The entry point; empty: the image's.
    pub command: Vec<String>,
    /// Its arguments; empty: the image's.
    pub args: Vec<String>,
    /// Its variables, `{name, value}` or `{name, valueFrom}`, as they stand.
    pub env: Vec<Value>,
}

/// What manifests held.
#[derive(Debug, Default)]
pub struct Manifests {
    /// What can be imported.
    pub cron_jobs: Vec<CronJob>,
    /// What cannot.
    pub errors: Vec<Diagnostic>,
    /// What is passed over or changes.
    pub warnings: Vec<Diagnostic>,
}

/// No file has more documents.
const DOCUMENTS_MAX: usize = 10_000;
/// No file holds more values, aliases counted as what they repeat: documents are bounded each by itself as well.
const VALUES_MAX: usize = 2 * yaml::NODES_MAX;

/// Reads the manifests in `bytes`, named `file` in diagnostics.
pub fn read(file: &str, bytes: Vec<u8>, zones: Zones) -> Manifests {
    let mut out = Manifests::default();
    let source = match Source::from_bytes(file, bytes) {
        Ok(source) => source,
        Err(error) => {
            out.errors.push(error);
            return out;
        }
    };
    let documents = documents(&source.text);
    if documents.len() > DOCUMENTS_MAX {
        let error =
            Diagnostic::error(BAD_DOCUMENT, format!("{file} has more than {DOCUMENTS_MAX} documents"));
        out.errors.push(error.at(super::whole_file(file)).hint("split the file"));
        return out;
    }
    let mut values = 0;
    for (lines_before, document) in documents {
        if values > VALUES_MAX {
            let error =
                Diagnostic::error(BAD_DOCUMENT, format!("{file} holds more than {VALUES_MAX} values"));
            out.errors.push(
                error.at(Origin { line: lines_before + 1, ..super::whole_file(file) }).hint("split the file"),
            );
            break;
        }
        match yaml::parse(0, &Source::new(file, document)) {
            Ok(nodes) => {
                values += nodes.iter().map(size).sum::<usize>();
                for node in &nodes {
                    out.object(node, file, lines_before, zones);
                }
            }
            Err(mut error) => {
                let at_its_bound = error.code.0 == "DEF003";
                values += if at_its_bound { yaml::NODES_MAX } else { document.len() };
                if let Some(origin) = &mut error.origin {
                    origin.line += lines_before;
                }
                out.errors.push(error);
            }
        }
    }
    let lines: Vec<&str> = source.text.lines().collect();
    for origin in out.errors.iter_mut().filter_map(|error| error.origin.as_mut()) {
        let line = (origin.line as usize).checked_sub(1).and_then(|at| lines.get(at));
        origin.snippet = line.map_or_else(String::new, |line| text::snippet(line));
    }
    out
}

/// How many values there are in `node`, with itself.
fn size(node: &Node) -> usize {
    let within: usize = match &node.value {
        yaml::Value::List(items) => items.iter().map(size).sum(),
        yaml::Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
        yaml::Value::Scalar { .. } => 0,
    };
    within + 1
}

/// The documents of a stream, each with the number of lines before it. `---` at the beginning of a line ends a document
/// wherever it stands; documents of comments and directives alone are left out.
fn documents(text: &str) -> Vec<(u32, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut at, mut lines_before, mut line) = (0, 0, 0, 0);
    let mut telling = false;
    for part in text.split_inclusive('\n') {
        let marker = part
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker {
            if telling {
                documents.push((lines_before, &text[begin..at]));
            }
            (begin, lines_before) = (at, line);
        }
        telling = if marker {
            has_content(&part[3..])
        } else {
            telling || (has_content(part) && !part.starts_with('%'))
        };
        at += part.len();
        line += 1;
    }
    if telling {
        documents.push((lines_before, &text[begin..]));
    }
    documents
}

fn has_content(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty() && !text.starts_with('#')
}

impl Manifests {
    fn object(&mut self, node: &Node, file: &str, lines_before: u32, zones: Zones) {
        if let Err(error) = self.try_object(node, file, lines_before, zones, None) {
            self.errors.push(*error);
        }
    }

    /// `of` is the version of the typed list that holds the object, whose items need not name it.
    fn try_object(
        &mut self,
        node: &Node,
        file: &str,
        lines_before: u32,
        zones: Zones,
        of: Option<&str>,
    ) -> Result<(), Box<Diagnostic>> {
        let mut top = Fields::top(node, file, lines_before)?;
        let version = top.text("apiVersion")?.or(of.map(str::to_owned));
        let kind = top.text("kind")?.or(of.map(|_| "CronJob".to_owned()));
        let (Some(version), Some(kind)) = (version, kind) else {
            let error =
                Diagnostic::error(BAD_DOCUMENT, "the document is no Kubernetes object").at(top.origin());
            return Err(Box::new(
                error
                    .detail("it has no apiVersion, or no kind")
                    .hint("write apiVersion: batch/v1 and kind: CronJob"),
            ));
        };
        match (version.as_str(), kind.as_str()) {
            ("batch/v1" | "batch/v1beta1", "CronJob") => {
                let cron_job = cron_job(&mut top, zones, &mut self.warnings)?;
                self.cron_jobs.push(cron_job);
            }
            (version, "List" | "CronJobList") => {
                let of = (kind == "CronJobList").then_some(version);
                top.pass(&["metadata"]);
                let items = top.get("items").and_then(Node::list).ok_or_else(|| top.missing("items"))?;
                for item in items {
                    if let Err(error) = self.try_object(item, file, lines_before, zones, of) {
                        self.errors.push(*error);
                    }
                }
            }
            (version, "CronJob") => {
                let error = Diagnostic::error(BAD_DOCUMENT, format!("CronJobs of {version:?} are not known"));
                return Err(Box::new(error.at(top.origin()).hint("write apiVersion: batch/v1")));
            }
            (_, kind) => {
                let name = node.get("metadata").and_then(|m| m.get("name")).and_then(Node::text);
                let which = name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
                let warning =
                    Diagnostic::warning(NOT_A_CRONJOB, format!("{which} is no CronJob and is passed over"));
                self.warnings.push(warning.at(top.origin()));
            }
        }
        Ok(())
    }
}

fn cron_job(
    top: &mut Fields,
    zones: Zones,
    warnings: &mut Vec<Diagnostic>,
) -> Result<CronJob, Box<Diagnostic>> {
    let mut dropped = Vec::new();
    top.pass(&["status"]);
    let mut metadata = top.need_map("metadata")?;
    let name = metadata.need_text("name")?;
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')) {
        let error = Diagnostic::error(BAD_FIELD, format!("metadata.name is {name:?}"));
        return Err(Box::new(
            error.at(metadata.origin()).hint("names have lower-case letters, digits, - and . only"),
        ));
    }
    let namespace = metadata.text("namespace")?.unwrap_or_else(|| "default".to_owned());
    let labels = labels(&mut metadata)?;
    // What the API server itself wrote.
    metadata.pass(&[
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "selfLink",
    ]);
    let mut spec = top.need_map("spec")?;
    let (schedule, rule, time_zone) = timing(&mut spec, zones)?;
    warnings.extend(rule.notes.iter().cloned());
    let concurrency = concurrency(&mut spec)?;
    let suspend = spec.flag("suspend")?.unwrap_or(false);
    let starting_deadline_secs = spec.count("startingDeadlineSeconds")?;
    let mut job_template = spec.need_map("jobTemplate")?;
    let mut job = job_template.need_map("spec")?;
    let backoff_limit = job.count("backoffLimit")?.unwrap_or(6);
    let active_deadline_secs = job.count("activeDeadlineSeconds")?;
    let mut template = job.need_map("template")?;
    let as_it_stands = template.json();
    let mut elaborate = said(template.map("metadata")?);
    if said(job_template.map("metadata")?) {
        dropped.push(job_template.path_of("metadata"));
    }
    let mut pod = template.need_map("spec")?;
    // Both policies end in a new attempt, which backoffLimit counts.
    pod.pass(&["restartPolicy"]);
    let grace_secs = pod.count("terminationGracePeriodSeconds")?.unwrap_or(30);
    let mut containers = Vec::new();
    for mut fields in pod.maps("containers")? {
        containers.push(container(&mut fields)?);
        elaborate |= !fields.unread().is_empty();
    }
    if containers.is_empty() {
        return Err(pod.missing("containers"));
    }
    let plain = |variable: &Value| variable.get("valueFrom").is_none();
    elaborate |= containers.len() > 1 || !pod.unread().is_empty() || namespace != "default";
    elaborate |= !containers.iter().all(|c| c.env.iter().all(plain));
    for fields in [&*top, &metadata, &spec, &job_template, &job] {
        dropped.extend(fields.unread());
    }
    Ok(CronJob {
        at: top.origin(),
        name,
        namespace,
        labels,
        schedule,
        rule,
        time_zone,
        suspend,
        concurrency,
        starting_deadline_secs,
        backoff_limit,
        active_deadline_secs,
        grace_secs,
        containers,
        elaborate,
        template: as_it_stands,
        dropped,
    })
}

/// Whether metadata says more than the empty time stamp that tools write.
fn said(metadata: Option<Fields>) -> bool {
    metadata.is_some_and(|mut metadata| {
        metadata.pass(&["creationTimestamp"]);
        !metadata.unread().is_empty()
    })
}

fn labels(metadata: &mut Fields) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
    let Some(labels) = metadata.map("labels")? else { return Ok(Vec::new()) };
    let Value::Object(labels) = labels.json() else { return Ok(Vec::new()) };
    Ok(labels.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect())
}

/// Schedule as written, its meaning, and the zone, which old clusters took from a prefix of the schedule as well.
fn timing(spec: &mut Fields, zones: Zones) -> Result<(String, Rule, Option<String>), Box<Diagnostic>> {
    let schedule = spec.need_text("schedule")?;
    let at = spec.get("schedule").map_or_else(|| spec.origin(), |node| spec.origin_of(node));
    let mut zone = spec.text("timeZone")?;
    let mut zone_at = spec.get("timeZone").map_or_else(|| at.clone(), |node| spec.origin_of(node));
    let mut fields = schedule.as_str();
    let prefix = ["CRON_TZ=", "TZ="].iter().find_map(|prefix| schedule.strip_prefix(prefix));
    if let Some((prefix, rest)) = prefix.map(|rest| rest.split_once(' ').unwrap_or((rest, ""))) {
        if zone.is_some() {
            let error = Diagnostic::error(BAD_FIELD, "both spec.timeZone and the schedule name a zone");
            return Err(Box::new(error.at(at).hint("keep spec.timeZone")));
        }
        (zone, zone_at, fields) = (Some(prefix.to_owned()), at.clone(), rest.trim_start());
    }
    let zone = match zone {
        None => None,
        Some(name) => Some(zones(&name).map_err(|hint| {
            let error = Diagnostic::error(UNKNOWN_ZONE, format!("there is no time zone {name:?}"));
            Box::new(error.at(zone_at).hint(hint))
        })?),
    };
    let mut rule = rule::kubernetes(fields, &at)?;
    if prefix.is_some() {
        let note = Diagnostic::warning(READ_OTHERWISE, "the zone is taken from the schedule's prefix");
        rule.notes.push(note.at(at).detail("clusters of today refuse it there").hint("write spec.timeZone"));
    }
    Ok((schedule, rule, zone))
}

fn concurrency(spec: &mut Fields) -> Result<Concurrency, Box<Diagnostic>> {
    match spec.text("concurrencyPolicy")?.as_deref() {
        None | Some("" | "Allow") => Ok(Concurrency::Allow),
        Some("Forbid") => Ok(Concurrency::Forbid),
        Some("Replace") => Ok(Concurrency::Replace),
        Some(other) => {
            let at = spec.get("concurrencyPolicy").map_or_else(|| spec.origin(), |node| spec.origin_of(node));
            let error = Diagnostic::error(BAD_FIELD, format!("spec.concurrencyPolicy is {other:?}"));
            Err(Box::new(error.at(at).hint("it must be Allow, Forbid or Replace")))
        }
    }
}

fn container(fields: &mut Fields) -> Result<Container, Box<Diagnostic>> {
    let name = fields.need_text("name")?;
    let image = fields.need_text("image")?;
    let command = fields.texts("command")?;
    let args = fields.texts("args")?;
    let mut env = Vec::new();
    for mut variable in fields.maps("env")? {
        let name = variable.need_text("name")?;
        match variable.map("valueFrom")? {
            Some(from) => env.push(json!({ "name": name, "valueFrom": from.json() })),
            None => {
                let value = variable.text("value")?.unwrap_or_default();
                env.push(json!({ "name": name, "value": value }));
            }
        }
    }
    Ok(Container { name, image, command, args, env })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(name: &str) -> Result<String, String> {
        if name == "Mars/Olympus" { Err("write a zone that exists".to_owned()) } else { Ok(name.to_owned()) }
    }

    fn manifests(text: &str) -> Manifests {
        read("f.yaml", text.as_bytes().to_vec(), &zones)
    }

    /// A CronJob whose `spec` has these further lines.
    fn with(spec: &str) -> String {
        format!(
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: a}}\nspec:\n{spec}  jobTemplate:\n    spec:\n      \
             template:\n        spec:\n          restartPolicy: Never\n          containers:\n            - {{name: c, image: i}}\n"
        )
    }

    fn one(text: &str) -> CronJob {
        let mut manifests = manifests(text);
        assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
        assert_eq!(manifests.cron_jobs.len(), 1);
        manifests.cron_jobs.remove(0)
    }

    fn lines(diagnostics: &[Diagnostic]) -> Vec<u32> {
        diagnostics.iter().map(|d| d.origin.as_ref().expect("a place").line).collect()
    }

    #[test]
    fn defaults_are_filled_in() {
        let job = one(&with("  schedule: \"*/5 * * * *\"\n"));
        assert_eq!((job.name.as_str(), job.namespace.as_str()), ("a", "default"));
        assert_eq!((job.time_zone.clone(), job.suspend, job.concurrency), (None, false, Concurrency::Allow));
        assert_eq!((job.starting_deadline_secs, job.active_deadline_secs), (None, None));
        assert_eq!((job.backoff_limit, job.grace_secs), (6, 30));
        assert!(!job.elaborate && job.dropped.is_empty());
        let [container] = job.containers.as_slice() else { panic!("one container") };
        assert!(container.command.is_empty() && container.args.is_empty() && container.env.is_empty());
    }

    #[test]
    fn every_field_is_read_or_named() {
        let job = one(&with(
            "  schedule: \"0 2 * * *\"\n  timeZone: Asia/Tokyo\n  suspend: true\n  concurrencyPolicy: Replace\n  \
             startingDeadlineSeconds: 60\n  failedJobsHistoryLimit: 3\n  fancy: {a: 1}\n",
        ));
        assert_eq!(job.time_zone.as_deref(), Some("Asia/Tokyo"));
        assert_eq!(
            (job.suspend, job.concurrency, job.starting_deadline_secs),
            (true, Concurrency::Replace, Some(60))
        );
        assert_eq!(job.dropped, ["spec.failedJobsHistoryLimit", "spec.fancy"]);
    }

    #[test]
    fn a_bad_document_is_an_error_beside_the_good_ones() {
        let good = with("  schedule: \"@daily\"\n");
        let broken = "a: [\n";
        let text = format!(
            "# head\n---\n{good}---\n{broken}--- # next\n{good}---\n---\njust text\n...\n---\n{good}"
        );
        let manifests = manifests(&text);
        assert_eq!(manifests.cron_jobs.len(), 3);
        assert_eq!(manifests.errors.len(), 2, "{:?}", manifests.errors);
        let length = u32::try_from(good.lines().count()).expect("short");
        let begins: Vec<u32> = manifests.cron_jobs.iter().map(|job| job.at.line).collect();
        assert_eq!(begins[..2], [3, 3 + length + 3]);
        assert!(lines(&manifests.errors)[0] > 3 + length);
    }

    #[test]
    fn lists_anchors_json_and_both_versions_are_read() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- &a\n  apiVersion: batch/v1beta1\n  kind: CronJob\n  \
                    metadata: {name: a}\n  spec: &s\n    schedule: '@hourly'\n    jobTemplate: {spec: {template: {spec: \
                    {containers: [{name: c, image: i}]}}}}\n- <<: *a\n  metadata: {name: b}\n  spec: {<<: *s, suspend: true}\n\
                    - {kind: CronJob, apiVersion: batch/v2alpha1}\n";
        let manifests = manifests(text);
        let names: Vec<&str> = manifests.cron_jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(manifests.cron_jobs[1].suspend);
        assert_eq!(manifests.errors.len(), 1);
        let json = json!({"apiVersion": "batch/v1", "kind": "CronJobList", "items": [
            {"metadata": {"name": "j"}, "spec": {"schedule": "5 4 * * sun", "jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "c", "image": "i", "args": ["a"], "env": [{"name": "N"}]}]}}}}}}]});
        let job = one(&json.to_string());
        assert_eq!(job.containers[0].env, [json!({"name": "N", "value": ""})]);
    }

    #[test]
    fn objects_of_other_kinds_are_named_and_passed_over() {
        let text =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: batch/v1\nkind: Job\n";
        let manifests = manifests(text);
        assert!(manifests.errors.is_empty());
        assert_eq!(lines(&manifests.warnings), [1, 5]);
    }

    #[test]
    fn what_the_api_server_refuses_is_an_error() {
        let cases = [
            with("  schedule: \"61 * * * *\"\n"),
            with("  schedule: \"* * * *\"\n"),
            with("  schedule: \"0 0 L * *\"\n"),
            with("  schedule: \"0 0 * * 1#2\"\n"),
            with("  schedule: \"0 0 * * * *\"\n"),
            with("  schedule: \"@reboot\"\n"),
            with("  schedule: \"0 0 31 2 *\"\n"),
            with("  schedule: 5\n"),
            with("  schedule: \"\"\n"),
            with(""),
            with("  schedule: \"@daily\"\n  timeZone: Mars/Olympus\n"),
            with("  schedule: \"CRON_TZ=UTC @daily\"\n  timeZone: UTC\n"),
            with("  schedule: \"@daily\"\n  concurrencyPolicy: forbid\n"),
            with("  schedule: \"@daily\"\n  suspend: \"yes\"\n"),
            with("  schedule: \"@daily\"\n  startingDeadlineSeconds: -1\n"),
            with("  schedule: \"@daily\"\n").replace("name: a", "name: A b"),
            with("  schedule: \"@daily\"\n").replace("batch/v1", "batch/v3"),
            with("  schedule: \"@daily\"\n").replace("image: i", "image: 5"),
            with("  schedule: \"@daily\"\n").replace(", image: i", ""),
            with("  schedule: \"@daily\"\n").replace("- {name: c, image: i}", "[]"),
            "kind: CronJob\n".to_owned(),
            "- a\n".to_owned(),
        ];
        for text in cases {
            let manifests = manifests(&text);
            assert_eq!((manifests.errors.len(), manifests.cron_jobs.len()), (1, 0), "{text}");
        }
    }

    #[test]
    fn a_zone_before_the_schedule_is_taken_as_old_clusters_took_it() {
        let text = with("  schedule: \"TZ=Asia/Tokyo 0 9 * * *\"\n");
        let job = one(&text);
        assert_eq!((job.time_zone.as_deref(), job.rule.standard.as_str()), (Some("Asia/Tokyo"), "0 9 * * *"));
        assert_eq!(manifests(&text).warnings.len(), 1);
    }

    #[test]
    fn day_fields_stay_alternatives_unless_one_is_a_star() {
        for (written, standard) in [
            ("0 0 1 * mon", "0 0 1 * mon"),
            ("0 0 */2 * mon", "0 0 */2 * mon"),
            ("0 0 */1 * mon", "0 0 * * mon"),
            ("0 0 ? * 1", "0 0 * * 1"),
            ("0 0 3,* * 1", "0 0 * * 1"),
        ] {
            assert_eq!(one(&with(&format!("  schedule: \"{written}\"\n"))).rule.standard, standard);
        }
    }

    #[test]
    fn a_file_of_alias_bombs_is_given_up_soon() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n---\n";
        let manifests = manifests(&bomb.repeat(100));
        assert!(manifests.cron_jobs.is_empty() && manifests.errors.len() < 10, "{}", manifests.errors.len());
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(text in "([a-z:{}\\[\\]&*<\"'#% \n-]|---\n|kind: CronJob\n|items:\n){0,40}") {
            manifests(&text);
        }
    }

    #[test]
    fn a_seven_for_sunday_is_remarked_on() {
        let origin = Origin { file: "f".to_owned(), line: 1, column: 1, width: 1, snippet: String::new() };
        let notes = |of_week: &str| {
            let rule = rule::kubernetes(&format!("0 0 * * {of_week}"), &origin).expect("a rule");
            rule.notes.len()
        };
        assert_eq!(["7", "5-7", "1,7", "7/2"].map(notes), [1; 4]);
        assert_eq!(["0", "*/7", "1-5", "sun", "*"].map(notes), [0; 5]);
    }
}
