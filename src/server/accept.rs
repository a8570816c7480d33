//! The accept loop of a port, and the life of one connection.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;
use tracing::{debug, info, warn};

use super::activity::{Activity, Watched};
use super::lifecycle::{Phase, Phases};
use super::read_ahead::ReadAhead;
use crate::metrics::{HandshakeFailure, Metrics, Refused};
use crate::source::Source;
use crate::tls::Identity;

/// What a port's clients may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. For a further one that makes room which has waited longest with nothing to answer; where
    /// none has, it is closed at once, not queued.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte; that of the first, from the handshake.
    pub header: Duration,
    /// For silence between requests. On the webhook's port, longer than the 90 s that the API server's pool keeps a
    /// connection.
    pub idle: Duration,
    /// For the requests that are being answered when the server drains.
    pub drain: Duration,
}

/// What lies between TCP and HTTP.
#[derive(Clone)]
pub enum Transport {
    Plain,
    Tls(Arc<Source<Identity>>),
}

/// Of hyper's buffers, for each connection.
const MAX_BUFFER: usize = 16 << 10;
/// After an error of the listener's own, such as no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// Without such an error for so long, it is over.
const RECOVERED: Duration = Duration::from_secs(2);
/// For a connection that is asked to leave; its task only has to get its turn.
const LEAVING: Duration = Duration::from_secs(1);

// === impl Limits ===

impl Limits {
    /// Of the plain port, whose clients ask and go.
    #[must_use]
    pub fn plain() -> Self {
        let patience = Duration::from_secs(4);
        Self { header: patience, idle: patience, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until the phases end. Only the webhook's port has its connections counted in the metrics.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: Limits,
    metrics: Option<Arc<Metrics>>,
    mut phases: Phases,
) {
    let mut listener = Listener { listener, failed: None };
    let mut places = Places::new(limits.connections);
    let connection = Connection { router, limits, metrics, phases: phases.clone() };
    let mut draining = pin!(async move { phases.reached(Phase::Draining).await });
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut draining => break,
            stream = listener.accept() => stream,
        };
        let activity = Activity::new();
        let Some(place) = places.take(&activity).await else {
            connection.refused(Refused::Limit);
            continue;
        };
        let config = match &transport {
            Transport::Plain => None,
            Transport::Tls(source) => {
                let config = source.current().as_ref().map(|identity| identity.config());
                if config.is_none() {
                    connection.refused(Refused::NoCertificate);
                    continue;
                }
                config
            }
        };
        let connection = connection.clone();
        tokio::spawn(async move {
            connection.serve(stream, config, activity).await;
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.drain, places.all_free()).await.is_err() {
        warn!("connections were still open at the end of the drain");
    }
}

/// Accepts through errors of its own, and tells when they begin and end.
struct Listener {
    listener: TcpListener,
    /// When it last did, until that is over.
    failed: Option<Instant>,
}

/// Places for connections, and what those that have one are doing.
struct Places {
    free: Arc<Semaphore>,
    limit: usize,
    /// Some of them may be closed by now.
    taken: Vec<Activity>,
}

#[derive(Clone)]
struct Connection {
    router: Router,
    limits: Limits,
    metrics: Option<Arc<Metrics>>,
    phases: Phases,
}

// === impl Listener ===

impl Listener {
    async fn accept(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if self.failed.take_if(|failed| failed.elapsed() > RECOVERED).is_some() {
                        info!("accepting connections again");
                    }
                    return stream;
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if self.failed.replace(Instant::now()).is_none() {
                        warn!(error.message = %error, "can't accept connections; trying again");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Errors of one connection, which the listener survives without a pause.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

// === impl Places ===

impl Places {
    fn new(limit: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(limit)), limit, taken: Vec::new() }
    }

    /// A place for a connection, if there is one or somebody makes room.
    async fn take(&mut self, activity: &Activity) -> Option<OwnedSemaphorePermit> {
        if self.taken.len() >= self.limit {
            self.taken.retain(Activity::is_open);
        }
        let place = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => self.vacated().await?,
        };
        self.taken.push(activity.clone());
        Some(place)
    }

    /// That of the connection that has waited longest with nothing to answer.
    async fn vacated(&self) -> Option<OwnedSemaphorePermit> {
        let waiting = self.taken.iter().filter_map(|activity| Some((activity.waits_since()?, activity)));
        let (_, longest) = waiting.min_by_key(|(since, _)| *since)?;
        longest.ask_to_leave().then_some(())?;
        timeout(LEAVING, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }

    async fn all_free(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // It is never closed.
        let _ = self.free.acquire_many(all).await;
    }
}

// === impl Connection ===

impl Connection {
    fn refused(&self, cause: Refused) {
        if let Some(metrics) = &self.metrics {
            metrics.refused(cause);
        }
    }

    async fn serve(self, stream: TcpStream, config: Option<Arc<ServerConfig>>, activity: Activity) {
        let _counted = self.metrics.clone().map(Counted::new);
        tokio::select! {
            biased;
            // Looked at first: once a request is read, it isn't any more.
            () = activity.unwanted() => if activity.awaits_request() { self.refused(Refused::Limit) },
            () = self.speak(stream, config, &activity) => {}
        }
    }

    async fn speak(&self, stream: TcpStream, config: Option<Arc<ServerConfig>>, activity: &Activity) {
        // Answers are written whole: nothing is gained by waiting for more.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(config) = config else { return self.speak_http(stream, activity).await };
        let handshake = timeout(self.limits.handshake, TlsAcceptor::from(config).accept(ReadAhead::new(stream))).await;
        match handshake {
            Ok(Ok(stream)) => self.speak_http(stream, activity).await,
            Ok(Err(error)) => {
                let tls = error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>);
                self.handshake_failed(if tls { HandshakeFailure::Tls } else { HandshakeFailure::Closed });
            }
            Err(_) => self.handshake_failed(HandshakeFailure::Timeout),
        }
    }

    fn handshake_failed(&self, cause: HandshakeFailure) {
        if let Some(metrics) = &self.metrics {
            metrics.handshake_failed(cause);
        }
        debug!(error.type = cause.as_str(), "TLS handshake failed");
    }

    async fn speak_http<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, activity: &Activity) {
        activity.head_awaited();
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let service = service_fn(|request| self.answer(activity, request));
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER).header_read_timeout(None);
        let mut exchange = pin!(http.serve_connection(io, service));

        let patrol = (self.limits.header.min(self.limits.idle) / 4).max(Duration::from_millis(1));
        let mut patrol = interval_at(Instant::now() + patrol, patrol);
        let mut phases = self.phases.clone();
        let mut draining = pin!(phases.reached(Phase::Draining));
        let mut drains = false;
        loop {
            tokio::select! {
                biased;
                // An error here is the client's going away.
                _ = &mut exchange => return,
                () = &mut draining, if !drains => {
                    drains = true;
                    exchange.as_mut().graceful_shutdown();
                }
                _ = patrol.tick() => if activity.is_stale(self.limits.header, self.limits.idle) { return },
            }
        }
    }

    fn answer(
        &self,
        activity: &Activity,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> {
        activity.request_began(request.body().size_hint().exact());
        let answered = self.router.clone().call(request.map(Body::new));
        let (phases, activity) = (self.phases.clone(), activity.clone());
        async move {
            let mut response = answered.await?;
            if phases.now() >= Phase::LettingGo {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            activity.request_ended();
            Ok(response)
        }
    }
}

/// An open connection, in the metrics.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections_accepted.add(1);
        metrics.connections.increment();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.decrement();
    }
}
