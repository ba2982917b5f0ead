//! Error codes and the one shape in which a person is told of an error.
//!
//! A code is a page: `docs/errors/<CODE>.md`, compiled into the binary and shown by `punctual explain <CODE>`.
//! A code is never reused for another meaning. `cargo xtask tidy` compares codes and pages.

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
                let indent = " ".repeat(at.column.saturating_sub(1) as usize);
                let carets = "^".repeat(at.width.max(1) as usize);
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
