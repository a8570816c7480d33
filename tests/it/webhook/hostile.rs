//! Bodies that nobody should send: none is denied, none ends the process, each is counted.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::{StreamExt as _, stream};
use otelgate::admission::{Entry, MAX_BODY};
use otelgate::api::OptIn;
use otelgate::config::Document;
use otelgate::inject::{Decision, Reason};
use serde_json::{Value, json};

use super::stack::{Stack, admission, recorded, recorded_with};

const UID: &str = "0a5bb5f6-2f5f-4c93-9a3c-2cf05e1ee001";

fn assert_warns(response: &Value, reason: Reason) {
    assert_eq!(response["uid"], UID);
    assert_eq!(response.get("patch"), None);
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with(&format!("otelgate: {reason}: ")), "{warning}");
}

/// Either a decision or a warning: one of them is counted.
fn is_decided(response: &Value) -> bool {
    let warns = response.get("warnings").is_some();
    assert!(!(warns && response.get("patch").is_some()), "{response}");
    !warns
}

#[tokio::test]
async fn a_review_cut_anywhere_is_answered() {
    let stack = Stack::new();
    let review = recorded("deployment-pod");
    let uid_end = String::from_utf8_lossy(&review).find(UID).expect("there") + UID.len() + 2;
    let mut refused = 0;
    for length in (0..review.len() - 2).step_by(37) {
        let (status, body) = stack.post(Entry::Enabled, review[..length].to_vec()).await;
        if length < uid_end {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{length} bytes");
            assert!(body.starts_with(b"otelgate: Undecodable"), "{}", String::from_utf8_lossy(&body));
        } else {
            assert_eq!(status, StatusCode::OK, "{length} bytes");
            assert_warns(&super::client::response(&body), Reason::Undecodable);
        }
        refused += 1;
    }
    assert_eq!(stack.metrics.failures(Entry::Enabled, Reason::Undecodable), refused);
}

#[tokio::test]
async fn null_for_any_field_is_answered() {
    let stack = Stack::new();
    let whole: Value = serde_json::from_slice(&recorded("deployment-pod")).expect("JSON");
    let mut paths = Vec::new();
    pointers(&whole, String::new(), &mut paths);
    assert!(paths.len() > 100, "{} places", paths.len());
    let (mut sent, mut decided, mut warned) = (0.0, 0, 0);
    for replacement in [json!(null), json!(7), json!("text"), json!([]), json!({}), json!([[]]), json!(true)] {
        for path in &paths {
            let body = recorded_with("deployment-pod", |review| {
                *review.pointer_mut(path).expect("there") = replacement.clone();
            });
            let (status, body) = stack.post(Entry::Pod, body).await;
            sent += 1.0;
            if status == StatusCode::OK {
                if is_decided(&super::client::response(&body)) { decided += 1 } else { warned += 1 }
            } else {
                assert_eq!(status, StatusCode::BAD_REQUEST, "{replacement} at {path}");
                assert!(["", "/request", "/request/uid"].contains(&path.as_str()), "{replacement} at {path}");
            }
        }
    }
    assert!(decided > 100 && warned > 100, "{decided} decided, {warned} warned of");
    assert_eq!(stack.counted(), sent);
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::InternalError), 0);
}

fn pointers(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, format!("{path}/{index}"), into);
            }
        }
        _ => {}
    }
    into.push(path);
}

