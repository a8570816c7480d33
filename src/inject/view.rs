//! A pod as the engine sees it: borrowed from the review's bytes, and only the fields that a decision reads.
//!
//! Everything else is skipped without an allocation and never written back, so that fields newer than this program
//! survive. `null` counts as absent everywhere; whether a list or map was absent, `null` or empty is kept, because undo
//! has to restore it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::lookup;
use super::owner::Workload;
use crate::json::{self, Error, Read, Reader};

/// A string that borrows from the input unless it has escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

/// How a list or map stood in the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    #[default]
    Absent,
    Null,
    Empty,
    Filled,
}

/// A list, and how it stood in the input.
#[derive(Clone, Debug)]
pub struct List<T> {
    pub presence: Presence,
    pub items: Vec<T>,
}

/// A map of strings in the order of the input, and how it stood there.
#[derive(Clone, Debug, Default)]
pub struct Map<'a> {
    pub presence: Presence,
    entries: Vec<(Text<'a>, Text<'a>)>,
    /// Their places in the order of their keys; empty where that is the order of the input, as it is of API servers.
    order: Vec<usize>,
}

/// A pod, or a pod template.
#[derive(Clone, Debug, Default)]
pub struct Pod<'a> {
    pub metadata: Known<Metadata<'a>>,
    pub spec: Spec<'a>,
    /// Length of the object's JSON, in bytes.
    pub size: usize,
    /// Offline: whose template this is. A pod's own owners say it otherwise.
    pub template_of: Option<Workload<'a>>,
}

/// A struct, and how it stood in the input: [`Presence::Filled`] or not there.
#[derive(Clone, Debug, Default)]
pub struct Known<T> {
    pub presence: Presence,
    pub value: T,
}

#[derive(Clone, Debug, Default)]
pub struct Metadata<'a> {
    pub name: Text<'a>,
    pub generate_name: Text<'a>,
    pub namespace: Text<'a>,
    pub labels: Map<'a>,
    pub annotations: Map<'a>,
    pub owner_references: List<OwnerReference<'a>>,
}

#[derive(Clone, Debug, Default)]
pub struct OwnerReference<'a> {
    pub api_version: Text<'a>,
    pub kind: Text<'a>,
    pub name: Text<'a>,
    pub controller: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Spec<'a> {
    pub containers: List<Container<'a>>,
    pub init_containers: List<Container<'a>>,
    pub dns_policy: Text<'a>,
    pub host_network: bool,
    pub os: Os<'a>,
    pub node_selector: Map<'a>,
}

#[derive(Clone, Debug, Default)]
pub struct Os<'a> {
    pub name: Text<'a>,
}

#[derive(Clone, Debug, Default)]
pub struct Container<'a> {
    pub name: Text<'a>,
    pub image: Text<'a>,
    pub env: List<Variable<'a>>,
    pub env_from: List<Unread>,
}

/// An entry of a container's `env`.
#[derive(Clone, Debug, Default)]
pub struct Variable<'a> {
    pub name: Text<'a>,
    pub value: Known<Text<'a>>,
    pub value_from: Known<ValueFrom<'a>>,
}

#[derive(Clone, Debug, Default)]
pub struct ValueFrom<'a> {
    pub field_ref: FieldRef<'a>,
}

#[derive(Clone, Debug, Default)]
pub struct FieldRef<'a> {
    pub field_path: Text<'a>,
}

/// Something of which only matters that it's there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unread;

json::fields! {
    Pod { "metadata" => metadata, "spec" => spec }
    Metadata {
        "name" => name, "generateName" => generate_name, "namespace" => namespace, "labels" => labels,
        "annotations" => annotations, "ownerReferences" => owner_references
    }
    OwnerReference { "apiVersion" => api_version, "kind" => kind, "name" => name, "controller" => controller }
    Spec {
        "containers" => containers, "initContainers" => init_containers, "dnsPolicy" => dns_policy,
        "hostNetwork" => host_network, "os" => os, "nodeSelector" => node_selector
    }
    Os { "name" => name }
    Container { "name" => name, "image" => image, "env" => env, "envFrom" => env_from }
    Variable { "name" => name, "value" => value, "valueFrom" => value_from }
    ValueFrom { "fieldRef" => field_ref }
    FieldRef { "fieldPath" => field_path }
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Reads a pod or a pod template from its JSON.
    ///
    /// # Errors
    /// When a field that a decision reads is of the wrong type, or the text is no JSON.
    pub fn from_json(json: &'a str) -> Result<Self, Error> {
        let mut pod: Self = json::read(json)?;
        pod.size = json.len();
        Ok(pod)
    }

    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.value.labels.get(key)
    }

    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.value.annotations.get(key)
    }

    /// Regular containers, then init containers.
    pub fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.spec.containers.items.iter().chain(&self.spec.init_containers.items).inspect(|_| lookup::step())
    }
}

