//! Calls of the API server: as a proxy keeps them, and as a test makes them over plain HTTP.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use axum::http::{Method, request};
use serde_json::Value;

use super::network::ADDRESS;

#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    pub method: Method,
    pub path: String,
    pub query: String,
    /// `None` while it has no answer.
    pub status: Option<u16>,
}

const PATIENCE: Duration = Duration::from_secs(20);

// === impl Call ===

impl Call {
    pub fn new(parts: &request::Parts) -> Self {
        Self {
            at: Instant::now(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            status: None,
        }
    }

    pub fn writes(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether it changes what is kept: no Lease, no Event, and nothing that is only tried or asked.
    pub fn changes(&self) -> bool {
        const APART: [&str; 3] = ["/leases", "/events", "/selfsubjectaccessreviews"];
        self.writes() && !self.query.contains("dryRun") && !APART.iter().any(|apart| self.path.contains(apart))
    }

    pub fn watches(&self) -> bool {
        self.method == Method::GET && self.query.split('&').any(|part| part == "watch=true" || part == "watch=1")
    }

    /// What it is about, the same for each time that it is tried: without the version that it goes on from.
    pub fn target(&self) -> String {
        let selects = |part: &&str| part.starts_with("labelSelector") || part.starts_with("fieldSelector");
        let selectors: Vec<_> = self.query.split('&').filter(selects).collect();
        let verb = if self.watches() { "WATCH" } else { self.method.as_str() };
        format!("{verb} {} {}", self.path, selectors.join("&"))
    }
}

/// Over plain HTTP, for whoever is in the network.
///
/// # Errors
/// When there is no answer.
pub fn call(port: u16, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect((ADDRESS, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\nAccept: application/json\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}
