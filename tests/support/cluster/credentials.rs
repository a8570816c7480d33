//! Certificates of a control plane and of webhooks in it.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority that lives as long as a control plane.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both as PEM.
pub struct Credentials {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate is for.
pub enum Subject<'a> {
    User { name: &'a str, group: Option<&'a str> },
    Server { names: &'a [&'a str] },
}

impl Authority {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "cluster tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn issue(&self, subject: &Subject<'_>) -> Result<Credentials, rcgen::Error> {
        let mut params = match subject {
            Subject::Server { names } => {
                CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?
            }
            Subject::User { .. } => CertificateParams::default(),
        };
        match subject {
            Subject::Server { names } => {
                params.distinguished_name.push(DnType::CommonName, names[0]);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Subject::User { name, group } => {
                params.distinguished_name.push(DnType::CommonName, *name);
                if let Some(group) = group {
                    params.distinguished_name.push(DnType::OrganizationName, *group);
                }
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Credentials { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Credentials {
    /// Writes `<name>.crt` and `<name>.key`.
    pub fn write(&self, folder: &Path, name: &str) -> std::io::Result<()> {
        fs::write(folder.join(format!("{name}.crt")), &self.certificate)?;
        fs::write(folder.join(format!("{name}.key")), &self.key)
    }
}
