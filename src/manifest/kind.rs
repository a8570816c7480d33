//! Which objects have a pod template, where it stands, and whose pods it makes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::shape;
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
const KINDS: [Kind; 14] = [
    Kind { group: "", name: "Pod", template: "", workload: |name| Workload::Pod((!name.is_empty()).then_some(Cow::Borrowed(name))) },
    Kind { group: "", name: "PodTemplate", template: "/template", workload: |name| other("", "PodTemplate", name) },
    Kind { group: "", name: "ReplicationController", template: "/spec/template", workload: |name| other("", "ReplicationController", name) },
    Kind { group: "apps", name: "Deployment", template: "/spec/template", workload: |name| Workload::Deployment { name: name.into(), replica_set: None } },
    Kind { group: "apps", name: "StatefulSet", template: "/spec/template", workload: |name| Workload::StatefulSet(name.into()) },
    Kind { group: "apps", name: "DaemonSet", template: "/spec/template", workload: |name| Workload::DaemonSet(name.into()) },
    Kind { group: "apps", name: "ReplicaSet", template: "/spec/template", workload: |name| Workload::ReplicaSet(name.into()) },
    Kind { group: "batch", name: "Job", template: "/spec/template", workload: |name| Workload::Job(name.into()) },
    Kind { group: "batch", name: "CronJob", template: "/spec/jobTemplate/spec/template", workload: |name| Workload::CronJob { name: name.into(), job: None } },
    Kind { group: "argoproj.io", name: "Rollout", template: "/spec/template", workload: |name| Workload::Rollout { name: name.into(), replica_set: None } },
    Kind { group: KRUISE, name: "CloneSet", template: "/spec/template", workload: |name| other(KRUISE, "CloneSet", name) },
    Kind { group: KRUISE, name: "StatefulSet", template: "/spec/template", workload: |name| other(KRUISE, "StatefulSet", name) },
    Kind { group: KRUISE, name: "DaemonSet", template: "/spec/template", workload: |name| other(KRUISE, "DaemonSet", name) },
    Kind { group: KRUISE, name: "BroadcastJob", template: "/spec/template", workload: |name| other(KRUISE, "BroadcastJob", name) },
];

/// Its workloads own their pods themselves.
const KRUISE: &str = "apps.kruise.io";

/// Where other custom resources have their pod template.
const USUAL: &str = "/spec/template";

/// Refuses references to fields of the pod in the templates of its Services and Configurations.
const KNATIVE: &str = "serving.knative.dev";

fn other<'a>(group: &'a str, kind: &'a str, name: &'a str) -> Workload<'a> {
    Workload::Other { group: group.into(), kind: kind.into(), name: name.into() }
}

/// An object with a pod template.
#[derive(Clone, Debug)]
pub struct Templated<'a> {
    pub object: Object<'a>,
    /// JSON pointer of the object, from the document's root: empty but in a list.
    pub pointer: String,
    /// JSON pointer of the pod template, from the document's root; where something on the way to it is no map, of that.
    pub template: String,
    /// Whose template it is, whoever owns that; `None` for a pod, which says so itself.
    pub workload: Option<Workload<'a>>,
}

/// A Kubernetes object of a document.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// JSON pointer from the document's root.
    pub pointer: String,
    pub value: &'a Value,
    api_version: &'a str,
    kind: &'a str,
}

/// What a report calls an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    /// Empty for one that only has a `generateName`.
    pub name: &'a str,
    /// What the API server begins the name with that it makes; empty where there is none.
    pub generate_name: &'a str,
}

/// All objects of a document with a pod template, those in lists included.
#[must_use]
pub fn templated(document: &Value) -> Vec<Templated<'_>> {
    objects(document).into_iter().filter_map(template).collect()
}

/// All Kubernetes objects of a document: itself, or what its lists hold.
#[must_use]
pub fn objects(document: &Value) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    collect(document, String::new(), None, &mut found);
    found
}

