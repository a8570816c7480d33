//! SIGTERM under load, with two replicas and endpoints that follow late, as in a rolling update.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otelgate::admission::Entry;
use rustix::process::Signal;
use rustls::ClientConfig;
use tempfile::tempdir;

use super::authority::Authority;
use super::client::{Connection, get, tls, wait_ready, wait_until};
use super::process::{Process, otelgate};
use super::stack::recorded;

/// What a Service does: new connections go to whoever is ready, as far as it has heard.
#[derive(Default)]
struct Endpoints {
    ready: Mutex<Vec<SocketAddr>>,
    next: AtomicU64,
}

impl Endpoints {
    async fn follow(&self, replicas: &[(SocketAddr, SocketAddr)], late: Duration) {
        let mut ready = Vec::new();
        for (address, admin) in replicas {
            if get(*admin, "/readyz").await.is_ok_and(|answer| answer.status == 200) {
                ready.push(*address);
            }
        }
        tokio::time::sleep(late).await;
        *self.ready.lock().expect("no panic") = ready;
    }

    fn pick(&self) -> SocketAddr {
        let ready = self.ready.lock().expect("no panic");
        let next = usize::try_from(self.next.fetch_add(1, SeqCst)).expect("few");
        ready[next % ready.len()]
    }
}

const SHUTDOWN_DELAY: &str = "2s";
/// Shorter than half of the delay: a connection that is idle for longer may be closed just as its client sends.
const ALMOST_HALF: Duration = Duration::from_millis(900);

/// The API server's pool keeps a connection until the server says otherwise.
async fn load(
    endpoints: Arc<Endpoints>,
    config: Arc<ClientConfig>,
    pause: Duration,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) {
    let review = recorded("deployment-pod");
    let mut pooled: Option<Connection<_>> = None;
    while !stop.load(SeqCst) {
        let mut connection = match pooled.take() {
            Some(connection) => connection,
            None => tls(endpoints.pick(), Arc::clone(&config)).await.expect("a handshake"),
        };
        let answer = connection.review(Entry::Pod.path(), &review).await.expect("an answer");
        assert!(answer.response().get("patch").is_some());
        done.fetch_add(1, SeqCst);
        if !answer.closes() {
            pooled = Some(connection);
        }
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_replicas_are_replaced() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let arguments = &["--no-namespaces", "--shutdown-delay", SHUTDOWN_DELAY];
    let mut first = Process::start(folder.path(), arguments).await;
    wait_ready(first.admin, "ok").await;

    let endpoints = Arc::new(Endpoints::default());
    endpoints.follow(&[(first.address, first.admin)], Duration::ZERO).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let pauses = [[Duration::from_millis(1); 8], [ALMOST_HALF; 8]].into_iter().flatten();
    let clients: Vec<_> = pauses
        .map(|pause| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(load(Arc::clone(&endpoints), authority.client(None), pause, stop, done))
        })
        .collect();
    for _ in 0..2 {
        let second = Process::start(folder.path(), arguments).await;
        wait_ready(second.admin, "ok").await;
        let replicas = [(first.address, first.admin), (second.address, second.admin)];
        endpoints.follow(&replicas, Duration::ZERO).await;
        let before = done.load(SeqCst);
        wait_until(|| async { done.load(SeqCst) > before + 50 }).await;

        first.signal(Signal::TERM);
        wait_ready(first.admin, "shutting down").await;
        endpoints.follow(&replicas, Duration::from_millis(300)).await;
        assert!(first.ended().await.success(), "{}", first.log());
        let before = done.load(SeqCst);
        wait_until(|| async { done.load(SeqCst) > before + 50 }).await;
        first = second;
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.await.expect("no failure");
    }
}

#[tokio::test]
async fn a_connection_that_was_idle_for_half_of_the_delay_is_answered_and_let_go() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let mut process = Process::start(folder.path(), &["--no-namespaces", "--shutdown-delay", SHUTDOWN_DELAY]).await;
    wait_ready(process.admin, "ok").await;
    let review = recorded("deployment-pod");
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut connection = tls(process.address, authority.client(None)).await.expect("a handshake");
        assert!(!connection.review(Entry::Pod.path(), &review).await.expect("an answer").closes());
        idle.push(connection);
    }
    process.signal(Signal::TERM);
    // The second half of the delay begins when an answer says so.
    wait_until(|| async {
        let mut other = tls(process.address, authority.client(None)).await.expect("a handshake");
        other.review(Entry::Pod.path(), &review).await.expect("an answer").closes()
    })
    .await;
    for mut connection in idle {
        let answer = connection.review(Entry::Pod.path(), &review).await.expect("an answer");
        assert!(answer.closes() && answer.response().get("patch").is_some());
        assert_eq!(connection.closed().await.expect("closed in order"), 0);
    }
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn liveness_holds_and_new_connections_are_served_until_the_drain() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let mut process = Process::start(folder.path(), &["--no-namespaces", "--shutdown-delay", "1s"]).await;
    wait_ready(process.admin, "ok").await;
    let mut idle = tls(process.address, authority.client(None)).await.expect("a handshake");
    idle.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    process.signal(Signal::INT);
    wait_ready(process.admin, "shutting down").await;
    assert_eq!(get(process.admin, "/livez").await.expect("an answer").status, 200);
    let mut late = tls(process.address, authority.client(None)).await.expect("still accepted");
    late.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    assert_eq!(idle.closed().await.unwrap_or_default(), 0);
    assert!(process.ended().await.success());
    assert_eq!(process.logged("stopped").len(), 1);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = tempdir().expect("a folder");
    Authority::new("one").issue().write(folder.path());
    let mut process = Process::start(folder.path(), &["--no-namespaces", "--shutdown-delay", "1h"]).await;
    process.signal(Signal::TERM);
    wait_ready(process.admin, "shutting down").await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(1));
    assert_eq!(process.logged("a second signal: stopped at once").len(), 1);
}

#[test]
fn a_wrong_command_line_is_told_before_anything_is_bound() {
    let files = ["--tls-cert", "c", "--tls-key", "k", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    for (arguments, told) in [
        (&[][..], "--kubeconfig"),
        (&["--kubeconfig", "/nowhere/config"], "/nowhere/config"),
        (&["--no-namespaces", "--max-connections", "0"], "--max-connections"),
        (&["--no-namespaces", "--shutdown-delay", "soon"], "5s or 1m30s"),
        (&["--no-namespaces", "--log-level", "loud"], "--log-level"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = otelgate().arg("webhook").args(files).args(arguments).output().expect("otelgate runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
        assert!(text.contains(told) && !text.contains("listening"), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let folder = tempdir().expect("a folder");
    Authority::new("one").issue().write(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (certificate, key) = super::authority::Pair::paths(folder.path());
    let mut command = otelgate();
    command.args(["webhook", "--no-namespaces", "--listen", &address, "--admin-listen", "127.0.0.1:0"]);
    let output = command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key).output().expect("otelgate runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address) && !text.contains("os error"), "{text}");
}
