//! What webhook and controller may do: exactly what each uses.

use serde_json::{Value, json};

use super::{SETS, name_of, objects, rendered};
use crate::control_plane::programs::Helm;

const RBAC: &str = "rbac.authorization.k8s.io";

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

/// The Collector's own, and the controller's in its namespace.
fn of_the_collector(service: &str, secret: &str) -> [(String, Value); 3] {
    let read = &["get", "list", "watch"];
    let cluster = json!([
        rule("", &["pods", "namespaces", "nodes"], &[], read),
        rule("", &["events", "replicationcontrollers", "resourcequotas", "services"], &[], &["list", "watch"]),
        rule("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], &[], read),
        rule("batch", &["jobs", "cronjobs"], &[], read),
        rule("autoscaling", &["horizontalpodautoscalers"], &[], &["list", "watch"]),
    ]);
    let lease = format!("{service}-k8s-cluster");
    let own = json!([rule("coordination.k8s.io", &["leases"], &[&lease], &["get", "update"])]);
    let write = &["create", "patch", "delete"];
    let see = &["list", "watch"];
    let kept = json!([
        rule("", &["serviceaccounts", "services"], &[], see),
        rule("", &["serviceaccounts"], &["otel-collector"], write),
        rule("", &["services"], &[service], write),
        rule("", &["configmaps"], &[], &["list", "watch", "create", "patch", "delete"]),
        rule("apps", &["daemonsets"], &[], see),
        rule("apps", &["daemonsets"], &["otel-collector", "otel-collector-trial"], write),
        rule("coordination.k8s.io", &["leases"], &[], see),
        rule("coordination.k8s.io", &["leases"], &[&lease], write),
        rule("networking.k8s.io", &["networkpolicies"], &[], see),
        rule("networking.k8s.io", &["networkpolicies"], &["otel-collector"], write),
        rule(RBAC, &["roles"], &["otelgate-collector"], &["bind"]),
        rule(RBAC, &["rolebindings"], &[], see),
        rule(RBAC, &["rolebindings"], &["otelgate-collector"], write),
        rule("", &["pods"], &[], see),
        rule("", &["pods/log"], &[], &["get"]),
        rule("", &["events"], &[], &["list"]),
        rule("", &["secrets"], &[secret], see),
    ]);
    [
        ("ClusterRole/otelgate-collector".to_owned(), cluster),
        ("Role/otelgate-collector".to_owned(), own),
        ("Role/otelgate-controller-collector".to_owned(), kept),
    ]
}

fn of_the_controller(collector: &str, provided: Option<&str>, repairs: bool) -> [(String, Value); 2] {
    let mut cluster = vec![
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
        rule("events.k8s.io", &["events"], &[], &["create"]),
        rule("", &["namespaces", "pods"], &[], &["list", "watch"]),
    ];
    if repairs {
        cluster.extend([
            rule("apps", &["deployments", "statefulsets", "daemonsets", "replicasets"], &[], &["get"]),
            rule("argoproj.io", &["rollouts"], &[], &["get"]),
            rule("", &["pods/eviction"], &[], &["create"]),
        ]);
    }
    cluster.extend([
        rule("", &["nodes"], &[], &["list", "watch"]),
        rule(RBAC, &["clusterroles"], &["otelgate-collector"], &["bind"]),
        rule(RBAC, &["clusterrolebindings"], &[], &["list", "watch"]),
        rule(RBAC, &["clusterrolebindings"], &["otelgate-collector"], &["create", "patch", "delete"]),
    ]);
    let mut own = vec![rule("", &["configmaps"], &["otelgate-injection"], &["list", "watch", "create", "patch"])];
    if repairs {
        own.push(rule("", &["configmaps"], &["otelgate-repair"], &["get", "create", "patch"]));
    }
    own.extend([
        rule("", &["secrets"], &[], &["create"]),
        rule("", &["secrets"], &["otelgate-ca", "otelgate-webhook-tls"], &["list", "watch", "update"]),
    ]);
    own.extend(provided.map(|name| rule("", &["secrets"], &[name], &["list", "watch"])));
    own.extend([
        rule("", &["pods"], &[], &["create"]),
        rule("discovery.k8s.io", &["endpointslices"], &[], &["list", "watch"]),
        rule("coordination.k8s.io", &["leases"], &[], &["create"]),
        rule("coordination.k8s.io", &["leases"], &["otelgate-controller"], &["get", "update"]),
    ]);
    [
        ("ClusterRole/otelgate-controller".to_owned(), json!(cluster)),
        ("Role/otelgate-controller".to_owned(), json!(own)),
    ]
}

/// What the controller needs to have an Agent made.
fn of_the_controller_for_an_agent(service: &str, secret: &str) -> [(String, Value); 2] {
    let keep = ["create", "patch", "delete"];
    let roles =
        ["otelgate-agent", "otelgate-cluster-agent", "otelgate-agent-cluster-state", "otelgate-agent-compliance"];
    let config_maps = [
        "datadog-agent-seccomp",
        "datadog-agent-cluster-state",
        "datadog-leader-election",
        "datadogtoken",
        "datadog-cluster-id",
    ];
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
        rule("", &["configmaps"], &config_maps, &keep),
        rule("coordination.k8s.io", &["leases"], &[], &["list", "watch"]),
        rule("coordination.k8s.io", &["leases"], &["datadog-leader-election"], &keep),
        rule(rbac, &["rolebindings"], &[], &["list", "watch"]),
        rule(rbac, &["rolebindings"], &["otelgate-cluster-agent-own"], &keep),
        rule("", &["secrets"], &[secret, "datadog-cluster-agent"], &["list", "watch"]),
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
            expected.extend(of_the_controller(collector, provided, set == "repair"));
            let secret = if set == "injection" { "observability" } else { "datadog-secret" };
            expected.extend(of_the_collector(collector, secret));
            expected.extend(of_the_controller_for_an_agent(collector, secret));
        }
        let mut found = rules(set);
        found.retain(|(name, _)| !OF_THE_AGENT.contains(&name.as_str()));
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
            for verb in ["escalate", "impersonate", "deletecollection"] {
                assert!(!rules.to_string().contains(&format!("\"{verb}\"")), "{set} {role} may {verb}");
            }
            // What is bound to the Collector is named; so is what is deleted, but for revisions, whose names are hashes.
            for rule in rules.as_array().expect("rules") {
                let may = |verb: &str| rule["verbs"].as_array().expect("verbs").contains(&json!(verb));
                let named = rule["resourceNames"].is_array() || rule["resources"] == json!(["configmaps"]);
                assert!(named || !(may("bind") || may("delete")), "{set} {role}: {rule}");
                let bound = rule["resourceNames"].to_string();
                let of_ours = bound == r#"["otelgate-collector"]"# || bound.starts_with(r#"["otelgate-agent""#);
                assert!(!may("bind") || of_ours, "{set} {role}: {rule}");
            }
        }
        for binding in objects(&rendered(Helm::Four, set)) {
            let Some(subjects) = binding["subjects"].as_array() else { continue };
            let name = binding["metadata"]["name"].as_str().expect("a name");
            assert_eq!(binding["roleRef"]["name"], name, "{set}");
            let in_its_namespace = ["otelgate-controller-collector", "otelgate-controller-agent"].contains(&name);
            let account = if in_its_namespace { "otelgate-controller" } else { name };
            assert_eq!(
                *subjects,
                [json!({"kind": "ServiceAccount", "name": account, "namespace": "otelgate"})],
                "{set}"
            );
        }
    }
}
