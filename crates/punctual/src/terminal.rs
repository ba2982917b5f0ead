//! What a terminal may be shown, and whether there is one.

use std::io::IsTerminal;

/// Standard output, as far as printing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` if it is no terminal.
    pub width: Option<usize>,
    /// Whether colours are wanted.
    pub colour: bool,
}

impl Screen {
    /// No terminal: nothing is cut, nothing is coloured.
    #[cfg(test)]
    pub const PLAIN: Self = Self { width: None, colour: false };

    /// What standard output is.
    pub fn stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self { width: None, colour: false };
        }
        let width =
            rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
        Self { width: width.filter(|w| *w > 0), colour: wants_colour() }
    }

    /// Whether colours are wanted on standard error.
    pub fn stderr_colour() -> bool {
        std::io::stderr().is_terminal() && wants_colour()
    }
}

/// Whether the environment lets terminals be coloured.
fn wants_colour() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|v| v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    unset("NO_COLOR") && !dumb
}

/// Takes control sequences out of a stream of output, colours (SGR) excepted. Sequences and characters may be
/// split anywhere between pieces.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// Bytes of a character that has not ended.
    partial: Vec<u8>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC [; what came since.
    Csi(String),
    /// In a string for the terminal (a title, the clipboard), which ends with BEL or ESC \.
    Command {
        /// Whether ESC was just seen.
        escaped: bool,
    },
}

/// Longer parameters are no colours.
const SGR_CHARS_MAX: usize = 64;

impl Cleaner {
    /// What of the next piece a terminal may be shown.
    pub fn clean(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(piece);
        let mut clean = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (text, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(why) => {
                    let text = std::str::from_utf8(&rest[..why.valid_up_to()]).expect("valid up to there");
                    (text, Some(why.error_len()))
                }
            };
            text.chars().for_each(|c| self.step(c, &mut clean));
            rest = &rest[text.len()..];
            match bad {
                Some(Some(width)) => {
                    self.step(char::REPLACEMENT_CHARACTER, &mut clean);
                    rest = &rest[width..];
                }
                // The character may end in the next piece.
                Some(None) => {
                    self.partial = rest.to_vec();
                    break;
                }
                None => {}
            }
        }
        clean
    }

    fn step(&mut self, c: char, clean: &mut String) {
        let state = std::mem::take(&mut self.state);
        self.state = match (state, c) {
            (State::Command { escaped: true }, '\\') | (State::Command { .. }, '\x07' | '\u{9c}') => {
                State::Text
            }
            (State::Command { .. }, c) => State::Command { escaped: c == '\x1b' },
            (_, '\x1b') => State::Escape,
            (State::Escape, '[') | (State::Text, '\u{9b}') => State::Csi(String::new()),
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::Command { escaped: false },
            (State::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => State::Command { escaped: false },
            // Intermediate characters: the sequence goes on.
            (State::Escape, ' '..='/') => State::Escape,
            (State::Escape, _) => State::Text,
            (State::Csi(parameters), 'm') => {
                if parameters.len() <= SGR_CHARS_MAX
                    && parameters.chars().all(|p| matches!(p, '0'..='9' | ';' | ':'))
                {
                    clean.push_str("\x1b[");
                    clean.push_str(&parameters);
                    clean.push('m');
                }
                State::Text
            }
            (State::Csi(_), '@'..='~') => State::Text,
            (State::Csi(mut parameters), ' '..='?') => {
                if parameters.len() <= SGR_CHARS_MAX {
                    parameters.push(c);
                }
                State::Csi(parameters)
            }
            (_, c) => {
                if !c.is_control() || matches!(c, '\n' | '\t' | '\r') {
                    clean.push(c);
                }
                State::Text
            }
        };
    }
}

/// A short text without any control character: what is printed in a table or a sentence.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(text: &str) -> String {
        Cleaner::default().clean(text.as_bytes())
    }

    #[test]
    fn colours_stay_and_everything_else_goes() {
        assert_eq!(clean("\x1b[1;31mred\x1b[0m\n"), "\x1b[1;31mred\x1b[0m\n");
        assert_eq!(clean("a\x1b[2Jb\x1b[10;10Hc\x1b[?1049hd"), "abcd");
        assert_eq!(clean("a\x1b]0;title\x07b\x1b]52;c;ZXZpbA==\x1b\\c"), "abc");
        assert_eq!(clean("a\x1bPq#0\x1b\\b\x1b(0c\x1b7d\x08e\x07"), "abcde");
        assert_eq!(clean("a\u{9b}2Jb\u{9d}0;t\u{9c}c"), "abc");
        assert_eq!(clean("日本\tå\r\n"), "日本\tå\r\n");
        assert_eq!(clean("\x1b[>4;2m\x1b[1\nm"), "\nm");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a\u{1b}\\[\\]m;0-9\\\\\u{7}\u{9b}日\n]{0,40}", cut in 0_usize..60) {
            let cut = cut.min(text.len());
            let mut cleaner = Cleaner::default();
            let (head, tail) = text.as_bytes().split_at(cut);
            let parts = cleaner.clean(head) + &cleaner.clean(tail);
            prop_assert_eq!(parts, clean(&text));
        }

        #[test]
        fn nothing_but_colours_follows_an_escape(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = Cleaner::default().clean(&bytes);
            for (at, _) in shown.match_indices('\u{1b}') {
                let rest = &shown[at + 1..];
                let end = rest.find(|c: char| !matches!(c, '[' | '0'..='9' | ';' | ':')).unwrap_or(0);
                prop_assert!(rest.starts_with('[') && rest[end..].starts_with('m'));
            }
        }
    }
}
