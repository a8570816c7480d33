//! What is known of namespaces: their names, and the annotations that are defaults for their pods.
//!
//! A metadata-only watch feeds a compact store; of every object only the annotations of the two domains that the engine
//! reads are kept. No review waits for it: a namespace that isn't known yet has no defaults, and that is all.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt as _};
use tracing::info;

use crate::api::{DOMAIN, annotation};
use crate::k8s::{self, Api, Client, Event, Namespace, ObjectMeta, PartialObjectMeta, WatchStreamExt as _, watcher};
use crate::metrics::Metrics;
use crate::watch::Health;

/// Objects of one list request: small, so that the peak of a list is small.
const PAGE_SIZE: u32 = 50;
const SHARDS: usize = 64;

/// Keys and values, in the object's order.
pub type Annotations = [(Box<str>, Box<str>)];

/// One namespace.
#[derive(Debug)]
pub struct Known {
    name: Box<str>,
    annotations: Box<Annotations>,
}

/// Every namespace that the watch has told of. Reading takes no lock; a change copies one shard's pointers.
pub struct Namespaces {
    shards: [ArcSwap<Shard>; SHARDS],
    hasher: RandomState,
}

/// Sorted by name.
type Shard = Box<[Arc<Known>]>;

// === impl Known ===

impl Known {
    #[must_use]
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    /// Keeps what the engine reads, and nothing else.
    fn from_metadata(metadata: ObjectMeta) -> Option<Self> {
        let annotations = metadata.annotations.unwrap_or_default();
        let annotations = annotations.into_iter().filter(|(key, _)| is_read(key));
        Some(Self {
            name: metadata.name?.into_boxed_str(),
            annotations: annotations.map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str())).collect(),
        })
    }
}

/// Whether the engine reads an annotation of that key.
#[must_use]
pub fn is_read(key: &str) -> bool {
    key.starts_with(annotation::RESOURCE) || key.split_once('/').is_some_and(|(domain, _)| domain == DOMAIN)
}

// === impl Namespaces ===

impl Default for Namespaces {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| ArcSwap::from_pointee(Shard::default())), hasher: RandomState::new() }
    }
}

impl Namespaces {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Known>> {
        let shard = self.shard(name).load();
        let found = shard.binary_search_by(|known| (*known.name).cmp(name)).ok()?;
        Some(Arc::clone(&shard[found]))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a namespace, or replaces what is known of it. One task at a time changes the store.
    pub fn insert(&self, metadata: ObjectMeta) {
        let Some(known) = Known::from_metadata(metadata) else { return };
        let shard = self.shard(&known.name);
        let mut entries = shard.load().to_vec();
        match entries.binary_search_by(|other| other.name.cmp(&known.name)) {
            Ok(found) if entries[found].annotations == known.annotations => return,
            Ok(found) => entries[found] = Arc::new(known),
            Err(place) => entries.insert(place, Arc::new(known)),
        }
        shard.store(Arc::new(entries.into()));
    }

    pub fn remove(&self, name: &str) {
        retain(self.shard(name), |known| &*known.name != name);
    }

    /// Forgets those that a complete list didn't have.
    fn retain_listed(&self, listed: &HashSet<Box<str>>) {
        for shard in &self.shards {
            retain(shard, |known| listed.contains(&known.name));
        }
    }

    fn shard(&self, name: &str) -> &ArcSwap<Shard> {
        let index = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).expect("smaller than SHARDS");
        &self.shards[index]
    }
}

fn retain(shard: &ArcSwap<Shard>, keep: impl Fn(&Known) -> bool) {
    let entries = shard.load();
    if !entries.iter().all(|known| keep(known)) {
        shard.store(Arc::new(entries.iter().filter(|known| keep(known)).map(Arc::clone).collect()));
    }
}

/// Keeps the store as the cluster is. Errors are told once, waited out, and never the end of it.
pub async fn watch(client: Client, store: Arc<Namespaces>, metrics: Arc<Metrics>) {
    let api = Api::<PartialObjectMeta<Namespace>>::all(client);
    let events =
        watcher(api, watcher::Config::default().page_size(PAGE_SIZE).timeout(k8s::WATCH_FOR)).default_backoff();
    follow(events, &store, &metrics, &Health::new("Namespace")).await;
}

async fn follow(
    events: impl Stream<Item = watcher::Result<Event<PartialObjectMeta<Namespace>>>>,
    store: &Namespaces,
    metrics: &Metrics,
    health: &Health,
) {
    let mut events = pin!(events);
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(namespace)) => {
                if let Some(name) = &namespace.metadata.name {
                    listed.insert(name.as_str().into());
                }
                store.insert(namespace.metadata);
            }
            Ok(Event::InitDone) => {
                store.retain_listed(&listed);
                listed = HashSet::new();
                metrics.namespaces_synced.set(1);
                health.answered();
                info!(otelgate.namespaces = store.len(), "namespaces listed");
            }
            Ok(Event::Apply(namespace)) => {
                health.answered();
                store.insert(namespace.metadata);
            }
            Ok(Event::Delete(namespace)) => {
                health.answered();
                store.remove(namespace.metadata.name.as_deref().unwrap_or_default());
            }
            Err(error) => {
                metrics.namespace_watch_errors.add(1);
                health.watch_failed(error);
            }
        }
        metrics.namespaces.set(store.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry;

    #[tokio::test]
    async fn a_second_outage_is_told_like_the_first() {
        let shop = || {
            let metadata = ObjectMeta { name: Some("shop".to_owned()), ..ObjectMeta::default() };
            PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
        };
        for goes_on in [Event::Apply(shop()), Event::Delete(shop())] {
            let gone = || Err(watcher::Error::NoResourceVersion);
            // A watch that breaks goes on where it was, without a list.
            let events = vec![Ok(Event::Init), Ok(Event::InitDone), gone(), gone(), Ok(goes_on), gone()];
            let (store, metrics, health) = (Namespaces::default(), Metrics::default(), Health::new("Namespace"));
            let lines = telemetry::lines_of(follow(futures::stream::iter(events), &store, &metrics, &health)).await;
            let outages = lines.iter().filter(|line| line.contains("no answer from the API server")).count();
            let ends = lines.iter().filter(|line| line.contains("the API server answers")).count();
            assert_eq!((outages, ends), (2, 2), "{lines:?}");
        }
    }
}
