//! One module a command: its arguments, and what it does.

pub mod cancel;
pub mod check;
#[allow(dead_code, reason = "explain will show the pages")]
pub mod codes;
pub mod completions;
#[cfg(test)]
pub mod examples;
pub mod export;
pub mod hidden;
pub mod import;
pub mod init;
pub mod install_service;
pub mod jobs;
pub mod logs;
pub mod pause;
pub mod resume;
pub mod retry;
pub mod runs;
pub mod schema;
pub mod serve;
pub mod show;
pub mod subject;
pub mod ticks;
pub mod timers;
pub mod trigger;
pub mod why;
