//! The way from the API server to the webhook: its Service, who is behind it, and a pod that goes there and back.

use std::collections::BTreeMap;

use super::opting_in::never_looked_at;
use super::pods::own_pods;
use super::{Objection, Snapshot, Verdict};
use crate::api::condition::Reason;
use crate::api::object;
use crate::inject::rules::never_asked_about;
use crate::k8s::{IntOrString, Pod, ServicePort};
use crate::words::some_of;

const REPAIR: &str = "otelgate update writes the Service anew";

pub fn service(snapshot: &Snapshot) -> Verdict {
    let name = object::WEBHOOK;
    let Some(service) = snapshot.service.as_ref()? else {
        let found = format!("there is no Service {name} in namespace {}", snapshot.namespace);
        return Err(Objection::fail(found, REPAIR));
    };
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    if let Some((entry, port)) = missing_port(snapshot, ports) {
        return Err(Objection::fail(format!("{entry} is called at port {port}, which Service {name} lacks"), REPAIR));
    }
    let Some(selector) = spec.and_then(|spec| spec.selector.as_ref()).filter(|selector| !selector.is_empty()) else {
        return Ok("its endpoints are written by somebody else".to_owned());
    };
    let selected: Vec<&Pod> = snapshot.pods.as_ref()?.iter().filter(|pod| selects(selector, pod)).collect();
    if selected.is_empty() {
        if own_pods(snapshot, name).next().is_none() {
            return Ok("there is no pod of the webhook that it could select".to_owned());
        }
        let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let found = format!("Service {name} selects no pod of the webhook: its selector is {}", selector.join(","));
        return Err(Objection::fail(found, REPAIR));
    }
    match ports.iter().find_map(|port| missing_target(port, &selected)) {
        Some(missing) => {
            Err(Objection::fail(format!("Service {name} leads to port {missing}, which none of its pods has"), REPAIR))
        }
        None => Ok(String::new()),
    }
}

/// An entry of the registration, and the port at which it is called in vain.
fn missing_port<'s>(snapshot: &'s Snapshot, ports: &[ServicePort]) -> Option<(&'s str, i32)> {
    let webhooks = snapshot.registration().ok()?.webhooks.iter().flatten();
    let called = webhooks.filter_map(|webhook| {
        let service = webhook.client_config.service.as_ref()?;
        Some((webhook.name.as_str(), service.port.unwrap_or(443)))
    });
    called.into_iter().find(|(_, port)| !ports.iter().any(|one| one.port == *port))
}

fn selects(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.iter().all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
}

/// The name of a port that no pod has.
fn missing_target<'p>(port: &'p ServicePort, pods: &[&Pod]) -> Option<&'p str> {
    let Some(IntOrString::String(name)) = &port.target_port else { return None };
    let containers = pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    (!ports.any(|port| port.name.as_ref() == Some(name))).then_some(name)
}

pub fn endpoints(snapshot: &Snapshot) -> Verdict {
    let slices = snapshot.endpoints.as_ref()?;
    // No condition counts as ready.
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let endpoints = slices.iter().filter_map(|slice| slice.endpoints.as_ref()).flatten();
    let ready = endpoints.filter(|one| one.conditions.as_ref().is_none_or(|conditions| is_ready(conditions.ready)));
    let ready: usize = ready.map(|one| one.addresses.len()).sum();
    if ready > 0 {
        return Ok(format!("{ready} ready"));
    }
    let (name, namespace) = (object::WEBHOOK, &snapshot.namespace);
    Err(Objection::fail(
        format!("Service {name} has no ready endpoint: no pod is injected"),
        format!("kubectl get pods,endpointslices -n {namespace} -l app.kubernetes.io/name={}", object::APP),
    ))
}

pub fn probe(snapshot: &Snapshot) -> Verdict {
    let probe = match &snapshot.probe {
        Some(probe) => probe.as_ref()?,
        None => return Err(Objection::unknown("no pod was tried", "run otelgate check")),
    };
    if probe.marked {
        return Ok(String::new());
    }
    let namespace = &snapshot.namespace;
    if let Some(why) = never_called(snapshot) {
        return Err(Objection::fail(
            format!(
                "the API server never calls the webhook for pods of namespace {namespace} ({why}), where one is tried"
            ),
            format!(
                "install otelgate in a namespace of its own: otelgate cleanup --otelgate-namespace {namespace}, then \
                 otelgate deploy --otelgate-namespace {}",
                object::NAMESPACE
            ),
        ));
    }
    if !probe.warnings.is_empty() {
        return Err(Objection::fail(
            format!("the webhook was asked, and let the pod through unchanged: {}", some_of(&probe.warnings)),
            Reason::LetThrough.next_step(),
        ));
    }
    Err(Objection::fail(
        "a pod came back without the webhook's mark: the API server doesn't reach the webhook",
        Reason::NotReached.next_step(),
    ))
}

/// Why the webhook isn't asked about pods of otelgate's own namespace.
fn never_called(snapshot: &Snapshot) -> Option<String> {
    let name = &snapshot.namespace;
    match snapshot.namespace_named(name) {
        Ok(Some(namespace)) => never_looked_at(namespace),
        Ok(None) | Err(_) => never_asked_about(name, |_| None),
    }
}
