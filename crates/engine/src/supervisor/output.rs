//! An attempt's output file: the head as it comes, and the tail once the whole is longer than it may be.
//!
//! Standard output and standard error come through one pipe, in the order in which they were written. The file is
//! made with the first byte: an attempt that prints nothing has none.

use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of a capped output so much is kept from its end.
const TAIL_BYTES_MAX: u64 = 256 * 1024;
/// All tails that are held at once may have so many bytes together; each can have [`TAIL_BYTES_MIN`] beyond it.
const TAILS_BYTES_MAX: usize = 16 * 1024 * 1024;
const TAIL_BYTES_MIN: usize = 1024;

/// What memory is left for tails. One for all outputs of a process.
#[derive(Debug)]
pub struct Tails {
    left: usize,
}

impl Default for Tails {
    fn default() -> Self {
        Self { left: TAILS_BYTES_MAX }
    }
}

impl Tails {
    /// A tail: what is wanted, but no more than a quarter of what is left, so that none takes all.
    fn take(&mut self, wanted: usize) -> Ring {
        let taken = wanted.min(self.left / 4);
        self.left -= taken;
        Ring { bytes: Vec::new(), room: taken.max(TAIL_BYTES_MIN).min(wanted), taken, start: 0 }
    }

    fn give_back(&mut self, ring: &Ring) {
        self.left += ring.taken;
    }
}

/// A file that takes any amount of output and keeps a bounded part of it.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: Option<File>,
    head_left: u64,
    tail_max: usize,
    tail: Option<Ring>,
    /// Bytes that are kept neither in the file nor in the tail.
    cut: u64,
    /// Why the head ends before it is full.
    failed: Option<io::Error>,
}

impl Output {
    /// Keeps at most `bytes_max` of what is taken, in a file at `path`, and a line that says how much was cut.
    pub fn new(path: PathBuf, bytes_max: u64) -> Self {
        let tail = TAIL_BYTES_MAX.min(bytes_max / 2);
        let tail_max = usize::try_from(tail).unwrap_or(usize::MAX);
        Self { path, file: None, head_left: bytes_max - tail, tail_max, tail: None, cut: 0, failed: None }
    }

    /// Takes a piece of output. What a failing disk does not take is cut, and the attempt goes on.
    pub fn take(&mut self, piece: &[u8], tails: &mut Tails) {
        let head = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(piece.len());
        let written = self.write(&piece[..head]);
        self.head_left -= written as u64;
        if written < head {
            // What comes later must not stand beside it as if nothing were missing.
            self.head_left = 0;
        }
        let later = &piece[written..];
        if !later.is_empty() {
            let tail = self.tail.get_or_insert_with(|| tails.take(self.tail_max));
            self.cut += tail.push(later);
        }
    }

    /// How much of `bytes` the file took.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.file().and_then(|file| file.write(&bytes[written..])) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        written
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(create(&self.path)?);
        }
        Ok(self.file.as_mut().expect("it was just made"))
    }

    /// Writes the tail.
    ///
    /// # Errors
    /// Some of the output was not kept because the file could not be made or written to.
    pub fn close(mut self, tails: &mut Tails) -> io::Result<()> {
        let Some(tail) = self.tail.take() else { return Ok(()) };
        tails.give_back(&tail);
        let mark = match (self.cut, &self.failed) {
            (0, _) => String::new(),
            (cut, None) => format!("\n[punctual: {cut} bytes were cut here]\n"),
            (cut, Some(error)) => format!("\n[punctual: {cut} bytes could not be kept here: {error}]\n"),
        };
        let (front, back) = tail.slices();
        let file = self.file()?;
        file.write_all(mark.as_bytes())?;
        file.write_all(front)?;
        file.write_all(back)?;
        self.failed.filter(|_| self.cut > 0).map_or(Ok(()), Err)
    }
}

/// Opens an output file, making it and its folder; a link in its place is not followed.
///
/// # Errors
/// It cannot be made or opened.
pub fn create(path: &Path) -> io::Result<File> {
    let open = || {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            open()
        }
        result => result,
    }
}

/// The last bytes of a stream.
#[derive(Debug)]
struct Ring {
    bytes: Vec<u8>,
    room: usize,
    /// Of it so much belongs to the others once it is given back.
    taken: usize,
    /// Once it is full: where the oldest byte is.
    start: usize,
}

