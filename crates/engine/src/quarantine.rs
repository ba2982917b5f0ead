//! Quarantine: one item whose decision the store refuses, or that panics, must not stop the others.
//!
//! The cycle halves its batch until one item of each kind is left; here the kinds are tried apart, and what still
//! fails is set aside, loudly: a trigger's job is paused, a run is left alone by this node.

use crate::book::Book;
use crate::error::EngineError;
use crate::inbox::Message;
use crate::node::{Executor, Node};
use crate::shared::Engine;
use punctual_core::id::TriggerId;
use punctual_store::row::{JobRow, Pause};
use punctual_store::{Ask, Snapshot, StoreError};

/// The kinds of work that a cycle takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinds {
    pub ended: bool,
    pub due: bool,
    pub queued: bool,
}

impl Kinds {
    pub const ALL: Self = Self { ended: true, due: true, queued: true };
}

impl Node {
    /// Finds which of the first items fails on its own and sets it aside.
    pub(crate) async fn isolate(
        &mut self,
        why: &str,
        executor: &mut dyn Executor,
    ) -> Result<(), EngineError> {
        let none = Kinds { ended: false, due: false, queued: false };
        if let Some(key) = self.first_ended()
            && refused(self.cycle_of(1, Kinds { ended: true, ..none }, executor).await)?
        {
            self.drop_ended(key);
            self.engine().set_aside(format!("the end of run {} cannot be recorded: {why}", key.0));
        }
        if refused(self.cycle_of(1, Kinds { due: true, ..none }, executor).await)? {
            self.engine().quarantine_first_due(why).await?;
        }
        if refused(self.cycle_of(1, Kinds { queued: true, ..none }, executor).await)? {
            let now = self.engine().clock().now();
            let mut ask = Ask { queued: Some((now, 1 + self.shunned.len())), ..Ask::default() };
            let queued = self.engine().look(&mut ask, |_, snapshot| Ok(snapshot.queued.clone())).await?;
            if let Some(run) = queued.into_iter().find(|run| !self.shunned.contains(run)) {
                self.shunned.insert(run);
                self.engine().set_aside(format!("run {run} cannot be started: {why}"));
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Pauses the job of the trigger that is due first, without deciding anything about it.
    async fn quarantine_first_due(&self, why: &str) -> Result<(), EngineError> {
        let mut ask = Ask { due: Some((self.clock().now(), 1)), ..Ask::default() };
        let reason = format!("quarantined: {why}");
        let work = move |book: &mut Book, snapshot: &Snapshot| {
            let Some(trigger) = snapshot.due.first().copied() else { return Ok(None) };
            Ok(Some(set_aside(book, trigger, &reason)))
        };
        let (job, ..) = self.write(&mut ask, work).await?;
        if let Some(job) = job {
            self.set_aside(format!("job {job} is paused, because its trigger cannot be fired: {why}"));
        }
        Ok(())
    }

    /// Says what was set aside; it is counted in the status.
    pub(crate) fn set_aside(&self, text: String) {
        self.count_quarantine();
        self.inbox().send(Message::Remark(text));
    }
}

fn set_aside(book: &mut Book, trigger: TriggerId, reason: &str) -> String {
    let mut row = book.triggers[&trigger].clone();
    row.state.next_at = None;
    let job = book.jobs[&row.job].clone();
    book.put_trigger(row);
    let name = job.name.clone();
    book.put_job(JobRow { paused: Some(Pause { since: book.now(), reason: reason.to_owned() }), ..job });
    name
}

/// Whether a cycle was refused; other failures are the caller's.
fn refused<T>(result: Result<T, EngineError>) -> Result<bool, EngineError> {
    match result {
        Ok(_) => Ok(false),
        Err(EngineError::Store(StoreError::Refused(_))) => Ok(true),
        Err(error) => Err(error),
    }
}
