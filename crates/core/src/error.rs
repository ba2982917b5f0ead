//! Error codes and the one shape in which a person is told of an error.
//!
//! A code is a page: `docs/errors/<CODE>.md`, compiled into the binary and shown by `punctual explain <CODE>`.
//! A code is never reused for another meaning. `cargo xtask tidy` compares codes and pages.

use std::any::Any;
use std::fmt;

/// The stable name of an error, for example `TRG004`. Three letters for the area, three digits.
///
/// Declare one as `const NEVER_FIRES: Code = Code("TRG004");` beside the check that reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether a diagnostic refuses the input or only remarks on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is taken; something about it will probably surprise.
    Warning,
    /// The input is taken; a remark.
    Note,
}

/// Where in a text a diagnostic points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as the user named it, or `<stdin>`, `<argument>`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters of the line are meant; at least 1.
    pub width: u32,
    /// The line itself, without its end, cut to a sensible length.
    pub snippet: String,
}

/// What a person is told: object, cause, position, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Refusal or remark.
    pub severity: Severity,
    /// The page that explains it.
    pub code: Code,
    /// Object and cause, lower case, no full stop.
    pub message: String,
    /// Where; `None` if the error is about no text in particular.
    pub origin: Option<Origin>,
    /// Why, in one line.
    pub detail: Option<String>,
    /// What to write or do instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without position.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            origin: None,
            detail: None,
            hint: None,
        }
    }

    /// A warning without position.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same diagnostic, pointing at `origin`.
    #[must_use]
    pub fn at(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// The same diagnostic with its reason.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same diagnostic with what to do instead.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The form of STYLE: `error[CODE]: …`, `--> file:line:column`, the line with carets, `= detail`, `= hint`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)?;
        if let Some(at) = &self.origin {
            write!(f, "\n  --> {}:{}:{}", at.file, at.line, at.column)?;
            if !at.snippet.is_empty() {
                let number = at.line.to_string();
                let gutter = " ".repeat(number.len());
                let (before, meant) = (at.column.saturating_sub(1) as usize, at.width.max(1) as usize);
                let chars = || at.snippet.chars().chain(std::iter::repeat(' '));
                let indent: String =
                    chars().take(before).map(|c| if is_wide(c) { '\u{3000}' } else { ' ' }).collect();
                let carets: String =
                    chars().skip(before).take(meant).map(|c| if is_wide(c) { "^^" } else { "^" }).collect();
                write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {indent}{carets}", at.snippet)?;
            }
        }
        if let Some(detail) = &self.detail {
            write!(f, "\n  = detail: {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  = hint: {hint}")?;
        }
        Ok(())
    }
}

/// Whether a terminal gives a character two columns: Chinese, Japanese and Korean writing, and emoji.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1F64F | 0x1F900..=0x1F9FF | 0x20000..=0x3FFFD)
}

/// What a panic said; empty if it said it in no text.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_below_what_is_meant_whatever_its_width() {
        let shown = |snippet: &str, column, width| {
            let (file, snippet) = ("f".to_owned(), snippet.to_owned());
            let origin = Origin { file, line: 7, column, width, snippet };
            Diagnostic::error(Code("TRG004"), "x").at(origin).to_string()
        };
        assert_eq!(shown("name: ab", 7, 2), "error[TRG004]: x\n  --> f:7:7\n  |\n7 | name: ab\n  |       ^^");
        assert!(shown("任务: ab", 5, 2).ends_with("  | \u{3000}\u{3000}  ^^"));
        assert!(shown("a: 任务", 4, 2).ends_with("  |    ^^^^"));
        assert!(shown("short", 20, 3).ends_with(&format!("  | {}^^^", " ".repeat(19))));
    }
}
