//! Clients that hold on to connections, and what they get.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use otelgate::admission::{Entry, MAX_BODY};
use otelgate::inject::Reason;
use otelgate::metrics::{HandshakeFailure, Refused};
use otelgate::server::{Lifecycle, Limits, serve_apart};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use tempfile::{TempDir, tempdir};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Pair};
use super::client::{Connection, tls, wait_until};
use super::port::Port;
use super::process::Process;
use super::stack::recorded;

/// It also bounds what must succeed, on a busy machine too.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_mins(1);

struct Server {
    port: Port,
    authority: Authority,
    _folder: TempDir,
}

async fn server(limits: Limits) -> Server {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let (certificate, key) = Pair::paths(folder.path());
    Server { port: Port::start(vec![certificate, key], limits).await, authority, _folder: folder }
}

impl Server {
    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(None)
    }

    async fn review(&self) -> io::Result<()> {
        let mut connection = tls(self.port.address, self.client()).await?;
        connection.review(Entry::Pod.path(), &recorded("deployment-pod")).await.map(|answer| drop(answer.response()))
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let server = server(Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(server.port.address).await.expect("a connection");
    let mut half = TcpStream::connect(server.port.address).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut half, b"\x16\x03\x01\x02\x00\x01\x00").await.expect("written");
    for stream in [&mut silent, &mut half] {
        assert_eq!(stream.read(&mut [0; 16]).await.expect("closed in order"), 0);
    }
    wait_until(|| async { server.port.metrics.handshake_failures(HandshakeFailure::Timeout) == 2 }).await;
    server.review().await.expect("others are served");
}

#[tokio::test]
async fn what_is_no_tls_is_counted() {
    let server = server(Limits::default()).await;
    let mut plain = TcpStream::connect(server.port.address).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    let _ = plain.read_to_end(&mut Vec::new()).await;
    wait_until(|| async { server.port.metrics.handshake_failures(HandshakeFailure::Tls) == 1 }).await;
    drop(TcpStream::connect(server.port.address).await.expect("a connection"));
    wait_until(|| async { server.port.metrics.handshake_failures(HandshakeFailure::Closed) == 1 }).await;
    let stranger = Authority::new("stranger").client(None);
    tls(server.port.address, stranger).await.map(drop).expect_err("not trusted");
    wait_until(|| async { server.port.metrics.handshake_failures(HandshakeFailure::Tls) == 2 }).await;
}

