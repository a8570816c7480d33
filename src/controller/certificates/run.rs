//! The watches of everything that holds certificates.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::contests::Contests;
use super::keep::Keeper;
use super::observe::{Endpoint, Observed, Stripped};
use super::stored::{self, Trust};
use crate::api::object;
use crate::api::stack::Provider;
use crate::controller::Context;
use crate::controller::stack::Stack;
use crate::k8s::{Api, MutatingWebhookConfiguration, OwnerReference, Secret};
use crate::watch::{self as watching, Health};

/// An object, if there is one; nothing before that is known.
pub type Seen<T> = Option<Option<T>>;

/// The registration, and since when it trusts whom.
#[derive(Clone)]
pub struct Registered {
    pub(in crate::controller) object: Arc<MutatingWebhookConfiguration>,
    trust: Trust,
}

/// What the watches publish.
pub(super) struct Watched {
    pub(super) authority: watch::Receiver<Seen<Arc<Secret>>>,
    pub(super) serving: watch::Receiver<Seen<Arc<Secret>>>,
    source: watch::Receiver<Seen<Arc<Secret>>>,
    pub(super) registration: watch::Receiver<Seen<Registered>>,
    pub(super) contests: Contests,
}

/// The objects of one look.
pub(super) struct Look {
    pub(super) authority: Option<Arc<Secret>>,
    pub(super) serving: Option<Arc<Secret>>,
    source: Option<Arc<Secret>>,
    pub(super) registration: Option<Registered>,
}

/// Keeps the webhook's certificate, and publishes the registration that it watches. Never returns.
pub async fn run(context: Context, registration: watch::Sender<Seen<Registered>>) {
    let (authority, authorities) = watch::channel(None);
    let (serving, servings) = watch::channel(None);
    let (source, sources) = watch::channel(None);
    let registered = registration.subscribe();
    let watched = Watched {
        authority: authorities,
        serving: servings,
        source: sources,
        registration: registered,
        contests: Contests::default(),
    };
    let state = Arc::clone(&context.state);
    tokio::join!(
        watch_secret(context.clone(), object::AUTHORITY.to_owned(), Arc::clone(&state.authority), authority),
        watch_secret(context.clone(), object::SERVING.to_owned(), Arc::clone(&state.serving), serving),
        watch_source(context.clone(), source),
        watch_registration(context.clone(), registration),
        Keeper::new(context, watched).run(),
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

// === impl Watched ===

impl Watched {
    /// `None` before everything was listed. A source that can't be listed is one that isn't there.
    pub(super) fn look(&mut self, source: &Health) -> Option<Look> {
        let unseen = source.failure();
        let source = self.source.borrow_and_update().clone().or(unseen.is_some().then_some(None));
        Some(Look {
            authority: self.authority.borrow_and_update().clone()?,
            serving: self.serving.borrow_and_update().clone()?,
            source: source?,
            registration: self.registration.borrow_and_update().clone()?,
        })
    }

    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.authority.changed() => {}
            Ok(()) = self.serving.changed() => {}
            Ok(()) = self.source.changed() => {}
            Ok(()) = self.registration.changed() => {}
        }
    }
}

// === impl Look ===

impl Look {
    pub(super) fn observed(&self, endpoints: Vec<Endpoint>, owner: &OwnerReference) -> Observed {
        let contents = |secret: &Option<Arc<Secret>>| secret.as_deref().map(stored::contents);
        let is_stripped =
            |secret: &Option<Arc<Secret>>| secret.as_deref().is_some_and(|secret| stored::is_stripped(secret, owner));
        let registration = self.registration.as_ref();
        Observed {
            authority: contents(&self.authority),
            serving: contents(&self.serving),
            source: contents(&self.source),
            registration: registration.map(|it| stored::registration(&it.object, &it.trust, Instant::now())),
            stripped: Stripped { authority: is_stripped(&self.authority), serving: is_stripped(&self.serving) },
            endpoints,
        }
    }
}
