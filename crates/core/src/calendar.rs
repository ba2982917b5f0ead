//! Calendars: which days count.

/// How a trigger uses a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarRule;
