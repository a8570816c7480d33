//! Lists and watches the metadata of all objects of a kind, a page at a time, and tells what a function reads of each:
//! no more than one page is in memory.
//!
//! The watch of `kube` reads whole metadata, of which most is `managedFields`; this one gives the text to whoever reads
//! it. What it has to get right is the same: go on where it was, list again where that is too long ago, and wait longer
//! after each failure.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::k8s::{self, Client, ListParams, WatchEvent, WatchParams};
use crate::watch::{Health, Pace};

/// What the API server says of a kind's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// A complete list follows.
    Begin,
    Is(T),
    Gone(T),
    End,
}

/// Which objects, and how one is read; what can't be read is left out.
#[derive(Debug)]
pub struct Source<T> {
    /// Of the kind, such as `/api/v1/pods`.
    pub path: &'static str,
    pub fields: Option<&'static str>,
    pub read: fn(&str) -> Option<T>,
}

/// A part of a list; each object is read where it stands.
#[derive(Debug, Deserialize)]
pub struct Page<'a> {
    #[serde(default)]
    pub metadata: PageMetadata,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    pub items: Vec<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageMetadata {
    pub resource_version: String,
    pub r#continue: String,
}

#[derive(Debug, Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

/// How a watch ended.
#[derive(Debug)]
enum End {
    /// In its time.
    Timeout,
    /// What it went on from is too long ago.
    Expired,
    Failed(k8s::Error),
    /// All have to be listed again.
    Asked,
    /// Nobody listens any more.
    Unheard,
}

/// Objects of one page: two megabytes of pods.
const PAGE: u32 = 200;
/// For a page.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watch that ends sooner, without a word, is one that failed.
const SHORTEST: Duration = Duration::from_secs(1);
/// Beyond the time after which the API server ends a watch.
const MARGIN: Duration = Duration::from_secs(5);

/// Tells all objects, and each change; all again where `again` changes. Ends when nobody listens.
pub async fn follow<T: Send + 'static>(
    client: Client,
    source: Source<T>,
    health: Arc<Health>,
    mut again: watch::Receiver<u32>,
    told: mpsc::Sender<Told<T>>,
) {
    let mut pace = Pace::default();
    loop {
        again.mark_unchanged();
        let mut version = match list(&client, &source, &told).await {
            Ok(Some(version)) => version,
            Ok(None) => return,
            Err(error) => {
                health.failed(&error);
                wait(&mut pace).await;
                continue;
            }
        };
        health.answered();
        loop {
            let started = Instant::now();
            let before = version.clone();
            let end = tokio::select! {
                end = watch_once(&client, &source, &health, &mut version, &told) => end,
                Ok(()) = again.changed() => End::Asked,
            };
            match end {
                End::Timeout if started.elapsed() >= SHORTEST || before != version => {
                    pace = Pace::default();
                    health.answered();
                }
                End::Timeout => {
                    health.failed_because("the API server ends watches as soon as they begin".to_owned());
                    wait(&mut pace).await;
                }
                End::Failed(error) => {
                    health.failed(&error);
                    wait(&mut pace).await;
                }
                // A server on which everything expires at once gets no more than others that fail.
                End::Expired => {
                    wait(&mut pace).await;
                    break;
                }
                End::Asked => break,
                End::Unheard => return,
            }
        }
    }
}

async fn wait(pace: &mut Pace) {
    sleep(pace.next().unwrap_or(PATIENCE)).await;
}

/// Tells a complete list, and from which version on to watch; `None` when nobody listens.
async fn list<T>(client: &Client, source: &Source<T>, told: &mpsc::Sender<Told<T>>) -> k8s::Result<Option<String>> {
    let mut params = ListParams { field_selector: source.fields.map(str::to_owned), ..ListParams::default() };
    params = params.limit(PAGE);
    let mut begun = false;
    loop {
        let request = k8s::Request::new(source.path).list_metadata(&params).map_err(k8s::Error::BuildRequest)?;
        let text = k8s::within(PATIENCE, client.request_text(request)).await?;
        let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
        if !std::mem::replace(&mut begun, true) && told.send(Told::Begin).await.is_err() {
            return Ok(None);
        }
        for item in page.items {
            if let Some(object) = (source.read)(item.get())
                && told.send(Told::Is(object)).await.is_err()
            {
                return Ok(None);
            }
        }
        if page.metadata.r#continue.is_empty() {
            let heard = told.send(Told::End).await.is_ok();
            return Ok(heard.then_some(page.metadata.resource_version));
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

/// Tells what changes after `version`, and moves that on.
async fn watch_once<T>(
    client: &Client,
    source: &Source<T>,
    health: &Health,
    version: &mut String,
    told: &mpsc::Sender<Told<T>>,
) -> End {
    let params = WatchParams {
        field_selector: source.fields.map(str::to_owned),
        timeout: Some(k8s::WATCH_FOR),
        bookmarks: true,
        ..WatchParams::default()
    };
    let request = match k8s::Request::new(source.path).watch_metadata(&params, version) {
        Ok(request) => request,
        Err(error) => return End::Failed(k8s::Error::BuildRequest(error)),
    };
    let events = match k8s::in_time(client.request_events::<Box<RawValue>>(request)).await {
        Ok(events) => events,
        Err(error) => return End::of(error),
    };
    // Whoever was waited for to give the right back has done so, though nothing may come for long.
    if health.forbidden().is_some() {
        health.answered();
    }
    let mut events = std::pin::pin!(events);
    let idle = Duration::from_secs(u64::from(k8s::WATCH_FOR)) + MARGIN;
    loop {
        let event = match timeout(idle, events.try_next()).await {
            Err(_) | Ok(Ok(None)) => return End::Timeout,
            Ok(Ok(Some(event))) => event,
            Ok(Err(error)) => return End::of(error),
        };
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => return End::of(k8s::Error::Api(status)),
        };
        if let Ok(Versioned { metadata }) = serde_json::from_str(object.get()) {
            *version = metadata.resource_version;
        }
        let Some(object) = (source.read)(object.get()) else {
            warn!(otelgate.path = source.path, "an object that can't be read is left out");
            continue;
        };
        if told.send(if gone { Told::Gone(object) } else { Told::Is(object) }).await.is_err() {
            return End::Unheard;
        }
    }
}

/// The API server writes `null` for the metadata of no objects.
fn null_as_empty<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'a RawValue>, D::Error> {
    Ok(Option::<Vec<&'a RawValue>>::deserialize(deserializer)?.unwrap_or_default())
}

// === impl End ===

impl End {
    fn of(error: k8s::Error) -> Self {
        match &error {
            k8s::Error::Api(status) if status.code == 410 => Self::Expired,
            _ => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
