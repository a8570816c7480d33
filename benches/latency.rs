//! What otelgate adds to the creation of a pod through a real API server, beyond what a webhook adds that answers with
//! a fixed patch. Creations alternate between a namespace without a webhook, one with the fixed answer and one with
//! otelgate, within one run.
//!
//! `cargo bench --bench latency`; needs root and the programs that `tests/programs/build` builds.

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

#[path = "../tests/support/cluster/mod.rs"]
mod cluster;
#[path = "../tests/support/review.rs"]
mod review;
mod support;

use cluster::credentials::Subject;
use cluster::network::ADDRESS;
use cluster::plane::{Parts, base64};
use cluster::{ControlPlane, Version, Webhook};
use support::load::Load;
use support::{median, quantile};

const ROUNDS: usize = 1000;
const WARM_UP: usize = 60;
const FIXED_PORT: u16 = 19_443;
const SEEN: &[u8] = br#""name":"seen""#;

fn main() {
    if !support::is_asked_for() {
        return;
    }
    let plane = ControlPlane::start(Version::Newest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let configuration = json!({ "apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration" });
    let program = Path::new(env!("CARGO_BIN_EXE_otelgate"));
    let otelgate = Webhook::start(&plane, "otelgate-bench", program, &configuration);
    otelgate.make_namespace("injected", Some("enabled"));
    plane.make_namespace("plain", &json!({}), &json!({}));

    let mut client = Client::of(&plane);
    let (answer, _) = client.create("injected");
    let injected: Value = serde_json::from_slice(&answer).expect("the API server answers in JSON");
    assert!(injected["metadata"]["annotations"]["otelgate.dev/status"].is_string(), "the pod wasn't injected");
    let fixed = Webhook::prepare(&plane, "fixed-bench", program, &configuration);
    serve_fixed(&plane, &patch_of(&injected));
    fixed.register_at(FIXED_PORT);
    fixed.make_namespace("fixed", Some("enabled"));

    let namespaces = ["plain", "fixed", "injected"];
    for namespace in namespaces.iter().cycle().take(3 * WARM_UP) {
        client.create(namespace);
    }
    let mut took = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        // Each goes first as often as the others.
        for turn in 0..3 {
            let which = (round + turn) % 3;
            took[which].push(client.create(namespaces[which]).1);
        }
        if round % 200 == 199 {
            client.clear(&namespaces);
        }
    }
    print(&took);
}

fn print(took: &[Vec<f64>; 3]) {
    let [plain, fixed, injected] = took;
    println!("{ROUNDS} creations each of a pod of {} bytes, alternating", review::pod(review::USUAL).to_string().len());
    println!("{:<44} {:>10} {:>10}", "ms", "median", "p99");
    for (name, times) in
        [("no webhook", plain), ("a webhook with the same patch, fixed", fixed), ("otelgate", injected)]
    {
        println!("{name:<44} {:>10.3} {:>10.3}", median(&mut times.clone()), quantile(&mut times.clone(), 0.99));
    }
    let between = |share: f64| quantile(&mut injected.clone(), share) - quantile(&mut fixed.clone(), share);
    println!("{:<44} {:>10.3} {:>10.3}", "otelgate beyond the fixed answer", between(0.5), between(0.99));
    let mut each: Vec<f64> = injected.iter().zip(fixed).map(|(injected, fixed)| injected - fixed).collect();
    println!(
        "{:<44} {:>10.3} {:>10.3}",
        "the same, of the differences round by round",
        median(&mut each),
        quantile(&mut each, 0.99)
    );
    println!("{:<44} {:>10} {:>10}", "budget", "0.3", "2");
}

