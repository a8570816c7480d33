//! What became of pods that run: each against the decision as it would be now.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::explanation::Why;
use crate::cli::offline::created;
use crate::config::Configuration;
use crate::coverage::{self, Changes, Coverage};
use crate::inject::status::{Status, Written};
use crate::inject::{Decision, Namespace, Pod, decide};

/// One pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    #[serde(flatten)]
    pub replica: Replica,
    /// What its status annotation says was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Record>,
    /// Why no Collector takes what it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector: Option<Why>,
    /// When the namespace was opted in, at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opted_in: Option<String>,
    /// Since when the mode has let pods be injected, at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_since: Option<String>,
    /// Until when something kept pods of the namespace from being injected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_alone_until: Option<String>,
}

/// One pod among others.
#[derive(Debug, Serialize)]
pub struct Replica {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub coverage: Coverage,
}

/// What otelgate wrote, by name alone.
#[derive(Debug, Serialize)]
pub struct Record {
    pub version: String,
    /// The hash of the configuration that it wrote.
    pub configuration: String,
    pub containers: BTreeMap<String, Vec<String>>,
    pub labels: Vec<String>,
    pub annotations: Vec<String>,
    /// What somebody edited since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<String>,
}

/// The pods of a workload.
#[derive(Debug, Serialize)]
pub struct Replicas {
    pub total: usize,
    pub counts: BTreeMap<&'static str, usize>,
    pub items: Vec<Replica>,
}

/// What is known around the pods.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub namespace: &'a Namespace<'a>,
    pub configuration: &'a Configuration,
    pub changes: Changes,
    pub now: Timestamp,
}

/// Whether it has come to its end: nothing would restart it.
pub fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase").as_deref(), Some("Succeeded" | "Failed"))
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned)
}

// === impl Running ===

impl Running {
    pub fn new(object: &Value, pod: &Pod<'_>, decision: &Decision<'_>, around: Around<'_>) -> Self {
        let told = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            replica: Replica::new(object, pod, decision, around),
            written: coverage::status(pod).map(Record::from),
            collector: None,
            opted_in: told(around.changes.opt_in),
            enabled_since: told(around.changes.configuration),
            left_alone_until: told(around.changes.left_alone),
        }
    }
}

// === impl Replica ===

impl Replica {
    fn new(object: &Value, pod: &Pod<'_>, decision: &Decision<'_>, around: Around<'_>) -> Self {
        let created = created(object);
        let changes = Changes { own: coverage::label_written(object), ..around.changes };
        Self {
            name: text(object, "/metadata/name").unwrap_or_default(),
            node: text(object, "/spec/nodeName"),
            created: created.map(|time| time.to_string()),
            coverage: Coverage::of(pod, decision, around.configuration.hash(), created, changes),
        }
    }

    /// A pod of a workload; `None` for one that can't be read, or has ended.
    fn of(object: &Value, around: Around<'_>) -> Option<Self> {
        if has_ended(object) {
            return None;
        }
        let json = object.to_string();
        let pod = Pod::from_json(&json).ok()?;
        let now = created(object).unwrap_or(around.now);
        let decision = decide(&pod, around.namespace, around.configuration, now);
        Some(Self::new(object, &pod, &decision, around))
    }
}

// === impl Replicas ===

impl Replicas {
    pub fn new(objects: &[Value], around: Around<'_>) -> Self {
        let mut items: Vec<_> = objects.iter().filter_map(|object| Replica::of(object, around)).collect();
        items.sort_by(|one, other| one.name.cmp(&other.name));
        let mut counts = BTreeMap::new();
        for replica in &items {
            *counts.entry(replica.coverage.code()).or_default() += 1;
        }
        Self { total: items.len(), counts, items }
    }
}

// === impl Record ===

impl From<Status> for Record {
    fn from(status: Status) -> Self {
        let keys = |written: &Written| written.set.keys().cloned().collect::<Vec<_>>();
        let all = status.containers.values().chain([&status.labels, &status.annotations]);
        Self {
            edited: all.flat_map(|written| written.edited.iter().cloned()).collect(),
            containers: status.containers.iter().map(|(name, written)| (name.clone(), keys(written))).collect(),
            labels: keys(&status.labels),
            annotations: keys(&status.annotations),
            version: status.version,
            configuration: status.config,
        }
    }
}
