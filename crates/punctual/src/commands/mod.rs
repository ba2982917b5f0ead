//! One module a command: its arguments, and what it does.

#[allow(dead_code, reason = "explain will show the pages")]
pub mod codes;
pub mod import;
