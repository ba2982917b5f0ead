//! Control groups, by plain files: what bounds a tree as a whole, and holds it together whatever its processes do.
//!
//! ```text
//! MOUNT/OWN/punctual-DEVICE-INODE/RUN.FENCE
//! ```
//! Groups are made below the group that this process is in, under a name of the data directory's: whoever has that
//! directory's lock knows that every group of that name is a dead session's. With version 1 a controller has a
//! hierarchy of its own and an attempt a group in each that it needs; with version 2 there is one.
//!
//! Only attempts with `limits` get a group. Entering one takes a grace period of the kernel with version 2 (measured:
//! 8 ms), which no plain job has to wait for.

use super::protocol::Limits;
use punctual_core::error::Code;
use punctual_core::job;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nothing enforces a limit here.
const NOT_ENFORCED: Code = Code("EXE017");
/// The group that a unit's `DelegateSubgroup=` puts the daemon into, so that there is room beside it.
pub const SUBGROUP: &str = "punctual-daemon";
/// With version 1, quotas of processor time are counted over so long.
const PERIOD_US: u64 = 100_000;
/// The kernel takes no smaller quota.
const QUOTA_US_MIN: u64 = 1_000;
/// How often dead sessions' processes are killed before it is given up.
const ROUNDS_MAX: usize = 100;

/// What bounds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Bytes.
    Memory,
    /// Processor time.
    Cpu,
    /// Processes and threads.
    Pids,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The kernel's name, which is also the key in `limits`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    fn is_asked_for(self, limits: &Limits) -> bool {
        match self {
            Self::Memory => limits.memory_bytes.is_some(),
            Self::Cpu => limits.cpu_millis.is_some(),
            Self::Pids => limits.pids.is_some(),
        }
    }
}

/// Where groups can be made, of this session.
#[derive(Debug)]
pub struct Groups {
    places: Vec<Place>,
    /// Why a controller has no place.
    missing: Vec<(Controller, String)>,
}

/// A hierarchy in which this session has a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    version: Version,
    controllers: Vec<Controller>,
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Groups {
    /// Makes the session's groups, wherever that is possible. `data` is the data directory.
    pub fn make(data: &Path) -> Self {
        let mut groups = Self { places: Vec::new(), missing: Vec::new() };
        let found = Found::here();
        for controller in Controller::ALL {
            if groups.places.iter().any(|place| place.controllers.contains(&controller)) {
                continue;
            }
            match found.open(controller, &session(data)) {
                Ok(place) => groups.places.push(place),
                Err(reason) => groups.missing.push((controller, reason)),
            }
        }
        groups
    }

    /// What nothing enforces of the limits of a job, and why, for people; `None` if all of it holds.
    pub fn unenforced_of(&self, limits: &job::Limits) -> Option<String> {
        let job::Limits { cpu_millis, memory_bytes, pids } = *limits;
        self.unenforced(&Limits { cpu_millis, memory_bytes, pids })
    }

    /// The group of an attempt with these limits, and what of them nothing enforces. An attempt without limits has
    /// none.
    pub fn bound(&self, name: &str, limits: &Limits) -> Bounded {
        let (group, failure) = match self.group(name, limits) {
            Ok(group) => (group, None),
            Err(error) => (None, Some(format!("{NOT_ENFORCED}: its limits are not enforced: {error}"))),
        };
        Bounded { group, remark: failure.or_else(|| self.unenforced(limits)) }
    }

    /// What of `limits` nothing enforces here, and why, for people; `None` if all of it holds.
    fn unenforced(&self, limits: &Limits) -> Option<String> {
        let asked = self.missing.iter().filter(|(controller, _)| controller.is_asked_for(limits));
        let mut words: Vec<String> = Vec::new();
        for (controller, reason) in asked {
            words.push(format!("limits.{} is not enforced: {reason}", controller.name()));
        }
        (!words.is_empty()).then(|| format!("{NOT_ENFORCED}: {}", words.join("; ")))
    }

    fn group(&self, name: &str, limits: &Limits) -> Result<Option<Group>, String> {
        let mut group = Group { dirs: Vec::new(), memory: None };
        for place in &self.places {
            let asked = place.controllers.iter().any(|c| c.is_asked_for(limits));
            // Without processes' number nothing can be killed that forks faster than it is found.
            if !asked && !place.controllers.contains(&Controller::Pids) {
                continue;
            }
            let dir = place.dir.join(name);
            let failed = |e: io::Error| format!("the control group {} cannot be made: {e}", dir.display());
            // Also what is half made is removed with it.
            group.dirs.push((place.version, dir.clone()));
            place.bound(&dir, limits).map_err(failed)?;
            if limits.memory_bytes.is_some() && place.controllers.contains(&Controller::Memory) {
                group.memory = Some((place.version, dir));
            }
        }
        Ok((!group.dirs.is_empty()).then_some(group))
    }
}

