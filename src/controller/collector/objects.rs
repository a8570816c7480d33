//! The Collector's objects, as they are applied: pure.

use serde_json::{Value, json};

use super::pod::Rollout;
use super::revision::{Revision, Stored};
use super::template;
use super::trial::{Mark, Plan};
use crate::api::{annotation, label, object};
use crate::collector::port;
use crate::controller::metrics::Write;
use crate::controller::objects::{Kind, LEASE, Part, Scope, lease};
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
    /// The Service is theirs.
    pub serves: bool,
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
        LEASE,
        kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", Scope::Namespace),
        kind("v1", "Service", "services", Scope::Namespace),
        kind("v1", "ConfigMap", "configmaps", Scope::Namespace),
        kind("apps/v1", "DaemonSet", "daemonsets", Scope::Namespace),
    ],
    notes: &[],
    write: Write::Collector,
};

/// Everything but what runs where.
#[must_use]
pub fn surroundings(input: &Input<'_>) -> Vec<Value> {
    let mut objects = vec![service_account(), binding("ClusterRoleBinding", "ClusterRole", input.namespace)];
    if input.lease {
        objects.push(binding("RoleBinding", "Role", input.namespace));
        objects.push(lease(&format!("{}{}", input.service, object::COLLECTOR_LEASE_SUFFIX)));
    }
    objects.push(network_policy());
    objects.extend(input.serves.then(|| service(input.service)));
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
    let runs = stable.as_ref().map(|(_, runs)| *runs).or(trial.as_ref().map(|(_, runs)| *runs));
    // Between the first trial and the rollout, nothing does.
    let passed = || kept.iter().find(|(_, mark)| mark.has_passed()).map(|(passed, _)| *passed);
    objects.extend(runs.or_else(passed).map(Revision::copy));
    if let Some((stable, revision)) = stable {
        let spares = stable.spares.as_deref().map(|node| ("NotIn", node));
        // Pods of the same revision stay while one node is spared.
        let strategy = if spares.is_some() { "OnDelete" } else { "RollingUpdate" };
        objects.push(daemon_set(input, Rollout::Stable, revision, spares, strategy));
    }
    if let Some((trial, revision)) = trial {
        objects.push(self::trial(input, revision, &trial.node));
    }
    objects
}

/// The `DaemonSet` of a trial.
#[must_use]
pub fn trial(input: &Input<'_>, revision: &Revision, node: &str) -> Value {
    daemon_set(input, Rollout::Trial, revision, Some(("In", node)), "RollingUpdate")
}

