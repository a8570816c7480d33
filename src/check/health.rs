//! What the controller measures, as its conditions tell it.

use serde_json::Value;

use super::credentials::not_needed;
use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Snapshot, Verdict};
use crate::api::condition::{ConditionType, Reason};
use crate::controller::status::NEXT_STEP;

pub fn accepted(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::ConfigurationAccepted, || Ok(None))
}

pub fn key(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CredentialsReady, || not_needed(snapshot))
}

pub fn webhook_reachable(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::WebhookReachable, || Ok(None))
}

pub fn collectors(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CollectorAvailable, || switched_off(snapshot, "collector"))
}

pub fn delivery(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CollectorDelivering, || switched_off(snapshot, "collector"))
}

pub fn agent(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::AgentAvailable, || switched_off(snapshot, "agent"))
}

pub fn injection(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::InjectionComplete, || Ok(None))
}

pub fn certificate(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CertificateReady, || Ok(None))
}

/// Why the controller says nothing of a part, where that is as it should be.
type Off = Result<Option<&'static str>, Objection>;

fn switched_off(snapshot: &Snapshot, part: &str) -> Off {
    Ok((snapshot.stack()?["spec"][part]["mode"] == "disabled").then_some("switched off"))
}

/// What is left of a part that is switched off has a condition.
fn said(snapshot: &Snapshot, condition: ConditionType, off: impl FnOnce() -> Off) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    if let Some(told) = of(snapshot.stack()?, condition) {
        return verdict(told);
    }
    match off()? {
        Some(why) => Ok(why.to_owned()),
        None => Err(Objection::unknown(
            format!("the TelemetryStack has no condition {condition}"),
            "wait a moment, or use an otelgate of the version that is installed",
        )),
    }
}

/// The condition of that type.
fn of(stack: &Value, condition: ConditionType) -> Option<&Value> {
    stack["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == condition.as_str())
}

/// What a condition says.
fn verdict(told: &Value) -> Verdict {
    let text = |field: &str| told[field].as_str().unwrap_or_default();
    let (seen, next) =
        text("message").split_once(NEXT_STEP).unwrap_or((text("message"), "look at the controller's log"));
    let found = format!("{}: {seen}", text("reason"));
    // One of another version may be none of these.
    let known = Reason::ALL.iter().find(|one| one.code() == text("reason"));
    let next = known.map_or_else(|| next.to_owned(), |reason| format!("{next}; see {}", reason.page()));
    match text("status") {
        "True" => Ok(seen.to_owned()),
        "False" => Err(Objection::fail(found, next)),
        _ => Err(Objection::unknown(found, next)),
    }
}
