//! A mutating webhook of somebody else's, which answers as a function says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::credentials::{Credentials, Subject};
use super::network::ADDRESS;
use super::plane::{ControlPlane, base64};
use super::webhook::endpoints;

/// The operations of RFC 6902 for a pod.
pub type Answer = fn(&Value) -> Value;

/// Registers a webhook for the pods of a namespace, and serves it until the process ends.
///
/// API servers call webhooks in the order of their configurations' names, and this one must be reached.
#[track_caller]
pub fn register(plane: &ControlPlane, name: &str, namespace: &str, answer: Answer) {
    let host = format!("{name}.otelgate.svc");
    let credentials = plane.authority().issue(&Subject::Server { names: &[&host] }).expect("a certificate");
    let config = Arc::new(config(&credentials));
    let listener = plane.network().inside(|| TcpListener::bind((ADDRESS, 0))).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    plane.network().spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            thread::spawn(move || serve(stream, config, answer));
        }
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "otelgate"},
        "spec": {"ports": [{"name": "webhook", "port": 443}]},
    });
    let registration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": format!("{name}.example.com"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "clientConfig": {"caBundle": base64(&plane.authority().pem()),
                             "service": {"namespace": "otelgate", "name": name, "path": "/"}},
        }],
    });
    plane.apply(&[endpoints(name, port), vec![service]].concat());
    plane.apply(&[registration]);
}

fn config(credentials: &Credentials) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is the certificate's")
}

/// Answers the requests of a connection, one after the other, until the client closes it.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: Answer) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let review: Value = serde_json::from_slice(&body).ok()?;
        let patch = answer(&review["request"]["object"]).to_string();
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": base64(&patch)},
        })
        .to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())).ok()?;
        stream.flush().ok()?;
    }
}
