//! The status of the `TelemetryStack`: put together from what the controller's parts report, and written when it
//! changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::events::{Happening, Weight};
use super::metrics::Write;
use super::stack::{self, Status, Written};
use super::{Context, State};
use crate::api::condition::{ConditionType, Reason};
use crate::api::object;
use crate::api::stack::{TelemetryStack, TelemetryStackStatus};
use crate::k8s::{self, Api, Condition, DynamicObject, ObjectReference, Patch, PatchParams, Resource as _, Time};
use crate::watch::Pace;

mod reports;
mod verdict;

use reports::Before;
pub use reports::{Reports, Said, Sink, takes};
pub use verdict::{NEXT_STEP, Verdict};

/// Changes that come together are written together.
const SETTLE: Duration = Duration::from_millis(100);
/// So often a status is written within that time; after that, one in which no condition is another waits for its end: while
/// many pods change, so do their numbers.
const AT_ONCE: u32 = 5;
/// Between two writes of the status in which only numbers differ.
pub const NUMBERS_EVERY: Duration = Duration::from_secs(15);
/// How long nothing is written, until every part has looked for itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The status of one with another name.
fn not_default(generation: i64, before: &TelemetryStackStatus, now: Timestamp) -> TelemetryStackStatus {
    let verdict = Verdict::new(Reason::NotDefault, "", generation);
    let verdicts = [(ConditionType::ConfigurationAccepted, verdict.clone()), (ConditionType::Ready, verdict)];
    TelemetryStackStatus {
        observed_generation: Some(generation),
        conditions: conditions(&verdicts, before, now),
        ..TelemetryStackStatus::default()
    }
}

/// The time of a transition stays as long as the condition does.
fn conditions(verdicts: &[(ConditionType, Verdict)], before: &TelemetryStackStatus, now: Timestamp) -> Vec<Condition> {
    let condition = |(name, verdict): &(ConditionType, Verdict)| {
        let status = verdict.reason.holds().as_str();
        let known = before.conditions.iter().find(|known| known.type_ == name.as_str() && known.status == status);
        Condition {
            type_: name.as_str().to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.code().to_owned(),
            message: verdict.message(),
            observed_generation: Some(verdict.generation),
            last_transition_time: known.map_or(Time(now), |known| known.last_transition_time.clone()),
        }
    };
    verdicts.iter().map(condition).collect()
}

/// Without what the schema doesn't know: server-side apply refuses that.
fn prune(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(known) = schema.get("properties") {
                fields.retain(|name, _| known.get(name).is_some());
                for (name, field) in fields {
                    prune(field, &known[name.as_str()]);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, &schema["items"])),
        _ => {}
    }
}

/// What should stand in the status of each, where something else does.
fn due(reports: &Reports, written: &Written, led_for: Duration, now: Timestamp) -> Vec<(String, Value)> {
    let wanted = |name: &str, Status { generation, status, .. }: &Status| {
        let before = read(status);
        let status = match name {
            object::STACK => reports.status(&Before { status: &before, led_for }, now),
            _ => not_default(*generation, &before, now),
        };
        let mut status = serde_json::to_value(status).unwrap_or_default();
        if let Some(schema) = &reports.served_schema {
            prune(&mut status, schema);
        }
        status
    };
    let all = written.iter().map(|(name, one)| (name.clone(), wanted(name, one), &one.status));
    all.filter(|(_, wanted, status)| *status != wanted).map(|(name, wanted, _)| (name, wanted)).collect()
}

/// What isn't even a status is replaced.
fn read(status: &Value) -> TelemetryStackStatus {
    serde_json::from_value(status.clone()).unwrap_or_default()
}

/// Whether a condition is another, or about another generation, or the webhook has another configuration, or somebody else
/// has a kind of data: that is what is waited for.
fn is_urgent(before: &Value, status: &Value) -> bool {
    let said = |status: &Value| -> Vec<[Value; 4]> {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .map(|one| ["type", "status", "reason", "observedGeneration"].map(|field| one[field].clone()))
            .collect()
    };
    let differ = |field: &str| before.pointer(field) != status.pointer(field);
    said(before) != said(status) || differ("/webhook/revision") || differ("/owners")
}

/// How often a status was written lately.
struct Lately {
    since: Instant,
    writes: u32,
}

impl Lately {
    fn new() -> Self {
        Self { since: Instant::now(), writes: 0 }
    }

    fn count(&mut self) {
        if self.since.elapsed() >= NUMBERS_EVERY {
            *self = Self::new();
        }
        self.writes += 1;
    }

    /// How long numbers have to wait.
    fn rest(&self) -> Duration {
        if self.writes < AT_ONCE { Duration::ZERO } else { NUMBERS_EVERY.saturating_sub(self.since.elapsed()) }
    }
}

