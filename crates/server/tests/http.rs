//! The interface as a client meets it: paths, shapes, refusals.

#[path = "support/fake.rs"]
mod fake;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use fake::{Fake, NOW, after, run};
use http_body_util::BodyExt;
use punctual_core::run::RunState;
use punctual_core::spec::JobSpec;
use punctual_server::{LOG_ENDED_HEADER, LOG_OFFSET_HEADER, NOW_HEADER, router};
use serde_json::{Value, json};
use std::sync::Arc;
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
    assert_eq!(response.headers()[NOW_HEADER], "2026-11-24T09:00:00Z");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn served() -> (Arc<Fake>, Router) {
    let fake = Arc::new(Fake::new());
    (Arc::clone(&fake), router(fake))
}

fn asked(fake: &Fake) -> String {
    fake.asked.lock().expect("nobody panics with it").last().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_run_has_exactly_the_documented_fields_in_each_state() {
    let (fake, router) = served();
    let (status, runs) = ask(&router, "/v1/runs", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(asked(&fake).ends_with(" 20"), "the default limit");
    let runs = runs.as_array().expect("lists are arrays").clone();
    let keys = |v: &Value| v.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    for run in &runs {
        let expected = [
            "id",
            "job",
            "trigger",
            "key",
            "nominalTime",
            "dueTime",
            "state",
            "verdict",
            "reason",
            "attempts",
        ];
        assert_eq!(keys(run), expected);
        for attempt in run["attempts"].as_array().expect("an array") {
            let expected = [
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
            ];
            assert_eq!(keys(attempt), expected);
        }
    }
    let by_key = |key: &str| runs.iter().find(|r| r["key"] == key).expect("it is listed").clone();
    for label in ["held", "scheduled", "ready", "retrying", "leased", "running"] {
        assert_eq!(by_key(label)["state"], label);
        assert_eq!(by_key(label)["verdict"], Value::Null);
    }
    assert_eq!(by_key("held")["reason"], "overlap");
    assert_eq!(by_key("retrying")["dueTime"], "2026-11-24T09:00:30Z");
    let running = &by_key("running")["attempts"][0];
    assert_eq!((&running["number"], &running["startedAt"]), (&json!(1), &json!("2026-11-24T08:59:55Z")));
    assert_eq!((&running["finishedAt"], &running["outcome"]), (&Value::Null, &Value::Null));
    let success = by_key("success");
    assert_eq!((&success["state"], &success["verdict"]), (&json!("finished"), &json!("success")));
    assert_eq!(success["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(success["attempts"][1]["exitCode"], 0);
    assert_eq!(by_key("expired")["reason"], "startDeadline");
}

#[tokio::test]
async fn failed_runs_since_a_duration_ago() {
    let (fake, router) = served();
    let (status, runs) = ask(&router, "/v1/runs?failed=true&since=1h&limit=3&job=backup", None).await;
    assert_eq!((status, runs.as_array().map(Vec::len)), (StatusCode::OK, Some(1)));
    assert_eq!(runs[0]["verdict"], "failed");
    assert!(asked(&fake).contains("Timestamp(1795507200000000)"), "{}", asked(&fake));
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_of_its_id_if_it_is_the_only_one() {
    let (fake, router) = served();
    let id = fake::runs()[0].id.to_string();
    for name in [&id[..12], &id[..26], &id[..16].to_uppercase()] {
        let (status, found) = ask(&router, &format!("/v1/runs/{name}"), None).await;
        assert_eq!((status, &found["id"]), (StatusCode::OK, &json!(id)), "{name}");
    }
    let twin = run("twin", after(-600), RunState::Queued { due: NOW });
    fake.runs.lock().expect("nobody panics with it").push(twin);
    let (status, error) = ask(&router, &format!("/v1/runs/{}", &id[..10]), None).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::CONFLICT, &json!("API004")));
    for missing in ["01aaaaaaaaaaaaaaaaaaaaaaaa", "01", "zzzzzzzz", "nonsense!", "../../etc", "é"] {
        let path = format!("/v1/runs/{}", missing.replace('/', "%2F").replace('é', "%C3%A9"));
        let (status, error) = ask(&router, &path, None).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("API003")), "{missing}");
    }
    let (_, last) = ask(&router, "/v1/runs/last", None).await;
    assert_eq!(last["key"], "scheduled");
}

#[tokio::test]
async fn an_unknown_job_is_answered_with_the_nearest_name() {
    let (_, router) = served();
    for (path, body) in [
        ("/v1/jobs/bakcup", None),
        ("/v1/jobs/bakcup/ticks", None),
        ("/v1/runs?job=bakcup", None),
        ("/v1/jobs/bakcup/pause", Some("{}")),
        ("/v1/jobs/bakcup/resume", Some("")),
        ("/v1/jobs/bakcup/trigger", Some("")),
    ] {
        let (status, error) = ask(&router, path, body).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("API002")), "{path}");
        assert_eq!(error["error"]["hint"], "did you mean \"backup\"?");
    }
}

