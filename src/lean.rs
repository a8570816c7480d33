//! Objects of which a part is read: of a whole one, as it comes from the API server, most is `managedFields`, which take
//! more memory than all that is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};

use crate::k8s::{ObjectMeta, OwnerReference, Resource, Time};

/// An object of kind `K`.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "Spec: Default + Deserialize<'de>, Status: Default + Deserialize<'de>"))]
pub struct Lean<K, Spec, Status> {
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        labels: read.labels,
        owner_references: read.owner_references,
        ..ObjectMeta::default()
    })
}

impl<K: Resource<DynamicType = ()>, Spec, Status> Resource for Lean<K, Spec, Status> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::Pod;
    use serde_json::json;

    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        node_name: String,
    }

    #[test]
    fn what_nobody_reads_isnt_kept() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"app": "x"}, "annotations": {"a": "b"},
                         "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:spec": {}}}]},
            "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
        });
        let pod: Lean<Pod, Spec, ()> = serde_json::from_value(pod).expect("a pod");
        let ObjectMeta { name, resource_version, labels, managed_fields, annotations, .. } = pod.metadata;
        assert_eq!((name.as_deref(), resource_version.as_deref(), &*pod.spec.node_name), (Some("a"), Some("7"), "n"));
        assert_eq!(labels, Some([("app".to_owned(), "x".to_owned())].into()));
        assert_eq!((managed_fields, annotations), (None, None));
    }
}
