use serde_json::{Value, json};

use super::object;
use crate::deploy::inventory::{Found, Installation, Inventory, Kind, Stage, inventory, release_of};

fn found(kind: &str, metadata: Value) -> Found {
    let namespaced = metadata.get("namespace").is_some();
    let plural = format!("{}s", kind.to_lowercase());
    let group = if kind == "TelemetryStack" { "otelgate.dev" } else { "" };
    let kind = Kind { group: group.to_owned(), kind: kind.to_owned(), plural, namespaced };
    let mut metadata = metadata;
    let uid = format!("{}-{}-{}", kind.kind, metadata["namespace"], metadata["name"]);
    metadata["uid"] = json!(uid);
    Found::new(&kind, &object(metadata))
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "otelgate"})
}

fn by_helm() -> Value {
    json!({"meta.helm.sh/release-name": "gate", "meta.helm.sh/release-namespace": "otelgate"})
}

fn owner(uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": uid}])
}

fn cluster() -> Vec<Found> {
    let deploy = json!({"otelgate.dev/created-by": "deploy"});
    let stack = "TelemetryStack-null-\"default\"";
    let of = |name: &str| json!({"namespace": "otelgate", "name": name});
    let with = |mut metadata: Value, key: &str, value: Value| {
        metadata[key] = value;
        metadata
    };
    let deployment = with(with(of("otelgate-webhook"), "labels", labels()), "annotations", by_helm());
    let replica_set = with(
        with(of("otelgate-webhook-1"), "labels", labels()),
        "ownerReferences",
        owner("Deployment-\"otelgate\"-\"otelgate-webhook\""),
    );
    vec![
        found("Namespace", json!({"name": "otelgate", "labels": deploy})),
        found("Namespace", json!({"name": "datadog", "labels": deploy})),
        found("CustomResourceDefinition", json!({"name": "telemetrystacks.otelgate.dev"})),
        found("CustomResourceDefinition", json!({"name": "others.example.com"})),
        found("MutatingWebhookConfiguration", json!({"name": "otelgate", "annotations": by_helm()})),
        found("MutatingWebhookConfiguration", json!({"name": "other"})),
        found("TelemetryStack", json!({"name": "default", "labels": labels(), "annotations": by_helm()})),
        found("ClusterRole", json!({"name": "otelgate-controller", "labels": labels(), "annotations": by_helm()})),
        // Somebody's own, who labelled it by what it is for.
        found("ClusterRole", json!({"name": "telemetry-editors", "labels": labels()})),
        found("ConfigMap", json!({"namespace": "monitoring", "name": "otelgate-dashboard", "labels": labels()})),
        found("Deployment", deployment),
        found("ReplicaSet", replica_set),
        found("ConfigMap", with(of("otelgate-injection"), "ownerReferences", owner(stack))),
        found("ConfigMap", of("kube-root-ca.crt")),
        found("ServiceAccount", of("default")),
        found("Secret", with(of("otelgate-ca"), "ownerReferences", owner(stack))),
        found(
            "Secret",
            with(
                of("otelgate-webhook-provided"),
                "annotations",
                json!({"cert-manager.io/certificate-name": "otelgate-webhook"}),
            ),
        ),
        found("Secret", with(of("sh.helm.release.v1.gate.v1"), "labels", json!({"owner": "helm", "name": "gate"}))),
        found("Lease", of("otelgate-controller")),
        found(
            "Secret",
            json!({"namespace": "datadog", "name": "datadog-secret", "labels": {"otelgate.dev/created-by": "deploy"}}),
        ),
        found("Pod", json!({"namespace": "datadog", "name": "somebodys"})),
    ]
}

fn sorted(seen: &[Found]) -> Inventory {
    let release = release_of(seen, "otelgate");
    inventory(seen, &Installation { namespace: "otelgate", release })
}

fn told(inventory: &Inventory) -> Vec<String> {
    inventory.removals.iter().map(|removal| format!("{:?} {}", removal.stage, removal.found.told())).collect()
}

#[test]
fn what_is_otelgates_goes_in_order_and_what_is_not_stays() {
    let inventory = sorted(&cluster());
    assert_eq!(
        told(&inventory),
        [
            "Registration MutatingWebhookConfiguration otelgate",
            "Release ClusterRole otelgate-controller",
            "Release Deployment otelgate/otelgate-webhook",
            "Release TelemetryStack default",
            "Made ConfigMap otelgate/otelgate-injection",
            "Made CustomResourceDefinition telemetrystacks.otelgate.dev",
            "Made Lease otelgate/otelgate-controller",
            "Made Secret otelgate/otelgate-ca",
            "Made Secret otelgate/otelgate-webhook-provided",
            "Made Secret otelgate/sh.helm.release.v1.gate.v1",
            "Credentials Secret datadog/datadog-secret",
            "Namespaces Namespace otelgate",
        ]
    );
    let left: Vec<String> = inventory.left.iter().map(|left| format!("{}: {}", left.object, left.why)).collect();
    assert_eq!(left, ["Namespace datadog: Pod somebodys in it isn't otelgate's"]);
}

/// Collectors and Cluster Agents that ran have left them, and nobody owns them.
#[test]
fn what_programs_made_for_themselves_keeps_no_namespace() {
    let mut seen = cluster();
    seen.retain(|found| !found.told().contains("somebodys"));
    let of = |kind: &str, name: &str| found(kind, json!({"namespace": "datadog", "name": name}));
    seen.extend([
        of("Lease", "otel-collector-k8s-cluster"),
        of("Lease", "datadog-leader-election"),
        of("ConfigMap", "datadog-cluster-id"),
        of("ConfigMap", "datadogtoken"),
        of("ConfigMap", "datadog-token"),
        of("ConfigMap", "datadog-leader-election"),
    ]);
    let inventory = sorted(&seen);
    assert!(told(&inventory).contains(&"Namespaces Namespace datadog".to_owned()), "{:?}", inventory.left);
    seen.push(of("Lease", "another"));
    let left = sorted(&seen).left;
    assert_eq!(left.first().map(|left| left.why.as_str()), Some("Lease another in it isn't otelgate's"));
}

#[test]
fn what_lost_its_owner_is_still_found() {
    let mut seen = cluster();
    seen.retain(|found| !["Deployment", "TelemetryStack"].contains(&found.kind.kind.as_str()));
    let told = told(&sorted(&seen));
    assert!(told.contains(&"Release ReplicaSet otelgate/otelgate-webhook-1".to_owned()), "{told:?}");
    assert!(told.contains(&"Made Secret otelgate/otelgate-ca".to_owned()), "{told:?}");
    assert!(told.contains(&"Namespaces Namespace otelgate".to_owned()), "{told:?}");
}

#[test]
fn nothing_of_a_cluster_without_it_is_touched() {
    let seen: Vec<Found> = cluster().into_iter().filter(|found| found.told().contains("other")).collect();
    assert_eq!(seen.len(), 2);
    assert!(sorted(&seen).is_empty());
}

#[test]
fn namespaces_stay_where_not_everything_was_seen() {
    let mut inventory = sorted(&cluster());
    assert!(inventory.of_stage(Stage::Namespaces).next().is_some());
    let left = inventory.left.len();
    inventory.keep_namespaces();
    assert!(inventory.of_stage(Stage::Namespaces).next().is_none());
    assert!(inventory.left.len() > left && inventory.of_stage(Stage::Release).next().is_some());
}
