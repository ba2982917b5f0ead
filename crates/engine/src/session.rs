//! How a daemon comes to a supervisor: it attaches to the one that is there, or sees to what an earlier one left and
//! starts another.

use crate::block_on::block_on;
use crate::clock::{self, Monotonic};
use crate::data_dir::{Lock, LockError};
use crate::error::EngineError;
use crate::run_loop::{Daemon, counted};
use crate::shared::Engine;
use crate::supervisor::journal::{self, Past};
use crate::supervisor::protocol::{PROTOCOL, Request};
use crate::supervisor::{self, AttachError, Session, Supervisor, tree};
use punctual_core::error::{Code, Diagnostic};
use punctual_core::failpoint;
use punctual_core::id::NodeId;
use punctual_core::run::RunState;
use punctual_store::Ask;
use punctual_store::row::NodeRow;
use std::path::Path;
use std::time::Duration;

/// The supervisor speaks another protocol.
const OTHER_PROTOCOL: Code = Code("API034");
/// A supervisor that holds the lock and does not answer for so long is taken to be stuck, and is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many supervisors are started in vain.
const LAUNCHES_MAX: u32 = 3;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl Daemon {
    /// Attaches to the directory's supervisor. Where none is left, what it held is settled first, and another is started.
    ///
    /// # Errors
    /// Processes of an earlier one cannot be ended, none can be started, none answers, or the store fails.
    pub(crate) fn open_session(&mut self) -> Result<(), String> {
        self.merge_journal()?;
        let Some(program) = self.hands.program.clone() else { return self.be_alone() };
        let (mut limit, mut killed) = (Monotonic::now().after(PATIENCE), false);
        let mut launched = 0;
        loop {
            match self.engine.data().lock_supervisor() {
                Ok(_) if launched == LAUNCHES_MAX => {
                    return Err("the supervisor ends as soon as it is started; its words are above".into());
                }
                Ok(lock) => {
                    self.settle_past()?;
                    self.launch(&program, lock)?;
                    launched += 1;
                }
                Err(LockError::Held(_)) => {}
                Err(LockError::Io(error)) => {
                    return Err(format!("the supervisor's lock cannot be taken: {error}"));
                }
            }
            failpoint::reach("attach.before").map_err(|e| e.to_string())?;
            match supervisor::attach(self.engine.data(), self.orphan_timeout, limit) {
                Ok((supervisor, session)) => return self.adopt(supervisor, &session),
                Err(AttachError::Protocol(theirs)) => return Err(other_protocol(theirs)),
                // It may be about to end, and lets go of its lock when it has.
                Err(AttachError::Silent(_)) if !limit.until_from(Monotonic::now()).is_zero() => {
                    std::thread::sleep(PAUSE);
                }
                Err(AttachError::Silent(why)) if killed => {
                    return Err(format!("the supervisor does not answer: {why}"));
                }
                Err(AttachError::Silent(why)) => {
                    self.remark(&format!(
                        "the supervisor does not answer ({why}); it is killed with its jobs"
                    ));
                    tree::kill_supervisors(&self.engine.data().journal());
                    (limit, killed) = (Monotonic::now().after(PATIENCE), true);
                }
            }
        }
    }

    /// Keeps in a store that came back what only the journal knows, before any of it is stopped or forgotten.
    fn merge_journal(&mut self) -> Result<(), String> {
        let journal = journal::read(&self.engine.data().journal());
        let unknown = block_on(self.engine.merge_starts(&journal)).map_err(|e| e.to_string())?;
        if unknown > 0 {
            let starts = counted(unknown, "start");
            self.remark(&format!("the journal holds {starts} that the store does not know; they are merged"));
        }
        Ok(())
    }

    /// Where handlers do the work there is no supervisor: what an earlier process had under way ended with it.
    fn be_alone(&mut self) -> Result<(), String> {
        let lock = self.engine.data().lock_supervisor().map_err(|error| match error {
            LockError::Held(_) => "jobs of a daemon are under way in this data directory".to_owned(),
            LockError::Io(error) => format!("the supervisor's lock cannot be taken: {error}"),
        })?;
        self.settle_past()?;
        (self.alone, self.unused) = (Some(lock), false);
        self.say_who();
        Ok(())
    }

    /// Makes sure that nothing of a supervisor lives which is gone, and settles the runs it held, before another begins
    /// the journal anew. This node is another one from then on.
    pub(crate) fn settle_past(&mut self) -> Result<(), String> {
        let path = self.engine.data().journal();
        let past = journal::read(&path);
        let leased = block_on(leased_runs(&self.engine)).map_err(|e| e.to_string())?;
        journal::kill_survivors(&path, &past.starts, &leased)?;
        // A session to which nothing can have been leased is not over yet.
        if !self.unused {
            self.begin_session(NodeId(clock::random()))?;
            self.unused = true;
        }
        failpoint::reach("recover.before").map_err(|e| e.to_string())?;
        for run in block_on(self.node.recover_once(&past, &mut self.hands)).map_err(|e| e.to_string())? {
            self.remark(&format!("run {} was under way when its supervisor ended; it is lost", run.id));
        }
        failpoint::reach("recover.after").map_err(|e| e.to_string())
    }

    fn begin_session(&mut self, id: NodeId) -> Result<(), String> {
        let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
        let row = NodeRow { id, host, since: self.engine.clock().now(), cycle: 0 };
        block_on(self.engine.store().register_node(row)).map_err(|e| e.to_string())?;
        self.node.begin_session(id);
        Ok(())
    }

    fn launch(&mut self, program: &Path, lock: Lock) -> Result<(), String> {
        let (data, id) = (self.engine.data(), self.node.id());
        let child = supervisor::launch(program, data, lock, id, self.orphan_timeout)
            .map_err(|e| format!("the supervisor cannot be started: {e}"))?;
        self.hands.reap(child);
        Ok(())
    }

    fn adopt(&mut self, supervisor: Supervisor, session: &Session) -> Result<(), String> {
        if supervisor.node() != self.node.id() {
            self.begin_session(supervisor.node())?;
        }
        (self.hands.supervisor, self.unused) = (Some(supervisor), false);
        failpoint::reach("attach.during").map_err(|e| e.to_string())?;
        self.hands.adopt_notices(session);
        let attached =
            block_on(self.node.attach_once(session, &mut self.hands)).map_err(|e| e.to_string())?;
        failpoint::reach("attach.after").map_err(|e| e.to_string())?;
        // Of sessions that ended before this one began, should anything have been left of them.
        block_on(self.node.recover_once(&Past::default(), &mut self.hands)).map_err(|e| e.to_string())?;
        for attempt in attached.unknown_running {
            self.hands.request(&Request::Stop { attempt });
        }
        self.hands.request(&Request::Ack { attempts: attached.unknown_ended });
        if attached.adopted + attached.ended > 0 {
            let (adopted, ended) = (counted(attached.adopted, "attempt"), attached.ended);
            self.remark(&format!(
                "the jobs of the daemon before are adopted: {adopted} under way, {ended} that ended meanwhile"
            ));
        }
        self.say_who();
        Ok(())
    }
}

fn other_protocol(theirs: u32) -> String {
    let message = format!(
        "the jobs under way are held by a supervisor of another version, which speaks protocol {theirs} and not {PROTOCOL}"
    );
    let hint = "start the version that started it and end it with its jobs (serve --at-stop end), or wait until they end";
    Diagnostic::error(OTHER_PROTOCOL, message).hint(hint).to_string()
}

/// The runs that nodes have under way, whichever.
async fn leased_runs(engine: &Engine) -> Result<Vec<String>, EngineError> {
    let mut ask = Ask { leased_by_others_than: Some(NodeId(0)), ..Ask::default() };
    let leased = |run: &&punctual_core::run::Run| matches!(run.state, RunState::Leased(_));
    let (runs, ..) = engine
        .write(&mut ask, move |_, snapshot| {
            Ok(snapshot.runs.iter().filter(leased).map(|run| run.id.to_string()).collect())
        })
        .await?;
    Ok(runs)
}
