//! How a node comes to what is under way: it adopts what its session's supervisor holds, settles what earlier sessions
//! left, and catches up with commits whose answers it did not see.

use crate::book::Effects;
use crate::error::EngineError;
use crate::executor;
use crate::node::{Cycled, Executor, Node, Running, due_of};
use crate::supervisor::Session;
use crate::supervisor::journal::Past;
use crate::supervisor::protocol::{AttemptId, Ended, Running as Known};
use punctual_core::attempt::Outcome;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_core::run::{Run, RunEvent, RunState};
use punctual_core::sabotage;
use punctual_core::time::Timestamp;
use std::collections::BTreeMap;

/// What a node took over from a session's supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Attempts under way that go on.
    pub adopted: usize,
    /// Attempts that have ended and are to be settled.
    pub ended: usize,
    /// Attempts that had not reached the supervisor, and are started.
    pub started: usize,
    /// Under way and of no lease: nobody would record their end.
    pub unknown_running: Vec<AttemptId>,
    /// Ended and of no lease: their ends are recorded already.
    pub unknown_ended: Vec<AttemptId>,
}

impl Node {
    /// Settles the runs of sessions that are over: as they ended, where `past`, the journal of the last one, or this node
    /// itself has seen it, and as lost where nobody has. Their processes must be known to be dead. Returns the lost.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn recover_once(
        &mut self,
        past: &Past,
        executor: &mut dyn Executor,
    ) -> Result<Vec<Run>, EngineError> {
        let mut ask = self.ask();
        ask.leased_by_others_than = Some(self.id);
        let me = self.id;
        let starts = past.starts.iter().map(|s| (s.attempt.clone(), Timestamp::from_micros(s.at_us)));
        let mut starts: BTreeMap<AttemptId, Timestamp> = starts.collect();
        for known in self.running.values() {
            starts.extend(known.started.map(|at| (executor::attempt_id(&known.run), at)));
        }
        let ends: BTreeMap<AttemptId, Ended> =
            past.ends.iter().map(|end| (end.attempt.clone(), end.clone())).collect();
        let seen = self.ended.clone();
        let (lost, effects, done) = self
            .write(ask, move |book, snapshot| {
                let (mut lost, mut settled) = (Vec::new(), Vec::new());
                for run in &snapshot.runs {
                    let RunState::Leased(lease) = &run.state else { continue };
                    if lease.owner == me {
                        continue;
                    }
                    // One that is not at hand is loaded, and this is asked again.
                    let Some(job) = book.definition(run.job, run.revision) else { continue };
                    let id = executor::attempt_id(run);
                    let number = run.next_attempt();
                    let attempt = match (seen.get(&(run.id, lease.fence)), ends.get(&id)) {
                        (Some(attempt), _) => attempt.clone(),
                        (None, Some(end)) => executor::attempt(end, number, lease.owner, due_of(run), &job),
                        (None, None) => {
                            executor::lost(run, lease.owner, starts.get(&id).copied(), book.now())
                        }
                    };
                    if attempt.outcome == Outcome::Lost {
                        lost.push(run.clone());
                    }
                    settled.push((run.id, RunEvent::Ended { fence: lease.fence, attempt }));
                }
                let settled = book.events(settled);
                lost.retain(|run: &Run| settled.contains(&run.id));
                Ok(lost)
            })
            .await?;
        let earlier: Vec<(RunId, Fence)> = self
            .running
            .values()
            .filter(|known| !matches!(&known.run.state, RunState::Leased(lease) if lease.owner == me))
            .map(|known| (known.run.id, known.run.fence))
            .collect();
        self.forget(&earlier);
        self.carry_out(&effects, &done.taken, executor, &mut Cycled::default());
        Ok(lost)
    }

    /// Takes over what the session's supervisor knows: what is under way is adopted, what has ended is settled by the
    /// next cycle, and what was leased and never reached the supervisor is started now, under the same lease. A
    /// definition of the session's earlier daemon may have been replaced; its runs keep theirs.
    ///
    /// # Errors
    /// The store could not do it.
    pub async fn attach_once(
        &mut self,
        session: &Session,
        executor: &mut dyn Executor,
    ) -> Result<Attached, EngineError> {
        self.cycles = self.engine.store().node_cycle(self.id).await?.unwrap_or(0);
        let mut running: BTreeMap<AttemptId, &Known> =
            session.running.iter().map(|known| (known.attempt.clone(), known)).collect();
        let mut ended: BTreeMap<AttemptId, &Ended> =
            session.ended.iter().map(|end| (end.attempt.clone(), end)).collect();
        let mut attached = Attached::default();
        let mut decided = Effects::default();
        let (held, now) = (self.engine.past().await?.held().is_some(), self.engine.clock().now());
        for run in self.leased().await? {
            let RunState::Leased(lease) = &run.state else { continue };
            let id = executor::attempt_id(&run);
            if lease.stop.is_some() {
                decided.stopped.push((run.id, lease.fence));
            }
            if let Some(known) = running.remove(&id) {
                if sabotage!("lost-while-alive") {
                    self.adopt(&run, None);
                    self.ended.insert((run.id, run.fence), executor::lost(&run, self.id, None, run.due));
                    continue;
                }
                attached.adopted += 1;
                self.adopt(&run, Some(Timestamp::from_micros(known.at_us)));
            } else if let Some(end) = ended.remove(&id) {
                attached.ended += 1;
                self.adopt(&run, end.started_us.map(Timestamp::from_micros));
                self.ended(end);
            } else if held {
                // Its end was recorded in a time that the store has lost.
                self.adopt(&run, None);
                self.ended.insert((run.id, run.fence), executor::lost(&run, self.id, None, now));
            } else if !self.ended.contains_key(&(run.id, lease.fence)) {
                attached.started += 1;
                decided.leased.push(run);
            }
        }
        self.carry_out(&decided, &[], executor, &mut Cycled::default());
        self.adrift = false;
        attached.unknown_running = running.into_keys().collect();
        attached.unknown_ended = ended.into_keys().collect();
        Ok(attached)
    }

    fn adopt(&mut self, run: &Run, started: Option<Timestamp>) {
        let Some(job) = self.engine.definitions().job(run.job, run.revision) else { return };
        if let Some(at) = started {
            self.engine.note_start(run.id, run.fence, at);
            self.watch.started(run.job, run.id, run.fence, at);
        }
        self.running.insert(run.id, Running { run: run.clone(), job, started });
    }

    /// Carries out what a commit of this node decided whose answer was not seen: it was given up as not applied, and
    /// then the store moved on with it. What it leased was never started, and what it stopped was never told.
    pub(crate) async fn catch_up(&mut self, executor: &mut dyn Executor) -> Result<(), EngineError> {
        let mut decided = Effects::default();
        for run in self.leased().await? {
            let RunState::Leased(lease) = &run.state else { continue };
            if lease.stop.is_some() {
                decided.stopped.push((run.id, lease.fence));
            }
            if !self.knows(run.id, run.fence) {
                decided.leased.push(run);
            }
        }
        self.carry_out(&decided, &[], executor, &mut Cycled::default());
        // What it ended was never told of.
        if let Some(effects) = self.engine.take_unresolved(self.cycles) {
            let told = Effects { finished: effects.finished, ..Effects::default() };
            self.carry_out(&told, &[], executor, &mut Cycled::default());
        }
        self.adrift = false;
        Ok(())
    }

    /// The runs that are leased to this node, with their definitions at hand.
    async fn leased(&mut self) -> Result<Vec<Run>, EngineError> {
        let mut ask = self.ask();
        // Nobody has this number: all leased runs are shown.
        ask.leased_by_others_than = Some(NodeId(0));
        let me = self.id;
        let (mine, ..) = self
            .write(ask, move |book, snapshot| {
                let mine = |run: &&Run| matches!(&run.state, RunState::Leased(lease) if lease.owner == me);
                let mine: Vec<Run> = snapshot.runs.iter().filter(mine).cloned().collect();
                // A definition that is not at hand is loaded, and this is asked again.
                mine.iter().for_each(|run| _ = book.definition(run.job, run.revision));
                Ok(mine)
            })
            .await?;
        Ok(mine)
    }
}
