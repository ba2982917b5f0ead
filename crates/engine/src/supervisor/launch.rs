//! The step between supervisor and job where something must be set that a job inherits: enter its groups, bound what
//! it may have, set groups, gid and uid, verify, become the job.

use super::command;
use super::protocol::{Rlimits, SpawnError, Start};
use crate::folders;
use nix::unistd::{Gid, Group, User, getgrouplist, getresgid, getresuid, setgroups, setresgid, setresuid};
use punctual_core::error::Code;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit, umask};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NO_USER: Code = Code("EXE004");
const NO_GROUP: Code = Code("EXE005");
const NOT_BECOME: Code = Code("EXE006");
const NOT_SET: Code = Code("EXE014");

/// What the launcher is asked for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// `user` or `user:group`.
    user: Option<String>,
    /// Where to start; `None`: the user's home.
    directory: Option<String>,
    argv: Vec<String>,
    /// The job's. The launcher itself runs without it.
    environment: Vec<(String, String)>,
    /// The files through which it enters its control groups.
    groups: Vec<PathBuf>,
    rlimits: Rlimits,
    umask: Option<u32>,
    nice: Option<i32>,
    no_new_privileges: bool,
}

impl Orders {
    /// What must be done before `start` can begin.
    pub fn of(start: &Start, groups: Vec<PathBuf>) -> Self {
        Self {
            user: start.run_as.clone(),
            directory: start.working_directory.clone(),
            argv: start.argv.clone(),
            environment: start.env.clone(),
            groups,
            rlimits: start.rlimits.clone(),
            umask: start.umask,
            nice: start.nice,
            no_new_privileges: start.no_new_privileges,
        }
    }

    /// Whether there is nothing to do that a plain spawn does not.
    pub fn is_plain(&self) -> bool {
        self.user.is_none()
            && self.groups.is_empty()
            && self.rlimits == Rlimits::default()
            && self.umask.is_none()
            && self.nice.is_none()
            && !self.no_new_privileges
    }
}

/// Becomes the job. Returns only if that failed, after writing why to `errors`.
pub fn launch(orders: &[u8], mut errors: File) -> u8 {
    let error = match serde_json::from_slice(orders) {
        Ok(orders) => become_job(&orders),
        Err(error) => {
            SpawnError::new(command::FAILED, format!("the launcher's orders cannot be read: {error}"))
        }
    };
    let _ = errors.write_all(&serde_json::to_vec(&error).unwrap_or_default());
    126
}

fn become_job(orders: &Orders) -> SpawnError {
    match prepare(orders) {
        Ok((program, mut command)) => command::refused(&program, &command.exec()),
        Err(error) => error,
    }
}

fn prepare(orders: &Orders) -> Result<(PathBuf, Command), SpawnError> {
    for group in &orders.groups {
        // "0" is whoever writes it.
        std::fs::write(group, "0").map_err(|e| {
            not_set(&format!("its control group {} could not be entered: {e}", group.display()))
        })?;
    }
    // Who that is, is read before what may be read is bounded; rights are used while they are there.
    let identity = orders.user.as_deref().map(Identity::of).transpose()?;
    bound(orders)?;
    if let Some(identity) = &identity {
        let (uid, gid) = (identity.user.uid.as_raw(), identity.gid.as_raw());
        folders::hand_over(&orders.environment, uid, gid).map_err(|message| not_set(&message))?;
        identity.take()?;
    }
    if orders.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(|e| not_set(&format!("noNewPrivileges: {e}")))?;
    }
    enter(orders, identity.as_ref())?;
    // What the definition sets stands; the rest is the user's own.
    let mut environment = identity.map_or_else(Vec::new, |identity| identity.environment());
    environment.extend(orders.environment.iter().cloned());
    let program = command::find_program(&orders.argv, &orders.environment, Path::new("."))?;
    let mut command = Command::new(&program);
    command.arg0(&orders.argv[0]).args(&orders.argv[1..]).env_clear().envs(environment);
    Ok((program, command))
}

fn not_set(message: &str) -> SpawnError {
    SpawnError::new(NOT_SET, message)
}