#[tokio::test]
async fn deep_nesting_overflows_no_stack() {
    let stack = Stack::new();
    // The deeper ones are too large to be looked into.
    let too_large = 1_000_000;
    for (depth, (open, close)) in
        [100_000, too_large].into_iter().flat_map(|depth| [("[", "]"), ("{\"a\":", "}")].map(|pair| (depth, pair)))
    {
        let nest = |closed: bool| {
            let tail = if closed { format!("1{}", close.repeat(depth)) } else { String::new() };
            format!("{}{tail}", open.repeat(depth))
        };
        for field in ["unknown", "spec", "metadata"] {
            for closed in [true, false] {
                let body = format!(
                    r#"{{"request":{{"uid":"{UID}","operation":"CREATE","kind":{{"kind":"Pod"}},"object":{{"{field}":{}}}}}}}"#,
                    nest(closed)
                );
                let response = stack.review(Entry::Enabled, body).await;
                // What isn't read is passed over, however deep it is; what has no end can't be.
                if closed && depth == too_large {
                    assert_warns(&response, Reason::ObjectTooLarge);
                } else if closed && (is_decided(&response) || field == "unknown") {
                    assert_eq!(response, json!({"uid": UID, "allowed": true}), "{field}");
                } else {
                    assert_warns(&response, Reason::Undecodable);
                }
            }
        }
        let (status, _) = stack.post(Entry::Enabled, nest(true)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(stack.counted(), 28.0);
}

#[tokio::test]
async fn huge_numbers_and_invalid_utf8_are_answered() {
    let stack = Stack::new();
    let digits = "9".repeat(100_000);
    let (mut decided, mut warned) = (0, 0);
    for number in [digits.as_str(), "-1e999999999", "1e-999999999", "0.1e+9", "184467440737095516160"] {
        for field in ["terminationGracePeriodSeconds", "hostNetwork", "dnsPolicy"] {
            let review = String::from_utf8(recorded("deployment-pod")).expect("text");
            let body = review.replacen("\"volumes\":", &format!("\"{field}\": {number}, \"volumes\":"), 1);
            let response = stack.review(Entry::Pod, body).await;
            assert_eq!(response["uid"], UID, "{field}: {number}");
            // A number is no boolean and no text; where nothing is read, it may be anything.
            let is_read = field != "terminationGracePeriodSeconds";
            assert_eq!(is_decided(&response), !is_read, "{field}: {number}: {response}");
            if is_read { warned += 1 } else { decided += 1 }
        }
    }
    assert_eq!((decided, warned), (5, 10));
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::Undecodable), 10);
    assert_eq!(stack.counted(), 15.0);
    let review = recorded("deployment-pod");
    let place = String::from_utf8_lossy(&review).find("planted-secret").expect("there");
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"] {
        let body = [&review[..place], bytes, &review[place..]].concat();
        assert_warns(&stack.review(Entry::Pod, body).await, Reason::Undecodable);
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_answered_from_its_beginning() {
    let stack = Stack::new();
    let mut body = recorded("deployment-pod");
    let end = body.len();
    body.resize(MAX_BODY, b' ');
    assert!(stack.review(Entry::Pod, body.clone()).await.get("patch").is_some(), "the cap itself is allowed");
    body.push(b' ');
    assert_warns(&stack.review(Entry::Pod, body.clone()).await, Reason::BodyTooLarge);
    body[..end].fill(b' ');
    let (status, text) = stack.post(Entry::Pod, body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.starts_with(b"otelgate: BodyTooLarge"));
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::BodyTooLarge), 2);
}

#[tokio::test]
async fn an_object_that_is_too_large_is_skipped_unseen() {
    let stack = Stack::new();
    let of_variables = |count: usize| {
        recorded_with("deployment-pod", |review| {
            review["request"]["object"]["spec"]["containers"][0]["env"] = json!(vec![json!({}); count]);
        })
    };
    // The whole would not read as a pod, which nobody gets to see.
    let unread = recorded_with("deployment-pod", |review| {
        review["request"]["object"]["spec"]["hostNetwork"] = json!("x".repeat(1 << 20));
    });
    for body in [of_variables(600_000), unread.clone()] {
        assert_warns(&stack.review(Entry::Pod, body).await, Reason::ObjectTooLarge);
    }
    assert_eq!(stack.sample("otelgate_decisions_total{decision=\"skip\",reason=\"ObjectTooLarge\",path=\"pod\"}"), 2.0);
    assert!(stack.review(Entry::Pod, of_variables(100_000)).await.get("warnings").is_none());
    // Where nothing is injected at all, its size is no matter.
    let disabled = Stack::of(admission(Document { mode: OptIn::Disabled, ..Document::default() }));
    assert_eq!(disabled.review(Entry::Pod, unread).await, json!({"uid": UID, "allowed": true}));
    assert_eq!(
        disabled.sample("otelgate_decisions_total{decision=\"skip\",reason=\"ModeDisabled\",path=\"pod\"}"),
        1.0
    );
}

#[tokio::test]
async fn who_creates_a_pod_that_is_too_large_is_told() {
    let stack = Stack::new();
    let containers: Vec<_> = (0..1001).map(|n| json!({"name": format!("c{n}")})).collect();
    let changed = |pointer: &str, key: &str, value: Value| {
        recorded_with("deployment-pod", |review| {
            review.pointer_mut(pointer).expect("it is there")[key] = value;
        })
    };
    let many = changed("/request/object/spec", "containers", json!(containers));
    assert_warns(&stack.review(Entry::Pod, many).await, Reason::TooManyContainers);
    // With the status alone it would pass the limit.
    for length in [300_000, 256 * 1024 - 20] {
        let annotations = json!({"a": "x".repeat(length)});
        let large = changed("/request/object/metadata", "annotations", annotations);
        assert_warns(&stack.review(Entry::Pod, large).await, Reason::AnnotationsTooLarge);
    }
}

