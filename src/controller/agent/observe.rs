//! What is seen of the Agent's objects, cut to what the verdict looks at. Pure.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{OF_OPERATOR, PART, operator, pod};
use crate::api::{annotation, label};
use crate::config::Selector;
use crate::controller::objects::Part;
use crate::controller::placed::Placed;
use crate::controller::stripped::{is_owned, is_stripped};
use crate::k8s::{self, DaemonSet, Deployment, DynamicObject, LabelSelector, ObjectMeta, ResourceExt as _, Time};
use crate::lean::Lean;

/// The DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    pub name: String,
    pub maker: Maker,
    pub generation: i64,
    pub observed_generation: i64,
    /// Nodes that should run a pod, and those that have one: at all, that is ready, that is of the newest version.
    pub desired: i32,
    pub current: i32,
    pub ready: i32,
    pub updated: i32,
    /// The `DatadogAgent` that it was made from.
    pub revision: Option<String>,
    /// The key's version that its pods were made for, where the controller makes them.
    pub key_version: Option<String>,
    /// How its pods are found.
    pub selector: Selector,
}

/// The Cluster Agent's Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    pub name: String,
    pub maker: Maker,
    pub generation: i64,
    pub observed_generation: i64,
    pub desired: i32,
    pub ready: i32,
    pub updated: i32,
    /// How its pods are found.
    pub selector: Selector,
}

/// Who made an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maker {
    Controller,
    /// The controller too; but somebody took its label away, by which it would be found. That a `TelemetryStack` owns it says
    /// so.
    OwnedAlone,
    /// The same, and nothing but that it was written says so.
    WrittenAlone,
    Operator,
    #[default]
    SomebodyElse,
}

/// A `DatadogAgent`; its status holds a token and isn't kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatadogAgent {
    pub name: String,
    pub maker: Maker,
    pub deleting: bool,
    pub has_status: bool,
    /// Types of its conditions that tell of a fault, with their messages.
    pub faults: Vec<String>,
    /// The key's version that it asks pods to be made for.
    pub key_version: Option<String>,
}

/// A pod, cut to its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub name: Box<str>,
    /// It is about to end.
    pub leaving: bool,
    /// Where it runs, or is to run.
    pub node: Box<str>,
    pub ready: bool,
    /// Since when it's one or the other; since it was created, where nobody says.
    pub since: Option<Timestamp>,
    /// Failed, or found no node: in the words of who said so.
    pub refused: Option<Box<str>>,
    pub containers: Box<[State]>,
}

/// A pod, as far as it is read.
pub type Read = Lean<k8s::Pod, Placed, Status>;

/// A container's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub name: Box<str>,
    pub ready: bool,
    pub started: bool,
    pub running: bool,
    /// Since when it runs.
    pub since: Option<Timestamp>,
    pub restarts: i32,
    /// Why it waits.
    pub waiting: Option<Box<(String, String)>>,
    /// How it ended last.
    pub ended: Option<Box<Ended>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    pub reason: String,
    pub exit_code: i32,
    pub message: String,
    pub at: Option<Timestamp>,
}

/// Conditions of a `DatadogAgent` that are there only when something is wrong.
const FAULTS: [&str; 3] =
    ["DatadogAgentReconcileError", "DatadogAgentInternalReconcileError", "OverrideReconcileConflict"];

// === impl Maker ===

impl Maker {
    fn of(part: Part, metadata: &ObjectMeta) -> Self {
        let owners = metadata.owner_references.iter().flatten();
        if is_of(part.name, metadata) {
            Self::Controller
        } else if is_stripped(metadata) {
            if is_owned(metadata) { Self::OwnedAlone } else { Self::WrittenAlone }
        } else if owners.into_iter().any(|owner| owner.api_version.starts_with("datadoghq.com/")) {
            Self::Operator
        } else {
            Self::SomebodyElse
        }
    }
}

fn is_of(part: &str, metadata: &ObjectMeta) -> bool {
    metadata.labels.as_ref().and_then(|labels| labels.get(label::PART)).is_some_and(|one| one == part)
}

/// One that can't be read finds nothing.
fn selector(written: &LabelSelector) -> Selector {
    serde_json::to_value(written).ok().and_then(|written| Selector::read(&written)).unwrap_or_default()
}

// === impl Nodes ===

