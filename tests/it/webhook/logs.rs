//! What the process tells, and what it never does.

use std::collections::BTreeMap;
use std::fs;

use otelgate::admission::{Entry, MAX_BODY};
use otelgate::inject::Reason;
use otelgate::metrics::reference;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::authority::{Authority, Pair};
use super::client::{get, metric, tls, wait_ready};
use super::process::Process;
use super::stack::{recorded, recorded_with};

/// Stands in everything that is no name.
const SECRET: &str = "hunter2-planted";

/// A pod in which every value that users write holds the secret.
fn planted() -> Vec<u8> {
    recorded_with("deployment-pod", |review| {
        let object = &mut review["request"]["object"];
        let annotations = &mut object["metadata"]["annotations"];
        annotations["otelgate.dev/endpoint"] = json!(format!("gopher://{SECRET}"));
        annotations["otelgate.dev/sampler"] = json!(SECRET);
        annotations["otelgate.dev/status"] = json!(format!("{{\"{SECRET}\": 1"));
        annotations["resource.opentelemetry.io/team"] = json!(SECRET);
        annotations["example.com/config"] = json!(SECRET);
        object["metadata"]["labels"]["tags.datadoghq.com/env"] = json!(SECRET);
        let container = &mut object["spec"]["containers"][0];
        container["args"] = json!([SECRET]);
        container["env"] = json!([
            {"name": "PASSWORD", "value": SECRET},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": format!("team={SECRET},malformed {SECRET}")},
            {"name": "DD_SERVICE", "value": SECRET},
        ]);
    })
}

async fn provoke(process: &Process, authority: &Authority) {
    let text = String::from_utf8(planted()).expect("text");
    let mut oversized = planted();
    oversized.resize(MAX_BODY + 1, b' ');
    let mut invalid = planted();
    let place = text.find(SECRET).expect("planted");
    invalid[place] = 0xff;
    let wrong_type = recorded_with("deployment-pod", |review| {
        review["request"]["object"]["spec"]["hostNetwork"] = json!(SECRET);
    });
    let wrong_kind = recorded_with("widget", |review| review["request"]["object"]["spec"] = json!(SECRET));
    let cut = planted()[..text.rfind(SECRET).expect("planted") + SECRET.len()].to_vec();
    let bodies =
        [planted(), invalid, wrong_type, wrong_kind, cut, oversized, SECRET.into(), format!("\"{SECRET}\"").into()];
    for body in bodies {
        for entry in Entry::ALL {
            let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
            let answer = connection.review(entry.path(), &body).await.expect("an answer");
            let patched = answer.status == 200 && answer.response().get("patch").is_some();
            assert!(patched || !String::from_utf8_lossy(&answer.body).contains(SECRET), "{entry:?}");
        }
    }
}

#[tokio::test]
async fn no_log_line_and_no_metric_holds_a_users_value() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let config = folder.path().join("config.yaml");
    fs::write(
        &config,
        format!(
            "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\nenvironment: {SECRET}\n\
             env: [{{name: TOKEN, value: {SECRET}}}]\n"
        ),
    )
    .expect("written");
    for format in ["json", "text"] {
        let arguments = ["--no-namespaces", "--shutdown-delay", "0s", "--log-level", "trace", "--log-format", format];
        let arguments = [&arguments[..], &["-c", config.to_str().expect("text")]].concat();
        let mut process = Process::start(folder.path(), &arguments).await;
        wait_ready(process.admin, "ok").await;
        provoke(&process, &authority).await;
        fs::write(Pair::paths(folder.path()).1, SECRET).expect("written");
        wait_log(&process, "refused").await;
        authority.issue().write(folder.path());
        let good = fs::read_to_string(&config).expect("written above");
        fs::write(&config, good.replace(&format!("value: {SECRET}"), SECRET)).expect("written");
        wait_log(&process, "env[0]").await;
        fs::write(&config, good).expect("written");
        let metrics = get(process.admin, "/metrics").await.expect("metrics").text();
        process.signal(Signal::TERM);
        assert!(process.ended().await.success());
        let log = process.log();
        assert!(log.contains("decided") && log.contains("let through undecided"), "{log}");
        assert!(!log.contains(SECRET), "{}", log.lines().find(|line| line.contains(SECRET)).unwrap_or_default());
        assert!(!metrics.contains(SECRET));
    }
}

async fn wait_log(process: &Process, text: &str) {
    super::client::wait_until(|| async { process.log().contains(text) }).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_review() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let mut process = Process::start(folder.path(), &["--no-namespaces", "--shutdown-delay", "0s"]).await;
    wait_ready(process.admin, "ok").await;
    process.read_log(false);
    let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
    let review = recorded("bare-pod-dry-run");
    let dropped = "otelgate_log_lines_dropped_total";
    let mut reviews = 0;
    while metric(process.admin, dropped).await < 10.0 {
        for _ in 0..200 {
            let answer = connection.review(Entry::Pod.path(), &review).await.expect("an answer");
            assert!(answer.response().get("patch").is_some());
        }
        reviews += 200;
        assert!(reviews < 20_000, "a pipe and the queue hold less than that");
    }
    process.read_log(true);
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
    assert!(process.logged("decided").len() < reviews);
}

