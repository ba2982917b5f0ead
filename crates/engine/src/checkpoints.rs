//! The end of checkpoints: at once after a success, after some days where a run ended otherwise. Directories can be
//! large, so they are removed on a thread of their own.

use crate::block_on::block_on;
use crate::shared::Engine;
use punctual_core::id::RunId;
use punctual_core::run::RunState;
use punctual_core::time::Timestamp;
use std::path::Path;
use std::time::Duration;

/// So long the checkpoint of a run that did not succeed is kept: for whoever looks at it, and for the run that does
/// its work again.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Removes the checkpoint of a run that succeeded.
pub fn remove(engine: &Engine, run: RunId) {
    let path = engine.data().checkpoint(run);
    let _ = std::thread::Builder::new().name("checkpoints".into()).spawn(move || clear(&path));
}

/// Removes the checkpoints of runs that ended long ago, and of those that nobody knows.
pub fn prune(engine: &Engine) {
    let engine = engine.clone();
    let _ = std::thread::Builder::new().name("checkpoints".into()).spawn(move || prune_now(&engine));
}

fn prune_now(engine: &Engine) {
    let before = engine.clock().now().saturating_sub(KEPT);
    for entry in std::fs::read_dir(engine.data().checkpoints()).into_iter().flatten().flatten() {
        let run = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok());
        let Some(run) = run else { continue };
        let last = match block_on(engine.store().run(run)) {
            Ok(Some(run)) => match run.state {
                RunState::Finished { at, .. } => at,
                _ => continue,
            },
            // Its history has been pruned: what it was named after is all that is known.
            Ok(None) => Timestamp::from_micros(run.nominal_millis().saturating_mul(1000)),
            Err(_) => return,
        };
        if last < before {
            clear(&entry.path());
        }
    }
}

fn clear(path: &Path) {
    // What cannot be removed now is tried again with the next pruning.
    let _ = std::fs::remove_dir_all(path);
}
