//! A load as the API server makes it: keep-alive connections over TLS with one request in flight on each.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A request's head and body, sent as they are.
pub fn request(path: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let head = format!(
        "POST {path}?timeout=3s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\n\
         Content-Type: application/json\r\nAccept: application/json, */*\r\nContent-Length: {length}\r\n\r\n"
    );
    Arc::from((head + body).into_bytes())
}

/// Open connections to one server.
pub struct Load {
    runtime: Runtime,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// What a burst of requests took.
pub struct Burst {
    pub took: Duration,
    /// Of each request, in seconds.
    pub latencies: Vec<f64>,
}

impl Load {
    pub fn connect(port: u16, connections: usize, client: &Arc<ClientConfig>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connections = runtime.block_on(async {
            let mut open = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
                stream.set_nodelay(true).expect("a TCP option");
                let name = ServerName::try_from("localhost").expect("a name");
                let stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await.expect("a handshake");
                open.push(Connection { stream, buffer: vec![0; 64 * 1024] });
            }
            open
        });
        Self { runtime, connections }
    }

    /// Sends that many requests, spread over all connections; each has to succeed.
    ///
    /// This thread never sleeps: else a slow server would pay for waking it at each answer, and a fast one wouldn't.
    pub fn send(&mut self, request: &Arc<[u8]>, count: usize) -> Burst {
        let each = count.div_ceil(self.connections.len());
        let started = Instant::now();
        let mut latencies = Vec::with_capacity(count);
        self.runtime.block_on(async {
            let awake = tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            let mut tasks = JoinSet::new();
            for mut connection in self.connections.drain(..) {
                let request = Arc::clone(request);
                tasks.spawn(async move {
                    let mut latencies = Vec::with_capacity(each);
                    for _ in 0..each {
                        let sent = Instant::now();
                        connection.exchange(&request).await;
                        latencies.push(sent.elapsed().as_secs_f64());
                    }
                    (connection, latencies)
                });
            }
            while let Some(done) = tasks.join_next().await {
                let (connection, of_one) = done.expect("a connection that was answered");
                self.connections.push(connection);
                latencies.extend(of_one);
            }
            awake.abort();
        });
        Burst { took: started.elapsed(), latencies }
    }

    /// The body of one answer.
    pub fn ask(&mut self, request: &Arc<[u8]>) -> Vec<u8> {
        let connection = &mut self.connections[0];
        let answer = self.runtime.block_on(connection.exchange(request));
        let body = &connection.buffer[answer.body];
        if answer.chunked { joined(body) } else { body.to_vec() }
    }
}

/// Where the body of an answer is in the buffer, and how it is written.
struct Answer {
    body: Range<usize>,
    chunked: bool,
}

impl Connection {
    async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("the server reads");
        self.stream.flush().await.expect("the server reads");
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(answer) = answer(&self.buffer[..filled]) {
                return answer;
            }
        }
    }
}

/// The answer, once all of it is there.
fn answer(read: &[u8]) -> Option<Answer> {
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 20"), "the server answered {text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let chunked = length.is_none();
    let complete = match length {
        Some(length) => read.len() >= head + 4 + length.parse::<usize>().expect("a length is a number"),
        None => read.ends_with(b"\r\n0\r\n\r\n"),
    };
    complete.then_some(Answer { body: head + 4..read.len(), chunked })
}

/// The chunks of a body, without what stands between them.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") {
        let length = String::from_utf8_lossy(&chunks[..end]);
        let length = usize::from_str_radix(&length, 16).expect("a chunk says its length");
        body.extend_from_slice(&chunks[end + 2..end + 2 + length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
    body
}
