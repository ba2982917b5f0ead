//! The thread that empties the pipes of the jobs into their files.
//!
//! It is a thread of its own, so that neither a job that floods nor a disk that is slow holds up starts, kills and
//! ends: a pipe that is full stops the job that writes to it, and nothing else. One turn takes a bounded piece of
//! each pipe that has something.
//!
//! ```text
//! pipe ─read→ redact ─→ head → file
//!                    └→ tail (in memory) ─at the end→ file
//! ```

use super::output::{Output, Tails};
use super::redact::Redactor;
use punctual_core::error::Code;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Output could not be kept.
const NOT_KEPT: Code = Code("EXE020");
/// Of one pipe so much is read before the others have their turn.
const READ_BYTES: usize = 64 * 1024;
/// Of a pipe that is given up so much is still read: what was in it, and not what is added for ever.
const LAST_READS_MAX: usize = 16;
/// Pipes that one turn looks at.
const EVENTS_MAX: usize = 256;
/// Floods must not take the processor from those who start jobs.
const NICE: i32 = 5;
/// Once it is given up, so long an output may take to be written: a disk that hangs must not keep a run from ending.
const CLOSE: Duration = Duration::from_secs(10);
/// The event that is an order and not a pipe.
const ORDER: u64 = 0;

/// The thread, as those who hand pipes to it see it.
#[derive(Debug)]
pub struct Drains {
    orders: Sender<Order>,
    poll: Arc<OwnedFd>,
    /// Tells the thread that there are orders.
    wake: Arc<OwnedFd>,
    /// Readable once something has been closed since [`Drains::seen`].
    closed: Arc<OwnedFd>,
    busy: Busy,
    next: u64,
}

/// Since when the thread has been at its present turn, milliseconds since boot; 0: it waits.
type Busy = Arc<AtomicU64>;

/// One pipe that is being emptied.
#[derive(Debug)]
pub struct Drain {
    id: u64,
    state: Arc<State>,
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
    busy: Busy,
}

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
enum Order {
    Open(u64, Box<Open>),
    GiveUp(u64),
}

#[derive(Debug)]
struct Open {
    pipe: File,
    output: Output,
    redactor: Option<Redactor>,
    state: Arc<State>,
    /// Whose output it is, for people.
    name: String,
}

impl Drains {
    /// Starts the thread.
    ///
    /// # Errors
    /// There are no descriptors or no memory for it.
    pub fn start() -> io::Result<Self> {
        let poll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new);
        let (wake, closed) = (event()?, event()?);
        epoll::add(&poll, &wake, epoll::EventData::new_u64(ORDER), epoll::EventFlags::IN)?;
        let (orders, taken) = mpsc::channel();
        let busy = Busy::default();
        let thread = Thread {
            orders: taken,
            poll: poll.clone(),
            wake: wake.clone(),
            closed: closed.clone(),
            busy: busy.clone(),
            open: BTreeMap::new(),
            tails: Tails::default(),
            piece: vec![0; READ_BYTES],
            clean: Vec::new(),
        };
        std::thread::Builder::new().name("output".into()).spawn(move || thread.run())?;
        Ok(Self { orders, poll, wake, closed, busy, next: ORDER + 1 })
    }

    /// Empties `pipe`, which must not block, through `redactor` into `output` until it ends or is given up.
    ///
    /// # Errors
    /// The pipe cannot be watched.
    pub fn open(
        &mut self,
        name: &str,
        pipe: OwnedFd,
        output: Output,
        redactor: Option<Redactor>,
    ) -> io::Result<Drain> {
        let id = self.next;
        self.next += 1;
        let state = Arc::new(State::default());
        // Should its first event come before the order does, it comes again.
        epoll::add(&self.poll, &pipe, epoll::EventData::new_u64(id), epoll::EventFlags::IN)?;
        let (pipe, name) = (File::from(pipe), name.to_owned());
        let open = Open { pipe, output, redactor, state: state.clone(), name };
        let _ = self.orders.send(Order::Open(id, Box::new(open)));
        let (orders, wake, busy) = (self.orders.clone(), self.wake.clone(), self.busy.clone());
        Ok(Drain { id, state, orders, wake, busy })
    }

    /// Readable once some output has been closed.
    pub fn closed_fd(&self) -> BorrowedFd<'_> {
        self.closed.as_fd()
    }

    /// What was closed until now has been seen.
    pub fn seen(&self) {
        let _ = rustix::io::read(&*self.closed, &mut [0_u8; 8]);
    }
}

