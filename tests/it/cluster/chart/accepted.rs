//! What the real API servers say to the rendered objects, in a namespace with the strictest pod security.

use serde_json::{Value, json};

use super::{SETS, name_of, objects, rendered, root};
use crate::control_plane::plane::Parts;
use crate::control_plane::programs::Helm;
use crate::control_plane::{ControlPlane, Version, wait_for};

#[test]
fn everything_is_accepted_by_the_newest() {
    everything_is_accepted(Version::Newest);
}

#[test]
fn everything_is_accepted_by_the_oldest() {
    everything_is_accepted(Version::Oldest);
}

/// A control plane of its own, because the chart's objects are the whole cluster's.
fn everything_is_accepted(version: Version) {
    let plane = ControlPlane::start(version, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    });
    plane.make_namespace("otelgate", &labels, &json!({}));
    plane.make_namespace("datadog", &json!({"pod-security.kubernetes.io/enforce": "privileged"}), &json!({}));
    plane.kubectl(&["create", "namespace", "observability"]).expect("kubectl create");
    let crds = root().join("charts/otelgate/crds").display().to_string();
    plane.kubectl(&["apply", "--server-side", "-f", &crds]).expect("the chart's own resource");
    plane.apply(&definitions_of_others());
    wait_for("the resources to be served", || {
        let arguments = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        plane.kubectl(&arguments).success.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));

    for set in SETS {
        let text = rendered(Helm::Four, set);
        let outcome = apply(&plane, "dry-run", &["--dry-run=server"], &text);
        let warnings: Vec<&str> = outcome.warnings();
        let is_expected = |warning: &&str| set == "host-network" && warning.contains("would violate PodSecurity");
        assert!(warnings.iter().all(is_expected), "{set}: {warnings:?}");
        outcome.expect(set);
        a_second_manager_changes_nothing(&plane, set, &text);
        pods_are_accepted(&plane, set, &text);
        if set == "default" {
            the_controller_applies_its_own_config_map_only(&plane);
        }
        plane.kubectl_with(&["delete", "--wait=false", "-f", "-"], &text).expect("kubectl delete");
    }
}

fn apply(plane: &ControlPlane, manager: &str, further: &[&str], text: &str) -> crate::control_plane::kubectl::Outcome {
    let manager = format!("--field-manager={manager}");
    let arguments = ["apply", "--server-side", "--validate=strict", &manager];
    plane.kubectl_with(&[&arguments[..], further, &["-f", "-"]].concat(), text)
}

/// Applied once by Helm's stand-in and twice by somebody else, without force: nothing conflicts, and nothing moves.
#[track_caller]
fn a_second_manager_changes_nothing(plane: &ControlPlane, set: &str, text: &str) {
    apply(plane, "first", &[], text).expect(set);
    let after_first = live(plane, text);
    apply(plane, "second", &[], text).expect(set);
    let after_second = live(plane, text);
    apply(plane, "second", &[], text).expect(set);
    let after_third = live(plane, text);
    for ((first, second), third) in after_first.iter().zip(&after_second).zip(&after_third) {
        let name = name_of(first);
        assert_eq!(fields_of(first, "first"), fields_of(second, "first"), "{set}: {name}");
        assert_eq!(fields_of(second, "first"), fields_of(second, "second"), "{set}: {name}");
        assert_eq!(first["metadata"]["generation"], second["metadata"]["generation"], "{set}: {name}");
        assert_eq!(second["metadata"]["resourceVersion"], third["metadata"]["resourceVersion"], "{set}: {name}");
    }
}

/// The objects as the API server has them.
#[track_caller]
fn live(plane: &ControlPlane, text: &str) -> Vec<Value> {
    let list = plane.kubectl_with(&["get", "--show-managed-fields", "-o", "json", "-f", "-"], text).json("objects");
    list["items"].as_array().expect("items").clone()
}

fn fields_of<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    let managers = object["metadata"]["managedFields"].as_array().expect("managed fields");
    managers.iter().find(|one| one["manager"] == manager).map(|one| &one["fieldsV1"])
}

/// The pods of the Deployments, which only the host's network keeps out of such a namespace.
#[track_caller]
fn pods_are_accepted(plane: &ControlPlane, set: &str, text: &str) {
    let deployments = objects(text).into_iter().filter(|object| object["kind"] == "Deployment");
    for deployment in deployments {
        let template = &deployment["spec"]["template"];
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {"name": "pod", "namespace": "otelgate", "labels": template["metadata"]["labels"]},
        });
        let outcome = plane.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &pod.to_string());
        if template["spec"]["hostNetwork"] == true {
            assert!(outcome.stderr.contains("violates PodSecurity"), "{set}: {}", outcome.stderr);
        } else {
            outcome.expect(set);
        }
    }
}

/// A right to create can be narrowed to a name where objects are applied, which the Role relies on.
#[track_caller]
fn the_controller_applies_its_own_config_map_only(plane: &ControlPlane) {
    let kubeconfig = format!("--kubeconfig={}", plane.kubeconfig_of("otelgate", "otelgate-controller").display());
    let apply = |name: &str| {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "otelgate"}});
        plane.kubectl_with(&[&kubeconfig, "apply", "--server-side", "-f", "-"], &object.to_string())
    };
    apply("otelgate-injection").expect("creating it");
    apply("otelgate-injection").expect("applying it again");
    let other = apply("other");
    assert!(!other.success && other.stderr.contains("forbidden"), "{}", other.stderr);
}

/// The least that lets an API server take objects of cert-manager, the Prometheus Operator and the Datadog Operator.
fn definitions_of_others() -> Vec<Value> {
    let kinds = [
        ("cert-manager.io", "v1", "Issuer", "issuers"),
        ("cert-manager.io", "v1", "Certificate", "certificates"),
        ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
        ("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
        ("datadoghq.com", "v1alpha1", "DatadogDashboard", "datadogdashboards"),
        ("datadoghq.com", "v1alpha1", "DatadogMonitor", "datadogmonitors"),
    ];
    let definition = |(group, version, kind, plural): (&str, &str, &str, &str)| {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        })
    };
    kinds.map(definition).into()
}