/// The operations that make the injected pod of the one that was posted: what otelgate wrote, as one patch.
fn patch_of(injected: &Value) -> Value {
    let posted = review::pod(review::USUAL);
    let mut operations = Vec::new();
    for map in ["annotations", "labels"] {
        for (key, value) in injected["metadata"][map].as_object().into_iter().flatten() {
            if posted["metadata"][map].get(key).is_none() {
                let key = key.replace('~', "~0").replace('/', "~1");
                operations.push(json!({ "op": "add", "path": format!("/metadata/{map}/{key}"), "value": value }));
            }
        }
    }
    for (index, container) in injected["spec"]["containers"].as_array().into_iter().flatten().enumerate() {
        let before = posted["spec"]["containers"][index]["env"].as_array().map_or(&[][..], Vec::as_slice);
        for (at, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
            if before.iter().all(|one| one["name"] != variable["name"]) {
                let path = format!("/spec/containers/{index}/env/{at}");
                operations.push(json!({ "op": "add", "path": path, "value": variable }));
            }
        }
    }
    json!(operations)
}

/// Answers each review with that patch, in the control plane's network.
fn serve_fixed(plane: &ControlPlane, patch: &Value) {
    let patch = base64(&patch.to_string());
    let folder = plane.network().folder();
    let (chain, key) = (folder.join("fixed-bench.crt"), folder.join("fixed-bench.key"));
    let router = ["enabled", "observe", "pod"].into_iter().fold(Router::new(), |router, entry| {
        let patch = patch.clone();
        router.route(&format!("/mutate/{entry}"), post(move |request: Request| answer(request, patch.clone())))
    });
    plane.network().spawn(move || support::serve::serve((ADDRESS, FIXED_PORT), &chain, &key, &router));
}

async fn answer(request: Request, patch: String) -> Response {
    let body = to_bytes(request.into_body(), 8 << 20).await.expect("a body");
    let uid = uid(&body).unwrap_or_default();
    // By a pod of its own the harness finds out whether this is called yet.
    let asks = body.windows(SEEN.len()).any(|window| window == SEEN);
    let patch = if asks {
        base64(r#"[{"op":"add","path":"/metadata/annotations","value":{"otelgate.dev/status":"x"}}]"#)
    } else {
        patch
    };
    let answer = format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{{"uid":"{uid}","allowed":true,"patchType":"JSONPatch","patch":"{patch}"}}}}"#
    );
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(Bytes::from(answer)))
        .expect("a response")
}

/// The first `uid` of a review is the request's.
fn uid(body: &[u8]) -> Option<&str> {
    const FIELD: &[u8] = br#""uid":""#;
    let from = body.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let length = body[from..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[from..from + length]).ok()
}

/// An administrator with one connection to the API server.
struct Client<'p> {
    plane: &'p ControlPlane,
    load: Load,
    created: usize,
}

impl<'p> Client<'p> {
    fn of(plane: &'p ControlPlane) -> Self {
        let user = plane.authority().issue(&Subject::User { name: "bench", group: Some("system:masters") });
        let user = user.expect("a certificate");
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(plane.authority().pem().as_bytes()).expect("a certificate");
        roots.add(authority).expect("a certificate");
        let chain = vec![CertificateDer::from_pem_slice(user.certificate.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(user.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = builder.with_client_auth_cert(chain, key).expect("a client's certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let load = plane.network().inside(|| Load::connect(6443, 1, &Arc::new(config)));
        Self { plane, load, created: 0 }
    }

    /// Creates the usual pod, as a user would who has no `ServiceAccount` for it; the answer, and how long it took, in ms.
    fn create(&mut self, namespace: &str) -> (Vec<u8>, f64) {
        self.created += 1;
        let mut pod = review::pod(review::USUAL);
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["generateName"] = Value::Null;
        pod["metadata"]["name"] = json!(format!("pod-{}", self.created));
        let spec = pod["spec"].as_object_mut().expect("a spec");
        for field in ["serviceAccountName", "serviceAccount", "priority", "preemptionPolicy"] {
            spec.remove(field);
        }
        let body = pod.to_string();
        let request = format!(
            "POST /api/v1/namespaces/{namespace}/pods HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let request: Arc<[u8]> = Arc::from(request.into_bytes());
        let begun = Instant::now();
        let answer = self.load.ask(&request);
        (answer, 1e3 * begun.elapsed().as_secs_f64())
    }

    fn clear(&self, namespaces: &[&str]) {
        for namespace in namespaces {
            let arguments = ["delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0", "--wait=false"];
            self.plane.kubectl(&arguments).expect("kubectl delete");
        }
    }
}
