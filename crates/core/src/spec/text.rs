//! The text of a file of definitions, and places in it.

use crate::error::{Code, Diagnostic, Origin};

/// A file of definitions that is larger is refused.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// A snippet shows no more characters of a line.
const SNIPPET_CHARS_MAX: usize = 160;

/// A file that cannot be read as text.
pub const NOT_TEXT: Code = Code("DEF001");

/// A file of definitions: its name, as the user wrote it, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What diagnostics call it: a path, `<stdin>`, …
    pub name: String,
    /// The text, without byte order mark.
    pub text: String,
}

impl Source {
    /// A source from a text at hand.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// A source from the bytes of a file. A reader need not read more than [`FILE_BYTES_MAX`] + 1 of them.
    ///
    /// # Errors
    /// `DEF001`: too large, not UTF-8, or with a NUL character.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(too_large(name));
        }
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(Diagnostic::error(NOT_TEXT, format!("{name:?} is written in UTF-16"))
                .at(whole_file(name))
                .hint("save it as UTF-8"));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let before = String::from_utf8_lossy(valid);
                let bad = error.as_bytes()[valid.len()];
                let at = place_of_end(name, &before);
                return Err(Diagnostic::error(NOT_TEXT, format!("byte 0x{bad:02X} is not UTF-8"))
                    .at(at)
                    .hint("save the file as UTF-8"));
            }
        };
        let text = text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text);
        if let Some(nul) = text.find('\0') {
            return Err(Diagnostic::error(NOT_TEXT, "a NUL character is not text")
                .at(place_of_end(name, &text[..nul]))
                .hint("is this really a file of definitions? remove the NUL characters"));
        }
        Ok(Self { name: name.to_owned(), text })
    }
}

/// The error for a file beyond [`FILE_BYTES_MAX`].
pub fn too_large(name: &str) -> Diagnostic {
    Diagnostic::error(NOT_TEXT, format!("{name:?} is larger than 8 MiB"))
        .at(whole_file(name))
        .detail("definitions are read as a whole, so their size is bounded")
        .hint("split it into several files in one directory")
}

fn whole_file(name: &str) -> Origin {
    Origin { file: name.to_owned(), line: 1, column: 1, width: 1, snippet: String::new() }
}

fn place_of_end(name: &str, text: &str) -> Origin {
    let index = LineIndex::new(text);
    let line = index.starts.len();
    let column = text[index.starts[line - 1]..].chars().count() + 1;
    Origin {
        file: name.to_owned(),
        line: count(line),
        column: count(column),
        width: 1,
        snippet: String::new(),
    }
}

/// A place in one of the sources of a load: characters of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which source, by its index.
    pub file: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters meant; at least 1.
    pub width: u32,
}

/// Where the lines of a text begin, as YAML breaks lines (`\n`, `\r\n`, `\r`).
#[derive(Debug)]
pub(crate) struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(at + 1);
            }
        }
        Self { starts }
    }

    /// Line `number`, from 1, without its end; empty beyond the last.
    pub(crate) fn line<'t>(&self, text: &'t str, number: u32) -> &'t str {
        let index = (number as usize).saturating_sub(1);
        let Some(start) = self.starts.get(index) else { return "" };
        let end = self.starts.get(index + 1).copied().unwrap_or(text.len());
        text[*start..end].trim_end_matches(['\n', '\r'])
    }
}

/// The sources of one load, with what it takes to point into them.
pub(crate) struct Texts<'s> {
    sources: &'s [Source],
    indexes: Vec<LineIndex>,
}

impl<'s> Texts<'s> {
    pub(crate) fn new(sources: &'s [Source]) -> Self {
        Self { sources, indexes: sources.iter().map(|s| LineIndex::new(&s.text)).collect() }
    }

    pub(crate) fn name(&self, file: u32) -> &'s str {
        &self.sources[file as usize].name
    }

    /// The line that `place` is on.
    pub(crate) fn line(&self, place: Place) -> &'s str {
        let file = place.file as usize;
        self.indexes[file].line(&self.sources[file].text, place.line)
    }

    /// The position of `place` with the line it is on, cut to a sensible length.
    pub(crate) fn origin(&self, place: Place) -> Origin {
        let line = self.line(place);
        let length = line.chars().count();
        let in_line = length.saturating_sub((place.column as usize).saturating_sub(1)).max(1);
        let snippet = if (place.column as usize) < SNIPPET_CHARS_MAX {
            line.chars().take(SNIPPET_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
        } else {
            String::new()
        };
        let width = (place.width as usize).min(in_line).min(SNIPPET_CHARS_MAX);
        Origin {
            file: self.name(place.file).to_owned(),
            line: place.line,
            column: place.column,
            width: count(width.max(1)),
            snippet,
        }
    }
}

pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_place() {
        let error = Source::from_bytes("a.yaml", b"a: 1\nb: \xFFx".to_vec()).expect_err("not UTF-8");
        let at = error.origin.expect("a place");
        assert_eq!((at.line, at.column), (2, 4));
        assert!(Source::from_bytes("a", b"a\0".to_vec()).is_err());
        assert!(Source::from_bytes("a", b"\xFF\xFEa\0".to_vec()).expect_err("").message.contains("UTF-16"));
        assert!(Source::from_bytes("a", vec![b' '; FILE_BYTES_MAX + 1]).is_err());
        let source = Source::from_bytes("a", b"\xEF\xBB\xBFa: 1".to_vec()).expect("text");
        assert_eq!(source.text, "a: 1");
    }

    #[test]
    fn lines_end_as_in_yaml() {
        let text = "a\r\nb\rc\nd";
        let index = LineIndex::new(text);
        let lines: Vec<_> = (1..=5).map(|n| index.line(text, n)).collect();
        assert_eq!(lines, ["a", "b", "c", "d", ""]);
    }
}
