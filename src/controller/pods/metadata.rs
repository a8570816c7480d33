//! Pods and namespaces by their metadata: what is read of what the API server sends, and nothing else.
//!
//! Two fifths of a pod's bytes are `managedFields`. They are read where a pod without a mark is opted in by a label of its
//! own, which may be younger than the pod; elsewhere they are skipped without an allocation.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::record::{Around, Mark, OwnLabel, Uid};
use crate::api::{OptIn, annotation, label};
use crate::config::Configuration;
use crate::coverage;
use crate::inject::prior::Prior;
use crate::inject::rules::{LeftOut, SYSTEM_NAMESPACES};
use crate::inject::{Pod, Workload};
use crate::namespaces;

/// A pod of whose metadata a record can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says another thing")]
pub struct PodSeen {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Uid,
    pub created: i64,
    /// Kind and name.
    pub workload: (Box<str>, Box<str>),
    pub own: OwnLabel,
    /// It hadn't that label when it was created.
    pub labelled_later: bool,
    pub annotated: bool,
    pub mark: Option<Mark>,
    mirror: bool,
    /// By which configurations exclude: without otelgate's own.
    labels: Box<[(Box<str>, Box<str>)]>,
    /// It is about to go, and nobody's concern any more.
    pub leaving: bool,
}

/// What the engine's view of a pod leaves out.
#[derive(Debug, Deserialize)]
struct Further {
    metadata: FurtherMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FurtherMetadata {
    uid: Box<str>,
    creation_timestamp: Timestamp,
    #[serde(default)]
    deletion_timestamp: Option<Box<str>>,
}

/// A namespace of whose metadata is known what its pods' coverage depends on.
#[derive(Clone, Debug)]
pub struct NamespaceSeen {
    pub name: Box<str>,
    pub around: Around,
}

// === impl PodSeen ===

impl PodSeen {
    /// `None` for what is no pod that the API server would store.
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        let pod = Pod::from_json(json).ok()?;
        let Further { metadata } = serde_json::from_str(json).ok()?;
        let known = &pod.metadata.value;
        let (namespace, name) = (known.namespace.as_str(), known.name.as_str());
        let created = metadata.creation_timestamp;
        let workload = Workload::of(&pod, created);
        let own = OwnLabel::of(pod.label(label::INJECT));
        let prior = Prior::read(&pod);
        let mark = prior.status.as_ref().map(|status| Mark::of(&status.config));
        let is_dated = mark.is_none() && own == OwnLabel::Says(OptIn::Enabled);
        let users = known.labels.iter().filter(|(key, value)| !prior.is_own_label(key, value));
        let labelled = is_dated.then(|| coverage::label_written(&serde_json::from_str(json).ok()?)).flatten();
        Some(Self {
            namespace: namespace.into(),
            name: name.into(),
            uid: uid(&metadata.uid),
            created: created.as_second(),
            workload: (workload.kind().into(), workload.name().unwrap_or(name).into()),
            own,
            labelled_later: labelled.is_some_and(|at| coverage::is_later(at, created)),
            annotated: pod.annotation(label::INJECT).is_some(),
            mark,
            mirror: pod.annotation(annotation::MIRROR).is_some(),
            labels: users.map(|(key, value)| (key.into(), value.into())).collect(),
            leaving: metadata.deletion_timestamp.is_some(),
        })
    }

    /// Whether it is none of otelgate's business, whatever the labels say.
    #[must_use]
    pub fn is_barred(&self, configuration: &Configuration) -> bool {
        let own = |key: &str| self.labels.iter().find(|(one, _)| **one == *key).map(|(_, value)| &**value);
        self.mirror
            || SYSTEM_NAMESPACES.contains(&&*self.namespace)
            || configuration.exclusion(Some(&self.namespace), own).is_some()
    }
}

// === impl NamespaceSeen ===

impl NamespaceSeen {
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(json).ok()?;
        let metadata = &object["metadata"];
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        let read = annotations.clone().filter(|(key, _)| namespaces::is_read(key));
        let around = Around {
            own: OwnLabel::of(metadata["labels"][label::INJECT].as_str()),
            opted_in: coverage::label_written(&object).map(Timestamp::as_second),
            left_alone: None,
            left_out: LeftOut::by(|key| metadata["labels"][key].as_str()),
            annotated: annotations.clone().any(|(key, _)| key == label::INJECT),
            annotations: read.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into()))).collect(),
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
        };
        Some(Self { name: metadata["name"].as_str()?.into(), around })
    }
}

/// A UUID in a sixth of its memory; anything else by its digest.
#[must_use]
pub fn uid(text: &str) -> Uid {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(uid) if digits.len() == 32 => uid.into(),
        _ => {
            let digest = Sha256::digest(text.as_bytes());
            digest.iter().take(16).fold(0, |uid, byte| (uid << 8) | u128::from(*byte)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use serde_json::json;

    #[test]
    fn what_has_no_metadata_of_a_stored_pod_is_none() {
        for json in ["", "[]", "{}", r#"{"metadata":{"name":"a","uid":"u"}}"#, r#"{"metadata":{"labels":7}}"#] {
            assert_eq!(PodSeen::read(json), None, "{json}");
        }
    }

    /// As at admission.
    #[test]
    fn own_labels_bar_nobody() {
        let by_environment = json!({"selector": {"matchLabels": {"tags.datadoghq.com/env": "prod"}}});
        let exclude = vec![serde_json::from_value(by_environment).expect("an exclusion")];
        let document = Document { exclude, ..Document::default() };
        let configuration = Configuration::try_from(document).expect("a configuration");
        let mark = crate::inject::status::Digest::of("prod").to_string();
        for (mark, barred) in [(mark, false), ("00000000".to_owned(), true)] {
            let status =
                json!({"version": "0.1.0", "config": "0", "labels": {"set": {"tags.datadoghq.com/env": mark}}});
            let pod = json!({"metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-02T12:00:00Z",
                "labels": {"tags.datadoghq.com/env": "prod"},
                "annotations": {"otelgate.dev/status": status.to_string()},
            }});
            let seen = PodSeen::read(&pod.to_string()).expect("a pod");
            assert_eq!(seen.is_barred(&configuration), barred);
        }
    }

    #[test]
    fn uids_are_told_apart_whatever_they_look_like() {
        let uids = ["2c1b0f2e-7d0e-4a51-9a52-5a1d7b1f9f10", "2c1b0f2e-7d0e-4a51-9a52-5a1d7b1f9f11", "a", "b", ""];
        for (index, one) in uids.iter().enumerate() {
            assert!(uids.iter().enumerate().all(|(other, two)| (index == other) == (uid(one) == uid(two))), "{one}");
        }
    }

    #[test]
    fn a_namespace_keeps_what_its_pods_depend_on() {
        let json = json!({"metadata": {
            "name": "shop", "uid": "u",
            "labels": {"otelgate.dev/inject": "yes"},
            "annotations": {"otelgate.dev/inject": "enabled", "otelgate.dev/protocol": "grpc", "other": "x"},
            "managedFields": [{"time": "2026-11-02T12:00:00Z",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:otelgate.dev/inject": {}}}}}],
        }});
        let NamespaceSeen { name, around } = NamespaceSeen::read(&json.to_string()).expect("a namespace");
        assert_eq!((&*name, around.own, around.annotated), ("shop", OwnLabel::Invalid, true));
        assert_eq!(around.annotations.len(), 2);
        assert_eq!(around.opted_in, Some(1_793_620_800));
    }
}