impl Place {
    /// Makes a group with those of `limits` that this hierarchy enforces.
    fn bound(&self, dir: &Path, limits: &Limits) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let set = |file: &str, value: String| fs::write(dir.join(file), value);
        // Swap is bounded where it is counted.
        let set_if_there = |file: &str, value: String| match dir.join(file).exists() {
            true => set(file, value),
            false => Ok(()),
        };
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Memory, Version::One) => {
                    let Some(bytes) = limits.memory_bytes else { continue };
                    set("memory.limit_in_bytes", bytes.to_string())?;
                    set_if_there("memory.memsw.limit_in_bytes", bytes.to_string())?;
                }
                (Controller::Memory, Version::Two) => {
                    let Some(bytes) = limits.memory_bytes else { continue };
                    set("memory.max", bytes.to_string())?;
                    set_if_there("memory.swap.max", "0".into())?;
                    set_if_there("memory.oom.group", "1".into())?;
                }
                (Controller::Cpu, version) => {
                    let Some((quota, period)) = limits.cpu_millis.map(quota) else { continue };
                    match version {
                        Version::One => {
                            set("cpu.cfs_period_us", period.to_string())?;
                            set("cpu.cfs_quota_us", quota.to_string())?;
                        }
                        Version::Two => set("cpu.max", format!("{quota} {period}"))?,
                    }
                }
                (Controller::Pids, _) => {
                    if let Some(pids) = limits.pids {
                        set("pids.max", pids.to_string())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Microseconds of processor time in each so many microseconds.
fn quota(millis: u64) -> (u64, u64) {
    let quota = millis.max(1).saturating_mul(PERIOD_US) / 1000;
    if quota >= QUOTA_US_MIN { (quota, PERIOD_US) } else { (millis.max(1) * 1000, 1_000_000) }
}

/// What an attempt with limits gets.
#[derive(Debug, Default)]
pub struct Bounded {
    /// Its group, where one could be made.
    pub group: Option<Group>,
    /// What of its limits nothing enforces, for people.
    pub remark: Option<String>,
}

/// The groups of one attempt: the same processes in each.
#[derive(Debug)]
pub struct Group {
    dirs: Vec<(Version, PathBuf)>,
    memory: Option<(Version, PathBuf)>,
}

impl Group {
    /// The files into which a process writes itself to enter. With version 1 the one that moves a single thread,
    /// which spares the kernel a grace period; the launcher has one.
    pub fn entries(&self) -> Vec<PathBuf> {
        let file = |version: &Version| match version {
            Version::One => "tasks",
            Version::Two => "cgroup.procs",
        };
        self.dirs.iter().map(|(version, dir)| dir.join(file(version))).collect()
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<i32> {
        let read = |(_, dir): &(Version, PathBuf)| fs::read_to_string(dir.join("cgroup.procs")).ok();
        let mut pids: Vec<i32> = self.dirs.iter().filter_map(read).flat_map(|list| parse(&list)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Signals each of its processes.
    pub fn signal(&self, signal: Signal) {
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills all that is in it, and keeps it from growing. To be repeated until it is empty.
    pub fn kill(&self) {
        for (version, dir) in &self.dirs {
            match version {
                // Whatever forks meanwhile is killed too.
                Version::Two => _ = fs::write(dir.join("cgroup.kill"), "1"),
                // From here on nothing in it forks, so that what is listed is all there will be.
                Version::One if dir.join("pids.max").exists() => _ = fs::write(dir.join("pids.max"), "0"),
                Version::One => {}
            }
        }
        self.signal(Signal::KILL);
    }

    /// Whether the kernel killed in it because its memory was full.
    pub fn oom(&self) -> bool {
        let Some((version, dir)) = &self.memory else { return false };
        let file = match version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok());
        kills.is_some_and(|kills| kills > 0)
    }

    /// The most memory it had, bytes.
    pub fn memory_bytes_max(&self) -> Option<u64> {
        let (version, dir) = self.memory.as_ref()?;
        let file = match version {
            Version::One => "memory.max_usage_in_bytes",
            Version::Two => "memory.peak",
        };
        fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
    }

    /// Removes it. False if something is in it.
    fn remove(&self) -> bool {
        let gone = |dir: &Path| {
            fs::remove_dir(dir).or_else(|e| match e.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(e),
            })
        };
        self.dirs.iter().filter(|(_, dir)| gone(dir).is_err()).count() == 0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that something is in is removed by the next session.
        self.remove();
    }
}

/// Kills what dead sessions of the data directory have left, and removes their groups. Only whoever holds that
/// directory's lock may do so.
///
/// # Errors
/// Something survives being killed.
pub fn end_dead_sessions(data: &Path) -> Result<(), String> {
    let sessions: Vec<(Version, PathBuf)> = Found::here().sessions(&session(data));
    for _ in 0..ROUNDS_MAX {
        let mut left = false;
        for (version, dir) in &sessions {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
                let group = Group { dirs: vec![(*version, entry.path())], memory: None };
                group.kill();
                left |= !group.remove();
            }
            let _ = fs::remove_dir(dir);
        }
        if !left {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("processes in control groups of an earlier session survive being killed; they may hang in the kernel"
        .into())
}

/// The name of a data directory's groups: no two directories of a machine have the same, whatever they are called.
fn session(data: &Path) -> String {
    let (device, inode) = fs::metadata(data).map_or((0, 0), |meta| (meta.dev(), meta.ino()));
    format!("punctual-{device:x}-{inode:x}")
}

fn parse(pids: &str) -> Vec<i32> {
    // A process outside of this one's sight is listed as 0, which would be this one's own group.
    pids.lines().filter_map(|pid| pid.trim().parse().ok()).filter(|pid: &i32| *pid > 0).collect()
}

/// What the kernel says of this process's groups.
struct Found {
    /// Where each hierarchy's own group is: version, controllers as the kernel lists them, directory.
    own: Vec<(Version, Vec<String>, PathBuf)>,
}

impl Found {
    fn here() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        Self::of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    /// Reads `mountinfo` and `cgroup` of /proc/PID.
    fn of(mounts: &str, groups: &str) -> Self {
        let mut own = Vec::new();
        for line in mounts.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (&[_, _, _, root, at, ..], &[kind, _, options, ..]) = (&left[..], &right[..]) else {
                continue;
            };
            let version = match kind {
                "cgroup" => Version::One,
                "cgroup2" => Version::Two,
                _ => continue,
            };
            let mounted: Vec<&str> = options.split(',').collect();
            let path = groups.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
                let this = match version {
                    Version::One => !names.is_empty() && names.split(',').all(|name| mounted.contains(&name)),
                    Version::Two => names.is_empty(),
                };
                this.then_some((names, path))
            });
            let Some((names, path)) = path else { continue };
            // A mount may show only the part of a hierarchy below its root.
            let Ok(below) = Path::new(path).strip_prefix(root) else { continue };
            let controllers = names.split(',').map(str::to_owned).collect();
            own.push((version, controllers, Path::new(&unescape(at)).join(below)));
        }
        Self { own }
    }

    /// Where sessions of this name are or were, in every hierarchy.
    fn sessions(&self, session: &str) -> Vec<(Version, PathBuf)> {
        let below = |(version, _, dir): &(Version, Vec<String>, PathBuf)| {
            // A daemon that was started elsewhere made them elsewhere; its supervisor's death ended them, or its
            // marks do.
            let own = dir.join(session);
            let beside = dir.parent().map(|parent| parent.join(session));
            [Some(own), beside].into_iter().flatten().map(|dir| (*version, dir)).collect::<Vec<_>>()
        };
        self.own.iter().flat_map(below).filter(|(_, dir)| dir.is_dir()).collect()
    }

    /// The session's place in the hierarchy of `controller`, made.
    fn open(&self, controller: Controller, session: &str) -> Result<Place, String> {
        let name = controller.name();
        let one = |(version, names, _): &&(Version, Vec<String>, PathBuf)| {
            *version == Version::One && names.iter().any(|n| n == name)
        };
        if let Some((version, names, dir)) = self.own.iter().find(one) {
            remove_empty(dir);
            let dir = dir.join(session);
            fs::create_dir_all(&dir).map_err(|e| format!("{} cannot be made: {e}", dir.display()))?;
            let controllers =
                Controller::ALL.into_iter().filter(|c| names.iter().any(|n| n == c.name())).collect();
            return Ok(Place { version: *version, controllers, dir });
        }
        let two = self.own.iter().find(|(version, ..)| *version == Version::Two);
        let (_, _, own) = two.ok_or("this machine has no control groups mounted")?;
        open_two(own, session, controller)
    }
}

/// Removes the groups of sessions that are over and of data directories that may be gone. Where something is in one,
/// the kernel refuses; one that is wanted again is made again.
fn remove_empty(own: &Path) {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("punctual-")) {
        let _ = fs::remove_dir(entry.path());
    }
}

/// With version 2 a group that has processes can hand no controllers to groups below it: the session's group needs a
/// parent that is empty.
fn open_two(own: &Path, session: &str, controller: Controller) -> Result<Place, String> {
    let listed = |dir: &Path| {
        let text = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        Controller::ALL
            .into_iter()
            .filter(|c| text.split_whitespace().any(|n| n == c.name()))
            .collect::<Vec<_>>()
    };
    let base = match own.file_name() {
        Some(name) if name == SUBGROUP => own.parent().unwrap_or(own).to_owned(),
        _ if is_root(own) => own.to_owned(),
        _ => make_room(own)?,
    };
    if !listed(&base).contains(&controller) {
        return Err(format!("{} is not given the controller {}", base.display(), controller.name()));
    }
    let dir = base.join(session);
    fs::create_dir_all(&dir).map_err(|e| refused(&dir, &e))?;
    for parent in [&base, &dir] {
        for controller in listed(parent) {
            let control = parent.join("cgroup.subtree_control");
            fs::write(&control, format!("+{}", controller.name())).map_err(|e| refused(&control, &e))?;
        }
    }
    Ok(Place { version: Version::Two, controllers: listed(&dir), dir })
}

/// Makes room below this process's own group while nobody but daemon and supervisor is in it: once jobs are, it is too
/// late. Where that cannot be, [`Groups::make`] says why when a limit is asked for.
pub fn make_room_early() {
    for (version, _, own) in Found::here().own {
        if version == Version::Two && !is_root(&own) && own.file_name().is_none_or(|name| name != SUBGROUP) {
            let _ = make_room(&own);
        }
    }
}

/// The root alone has no type.
fn is_root(own: &Path) -> bool {
    !own.join("cgroup.type").exists()
}

/// Moves daemon and supervisor into a group below their own, if nobody else is in it.
fn make_room(own: &Path) -> Result<PathBuf, String> {
    let advice = format!("the unit of the daemon needs Delegate=yes and DelegateSubgroup={SUBGROUP}");
    // A service manager that starts the daemon again could not put it where groups were made meanwhile.
    if own.extension().is_some_and(|kind| kind == "service") {
        return Err(advice);
    }
    let procs = fs::read_to_string(own.join("cgroup.procs")).map_err(|e| refused(own, &e))?;
    let procs = parse(&procs);
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = program("self");
    if !procs.iter().all(|pid| program(&pid.to_string()) == ours) {
        return Err(format!("other processes share the group {}; {advice}", own.display()));
    }
    let room = own.join(SUBGROUP);
    fs::create_dir_all(&room).map_err(|e| refused(&room, &e))?;
    for pid in procs {
        fs::write(room.join("cgroup.procs"), pid.to_string()).map_err(|e| refused(&room, &e))?;
    }
    Ok(own.to_owned())
}

fn refused(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "{} may not be written by the daemon's user; its unit needs Delegate=yes and DelegateSubgroup={SUBGROUP}",
            path.display()
        ),
        _ => format!("{} cannot be written: {error}", path.display()),
    }
}

/// Blanks and backslashes of paths in `mountinfo` are written as octal numbers.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests;