#[tokio::test]
async fn changes_reach_the_engine_as_they_were_asked() {
    let (fake, router) = served();
    let (status, job) = ask(&router, "/v1/jobs/backup/pause", Some(r#"{"reason":"disk"}"#)).await;
    assert_eq!((status, &job["paused"]["reason"]), (StatusCode::OK, &json!("disk")));
    assert_eq!(asked(&fake), "pause backup \"disk\"");
    ask(&router, "/v1/jobs/backup/resume", Some(r#"{"catchUp":true}"#)).await;
    assert_eq!(asked(&fake), "resume backup true");
    let submit = r#"{"key":"k","params":{"day":"x"}}"#;
    let (status, made) = ask(&router, "/v1/jobs/backup/trigger", Some(submit)).await;
    assert_eq!((status, &made["existing"], &made["state"]), (StatusCode::OK, &json!(true), &json!("ready")));
    assert_eq!(asked(&fake), "submit backup Some(\"k\") {\"day\": String(\"x\")}");
    let apply =
        json!({"jobs": [JobSpec::named("backup").to_json()], "owner": "a", "dryRun": true}).to_string();
    let (_, changes) = ask(&router, "/v1/apply", Some(&apply)).await;
    assert_eq!(asked(&fake), "apply 1 \"a\" DryRun prune false");
    let expected = json!([{"name": "backup", "change": "changed", "revision": 4, "differences": ["timeout: none -> 10m"]}]);
    assert_eq!(changes, expected);
    let id = fake::runs()[8].id;
    let (_, cancelled) = ask(&router, &format!("/v1/runs/{id}/cancel"), Some("")).await;
    assert_eq!(cancelled["verdict"], "cancelled");
    let (_, again) = ask(&router, &format!("/v1/runs/{id}/retry"), Some("")).await;
    assert_eq!((&again["id"], &again["existing"]), (&json!(id.to_string()), &json!(false)));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_in_one_shape() {
    let (_, router) = served();
    let large = "x".repeat(punctual_server::BODY_BYTES_MAX + 1);
    for (path, body, status, code) in [
        ("/v1/jobs/backup/trigger", Some(r#"{"kye":"k"}"#), 400, "API005"),
        ("/v1/jobs/backup/trigger", Some("{"), 400, "API005"),
        ("/v1/apply", Some("{}"), 400, "API005"),
        ("/v1/apply", Some(r#"{"jobs":[{"name":"a"}]}"#), 400, "API005"),
        ("/v1/apply", Some(large.as_str()), 413, "API006"),
        ("/v1/nothing", None, 404, "API008"),
        ("/v1/jobs", Some("{}"), 405, "API008"),
        ("/v1/runs?limt=3", None, 400, "API009"),
        ("/v1/runs?since=yesterday", None, 400, "API009"),
        ("/v1/why", None, 400, "API009"),
        ("/v1/why?job=backup&run=x", None, 400, "API009"),
    ] {
        let (got, error) = ask(&router, path, body).await;
        assert_eq!((got.as_u16(), &error["error"]["code"]), (status, &json!(code)), "{path}");
        assert!(error["error"]["message"].is_string() && error["error"].get("hint").is_some(), "{error}");
    }
}

#[tokio::test]
async fn ticks_and_why_have_the_documented_shape() {
    let (fake, router) = served();
    let (_, ticks) = ask(&router, "/v1/jobs/backup/ticks?from=2026-11-24T00:00:00Z", None).await;
    assert_eq!(asked(&fake), "ticks backup 2026-11-24T00:00:00Z 2026-11-24T09:00:00Z");
    let expected = json!([{"nominalTime": "2026-11-24T08:59:00Z", "disposition": "skipped", "reason": "overlap",
        "runId": null, "trigger": "nightly", "revision": 3}]);
    assert_eq!(ticks, expected);
    let (_, why) = ask(&router, "/v1/why?job=backup&at=2026-11-24T02:00:00Z", None).await;
    assert_eq!(
        why,
        json!({"answer": "it is paused", "reason": "paused", "rule": null, "nextTime": null, "facts": []})
    );
    assert_eq!(asked(&fake), "why JobAt(\"backup\", Timestamp(1795485600000000))");
}

#[tokio::test]
async fn health_fails_only_for_a_stuck_loop() {
    let (_, router) = served();
    assert_eq!(ask(&router, "/healthz", None).await.0, StatusCode::OK);
    let stuck = Fake { overdue: Duration::from_secs(31), ..Fake::new() };
    let router = punctual_server::router(Arc::new(stuck));
    assert_eq!(ask(&router, "/healthz", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (_, status) = ask(&router, "/v1/status", None).await;
    assert_eq!((&status["dueOverdueMs"], &status["zones"]), (&json!(31_000), &json!("2026f (bundled)")));
}

#[tokio::test]
async fn a_log_is_read_from_where_the_last_piece_ended_until_its_attempt_has_ended() {
    let logs = std::env::temp_dir().join(format!("punctual-http-logs-{}", std::process::id()));
    std::fs::create_dir_all(&logs).expect("a directory");
    let fake = Fake { logs: logs.clone(), ..Fake::new() };
    let running = fake::runs()[8].id;
    let ended = fake::runs()[0].id;
    let leased = fake::runs()[7].id;
    std::fs::write(logs.join(format!("{running}.1")), "one\n").expect("written");
    std::fs::write(logs.join(format!("{ended}.1")), "first try\n").expect("written");
    std::os::unix::fs::symlink("/etc/passwd", logs.join(format!("{ended}.2"))).expect("linked");
    let router = router(Arc::new(fake));
    let get = async |path: String| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("never fails");
        let (parts, body) = response.into_parts();
        let text =
            String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("text");
        let header =
            |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        (parts.status.as_u16(), text, header(LOG_OFFSET_HEADER), header(LOG_ENDED_HEADER))
    };
    let answer =
        |text: &str, offset: &str, ended: &str| (200, text.to_owned(), offset.to_owned(), ended.to_owned());
    assert_eq!(get(format!("/v1/runs/{running}/log")).await, answer("one\n", "4", "false"));
    assert_eq!(get(format!("/v1/runs/{running}/log?offset=4")).await, answer("", "4", "false"));
    assert_eq!(get(format!("/v1/runs/{ended}/log?attempt=1")).await, answer("first try\n", "10", "true"));
    assert_eq!(get(format!("/v1/runs/{leased}/log")).await, answer("", "0", "false"));
    assert_eq!(get(format!("/v1/runs/{ended}/log?attempt=3")).await.0, 404);
    // A link in the place of a log is not followed.
    let (status, text, ..) = get(format!("/v1/runs/{ended}/log?attempt=2")).await;
    assert!(status == 500 && !text.contains("root:"), "{text}");
    std::fs::remove_dir_all(logs).expect("the test made it");
}
