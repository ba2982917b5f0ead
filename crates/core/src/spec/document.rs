//! From files to [`Definitions`]: documents, what they share, and the jobs of all of them.

use super::Context;
use super::calendar;
use super::definition::{CalendarSpec, JobSpec};
use super::job::{self, Read};
use super::origin::Origins;
use super::reader::{Fields, MISPLACED, Reader, WRONG_TYPE};
use super::table::{DEFAULTS, DOCUMENT, SEMAPHORE, WORKER_POOL};
use super::text::{Place, Source, Texts, count};
use super::yaml::{self, Entry, Node};
use crate::error::{Code, Diagnostic};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const NAME_TAKEN: Code = Code("DEF011");
/// Files or directories without a job.
pub const NO_JOBS: Code = Code("DEF107");
const NOT_ENFORCED: Code = Code("DEF103");
const CIRCLE: Code = Code("DEF108");
const ELSEWHERE: Code = Code("DEF104");
const QUEUE_BOUNDED: Code = Code("DEF115");
/// What `unbounded` means.
const QUEUE_MAX: u32 = 10_000;

/// Everything that a set of files defines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// The jobs, in the order of the files.
    pub jobs: Vec<JobSpec>,
    /// Where each job stands and where its values come from, by the job's name.
    pub origins: BTreeMap<String, Origins>,
    /// Sets of days, by name. Jobs hold copies of those they use.
    pub calendars: BTreeMap<String, CalendarSpec>,
    /// Shared limits, by name.
    pub semaphores: BTreeMap<String, Semaphore>,
    /// Slots with queues, by name.
    pub worker_pools: BTreeMap<String, WorkerPool>,
    /// What was taken, but will probably surprise.
    pub warnings: Vec<Diagnostic>,
}

/// A shared limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semaphore {
    /// How many at once.
    pub permits: u32,
}

/// Slots with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPool {
    /// Slots kept.
    pub core: u32,
    /// Slots at most.
    pub max: u32,
    /// Runs that wait at most.
    pub queue: u32,
    /// A slot above `core` ends when idle for so long.
    pub idle: Duration,
    /// What happens to a run when slots and queue are full.
    pub rejection: Rejection,
}

/// What happens to a run that finds slots and queue of its worker pool full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rejection {
    /// It is refused.
    #[default]
    Reject,
    /// Who submits it waits.
    CallerWaits,
    /// The oldest waiting run is dropped for it.
    DropOldest,
}

/// What jobs of all files may refer to.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) semaphores: BTreeMap<String, Semaphore>,
    pub(crate) worker_pools: BTreeMap<String, WorkerPool>,
    pub(crate) calendars: BTreeMap<String, CalendarSpec>,
}

/// Reads files of definitions.
///
/// # Errors
/// Every error of every file, in the order of the files, then the warnings.
pub fn load(files: &[Source], context: &Context<'_>) -> Result<Definitions, Vec<Diagnostic>> {
    let mut reader = Reader::new(Texts::new(files), context);
    let mut documents = Vec::new();
    for (index, source) in files.iter().enumerate() {
        match yaml::parse(count(index), source) {
            Ok(nodes) => documents.push((count(index), nodes)),
            Err(error) => reader.keep(error),
        }
    }
    let mut fields: Vec<(u32, Fields<'_>)> = Vec::new();
    for (file, nodes) in &documents {
        for node in nodes {
            fields.extend(read_document(&mut reader, node).map(|read| (*file, read)));
        }
    }
    let shared = read_shared(&mut reader, &fields);
    let defaults = read_defaults(&mut reader, &fields, &shared);
    let mut jobs = Vec::new();
    for (file, document) in &fields {
        for node in job_nodes(&mut reader, document) {
            jobs.extend(job::read(&mut reader, node, defaults.get(file), &shared));
        }
    }
    check_names(&mut reader, &jobs);
    warn_of_circles(&mut reader, &jobs);
    warn_of_unenforced(&mut reader, &jobs);
    let (mut errors, mut warnings) = reader.finish();
    if !errors.is_empty() {
        errors.extend(warnings);
        return Err(errors);
    }
    if jobs.is_empty() && !files.is_empty() {
        let none = Diagnostic::warning(NO_JOBS, "no job is defined");
        warnings.push(none.hint("add `jobs:` with a list, each with `name`, `schedule` and `run`"));
    }
    let mut definitions = Definitions {
        calendars: shared.calendars,
        semaphores: shared.semaphores,
        worker_pools: shared.worker_pools,
        warnings,
        ..Definitions::default()
    };
    for Read { spec, origins, .. } in jobs {
        definitions.origins.insert(spec.name.clone(), origins);
        definitions.jobs.push(spec);
    }
    Ok(definitions)
}

/// The keys of a document. A list at the top is told what to stand below.
fn read_document<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<Fields<'n>> {
    if node.list().is_some() {
        let diagnostic = Diagnostic::error(WRONG_TYPE, "a list stands at the top level");
        reader.report(node.place, diagnostic.hint("put `jobs:` above it"));
        return None;
    }
    reader.fields(node, &DOCUMENT)
}

