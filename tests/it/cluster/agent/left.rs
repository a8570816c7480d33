//! An Agent in a namespace where it was before: taken away, and told until it has gone, by a controller that knows nothing
//! of the move.

use serde_json::{Value, json};

use super::{add_nodes, ask_for, cluster, exists, says, stack, start_controller};
use crate::control_plane::{ControlPlane, wait_for};

const COMPONENT: &str = "agent.datadoghq.com/component";

/// One with a pod on each node.
fn daemon_set(namespace: &str, metadata: &Value, annotations: &Value) -> Value {
    let labels = json!({COMPONENT: "agent"});
    let mut metadata = metadata.clone();
    metadata["name"] = "datadog-agent".into();
    metadata["namespace"] = namespace.into();
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "agent", "image": "agent:7"}]},
        }},
    })
}

fn pods(plane: &ControlPlane, namespace: &str) -> Vec<Value> {
    let list = plane.kubectl(&["get", "pods", "-n", namespace, "-l", COMPONENT, "-o", "json"]).json("pods");
    list["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn an_agent_that_was_left_behind_is_taken_away_and_told_until_it_has_gone() {
    let plane = cluster();
    add_nodes(&plane, &["node-1"]);
    ask_for(&plane, &json!({"mode": "disabled"}));
    let owner = json!([{"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default",
                        "uid": stack(&plane)["metadata"]["uid"]}]);
    let ours = json!({"labels": {"otelgate.dev/part": "agent"}, "ownerReferences": owner});
    for namespace in ["former", "helm"] {
        plane.make_namespace(namespace, &json!({}), &json!({}));
    }
    plane.apply(&[
        daemon_set("former", &ours, &json!({"otelgate.dev/credentials": "1.2"})),
        daemon_set("helm", &json!({}), &json!({})),
    ]);
    let left = wait_for("their pods", || {
        let (left, theirs) = (pods(&plane, "former"), pods(&plane, "helm"));
        (left.len() == 1 && theirs.len() == 1)
            .then(|| left[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}"));

    let controller = start_controller(&plane, "controller");
    let message = says(&plane, &controller, "AgentLeftBehind");
    assert!(message.starts_with("1 pod in namespace former, on the way out"), "{message}");
    wait_for("its DaemonSet to go", || {
        let sets = plane.kubectl(&["get", "daemonset", "-n", "former", "-o", "name"]);
        sets.expect("kubectl get").trim().is_empty().then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    // There is no kubelet that would.
    plane.kubectl(&["delete", "pod", &left, "-n", "former", "--force", "--grace-period=0"]).expect("kubectl delete");
    wait_for("the condition to go", || {
        let conditions = stack(&plane)["status"]["conditions"].as_array().cloned()?;
        conditions.iter().all(|one| one["type"] != "AgentAvailable").then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}; {}", controller.log()));
    assert_eq!(pods(&plane, "helm").len(), 1, "somebody else's");
    assert!(!exists(&plane, "daemonset/datadog-agent"), "none is wanted");
}
