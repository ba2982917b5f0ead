//! An attempt's output file: the head as it comes, and the tail once the whole is longer than it may be.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};

/// Of a capped output so much is kept from its end.
const TAIL_BYTES_MAX: u64 = 256 * 1024;

/// A file that takes any amount of output and keeps a bounded part of it.
#[derive(Debug)]
pub struct Output {
    file: File,
    head_left: u64,
    tail: VecDeque<u8>,
    tail_max: usize,
    cut: u64,
    failed: Option<String>,
}

impl Output {
    /// Keeps at most `bytes_max` of what is written to `file`, and a line that says how much was cut.
    pub fn new(file: File, bytes_max: u64) -> Self {
        let tail = TAIL_BYTES_MAX.min(bytes_max / 2);
        let tail_max = usize::try_from(tail).unwrap_or(usize::MAX);
        Self { file, head_left: bytes_max - tail, tail: VecDeque::new(), tail_max, cut: 0, failed: None }
    }

    /// Takes a piece of output. A failing disk loses output, never the attempt.
    pub fn take(&mut self, piece: &[u8]) {
        let head = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(piece.len());
        let (now, later) = piece.split_at(head);
        self.head_left -= now.len() as u64;
        if let Err(error) = self.file.write_all(now) {
            self.failed.get_or_insert_with(|| error.to_string());
        }
        self.tail.extend(later);
        let over = self.tail.len().saturating_sub(self.tail_max);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    /// Writes the tail.
    ///
    /// # Errors
    /// Some of the output could not be written.
    pub fn close(mut self) -> Result<(), String> {
        let result: io::Result<()> = (|| {
            if self.cut > 0 {
                writeln!(self.file, "\n[punctual: {} bytes were cut here]", self.cut)?;
            }
            let (front, back) = self.tail.as_slices();
            self.file.write_all(front)?;
            self.file.write_all(back)
        })();
        match (self.failed, result) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(())) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pieces: &[&[u8]], max: u64) -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("punctual-output-{:x}", crate::clock::random()));
        let mut output = Output::new(File::create(&path).expect("a scratch file"), max);
        for piece in pieces {
            output.take(piece);
        }
        output.close().expect("written");
        let bytes = std::fs::read(&path).expect("readable");
        std::fs::remove_file(&path).expect("removable");
        bytes
    }

    #[test]
    fn short_output_is_kept_whole() {
        assert_eq!(kept(&[b"abc", b"def"], 10), b"abcdef");
    }

    #[test]
    fn long_output_keeps_head_and_tail_and_says_what_was_cut() {
        let bytes = kept(&[b"0123456789", b"abcdefghij", b"KLMNO"], 10);
        assert_eq!(String::from_utf8_lossy(&bytes), "01234\n[punctual: 15 bytes were cut here]\nKLMNO");
    }
}
