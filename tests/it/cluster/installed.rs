//! What tests of an installed chart share.

use serde_json::Value;

use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::{NAMESPACE, chart};
use crate::control_plane::{ControlPlane, wait_for};

/// The chart as `helm template` renders it: the definitions that have to be there first, and all else.
pub fn rendered(plane: &ControlPlane, values: &Value) -> (Vec<Value>, Vec<Value>) {
    let file = plane.network().folder().join("rendered-with.json");
    std::fs::write(&file, values.to_string()).expect("a file of values");
    let (chart, file) = (chart(), file.display().to_string());
    let chart = chart.to_str().expect("a path in UTF-8");
    let arguments = [
        "template",
        "otelgate",
        chart,
        "--namespace",
        NAMESPACE,
        "--include-crds",
        "--values",
        &file,
        "--kube-version=1.37",
    ];
    let text = plane.helm(Helm::Four, &arguments).expect("helm template");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    objects
        .into_iter()
        .filter(|object| !object.is_null())
        .partition(|object| object["kind"] == "CustomResourceDefinition")
}

/// Until every replica of the webhook is ready, and the controller says that all of them serve what the spec asks for.
#[track_caller]
pub fn wait_until_in_force(nodes: &ProcessNodes<'_>) -> Value {
    wait_for("the TelemetryStack to be in force", || {
        let outcome = nodes.plane.kubectl(&["get", "telemetrystack", "default", "-o", "json"]);
        let stack: Value = serde_json::from_str(&outcome.stdout).ok()?;
        let accepted = condition(&stack, "ConfigurationAccepted")?;
        let current = accepted["status"] == "True" && accepted["observedGeneration"] == stack["metadata"]["generation"];
        current.then_some(stack)
    })
    .unwrap_or_else(|error| panic!("{error}: {}", nodes.last_words()))
}

pub fn condition(stack: &Value, kind: &str) -> Option<Value> {
    stack["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}
