//! A client that does what the test says and nothing of its own accord: no retry, no pool.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Connection<S> {
    stream: S,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

pub async fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Connection<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    Ok(Connection { stream: TlsConnector::from(config).connect(name, stream).await?, rest: Vec::new() })
}

/// One GET on the plain port.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut connection = Connection { stream: TcpStream::connect(address).await?, rest: Vec::new() };
    connection.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    connection.answer().await
}

/// Waits until `/readyz` says so, or its body has `text`.
pub async fn wait_ready(admin: SocketAddr, text: &str) {
    wait_until(|| async { get(admin, "/readyz").await.is_ok_and(|answer| answer.text().contains(text)) }).await;
}

pub async fn wait_until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("the condition within 30 s");
}

/// The value of a metric's sample, `name{labels}`; 0 when it isn't there.
pub async fn metric(admin: SocketAddr, sample: &str) -> f64 {
    let text = get(admin, "/metrics").await.expect("metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// As the API server sends it.
    pub async fn review(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let head = format!(
            "POST {path}?timeout=3s HTTP/1.1\r\nHost: otelgate.otelgate.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n\
             Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body].concat()).await?;
        self.answer().await
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    pub async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or_default();
        while self.rest.len() < end + 4 + length {
            self.read_more().await?;
        }
        let body = self.rest[end + 4..end + 4 + length].to_vec();
        self.rest.drain(..end + 4 + length);
        Ok(Answer { status, head, body })
    }

    /// Reads until the server closes, and tells how much came.
    pub async fn closed(&mut self) -> io::Result<usize> {
        let mut sink = Vec::new();
        self.stream.read_to_end(&mut sink).await
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    /// The response of a review that was answered as the API server wants it.
    pub fn response(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        response(&self.body)
    }

    pub fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close")
    }
}

/// What every answer to a review must be, whatever it says.
pub fn response(body: &[u8]) -> Value {
    let review: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    let response = &review["response"];
    assert_eq!(response["allowed"], true, "nothing is ever denied");
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some(), "{response}");
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().expect("a string");
        assert!(warning.starts_with("otelgate: ") && warning.chars().count() <= 120, "{warning}");
    }
    response.clone()
}
