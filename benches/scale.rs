//! What the controller costs in a cluster of 5,000 nodes, each with a Collector and an Agent, and 100,000 opted-in pods:
//! memory, processor time and calls at rest, while kubelets write and in a rollout, and how soon it has found 1,000 pods
//! that were missed.
//!
//! The cluster is a server that lists and watches as an API server does.
//!
//! `cargo bench --bench scale`

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use otelgate::config::Configuration;
use serde_json::{Value, json};

mod support;

use support::cluster::{Cluster, OfNode, TELEMETRY};
use support::process::{self, Process};
use support::{Certificate, free_port};

const NODES: usize = 5_000;
const PODS: usize = 100_000;
const NAMESPACES: usize = 1_000;
const MISSED: usize = 1_000;
/// As kubelets of that many pods write in a second, on a day without a rollout.
const CHANGES_A_SECOND: usize = 100;
/// Collectors that a rollout replaces in a second.
const ROLLED_A_SECOND: usize = 50;
const WHILE: Duration = Duration::from_mins(1);
const BUDGET: u32 = 100;
const STACKS: &str = "/apis/otelgate.dev/v1alpha1/telemetrystacks";

fn main() {
    if !support::is_asked_for() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::write_to(folder.path());
    let cluster = Cluster::new(NODES, PODS, NAMESPACES, Configuration::default().hash());
    prepare(&cluster, metrics_of_a_collector());
    let kubeconfig = cluster.serve(folder.path(), &certificate);
    let admin = free_port();
    let arguments = [
        "controller".to_owned(),
        format!("--admin-listen=127.0.0.1:{admin}"),
        format!("--kubeconfig={}", kubeconfig.display()),
        "--identity=bench".to_owned(),
    ];
    let started = Instant::now();
    let program = Path::new(env!("CARGO_BIN_EXE_otelgate"));
    let mut controller = Process::start(program, arguments, &folder.path().join("controller.log"));
    controller.wait_for_port(admin);
    let all = format!("{NODES}/{NODES}");
    wait(
        || {
            let status = status(&cluster);
            status["injection"]["injected"] == format!("{PODS}/{PODS}")
                && status["collector"]["ready"] == all
                && status["agent"]["nodes"] == all
        },
        || {
            let log = fs::read_to_string(folder.path().join("controller.log")).unwrap_or_default();
            format!("{:?} {}", status(&cluster), &log[log.len().saturating_sub(3000)..])
        },
    );
    println!("{NODES} nodes with a Collector and an Agent each, {PODS} opted-in pods in {NAMESPACES} namespaces");
    println!("all judged after {:.1} s", started.elapsed().as_secs_f64());
    memory("then", &controller);

    over_a_while("at rest", &controller, &cluster, || thread::sleep(WHILE));
    over_a_while(&format!("{CHANGES_A_SECOND} changes of pods a second"), &controller, &cluster, || {
        paced(CHANGES_A_SECOND, |change| cluster.touch(change * 7_919));
    });
    over_a_while(&format!("a rollout, {ROLLED_A_SECOND} Collectors a second"), &controller, &cluster, || {
        paced(ROLLED_A_SECOND, |change| cluster.roll(OfNode::Collector, change));
    });

    let (before, begun) = (cluster.requests().0, Instant::now());
    cluster.miss(MISSED);
    let found = || {
        let metrics = process::get(admin, "/metrics").unwrap_or_default();
        let line = metrics.lines().find(|line| line.starts_with("otelgate_controller_pods{coverage=\"Missed\"}"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).unwrap_or_default()
    };
    wait(|| found() == MISSED, || format!("{} found", found()));
    println!(
        "{MISSED} missed pods found after {:.1} s, with {} calls",
        begun.elapsed().as_secs_f64(),
        cluster.requests().0 - before
    );
    memory("then", &controller);
}

/// Serves what every Collector says of itself; where.
fn metrics_of_a_collector() -> u16 {
    const TEXT: &str = "otelcol_process_uptime_seconds_total 1000.25\n\
        otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"grpc\"} 1000\n\
        otelcol_exporter_sent_spans_total{exporter=\"datadog\"} 1000\n\
        otelcol_exporter_queue_size{exporter=\"datadog\",data_type=\"traces\"} 1\n\
        otelcol_exporter_queue_capacity{exporter=\"datadog\",data_type=\"traces\"} 1000\n";
    let port = free_port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
            let router = Router::new().route("/metrics", get(async || TEXT));
            axum::serve(listener, router).await.expect("it serves until the process ends");
        });
    });
    port
}

/// What the controller finds as it starts.
fn prepare(cluster: &Arc<Cluster>, metrics_port: u16) {
    let definition =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml"));
    let definition: Value = serde_saphyr::from_str(&definition.expect("the CRD")).expect("YAML");
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.put(definitions, "", "telemetrystacks.otelgate.dev", definition);
    let stack = json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default", "generation": 1},
        "spec": {"collector": {"mode": "adopt", "adopt": {"metricsPort": metrics_port}},
            "agent": {"mode": "adopt", "adopt": {"clusterAgent": ""}}},
    });
    cluster.put(STACKS, "", "default", stack);
    let (key, value) = OfNode::Agent.label();
    let agents = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "datadog-agent", "namespace": TELEMETRY, "generation": 1},
        "spec": {"selector": {"matchLabels": {key: value}}, "template": {"metadata": {"labels": {key: value}}}},
        "status": {"observedGeneration": 1, "desiredNumberScheduled": NODES, "currentNumberScheduled": NODES,
            "numberMisscheduled": 0, "numberReady": NODES, "updatedNumberScheduled": NODES},
    });
    cluster.put("/apis/apps/v1/daemonsets", TELEMETRY, "datadog-agent", agents);
}

fn status(cluster: &Cluster) -> Value {
    cluster.get(STACKS, "", "default").map(|stack| stack["status"].clone()).unwrap_or_default()
}

/// Does something so many times a second, for a while.
fn paced(a_second: usize, each: impl Fn(usize)) {
    let begun = Instant::now();
    for change in 0.. {
        let due = Duration::from_secs(1) * u32::try_from(change).expect("few") / u32::try_from(a_second).expect("few");
        if due > WHILE {
            break;
        }
        thread::sleep(due.saturating_sub(begun.elapsed()));
        each(change);
    }
}

fn over_a_while(what: &str, controller: &Process, cluster: &Cluster, during: impl FnOnce()) {
    let (cpu, calls, begun) = (controller.cpu(), cluster.requests(), Instant::now());
    during();
    let seconds = begun.elapsed().as_secs_f64();
    let now = cluster.requests();
    let a_minute = |before: usize, now: usize| f64::from(u32::try_from(now - before).expect("few")) * 60.0 / seconds;
    println!(
        "{what}: {:.2}% of a processor, {:.0} calls a minute, {:.0} of them watches",
        100.0 * controller.cpu().saturating_sub(cpu).as_secs_f64() / seconds,
        a_minute(calls.0, now.0),
        a_minute(calls.1, now.1),
    );
    memory("then", controller);
}

fn memory(when: &str, controller: &Process) {
    let (now, most, own) = controller.memory();
    println!("{when}: {now:.1} MiB resident, {own:.1} of them no code, {most:.1} at most; the budget is {BUDGET}");
}

fn wait(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(10), "it never came to that: {}", otherwise());
        thread::sleep(Duration::from_millis(20));
    }
}
