//! Would the API server call the webhook at all: the registrations' verdict, told.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::object;
use crate::k8s::MutatingWebhookConfiguration;
use crate::registration::{self, Answer, Called, Creation, Entry, FailurePolicy, Injector};
use crate::unavailable::Unavailable;

/// Which webhooks the API server calls when the pod is created.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// Whether it calls otelgate's: `yes`, `no` or `unknown`.
    pub called: &'static str,
    /// Why the answer is what it is, where the entries alone don't say it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<Obstacle>,
    pub entries: Vec<EntryTold>,
    /// Of other products, those that see this pod as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Obstacle {
    pub what: String,
    pub next_step: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryTold {
    pub name: String,
    pub called: &'static str,
    pub steps: Vec<StepTold>,
    pub failure_policy: &'static str,
    pub ca_bundle: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_endpoints: Option<usize>,
}

#[derive(Debug, Serialize)]
pub struct StepTold {
    pub step: String,
    pub passes: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    pub registration: String,
    pub name: String,
    pub called: &'static str,
    /// Relative to otelgate's: `before` or `after`.
    pub order: &'static str,
    /// The product, where it sets the same variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injector: Option<&'static str>,
}

/// How many endpoints of a Service are ready, by its namespace and name; `None` where they may not be read.
pub type Endpoints = BTreeMap<(String, String), Option<usize>>;

/// `namespace` is otelgate's own, for the next steps.
pub fn calls(
    registrations: &[MutatingWebhookConfiguration],
    endpoints: &Endpoints,
    creation: Creation<'_>,
    namespace: &str,
) -> Calls {
    let entries = registration::entries(registrations, creation);
    let (own, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.configuration == object::REGISTRATION);
    let called = own.iter().map(Entry::called).reduce(most_called).unwrap_or(Called::No);
    let mut obstacles = Vec::new();
    if own.is_empty() {
        obstacles.push(not_registered());
    }
    for entry in own.iter().filter(|entry| entry.called() != Called::No) {
        for obstacle in in_the_way(entry, endpoints, namespace) {
            if !obstacles.contains(&obstacle) {
                obstacles.push(obstacle);
            }
        }
    }
    let told = |entry: &Entry<'_>| EntryTold::new(entry, endpoints);
    let concerned = others.iter().filter(|entry| entry.called() != Called::No);
    Calls {
        called: word(called),
        obstacles,
        entries: own.iter().map(told).collect(),
        others: concerned.map(|entry| Other::new(entry, registrations)).collect(),
    }
}

/// The Services that otelgate's own entries name.
pub fn services(registrations: &[MutatingWebhookConfiguration]) -> Vec<(String, String)> {
    let own = registrations.iter().filter(|one| one.metadata.name.as_deref() == Some(object::REGISTRATION));
    let services =
        own.flat_map(|one| one.webhooks.iter().flatten()).filter_map(|one| one.client_config.service.as_ref());
    let mut services: Vec<_> = services.map(|service| (service.namespace.clone(), service.name.clone())).collect();
    services.sort();
    services.dedup();
    services
}

fn most_called(one: Called, other: Called) -> Called {
    match (one, other) {
        (Called::Yes, _) | (_, Called::Yes) => Called::Yes,
        (Called::Unknown, _) | (_, Called::Unknown) => Called::Unknown,
        (Called::No, Called::No) => Called::No,
    }
}

const fn word(called: Called) -> &'static str {
    match called {
        Called::Yes => "yes",
        Called::No => "no",
        Called::Unknown => "unknown",
    }
}

fn not_registered() -> Obstacle {
    Obstacle {
        what: format!("there is no MutatingWebhookConfiguration {}", object::REGISTRATION),
        next_step: "install otelgate in this cluster: otelgate deploy".to_owned(),
    }
}

/// What keeps a call from being answered.
fn in_the_way(entry: &Entry<'_>, endpoints: &Endpoints, namespace: &str) -> Vec<Obstacle> {
    let outcome = match entry.failure_policy() {
        FailurePolicy::Ignore => "pods are created unchanged",
        FailurePolicy::Fail => "pods are refused",
    };
    let mut found = Vec::new();
    if !entry.has_ca_bundle() {
        found.push(Obstacle {
            what: format!("the registration has no caBundle, so the API server can't trust the webhook and {outcome}"),
            next_step: format!(
                "see why the controller hasn't written it: kubectl logs -n {namespace} deploy/{}",
                object::CONTROLLER
            ),
        });
    }
    match entry.service() {
        None => found.push(Obstacle {
            what: "the registration calls a URL instead of otelgate's Service".to_owned(),
            next_step: "compare it with the one of this version".to_owned(),
        }),
        Some((in_namespace, name)) => {
            if ready(endpoints, in_namespace, name) == Some(0) {
                found.push(Obstacle {
                    what: format!("no endpoint of Service {in_namespace}/{name} is ready, so {outcome}"),
                    next_step: format!("kubectl get pods -n {in_namespace}"),
                });
            }
        }
    }
    found
}

fn ready(endpoints: &Endpoints, namespace: &str, name: &str) -> Option<usize> {
    endpoints.get(&(namespace.to_owned(), name.to_owned())).copied().flatten()
}

