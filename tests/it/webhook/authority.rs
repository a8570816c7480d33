//! A certificate authority for tests, and the ways in which certificates get onto a disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and key in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new certificate for `localhost`, with a new key.
    pub fn issue(&self) -> Pair {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts this authority alone.
    pub fn client(&self, own: Option<&Pair>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![pair.leaf()];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a client certificate")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl Pair {
    pub fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")
    }

    /// The two files, as they are asked for on the command line.
    pub fn paths(folder: &Path) -> (PathBuf, PathBuf) {
        (folder.join("tls.crt"), folder.join("tls.key"))
    }

    /// In place, one file after the other, as a script would.
    pub fn write(&self, folder: &Path) {
        let (certificate, key) = Self::paths(folder);
        fs::write(certificate, &self.certificate).expect("written");
        fs::write(key, &self.key).expect("written");
    }

    /// As the kubelet does it: a new folder, and one rename of the symlink that all files go through.
    pub fn mount(&self, folder: &Path, generation: usize) {
        let data = folder.join(format!("..{generation}"));
        fs::create_dir(&data).expect("a folder");
        self.write(&data);
        let (next, current) = (folder.join("..data_tmp"), folder.join("..data"));
        let old = fs::read_link(&current).ok();
        symlink(data.file_name().expect("a name"), &next).expect("a symlink");
        fs::rename(&next, &current).expect("renamed");
        for name in ["tls.crt", "tls.key"] {
            let file = folder.join(name);
            if fs::symlink_metadata(&file).is_err() {
                symlink(Path::new("..data").join(name), &file).expect("a symlink");
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(folder.join(old)).expect("removed");
        }
    }
}
