//! The Collector's objects, as they are applied: pure.

use serde_json::{Value, json};

use super::pod::Rollout;
use super::revision::{Revision, Stored};
use super::template;
use super::trial::{Mark, Plan};
use crate::api::{annotation, label, object};
use crate::collector::port;
use crate::controller::metrics::Write;
use crate::controller::objects::{Kind, Part, Scope};
use crate::k8s::IntOrString;

/// What all of them are made from, beside what runs where.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub namespace: &'a str,
    /// Name of the Service that pods send to.
    pub service: &'a str,
    pub max_unavailable: &'a IntOrString,
    /// One of the Collectors is chosen by a Lease, to read the cluster's metrics.
    pub lease: bool,
}

const fn kind(api_version: &'static str, kind: &'static str, plural: &'static str, scope: Scope) -> Kind {
    Kind { api_version, kind, plural, scope }
}

/// In the order in which they need each other.
pub const PART: Part = Part {
    name: "collector",
    kinds: &[
        kind("v1", "ServiceAccount", "serviceaccounts", Scope::Namespace),
        kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", Scope::Cluster),
        kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", Scope::Namespace),
        kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", Scope::Namespace),
        kind("v1", "Service", "services", Scope::Namespace),
        kind("v1", "ConfigMap", "configmaps", Scope::Namespace),
        kind("apps/v1", "DaemonSet", "daemonsets", Scope::Namespace),
    ],
    write: Write::Collector,
};

/// Everything but what runs where.
#[must_use]
pub fn surroundings(input: &Input<'_>) -> Vec<Value> {
    let mut objects = vec![service_account(), binding("ClusterRoleBinding", "ClusterRole", input.namespace)];
    if input.lease {
        objects.push(binding("RoleBinding", "Role", input.namespace));
    }
    objects.extend([network_policy(), service(input.service)]);
    objects
}

/// The `DaemonSet`s of a plan, and the `ConfigMap`s of the revisions that are kept. Those that a plan names have to be
/// among them.
#[must_use]
pub fn rollouts(input: &Input<'_>, plan: &Plan, kept: &[(&Revision, Mark)]) -> Vec<Value> {
    let find = |hash: &str| kept.iter().map(|(revision, _)| *revision).find(|revision| revision.hash == hash);
    let mut objects: Vec<_> = kept.iter().map(|(revision, mark)| revision.config_map(mark)).collect();
    let stable = plan.stable.as_ref().and_then(|stable| Some((stable, find(&stable.revision)?)));
    let trial = plan.trial.as_ref().and_then(|trial| Some((trial, find(&trial.revision)?)));
    objects.extend(
        stable.as_ref().map(|(_, active)| *active).or(trial.as_ref().map(|(_, active)| *active)).map(Revision::copy),
    );
    if let Some((stable, revision)) = stable {
        let spares = stable.spares.as_deref().map(|node| ("NotIn", node));
        // Pods of the same revision stay while one node is spared.
        let strategy = if spares.is_some() { "OnDelete" } else { "RollingUpdate" };
        objects.push(daemon_set(input, Rollout::Stable, revision, spares, strategy));
    }
    if let Some((trial, revision)) = trial {
        objects.push(daemon_set(input, Rollout::Trial, revision, Some(("In", &trial.node)), "RollingUpdate"));
    }
    objects
}

/// Those that are kept: what is wanted and what runs, and the last that have passed, so that there is something to go
/// back to.
#[must_use]
pub fn kept<'r>(candidate: Option<&'r Revision>, stored: &'r [Stored], runs: &[&str]) -> Vec<(&'r Revision, Mark)> {
    let mark = |hash: &str| {
        stored.iter().find(|one| one.revision.hash == hash).map(|one| one.mark.clone()).unwrap_or_default()
    };
    let mut passed: Vec<_> = stored.iter().filter(|one| one.mark == Mark::Passed).collect();
    passed.sort_by(|one, other| other.created.cmp(&one.created));
    passed.truncate(GOOD_ONES);
    let is_kept = |one: &&Stored| runs.contains(&one.revision.hash.as_str()) || passed.contains(one);
    let mut kept: Vec<_> = stored.iter().filter(is_kept).map(|one| (&one.revision, one.mark.clone())).collect();
    if let Some(candidate) = candidate
        && kept.iter().all(|(one, _)| one.hash != candidate.hash)
    {
        kept.push((candidate, mark(&candidate.hash)));
    }
    kept
}

/// So many that have passed are kept.
const GOOD_ONES: usize = 2;

fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": {"app": object::COLLECTOR}}})
}

fn service_account() -> Value {
    let mut account = named("v1", "ServiceAccount", object::COLLECTOR);
    account["automountServiceAccountToken"] = false.into();
    account
}

/// To the role of the chart.
fn binding(kind: &str, role: &str, namespace: &str) -> Value {
    let mut binding = named("rbac.authorization.k8s.io/v1", kind, object::COLLECTOR_RIGHTS);
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": object::COLLECTOR_RIGHTS});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": object::COLLECTOR, "namespace": namespace}]);
    binding
}

/// Every pod may send, and read its metrics; what it reads and sends itself has no bounds that could be known here.
fn network_policy() -> Value {
    let mut policy = named("networking.k8s.io/v1", "NetworkPolicy", object::COLLECTOR);
    let ports = [port::GRPC, port::HTTP, port::METRICS].map(|port| json!({"port": port.number, "protocol": "TCP"}));
    policy["spec"] = json!({
        "podSelector": {"matchLabels": {"app": object::COLLECTOR}},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": ports}],
    });
    policy
}

/// Each pod is answered by its own node's.
fn service(name: &str) -> Value {
    let mut service = named("v1", "Service", name);
    let ports = [port::GRPC, port::HTTP]
        .map(|port| json!({"name": port.name, "port": port.number, "targetPort": port.name, "protocol": "TCP"}));
    service["spec"] = json!({
        "selector": {"app": object::COLLECTOR},
        "internalTrafficPolicy": "Local",
        "ipFamilyPolicy": "PreferDualStack",
        "ports": ports,
    });
    service
}

fn daemon_set(
    input: &Input<'_>,
    rollout: Rollout,
    revision: &Revision,
    node: Option<(&str, &str)>,
    strategy: &str,
) -> Value {
    let mut set = named("apps/v1", "DaemonSet", rollout.daemon_set());
    set["metadata"]["annotations"] = json!({annotation::REVISION: revision.hash});
    let own = json!({"app": object::COLLECTOR, label::ROLLOUT: rollout.as_str()});
    let mut labels = own.clone();
    labels[label::REVISION] = revision.hash.as_str().into();
    set["spec"] = json!({
        "selector": {"matchLabels": own},
        // Two on one node would read the same logs: one ends before the next starts.
        "updateStrategy": {
            "type": strategy,
            "rollingUpdate": {"maxUnavailable": input.max_unavailable, "maxSurge": 0},
        },
        "revisionHistoryLimit": 3,
        "template": template::of_rollout(&revision.template(), &labels, &revision.config_map_name(), node),
    });
    set
}
