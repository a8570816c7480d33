//! Whether the Agent is there and works: worked out from the real DaemonSet, Deployment and pods. Pure.
//!
//! The operator's own word isn't enough: it calls one ready Agent of a hundred running, and none of none as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::mode::{Allowed, Present, Served, VERSION};
use super::observe::{DatadogAgent, Nodes, Pod, Replicas, State};
use crate::api::condition::Reason;
use crate::api::object;
use crate::api::stack::{AgentMode, AgentWay};
use crate::controller::crashes;
use crate::controller::left::Left;
use crate::controller::objects::{Outcome, Progress};

/// Everything that counts.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What is wrong with the spec.
    pub fault: Option<String>,
    pub asked: AgentMode,
    pub way: Option<AgentWay>,
    pub served: Option<Served>,
    pub present: Present,
    pub allowed: Option<Allowed>,
    /// How it stands with what the controller writes for the spec as it is now.
    pub outcomes: Vec<Outcome>,
    pub progress: Progress,
    /// The right to look that is missing.
    pub missing: Option<String>,
    pub datadog_agent: Option<DatadogAgent>,
    /// For how long the operator hasn't acted on the newest `DatadogAgent`.
    pub behind: Option<Duration>,
    /// Whether the DaemonSet and the Deployment have been looked for.
    pub looked: bool,
    pub nodes: Option<Nodes>,
    /// Whether there should be a Cluster Agent.
    pub wants_cluster_agent: bool,
    pub cluster_agent: Option<Replicas>,
    pub pods: Vec<Arc<Pod>>,
    /// The Service of an adopted Agent that isn't there.
    pub no_service: Option<String>,
    /// Nodes that have just joined, where they are looked at.
    pub joining: Arc<BTreeSet<String>>,
    /// Agents elsewhere, that should have gone.
    pub left: Option<Left>,
    /// What makes the pods of somebody else's, where that runs beside ours.
    pub beside: Option<String>,
    /// Nobody has looked yet for what runs beside ours.
    pub unsearched: bool,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Off,
    /// What is there is of an earlier spec; what was said of that stands.
    NotYet,
    Verdict(Reason, String),
}

/// So long the operator has to act on a `DatadogAgent`.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// So long a container that runs is on its way up: its probes have to be asked first, and what it sends to to answer.
const WARM_UP: SignedDuration = SignedDuration::from_mins(2);
/// How long a pod may take until its containers have started: on a slow node with a large image, too.
const STARTS_IN: SignedDuration = SignedDuration::from_mins(5);
/// Nodes that are named.
const MOST_NAMES: usize = 3;
/// Characters of a foreign message.
const LONGEST: usize = 200;

/// Nodes that have just joined and have no Agent yet that is ready.
#[derive(Debug, Default)]
struct Late<'s> {
    with_pod: Vec<&'s str>,
    /// How many have no pod either.
    without: i32,
}

/// What is wrong with a pod.
struct Trouble<'p> {
    cause: Cause,
    /// The container's name, where it is one's.
    container: &'p str,
    told: String,
}

/// Why a pod isn't as it should be; worse ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    OutOfMemory,
    Crashing,
    Image,
    NotStarted,
    NotScheduled,
    NotDelivering,
    /// Its node doesn't tell of it any more.
    NodeNotReady,
    /// On its way up.
    Starting,
}

// === impl Cause ===

impl Cause {
    const fn reason(self) -> Reason {
        match self {
            Self::OutOfMemory => Reason::AgentOutOfMemory,
            Self::Crashing => Reason::AgentCrashing,
            Self::Image => Reason::AgentImageNotPulled,
            Self::NotStarted => Reason::AgentNotStarted,
            Self::NotScheduled => Reason::AgentUnschedulable,
            Self::NotDelivering => Reason::AgentNotDelivering,
            Self::NodeNotReady => Reason::AgentNodeNotReady,
            Self::Starting => Reason::AgentRollingOut,
        }
    }
}

