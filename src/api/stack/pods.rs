//! What Collector and Agent share: images, and where pods go.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::form::{Form, dns_name, dns_subdomain, schemas};
use crate::k8s::{IntOrString, Quantity, Toleration};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// The image's name, with its registry if it has one; the default's when empty.
    #[schemars(schema_with = "repository")]
    pub repository: String,
    /// Its version, which tells what the program understands; the default's when empty.
    #[schemars(schema_with = "tag")]
    pub tag: String,
    /// Such as `sha256:…`; what is pulled then, whatever the tag.
    #[schemars(schema_with = "digest")]
    pub digest: String,
    /// When nodes pull it: `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with the registry's credentials, in the Collector's namespace.
    #[schemars(schema_with = "pull_secrets")]
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
    #[schemars(schema_with = "labels")]
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
        {
            "rule": one_of("operator", &OPERATORS),
            "message": "a toleration's operator is Exists or Equal, or, where the cluster compares numbers, Lt or Gt",
        },
        {
            "rule": one_of("effect", &EFFECTS),
            "message": "a toleration's effect is NoSchedule, PreferNoSchedule or NoExecute, or left out for all of them",
        },
        {
            "rule": "self.all(one, !has(one.tolerationSeconds) || has(one.effect) && one.effect == 'NoExecute')",
            "message": "a toleration with tolerationSeconds has the effect NoExecute",
        },
    ]))]
    pub tolerations: Vec<Toleration>,
    /// Such as `system-node-critical`; none when empty.
    #[schemars(schema_with = "priority_class_name")]
    pub priority_class_name: String,
    /// Further labels of pods.
    #[schemars(schema_with = "labels")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of pods.
    #[schemars(schema_with = "annotations")]
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

/// Those of the API; each may be empty, as if it was left out.
const OPERATORS: [&str; 5] = ["", "Exists", "Equal", "Lt", "Gt"];
const EFFECTS: [&str; 4] = ["", "NoSchedule", "PreferNoSchedule", "NoExecute"];

/// A rule: whether a field of each toleration has one of these values, if it is there.
fn one_of(field: &str, values: &[&str]) -> String {
    let values: Vec<_> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("self.all(one, !has(one.{field}) || one.{field} in [{}])", values.join(", "))
}

macro_rules! part_of_image {
    () => {
        "[a-z0-9]([a-z0-9._-]*[a-z0-9])?"
    };
}

const REPOSITORY: Form<'static> = Form {
    pattern: concat!(
        "^(([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/)?",
        part_of_image!(),
        "(/",
        part_of_image!(),
        ")*)?$"
    ),
    longest: 512,
    message: "image.repository isn't the name of an image, such as registry.corp:5000/team/agent: its version is tag's, or digest's",
};

const TAG: Form<'static> = Form {
    pattern: "^([A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
    longest: 128,
    message: "image.tag has letters, digits, _, . and -, and begins with none of the last two",
};

const DIGEST: Form<'static> = Form {
    pattern: "^(sha256:[0-9a-f]{64})?$",
    longest: 71,
    message: "image.digest is sha256: and 64 of 0 to 9 and a to f",
};

const PULL_SECRET: Form<'static> = dns_name!("what pullSecrets lists is the name of a Secret");

const PRIORITY_CLASS_NAME: Form<'static> = dns_name!("priorityClassName isn't the name of a PriorityClass", or_empty);

macro_rules! name_of_key {
    () => {
        "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
    };
}

const LABEL_VALUE: Form<'static> = Form {
    pattern: concat!("^(", name_of_key!(), ")?$"),
    longest: 63,
    message: "a label's value has letters, digits, -, _ and ., and begins and ends with a letter or digit, or is empty",
};

const LABEL_KEY: &str = concat!("^(", dns_subdomain!(), "/)?", name_of_key!(), "$");
/// The API server looks at it in lower case.
const ANNOTATION_KEY: &str = concat!("^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?/)?", name_of_key!(), "$");