// === impl Calls ===

impl Calls {
    /// For a user who may not see the registrations.
    pub fn hidden(fault: &Unavailable) -> Self {
        let obstacle = Obstacle { what: fault.to_string(), next_step: fault.next_step() };
        Self { called: "unknown", obstacles: vec![obstacle], entries: Vec::new(), others: Vec::new() }
    }
}

// === impl EntryTold ===

impl EntryTold {
    fn new(entry: &Entry<'_>, endpoints: &Endpoints) -> Self {
        let steps = entry.steps.iter().map(|(step, answer)| {
            let (passes, detail) = match answer {
                Answer::Passes => ("yes", None),
                Answer::Stops(why) => ("no", Some(why.clone())),
                Answer::Unknown(why) => ("unknown", Some(why.clone())),
            };
            StepTold { step: step.field(), passes, detail }
        });
        Self {
            name: entry.webhook.name.clone(),
            called: word(entry.called()),
            steps: steps.collect(),
            failure_policy: entry.failure_policy().as_str(),
            ca_bundle: entry.has_ca_bundle(),
            service: entry.service().map(|(namespace, name)| format!("{namespace}/{name}")),
            ready_endpoints: entry.service().and_then(|(namespace, name)| ready(endpoints, namespace, name)),
        }
    }

    /// What stops it, or isn't known.
    pub fn decisive(&self) -> Option<&StepTold> {
        let first = |passes| self.steps.iter().find(|step| step.passes == passes);
        first("no").or_else(|| first("unknown"))
    }
}

// === impl Other ===

impl Other {
    fn new(entry: &Entry<'_>, registrations: &[MutatingWebhookConfiguration]) -> Self {
        let registration = registrations.iter().find(|one| one.metadata.name.as_deref() == Some(entry.configuration));
        Self {
            registration: entry.configuration.to_owned(),
            name: entry.webhook.name.clone(),
            called: word(entry.called()),
            order: if entry.configuration < object::REGISTRATION { "before" } else { "after" },
            injector: registration.and_then(Injector::of).map(Injector::name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn registrations(ca_bundle: &str) -> Vec<MutatingWebhookConfiguration> {
        let mut own: serde_json::Value =
            serde_saphyr::from_str(include_str!("../../../webhook-config/registration.yaml")).expect("a registration");
        for entry in own["webhooks"].as_array_mut().expect("entries") {
            entry["clientConfig"]["caBundle"] = json!(ca_bundle);
        }
        let other = |name: &str, entry: &str| {
            json!({"metadata": {"name": name}, "webhooks": [{
                "name": entry, "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }]})
        };
        let all = [own, other("zzz", "z.example.com"), other("datadog-webhook", "datadog.webhook.config")];
        all.into_iter().map(|one| serde_json::from_value(one).expect("a registration")).collect()
    }

    fn called(registrations: &[MutatingWebhookConfiguration], ready: Option<usize>, opt_in: &str) -> Calls {
        let labels = BTreeMap::from([("otelgate.dev/inject".to_owned(), opt_in.to_owned())]);
        let nothing = BTreeMap::new();
        let creation =
            Creation { namespace: "shop", namespace_labels: Some(&labels), labels: &nothing, annotations: &nothing };
        let endpoints = Endpoints::from([(("otelgate".to_owned(), "otelgate-webhook".to_owned()), ready)]);
        calls(registrations, &endpoints, creation, "otelgate")
    }

    fn obstacles(calls: &Calls) -> Vec<&str> {
        calls.obstacles.iter().map(|obstacle| obstacle.what.as_str()).collect()
    }

    #[test]
    fn a_pod_that_is_selected_has_nothing_in_its_way() {
        let calls = called(&registrations("Y2E="), Some(2), "enabled");
        assert_eq!((calls.called, obstacles(&calls)), ("yes", vec![]));
        assert_eq!(calls.entries[0].ready_endpoints, Some(2));
        assert_eq!(calls.entries[1].decisive().expect("it is stopped").step, "namespaceSelector");
        let others: Vec<_> = calls.others.iter().map(|one| (one.name.as_str(), one.order, one.injector)).collect();
        assert_eq!(
            others,
            [("datadog.webhook.config", "before", Some("Datadog Cluster Agent")), ("z.example.com", "after", None)]
        );
    }

    #[test]
    fn what_is_in_the_way_of_a_call_is_named_once() {
        let calls = called(&registrations(""), Some(0), "enabled");
        assert_eq!(calls.called, "yes");
        let told = obstacles(&calls);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("no caBundle") && told[1].contains("no endpoint of Service otelgate/otelgate-webhook")
        );
        assert!(obstacles(&called(&registrations("Y2E="), None, "enabled")).is_empty(), "what is hidden isn't guessed");
        let calls = called(&registrations(""), Some(0), "disabled");
        assert_eq!((calls.called, obstacles(&calls)), ("no", vec![]), "nobody asks");
    }

    #[test]
    fn a_cluster_without_otelgate_is_named() {
        let calls = called(&registrations("")[1..], None, "enabled");
        assert_eq!(calls.called, "no");
        assert_eq!(obstacles(&calls), ["there is no MutatingWebhookConfiguration otelgate"]);
    }
}
