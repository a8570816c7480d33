//! A revision: a configuration and the pod that runs it, under the hash of both.
//!
//! It stands in an immutable `ConfigMap` of its own, so that what once ran well can be gone back to whatever the spec
//! says by then. Its name is made from its content: one that was tampered with isn't one. How its trial ended counts only
//! as the controller wrote it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::trial::Mark;
use crate::api::annotation;
use crate::collector::Carries;
use crate::controller::objects::has_annotated;
use crate::k8s::{ConfigMap, Resource as _, ResourceExt as _};

/// What runs on a node, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub hash: String,
    /// The Collector's configuration.
    pub configuration: String,
    /// The template of its pod as JSON, without what differs between nodes and rollouts.
    pub pod: String,
    /// What it does by its configuration, where it is one.
    pub carries: Option<Carries>,
}

/// A revision that stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub revision: Revision,
    pub mark: Mark,
    /// As in `creationTimestamp`.
    pub created: String,
}

/// The keys of a `ConfigMap` that has one.
pub const CONFIGURATION: &str = "config.yaml";
pub const POD: &str = "pod.json";
/// Name of the copy for people, and with a hash behind it of each revision's.
pub const CONFIG_MAP: &str = "otel-collector-config";

/// So many bytes of a digest tell revisions apart.
const BYTES: usize = 5;

// === impl Revision ===

impl Revision {
    #[must_use]
    pub fn new(configuration: String, pod: &Value) -> Self {
        Self::of_texts(configuration, pod.to_string())
    }

    fn of_texts(configuration: String, pod: String) -> Self {
        let digest = Sha256::new().chain_update(&configuration).chain_update(b"\0").chain_update(&pod).finalize();
        let hash = digest.iter().take(BYTES).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let carries = Carries::of(&configuration);
        Self { hash, configuration, pod, carries }
    }

    #[must_use]
    pub fn config_map_name(&self) -> String {
        format!("{CONFIG_MAP}-{}", self.hash)
    }

    /// The template of its pod.
    #[must_use]
    pub fn template(&self) -> Value {
        serde_json::from_str(&self.pod).unwrap_or_default()
    }

    /// What a `ConfigMap` holds, whatever it's called.
    #[must_use]
    pub fn in_config_map(map: &ConfigMap) -> Option<Self> {
        let text = |key: &str| map.data.as_ref()?.get(key).cloned();
        Some(Self::of_texts(text(CONFIGURATION)?, text(POD)?))
    }

    /// The `ConfigMap` that Collectors mount.
    #[must_use]
    pub fn config_map(&self, mark: &Mark) -> Value {
        let mut map = self.data(&self.config_map_name());
        map["immutable"] = true.into();
        if *mark != Mark::Untried {
            map["metadata"]["annotations"] = json!({annotation::TRIAL: json!(mark).to_string()});
        }
        map
    }

    /// The copy for people.
    #[must_use]
    pub fn copy(&self) -> Value {
        let mut map = self.data(CONFIG_MAP);
        map["metadata"]["annotations"] = json!({annotation::REVISION: self.hash});
        map
    }

    fn data(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {CONFIGURATION: self.configuration, POD: self.pod},
        })
    }
}

// === impl Stored ===

impl Stored {
    /// What a `ConfigMap` of ours holds, unless it's the copy, or not what its name says.
    #[must_use]
    pub fn of(map: &ConfigMap) -> Option<Self> {
        let revision = Revision::in_config_map(map)?;
        if map.name_any() != revision.config_map_name() {
            return None;
        }
        let mark = map.annotations().get(annotation::TRIAL).filter(|_| has_annotated(map.meta(), annotation::TRIAL));
        let mark = mark.and_then(|mark| serde_json::from_str(mark).ok()).unwrap_or_default();
        let created = map.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default();
        Some(Self { revision, mark, created })
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Cause, Fault};
    use super::*;
    use crate::api::object;

    /// As the API server has it once the controller has applied it.
    fn stored(change: impl FnOnce(&mut Value)) -> Option<Stored> {
        let fault = Fault { node: "a".to_owned(), cause: Cause::Collector, words: "Error: no".to_owned(), key: None };
        let mut map = Revision::new("a: 1\n".to_owned(), &json!({"spec": {}})).config_map(&Mark::Failed(fault));
        map["metadata"]["managedFields"] = json!([{
            "manager": object::FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {format!("f:{}", annotation::TRIAL): {}}}},
        }]);
        change(&mut map);
        Stored::of(&serde_json::from_value(map).expect("a ConfigMap"))
    }

    #[test]
    fn what_is_stored_comes_back_with_the_trials_end() {
        let stored = stored(|_| {}).expect("a revision");
        assert_eq!(stored.revision, Revision::new("a: 1\n".to_owned(), &json!({"spec": {}})));
        let Mark::Failed(fault) = stored.mark else { panic!("it failed") };
        assert_eq!((fault.node.as_str(), fault.words.as_str()), ("a", "Error: no"));
    }

    #[test]
    fn one_that_was_tampered_with_is_none() {
        assert_eq!(stored(|map| map["data"][CONFIGURATION] = json!("a: 2\n")), None);
        assert_eq!(stored(|map| map["data"][POD] = json!("{}")), None);
        assert_eq!(stored(|map| map["data"] = json!(null)), None);
        assert_eq!(stored(|map| map["metadata"]["name"] = json!(CONFIG_MAP)), None);
        let untold = stored(|map| map["metadata"]["annotations"][annotation::TRIAL] = json!("{")).expect("a revision");
        assert_eq!(untold.mark, Mark::Untried);
    }

    /// Of a field that somebody else changes, the API server says that it is theirs.
    #[test]
    fn a_trials_end_that_somebody_else_wrote_is_none() {
        type Change = fn(&mut Value);
        let changes: [Change; 4] = [
            |field| field["manager"] = json!("kubectl-annotate"),
            |field| field["operation"] = json!("Update"),
            |field| field["fieldsV1"] = json!({"f:metadata": {"f:annotations": {}}, "f:data": {}}),
            |field| *field = json!({}),
        ];
        for change in changes {
            let untold = stored(|map| {
                map["metadata"]["annotations"][annotation::TRIAL] = json!("\"passed\"");
                change(&mut map["metadata"]["managedFields"][0]);
            });
            assert_eq!(untold.expect("a revision").mark, Mark::Untried);
        }
        let told = stored(|map| map["metadata"]["annotations"][annotation::TRIAL] = json!("\"passed\""));
        assert_eq!(told.expect("a revision").mark, Mark::Passed);
    }
}
