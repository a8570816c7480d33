//! Watches, looks, plans, writes, reports; and again.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::observe::{Contents, Observed};
use super::perform::{self, PerformError, perform};
use super::plan::{Action, Pair, Plan, plan};
use super::settings::Settings;
use super::stored::{self, Trust};
use super::{handshake, verdict};
use crate::api::condition::Reason;
use crate::api::object;
use crate::api::stack::Provider;
use crate::controller::Context;
use crate::controller::injection;
use crate::controller::metrics::Write;
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::k8s::{
    self, Api, MutatingWebhookConfiguration, OwnerReference, Patch, PatchParams, PostParams, ResourceExt as _, Secret,
};
use crate::unavailable::Unavailable;
use crate::watch::{self as watching, Health};

/// An object, if there is one; nothing before that is known.
type Seen<T> = Option<Option<T>>;

/// The registration, and since when it trusts whom.
#[derive(Clone)]
struct Registered {
    object: Arc<MutatingWebhookConfiguration>,
    trust: Trust,
}

/// What the watches publish.
struct Watched {
    authority: watch::Receiver<Seen<Arc<Secret>>>,
    serving: watch::Receiver<Seen<Arc<Secret>>>,
    source: watch::Receiver<Seen<Arc<Secret>>>,
    registration: watch::Receiver<Seen<Registered>>,
}

/// The objects of one look.
struct Look {
    authority: Option<Arc<Secret>>,
    serving: Option<Arc<Secret>>,
    source: Option<Arc<Secret>>,
    registration: Option<Registered>,
}

#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Perform(#[from] PerformError),
    #[error("{}", Unavailable::of(.0))]
    Refused(k8s::Error),
}

/// For a handshake, unless lives are short.
const PATIENCE: Duration = Duration::from_secs(2);
/// For the watch to tell of a write of ours.
const ECHO: Duration = Duration::from_secs(2);
/// So that two who undo each other don't run hot.
const BETWEEN_WRITES: Duration = Duration::from_millis(100);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Keeps the webhook's certificate. Never returns.
pub async fn run(context: Context) {
    let (authority, authorities) = watch::channel(None);
    let (serving, servings) = watch::channel(None);
    let (source, sources) = watch::channel(None);
    let (registration, registrations) = watch::channel(None);
    let watched = Watched { authority: authorities, serving: servings, source: sources, registration: registrations };
    let state = Arc::clone(&context.state);
    tokio::join!(
        watch_secret(context.clone(), object::AUTHORITY.to_owned(), Arc::clone(&state.authority), authority),
        watch_secret(context.clone(), object::SERVING.to_owned(), Arc::clone(&state.serving), serving),
        watch_source(context.clone(), source),
        watch_registration(context.clone(), registration),
        keep(context, watched),
    );
}

async fn watch_secret(context: Context, name: String, health: Arc<Health>, seen: watch::Sender<Seen<Arc<Secret>>>) {
    let api = Api::<Secret>::namespaced(context.client, &context.namespace);
    watching::objects(api, watching::named(&name), &health, |objects| {
        seen.send_replace(Some(objects.get(&name).cloned().map(Arc::new)));
    })
    .await;
}

/// The Secret that the spec names, whichever that is just now.
async fn watch_source(context: Context, seen: watch::Sender<Seen<Arc<Secret>>>) {
    let mut stack = context.stack.clone();
    let name_of = |stack: &Option<Arc<Stack>>| {
        let certificates = stack.as_ref()?.certificates.as_ref().ok()?;
        (certificates.provider != Provider::Otelgate).then(|| certificates.secret_name.clone())
    };
    loop {
        let name = name_of(&stack.borrow_and_update());
        seen.send_replace(None);
        context.state.source.forget();
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if stack.wait_for(|stack| name_of(stack) != name).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(name) = name.clone() else {
            seen.send_replace(Some(None));
            another.await;
            continue;
        };
        tokio::select! {
            () = watch_secret(context.clone(), name, Arc::clone(&context.state.source), seen.clone()) => {}
            () = another => {}
        }
    }
}

async fn watch_registration(context: Context, seen: watch::Sender<Seen<Registered>>) {
    let api = Api::<MutatingWebhookConfiguration>::all(context.client);
    let mut trust = Trust::new();
    watching::objects(api, watching::named(object::REGISTRATION), &context.state.registration, |objects| {
        let object = objects.get(object::REGISTRATION).cloned().map(Arc::new);
        trust = object.as_ref().map_or_else(Trust::new, |object| stored::trust(object, &trust, Instant::now()));
        seen.send_replace(Some(object.map(|object| Registered { object, trust: trust.clone() })));
    })
    .await;
}

async fn keep(context: Context, mut watched: Watched) {
    let context = &context;
    let (mut stack, mut endpoints) = (context.stack.clone(), context.endpoints.clone());
    let mut good: Option<Settings> = None;
    let mut failures = 0;
    loop {
        let now = stack.borrow_and_update().clone();
        let there = endpoints.borrow_and_update().clone();
        let look = watched.look(&context.state.source);
        let mut again = None;
        match (now, there, look) {
            (Some(now), Some(there), Some(look)) => {
                let settings = settings(&now, &context.namespace);
                let fault = settings.as_ref().err().cloned();
                good = settings.ok().or(good);
                let Some(settings) = &good else {
                    report_invalid(context, &now, fault.unwrap_or_default());
                    changed(&mut watched, &mut stack, &mut endpoints, None).await;
                    continue;
                };
                let patience = PATIENCE.min(settings.leaf_lifetime / 10);
                let observed = look.observed(handshake::look_at(&there, settings.name(), patience).await);
                let plan = plan(&observed, settings, Timestamp::now());
                let unseen = context.state.source.failure().filter(|_| settings.provider != Provider::Otelgate);
                report(context, &now, settings, &plan, fault, unseen);
                again = Some(plan.look_again);
                if let Some(action) = plan.action {
                    match watched.write(context, &look, action, &observed, settings, now.owner()).await {
                        Ok(()) => failures = 0,
                        Err(fault) => {
                            again = Some(retry(failures));
                            failures = (failures + 1).min(16);
                            report_failure(context, &now, &fault);
                        }
                    }
                }
            }
            (None, ..) => context.status.report(|reports| {
                reports.certificate = None;
                reports.certificates = None;
            }),
            _ => {}
        }
        changed(&mut watched, &mut stack, &mut endpoints, again).await;
    }
}

