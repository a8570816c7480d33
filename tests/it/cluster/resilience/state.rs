//! What is in the cluster, without what differs from one time to the next by its nature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{REGISTRATIONS, STACK, World};

/// By kind and name.
pub type Objects = BTreeMap<String, Value>;

pub const LISTS: [&str; 19] = [
    "/api/v1/namespaces/otelgate/secrets",
    "/api/v1/namespaces/otelgate/configmaps",
    "/api/v1/namespaces/datadog/secrets",
    "/api/v1/namespaces/datadog/configmaps",
    "/api/v1/namespaces/datadog/services",
    "/api/v1/namespaces/datadog/serviceaccounts",
    "/apis/coordination.k8s.io/v1/namespaces/datadog/leases",
    PODS,
    "/apis/apps/v1/namespaces/datadog/daemonsets",
    "/apis/apps/v1/namespaces/datadog/deployments",
    "/apis/networking.k8s.io/v1/namespaces/datadog/networkpolicies",
    "/apis/policy/v1/namespaces/datadog/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/datadog/roles",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/datadog/rolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    DATADOG_AGENTS,
    REGISTRATIONS,
    STACK,
];
pub const PODS: &str = "/api/v1/namespaces/datadog/pods";
/// Of pods.
const OWNERS: [&str; 2] =
    ["/apis/apps/v1/namespaces/datadog/daemonsets", "/apis/apps/v1/namespaces/datadog/replicasets"];
/// Of which there are none where their definition isn't.
pub const DATADOG_AGENTS: &str = "/apis/datadoghq.com/v2alpha1/namespaces/datadog/datadogagents";

impl World<'_> {
    /// What there is beside what was there before otelgate.
    pub fn objects(&self) -> Objects {
        let mut all = Objects::new();
        let pods = self.list(PODS);
        // After them: else the owner of a pod that is new would be missing.
        let owners: BTreeSet<_> = OWNERS.iter().flat_map(|list| self.list(list)).map(|owner| uid(&owner)).collect();
        all.extend(pods.iter().map(|one| pod(one, &owners)).filter(|(name, _)| !self.foreign.contains(name)));
        for list in LISTS.into_iter().filter(|list| *list != PODS) {
            for object in self.list(list) {
                let (name, object) = (name(list, &object), kept(list, &object));
                if !self.foreign.contains(&name) {
                    all.insert(name, object);
                }
            }
        }
        let mut addresses: Vec<_> = self
            .list("/api/v1/namespaces/datadog/services")
            .iter()
            .filter_map(|service| service["spec"]["clusterIP"].as_str().map(str::to_owned))
            .filter(|address| address != "None")
            .collect();
        // One may be the beginning of another.
        addresses.sort_unstable_by_key(|address| std::cmp::Reverse(address.len()));
        let credentials = self.list("/api/v1/namespaces/datadog/secrets");
        for object in all.values_mut() {
            without_addresses(object, &addresses);
            tell_versions(object, &credentials);
        }
        if let (Some(registration), Some(authorities)) = (all.get_mut(REGISTERED), self.authorities()) {
            tell_trust(registration, &authorities);
        }
        all
    }

    pub fn list(&self, list: &str) -> Vec<Value> {
        match self.door.call("GET", list, &Value::Null) {
            (404, _) if list == DATADOG_AGENTS => Vec::new(),
            (200, mut all) => serde_json::from_value(all["items"].take()).unwrap_or_default(),
            (status, answer) => panic!("{list}: {status} {answer:#}"),
        }
    }

    /// That the webhook's certificate comes from.
    fn authorities(&self) -> Option<Value> {
        let (status, secret) =
            self.door.call("GET", "/api/v1/namespaces/otelgate/secrets/otelgate-webhook-tls", &Value::Null);
        (status == 200).then(|| secret["data"]["ca.crt"].clone())
    }
}

const REGISTERED: &str = "mutatingwebhookconfigurations/otelgate";

fn tell_trust(registration: &mut Value, authorities: &Value) {
    for webhook in registration["webhooks"].as_array_mut().into_iter().flatten() {
        let bundle = &mut webhook["clientConfig"]["caBundle"];
        *bundle = if bundle == authorities { json!("the webhook's") } else { json!("another's") };
    }
}

