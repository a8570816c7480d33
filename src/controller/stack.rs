//! The `TelemetryStack` as the controller sees it.
//!
//! It is watched without a type: an object that an older or looser schema let through is one whose faults are told in
//! its status, and never one that keeps the others from being seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::api::object;
use crate::api::stack::{
    Agent, AgentMode, Certificates, Collector, CollectorMode, Datadog, Egress, Exporter, Repair, TelemetryStack,
};
use crate::k8s::{Api, ApiResource, Client, DynamicObject, OwnerReference, Resource, ResourceExt as _, watcher};
use crate::watch::{self as watching, Health, Objects};

/// A part of the spec, or what is wrong with it.
pub type Part<T> = Result<T, String>;

/// The one `TelemetryStack` that counts, without its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    pub uid: String,
    pub generation: i64,
    /// `spec.injection` as it was written.
    pub injection: Value,
    pub certificates: Part<Certificates>,
    pub datadog: Part<Datadog>,
    pub egress: Part<Egress>,
    pub collector: Part<Collector>,
    pub agent: Part<Agent>,
    pub repair: Part<Repair>,
}

/// What the status writer sees of every `TelemetryStack`, by name.
pub type Written = BTreeMap<String, Status>;

/// What stands in one's status.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub uid: String,
    pub generation: i64,
    pub status: Value,
}

/// Publishes what the watch sees.
pub struct Publishers {
    pub stack: watch::Sender<Option<Arc<Stack>>>,
    pub written: watch::Sender<Arc<Written>>,
}

// === impl Stack ===

impl Stack {
    #[must_use]
    pub fn of(object: &DynamicObject) -> Self {
        let spec = &object.data["spec"];
        Self::new(object.uid().unwrap_or_default(), object.metadata.generation.unwrap_or_default(), spec)
    }

    #[must_use]
    pub fn new(uid: String, generation: i64, spec: &Value) -> Self {
        Self {
            uid,
            generation,
            injection: written(spec, "injection"),
            certificates: part(spec, "certificates"),
            datadog: part(spec, "datadog"),
            egress: part(spec, "egress"),
            collector: part(spec, "collector"),
            agent: part(spec, "agent"),
            repair: part(spec, "repair"),
        }
    }

    /// Whether a Collector or an Agent of otelgate's sends with Datadog's API key.
    ///
    /// # Errors
    /// The fault of the part of the spec that says so.
    pub fn sends_with_the_key(&self) -> Part<bool> {
        let collector = self.collector.as_ref().map_err(Clone::clone)?;
        let agent = self.agent.as_ref().map_err(Clone::clone)?;
        let of_collector = collector.mode == CollectorMode::Managed && collector.exporter != Exporter::Agent;
        Ok(of_collector || !matches!(agent.mode, AgentMode::Disabled | AgentMode::Adopt))
    }

    /// Names it as the owner of what is made for it, so that it all goes with it.
    #[must_use]
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: TelemetryStack::api_version(&()).into_owned(),
            kind: TelemetryStack::kind(&()).into_owned(),
            name: object::STACK.to_owned(),
            uid: self.uid.clone(),
            ..OwnerReference::default()
        }
    }
}

fn written(spec: &Value, name: &str) -> Value {
    match &spec[name] {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value.clone(),
    }
}

fn part<T: DeserializeOwned>(spec: &Value, name: &str) -> Part<T> {
    serde_json::from_value(written(spec, name)).map_err(|error| format!("spec.{name}: {error}"))
}

// === impl Publishers ===

impl Publishers {
    /// Wakes only those who look at what has changed.
    fn publish(&self, objects: &Objects<DynamicObject>) {
        // What is on its way out, with all that it owns, isn't built up again.
        let stack = objects.get(object::STACK).filter(|one| one.metadata.deletion_timestamp.is_none()).map(Stack::of);
        self.stack.send_if_modified(|published| {
            let changed = published.as_deref() != stack.as_ref();
            if changed {
                *published = stack.map(Arc::new);
            }
            changed
        });
        let written: Written = objects
            .iter()
            .filter(|(_, one)| one.metadata.deletion_timestamp.is_none())
            .map(|(name, one)| {
                let generation = one.metadata.generation.unwrap_or_default();
                let uid = one.uid().unwrap_or_default();
                (name.clone(), Status { uid, generation, status: one.data["status"].clone() })
            })
            .collect();
        self.written.send_if_modified(|published| {
            let changed = **published != written;
            if changed {
                *published = Arc::new(written);
            }
            changed
        });
    }
}

/// What the API server calls the kind.
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource::erase::<TelemetryStack>(&())
}

/// Publishes every change. Never returns.
pub async fn watch(client: Client, publishers: Publishers, health: Arc<Health>) {
    let api = Api::<DynamicObject>::all_with(client, &resource());
    watching::objects(api, watcher::Config::default(), &health, |objects| publishers.publish(objects)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, content: &Value) -> DynamicObject {
        let mut object = DynamicObject::new(name, &resource()).data(content.clone());
        object.metadata.uid = Some("u".to_owned());
        object.metadata.generation = Some(3);
        object
    }

    fn published(objects: &[DynamicObject]) -> (Option<Arc<Stack>>, Vec<String>) {
        let (stack, stacks) = watch::channel(None);
        let (written, all) = watch::channel(Arc::default());
        let objects = objects.iter().map(|one| (one.name_any(), one.clone())).collect();
        Publishers { stack, written }.publish(&objects);
        let names = all.borrow().keys().cloned().collect();
        (stacks.borrow().clone(), names)
    }

    #[test]
    fn one_that_is_malformed_is_seen_all_the_same() {
        for spec in [json!(null), json!("x"), json!({"injection": 7, "certificates": []}), json!([1])] {
            let (stack, names) = published(&[object("default", &json!({"spec": spec})), object("b", &json!({}))]);
            let stack = stack.unwrap_or_else(|| panic!("{spec} is seen"));
            assert_eq!((stack.generation, stack.uid.as_str()), (3, "u"));
            assert_eq!(names, ["b", "default"]);
        }
        let (stack, _) = published(&[object("default", &json!({"spec": {"certificates": {"provider": "me"}}}))]);
        let fault = stack.expect("seen").certificates.clone().expect_err("there is no such provider");
        assert!(fault.starts_with("spec.certificates: unknown variant `me`"), "{fault}");
    }

    #[test]
    fn only_the_one_named_default_counts() {
        assert_eq!(published(&[object("other", &json!({}))]).0, None);
        let (stack, _) = published(&[object("default", &json!({"spec": {"injection": {"mode": "observe"}}}))]);
        assert_eq!(stack.expect("seen").injection, json!({"mode": "observe"}));
    }

    #[test]
    fn one_that_is_being_deleted_is_gone() {
        let mut leaving = object("default", &json!({}));
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
        assert_eq!(published(&[leaving]), (None, vec![]));
    }

    #[test]
    fn a_change_of_the_status_alone_wakes_nobody_else() {
        let (stack, mut stacks) = watch::channel(None);
        let (written, mut all) = watch::channel(Arc::default());
        let publishers = Publishers { stack, written };
        let publish = |status: Value| {
            let one = object("default", &json!({"spec": {}, "status": status}));
            publishers.publish(&Objects::from([("default".to_owned(), one)]));
        };
        publish(json!({}));
        stacks.mark_unchanged();
        all.mark_unchanged();
        publish(json!({"observedGeneration": 3}));
        assert!(!stacks.has_changed().expect("open") && all.has_changed().expect("open"));
    }
}
