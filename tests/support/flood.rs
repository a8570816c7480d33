//! Loads that nobody should send: many connections at once, whose requests cost their receiver as much memory as they
//! can.

#![allow(dead_code, reason = "the bench sends all of them, the test the worst")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The longest body that is read, less a little.
const JUST_UNDER: usize = (7 << 20) - 100;
/// As many as the server takes by default.
const CONNECTIONS: usize = 512;
/// Nearly the largest pod that is decided, and nearly the largest that doesn't wait for its turn.
const LARGE: usize = 1_000_000;
const SMALL: usize = 250_000;
/// For one connection, from its request to the answer's end.
const PATIENCE: Duration = Duration::from_mins(1);

/// Of the container in `webhook-config/deployment.yaml`, in MiB, as the kubelet enforces it.
pub fn limit() -> f64 {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/webhook-config/deployment.yaml");
    let manifest = fs::read_to_string(path).expect("the manifest");
    let limits = manifest.split_once("limits:").expect("limits").1;
    let memory = limits.split_once("memory: ").expect("a limit of memory").1;
    memory.split_once("Mi").and_then(|(number, _)| number.parse().ok()).expect("in Mi")
}

/// What is sent at once, a request a connection.
pub struct Flood {
    pub name: &'static str,
    requests: Vec<Arc<[u8]>>,
}

impl Flood {
    pub fn all() -> Vec<Self> {
        // A beginning for which no capacity is asked, and one for which it is.
        let begun = unfinished(30 << 10);
        let more = unfinished(1 << 20);
        let containers = |length| items(r#"{"spec":{"containers":["#, "{}", "]}}", length);
        let named = |length| items(r#"{"spec":{"containers":["#, r#"{"name":"%%%%%"}"#, "]}}", length);
        // Nothing of ours would be written into any of them.
        let skipped = r#"{"metadata":{"annotations":{"otelgate.dev/skip":"OTEL_SERVICE_NAME,OTEL_EXPORTER_OTLP_ENDPOINT,OTEL_RESOURCE_ATTRIBUTES,OTEL_LOGS_EXPORTER,OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"}},"spec":{"containers":["#;
        let skipping = items(skipped, r#"{"name":"%%%%%"}"#, "]}}", LARGE);
        let variables = items(r#"{"spec":{"containers":[{"name":"a","env":["#, "{}", "]}]}}", LARGE);
        let labels = items(r#"{"metadata":{"labels":{"#, r#""":"""#, r#"}},"spec":{"containers":[{}]}}"#, LARGE);
        let owners = items(r#"{"metadata":{"ownerReferences":["#, "{}", r#"]},"spec":{"containers":[{}]}}"#, LARGE);
        vec![
            Self::of("the beginning of seven megabytes", &[(CONNECTIONS, &begun)]),
            Self::of("a megabyte of seven", &[(CONNECTIONS, &more)]),
            Self::of("seven megabytes", &[(CONNECTIONS / 8, &unfinished(JUST_UNDER))]),
            Self::of("a megabyte of containers", &[(CONNECTIONS / 8, &containers(LARGE))]),
            Self::of("a megabyte of named containers", &[(CONNECTIONS / 8, &named(LARGE))]),
            Self::of("small pods of containers", &[(CONNECTIONS / 8, &containers(SMALL))]),
            Self::of("small pods of named containers", &[(CONNECTIONS / 8, &named(SMALL))]),
            Self::of("a megabyte of containers that are skipped", &[(CONNECTIONS / 8, &skipping)]),
            Self::of("a megabyte of variables", &[(CONNECTIONS / 8, &variables)]),
            Self::of("a megabyte of labels", &[(CONNECTIONS / 8, &labels)]),
            Self::of("a megabyte of owners", &[(CONNECTIONS / 8, &owners)]),
            Self::together(),
        ]
    }

    /// What costs most of each kind of memory: of connections, of bodies, and of the decision.
    pub fn together() -> Self {
        let containers = |length| items(r#"{"spec":{"containers":["#, "{}", "]}}", length);
        let (large, small, more) = (containers(LARGE), containers(SMALL), unfinished(1 << 20));
        Self::of("all of that at once", &[(8, &large), (24, &small), (CONNECTIONS - 32, &more)])
    }

    fn of(name: &'static str, parts: &[(usize, &Arc<[u8]>)]) -> Self {
        let requests = parts.iter().flat_map(|(count, request)| std::iter::repeat_n(Arc::clone(request), *count));
        Self { name, requests: requests.collect() }
    }

    /// Sends it, and reads what is answered until the server closes.
    pub async fn send(&self, address: SocketAddr, client: &Arc<ClientConfig>) {
        let together = Arc::new(Barrier::new(self.requests.len()));
        let mut tasks = JoinSet::new();
        for request in &self.requests {
            let (client, request, together) = (Arc::clone(client), Arc::clone(request), Arc::clone(&together));
            tasks.spawn(async move {
                let stream = TcpStream::connect(address).await.expect("the server listens");
                let name = ServerName::try_from("localhost").expect("a name");
                let mut stream = TlsConnector::from(client).connect(name, stream).await.expect("a handshake");
                together.wait().await;
                // The server may have had enough at any moment.
                let exchange = async {
                    stream.write_all(&request).await?;
                    stream.flush().await?;
                    stream.read_to_end(&mut Vec::new()).await
                };
                let _ = timeout(PATIENCE, exchange).await;
            });
        }
        tasks.join_all().await;
    }
}

/// A request with the longest body that is read, of which only a beginning ever comes.
fn unfinished(beginning: usize) -> Arc<[u8]> {
    let mut body = review("{}");
    body.resize(beginning, b' ');
    request(&body, JUST_UNDER)
}

/// A pod with as many items as fit into the length, numbered where they have a place for it.
fn items(before: &str, item: &str, after: &str, length: usize) -> Arc<[u8]> {
    let count = length / (item.len() + 1);
    let items: Vec<String> = (0..count).map(|index| item.replace("%%%%%", &format!("{index:05}"))).collect();
    let items = items.join(",");
    let body = review(&format!("{before}{items}{after}"));
    request(&body, body.len())
}

fn review(object: &str) -> Vec<u8> {
    let review = format!(
        r#"{{"request":{{"uid":"u","operation":"CREATE","kind":{{"kind":"Pod"}},"namespace":"a","object":{object}}}}}"#
    );
    review.into_bytes()
}

fn request(body: &[u8], declared: usize) -> Arc<[u8]> {
    let head = format!(
        "POST /mutate/enabled?timeout=3s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {declared}\r\n\r\n"
    );
    Arc::from([head.as_bytes(), body].concat())
}