impl Drain {
    /// Bytes that have come so far.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Whether all that came has been written, and the file closed.
    pub fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Takes what is in the pipe now, and no more, though somebody may hold it open. The answer is how long to wait for
    /// it to be written: not at all where the thread has been stuck for as long as that already.
    pub fn give_up(&self) -> Duration {
        let _ = self.orders.send(Order::GiveUp(self.id));
        notify(&self.wake);
        match self.busy.load(Ordering::Relaxed) {
            0 => CLOSE,
            since => CLOSE.saturating_sub(Duration::from_millis(millis().saturating_sub(since))),
        }
    }
}

fn millis() -> u64 {
    u64::try_from(crate::clock::since_boot().as_millis()).unwrap_or(u64::MAX)
}

fn notify(event: &OwnedFd) {
    // It fails only when it is readable anyway.
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

struct Thread {
    orders: Receiver<Order>,
    poll: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    closed: Arc<OwnedFd>,
    busy: Busy,
    open: BTreeMap<u64, Open>,
    tails: Tails,
    piece: Vec<u8>,
    clean: Vec<u8>,
}

impl Thread {
    fn run(mut self) {
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            self.busy.store(0, Ordering::Relaxed);
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    say(&format!("error[{NOT_KEPT}]: the output of jobs cannot be read any more: {error}"));
                    return;
                }
            }
            self.busy.store(millis(), Ordering::Relaxed);
            let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
            let given_up = self.take_orders();
            for event in &events {
                self.turn(event.data.u64());
            }
            for id in given_up {
                for _ in 0..LAST_READS_MAX {
                    self.turn(id);
                }
                self.close(id);
            }
        }
    }

    fn take_orders(&mut self) -> Vec<u64> {
        let mut given_up = Vec::new();
        for order in self.orders.try_iter() {
            match order {
                Order::Open(id, open) => _ = self.open.insert(id, *open),
                Order::GiveUp(id) => given_up.push(id),
            }
        }
        given_up
    }

    /// Takes a piece of what is in a pipe.
    fn turn(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        match open.pipe.read(&mut self.piece) {
            Ok(0) => self.close(id),
            Ok(length) => {
                open.state.bytes.fetch_add(length as u64, Ordering::Relaxed);
                let piece = &self.piece[..length];
                let Some(redactor) = &mut open.redactor else {
                    return open.output.take(piece, &mut self.tails);
                };
                self.clean.clear();
                redactor.redact(piece, &mut self.clean);
                open.output.take(&self.clean, &mut self.tails);
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.close(id),
        }
    }

    fn close(&mut self, id: u64) {
        let Some(mut open) = self.open.remove(&id) else { return };
        let _ = epoll::delete(&self.poll, &open.pipe);
        drop(open.pipe);
        if let Some(redactor) = &mut open.redactor {
            self.clean.clear();
            redactor.finish(&mut self.clean);
            open.output.take(&self.clean, &mut self.tails);
        }
        if let Err(error) = open.output.close(&mut self.tails) {
            say(&format!("error[{NOT_KEPT}]: output of run {} could not be kept: {error}", open.name));
        }
        open.state.closed.store(true, Ordering::Release);
        notify(&self.closed);
    }
}

