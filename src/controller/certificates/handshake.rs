//! What each replica shows in a TLS handshake, as the API server would see it.
//!
//! Nothing is trusted for it: a chain only says which authorities must not be taken away yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::observe::Endpoint;
use crate::controller::endpoints;
use crate::tls::Chain;

/// Takes any chain, from whoever has its key.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

/// At a time.
const AT_ONCE: usize = 16;

/// Looks at every replica; each has that long to answer.
pub async fn look_at(endpoints: &[endpoints::Endpoint], name: &str, patience: Duration) -> Vec<Endpoint> {
    let connector = connector();
    let looks = endpoints.iter().cloned().map(|endpoint| {
        let (connector, name) = (connector.clone(), name.to_owned());
        async move {
            let shown = match (endpoint.webhook, connector) {
                (Some(port), Some(connector)) => {
                    let address = SocketAddr::new(endpoint.address, port);
                    timeout(patience, shown(connector, address, &name)).await.unwrap_or_default()
                }
                _ => None,
            };
            Endpoint { pod: endpoint.name(), ready: endpoint.ready, serves: shown }
        }
    });
    stream::iter(looks).buffered(AT_ONCE).collect().await
}

async fn shown(connector: TlsConnector, address: SocketAddr, name: &str) -> Option<Chain> {
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let stream = TcpStream::connect(address).await.ok()?;
    let stream = connector.connect(name, stream).await.ok()?;
    let (_, connection) = stream.get_ref();
    Chain::new(connection.peer_certificates()?.iter().cloned())
}

/// As the API server's client: HTTP/1.1. `None` is the library's own fault, and then nobody is seen.
fn connector() -> Option<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().ok()?;
    let verifier = Arc::new(AnyChain(provider));
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsConnector::from(Arc::new(config)))
}

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