// === impl Sight ===

impl Sight {
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> Said {
        if let Some(fault) = &self.fault {
            return Said::Verdict(Reason::AgentSpecInvalid, fault.clone());
        }
        if let Some(left) = &self.left {
            return Said::Verdict(Reason::AgentLeftBehind, left.told());
        }
        let Some(way) = self.way else { return Said::Verdict(Reason::AgentUndecided, String::new()) };
        if let Some(missing) = &self.missing {
            return Said::Verdict(Reason::AgentNotReadable, missing.clone());
        }
        if let Some((reason, detail)) = self.of_writing(way).or_else(|| self.of_operator(way)) {
            return Said::Verdict(reason, detail);
        }
        if way == AgentWay::Disabled && self.looked {
            return Said::Off;
        }
        if self.progress == Progress::HandedOver {
            return Said::NotYet;
        }
        let of_ours = self.of_nodes(now).or_else(|| self.of_cluster_agent()).or_else(|| self.of_service());
        match of_ours.or_else(|| self.of_others()) {
            Some((reason, detail)) => Said::Verdict(reason, detail),
            None if self.progress == Progress::Waiting || self.unsearched => Said::NotYet,
            None => {
                let (reason, detail) = self.ready(way);
                Said::Verdict(reason, detail)
            }
        }
    }

    /// Nodes with an Agent that is ready, of those that should have one; nothing before that was looked at.
    #[must_use]
    pub fn count(&self) -> Option<String> {
        match (self.way, &self.nodes) {
            (Some(AgentWay::Disabled), _) => Some("off".to_owned()),
            (_, Some(nodes)) => Some(format!("{}/{}", nodes.ready, nodes.desired - self.late(nodes).count())),
            (_, None) => self.looked.then(|| "0/0".to_owned()),
        }
    }

    /// Nodes that wait for a rollout, as long as that is all that is wrong.
    #[must_use]
    pub fn waiting(&self, reason: Reason) -> Option<u64> {
        let nodes = self.nodes.as_ref().filter(|_| reason == Reason::AgentRollingOut)?;
        u64::try_from(nodes.desired - nodes.updated.min(nodes.ready)).ok()
    }

