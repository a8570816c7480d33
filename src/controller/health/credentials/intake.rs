//! Asks Datadog whether it accepts an API key: through the proxy and with the authorities that the spec names.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::verdict::Intake;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Refused,
    /// There is none that tells; why.
    None(String),
}

/// Where a proxy is.
#[derive(Debug, PartialEq, Eq)]
struct Proxy<'p> {
    tls: bool,
    host: &'p str,
    port: u16,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

const PORT: u16 = 443;
const PATH: &str = "/api/v1/validate";
/// Of a proxy's answer.
const MAX_HEAD: usize = 8 << 10;

// === impl Intake ===

impl Intake {
    #[must_use]
    pub fn host(&self) -> String {
        format!("api.{}", self.site)
    }

    /// Asks once; the caller says how long that may take. `authorities` are trusted beside those that everybody trusts.
    pub async fn ask(&self, key: &[u8], authorities: &[u8]) -> Answer {
        self.exchange(key, authorities).await.unwrap_or_else(Answer::None)
    }

    async fn exchange(&self, key: &[u8], authorities: &[u8]) -> Result<Answer, String> {
        let tls = connector(authorities)?;
        let host = self.host();
        let stream = self.reach(&tls, &host).await?;
        let stream = encrypt(&tls, stream, &host).await?;
        let mut key = HeaderValue::from_bytes(key).map_err(|_| "the key can't be sent".to_owned())?;
        key.set_sensitive(true);
        let request = Request::get(PATH).header(header::HOST, host).header("DD-API-KEY", key).body(Body::empty());
        let request = request.map_err(|_| "the key can't be sent".to_owned())?;
        let silent = |_| "no answer".to_owned();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
        let mut exchange = pin!(sender.send_request(request));
        let answer = tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // The other side may close it right behind the last byte.
            _ = connection => exchange.await,
        };
        let answer = answer.map_err(silent)?;
        match answer.status() {
            StatusCode::OK => Ok(Answer::Accepted),
            StatusCode::FORBIDDEN => Ok(Answer::Refused),
            other => Err(format!("it answers with status {}", other.as_u16())),
        }
    }

    /// A connection that leads to the host, whatever is in between.
    async fn reach(&self, tls: &TlsConnector, host: &str) -> Result<Box<dyn Stream>, String> {
        if self.proxy.is_empty() || is_excepted(&self.no_proxy, host) {
            return Ok(Box::new(connect(host, PORT).await?));
        }
        let proxy =
            Proxy::read(&self.proxy).ok_or_else(|| format!("the proxy {} is no http or https URL", self.proxy))?;
        let of_proxy = |fault: String| format!("the proxy {}: {fault}", self.proxy);
        let stream = connect(proxy.host, proxy.port).await.map_err(of_proxy)?;
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if proxy.tls {
            stream = encrypt(tls, stream, proxy.host).await.map_err(of_proxy)?;
        }
        tunnel(&mut stream, host).await.map_err(of_proxy)?;
        Ok(stream)
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await.map_err(|_| "its name can't be resolved".to_owned())?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    TcpStream::connect(&addresses[..]).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens on port {port}"),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => "it can't be reached".to_owned(),
    })
}

async fn tunnel(stream: &mut Box<dyn Stream>, host: &str) -> Result<(), String> {
    let lost = |_| "no answer".to_owned();
    let request = format!("CONNECT {host}:{PORT} HTTP/1.1\r\nHost: {host}:{PORT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows isn't the proxy's any more.
        head.push(stream.read_u8().await.map_err(lost)?);
        if head.len() > MAX_HEAD {
            return Err("it speaks no HTTP".to_owned());
        }
    }
    let head = String::from_utf8_lossy(&head);
    match head.split_ascii_whitespace().nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        Some(status) => Err(format!("it answers CONNECT with status {status}")),
        None => Err("it speaks no HTTP".to_owned()),
    }
}

async fn encrypt(tls: &TlsConnector, stream: Box<dyn Stream>, host: &str) -> Result<Box<dyn Stream>, String> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| format!("{host} is no name of a host"))?;
    match tls.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            Err(match inner {
                Some(rustls::Error::InvalidCertificate(fault)) => {
                    format!(
                        "its certificate can't be trusted ({fault:?}); spec.egress.caConfigMap names further authorities"
                    )
                }
                Some(fault) => format!("no TLS: {fault}"),
                None => "no answer".to_owned(),
            })
        }
    }
}

fn connector(authorities: &[u8]) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether the host is one that is reached without the proxy: by its name, or as one of a domain.
fn is_excepted(no_proxy: &[String], host: &str) -> bool {
    no_proxy.iter().any(|entry| {
        let entry = entry.trim().trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        if entry.is_empty() {
            return false;
        }
        host.strip_suffix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

// === impl Proxy ===

impl<'p> Proxy<'p> {
    fn read(url: &'p str) -> Option<Self> {
        let (tls, rest) = match url.strip_prefix("http://") {
            Some(rest) => (false, rest),
            None => (true, url.strip_prefix("https://")?),
        };
        let authority = rest.split('/').next()?;
        let untold = if tls { 443 } else { 80 };
        // An address of IPv6 is full of colons.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, untold),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some(Self { tls, host, port })
    }
}

#[cfg(test)]
mod tests;