#[tokio::test]
async fn one_line_tells_of_each_injected_and_each_failed_review() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let mut process = Process::start(folder.path(), &["--no-namespaces", "--shutdown-delay", "0s"]).await;
    wait_ready(process.admin, "ok").await;
    let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
    for name in ["deployment-pod", "bare-pod-dry-run", "cronjob-pod", "widget"] {
        connection.review(Entry::Pod.path(), &recorded(name)).await.expect("an answer").response();
    }
    let crowded = recorded_with("deployment-pod", |review| {
        let containers: Vec<_> = (0..1001).map(|n| json!({"name": format!("c{n}")})).collect();
        review["request"]["object"]["spec"]["containers"] = json!(containers);
    });
    connection.review(Entry::Pod.path(), &crowded).await.expect("an answer").response();
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
    let decided = process.logged("decided");
    assert_eq!(decided.len(), 3, "others that are skipped are told at debug only: {decided:?}");
    let expect = |event: &Value, fields: &[(&str, Value)]| {
        for (field, value) in fields {
            assert_eq!(&event[field], value, "{field} of {event}");
        }
    };
    expect(
        &decided[0],
        &[
            ("level", json!("INFO")),
            ("k8s.namespace.name", json!("shop")),
            ("k8s.deployment.name", json!("web")),
            ("otelgate.decision", json!("inject")),
            ("otelgate.path", json!("pod")),
            ("otelgate.request.uid", json!("0a5bb5f6-2f5f-4c93-9a3c-2cf05e1ee001")),
        ],
    );
    expect(&decided[1], &[("k8s.pod.name", json!("shell")), ("otelgate.dry_run", json!(true))]);
    expect(&decided[2], &[("level", json!("INFO")), ("otelgate.reason", json!("TooManyContainers"))]);
    let refused = process.logged("let through undecided");
    assert_eq!(refused.len(), 1);
    expect(&refused[0], &[("level", json!("INFO")), ("otelgate.reason", json!("NotAPod"))]);
}

#[tokio::test]
async fn every_label_has_a_closed_set_of_values_and_every_metric_is_in_the_reference() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let process = Process::start(folder.path(), &["--no-namespaces"]).await;
    wait_ready(process.admin, "ok").await;
    for round in 0..2 {
        provoke(&process, &authority).await;
        let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
        for index in 0..20 {
            let body = recorded_with("deployment-pod", |review| {
                review["request"]["namespace"] = json!(format!("ns-{round}-{index}"));
                review["request"]["object"]["metadata"]["name"] = json!(format!("pod-{round}-{index}"));
                review["request"]["object"]["metadata"]["annotations"][format!("otelgate.dev/x{index}")] = json!("");
            });
            connection.review(Entry::Pod.path(), &body).await.expect("an answer");
        }
    }
    let answer = get(process.admin, "/metrics").await.expect("metrics");
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let reasons = || Reason::ALL.iter().map(|reason| reason.code()).chain([""]).collect::<Vec<_>>();
    let allowed: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("decision", vec!["inject", "observe", "skip"]),
        ("reason", reasons()),
        ("path", Entry::ALL.map(Entry::as_str).to_vec()),
        ("cause", vec!["limit", "no_certificate", "timeout", "closed", "tls"]),
        ("outcome", vec!["success", "failure"]),
        ("mode", vec!["enabled", "observe", "disabled"]),
        ("version", vec![env!("CARGO_PKG_VERSION")]),
    ]);
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a sample");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let family = ["_sum", "_count", "_bucket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let known =
            reference().iter().find(|one| one.name == name || one.name == family).unwrap_or_else(|| panic!("{line}"));
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').expect("a label");
            let value = value.trim_matches('"');
            if key == "le" {
                continue;
            }
            assert!(known.labels.contains(&key), "{line}");
            let fits = match allowed.get(key) {
                Some(values) => values.contains(&value),
                None => key == "hash" && value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            };
            assert!(fits, "{line}");
        }
        samples += 1;
    }
    assert!(samples > 50, "{samples}");
    for metric in reference() {
        let family = metric.name.strip_suffix("_total").or(metric.name.strip_suffix("_info")).unwrap_or(metric.name);
        assert!(text.contains(&format!("# HELP {family} {}", metric.help)), "{}", metric.name);
        assert!(text.contains(&format!("# TYPE {family} {}\n", metric.kind)), "{}", metric.name);
    }
}
