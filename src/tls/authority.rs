//! otelgate's own authority: a key that signs the webhook's certificates, and nothing else.
//!
//! Every certificate begins a little before it was made, because the clocks of a cluster differ, and none outlives the
//! authority that signed it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{Certificate, Chain};

/// How much earlier a certificate begins than it was made.
pub const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// An authority with its key.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate with its key, both in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

/// No certificate was made.
#[derive(Debug, Error)]
pub enum MakingFailed {
    #[error("the system gives no random numbers; check that /dev/urandom can be read")]
    Random,
    #[error("the certificate can't be made or signed; please report it")]
    Signing(#[from] rcgen::Error),
    #[error("the certificate that was just made can't be read; please report it")]
    Unreadable,
}

/// What is stored as an authority can't be used as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoAuthority {
    #[error("the authority's certificate is no PEM, or can't be parsed")]
    Certificate,
    #[error("the authority's key is no PEM, or can't be parsed")]
    Key,
    #[error("the authority's key doesn't belong to its certificate")]
    Mismatch,
    #[error("the authority's certificate may not sign others")]
    Leaf,
}

// === impl Authority ===

impl Authority {
    /// A new one, with a new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn make(lifetime: Duration, now: Timestamp) -> Result<Self, MakingFailed> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let serial = random()?;
        let mut params = CertificateParams::default();
        // Names that differ, so that people and verifiers can tell one from the next.
        let name = format!("otelgate webhook CA {:02x}{:02x}{:02x}{:02x}", serial[1], serial[2], serial[3], serial[4]);
        params.distinguished_name = named(&name);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit(&mut params, now, lifetime_end(now, lifetime));
        let certificate = params.self_signed(&key)?;
        let certificate = Certificate::read(certificate.der().clone()).ok_or(MakingFailed::Unreadable)?;
        Ok(Self { certificate, key })
    }

    /// From what [`Self::certificate`] and [`Self::key`] gave.
    ///
    /// # Errors
    /// When they don't make an authority.
    pub fn read(certificate: &[u8], key: &[u8]) -> Result<Self, NoAuthority> {
        let certificate = Chain::read(certificate).ok_or(NoAuthority::Certificate)?.leaf().clone();
        let key = std::str::from_utf8(key).ok().and_then(|key| KeyPair::from_pem(key).ok()).ok_or(NoAuthority::Key)?;
        let (_, parsed) = X509Certificate::from_der(certificate.der()).map_err(|_| NoAuthority::Certificate)?;
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(NoAuthority::Mismatch);
        }
        if !certificate.is_authority() {
            return Err(NoAuthority::Leaf);
        }
        Ok(Self { certificate, key })
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// In PEM. A secret.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A new certificate for a server of these DNS names, with a new key. It ends with the authority at the latest.
    ///
    /// # Errors
    /// When the system has no randomness, or a name is none.
    pub fn issue(&self, names: &[String], lifetime: Duration, now: Timestamp) -> Result<Issued, MakingFailed> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = named("otelgate webhook");
        params.serial_number = Some(SerialNumber::from_slice(&random()?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let end = lifetime_end(now, lifetime).min(self.certificate.not_after());
        limit(&mut params, now, end);
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), &self.key)?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// When the next should be made, of a certificate that was made here: when a third of its life is left.
#[must_use]
pub fn renewal(certificate: &Certificate) -> Timestamp {
    let lifetime = certificate.not_after().duration_since(certificate.not_before()).saturating_sub(BACKDATE);
    let third = lifetime.max(SignedDuration::ZERO) / 3;
    certificate.not_after().checked_sub(third).unwrap_or(Timestamp::MIN)
}

