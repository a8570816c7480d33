//! The parts of the webhook as `otelgate webhook` puts them together, without a process, a port or a cluster.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use otelgate::admission::{Admission, Entry, Settings, router};
use otelgate::config::{Configuration, Document};
use otelgate::metrics::{Exposition, InForce, Metrics};
use otelgate::namespaces::Namespaces;
use otelgate::source::Source;
use serde_json::Value;
use tower::ServiceExt as _;

use super::client::response;

/// As long as an API server waits at most: a busy machine takes its time.
const PATIENT: &str = "30s";

pub fn admission(document: Document) -> Admission {
    let metrics = Arc::new(Metrics::default());
    let configuration = Configuration::try_from(document).expect("a valid configuration");
    let settings = Source::fixed(Settings::from(configuration), Arc::clone(&metrics.configuration_reloads));
    Admission::new(Arc::new(settings), Some(Arc::new(Namespaces::default())), metrics, "otelgate".to_owned())
}

/// The router alone, and what it counts.
pub struct Stack {
    pub router: Router,
    pub metrics: Arc<Metrics>,
}

impl Stack {
    pub fn new() -> Self {
        Self::of(admission(Document::default()))
    }

    pub fn of(admission: Admission) -> Self {
        let metrics = Arc::clone(&admission.metrics);
        Self { router: router(&Arc::new(admission)), metrics }
    }

    /// The value of a metric's sample.
    pub fn sample(&self, sample: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().expect("a number")
    }

    /// Reviews that were counted, as a decision or as a failure.
    pub fn counted(&self) -> f64 {
        let counted =
            |line: &&str| line.starts_with("otelgate_decisions_total{") || line.starts_with("otelgate_failures_total{");
        let count = |line: &str| line.rsplit_once(' ').expect("a sample").1.parse::<f64>().expect("a number");
        self.metrics().lines().filter(counted).map(count).sum()
    }

    /// What never happened isn't in it.
    pub fn metrics(&self) -> String {
        let admission = admission(Document::default());
        let identity = Arc::new(Source::new(Arc::clone(&self.metrics.certificate_reloads)));
        let in_force = InForce { settings: admission.settings, identity };
        Exposition::new(Arc::clone(&self.metrics), in_force).text().expect("metrics")
    }

    pub async fn post(&self, entry: Entry, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
        self.post_within(entry, PATIENT, body).await
    }

    async fn post_within(&self, entry: Entry, timeout: &str, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
        let uri = format!("{}?timeout={timeout}", entry.path());
        let request = Request::post(uri).body(body.into()).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("infallible");
        let status = answer.status();
        (status, to_bytes(answer.into_body(), usize::MAX).await.expect("a body").to_vec())
    }

    /// The response to a review that must be answered.
    pub async fn review(&self, entry: Entry, body: impl Into<Body>) -> Value {
        self.review_within(entry, PATIENT, body).await
    }

    pub async fn review_within(&self, entry: Entry, timeout: &str, body: impl Into<Body>) -> Value {
        let (status, body) = self.post_within(entry, timeout, body).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        response(&body)
    }
}

/// A recorded review.
pub fn recorded(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/reviews").join(format!("{name}.json"));
    fs::read(path).expect(name)
}

/// The same, changed.
pub fn recorded_with(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review = serde_json::from_slice(&recorded(name)).expect("JSON");
    change(&mut review);
    serde_json::to_vec(&review).expect("JSON")
}
