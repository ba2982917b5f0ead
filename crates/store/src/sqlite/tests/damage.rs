//! What a failing disk leaves: flipped bits and torn pages. What must be found is found; what cannot be is said so.

use super::*;
use std::fs;

fn file(dir: &Dir) -> PathBuf {
    dir.path().join("punctual.db")
}

fn filled(dir: &Dir) {
    let options = SqliteOptions { segment_rows_max: 40, ..SqliteOptions::new(still) };
    let store = dir.open_with(options);
    with_jobs(&store, 20);
    for number in 0..120_u32 {
        let job = i64::from(number % 20) + 1;
        put(&store, Ask::default(), new(vec![run(job, 1000 + number, 9), ended(job, number, 9)]))
            .expect("new");
    }
    sqlite(&store).archive_now();
}

/// Everything a daemon reads, unless something complains: an error of any read, or the deep check.
fn told(dir: &Dir) -> Option<String> {
    let store = Store::open_sqlite(dir.path(), SqliteOptions::new(still)).ok()?;
    let seen = Arc::new(Mutex::new(None));
    let decide = {
        let seen = Arc::clone(&seen);
        Box::new(move |snapshot: &crate::Snapshot| {
            *seen.lock().expect("nobody else has it") = Some(snapshot.clone());
            Decision::default()
        })
    };
    let all = Ask { jobs_all: true, due: Some((at(1 << 40), 10_000)), ..Ask::default() };
    wait(store.transact(all, Duration::from_secs(60), decide)).ok()?;
    let runs = wait(store.runs(everything())).ok()?;
    let sound = wait(store.check()) == Ok(vec![]);
    sound.then(|| format!("{:?} {runs:?}", seen.lock().expect("nobody else has it")))
}

#[test]
fn every_flipped_bit_of_an_archive_is_found() {
    let dir = Dir::quick();
    filled(&dir);
    let archive = dir.path().join("history").join("000001.db");
    let sound = fs::read(&archive).expect("readable");
    for place in (0..sound.len()).step_by(sound.len() / 40) {
        let mut flipped = sound.clone();
        flipped[place] ^= 1 << (place % 8);
        fs::write(&archive, flipped).expect("writable");
        let found = inspect(dir.path(), Depth::Deep).expect("the store itself is sound");
        assert!(found.iter().any(|told| told.contains("000001.db has changed")), "byte {place}: {found:?}");
    }
    fs::write(&archive, sound).expect("writable");
    assert_eq!(inspect(dir.path(), Depth::Deep), Ok(vec![]));
}

#[test]
fn a_torn_page_is_found() {
    let dir = Dir::quick();
    filled(&dir);
    let sound = fs::read(file(&dir)).expect("readable");
    let truth = told(&dir).expect("it is sound");
    let page = usize::try_from(PAGE_BYTES).expect("small");
    let pages = sound.len() / page;
    let mut silent = Vec::new();
    let mut torn = 0;
    for number in 0..pages {
        let mut bytes = sound.clone();
        // Half of the page never reached the disk: it holds what was there before the file grew.
        let half = number * page + page / 2..(number + 1) * page;
        if bytes[half.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        bytes[half].fill(0);
        fs::write(file(&dir), bytes).expect("writable");
        torn += 1;
        // A page that is in use no more may hold anything.
        if told(&dir).is_some_and(|told| told != truth) {
            silent.push(number);
        }
    }
    assert!(torn > 20, "too few pages to mean anything: {torn}");
    assert!(silent.is_empty(), "of {torn} torn pages: {silent:?}");
}

/// SQLite keeps no checksums of its pages, so a bit that flips inside a value makes another value. This counts what is
/// found and what is believed: a change that makes the checks find less fails here.
#[test]
fn flipped_bytes_of_the_store_are_found_unless_they_make_another_value() {
    let dir = Dir::quick();
    filled(&dir);
    let truth = told(&dir).expect("it is sound");
    let sound = fs::read(file(&dir)).expect("readable");
    let (mut found, mut harmless, mut believed) = (0, 0, 0);
    for flip in 0..120 {
        let mut bytes = sound.clone();
        let place = (flip * 7919 * 64 + flip) % bytes.len();
        bytes[place] ^= 0xFF;
        fs::write(file(&dir), bytes).expect("writable");
        match told(&dir) {
            None => found += 1,
            Some(told) if told == truth => harmless += 1,
            Some(_) => believed += 1,
        }
    }
    eprintln!("of 120 flipped bytes {found} are found, {harmless} are in no use, {believed} are believed");
    assert!(found > 3 * believed, "{believed} are believed, {found} are found");
}
