//! A proxy between one client and the API server: it keeps what was called, holds the client at a call, and answers as an
//! API server does that isn't well.
//!
//! To the client it speaks plain HTTP, and the API server takes it for the administrator.

use std::fs;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header, request};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};

pub use super::api_call::{Call, call};
use super::network::ADDRESS;
use super::plane::ControlPlane;

pub struct ApiProxy {
    pub port: u16,
    /// With which a client gets here.
    pub kubeconfig: PathBuf,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
}

/// How the API server, or the way to it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every call has this status.
    Error(u16),
    /// Two calls of three have.
    Flapping(u16),
    /// Every call is told to come again after so many seconds.
    Busy(u32),
    /// Every call that would write is told that somebody else was faster.
    Conflict,
    /// Every answer is so late.
    Slow(Duration),
    /// The connection of each watch breaks.
    Cut,
    /// Each watch ends without a word as soon as it begins.
    Short,
    /// What each watch goes on from is too long ago.
    Gone,
    /// Nothing gets through, in neither direction, and no connection is closed.
    Partition,
}

/// At which of the calls that change something the client is held, and no later one gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Before it reaches the API server.
    Before(usize),
    /// Once the API server has done it, and before the client hears.
    After(usize),
}

struct Shared {
    fault: watch::Sender<Fault>,
    calls: Mutex<Calls>,
    held: Condvar,
    let_in: Notify,
}

#[derive(Default)]
struct Calls {
    all: Vec<Call>,
    /// Since it was told where to hold.
    changing: usize,
    hold: Option<Hold>,
    /// The call has been met.
    met: bool,
    held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Through,
    /// Until it is let in, and then held.
    Door,
    ThroughThenHold,
    Hold,
}

/// What each request is answered with.
#[derive(Clone)]
struct Front {
    client: Client,
    shared: Arc<Shared>,
}

const MOST: usize = 64 << 20;

// === impl ApiProxy ===

