//! Calendars: which days count.

/// How a trigger uses a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarRule;

impl CalendarRule {
    /// Whether an instant counts.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, _at: crate::time::Timestamp) -> Result<(), String> {
        Ok(())
    }

    /// The instant it moves to.
    pub fn shift(&self, at: crate::time::Timestamp) -> crate::time::Timestamp {
        at
    }
}