    /// Where no node has an Agent that is ready, it isn't the new ones that are late.
    fn late(&self, nodes: &Nodes) -> Late<'_> {
        if nodes.ready == 0 || self.joining.is_empty() {
            return Late::default();
        }
        let is_new = |pod: &&Arc<Pod>| self.joining.contains(&*pod.node);
        let with_pod = self.pods.iter().filter(is_new).filter(|pod| !pod.ready).map(|pod| &*pod.node).collect();
        let have: BTreeSet<_> = self.pods.iter().map(|pod| &*pod.node).collect();
        let have_none = self.joining.iter().filter(|node| !have.contains(node.as_str())).count();
        let lacking = nodes.desired - nodes.current;
        Late { with_pod, without: i32::try_from(have_none).unwrap_or(i32::MAX).min(lacking).max(0) }
    }

    /// What keeps the controller from having things as they are asked for.
    fn of_writing(&self, way: AgentWay) -> Option<(Reason, String)> {
        if let Some(Allowed::Foreign(object)) = &self.allowed {
            return Some((Reason::AgentForeign, format!("{object} isn't otelgate's")));
        }
        // Of what is left over, why it stays comes before that it does.
        self.of_outcomes().or_else(|| {
            let stays = self.present.own || self.datadog_agent.is_some();
            let is_left = match way {
                // What is to be gone, where nothing is to take its place.
                AgentWay::Disabled | AgentWay::Adopt => stays,
                AgentWay::Operator | AgentWay::Daemonset => self.allowed == Some(Allowed::LeftOver),
            };
            is_left.then(|| (Reason::AgentLeftOver, self.left_over()))
        })
    }

    /// What became of writes, and of what is to be deleted.
    fn of_outcomes(&self) -> Option<(Reason, String)> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Refused { object, why, .. } => Some((Reason::AgentNotWritten, format!("{object}: {why}"))),
            Outcome::Foreign { object, .. } => Some((Reason::AgentForeign, format!("{object} isn't otelgate's"))),
            Outcome::Unseen { kind, why, .. } => Some((Reason::AgentNotReadable, format!("{kind}: {why}"))),
            Outcome::Contested { object, how, by, .. } => {
                Some((Reason::AgentContested, format!("{object} is {how} each time by {by}")))
            }
            Outcome::Kept { .. } => None,
        })
    }

    fn left_over(&self) -> String {
        match &self.datadog_agent {
            Some(agent) if agent.deleting => {
                format!("DatadogAgent {} is being deleted, and its finalizer isn't taken out yet", agent.name)
            }
            Some(agent) => format!("DatadogAgent {} is still there", agent.name),
            _ if self.present.own => {
                format!("DaemonSet {} or Deployment {} is still there", object::AGENT, object::CLUSTER_AGENT)
            }
            _ => format!("the Datadog Operator hasn't taken away DaemonSet {} yet", object::AGENT),
        }
    }

    fn of_operator(&self, way: AgentWay) -> Option<(Reason, String)> {
        if way != AgentWay::Operator {
            return None;
        }
        match &self.served {
            Some(Served::No) => return Some((Reason::OperatorMissing, String::new())),
            Some(Served::Others(versions)) => {
                let detail = format!("DatadogAgent is served as {} only, not as {VERSION}", versions.join(", "));
                return Some((Reason::OperatorOutdated, detail));
            }
            Some(Served::Yes) | None => {}
        }
        let agent = self.datadog_agent.as_ref()?;
        if let Some(fault) = agent.faults.first() {
            return Some((Reason::OperatorFailing, format!("DatadogAgent {}: {}", agent.name, shortened(fault))));
        }
        let behind = self.behind?;
        if behind < PATIENCE {
            let detail = format!("the Datadog Operator has yet to act on DatadogAgent {}", agent.name);
            return Some((Reason::AgentRollingOut, detail));
        }
        let detail = if agent.has_status {
            format!("DatadogAgent {} was changed, and its DaemonSet wasn't", agent.name)
        } else {
            format!("DatadogAgent {} has no status", agent.name)
        };
        Some((Reason::OperatorSilent, detail))
    }

    fn of_nodes(&self, now: Timestamp) -> Option<(Reason, String)> {
        let Some(nodes) = &self.nodes else {
            let reason = if self.looked { Reason::AgentMissing } else { Reason::NotLookedAt };
            return Some((reason, String::new()));
        };
        if nodes.observed_generation < nodes.generation {
            let detail = format!("DaemonSet {} was changed and hasn't been looked at since", nodes.name);
            return Some((Reason::AgentRollingOut, detail));
        }
        if nodes.desired == 0 {
            return Some((Reason::AgentWithoutNode, format!("DaemonSet {} is to run on 0 nodes", nodes.name)));
        }
        let late = self.late(nodes);
        if let Some((cause, detail)) = self.worst(nodes, &late, now) {
            return Some((cause.reason(), detail));
        }
        if nodes.current + late.without < nodes.desired {
            let detail = format!("DaemonSet {} has {} pods of {}", nodes.name, nodes.current, nodes.desired);
            return Some((Reason::AgentPodRefused, detail));
        }
        if nodes.ready + late.count() < nodes.desired || nodes.updated + late.without < nodes.desired {
            let detail = format!(
                "DaemonSet {}: {} of {} nodes are ready, {} have the newest version",
                nodes.name, nodes.ready, nodes.desired, nodes.updated
            );
            return Some((Reason::AgentRollingOut, detail));
        }
        None
    }

    /// What is wrong with pods, the worst first.
    fn troubles(&self, late: &Late<'_>, now: Timestamp) -> Vec<(Trouble<'_>, &Pod)> {
        let pods = self.pods.iter().map(|pod| &**pod).filter(|pod| !late.with_pod.contains(&&*pod.node));
        let mut troubles: Vec<_> = pods.filter_map(|pod| Some((trouble(pod, now)?, pod))).collect();
        troubles.sort_by(|(one, at), (other, there)| (one.cause, &at.node).cmp(&(other.cause, &there.node)));
        troubles
    }

    /// A pod that a reason is about, and the name of its container: the first of those that are told.
    #[must_use]
    pub fn place(&self, reason: Reason, now: Timestamp) -> Option<(&str, &str)> {
        let troubles = self.troubles(&self.late(self.nodes.as_ref()?), now);
        let (trouble, pod) = troubles.into_iter().find(|(trouble, _)| trouble.cause.reason() == reason)?;
        Some((&pod.name, trouble.container))
    }

    /// The worst cause that a pod has, with the nodes where it is so.
    fn worst(&self, nodes: &Nodes, late: &Late<'_>, now: Timestamp) -> Option<(Cause, String)> {
        let troubles = self.troubles(late, now);
        let worst = troubles.first().map(|(trouble, _)| trouble.cause)?;
        let such: Vec<_> = troubles.iter().filter(|(trouble, _)| trouble.cause == worst).collect();
        let mut told: Vec<_> =
            such.iter().take(MOST_NAMES).map(|(trouble, pod)| format!("{}: {}", pod.node, trouble.told)).collect();
        if such.len() > MOST_NAMES {
            told.push(format!("and {} more", such.len() - MOST_NAMES));
        }
        Some((worst, format!("{} of {} nodes: {}", such.len(), nodes.desired, told.join("; "))))
    }

    fn of_cluster_agent(&self) -> Option<(Reason, String)> {
        if !self.wants_cluster_agent {
            return None;
        }
        let Some(replicas) = &self.cluster_agent else {
            let detail = "its Deployment isn't there".to_owned();
            return Some((Reason::ClusterAgentNotReady, detail));
        };
        let stale = replicas.observed_generation < replicas.generation;
        if stale || replicas.desired == 0 || replicas.ready < replicas.desired || replicas.updated < replicas.desired {
            let detail = format!(
                "Deployment {}: {} of {} replicas are ready, {} have the newest version",
                replicas.name, replicas.ready, replicas.desired, replicas.updated
            );
            return Some((Reason::ClusterAgentNotReady, detail));
        }
        None
    }

    fn of_service(&self) -> Option<(Reason, String)> {
        let service = self.no_service.as_ref()?;
        let sender = if service == object::AGENT { "the Collector sends" } else { "pods are told to send" };
        Some((Reason::AgentServiceMissing, format!("{sender} to Service {service}")))
    }

    fn of_others(&self) -> Option<(Reason, String)> {
        let other = self.beside.as_ref()?;
        Some((Reason::AgentForeign, format!("{other} isn't otelgate's, and runs beside otelgate's own")))
    }

    fn ready(&self, way: AgentWay) -> (Reason, String) {
        let appeared = self.asked == AgentMode::Auto && way == AgentWay::Daemonset && self.served == Some(Served::Yes);
        let mut told = Vec::new();
        if appeared {
            told.push(
                "the API server serves DatadogAgent now: set agent.mode to operator to have the Datadog Operator make it"
                    .to_owned(),
            );
        }
        told.extend(self.nodes.as_ref().and_then(|nodes| self.late(nodes).told()));
        if told.is_empty() {
            return (Reason::AgentReady, String::new());
        }
        (Reason::AgentReady, format!("{}; {}", Reason::AgentReady.summary(), told.join("; ")))
    }
}