#[tokio::test]
async fn both_versions_are_spoken_with_http_1_alone_and_no_session_is_kept() {
    let server = server(Limits::default()).await;
    for version in [&TLS12, &TLS13] {
        let mut config = ClientConfig::clone(&server.client());
        let resumption = config.resumption.clone();
        config = ClientConfig::builder_with_provider(config.crypto_provider().clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(server.authority.roots())
            .with_no_client_auth();
        config.resumption = resumption;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        for _ in 0..3 {
            let mut connection = tls(server.port.address, Arc::clone(&config)).await.expect("a handshake");
            let answer = connection.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
            assert!(answer.response().get("patch").is_some());
            let (_, session) = connection.stream().get_ref();
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn half_a_head_is_given_up_and_silence_between_requests_is_not() {
    let server = server(Limits { header: SHORT, idle: LONG, ..Limits::default() }).await;
    let mut idle = tls(server.port.address, server.client()).await.expect("a handshake");
    idle.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    let mut slow = tls(server.port.address, server.client()).await.expect("a handshake");
    slow.write(b"POST /mutate/pod HTTP/1.1\r\nhost: x\r\n").await.expect("written");
    is_closed(&mut slow).await;
    idle.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer, after longer than SHORT");
}

/// Fails if it takes anything near LONG.
async fn is_closed(connection: &mut Connection<TlsStream<TcpStream>>) {
    let closed = tokio::time::timeout(LONG / 2, connection.closed()).await;
    assert_eq!(closed.expect("closed soon").unwrap_or_default(), 0, "closed without an answer");
}

#[tokio::test]
async fn half_a_head_behind_a_whole_request_is_given_up() {
    let server = server(Limits { header: SHORT, idle: LONG, ..Limits::default() }).await;
    let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
    let review = recorded("deployment-pod");
    let head = format!("POST /mutate/pod HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", review.len());
    connection.write(&[head.as_bytes(), &review, b"POST /mutate/pod"].concat()).await.expect("written");
    connection.answer().await.expect("an answer").response();
    is_closed(&mut connection).await;
}

#[tokio::test]
async fn a_first_request_that_does_not_come_is_given_up() {
    let server = server(Limits { header: SHORT, idle: LONG, ..Limits::default() }).await;
    let mut silent = tls(server.port.address, server.client()).await.expect("a handshake");
    is_closed(&mut silent).await;
}

#[tokio::test]
async fn silence_on_the_plain_port_is_given_up() {
    let folder = tempdir().expect("a folder");
    Authority::new("one").issue().write(folder.path());
    let process = Process::start(folder.path(), &["--no-namespaces"]).await;
    let mut silent = TcpStream::connect(process.admin).await.expect("a connection");
    let read = tokio::time::timeout(LONG / 2, silent.read(&mut [0; 16])).await;
    assert_eq!(read.expect("closed soon").unwrap_or_default(), 0);
}

#[tokio::test]
async fn that_no_file_is_left_for_connections_is_told_once_and_when_it_is_over() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let process = Process::start(folder.path(), &["--no-namespaces"]).await;
    process.limit_files(Some(3));
    let _waiting = TcpStream::connect(process.address).await.expect("the system takes it");
    let told = || process.logged("can't accept connections; trying again").len();
    wait_until(|| async { told() > 0 }).await;
    // Ten times as long as until the next try.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((told(), process.logged("accepting connections again").len()), (1, 0));
    process.limit_files(None);
    wait_until(|| async {
        tls(process.address, authority.client(None)).await.is_ok()
            && process.logged("accepting connections again").len() == 1
    })
    .await;
}

#[tokio::test]
async fn silence_ends_too() {
    let server = server(Limits { header: SHORT, idle: SHORT, ..Limits::default() }).await;
    let mut idle = tls(server.port.address, server.client()).await.expect("a handshake");
    idle.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    assert_eq!(idle.closed().await.unwrap_or_default(), 0);
    wait_until(|| async { server.port.metrics.connections.get() == 0 }).await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_at_once_where_all_others_are_in_a_request() {
    let server = server(Limits { connections: 2, ..Limits::default() }).await;
    let (mut first, rest) = halfway(&server).await;
    let (mut second, _rest) = halfway(&server).await;
    tls(server.port.address, server.client()).await.map(drop).expect_err("closed at once");
    assert_eq!(server.port.metrics.refusals(Refused::Limit), 1);
    first.write(&rest).await.expect("written");
    assert!(first.answer().await.expect("an answer").response().get("patch").is_some());
    server.review().await.expect("the first has nothing to do any more");
    is_closed(&mut first).await;
    second.write(&rest).await.expect("written");
    assert!(second.answer().await.expect("an answer").response().get("patch").is_some());
}

#[tokio::test]
async fn at_the_limit_the_connection_that_waited_longest_makes_room() {
    let server =
        server(Limits { connections: 3, handshake: 2 * LONG, header: 2 * LONG, idle: 2 * LONG, ..Limits::default() })
            .await;
    let (mut busy, rest) = halfway(&server).await;
    let mut idle = tls(server.port.address, server.client()).await.expect("a handshake");
    idle.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    let mut silent = TcpStream::connect(server.port.address).await.expect("a connection");
    let mut newest = tls(server.port.address, server.client()).await.expect("the idle one makes room");
    is_closed(&mut idle).await;
    assert_eq!(server.port.metrics.refusals(Refused::Limit), 0, "it was between requests");
    newest.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    let mut other = tls(server.port.address, server.client()).await.expect("so does one without a handshake");
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or_default(), 0);
    for connection in [&mut newest, &mut other] {
        connection.review(Entry::Pod.path(), &recorded("deployment-pod")).await.expect("an answer");
    }
    busy.write(&rest).await.expect("written");
    assert!(busy.answer().await.expect("an answer").response().get("patch").is_some());
    assert_eq!(server.port.metrics.refusals(Refused::Limit), 1, "the one without a handshake may have been a pod's");
}

#[tokio::test]
async fn without_a_certificate_connections_are_closed_at_once() {
    let folder = tempdir().expect("a folder");
    let (certificate, key) = Pair::paths(folder.path());
    let port = Port::start(vec![certificate, key], Limits::default()).await;
    let authority = Authority::new("one");
    tls(port.address, authority.client(None)).await.map(drop).expect_err("there is no certificate");
    wait_until(|| async { port.metrics.refusals(Refused::NoCertificate) == 1 }).await;
    authority.issue().write(folder.path());
    wait_until(|| async { tls(port.address, authority.client(None)).await.is_ok() }).await;
}

#[tokio::test]
async fn a_client_that_reads_only_after_writing_gets_the_answer_to_an_oversized_body() {
    let server = server(Limits::default()).await;
    for times in 1..=3 {
        let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
        let mut body = recorded("deployment-pod");
        body.resize(times * MAX_BODY + 1, b' ');
        let answer = connection.review(Entry::Pod.path(), &body).await.expect("an answer");
        assert!(answer.closes(), "what comes next may be the rest of this request");
        assert!(answer.response()["warnings"][0].as_str().expect("a warning").contains("BodyTooLarge"));
        assert_eq!(connection.closed().await.expect("closed in order"), 0);
    }
    assert_eq!(server.port.metrics.failures(Entry::Pod, Reason::BodyTooLarge), 3);
}

#[tokio::test]
async fn a_body_that_is_announced_as_oversized_is_answered_from_its_beginning() {
    let server = server(Limits::default()).await;
    let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
    let mut beginning = recorded("deployment-pod");
    beginning.resize(100 << 10, b' ');
    let length = MAX_BODY + 1;
    let head = format!("POST /mutate/pod?timeout=30s HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    connection.write(&[head.as_bytes(), &beginning].concat()).await.expect("written");
    // Nothing more comes, and the deadline is far.
    let answer = connection.answer().await.expect("an answer");
    assert!(answer.closes());
    assert!(answer.response()["warnings"][0].as_str().expect("a warning").contains("BodyTooLarge"));
    assert_eq!(connection.closed().await.unwrap_or_default(), 0, "not for ever");
}

#[tokio::test]
async fn a_body_that_stays_away_is_answered_in_time() {
    let server = server(Limits::default()).await;
    let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
    let review = recorded("deployment-pod");
    let head = format!("POST /mutate/pod?timeout=2s HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", review.len());
    connection.write(&[head.as_bytes(), &review[..review.len() / 2]].concat()).await.expect("written");
    let response = connection.answer().await.expect("an answer").response();
    assert!(response["warnings"][0].as_str().expect("a warning").contains("DeadlineExceeded"));
}

#[tokio::test]
async fn a_client_that_goes_away_in_its_request_is_counted() {
    let server = server(Limits::default()).await;
    let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
    connection.write(b"POST /mutate/pod HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.expect("written");
    drop(connection);
    wait_until(|| async { server.port.metrics.failures(Entry::Pod, Reason::Undecodable) == 1 }).await;
    wait_until(|| async { server.port.metrics.connections.get() == 0 }).await;
}

/// As large as would fill all the memory that there is for bodies, to the last of it.
#[tokio::test]
async fn large_bodies_that_stall_leave_room_for_usual_ones() {
    let server = server(Limits::default()).await;
    let mut stalled = Vec::new();
    for beginning in [MAX_BODY - (100 << 10), 4608 << 10, 200 << 10] {
        let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
        let mut body = recorded("deployment-pod");
        body.resize(beginning, b' ');
        let head =
            format!("POST /mutate/enabled?timeout=30s HTTP/1.1\r\nhost: x\r\ncontent-length: {MAX_BODY}\r\n\r\n");
        connection.write(&[head.as_bytes(), &body].concat()).await.expect("written");
        stalled.push(async move { connection.answer().await.expect("an answer").closes() });
    }
    let stalled = tokio::spawn(join_all(stalled));
    let mut usual = tls(server.port.address, server.client()).await.expect("a handshake");
    let mut review = recorded("deployment-pod");
    review.resize(40_000, b' ');
    let mut patched = 0;
    while !stalled.is_finished() {
        let response = usual.review(Entry::Pod.path(), &review).await.expect("an answer").response();
        assert!(response.get("patch").is_some(), "{response} after {patched} with a patch");
        patched += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stalled.await.expect("no panic"), [true; 3]);
    assert!(patched > 10, "{patched}");
    let failures = |reason| server.port.metrics.failures(Entry::Enabled, reason);
    assert_eq!(
        (failures(Reason::Overloaded), failures(Reason::DeadlineExceeded)),
        (1, 2),
        "of two large ones, one fits"
    );
}

/// A connection with half a request on it, which the server is about to answer.
async fn halfway(server: &Server) -> (Connection<TlsStream<TcpStream>>, Vec<u8>) {
    let mut connection = tls(server.port.address, server.client()).await.expect("a handshake");
    let mut review = recorded("deployment-pod");
    let rest = review.split_off(review.len() / 2);
    let length = review.len() + rest.len();
    let head = "POST /mutate/pod?timeout=30s HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n";
    let head = format!("{head}content-length: {length}\r\n\r\n");
    connection.write(&[head.as_bytes(), &review].concat()).await.expect("written");
    assert_eq!(connection.answer().await.expect("a word that it goes on").status, 100);
    (connection, rest)
}

#[tokio::test]
async fn a_request_that_is_under_way_survives_the_drain() {
    let server = server(Limits { drain: LONG, ..Limits::default() }).await;
    let (mut connection, rest) = halfway(&server).await;
    wait_until(|| async { server.port.metrics.connections.get() == 1 }).await;
    server.port.lifecycle.end(Duration::ZERO).await;
    wait_until(|| async { TcpStream::connect(server.port.address).await.is_err() }).await;
    connection.write(&rest).await.expect("written");
    let answer = connection.answer().await.expect("an answer");
    assert!(answer.closes() && answer.response().get("patch").is_some());
    server.port.served.await.expect("no panic");
}

#[tokio::test]
async fn the_drain_ends_also_when_a_request_does_not() {
    let server = server(Limits { drain: SHORT, ..Limits::default() }).await;
    let (connection, _rest) = halfway(&server).await;
    wait_until(|| async { server.port.metrics.connections.get() == 1 }).await;
    server.port.lifecycle.end(Duration::ZERO).await;
    server.port.served.await.expect("no panic");
    drop(connection);
}

#[tokio::test]
async fn the_plain_port_answers_while_the_threads_that_decide_are_busy() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (_lifecycle, phases) = Lifecycle::new();
    let router = axum::Router::new().route("/livez", axum::routing::get(async || "ok"));
    let _served = serve_apart(listener, router, Limits::default(), phases).expect("served");
    // Blocking calls: this test's only thread gets to do nothing else.
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