impl Ring {
    /// Adds a piece; the number of bytes that are kept no more.
    fn push(&mut self, piece: &[u8]) -> u64 {
        let over = (self.bytes.len() + piece.len()).saturating_sub(self.room);
        // Of a piece that is longer than the room only its end counts.
        let mut rest = &piece[piece.len().saturating_sub(self.room)..];
        if self.bytes.len() < self.room {
            if self.bytes.capacity() < self.room {
                self.bytes.reserve_exact(self.room - self.bytes.len());
            }
            let (fills, later) = rest.split_at(rest.len().min(self.room - self.bytes.len()));
            self.bytes.extend_from_slice(fills);
            rest = later;
        }
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.room - self.start));
            self.bytes[self.start..self.start + now.len()].copy_from_slice(now);
            self.start = (self.start + now.len()) % self.room;
            rest = later;
        }
        over as u64
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        let (back, front) = self.bytes.split_at(self.start);
        (front, back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("punctual-output-{:x}", crate::clock::random()))
    }

    fn kept(pieces: &[&[u8]], max: u64) -> Vec<u8> {
        let folder = scratch();
        let path = folder.join("day").join("a.log");
        let (mut output, mut tails) = (Output::new(path.clone(), max), Tails::default());
        for piece in pieces {
            output.take(piece, &mut tails);
        }
        output.close(&mut tails).expect("written");
        assert_eq!(tails.left, TAILS_BYTES_MAX);
        let bytes = std::fs::read(&path).unwrap_or_default();
        let _ = std::fs::remove_dir_all(&folder);
        bytes
    }

    #[test]
    fn short_output_is_kept_whole() {
        assert_eq!(kept(&[b"abc", b"def"], 10), b"abcdef");
        assert_eq!(kept(&[b"abc\0\xff", b"defgh"], 10), b"abc\0\xffdefgh");
    }

    #[test]
    fn long_output_keeps_head_and_tail_and_says_what_was_cut() {
        let bytes = kept(&[b"0123456789", b"abcdefghij", b"KLMNO"], 10);
        assert_eq!(String::from_utf8_lossy(&bytes), "01234\n[punctual: 15 bytes were cut here]\nKLMNO");
    }

    #[test]
    fn what_prints_nothing_has_no_file() {
        let path = scratch();
        let (output, mut tails) = (Output::new(path.clone(), 10), Tails::default());
        output.close(&mut tails).expect("nothing to write");
        assert!(!path.exists());
    }

    #[test]
    fn a_disk_that_takes_nothing_loses_the_output_and_says_so() {
        // A folder that is a file: nothing can be made in it.
        let folder = scratch();
        std::fs::write(&folder, "").expect("writable");
        let (mut output, mut tails) = (Output::new(folder.join("a.log"), 10), Tails::default());
        output.take(b"abc", &mut tails);
        assert!(output.close(&mut tails).is_err());
        // A disk that is full for a while: what was lost is told where it is missing.
        std::fs::remove_file(&folder).expect("removable");
        let (mut output, mut tails) = (Output::new(folder.join("a.log"), 10), Tails::default());
        output.take(b"ab", &mut tails);
        output.file = Some(OpenOptions::new().write(true).open("/dev/full").expect("there is one"));
        output.take(b"cdefghij", &mut tails);
        output.file = None;
        assert!(output.close(&mut tails).is_err());
        let bytes = std::fs::read_to_string(folder.join("a.log")).expect("readable");
        let _ = std::fs::remove_dir_all(&folder);
        assert!(bytes.starts_with("ab\n[punctual: 3 bytes could not be kept here: "), "{bytes}");
        assert!(bytes.ends_with("]\nfghij"), "{bytes}");
    }

    #[test]
    fn many_tails_share_what_there_is() {
        let mut tails = Tails::default();
        let rings: Vec<Ring> = (0..1000).map(|_| tails.take(256 * 1024)).collect();
        assert_eq!(rings[0].room, 256 * 1024);
        assert!(rings.iter().all(|ring| ring.room >= TAIL_BYTES_MIN));
        let all: usize = rings.iter().map(|ring| ring.room).sum();
        assert!(all < TAILS_BYTES_MAX + 1000 * TAIL_BYTES_MIN, "{all}");
        rings.iter().for_each(|ring| tails.give_back(ring));
        assert_eq!(tails.left, TAILS_BYTES_MAX);
        // A tail that may be shorter than the least is not made longer.
        assert_eq!(tails.take(5).room, 5);
    }

    proptest! {
        // proves I-22
        #[test]
        fn every_byte_is_kept_or_counted(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
            max in 0_u64..200,
        ) {
            let all = pieces.concat();
            let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let bytes = kept(&slices, max);
            if all.len() as u64 <= max {
                prop_assert_eq!(bytes, all);
                return Ok(());
            }
            let tail = usize::try_from(max / 2).expect("small");
            let head = usize::try_from(max).expect("small") - tail;
            let mark = format!("\n[punctual: {} bytes were cut here]\n", all.len() - head - tail);
            let expected = [&all[..head], mark.as_bytes(), &all[all.len() - tail..]].concat();
            prop_assert_eq!(bytes, expected);
        }
    }
}