schemas! {
    repository: REPOSITORY.schema();
    tag: TAG.schema();
    digest: DIGEST.schema();
    pull_secrets: json_schema!({"type": "array", "maxItems": 100, "items": PULL_SECRET.schema()});
    priority_class_name: PRIORITY_CLASS_NAME.schema();
    labels: json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": LABEL_VALUE.schema(),
        "x-kubernetes-validations": [{"rule": each_key(LABEL_KEY), "message": KEY}],
    });
    annotations: json_schema!({
        "type": "object",
        "maxProperties": 1000,
        "additionalProperties": {"type": "string"},
        "x-kubernetes-validations": [{"rule": each_key(ANNOTATION_KEY), "message": KEY}],
    });
}

/// What is said of others.
const KEY: &str =
    "a key is a name of at most 63 letters, digits, -, _ and ., such as team; or a domain, / and such a name";

fn each_key(pattern: &str) -> String {
    format!("self.all(key, key.matches(r'{pattern}'))")
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

    /// As a container names it, with what is left empty taken from `default`.
    #[must_use]
    pub fn reference(&self, default: &Self) -> String {
        let repository = if self.repository.is_empty() { &default.repository } else { &self.repository };
        if self.digest.is_empty() {
            format!("{repository}:{}", self.version(default))
        } else {
            format!("{repository}@{}", self.digest)
        }
    }

    /// What the program is, whichever way the image is named.
    #[must_use]
    pub fn version<'a>(&'a self, default: &'a Self) -> &'a str {
        if self.tag.is_empty() { &default.tag } else { &self.tag }
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

#[cfg(test)]
mod tests {
    use crate::api::crd::tests::{takes, takes_key};
    use crate::inject::legal;

    #[test]
    fn what_each_field_takes() {
        let long = "a".repeat(254);
        for part in ["collector", "agent"] {
            for (field, is_empty_taken) in [("image.pullSecrets[]", false), ("priorityClassName", true)] {
                let field = format!("{part}.{field}");
                assert_eq!(takes(&field, ""), is_empty_taken, "{field}");
                for name in ["system-node-critical", "a.b-c", "0"] {
                    assert!(takes(&field, name), "{field}: {name}");
                }
                for name in ["Key", "a_b", "a/b", "-a", "a-", "a..b", "a b", &long] {
                    assert!(!takes(&field, name), "{field}: {name}");
                }
            }
        }
    }

    #[test]
    fn an_image_is_a_name_a_version_and_a_digest() {
        let sum = "0123456789abcdef".repeat(4);
        for image in ["collector.image", "agent.image", "agent.clusterImage"] {
            for (field, taken, refused) in [
                (
                    "repository",
                    ["", "agent", "Registry.corp:5000/a_b/c-d"],
                    ["https://corp/agent", "agent:7", "team/Agent"],
                ),
                ("tag", ["", "v0.159.0", "7.70.0-full_1"], ["-1", ".1", "1:2"]),
                ("digest", ["", &format!("sha256:{sum}"), ""], ["sha256:", &sum, &format!("sha256:{sum}0")]),
            ] {
                let field = format!("{image}.{field}");
                for text in taken {
                    assert!(takes(&field, text), "{field}: {text}");
                }
                for text in refused {
                    assert!(!takes(&field, text), "{field}: {text}");
                }
            }
        }
    }

    #[test]
    fn labels_are_taken_as_the_api_server_takes_them() {
        let (name, longer) = ("a".repeat(63), "a".repeat(64));
        let texts = ["", "team", "A_b-c.9", "0", "not a label", "-a", "a-", "a/b", "ü", &name, &longer];
        let keys = ["example.com/team", "Example.com/team", "a..b/team", "/team", "a/", "a/b/c", "a_b/c"];
        for map in ["collector.podLabels", "collector.nodeSelector", "agent.podLabels", "agent.nodeSelector"] {
            for value in texts {
                assert_eq!(takes(&format!("{map}{{}}"), value), legal::is_label_value(value), "{map}: {value}");
            }
            for key in texts.into_iter().chain(keys) {
                assert_eq!(takes_key(map, key), legal::is_qualified_name(key), "{map}: {key}");
            }
        }
        for key in ["prometheus.io/scrape", "Example.com/Team", "team"] {
            assert!(takes_key("collector.podAnnotations", key), "{key}");
        }
        for key in ["", "a b", "a/b/c", "/team", longer.as_str()] {
            assert!(!takes_key("collector.podAnnotations", key), "{key}");
        }
    }
}
