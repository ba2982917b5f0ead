//! A backup is one instant of a store in use, whole or not there; what is restored says so.

use super::*;
use crate::row::ComebackKind;
use std::fs;
use std::sync::atomic::AtomicBool;

fn small_segments() -> SqliteOptions {
    SqliteOptions { segment_rows_max: 10, ..SqliteOptions::new(still) }
}

fn filled(dir: &Dir) -> Store {
    let store = dir.open_with(small_segments());
    with_jobs(&store, 1);
    for number in 0..60 {
        put(&store, Ask::default(), new(vec![ended(1, number, i64::from(number))])).expect("new");
    }
    put(&store, Ask::default(), new(vec![run(1, 1000, 99)])).expect("new");
    sqlite(&store).archive_now();
    store
}

fn target(dir: &Dir) -> PathBuf {
    dir.path().join("backup")
}

fn up(dir: &Dir, to: &Dir) -> Result<Manifest, StoreError> {
    back_up(dir.path(), &target(to), at(5000), &mut |_, _| {})
}

fn back(from: &Dir, to: &Path) -> Result<Manifest, StoreError> {
    restore(&target(from), to, &mut |_, _| {})
}

#[test]
fn what_is_backed_up_while_in_use_is_restored_as_it_was_and_marked() {
    let (dir, kept, new_place) = (Dir::new(), Dir::new(), Dir::new());
    let store = filled(&dir);
    let before = wait(store.runs(everything())).expect("readable");
    let mut told = Vec::new();
    let manifest = back_up(dir.path(), &target(&kept), at(5000), &mut |done, all| told.push((done, all)))
        .expect("it is sound");
    assert!(manifest.files.len() > 4, "{manifest:?}");
    assert_eq!(told.last(), Some(&(manifest.bytes(), manifest.bytes())));
    put(&store, Ask::default(), new(vec![run(1, 2000, 99)])).expect("the store goes on");
    drop(store);

    let to = new_place.path().join("store");
    assert_eq!(back(&kept, &to), Ok(manifest));
    let store = Store::open_sqlite(&to, small_segments()).expect("it opens");
    assert_eq!(wait(store.runs(everything())), Ok(before));
    assert_eq!(wait(store.check()), Ok(vec![]));
    let comebacks = wait(store.comebacks()).expect("readable");
    assert_eq!(comebacks.len(), 1);
    assert_eq!((comebacks[0].kind, comebacks[0].known_until), (ComebackKind::Restored, at(5000)));
    drop(store);
    let store = Store::open_sqlite(&to, small_segments()).expect("it opens");
    assert_eq!(wait(store.comebacks()).map(|all| all.len()), Ok(1));
}

#[test]
fn a_backup_of_a_store_that_is_written_to_is_one_instant_of_it() {
    let (dir, kept, new_place) = (Dir::quick(), Dir::quick(), Dir::quick());
    let store = filled(&dir);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            // A run and its end in one transaction each: no backup may hold the one without the other.
            for number in 10_000_u32.. {
                let pair = new(vec![ended(1, 2 * number, 7), ended(1, 2 * number + 1, 7)]);
                put(&store, Ask::default(), pair).expect("new");
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for round in 0..3 {
            up(&dir, &kept).expect("it is sound");
            let to = new_place.path().join(format!("store{round}"));
            back(&kept, &to).expect("it is whole");
            fs::remove_dir_all(target(&kept)).expect("it is there");
            let copy = Store::open_sqlite(&to, small_segments()).expect("it opens");
            let runs = wait(copy.runs(everything())).expect("readable");
            assert_eq!((runs.len() - 61) % 2, 0, "half a transaction");
            assert_eq!(wait(copy.check()), Ok(vec![]));
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("it ends");
    });
}

#[test]
fn a_damaged_backup_is_refused_whatever_bit_is_flipped() {
    let (dir, kept, new_place) = (Dir::new(), Dir::new(), Dir::new());
    drop(filled(&dir));
    let manifest = up(&dir, &kept).expect("it is sound");
    let to = new_place.path().join("store");
    for (number, (name, bytes, _)) in manifest.files.iter().enumerate() {
        let file = target(&kept).join(name);
        let sound = fs::read(&file).expect("readable");
        let mut flipped = sound.clone();
        flipped[usize::try_from(*bytes).expect("small") * number / manifest.files.len()] ^= 0x10;
        fs::write(&file, flipped).expect("writable");
        assert_eq!(back(&kept, &to).expect_err("it is damaged").code().0, "STO012");
        fs::write(&file, sound).expect("writable");
    }
    fs::remove_file(target(&kept).join("backup.json")).expect("it is there");
    assert_eq!(back(&kept, &to).expect_err("it is not whole").code().0, "STO012");
    assert!(!to.exists(), "nothing is left of a restore that failed");
    let there: Vec<_> = fs::read_dir(new_place.path()).expect("readable").collect();
    assert!(there.is_empty(), "{there:?}");
}

#[test]
fn a_manifest_names_no_file_elsewhere() {
    let (dir, kept, new_place) = (Dir::new(), Dir::new(), Dir::new());
    drop(filled(&dir));
    up(&dir, &kept).expect("it is sound");
    let manifest = target(&kept).join("backup.json");
    let text = fs::read_to_string(&manifest).expect("readable");
    for bad in ["../punctual.db", "history/../../x", "history/..", "/etc/passwd"] {
        fs::write(&manifest, text.replace("punctual.db", bad)).expect("writable");
        let refused = back(&kept, &new_place.path().join("store")).expect_err("it names what it must not");
        assert!(refused.to_string().contains("no backup holds"), "{refused}");
    }
}

#[test]
fn a_backup_never_takes_the_place_of_another_and_a_damaged_archive_makes_none() {
    let (dir, kept) = (Dir::new(), Dir::new());
    drop(filled(&dir));
    up(&dir, &kept).expect("it is sound");
    assert_eq!(up(&dir, &kept).expect_err("it is taken").code().0, "STO012");
    fs::remove_dir_all(target(&kept)).expect("it is there");
    let archive = dir.path().join("history").join("000001.db");
    let mut bytes = fs::read(&archive).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).expect("writable");
    assert_eq!(up(&dir, &kept).expect_err("it is damaged").code().0, "STO006");
    assert!(fs::read_dir(kept.path()).expect("readable").next().is_none(), "half a backup is left");
}
