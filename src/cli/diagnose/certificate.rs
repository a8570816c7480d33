//! What may be told of certificates: whose, by whom, and until when.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Of a bundle in PEM, in base64 as objects of the cluster carry it. Empty for anything else.
#[must_use]
pub fn of_base64(text: &str) -> Value {
    let pem = STANDARD.decode(text).unwrap_or_default();
    CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).map(|certificate| told(&certificate)).collect()
}

/// In hexadecimal digits.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

fn told(certificate: &CertificateDer<'_>) -> Value {
    let fingerprint = sha256(certificate);
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return json!({"sha256": fingerprint, "unreadable": true});
    };
    let time = |time: &x509_parser::time::ASN1Time| {
        jiff::Timestamp::from_second(time.timestamp()).map(|time| time.to_string()).unwrap_or_default()
    };
    json!({
        "subject": parsed.subject().to_string(),
        "issuer": parsed.issuer().to_string(),
        "notBefore": time(&parsed.validity().not_before),
        "notAfter": time(&parsed.validity().not_after),
        "sha256": fingerprint,
    })
}
