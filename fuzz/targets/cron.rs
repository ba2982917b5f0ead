//! Any text as a cron rule: it parses or is refused with a place inside the text, and `next(t) > t`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use punctual_core::cron::{Cron, Dialect, Parsed, parse};
use punctual_core::schedule::{CronSchedule, DstPolicy};
use punctual_core::time::Timestamp;
use punctual_core::zone::{Zone, ZoneTable};
use std::sync::{Arc, LazyLock};

static ZONES: LazyLock<Vec<Arc<Zone>>> = LazyLock::new(|| {
    let table = ZoneTable::bundled();
    let names = ["UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "Antarctica/Troll"];
    names.iter().map(|name| table.zone(name).expect("it is bundled")).collect()
});

fuzz_target!(|data: (u8, i64, &str)| {
    let (pick, from, text) = data;
    for dialect in [Dialect::Standard, Dialect::Quartz, Dialect::Crontab] {
        match parse(text, dialect) {
            Ok(Parsed::Cron(rule)) => fires_forward(rule, pick, from),
            Ok(_) => {}
            Err(error) => assert!(error.offset <= text.len(), "{error:?}"),
        }
    }
});

fn fires_forward(rule: Cron, pick: u8, from: i64) {
    let rule = if rule.has_hash() { rule.resolve(u64::from(pick)) } else { rule };
    let zone = ZONES[usize::from(pick) % ZONES.len()].clone();
    let schedule = CronSchedule { rule: Arc::new(rule), zone, dst: DstPolicy::Debian };
    let mut at = Timestamp::from_secs(from.rem_euclid(6_000_000_000));
    for _ in 0..3 {
        let Some(next) = schedule.next_after(at) else { return };
        assert!(next > at && schedule.matches(next).is_ok());
        at = next;
    }
}
