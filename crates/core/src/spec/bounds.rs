//! What a job's processes may have: the keys `limits`, `rlimits`, `umask`, `nice` and `noNewPrivileges`.

use super::definition::LimitsSpec;
use super::reader::{Fields, Reader};
use super::table::{LIMITS, RLIMITS};
use super::yaml::Entry;
use crate::job::{Bounds, Limits, Rlimits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is set for a process before it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct BoundsSpec {
    /// What each of its processes may have.
    #[serde(skip_serializing_if = "RlimitsSpec::is_empty")]
    pub rlimits: RlimitsSpec,
    /// The permissions that are taken from files it makes; `None`: the daemon's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// What is added to its niceness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Whether programs that it starts can give it no more rights than it has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privileges: bool,
}

/// What each process of a job may have; `None`: what the daemon was started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RlimitsSpec {
    /// Descriptors at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Bytes of a core file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_bytes: Option<u64>,
    /// Bytes of a file that it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Bytes of its stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_bytes: Option<u64>,
    /// Seconds of processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
}

impl BoundsSpec {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the decisions see it.
    pub(super) fn compile(&self) -> Bounds {
        let RlimitsSpec { open_files, core_bytes, file_bytes, stack_bytes, cpu_seconds } = self.rlimits;
        Bounds {
            rlimits: Rlimits { open_files, core_bytes, file_bytes, stack_bytes, cpu_seconds },
            umask: self.umask,
            nice: self.nice,
            no_new_privileges: self.no_new_privileges,
        }
    }
}

impl RlimitsSpec {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LimitsSpec {
    /// As the decisions see it.
    pub fn compile(&self) -> Limits {
        Limits { cpu_millis: self.cpu_millis, memory_bytes: self.memory_bytes, pids: self.pids }
    }
}

/// Reads `limits`.
pub(super) fn read_limits(reader: &mut Reader<'_>, entry: &Entry) -> Option<LimitsSpec> {
    let fields = reader.fields(&entry.node, &LIMITS)?;
    let cpu_millis = reader.cpu(fields.get("cpu"));
    let memory_bytes = at_least(reader, &fields, "memory", MEMORY_BYTES_MIN, "1Mi");
    let pids = reader.integer(fields.get("pids"), 1, 4_194_304);
    let pids = pids.map(|pids| u32::try_from(pids).expect("at most 4,194,304"));
    Some(LimitsSpec { cpu_millis, memory_bytes, pids })
}

/// With less memory a process does not begin.
const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// The kernel itself puts arguments and environment on the stack.
const STACK_BYTES_MIN: u64 = 128 << 10;
/// The launcher must be able to say what went wrong.
const FILE_BYTES_MIN: u64 = 4 << 10;

/// Reads `rlimits`.
fn read_rlimits(reader: &mut Reader<'_>, entry: &Entry) -> Option<RlimitsSpec> {
    let fields = reader.fields(&entry.node, &RLIMITS)?;
    Some(RlimitsSpec {
        open_files: reader.integer(fields.get("openFiles"), 4, 1 << 30).map(i64::unsigned_abs),
        core_bytes: match fields.get("core") {
            Some(entry) if entry.node.text() == Some("0") => Some(0),
            entry => reader.bytes(entry),
        },
        file_bytes: at_least(reader, &fields, "fileSize", FILE_BYTES_MIN, "4Ki"),
        stack_bytes: at_least(reader, &fields, "stack", STACK_BYTES_MIN, "128Ki"),
        cpu_seconds: reader.positive(fields.get("cpuTime")).map(whole_seconds),
    })
}

/// The kernel counts whole seconds; never less than asked for.
fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

fn at_least(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    least: u64,
    least_text: &str,
) -> Option<u64> {
    let entry = fields.get(key);
    let bytes = reader.bytes(entry)?;
    if bytes < least {
        let hint = format!("write at least {least_text}, or remove the key");
        reader.not_allowed(entry?.node.place, format!("`{key}` of {bytes} bytes lets nothing begin"), hint);
        return None;
    }
    Some(bytes)
}

/// Reads what is set for a process before it begins; `get` gives the entry in force for a key.
pub(super) fn read<'n>(
    reader: &mut Reader<'_>,
    get: impl Fn(&str) -> Option<&'n Entry>,
    as_user: bool,
) -> BoundsSpec {
    let rlimits = get("rlimits").and_then(|entry| read_rlimits(reader, entry));
    BoundsSpec {
        rlimits: rlimits.unwrap_or_default(),
        umask: read_umask(reader, get("umask")),
        nice: reader
            .integer(get("nice"), -20, 19)
            .map(|nice| i32::try_from(nice).expect("-20 to 19"))
            .filter(|nice| *nice != 0),
        // A job that is to run as somebody is not to become somebody else.
        no_new_privileges: reader.boolean(get("noNewPrivileges")).unwrap_or(as_user),
    }
}

