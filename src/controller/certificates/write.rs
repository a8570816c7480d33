//! Writes, each bound to the version of the object that was seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::observe::{Contents, Observed};
use super::perform::{self, PerformError, perform};
use super::plan::{Action, Pair};
use super::run::{Look, Registered, Seen, Watched};
use super::settings::Settings;
use super::stored;
use crate::api::object;
use crate::controller::Context;
use crate::controller::metrics::Write;
use crate::k8s::{
    self, Api, MutatingWebhookConfiguration, OwnerReference, Patch, PatchParams, PostParams, ResourceExt as _, Secret,
};
use crate::unavailable::{self, Unavailable};
use crate::watch::Health;

/// Nothing was written.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Perform(#[from] PerformError),
    #[error("{}", Unavailable::of(.0))]
    Refused(k8s::Error),
}

impl Fault {
    /// Whether the same may well do better in a moment.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Refused(error) if unavailable::passes(error))
    }
}

/// For the watch to tell of a write of ours.
const ECHO: Duration = Duration::from_secs(2);
/// Between two writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(100);

impl Watched {
    /// Writes, and waits until the watch has told of it: planning on what was there before would only be refused.
    pub(super) async fn write(
        &mut self,
        context: &Context,
        look: &Look,
        action: Action,
        observed: &Observed,
        settings: &Settings,
        owner: OwnerReference,
    ) -> Result<(), Fault> {
        let told = describe(&action);
        let secrets = Api::<Secret>::namespaced(context.client.clone(), &context.namespace);
        let now = Instant::now();
        let write = match perform(action, observed, settings, Timestamp::now())? {
            perform::Write::Authority(contents) => {
                let stored = look.authority.as_deref();
                let written = write_secret(&secrets, stored, object::AUTHORITY, contents, owner).await;
                if let Ok(answer) = &written {
                    self.contests.authority.wrote(settings.clone(), stored, answer, now);
                }
                settle(written, stored, &mut self.authority, &context.state.authority)
                    .await?
                    .then_some(Write::Authority)
            }
            perform::Write::Serving(contents) => {
                let stored = look.serving.as_deref();
                let written = write_secret(&secrets, stored, object::SERVING, contents, owner).await;
                if let Ok(answer) = &written {
                    self.contests.serving.wrote(settings.clone(), stored, answer, now);
                }
                settle(written, stored, &mut self.serving, &context.state.serving).await?.then_some(Write::Certificate)
            }
            perform::Write::Registration(bundle) => {
                let Some(Registered { object, .. }) = &look.registration else { return Ok(()) };
                let patch = stored::bundle_patch(object, &bundle);
                let api = Api::<MutatingWebhookConfiguration>::all(context.client.clone());
                let params = PatchParams::apply(object::FIELD_MANAGER).force();
                let written = k8s::in_time(api.patch(object::REGISTRATION, &params, &Patch::Apply(patch))).await;
                if let Ok(answer) = &written {
                    self.contests.registration.wrote(bundle, Some(&**object), answer, now);
                }
                let before = object.resource_version();
                let ours = is_ours(written, &context.state.registration)?;
                let version = |seen: &Option<Registered>| seen.as_ref().and_then(|seen| seen.object.resource_version());
                let told = |seen: &Seen<Registered>| seen.as_ref().is_some_and(|seen| version(seen) != before);
                let _ = timeout(ECHO, self.registration.wait_for(told)).await;
                sleep(BETWEEN_WRITES).await;
                ours.then_some(Write::Registration)
            }
        };
        let Some(write) = write else { return Ok(()) };
        context.state.writes.add(write);
        info!(otelgate.action = told, "certificates changed");
        Ok(())
    }
}

fn describe(action: &Action) -> &'static str {
    match action {
        Action::MakeAuthority => "made an authority",
        Action::KeepAuthority => "labelled the authority, and named its owner",
        Action::WriteServing(serving) => match serving.pair {
            Pair::Keep => "changed whom the webhook's clients should trust",
            Pair::Issue => "issued a certificate",
            Pair::Copy => "took a certificate over",
        },
        Action::WriteRegistration(_) => "told the API server whom to trust",
    }
}

async fn write_secret(
    api: &Api<Secret>,
    stored: Option<&Secret>,
    name: &str,
    contents: Contents,
    owner: OwnerReference,
) -> k8s::Result<Secret> {
    let secret = stored::secret(stored, name, contents, owner);
    let params = PostParams { field_manager: Some(object::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match stored {
        None => k8s::in_time(api.create(&params, &secret)).await,
        Some(_) => k8s::in_time(api.replace(name, &params, &secret)).await,
    }
}

/// Waits for the watch to tell of a write. If somebody else was faster, it will tell of theirs.
async fn settle(
    written: k8s::Result<Secret>,
    before: Option<&Secret>,
    seen: &mut watch::Receiver<Seen<Arc<Secret>>>,
    health: &Health,
) -> Result<bool, Fault> {
    let ours = is_ours(written, health)?;
    let before = before.and_then(Secret::resource_version);
    let told = |seen: &Seen<Arc<Secret>>| {
        seen.as_ref().is_some_and(|seen| seen.as_deref().and_then(Secret::resource_version) != before)
    };
    let _ = timeout(ECHO, seen.wait_for(told)).await;
    Ok(ours)
}

/// Not, when somebody else wrote since we looked, which is no fault.
fn is_ours<T>(written: k8s::Result<T>, health: &Health) -> Result<bool, Fault> {
    match written {
        Ok(_) => Ok(true),
        Err(k8s::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => {
            health.failed(&error);
            Err(Fault::Refused(error))
        }
    }
}