fn name(list: &str, object: &Value) -> String {
    let kind = list.rsplit('/').next().unwrap_or_default();
    format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// A pod is told by what it is of and where: its name is another each time. One that was left behind by an owner that was
/// deleted goes by itself, and isn't the new owner's, which looks the same.
fn pod(pod: &Value, owners: &BTreeSet<String>) -> (String, Value) {
    let labels = &pod["metadata"]["labels"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = [&labels["agent.datadoghq.com/component"], &labels["otelgate.dev/rollout"]].map(text).concat();
    let told = json!({"revision": labels["otelgate.dev/revision"], "leaves": pod["metadata"]["deletionTimestamp"].is_string()});
    let mut by = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let left = if by.all(|owner| owners.contains(&text(&owner["uid"]))) { "" } else { ", left behind" };
    (format!("pods/{of}@{}{left}", text(&pod["spec"]["nodeName"])), told)
}

fn kept(list: &str, object: &Value) -> Value {
    let mut kept = object.clone();
    let metadata = kept["metadata"].take();
    let owners: Vec<_> =
        metadata["ownerReferences"].as_array().into_iter().flatten().map(|owner| owner["name"].clone()).collect();
    let mut annotations = metadata["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.retain(|key, _| key.starts_with("otelgate.dev/"));
    }
    if annotations == json!({}) {
        annotations = Value::Null;
    }
    kept["metadata"] = json!({
        "labels": metadata["labels"], "annotations": annotations, "owners": owners,
        "leaves": metadata["deletionTimestamp"].is_string(),
    });
    kept["status"] = match list {
        STACK => status(&object["status"]),
        _ if list.starts_with("/apis/apps/") => json!({"rolled out": is_rolled_out(object)}),
        _ => Value::Null,
    };
    if list.ends_with("/secrets") {
        kept["data"].as_object_mut().into_iter().flatten().for_each(|(_, value)| *value = in_kind(value));
    }
    for field in ["clusterIP", "clusterIPs"] {
        if let Some(spec) = kept["spec"].as_object_mut() {
            spec.remove(field);
        }
    }
    kept
}

/// Whether all of its pods are of its template: until then some are about to be replaced, which look like the others where
/// only the credentials that they are for have changed.
fn is_rolled_out(object: &Value) -> bool {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let all = |updated: &str, wanted: &str| status[updated] == status[wanted];
    status["observedGeneration"] == metadata["generation"]
        && all("updatedNumberScheduled", "desiredNumberScheduled")
        && all("updatedReplicas", "replicas")
}

/// Random bytes are others each time, and a certificate isn't always as long.
fn in_kind(value: &Value) -> Value {
    const PEM: &str = "LS0tLS1CRUdJTi";
    let text = value.as_str().unwrap_or_default();
    if text.starts_with(PEM) { json!("PEM") } else { json!(format!("{} characters", text.len())) }
}

/// What is told of it, but for times, measures that come with time, and hashes of addresses.
fn status(status: &Value) -> Value {
    const LASTING: [&str; 5] =
        ["AgentAvailable", "CertificateReady", "CollectorAvailable", "ConfigurationAccepted", "CredentialsReady"];
    // Without an operator that acts, its patience ends at some time.
    let is_told = |name: &str| name != "AgentAvailable" || status["agent"]["mode"] != "operator";
    let conditions: Vec<_> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| LASTING.iter().any(|name| one["type"] == *name && is_told(name)))
        .map(|one| json!([one["type"], one["status"], one["reason"]]))
        .collect();
    json!({"conditions": conditions, "collector": status["collector"], "agent": status["agent"], "owners": status["owners"]})
}

/// Whose credentials the pods are made for, wherever that stands: the Secrets are made anew each time, and what is made for
/// one that is no longer there is about to change.
fn tell_versions(value: &mut Value, secrets: &[Value]) {
    let whose = |version: &str| {
        let is_its = |secret: &&Value| ["uid", "resourceVersion"].iter().any(|of| secret["metadata"][*of] == version);
        secrets
            .iter()
            .find(is_its)
            .map_or("another's", |secret| secret["metadata"]["name"].as_str().unwrap_or_default())
    };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(versions) if name == "otelgate.dev/credentials" => {
                        *versions = versions.split('.').map(whose).collect::<Vec<_>>().join(" and ");
                    }
                    _ => tell_versions(field, secrets),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tell_versions(item, secrets)),
        _ => {}
    }
}

fn without_addresses(value: &mut Value, addresses: &[String]) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| without_addresses(field, addresses)),
        Value::Array(items) => items.iter_mut().for_each(|item| without_addresses(item, addresses)),
        Value::String(text) => {
            for address in addresses {
                *text = text.replace(address, "<address>");
            }
        }
        _ => {}
    }
}

/// Whether each part has made what it makes: otherwise a comparison says little.
pub fn is_complete(objects: &Objects) -> bool {
    const SOME: [&str; 16] = [
        "secrets/otelgate-ca",
        "secrets/otelgate-webhook-tls",
        "secrets/datadog-cluster-agent",
        "configmaps/otelgate-injection",
        "configmaps/otel-collector-config",
        "configmaps/datadog-cluster-id",
        "daemonsets/otel-collector",
        "daemonsets/datadog-agent",
        "deployments/datadog-cluster-agent",
        "services/otel-collector",
        "leases/otel-collector-k8s-cluster",
        "leases/datadog-leader-election",
        "clusterrolebindings/otelgate-collector",
        "pods/stable@node-1",
        "pods/stable@node-2",
        "pods/agent@node-2",
    ];
    let status = objects.get("telemetrystacks/default").map(|stack| &stack["status"]);
    let ready = |status: &Value| status["collector"]["ready"] == "2/2" && status["agent"]["nodes"] == "2/2";
    SOME.iter().all(|name| objects.contains_key(*name)) && status.is_some_and(ready)
}

/// In words; empty where there is none.
pub fn difference(expected: &Objects, found: &Objects) -> String {
    let mut told = String::new();
    for (name, object) in expected {
        match found.get(name) {
            None => {
                let _ = writeln!(told, "{name} isn't there");
            }
            Some(now) if now != object => {
                let (before, after) = (format!("{object:#}"), format!("{now:#}"));
                let diff = similar::TextDiff::from_lines(&before, &after);
                let _ = writeln!(told, "{name} differs:\n{}", diff.unified_diff().context_radius(2));
            }
            Some(_) => {}
        }
    }
    for name in found.keys().filter(|name| !expected.contains_key(*name)) {
        let _ = writeln!(told, "{name} is there too");
    }
    told
}