/// The jobs of a document, in the order written.
fn job_nodes<'n>(reader: &mut Reader<'_>, document: &Fields<'n>) -> Vec<&'n Node> {
    let mut nodes = Vec::new();
    for entry in document.given(&["job", "jobs"]) {
        if entry.key == "job" {
            if entry.node.is_null() {
                let empty = Diagnostic::error(WRONG_TYPE, "`job` is empty");
                reader.report(entry.place, empty.hint("indent the keys of the job below it"));
            } else {
                nodes.push(&entry.node);
            }
            continue;
        }
        match entry.node.list() {
            Some(items) => nodes.extend(items),
            None if entry.node.get("name").is_some() => {
                let one = Diagnostic::error(MISPLACED, "one job stands where a list of jobs belongs");
                reader.report(
                    entry.place,
                    one.hint("write `job:` for one job, or put `- ` before its first key"),
                );
            }
            None => reader.wrong_type(&entry.node, "a list of jobs, each beginning with `- name: …`"),
        }
    }
    nodes
}

/// Semaphores, worker pools and calendars of all documents.
fn read_shared(reader: &mut Reader<'_>, documents: &[(u32, Fields<'_>)]) -> Shared {
    let mut shared = Shared::default();
    for (_, document) in documents {
        for entry in declared(reader, document, "semaphores") {
            let Some(semaphore) = read_semaphore(reader, entry) else { continue };
            if shared.semaphores.insert(entry.key.clone(), semaphore).is_some() {
                declared_twice(reader, entry, "semaphore");
            }
        }
        for entry in declared(reader, document, "workerPools") {
            let Some(pool) = read_worker_pool(reader, entry) else { continue };
            if shared.worker_pools.insert(entry.key.clone(), pool).is_some() {
                declared_twice(reader, entry, "worker pool");
            }
        }
        for entry in declared(reader, document, "calendars") {
            let Some(calendar) = calendar::read(reader, entry) else { continue };
            if shared.calendars.insert(entry.key.clone(), calendar).is_some() {
                declared_twice(reader, entry, "calendar");
            }
        }
    }
    shared
}

/// The entries of a mapping from names to declarations. Warns of what is not enforced yet.
fn declared<'n>(reader: &mut Reader<'_>, document: &Fields<'n>, key: &str) -> Vec<&'n Entry> {
    let Some(entry) = document.get(key) else { return Vec::new() };
    let Some(entries) = entry.node.map() else {
        reader.wrong_type(&entry.node, "a mapping from names to declarations");
        return Vec::new();
    };
    if key != "calendars" {
        let warning = Diagnostic::warning(NOT_ENFORCED, format!("`{key}` are checked but not enforced yet"));
        let warning = warning.detail("a later release of Punctual enforces them");
        reader.report(entry.place, warning.hint("keep them: they will hold then"));
    }
    let named = |entry: &&Entry| reader.check_name(entry.place, entry.key.clone()).is_some();
    entries.iter().filter(named).collect()
}

fn declared_twice(reader: &mut Reader<'_>, entry: &Entry, what: &str) {
    let message = format!("the {what} {:?} is declared twice", entry.key);
    reader.report(
        entry.place,
        Diagnostic::error(NAME_TAKEN, message).hint("keep one declaration; all files share it"),
    );
}

fn read_semaphore(reader: &mut Reader<'_>, entry: &Entry) -> Option<Semaphore> {
    if matches!(entry.key.as_str(), "cpu" | "memory") {
        let hint = "`cpu` and `memory` are the machine's own; take another name";
        reader.not_allowed(entry.place, format!("a semaphore cannot be called {:?}", entry.key), hint);
        return None;
    }
    let fields = reader.fields(&entry.node, &SEMAPHORE)?;
    let permits = reader.integer(fields.get("permits"), 1, 1_000_000).unwrap_or(10);
    Some(Semaphore { permits: u32::try_from(permits).expect("at most a million") })
}

fn read_worker_pool(reader: &mut Reader<'_>, entry: &Entry) -> Option<WorkerPool> {
    let fields = reader.fields(&entry.node, &WORKER_POOL)?;
    let slots = |number: i64| u32::try_from(number).expect("at most 100,000");
    let core = reader.integer(fields.get("core"), 1, 100_000).map_or(10, slots);
    let max = reader.integer(fields.get("max"), 1, 100_000).map_or(core.max(50), slots);
    if max < core
        && let Some(entry) = fields.get("max")
    {
        reader.not_allowed(
            entry.node.place,
            format!("`max` {max} is below `core` {core}"),
            format!("write {core} or more"),
        );
    }
    let queue = match fields.get("queue") {
        Some(entry) if entry.node.text() == Some("unbounded") => {
            let warning = Diagnostic::warning(QUEUE_BOUNDED, "an unbounded queue is bounded at 10000");
            reader.report(
                entry.node.place,
                warning.hint("write `queue: 10000`, or what the pool can work off in time"),
            );
            QUEUE_MAX
        }
        entry => reader.integer(entry, 0, i64::from(QUEUE_MAX)).map_or(1000, slots),
    };
    let idle = reader.duration(fields.get("idle")).unwrap_or(Duration::from_secs(60));
    let rejection = reader.choice(fields.get("rejection")).unwrap_or_default();
    Some(WorkerPool { core, max, queue, idle, rejection })
}

