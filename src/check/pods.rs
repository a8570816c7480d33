//! The pods of webhook and controller: whether they may run, and do.

use std::collections::BTreeSet;

use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Snapshot, Stage, Verdict};
use crate::api::object;
use crate::k8s::{Deployment, ObjectMeta, Pod};
use crate::words::some_of;

/// The label with which a namespace says what pods it admits.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
const PRIVILEGED: &str = "privileged";
/// Of renewing the Lease, in seconds, beyond its own duration.
const LEASE_GRACE: i64 = 30;

pub fn own_pod_security(snapshot: &Snapshot) -> Verdict {
    let Some(namespace) = snapshot.namespace_named(&snapshot.namespace)? else {
        return absent_namespace(snapshot, &snapshot.namespace, "it is made with --create-namespace");
    };
    let level = level(namespace);
    let on_host = snapshot.deployment(object::WEBHOOK)?.is_some_and(uses_host_network);
    if on_host && level.is_some_and(|level| level != PRIVILEGED) {
        return Err(Objection::fail(
            format!(
                "namespace {} admits {} pods only, and the webhook is on the host's network",
                snapshot.namespace,
                level.unwrap_or_default()
            ),
            format!("kubectl label --overwrite namespace {} {POD_SECURITY}={PRIVILEGED}", snapshot.namespace),
        ));
    }
    Ok(level.map_or_else(|| "no level is set".to_owned(), ToOwned::to_owned))
}

pub fn collector_pod_security(snapshot: &Snapshot) -> Verdict {
    let name = snapshot.document().collector.namespace;
    let Some(namespace) = snapshot.namespace_named(&name)? else {
        return Ok(format!("there is no namespace {name} yet"));
    };
    match level(namespace) {
        Some(level) if level != PRIVILEGED => Err(Objection::fail(
            format!("namespace {name} admits {level} pods only; a Collector that reads logs mounts the nodes' files"),
            format!("kubectl label --overwrite namespace {name} {POD_SECURITY}={PRIVILEGED}"),
        )),
        level => Ok(level.map_or_else(|| "no level is set".to_owned(), ToOwned::to_owned)),
    }
}

fn absent_namespace(snapshot: &Snapshot, name: &str, how: &str) -> Verdict {
    match snapshot.stage {
        Stage::Before => Ok(format!("there is no namespace {name} yet; {how}")),
        Stage::After => Err(Objection::fail(
            format!("there is no namespace {name}"),
            "name otelgate's namespace with --otelgate-namespace, or install it with otelgate deploy",
        )),
    }
}

fn level(namespace: &ObjectMeta) -> Option<&str> {
    namespace.labels.as_ref()?.get(POD_SECURITY).map(String::as_str)
}

fn uses_host_network(deployment: &Deployment) -> bool {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    template.and_then(|spec| spec.host_network).unwrap_or_default()
}

pub fn quota(snapshot: &Snapshot) -> Verdict {
    let mut full = Vec::new();
    for quota in snapshot.quotas.as_ref()? {
        let name = quota.metadata.name.as_deref().unwrap_or_default();
        let (spec, status) = (quota.spec.as_ref(), quota.status.as_ref());
        let hard = status.and_then(|status| status.hard.as_ref()).or(spec.and_then(|spec| spec.hard.as_ref()));
        let used = status.and_then(|status| status.used.as_ref());
        for (resource, hard) in hard.into_iter().flatten().filter(|(resource, _)| is_of_pods(resource)) {
            let Some(used) = used.and_then(|used| used.get(resource)) else { continue };
            // Equal amounts are written the same by the quota's controller; of others the scale isn't of interest.
            if amount(&used.0).zip(amount(&hard.0)).is_some_and(|(used, hard)| used >= hard) {
                full.push(format!("{name} ({resource}: {} of {})", used.0, hard.0));
            }
        }
    }
    if full.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("used up in namespace {}: {}", snapshot.namespace, some_of(&full)),
        "raise the quota: webhook and controller need room for three pods and those of an update",
    ))
}

fn is_of_pods(resource: &str) -> bool {
    matches!(resource, "pods" | "count/pods" | "cpu" | "memory")
        || ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"].contains(&resource)
}

/// A Kubernetes quantity, as a number.
fn amount(quantity: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("", 1.0),
    ];
    let (unit, factor) = UNITS.iter().find(|(unit, _)| quantity.ends_with(unit))?;
    quantity.strip_suffix(unit)?.parse::<f64>().ok().map(|number| number * factor)
}