// === impl Metadata ===

impl Metadata<'_> {
    /// The name that somebody gave it: none that the API server made, or will make, from `generateName`. A pod is seen
    /// before that and, captured, after it, and means the same.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        /// Characters that the API server appends; it cuts the beginning where the name would be too long.
        const RANDOM: usize = 5;
        let (name, beginning) = (self.name.as_str(), self.generate_name.as_str());
        let made =
            !beginning.is_empty()
                && name.len().checked_sub(RANDOM).and_then(|kept| name.get(..kept)).is_some_and(|kept| {
                    beginning.starts_with(kept) && (kept.len() == beginning.len() || name.len() >= 63)
                });
        (!name.is_empty() && !made).then_some(name)
    }
}

impl<'a> Metadata<'a> {
    /// The owner that made it, and makes another where it goes.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.owner_references.items.iter().find(|owner| owner.controller)
    }
}

// === impl OwnerReference ===

impl OwnerReference<'_> {
    /// API group and kind: the group tells a Job of Kubernetes from one of Volcano.
    #[must_use]
    pub fn group_kind(&self) -> (&str, &str) {
        let group = self.api_version.as_str().split_once('/').map_or("", |(group, _)| group);
        (group, self.kind.as_str())
    }
}

// === impl Map ===

impl Map<'_> {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The first of that key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&str, &str)> {
        let at = lookup::first(self.entries.len(), |at| self.at(at).0, key)?;
        Some(self.at(at))
    }

    /// The value of a key that is given in parts, and isn't put together for that.
    #[must_use]
    pub fn get_joined(&self, parts: &[&str]) -> Option<&str> {
        let bytes = || parts.iter().flat_map(|part| part.bytes());
        let at = lookup::first_by(self.entries.len(), |at| self.at(at).0.bytes().cmp(bytes()))?;
        Some(self.at(at).1)
    }

    /// By the order of the keys.
    fn at(&self, at: usize) -> (&str, &str) {
        let (key, value) = &self.entries[self.order.get(at).copied().unwrap_or(at)];
        (&*key.0, &*value.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().inspect(|_| lookup::step()).map(|(key, value)| (&*key.0, &*value.0))
    }

    fn put_in_order(&mut self) {
        let entries = &self.entries;
        self.order.clear();
        if !entries.is_sorted_by(|(one, _), (other, _)| one.0 <= other.0) {
            self.order.extend(0..entries.len());
            self.order.sort_by(|one, other| entries[*one].0.0.cmp(&entries[*other].0.0));
        }
    }
}

impl<'a> Read<'a> for Map<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let entries = &mut self.entries;
        reader.object(|reader, key| {
            let mut value = Text::default();
            reader.field(&mut value)?;
            if entries.is_empty() {
                entries.reserve(8);
            }
            entries.push((Text(key), value));
            Ok(())
        })?;
        self.presence = if entries.is_empty() { Presence::Empty } else { Presence::Filled };
        self.put_in_order();
        Ok(())
    }

    fn read_null(&mut self) {
        self.presence = Presence::Null;
    }
}

// === impl List ===

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { presence: Presence::Absent, items: Vec::new() }
    }
}

impl<'a, T: Read<'a>> Read<'a> for List<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let items = &mut self.items;
        reader.list(|reader| items.push_mut(T::default()).read(reader))?;
        self.presence = if items.is_empty() { Presence::Empty } else { Presence::Filled };
        Ok(())
    }

    fn read_null(&mut self) {
        self.presence = Presence::Null;
    }
}

// === impl Text ===

impl Text<'_> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Read<'a> for Text<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.0 = reader.string()?;
        Ok(())
    }
}

// === impl Known ===

impl<'a, T: Read<'a>> Read<'a> for Known<T> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.presence = Presence::Filled;
        self.value.read(reader)
    }

    fn read_null(&mut self) {
        self.presence = Presence::Null;
    }
}

// === impl Unread ===

impl<'a> Read<'a> for Unread {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.skip().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::{Value, json};

    use super::*;

