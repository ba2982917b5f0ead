//! Faults on order, for the simulator: what a store does to the transactions of one thread. Compiled with the feature
//! `faults`, which nothing that is installed has.

use crate::row::DedupRow;
use crate::{Ask, Decision, Done, Store, StoreError};
use punctual_core::id::{JobId, RunId};
use punctual_core::time::Timestamp;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Result<T> = std::result::Result<T, StoreError>;

/// Whether a decision is to be refused.
pub type Refuse = Box<dyn Fn(&Decision) -> bool + Send>;

/// What a store of this thread meets.
pub trait Faults {
    /// Before a transaction: an error instead of it, or which decisions are to be refused when they are written.
    ///
    /// # Errors
    /// The transaction's answer; nothing is changed.
    fn before(&mut self, ask: &Ask) -> Result<Option<Refuse>>;
    /// After it, with what was decided, if that came about: the answer that is given.
    ///
    /// # Errors
    /// The transaction's answer, whatever became of it.
    fn after(&mut self, decision: Option<&Decision>, answer: Result<Done>) -> Result<Done>;
    /// Before a read.
    ///
    /// # Errors
    /// The read's answer.
    fn read(&mut self) -> Result<()>;
}

thread_local! {
    static ARMED: RefCell<Option<Rc<RefCell<dyn Faults>>>> = const { RefCell::new(None) };
}

/// Arms faults for the stores that this thread uses; `None`: none.
pub fn arm(faults: Option<Rc<RefCell<dyn Faults>>>) {
    ARMED.with(|armed| *armed.borrow_mut() = faults);
}

fn armed() -> Option<Rc<RefCell<dyn Faults>>> {
    ARMED.with(|armed| armed.borrow().clone())
}

pub(crate) fn read() -> Result<()> {
    armed().map_or(Ok(()), |faults| faults.borrow_mut().read())
}

pub(crate) async fn transact(
    store: &Store,
    ask: Ask,
    deadline: Duration,
    mut decide: crate::Decide,
) -> Result<Done> {
    // Looked up before and after the wait, for what is armed cannot go to another thread, and this future can.
    let before = armed().map(|faults| faults.borrow_mut().before(&ask)).transpose()?;
    let Some(refuse) = before else { return store.transact_plain(ask, deadline, decide).await };
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let answer = store.transact_plain(
        ask,
        deadline,
        Box::new(move |snapshot| {
            let mut decision = decide(snapshot);
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(decision.clone());
            if refuse.as_ref().is_some_and(|refuse| refuse(&decision)) {
                decision.dedup.push(impossible());
            }
            decision
        }),
    );
    let answer = answer.await;
    let decision = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match armed() {
        Some(faults) => faults.borrow_mut().after(decision.as_ref(), answer),
        None => answer,
    }
}

/// A row that every store refuses at the end of a decision, when all else has been written: its job does not exist.
fn impossible() -> DedupRow {
    DedupRow { job: JobId(i64::MAX), key: "fault".into(), run: RunId(0), expires: Timestamp::EPOCH }
}
