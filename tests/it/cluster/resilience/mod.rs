//! The controller where things go wrong around it: killed at each of its calls, with an API server that isn't well, and
//! with another controller that takes over in the middle.
//!
//! API server and controller-manager are real. Between them and the controller stands a proxy that keeps, holds and spoils
//! calls; a thread does for pods what scheduler and kubelet would.

mod evictions;
mod faults;
mod killed;
mod leaders;
mod nodes;
mod operator;
mod state;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::nodes::Nodes;
use self::state::Objects;
use super::OTELGATE;
use super::installed::rendered;
use crate::control_plane::api_proxy::ApiProxy;
use crate::control_plane::network::{ADDRESS, Process};
use crate::control_plane::plane::Parts;
use crate::control_plane::{ControlPlane, Version, wait_for};

const STACK: &str = "/apis/otelgate.dev/v1alpha1/telemetrystacks";
const STACK_DEFAULT: &str = "telemetrystacks/default";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/otelgate/leases/otelgate-controller";
const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const REGISTRATION: &str = "otelgate";

struct World<'p> {
    plane: &'p ControlPlane,
    /// For the test itself, and for the nodes: nothing goes wrong there.
    door: ApiProxy,
    nodes: Nodes,
    /// As the chart makes it.
    registration: Value,
    /// What is there without otelgate.
    foreign: BTreeSet<String>,
}

/// A controller, and what stands between it and the API server.
struct Controller {
    process: Process,
    proxy: ApiProxy,
}

/// Runs a test in the network of a cluster with two nodes, a key, and what Helm makes before the controller starts.
#[track_caller]
fn stage(run: impl FnOnce(&World<'_>) + Send) {
    let plane = ControlPlane::start(Version::Newest, Parts::WithControllers).unwrap_or_else(|error| panic!("{error}"));
    let (definitions, objects) = rendered(&plane, &json!({}));
    plane.apply(&definitions);
    plane.wait_until_served("telemetrystacks.otelgate.dev");
    for namespace in ["otelgate", "datadog"] {
        plane.make_namespace(namespace, &json!({}), &json!({}));
    }
    plane.apply(&[
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"api-key": "0123456789abcdef0123456789abcdef"},
                         "metadata": {"name": "datadog-secret", "namespace": "datadog"}}),
    ]);
    let is_it = |object: &&Value| object["kind"] == "MutatingWebhookConfiguration";
    let registration = objects.iter().find(is_it).expect("the chart has it").clone();
    let door = ApiProxy::start(&plane, "door");
    let port = door.port;
    let nodes = Nodes::start(plane.network(), port);
    plane.network().inside(|| {
        nodes::add(&door, &["node-1", "node-2"]);
        let mut world = World { plane: &plane, door, nodes, registration, foreign: BTreeSet::new() };
        wait_for("what every namespace has", || {
            let is_there = |name: &str| world.door.call("GET", name, &Value::Null).0 == 200;
            ["otelgate", "datadog"]
                .iter()
                .all(|namespace| is_there(&format!("/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt")))
                .then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
        world.foreign = world.objects().into_keys().collect();
        run(&world);
    });
}

impl World<'_> {
    /// One that isn't started yet has its proxy already.
    #[track_caller]
    fn start(&self, name: &str, proxy: ApiProxy) -> Controller {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let port = 20_000 + NEXT.fetch_add(1, Ordering::Relaxed);
        let arguments = [
            "controller".to_owned(),
            format!("--admin-listen={ADDRESS}:{port}"),
            format!("--kubeconfig={}", proxy.kubeconfig.display()),
            format!("--identity={name}"),
        ];
        let process = self.plane.network().start(name, Path::new(OTELGATE), arguments).expect("otelgate controller");
        Controller { process, proxy }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, object) = self.door.call("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {object:#}");
        object
    }

    /// What is there already is no reason to fail: it is asked for, not waited for.
    fn delete(&self, path: &str) {
        let (status, answer) = self.door.call("DELETE", path, &Value::Null);
        assert!([200, 202, 404].contains(&status), "{path}: {answer:#}");
    }

    #[track_caller]
    fn patch(&self, path: &str, change: &Value) {
        let (status, answer) = self.door.call("PATCH", path, change);
        assert_eq!(status, 200, "{path}: {answer:#}");
    }

    /// Both parts that write are switched on.
    #[track_caller]
    fn ask_for_everything(&self) {
        let mut registration = self.registration.clone();
        registration["metadata"]["namespace"] = Value::Null;
        let (status, answer) = self.door.call("POST", REGISTRATIONS, &registration);
        assert_eq!(status, 201, "{answer:#}");
        let stack = json!({
            "apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "metadata": {"name": "default"},
            "spec": {
                "injection": {"clusterName": "prod-eu1"},
                "collector": {"mode": "managed"},
                "agent": {"mode": "daemonset", "tolerations": [{"operator": "Exists"}]},
            },
        });
        let (status, answer) = self.door.call("POST", STACK, &stack);
        assert_eq!(status, 201, "{answer:#}");
    }

    /// Until everything is as it should be, and the controller has nothing more to do.
    fn wait_for_state(&self, expected: &Objects, controller: &Controller) -> Result<(), String> {
        let mut differs = String::new();
        wait_for("everything to be as it should be", || {
            differs = state::difference(expected, &self.objects());
            differs.is_empty().then_some(())
        })
        .map_err(|error| format!("{error}: {differs}\n{}", controller.process.log()))
    }

    /// The same but for the status, which a new leader leaves as it was until it has looked.
    fn wait_for_objects(&self, expected: &Objects, controller: &Controller) -> Result<(), String> {
        let mut differs = String::new();
        wait_for("every object to be as it should be", || {
            let mut now = self.objects();
            if let (Some(expected), Some(stack)) = (expected.get(STACK_DEFAULT), now.get_mut(STACK_DEFAULT)) {
                stack["status"] = expected["status"].clone();
            }
            differs = state::difference(expected, &now);
            differs.is_empty().then_some(())
        })
        .map_err(|error| format!("{error}: {differs}\n{}", controller.process.log()))
    }

    /// Until everything is there, and the controller hasn't changed anything for so long; then tells what is there.
    #[track_caller]
    fn wait_for_quiet(&self, controller: &Controller, quiet: Duration) -> Objects {
        let mut there = Objects::new();
        // The controller-manager takes its time before it clears away what it has to.
        wait_for("all there should be", || {
            there = self.objects();
            state::is_complete(&there).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {there:#?}; {}", controller.process.log()));
        let (mut before, mut since) = (usize::MAX, Instant::now());
        wait_for("the controller to have done everything", || {
            let now = controller.proxy.changes(0).len();
            if now != before || now == 0 {
                (before, since) = (now, Instant::now());
            }
            (since.elapsed() >= quiet).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()));
        self.objects()
    }

    #[track_caller]
    fn wait_until_it_leads(&self, name: &str, controller: &Controller) {
        wait_for("it to lead", || {
            let (_, lease) = self.door.call("GET", LEASE, &Value::Null);
            (lease["spec"]["holderIdentity"] == name).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()));
    }
}

/// To whoever runs the tests, whether they pass or not.
fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
