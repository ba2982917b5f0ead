//! Why an expression is refused, and where.

use crate::error::{Code, Diagnostic, Origin};
use std::fmt;

/// An expression that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    /// The page that explains it.
    pub code: Code,
    /// Object and cause, lower case, no full stop.
    pub message: String,
    /// Where in the expression, in characters from 0.
    pub offset: usize,
    /// How many characters are meant; 0 where something is missing.
    pub width: usize,
    /// The field it is about, such as `hour`; `None` if it is about the expression as a whole.
    pub field: Option<&'static str>,
    /// What the field takes, such as `0-23`.
    pub allowed: Option<&'static str>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl CronError {
    /// The error as a diagnostic. `origin` is where the expression itself stands; the position within it is added.
    pub fn diagnostic(&self, origin: Option<Origin>) -> Diagnostic {
        Diagnostic {
            detail: self
                .allowed
                .zip(self.field)
                .map(|(allowed, field)| format!("the {field} field takes {allowed}")),
            hint: self.hint.clone(),
            origin: origin.map(|origin| Origin {
                column: origin.column + u32::try_from(self.offset).unwrap_or(0),
                width: u32::try_from(self.width).unwrap_or(1).max(1),
                ..origin
            }),
            ..Diagnostic::error(self.code, self.message.clone())
        }
    }
}

/// One line: message, allowed values, hint.
impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(allowed) = self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for CronError {}

/// A remark on an expression that is taken, but may not mean what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where in the expression, in characters from 0.
    pub offset: usize,
    /// How many characters are meant.
    pub width: usize,
    /// What it means here.
    pub message: String,
}
