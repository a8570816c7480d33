//! Whatever happens to the webhook, pods are created.
//!
//! Each test has a webhook of its own, and ends it, stops it or starves it.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::offline::{differences, status};
use super::{OTELGATE, configuration};
use crate::control_plane::network::ADDRESS;
use crate::control_plane::proxy::{Fault, Proxy};
use crate::control_plane::{PATIENCE, Webhook, wait_for};

/// What is large takes its time on a busy machine, in seconds: for tests that aren't about that.
const PATIENT: u32 = 10;

super::on_every_version!(
    a_webhook_that_is_gone,
    a_webhook_that_is_stopped,
    a_webhook_whose_answers_are_late,
    a_request_that_arrives_slowly,
    a_webhook_that_is_killed_in_mid_request,
    a_webhook_whose_connections_are_all_taken,
    a_webhook_whose_connections_are_all_in_a_request,
    a_webhook_that_is_not_trusted,
    a_pod_that_is_almost_too_large,
    a_review_that_is_too_large,
    large_pods_at_the_same_instant,
);

/// A webhook of a test's own. It is registered later, perhaps somewhere else.
fn own<'p>(shared: &Webhook<'p>, name: &str, arguments: &[&str]) -> Webhook<'p> {
    let mut webhook = Webhook::prepare(shared.plane, name, Path::new(OTELGATE), &configuration());
    webhook.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    webhook.run();
    webhook
}

/// Creates a pod, whatever its size, which has to succeed; returns it, and the warnings.
fn create(webhook: &Webhook<'_>, bytes: usize) -> (Value, Vec<String>) {
    create_of(webhook, 'v', bytes)
}

/// The same, filled with that character.
fn create_of(webhook: &Webhook<'_>, character: char, bytes: usize) -> (Value, Vec<String>) {
    let variables = bytes.div_ceil(30_000).max(1);
    let env: Vec<Value> = (0..variables)
        .map(|index| json!({"name": format!("V{index}"), "value": character.to_string().repeat(bytes / variables)}))
        .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "app-", "namespace": webhook.name},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1", "env": env}]},
    });
    // Sent as it is: kubectl's own JSON is longer.
    let path = format!("/api/v1/namespaces/{}/pods", webhook.name);
    let made = webhook.plane.kubectl_with(&["create", "--raw", &path, "-f", "-"], &pod.to_string());
    let warnings = made.warnings().into_iter().map(str::to_owned).collect();
    let made = made.json("a pod is created whatever happens");
    if status(&made).is_none() {
        let env = &made["spec"]["containers"][0]["env"];
        assert!(differences(env, &pod["spec"]["containers"][0]["env"]).is_empty(), "half injected: {made}");
    }
    (made, warnings)
}

/// A pod is created without otelgate, and the API server counts that it couldn't ask.
#[track_caller]
fn passes_unasked(webhook: &Webhook<'_>) {
    let before = webhook.failed_open();
    let (made, _) = create(webhook, 10);
    assert_eq!(status(&made), None);
    assert!(webhook.failed_open() > before, "the API server didn't try to call the webhook");
}

#[track_caller]
fn is_injected_again(webhook: &Webhook<'_>) {
    wait_for("pods to be injected again", || status(&create(webhook, 10).0).map(|_| ()))
        .unwrap_or_else(|error| panic!("{error}: {}", webhook.log()));
}

