//! What is looked at of a node, and whether a Collector should run there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::stack::Placement;
use crate::k8s::{self, ResourceExt as _, Toleration};
use crate::lean::Lean;

/// A node, cut to what decides where Collectors run: there may be thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    platform: Platform,
    /// Those that the selector asks for, as `key=value`, each between line ends.
    labels: Box<str>,
    taints: Box<[Taint]>,
    pub ready: bool,
    /// It is about to go.
    pub leaving: bool,
    /// In seconds, by the API server's clock.
    pub created: i64,
}

/// What runs its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Platform {
    #[default]
    Linux,
    Windows,
    /// A service that takes single pods, and none of a `DaemonSet`.
    Virtual,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Taint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

/// A node, as far as it is read.
pub type Read = Lean<k8s::Node, Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Spec {
    #[serde(default)]
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// Why a node has no Collector, on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    Windows,
    /// No pod of a `DaemonSet` runs there.
    Virtual,
    /// `spec.collector.nodeSelector` doesn't choose it.
    NotSelected,
    Taint(String),
}

/// What the `DaemonSet` controller tolerates for every pod of its own.
const ALWAYS_TOLERATED: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// A label of nodes on which neither Collector nor Agent runs.
pub const WINDOWS: (&str, &str) = ("kubernetes.io/os", "windows");
/// Of Virtual Kubelet, as AKS has it, and of Fargate on EKS.
const VIRTUAL: [(&str, &str); 2] = [("type", "virtual-kubelet"), ("eks.amazonaws.com/compute-type", "fargate")];

/// Which nodes pods of a `DaemonSet` keep away from, whatever taints are tolerated: as terms of an affinity.
#[must_use]
pub fn real_ones() -> Value {
    let not = |(key, value): (&str, &str)| json!({"key": key, "operator": "NotIn", "values": [value]});
    [WINDOWS].into_iter().chain(VIRTUAL).map(not).collect()
}

// === impl Node ===

impl Node {
    #[must_use]
    pub fn of(node: Read, selected_by: &BTreeSet<String>) -> Self {
        let mut labels = String::new();
        for (key, value) in node.labels().iter().filter(|(key, _)| selected_by.contains(*key)) {
            labels.extend(["\n", key, "=", value, "\n"]);
        }
        let conditions = &node.status.conditions;
        Self {
            platform: Platform::of(node.labels()),
            labels: labels.into(),
            ready: conditions.iter().any(|one| one.kind == "Ready" && one.status == "True"),
            taints: node.spec.taints.into_iter().filter(|taint| taint.effect != "PreferNoSchedule").collect(),
            leaving: node.metadata.deletion_timestamp.is_some(),
            created: node.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        }
    }

    #[cfg(test)]
    pub fn created(created: i64) -> Self {
        Self { created, ..Self::default() }
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.labels.contains(&format!("\n{key}={value}\n"))
    }

    /// Whether the `DaemonSet` controller would run a pod there, by a selector of the labels that it was made with.
    ///
    /// # Errors
    /// Why not.
    pub fn should_run(&self, placement: &Placement) -> Result<(), Excluded> {
        match self.platform {
            Platform::Linux => {}
            Platform::Windows => return Err(Excluded::Windows),
            Platform::Virtual => return Err(Excluded::Virtual),
        }
        if !placement.node_selector.iter().all(|(key, value)| self.has(key, value)) {
            return Err(Excluded::NotSelected);
        }
        let tolerated = |taint: &Taint| {
            ALWAYS_TOLERATED.contains(&taint.key.as_str())
                || placement.tolerations.iter().any(|toleration| taint.is_tolerated(toleration))
        };
        match self.taints.iter().find(|taint| !tolerated(taint)) {
            Some(taint) => Err(Excluded::Taint(taint.to_string())),
            None => Ok(()),
        }
    }
}

// === impl Platform ===

impl Platform {
    fn of(labels: &BTreeMap<String, String>) -> Self {
        let is = |(key, value): (&str, &str)| labels.get(key).is_some_and(|label| label == value);
        if is(WINDOWS) {
            Self::Windows
        } else if VIRTUAL.into_iter().any(is) {
            Self::Virtual
        } else {
            Self::Linux
        }
    }
}

// === impl Taint ===

