//! What a disk does to a store: it fills, it fails, it should not be filled by the store's own log.

use super::*;
use punctual_core::id::JobId;
use std::process::Command as Program;

const CHILD_DIR: &str = "PUNCTUAL_STORE_FAILING_DIR";

/// A revision that needs ten pages.
fn big(number: i64) -> Decision {
    let definition = "x".repeat(40_000);
    let revisions = vec![crate::row::RevisionRow { definition, ..revision(1, number) }];
    Decision { revisions, ..Decision::default() }
}

/// Writes big revisions from 2 on until it fails: how many were acknowledged, and the error.
fn write_until_it_fails(store: &Store) -> (i64, StoreError) {
    for number in 2..2000 {
        if let Err(error) = put(store, Ask::default(), big(number)) {
            return (number - 2, error);
        }
    }
    panic!("it never failed");
}

fn kept(store: &Store) -> i64 {
    let revisions = wait(store.revisions(JobId(1))).expect("readable");
    i64::try_from(revisions.len()).expect("few") - 1
}

#[test]
fn the_log_is_emptied_before_it_grows_long() {
    let dir = Dir::new();
    let log_bytes_max = 512 << 10;
    let store = dir.open_with(SqliteOptions { log_bytes_max, ..SqliteOptions::new(still) });
    with_jobs(&store, 1);
    for number in 2..200 {
        put(&store, Ask::default(), big(number)).expect("new");
    }
    let log = std::fs::metadata(dir.path().join("punctual.db-wal")).expect("it is there").len();
    assert!(log < 2 * log_bytes_max, "8 MB were written; the log has {log} bytes");
    drop(store);
    let store = dir.open();
    assert_eq!(kept(&store), 198);
}

/// The child: its files may not grow beyond what its parent allows; writing beyond it is an error of the disk.
#[test]
fn child_whose_disk_fails() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let store = Store::open_sqlite(Path::new(&dir), SqliteOptions::new(still)).expect("it is small at first");
    with_jobs(&store, 1);
    let (acknowledged, error) = write_until_it_fails(&store);
    assert_eq!(error.code().0, "STO008", "{error}");
    // Nothing is written any more, even if it would fit; reading goes on.
    let small = put(&store, Ask::default(), new(vec![run(1, 1, 1)]));
    assert_eq!(small.expect_err("the disk has failed").code().0, "STO008");
    assert_eq!(kept(&store), acknowledged);
    std::fs::write(Path::new(&dir).join("acknowledged"), acknowledged.to_string()).expect("it is small");
}

#[test]
fn after_an_error_of_the_disk_nothing_is_written_until_a_restart() {
    let dir = Dir::new();
    let own = std::env::current_exe().expect("the test knows its program");
    // The limit's signal is ignored, so that a write beyond it fails as on a broken disk: neither full nor done.
    let child = Program::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(own)
        .args(["--exact", "sqlite::tests::disk::child_whose_disk_fails", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir.path())
        .output()
        .expect("the shell starts");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged = std::fs::read_to_string(dir.path().join("acknowledged")).expect("the child says");
    let store = dir.open();
    assert_eq!(kept(&store).to_string(), acknowledged);
    assert_eq!(wait(store.check()), Ok(vec![]));
    put(&store, Ask::default(), new(vec![run(1, 1, 1)])).expect("the restart recovers");
}

/// A small file system in memory, which only root can mount.
struct Mount<'a>(&'a Dir);

impl<'a> Mount<'a> {
    fn new(dir: &'a Dir) -> Option<Self> {
        Self::mount(dir, "size=2m").then_some(Self(dir))
    }

    fn mount(dir: &Dir, options: &str) -> bool {
        let mount =
            Program::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        mount.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // What stays mounted stays until the machine ends; it is two megabytes.
        let _ = Program::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_file_system_loses_nothing_and_the_store_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let Some(_mount) = Mount::new(&dir) else {
        eprintln!(
            "SKIPPED: only root can mount a file system to fill; the same is tested with a limited file"
        );
        return;
    };
    let store = dir.open();
    with_jobs(&store, 1);
    let (acknowledged, error) = write_until_it_fails(&store);
    assert_eq!(error.code().0, "STO005", "{error}");
    assert!(acknowledged > 5);
    assert_eq!(kept(&store), acknowledged);
    assert!(Mount::mount(&dir, "remount,size=9m"));
    put(&store, Ask::default(), big(acknowledged + 2)).expect("there is room now");
    drop(store);
    let store = dir.open();
    assert_eq!(kept(&store), acknowledged + 1);
    assert_eq!(wait(store.check()), Ok(vec![]));
    drop(store);
}
