//! The plain port: liveness, readiness with its reasons, and metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::lifecycle::{Phase, Phases};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use crate::source::{Reload, Source};

/// Looks at one precondition: `None` when it holds, else why not.
type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Whether requests should come here, and if not, why.
pub struct Readiness {
    phases: Phases,
    checks: Vec<(&'static str, Check)>,
}

// === impl Readiness ===

impl Readiness {
    #[must_use]
    pub fn new(phases: Phases) -> Self {
        Self { phases, checks: Vec::new() }
    }

    /// Not ready before the source has had a first good value. Later, a bad one changes nothing: all replicas read the
    /// same, and all would go at once.
    #[must_use]
    pub fn requires<T: Reload>(self, source: Arc<Source<T>>) -> Self {
        self.looks_at(T::NAME, move || {
            let missing = source.current().is_none();
            missing.then(|| source.fault().unwrap_or_else(|| "not read yet".to_owned()))
        })
    }

    /// Not ready while the check tells a fault.
    #[must_use]
    pub fn looks_at(mut self, name: &'static str, check: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.checks.push((name, Box::new(check)));
        self
    }

    /// One line for each reason not to be ready.
    #[must_use]
    pub fn faults(&self) -> Option<String> {
        let mut faults = String::new();
        if self.phases.now() > Phase::Serving {
            faults.push_str("shutting down\n");
        }
        for (name, check) in &self.checks {
            if let Some(fault) = check() {
                // Writing to a string can't fail.
                let _ = writeln!(faults, "{name}: {fault}");
            }
        }
        (!faults.is_empty()).then_some(faults)
    }
}

/// The paths of the plain port.
pub fn router(readiness: Readiness, exposition: Exposition) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
        .route("/metrics", get(metrics).with_state(Arc::new(exposition)))
}

async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.faults() {
        None => "ok\n".into_response(),
        Some(faults) => (StatusCode::SERVICE_UNAVAILABLE, faults).into_response(),
    }
}

async fn metrics(State(exposition): State<Arc<Exposition>>) -> Response {
    match exposition.text() {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