/// Those that are kept: what is wanted and what runs, and the last that have passed, so that there is something to go
/// back to.
#[must_use]
pub fn kept<'r>(candidate: Option<&'r Revision>, stored: &'r [Stored], runs: &[&str]) -> Vec<(&'r Revision, Mark)> {
    let mark = |hash: &str| {
        stored.iter().find(|one| one.revision.hash == hash).map(|one| one.mark.clone()).unwrap_or_default()
    };
    let mut passed: Vec<_> = stored.iter().filter(|one| one.mark.has_passed()).collect();
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

#[cfg(test)]
mod tests {
    use super::super::trial::{Cause, Fault, Phase, Stable, Trial};
    use super::*;
    use crate::api::stack::KeyReference;
    use crate::collector::tests::Spec;
    use crate::config::Reach;
    use crate::manifest;
    use serde_json::Map;
    use snapbox::{Data, assert_data_eq};
    use std::path::Path;

    /// What a spec's parts become.
    fn revision(collector: &Value, egress: &Value, reach: Reach, secret: Option<&str>) -> Revision {
        let of = |value: &Value| value.clone();
        let collector = serde_json::from_value(of(collector)).expect("spec.collector");
        let egress = serde_json::from_value(of(egress)).expect("spec.egress");
        let spec = Spec { collector, egress, ..Spec::default() };
        let rendered = spec.rendered();
        let pod = template::pod(&template::Input {
            collector: &spec.collector,
            rendered: &rendered,
            reach,
            secret_version: secret,
        });
        Revision::new(rendered.text, &pod)
    }

    fn untold() -> Revision {
        revision(&json!({}), &json!({}), Reach::Service, Some("7"))
    }

    fn input() -> Input<'static> {
        const ONE: &IntOrString = &IntOrString::Int(1);
        Input { namespace: "datadog", service: "otel-collector", max_unavailable: ONE, lease: true, serves: true }
    }

    fn plan(stable: Option<(&str, Option<&str>)>, trial: Option<(&str, &str)>) -> Plan {
        Plan {
            stable: stable
                .map(|(revision, spares)| Stable { revision: revision.to_owned(), spares: spares.map(str::to_owned) }),
            trial: trial.map(|(revision, node)| Trial { revision: revision.to_owned(), node: node.to_owned() }),
            mark: None,
            unfit: None,
            phase: Phase::RolledOut,
            again: None,
        }
    }

    fn find<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        objects.iter().find(is_it).unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    fn pod_of(revision: &Revision) -> Value {
        let one = [(revision, Mark::Passed)];
        let objects = rollouts(&input(), &plan(Some((&revision.hash, None)), None), &one);
        find(&objects, "DaemonSet", object::COLLECTOR)["spec"]["template"].clone()
    }

    #[test]
    fn every_object_is_of_a_kind_that_is_kept() {
        let revision = untold();
        let plan = plan(Some((&revision.hash, Some("a"))), Some((&revision.hash, "a")));
        let mut objects = surroundings(&input());
        objects.extend(rollouts(&input(), &plan, &[(&revision, Mark::Untried)]));
        let mut seen = Map::new();
        for object in &objects {
            let kind =
                PART.kinds.iter().find(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version);
            let kind = kind.unwrap_or_else(|| panic!("{object:#}"));
            assert_eq!(object["metadata"]["namespace"], Value::Null, "the keeper's to add");
            seen.insert(kind.kind.to_owned(), true.into());
        }
        assert_eq!(seen.len(), PART.kinds.len());
    }

    /// With a trial going on. API servers are asked whether they take it; `SNAPSHOTS=overwrite cargo test --lib collector`
    /// writes it anew.
    #[test]
    fn the_whole_set_is_as_its_file() {
        let stable = untold();
        let new = revision(
            &json!({"podLabels": {"team": "sre"}, "nodeSelector": {"pool": "general"},
                "priorityClassName": "system-node-critical", "image": {"pullSecrets": ["corp"]}}),
            &json!({"proxy": "http://proxy.corp:3128", "caConfigMap": "authorities"}),
            Reach::Node,
            None,
        );
        let plan = plan(Some((&stable.hash, Some("node-1"))), Some((&new.hash, "node-1")));
        let mut objects = surroundings(&input());
        objects.extend(rollouts(&input(), &plan, &[(&stable, Mark::Passed), (&new, Mark::Untried)]));
        let text: Vec<_> = objects.iter().map(manifest::document).collect();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector/objects.yaml");
        assert_data_eq!(text.join("---\n"), Data::read_from(&file, None).raw());
    }

    #[test]
    fn the_pod_can_do_what_it_has_to_and_no_more() {
        let pod = pod_of(&untold());
        let spec = &pod["spec"];
        let container = &spec["containers"][0];
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(spec[field], Value::Null, "{field}");
        }
        assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        let writable: Vec<_> = container["volumeMounts"]
            .as_array()
            .expect("mounts")
            .iter()
            .filter(|mount| mount["readOnly"] != true)
            .map(|mount| mount["name"].clone())
            .collect();
        assert_eq!(writable, ["checkpoints"]);
        let of_node: Vec<_> = spec["volumes"]
            .as_array()
            .expect("volumes")
            .iter()
            .filter_map(|volume| volume["hostPath"]["path"].as_str())
            .collect();
        // The second is Docker's, whose files those of the first are links to.
        assert_eq!(of_node, ["/var/log/pods", "/var/lib/docker/containers", "/var/lib/otelgate/collector"]);
        assert!(container["ports"].as_array().expect("ports").iter().all(|port| port["hostPort"].is_null()));
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(container[probe]["httpGet"], json!({"path": "/", "port": "health"}));
        }
        let env = |name: &str| {
            let all = container["env"].as_array().expect("variables").iter();
            all.clone().find(|one| one["name"] == name).cloned().unwrap_or_default()
        };
        let KeyReference { name, key } = KeyReference::default();
        assert_eq!(env("DD_API_KEY")["valueFrom"], json!({"secretKeyRef": {"name": name, "key": key}}));
        assert!(env("GOMEMLIMIT")["value"].as_str().is_some_and(|limit| limit.ends_with("MiB")), "{container:#}");
        assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
        assert_eq!(pod["metadata"]["labels"]["app"], "otel-collector");
        assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
    }

    #[test]
    fn what_the_spec_says_of_pods_is_in_the_template() {
        let collector = json!({
            "priorityClassName": "system-node-critical", "nodeSelector": {"pool": "a"}, "podLabels": {"team": "x", "app": "mine"},
            "podAnnotations": {"a": "b"},
            "image": {"repository": "r/otelcol", "tag": "0.158.0", "pullPolicy": "Never", "pullSecrets": ["s"]},
        });
        let pod = pod_of(&revision(&collector, &json!({"caConfigMap": "authorities"}), Reach::Node, None));
        let spec = &pod["spec"];
        assert_eq!(
            (&spec["priorityClassName"], &spec["nodeSelector"]),
            (&json!("system-node-critical"), &json!({"pool": "a"}))
        );
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "s"}]));
        assert_eq!(
            (&pod["metadata"]["labels"]["team"], &pod["metadata"]["labels"]["app"]),
            (&json!("x"), &json!("otel-collector"))
        );
        assert_eq!(pod["metadata"]["annotations"], json!({"a": "b"}), "no Secret, no version of it");
        let container = &spec["containers"][0];
        assert_eq!(
            (&container["image"], &container["imagePullPolicy"]),
            (&json!("r/otelcol:0.158.0"), &json!("Never"))
        );
        let on_node: Vec<_> =
            container["ports"].as_array().expect("ports").iter().filter_map(|port| port["hostPort"].as_u64()).collect();
        assert_eq!(on_node, [4317, 4318]);
        let maps: Vec<_> = spec["volumes"]
            .as_array()
            .expect("volumes")
            .iter()
            .filter_map(|volume| volume["configMap"]["name"].as_str())
            .collect();
        assert!(maps.contains(&"authorities"), "{maps:?}");
    }

    #[test]
    fn a_changed_secret_is_another_revision() {
        let other = revision(&json!({}), &json!({}), Reach::Service, Some("8"));
        assert_ne!(untold().hash, other.hash);
        assert_eq!(untold(), untold());
    }

    /// The template is that of before once no node is spared any more, so that no pod is replaced for it.
    #[test]
    fn sparing_a_node_changes_nothing_but_affinity_and_strategy() {
        let revision = untold();
        let one = [(&revision, Mark::Passed)];
        let set = |spares| {
            let objects = rollouts(&input(), &plan(Some((&revision.hash, spares)), None), &one);
            find(&objects, "DaemonSet", object::COLLECTOR).clone()
        };
        let (before, mut during) = (set(None), set(Some("a")));
        assert_eq!(template::node_in(&during["spec"]["template"]), Some(("NotIn", "a")));
        assert_eq!(template::node_in(&before["spec"]["template"]), None);
        assert_eq!(during["spec"]["updateStrategy"]["type"], "OnDelete");
        during["spec"]["updateStrategy"]["type"] = "RollingUpdate".into();
        during["spec"]["template"]["spec"]["affinity"] = template::affinity(None);
        assert_eq!(during, before);
    }

    #[test]
    fn both_sets_have_pods_of_their_own_and_the_revision_they_are_told() {
        let (good, next) = (untold(), revision(&json!({}), &json!({}), Reach::Service, Some("8")));
        let kept = [(&good, Mark::Passed), (&next, Mark::Untried)];
        let objects = rollouts(&input(), &plan(Some((&good.hash, Some("a"))), Some((&next.hash, "a"))), &kept);
        let stable = find(&objects, "DaemonSet", object::COLLECTOR);
        let trial = find(&objects, "DaemonSet", object::COLLECTOR_TRIAL);
        assert_ne!(stable["spec"]["selector"], trial["spec"]["selector"]);
        for (set, revision) in [(stable, &good), (trial, &next)] {
            let template = &set["spec"]["template"];
            assert_eq!(template::revision(template), Some(revision.hash.as_str()));
            assert_eq!(template["spec"]["volumes"][0]["configMap"]["name"], revision.config_map_name().as_str());
            for (label, value) in set["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
                assert_eq!(template["metadata"]["labels"][label], *value);
            }
            let map = find(&objects, "ConfigMap", &revision.config_map_name());
            assert_eq!(
                (&map["immutable"], &map["data"]["config.yaml"]),
                (&json!(true), &json!(revision.configuration))
            );
        }
        assert_eq!(template::node_in(&trial["spec"]["template"]), Some(("In", "a")));
        let copy = find(&objects, "ConfigMap", super::super::revision::CONFIG_MAP);
        assert_eq!(copy["data"]["config.yaml"], good.configuration.as_str(), "what is active");
    }

    #[test]
    fn old_ones_go_but_for_the_last_that_have_passed_and_what_runs() {
        let revisions: Vec<_> = (0..6).map(|n| Revision::new(n.to_string(), &json!({}))).collect();
        let fault = Fault { node: "a".to_owned(), cause: Cause::Collector, words: String::new(), key: None };
        let marks = [Mark::Passed, Mark::Passed, Mark::Passed, Mark::Failed(fault), Mark::Untried, Mark::Passed];
        let stored: Vec<_> = revisions
            .iter()
            .zip(marks)
            .enumerate()
            .map(|(n, (revision, mark))| Stored { revision: revision.clone(), mark, created: format!("2026-01-0{n}") })
            .collect();
        let candidate = Revision::new("new".to_owned(), &json!({}));
        let hashes = |kept: Vec<(&Revision, Mark)>| {
            kept.into_iter().map(|(revision, _)| revision.configuration.clone()).collect::<Vec<_>>()
        };
        assert_eq!(hashes(kept(Some(&candidate), &stored, &[&revisions[0].hash])), ["0", "2", "5", "new"]);
        assert_eq!(hashes(kept(None, &stored, &[])), ["2", "5"]);
        let kept = kept(Some(&revisions[3]), &stored, &[]);
        assert!(
            kept.iter().any(|(one, mark)| **one == revisions[3] && matches!(mark, Mark::Failed(_))),
            "its record stays"
        );
    }

    /// Otherwise the first Collector would make one that nobody owns, and that stays.
    #[test]
    fn the_lease_that_collectors_look_for_is_there_before_them() {
        let objects = surroundings(&Input { service: "gateway", ..input() });
        find(&objects, "Lease", "gateway-k8s-cluster");
        let place = |kind: &str| PART.kinds.iter().position(|one| one.kind == kind);
        assert!(place("Lease") < place("DaemonSet"));
    }

    #[test]
    fn every_pod_is_answered_by_its_own_nodes_collector() {
        let objects = surroundings(&input());
        let service = find(&objects, "Service", "otel-collector");
        assert_eq!(service["spec"]["internalTrafficPolicy"], "Local");
        let ports: Vec<_> =
            service["spec"]["ports"].as_array().expect("ports").iter().map(|port| port["port"].as_u64()).collect();
        assert_eq!(ports, [Some(4317), Some(4318)]);
        for (kind, role) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
            let binding = find(&objects, kind, "otelgate-collector");
            assert_eq!(
                (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]),
                (&json!(role), &json!("otelgate-collector"))
            );
        }
        let without = surroundings(&Input { lease: false, ..input() });
        assert!(without.iter().all(|object| object["kind"] != "RoleBinding" && object["kind"] != "Lease"));
    }
}
