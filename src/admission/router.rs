//! The three paths, with everything around the decision: capacity, deadline, panics, metrics and the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use jiff::Timestamp;

use super::body::{Capacity, End, Intake};
use super::deadline::Deadline;
use super::evaluate::{Decide, Question, Refusal, evaluate};
use super::review::Outline;
use super::{Entry, Settings, record, response};
use crate::inject::{self, Reason};
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::source::Source;

/// What every request is decided with.
pub struct Admission {
    pub settings: Arc<Source<Settings>>,
    /// `None` where nobody watches them.
    pub namespaces: Option<Arc<Namespaces>>,
    pub metrics: Arc<Metrics>,
    /// The webhook's own namespace.
    pub own_namespace: String,
    pub capacity: Capacity,
    pub decide: Decide,
}

/// Bytes of all bodies that are held at once, small ones apart: as many as leave room for the longest in the part of them
/// that large ones have. With them and all connections, the process stays within the limit of memory in `webhook-config`.
const CAPACITY: usize = 12 << 20;

// === impl Admission ===

impl Admission {
    #[must_use]
    pub fn new(
        settings: Arc<Source<Settings>>,
        namespaces: Option<Arc<Namespaces>>,
        metrics: Arc<Metrics>,
        own_namespace: String,
    ) -> Self {
        Self { settings, namespaces, metrics, own_namespace, capacity: Capacity::new(CAPACITY), decide: inject::decide }
    }

    async fn handle(&self, entry: Entry, request: Request) -> Response {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let deadline = Deadline::new(started, head.uri.query());
        let intake = Intake::of(body, deadline, &self.capacity).await;
        let mut response = self.answer(entry, &intake, started, deadline).await;
        if intake.end.leaves_a_rest() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answered(entry, started.elapsed());
        response
    }

    async fn answer(&self, entry: Entry, intake: &Intake<'_>, started: Instant, deadline: Deadline) -> Response {
        let refused = |reason: Reason| self.refuse(entry, reason.into(), &intake.bytes);
        match intake.end {
            End::TooLarge => return refused(Reason::BodyTooLarge),
            End::Shed => return refused(Reason::Overloaded),
            End::Late => return refused(Reason::DeadlineExceeded),
            End::Broken => return refused(Reason::Undecodable),
            End::Complete => {}
        }
        let turn = self.capacity.turn(intake.bytes.len(), deadline).await;
        let Some(_turn) = turn else { return refused(Reason::Overloaded) };
        let settings = self.settings.current();
        let question = Question {
            entry,
            settings: settings.as_deref(),
            namespaces: self.namespaces.as_deref(),
            own_namespace: &self.own_namespace,
            now: Timestamp::now(),
            decide: self.decide,
        };
        // Nothing that a panic could leave half-done outlives the closure but counters.
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            evaluate(
                &intake.bytes,
                &question,
                || deadline.is_over(),
                |report| record::decided(&self.metrics, entry, started.elapsed(), report),
            )
        }));
        match evaluated {
            Ok(Ok(answer)) => json(answer),
            Ok(Err(refusal)) => self.refuse(entry, refusal, &intake.bytes),
            Err(_) => refused(Reason::InternalError),
        }
    }

    /// Lets the pod through. Where even the uid is unknown no answer is valid, and the failure policy does it.
    fn refuse(&self, entry: Entry, refusal: Refusal, body: &[u8]) -> Response {
        let outline = Outline::of(body);
        record::refused(&self.metrics, entry, refusal, &outline);
        let answer = outline.uid.map(|uid| response::warn(&uid, refusal.reason));
        answer.map_or_else(|| plain(refusal.reason), json)
    }
}

/// The webhook's paths.
pub fn router(admission: &Arc<Admission>) -> Router {
    Entry::ALL.into_iter().fold(Router::new(), |router, entry| {
        let admission = Arc::clone(admission);
        router.route(entry.path(), post(move |request: Request| async move { admission.handle(entry, request).await }))
    })
}

fn json(answer: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(reason: Reason) -> Response {
    let mut response = Response::new(Body::from(response::warning(reason)));
    *response.status_mut() = match reason {
        Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Reason::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
