//! Objects of ours that somebody took the label from by which they are watched.

use crate::api::stack::TelemetryStack;
use crate::api::{label, object};
use crate::k8s::{ObjectMeta, Resource as _};

/// Whether it has no label of a part, and a `TelemetryStack` owns it, or the controller has written it.
#[must_use]
pub fn is_stripped(metadata: &ObjectMeta) -> bool {
    let mut writers = metadata.managed_fields.iter().flatten();
    metadata.labels.as_ref().is_none_or(|labels| !labels.contains_key(label::PART))
        && (is_owned(metadata) || writers.any(|one| one.manager.as_deref() == Some(object::FIELD_MANAGER)))
}

/// By whichever `TelemetryStack`.
#[must_use]
pub fn is_owned(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|one| one.kind == TelemetryStack::kind(&()) && one.api_version == TelemetryStack::api_version(&()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_ours_without_its_label_is_told_by_its_owner_or_its_writer() {
        let owned = json!({"ownerReferences": [
            {"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"}]});
        let written = |by: &str| json!({"managedFields": [{"manager": by, "operation": "Update"}]});
        let labelled = |metadata: &Value, label: &str| {
            let mut labelled = metadata.clone();
            labelled["labels"][label] = json!("x");
            labelled
        };
        for (metadata, expected) in [
            (json!({}), false),
            (owned.clone(), true),
            (labelled(&owned, "app"), true),
            (labelled(&owned, label::PART), false),
            (written(object::FIELD_MANAGER), true),
            (written("kubectl"), false),
        ] {
            let found = serde_json::from_value(metadata.clone()).expect("metadata");
            assert_eq!(is_stripped(&found), expected, "{metadata}");
        }
    }
}