/// Keeps every status as it should be. Never returns.
pub async fn write(
    context: Context,
    mut reports: watch::Receiver<Reports>,
    mut written: watch::Receiver<Arc<Written>>,
) {
    let api = Api::<DynamicObject>::all_with(context.client.clone(), &stack::resource());
    let started = Instant::now();
    let mut pace = Pace::default();
    let mut wrote = BTreeMap::<String, Lately>::new();
    loop {
        let (now_reported, now_written) =
            (reports.borrow_and_update().clone(), Arc::clone(&written.borrow_and_update()));
        let led_for = started.elapsed();
        let known = now_written.get(object::STACK).map(|stack| read(&stack.status)).unwrap_or_default();
        let before = Before { status: &known, led_for };
        let verdicts = now_reported.verdicts(&before);
        context.state.set_conditions(verdicts.iter().map(|(name, one)| (*name, one.reason)));
        let patience = PATIENCE.saturating_sub(led_for);
        let early = !now_reported.are_complete() && !patience.is_zero();
        let (mut failed, mut later) = (false, early.then_some(patience).or(now_reported.carried_for(&before)));
        wrote.retain(|name, _| now_written.contains_key(name));
        for (name, status) in due(&now_reported, &now_written, led_for, Timestamp::now()) {
            if early && name == object::STACK {
                continue;
            }
            let before = now_written.get(&name);
            let rest = wrote.get(&name).map_or(Duration::ZERO, Lately::rest);
            if !rest.is_zero() && before.is_some_and(|before| !is_urgent(&before.status, &status)) {
                later = Some(later.map_or(rest, |later| later.min(rest)));
                continue;
            }
            match apply(&api, &name, &status).await {
                Ok(()) => {
                    tell(&context.state, &name, &status);
                    for happening in before.into_iter().flat_map(|before| happenings(&name, before, &status)) {
                        context.events.record(happening);
                    }
                    wrote.entry(name).or_insert_with(Lately::new).count();
                }
                Err(error) => {
                    context.state.status.failed(&error);
                    failed = true;
                }
            }
        }
        if failed {
            // However much more is reported meanwhile.
            sleep(pace.next().unwrap_or(PATIENCE)).await;
            continue;
        }
        tokio::select! {
            () = sleep(later.unwrap_or_default()), if later.is_some() => {}
            Ok(()) = reports.changed() => {}
            Ok(()) = written.changed() => {}
        }
        sleep(SETTLE).await;
    }
}

/// An Event for each condition that says something else than before, or begins with what isn't well. `Ready` only says
/// again what another does.
fn happenings(name: &str, before: &Status, status: &Value) -> Vec<Happening> {
    let conditions = |status: &Value| status["conditions"].as_array().cloned().unwrap_or_default();
    let known = conditions(&before.status);
    let is_news = |now: &Value| {
        let said = known.iter().find(|known| known["type"] == now["type"]);
        said.map_or(now["status"] != "True", |said| said["status"] != now["status"] || said["reason"] != now["reason"])
    };
    let of_parts = conditions(status).into_iter().filter(|now| now["type"] != ConditionType::Ready.as_str());
    let happening = |now: Value| {
        let text = |field: &str| now[field].as_str().unwrap_or_default().to_owned();
        Happening {
            regarding: ObjectReference {
                api_version: Some(TelemetryStack::api_version(&()).into_owned()),
                kind: Some(TelemetryStack::kind(&()).into_owned()),
                name: Some(name.to_owned()),
                uid: Some(before.uid.clone()),
                ..ObjectReference::default()
            },
            weight: if now["status"] == "True" { Weight::Normal } else { Weight::Warning },
            reason: text("reason"),
            action: text("type"),
            note: text("message"),
        }
    };
    of_parts.filter(is_news).map(happening).collect()
}

async fn apply(api: &Api<DynamicObject>, name: &str, status: &Value) -> k8s::Result<()> {
    let object = json!({
        "apiVersion": TelemetryStack::api_version(&()),
        "kind": TelemetryStack::kind(&()),
        "metadata": {"name": name},
        "status": status,
    });
    let params = PatchParams::apply(object::FIELD_MANAGER).force();
    match k8s::in_time(api.patch_status(name, &params, &Patch::Apply(&object))).await {
        // It went since it was seen.
        Err(k8s::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn tell(state: &State, name: &str, status: &Value) {
    state.status.answered();
    state.writes.add(Write::Status);
    let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
    if let Some(ready) = ready {
        info!(
            otelgate.stack = name,
            otelgate.ready = ready["status"].as_str(),
            otelgate.reason = ready["reason"].as_str(),
            otelgate.message = ready["message"].as_str(),
            "status written"
        );
    }
}

#[cfg(test)]
mod tests;
