//! The real binary starts without what it needs, finds it later, and keeps the last good of each.

use std::fs;

use otelgate::admission::Entry;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::authority::Authority;
use super::client::{get, metric, tls, wait_ready, wait_until};
use super::process::Process;
use super::stack::recorded;

fn configuration(body: &str) -> String {
    format!("apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n{body}")
}

/// What it says of itself.
async fn status(process: &Process) -> Value {
    serde_json::from_str(&get(process.admin, "/status").await.expect("an answer").text()).expect("JSON")
}

#[tokio::test]
async fn it_waits_for_certificate_and_configuration_and_says_so() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("config.yaml");
    let arguments = ["--no-namespaces", "--shutdown-delay", "0s", "-c", path.to_str().expect("text")];
    let process = Process::start(folder.path(), &arguments).await;
    wait_ready(process.admin, "certificate: ").await;
    let readiness = get(process.admin, "/readyz").await.expect("an answer");
    assert_eq!(readiness.status, 503);
    let text = readiness.text();
    assert!(text.contains("tls.crt: no such file") && text.contains("config.yaml: no such file"), "{text}");
    assert_eq!(get(process.admin, "/livez").await.expect("an answer").status, 200);
    let nothing = json!({"version": env!("CARGO_PKG_VERSION"), "configuration": null, "certificate": null});
    assert_eq!(status(&process).await, nothing);

    Authority::new("one").issue().write(folder.path());
    fs::write(&path, configuration("mod: observe\n")).expect("written");
    wait_until(|| async {
        let readiness = get(process.admin, "/readyz").await.expect("an answer").text();
        readiness.starts_with("configuration: ") && readiness.contains("did you mean mode?")
    })
    .await;
    fs::write(&path, configuration("mode: observe\n")).expect("written");
    wait_ready(process.admin, "ok").await;
    assert!(metric(process.admin, "otelgate_certificate_expiry_timestamp_seconds").await > 1e9);
    let status = status(&process).await;
    let expected = otelgate::config::parse(&configuration("mode: observe\n")).expect("valid");
    let expected = json!({"hash": expected.hash(), "revision": expected.revision(), "mode": "observe"});
    assert_eq!(status["configuration"], expected);
    let in_force = process.logged("now in force");
    let certificate = in_force.iter().find(|event| event["otelgate.source"] == "certificate").expect("one is in force");
    assert_eq!(status["certificate"]["fingerprint"], certificate["otelgate.identity"]);
    assert!(status["certificate"]["notAfter"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
}

#[tokio::test]
async fn a_configuration_is_reloaded_and_a_bad_one_refused() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let path = folder.path().join("config.yaml");
    fs::write(&path, configuration("")).expect("written");
    let arguments = ["--no-namespaces", "--shutdown-delay", "0s", "-c", path.to_str().expect("text")];
    let process = Process::start(folder.path(), &arguments).await;
    wait_ready(process.admin, "ok").await;
    let is_patched = async || {
        let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
        let answer = connection.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
        answer.response().get("patch").is_some()
    };
    assert!(is_patched().await);
    let failures = "otelgate_configuration_reloads_total{outcome=\"failure\"}";
    let last = "otelgate_configuration_last_reload_successful";
    assert_eq!((metric(process.admin, failures).await, metric(process.admin, last).await), (0.0, 1.0));

    fs::write(&path, configuration("otlp: {protocol: telegraph}\n")).expect("written");
    wait_until(|| async { metric(process.admin, failures).await >= 1.0 }).await;
    assert!((metric(process.admin, last).await).abs() < f64::EPSILON);
    wait_until(|| async { !process.logged("refused").is_empty() }).await;
    let refusal = process.logged("refused").pop().expect("just seen");
    assert_eq!(
        (&refusal["otelgate.source"], &refusal["otelgate.last_good_in_force"]),
        (&"configuration".into(), &true.into())
    );
    assert!(refusal["error.message"].as_str().expect("text").contains("telegraph"), "{refusal}");
    assert_eq!(get(process.admin, "/readyz").await.expect("an answer").status, 200, "all replicas would go at once");
    assert!(is_patched().await);

    fs::write(&path, configuration("mode: disabled\n")).expect("written");
    wait_until(|| async { !is_patched().await }).await;
    let text = get(process.admin, "/metrics").await.expect("an answer").text();
    assert!(
        text.lines()
            .any(|line| line.starts_with("otelgate_configuration_info{hash=\"") && line.contains("mode=\"disabled\""))
    );
    assert!((metric(process.admin, last).await - 1.0).abs() < f64::EPSILON);
}
