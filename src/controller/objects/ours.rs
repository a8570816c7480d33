//! Whose an object is.

use super::{Kind, Part};
use crate::api::{label, object};
use crate::controller::Context;
use crate::k8s::{self, Api, DynamicObject, ListParams, ManagedFieldsEntry, ObjectMeta, OwnerReference};

/// Whether an object of that name is there that isn't ours.
///
/// # Errors
/// When it can't be looked for.
pub async fn is_taken(
    context: &Context,
    part: Part,
    kind: &Kind,
    namespace: &str,
    name: &str,
    owner: &OwnerReference,
) -> k8s::Result<bool> {
    let found = find(&kind.api(context.client.clone(), namespace), name).await?;
    Ok(found.is_some_and(|found| !is_ours(&found, part, owner)))
}

/// By the right to list, which the controller has anyway.
pub async fn find(api: &Api<DynamicObject>, name: &str) -> k8s::Result<Option<ObjectMeta>> {
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = k8s::in_time(api.list_metadata(&named)).await?;
    Ok(found.items.into_iter().next().map(|found| found.metadata))
}

/// Whether an annotation of it is as we wrote it: whoever else writes another value has it from then on.
#[must_use]
pub fn has_annotated(found: &ObjectMeta, annotation: &str) -> bool {
    let field = format!("f:{annotation}");
    let mut applied = found.managed_fields.iter().flatten().filter(|one| is_applied(one));
    applied.any(|one| {
        one.fields_v1.as_ref().is_some_and(|fields| fields.0["f:metadata"]["f:annotations"].get(&field).is_some())
    })
}

fn is_applied(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(object::FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

/// Whether we have made it, or written it before: by its label, its owner, or who wrote it, whichever of these somebody
/// has taken away.
#[must_use]
pub fn is_ours(found: &ObjectMeta, part: Part, owner: &OwnerReference) -> bool {
    let labelled = found.labels.as_ref().and_then(|labels| labels.get(label::PART));
    let owners = || found.owner_references.iter().flatten();
    let writers = || found.managed_fields.iter().flatten();
    labelled.is_some_and(|label| label == part.name)
        || owners().any(|one| one.uid == owner.uid)
        || writers().any(is_applied)
}

#[cfg(test)]
mod tests {
    use super::super::{Key, LEASE};
    use super::*;
    use crate::controller::metrics::Write;
    use serde_json::json;

    #[test]
    fn what_is_ours_is_told_by_any_trace_of_us() {
        const PART: Part = Part { name: "collector", kinds: &[], notes: &[], write: Write::Collector };
        let owner = OwnerReference { uid: "u".to_owned(), ..OwnerReference::default() };
        let of_owner =
            |uid: &str| json!({"ownerReferences": [{"apiVersion": "v1", "kind": "x", "name": "x", "uid": uid}]});
        let written = |by: &str, operation: &str| json!({"managedFields": [{"manager": by, "operation": operation}]});
        for (metadata, ours) in [
            (json!({}), false),
            (json!({"labels": {"app": "otel-collector"}}), false),
            (json!({"labels": {label::PART: "agent"}}), false),
            (json!({"labels": {label::PART: "collector"}}), true),
            (of_owner("another"), false),
            (of_owner("u"), true),
            (written("kubectl-client-side-apply", "Update"), false),
            (written(object::FIELD_MANAGER, "Update"), false),
            (written(object::FIELD_MANAGER, "Apply"), true),
        ] {
            let found: ObjectMeta = serde_json::from_value(metadata.clone()).expect("metadata");
            assert_eq!(is_ours(&found, PART, &owner), ours, "{metadata}");
        }
    }

    #[test]
    fn what_programs_make_for_themselves_is_taken_over_and_nothing_else() {
        const PART: Part = Part { name: "agent", kinds: &[], notes: &["datadogtoken"], write: Write::Agent };
        for (kind, name, expected) in [
            (LEASE.kind, "datadog-leader-election", true),
            ("ConfigMap", "datadogtoken", true),
            ("ConfigMap", "datadog-agent-seccomp", false),
            ("Service", "datadogtoken", false),
        ] {
            assert_eq!(PART.takes_over(&Key { kind, name: name.to_owned() }), expected, "{kind} {name}");
        }
    }
}
