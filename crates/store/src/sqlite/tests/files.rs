use super::*;
use std::io::{Seek, SeekFrom, Write};

/// The checksum of each released step: a step never changes, a change is a new step.
const RELEASED: &[(i64, &str)] = &[];

fn refused_with(dir: &Dir, code: &str) -> String {
    let error = Store::open_sqlite(dir.path(), SqliteOptions::new(still)).expect_err("it must not open");
    assert_eq!(error.code().0, code, "{error}");
    error.to_string()
}

#[test]
fn released_migrations_never_change() {
    for (number, sum) in RELEASED {
        let step = open::MIGRATIONS.iter().find(|(known, _)| known == number);
        let (_, text) = step.expect("a released step is never taken away");
        assert_eq!(open::checksum(text), *sum, "migration {number}");
    }
}

#[test]
fn a_newer_store_is_refused() {
    let dir = Dir::new();
    drop(dir.open());
    beside(&dir).execute("INSERT INTO migration VALUES (999, 'later')", []).expect("writable");
    assert!(refused_with(&dir, "STO007").contains("999"));
}

#[test]
fn a_store_of_another_schema_is_refused() {
    let dir = Dir::new();
    drop(dir.open());
    beside(&dir).execute("UPDATE migration SET checksum = 'other'", []).expect("writable");
    refused_with(&dir, "STO007");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = Dir::new();
    beside(&dir).execute_batch("CREATE TABLE theirs (x)").expect("writable");
    refused_with(&dir, "STO006");
    assert_eq!(beside(&dir).execute("INSERT INTO theirs VALUES (1)", []), Ok(1));
    let dir = Dir::new();
    let text = "this is not a database\n".repeat(999);
    std::fs::write(dir.path().join("punctual.db"), &text).expect("writable");
    refused_with(&dir, "STO006");
    assert_eq!(std::fs::read_to_string(dir.path().join("punctual.db")).ok(), Some(text));
}

#[test]
fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 1);
    for name in ["punctual.db", "punctual.db-wal", "punctual.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_damaged_page_is_found() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 300);
    let runs = (0..900).map(|n| run(i64::from(n % 300) + 1, n, 1000 + i64::from(n))).collect();
    put(&store, Ask::default(), new(runs)).expect("new");
    drop(store);
    let file = dir.path().join("punctual.db");
    let mut open = std::fs::OpenOptions::new().write(true).open(&file).expect("it is there");
    let pages = open.metadata().expect("it is there").len() / PAGE_BYTES;
    for page in (pages / 2)..(pages / 2 + 6) {
        open.seek(SeekFrom::Start(page * PAGE_BYTES)).expect("inside");
        open.write_all(&[0xA5; 512]).expect("writable");
    }
    drop(open);
    let found =
        Store::open_sqlite(dir.path(), SqliteOptions::new(still)).and_then(|store| wait(store.check()));
    match found {
        Ok(sentences) => assert!(!sentences.is_empty()),
        Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}"),
    }
}

#[test]
fn a_row_that_cannot_be_read_harms_no_other() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 2);
    let (spoilt, sound) = (run(1, 1, 9), run(2, 2, 9));
    put(&store, Ask::default(), new(vec![spoilt.clone(), sound.clone()])).expect("new");
    beside(&dir).execute("UPDATE run SET attempts = 'gone' WHERE job = 1", []).expect("writable");
    let answer = put(&store, of_runs(&[&spoilt]), Decision::default());
    assert!(matches!(answer, Err(StoreError::Unreadable(_))), "{answer:?}");
    let next = Decision { runs: vec![leased(&sound, NODE, 9)], ..Decision::default() };
    put(&store, of_runs(&[&sound]), next).expect("the store goes on");
}