impl Taint {
    /// As the scheduler has it: what a toleration leaves empty matches everything.
    fn is_tolerated(&self, toleration: &Toleration) -> bool {
        let matches = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == value)
        };
        let equal = toleration.value.as_deref().unwrap_or_default() == self.value;
        let exists = toleration.operator.as_deref() == Some("Exists");
        matches(&toleration.effect, &self.effect) && matches(&toleration.key, &self.key) && (exists || equal)
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        if value.is_empty() { write!(f, "{key}:{effect}") } else { write!(f, "{key}={value}:{effect}") }
    }
}

// === impl Excluded ===

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows => f.write_str("it runs Windows"),
            Self::Virtual => f.write_str("it is a virtual node, where no DaemonSet's pods run"),
            Self::NotSelected => f.write_str("spec.collector.nodeSelector doesn't choose it"),
            Self::Taint(taint) => write!(f, "spec.collector.tolerations has none for its taint {taint}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &Value, taints: &Value, placement: &Placement) -> Node {
        let node = json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        let keys = placement.node_selector.keys().cloned().collect();
        Node::of(serde_json::from_value(node).expect("a node"), &keys)
    }

    /// There may be thousands.
    #[test]
    fn a_node_keeps_what_is_asked_for_and_no_more() {
        let labels = json!({"kubernetes.io/hostname": "a", "pool": "x", "zone": "y"});
        let placement: Placement = serde_json::from_value(json!({"nodeSelector": {"pool": "x"}})).expect("a placement");
        assert_eq!(&*node(&labels, &json!([]), &placement).labels, "\npool=x\n");
        assert!(size_of::<Node>() <= 48, "{}", size_of::<Node>());
    }

    /// What is kept away by the affinity isn't waited for, and the other way round.
    #[test]
    fn the_affinity_and_the_verdict_leave_out_the_same() {
        let terms = real_ones();
        let excluded =
            |labels: &Value| node(labels, &json!([]), &Placement::default()).should_run(&Placement::default());
        for term in terms.as_array().expect("terms") {
            let (key, value) = (term["key"].as_str().expect("a key"), term["values"][0].as_str().expect("a value"));
            assert_eq!(term["operator"], "NotIn");
            assert!(excluded(&json!({key: value})).is_err(), "{key}={value}");
            assert!(excluded(&json!({key: "other"})).is_ok(), "{key}");
        }
        assert_eq!(terms.as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_node_runs_one_where_selector_and_tolerations_let_it() {
        let untold = Placement::default();
        let gpu = json!([{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]);
        let selecting: Placement = serde_json::from_value(json!({"nodeSelector": {"pool": "a"}})).expect("a placement");
        let tolerating = |tolerations: Value| -> Placement {
            serde_json::from_value(json!({"tolerations": tolerations})).expect("a placement")
        };
        let taint = || Err(Excluded::Taint("gpu=a100:NoSchedule".to_owned()));
        let cases = [
            (json!({}), json!([]), untold.clone(), Ok(())),
            (json!({}), gpu.clone(), untold.clone(), Ok(())),
            (json!({"kubernetes.io/os": "windows"}), json!([]), untold.clone(), Err(Excluded::Windows)),
            (json!({"type": "virtual-kubelet"}), json!([]), untold.clone(), Err(Excluded::Virtual)),
            (json!({"eks.amazonaws.com/compute-type": "fargate"}), json!([]), untold.clone(), Err(Excluded::Virtual)),
            (json!({"eks.amazonaws.com/compute-type": "ec2", "type": "large"}), json!([]), untold, Ok(())),
            (json!({"pool": "ab"}), json!([]), selecting.clone(), Err(Excluded::NotSelected)),
            (json!({"x": "y", "pool": "a"}), json!([]), selecting, Ok(())),
            (json!({}), gpu.clone(), tolerating(json!([])), taint()),
            (json!({}), gpu.clone(), tolerating(json!([{"key": "gpu", "operator": "Exists"}])), Ok(())),
            (json!({}), gpu.clone(), tolerating(json!([{"key": "gpu", "value": "a100"}])), Ok(())),
            (json!({}), gpu.clone(), tolerating(json!([{"key": "gpu", "value": "t4"}])), taint()),
            (json!({}), gpu, tolerating(json!([{"operator": "Exists", "effect": "NoExecute"}])), taint()),
            (
                json!({}),
                json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
                       {"key": "slow", "effect": "PreferNoSchedule"}]),
                tolerating(json!([])),
                Ok(()),
            ),
        ];
        for (labels, taints, placement, expected) in cases {
            assert_eq!(node(&labels, &taints, &placement).should_run(&placement), expected, "{labels} {taints}");
        }
    }
}