pub fn creation(snapshot: &Snapshot) -> Verdict {
    let mut faults = Vec::new();
    for deployment in snapshot.deployments.as_ref()? {
        let conditions = deployment.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
        for condition in conditions.filter(|one| one.type_ == "ReplicaFailure" && one.status == "True") {
            let name = deployment.metadata.name.as_deref().unwrap_or_default();
            faults.push(format!("{name}: {}", condition.message.as_deref().unwrap_or_default()));
        }
    }
    if faults.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(some_of(&faults), "correct what the message names; the Deployment then goes on by itself"))
}

pub fn webhook_replicas(snapshot: &Snapshot) -> Verdict {
    replicas(snapshot, object::WEBHOOK)
}

pub fn controller_replicas(snapshot: &Snapshot) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    replicas(snapshot, object::CONTROLLER)
}

fn replicas(snapshot: &Snapshot, name: &str) -> Verdict {
    let Some(deployment) = snapshot.deployment(name)? else {
        return Err(Objection::fail(
            format!("there is no Deployment {name} in namespace {}", snapshot.namespace),
            "install it with otelgate deploy, or name otelgate's namespace with --otelgate-namespace",
        ));
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default();
    if wanted > 0 && ready >= wanted {
        return Ok(format!("{ready} of {wanted}"));
    }
    if wanted == 0 {
        return Err(Objection::fail(
            format!("Deployment {name} is scaled to 0"),
            format!("kubectl scale -n {} deployment/{name} --replicas=2", snapshot.namespace),
        ));
    }
    let why: Vec<String> = own_pods(snapshot, name).filter_map(trouble).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", some_of(&why)) };
    Err(Objection::fail(
        format!("{ready} of {wanted} replicas of {name} are ready{why}"),
        format!("kubectl describe pods -n {} -l {}={}", snapshot.namespace, COMPONENT, component(name)),
    ))
}

const COMPONENT: &str = "app.kubernetes.io/component";

fn component(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// The pods of one of the two, as far as they could be listed.
pub fn own_pods<'s>(snapshot: &'s Snapshot, name: &str) -> impl Iterator<Item = &'s Pod> {
    let pods = snapshot.pods.as_ref().map(Vec::as_slice).unwrap_or_default();
    pods.iter().filter(move |pod| {
        pod.metadata.labels.as_ref().and_then(|l| l.get(COMPONENT)).is_some_and(|c| c == component(name))
    })
}

/// Why a pod isn't ready, in Kubernetes' words.
fn trouble(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|one| one.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.filter(|one| one.type_ == "PodScheduled" && one.status == "False");
    let unscheduled = unscheduled.map(|one| format!("unscheduled: {}", one.message.as_deref().unwrap_or_default()));
    waiting.chain(unscheduled).next().map(|why| format!("{name} ({why})"))
}

pub fn spread(snapshot: &Snapshot) -> Verdict {
    snapshot.pods.as_ref()?;
    let nodes: Vec<&str> =
        own_pods(snapshot, object::WEBHOOK).filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref()).collect();
    let distinct: BTreeSet<&str> = nodes.iter().copied().collect();
    if nodes.len() < 2 || distinct.len() > 1 {
        return Ok(String::new());
    }
    if *snapshot.nodes.as_ref()? < 2 {
        return Ok("the cluster has one node".to_owned());
    }
    Err(Objection::fail(
        format!("all replicas of the webhook are on node {}", nodes[0]),
        format!(
            "kubectl rollout restart -n {} deployment/{} spreads them, if other nodes have room",
            snapshot.namespace,
            object::WEBHOOK
        ),
    ))
}

pub fn controller_active(snapshot: &Snapshot) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    let next = "look at the controller's log: otelgate logs --component controller";
    let Some(lease) = snapshot.lease.as_ref()? else {
        return Err(Objection::fail(
            format!(
                "no controller has ever taken the Lease {} in namespace {}",
                object::CONTROLLER,
                snapshot.namespace
            ),
            next,
        ));
    };
    let spec = lease.spec.as_ref();
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    let duration = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    let Some(renewed) = renewed.filter(|_| !holder.is_empty()) else {
        return Err(Objection::fail("no controller holds the Lease now", next));
    };
    let age = snapshot.cluster_time().as_second() - renewed.as_second();
    if age > i64::from(duration) + LEASE_GRACE {
        return Err(Objection::fail(format!("the controller's last sign of life is {age} s old"), next));
    }
    Ok(holder.to_owned())
}
