//! What the server shows to clients: certificate chain, key, and whom it asks for a certificate of their own.
//!
//! All of it is one immutable [`ServerConfig`], so that a connection sees either the old or the new, never a mixture.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::source::Reload;

/// A usable certificate, with everything that serving it takes.
pub struct Identity {
    config: Arc<ServerConfig>,
    not_after: Duration,
    fingerprint: String,
}

/// Clocks of a cluster's nodes differ: a certificate that begins in a moment counts as begun.
const CLOCK_SKEW: i64 = 300;
const NO_KEY: &str = "the key file holds no private key in PEM; write PKCS#8, PKCS#1 or SEC1, unencrypted";

// === impl Identity ===

impl Identity {
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Since 1970.
    #[must_use]
    pub fn not_after(&self) -> Duration {
        self.not_after
    }

    fn new(certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>, now: i64) -> Result<Self, String> {
        let chain = certificates("certificate", certificate)?;
        let leaf =
            chain.first().ok_or("the certificate file holds no certificate; write the chain in PEM, leaf first")?;
        let not_after = check_chain(&chain, now)?;
        let fingerprint = hex(&Sha256::digest(leaf)[..8]);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NO_KEY)?;
        Ok(Self { config: Arc::new(server_config(chain, key, client_ca)?), not_after, fingerprint })
    }
}

impl Reload for Identity {
    const NAME: &'static str = "certificate";

    /// Inputs: chain, key and, where clients must show a certificate, their authorities.
    fn read(inputs: &[Vec<u8>]) -> Result<Self, String> {
        let (certificate, key, client_ca) = match inputs {
            [certificate, key] => (certificate, key, None),
            [certificate, key, client_ca] => (certificate, key, Some(client_ca.as_slice())),
            _ => return Err("a certificate and a key are needed".to_owned()),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(certificate, key, client_ca, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
    }

    fn identity(&self) -> String {
        self.fingerprint.clone()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("the {what} file is no PEM; check that it was written completely"))
}

/// Every certificate must parse, and the leaf must be valid now.
fn check_chain(chain: &[CertificateDer<'_>], now: i64) -> Result<Duration, String> {
    let parsed = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "a certificate of the chain can't be parsed; check that the file was written completely")?;
    let leaf = parsed.first().ok_or("the chain is empty")?;
    let validity = leaf.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if from > now.saturating_add(CLOCK_SKEW) {
        return Err(format!("the certificate isn't valid before {}; check the clocks", validity.not_before));
    }
    if until <= now {
        return Err(format!("the certificate expired at {}; renew it", validity.not_after));
    }
    Ok(Duration::from_secs(u64::try_from(until).unwrap_or_default()))
}

fn is_authority(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca())
}

/// The chain with its key, once they are known to belong together.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, &'static str> {
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        "a private key of this kind or size doesn't work; use ECDSA P-256, P-384 or P-521, Ed25519, or RSA with 2048 bits \
         or more"
    })?;
    let authority_first = chain.len() > 1 && chain.first().is_some_and(is_authority);
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) if authority_first => {
            Err("the chain begins with an authority's certificate; write the leaf first")
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("certificate and key don't belong together; write both, or wait until both are written")
        }
        Err(_) => Err("the certificate can't be used; it must be one of X.509, version 3"),
    }
}

/// Whether the webhook could serve a chain with that key, both in PEM; whatever the time is.
///
/// # Errors
/// Says what is wrong, and what would be right.
pub fn keys_match(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let chain = certificates("certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NO_KEY)?;
    certified(chain, key, &aws_lc_rs::default_provider())?;
    Ok(())
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<&[u8]>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites of both versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let (added, _) = roots.add_parsable_certificates(certificates("client CA", pem)?);
            if added == 0 {
                return Err("the client CA file holds no certificate; write the authorities in PEM".to_owned());
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            builder
                .with_client_cert_verifier(verifier.map_err(|error| format!("the client CA can't be used: {error}"))?)
        }
    };
    let certified = certified(chain, key, &provider)?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // The API server speaks HTTP/1.1 to webhooks, and resumes no session.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    const NOW: i64 = 1_800_000_000; // in January 2027

    fn pair(from: i32, until: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    fn fault(certificate: &str, key: &str) -> String {
        match Identity::new(certificate.as_bytes(), key.as_bytes(), None, NOW) {
            Ok(_) => "none".to_owned(),
            Err(fault) => fault,
        }
    }

    #[test]
    fn a_valid_pair_is_taken_with_its_end() {
        let (certificate, key) = pair(2026, 2030);
        let identity = Identity::new(certificate.as_bytes(), key.as_bytes(), None, NOW).expect("usable");
        assert_eq!(identity.not_after().as_secs(), 1_893_456_000);
        assert_eq!(identity.config().alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn each_fault_is_named() {
        let (certificate, key) = pair(2026, 2030);
        let (_, other_key) = pair(2026, 2030);
        assert!(fault(&certificate, &other_key).contains("don't belong together"));
        assert!(fault(&certificate[..certificate.len() / 2], &key).contains("certificate"));
        assert!(fault("", &key).contains("holds no certificate"));
        assert!(fault(&certificate, "").contains("holds no private key"));
        let (expired, key) = pair(2020, 2021);
        assert!(fault(&expired, &key).contains("expired"));
        let (future, key) = pair(2031, 2035);
        assert!(fault(&future, &key).contains("isn't valid before"));
        let (a, key) = pair(2026, 2030);
        let broken = format!("{a}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(fault(&broken, &key).contains("can't be parsed"));
    }

    #[test]
    fn a_chain_in_the_wrong_order_is_told_from_a_wrong_key() {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("parameters").signed_by(&key, &authority);
        let leaf = leaf.expect("a certificate").pem();
        let (right, wrong) = (format!("{leaf}{}", authority.pem()), format!("{}{leaf}", authority.pem()));
        assert_eq!(fault(&right, &key.serialize_pem()), "none");
        assert!(fault(&wrong, &key.serialize_pem()).contains("leaf first"));
        assert!(fault(&right, &KeyPair::generate().expect("a key").serialize_pem()).contains("don't belong together"));
    }

    #[test]
    fn a_key_that_is_too_weak_is_told_with_those_that_work() {
        let weak = fault(&pair(2026, 2030).0, include_str!("../../tests/data/rsa-1024.key"));
        assert!(weak.contains("RSA with 2048 bits"), "{weak}");
    }

    #[test]
    fn a_client_authority_must_be_one() {
        let (certificate, key) = pair(2026, 2030);
        let with = |pem: &str| Identity::new(certificate.as_bytes(), key.as_bytes(), Some(pem.as_bytes()), NOW);
        assert!(with("").is_err_and(|fault| fault.contains("client CA")));
        assert!(with(&certificate).is_ok());
    }
}
