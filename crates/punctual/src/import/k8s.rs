//! Kubernetes CronJob manifests (`batch/v1`, `batch/v1beta1`): YAML or JSON, several documents, lists of objects.
//!
//! Each document is parsed by itself, so that a broken one is an error beside the good ones. An object of another kind
//! is named in a warning and so is every field that is not carried over.

use super::manifest::Fields;
use super::rule::{self, Rule};
use super::{BAD_DOCUMENT, BAD_FIELD, NOT_A_CRONJOB, READ_OTHERWISE, UNKNOWN_ZONE, Zones};
use punctual_core::error::{Diagnostic, Origin};
use punctual_core::spec::yaml::{self, Node};
use punctual_core::spec::Source;
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
    /// `Never` or `OnFailure`.
    pub restart_policy: String,
    /// What runs.
    pub containers: Vec<Container>,
    /// Whether the pod has more than the containers' image, command, arguments and plain environment.
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
        let error = Diagnostic::error(BAD_DOCUMENT, format!("{file} has more than {DOCUMENTS_MAX} documents"));
        out.errors.push(error.at(super::whole_file(file)).hint("split the file"));
        return out;
    }
    for (lines_before, text) in documents {
        match yaml::parse(0, &Source::new(file, text)) {
            Ok(nodes) => {
                for node in &nodes {
                    out.object(node, file, lines_before, zones);
                }
            }
            Err(mut error) => {
                if let Some(origin) = &mut error.origin {
                    origin.line += lines_before;
                }
                out.errors.push(error);
            }
        }
    }
    out
}

/// The documents of a stream, each with the number of lines before it. `---` at the beginning of a line ends a document
/// wherever it stands; documents of comments and directives alone are left out.
fn documents(text: &str) -> Vec<(u32, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut at, mut lines_before, mut line) = (0, 0, 0, 0);
    let mut telling = false;
    for part in text.split_inclusive('\n') {
        let marker = part.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker {
            if telling {
                documents.push((lines_before, &text[begin..at]));
            }
            (begin, lines_before) = (at, line);
        }
        telling = if marker { has_content(&part[3..]) } else { telling || (has_content(part) && !part.starts_with('%')) };
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
            let error = Diagnostic::error(BAD_DOCUMENT, "the document is no Kubernetes object").at(top.origin());
            return Err(Box::new(error.detail("it has no apiVersion, or no kind").hint("write apiVersion: batch/v1 and kind: CronJob")));
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
                let warning = Diagnostic::warning(NOT_A_CRONJOB, format!("{which} is no CronJob and is passed over"));
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
    let namespace = metadata.text("namespace")?.unwrap_or_else(|| "default".to_owned());
    let labels = labels(&mut metadata)?;
    // What the API server itself wrote.
    metadata.pass(&["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"]);
    let mut spec = top.need_map("spec")?;
    let (schedule, rule, time_zone) = timing(&mut spec, zones)?;
    warnings.extend(rule.notes.iter().cloned());
    let concurrency = concurrency(&mut spec)?;
    let suspend = spec.flag("suspend")?.unwrap_or(false);
    let starting_deadline_secs = spec.count("startingDeadlineSeconds")?;
    let mut job_template = spec.need_map("jobTemplate")?;
    job_template.pass(&["metadata"]);
    let mut job = job_template.need_map("spec")?;
    let backoff_limit = job.count("backoffLimit")?.unwrap_or(6);
    let active_deadline_secs = job.count("activeDeadlineSeconds")?;
    let mut template = job.need_map("template")?;
    let as_it_stands = template.json();
    template.pass(&["metadata"]);
    let mut pod = template.need_map("spec")?;
    let restart_policy = pod.text("restartPolicy")?.unwrap_or_else(|| "Always".to_owned());
    let grace_secs = pod.count("terminationGracePeriodSeconds")?.unwrap_or(30);
    let mut elaborate = false;
    let mut containers = Vec::new();
    for mut fields in pod.maps("containers")? {
        containers.push(container(&mut fields)?);
        elaborate |= !fields.unread().is_empty();
    }
    if containers.is_empty() {
        return Err(pod.missing("containers"));
    }
    let plain = |variable: &Value| variable.get("valueFrom").is_none();
    elaborate |= containers.len() > 1 || !pod.unread().is_empty();
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
        restart_policy,
        containers,
        elaborate,
        template: as_it_stands,
        dropped,
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
