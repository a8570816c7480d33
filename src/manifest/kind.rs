//! Which objects have a pod template, where it stands, and whose pods it makes.

use std::borrow::Cow;

use serde_json::Value;

use crate::inject::Workload;

/// A kind with a pod template.
struct Kind {
    group: &'static str,
    name: &'static str,
    /// A JSON pointer; empty where the object is the pod itself.
    template: &'static str,
    workload: fn(&str) -> Workload<'_>,
}

#[rustfmt::skip]
const KINDS: [Kind; 10] = [
    Kind { group: "", name: "Pod", template: "", workload: |name| Workload::Pod((!name.is_empty()).then_some(Cow::Borrowed(name))) },
    Kind { group: "", name: "PodTemplate", template: "/template", workload: |name| other("PodTemplate", name) },
    Kind { group: "", name: "ReplicationController", template: "/spec/template", workload: |name| other("ReplicationController", name) },
    Kind { group: "apps", name: "Deployment", template: "/spec/template", workload: |name| Workload::Deployment { name: name.into(), replica_set: None } },
    Kind { group: "apps", name: "StatefulSet", template: "/spec/template", workload: |name| Workload::StatefulSet(name.into()) },
    Kind { group: "apps", name: "DaemonSet", template: "/spec/template", workload: |name| Workload::DaemonSet(name.into()) },
    Kind { group: "apps", name: "ReplicaSet", template: "/spec/template", workload: |name| Workload::ReplicaSet(name.into()) },
    Kind { group: "batch", name: "Job", template: "/spec/template", workload: |name| Workload::Job(name.into()) },
    Kind { group: "batch", name: "CronJob", template: "/spec/jobTemplate/spec/template", workload: |name| Workload::CronJob { name: name.into(), job: None } },
    Kind { group: "argoproj.io", name: "Rollout", template: "/spec/template", workload: |name| Workload::Rollout { name: name.into(), replica_set: None } },
];

fn other<'a>(kind: &'static str, name: &'a str) -> Workload<'a> {
    Workload::Other { kind: kind.into(), name: name.into() }
}

/// An object with a pod template.
#[derive(Clone, Debug)]
pub struct Templated<'a> {
    pub object: Object<'a>,
    /// JSON pointer of the object, from the document's root: empty but in a list.
    pub pointer: String,
    /// JSON pointer of the pod template, from the document's root.
    pub template: String,
    /// Whose template it is; `None` for a pod, which says so itself.
    pub workload: Option<Workload<'a>>,
}

/// What a report calls an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    /// Empty for one that only has a `generateName`.
    pub name: &'a str,
}

/// All objects of a document with a pod template, those in lists included.
#[must_use]
pub fn templated(document: &Value) -> Vec<Templated<'_>> {
    objects(document).into_iter().filter_map(|(pointer, value)| template(&pointer, value)).collect()
}

/// All Kubernetes objects of a document, with their JSON pointers: itself, or what its lists hold.
#[must_use]
pub fn objects(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(document, String::new(), &mut found);
    found
}

fn collect<'a>(value: &'a Value, pointer: String, found: &mut Vec<(String, &'a Value)>) {
    let (Some(_), Some(kind)) = (text(value, "apiVersion"), text(value, "kind")) else { return };
    match value.get("items") {
        Some(Value::Array(items)) if kind.ends_with("List") => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{pointer}/items/{index}"), found);
            }
        }
        _ => found.push((pointer, value)),
    }
}

fn template<'a>(pointer: &str, value: &'a Value) -> Option<Templated<'a>> {
    let (group, kind) = (group(value), text(value, "kind")?);
    let known = KINDS.iter().find(|known| known.name == kind && known.group == group)?;
    value.pointer(known.template)?.as_object()?;
    let object = object(value);
    let workload =
        (!known.template.is_empty()).then(|| owner(value, kind).unwrap_or_else(|| (known.workload)(object.name)));
    Some(Templated { object, pointer: pointer.to_owned(), template: format!("{pointer}{}", known.template), workload })
}

/// The Deployment, Rollout or `CronJob` behind an object that was taken from a cluster.
fn owner<'a>(value: &'a Value, kind: &str) -> Option<Workload<'a>> {
    let name = object(value).name;
    let owners = value.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let owner_name = text(owner, "name")?;
    let behind = || Some(Cow::Borrowed(name));
    match (kind, group(owner), text(owner, "kind")?) {
        ("ReplicaSet", "apps", "Deployment") => {
            Some(Workload::Deployment { name: owner_name.into(), replica_set: behind() })
        }
        ("ReplicaSet", "argoproj.io", "Rollout") => {
            Some(Workload::Rollout { name: owner_name.into(), replica_set: behind() })
        }
        ("Job", "batch", "CronJob") => Some(Workload::CronJob { name: owner_name.into(), job: behind() }),
        _ => None,
    }
}

/// Kind, namespace and name of an object.
#[must_use]
pub fn object(value: &Value) -> Object<'_> {
    let metadata = value.get("metadata");
    let field = |name| metadata.and_then(|metadata| text(metadata, name)).filter(|text| !text.is_empty());
    Object {
        kind: text(value, "kind").unwrap_or_default(),
        namespace: field("namespace"),
        name: field("name").unwrap_or_default(),
    }
}

/// Whether it is a Kubernetes object of that kind, in the core group.
#[must_use]
pub fn is_core(value: &Value, kind: &str) -> bool {
    text(value, "apiVersion") == Some("v1") && text(value, "kind") == Some(kind)
}

fn group(value: &Value) -> &str {
    text(value, "apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}
