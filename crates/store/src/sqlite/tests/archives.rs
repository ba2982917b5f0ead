use super::*;
use crate::Memory;
use punctual_core::id::JobId;
use punctual_core::run::Verdict;

fn small_segments() -> SqliteOptions {
    SqliteOptions { segment_rows_max: 4, ..SqliteOptions::new(still) }
}

/// Twenty finished runs and ten skips in segments of four rows or little more, in both stores.
fn fill(stores: [&Store; 2]) {
    for store in stores {
        with_jobs(store, 2);
        for number in 0..10_u32 {
            let secs = i64::from(number) * 10 + 100;
            let decision = Decision {
                runs_new: vec![ended(1, number, secs), ended(2, number, secs + 5)],
                skips: vec![skip(1, 1, secs, 1, 3)],
                ..Decision::default()
            };
            put(store, Ask::default(), decision).expect("new");
        }
    }
}

fn files(dir: &Dir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path().join("history")).expect("it is there");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("readable").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

fn tables(dir: &Dir) -> i64 {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'history_%'";
    beside(dir).query_row(count, [], |row| row.get(0)).expect("readable")
}

fn same_reads(store: &Store, memory: &Store) {
    assert_eq!(wait(store.runs(everything())), wait(memory.runs(everything())));
    let bad = RunFilter { verdicts: vec![Verdict::Failed], ..everything() };
    assert_eq!(wait(store.runs(bad)), Ok(vec![]));
    for job in [1, 2].map(JobId) {
        let of_job = RunFilter { job: Some(job), limit: 7, ..everything() };
        assert_eq!(wait(store.runs(of_job.clone())), wait(memory.runs(of_job)));
        for (from, to) in [(0, 999), (115, 165), (141, 142)] {
            let (from, to) = (at(from), at(to));
            assert_eq!(wait(store.ticks(job, from, to)), wait(memory.ticks(job, from, to)));
        }
    }
    for run in wait(memory.runs(everything())).expect("readable") {
        assert_eq!(wait(store.run(run.id)), Ok(Some(run)));
    }
    assert_eq!(wait(store.check()), Ok(vec![]));
}

#[test]
fn archives_are_read_like_the_rest_and_pruning_unlinks_them() {
    let dir = Dir::new();
    let store = dir.open_with(small_segments());
    let memory = Store::Memory(Memory::with_segment_rows(4));
    fill([&store, &memory]);
    sqlite(&store).archive_now();
    assert_eq!(files(&dir), ["000001.db", "000002.db", "000003.db", "000004.db"]);
    assert_eq!(tables(&dir), 2);
    same_reads(&store, &memory);

    drop(store);
    let store = dir.open_with(small_segments());
    same_reads(&store, &memory);
    let before = at(145);
    assert_eq!(wait(store.prune_history(before)), wait(memory.prune_history(before)));
    sqlite(&store).archive_now();
    assert_eq!(files(&dir), ["000003.db", "000004.db"]);
    same_reads(&store, &memory);
}

#[test]
fn what_a_crash_left_is_done_again_or_removed() {
    let dir = Dir::new();
    let store = dir.open_with(small_segments());
    let memory = Store::Memory(Memory::with_segment_rows(4));
    fill([&store, &memory]);
    sqlite(&store).archive_now();
    drop(store);
    // A copy that was never finished, one that was never registered, and one that was pruned.
    for name in ["000005.tmp", "000005.db", "000009.db"] {
        std::fs::write(dir.path().join("history").join(name), "half").expect("writable");
    }
    let store = dir.open_with(small_segments());
    sqlite(&store).archive_now();
    assert_eq!(files(&dir), ["000001.db", "000002.db", "000003.db", "000004.db", "000005.db"]);
    same_reads(&store, &memory);
    put(&store, Ask::default(), new(vec![ended(1, 99, 900)])).expect("it rolls");
    put(&memory, Ask::default(), new(vec![ended(1, 99, 900)])).expect("it rolls");
    sqlite(&store).archive_now();
    same_reads(&store, &memory);
}

#[test]
fn a_lost_archive_is_an_error_and_a_complaint_not_a_hole() {
    let dir = Dir::new();
    let store = dir.open_with(small_segments());
    let memory = Store::Memory(Memory::with_segment_rows(4));
    fill([&store, &memory]);
    sqlite(&store).archive_now();
    std::fs::remove_file(dir.path().join("history/000002.db")).expect("it is there");
    let answer = wait(store.runs(everything()));
    assert!(matches!(&answer, Err(StoreError::Unreadable(why)) if why.contains("000002.db")), "{answer:?}");
    let found = wait(store.check()).expect("the check itself can be made");
    assert!(found.iter().any(|sentence| sentence.contains("000002.db")), "{found:?}");
}
