//! What the controller measures, as its conditions tell it.

use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Snapshot, Verdict};
use crate::api::condition::{ConditionType, Reason};

/// Between what was seen and what to do, in a condition's message.
const NEXT: &str = "; next step: ";

pub fn collectors(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CollectorAvailable, Some("collector"))
}

pub fn delivery(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::CollectorDelivering, Some("collector"))
}

pub fn agent(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::AgentAvailable, Some("agent"))
}

pub fn injection(snapshot: &Snapshot) -> Verdict {
    said(snapshot, ConditionType::InjectionComplete, None)
}

/// A part that is switched off has no condition.
fn said(snapshot: &Snapshot, condition: ConditionType, part: Option<&str>) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    let stack = snapshot.stack()?;
    if part.is_some_and(|part| stack["spec"][part]["mode"] == "disabled") {
        return Ok("switched off".to_owned());
    }
    let conditions = stack["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(told) = conditions.iter().find(|one| one["type"] == condition.as_str()) else {
        return Err(Objection::unknown(
            format!("the TelemetryStack has no condition {condition}"),
            "wait a moment, or use an otelgate of the version that is installed",
        ));
    };
    let text = |field: &str| told[field].as_str().unwrap_or_default();
    let (seen, next) = text("message").split_once(NEXT).unwrap_or((text("message"), "look at the controller's log"));
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
