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
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::jitter;
use crate::k8s::{self, Api, Backoff, Event, Resource, ResourceExt as _, WatchStreamExt as _, watcher};

mod health;

use health::FORBIDDEN;
pub use health::Health;

/// The objects that a watch knows, by name.
pub type Objects<K> = BTreeMap<String, K>;

/// What a watch of many objects has made of them: changed in place, and read under a lock.
#[derive(Debug)]
pub struct Store<T>(Mutex<Option<Objects<T>>>);

/// Soon at first; never so late that somebody who mended the cause would wonder. Each by a time of its own: an API server
/// that comes back has all of them fail at once.
#[derive(Debug)]
pub struct Pace {
    failures: u32,
    last: Option<Instant>,
    jitter: fn() -> f64,
}

/// Objects of an answer to a list: whole ones are in memory that many at a time.
const PAGE: u32 = 100;
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// After a right has gone.
const LISTED_AGAIN: Duration = Duration::from_secs(10);
/// After so long without a failure the next is the first again.
const FORGIVEN: Duration = Duration::from_secs(15);

// === impl Store ===

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: PartialEq> Store<T> {
    /// All objects, by name; `None` before they were listed.
    pub fn lock(&self) -> MutexGuard<'_, Option<Objects<T>>> {
        // No code under the lock leaves it half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, told: Told<T>) -> bool {
        told.change(&mut self.lock())
    }
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self { failures: 0, last: None, jitter: jitter::any }
    }
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.last.replace(now).is_some_and(|last| now.saturating_duration_since(last) > FORGIVEN) {
            self.failures = 0;
        }
        let delay = FIRST_RETRY * 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1).min(8);
        Some(jitter::spread(delay.min(LAST_RETRY), (self.jitter)()))
    }
}

impl Backoff for Pace {
    /// A list that comes through between two failures says little: where each watch is told that it is too late, every
    /// other call succeeds.
    fn reset(&mut self) {}
}

