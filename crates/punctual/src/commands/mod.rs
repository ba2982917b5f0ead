//! One module a command: its arguments, and what it does.

pub mod apply;
pub mod backfill;
pub mod backup;
pub mod cancel;
pub mod check;
pub mod codes;
pub mod completions;
pub mod doctor;
#[cfg(test)]
pub mod examples;
pub mod explain;
pub mod export;
pub mod hidden;
pub mod import;
pub mod init;
pub mod install_service;
pub mod jobs;
pub mod logs;
pub mod next;
pub mod pause;
pub mod prune;
pub mod restore;
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
