//! Any bytes as a file of definitions: they load or are refused, and what loads says itself in JSON and back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use punctual_core::spec::{Context, JobSpec, Source, load};
use punctual_core::zone::ZoneTable;
use std::sync::LazyLock;

static ZONES: LazyLock<ZoneTable> = LazyLock::new(ZoneTable::bundled);

fuzz_target!(|data: &[u8]| {
    let Ok(source) = Source::from_bytes("fuzz.yaml", data.to_vec()) else { return };
    let context = Context {
        env: &|_| None,
        read: &|_, _| Err("no files here".to_owned()),
        zones: &|name| ZONES.zone(name),
    };
    let Ok(definitions) = load(&[source], &context) else { return };
    for job in definitions.jobs {
        let again = JobSpec::from_json(&job.to_json()).expect("what it says it reads");
        assert_eq!(again, job);
        job.compile(&|name| ZONES.zone(name)).expect("what loads compiles");
    }
});
