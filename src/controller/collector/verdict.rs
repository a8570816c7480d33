//! Whether every node that should run a Collector has one that is ready: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::node::Node;
use super::pod::Pod;
use super::trial::{Cause, Fault, Phase, Plan};
use crate::api::condition::Reason;
use crate::api::stack::{CollectorStatus, CollectorTrial, Placement};
use crate::controller::health::CollectorNodes;
use crate::controller::left::Left;
use crate::controller::objects::Outcome;
use crate::controller::status::Verdict;
use crate::words::count;

mod lack;

use lack::{Lack, MAX_NAMES, with_new, worst};

/// What is seen of Collectors.
#[derive(Debug)]
pub struct Seen<'s> {
    pub generation: i64,
    pub placement: &'s Placement,
    pub nodes: &'s BTreeMap<String, Node>,
    pub pods: ByNode<'s>,
    /// Those of the nodes without a Collector that have opted-in pods.
    pub busy: &'s BTreeSet<String>,
    /// Collectors elsewhere, that should have gone.
    pub left: Option<&'s Left>,
    /// Nodes that have just joined.
    pub joining: &'s BTreeSet<String>,
    pub now: Timestamp,
}

/// Pods by their nodes, without those that are about to end.
pub type ByNode<'s> = BTreeMap<&'s str, Vec<&'s Pod>>;

/// What only those of our own have.
#[derive(Debug)]
pub struct Managed<'s> {
    /// Why the spec makes no configuration.
    pub fault: Option<&'s str>,
    /// The hash of what should run; nothing with a fault.
    pub candidate: Option<&'s str>,
    pub plan: &'s Plan,
    /// Of this spec or an earlier one.
    pub outcome: Option<&'s Outcome>,
    /// Why the API server makes no pods, in its words.
    pub no_pod: Option<&'s str>,
    /// Why the metrics of what runs couldn't be read in its trial.
    pub unmeasured: Option<&'s str>,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub verdict: Verdict,
    pub status: CollectorStatus,
    /// Those that wait for a rollout count as long as that is all that is wrong.
    pub nodes: CollectorNodes,
    /// Whether this says nothing but that there is no word yet of what the spec asks for now.
    pub unwritten: bool,
    /// When it may be otherwise, though nothing has changed.
    pub again: Option<Duration>,
}

/// Between a change of the spec and the word of whoever writes.
const NOT_WRITTEN: &str = "what the spec asks for hasn't been written yet";
/// Of the controller's own.
#[must_use]
pub fn managed(seen: &Seen<'_>, managed: &Managed<'_>) -> Said {
    let should: Vec<_> = seen.should_run().collect();
    let lacks: Vec<_> = should.iter().filter_map(|(name, node)| seen.lack(name, node, Some(managed))).collect();
    let (new, lacks) = seen.apart(lacks);
    let settled = should.len() - new.len();
    let late = |lack: &&Lack| lack.reason == Reason::CollectorRollingOut;
    let down: Vec<_> = lacks.iter().filter(|lack| !late(lack) || !seen.has_ready(&lack.node)).cloned().collect();
    let status = CollectorStatus {
        ready: format!("{}/{settled}", settled - down.len()),
        joining: number(&new),
        revision: managed.plan.stable.as_ref().map(|stable| stable.revision.clone()),
        trial: managed
            .plan
            .trial
            .as_ref()
            .map(|trial| CollectorTrial { revision: trial.revision.clone(), node: trial.node.clone() }),
        without: lacks.iter().filter(|lack| !late(lack)).take(MAX_NAMES).map(Lack::told).collect(),
    };
    let outcome = managed.outcome.filter(|outcome| outcome.generation() == seen.generation);
    let whole = of_the_whole(seen, managed, outcome, worst(&down, settled));
    let unwritten = whole.is_none() && outcome.is_none();
    let (reason, detail) = whole
        .or_else(|| unwritten.then(|| (Reason::CollectorRollingOut, NOT_WRITTEN.to_owned())))
        .or_else(|| should.is_empty().then(|| (Reason::CollectorWithoutNode, String::new())))
        .unwrap_or_else(|| {
            let unmeasured = |why: &str| format!("; its metrics couldn't be read in its trial: {why}");
            let unmeasured = managed.unmeasured.map(unmeasured).unwrap_or_default();
            let everywhere = || (Reason::CollectorOnEveryNode, format!("on {}{unmeasured}", count(settled, "node")));
            let (reason, detail) = of_nodes(&lacks, settled, managed)
                .or_else(|| held(managed))
                .or_else(|| on_trial(managed))
                .or_else(|| seen.without_collector(|node| seen.excluded(node)))
                .unwrap_or_else(everywhere);
            (reason, with_new(detail, &new))
        });
    // One that has been replaced isn't ready at once; one that was there before, or still isn't, is no part of a rollout.
    let replaced =
        || lacks.iter().all(|lack| lack.reason != Reason::CollectorNotReady || seen.is_on_its_way(&lack.node));
    let rolls_out =
        matches!(reason, Reason::CollectorRollingOut | Reason::CollectorTrialHeld | Reason::CollectorNotReady);
    let waits = rolls_out && replaced();
    let nodes = CollectorNodes { waiting: waits.then(|| number_of(lacks.len())), missing: number_of(down.len()) };
    let namespace = seen.left.map(|left| left.namespace.as_str()).unwrap_or_default();
    let names = [("REVISION", managed.candidate.unwrap_or_default()), ("NAMESPACE", namespace)];
    let verdict = Verdict::new(reason, detail, seen.generation).naming(&names);
    Said { verdict, status, nodes, unwritten, again: seen.again() }
}