impl Nodes {
    #[must_use]
    pub fn of(found: &DaemonSet) -> Self {
        let status = found.status.clone().unwrap_or_default();
        let template = found.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        let annotations = template.and_then(|metadata| metadata.annotations.as_ref());
        Self {
            name: found.name_any(),
            maker: Maker::of(PART, &found.metadata),
            generation: found.metadata.generation.unwrap_or_default(),
            observed_generation: status.observed_generation.unwrap_or_default(),
            desired: status.desired_number_scheduled,
            current: status.current_number_scheduled,
            ready: status.number_ready,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            revision: annotations.and_then(|all| all.get(annotation::AGENT_REVISION)).cloned(),
            key_version: annotations
                .and_then(|all| all.get(annotation::CREDENTIALS))
                .and_then(|written| pod::key_version(written, true)),
            selector: found.spec.as_ref().map(|spec| selector(&spec.selector)).unwrap_or_default(),
        }
    }
}

// === impl Replicas ===

impl Replicas {
    #[must_use]
    pub fn of(found: &Deployment) -> Self {
        let status = found.status.clone().unwrap_or_default();
        Self {
            name: found.name_any(),
            maker: Maker::of(PART, &found.metadata),
            generation: found.metadata.generation.unwrap_or_default(),
            observed_generation: status.observed_generation.unwrap_or_default(),
            desired: found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.ready_replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            selector: found.spec.as_ref().map(|spec| selector(&spec.selector)).unwrap_or_default(),
        }
    }
}

// === impl DatadogAgent ===

impl DatadogAgent {
    #[must_use]
    pub fn of(found: &DynamicObject) -> Self {
        let status = &found.data["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let is_fault = |condition: &&Value| {
            condition["status"] == "True" && FAULTS.iter().any(|fault| condition["type"] == *fault)
        };
        let told = |condition: &Value| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("type"), text("message"))
        };
        Self {
            name: found.name_any(),
            maker: Maker::of(OF_OPERATOR, &found.metadata),
            deleting: found.metadata.deletion_timestamp.is_some(),
            has_status: status.as_object().is_some_and(|status| !status.is_empty()),
            faults: conditions.filter(is_fault).map(told).collect(),
            key_version: operator::credentials(&found.data).and_then(|written| pod::key_version(written, false)),
        }
    }
}

// === impl Pod ===

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    phase: String,
    reason: String,
    message: String,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<Container>,
    container_statuses: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: String,
    #[serde(rename = "lastTransitionTime")]
    since: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    ready: bool,
    started: bool,
    restart_count: i32,
    state: Phase,
    last_state: Phase,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Phase {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    started_at: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: String,
    exit_code: i32,
    message: String,
    finished_at: Option<Time>,
}

impl Pod {
    #[must_use]
    pub fn of(read: Read) -> Self {
        let Lean { metadata, spec, status, .. } = read;
        let is = |kind: &str, holds: &str| status.conditions.iter().find(|one| one.kind == kind && one.status == holds);
        let refused = if status.phase == "Failed" {
            Some(format!("{}: {}", status.reason, status.message).into())
        } else {
            is("PodScheduled", "False").map(|condition| condition.message.as_str().into())
        };
        let ready = is("Ready", "True").is_some();
        let since = status.conditions.iter().find(|one| one.kind == "Ready").and_then(|one| one.since.as_ref());
        let since = since.or(metadata.creation_timestamp.as_ref()).map(|time| time.0);
        let containers = status.init_container_statuses.into_iter().chain(status.container_statuses);
        Self {
            name: metadata.name.unwrap_or_default().into(),
            leaving: metadata.deletion_timestamp.is_some(),
            node: spec.node().unwrap_or("a node that isn't known yet").into(),
            ready,
            since,
            refused,
            containers: containers.map(State::from).collect(),
        }
    }

    /// Whether it tells how the Agent is: how one that is about to end does so is no fault. Where its node is lost, nobody
    /// ends it, and that is told.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.leaving || self.is_lost()
    }

    /// When a node is lost, the control plane takes its pods' readiness away; of containers, only kubelet tells.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !self.ready && !self.containers.is_empty() && self.containers.iter().all(|state| state.ready)
    }
}

impl From<Container> for State {
    fn from(container: Container) -> Self {
        let ended = container.state.terminated.or(container.last_state.terminated);
        Self {
            name: container.name.into(),
            ready: container.ready,
            started: container.started,
            running: container.state.running.is_some(),
            since: container.state.running.and_then(|running| running.started_at).map(|time| time.0),
            restarts: container.restart_count,
            waiting: container.state.waiting.map(|waiting| Box::new((waiting.reason, waiting.message))),
            ended: ended.map(|ended| {
                let at = ended.finished_at.map(|time| time.0);
                Box::new(Ended { reason: ended.reason, exit_code: ended.exit_code, message: ended.message, at })
            }),
        }
    }
}
