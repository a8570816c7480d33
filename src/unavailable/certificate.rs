//! What is wrong with the API server's certificate, told apart by what mends it.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use thiserror::Error;

use super::shortened;

/// Why the certificate isn't trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    #[error("no authority that is known here has signed it")]
    UnknownIssuer,
    #[error("it isn't for {asked}{}", only_for(.names))]
    WrongName { asked: String, names: Vec<String> },
    #[error("it has expired")]
    Expired,
    #[error("it isn't valid yet")]
    NotYetValid,
    #[error("it is that of an authority, and of no server")]
    Authority,
    #[error("{0}")]
    Other(String),
}

/// What a handshake failed by, below any number of `io::Error`s: each hides the one in it from whoever asks for its source.
pub(super) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut error = error;
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}

fn only_for(names: &[String]) -> String {
    const TOLD: usize = 5;
    if names.is_empty() {
        return String::new();
    }
    let more = if names.len() > TOLD { " and others" } else { "" };
    format!(", but for {}{more}", names[..names.len().min(TOLD)].join(", "))
}

/// `DnsName("shop")` and `IpAddress(10.0.0.1)` without what surrounds the name.
fn name(presented: &str) -> Option<String> {
    let (_, name) = presented.strip_suffix(')')?.split_once('(')?;
    Some(name.trim_matches('"').to_owned())
}

// === impl CertificateFault ===

impl CertificateFault {
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName => {
                Self::WrongName { asked: "the name that was asked for".to_owned(), names: Vec::new() }
            }
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                asked: asked(expected),
                names: presented.iter().filter_map(|presented| name(presented)).collect(),
            },
            // Rustls has no word of its own for it.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => Self::Authority,
            other => Self::Other(shortened(&other.to_string())),
        }
    }

    pub(super) fn next_step(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "see whether certificate-authority-data of the cluster in the kubeconfig is that cluster's, and whether a \
                 proxy on the way shows a certificate of its own"
            }
            Self::WrongName { .. } => {
                "put an address that the certificate is for into the kubeconfig, or one of its names as tls-server-name"
            }
            Self::Expired => "have the API server's certificate renewed, unless this machine's clock is fast",
            Self::NotYetValid => "set this machine's clock, or that of the machine on which the certificate was made",
            Self::Authority => "give the API server a certificate of its own, which that authority has signed",
            Self::Other(_) => "have the API server given another certificate",
        }
    }
}

fn asked(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use kube::Config;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::k8s::Client;
    use crate::tls::Authority;
    use crate::unavailable::Unavailable;

    const DAY: Duration = Duration::from_hours(24);

    fn authority() -> Authority {
        Authority::make(DAY * 30, Timestamp::now() - SignedDuration::from_hours(24 * 10)).expect("an authority")
    }

    /// What a client that knows the authority says of a server with that certificate.
    async fn told(known: &Authority, certificate: &str, key: &str) -> Unavailable {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = server.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let connection = ServerConnection::new(Arc::new(server)).expect("a connection");
            let _ = io::Read::read(&mut StreamOwned::new(connection, stream), &mut [0]);
        });
        let mut config = Config::new(url.parse().expect("an address"));
        config.root_cert = Some(vec![known.certificate().der().to_vec()]);
        config.default_retry = false;
        let client = Client::try_from(config).expect("a client");
        let error = client.apiserver_version().await.expect_err("no trust");
        serving.join().expect("served");
        Unavailable::of(&error)
    }

    #[tokio::test]
    async fn each_fault_of_a_certificate_has_words_and_a_next_step_of_its_own() {
        let (ours, other) = (authority(), authority());
        let days = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
        let issued = |by: &Authority, name: &str, from| by.issue(&[name.to_owned()], DAY, from).expect("issued");
        for (issued, message, next) in [
            (issued(&other, "127.0.0.1", days(0)), "no authority that is known here has signed it", "authority-data"),
            (issued(&ours, "other", days(0)), "it isn't for 127.0.0.1, but for other", "tls-server-name"),
            (issued(&ours, "127.0.0.1", days(-3)), "it has expired", "renewed"),
            (issued(&ours, "127.0.0.1", days(3)), "it isn't valid yet", "clock"),
        ] {
            let told = told(&ours, &issued.certificate, &issued.key).await;
            assert_eq!(told.to_string(), format!("the API server's certificate can't be trusted: {message}"));
            assert!(told.next_step().contains(next), "{}", told.next_step());
            assert!(told.is_of_connection());
        }
        let told = told(&ours, &ours.certificate().pem(), &ours.key()).await;
        assert_eq!(told, Unavailable::Certificate(CertificateFault::Authority));
    }

    /// Some servers have a hundred.
    #[test]
    fn names_are_told_without_what_surrounds_them_and_not_all() {
        assert_eq!(name("DnsName(\"shop\")").as_deref(), Some("shop"));
        assert_eq!(name("IpAddress(10.0.0.1)").as_deref(), Some("10.0.0.1"));
        let many = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
        assert_eq!(only_for(&many), ", but for a, b, c, d, e and others");
        assert_eq!(only_for(&[]), "");
    }
}
