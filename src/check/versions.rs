//! Whether programs of several versions were made to work together.

use super::{Objection, Snapshot, Verdict};
use crate::api::{label, object};
use crate::k8s::Deployment;

pub fn versions(snapshot: &Snapshot) -> Verdict {
    versions_of(&snapshot.version, snapshot.deployments.as_ref()?)
}

/// Whether this program and those of the Deployments were made to work together.
pub fn versions_of(own: &str, deployments: &[Deployment]) -> Verdict {
    let mut known = vec![("this program".to_owned(), own.to_owned())];
    for name in [object::WEBHOOK, object::CONTROLLER] {
        let deployment = deployments.iter().find(|one| one.metadata.name.as_deref() == Some(name));
        if let Some(version) = deployment.and_then(version_of) {
            known.push((name.to_owned(), version));
        }
    }
    let parsed: Vec<(u32, u32)> = known.iter().filter_map(|(_, version)| minor(version)).collect();
    let told: Vec<String> = known.iter().map(|(name, version)| format!("{name} {version}")).collect();
    if known.len() < 2 || parsed.len() < known.len() {
        return Err(Objection::unknown(
            format!("not every version can be told: {}", told.join(", ")),
            "look at the images: kubectl get deployments -o wide",
        ));
    }
    let (oldest, newest) = (parsed.iter().min(), parsed.iter().max());
    if oldest.zip(newest).is_some_and(|(oldest, newest)| oldest.0 != newest.0 || newest.1 - oldest.1 > 1) {
        return Err(Objection::fail(
            format!("more than one minor version apart: {}", told.join(", ")),
            "use an otelgate of the installed version, or bring that up to date with otelgate update",
        ));
    }
    Ok(told.join(", "))
}

/// Of the chart's label, else of the image.
fn version_of(deployment: &Deployment) -> Option<String> {
    if let Some(version) = deployment.metadata.labels.as_ref().and_then(|labels| labels.get(label::APP_VERSION)) {
        return Some(version.clone());
    }
    let template = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let image = template.containers.first()?.image.as_deref()?;
    let image = image.split('@').next()?;
    let (_, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    Some(tag.to_owned())
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