// === impl Late ===

impl Late<'_> {
    fn count(&self) -> i32 {
        i32::try_from(self.with_pod.len()).unwrap_or(i32::MAX).saturating_add(self.without)
    }

    fn told(&self) -> Option<String> {
        let (count, names) = (self.count(), self.with_pod.iter().take(MOST_NAMES).copied().collect::<Vec<_>>());
        let some = if names.is_empty() { String::new() } else { format!(", such as {}", names.join(", ")) };
        let nodes = if count == 1 { "1 node has".to_owned() } else { format!("{count} nodes have") };
        (count > 0).then(|| format!("{nodes} just joined, without one that is ready yet{some}"))
    }
}

/// What is wrong with a pod, and where.
fn trouble(pod: &Pod, now: Timestamp) -> Option<Trouble<'_>> {
    let of_pod = |cause, told: String| Some(Trouble { cause, container: "", told });
    if let Some(refused) = &pod.refused {
        return of_pod(Cause::NotScheduled, shortened(refused));
    }
    let of_containers = pod.containers.iter().filter_map(|state| of_container(state, now));
    if let Some(worst) = of_containers.min_by_key(|trouble| trouble.cause) {
        return Some(worst);
    }
    if pod.ready {
        return None;
    }
    if pod.is_lost() {
        return of_pod(Cause::NodeNotReady, "the node itself isn't ready".to_owned());
    }
    let is_warm = |state: &State| state.since.is_none_or(|since| now.duration_since(since) >= WARM_UP);
    let not_ready =
        pod.containers.iter().find(|state| state.running && state.started && !state.ready && is_warm(state));
    match not_ready {
        Some(state) => {
            let told = format!("{} runs and isn't ready", state.name);
            Some(Trouble { cause: Cause::NotDelivering, container: &state.name, told })
        }
        None if is_stuck(pod, now) => {
            of_pod(Cause::NotStarted, format!("not started in {} minutes{}", STARTS_IN.as_mins(), waits_for(pod)))
        }
        None => of_pod(Cause::Starting, "starting".to_owned()),
    }
}

