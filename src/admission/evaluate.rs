//! From the body of a review to the body of its answer: pure but for the clock that the caller passes in.

use std::str;

use jiff::Timestamp;

use super::review::{MAX_BODY, Object, Outline, Request, Review};
use super::{Entry, Settings, response};
use crate::api::{OptIn, label};
use crate::config::Configuration;
use crate::inject::{Decision, Namespace, Pod, Reason};
use crate::json;
use crate::namespaces::Namespaces;

/// The decision: [`crate::inject::decide`], and in tests of what surrounds it, something that fails.
pub type Decide = for<'a> fn(&'a Pod<'a>, &'a Namespace<'a>, &'a Configuration, Timestamp) -> Decision<'a>;

/// What an evaluation needs beside the body.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    pub entry: Entry,
    /// `None` until a usable configuration was read.
    pub settings: Option<&'q Settings>,
    /// `None` where nobody watches them: annotations on them have no effect.
    pub namespaces: Option<&'q Namespaces>,
    /// The webhook's own, where the probe's pods are created.
    pub own_namespace: &'q str,
    pub now: Timestamp,
    pub decide: Decide,
}

/// What was decided, for the log and the metrics.
pub struct Report<'r> {
    pub request: &'r Request<'r>,
    pub decision: &'r Decision<'r>,
    /// Of the patch that is answered.
    pub operations: usize,
}

/// Why a review can't be answered with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Line and column where the JSON couldn't be read further.
    pub place: Option<(usize, usize)>,
}

/// Answers a review.
///
/// `overdue` is asked once the decision is made; `report` is told of a decision that is answered.
///
/// # Errors
/// When there is no decision; the pod is then let through with a warning.
pub fn evaluate(
    body: &[u8],
    question: &Question<'_>,
    overdue: impl FnOnce() -> bool,
    report: impl FnOnce(&Report<'_>),
) -> Result<Vec<u8>, Refusal> {
    if body.len() > MAX_BODY {
        return Err(Refusal::from(Reason::BodyTooLarge));
    }
    let json = str::from_utf8(body).map_err(|_| Refusal::from(Reason::Undecodable))?;
    let request = match Review::from_json(json) {
        Ok(review) => review.request.ok_or(Refusal::from(Reason::Undecodable))?,
        Err(error) => return Err(Refusal::undecodable(body, error)),
    };
    let Some(uid) = request.uid() else { return Err(Refusal::from(Reason::Undecodable)) };
    if !request.is_pod_creation() {
        return Err(Refusal::from(Reason::NotAPod));
    }
    let Some(settings) = question.settings else { return Err(Refusal::from(Reason::NoConfiguration)) };

    let known = question.namespaces.zip(request.namespace()).and_then(|(store, name)| store.get(name));
    let unwatched = question.namespaces.is_none().then_some(&[][..]);
    let namespace = Namespace {
        name: request.namespace(),
        opt_in: question.entry.namespace_opt_in().map(OptIn::as_str),
        left_out: None,
        annotations: known.as_ref().map(|known| known.annotations()).or(unwatched),
    };
    let decision = match &request.object {
        Object::Absent => return Err(Refusal::from(Reason::Undecodable)),
        Object::TooLarge => Decision::Skip { reason: too_large(settings.configuration()), notes: Vec::new() },
        Object::Pod(pod) => {
            let is_probe = is_probe(&request, pod, question.own_namespace);
            let configuration = if is_probe { settings.for_probe() } else { settings.configuration() };
            (question.decide)(pod, &namespace, configuration, question.now)
        }
    };
    let operations = match &decision {
        Decision::Inject(plan) => plan.operations(),
        Decision::Observe(_) | Decision::Skip { .. } => Vec::new(),
    };
    let answer = match &decision {
        Decision::Skip { reason, .. } if reason.is_of_size() => response::warn(uid, *reason),
        _ => response::patch(uid, &operations),
    };
    if overdue() {
        return Err(Refusal::from(Reason::DeadlineExceeded));
    }
    report(&Report { request: &request, decision: &decision, operations: operations.len() });
    Ok(answer)
}

/// Why an object that nobody looks into is left alone: as where it is looked into, the mode comes first.
fn too_large(configuration: &Configuration) -> Reason {
    if configuration.mode() == OptIn::Disabled { Reason::ModeDisabled } else { Reason::ObjectTooLarge }
}

/// The controller's probe looks at the way through the API server, not at whether the webhook is switched on.
fn is_probe(request: &Request<'_>, pod: &Pod<'_>, own_namespace: &str) -> bool {
    request.dry_run && request.namespace() == Some(own_namespace) && pod.label(label::PROBE).is_some()
}

// === impl Refusal ===

impl Refusal {
    /// Something that isn't a pod doesn't read as one, which is no fault of its own.
    fn undecodable(body: &[u8], error: json::Error) -> Self {
        let something_else = Outline::of(body).is_something_else();
        let reason = if something_else { Reason::NotAPod } else { Reason::Undecodable };
        Self { reason, place: Some((error.line, error.column)) }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, place: None }
    }
}
