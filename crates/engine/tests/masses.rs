//! Many jobs at one instant, and long downtimes, over SQLite: small in every run, large and with its figures by
//! `PUNCTUAL_MASSES=1 cargo test --release -p punctual-engine --test masses -- --nocapture --test-threads 1`

mod support;

use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::{self, Monotonic};
use punctual_store::{SqliteOptions, Store};
use std::path::PathBuf;
use std::time::Duration;
use support::World;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("punctual-masses-{:x}", clock::random()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn world(&self, slots: usize) -> World {
        let options = SqliteOptions::new(clock::since_boot);
        World::over(Store::open_sqlite(&self.0.join("store.db"), options).expect("opens"), slots)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = Monotonic::now();
    let result = work();
    println!("{what}: {:.3} s", Monotonic::now().until_from(begin).as_secs_f64());
    result
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default().to_owned()
}

fn jobs(count: usize, job: impl Fn(usize) -> String) -> String {
    format!("jobs:\n{}", (0..count).map(|n| format!("- {}\n", job(n))).collect::<String>())
}

fn minutely(overlap: &str) -> impl Fn(usize) -> String {
    move |n| format!("{{name: j{n}, schedule: '* * * * *', run: ['true'], overlap: {overlap}}}")
}

/// The large number where it was asked for, else the small one.
fn scale(small: usize, large: usize) -> usize {
    if std::env::var_os("PUNCTUAL_MASSES").is_some() { large } else { small }
}

#[test]
fn many_jobs_at_one_instant_all_run_once() {
    let count = scale(100, 10_000);
    for overlap in ["allow", "skip"] {
        for slots in [64, 2 * count] {
            println!("overlap {overlap}, {slots} slots");
            let scratch = Scratch::new();
            let mut world = scratch.world(slots);
            let yaml = jobs(count, minutely(overlap));
            timed("  apply", || world.apply(&yaml));
            timed("  apply again", || world.apply(&yaml));
            let edited = yaml.replace("'true'", "'false'");
            timed("  edit all", || world.apply(&edited));
            world.clock.advance(Duration::from_secs(60));
            timed("  the cycle at the instant", || world.cycle());
            timed("  the next cycle", || world.cycle());
            let begin = Monotonic::now();
            let mut cycles = 0;
            while !world.hands.started.is_empty() {
                for run in std::mem::take(&mut world.hands.started) {
                    world.note_end(&run, 0);
                }
                world.cycle();
                cycles += 1;
            }
            let all = Monotonic::now().until_from(begin).as_secs_f64();
            println!("  all ended: {all:.3} s in {cycles} cycles; {}", memory());
            let next = block_on(world.store.earliest_due()).expect("reads");
            assert!(next > Some(world.now()));
            assert_eq!(world.runs().iter().filter(|run| run.is_finished()).count(), count.min(10_000));
        }
    }
}

#[test]
fn a_long_downtime_of_minutely_jobs_is_disposed_of() {
    let (count, days) = (scale(10, 1000), scale(8, 14) as u64);
    for catch_up in ["latest", "none", "{policy: all, maxCount: 100, window: 14d}"] {
        println!("catch-up {catch_up}");
        let scratch = Scratch::new();
        let mut world = scratch.world(64);
        world.apply(&jobs(count, |n| {
            format!("{{name: j{n}, schedule: '* * * * *', run: ['true'], overlap: queue-all, catchUp: {catch_up}}}")
        }));
        world.clock.advance(Duration::from_secs(days * 86_400));
        let begin = Monotonic::now();
        let mut longest = Duration::ZERO;
        let mut cycles = 0;
        while triggers_due(&world) {
            let start = Monotonic::now();
            world.cycle();
            longest = longest.max(Monotonic::now().until_from(start));
            cycles += 1;
        }
        let all = Monotonic::now().until_from(begin).as_secs_f64();
        println!(
            "  disposed: {all:.3} s in {cycles} cycles, the longest {:.3} s; {}",
            longest.as_secs_f64(),
            memory()
        );
        let minutes = usize::try_from(days * 24 * 60).expect("small");
        assert_eq!(world.ticks("j0").iter().filter(|t| t.nominal <= world.now()).count(), minutes);
    }
}

fn triggers_due(world: &World) -> bool {
    let now: Timestamp = world.now();
    let (_, triggers) = block_on(world.store.jobs()).expect("reads");
    triggers.iter().any(|t| t.state.next_at.is_some_and(|next| next <= now))
}
