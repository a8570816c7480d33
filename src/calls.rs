//! What holds for every call of the API server, whoever makes it: a client keeps to it for all who have a copy.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use kube::Config;
use tokio::time::sleep;
use tower::{BoxError, service_fn};

use crate::k8s::{self, Body, Client, Error, Result};

/// Until when a client may write. Nobody may before it was told.
#[derive(Debug, Default)]
pub struct Fence(Mutex<Option<Instant>>);

/// What a call is answered with.
struct Answer {
    body: Body,
    /// Of a watch that hasn't told anything yet.
    silent_since: Option<Instant>,
}

/// A watch that ends sooner, without a word, is one that failed. Kube would begin it anew at once, as it rightly does with
/// one whose time is over: with a server, or something before it, that ends each, it would ask without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest that an answer is kept back for which the API server asks to come again later.
const LATEST: Duration = Duration::from_secs(5);

/// A client for this connection.
///
/// # Errors
/// When the connection's certificates or credentials can't be read.
pub fn client(connection: Config) -> Result<Client> {
    Ok(patient(Client::try_from(connection)?))
}

fn patient(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let silent_since = watches(&request).then(Instant::now);
            let answer = send(&client, request).await?;
            // Nobody can come again before it is heard.
            if let Some(later) = asks_to_come_later(&answer) {
                sleep(later).await;
            }
            Ok::<_, Error>(answer.map(|body| Answer { body, silent_since }))
        }
    });
    Client::new(service, namespace)
}

/// A client that writes nothing beyond the fence. A process that was stopped, and goes on when another has taken over, has
/// all that it was about to do before it; no timer of its own is sure to be the first.
#[must_use]
pub fn fenced(client: Client, fence: Arc<Fence>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        let may = request.method() == Method::GET || fence.is_open(Instant::now());
        async move {
            if may {
                client.send(request).await
            } else {
                Err(Error::Service(io::Error::other("this controller doesn't lead any more").into()))
            }
        }
    });
    Client::new(service, namespace)
}

/// A client of which each read is answered soon, or not at all. What waits for others may take longer: a watch or a log for
/// what comes, and a write for webhooks on its way.
#[must_use]
pub fn prompt(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { send(&client, request).await }
    });
    Client::new(service, namespace)
}

/// In time, where the API server alone answers.
async fn send(client: &Client, request: Request<Body>) -> Result<Response<Body>> {
    let answers_alone =
        request.method() == Method::GET && !watches(&request) && !request.uri().path().ends_with("/log");
    let answer = client.send(request);
    if answers_alone { k8s::in_time(answer).await } else { answer.await }
}

fn watches<B>(request: &Request<B>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"))
}

fn asks_to_come_later<B>(answer: &Response<B>) -> Option<Duration> {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status());
    let seconds = answer.headers().get(header::RETRY_AFTER).filter(|_| busy)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LATEST))
}

// === impl Fence ===

impl Fence {
    pub fn open_until(&self, until: Instant) {
        *self.lock() = Some(until);
    }

    pub fn close(&self) {
        *self.lock() = None;
    }

    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.lock().is_some_and(|until| now < until)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        // No code under the lock leaves it half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Answer ===

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let silent = self.silent_since.take();
        Poll::Ready(match next {
            Some(Ok(told)) => Some(Ok(told)),
            // One that breaks off is begun anew at once, too.
            None | Some(Err(_)) if silent.is_some_and(|since| since.elapsed() < SHORTEST) => {
                Some(Err(io::Error::other("the API server ends watches as soon as they begin").into()))
            }
            None => None,
            Some(Err(error)) => Some(Err(error.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{Api, ConfigMap, WatchParams};
    use futures::TryStreamExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Each call is counted, and answered with that.
    fn answering(text: &'static str, calls: &Arc<AtomicUsize>) -> Client {
        let calls = Arc::clone(calls);
        let service = service_fn(move |_: Request<Body>| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, Error>(Response::new(Body::from(text.as_bytes().to_vec()))) }
        });
        Client::new(service, "default")
    }

    async fn watched(text: &'static str) -> Result<usize> {
        let client = patient(answering(text, &Arc::default()));
        let events = Api::<ConfigMap>::default_namespaced(client).watch(&WatchParams::default(), "0").await?;
        Ok(events.try_collect::<Vec<_>>().await?.len())
    }

    #[tokio::test]
    async fn a_watch_that_ends_as_soon_as_it_begins_has_failed() {
        let told = concat!(
            r#"{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"1"}}}"#,
            "\n"
        );
        let error = watched("").await.expect_err("it told nothing");
        assert!(matches!(error, Error::ReadEvents(_)), "{error:?}");
        assert_eq!(watched(told).await.expect("it told something"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_to_come_later_hears_so_when_it_is_later() {
        for (status, after, expected) in [
            (429, Some("2"), 2),
            (503, Some("3600"), LATEST.as_secs()),
            (429, None, 0),
            (429, Some("soon"), 0),
            (200, Some("2"), 0),
        ] {
            let service = service_fn(move |_: Request<Body>| async move {
                let answer = Response::builder().status(status);
                let answer = after.into_iter().fold(answer, |answer, after| answer.header(header::RETRY_AFTER, after));
                Ok::<_, Error>(answer.body(Body::empty()).expect("an answer"))
            });
            let (client, begun) = (patient(Client::new(service, "default")), tokio::time::Instant::now());
            client.send(Request::new(Body::empty())).await.expect("an answer");
            assert_eq!(begun.elapsed().as_secs(), expected, "{status} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_never_answers_is_given_up_where_it_alone_would() {
        let never = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>>>());
        let client = prompt(Client::new(never, "default"));
        let ends = async |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
            tokio::time::timeout(Duration::from_secs(20), client.send(request)).await.is_ok()
        };
        assert!(ends(Method::GET, "/api/v1/pods?limit=500").await);
        assert!(!ends(Method::GET, "/api/v1/pods?watch=true").await);
        assert!(!ends(Method::GET, "/api/v1/namespaces/a/pods/b/log?follow=true").await);
        assert!(!ends(Method::POST, "/api/v1/namespaces/a/pods?dryRun=All").await, "webhooks have up to 30 s");
    }

    #[tokio::test]
    async fn beyond_the_fence_nothing_is_written_and_all_is_read() {
        let (calls, fence) = (Arc::<AtomicUsize>::default(), Arc::<Fence>::default());
        let maps = Api::<ConfigMap>::default_namespaced(fenced(answering("{}", &calls), Arc::clone(&fence)));
        let write = || async { maps.create(&k8s::PostParams::default(), &ConfigMap::default()).await };
        write().await.expect_err("nobody has opened it");
        fence.open_until(Instant::now() + Duration::from_mins(1));
        write().await.expect("it is open");
        fence.open_until(Instant::now());
        write().await.expect_err("its time is over");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        maps.get("any").await.expect("reading is harmless");
        fence.close();
        write().await.expect_err("it is closed");
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