fn lifetime_end(now: Timestamp, lifetime: Duration) -> Timestamp {
    now.checked_add(lifetime).unwrap_or(Timestamp::MAX)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// 127 bits; a serial number is positive.
fn random() -> Result<[u8; 16], MakingFailed> {
    let mut bytes = [0; 16];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).map_err(|_| MakingFailed::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

/// From a little before now until `end`; 1970 at the earliest.
fn limit(params: &mut CertificateParams, now: Timestamp, end: Timestamp) {
    let at = |time: Timestamp| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default())
    };
    params.not_before = at(now.checked_sub(BACKDATE).unwrap_or(Timestamp::MIN));
    params.not_after = at(end);
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::ParsedExtension;

    use super::super::certificate::Bundle;
    use super::super::identity::keys_match;
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> Timestamp {
        "2027-01-15T08:00:00Z".parse().expect("a time")
    }

    fn names() -> Vec<String> {
        ["otelgate-webhook.otelgate.svc", "otelgate-webhook.otelgate.svc.cluster.local"].map(str::to_owned).to_vec()
    }

    fn chain(issued: &Issued) -> Chain {
        Chain::read(issued.certificate.as_bytes()).expect("a chain")
    }

    #[test]
    fn a_certificate_is_trusted_by_its_authority_and_by_no_other() {
        let (ours, other) = (Authority::make(DAY, now()).expect("made"), Authority::make(DAY, now()).expect("made"));
        let issued = ours.issue(&names(), DAY, now()).expect("issued");
        let chain = chain(&issued);
        assert_eq!(keys_match(issued.certificate.as_bytes(), issued.key.as_bytes()), Ok(()));
        assert!(chain.leads_to(ours.certificate()) && !chain.leads_to(other.certificate()));
        let trusted = |authority: &Authority, name: &str, at: Timestamp| {
            let bundle: Bundle = [authority.certificate().clone()].into_iter().collect();
            chain.is_trusted_by(&bundle, name, at)
        };
        for name in names() {
            assert!(trusted(&ours, &name, now()));
            assert!(!trusted(&other, &name, now()));
        }
        assert!(!trusted(&ours, "otelgate-webhook.elsewhere.svc", now()));
        let later = now() + DAY;
        assert!(!trusted(&ours, &names()[0], later), "expired");
        assert!(chain.leads_to(ours.certificate()), "whatever the time is");
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        let authority = Authority::make(DAY, now()).expect("made");
        let chain = chain(&authority.issue(&names(), DAY, now()).expect("issued"));
        let bundle: Bundle = [authority.certificate().clone()].into_iter().collect();
        assert!(chain.is_trusted_by(&bundle, &names()[0], now() - SignedDuration::from_secs(299)));
        assert!(!chain.is_trusted_by(&bundle, &names()[0], now() - SignedDuration::from_secs(301)));
    }

    #[test]
    fn no_certificate_outlives_its_authority() {
        let authority = Authority::make(DAY, now()).expect("made");
        let at = now() + SignedDuration::from_hours(20);
        let chain = chain(&authority.issue(&names(), DAY, at).expect("issued"));
        assert_eq!(chain.leaf().not_after(), authority.certificate().not_after());
        assert_eq!(renewal(chain.leaf()), at + SignedDuration::from_mins(160), "of four hours, a third is left");
    }

    #[test]
    fn the_next_is_due_when_a_third_is_left_however_short_the_life() {
        for lifetime in [6, 60, 3600] {
            let authority = Authority::make(Duration::from_secs(lifetime), now()).expect("made");
            let at = now() + SignedDuration::from_secs(i64::try_from(lifetime / 3 * 2).expect("small"));
            assert_eq!(renewal(authority.certificate()), at);
        }
    }

    #[test]
    fn an_authority_may_sign_certificates_of_servers_and_nothing_below() {
        let authority = Authority::make(DAY, now()).expect("made");
        let (_, parsed) = X509Certificate::from_der(authority.certificate().der()).expect("X.509");
        let constraints = parsed.basic_constraints().expect("readable").expect("there");
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let usage = parsed.key_usage().expect("readable").expect("there").value;
        assert!(usage.key_cert_sign() && !usage.digital_signature());
        let chain = chain(&authority.issue(&names(), DAY, now()).expect("issued"));
        let (_, leaf) = X509Certificate::from_der(chain.leaf().der()).expect("X.509");
        let usage = leaf.extended_key_usage().expect("readable").expect("there").value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert!(
            leaf.extensions().iter().any(|extension| {
                matches!(extension.parsed_extension(), ParsedExtension::AuthorityKeyIdentifier(_))
            })
        );
        assert_eq!(chain.leaf().names(), names());
        assert!(!chain.leaf().is_authority());
        assert_ne!(leaf.serial, parsed.serial);
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let made = Authority::make(DAY, now()).expect("made");
        let (pem, key) = (made.certificate().pem(), made.key());
        let read = Authority::read(pem.as_bytes(), key.as_bytes()).expect("readable");
        let chain = chain(&read.issue(&names(), DAY, now()).expect("issued"));
        assert!(chain.leads_to(made.certificate()));
        let other = Authority::make(DAY, now()).expect("made");
        let fault = |pem: &str, key: &str| Authority::read(pem.as_bytes(), key.as_bytes()).err();
        assert_eq!(fault(&pem, &other.key()), Some(NoAuthority::Mismatch));
        assert_eq!(fault("", &key), Some(NoAuthority::Certificate));
        assert_eq!(fault(&pem[..pem.len() / 2], &key), Some(NoAuthority::Certificate));
        assert_eq!(fault(&pem, "x"), Some(NoAuthority::Key));
        let leaf = made.issue(&names(), DAY, now()).expect("issued");
        assert_eq!(fault(&leaf.certificate, &leaf.key), Some(NoAuthority::Leaf));
    }
}