/// Of somebody else's: which nodes should have one, only its pods can tell, and the pods that need it.
#[must_use]
pub fn adopted(seen: &Seen<'_>) -> Said {
    let with: Vec<_> = seen.pods.keys().copied().filter(|node| !node.is_empty()).collect();
    let unseen = Node::default();
    let lacks: Vec<_> =
        with.iter().filter_map(|name| seen.lack(name, seen.nodes.get(*name).unwrap_or(&unseen), None)).collect();
    let (new, lacks) = seen.apart(lacks);
    let settled = with.len() - new.len();
    let status = CollectorStatus {
        ready: format!("{}/{settled}", settled - lacks.len()),
        joining: number(&new),
        without: lacks.iter().take(MAX_NAMES).map(Lack::told).collect(),
        ..CollectorStatus::default()
    };
    let none = || with.is_empty().then(|| (Reason::NoCollectorToAdopt, String::new()));
    let not_there = |node: &str| (!with.contains(&node)).then(|| "no adopted Collector runs there".to_owned());
    let (reason, detail) = seen.left.map(left_behind).or_else(none).unwrap_or_else(|| {
        let (reason, detail) = worst(&lacks, settled)
            .or_else(|| seen.without_collector(not_there))
            .unwrap_or_else(|| (Reason::CollectorOnEveryNode, format!("on {}", count(settled, "node"))));
        (reason, with_new(detail, &new))
    });
    let namespace = seen.left.map(|left| left.namespace.as_str()).unwrap_or_default();
    let verdict = Verdict::new(reason, detail, seen.generation).naming(&[("NAMESPACE", namespace)]);
    let nodes = CollectorNodes { waiting: None, missing: number_of(lacks.len()) };
    Said { verdict, status, nodes, unwritten: false, again: seen.again() }
}

fn number_of(nodes: usize) -> u64 {
    u64::try_from(nodes).unwrap_or(u64::MAX)
}

#[must_use]
pub fn by_node<'s>(pods: impl IntoIterator<Item = &'s Pod>) -> ByNode<'s> {
    let mut by_node = ByNode::new();
    for pod in pods.into_iter().filter(|pod| !pod.leaving) {
        by_node.entry(&*pod.node).or_default().push(pod);
    }
    by_node
}

impl<'s> Seen<'s> {
    fn should_run(&self) -> impl Iterator<Item = (&'s str, &'s Node)> {
        let runs = |(_, node): &(&String, &Node)| !node.leaving && node.should_run(self.placement).is_ok();
        self.nodes.iter().filter(runs).map(|(name, node)| (name.as_str(), node))
    }

    fn on(&self, node: &str) -> impl Iterator<Item = &'s Pod> {
        self.pods.get(node).into_iter().flatten().copied()
    }

    fn has_ready(&self, node: &str) -> bool {
        self.on(node).any(Pod::is_ready)
    }

    fn is_on_its_way(&self, node: &str) -> bool {
        self.on(node).any(|pod| pod.starts_for(self.now).is_some())
    }

    /// Until one that crashes has run for long enough, or one that isn't ready has had its time.
    fn again(&self) -> Option<Duration> {
        let ends = |pod: &&Pod| if pod.is_ready() { pod.crashes_for(self.now) } else { pod.starts_for(self.now) };
        self.pods.values().flatten().filter_map(ends).min().map(SignedDuration::unsigned_abs)
    }

    fn excluded(&self, node: &str) -> Option<String> {
        self.nodes.get(node)?.should_run(self.placement).err().as_ref().map(ToString::to_string)
    }

    /// Nodes with opted-in pods that have none, on purpose.
    fn without_collector(&self, why: impl Fn(&str) -> Option<String>) -> Option<(Reason, String)> {
        let without: Vec<_> = self
            .busy
            .iter()
            .filter(|node| !self.joining.contains(*node))
            .filter_map(|node| Some(Lack { node: node.clone(), reason: Reason::NodeWithoutCollector, why: why(node)? }))
            .collect();
        let total = without.len();
        worst(&without, total)
    }
}