/// In a list of one kind, as the API server answers it, the items don't say theirs; kubectl reads them so too.
fn collect<'a>(value: &'a Value, pointer: String, of_list: Option<(&'a str, &'a str)>, found: &mut Vec<Found<'a>>) {
    let own = text(value, "apiVersion").zip(text(value, "kind"));
    let Some((api_version, kind)) = own.or(of_list.filter(|_| value.get("kind").is_none())) else { return };
    match value.get("items") {
        Some(Value::Array(items)) if kind.ends_with("List") => {
            let of_list = kind.strip_suffix("List").filter(|kind| !kind.is_empty()).map(|kind| (api_version, kind));
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{pointer}/items/{index}"), of_list, found);
            }
        }
        _ => found.push(Found { pointer, value, api_version, kind }),
    }
}

fn template(found: Found<'_>) -> Option<Templated<'_>> {
    let Found { pointer, value, kind, .. } = found;
    let group = group(found.api_version);
    let known = KINDS.iter().find(|known| known.name == kind && known.group == group);
    if known.is_none() && !is_custom_workload(value, group) {
        return None;
    }
    let way = way(value, known.map_or(USUAL, |known| known.template))?;
    let object = Object { kind, ..object(value) };
    let workload = match known {
        Some(known) if known.template.is_empty() => None,
        Some(known) => Some((known.workload)(object.name)),
        // Its controller may give the pods to a Deployment, say, whose name only that controller knows.
        None => Some(other(group, kind, "")),
    };
    let template = format!("{pointer}{way}");
    Some(Templated { object, pointer, template, workload })
}

/// Whether a resource of a kind that isn't known here has what can only be a pod template that takes what is written.
fn is_custom_workload(value: &Value, group: &str) -> bool {
    // Every group of custom resources has a dot.
    let may_be = group.contains('.') && group != KNATIVE;
    may_be && value.pointer(USUAL).is_some_and(is_pod_template)
}

/// Whether a template has a name for each container, the types that a pod has, and labels or annotations: without those,
/// nothing shows that the definition of its kind keeps any.
fn is_pod_template(template: &Value) -> bool {
    let has_keys = |map: &str| template.pointer(map).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    let list = |name: &str| template.pointer(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (containers, others) = (list("/spec/containers"), list("/spec/initContainers"));
    let mut names = BTreeSet::new();
    let mut is_new = |name: &str| !name.is_empty() && names.insert(name.to_owned());
    !containers.is_empty()
        && containers.iter().chain(others).all(|container| text(container, "name").is_some_and(&mut is_new))
        && (has_keys("/metadata/labels") || has_keys("/metadata/annotations"))
        && shape::POD.misfit(template).is_none()
}

/// The part of a pointer that leads to a map, or to what stands in the way of one; nothing where nothing stands there.
fn way<'p>(object: &Value, pointer: &'p str) -> Option<&'p str> {
    let (mut value, mut end) = (object, 0);
    for step in pointer.split('/').skip(1) {
        if !value.is_object() {
            break;
        }
        value = value.get(step)?;
        end += 1 + step.len();
    }
    (!value.is_null()).then(|| &pointer[..end])
}

/// Kind, namespace and name of an object that says its kind.
fn object(value: &Value) -> Object<'_> {
    let metadata = value.get("metadata");
    let field = |name| metadata.and_then(|metadata| text(metadata, name)).filter(|text| !text.is_empty());
    Object {
        kind: text(value, "kind").unwrap_or_default(),
        namespace: field("namespace"),
        name: field("name").unwrap_or_default(),
        generate_name: field("generateName").unwrap_or_default(),
    }
}

/// API group and kind of all that are known.
#[cfg(test)]
pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|kind| (kind.group, kind.name))
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

// === impl Found ===

impl<'a> Found<'a> {
    #[must_use]
    pub fn object(&self) -> Object<'a> {
        Object { kind: self.kind, ..object(self.value) }
    }

    /// Whether it is of that kind, in the core group.
    #[must_use]
    pub fn is_core(&self, kind: &str) -> bool {
        (self.api_version, self.kind) == ("v1", kind)
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn the_documentation_names_every_kind() {
        let page = include_str!("../../docs/offline.md");
        let (_, below) = page.split_once("## Kinds\n").expect("a section");
        let section = below.split("\n## ").next().unwrap_or_default();
        for (_, kind) in known() {
            assert!(section.contains(&format!("{kind}s")), "{kind}");
        }
    }
}
