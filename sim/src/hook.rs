//! What the store meets: faults on order, and the checker, which sees every commit.

use crate::check::Checker;
use punctual_core::id::{RunId, TriggerId};
use punctual_store::faults::{Faults, Refuse};
use punctual_store::{Ask, Decision, Done, StoreError};
use std::cell::RefCell;
use std::rc::Rc;

/// What happens to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is not tried.
    Slow,
    /// It is undone, and says that the disk is full.
    Full,
    /// It is undone, and its answer is not seen.
    UnknownLost,
    /// It commits, and its answer is not seen.
    UnknownApplied,
    /// It is undone, and the process ends.
    CrashBefore,
    /// It commits, and the process ends.
    CrashAfter,
}

/// An item about which the store refuses every decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// What a trigger fires.
    Trigger(TriggerId),
    /// Any change of a run.
    Run(RunId),
}

impl Poison {
    fn touches(self, decision: &Decision) -> bool {
        match self {
            Self::Trigger(id) => {
                decision.runs_new.iter().any(|run| run.trigger == Some(id))
                    || decision.skips.iter().any(|skip| skip.trigger == id)
            }
            Self::Run(id) => decision.runs.iter().any(|run| run.id == id),
        }
    }
}

/// The store's faults.
pub struct Hook {
    checker: Rc<RefCell<Checker>>,
    /// How many transactions pass first, and what happens to the one after them.
    pub blow: Option<(u32, Blow)>,
    /// What the transaction under way meets.
    struck: Option<Blow>,
    /// How many transactions find the disk full.
    pub full: u32,
    /// So many reads fail, after so many that do not.
    pub reads: Option<(u32, u32)>,
    /// What is refused.
    pub poison: Option<Poison>,
    /// The process has ended: nothing it asks for happens.
    pub dead: bool,
    /// Blows that were met.
    pub met: Vec<Blow>,
}

impl Hook {
    /// A store without faults.
    pub fn new(checker: Rc<RefCell<Checker>>) -> Self {
        Self {
            checker,
            blow: None,
            struck: None,
            full: 0,
            reads: None,
            poison: None,
            dead: false,
            met: Vec::new(),
        }
    }

    /// No more faults.
    pub fn heal(&mut self) {
        self.blow = None;
        self.full = 0;
        self.reads = None;
        self.poison = None;
    }
}

impl Faults for Hook {
    fn before(&mut self, _: &Ask) -> Result<Option<Refuse>, StoreError> {
        if self.dead {
            return Err(StoreError::Closed);
        }
        self.struck = match &mut self.blow {
            Some((0, blow)) => Some(*blow),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None if self.full > 0 => {
                self.full -= 1;
                Some(Blow::Full)
            }
            None => None,
        };
        let Some(blow) = self.struck else {
            let poison = self.poison;
            return Ok(poison.map(|poison| -> Refuse { Box::new(move |decision| poison.touches(decision)) }));
        };
        if self.blow.is_some() {
            self.blow = None;
        }
        self.met.push(blow);
        match blow {
            Blow::Slow => {
                self.struck = None;
                Err(StoreError::Deadline)
            }
            Blow::UnknownApplied | Blow::CrashAfter => Ok(None),
            Blow::Full | Blow::UnknownLost | Blow::CrashBefore => Ok(Some(Box::new(|_| true))),
        }
    }

    fn after(
        &mut self,
        decision: Option<&Decision>,
        answer: Result<Done, StoreError>,
    ) -> Result<Done, StoreError> {
        if let (Some(decision), Ok(done)) = (decision, &answer) {
            self.checker.borrow_mut().commit(decision, done);
        }
        if let Err(StoreError::Refused(why)) = &answer
            && self.struck.is_none()
            && !self.checker.borrow().poisoned
        {
            self.checker.borrow_mut().broken("I-10", format!("a decision is refused: {why}"));
        }
        let unknown = || Err(StoreError::CommitUnknown("the simulator hides it".into()));
        match self.struck.take() {
            Some(Blow::CrashBefore | Blow::CrashAfter) => {
                self.dead = true;
                Err(StoreError::Closed)
            }
            Some(Blow::UnknownApplied) if answer.is_ok() => unknown(),
            // What the decision itself was refused for comes first.
            Some(Blow::UnknownLost) if decision.is_some() => unknown(),
            Some(Blow::Full) if decision.is_some() => Err(StoreError::Full("the simulator says so".into())),
            _ => answer,
        }
    }

    fn read(&mut self) -> Result<(), StoreError> {
        if self.dead {
            return Err(StoreError::Closed);
        }
        match &mut self.reads {
            Some((0, 0)) => self.reads = None,
            Some((0, left)) => {
                *left -= 1;
                return Err(StoreError::Deadline);
            }
            Some((before, _)) => *before -= 1,
            None => {}
        }
        Ok(())
    }
}
