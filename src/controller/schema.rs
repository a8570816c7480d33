//! Whether the API server knows the fields that this version knows: a newer program with an older
//! `CustomResourceDefinition` loses what users write on its way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Context;
use crate::api::crd;
use crate::api::stack::TelemetryStack;
use crate::k8s::{self, Api, ApiResource, CustomResourceDefinition, DynamicObject, Resource as _};

/// It changes with an upgrade only, and there is no right to watch it.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// While somebody is expected to mend it.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Publishes the paths of what is missing, and the schema of the status for whoever writes it. Never returns.
pub async fn look(context: Context, missing: watch::Sender<Arc<[String]>>) {
    let api = Api::<DynamicObject>::all_with(context.client, &ApiResource::erase::<CustomResourceDefinition>(&()));
    let known = crd::schema();
    let mut stack = context.stack;
    loop {
        stack.mark_unchanged();
        let mut soon = false;
        match k8s::in_time(api.get_opt(crd::NAME)).await {
            Ok(found) => {
                context.state.schema.answered();
                if let Some(mut served) = found.and_then(|found| served(&found.data)) {
                    let paths = crd::missing(&known, &served);
                    soon = !paths.is_empty();
                    let status = served["properties"]["status"].take();
                    context.status.report(|reports| reports.served_schema = soon.then(|| Arc::new(status)));
                    missing.send_if_modified(|missing| {
                        let changed = **missing != *paths;
                        if changed {
                            *missing = paths.into();
                        }
                        changed
                    });
                }
            }
            Err(error) => context.state.schema.failed(&error),
        }
        tokio::select! {
            () = sleep(if soon { LOOK_AGAIN } else { LOOK_EVERY }) => {}
            Ok(()) = stack.changed() => {}
        }
    }
}

/// The schema of the version that this program speaks.
fn served(definition: &Value) -> Option<Value> {
    let version = TelemetryStack::version(&());
    let versions = definition["spec"]["versions"].as_array()?;
    let spoken = versions.iter().find(|one| one["name"] == *version)?;
    Some(spoken["schema"]["openAPIV3Schema"].clone())
}
