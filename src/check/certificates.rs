//! The webhook's certificate, and whether the API server is told to trust it.
//!
//! The certificate itself stands in a Secret that not everybody may read: without it, what the controller says of it in the
//! `TelemetryStack` is taken, and where that says nothing, it isn't known.

use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Snapshot, Verdict};
use crate::api::object::{CONTROLLER, REGISTRATION, SERVING, WEBHOOK};

const CONTROLLERS_LOG: &str = "the controller writes it; look at its log: otelgate logs controller";

pub fn bundle(snapshot: &Snapshot) -> Verdict {
    let registration = snapshot.registration()?;
    let webhooks = registration.webhooks.as_deref().unwrap_or_default();
    let empty = webhooks.iter().filter(|one| one.client_config.ca_bundle.as_ref().is_none_or(|pem| pem.0.is_empty()));
    let empty: Vec<String> = empty.map(|one| one.name.clone()).collect();
    if !empty.is_empty() {
        return Err(Objection::fail(
            format!("caBundle is empty for {}: the API server trusts no webhook", super::some_of(&empty)),
            CONTROLLERS_LOG,
        ));
    }
    let bundles: Vec<&[u8]> =
        webhooks.iter().filter_map(|one| Some(one.client_config.ca_bundle.as_ref()?.0.as_slice())).collect();
    if bundles.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Objection::fail(
            format!("the entries of {REGISTRATION} have different caBundles"),
            CONTROLLERS_LOG,
        ));
    }
    let authorities = authorities(bundles.first().copied().unwrap_or_default());
    if authorities.is_empty() {
        return Err(Objection::fail("caBundle holds no certificate that can be read", CONTROLLERS_LOG));
    }
    let now = snapshot.cluster_time();
    let ends = || authorities.iter().filter_map(|der| validity(der)).map(|(_, until)| until);
    match ends().max() {
        Some(until) if until <= now => Err(Objection::fail(
            format!("every authority in caBundle has expired, the last at {until}"),
            CONTROLLERS_LOG,
        )),
        Some(until) => Ok(format!("until {until}")),
        None => Err(Objection::fail("caBundle holds no certificate that can be read", CONTROLLERS_LOG)),
    }
}

pub fn valid(snapshot: &Snapshot) -> Verdict {
    let now = snapshot.cluster_time();
    let (from, until) = match chain(snapshot) {
        Ok(chain) => validity(&chain[0]).ok_or_else(unreadable)?,
        Err(Objection::Unknown { why, next }) => {
            let told = told(snapshot, "leafNotAfter").ok_or(Objection::Unknown { why, next })?;
            (Timestamp::MIN, told)
        }
        Err(fault) => return Err(fault),
    };
    let renew = "the controller renews its own certificates: look at its log with otelgate logs controller; renew one that \
                 you provide, and put it into its Secret";
    if until <= now {
        return Err(Objection::fail(format!("the webhook's certificate expired at {until}"), renew));
    }
    if from > now {
        return Err(Objection::fail(
            format!("the webhook's certificate isn't valid before {from}"),
            format!("check the clocks of the cluster's nodes; {renew}"),
        ));
    }
    Ok(format!("until {until}"))
}

pub fn trusted(snapshot: &Snapshot) -> Verdict {
    let authorities = authorities(bundle_of(snapshot)?);
    if authorities.is_empty() {
        return Err(Objection::see("ca-bundle"));
    }
    let wrong = |found: &str| {
        Err(Objection::fail(
            found,
            format!(
                "caBundle is the controller's to write: look at what else writes it, and at the log of {CONTROLLER}"
            ),
        ))
    };
    match chain(snapshot) {
        Ok(chain) => match verify(&chain, &authorities) {
            Ok(()) => Ok(String::new()),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => wrong("no authority in caBundle signed the webhook's certificate"),
            Err(error) => wrong(&format!("caBundle doesn't verify the webhook's certificate: {error}")),
        },
        Err(Objection::Unknown { why, next }) => {
            let told = told(snapshot, "authorityNotAfter").ok_or(Objection::Unknown { why, next })?;
            let mut ends = authorities.iter().filter_map(validity).map(|(_, until)| until);
            if ends.any(|until| until == told) {
                return Ok("as far as the TelemetryStack tells".to_owned());
            }
            wrong("caBundle lacks the authority that the controller speaks of in the TelemetryStack")
        }
        Err(Objection::Fail { .. }) => Err(Objection::see("certificate-valid")),
    }
}