    /// The text of a value in which every string is written by escapes alone.
    fn escaped(value: &Value) -> String {
        let string = |text: &str| {
            let units = text.encode_utf16().fold(String::new(), |mut units, unit| {
                write!(units, "\\u{unit:04x}").expect("memory");
                units
            });
            format!("\"{units}\"")
        };
        match value {
            Value::String(text) => string(text),
            Value::Array(items) => format!("[{}]", items.iter().map(escaped).collect::<Vec<_>>().join(",")),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| format!("{}:{}", string(key), escaped(value)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn a_key_is_found_by_its_parts() {
        for text in [
            r#"{"metadata":{"labels":{"a/b.c":"1","a/b.d":"2","a/b":"3"}}}"#,
            r#"{"metadata":{"labels":{"a/b":"3","a/b.c":"1","a/b.d":"2","a/c.b.d":"4"}}}"#,
        ] {
            let pod = read(text);
            let get = |parts: &[&str]| pod.metadata.value.labels.get_joined(parts);
            assert_eq!(
                [get(&["a/", "b", ".", "d"]), get(&["a/", "b.c"]), get(&["a/b", ""]), get(&["a/", "b", "."])],
                [Some("2"), Some("1"), Some("3"), None]
            );
        }
    }

    fn read(text: &str) -> Pod<'_> {
        Pod { size: 0, ..Pod::from_json(text).expect("a pod") }
    }

    #[test]
    fn a_pod_is_the_same_however_it_is_written() {
        let pod = json!({
            "metadata": {
                "name": "web-0", "generateName": "web-", "namespace": "shop", "labels": { "a/b": "ü\u{1f600}", "c": null },
                "annotations": {}, "managedFields": [{ "fieldsV1": { "k:{\"name\":\"web\"}": { ".": {} } } }],
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": true }],
            },
            "spec": {
                "containers": [
                    { "name": "web", "image": "web:1", "ports": [{ "containerPort": 80 }], "envFrom": [{}, null], "env": [
                        { "name": "A", "value": "\"]}" }, { "name": "B", "value": null },
                        { "name": "C", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                    ] },
                ],
                "initContainers": null, "hostNetwork": true, "dnsPolicy": "None", "os": { "name": "linux" },
                "nodeSelector": { "d": "e" },
            },
            "status": [[{ "}": "]" }]],
        });
        let compact = pod.to_string();
        let expected = format!("{:?}", read(&compact));
        assert!(expected.contains("\"metadata.name\"") && expected.contains("\"e\""), "{expected}");
        for other in [serde_json::to_string_pretty(&pod).expect("JSON"), escaped(&pod)] {
            assert_eq!(format!("{:?}", read(&other)), expected);
        }
    }

    /// Nor anything else that isn't what it stands for, in a part that is read.
    #[test]
    fn no_field_stands_twice_and_null_is_no_item() {
        for text in [
            "null",
            "[]",
            "{} {}",
            r#"{"spec":{},"spec":{}}"#,
            r#"{"spec":{},"\u0073pec":null}"#,
            r#"{"metadata":{"name":"a","name":"a"}}"#,
            r#"{"spec":{"containers":[null]}}"#,
            r#"{"spec":{"containers":[{"env":[null]}]}}"#,
            r#"{"spec":{"containers":{}}}"#,
            r#"{"spec":[]}"#,
            r#"{"spec":{"hostNetwork":1}}"#,
            r#"{"spec":{"dnsPolicy":"\udc00"}}"#,
            r#"{"metadata":{"labels":{"a":1}}}"#,
            r#"{"metadata":{"labels":{"\ud800":"a"}}}"#,
            r#"{"kind":nul}"#,
            r#"{"priority":01}"#,
            r#"{"priority":1e}"#,
        ] {
            assert!(Pod::from_json(text).is_err(), "{text}");
        }
        assert!(
            read(r#"{"spec":{"containers":[{"envFrom":[null]}]},"priority":1e400}"#).spec.containers.items.len() == 1
        );
    }

    #[test]
    fn how_a_list_or_map_stood_is_kept() {
        for (env, presence) in [
            ("", Presence::Absent),
            (r#""env":null,"#, Presence::Null),
            (r#""env":[],"#, Presence::Empty),
            (r#""env":[{}],"#, Presence::Filled),
        ] {
            let json = format!(r#"{{"spec":{{"containers":[{{{env}"name":"a"}}]}}}}"#);
            assert_eq!(read(&json).spec.containers.items[0].env.presence, presence, "{env}");
        }
        let metadata = |json| read(json).metadata.presence;
        assert_eq!(
            [metadata("{}"), metadata(r#"{"metadata":null}"#), metadata(r#"{"metadata":{}}"#)],
            [Presence::Absent, Presence::Null, Presence::Filled]
        );
    }
}
