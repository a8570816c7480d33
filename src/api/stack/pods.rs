//! What Collector and Agent share: images, and where pods go.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::k8s::{IntOrString, Quantity, Toleration};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// The image's name, with its registry if it has one; the default's when empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9]*([A-Za-z0-9.:_/-]*[A-Za-z0-9])?$"), length(max = 512))]
    pub repository: String,
    /// Its version, which tells what the program understands; the default's when empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{0,128}$"))]
    pub tag: String,
    /// Such as `sha256:…`; what is pulled then, whatever the tag.
    #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
    pub digest: String,
    /// When nodes pull it: `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with the registry's credentials, in the Collector's namespace.
    pub pull_secrets: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// Where pods of a `DaemonSet` go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Labels of the nodes that pods run on; all nodes when empty.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that pods run on all the same.
    #[schemars(length(max = 100), extend("x-kubernetes-validations" = [
        {
            "rule": "self.all(one, !has(one.operator) || one.operator != 'Exists' || !has(one.value) || one.value == '')",
            "message": "a toleration with operator Exists has no value: leave it out, or use Equal",
        },
        {
            "rule": "self.all(one, has(one.key) && one.key != '' || has(one.operator) && one.operator == 'Exists')",
            "message": "a toleration without a key tolerates every taint, and has the operator Exists",
        },
    ]))]
    pub tolerations: Vec<Toleration>,
    /// Such as `system-node-critical`; none when empty.
    pub priority_class_name: String,
    /// Further labels of pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of pods.
    pub pod_annotations: BTreeMap<String, String>,
    /// How many nodes are without one at once while they are replaced: a number, or a percentage.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",
        "message": "maxUnavailable has to be a number from 1 on, or a percentage from 1% to 100%",
    }]))]
    pub max_unavailable: IntOrString,
}

/// What a container asks for, and may use, such as `cpu: 200m` and `memory: 512Mi`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What it is sure to get.
    #[schemars(schema_with = "amounts")]
    pub requests: BTreeMap<String, Quantity>,
    /// What it may use at most.
    #[schemars(schema_with = "amounts")]
    pub limits: BTreeMap<String, Quantity>,
}

// === impl Image ===

impl Default for Image {
    fn default() -> Self {
        Self::new("", "")
    }
}

impl Image {
    #[must_use]
    pub fn new(repository: &str, tag: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: String::new(),
            pull_policy: PullPolicy::default(),
            pull_secrets: Vec::new(),
        }
    }

    /// As a container names it, with what is left empty taken from `untold`.
    #[must_use]
    pub fn reference(&self, untold: &Self) -> String {
        let repository = if self.repository.is_empty() { &untold.repository } else { &self.repository };
        if self.digest.is_empty() {
            format!("{repository}:{}", self.version(untold))
        } else {
            format!("{repository}@{}", self.digest)
        }
    }

    /// What the program is, whichever way the image is named.
    #[must_use]
    pub fn version<'a>(&'a self, untold: &'a Self) -> &'a str {
        if self.tag.is_empty() { &untold.tag } else { &self.tag }
    }
}

// === impl Placement ===

impl Default for Placement {
    /// Wherever there is a kubelet.
    fn default() -> Self {
        let any = Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() };
        Self {
            node_selector: BTreeMap::new(),
            tolerations: vec![any],
            priority_class_name: String::new(),
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            max_unavailable: IntOrString::String("10%".to_owned()),
        }
    }
}

// === impl Resources ===

impl Resources {
    /// Of CPU and memory.
    #[must_use]
    pub fn new(requests: [&str; 2], limits: [&str; 2]) -> Self {
        let amounts = |[cpu, memory]: [&str; 2]| {
            BTreeMap::from([
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ])
        };
        Self { requests: amounts(requests), limits: amounts(limits) }
    }
}

/// Kubernetes takes plain numbers for quantities too.
fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "maxLength": 40,
            "pattern": AMOUNT,
        },
    })
}

/// A number of no less than nothing, with one of the API's units or without.
const AMOUNT: &str = "^([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