/// To the daemon's standard error, from this thread alone: it may be a terminal that takes nothing.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::path::{Path, PathBuf};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("punctual-drain-{:x}", crate::clock::random())))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn opened(drains: &mut Drains, path: &Path, max: u64, secrets: &[&str]) -> (Drain, File) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK).expect("a pipe");
        let redactor = Redactor::new(secrets.iter().copied());
        let output = Output::new(path.to_owned(), max);
        (drains.open("test", read, output, redactor).expect("watched"), File::from(write))
    }

    fn wait(drains: &Drains, drain: &Drain) {
        while !drain.is_closed() {
            poll(&mut [PollFd::new(&drains.closed_fd(), PollFlags::IN)], None).expect("polled");
            drains.seen();
        }
    }

    #[test]
    fn output_is_kept_as_it_came_whatever_it_is() {
        let folder = Folder::new();
        let mut drains = Drains::start().expect("started");
        let (drain, mut pipe) = opened(&mut drains, &folder.path("a"), 1 << 20, &[]);
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[(i % 3) as usize]).collect();
        pipe.write_all(&bytes).expect("taken");
        drop(pipe);
        wait(&drains, &drain);
        assert_eq!(drain.bytes(), 300_000);
        assert!(std::fs::read(folder.path("a")).expect("kept") == bytes);
    }

    #[test]
    fn secrets_are_replaced_before_anything_is_cut() {
        let folder = Folder::new();
        let mut drains = Drains::start().expect("started");
        let (drain, mut pipe) = opened(&mut drains, &folder.path("a"), 40, &["s3cr3t"]);
        for piece in ["0123456789 s3", "cr3t 0123456789 0123456789", " the end s3cr3", "t"] {
            pipe.write_all(piece.as_bytes()).expect("taken");
        }
        drop(pipe);
        wait(&drains, &drain);
        let kept = std::fs::read_to_string(folder.path("a")).expect("kept");
        let mark = "\n[punctual: 22 bytes were cut here]\n";
        assert_eq!(kept, format!("0123456789 [redacted{mark}9 the end [redacted]"));
    }

    #[test]
    fn a_pipe_that_somebody_holds_open_is_given_up_with_all_that_is_in_it() {
        let folder = Folder::new();
        let mut drains = Drains::start().expect("started");
        let (drain, mut pipe) = opened(&mut drains, &folder.path("a"), 100, &[]);
        pipe.write_all(b"the last words").expect("taken");
        drain.give_up();
        wait(&drains, &drain);
        assert_eq!(std::fs::read(folder.path("a")).expect("kept"), b"the last words");
        assert!(pipe.write_all(b"more").is_err(), "nobody reads any more");
    }

    // proves I-22
    #[test]
    fn a_disk_that_hangs_holds_up_nobody_who_starts_or_ends() {
        let folder = Folder::new();
        std::fs::create_dir_all(&folder.0).expect("made");
        let hangs = folder.path("hangs");
        // Whoever opens it to write waits until somebody reads.
        rustix::fs::mknodat(rustix::fs::CWD, &hangs, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("made");
        let mut drains = Drains::start().expect("started");
        let (first, mut pipe) = opened(&mut drains, &hangs, 100, &[]);
        pipe.write_all(b"first").expect("taken");
        drop(pipe);
        // Starts and ends go on, and the ends do not wait for ever for what cannot be written.
        for number in 0..10 {
            let (drain, mut pipe) = opened(&mut drains, &folder.path(&format!("{number}")), 100, &[]);
            pipe.write_all(b"later").expect("taken");
            drop(pipe);
            assert!(drain.give_up() <= CLOSE);
            assert!(!drain.is_closed());
        }
        drains.busy.store(millis() - 60_000, Ordering::Relaxed);
        assert_eq!(first.give_up(), Duration::ZERO, "it has been stuck for long enough");
        // Once the disk goes on, so does all that waited.
        let mut text = String::new();
        File::open(&hangs).expect("opened").read_to_string(&mut text).expect("text");
        assert_eq!(text, "first");
        wait(&drains, &first);
        for number in 0..10 {
            let path = folder.path(&format!("{number}"));
            while std::fs::read(&path).ok().as_deref() != Some(b"later") {
                poll(&mut [PollFd::new(&drains.closed_fd(), PollFlags::IN)], None).expect("polled");
                drains.seen();
            }
        }
    }

    // proves I-22
    #[test]
    fn a_flood_does_not_keep_others_from_being_read() {
        let folder = Folder::new();
        let mut drains = Drains::start().expect("started");
        let (flood, mut pipe) = opened(&mut drains, &folder.path("flood"), 1000, &["no such thing"]);
        let flooding = std::thread::spawn(move || {
            let piece = [b'y'; 1 << 16];
            while pipe.write_all(&piece).is_ok() {}
        });
        for number in 0..100 {
            let name = format!("{number}");
            let (drain, mut pipe) = opened(&mut drains, &folder.path(&name), 1000, &[]);
            pipe.write_all(name.as_bytes()).expect("taken");
            drop(pipe);
            wait(&drains, &drain);
            assert_eq!(std::fs::read_to_string(folder.path(&name)).expect("kept"), name);
        }
        assert!(!flood.is_closed());
        flood.give_up();
        wait(&drains, &flood);
        flooding.join().expect("no panic");
        let mark = "bytes were cut here]\n".len() + 40;
        assert!(std::fs::read(folder.path("flood")).expect("kept").len() <= 1000 + mark);
    }
}
