//! The chart, installed by the real Helm, and its pods as processes of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::kubectl::Outcome;
use super::process_nodes::{ProcessNodes, Replica};
use super::programs::Helm;

pub const NAMESPACE: &str = "otelgate";
const NAME: &str = "otelgate";

pub struct Release<'n> {
    pub nodes: &'n ProcessNodes<'n>,
    helm: Helm,
}

impl<'n> Release<'n> {
    /// Installs it into a namespace with the strictest pod security, and waits until Helm says that it's ready.
    #[track_caller]
    pub fn install(nodes: &'n ProcessNodes<'n>, helm: Helm, values: &Value) -> Self {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        nodes.plane.apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}),
            // The Collector's, where the controller gets rights.
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "datadog"}}),
        ]);
        let release = Self { nodes, helm };
        release.change("install", values);
        release
    }

    #[track_caller]
    pub fn upgrade(&self, values: &Value) {
        self.change("upgrade", values);
    }

    /// Helm with the release's namespace: `["rollback", "otelgate"]`.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) -> Outcome {
        self.nodes.plane.helm(self.helm, &[arguments, &["--namespace", NAMESPACE]].concat())
    }

    /// Takes it away, and waits until its objects are gone.
    #[track_caller]
    pub fn uninstall(self) {
        self.helm(&["uninstall", NAME, "--wait", "--timeout=4m"]).expect("helm uninstall");
    }

    /// The webhook's n-th pod, counted from zero and by age.
    #[track_caller]
    pub fn replica(&self, n: usize) -> Replica<'n> {
        self.replicas(n + 1).swap_remove(n)
    }

    /// The webhook's pods that are ready, once there are as many.
    #[track_caller]
    pub fn replicas(&self, count: usize) -> Vec<Replica<'n>> {
        self.nodes.replicas(NAMESPACE, &labels("webhook"), count)
    }

    #[track_caller]
    pub fn controller(&self) -> Replica<'n> {
        self.nodes.replicas(NAMESPACE, &labels("controller"), 1).swap_remove(0)
    }

    #[track_caller]
    fn change(&self, verb: &str, values: &Value) {
        let (chart, values) = (chart(), self.write(values));
        let arguments = [verb, NAME, text(&chart), "--values", text(&values), "--wait", "--timeout=4m"];
        let outcome = self.helm(&arguments);
        assert!(outcome.success, "helm {verb}: {}{}", outcome.stderr, self.nodes.last_words());
    }

    fn write(&self, values: &Value) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("values-{}.json", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.nodes.plane.network().folder().join(name);
        fs::write(&path, alone(values).to_string()).expect("a file of values");
        path
    }
}

/// Without Collector and Agent, whose images can't be had on these nodes, where the values don't ask for them.
fn alone(values: &Value) -> Value {
    let mut values = values.clone();
    for part in ["collector", "agent"] {
        if values[part].is_null() {
            values[part] = json!({"mode": "disabled"});
        }
    }
    values
}

pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate")
}

fn labels(component: &str) -> String {
    format!("app.kubernetes.io/name=otelgate,app.kubernetes.io/component={component}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' folders have names in UTF-8")
}
