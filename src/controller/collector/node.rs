//! What is looked at of a node, and whether a Collector should run there.

use std::fmt;

use crate::api::stack::Placement;
use crate::k8s::{self, ResourceExt as _, Toleration};

/// A node, cut to what decides where Collectors run: there may be thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// As `key=value`, each between line ends.
    labels: Box<str>,
    taints: Vec<Taint>,
    pub ready: bool,
    /// It is about to go.
    pub leaving: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Taint {
    key: String,
    value: String,
    effect: String,
}

/// Why a node has no Collector, on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    Windows,
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

pub const OS: &str = "kubernetes.io/os";

// === impl Node ===

impl Node {
    #[must_use]
    pub fn of(node: k8s::Node) -> Self {
        let mut labels = String::from("\n");
        for (key, value) in node.labels() {
            labels.extend([key.as_str(), "=", value, "\n"]);
        }
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        Self {
            labels: labels.into(),
            taints: taints
                .into_iter()
                .filter(|taint| taint.effect != "PreferNoSchedule")
                .map(|taint| Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect: taint.effect })
                .collect(),
            ready: conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"),
            leaving: node.metadata.deletion_timestamp.is_some(),
        }
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.labels.contains(&format!("\n{key}={value}\n"))
    }

    /// Whether the `DaemonSet` controller would run a pod there.
    ///
    /// # Errors
    /// Why not.
    pub fn should_run(&self, placement: &Placement) -> Result<(), Excluded> {
        if self.has(OS, "windows") {
            return Err(Excluded::Windows);
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
            Self::NotSelected => f.write_str("spec.collector.nodeSelector doesn't choose it"),
            Self::Taint(taint) => write!(f, "spec.collector.tolerations has none for its taint {taint}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(labels: &Value, taints: &Value) -> Node {
        Node::of(
            serde_json::from_value(json!({"metadata": {"labels": labels}, "spec": {"taints": taints}}))
                .expect("a node"),
        )
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
            (json!({OS: "windows"}), json!([]), untold, Err(Excluded::Windows)),
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
            assert_eq!(node(&labels, &taints).should_run(&placement), expected, "{labels} {taints}");
        }
    }
}