#[expect(clippy::panic, reason = "stands in for a defect")]
fn panics<'a>(
    pod: &'a otelgate::inject::Pod<'a>,
    _: &'a otelgate::inject::Namespace<'a>,
    _: &'a otelgate::config::Configuration,
    _: jiff::Timestamp,
) -> Decision<'a> {
    panic!("while reading {}", pod.spec.containers.items.len())
}

#[tokio::test]
async fn a_panic_is_answered_and_the_next_review_too() {
    let mut broken = admission(Document::default());
    broken.decide = panics;
    let stack = Stack::of(broken);
    for _ in 0..3 {
        assert_warns(&stack.review(Entry::Pod, recorded("deployment-pod")).await, Reason::InternalError);
    }
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::InternalError), 3);
}

/// Longer than the API server waits.
fn dawdles<'a>(
    pod: &'a otelgate::inject::Pod<'a>,
    namespace: &'a otelgate::inject::Namespace<'a>,
    configuration: &'a otelgate::config::Configuration,
    now: jiff::Timestamp,
) -> Decision<'a> {
    std::thread::sleep(Duration::from_millis(20));
    otelgate::inject::decide(pod, namespace, configuration, now)
}

#[tokio::test]
async fn a_decision_that_comes_too_late_is_not_answered_with_a_patch() {
    let mut slow = admission(Document::default());
    slow.decide = dawdles;
    let stack = Stack::of(slow);
    let response = stack.review_within(Entry::Pod, "20ms", recorded("deployment-pod")).await;
    assert_warns(&response, Reason::DeadlineExceeded);
    let response = stack.review_within(Entry::Pod, "30s", recorded("deployment-pod")).await;
    assert!(response.get("patch").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_too_large_is_answered_at_once() {
    let stack = Stack::new();
    let started = tokio::time::Instant::now();
    let request = unfinished(padded(MAX_BODY + 1));
    let answer = tower::ServiceExt::oneshot(stack.router.clone(), request).await.expect("infallible");
    assert!(started.elapsed() < Duration::from_secs(1), "of the 24 s that a body may take");
    assert_eq!(answer.headers()["connection"], "close");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    assert_warns(&super::client::response(&body), Reason::BodyTooLarge);
}

/// A request whose body has so far only begun.
fn unfinished(beginning: Vec<u8>) -> axum::http::Request<Body> {
    let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(beginning)) });
    let request = axum::http::Request::post(format!("{}?timeout=30s", Entry::Pod.path()));
    let body = Body::from_stream(first.chain(stream::pending()));
    request.header("content-length", (7 << 20).to_string()).body(body).expect("a request")
}

fn padded(length: usize) -> Vec<u8> {
    let mut body = recorded("deployment-pod");
    body.resize(length, b' ');
    body
}

