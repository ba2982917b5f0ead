//! `cargo xtask sim`: plays seeds, and says which promise one of them broke.

use punctual_sim::play::play;
use punctual_store::Store;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let traced = std::env::args().any(|a| a == "--trace");
    let (from, count) = (args[0], args[1]);
    let mut tally = punctual_sim::tally::Tally::default();
    let mut commits = 0;
    let mut bad = 0;
    for seed in from..from + count {
        let played = play(seed, Store::memory(), traced);
        for line in &played.lines {
            println!("{line}");
        }
        commits += played.commits;
        tally.join(&played.tally);
        if let Some(violation) = played.violation {
            println!("seed {seed}: {violation}");
            bad += 1;
            if bad > 10 {
                break;
            }
        }
    }
    println!("{commits} commits, {tally:#?} missing {:?}", tally.missing());
}
