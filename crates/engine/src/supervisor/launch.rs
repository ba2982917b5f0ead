//! The step between supervisor and job where the user must change: set groups, gid and uid, verify, become the job.

use nix::unistd::{Gid, Group, User, getgrouplist, getresgid, getresuid, setgroups, setresgid, setresuid};
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What the launcher is asked for.
#[derive(Debug)]
pub struct Launch {
    /// `user` or `user:group`.
    pub user: String,
    /// Where to start; `None`: the user's home.
    pub directory: Option<String>,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The job's environment, as a JSON list of pairs. The launcher itself runs without it: a variable that changes
    /// how programs are loaded must not take effect before the user has changed.
    pub environment: Vec<u8>,
}

/// Becomes the job. Returns only if that failed, after writing why to `errors`.
pub fn launch(launch: &Launch, mut errors: File) -> u8 {
    let error = become_job(launch);
    let _ = errors.write_all(error.as_bytes());
    126
}

fn become_job(launch: &Launch) -> String {
    match prepare(launch) {
        Ok(mut command) => {
            let error = command.exec();
            format!("{} cannot be started as {}: {error}", launch.argv[0], launch.user)
        }
        Err(error) => error,
    }
}

fn prepare(launch: &Launch) -> Result<Command, String> {
    let (name, group) =
        launch.user.split_once(':').map_or((launch.user.as_str(), None), |(u, g)| (u, Some(g)));
    let user = User::from_name(name)
        .map_err(|e| format!("the user {name:?} cannot be looked up: {e}"))?
        .ok_or_else(|| format!("there is no user {name:?} on this machine"))?;
    let gid = match group {
        None => user.gid,
        Some(group) => {
            let found = Group::from_name(group)
                .map_err(|e| format!("the group {group:?} cannot be looked up: {e}"))?;
            found.ok_or_else(|| format!("there is no group {group:?} on this machine"))?.gid
        }
    };
    become_user(&user, gid)?;
    let home = user.dir.to_string_lossy().into_owned();
    match &launch.directory {
        Some(directory) => std::env::set_current_dir(directory)
            .map_err(|e| format!("the working directory {directory} cannot be entered as {name}: {e}"))?,
        // Users such as `nobody` have a home that does not exist; cron starts their jobs at the root.
        None => std::env::set_current_dir(&home)
            .or_else(|_| std::env::set_current_dir("/"))
            .map_err(|e| e.to_string())?,
    }
    let program = launch.argv.first().ok_or("there is no program to start")?;
    let environment: Vec<(String, String)> = serde_json::from_slice(&launch.environment)
        .map_err(|e| format!("the environment cannot be read: {e}"))?;
    let mut command = Command::new(program);
    command.args(&launch.argv[1..]).env_clear();
    let shell = user.shell.to_string_lossy().into_owned();
    // What the definition sets stands; the rest is the user's own.
    command.envs([("HOME", &home), ("USER", &user.name), ("LOGNAME", &user.name), ("SHELL", &shell)]);
    command.envs(environment);
    Ok(command)
}

fn become_user(user: &User, gid: Gid) -> Result<(), String> {
    let failed = |what: &str, e: nix::Error| {
        format!(
            "{what} of user {:?} could not be taken: {e}; only a daemon that runs as root can use runAs",
            user.name
        )
    };
    let (real, ..) = ids()?;
    if real != user.uid.as_raw() || rustix::process::getuid().is_root() {
        let name = CString::new(user.name.clone()).map_err(|_| "the user's name has a NUL".to_owned())?;
        let groups = getgrouplist(&name, gid).map_err(|e| failed("the groups", e))?;
        setgroups(&groups).map_err(|e| failed("the groups", e))?;
        setresgid(gid, gid, gid).map_err(|e| failed("the group", e))?;
        setresuid(user.uid, user.uid, user.uid).map_err(|e| failed("the identity", e))?;
    }
    let (uid, uid_effective, uid_saved) = ids()?;
    let gids = getresgid().map_err(|e| format!("the group cannot be verified: {e}"))?;
    let wanted = user.uid.as_raw();
    if [uid, uid_effective, uid_saved].iter().any(|id| *id != wanted) || gids.effective != gid {
        return Err(format!("the identity of user {:?} was not taken", user.name));
    }
    Ok(())
}

fn ids() -> Result<(u32, u32, u32), String> {
    let ids = getresuid().map_err(|e| format!("the identity cannot be read: {e}"))?;
    Ok((ids.real.as_raw(), ids.effective.as_raw(), ids.saved.as_raw()))
}
