//! What the webhook's process holds of memory: idle, with 10,000 namespaces, under load, and under loads that nobody
//! should send; and how soon it is ready.
//! The namespaces come from a server that lists and watches as an API server does.
//!
//! `cargo bench --bench memory`

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};

#[path = "../tests/support/flood.rs"]
mod flood;
#[path = "../tests/support/review.rs"]
mod review;
mod support;

use flood::{Flood, limit};
use support::load::{Load, request};
use support::process::{self, Process};
use support::{Certificate, free_port, median};

const NAMESPACES: usize = 10_000;
/// As many as one API server keeps open, and three.
const CONNECTIONS: [usize; 2] = [25, 75];
const BURSTS: usize = 20;
const REQUESTS: usize = 1500;
const STARTS: usize = 11;

fn main() {
    if !support::is_asked_for() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write_to(folder.path());
    let empty = api_server(folder.path(), &certificate, 0);
    let full = api_server(folder.path(), &certificate, NAMESPACES);

    for (namespaces, server) in [("no namespace", &empty), ("10,000 namespaces", &full)] {
        let start = || Webhook::start(folder.path(), &certificate, server).started.as_secs_f64();
        let mut starts: Vec<f64> = (0..STARTS).map(|_| start()).collect();
        let median = 1e3 * median(&mut starts);
        println!("start to ready, {namespaces}: {median:.1} ms at the median of {STARTS}; the budget is 100 ms");
    }

    println!("{:<34} {:>10} {:>10} {:>10} {:>10}", "MiB resident", "now", "no code", "at most", "budget");
    let idle = Webhook::start(folder.path(), &certificate, &empty);
    idle.wait_for_namespaces(0);
    print("idle", &idle.process, 10.0);
    drop(idle);

    let mut webhook = Webhook::start(folder.path(), &certificate, &full);
    webhook.wait_for_namespaces(NAMESPACES);
    print("10,000 namespaces", &webhook.process, 16.0);

    let body = review::review(review::USUAL);
    for connections in CONNECTIONS {
        let mut load = Load::connect(webhook.port, connections, &certificate.client());
        for _ in 0..BURSTS {
            load.send(&request("/mutate/enabled", &body), REQUESTS);
        }
        print(&format!("under load, {connections} connections"), &webhook.process, 20.0);
    }
    println!("(load: {} admissions of {} bytes each time, with 10,000 namespaces)", BURSTS * REQUESTS, body.len());
    webhook.process.wait_for(webhook.admin, "/readyz");
    drop(webhook);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("hostile loads, each to a process of its own; the budget is the limit in webhook-config");
    for flood in Flood::all() {
        let mut webhook = Webhook::start(folder.path(), &certificate, &full);
        webhook.wait_for_namespaces(NAMESPACES);
        runtime.block_on(flood.send(SocketAddr::from(([127, 0, 0, 1], webhook.port)), &certificate.client()));
        print(flood.name, &webhook.process, limit());
        webhook.process.wait_for(webhook.admin, "/readyz");
    }
}

fn print(state: &str, process: &Process, budget: f64) {
    let (now, most, own) = process.memory();
    println!("{state:<34} {now:>10.1} {own:>10.1} {most:>10.1} {budget:>10.0}");
}

struct Webhook {
    process: Process,
    port: u16,
    admin: u16,
    started: Duration,
}

