//! Watches of a few objects: each keeps what the API server last said, and tells whoever is interested.
//!
//! Nothing is told before the first complete list, so that "there is none" is never said of what wasn't looked at. A
//! watch that fails goes on with what it knew, and tries again for ever.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use crate::k8s::{self, Api, Backoff, Event, Resource, ResourceExt as _, WatchStreamExt as _, watcher};
use crate::metrics::Counter;
use crate::unavailable::Unavailable;

/// The objects that a watch knows, by name.
pub type Objects<K> = BTreeMap<String, K>;

/// How it stands with something that has to be asked for.
#[derive(Debug)]
pub struct Health {
    what: &'static str,
    /// What to do when the API server doesn't know the kind.
    unknown_kind: Option<&'static str>,
    state: Mutex<State>,
    failures: Counter,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    NotAsked,
    Failing { fault: String, answered_before: bool },
    Answered,
}

/// Soon at first; never so late that somebody who mended the cause would wonder.
#[derive(Debug, Default)]
struct Pace(u32);

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);

// === impl Health ===

impl Health {
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, unknown_kind: None, state: Mutex::new(State::NotAsked), failures: Counter::default() }
    }

    /// Of a kind that may not be there yet.
    #[must_use]
    pub fn of_kind(what: &'static str, unknown_kind: &'static str) -> Self {
        Self { unknown_kind: Some(unknown_kind), ..Self::new(what) }
    }

    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Why there never was an answer; an answer that is old is still one.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match &*self.lock() {
            State::NotAsked => Some("not asked yet".to_owned()),
            State::Failing { fault, answered_before: false } => Some(fault.clone()),
            State::Failing { answered_before: true, .. } | State::Answered => None,
        }
    }

    /// Why there never was an answer, once it was asked for one.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &*self.lock() {
            State::Failing { fault, answered_before: false } => Some(fault.clone()),
            State::NotAsked | State::Failing { .. } | State::Answered => None,
        }
    }

    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    pub fn answered(&self) {
        let before = std::mem::replace(&mut *self.lock(), State::Answered);
        if before != State::Answered {
            info!(otelgate.object = self.what, "the API server answers");
        }
    }

    /// The same fault is told once, however often it is met.
    pub fn failed(&self, error: &k8s::Error) {
        let fault = match (error, self.unknown_kind) {
            (k8s::Error::Api(status), Some(next)) if status.code == 404 => next.to_owned(),
            _ => Unavailable::of(error).to_string(),
        };
        self.failed_because(fault);
    }

    pub fn failed_because(&self, fault: String) {
        self.failures.add(1);
        let mut state = self.lock();
        let (told, answered_before) = match &*state {
            State::NotAsked => (false, false),
            State::Answered => (false, true),
            State::Failing { fault: before, answered_before } => (*before == fault, *answered_before),
        };
        if !told {
            warn!(otelgate.object = self.what, error.message = fault, "no answer from the API server; trying again");
        }
        *state = State::Failing { fault, answered_before };
    }

    /// As if it had never been asked.
    pub fn forget(&self) {
        *self.lock() = State::NotAsked;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves the state half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pace ===

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = FIRST_RETRY * 2_u32.saturating_pow(self.0);
        self.0 = self.0.saturating_add(1).min(8);
        Some(delay.min(LAST_RETRY))
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Tells all objects once they were listed, and again after each change. Never returns.
pub async fn objects<K>(api: Api<K>, config: watcher::Config, health: &Health, changed: impl FnMut(&Objects<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = config.timeout(k8s::WATCH_FOR);
    follow(watcher(api, config).backoff(Pace::default()), health, changed).await;
}

/// Only the object of that name.
#[must_use]
pub fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

async fn follow<K: Resource>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    health: &Health,
    mut changed: impl FnMut(&Objects<K>),
) {
    let mut events = pin!(events);
    let mut known = Objects::new();
    let mut listing = Objects::new();
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(object.name_any(), object);
                continue;
            }
            Ok(Event::InitDone) => {
                known = std::mem::take(&mut listing);
                listed = true;
                health.answered();
            }
            Ok(Event::Apply(object)) => {
                known.insert(object.name_any(), object);
            }
            Ok(Event::Delete(object)) => {
                known.remove(&object.name_any());
            }
            Err(error) => {
                match error {
                    watcher::Error::InitialListFailed(error)
                    | watcher::Error::WatchStartFailed(error)
                    | watcher::Error::WatchFailed(error) => health.failed(&error),
                    watcher::Error::WatchError(status) => health.failed(&k8s::Error::Api(status)),
                    watcher::Error::NoResourceVersion => health.failed_because(error.to_string()),
                }
                continue;
            }
        }
        if listed {
            changed(&known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{ConfigMap, ObjectMeta};

    fn named(name: &str) -> ConfigMap {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    async fn told(events: Vec<watcher::Result<Event<ConfigMap>>>, health: &Health) -> Vec<Vec<String>> {
        let mut told = Vec::new();
        follow(futures::stream::iter(events), health, |known| told.push(known.keys().cloned().collect())).await;
        told
    }

    #[tokio::test]
    async fn nothing_is_told_before_the_list_is_complete() {
        let health = Health::new("ConfigMap");
        let (a, b) = (named("a"), named("b"));
        let events = vec![Event::Init, Event::InitApply(a.clone()), Event::InitApply(b.clone())];
        assert!(told(events.into_iter().map(Ok).collect(), &health).await.is_empty());
        assert_eq!(health.fault().as_deref(), Some("not asked yet"));
        let events = [Event::Init, Event::InitApply(a.clone()), Event::InitDone, Event::Apply(b), Event::Delete(a)];
        assert_eq!(told(events.into_iter().map(Ok).collect(), &health).await, [vec!["a"], vec!["a", "b"], vec!["b"]]);
        assert_eq!(health.fault(), None);
    }

    #[tokio::test]
    async fn what_was_known_outlives_a_failure_and_goes_with_a_list_that_lacks_it() {
        let health = Health::new("ConfigMap");
        let gone = || Err(watcher::Error::NoResourceVersion);
        let events = vec![Ok(Event::Init), Ok(Event::InitApply(named("a"))), Ok(Event::InitDone), gone(), gone()];
        assert_eq!(told(events, &health).await, [vec!["a"]]);
        assert_eq!((health.fault(), health.failures()), (None, 2));
        let events = vec![Ok(Event::Init), Ok(Event::InitDone)];
        assert_eq!(told(events, &health).await, [Vec::<String>::new()]);
    }

    #[test]
    fn an_unknown_kind_is_told_with_the_next_step() {
        let health = Health::of_kind("Widget", "install Widget");
        // The answer for a path that doesn't exist isn't even JSON.
        let missing = k8s::Status::failure("404 page not found", "Failed to parse error data");
        health.failed(&k8s::Error::Api(missing.with_code(404).boxed()));
        assert_eq!(health.fault().as_deref(), Some("install Widget"));
    }

    #[test]
    fn retries_slow_down_to_a_few_seconds() {
        let mut pace = Pace::default();
        let delays: Vec<_> = pace.by_ref().take(40).collect();
        assert_eq!(delays[..2], [Duration::from_millis(500), Duration::from_secs(1)]);
        assert_eq!(delays.last(), Some(&LAST_RETRY));
        pace.reset();
        assert_eq!(pace.next(), Some(FIRST_RETRY));
    }
}
