//! A few seeds in every test run; `cargo xtask sim` plays thousands.

use punctual_sim::play::play;
use punctual_store::{SqliteOptions, Store};
use std::time::Duration;

/// How many seeds: few, for this build is slow.
const SEEDS: u64 = 12;

// proves I-1, I-2, I-3, I-4, I-5, I-6, I-7, I-8, I-9, I-10, I-11, I-12, I-13, I-14, I-15, I-17, I-19 and L-4 for a few seeds
#[test]
fn no_promise_is_broken() {
    for seed in 1..=SEEDS {
        let played = play(seed, Store::memory(), false);
        assert_eq!(played.violation, None, "cargo xtask sim --seed {seed} --trace");
        assert!(played.commits > 0, "seed {seed} did nothing");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 7, 11] {
        let first = play(seed, Store::memory(), true);
        let second = play(seed, Store::memory(), true);
        assert_eq!(first.lines, second.lines);
        assert_eq!(first.hash, second.hash);
        assert_ne!(first.hash, play(seed + 1, Store::memory(), false).hash);
    }
}

/// The rows are the checker's copy in both: what one store shows, the other does.
#[test]
fn sqlite_and_memory_end_with_the_same_rows() {
    for seed in [2, 5, 8] {
        let dir = std::env::temp_dir().join(format!("punctual-sim-{}-{seed}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        // Nothing here takes long enough to be given up.
        let still = SqliteOptions::new(|| Duration::ZERO);
        let store = Store::open_sqlite(&dir, still).expect("opens");
        let on_disk = play(seed, store.clone(), true);
        store.close();
        let in_memory = play(seed, Store::memory(), true);
        assert_eq!(on_disk.violation, None, "seed {seed}");
        assert_eq!(on_disk.lines, in_memory.lines, "seed {seed}");
        assert_eq!(on_disk.rows, in_memory.rows, "seed {seed}");
        std::fs::remove_dir_all(&dir).expect("is there");
    }
}