fn failing(fault: &Fault) -> Reason {
    match fault.cause {
        Cause::Collector => crash(&fault.words),
        Cause::Refused => Reason::CollectorPodRefused,
        Cause::Unschedulable => Reason::CollectorUnschedulable,
        Cause::Image => Reason::CollectorImageNotPulled,
        Cause::Unconfigured => Reason::CollectorNotConfigured,
        Cause::NotStarted => Reason::CollectorNotReady,
    }
}

/// A crash by its words alone.
fn crash(words: &str) -> Reason {
    if words.contains("OOMKilled") { Reason::CollectorOutOfMemory } else { Reason::CollectorCrashing }
}

fn left_behind(left: &Left) -> (Reason, String) {
    (Reason::CollectorLeftBehind, left.told())
}

/// What is wrong whatever nodes have. `down` is what is worst on those without one that is ready.
fn of_the_whole(
    seen: &Seen<'_>,
    managed: &Managed<'_>,
    outcome: Option<&Outcome>,
    down: Option<(Reason, String)>,
) -> Option<(Reason, String)> {
    if let Some(fault) = managed.fault {
        return Some((Reason::CollectorSpecInvalid, fault.to_owned()));
    }
    if let Some(left) = seen.left {
        return Some(left_behind(left));
    }
    match outcome {
        Some(Outcome::Refused { object, why, .. }) => {
            return Some((Reason::CollectorNotWritten, format!("{object}: {why}")));
        }
        Some(Outcome::Foreign { object, .. }) => {
            return Some((Reason::CollectorForeign, format!("{object} isn't otelgate's")));
        }
        Some(Outcome::Unseen { kind, why, .. }) => {
            return Some((Reason::CollectorNotReadable, format!("{kind}: {why}")));
        }
        Some(Outcome::Contested { object, how, by, .. }) => {
            return Some((Reason::CollectorContested, format!("{object} is {how} each time by {by}")));
        }
        Some(Outcome::Kept { .. }) | None => {}
    }
    match &managed.plan.phase {
        Phase::RolledBack(fault) => {
            let revision = managed.candidate.unwrap_or_default();
            let besides = |(_, nodes): (Reason, String)| format!("; nor is all well on {nodes}");
            let besides = down.map(besides).unwrap_or_default();
            Some((Reason::CollectorRolledBack, format!("revision {revision} failed {fault}{besides}")))
        }
        Phase::Failing(fault) => Some((failing(fault), format!("its first trial fails {fault}"))),
        _ => None,
    }
}

/// What nodes lack, and while a trial goes on, where.
fn of_nodes(lacks: &[Lack], nodes: usize, managed: &Managed<'_>) -> Option<(Reason, String)> {
    let (reason, mut detail) = worst(lacks, nodes)?;
    if reason == Reason::CollectorRollingOut {
        if let Some(held) = held(managed) {
            return Some(held);
        }
        let revision = managed.candidate.unwrap_or_default();
        match &managed.plan.phase {
            Phase::Vacating { node } | Phase::Trying { node } => {
                detail = format!("revision {revision} is tried on node {node} first; {detail}");
            }
            Phase::NoNode => detail = format!("no node is ready for a trial of revision {revision}; {detail}"),
            _ => {}
        }
    }
    Some((reason, detail))
}

fn number(new: &[Lack]) -> Option<i32> {
    (!new.is_empty()).then(|| i32::try_from(new.len()).unwrap_or(i32::MAX))
}

/// Where nothing can be told of a trial, for no fault of its own.
fn held(managed: &Managed<'_>) -> Option<(Reason, String)> {
    let Phase::Held { node, why } = &managed.plan.phase else { return None };
    let revision = managed.candidate.unwrap_or_default();
    let detail = format!("revision {revision} is tried on node {node}, where its {why}");
    Some((Reason::CollectorTrialHeld, detail))
}

/// Where no node lacks anything, and the trial's gives way to another as soon as it is over.
fn on_trial(managed: &Managed<'_>) -> Option<(Reason, String)> {
    let revision = managed.candidate.unwrap_or_default();
    let detail = match &managed.plan.phase {
        Phase::Vacating { node } | Phase::Trying { node } => {
            format!("revision {revision} is tried on node {node} first")
        }
        Phase::Clearing => "the trial is over, and its Collector gives way to that of the rollout".to_owned(),
        _ => return None,
    };
    Some((Reason::CollectorRollingOut, detail))
}

#[cfg(test)]
mod tests;