#[tokio::test]
async fn bodies_that_are_announced_and_do_not_come_shed_nobody() {
    let stack = Stack::new();
    let mut slow: Vec<_> = (0..8)
        .map(|_| Box::pin(tower::ServiceExt::oneshot(stack.router.clone(), unfinished(recorded("deployment-pod")))))
        .collect();
    for request in &mut slow {
        assert!(futures::poll!(request).is_pending());
    }
    for length in [9_000, 200 << 10, 5 << 20] {
        assert!(stack.review(Entry::Enabled, padded(length)).await.get("patch").is_some(), "{length} bytes");
    }
    assert_eq!(stack.metrics.failures(Entry::Enabled, Reason::Overloaded), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_shed_at_once_and_what_is_small_is_not() {
    let stack = Stack::of({
        let mut small = admission(Document::default());
        small.capacity = otelgate::admission::Capacity::new(96 << 10);
        small
    });
    let mut holding = Box::pin(tower::ServiceExt::oneshot(stack.router.clone(), unfinished(padded(100 << 10))));
    assert!(futures::poll!(&mut holding).is_pending());
    let started = tokio::time::Instant::now();
    let shed =
        tower::ServiceExt::oneshot(stack.router.clone(), unfinished(padded(100 << 10))).await.expect("infallible");
    assert!(started.elapsed() < Duration::from_secs(1), "of the 24 s that a body may take");
    assert_eq!(shed.headers()["connection"], "close");
    let body = axum::body::to_bytes(shed.into_body(), usize::MAX).await.expect("a body");
    assert_warns(&super::client::response(&body), Reason::Overloaded);
    assert!(stack.review(Entry::Enabled, recorded("deployment-pod")).await.get("patch").is_some());
    drop(holding);
    assert!(stack.review(Entry::Enabled, padded(100 << 10)).await.get("patch").is_some(), "the share was given back");
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::Overloaded), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_with_a_share_of_the_memory_is_given_up_and_a_slow_one_is_not() {
    let stack = Stack::new();
    let started = tokio::time::Instant::now();
    let request = unfinished(padded(100 << 10));
    let answer = tower::ServiceExt::oneshot(stack.router.clone(), request).await.expect("infallible");
    assert!(started.elapsed() < Duration::from_secs(5), "of the 24 s that a body may take");
    assert_eq!(answer.headers()["connection"], "close");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    assert_warns(&super::client::response(&body), Reason::DeadlineExceeded);

    let pieces: Vec<_> = padded(500 << 10).chunks(32 << 10).map(Bytes::copy_from_slice).collect();
    let slow = stream::iter(pieces).then(|piece| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let response = stack.review_within(Entry::Pod, "30s", Body::from_stream(slow)).await;
    assert!(response.get("patch").is_some(), "{response}");
}

/// Signals its beginning, and waits for leave to end.
static TURNS: (Barrier, Barrier) = (Barrier::new(2), Barrier::new(2));
static DECIDING: AtomicUsize = AtomicUsize::new(0);

fn waits<'a>(
    pod: &'a otelgate::inject::Pod<'a>,
    namespace: &'a otelgate::inject::Namespace<'a>,
    configuration: &'a otelgate::config::Configuration,
    now: jiff::Timestamp,
) -> Decision<'a> {
    assert_eq!(DECIDING.fetch_add(1, SeqCst), 0, "one at a time");
    TURNS.0.wait();
    TURNS.1.wait();
    DECIDING.fetch_sub(1, SeqCst);
    otelgate::inject::decide(pod, namespace, configuration, now)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_reviews_wait_for_their_turn_until_their_deadline() {
    let stack = Arc::new(Stack::of({
        let mut waiting = admission(Document::default());
        waiting.decide = waits;
        waiting
    }));
    let large = 300 << 10;
    let send = || {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move { stack.review_within(Entry::Pod, "30s", padded(large)).await })
    };
    let first = send();
    TURNS.0.wait();
    let second = send();
    let late = stack.review_within(Entry::Pod, "100ms", padded(large)).await;
    assert_warns(&late, Reason::Overloaded);
    TURNS.1.wait();
    assert!(first.await.expect("no panic").get("patch").is_some());
    TURNS.0.wait();
    TURNS.1.wait();
    assert!(second.await.expect("no panic").get("patch").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_answered_from_its_beginning() {
    let stack = Stack::new();
    let review = recorded("deployment-pod");
    let half = review.len() / 2;
    let slow = |first: Bytes| {
        let first = stream::once(async move { Ok::<_, std::io::Error>(first) });
        Body::from_stream(first.chain(stream::pending()))
    };
    let started = tokio::time::Instant::now();
    let response = stack.review_within(Entry::Pod, "3s", slow(Bytes::copy_from_slice(&review[..half]))).await;
    assert_warns(&response, Reason::DeadlineExceeded);
    let took = started.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(3), "80% of 3 s, not {took:?}");
    let (status, _) = stack.post(Entry::Pod, slow(Bytes::from_static(b"{"))).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(stack.metrics.failures(Entry::Pod, Reason::DeadlineExceeded), 2);
}

#[tokio::test]
async fn without_a_configuration_pods_pass_with_a_warning() {
    use otelgate::source::Source;
    let mut admission = admission(Document::default());
    admission.settings = Arc::new(Source::new(Arc::clone(&admission.metrics.configuration_reloads)));
    let response = Stack::of(admission).review(Entry::Pod, recorded("deployment-pod")).await;
    assert_warns(&response, Reason::NoConfiguration);
}

#[tokio::test]
async fn other_paths_and_methods_are_not_served() {
    use tower::ServiceExt as _;
    let stack = Stack::new();
    for (method, path, status) in [
        ("GET", "/mutate/pod", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/mutate", StatusCode::NOT_FOUND),
        ("POST", "/mutate/pod/", StatusCode::NOT_FOUND),
        ("GET", "/metrics", StatusCode::NOT_FOUND),
    ] {
        let request = axum::http::Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        assert_eq!(
            stack.router.clone().oneshot(request).await.expect("infallible").status(),
            status,
            "{method} {path}"
        );
    }
}