/// The `defaults` of each file, checked by reading them as a job's keys once.
fn read_defaults<'n>(
    reader: &mut Reader<'_>,
    documents: &[(u32, Fields<'n>)],
    shared: &Shared,
) -> HashMap<u32, Fields<'n>> {
    let mut defaults = HashMap::new();
    let mut places: HashMap<u32, Place> = HashMap::new();
    for (file, document) in documents {
        let Some(entry) = document.get("defaults") else { continue };
        if let Some(first) = places.insert(*file, entry.place) {
            let message = "this file has two `defaults`";
            let twice =
                Diagnostic::error(NAME_TAKEN, message).detail(format!("the first is in line {}", first.line));
            reader.report(entry.place, twice.hint("join them; they hold for all documents of the file"));
            continue;
        }
        if let Some(fields) = reader.fields(&entry.node, &DEFAULTS) {
            job::check_defaults(reader, &fields, shared);
            defaults.insert(*file, fields);
        }
    }
    defaults
}

/// Names are unique, former names free, and upstream jobs defined.
fn check_names(reader: &mut Reader<'_>, jobs: &[Read]) {
    let mut names: HashMap<&str, Place> = HashMap::new();
    for job in jobs {
        if let Some(first) = names.insert(&job.spec.name, job.place) {
            let first = format!("{}:{}", reader.texts.name(first.file), first.line);
            let message = format!("two jobs are called {:?}", job.spec.name);
            let twice = Diagnostic::error(NAME_TAKEN, message).detail(format!("the first is at {first}"));
            reader.report(job.place, twice.hint("rename one of them"));
        }
    }
    for job in jobs {
        if let Some(former) = job.spec.renamed_from.as_deref().filter(|former| names.contains_key(former)) {
            let message = format!("`renamedFrom` names {former:?}, which is a job itself");
            reader.report(job.place, Diagnostic::error(NAME_TAKEN, message).hint("remove one of the two"));
        }
        for (upstream, place) in &job.upstreams {
            if !names.contains_key(upstream.as_str()) {
                let message = format!("the job {upstream:?} is not defined in these files");
                let hint = match super::suggest::nearest(upstream, names.keys().copied()) {
                    Some(near) => format!("is {near} meant?"),
                    None => "it must be in the store by other means".to_owned(),
                };
                reader.report(*place, Diagnostic::warning(ELSEWHERE, message).hint(hint));
            }
        }
    }
}

/// Jobs that wait for each other in a circle: once one of them runs, they never rest.
///
/// One walk over all edges, depth first: an edge to a job whose own upstreams are still being walked closes a circle.
fn warn_of_circles(reader: &mut Reader<'_>, jobs: &[Read]) {
    let index: HashMap<&str, usize> =
        jobs.iter().enumerate().map(|(at, job)| (job.spec.name.as_str(), at)).collect();
    let mut walked = vec![Walk::Not; jobs.len()];
    for root in 0..jobs.len() {
        if walked[root] == Walk::Done {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((job, edge)) = path.pop() {
            walked[job] = Walk::Under;
            let Some((name, place)) = jobs[job].upstreams.get(edge) else {
                walked[job] = Walk::Done;
                continue;
            };
            path.push((job, edge + 1));
            match index.get(name.as_str()).map(|upstream| (*upstream, walked[*upstream])) {
                Some((upstream, Walk::Not)) => path.push((upstream, 0)),
                Some((_, Walk::Under)) => {
                    let message = format!("{:?} waits for {name:?}, which waits for it", jobs[job].spec.name);
                    let warning = Diagnostic::warning(CIRCLE, message);
                    let warning = warning.detail("once one of the circle runs, they never rest");
                    reader.report(
                        *place,
                        warning.hint("for a job that repeats write `{every: 1m, pace: fixed-delay}`"),
                    );
                }
                _ => {}
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Not,
    Under,
    Done,
}

/// One warning a key, however many jobs use it.
fn warn_of_unenforced(reader: &mut Reader<'_>, jobs: &[Read]) {
    for key in ["resources"] {
        let places = || jobs.iter().flat_map(|job| &job.unenforced).filter(|(known, _)| *known == key);
        let Some((_, first)) = places().next() else { continue };
        let jobs = match places().count() {
            1 => "one job".to_owned(),
            number => format!("{number} jobs"),
        };
        let warning =
            Diagnostic::warning(NOT_ENFORCED, format!("`{key}` of {jobs} are checked but not enforced yet"));
        let warning = warning.detail("a later release of Punctual enforces them");
        reader.report(*first, warning.hint("keep them: they will hold then"));
    }
}