/// Until something changes, or that time is over.
async fn changed(
    watched: &mut Watched,
    stack: &mut watch::Receiver<Option<Arc<Stack>>>,
    endpoints: &mut watch::Receiver<crate::controller::endpoints::Endpoints>,
    again: Option<Duration>,
) {
    tokio::select! {
        () = sleep(again.unwrap_or_default()), if again.is_some() => {}
        Ok(()) = stack.changed() => {}
        Ok(()) = endpoints.changed() => {}
        Ok(()) = watched.authority.changed() => {}
        Ok(()) = watched.serving.changed() => {}
        Ok(()) = watched.source.changed() => {}
        Ok(()) = watched.registration.changed() => {}
    }
}

fn settings(stack: &Stack, namespace: &str) -> Result<Settings, String> {
    // A configuration with a fault is told elsewhere; it mustn't keep the certificate from being renewed.
    let document = injection::document(&stack.injection, namespace).unwrap_or_default();
    let certificates = stack.certificates.as_ref().map_err(Clone::clone)?;
    Settings::new(certificates, namespace, &document.cluster_domain).map_err(|fault| format!("spec.{fault}"))
}

/// Later each time, and never at the same time as another controller that met the same fault.
fn retry(failures: u32) -> Duration {
    let delay = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_RETRY);
    let share = u32::try_from(RandomState::new().hash_one(failures) % 256).unwrap_or_default();
    delay / 2 + delay / 512 * share
}

// === impl Watched ===

impl Watched {
    /// `None` before everything was listed. A source that can't be listed is one that isn't there.
    fn look(&mut self, source: &Health) -> Option<Look> {
        let unseen = source.failure();
        let source = self.source.borrow_and_update().clone().or(unseen.is_some().then_some(None));
        Some(Look {
            authority: self.authority.borrow_and_update().clone()?,
            serving: self.serving.borrow_and_update().clone()?,
            source: source?,
            registration: self.registration.borrow_and_update().clone()?,
        })
    }

    /// Writes, and waits until the watch has told of it: planning on what was there before would only be refused.
    async fn write(
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
        let write = match perform(action, observed, settings, Timestamp::now())? {
            perform::Write::Authority(contents) => {
                let stored = look.authority.as_deref();
                let written = write_secret(&secrets, stored, object::AUTHORITY, contents, owner).await;
                settle(written, stored, &mut self.authority, &context.state.authority)
                    .await?
                    .then_some(Write::Authority)
            }
            perform::Write::Serving(contents) => {
                let stored = look.serving.as_deref();
                let written = write_secret(&secrets, stored, object::SERVING, contents, owner).await;
                settle(written, stored, &mut self.serving, &context.state.serving).await?.then_some(Write::Certificate)
            }
            perform::Write::Registration(bundle) => {
                let Some(Registered { object, .. }) = &look.registration else { return Ok(()) };
                let patch = stored::bundle_patch(object, &bundle);
                let api = Api::<MutatingWebhookConfiguration>::all(context.client.clone());
                let params = PatchParams::apply(object::FIELD_MANAGER).force();
                let written = api.patch(object::REGISTRATION, &params, &Patch::Apply(patch)).await;
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
        None => api.create(&params, &secret).await,
        Some(_) => api.replace(name, &params, &secret).await,
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

// === impl Look ===

impl Look {
    fn observed(&self, endpoints: Vec<super::observe::Endpoint>) -> Observed {
        let contents = |secret: &Option<Arc<Secret>>| secret.as_deref().map(stored::contents);
        let registration = self.registration.as_ref();
        Observed {
            authority: contents(&self.authority),
            serving: contents(&self.serving),
            source: contents(&self.source),
            registration: registration.map(|it| stored::registration(&it.object, &it.trust, Instant::now())),
            endpoints,
        }
    }
}

fn report(
    context: &Context,
    stack: &Stack,
    settings: &Settings,
    plan: &Plan,
    invalid: Option<String>,
    unseen: Option<String>,
) {
    let verdict = match (invalid, unseen) {
        (Some(fault), _) => Verdict::new(Reason::InvalidSpec, fault, stack.generation),
        (None, Some(fault)) => {
            let detail = format!("Secret {} can't be looked at: {fault}", settings.secret);
            Verdict::new(Reason::SourceUnusable, detail, stack.generation)
        }
        (None, None) => verdict::verdict(plan, stack.generation),
    };
    let status = verdict::status(plan, settings);
    context.status.report(|reports| {
        reports.certificate = Some(verdict);
        reports.certificates = Some(status);
    });
}

fn report_invalid(context: &Context, stack: &Stack, fault: String) {
    let verdict = Verdict::new(Reason::InvalidSpec, fault, stack.generation);
    context.status.report(|reports| reports.certificate = Some(verdict));
}

fn report_failure(context: &Context, stack: &Stack, fault: &Fault) {
    warn!(error.message = %fault, "the certificate can't be kept; trying again");
    let verdict = Verdict::new(Reason::CertificateNotWritten, fault.to_string(), stack.generation);
    context.status.report(|reports| reports.certificate = Some(verdict));
}
