//! What webhook and controller may do: exactly what each uses.

use serde_json::{Value, json};

use super::{SETS, name_of, objects, rendered};
use crate::control_plane::programs::Helm;

fn rules(set: &str) -> Vec<(String, Value)> {
    let objects = objects(&rendered(Helm::Four, set));
    let with_rules = objects.iter().filter(|object| object["rules"].is_array() && object["kind"] != "PrometheusRule");
    with_rules.map(|object| (name_of(object), object["rules"].clone())).collect()
}

fn rule(group: &str, resources: &[&str], names: &[&str], verbs: &[&str]) -> Value {
    let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

fn of_the_webhook() -> [(String, Value); 2] {
    let cluster = json!([rule("", &["namespaces"], &[], &["list", "watch"])]);
    let own = json!([
        rule("", &["configmaps"], &["otelgate-injection"], &["list", "watch"]),
        rule("", &["secrets"], &["otelgate-webhook-tls"], &["list", "watch"]),
    ]);
    [("ClusterRole/otelgate-webhook".to_owned(), cluster), ("Role/otelgate-webhook".to_owned(), own)]
}

fn of_the_controller(collector: &str, provided: Option<&str>) -> [(String, Value); 2] {
    let cluster = json!([
        rule("otelgate.dev", &["telemetrystacks"], &[], &["list", "watch"]),
        rule("otelgate.dev", &["telemetrystacks/status"], &[], &["patch"]),
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], &["telemetrystacks.otelgate.dev"], &["get"]),
        rule(
            "admissionregistration.k8s.io",
            &["mutatingwebhookconfigurations"],
            &["otelgate"],
            &["list", "watch", "patch"],
        ),
        rule("", &["services"], &[collector], &["list", "watch"]),
    ]);
    let mut own = vec![
        rule("", &["configmaps"], &["otelgate-injection"], &["list", "watch", "create", "patch"]),
        rule("", &["secrets"], &[], &["create"]),
        rule("", &["secrets"], &["otelgate-ca", "otelgate-webhook-tls"], &["list", "watch", "update"]),
    ];
    own.extend(provided.map(|name| rule("", &["secrets"], &[name], &["list", "watch"])));
    own.extend([
        rule("discovery.k8s.io", &["endpointslices"], &[], &["list", "watch"]),
        rule("coordination.k8s.io", &["leases"], &[], &["create"]),
        rule("coordination.k8s.io", &["leases"], &["otelgate-controller"], &["get", "update"]),
    ]);
    [("ClusterRole/otelgate-controller".to_owned(), cluster), ("Role/otelgate-controller".to_owned(), json!(own))]
}

/// Any other right is one that nobody decided to grant.
#[test]
fn each_has_the_rights_that_it_uses() {
    for set in SETS {
        let mut expected = Vec::from(of_the_webhook());
        if set != "by-hand" {
            let collector = if set == "injection" { "gateway" } else { "otel-collector" };
            let provided = match set {
                "cert-manager" => Some("otelgate-webhook-certificate"),
                "cert-manager-issuer" => Some("otelgate-webhook-provided"),
                "provided-certificate" => Some("otelgate-from-vault"),
                _ => None,
            };
            expected.extend(of_the_controller(collector, provided));
        }
        let mut found = rules(set);
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found, expected, "{set}");
    }
}

#[test]
fn no_rule_has_a_wildcard_or_reaches_further_than_its_own_account() {
    for set in SETS {
        for (role, rules) in rules(set) {
            assert!(!rules.to_string().contains('*'), "{set} {role}");
            for verb in ["escalate", "bind", "impersonate", "delete", "deletecollection"] {
                assert!(!rules.to_string().contains(&format!("\"{verb}\"")), "{set} {role} may {verb}");
            }
        }
        for binding in objects(&rendered(Helm::Four, set)) {
            let Some(subjects) = binding["subjects"].as_array() else { continue };
            let account = &binding["metadata"]["name"];
            assert_eq!(binding["roleRef"]["name"], *account, "{set}");
            assert_eq!(
                *subjects,
                [json!({"kind": "ServiceAccount", "name": account, "namespace": "otelgate"})],
                "{set}"
            );
        }
    }
}
