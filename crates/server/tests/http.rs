//! The interface as a client meets it: paths, shapes, refusals.

#[path = "support/seed.rs"]
mod seed;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use punctual_core::run::RunState;
use punctual_engine::shared::Engine;
use punctual_server::router::router;
use punctual_server::{LOG_ENDED_HEADER, LOG_OFFSET_HEADER, NOW_HEADER};
use punctual_store::Decision;
use seed::{NOW, Scratch, after, id_of, run};
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

/// A request without a body, or a POST with one; the status and the document.
async fn ask(router: &Router, path: &str, body: Option<&str>) -> (StatusCode, Value) {
    let request = match body {
        None => Request::get(path).body(Body::empty()),
        Some(body) => Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned())),
    };
    let response = router.clone().oneshot(request.expect("a request")).await.expect("never fails");
    let status = response.status();
    assert!(response.headers().contains_key(NOW_HEADER));
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// The router of an engine with one run in each state.
fn served(name: &str) -> (Scratch, Engine, Router) {
    let scratch = Scratch::new(&format!("http-{name}"));
    let engine = seed::engine(&scratch);
    let router = router(engine.clone());
    (scratch, engine, router)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

const RUN_KEYS: [&str; 13] = [
    "id",
    "job",
    "trigger",
    "key",
    "nominalTime",
    "dueTime",
    "state",
    "verdict",
    "reason",
    "rerunOf",
    "warning",
    "mayRepeat",
    "attempts",
];

const ATTEMPT_KEYS: [&str; 13] = [
    "number",
    "startedAt",
    "finishedAt",
    "outcome",
    "exitCode",
    "signal",
    "cpuMs",
    "memoryBytesMax",
    "startDelayUs",
    "node",
    "class",
    "code",
    "reason",
];

#[tokio::test]
async fn a_run_has_exactly_the_documented_fields_in_each_state() {
    let (_scratch, _, router) = served("shapes");
    let (status, runs) = ask(&router, "/v1/runs", None).await;
    assert_eq!(status, StatusCode::OK);
    let runs = runs.as_array().expect("lists are arrays");
    assert_eq!(runs.len(), 9);
    for run in runs {
        assert_eq!(keys(run), RUN_KEYS);
        for attempt in run["attempts"].as_array().expect("an array") {
            assert_eq!(keys(attempt), ATTEMPT_KEYS);
        }
    }
    let by_key = |key: &str| runs.iter().find(|r| r["key"] == key).expect("it is listed");
    for label in ["held", "scheduled", "ready", "retrying", "leased", "running"] {
        assert_eq!(by_key(label)["state"], label);
        assert_eq!(by_key(label)["verdict"], Value::Null);
    }
    assert_eq!((&by_key("held")["job"], &by_key("held")["trigger"]), (&json!("backup"), &json!("nightly")));
    assert_eq!(by_key("held")["reason"], "overlap");
    assert_eq!(by_key("retrying")["dueTime"], "2026-11-24T09:00:30Z");
    let running = &by_key("running")["attempts"][0];
    assert_eq!((&running["number"], &running["startedAt"]), (&json!(1), &json!("2026-11-24T08:59:55Z")));
    assert_eq!((&running["finishedAt"], &running["outcome"]), (&Value::Null, &Value::Null));
    let success = by_key("success");
    assert_eq!((&success["state"], &success["verdict"]), (&json!("finished"), &json!("success")));
    assert_eq!(success["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&success["attempts"][1]["exitCode"], &success["attempts"][1]["signal"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(by_key("expired")["reason"], "startDeadline");
}

#[tokio::test]
async fn jobs_say_where_they_stand() {
    let (_scratch, _, router) = served("jobs");
    let (_, jobs) = ask(&router, "/v1/jobs", None).await;
    let job = &jobs[0];
    assert_eq!(job["name"], "backup");
    assert_eq!(job["nextTime"], "2026-11-24T18:00:00Z");
    assert_eq!(job["triggers"][0]["name"], "nightly");
    assert_eq!((&job["paused"], &job["owner"]), (&Value::Null, &Value::Null));
    assert_eq!((&job["activeRuns"], &job["heldRuns"]), (&json!(5), &json!(1)));
    assert_eq!(job["definition"]["name"], "backup");
    assert!(job["lastRun"]["verdict"].is_string());
    assert_eq!(ask(&router, "/v1/jobs/backup", None).await.1, *job);
}

#[tokio::test]
async fn runs_are_chosen_by_job_verdict_time_and_number() {
    let (_scratch, _, router) = served("chosen");
    let list = async |query: &str| {
        let (status, runs) = ask(&router, &format!("/v1/runs?{query}"), None).await;
        assert_eq!(status, StatusCode::OK, "{query}: {runs}");
        let mut keys: Vec<String> = runs
            .as_array()
            .expect("lists are arrays")
            .iter()
            .map(|r| r["key"].as_str().expect("a text").to_owned())
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(list("failed=true&since=1h&limit=3&job=backup").await, ["failed"]);
    assert_eq!(list("failed=true&since=8m").await, [""; 0]);
    assert_eq!(list("since=2026-11-24T08:59:00Z").await, ["running", "scheduled"]);
    assert_eq!(list("unfinished=true&until=5m").await, ["retrying"]);
    assert_eq!(list("limit=2").await.len(), 2);
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_of_its_id_if_it_is_the_only_one() {
    let (_scratch, engine, router) = served("prefix");
    let id = id_of("success");
    for name in [&id[..12], &id[..26], &id[..16].to_uppercase()] {
        let (status, found) = ask(&router, &format!("/v1/runs/{name}"), None).await;
        assert_eq!((status, &found["id"]), (StatusCode::OK, &json!(id)), "{name}");
    }
    let twin = run("twin", after(-600), RunState::Queued { due: NOW });
    seed::write(&engine, Decision { runs_new: vec![twin], ..Decision::default() });
    let (status, error) = ask(&router, &format!("/v1/runs/{}", &id[..10]), None).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::CONFLICT, &json!("API004")));
    for missing in
        ["01aaaaaaaaaaaaaaaaaaaaaaaa", "01", "zzzzzzzz", "nonsense!", "..%2F..%2Fetc", "%C3%A9%C3%A9%C3%A9"]
    {
        let (status, error) = ask(&router, &format!("/v1/runs/{missing}"), None).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("RUN002")), "{missing}");
    }
    assert_eq!(ask(&router, "/v1/runs/last", None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_unknown_job_is_answered_with_the_nearest_name() {
    let (_scratch, _, router) = served("unknown");
    for (path, body) in [
        ("/v1/jobs/bakcup", None),
        ("/v1/jobs/bakcup/ticks", None),
        ("/v1/runs?job=bakcup", None),
        ("/v1/why?job=bakcup", None),
        ("/v1/why?job=bakcup&at=2026-11-24T02:00", None),
        ("/v1/jobs/bakcup/pause", Some("{}")),
        ("/v1/jobs/bakcup/resume", Some("")),
        ("/v1/jobs/bakcup/trigger", Some("")),
    ] {
        let (status, error) = ask(&router, path, body).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("RUN001")), "{path}");
        assert!(
            error["error"]["hint"].as_str().is_some_and(|hint| hint.contains("backup")),
            "{path}: {error}"
        );
    }
}

#[tokio::test]
async fn pausing_and_resuming_answer_with_the_job() {
    let (_scratch, _, router) = served("pause");
    let (status, job) = ask(&router, "/v1/jobs/backup/pause", Some(r#"{"reason":"disk"}"#)).await;
    assert_eq!((status, &job["paused"]["reason"]), (StatusCode::OK, &json!("disk")));
    let (status, error) = ask(&router, "/v1/jobs/backup/pause", Some("")).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::CONFLICT, &json!("RUN005")));
    let (_, why) = ask(&router, "/v1/why?job=backup", None).await;
    assert_eq!(why["reason"], "paused");
    let (status, job) = ask(&router, "/v1/jobs/backup/resume", Some(r#"{"catchUp":true}"#)).await;
    assert_eq!((status, &job["paused"]), (StatusCode::OK, &Value::Null));
}

#[tokio::test]
async fn a_removed_job_keeps_its_history() {
    let (_scratch, engine, router) = served("removed");
    engine.apply(Vec::new(), "", punctual_engine::apply::ApplyMode::Apply, true).await.expect("retired");
    assert_eq!(ask(&router, "/v1/jobs", None).await.1, json!([]));
    assert_eq!(ask(&router, "/v1/jobs/backup", None).await.0, StatusCode::NOT_FOUND);
    let (status, runs) = ask(&router, "/v1/runs?job=backup&failed=true", None).await;
    assert_eq!((status, &runs[0]["job"]), (StatusCode::OK, &json!("backup")));
    let (_, ticks) = ask(&router, "/v1/jobs/backup/ticks?from=70s&to=50s", None).await;
    assert_eq!(ticks[0]["reason"], "overlap");
}

#[tokio::test]
async fn a_key_makes_one_run() {
    let (_scratch, _, router) = served("submit");
    let body = r#"{"key":"k","params":{"day":"x"}}"#;
    let (status, made) = ask(&router, "/v1/jobs/backup/trigger", Some(body)).await;
    assert_eq!((status, &made["existing"], &made["key"]), (StatusCode::OK, &json!(false), &json!("k")));
    let (_, again) = ask(&router, "/v1/jobs/backup/trigger", Some(body)).await;
    assert_eq!((&again["existing"], &again["id"]), (&json!(true), &made["id"]));
    assert_eq!(keys(&made), [&RUN_KEYS[..], &["existing"]].concat());
}

#[tokio::test]
async fn a_back_fill_is_previewed_made_and_cancelled() {
    let (_scratch, _, router) = served("backfill");
    let url = "/v1/jobs/backup/backfill";
    let body = |more: &str| format!(r#"{{"from":"2026-11-17T02:00","to":"2026-11-20T02:00"{more}}}"#);
    let (status, shown) = ask(&router, url, Some(&body(r#","dryRun":true"#))).await;
    assert_eq!((status, &shown["runs"], &shown["made"]), (StatusCode::OK, &json!(3), &json!(0)));
    assert_eq!(
        (&shown["from"], &shown["first"]),
        (&json!("2026-11-16T18:00:00Z"), &json!("2026-11-16T18:00:00Z")),
        "in the job's zone, the first included"
    );
    let (_, made) = ask(&router, url, Some(&body(r#","id":"week","spread":"1m""#))).await;
    assert_eq!((&made["made"], &made["existing"]), (&json!(3), &json!(0)));
    let (_, made) = ask(&router, url, Some(&body(r#","id":"week""#))).await;
    assert_eq!((&made["made"], &made["existing"]), (&json!(0), &json!(3)));
    let (_, cancelled) = ask(&router, "/v1/backfills/week/cancel", Some("")).await;
    assert_eq!(cancelled.as_array().map(Vec::len), Some(3));
    for (more, status, code) in [
        (r#","max":2"#, StatusCode::CONFLICT, "API050"),
        (r#","spread":"soon""#, StatusCode::BAD_REQUEST, "API009"),
        (r#","all":true,"onlyMissed":true"#, StatusCode::BAD_REQUEST, "API009"),
        (r#","limit":2"#, StatusCode::BAD_REQUEST, "API005"),
    ] {
        let (got, error) = ask(&router, url, Some(&body(more))).await;
        assert_eq!((got, &error["error"]["code"]), (status, &json!(code)), "{more}");
    }
}

#[tokio::test]
async fn the_clock_says_how_it_stands() {
    let (_scratch, _, router) = served("clock");
    let (status, clock) = ask(&router, "/v1/clock", None).await;
    assert_eq!(
        (status, &clock["verdict"], &clock["now"]),
        (StatusCode::OK, &json!("steady"), &clock["wall"])
    );
    assert_eq!(
        keys(&clock),
        [
            "now",
            "wall",
            "movedMs",
            "verdict",
            "byMs",
            "doubtedMs",
            "synchronised",
            "synchronisedBy",
            "aheadTriggers",
            "ahead",
            "said"
        ]
    );
    let (_, accepted) = ask(&router, "/v1/clock/accept", Some(r#"{"by":"ann"}"#)).await;
    assert_eq!(accepted["accepted"], false);
    let (_, done) = ask(&router, "/v1/clock/set-back", Some(r#"{"by":"ann"}"#)).await;
    assert_eq!(done["triggers"], 0);
    assert_eq!(ask(&router, "/v1/status", None).await.1["clockFault"], Value::Null);
}

#[tokio::test]
async fn runs_are_cancelled_and_retried() {
    let (_scratch, _, router) = served("cancel");
    let (_, cancelled) = ask(&router, &format!("/v1/runs/{}/cancel", id_of("ready")), Some("")).await;
    assert_eq!((&cancelled["state"], &cancelled["verdict"]), (&json!("finished"), &json!("cancelled")));
    let (_, stopping) = ask(&router, &format!("/v1/runs/{}/cancel", id_of("running")), Some("")).await;
    assert_eq!((&stopping["state"], &stopping["reason"]), (&json!("running"), &json!("cancel")));
    let (status, _) = ask(&router, &format!("/v1/runs/{}/cancel", id_of("failed")), Some("")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (_, again) = ask(&router, &format!("/v1/runs/{}/retry", id_of("failed")), Some("")).await;
    assert_eq!((&again["existing"], &again["job"]), (&json!(false), &json!("backup")));
    assert_ne!(again["id"], json!(id_of("failed")));
}

#[tokio::test]
async fn definitions_are_applied_or_only_compared() {
    let (_scratch, _, router) = served("apply");
    let changed = punctual_core::spec::JobSpec { timeout: Some(Duration::from_secs(600)), ..seed::spec() };
    let body = |dry: bool| json!({"jobs": [changed.to_json()], "dryRun": dry}).to_string();
    let (status, changes) = ask(&router, "/v1/apply", Some(&body(true))).await;
    assert_eq!(status, StatusCode::OK, "{changes}");
    assert_eq!(keys(&changes[0]), ["name", "change", "revision", "differences"]);
    assert_eq!((&changes[0]["change"], &changes[0]["revision"]), (&json!("changed"), &json!(2)));
    assert_eq!(ask(&router, "/v1/jobs/backup", None).await.1["revision"], 1);
    let (_, changes) = ask(&router, "/v1/apply", Some(&body(false))).await;
    assert!(changes[0]["differences"].is_array(), "{changes}");
    assert_eq!(ask(&router, "/v1/jobs/backup", None).await.1["revision"], 2);
    let (_, changes) = ask(&router, "/v1/apply", Some(&body(false))).await;
    assert_eq!(changes[0]["change"], "unchanged");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_in_one_shape() {
    let (_scratch, _, router) = served("refused");
    let large = "x".repeat(punctual_server::BODY_BYTES_MAX + 1);
    for (path, body, status, code) in [
        ("/v1/jobs/backup/trigger", Some(r#"{"kye":"k"}"#), 400, "API005"),
        ("/v1/jobs/backup/trigger", Some("{"), 400, "API005"),
        ("/v1/jobs/backup/trigger", Some(r#"{"key":"a\u0000"}"#), 400, "API021"),
        ("/v1/jobs/backup/trigger", Some(r#"{"params":{"a b":1}}"#), 400, "API021"),
        ("/v1/apply", Some("{}"), 400, "API005"),
        ("/v1/apply", Some(r#"{"jobs":[{"name":"a"}]}"#), 400, "API005"),
        ("/v1/apply", Some(large.as_str()), 413, "API006"),
        ("/v1/nothing", None, 404, "API008"),
        ("/v1/jobs", Some("{}"), 405, "API008"),
        ("/v1/runs?limt=3", None, 400, "API009"),
        ("/v1/runs?since=yesterday", None, 400, "API009"),
        ("/v1/runs?limit=10001", None, 400, "API009"),
        ("/v1/jobs/backup/ticks?from=1h&to=2h", None, 400, "API009"),
        ("/v1/why", None, 400, "API009"),
        ("/v1/jobs/%ff", None, 400, "API009"),
        ("/v1/why?job=backup&run=x", None, 400, "API009"),
        ("/v1/why?job=backup&at=soon", None, 400, "API009"),
    ] {
        let (got, error) = ask(&router, path, body).await;
        assert_eq!((got.as_u16(), &error["error"]["code"]), (status, &json!(code)), "{path}");
        assert_eq!(keys(&error["error"]), ["code", "message", "hint"], "{path}");
    }
}

#[tokio::test]
async fn ticks_and_why_have_the_documented_shape() {
    let (_scratch, _, router) = served("ticks");
    let (_, ticks) = ask(&router, "/v1/jobs/backup/ticks?from=70s&to=50s", None).await;
    let expected = json!([{"nominalTime": "2026-11-24T08:59:00Z", "disposition": "skipped", "reason": "overlap",
        "runId": null, "trigger": "nightly", "revision": 1}]);
    assert_eq!(ticks, expected);
    let (_, ticks) =
        ask(&router, "/v1/jobs/backup/ticks?from=2026-11-24T10:00:00Z&to=2026-11-25T00:00:00Z", None).await;
    assert_eq!(
        (&ticks[0]["disposition"], &ticks[1]["disposition"]),
        (&json!("pending"), &Value::Null),
        "{ticks}"
    );
    let (_, why) = ask(&router, "/v1/why?job=backup&at=2026-11-24T16:59", None).await;
    assert_eq!(keys(&why), ["answer", "reason", "rule", "nextTime", "facts"]);
    assert_eq!((&why["reason"], &why["nextTime"]), (&json!("overlap"), &json!("2026-11-24T18:00:00Z")));
}

#[tokio::test]
async fn health_fails_only_for_a_stuck_loop() {
    let scratch = Scratch::new("http-health");
    let engine = seed::empty(&scratch);
    let router = router(engine.clone());
    assert_eq!(ask(&router, "/healthz", None).await.0, StatusCode::OK);
    engine
        .apply(vec![seed::spec()], "", punctual_engine::apply::ApplyMode::Apply, false)
        .await
        .expect("applied");
    engine.clock().advance(Duration::from_secs(86_400));
    assert_eq!(ask(&router, "/healthz", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (_, status) = ask(&router, "/v1/status", None).await;
    // Applied at 08:00, due at 18:00, and it is 08:00 of the next day.
    assert_eq!((&status["overdueMs"], &status["zonesSource"]), (&json!(14 * 3_600_000), &json!("bundled")));
    assert_eq!((&status["node"], &status["jobs"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn a_log_is_read_from_where_the_last_piece_ended_until_its_attempt_has_ended() {
    let (_scratch, engine, router) = served("log");
    let path = |key: &str, attempt| engine.data().log(id_of(key).parse().expect("an id"), attempt);
    std::fs::create_dir_all(path("running", 1).parent().expect("in a directory")).expect("made");
    std::fs::write(path("running", 1), "one\n").expect("written");
    std::fs::write(path("success", 1), "first try\n").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", path("success", 2)).expect("linked");
    let get = async |key: &str, query: &str| {
        let request = Request::get(format!("/v1/runs/{}/log{query}", id_of(key))).body(Body::empty());
        let response = router.clone().oneshot(request.expect("a request")).await.expect("never fails");
        let (parts, body) = response.into_parts();
        let text =
            String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("text");
        let header =
            |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        (parts.status.as_u16(), text, header(LOG_OFFSET_HEADER), header(LOG_ENDED_HEADER))
    };
    let answer =
        |text: &str, offset: &str, ended: &str| (200, text.to_owned(), offset.to_owned(), ended.to_owned());
    assert_eq!(get("running", "").await, answer("one\n", "4", "false"));
    assert_eq!(get("running", "?offset=4").await, answer("", "4", "false"));
    assert_eq!(get("success", "?attempt=1").await, answer("first try\n", "10", "true"));
    assert_eq!(get("leased", "").await, answer("", "0", "false"));
    assert_eq!(get("success", "?attempt=3").await.0, 404);
    assert_eq!(get("expired", "").await.0, 404);
    // A link in the place of a log is not followed.
    let (status, text, ..) = get("success", "?attempt=2").await;
    assert!(status == 500 && !text.contains("root:"), "{text}");
}

#[tokio::test]
async fn a_list_of_ticks_that_would_be_cut_is_refused() {
    let (_scratch, engine, router) = served("cut");
    let mut often = punctual_core::spec::JobSpec::named("often");
    often.triggers = vec![punctual_core::spec::TriggerSpec::new(punctual_core::spec::RuleSpec::Cron {
        expression: "* * * * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        dst: punctual_core::schedule::DstPolicy::Debian,
        dialect: punctual_core::cron::Dialect::Standard,
    })];
    engine.apply(vec![often], "", punctual_engine::apply::ApplyMode::Apply, false).await.expect("applied");
    let ticks = async |seconds: i64| {
        let (from, to) = (after(1), after(1 + seconds));
        ask(&router, &format!("/v1/jobs/often/ticks?from={from}&to={to}"), None).await
    };
    let (status, listed) = ticks(100_000).await;
    assert_eq!((status, listed.as_array().map(Vec::len)), (StatusCode::OK, Some(100_000)));
    let (status, error) = ticks(100_001).await;
    assert_eq!(
        (status, &error["error"]["hint"]),
        (StatusCode::BAD_REQUEST, &json!("ask for a shorter span"))
    );
}
