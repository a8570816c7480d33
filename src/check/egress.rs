//! The way from a pod to the Collector: its Service, and the `NetworkPolicies` in between.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Objection, Snapshot, Verdict, opting_in};
use crate::api::stack::CollectorMode;
use crate::config::{Document, Reach};
use crate::k8s::{
    IPBlock, IntOrString, LabelSelector, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
    ObjectMeta, Service,
};
use crate::registration::unmet;
use crate::words::some_of;

const DNS: u16 = 53;

/// Where pods send to, as policies see it.
struct Destination<'a> {
    namespace: &'a str,
    namespace_labels: BTreeMap<String, String>,
    /// Of its pods.
    labels: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
    port: u16,
}

pub fn collector(snapshot: &Snapshot) -> Verdict {
    let configuration = snapshot.configuration()?;
    let document = configuration.document();
    if let Some(elsewhere) = elsewhere(document) {
        return Ok(elsewhere);
    }
    let (namespace, name) = (&document.collector.namespace, &document.collector.service);
    let Some(service) = snapshot.collector.as_ref()? else {
        return Err(Objection::fail(
            format!("there is no Service {name} in namespace {namespace}: what pods send goes nowhere"),
            if is_managed(snapshot) {
                "the controller makes it: look at what collectors says, and at otelgate logs --component controller"
            } else {
                "install a Collector with that Service, or name yours in injection.collector or injection.otlp.endpoint"
            },
        ));
    };
    let port = document.otlp.protocol.port();
    let ports = service.spec.iter().filter_map(|spec| spec.ports.as_ref()).flatten();
    if !ports.clone().any(|one| one.port == i32::from(port)) {
        return Err(Objection::fail(
            format!("Service {name} in namespace {namespace} has no port {port}, to which pods send"),
            format!("add the port, or choose injection.otlp.protocol by the ports that it has: {}", {
                some_of(&ports.map(|one| one.port.to_string()).collect::<Vec<_>>())
            }),
        ));
    }
    Ok(format!("{name}.{namespace}, port {port}"))
}

/// Whether the controller keeps Collectors, and their Service.
fn is_managed(snapshot: &Snapshot) -> bool {
    let spec = snapshot.spec().ok().filter(|_| snapshot.is_without_controller() == Ok(false));
    spec.and_then(|spec| spec.collector.ok()).is_some_and(|collector| collector.mode == CollectorMode::Managed)
}

pub fn policies(snapshot: &Snapshot) -> Verdict {
    let configuration = snapshot.configuration()?;
    let document = configuration.document();
    if let Some(elsewhere) = elsewhere(document) {
        return Ok(elsewhere);
    }
    let destination = Destination::of(document, snapshot.collector.as_ref().ok().and_then(Option::as_ref), {
        snapshot.namespace_named(&document.collector.namespace)?
    });
    let policies = snapshot.policies.as_ref()?;
    let mut faults = Vec::new();
    for (namespace, _) in opting_in::opted_in(snapshot)? {
        let name = opting_in::name(namespace);
        let of_namespace: Vec<&NetworkPolicy> = policies
            .iter()
            .filter(|policy| policy.metadata.namespace.as_deref() == Some(name) && is_egress(policy))
            .collect();
        for policy in &of_namespace {
            let together = || of_namespace.iter().copied().filter(|other| selects_the_same(other, policy));
            let policy = policy.metadata.name.as_deref().unwrap_or_default();
            if !together().any(|one| allows(one, |rule| destination.is_reached_by(rule, name))) {
                faults.push(format!("{name}/{policy}"));
            } else if !together().any(|one| allows(one, allows_dns)) {
                faults.push(format!("{name}/{policy} (it blocks DNS)"));
            }
        }
    }
    if faults.is_empty() {
        return Ok(String::new());
    }
    let collector = &document.collector;
    Err(Objection::fail(
        format!("pods that are opted in can't reach the Collector because of NetworkPolicy {}", some_of(&faults)),
        format!(
            "allow egress to namespace {}, TCP port {}, and to DNS, UDP port {DNS}",
            collector.namespace, destination.port
        ),
    ))
}

/// Where pods send that send to no Service of the cluster's.
fn elsewhere(document: &Document) -> Option<String> {
    if let Some(endpoint) = &document.otlp.endpoint {
        return Some(format!("pods send to {endpoint}"));
    }
    (document.otlp.reach == Reach::Node).then(|| "pods send to their node".to_owned())
}

// === impl Destination ===

