//! What the data directory takes on its disk, and what is left there.

use super::{Finding, Health};
use crate::commands::prune::size;
use punctual_engine::data_dir::DataDir;
use punctual_engine::retention::{Usage, usage};
use std::path::Path;

/// With less the store and the output soon have no room.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// How much output and store take, and how much is free.
pub fn room(directory: &Path) -> Finding {
    let output = DataDir::open(directory).and_then(|data| usage(&data));
    let free = rustix::fs::statvfs(directory).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match (output, free) {
        (Ok(output), Ok(free)) => found(&output, bytes_in(&directory.join("store")), free),
        (Err(why), _) => Finding::new("disk", Health::Warning, format!("its output cannot be read: {why}")),
        (_, Err(why)) => Finding::new("disk", Health::Warning, format!("its free space is unknown: {why}")),
    }
}

fn found(output: &Usage, store: u64, free: u64) -> Finding {
    let since = output.oldest.as_ref().map_or_else(String::new, |day| format!(" since {day}"));
    let message = format!(
        "output {} in {} files{since}, store {}, {} free",
        size(output.bytes),
        output.files,
        size(store),
        size(free)
    );
    if free < FREE_BYTES_MIN {
        return Finding::new("disk", Health::Warning, message).hint("make room: `punctual prune --dry-run`");
    }
    Finding::new("disk", Health::Ok, message)
}

/// The bytes of the files in a folder and its folders, as far as they can be seen.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_a_warning() {
        let output = Usage { files: 2, bytes: 8192, oldest: Some("2026-11-01".to_owned()) };
        let well = found(&output, 1 << 20, 1 << 30);
        assert_eq!(well.status, Health::Ok);
        assert_eq!(well.message, "output 8.0 KiB in 2 files since 2026-11-01, store 1.0 MiB, 1.0 GiB free");
        assert_eq!(found(&Usage::default(), 0, 1000).status, Health::Warning);
    }
}
