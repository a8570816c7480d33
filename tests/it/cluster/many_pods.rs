//! Ten thousand pods and five hundred nodes in a real API server: all are judged, a thousand that were missed are found, and
//! the calls for it are counted. `cargo bench --bench scale` measures ten times as many.

use std::path::Path;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::{Parts, sum_of};
use crate::control_plane::webhook::http_get;
use crate::control_plane::{ControlPlane, Version, wait_for};

const NODES: usize = 500;
const NAMESPACES: usize = 20;
const PODS: usize = 10_000;
const MISSED: usize = 1_000;
const AT_ONCE: usize = 32;
const PORT: u16 = 18_080;
/// Of memory of its own, in kB, beside what it has without any pod. Ten times as many pods may take all of the budget of
/// 100 MiB; `docs/performance.md` has what these take.
const GROWTH: u64 = 10 << 10;

#[test]
#[expect(clippy::print_stdout, reason = "the figure is worth reading, not only its verdict")]
fn ten_thousand_pods_are_judged_with_few_calls_and_in_little_memory() {
    let plane = ControlPlane::start(Version::Newest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/crds/telemetrystacks.yaml");
    let file = definition.display().to_string();
    plane.kubectl(&["apply", "--server-side", "-f", &file]).expect("the CRD");
    plane.make_namespace("otelgate", &json!({}), &json!({}));
    plane.make_namespace("datadog", &json!({}), &json!({}));
    plane.apply(&surroundings());
    let controller = start(&plane);
    wait_for("the kind to be known, and a stack to be accepted", || {
        plane.kubectl_with(&["apply", "--server-side", "-f", "-"], &stack().to_string()).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    // Pods that come before the configuration weren't missed.
    let (since, hash) = wait_for("the configuration to be in force", || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack");
        let since = stack["status"]["injection"]["enabledSince"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        Some((since, stack["status"]["webhook"]["hash"].as_str()?.to_owned()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", controller.log()));
    let mut collector = Value::Null;
    wait_for("all nodes to be judged", || {
        let stack = plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]).json("the TelemetryStack");
        collector = stack["status"]["collector"].clone();
        (collector["ready"] == format!("0/{NODES}")).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {collector:#}; {}", controller.log()));
    let idle = own_memory(&controller);
    wait_for("the next second", || (jiff::Timestamp::now().as_second() > since.as_second()).then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));

    plane.network().inside(|| create(&plane, &hash));
    wait_for("all to be judged", || {
        let metrics = plane.network().inside(|| http_get(PORT, "/metrics"))?;
        let of = |coverage: &str| {
            let label = format!("coverage=\"{coverage}\"");
            sum_of(&metrics, "otelgate_controller_pods", &[&label])
        };
        let found = (of("Injected"), of("Missed"));
        (found == ((PODS - MISSED) as u64, MISSED as u64)).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", controller.log()));
    let grown = own_memory(&controller).saturating_sub(idle);
    drop(controller);

    // One that finds them all as it starts.
    let (before, nodes) = (lists(&plane), lists_of_nodes(&plane));
    let controller = start(&plane);
    let told = wait_for("the next one to have judged them", || {
        let metrics = plane.network().inside(|| http_get(PORT, "/metrics"))?;
        let missed = sum_of(&metrics, "otelgate_controller_pods", &["coverage=\"Missed\""]);
        let injected = sum_of(&metrics, "otelgate_controller_pods", &["coverage=\"Injected\""]);
        (missed == MISSED as u64 && injected == (PODS - MISSED) as u64).then_some(metrics)
    })
    .unwrap_or_else(|error| panic!("{error}: {}", controller.log()));
    assert_eq!(sum_of(&told, "otelgate_controller_failures_total", &["object=\"Pod\""]), 0);
    wait_for("it to have listed the nodes", || {
        // In pages of a hundred.
        (lists_of_nodes(&plane) - nodes >= NODES as u64 / 100).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", controller.log()));
    // Pages of 200 for the metadata of all, pages of 50 for those without a mark in each namespace; and of each a rest. Of
    // Collectors' pods there are none, which takes one list here and one elsewhere.
    let expected = PODS / 200 + 1 + MISSED / 50 + 2 * NAMESPACES + 2;
    let calls = lists(&plane) - before;
    assert!(calls <= expected as u64, "{calls} lists of pods, at most {expected} are due");
    for grown in [grown, own_memory(&controller).saturating_sub(idle)] {
        println!("{grown} kB for {PODS} pods, beside {idle}");
        assert!(grown <= GROWTH, "{grown} kB for {PODS} pods, beside {idle}");
    }
}

fn lists(plane: &ControlPlane) -> u64 {
    plane.metric("apiserver_request_total", &["resource=\"pods\"", "verb=\"LIST\""])
}

fn lists_of_nodes(plane: &ControlPlane) -> u64 {
    plane.metric("apiserver_request_total", &["resource=\"nodes\"", "verb=\"LIST\""])
}

/// In kB: what is no code, so that it is the same however the program was built.
fn own_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a field of every process");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn start(plane: &ControlPlane) -> Process {
    let arguments = [
        // As the image has it.
        "MALLOC_ARENA_MAX=1".to_owned(),
        "MALLOC_MMAP_THRESHOLD_=131072".to_owned(),
        OTELGATE.to_owned(),
        "controller".to_owned(),
        format!("--admin-listen={ADDRESS}:{PORT}"),
        format!("--kubeconfig={}", plane.network().folder().join("admin.conf").display()),
        "--identity=alone".to_owned(),
    ];
    plane.network().start("controller", Path::new("env"), arguments).expect("otelgate controller")
}

fn stack() -> Value {
    json!({
        "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"},
        "spec": {"collector": {"mode": "managed"}, "agent": {"mode": "disabled"}},
    })
}

fn name(namespace: usize) -> String {
    format!("team-{namespace}")
}

fn surroundings() -> Vec<Value> {
    let namespaces = (0..NAMESPACES).flat_map(|number| {
        [
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": name(number), "labels": {"otelgate.dev/inject": "enabled"}}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name(number)}}),
        ]
    });
    let nodes = (0..NODES)
        .map(|number| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number}")}}));
    namespaces.chain(nodes).collect()
}

/// Those that were missed among the others.
fn pod(number: usize, hash: &str) -> Pod {
    let mut metadata = json!({"name": format!("web-{number}"), "namespace": name(number % NAMESPACES),
                              "labels": {"app": "web"}});
    // As many in each namespace.
    if number >= MISSED {
        metadata["labels"]["otelgate.dev/config"] = json!(hash);
        let status = json!({"version": "0.1.0", "config": hash, "containers": {}}).to_string();
        metadata["annotations"] = json!({"otelgate.dev/status": status});
    }
    let env: Vec<_> =
        (0..20).map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "of some length"})).collect();
    let spec =
        json!({"containers": [{"name": "app", "image": "shop/app:1", "env": env}], "terminationGracePeriodSeconds": 0});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod")
}

fn create(plane: &ControlPlane, hash: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = Kubeconfig::read_from(plane.network().folder().join("admin.conf")).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a kubeconfig");
        let client = Client::try_from(config).expect("a client");
        let creating = futures::stream::iter(0..PODS).map(|number| {
            let api = Api::<Pod>::namespaced(client.clone(), &name(number % NAMESPACES));
            async move {
                match api.create(&PostParams::default(), &pod(number, hash)).await {
                    // A server that is slow may have taken what was sent again.
                    Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                    created => drop(created.expect("a pod")),
                }
            }
        });
        creating.buffer_unordered(AT_ONCE).for_each(|()| std::future::ready(())).await;
    });
}