impl<'a> Destination<'a> {
    fn of(document: &'a Document, service: Option<&Service>, namespace: Option<&ObjectMeta>) -> Self {
        let spec = service.and_then(|service| service.spec.as_ref());
        let addresses = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
        let configured = document.collector.address.clone();
        let name = &document.collector.namespace;
        let named = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
        Self {
            namespace: name,
            namespace_labels: namespace.and_then(|one| one.labels.clone()).unwrap_or(named),
            labels: spec.and_then(|spec| spec.selector.clone()).unwrap_or_default(),
            addresses: addresses.iter().chain(&configured).filter_map(|address| address.parse().ok()).collect(),
            port: document.otlp.protocol.port(),
        }
    }

    fn is_reached_by(&self, rule: &NetworkPolicyEgressRule, from: &str) -> bool {
        let ports = rule.ports.as_deref().unwrap_or_default();
        let peers = rule.to.as_deref().unwrap_or_default();
        (ports.is_empty() || ports.iter().any(|port| includes(port, "TCP", self.port)))
            && (peers.is_empty() || peers.iter().any(|peer| self.is_peer(peer, from)))
    }

    fn is_peer(&self, peer: &NetworkPolicyPeer, from: &str) -> bool {
        if let Some(block) = &peer.ip_block {
            // Whether a Service's address or its pods' counts is the network plugin's: those aren't known here.
            return block.cidr.ends_with("/0") || self.addresses.iter().any(|address| contains(block, *address));
        }
        let in_namespace = match &peer.namespace_selector {
            Some(selector) => unmet(selector, &self.namespace_labels).is_none(),
            None => self.namespace == from,
        };
        in_namespace && peer.pod_selector.as_ref().is_none_or(|selector| unmet(selector, &self.labels).is_none())
    }
}

fn is_egress(policy: &NetworkPolicy) -> bool {
    let Some(spec) = &policy.spec else { return false };
    match &spec.policy_types {
        Some(types) if !types.is_empty() => types.iter().any(|one| one == "Egress"),
        _ => spec.egress.is_some(),
    }
}

/// Whether all pods that `policy` selects are selected by `other`: policies add up. As pods aren't looked at, only where
/// that is plain.
fn selects_the_same(other: &NetworkPolicy, policy: &NetworkPolicy) -> bool {
    let selector =
        |policy: &NetworkPolicy| policy.spec.as_ref().and_then(|spec| spec.pod_selector.clone()).unwrap_or_default();
    let is_empty = |selector: &LabelSelector| {
        selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
    };
    let of_other = selector(other);
    is_empty(&of_other) || of_other == selector(policy)
}

fn allows(policy: &NetworkPolicy, is_allowed: impl Fn(&NetworkPolicyEgressRule) -> bool) -> bool {
    policy.spec.iter().filter_map(|spec| spec.egress.as_ref()).flatten().any(is_allowed)
}

/// To whomever: where the cluster's DNS is can't be told for sure.
fn allows_dns(rule: &NetworkPolicyEgressRule) -> bool {
    let ports = rule.ports.as_deref().unwrap_or_default();
    ports.is_empty() || ports.iter().any(|port| includes(port, "UDP", DNS) || includes(port, "TCP", DNS))
}

/// A port by name is one of the pod's, which isn't known: it counts as the right one.
fn includes(port: &NetworkPolicyPort, protocol: &str, wanted: u16) -> bool {
    let of_protocol = port.protocol.as_deref().unwrap_or("TCP") == protocol;
    let wanted = i32::from(wanted);
    of_protocol
        && match (&port.port, port.end_port) {
            (None | Some(IntOrString::String(_)), _) => true,
            (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&wanted),
            (Some(IntOrString::Int(only)), None) => *only == wanted,
        }
}

fn contains(block: &IPBlock, address: IpAddr) -> bool {
    let within = |cidr: &str| is_within(cidr, address).unwrap_or(false);
    within(&block.cidr) && !block.except.iter().flatten().any(|cidr| within(cidr))
}

fn is_within(cidr: &str, address: IpAddr) -> Option<bool> {
    let (network, bits) = cidr.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    let same = |network: u128, address: u128, size: u32| {
        size.checked_sub(bits).map(|rest| network.checked_shr(rest) == address.checked_shr(rest))
    };
    match (network.parse::<IpAddr>().ok()?, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(u128::from(u32::from(network)), u128::from(u32::from(address)), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => same(u128::from(network), u128::from(address), 128),
        _ => Some(false),
    }
}
