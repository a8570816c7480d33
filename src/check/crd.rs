//! The custom resource: Helm installs it once and never upgrades it, so that it may lag behind.

use super::{Objection, Snapshot, Stage, Verdict};
use crate::api::stack::TelemetryStack;
use crate::k8s::{
    CustomResourceDefinition, CustomResourceExt as _, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const UPDATE: &str = "otelgate update brings it up to date; with Helm or GitOps, apply crds/ of the chart first";

pub fn version(snapshot: &Snapshot) -> Verdict {
    let own = TelemetryStack::crd();
    let name = own.metadata.name.as_deref().unwrap_or_default();
    let Some(served) = snapshot.crd.as_ref()? else {
        if snapshot.stage == Stage::Before {
            return Ok("not there yet; it comes with the chart".to_owned());
        }
        return Err(Objection::fail(format!("there is no CustomResourceDefinition {name}"), UPDATE));
    };
    let conditions = served.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    if let Some(fault) = conditions.into_iter().find(|one| one.type_ == "Established" && one.status != "True") {
        return Err(Objection::fail(
            format!("{name} isn't served: {}", fault.message.as_deref().unwrap_or_default()),
            format!("look at kubectl describe crd {name}"),
        ));
    }
    let wanted = own.spec.versions.first().map(|version| version.name.as_str()).unwrap_or_default();
    let Some(schema) = schema(served, wanted) else {
        return Err(Objection::fail(format!("{name} has no version {wanted}"), UPDATE));
    };
    let missing = self::schema(&own, wanted).map_or_else(Vec::new, |own| missing(own, schema, ""));
    if missing.is_empty() {
        return Ok(wanted.to_owned());
    }
    Err(Objection::fail(format!("{name} is of an older version: it lacks {}", super::some_of(&missing)), UPDATE))
}

fn schema<'c>(crd: &'c CustomResourceDefinition, version: &str) -> Option<&'c JSONSchemaProps> {
    let version = crd.spec.versions.iter().find(|one| one.name == version && one.served)?;
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

/// Properties that one schema has and another lacks, as paths; of a property that is missing, not those below it.
fn missing(own: &JSONSchemaProps, served: &JSONSchemaProps, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, property) in own.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        match served.properties.as_ref().and_then(|properties| properties.get(name)) {
            Some(served) => found.extend(missing(property, served, &path)),
            None => found.push(path),
        }
    }
    if let (Some(JSONSchemaPropsOrArray::Schema(own)), Some(JSONSchemaPropsOrArray::Schema(served))) =
        (&own.items, &served.items)
    {
        found.extend(missing(own, served, &format!("{path}[]")));
    }
    if let (Some(JSONSchemaPropsOrBool::Schema(own)), Some(JSONSchemaPropsOrBool::Schema(served))) =
        (&own.additional_properties, &served.additional_properties)
    {
        found.extend(missing(own, served, &format!("{path}.*")));
    }
    found
}
