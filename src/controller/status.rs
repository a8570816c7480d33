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
use crate::api::condition::{ConditionType, Holds, Reason};
use crate::api::object;
use crate::api::stack::{
    AgentStatus, CertificatesStatus, CollectorStatus, DeliveryStatus, InjectionStatus, Owners, TelemetryStack,
    TelemetryStackStatus, WebhookStatus,
};
use crate::k8s::{self, Api, Condition, DynamicObject, ObjectReference, Patch, PatchParams, Resource as _, Time};
use crate::watch::Pace;

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    /// What was seen, with names; the reason's summary where it is empty.
    pub detail: String,
    /// Of the spec that it is about.
    pub generation: i64,
}

/// What a part says of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Verdict(Verdict),
    /// The part is switched off: it has no condition.
    Off,
}

/// What the parts have reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// Those that a part hasn't looked at yet aren't there.
    said: BTreeMap<ConditionType, Said>,
    pub webhook: Option<WebhookStatus>,
    pub certificates: Option<CertificatesStatus>,
    pub collector: Option<CollectorStatus>,
    pub delivery: Option<DeliveryStatus>,
    pub injection: Option<InjectionStatus>,
    pub agent: Option<AgentStatus>,
    pub owners: Option<Owners>,
    /// The schema of the status that the API server has; what it doesn't know can't be written.
    pub served_schema: Option<Arc<Value>>,
}

/// Where the parts report to.
#[derive(Clone, Debug)]
pub struct Sink(watch::Sender<Reports>);

/// Changes that come together are written together.
const SETTLE: Duration = Duration::from_millis(100);
/// So often a status is written within that time; after that, one in which no condition is another waits for its end: while
/// many pods change, so do their numbers.
const AT_ONCE: u32 = 5;
const NUMBERS_EVERY: Duration = Duration::from_secs(15);
/// How long what the leader before wrote stands, until every part of this one has looked for itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest message of a condition that the API takes.
const MAX_MESSAGE: usize = 32_768;

// === impl Verdict ===

impl Verdict {
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>, generation: i64) -> Self {
        Self { reason, detail: detail.into(), generation }
    }

    /// What was seen and, unless all is well, what to do.
    fn message(&self) -> String {
        let seen = if self.detail.is_empty() { self.reason.summary() } else { &self.detail };
        let message = match self.reason.holds() {
            Holds::True => seen.to_owned(),
            Holds::False | Holds::Unknown => format!("{seen}; next step: {}", self.reason.next_step()),
        };
        message.chars().take(MAX_MESSAGE / 4).collect()
    }
}

// === impl Sink ===

impl Sink {
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<Reports>) {
        let (sender, receiver) = watch::channel(Reports::default());
        (Self(sender), receiver)
    }

    /// Changes what is reported. Nobody is woken where nothing changes.
    pub fn report(&self, change: impl FnOnce(&mut Reports)) {
        self.0.send_if_modified(|reports| {
            let before = reports.clone();
            change(reports);
            *reports != before
        });
    }
}

// === impl Reports ===

impl Reports {
    /// What was seen of one part.
    pub fn say(&mut self, condition: ConditionType, verdict: Verdict) {
        self.said.insert(condition, Said::Verdict(verdict));
    }

    /// The spec has this part switched off.
    pub fn switch_off(&mut self, condition: ConditionType) {
        self.said.insert(condition, Said::Off);
    }

    /// There is nothing any more that it could be said of.
    pub fn take_back(&mut self, condition: ConditionType) {
        self.said.remove(&condition);
    }

    /// Whether every part has reported.
    fn are_complete(&self) -> bool {
        ConditionType::OF_PARTS.iter().all(|part| self.said.contains_key(part))
    }

    /// The conditions, `Ready` last.
    fn verdicts(&self) -> Vec<(ConditionType, Verdict)> {
        let mut verdicts: Vec<_> = ConditionType::OF_PARTS
            .iter()
            .filter_map(|part| match self.said.get(part)? {
                Said::Verdict(verdict) => Some((*part, verdict.clone())),
                Said::Off => None,
            })
            .collect();
        let generation = verdicts.iter().map(|(_, verdict)| verdict.generation).min().unwrap_or_default();
        let ready = Verdict { generation, ..self.ready(&verdicts) };
        verdicts.push((ConditionType::Ready, ready));
        verdicts
    }

    /// The first part that isn't as it should be, of those that count.
    fn ready(&self, verdicts: &[(ConditionType, Verdict)]) -> Verdict {
        let first_of = |holds: Holds| {
            let mut counting = verdicts.iter().filter(|(part, _)| part.counts());
            counting.find(|(_, verdict)| verdict.reason.holds() == holds).map(|(_, verdict)| verdict.clone())
        };
        let missing = || ConditionType::OF_PARTS.iter().find(|part| part.counts() && !self.said.contains_key(part));
        if let Some(failing) = first_of(Holds::False) {
            return failing;
        }
        if let Some(missing) = missing() {
            return Verdict::new(Reason::NotLookedAt, format!("{missing}: {}", Reason::NotLookedAt.summary()), 0);
        }
        first_of(Holds::Unknown).unwrap_or_else(|| Verdict::new(Reason::AsConfigured, "", 0))
    }

    /// The status of the one that counts.
    fn status(&self, before: &TelemetryStackStatus, now: Timestamp) -> TelemetryStackStatus {
        let verdicts = self.verdicts();
        TelemetryStackStatus {
            observed_generation: verdicts.iter().map(|(_, verdict)| verdict.generation).min().filter(|&of| of > 0),
            conditions: conditions(&verdicts, before, now),
            webhook: self.webhook.clone(),
            certificates: self.certificates.clone(),
            collector: self.collector.clone(),
            delivery: self.delivery.clone(),
            injection: self.injection.clone(),
            agent: self.agent.clone(),
            owners: self.owners,
        }
    }
}

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
fn due(reports: &Reports, written: &Written, now: Timestamp) -> Vec<(String, Value)> {
    let wanted = |name: &str, Status { generation, status, .. }: &Status| {
        // What isn't even a status is replaced.
        let before: TelemetryStackStatus = serde_json::from_value(status.clone()).unwrap_or_default();
        let status = match name {
            object::STACK => reports.status(&before, now),
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

/// Whether a condition is another, or about another generation: that is what is waited for.
fn is_urgent(before: &Value, status: &Value) -> bool {
    let said = |status: &Value| -> Vec<[Value; 4]> {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .map(|one| ["type", "status", "reason", "observedGeneration"].map(|field| one[field].clone()))
            .collect()
    };
    said(before) != said(status)
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
        context.state.set_conditions(now_reported.verdicts().iter().map(|(name, one)| (*name, one.reason.holds())));
        let patience = PATIENCE.saturating_sub(started.elapsed());
        let early = !now_reported.are_complete() && !patience.is_zero();
        let (mut failed, mut later) = (false, early.then_some(patience));
        wrote.retain(|name, _| now_written.contains_key(name));
        for (name, status) in due(&now_reported, &now_written, Timestamp::now()) {
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
