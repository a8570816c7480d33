//! The size that the controller is made for, and a controller at work for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use otelgate::config::Configuration;
use serde_json::{Value, json};

use super::cluster::{Cluster, OfNode, TELEMETRY};
use super::daemon_sets::Runs;
use super::process::{self, Process};
use super::{Certificate, free_port};

pub const NODES: usize = 5_000;
pub const PODS: usize = 100_000;
pub const NAMESPACES: usize = 1_000;
/// Of resident memory, in MiB.
pub const BUDGET: u32 = 100;
pub const STACKS: &str = "/apis/otelgate.dev/v1alpha1/telemetrystacks";

/// A controller at work for a cluster.
pub struct Run {
    folder: tempfile::TempDir,
    pub cluster: Arc<Cluster>,
    pub controller: Process,
    admin: u16,
    pub started: Instant,
}

impl Run {
    pub fn start(with_collectors: bool, prepare: impl FnOnce(&Arc<Cluster>)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = Certificate::write_to(folder.path());
        let cluster = Cluster::new(NODES, PODS, NAMESPACES, Configuration::default().hash(), with_collectors);
        prepare(&cluster);
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
        Self { folder, cluster, controller, admin, started }
    }

    pub fn status(&self) -> Value {
        self.cluster.get(STACKS, "", "default").map(|stack| stack["status"].clone()).unwrap_or_default()
    }

    /// Pods that it has found to be missed.
    pub fn missed(&self) -> usize {
        let metrics = process::get(self.admin, "/metrics").unwrap_or_default();
        let line = metrics.lines().find(|line| line.starts_with("otelgate_controller_pods{coverage=\"Missed\"}"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).unwrap_or_default()
    }

    /// Until the status is like that.
    pub fn wait(&self, holds: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        while !holds(&self.status()) {
            if begun.elapsed() > Duration::from_mins(10) {
                let log = fs::read_to_string(self.folder.path().join("controller.log")).unwrap_or_default();
                panic!("it never came to that: {:#} {}", self.status(), &log[log.len().saturating_sub(3000)..]);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// With somebody else's Collectors, whose metrics are at that port, and somebody else's Agents.
pub fn adopted(port: u16) -> Value {
    let agent = json!({"mode": "adopt", "adopt": {"clusterAgent": ""}});
    json!({"collector": {"mode": "adopt", "adopt": {"metricsPort": port}}, "agent": agent})
}

/// With Collectors of the controller's own; each number makes another revision.
pub fn managed(number: usize) -> Value {
    let collector = json!({"mode": "managed", "podAnnotations": {"example.com/number": number.to_string()}});
    json!({"collector": collector, "agent": {"mode": "adopt", "adopt": {"clusterAgent": ""}}})
}

/// Every node has a Collector that is ready, and every pod what it should have.
pub fn everywhere(status: &Value) -> bool {
    status["collector"]["ready"] == format!("{NODES}/{NODES}")
        && status["injection"]["injected"] == format!("{PODS}/{PODS}")
}

/// And an Agent.
pub fn everywhere_with_agents(status: &Value) -> bool {
    everywhere(status) && status["agent"]["nodes"] == format!("{NODES}/{NODES}")
}

/// Every node has the same.
pub fn runs_one(cluster: &Cluster) -> bool {
    let all = cluster.runs(OfNode::Collector);
    let revision = |runs: &Option<Runs>| runs.as_ref().map(|runs| Arc::clone(&runs.revision));
    all.first().is_some_and(|first| first.is_some() && all.iter().all(|one| revision(one) == revision(first)))
}

/// Serves what every Collector says of itself.
pub fn metrics_of_a_collector(port: u16) {
    const TEXT: &str = "otelcol_process_uptime_seconds_total 1000.25\n\
        otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"grpc\"} 1000\n\
        otelcol_exporter_sent_spans_total{exporter=\"datadog\"} 1000\n\
        otelcol_exporter_queue_size{exporter=\"datadog\",data_type=\"traces\"} 1\n\
        otelcol_exporter_queue_capacity{exporter=\"datadog\",data_type=\"traces\"} 1000\n";
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
            let router = Router::new().route("/metrics", get(async || TEXT));
            axum::serve(listener, router).await.expect("it serves until the process ends");
        });
    });
}

/// What the controller finds as it starts.
pub fn prepare(cluster: &Cluster, spec: &Value) {
    let definition =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml"));
    let definition: Value = serde_saphyr::from_str(&definition.expect("the CRD")).expect("YAML");
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.put(definitions, "", "telemetrystacks.otelgate.dev", definition);
    cluster.put(STACKS, "", "default", stack(spec, 1, &Value::Null));
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

pub fn stack(spec: &Value, generation: u64, status: &Value) -> Value {
    json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack",
           "metadata": {"name": "default", "generation": generation, "uid": "6f0c2b7e-0000-4000-8000-0000000000aa"},
           "spec": spec, "status": status})
}
