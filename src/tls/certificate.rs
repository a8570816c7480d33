//! Certificates as they stand in Secrets and on the wire: read, compared, and asked who trusts whom.
//!
//! Whether a chain is trusted is decided by the same code that TLS clients use, so that nothing is taken for good here
//! that a handshake would refuse.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// One certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    fingerprint: Fingerprint,
    not_before: Timestamp,
    not_after: Timestamp,
    names: Vec<String>,
    is_authority: bool,
}

/// The SHA-256 of a certificate; written as its first 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// What a server shows: its own certificate, and those between it and an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    leaf: Certificate,
    rest: Vec<Certificate>,
}

/// Authorities to trust, each once, in an order that only changes where it has to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<Certificate>);

// === impl Certificate ===

impl Certificate {
    /// `None` when it can't be parsed.
    #[must_use]
    pub fn read(der: CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let (not_before, not_after) = (at(parsed.validity().not_before)?, at(parsed.validity().not_after)?);
        let names = parsed.subject_alternative_name().ok()?.map(|extension| &extension.value.general_names);
        let names = names.into_iter().flatten().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let (names, is_authority) = (names.collect(), parsed.is_ca());
        let fingerprint = Fingerprint(Sha256::digest(&der).into());
        Some(Self { der: der.into_owned(), fingerprint, not_before, not_after, names, is_authority })
    }

    /// Every certificate of a text in PEM that can be read. What else is in it is passed over.
    fn read_all(pem: &[u8]) -> impl Iterator<Item = Self> {
        CertificateDer::pem_slice_iter(pem).filter_map(|der| Self::read(der.ok()?))
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The DNS names that it is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    #[must_use]
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = behind;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

/// Without the certificate itself, which nobody reads.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} until {}", self.fingerprint, self.not_before, self.not_after)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Chain ===

impl Chain {
    /// `None` when there is no certificate, or one that can't be parsed.
    #[must_use]
    pub fn new<'a>(shown: impl IntoIterator<Item = CertificateDer<'a>>) -> Option<Self> {
        let mut shown = shown.into_iter().map(Certificate::read);
        let leaf = shown.next()??;
        Some(Self { leaf, rest: shown.collect::<Option<_>>()? })
    }

    /// Of a text in PEM, leaf first.
    #[must_use]
    pub fn read(pem: &[u8]) -> Option<Self> {
        let shown: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
        Self::new(shown)
    }

    /// Of a text with several chains one behind the other: each begins with what is no authority.
    #[must_use]
    pub fn read_all(pem: &[u8]) -> Vec<Self> {
        let mut chains: Vec<Self> = Vec::new();
        for certificate in Certificate::read_all(pem) {
            match chains.last_mut() {
                Some(chain) if certificate.is_authority => chain.rest.push(certificate),
                _ => chains.push(Self { leaf: certificate, rest: Vec::new() }),
            }
        }
        chains
    }

    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    #[must_use]
    pub fn pem(&self) -> String {
        std::iter::once(&self.leaf).chain(&self.rest).map(Certificate::pem).collect()
    }

    /// Whether that authority signed it, directly or through those in between; whatever the time is.
    #[must_use]
    pub fn leads_to(&self, authority: &Certificate) -> bool {
        let newest = self.rest.iter().map(|certificate| certificate.not_before).fold(self.leaf.not_before, Ord::max);
        self.verifies(authority, newest)
    }

    /// Whether a client that trusts the bundle would accept it for that name now.
    #[must_use]
    pub fn is_trusted_by(&self, bundle: &Bundle, name: &str, now: Timestamp) -> bool {
        self.is_for(name)
            && self.leaf.is_valid_at(now)
            && bundle.iter().any(|authority| authority.is_valid_at(now) && self.verifies(authority, now))
    }

    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        ParsedCertificate::try_from(&self.leaf.der).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    fn verifies(&self, authority: &Certificate, at: Timestamp) -> bool {
        // Self-signed certificates are their own authority. Those of openssl's also say so, and then are no leaf for
        // the verifier below; clients take them.
        if self.leaf == *authority {
            return true;
        }
        let mut roots = RootCertStore::empty();
        let Ok(leaf) = ParsedCertificate::try_from(&self.leaf.der) else { return false };
        if roots.add(authority.der.clone()).is_err() {
            return false;
        }
        let rest: Vec<_> = self.rest.iter().map(|certificate| certificate.der.clone()).collect();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default()));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &rest, at, algorithms.all).is_ok()
    }
}

// === impl Bundle ===

impl Bundle {
    /// Every certificate of a text in PEM that can be read. What else is in it is passed over.
    #[must_use]
    pub fn read(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        bundle.extend(Certificate::read_all(pem));
        bundle
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Certificate> {
        self.0.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// Puts those that it hasn't got behind those that it has.
    pub fn extend(&mut self, certificates: impl IntoIterator<Item = Certificate>) {
        for certificate in certificates {
            if !self.contains(&certificate) {
                self.0.push(certificate);
            }
        }
    }

    pub fn retain(&mut self, keep: impl FnMut(&Certificate) -> bool) {
        self.0.retain(keep);
    }

    #[must_use]
    pub fn pem(&self) -> String {
        self.iter().map(Certificate::pem).collect()
    }
}

impl<'a> IntoIterator for &'a Bundle {
    type Item = &'a Certificate;
    type IntoIter = std::slice::Iter<'a, Certificate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Certificate> for Bundle {
    fn from_iter<I: IntoIterator<Item = Certificate>>(certificates: I) -> Self {
        let mut bundle = Self::default();
        bundle.extend(certificates);
        bundle
    }
}
