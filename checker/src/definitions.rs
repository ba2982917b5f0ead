//! What a definition promises, as the checker reads it: only what it judges by.

use serde_json::Value;

/// When a job is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Never by time.
    Asked,
    /// A cron rule of five or six fields, and the zone it is read in.
    Cron(String, String),
    /// Every so many microseconds; with the instant it counts from, if the definition says.
    Every(i64, Option<i64>),
}

/// What is done when an earlier run of the job is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The new one is skipped.
    Skip,
    /// One waits.
    QueueOne,
    /// All wait.
    QueueAll,
    /// The running one ends for the new one.
    CancelRunning,
    /// They run beside each other.
    Allow,
}

/// What is done about times that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing.
    None,
    /// The newest runs.
    Latest,
    /// All run.
    All,
}

/// What is done about an attempt that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// Three times at most it is tried again.
    Retry,
    /// It waits for a person.
    Hold,
    /// It is the run's end.
    Fail,
}

/// A job of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub rule: Rule,
    /// Beside itself.
    pub overlap: Overlap,
    /// After downtime.
    pub catch_up: CatchUp,
    /// After a loss.
    pub on_lost: OnLost,
    /// How often a failure is tried again.
    pub retries_max: usize,
    /// The wait before the first of those, microseconds.
    pub backoff_us: i64,
    /// After which it is told to end, microseconds.
    pub timeout_us: Option<i64>,
    /// And after which it is killed, microseconds.
    pub grace_us: i64,
}

/// The jobs of a document `{"defaults": …, "jobs": […]}`.
///
/// # Errors
/// Something of it is not understood here.
pub fn read(document: &Value) -> Result<Vec<Job>, String> {
    let jobs = document["jobs"].as_array().ok_or("the document has no list of jobs")?;
    jobs.iter().map(|job| read_job(job, &document["defaults"])).collect()
}

fn read_job(job: &Value, defaults: &Value) -> Result<Job, String> {
    let name = job["name"].as_str().ok_or("a job has no name")?.to_owned();
    let get = |key: &str| if job[key].is_null() { &defaults[key] } else { &job[key] };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bad = |what: &str, value: &Value| format!("job {name}: {what} {value} is not known to the checker");
    let length = |value: &Value, default: i64| match value {
        Value::Null => Ok(default),
        Value::Number(seconds) => Ok(seconds.as_i64().unwrap_or(0) * 1_000_000),
        other => other.as_str().and_then(micros).ok_or_else(|| bad("length", other)),
    };
    let zone = text(get("timeZone")).unwrap_or_else(|| "UTC".to_owned());
    let schedule = &job["schedule"];
    let rule = match (schedule, text(schedule), text(&schedule["cron"])) {
        (Value::Null, ..) => Rule::Asked,
        (_, Some(cron), _) | (_, _, Some(cron)) => Rule::Cron(cron, zone),
        _ if !schedule["every"].is_null() => {
            let anchor = text(&schedule["anchor"]).and_then(|at| instant(&at));
            Rule::Every(length(&schedule["every"], 0)?, anchor)
        }
        _ => return Err(bad("schedule", schedule)),
    };
    let overlap = match text(get("overlap")).as_deref() {
        None | Some("skip") => Overlap::Skip,
        Some("queue-one") => Overlap::QueueOne,
        Some("queue-all") => Overlap::QueueAll,
        Some("cancel-running") => Overlap::CancelRunning,
        Some("allow") => Overlap::Allow,
        _ => return Err(bad("overlap", get("overlap"))),
    };
    let caught = get("catchUp");
    let catch_up = match text(caught).or_else(|| text(&caught["policy"])).as_deref() {
        None | Some("latest") => CatchUp::Latest,
        Some("none") => CatchUp::None,
        Some("all") => CatchUp::All,
        _ => return Err(bad("catchUp", caught)),
    };
    let on_lost = match text(get("onLost")).as_deref() {
        None | Some("retry") => OnLost::Retry,
        Some("hold") => OnLost::Hold,
        Some("fail") => OnLost::Fail,
        _ => return Err(bad("onLost", get("onLost"))),
    };
    let policy = get("retryPolicy");
    let retries = if policy.is_null() { 0 } else { policy["maxRetries"].as_u64().unwrap_or(3) };
    Ok(Job {
        rule,
        overlap,
        catch_up,
        on_lost,
        retries_max: usize::try_from(retries).unwrap_or(usize::MAX),
        backoff_us: length(&policy["backoff"], 1_000_000)?,
        timeout_us: Some(length(get("timeout"), 0)?).filter(|us| *us > 0),
        grace_us: length(get("grace"), 10_000_000)?,
        name,
    })
}

/// A length such as `200ms`, `10s` or `5m`, in microseconds.
fn micros(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[digits..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    text[..digits].parse::<i64>().ok()?.checked_mul(unit)
}

/// An RFC 3339 instant, in microseconds since the epoch.
pub fn instant(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|at| at.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_says_what_it_says_and_the_rest_is_the_default() {
        let document = json!({"defaults": {"grace": "2s"}, "jobs": [
            {"name": "a", "schedule": {"every": "2s"}, "retryPolicy": {"maxRetries": 2, "backoff": "200ms"}},
            {"name": "b", "schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "overlap": "allow", "timeout": 3,
             "catchUp": {"policy": "all"}, "onLost": "hold"},
            {"name": "c"},
        ]});
        let jobs = read(&document).expect("known");
        let a = &jobs[0];
        assert_eq!((a.rule.clone(), a.retries_max, a.backoff_us), (Rule::Every(2_000_000, None), 2, 200_000));
        assert_eq!(
            (a.overlap, a.catch_up, a.on_lost, a.grace_us),
            (Overlap::Skip, CatchUp::Latest, OnLost::Retry, 2_000_000)
        );
        let b = &jobs[1];
        assert_eq!(b.rule, Rule::Cron("*/5 * * * *".into(), "Europe/Berlin".into()));
        assert_eq!(
            (b.overlap, b.catch_up, b.on_lost, b.timeout_us),
            (Overlap::Allow, CatchUp::All, OnLost::Hold, Some(3_000_000))
        );
        assert_eq!((jobs[2].rule.clone(), jobs[2].retries_max), (Rule::Asked, 0));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(read(&json!({"jobs": [{"name": "a", "overlap": "sometimes"}]})).is_err());
        assert!(read(&json!({"jobs": [{"name": "a", "schedule": {"every": "2 fortnights"}}]})).is_err());
        assert!(read(&json!({})).is_err());
    }
}
