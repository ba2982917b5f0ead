//! Jobs that keep the output of so many runs only (`output: {keepRuns: 20}`).

use super::{FILES_MAX, Log, Pass, log_at, remove};
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::id::JobId;
use punctual_core::run::{Run, Verdict};
use punctual_store::RunFilter;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Runs beyond those that are kept which one pass looks at, page by page while it finds output there.
const PAGE_RUNS: usize = 500;

/// What was removed, or would be.
#[derive(Debug, Default)]
pub struct Gone {
    /// The files.
    pub paths: BTreeSet<PathBuf>,
    /// What they took on disk.
    pub bytes: u64,
}

/// Removes the output of runs beyond those that their jobs keep. Runs that have not ended are not counted.
///
/// # Errors
/// The store failed, or a file cannot be removed.
pub async fn prune(engine: &Engine, pass: Pass) -> Result<Gone, EngineError> {
    let mut gone = Gone::default();
    for job in engine.jobs().await? {
        if let Some(runs) = job.spec.output_keep_runs {
            prune_job(engine, job.row.id, usize::try_from(runs).unwrap_or(usize::MAX), pass, &mut gone)
                .await?;
        }
    }
    Ok(gone)
}

async fn prune_job(
    engine: &Engine,
    job: JobId,
    kept: usize,
    pass: Pass,
    gone: &mut Gone,
) -> Result<(), EngineError> {
    // The newest are listed first, by when their ends were recorded.
    let mut limit = kept.saturating_add(PAGE_RUNS);
    let mut seen = kept;
    loop {
        let filter =
            RunFilter { job: Some(job), verdicts: Verdict::ALL.to_vec(), limit, ..RunFilter::default() };
        let runs = engine.store().runs(filter).await?;
        let before = gone.paths.len();
        for run in runs.iter().skip(seen) {
            remove_logs(engine, run, pass, gone)?;
        }
        let found = gone.paths.len() > before;
        // What was beyond it has gone in earlier passes, or goes by its age.
        if !found
            || runs.len() < limit
            || gone.paths.len() as u64 >= FILES_MAX
            || limit >= punctual_store::RUNS_MAX
        {
            return Ok(());
        }
        seen = runs.len();
        limit = limit.saturating_add(PAGE_RUNS);
    }
}

fn remove_logs(engine: &Engine, run: &Run, pass: Pass, gone: &mut Gone) -> Result<(), EngineError> {
    let failed = |path: &PathBuf, e: std::io::Error| EngineError::Output(format!("{}: {e}", path.display()));
    for attempt in &run.attempts {
        let log = engine.data().log(run.id, attempt.number);
        let notice = engine.data().log(run.id, attempt.number + 1).with_extension("notify.log");
        for path in [log, notice] {
            let Some(Log { bytes, .. }) = log_at(&path) else { continue };
            if pass == Pass::Real {
                if let Some(day) = path.parent() {
                    super::note_pruned(&engine.data().logs(), day).map_err(|e| failed(&path, e))?;
                }
                remove(&path).map_err(|e| failed(&path, e))?;
            }
            if gone.paths.insert(path) {
                gone.bytes += bytes;
            }
        }
    }
    Ok(())
}