fn a_webhook_that_is_gone(shared: &Webhook<'_>) {
    let webhook = own(shared, "gone", &[]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("gone", Some("enabled"));
    webhook.kill();
    passes_unasked(&webhook);
    webhook.run();
    is_injected_again(&webhook);
}

fn a_webhook_that_is_stopped(shared: &Webhook<'_>) {
    let webhook = own(shared, "stopped", &[]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("stopped", Some("enabled"));
    webhook.signal(Signal::STOP);
    passes_unasked(&webhook);
    webhook.signal(Signal::CONT);
    is_injected_again(&webhook);
}

fn a_webhook_whose_answers_are_late(shared: &Webhook<'_>) {
    let webhook = own(shared, "late", &[]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("late", Some("enabled"));
    let fault = Fault::SlowAnswer { delay: Duration::from_secs(4) };
    let proxy = Proxy::start(webhook.plane.network(), webhook.port(), fault).expect("a proxy");
    called_through(&webhook, &proxy);
    passes_unasked(&webhook);
    webhook.register_at(webhook.port());
    is_injected_again(&webhook);
}

/// The webhook gives up before the API server does: it says so, and the API server has an answer.
fn a_request_that_arrives_slowly(shared: &Webhook<'_>) {
    let mut webhook = own(shared, "dripping", &[]);
    // Two seconds without a byte, or 80% of it at most, leave the answer a second for its way.
    webhook.timeout_seconds = Some(5);
    webhook.register_at(webhook.port());
    webhook.make_namespace("dripping", Some("enabled"));
    let fault = Fault::SlowRequest { after: 60_000, delay: Duration::from_millis(4700) };
    let proxy = Proxy::start(webhook.plane.network(), webhook.port(), fault).expect("a proxy");
    called_through(&webhook, &proxy);
    let before = webhook.failed_open();
    let (made, warnings) = create(&webhook, 120_000);
    assert_eq!(status(&made), None);
    assert!(warnings.iter().any(|warning| warning.contains("DeadlineExceeded")), "{warnings:?}");
    assert!(webhook.metric("otelgate_failures_total", &["DeadlineExceeded"]) >= 1);
    assert_eq!(webhook.failed_open(), before, "the API server had an answer in time");
    let (made, _) = create(&webhook, 10);
    assert!(status(&made).is_some(), "what is small goes through");
}

fn a_webhook_that_is_killed_in_mid_request(shared: &Webhook<'_>) {
    let webhook = own(shared, "killed", &[]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("killed", Some("enabled"));
    let proxy = Proxy::start(webhook.plane.network(), webhook.port(), Fault::None).expect("a proxy");
    called_through(&webhook, &proxy);
    let before = webhook.failed_open();
    let requests = proxy.requests();
    webhook.signal(Signal::STOP);
    let made = thread::scope(|scope| {
        let created = scope.spawn(|| create(&webhook, 10).0);
        assert!(proxy.wait_for_request(requests, PATIENCE), "no request came");
        webhook.kill();
        created.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    assert_eq!(status(&made), None);
    assert!(webhook.failed_open() > before);
    webhook.run();
    is_injected_again(&webhook);
}

/// Those that have nothing to say make room for the API server's.
fn a_webhook_whose_connections_are_all_taken(shared: &Webhook<'_>) {
    const LIMIT: usize = 64;
    let webhook = own(shared, "starved", &["--max-connections=64"]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("starved", Some("enabled"));
    // The API server keeps its connection; a new process has none.
    webhook.kill();
    webhook.run();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| webhook.plane.network().inside(|| keep_open(webhook.port(), LIMIT, &enough)));
        let full = wait_for("the connections to be taken", || {
            (webhook.metric("otelgate_connections", &[]) >= LIMIT as u64).then_some(())
        });
        let made = full.map(|()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| create(&webhook, 10).0)));
        enough.store(true, Ordering::Relaxed);
        let made = made.expect("connections").unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(status(&made).is_some(), "{}", webhook.log());
    });
}

/// Those make no room: further ones are closed at once.
fn a_webhook_whose_connections_are_all_in_a_request(shared: &Webhook<'_>) {
    let mut webhook = own(shared, "crowded", &["--max-connections=2"]);
    webhook.timeout_seconds = Some(PATIENT);
    webhook.register_at(webhook.port());
    webhook.make_namespace("crowded", Some("enabled"));
    let fault = Fault::SlowRequest { after: 60_000, delay: Duration::from_millis(1500) };
    let proxy = Proxy::start(webhook.plane.network(), webhook.port(), fault).expect("a proxy");
    called_through(&webhook, &proxy);
    let before = webhook.failed_open();
    let (mut injected, mut refused) = (0, 0);
    wait_for("more connections than there are places for", || {
        let made: Vec<Value> = thread::scope(|scope| {
            let creating: Vec<_> = (0..8).map(|_| scope.spawn(|| create(&webhook, 120_000).0)).collect();
            creating.into_iter().map(|one| one.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
        });
        injected = made.iter().filter(|pod| status(pod).is_some()).count();
        refused = webhook.metric("otelgate_connections_refused_total", &["limit"]);
        if injected > 0 && refused > 0 && webhook.failed_open() > before {
            return Some(());
        }
        // On a busy machine they may come one after the other, and the proxy slows a connection down only once.
        webhook.kill();
        webhook.run();
        None
    })
    .unwrap_or_else(|error| panic!("{injected} of 8 injected, {refused} refused: {error}"));
    is_injected_again(&webhook);
}

/// Holds connections without a word, and replaces those that the webhook gives up waiting on.
fn keep_open(port: u16, count: usize, enough: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        open.retain_mut(|stream| {
            let read = stream.read(&mut [0]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        });
        while open.len() < count {
            let Ok(stream) = TcpStream::connect((ADDRESS, port)) else { break };
            if stream.set_nonblocking(true).is_ok() {
                open.push(stream);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn a_webhook_that_is_not_trusted(shared: &Webhook<'_>) {
    let webhook = own(shared, "untrusted", &[]);
    webhook.register_at(webhook.port());
    webhook.make_namespace("untrusted", Some("enabled"));
    // A certificate for another name: what an operator gets wrong first.
    let other = crate::control_plane::credentials::Subject::Server { names: &["elsewhere.otelgate.svc"] };
    let credentials = webhook.plane.authority().issue(&other).expect("a certificate");
    credentials.write(webhook.plane.network().folder(), "untrusted").expect("its files");
    webhook.kill();
    webhook.run();
    passes_unasked(&webhook);
    assert!(webhook.metric("otelgate_handshake_failures_total", &[]) >= 1);
}

/// With a patch it might not fit into etcd; without one it does, and a warning says so.
fn a_pod_that_is_almost_too_large(shared: &Webhook<'_>) {
    let mut webhook = own(shared, "large", &[]);
    webhook.timeout_seconds = Some(PATIENT);
    webhook.register_at(webhook.port());
    webhook.make_namespace("large", Some("enabled"));
    let before = webhook.failed_open();
    let (made, warnings) = create(&webhook, 500_000);
    assert!(status(&made).is_some() && warnings.is_empty(), "half a megabyte is no problem: {warnings:?}");
    let (made, warnings) = create(&webhook, 1_200_000);
    assert_eq!(status(&made), None);
    assert!(warnings.iter().any(|warning| warning.contains("ObjectTooLarge")), "{warnings:?}");
    assert_eq!(webhook.metric("otelgate_decisions_total", &["ObjectTooLarge"]), 1);
    assert_eq!(webhook.failed_open(), before);
}

/// JSON as the API server writes it has six bytes for this character, so a pod that etcd takes makes a review that the
/// webhook doesn't read. It answers before the end, and the API server gets to see the answer.
fn a_review_that_is_too_large(shared: &Webhook<'_>) {
    let mut webhook = own(shared, "escaped", &[]);
    webhook.timeout_seconds = Some(PATIENT);
    webhook.register_at(webhook.port());
    webhook.make_namespace("escaped", Some("enabled"));
    let before = webhook.failed_open();
    for round in 1..=5 {
        let timed = |character| {
            let begun = Instant::now();
            let (made, warnings) = create_of(&webhook, character, 1_300_000);
            assert_eq!(status(&made), None);
            (begun.elapsed(), warnings)
        };
        let (plain, _) = timed('v');
        let (escaped, warnings) = timed('<');
        assert!(warnings.iter().any(|warning| warning.contains("BodyTooLarge")), "{warnings:?}");
        #[expect(clippy::print_stdout, reason = "a figure for who runs it")]
        {
            println!("created in {escaped:.1?}, with a review that is too large; in {plain:.1?}, with one that isn't");
        }
        assert_eq!(webhook.metric("otelgate_failures_total", &["BodyTooLarge"]), round);
    }
    assert_eq!(webhook.failed_open(), before, "the API server had an answer each time");
}

/// They are decided one after the other, and all of them are.
fn large_pods_at_the_same_instant(shared: &Webhook<'_>) {
    let mut webhook = own(shared, "together", &[]);
    webhook.timeout_seconds = Some(PATIENT);
    webhook.register_at(webhook.port());
    webhook.make_namespace("together", Some("enabled"));
    thread::scope(|scope| {
        let created: Vec<_> = (0..6).map(|_| scope.spawn(|| create(&webhook, 400_000))).collect();
        for one in created {
            let (made, warnings) = one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            assert!(status(&made).is_some(), "{warnings:?}");
        }
    });
    assert_eq!(webhook.metric("otelgate_failures_total", &["Overloaded"]), 0);
}

/// Has the API server call the webhook through a proxy, and waits until it does.
fn called_through(webhook: &Webhook<'_>, proxy: &Proxy) {
    // The API server goes on using a connection that it has.
    webhook.kill();
    webhook.run();
    webhook.register_at(proxy.port);
    wait_for("the API server to call the proxy", || {
        let before = proxy.requests();
        create(webhook, 10);
        (proxy.requests() > before).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
}