impl ApiProxy {
    /// # Panics
    /// When it can't listen.
    #[track_caller]
    pub fn start(plane: &ControlPlane, name: &str) -> Self {
        let folder = plane.network().folder();
        let admin = folder.join("admin.conf");
        let shared = Arc::new(Shared {
            fault: watch::channel(Fault::None).0,
            calls: Mutex::default(),
            held: Condvar::new(),
            let_in: Notify::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let (listening, port) = std::sync::mpsc::channel();
        plane.network().spawn({
            let shared = Arc::clone(&shared);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::bind((ADDRESS, 0)).await.expect("a port");
                    let front = Front { client: client(&admin).await, shared };
                    let _ = listening.send(listener.local_addr().expect("it is bound").port());
                    let router = Router::new().fallback(answer).with_state(front);
                    tokio::select! {
                        _ = IntoFuture::into_future(axum::serve(listener, router)) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        let port = port.recv().expect("it listens");
        let kubeconfig = folder.join(format!("proxy-{name}.conf"));
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{ADDRESS}:{port}")}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        fs::write(&kubeconfig, content.to_string()).expect("a kubeconfig");
        Self { port, kubeconfig, shared, stop: Some(stop) }
    }

    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Everything that was called so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().all.clone()
    }

    /// How many calls there were so far.
    pub fn count(&self) -> usize {
        self.shared.lock().all.len()
    }

    /// Those that changed something, of all after the first `from`.
    pub fn changes(&self, from: usize) -> Vec<Call> {
        self.shared.lock().all.iter().skip(from).filter(|call| call.changes()).cloned().collect()
    }

    /// Counts from one, from now on.
    pub fn hold(&self, hold: Hold) {
        let mut calls = self.shared.lock();
        (calls.changing, calls.hold, calls.met, calls.held) = (0, Some(hold), false, false);
    }

    /// Whether the client is held now.
    pub fn holds(&self) -> bool {
        self.shared.lock().held
    }

    /// The call that is held before it reaches the API server gets there, and is held once that has done it.
    pub fn let_in(&self) {
        self.shared.lock().held = false;
        self.shared.let_in.notify_one();
    }

    /// Waits until it is. False, when that doesn't come.
    pub fn wait_until_held(&self, patience: Duration) -> bool {
        let calls = self.shared.lock();
        let waited = self.shared.held.wait_timeout_while(calls, patience, |calls| !calls.held);
        waited.unwrap_or_else(PoisonError::into_inner).0.held
    }

    /// Calls the API server as the administrator, from a thread in the network: the status, and the answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        call(self.port, method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call) -> (usize, Pass) {
        let mut calls = self.lock();
        let changes = call.changes();
        calls.all.push(call);
        let index = calls.all.len() - 1;
        if !changes || calls.hold.is_none() {
            return (index, Pass::Through);
        }
        if calls.met {
            return (index, Pass::Hold);
        }
        calls.changing += 1;
        let pass = match calls.hold {
            Some(Hold::Before(at)) if at == calls.changing => Pass::Door,
            Some(Hold::After(at)) if at == calls.changing => Pass::ThroughThenHold,
            _ => return (index, Pass::Through),
        };
        calls.met = true;
        calls.held = pass == Pass::Door;
        self.held.notify_all();
        (index, pass)
    }

    fn answered(&self, index: usize, status: StatusCode) {
        if let Some(call) = self.lock().all.get_mut(index) {
            call.status = Some(status.as_u16());
        }
    }

    fn hold_now(&self) {
        self.lock().held = true;
        self.held.notify_all();
    }
}

// === impl Fault ===

impl Fault {
    /// The answer instead of the API server's.
    fn answer(self, call: &Call, index: usize) -> Option<Response> {
        match self {
            Self::Error(code) => Some(failure(code, "InternalError", "the API server isn't well")),
            Self::Flapping(code) if !index.is_multiple_of(3) => {
                Some(failure(code, "ServiceUnavailable", "the API server comes and goes"))
            }
            Self::Busy(seconds) => {
                let mut answer = failure(429, "TooManyRequests", "too many requests, please try again later");
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                Some(answer)
            }
            Self::Conflict if call.writes() => {
                Some(failure(409, "Conflict", "the object has been modified; please apply your changes to the latest"))
            }
            Self::Gone if call.watches() => Some(failure(410, "Expired", "too old resource version")),
            _ => None,
        }
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": message, "reason": reason, "code": code});
    let code = StatusCode::from_u16(code).expect("a status");
    (code, [(header::CONTENT_TYPE, "application/json")], status.to_string()).into_response()
}

/// # Panics
/// When the kubeconfig is none.
pub async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a kubeconfig");
    Client::try_from(config).expect("a client")
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else { return failure(400, "BadRequest", "half a request") };
    let call = Call::new(&parts);
    let (index, pass) = front.shared.note(call.clone());
    match pass {
        Pass::Hold => pending::<()>().await,
        Pass::Door => front.shared.let_in.notified().await,
        Pass::Through | Pass::ThroughThenHold => {}
    }
    let mut faults = front.shared.fault.subscribe();
    until_it_gets_through(&mut faults).await;
    let fault = *faults.borrow_and_update();
    let answer = match fault.answer(&call, index) {
        Some(answer) => answer,
        None => front.pass_on(parts, body, call.watches()).await,
    };
    if let Fault::Slow(delay) = fault {
        tokio::time::sleep(delay).await;
    }
    until_it_gets_through(&mut faults).await;
    front.shared.answered(index, answer.status());
    if pass != Pass::Through {
        front.shared.hold_now();
        pending::<()>().await;
    }
    answer
}

async fn until_it_gets_through(faults: &mut watch::Receiver<Fault>) {
    let _ = faults.wait_for(|fault| *fault != Fault::Partition).await;
}

impl Front {
    async fn pass_on(&self, mut parts: request::Parts, body: Bytes, watches: bool) -> Response {
        without_framing(&mut parts.headers);
        parts.headers.remove(header::HOST);
        parts.version = Version::HTTP_11;
        let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
        let (mut parts, body) = match self.client.send(request).await {
            Ok(response) => response.into_parts(),
            Err(error) => return failure(502, "BadGateway", &error.to_string()),
        };
        without_framing(&mut parts.headers);
        let body = Body::new(body);
        if watches && parts.status.is_success() {
            let events = Events { told: body.into_data_stream(), faults: self.shared.fault.subscribe(), over: false };
            return Response::from_parts(parts, Body::from_stream(stream::unfold(events, Events::next)));
        }
        match to_bytes(body, MOST).await {
            Ok(body) => Response::from_parts(parts, Body::from(body)),
            Err(error) => failure(502, "BadGateway", &error.to_string()),
        }
    }
}

/// Each connection has its own.
fn without_framing(headers: &mut HeaderMap<HeaderValue>) {
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

/// What a watch tells.
struct Events<S> {
    told: S,
    faults: watch::Receiver<Fault>,
    over: bool,
}

impl<S: Stream<Item = Result<Bytes, axum::Error>> + Unpin> Events<S> {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        while !self.over {
            let fault = *self.faults.borrow_and_update();
            let last = match fault {
                Fault::Cut => Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))),
                Fault::Gone => {
                    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
                        "metadata": {}, "status": "Failure", "message": "too old resource version",
                        "reason": "Expired", "code": 410}});
                    Some(Ok(Bytes::from(format!("{expired}\n"))))
                }
                Fault::Short => return None,
                _ => None,
            };
            if let Some(last) = last {
                self.over = true;
                return Some((last, self));
            }
            let other = self.faults.changed();
            if fault == Fault::Partition {
                other.await.ok()?;
                continue;
            }
            tokio::select! {
                changed = other => changed.ok()?,
                next = self.told.next() => return next.map(|next| (next.map_err(io::Error::other), self)),
            }
        }
        None
    }
}
