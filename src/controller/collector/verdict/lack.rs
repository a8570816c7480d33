//! What a node lacks that should have a Collector, and how it's told: pure.

use super::super::node::Node;
use super::super::pod::{Ended, Pod, State};
use super::{Managed, Seen};
use crate::api::condition::Reason;
use crate::words::{count, some_of};

/// Why a node has no Collector that is ready and as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub node: String,
    pub reason: Reason,
    pub why: String,
}

/// Names in a message.
pub const MAX_NAMES: usize = 3;
/// Those that make a whole fleet wait come last: what is wrong on its own is told first.
const ORDER: [Reason; 10] = [
    Reason::CollectorPodRefused,
    Reason::CollectorImageNotPulled,
    Reason::CollectorNotConfigured,
    Reason::CollectorOutOfMemory,
    Reason::CollectorPortTaken,
    Reason::CollectorCrashing,
    Reason::CollectorUnschedulable,
    Reason::CollectorNotReady,
    Reason::NodeNotReady,
    Reason::CollectorRollingOut,
];

// === impl Lack ===

impl Lack {
    pub fn told(&self) -> String {
        format!("{} ({})", self.node, self.why)
    }
}

impl Seen<'_> {
    /// Why a node that should have one has none that is ready and as it should be.
    pub(super) fn lack(&self, name: &str, node: &Node, managed: Option<&Managed<'_>>) -> Option<Lack> {
        let wanted = managed.and_then(|managed| managed.candidate);
        let is_current = |pod: &&Pod| wanted.is_none_or(|wanted| *pod.revision == *wanted);
        let lack = |reason, why: String| Some(Lack { node: name.to_owned(), reason, why });
        let crash = |pod: &Pod| {
            let ended = pod.crashes(self.now)?;
            lack(crash_of(ended), format!("{ended}, again and again"))
        };
        let ready = || self.on(name).filter(|pod| pod.is_ready());
        if let Some(current) = ready().find(is_current) {
            return crash(current);
        }
        if let Some(older) = ready().next() {
            let late = || lack(Reason::CollectorRollingOut, format!("it runs revision {}", older.revision));
            return crash(older).or_else(late);
        }
        if !node.ready && self.nodes.contains_key(name) {
            return lack(Reason::NodeNotReady, "the node itself isn't ready".to_owned());
        }
        let Some(pod) = self.on(name).find(is_current).or_else(|| self.on(name).next()) else {
            let refused = managed.and_then(|managed| managed.no_pod);
            return match refused {
                Some(why) => lack(Reason::CollectorPodRefused, why.to_owned()),
                None => lack(Reason::CollectorRollingOut, "it has none yet".to_owned()),
            };
        };
        crash(pod).or_else(|| lack(reason(pod), pod.state.to_string()))
    }

    /// What nodes lack that have just joined, apart from the rest. Where no node has any that is ready, it isn't they
    /// that are late.
    pub(super) fn apart(&self, lacks: Vec<Lack>) -> (Vec<Lack>, Vec<Lack>) {
        let some_work = self.pods.keys().any(|node| self.has_ready(node));
        let is_new = |lack: &Lack| some_work && self.joining.contains(&lack.node) && !self.has_ready(&lack.node);
        lacks.into_iter().partition(is_new)
    }
}

fn reason(pod: &Pod) -> Reason {
    match &pod.state {
        State::Ready { .. } | State::Starting | State::Creating => Reason::CollectorNotReady,
        State::Unschedulable(why) if why.contains("free ports") => Reason::CollectorPortTaken,
        State::Unschedulable(_) => Reason::CollectorUnschedulable,
        State::ImageNotPulled(_) => Reason::CollectorImageNotPulled,
        State::Unconfigured(_) => Reason::CollectorNotConfigured,
        State::Down(ended) => crash_of(ended),
    }
}

fn crash_of(ended: &Ended) -> Reason {
    match ended {
        ended if ended.is_out_of_memory() => Reason::CollectorOutOfMemory,
        ended if ended.is_port_taken() => Reason::CollectorPortTaken,
        _ => Reason::CollectorCrashing,
    }
}

/// The reason that is most telling, and the nodes that it's true of.
pub fn worst(lacks: &[Lack], nodes: usize) -> Option<(Reason, String)> {
    let place = |lack: &&Lack| ORDER.iter().position(|reason| *reason == lack.reason).unwrap_or(ORDER.len());
    let reason = lacks.iter().min_by_key(place)?.reason;
    let of_reason: Vec<_> = lacks.iter().filter(|lack| lack.reason == reason).collect();
    Some((reason, format!("{} of {}: {}", of_reason.len(), count(nodes, "node"), named(of_reason))))
}

/// Told, and no fault.
pub fn with_new(detail: String, new: &[Lack]) -> String {
    if new.is_empty() {
        return detail;
    }
    let has = if new.len() == 1 { "has" } else { "have" };
    format!("{detail}; {} {has} just joined, without one that is ready yet: {}", count(new.len(), "node"), named(new))
}

/// The first of them, and why.
fn named<'l>(lacks: impl IntoIterator<Item = &'l Lack>) -> String {
    some_of(&lacks.into_iter().map(Lack::told).collect::<Vec<_>>())
}