/// Tells all objects once they were listed, and again after each change. Never returns.
pub async fn objects<K>(api: Api<K>, config: watcher::Config, health: &Health, mut changed: impl FnMut(&Objects<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let told = |known: Option<&Objects<K>>| known.into_iter().for_each(&mut changed);
    follow(api, config, health, Unserved::IsAFault, |object| object, whole(told)).await;
}

/// The same, of a kind that the API server may not have, or not yet: then there are none, and `None` is told. Never
/// returns.
pub async fn objects_if_served<K>(
    api: Api<K>,
    config: watcher::Config,
    health: &Health,
    changed: impl FnMut(Option<&Objects<K>>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow(api, config, health, Unserved::MeansNone, |object| object, whole(changed)).await;
}

/// Keeps what `cut` makes of each object in a [`Store`], for kinds of which there are many. Never returns.
pub async fn fill<K, T>(
    api: Api<K>,
    config: watcher::Config,
    health: &Health,
    cut: impl Fn(K) -> T,
    store: &Store<T>,
    changed: &Notify,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: PartialEq,
{
    follow(api, config, health, Unserved::IsAFault, cut, |told| {
        if store.take(told) {
            changed.notify_one();
        }
    })
    .await;
}

/// The same, for several who look at it, in a part of what is published: each is woken by what makes a difference. Never
/// returns.
pub async fn reflect<K, T, P>(
    api: Api<K>,
    config: watcher::Config,
    health: &Health,
    cut: impl Fn(K) -> T,
    published: &watch::Sender<P>,
    part: impl Fn(&mut P) -> &mut Option<Objects<T>>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: PartialEq,
{
    follow(api, config, health, Unserved::IsAFault, cut, |told| {
        published.send_if_modified(|published| told.change(part(published)));
    })
    .await;
}

async fn follow<K, T>(
    api: Api<K>,
    config: watcher::Config,
    health: &Health,
    unserved: Unserved,
    cut: impl Fn(K) -> T,
    mut tell: impl FnMut(Told<T>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = config.timeout(k8s::WATCH_FOR).page_size(PAGE);
    loop {
        let events = watcher(api.clone(), config.clone()).backoff(Pace::default());
        follow_events(events, health, unserved, &cut, &mut tell).await;
        // The right to watch has gone. That it is back shows in a list alone: a watch on which nothing comes is silent.
        sleep(LISTED_AGAIN).await;
    }
}

/// Only the object of that name.
#[must_use]
pub fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

/// What it means that the API server doesn't know the kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unserved {
    IsAFault,
    MeansNone,
}

/// What a watch tells.
enum Told<T> {
    /// All there are.
    All(Objects<T>),
    Applied(String, T),
    Deleted(String),
    Unserved,
}

impl<T: PartialEq> Told<T> {
    /// Whether it makes a difference.
    fn change(self, known: &mut Option<Objects<T>>) -> bool {
        match self {
            Self::All(all) => known.replace(all).as_ref() != known.as_ref(),
            Self::Applied(name, object) => {
                let known = known.get_or_insert_default();
                known.get(&name) != Some(&object) && {
                    known.insert(name, object);
                    true
                }
            }
            Self::Deleted(name) => known.get_or_insert_default().remove(&name).is_some(),
            Self::Unserved => known.take().is_some(),
        }
    }
}

/// Keeps all, and tells all after each change.
fn whole<T>(mut changed: impl FnMut(Option<&Objects<T>>)) -> impl FnMut(Told<T>) {
    let mut known = Objects::new();
    move |told| {
        match told {
            Told::All(all) => known = all,
            Told::Applied(name, object) => {
                known.insert(name, object);
            }
            Told::Deleted(name) => {
                known.remove(&name);
            }
            Told::Unserved => {
                known.clear();
                return changed(None);
            }
        }
        changed(Some(&known));
    }
}

/// Nothing is told before the first list. Until the events end, or what was listed may not be watched any more.
async fn follow_events<K: Resource, T>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    health: &Health,
    unserved: Unserved,
    cut: &impl Fn(K) -> T,
    tell: &mut impl FnMut(Told<T>),
) {
    let mut events = pin!(events);
    let mut listing = Objects::new();
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(object.name_any(), cut(object));
            }
            Ok(Event::InitDone) => {
                listed = true;
                health.answered();
                tell(Told::All(std::mem::take(&mut listing)));
            }
            // A watch that broke may go on where it was, without a list.
            Ok(Event::Apply(object)) if listed => {
                health.answered();
                tell(Told::Applied(object.name_any(), cut(object)));
            }
            Ok(Event::Delete(object)) if listed => {
                health.answered();
                tell(Told::Deleted(object.name_any()));
            }
            Ok(Event::Apply(_) | Event::Delete(_)) => {}
            Err(error) if unserved == Unserved::MeansNone && is_of_unknown_kind(&error) => {
                listed = false;
                health.answered();
                tell(Told::Unserved);
            }
            Err(error) => {
                let ends = listed && is_of_missing_right(&error);
                health.watch_failed(error);
                if ends {
                    return;
                }
            }
        }
    }
}

fn is_of_missing_right(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error)
    | watcher::Error::WatchStartFailed(error)
    | watcher::Error::WatchFailed(error)) = error
    else {
        return false;
    };
    matches!(error, k8s::Error::Api(status) if status.code == FORBIDDEN)
}