/// What takes rights to set is set while they are there.
fn bound(orders: &Orders) -> Result<(), SpawnError> {
    let Rlimits { open_files, core_bytes, file_bytes, stack_bytes, cpu_seconds } = orders.rlimits;
    for (name, resource, most) in [
        ("openFiles", Resource::Nofile, open_files),
        ("core", Resource::Core, core_bytes),
        ("fileSize", Resource::Fsize, file_bytes),
        ("stack", Resource::Stack, stack_bytes),
        ("cpuTime", Resource::Cpu, cpu_seconds),
    ] {
        let Some(most) = most else { continue };
        // Processor time ends softly with a signal that can be caught, and hard a second later.
        let hard = if resource == Resource::Cpu { most.saturating_add(1) } else { most };
        let limit = Rlimit { current: Some(most), maximum: Some(hard) };
        setrlimit(resource, limit).map_err(|e| {
            let most_there = getrlimit(resource).maximum.map_or("no bound".to_owned(), |m| m.to_string());
            not_set(&format!("rlimits.{name} could not be set to {most}: {e}"))
                .hint(format!("only root may go above what the daemon has, {most_there}"))
        })?;
    }
    if let Some(more) = orders.nice {
        nice(more).map_err(|e| {
            not_set(&format!("nice {more}: {e}")).hint("only root may make a job more urgent than the daemon")
        })?;
    }
    if let Some(mask) = orders.umask {
        umask(Mode::from_raw_mode(mask));
    }
    Ok(())
}

/// Enters the directory as the user, who may not be allowed to.
fn enter(orders: &Orders, identity: Option<&Identity>) -> Result<(), SpawnError> {
    if let Some(directory) = &orders.directory {
        return std::env::set_current_dir(directory).map_err(|e| command::no_directory(directory, &e));
    }
    // Users such as `nobody` have a home that does not exist; cron starts their jobs at the root.
    let home = identity.map_or(Path::new("/"), |identity| &identity.user.dir);
    std::env::set_current_dir(home)
        .or_else(|_| std::env::set_current_dir("/"))
        .map_err(|e| command::no_directory("/", &e))
}

/// Whom the job is to run as.
struct Identity {
    user: User,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    /// Who `user` or `user:group` is.
    fn of(name: &str) -> Result<Self, SpawnError> {
        let (name, group) = name.split_once(':').map_or((name, None), |(u, g)| (u, Some(g)));
        let user = User::from_name(name)
            .map_err(|e| SpawnError::new(NO_USER, format!("the user {name:?} cannot be looked up: {e}")))?
            .ok_or_else(|| {
                SpawnError::new(NO_USER, format!("there is no user {name:?} on this machine"))
                    .hint("make the user, or correct `runAs`")
            })?;
        let gid = group.map_or(Ok(user.gid), group_id)?;
        let unknown = |e: String| SpawnError::new(NO_GROUP, format!("the groups of user {name:?}: {e}"));
        let c_name = CString::new(user.name.clone()).map_err(|e| unknown(e.to_string()))?;
        let groups = getgrouplist(&c_name, gid).map_err(|e| unknown(e.to_string()))?;
        Ok(Self { user, gid, groups })
    }

    /// Becomes it, and makes sure of it.
    fn take(&self) -> Result<(), SpawnError> {
        self.become_it().map_err(|message| {
            SpawnError::new(NOT_BECOME, message).hint("only a daemon that runs as root can use runAs")
        })
    }

    fn become_it(&self) -> Result<(), String> {
        let Self { user, gid, groups } = self;
        let failed =
            |what: &str, e: nix::Error| format!("{what} of user {:?} could not be taken: {e}", user.name);
        let (real, ..) = ids()?;
        if real != user.uid.as_raw() || rustix::process::getuid().is_root() {
            setgroups(groups).map_err(|e| failed("the groups", e))?;
            setresgid(*gid, *gid, *gid).map_err(|e| failed("the group", e))?;
            setresuid(user.uid, user.uid, user.uid).map_err(|e| failed("the identity", e))?;
        }
        let (uid, uid_effective, uid_saved) = ids()?;
        let gids = getresgid().map_err(|e| format!("the group cannot be verified: {e}"))?;
        let wanted = user.uid.as_raw();
        if [uid, uid_effective, uid_saved].iter().any(|id| *id != wanted) || gids.effective != *gid {
            return Err(format!("the identity of user {:?} was not taken", user.name));
        }
        Ok(())
    }

    fn environment(&self) -> Vec<(String, String)> {
        let lossy = |path: &Path| path.to_string_lossy().into_owned();
        let name = self.user.name.clone();
        [
            ("HOME", lossy(&self.user.dir)),
            ("USER", name.clone()),
            ("LOGNAME", name),
            ("SHELL", lossy(&self.user.shell)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn group_id(name: &str) -> Result<Gid, SpawnError> {
    let group = Group::from_name(name)
        .map_err(|e| SpawnError::new(NO_GROUP, format!("the group {name:?} cannot be looked up: {e}")))?;
    let missing = || {
        SpawnError::new(NO_GROUP, format!("there is no group {name:?} on this machine"))
            .hint("make the group, or correct `runAs`")
    };
    Ok(group.ok_or_else(missing)?.gid)
}

fn ids() -> Result<(u32, u32, u32), String> {
    let ids = getresuid().map_err(|e| format!("the identity cannot be read: {e}"))?;
    Ok((ids.real.as_raw(), ids.effective.as_raw(), ids.saved.as_raw()))
}