/// Octal digits as `umask` prints them: `0027`, `"022"`.
fn read_umask(reader: &mut Reader<'_>, entry: Option<&Entry>) -> Option<u32> {
    let entry = entry?;
    let text = reader.text(Some(entry))?;
    let digits = text.strip_prefix("0o").unwrap_or(&text);
    let mask = u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777);
    if mask.is_none() {
        let message = format!("{:?} is no umask", super::reader::clip(&text));
        reader.not_allowed(
            entry.node.place,
            message,
            "write octal digits from \"000\" to \"777\", as \"027\"",
        );
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, job};
    use super::*;
    use crate::spec::{ActionSpec, JobSpec};

    fn bounds(keys: &str) -> BoundsSpec {
        match job(&format!("job: {{name: a, run: [x], {keys}}}")).action {
            ActionSpec::Run(process) => process.bounds,
            other => panic!("{other:?}"),
        }
    }

    fn refused(keys: &str) -> String {
        error(&format!("job: {{name: a, run: [x], {keys}}}")).3
    }

    #[test]
    fn bounds_are_read_in_their_units() {
        let read = bounds(
            "umask: 0027, nice: 5, rlimits: {openFiles: 4096, core: 0, fileSize: 1Gi, stack: 8Mi, cpuTime: 1500ms}",
        );
        let rlimits = RlimitsSpec {
            open_files: Some(4096),
            core_bytes: Some(0),
            file_bytes: Some(1 << 30),
            stack_bytes: Some(8 << 20),
            cpu_seconds: Some(2),
        };
        assert_eq!(read, BoundsSpec { rlimits, umask: Some(0o27), nice: Some(5), no_new_privileges: false });
        assert_eq!(bounds("umask: '0o777'").umask, Some(0o777));
        assert!(bounds("nice: 0").is_empty());
    }

    #[test]
    fn who_runs_as_somebody_does_not_become_somebody_else_unless_it_says_so() {
        assert!(!bounds("description: x").no_new_privileges);
        assert!(bounds("runAs: app").no_new_privileges);
        assert!(!bounds("runAs: app, noNewPrivileges: false").no_new_privileges);
        assert!(bounds("noNewPrivileges: true").no_new_privileges);
    }

    #[test]
    fn what_lets_nothing_begin_is_refused() {
        for (keys, says) in [
            ("umask: 0888", "write octal digits"),
            ("umask: 1000", "write octal digits"),
            ("rlimits: {stack: 1Ki}", "write at least 128Ki"),
            ("rlimits: {fileSize: 1Ki}", "write at least 4Ki"),
            ("limits: {memory: 4Ki}", "write at least 1Mi"),
            ("nice: 20", "write 19"),
            ("rlimits: {openFile: 3}", "openFiles"),
        ] {
            assert!(refused(keys).contains(says), "{keys}: {}", refused(keys));
        }
    }

    #[test]
    fn a_revision_of_before_is_read_as_it_was_meant() {
        let mut json = job("job: {name: a, run: [x], runAs: app}").to_json();
        json["action"]["run"].as_object_mut().expect("a process").remove("bounds").expect("it has bounds");
        let read = JobSpec::from_json(&json).expect("it is read");
        let ActionSpec::Run(process) = read.action else { panic!("it runs") };
        assert!(process.bounds.is_empty());
    }
}
