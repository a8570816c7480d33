//! What the controller costs in a cluster of 5,000 nodes and 100,000 opted-in pods: memory, processor time and calls at
//! rest and while kubelets write, and how soon it has found 1,000 pods that were missed.
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

use otelgate::config::Configuration;
use serde_json::{Value, json};

mod support;

use support::cluster::Cluster;
use support::process::{self, Process};
use support::{Certificate, free_port};

const NODES: usize = 5_000;
const PODS: usize = 100_000;
const NAMESPACES: usize = 1_000;
const MISSED: usize = 1_000;
/// As kubelets of that many pods write in a second, on a day without a rollout.
const CHANGES_A_SECOND: usize = 100;
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
    wait(
        || injected(&cluster).is_some_and(|injected| injected["injected"] == format!("{PODS}/{PODS}")),
        || {
            let log = fs::read_to_string(folder.path().join("controller.log")).unwrap_or_default();
            format!("{:?} {}", injected(&cluster), &log[log.len().saturating_sub(3000)..])
        },
    );
    println!("{NODES} nodes, {PODS} opted-in pods in {NAMESPACES} namespaces");
    println!("all judged after {:.1} s", started.elapsed().as_secs_f64());
    memory("then", &controller);

    over_a_while("at rest", &controller, &cluster, || thread::sleep(WHILE));
    over_a_while(&format!("{CHANGES_A_SECOND} changes of pods a second"), &controller, &cluster, || {
        let begun = Instant::now();
        for change in 0.. {
            let due = Duration::from_secs(1) * change / u32::try_from(CHANGES_A_SECOND).expect("small");
            if due > WHILE {
                break;
            }
            thread::sleep(due.saturating_sub(begun.elapsed()));
            cluster.touch(change as usize * 7_919);
        }
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

/// What the controller finds as it starts.
fn prepare(cluster: &Arc<Cluster>) {
    let definition =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml"));
    let definition: Value = serde_saphyr::from_str(&definition.expect("the CRD")).expect("YAML");
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.put(definitions, "", "telemetrystacks.otelgate.dev", definition);
    let stack = json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default", "generation": 1},
        "spec": {"collector": {"mode": "disabled"}, "agent": {"mode": "disabled"}},
    });
    cluster.put(STACKS, "", "default", stack);
}

fn injected(cluster: &Cluster) -> Option<Value> {
    cluster.get(STACKS, "", "default").map(|stack| stack["status"]["injection"].clone())
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
    let (now, most) = controller.memory();
    println!("{when}: {now:.1} MiB resident, {most:.1} at most; the budget is {BUDGET}");
}

fn wait(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(10), "it never came to that: {}", otherwise());
        thread::sleep(Duration::from_millis(20));
    }
}