impl Webhook {
    /// The program as it is deployed.
    fn start(folder: &Path, certificate: &Certificate, kubeconfig: &Path) -> Self {
        let (port, admin) = (free_port(), free_port());
        let arguments = [
            "webhook".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin-listen=127.0.0.1:{admin}"),
            format!("--tls-cert={}", certificate.chain.display()),
            format!("--tls-key={}", certificate.key.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
        ];
        let begun = Instant::now();
        let program = Path::new(env!("CARGO_BIN_EXE_otelgate"));
        let mut process = Process::start(program, arguments, &folder.join("otelgate.log"));
        process.wait_for(admin, "/readyz");
        Self { process, port, admin, started: begun.elapsed() }
    }

    fn wait_for_namespaces(&self, count: usize) {
        let lines = [format!("otelgate_namespaces {count}"), "otelgate_namespaces_synced 1".to_owned()];
        let begun = Instant::now();
        let known =
            || process::get(self.admin, "/metrics").is_some_and(|text| lines.iter().all(|line| text.contains(line)));
        while !known() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the namespaces were never all known");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Serves that many namespaces; the kubeconfig for it.
fn api_server(folder: &Path, certificate: &Certificate, count: usize) -> PathBuf {
    let port = free_port();
    let router = Router::new().route(
        "/api/v1/namespaces",
        get(move |RawQuery(query): RawQuery| async move {
            let query = query.unwrap_or_default();
            let parameter = |name: &str| {
                query
                    .split('&')
                    .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
                    .map(|(_, value)| value)
            };
            let watches = parameter("watch").is_some_and(|value| value != "0" && value != "false");
            let number = |name| parameter(name).and_then(|value| value.parse::<usize>().ok());
            if watches {
                watch(count)
            } else {
                list(count, number("continue").unwrap_or(0), number("limit").unwrap_or(count))
            }
        }),
    );
    let (chain, key) = (certificate.chain.clone(), certificate.key.clone());
    thread::spawn(move || support::serve::serve(("127.0.0.1", port), &chain, &key, &router));
    let authority =
        base64::engine::general_purpose::STANDARD.encode(fs::read(&certificate.chain).expect("a certificate"));
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": {
            "server": format!("https://localhost:{port}"), "certificate-authority-data": authority } }],
        "users": [{ "name": "bench", "user": { "token": "bench" } }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
    });
    let path = folder.join(format!("{count}-namespaces.json"));
    fs::write(&path, kubeconfig.to_string()).expect("a kubeconfig");
    path
}

/// A page of the metadata of all namespaces, as `kubectl create namespace` and `GitOps` tools leave it.
fn list(count: usize, from: usize, limit: usize) -> Response {
    let until = (from + limit).min(count);
    let next = (until < count).then(|| until.to_string());
    let items: Vec<Value> = (from..until).map(|index| json!({ "metadata": metadata(index) })).collect();
    let page = json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": "100000", "continue": next, "remainingItemCount": count - until },
        "items": items,
    });
    json_response(Body::from(page.to_string()))
}

/// A change of one namespace in ten, then silence.
fn watch(count: usize) -> Response {
    let changes = (0..count).step_by(10).map(|index| {
        let object =
            json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata(index) });
        let event = json!({ "type": "MODIFIED", "object": object });
        Ok::<_, Infallible>(Bytes::from(format!("{event}\n")))
    });
    json_response(Body::from_stream(
        futures::stream::iter(changes.collect::<Vec<_>>()).chain(futures::stream::pending()),
    ))
}

fn json_response(body: Body) -> Response {
    Response::builder().header(CONTENT_TYPE, "application/json").body(body).expect("a response")
}

fn metadata(index: usize) -> Value {
    let name = format!("team-{}-service-{index:05}", index % 40);
    let mut annotations = json!({
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{name}\"}}}}"),
        "openshift.io/description": "a namespace of a team, with a description of some length",
    });
    if index.is_multiple_of(4) {
        annotations["resource.opentelemetry.io/deployment.environment.name"] = json!("production");
        annotations["otelgate.dev/propagators"] = json!("tracecontext,baggage");
    }
    json!({
        "name": name, "uid": format!("6f0c2b7e-0000-4000-8000-{index:012}"), "resourceVersion": format!("{index}"),
        "creationTimestamp": "2026-03-01T10:00:00Z",
        "labels": { "kubernetes.io/metadata.name": name, "otelgate.dev/inject": "enabled", "team": format!("team-{}", index % 40) },
        "annotations": annotations,
        "managedFields": [{ "manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:metadata": { "f:labels": { "f:otelgate.dev/inject": {}, "f:team": {} } } } }],
    })
}
