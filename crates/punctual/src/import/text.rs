//! Bytes of a crontab as lines of text: encodings, line ends, a missing last newline.

use super::{IN_ANOTHER_SHAPE, NOT_TEXT, whole_file};
use punctual_core::error::{Diagnostic, Origin};

/// How the bytes of a file are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// UTF-8, or UTF-16 behind its byte order mark. What is neither is an error on its line.
    #[default]
    #[value(name = "utf-8")]
    Utf8,
    /// ISO 8859-1: each byte is the character of its number.
    Latin1,
}

/// One line of a file, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: u32,
    /// What stands there; what could not be read is replaced.
    pub text: String,
}

impl Line {
    /// A position in this line of `file`: `column` from 0, in characters.
    pub fn origin(&self, file: &str, column: usize, width: usize) -> Origin {
        Origin {
            file: file.to_owned(),
            line: self.number,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            width: u32::try_from(width.max(1)).unwrap_or(u32::MAX),
            snippet: snippet(&self.text),
        }
    }
}

/// A line as diagnostics show it: cut to a sensible length, nothing in it that moves a terminal's cursor.
pub fn snippet(line: &str) -> String {
    line.chars().take(SNIPPET_CHARS_MAX).map(visible).collect()
}

/// No snippet is longer than this.
const SNIPPET_CHARS_MAX: usize = 160;

/// A tab stays one column wide.
fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// A file as lines. Lines that cannot be read are not among `lines` but among `errors`.
#[derive(Debug, Default)]
pub struct Text {
    /// The lines that could be read, in order.
    pub lines: Vec<Line>,
    /// One for each line that could not.
    pub errors: Vec<Diagnostic>,
    /// What was set right on the way.
    pub warnings: Vec<Diagnostic>,
}

/// Reads `bytes` of `file`.
pub fn read(file: &str, bytes: &[u8], encoding: Encoding) -> Text {
    let mut text = Text::default();
    let remark = |message: &str, hint: &str| {
        Diagnostic::warning(IN_ANOTHER_SHAPE, message).at(whole_file(file)).hint(hint)
    };
    let wide = [[0xFF, 0xFE], [0xFE, 0xFF]].iter().position(|mark| bytes.starts_with(mark));
    let decoded;
    let mut bytes = bytes;
    if encoding == Encoding::Latin1 {
        decoded = bytes.iter().map(|b| char::from(*b)).collect::<String>();
        bytes = decoded.as_bytes();
    } else if let Some(order) = wide {
        text.warnings.push(remark("the file is UTF-16, which cron does not read", "save it as UTF-8"));
        decoded = utf16(&bytes[2..], order == 1);
        bytes = decoded.as_bytes();
    } else if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        text.warnings.push(remark(
            "the file begins with a byte order mark, which cron takes for part of the first line",
            "save it as UTF-8 without the mark",
        ));
        bytes = rest;
    }
    let (mut crlf, mut number) = (0_u32, 0_u32);
    for raw in bytes.split_inclusive(|b| *b == b'\n') {
        number += 1;
        let mut raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        if let Some(rest) = raw.strip_suffix(b"\r") {
            (raw, crlf) = (rest, crlf + 1);
        }
        let line = Line { number, text: String::from_utf8_lossy(raw).into_owned() };
        match fault(raw, &line.text) {
            Some((fault, column)) => text.errors.push(fault.at(line.origin(file, column, 1))),
            None => text.lines.push(line),
        }
    }
    if crlf > 0 {
        text.warnings.push(remark(
            &format!("{crlf} of {number} lines end as on Windows; cron would hand the carriage return to the command"),
            "they are read without it; to mend the file: sed -i 's/\\r$//' FILE",
        ));
    }
    if bytes.last().is_some_and(|last| *last != b'\n') {
        text.warnings.push(remark(
            "the last line has no end; crontab(1) refuses such a file and cron leaves out the line",
            "it is read like the others; end it with a newline",
        ));
    }
    text
}

