//! From the body of a review to the body of its answer: pure but for the clock that the caller passes in.

use std::str;

use jiff::Timestamp;

use super::review::{MAX_BODY, Outline, Request, Review};
use super::{Entry, Settings, response};
use crate::api::{OptIn, label};
use crate::config::Configuration;
use crate::inject::{Decision, Namespace, Pod, Reason};
use crate::namespaces::Namespaces;

/// The decision: [`crate::inject::decide`], and in tests of what surrounds it, something that fails.
pub type Decide = for<'a> fn(&'a Pod<'a>, &'a Namespace<'a>, &'a Configuration, Timestamp) -> Decision<'a>;

/// What an evaluation needs beside the body.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    pub entry: Entry,
    /// `None` until a usable configuration was read.
    pub settings: Option<&'q Settings>,
    pub namespaces: &'q Namespaces,
    /// The webhook's own, where the probe's pods are created.
    pub own_namespace: &'q str,
    pub now: Timestamp,
    pub decide: Decide,
}

/// What was decided, for the log and the metrics.
pub struct Report<'r> {
    pub request: &'r Request<'r>,
    pub decision: &'r Decision<'r>,
    /// How many operations the patch has.
    pub operations: usize,
}

/// A review that can't be answered with a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    pub reason: Reason,
    /// For whom it is meant, as far as that can be told.
    pub outline: Outline<'a>,
    /// Line and column where the JSON couldn't be read further.
    pub place: Option<(usize, usize)>,
}

/// Answers a review.
///
/// `overdue` is asked once the decision is made; `report` is told of a decision that is answered.
///
/// # Errors
/// When there is no decision; [`Refusal::answer`] is then what to answer.
pub fn evaluate<'b>(
    body: &'b [u8],
    question: &Question<'_>,
    overdue: impl FnOnce() -> bool,
    report: impl FnOnce(&Report<'_>),
) -> Result<Vec<u8>, Refusal<'b>> {
    if body.len() > MAX_BODY {
        return Err(Refusal::new(Reason::BodyTooLarge, body));
    }
    let json = str::from_utf8(body).map_err(|_| Refusal::new(Reason::Undecodable, body))?;
    let request = match Review::from_json(json) {
        Ok(review) => review.request.ok_or_else(|| Refusal::new(Reason::Undecodable, body))?,
        Err(error) => return Err(Refusal::undecodable(body, &error)),
    };
    let Some(uid) = request.uid() else { return Err(Refusal::new(Reason::Undecodable, body)) };
    if !request.is_pod_creation() {
        return Err(Refusal::new(Reason::NotAPod, body));
    }
    let Some(pod) = &request.object else { return Err(Refusal::new(Reason::Undecodable, body)) };
    let Some(settings) = question.settings else { return Err(Refusal::new(Reason::NoConfiguration, body)) };

    let known = request.namespace().and_then(|name| question.namespaces.get(name));
    let namespace = Namespace {
        name: request.namespace(),
        opt_in: question.entry.namespace_opt_in().map(OptIn::as_str),
        annotations: known.as_ref().map(|known| known.annotations()),
    };
    let configuration =
        if is_probe(&request, pod, question.own_namespace) { settings.for_probe() } else { settings.configuration() };
    let decision = (question.decide)(pod, &namespace, configuration, question.now);
    let operations = match &decision {
        Decision::Inject(plan) => plan.operations(),
        Decision::Observe(_) | Decision::Skip { .. } => Vec::new(),
    };
    let answer = response::patch(uid, &operations);
    let answer = answer.map_err(|_| Refusal::new(Reason::InternalError, body))?;
    if overdue() {
        return Err(Refusal::new(Reason::DeadlineExceeded, body));
    }
    report(&Report { request: &request, decision: &decision, operations: operations.len() });
    Ok(answer)
}

/// The controller's probe looks at the way through the API server, not at whether the webhook is switched on.
fn is_probe(request: &Request<'_>, pod: &Pod<'_>, own_namespace: &str) -> bool {
    request.dry_run == Some(true) && request.namespace() == Some(own_namespace) && pod.label(label::PROBE).is_some()
}

// === impl Refusal ===

impl<'a> Refusal<'a> {
    #[must_use]
    pub fn new(reason: Reason, body: &'a [u8]) -> Self {
        Self { reason, outline: Outline::of(body), place: None }
    }

    /// Something that isn't a pod doesn't read as one, which is no fault of its own.
    fn undecodable(body: &'a [u8], error: &serde_json::Error) -> Self {
        let outline = Outline::of(body);
        let reason = if outline.is_something_else() { Reason::NotAPod } else { Reason::Undecodable };
        Self { reason, outline, place: Some((error.line(), error.column())) }
    }

    /// The answer, if it is known to whom.
    #[must_use]
    pub fn answer(&self) -> Option<Vec<u8>> {
        response::warn(self.outline.uid.as_deref()?, self.reason).ok()
    }
}
