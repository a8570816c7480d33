//! What is still waited for after Helm is done, and why it isn't there yet.

use serde::Serialize;
use serde_json::Value;

use crate::api::condition::ConditionType;
use crate::api::object;
use crate::k8s::{Deployment, MutatingWebhookConfiguration, Pod, ResourceExt as _};

/// What the cluster shows of it at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Each by its name, and what there is of it.
    pub deployments: Vec<(String, Option<Deployment>)>,
    /// Those of all the Deployments.
    pub pods: Vec<Pod>,
    pub registration: Option<MutatingWebhookConfiguration>,
    pub stack: Option<Value>,
}

/// How far one object is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub object: String,
    pub ready: bool,
    /// What it is, or what is waited for and why.
    pub says: String,
}

/// One line for each object, in the order in which they come to be.
#[must_use]
pub fn lines(observed: &Observed) -> Vec<Line> {
    let Observed { deployments, pods, registration, stack } = observed;
    let mut lines = vec![certificate(registration.as_ref(), stack.as_ref())];
    lines.extend(deployments.iter().map(|(name, found)| deployment(name, found.as_ref(), pods)));
    lines.push(configuration(stack.as_ref()));
    lines.push(condition(stack.as_ref(), ConditionType::Ready, format!("TelemetryStack {}", object::STACK), "ready"));
    lines
}

fn waiting(object: String, says: impl Into<String>) -> Line {
    Line { object, ready: false, says: says.into() }
}

fn deployment(name: &str, found: Option<&Deployment>, pods: &[Pod]) -> Line {
    let object = format!("Deployment {name}");
    let Some(deployment) = found else { return waiting(object, "isn't there yet") };
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return waiting(object, "not looked at yet by kube-controller-manager");
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let old = status.replicas.unwrap_or(0) - updated;
    if updated >= wanted && available >= wanted && old <= 0 {
        return Line { object, ready: true, says: format!("{available} of {wanted} available") };
    }
    let count = match () {
        () if updated < wanted => format!("{updated} of {wanted} updated"),
        () if available < wanted => format!("{available} of {wanted} available"),
        () => format!("{old} old to end"),
    };
    let refused = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "ReplicaFailure" && condition.status == "True" && condition.message.is_some()
    });
    let why = match refused.and_then(|condition| condition.message.clone()) {
        Some(message) => Some(message),
        None => pods_of(deployment, pods).find_map(|pod| Some(format!("{}: {}", pod.name_any(), holdup(pod)?))),
    };
    waiting(object, why.map_or(count.clone(), |why| format!("{count}; {why}")))
}

/// The newest pods of a Deployment first, as an old one can't tell what holds up the new.
fn pods_of<'a>(deployment: &Deployment, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
    let selector = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let mut pods: Vec<&Pod> = pods
        .iter()
        .filter(|pod| selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value)))
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
    pods.into_iter()
}

/// What keeps a pod from being ready, most telling first.
fn holdup(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| condition.status == "False") {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(told(reason, condition.message.as_deref()));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        let state = container.state.as_ref()?;
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.as_deref().unwrap_or("Waiting");
            let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            return Some(match last {
                Some(ended) => format!("{reason}: it ended with {}", exit(ended.exit_code, ended.reason.as_deref())),
                None => told(reason, waiting.message.as_deref()),
            });
        }
        if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
            return Some(format!("it ended with {}", exit(ended.exit_code, ended.reason.as_deref())));
        }
    }
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    match ready {
        Some(condition) if condition.status == "True" => None,
        Some(_) if scheduled.is_some() && status.container_statuses.is_some() => {
            Some("runs, and isn't ready yet".to_owned())
        }
        _ if scheduled.is_none() => Some("not scheduled yet".to_owned()),
        _ => Some("not started yet".to_owned()),
    }
}

fn told(reason: &str, message: Option<&str>) -> String {
    match message.map(|message| message.split_whitespace().collect::<Vec<_>>().join(" ")) {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}

fn exit(code: i32, reason: Option<&str>) -> String {
    match reason.filter(|reason| *reason != "Error") {
        Some(reason) => format!("{code} ({reason})"),
        None => code.to_string(),
    }
}

/// Measured at the registration, whoever writes it there; why it isn't there is the stack's to say.
fn certificate(registration: Option<&MutatingWebhookConfiguration>, stack: Option<&Value>) -> Line {
    let object = format!("MutatingWebhookConfiguration {}", object::REGISTRATION);
    let Some(registration) = registration else { return waiting(object, "isn't there yet") };
    let entries = registration.webhooks.as_deref().unwrap_or_default();
    let trusted = |bundle: &k8s_openapi::ByteString| !bundle.0.is_empty();
    if entries.iter().all(|entry| entry.client_config.ca_bundle.as_ref().is_some_and(trusted)) {
        return Line { object, ready: true, says: "has the authority of the webhook's certificate".to_owned() };
    }
    let why = condition(stack, ConditionType::CertificateReady, String::new(), "").says;
    let why = if why.is_empty() { "it isn't written there yet" } else { &why };
    waiting(object, format!("waits for the authority of the webhook's certificate; {why}"))
}

fn configuration(stack: Option<&Value>) -> Line {
    condition(
        stack,
        ConditionType::ConfigurationAccepted,
        format!("ConfigMap {}", object::INJECTION),
        "every webhook has the configuration",
    )
}

fn condition(stack: Option<&Value>, name: ConditionType, object: String, is: &str) -> Line {
    let Some(stack) = stack else { return waiting(object, "its TelemetryStack isn't there yet") };
    let conditions = stack.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == name.to_string());
    let Some(condition) = found else { return waiting(object, "the controller hasn't said anything yet") };
    let current = condition["observedGeneration"]
        .as_i64()
        .is_none_or(|seen| seen >= stack["metadata"]["generation"].as_i64().unwrap_or_default());
    if !current {
        return waiting(object, "the controller hasn't seen the change yet");
    }
    if condition["status"] == "True" {
        return Line { object, ready: true, says: is.to_owned() };
    }
    waiting(object, told(condition["reason"].as_str().unwrap_or("Unknown"), condition["message"].as_str()))
}

/// What is told in a pipe: lines that changed since the last time.
#[must_use]
pub fn changes<'a>(before: &[Line], now: &'a [Line]) -> Vec<&'a Line> {
    now.iter().filter(|line| !before.contains(line)).collect()
}

#[must_use]
pub fn is_done(lines: &[Line]) -> bool {
    lines.iter().all(|line| line.ready)
}