/// Even in a namespace that isn't there, a kind that is served has a list.
fn is_of_unknown_kind(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, k8s::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::k8s::{ConfigMap, ObjectMeta};
    use crate::telemetry;

    fn named(name: &str) -> ConfigMap {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    async fn told(events: Vec<watcher::Result<Event<ConfigMap>>>, health: &Health) -> Vec<Vec<String>> {
        let mut told = Vec::new();
        let none = || vec!["no such kind".to_owned()];
        let tell = |known: Option<&Objects<ConfigMap>>| {
            told.push(known.map_or_else(none, |known| known.keys().cloned().collect()));
        };
        follow_events(futures::stream::iter(events), health, Unserved::MeansNone, &|object| object, &mut whole(tell))
            .await;
        told
    }

    #[test]
    fn a_store_tells_whether_something_has_changed() {
        let store = Store::default();
        let one = || ("a".to_owned(), 1);
        assert!(store.lock().is_none());
        assert!(store.take(Told::All(Objects::from([one()]))));
        assert!(!store.take(Told::All(Objects::from([one()]))), "the same list");
        assert!(!store.take(Told::Applied("a".to_owned(), 1)));
        assert!(store.take(Told::Applied("a".to_owned(), 2)));
        assert!(store.take(Told::Deleted("a".to_owned())));
        assert!(!store.take(Told::Deleted("a".to_owned())));
        assert_eq!(*store.lock(), Some(Objects::new()));
    }

    #[tokio::test]
    async fn a_kind_that_comes_and_goes_has_none_in_between() {
        let health = Health::new("Widget");
        let unknown = || {
            let status = k8s::Status::failure("404 page not found", "Failed to parse error data").with_code(404);
            Err(watcher::Error::InitialListFailed(k8s::Error::Api(status.boxed())))
        };
        let events = vec![unknown(), Ok(Event::Init), Ok(Event::InitApply(named("a"))), Ok(Event::InitDone), unknown()];
        assert_eq!(told(events, &health).await, [vec!["no such kind"], vec!["a"], vec!["no such kind"]]);
        assert_eq!((health.fault(), health.failures()), (None, 0));
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

    #[tokio::test]
    async fn a_second_outage_is_told_like_the_first() {
        for goes_on in [Event::Apply(named("b")), Event::Delete(named("a"))] {
            let health = Health::new("ConfigMap");
            let gone = || Err(watcher::Error::NoResourceVersion);
            // A watch that breaks goes on where it was, without a list.
            let events = vec![Ok(Event::Init), Ok(Event::InitDone), gone(), gone(), Ok(goes_on), gone()];
            let lines = telemetry::lines_of(told(events, &health)).await;
            let outages = lines.iter().filter(|line| line.contains("no answer from the API server")).count();
            let ends = lines.iter().filter(|line| line.contains("the API server answers")).count();
            assert_eq!((outages, ends), (2, 2), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn a_right_that_has_gone_is_told_whatever_was_known() {
        let health = Health::new("ConfigMap");
        let answer = |code, message: &str| {
            Err(watcher::Error::WatchStartFailed(k8s::Error::Api(
                k8s::Status::failure(message, "").with_code(code).boxed(),
            )))
        };
        let forbidden = || {
            answer(
                403,
                r#"x is forbidden: User "u" cannot watch resource "configmaps" in API group "" at the cluster scope"#,
            )
        };
        let listed = || [Ok(Event::Init), Ok(Event::InitApply(named("a"))), Ok(Event::InitDone)];
        let events =
            listed().into_iter().chain([answer(500, "no"), forbidden(), Ok(Event::Apply(named("b")))]).collect();
        assert_eq!(told(events, &health).await, [vec!["a"]], "it ends, so that all are listed again");
        assert_eq!(health.unseen().as_deref(), Some("not allowed to watch configmaps in the whole cluster"));
        assert_eq!(health.fault(), None, "what was listed is known");
        told(listed().into_iter().collect(), &health).await;
        assert_eq!(health.unseen(), None);
        told(listed().into_iter().chain([answer(500, "no")]).collect(), &health).await;
        assert_eq!(health.unseen(), None, "which will pass");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_slow_down_to_a_few_seconds() {
        for (jitter, longer) in [(|| 0.0, 1.0), (|| 1.0, 1.5)] as [(fn() -> f64, f64); 2] {
            let first = FIRST_RETRY.mul_f64(longer);
            let last = LAST_RETRY.mul_f64(longer);
            let mut pace = Pace { jitter, ..Pace::default() };
            let delays: Vec<_> = pace.by_ref().take(40).collect();
            assert_eq!(delays[..3], [first, first * 2, first * 4]);
            assert_eq!(delays.last(), Some(&last));
            pace.reset();
            assert_eq!(pace.next(), Some(last), "one list that comes through is no sign");
            tokio::time::advance(FORGIVEN + FIRST_RETRY).await;
            assert_eq!(pace.next(), Some(first));
        }
    }

    /// As many as a leader has.
    #[tokio::test(start_paused = true)]
    async fn watches_that_fail_at_once_dont_come_back_together() {
        let mut paces: Vec<_> = (0..40).map(|_| Pace::default()).collect();
        for _ in 0..3 {
            let delays: BTreeSet<_> = paces.iter_mut().filter_map(Pace::next).collect();
            assert!(delays.len() > 35, "{delays:?}");
        }
    }
}
