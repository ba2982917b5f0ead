//! A job of a program, written in the words of the definition format.

use serde_json::{Map, Value, json};
use std::time::Duration;

/// A job: its name, when it is due and under which rules. What it does is the handler it is added with.
///
/// ```
/// use punctual::Job;
/// let nightly = Job::new("nightly").cron("0 2 * * *").set("timeZone", "Asia/Shanghai").retries(3);
/// ```
#[derive(Clone, Debug)]
pub struct Job {
    name: String,
    keys: Map<String, Value>,
    triggers: Vec<Value>,
}

impl Job {
    /// A job that is due only when it is asked for; see [`crate::Running::submit`].
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), keys: Map::new(), triggers: Vec::new() }
    }

    /// Due by a cron rule of 5, 6 (seconds first) or 7 (year last) fields. Rules add up.
    #[must_use]
    pub fn cron(self, rule: &str) -> Self {
        self.trigger(json!({ "cron": rule }))
    }

    /// Due each `interval`, on a grid that begins when the job is first started. A whole number of milliseconds.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        self.trigger(json!({ "every": format!("{}ms", interval.as_millis()) }))
    }

    /// Due as a trigger of the definition format says, for example `{"after": "import"}` or
    /// `{"at": "2026-12-24T18:00:00Z"}`.
    #[must_use]
    pub fn trigger(mut self, trigger: Value) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// Failed attempts are tried again so often, 1 s after the first, then twice as long each time up to 5 min.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        self.set("retryPolicy", json!({ "maxRetries": retries }))
    }

    /// After so long the handler is told to end; see [`crate::Call::is_stopped`].
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout", format!("{}ms", timeout.as_millis()))
    }

    /// Any key of the definition format: `overlap`, `catchUp`, `onLost`, `timeZone`, …
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The job as a document of definitions, carried out by the handler of its own name.
    pub(super) fn document(&self) -> String {
        let mut job = self.keys.clone();
        job.insert("name".to_owned(), json!(self.name));
        job.insert("handler".to_owned(), json!(self.name));
        if !self.triggers.is_empty() {
            job.insert("triggers".to_owned(), Value::Array(self.triggers.clone()));
        }
        json!({ "job": job }).to_string()
    }
}
