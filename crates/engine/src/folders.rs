//! What jobs may write to inside the data directory.
//!
//! ```text
//! DATA/jobs/control/RUN-FENCE      what an attempt says about itself, PUNCTUAL_CONTROL
//! DATA/jobs/checkpoints/RUN/       what the attempts of a run hand on, PUNCTUAL_CHECKPOINT_DIR
//! ```
//! A job with `runAs` is another user, who must be able to pass through the directories above: once root starts one, it
//! lets everybody pass through them, and nobody list them. What is in them belongs to the jobs' users alone.

use crate::data_dir::DataDir;
use punctual_core::id::{Fence, RunId};
use rustix::fs::OFlags;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What names the control file of an attempt.
pub const CONTROL: &str = "PUNCTUAL_CONTROL";
/// What names the directory that the attempts of a run share.
pub const CHECKPOINT: &str = "PUNCTUAL_CHECKPOINT_DIR";

const JOBS: &str = "jobs";

impl DataDir {
    /// Makes the directories in which jobs find their places.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make_job_folders(&self) -> io::Result<()> {
        let root = rustix::process::geteuid().is_root();
        let mode = if root { 0o711 } else { 0o700 };
        let jobs = self.root().join(JOBS);
        for folder in [&jobs, &jobs.join("control"), &jobs.join("checkpoints")] {
            DirBuilder::new().recursive(true).mode(mode).create(folder)?;
            // As asked for, whatever the process masks.
            std::fs::set_permissions(folder, Permissions::from_mode(mode))?;
        }
        // The only directory of the data directory whose mode is not set where it is made.
        DirBuilder::new().recursive(true).mode(0o700).create(self.store())?;
        std::fs::set_permissions(self.store(), Permissions::from_mode(0o700))?;
        Ok(())
    }

    /// The control file of an attempt.
    pub fn control(&self, run: RunId, fence: Fence) -> PathBuf {
        control_folder(self.root()).join(format!("{run}-{}", fence.0))
    }

    /// Where checkpoints are, a directory for each run that has one.
    pub fn checkpoints(&self) -> PathBuf {
        self.root().join(JOBS).join("checkpoints")
    }

    /// The checkpoint of a run.
    pub fn checkpoint(&self, run: RunId) -> PathBuf {
        self.checkpoints().join(run.to_string())
    }
}

fn control_folder(root: &Path) -> PathBuf {
    root.join(JOBS).join("control")
}

/// Removes the control files in the data directory at `root`. No attempt is under way.
pub fn forget_control(root: &Path) {
    for entry in std::fs::read_dir(control_folder(root)).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Makes the checkpoint of an attempt's run, unless an earlier attempt did. `from` is the checkpoint of the run whose
/// work it does again; it becomes this one's.
///
/// # Errors
/// It cannot be made.
pub fn make_checkpoint(path: &Path, from: Option<&Path>) -> io::Result<()> {
    if let (Some(from), Err(_)) = (from, std::fs::symlink_metadata(path)) {
        let _ = std::fs::rename(from, path);
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Gives the places that `environment` names to whom the job runs as. They stand in directories to which only this
/// process's user can write, so that nobody can have put something else there.
///
/// # Errors
/// Says which could not be given.
pub fn hand_over(environment: &[(String, String)], uid: u32, gid: u32) -> Result<(), String> {
    let value = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(path) = value(CONTROL) {
        let passed = Path::new(path).ancestors().nth(3).map_or(Ok(()), let_pass);
        passed.map_err(|error| format!("the data directory cannot let it pass: {error}"))?;
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path);
        let given = open.and_then(|file| give(&file, uid, gid));
        given.map_err(|error| format!("its control file {path} could not be made: {error}"))?;
    }
    if let Some(path) = value(CHECKPOINT) {
        let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
        let open = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let given = open.and_then(|folder| give(&folder, uid, gid));
        given.map_err(|error| format!("its checkpoint {path} could not be given to it: {error}"))?;
    }
    Ok(())
}

/// Lets other users pass through the data directory, if they cannot.
fn let_pass(data: &Path) -> io::Result<()> {
    let meta = data.metadata()?;
    match rustix::process::geteuid().is_root() && meta.mode() & 0o777 == 0o700 {
        true => std::fs::set_permissions(data, Permissions::from_mode(0o711)),
        false => Ok(()),
    }
}

fn give(file: &std::fs::File, uid: u32, gid: u32) -> io::Result<()> {
    let meta = file.metadata()?;
    match (meta.uid(), meta.gid()) == (uid, gid) {
        true => Ok(()),
        false => std::os::unix::fs::fchown(file, Some(uid), Some(gid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_core::time::Timestamp;

    fn data() -> DataDir {
        let root = std::env::temp_dir().join(format!("punctual-folders-{:x}", crate::clock::random()));
        DataDir::open(&root).expect("a scratch directory")
    }

    #[test]
    fn a_checkpoint_outlives_attempts_and_goes_to_the_run_that_does_the_work_again() {
        let data = data();
        data.make_job_folders().expect("they can be made");
        data.make_job_folders().expect("and are there");
        let run = |key: &str| RunId::derive("job", "t", key, Timestamp::EPOCH);
        let (first, second) = (data.checkpoint(run("1")), data.checkpoint(run("2")));
        make_checkpoint(&first, None).expect("it is new");
        std::fs::write(first.join("page"), "7").expect("it can be written");
        make_checkpoint(&first, None).expect("it is there");
        make_checkpoint(&second, Some(&first)).expect("it becomes the other's");
        assert_eq!(std::fs::read_to_string(second.join("page")).expect("it is kept"), "7");
        assert!(!first.exists());
        make_checkpoint(&second, Some(&first)).expect("what it came from is gone");
        std::fs::remove_dir_all(data.root()).expect("removable");
    }
}
