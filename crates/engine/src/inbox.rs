//! The node's inbox: what other threads tell it, and the descriptor that wakes it.

use crate::handlers::Handled;
use punctual_core::id::{Fence, JobId, RunId};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a node is told.
#[derive(Debug)]
pub enum Message {
    /// Something may be due.
    Wake,
    /// A commit's answer was not seen, and what it decided may not have been carried out.
    Unsure,
    /// A handler's attempt ended.
    Handled(Handled),
    /// An attempt is to end.
    Stop {
        /// Its run.
        run: RunId,
        /// Its lease.
        fence: Fence,
    },
    /// Leases that the store has; the node says whether it knows them.
    Leases(Vec<crate::audit::Leased>),
    /// Something about the daemon that people should see.
    Remark(String),
    /// How long the newest successful attempts of a job took, newest first.
    Took {
        /// The job.
        job: JobId,
        /// How long.
        took: Vec<Duration>,
    },
    /// The daemon is to end.
    Shutdown(AtStop),
}

/// What becomes of the jobs under way when the daemon is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// The next daemon adopts them.
    Leave,
    /// They are told to end, each within its grace.
    End,
}

/// Messages in order. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct Inbox {
    messages: Arc<Mutex<Vec<Message>>>,
    event: Arc<OwnedFd>,
}

impl Inbox {
    /// An empty inbox.
    ///
    /// # Panics
    /// The process has no descriptors left.
    pub fn new() -> Self {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("a descriptor is left");
        Self { messages: Arc::default(), event: Arc::new(event) }
    }

    /// Adds a message and wakes the node.
    pub fn send(&self, message: Message) {
        self.messages.lock().expect("no holder of this lock panics").push(message);
        // It fails only when it stands at its maximum, and then the node is awake.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Takes all messages.
    pub fn take(&self) -> Vec<Message> {
        let mut count = [0_u8; 8];
        let _ = rustix::io::read(&self.event, &mut count);
        std::mem::take(&mut *self.messages.lock().expect("no holder of this lock panics"))
    }

    /// Readable while there are messages.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}