#[test]
fn the_check_finds_what_no_constraint_can_rule_out() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 5);
    put(&store, Ask::default(), new(vec![run(1, 1, 9), ended(1, 2, 9)])).expect("new");
    assert_eq!(wait(store.check()), Ok(vec![]));
    beside(&dir)
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             DELETE FROM due WHERE trigger = 1;
             INSERT INTO due VALUES (77, 2, 0, 0);
             UPDATE job SET paused_since = 1, paused_reason = 'x' WHERE id = 3;
             UPDATE job SET revision = 9 WHERE id = 4;
             UPDATE run SET trigger = 99;
             UPDATE history_run_1 SET id = (SELECT id FROM run);
             INSERT INTO dedup VALUES (55, 'k', zeroblob(16), 0);",
        )
        .expect("writable");
    let found = wait(store.check()).expect("readable");
    let expected = [
        "a row of dedup refers to a row of job that does not exist",
        "trigger 1 has no place in the due set",
        "the due set holds trigger 2 2 times",
        "trigger 3 of job job3 is due, but its job is paused",
        "job job4 has no revision 9",
        "the run with key k1 was made by trigger 99, which does not exist",
        "the run with key k2 is both unfinished and in the history",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_keeps_the_rest() {
    let dir = Dir::new();
    let pages_max = Some(120);
    let store = dir.open_with(SqliteOptions { pages_max, ..SqliteOptions::new(still) });
    with_jobs(&store, 1);
    let big = |number| {
        let definition = "x".repeat(40_000);
        let revisions = vec![crate::row::RevisionRow { definition, ..revision(1, number) }];
        Decision { revisions, ..Decision::default() }
    };
    let mut kept = 0;
    let error = loop {
        match put(&store, Ask::default(), big(kept + 2)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "the disk never filled");
    };
    assert_eq!(error.code().0, "STO005", "{error}");
    // What fits is still written, beside what does not, and what was acknowledged is there.
    let mut huge = Decision { jobs: vec![job(2, "job2")], runs_new: vec![run(1, 2, 2)], ..big(kept + 9) };
    huge.revisions.insert(0, revision(2, 1));
    huge.triggers = vec![trigger(1, 1, 5, Some(50)), trigger(2, 1, 0, Some(9))];
    let answers = together(&store, vec![new(vec![run(1, 1, 1)]), huge, new(vec![run(1, 3, 3)])]);
    assert_eq!(answers[0], Ok(crate::Done::default()));
    assert!(matches!(answers[1], Err(StoreError::Full(_))), "{answers:?}");
    assert_eq!(answers[2], Ok(crate::Done::default()));
    let keys = |store: &Store| {
        let runs = wait(store.runs(everything())).expect("readable");
        runs.into_iter().map(|run| run.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&store), ["k3", "k1"]);
    // What the writer knows by heart is as if the lost transaction had never been.
    let seen = look(&store, Ask { jobs_all: true, due: Some((at(99), 9)), ..Ask::default() });
    assert_eq!((seen.job_id_next, seen.trigger_id_next), (2, 2));
    let forward = Decision { triggers: vec![trigger(1, 1, 1, Some(2))], ..Decision::default() };
    put(&store, Ask::default(), forward.clone()).expect("it needs no room");
    assert_eq!(wait(store.jobs()).expect("readable").1, forward.triggers);
    drop(store);
    let store = dir.open();
    assert_eq!(wait(store.check()), Ok(vec![]));
    assert_eq!(keys(&store), ["k3", "k1"]);
    let revisions = wait(store.revisions(punctual_core::id::JobId(1))).expect("readable");
    assert_eq!(revisions.len(), usize::try_from(kept).expect("few") + 1);
    put(&store, Ask::default(), big(kept + 2)).expect("there is room again");
}

/// Sends the decisions while the writer is busy, so that they share a transaction; their answers.
fn together(store: &Store, decisions: Vec<Decision>) -> Vec<Result<crate::Done, StoreError>> {
    let (busy, free) = super::threads::busy_writer(store);
    std::thread::scope(|scope| {
        let first = scope.spawn(move || wait(busy));
        let mut waits = Vec::new();
        for decision in decisions {
            let decide = Box::new(move |_: &crate::Snapshot| decision.clone());
            let mut future = Box::pin(store.transact(Ask::default(), Duration::from_secs(60), decide));
            // The first poll sends it.
            let waker = std::task::Waker::noop();
            assert!(future.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
            waits.push(future);
        }
        free.send(()).expect("the writer waits for it");
        first.join().expect("it ends").expect("it writes nothing");
        waits.into_iter().map(wait).collect()
    })
}
