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

/// What the controller needs to have an Agent made.
fn of_the_controller_for_an_agent(service: &str) -> [(String, Value); 2] {
    let keep = ["create", "patch", "delete"];
    let roles =
        ["otelgate-agent", "otelgate-cluster-agent", "otelgate-agent-cluster-state", "otelgate-agent-compliance"];
    let rbac = "rbac.authorization.k8s.io";
    let cluster = json!([
        rule(rbac, &["clusterroles"], &[&roles[..], &["otelgate-cluster-agent-own"]].concat(), &["bind"]),
        rule(rbac, &["clusterrolebindings"], &[], &["list", "watch"]),
        rule(rbac, &["clusterrolebindings"], &roles, &keep),
    ]);
    let own = json!([
        rule("apps", &["daemonsets", "deployments"], &[], &["list", "watch"]),
        rule("apps", &["daemonsets"], &["datadog-agent"], &keep),
        rule("apps", &["deployments"], &["datadog-cluster-agent"], &keep),
        rule("", &["pods"], &[], &["list", "watch"]),
        rule("", &["services", "serviceaccounts", "configmaps"], &[], &["list", "watch"]),
        rule("", &["services"], &["datadog-agent", "datadog-cluster-agent", service], &keep),
        rule("", &["serviceaccounts"], &["datadog-agent", "datadog-cluster-agent"], &keep),
        rule("", &["configmaps"], &["datadog-agent-seccomp", "datadog-agent-cluster-state"], &keep),
        rule(rbac, &["rolebindings"], &[], &["list", "watch"]),
        rule(rbac, &["rolebindings"], &["otelgate-cluster-agent-own"], &keep),
        rule("", &["secrets"], &["datadog-secret", "datadog-cluster-agent"], &["list", "watch"]),
        rule("", &["secrets"], &[], &["create"]),
        rule("", &["secrets"], &["datadog-cluster-agent"], &["delete"]),
        rule("datadoghq.com", &["datadogagents"], &[], &["list", "watch"]),
        rule("datadoghq.com", &["datadogagents"], &["datadog"], &keep),
    ]);
    let name = "otelgate-controller-agent";
    [(format!("ClusterRole/{name}"), cluster), (format!("Role/{name}"), own)]
}

/// What the Agent and the Cluster Agent may do, which the controller binds.
const OF_THE_AGENT: [&str; 4] = [
    "ClusterRole/otelgate-agent",
    "ClusterRole/otelgate-cluster-agent",
    "ClusterRole/otelgate-cluster-agent-own",
    "ClusterRole/otelgate-agent-cluster-state",
];

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
            expected.extend(of_the_controller_for_an_agent(collector));
        }
        let mut found = rules(set);
        found.retain(|(name, _)| !OF_THE_AGENT.contains(&name.as_str()));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found, expected, "{set}");
    }
}

/// The first two but for what the controller keeps.
const NEVER: [&str; 5] = ["bind", "delete", "escalate", "impersonate", "deletecollection"];

#[test]
fn no_rule_has_a_wildcard_or_reaches_further_than_its_own_account() {
    for set in SETS {
        for (role, rules) in rules(set) {
            assert!(!rules.to_string().contains('*'), "{set} {role}");
            for rule in rules.as_array().expect("rules") {
                // What it makes it takes away again, by name.
                let is_named = role.ends_with("/otelgate-controller-agent") && rule["resourceNames"].is_array();
                let never = if is_named { &NEVER[2..] } else { &NEVER[..] };
                for verb in never {
                    assert!(!rule.to_string().contains(&format!("\"{verb}\"")), "{set} {role} may {verb}");
                }
            }
        }
        for binding in objects(&rendered(Helm::Four, set)) {
            let Some(subjects) = binding["subjects"].as_array() else { continue };
            let name = binding["metadata"]["name"].as_str().expect("a name");
            assert_eq!(binding["roleRef"]["name"], name, "{set}");
            let account = name.strip_suffix("-agent").unwrap_or(name);
            assert_eq!(
                *subjects,
                [json!({"kind": "ServiceAccount", "name": account, "namespace": "otelgate"})],
                "{set}"
            );
        }
    }
}