/// Whether a container hasn't started, though it has had its time.
fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    let has_started = |state: &State| state.ready || (state.running && state.started);
    let waits = pod.containers.is_empty() || !pod.containers.iter().all(has_started);
    waits && pod.since.is_some_and(|since| now.duration_since(since) >= STARTS_IN)
}

fn waits_for(pod: &Pod) -> String {
    let waiting = pod.containers.iter().find_map(|state| Some((&state.name, state.waiting.as_deref()?)));
    waiting.map(|(name, (reason, _))| format!(": {name}: {reason}")).unwrap_or_default()
}

fn of_container(state: &State, now: Timestamp) -> Option<Trouble<'_>> {
    if let Some((reason, message)) = state.waiting.as_deref() {
        let cause = match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
                Cause::Image
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Cause::NotStarted,
            "CrashLoopBackOff" => return Some(ended(state)),
            // On its way, as far as can be told.
            _ => return None,
        };
        let told = format!("{}: {reason}: {}", state.name, shortened(message));
        return Some(Trouble { cause, container: &state.name, told });
    }
    let last = state.ended.as_ref()?;
    // Even while it runs for a moment.
    match (state.running, crashes::crashes_for(state.restarts, last.at, now).is_some()) {
        (true, false) => None,
        // An init container that did what it should.
        (false, _) if last.exit_code == 0 => None,
        _ => Some(ended(state)),
    }
}

fn ended(state: &State) -> Trouble<'_> {
    let last = state.ended.as_deref().cloned().unwrap_or_default();
    let cause = if last.reason == "OOMKilled" { Cause::OutOfMemory } else { Cause::Crashing };
    let mut told =
        format!("{}: {}, exit code {}, {} restarts", state.name, last.reason, last.exit_code, state.restarts);
    if !last.message.is_empty() {
        told = format!("{told}: {}", shortened(&last.message));
    }
    Trouble { cause, container: &state.name, told }
}

/// On one line, and no longer than that.
fn shortened(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 1).chain(['…']).collect()
}