/// UTF-16 after its mark as UTF-8, what is broken in it replaced: [`fault`] finds the replacements.
fn utf16(bytes: &[u8], big_endian: bool) -> String {
    let unit = |pair: &[u8]| match *pair {
        [a, b] if big_endian => u16::from_be_bytes([a, b]),
        [a, b] => u16::from_le_bytes([a, b]),
        // Half a unit at the end.
        _ => 0xFFFD,
    };
    let units: Vec<u16> = bytes.chunks(2).map(unit).collect();
    String::from_utf16_lossy(&units)
}

/// Why a line cannot be read, and at which character. Comments may hold any bytes: cron does not look at them.
fn fault(raw: &[u8], text: &str) -> Option<(Diagnostic, usize)> {
    let column = |c: char| text.chars().position(|x| x == c);
    if let Some(at) = column('\r') {
        return Some((
            Diagnostic::error(NOT_TEXT, "a carriage return stands within the line")
                .detail("cron ends lines at line feeds only, so all that follows is one line to it")
                .hint("convert the file: tr '\\r' '\\n' < FILE"),
            at,
        ));
    }
    if text.trim_start_matches([' ', '\t']).starts_with('#') {
        return None;
    }
    if let Some(at) = column('\0') {
        return Some((Diagnostic::error(NOT_TEXT, "the line contains a NUL byte"), at));
    }
    if std::str::from_utf8(raw).is_err() || text.contains('\u{FFFD}') {
        let fault = Diagnostic::error(NOT_TEXT, "the line is not UTF-8")
            .detail(
                "definitions are text; guessing the encoding could change the bytes that the command gets",
            )
            .hint("convert the file, or say what it is with --encoding latin1");
        return Some((fault, column('\u{FFFD}').unwrap_or(0)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        read("f", bytes, Encoding::Utf8).lines.into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn line_ends_marks_and_encodings_make_no_difference() {
        let plain = ["# c", "* * * * * a"];
        assert_eq!(lines(b"# c\n* * * * * a\n"), plain);
        assert_eq!(lines(b"# c\n* * * * * a"), plain);
        assert_eq!(lines(b"# c\r\n* * * * * a\r\n"), plain);
        assert_eq!(lines(b"\xEF\xBB\xBF# c\n* * * * * a\n"), plain);
        let wide = |big: bool| -> Vec<u8> {
            let units = "\u{FEFF}# c\r\n* * * * * a\r\n".encode_utf16();
            units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        assert_eq!(lines(&wide(true)), plain);
        assert_eq!(lines(&wide(false)), plain);
    }

    #[test]
    fn each_thing_set_right_is_said() {
        let warnings = |bytes: &[u8]| read("f", bytes, Encoding::Utf8).warnings.len();
        assert_eq!(warnings(b"a\n"), 0);
        assert_eq!(warnings(b""), 0);
        assert_eq!(warnings(b"a"), 1);
        assert_eq!(warnings(b"\xEF\xBB\xBFa\r\nb"), 3);
    }

    #[test]
    fn a_line_that_is_no_text_is_an_error_beside_the_good_ones() {
        let text =
            read("f", b"# caf\xE9\n0 0 * * * caf\xE9\n0 0 * * * a\x00b\n0 0 * * * ok\n", Encoding::Utf8);
        let at: Vec<u32> = text.errors.iter().map(|e| e.origin.as_ref().expect("placed").line).collect();
        assert_eq!(at, [2, 3]);
        assert_eq!(text.lines.iter().map(|l| l.number).collect::<Vec<_>>(), [1, 4]);
        let latin = read("f", b"0 0 * * * caf\xE9\n", Encoding::Latin1);
        assert_eq!(latin.lines[0].text, "0 0 * * * café");
    }

    #[test]
    fn a_file_of_carriage_returns_is_not_one_silent_comment() {
        assert_eq!(read("f", b"# c\r* * * * * a\r* * * * * b\n", Encoding::Utf8).errors.len(), 1);
    }
}
