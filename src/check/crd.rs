//! The custom resource: Helm installs it once and never upgrades it, so that it may lag behind.

use serde_json::Value;

use super::{Objection, Snapshot, Stage, Verdict};
use crate::api::crd::{self, NAME};
use crate::api::stack::TelemetryStack;
use crate::k8s::Resource as _;
use crate::words::some_of;

const UPDATE: &str = "otelgate update brings it up to date; with Helm or GitOps, apply crds/ of the chart first";

pub fn version(snapshot: &Snapshot) -> Verdict {
    let Some(served) = snapshot.crd.as_ref()? else {
        if snapshot.stage == Stage::Before {
            return Ok("not there yet; it comes with the chart".to_owned());
        }
        return Err(Objection::fail(format!("there is no CustomResourceDefinition {NAME}"), UPDATE));
    };
    let conditions = served["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(fault) = conditions.iter().find(|one| one["type"] == "Established" && one["status"] != "True") {
        return Err(Objection::fail(
            format!("{NAME} isn't served: {}", fault["message"].as_str().unwrap_or_default()),
            format!("look at kubectl describe crd {NAME}"),
        ));
    }
    let wanted = TelemetryStack::version(&());
    let versions = served["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(version) = versions.iter().find(|one| one["name"] == *wanted && one["served"] == true) else {
        return Err(Objection::fail(format!("{NAME} has no version {wanted}"), UPDATE));
    };
    let schema: &Value = &version["schema"]["openAPIV3Schema"];
    let missing = crd::missing(&crd::schema(), schema);
    if missing.is_empty() {
        return Ok(wanted.into_owned());
    }
    Err(Objection::fail(format!("{NAME} is of an older version: it lacks {}", some_of(&missing)), UPDATE))
}
