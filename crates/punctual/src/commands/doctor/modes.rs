//! Whether others may read or change what is the daemon's alone.

use super::{Finding, Health};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Files of the data directory that are looked at besides it.
const FILES: [&str; 4] = ["lock", "store", "journal", "logs"];

/// What is open to others in the data directory. Behind a closed directory the modes of what is in it do not matter.
pub fn loose(directory: &Path, socket: &str) -> Vec<Finding> {
    let mut findings = open_to_others(directory);
    if !findings.is_empty() {
        let inside = FILES.iter().chain([&socket]).map(|name| directory.join(name));
        findings.extend(inside.flat_map(|path| open_to_others(&path)));
    }
    if let Ok(meta) = std::fs::metadata(directory)
        && meta.uid() != rustix::process::geteuid().as_raw()
    {
        let message = format!("{} belongs to user {}, not to this one", directory.display(), meta.uid());
        findings.push(Finding::new("modes", Health::Warning, message));
    }
    if findings.is_empty() {
        findings.push(Finding::new("modes", Health::Ok, "the data directory is its owner's alone"));
    }
    findings
}

fn open_to_others(path: &Path) -> Vec<Finding> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Vec::new() };
    let mode = meta.permissions().mode() & 0o777;
    // Others may pass through a directory of root's to what is theirs in it; they see nothing on the way.
    let passing = if meta.is_dir() && meta.uid() == 0 { 0o011 } else { 0 };
    if mode & 0o077 & !passing == 0 {
        return Vec::new();
    }
    let message = format!("{} has mode {mode:03o}: others may use it", path.display());
    vec![Finding::new("modes", Health::Warning, message).hint(format!("chmod go= {}", path.display()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_others_may_use_is_named() {
        let directory = std::env::temp_dir().join(format!("punctual-modes-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let set =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        set(&directory, 0o700);
        fs::write(directory.join("lock"), "").expect("written");
        set(&directory.join("lock"), 0o600);
        assert_eq!(loose(&directory, "punctual.sock")[0].status, Health::Ok);
        set(&directory, 0o755);
        set(&directory.join("lock"), 0o644);
        let found = loose(&directory, "punctual.sock");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| f.status == Health::Warning && f.message.contains("others")));
        fs::remove_dir_all(directory).expect("the test made it");
    }
}
