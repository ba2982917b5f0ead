//! `cargo xtask sim`: plays seeds, and says which promise one of them broke.

use punctual_core::sabotage::SABOTAGES;
use punctual_sim::play::{Played, play};
use punctual_sim::tally::Tally;
use punctual_store::Store;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const HELP: &str = "\
punctual-sim [--seeds N] [--from S]       plays the kept seeds, then N seeds from S (1000 from 1)
punctual-sim --seed S [--trace]           plays one, and prints what happened
punctual-sim --sabotage NAME [--seeds N]  arms a deliberate bug; fails, as it should, once a seed catches it
punctual-sim --sabotage all [--seeds N]   arms each in turn; fails if one is not caught
punctual-sim --sabotage list              what there is";

/// Fewer seeds need not meet everything.
const SEEDS_FOR_ALL: u64 = 500;

#[derive(Default)]
struct Options {
    seeds: Option<u64>,
    from: Option<u64>,
    seed: Option<u64>,
    trace: bool,
    sabotage: Option<String>,
}

/// What became of a range of seeds.
#[derive(Default)]
struct Sum {
    tally: Tally,
    commits: u64,
    played: u64,
    /// Seeds that broke a promise, by number.
    broken: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("error: {why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // A seed that panics is told of as any other; its place in the code is worth a line.
    std::panic::set_hook(Box::new(|info| eprintln!("  {info}")));
    match (&options.sabotage, options.seed) {
        (Some(name), _) if name == "list" => list(),
        (Some(name), _) if name == "all" => sabotage_all(&options),
        (Some(name), _) => sabotage(name, &options),
        (None, Some(seed)) => one(seed, &options),
        (None, None) => many(&options),
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().ok_or_else(|| format!("{arg} wants a number"))?;
            text.parse::<u64>().map_err(|_| format!("{text} is not a number"))
        };
        match arg.as_str() {
            "--seeds" => options.seeds = Some(number()?),
            "--from" => options.from = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            "--trace" => options.trace = true,
            "--sabotage" => {
                options.sabotage = Some(args.next().ok_or("--sabotage wants a name, all or list")?)
            }
            "--help" => return Err("nothing is played".into()),
            other => return Err(format!("no option {other}")),
        }
    }
    Ok(options)
}

/// The seeds that broke something once. They are played for ever.
fn kept() -> Vec<u64> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_whitespace().next());
    lines.filter_map(|word| word.parse().ok()).collect()
}

fn one(seed: u64, options: &Options) -> ExitCode {
    let played = play(seed, Store::memory(), options.trace);
    played.lines.iter().for_each(|line| println!("{line}"));
    println!("seed {seed}: {} commits, trace {:016x}", played.commits, played.hash);
    match played.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("seed {seed} broke {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(options: &Options) -> ExitCode {
    let seeds = options.seeds.unwrap_or(1000);
    let kept = sum(&kept(), false);
    let from = options.from.unwrap_or(1);
    let range: Vec<u64> = (from..from.saturating_add(seeds)).collect();
    let mut all = sum(&range, false);
    let mut broken = kept.broken;
    broken.append(&mut all.broken);
    print_tally(&all.tally);
    println!("{} kept seeds and {} from {from}: {} commits judged", kept.played, all.played, all.commits);
    for (seed, violation) in broken.iter().take(20) {
        println!("seed {seed} broke {violation}\n  cargo xtask sim --seed {seed} --trace");
    }
    let missing = if seeds >= SEEDS_FOR_ALL { all.tally.missing() } else { Vec::new() };
    if !missing.is_empty() {
        println!("these seeds prove too little, they did not meet: {}", missing.join(", "));
    }
    println!("{} seeds broke a promise", broken.len());
    if broken.is_empty() && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays seeds on as many threads as there are processors; `first`: until one breaks something.
fn sum(seeds: &[u64], first: bool) -> Sum {
    let next = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(seed) = seeds.get(place) else { return };
                    let played = play(*seed, Store::memory(), false);
                    if first && played.violation.is_some() {
                        done.store(true, Ordering::Relaxed);
                    }
                    add(&mut sum.lock().expect("no holder of this lock panics"), *seed, &played);
                }
            });
        }
    });
    let mut sum = sum.into_inner().expect("no holder of this lock panics");
    sum.broken.sort();
    sum
}

fn add(sum: &mut Sum, seed: u64, played: &Played) {
    sum.tally.join(&played.tally);
    sum.commits += played.commits;
    sum.played += 1;
    if let Some(violation) = &played.violation {
        sum.broken.push((seed, violation.to_string()));
    }
}

fn print_tally(tally: &Tally) {
    for (what, count) in &tally.counts {
        println!("{count:>10}  {what}");
    }
}

fn list() -> ExitCode {
    for (name, text) in SABOTAGES {
        println!("{name:<26} {text}");
    }
    ExitCode::SUCCESS
}

/// Arms one. The exit code is that of the simulator: a failure once it is caught.
fn sabotage(name: &str, options: &Options) -> ExitCode {
    match caught(name, options) {
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
        Ok(None) => {
            println!("{name} was not caught");
            ExitCode::SUCCESS
        }
        Ok(Some((seed, violation))) => {
            println!("{name} is caught by seed {seed}: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn sabotage_all(options: &Options) -> ExitCode {
    let mut missed = Vec::new();
    for (name, _) in SABOTAGES {
        match caught(name, options) {
            Err(why) => {
                eprintln!("error: {why}");
                return ExitCode::from(2);
            }
            Ok(None) => {
                println!("{name:<26} NOT CAUGHT");
                missed.push(*name);
            }
            Ok(Some((seed, violation))) => {
                let short: String = violation.chars().take(110).collect();
                println!("{name:<26} seed {seed:>5}  {short}");
            }
        }
    }
    println!("{} of {} sabotages caught", SABOTAGES.len() - missed.len(), SABOTAGES.len());
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first of the seeds that catches an armed bug, and how.
#[cfg(feature = "sabotage")]
fn caught(name: &str, options: &Options) -> Result<Option<(u64, String)>, String> {
    if !punctual_core::sabotage::arm(Some(name)) {
        return Err(format!("there is no sabotage {name}; --sabotage list shows them"));
    }
    let from = options.from.unwrap_or(1);
    let seeds: Vec<u64> = (from..from.saturating_add(options.seeds.unwrap_or(2000))).collect();
    let found = sum(&seeds, true).broken;
    punctual_core::sabotage::arm(None);
    Ok(found.into_iter().next())
}

#[cfg(not(feature = "sabotage"))]
fn caught(_: &str, _: &Options) -> Result<Option<(u64, String)>, String> {
    Err("this build has no sabotages: build it with --features sabotage, as cargo xtask sim does".into())
}