pub fn name(snapshot: &Snapshot) -> Verdict {
    let chain = chain(snapshot).map_err(|fault| match fault {
        Objection::Fail { .. } => Objection::see("certificate-valid"),
        unknown @ Objection::Unknown { .. } => unknown,
    })?;
    let host = host(snapshot);
    if is_for(&chain[0], &host) {
        return Ok(host);
    }
    Err(Objection::fail(
        format!("the webhook's certificate isn't for {host}, by which the API server calls it"),
        "have the certificate issued with that DNS name",
    ))
}

/// What the controller saw when it asked each of them.
pub fn served(snapshot: &Snapshot) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    let conditions = snapshot.stack()?["status"]["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|one| one["type"] == "CertificateReady"));
    let Some(ready) = ready else {
        return Err(Objection::unknown(
            "the TelemetryStack has no condition CertificateReady",
            "wait a moment, or use an otelgate of the version that is installed",
        ));
    };
    if ready["status"] == "True" {
        return Ok(String::new());
    }
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    let found = format!("CertificateReady is {}: {}: {}", text("status"), text("reason"), text("message"));
    Err(Objection::fail(found, "look at the log of the replica that is named: otelgate logs webhook"))
}

fn host(snapshot: &Snapshot) -> String {
    format!("{WEBHOOK}.{}.svc", snapshot.namespace)
}

/// What the webhook serves, or will once it has read it.
fn chain(snapshot: &Snapshot) -> Result<Vec<CertificateDer<'static>>, Objection> {
    let Some(serving) = snapshot.serving.as_ref()? else {
        return Err(Objection::fail(
            format!("there is no Secret {SERVING} in namespace {}", snapshot.namespace),
            CONTROLLERS_LOG,
        ));
    };
    let chain = authorities(&serving.chain);
    if chain.is_empty() { Err(unreadable()) } else { Ok(chain) }
}

fn unreadable() -> Objection {
    Objection::fail(format!("tls.crt of Secret {SERVING} holds no certificate that can be read"), CONTROLLERS_LOG)
}

fn bundle_of(snapshot: &Snapshot) -> Result<&[u8], Objection> {
    let webhooks = snapshot.registration()?.webhooks.as_deref().unwrap_or_default();
    Ok(webhooks.iter().find_map(|one| one.client_config.ca_bundle.as_ref()).map_or(&[], |pem| pem.0.as_slice()))
}

/// A time that the controller tells of the certificates.
fn told(snapshot: &Snapshot, field: &str) -> Option<Timestamp> {
    snapshot.stack().ok()?["status"]["certificates"][field].as_str()?.parse().ok()
}

/// The certificates in a PEM text; what can't be read is left out.
fn authorities(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).filter(|der| validity(der).is_some()).collect()
}

fn validity(der: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let at = |seconds| Timestamp::from_second(seconds).ok();
    at(validity.not_before.timestamp()).zip(at(validity.not_after.timestamp()))
}

/// Whether a client that trusts these authorities trusts this chain, at a moment at which the leaf is valid: whether it
/// is now is another check's.
fn verify(chain: &[CertificateDer<'static>], authorities: &[CertificateDer<'static>]) -> Result<(), rustls::Error> {
    // Of a certificate that signed itself Go, and so the API server, makes no more ado.
    if authorities.contains(&chain[0]) {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    // The authority may have begun a little later than what it signed, when clocks differ.
    let begins = chain.iter().chain(authorities).filter_map(validity).map(|(from, _)| from.as_second());
    let at = begins.max().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    let (_, until) = validity(&chain[0]).ok_or(CertificateError::BadEncoding)?;
    let at = at.min(u64::try_from(until.as_second()).unwrap_or_default());
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&chain[0])?,
        &roots,
        &chain[1..],
        UnixTime::since_unix_epoch(Duration::from_secs(at)),
        algorithms,
    )
}

fn is_for(leaf: &CertificateDer<'static>, host: &str) -> bool {
    let host = ServerName::try_from(host.to_owned());
    let leaf = ParsedCertificate::try_from(leaf);
    leaf.ok().zip(host.ok()).is_some_and(|(leaf, host)| verify_server_name(&leaf, &host).is_ok())
}
