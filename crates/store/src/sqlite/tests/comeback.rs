//! A store that is not the one that was left is known, whatever was done to its files.

use super::*;
use crate::row::{Comeback, ComebackKind};
use std::fs;

fn one_more(store: &Store, number: u32) {
    put(store, Ask::default(), new(vec![run(1, number, i64::from(number))])).expect("a key of its own");
}

fn comebacks(store: &Store) -> Vec<Comeback> {
    wait(store.comebacks()).expect("readable")
}

fn kinds(store: &Store) -> Vec<(ComebackKind, u64)> {
    comebacks(store).into_iter().map(|comeback| (comeback.kind, comeback.missing)).collect()
}

fn used(dir: &Dir) {
    let store = dir.open();
    with_jobs(&store, 1);
    one_more(&store, 1);
}

fn store_file(dir: &Dir) -> PathBuf {
    dir.path().join("punctual.db")
}

#[test]
fn a_store_that_was_left_alone_never_comes_back() {
    let dir = Dir::new();
    used(&dir);
    for number in 2..5 {
        let store = dir.open();
        one_more(&store, number);
        assert_eq!(comebacks(&store), []);
    }
    // A lost receipt tells nothing, and there is a new one.
    fs::remove_file(dir.receipt()).expect("it is there");
    drop(dir.open());
    fs::write(dir.receipt(), "").expect("writable");
    assert_eq!(comebacks(&dir.open()), []);
    assert!(fs::read_to_string(dir.receipt()).expect("it is there").starts_with("receipt "));
}

#[test]
fn a_store_that_was_moved_is_itself() {
    let (dir, elsewhere) = (Dir::new(), Dir::new());
    used(&dir);
    fs::rename(dir.path(), elsewhere.path()).expect("an empty directory gives way");
    fs::rename(dir.receipt(), elsewhere.receipt()).expect("it goes along");
    assert_eq!(comebacks(&elsewhere.open()), []);
}

#[test]
fn an_older_state_in_the_same_file_is_behind_by_what_was_acknowledged() {
    let dir = Dir::new();
    used(&dir);
    let older = fs::read(store_file(&dir)).expect("readable");
    let store = dir.open();
    (2..6).for_each(|number| one_more(&store, number));
    drop(store);
    fs::write(store_file(&dir), older).expect("writable");

    let store = dir.open();
    assert_eq!(kinds(&store), [(ComebackKind::Behind, 4)]);
    let found = comebacks(&store).remove(0);
    assert!(found.accepted.is_none() && found.lost_until.is_some(), "{found:?}");
    drop(store);

    // It is told once, until it is accepted, and goes on being known.
    let store = dir.open();
    assert_eq!(kinds(&store), [(ComebackKind::Behind, 4)]);
    assert_eq!(wait(store.accept_comebacks(at(99))), Ok(1));
    assert_eq!(wait(store.accept_comebacks(at(100))), Ok(0));
    assert_eq!(comebacks(&store)[0].accepted, Some(at(99)));
    one_more(&store, 9);
    drop(store);
    assert_eq!(kinds(&dir.open()), [(ComebackKind::Behind, 4)]);
}

#[test]
fn a_start_that_was_killed_before_it_wrote_the_receipt_records_nothing_twice() {
    let dir = Dir::new();
    used(&dir);
    let older = fs::read(store_file(&dir)).expect("readable");
    let store = dir.open();
    one_more(&store, 2);
    drop(store);
    let receipt = fs::read(dir.receipt()).expect("readable");
    fs::write(store_file(&dir), older).expect("writable");
    drop(dir.open());
    fs::write(dir.receipt(), receipt).expect("writable");
    assert_eq!(kinds(&dir.open()), [(ComebackKind::Behind, 1)]);
}

#[test]
fn a_copy_is_a_copy_and_the_original_is_not() {
    let (dir, copy) = (Dir::new(), Dir::new());
    used(&dir);
    fs::copy(store_file(&dir), store_file(&copy)).expect("copies");
    fs::copy(dir.receipt(), copy.receipt()).expect("copies");
    assert_eq!(kinds(&copy.open()), [(ComebackKind::Copied, 0)]);
    assert_eq!(kinds(&dir.open()), []);
    // Accepted, it is a store of its own, and a copy of it is a copy again.
    assert_eq!(wait(copy.open().accept_comebacks(at(1))), Ok(1));
    assert_eq!(kinds(&copy.open()), [(ComebackKind::Copied, 0)]);
}

#[test]
fn another_store_or_a_new_one_under_an_old_receipt_is_foreign() {
    let (dir, other) = (Dir::new(), Dir::new());
    used(&dir);
    used(&other);
    fs::copy(store_file(&other), store_file(&dir)).expect("copies");
    assert_eq!(kinds(&dir.open()), [(ComebackKind::Foreign, 0)]);
    fs::remove_file(store_file(&other)).expect("it is there");
    assert_eq!(kinds(&other.open()), [(ComebackKind::Foreign, 0)]);
}

#[test]
fn a_log_that_is_deleted_in_use_ends_the_writing_and_loses_nothing() {
    let dir = Dir::new();
    let store = dir.open();
    with_jobs(&store, 1);
    (1..6).for_each(|number| one_more(&store, number));
    fs::remove_file(dir.path().join("punctual.db-wal")).expect("it is there");
    for number in [6, 7] {
        let refused = put(&store, Ask::default(), new(vec![run(1, number, 6)]));
        assert_eq!(refused.expect_err("nobody would ever read it").code().0, "STO011");
    }
    drop(store);
    let store = dir.open();
    assert_eq!(wait(store.runs(everything())).expect("readable").len(), 5);
    assert_eq!((wait(store.check()), comebacks(&store)), (Ok(vec![]), vec![]));
    one_more(&store, 6);
}

#[test]
fn a_store_that_is_replaced_in_use_ends_the_writing_and_is_known_afterwards() {
    let dir = Dir::new();
    used(&dir);
    let older = dir.path().join("older");
    fs::copy(store_file(&dir), &older).expect("copies");
    let store = dir.open();
    one_more(&store, 2);
    fs::rename(older, store_file(&dir)).expect("replaces");
    let refused = put(&store, Ask::default(), new(vec![run(1, 3, 3)]));
    assert_eq!(refused.expect_err("the file is another").code().0, "STO011");
    drop(store);
    for left in ["punctual.db-wal", "punctual.db-shm"] {
        let _ = fs::remove_file(dir.path().join(left));
    }
    assert_eq!(kinds(&dir.open()), [(ComebackKind::Behind, 1)]);
}
