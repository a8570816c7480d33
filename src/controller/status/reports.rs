//! What the parts report, and what it comes to: the conditions and numbers of the status.
//!
//! A new leader has looked at nothing yet, and some looks take minutes. What the leader before said of a part stands until
//! then: a condition that goes away and comes back would be told as a change, and is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{Verdict, conditions};
use crate::api::condition::{ConditionType, Holds, Reason};
use crate::api::stack::{
    AgentStatus, CertificatesStatus, CollectorStatus, DeliveryStatus, InjectionStatus, Owners, TelemetryStackStatus,
    WebhookStatus,
};

/// What a part says of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Verdict(Verdict),
    /// Of the first that were looked at: the fault that the leader before told may be of others.
    SoFar(Verdict),
    /// The part is switched off: it has no condition.
    Off,
}

/// What the parts have reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reports {
    /// Those that a part hasn't looked at yet aren't there.
    pub(super) said: BTreeMap<ConditionType, Said>,
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

    /// Whether a condition holds by what this leader has seen itself, whatever the one before has left.
    #[must_use]
    pub fn holds(&self, part: ConditionType) -> Option<Holds> {
        match self.0.borrow().said.get(&part)? {
            Said::Verdict(verdict) => Some(verdict.reason.holds()),
            Said::SoFar(_) | Said::Off => None,
        }
    }
}

// === impl Reports ===

impl Reports {
    /// What was seen of one part.
    pub fn say(&mut self, condition: ConditionType, verdict: Verdict) {
        self.said.insert(condition, Said::Verdict(verdict));
    }

    /// What was seen so far, while there is more to look at. Once a part has said how it is on the whole, it speaks for
    /// itself.
    pub fn say_so_far(&mut self, condition: ConditionType, verdict: Verdict) {
        let said = match self.said.get(&condition) {
            None | Some(Said::SoFar(_)) => Said::SoFar(verdict),
            Some(Said::Verdict(_) | Said::Off) => Said::Verdict(verdict),
        };
        self.said.insert(condition, said);
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
    pub(super) fn are_complete(&self) -> bool {
        ConditionType::OF_PARTS.iter().all(|part| self.said.contains_key(part))
    }

    /// What the leader before said of a part, for as long as this one's look may take.
    fn carried(&self, part: ConditionType, before: &Before<'_>) -> Option<Verdict> {
        if before.led_for >= takes(part) {
            return None;
        }
        let condition = before.status.conditions.iter().find(|one| one.type_ == part.as_str())?;
        let verdict = Verdict::written(condition)?;
        match self.said.get(&part) {
            None => Some(verdict),
            Some(Said::SoFar(_)) => Some(verdict).filter(|verdict| verdict.reason.holds() != Holds::True),
            Some(Said::Verdict(_) | Said::Off) => None,
        }
    }

    /// How long something of what the leader before said stands yet.
    pub(super) fn carried_for(&self, before: &Before<'_>) -> Option<Duration> {
        let carried = ConditionType::OF_PARTS.iter().filter(|part| self.carried(**part, before).is_some());
        carried.map(|part| takes(*part).saturating_sub(before.led_for)).min()
    }

    /// The conditions, `Ready` last.
    pub(super) fn verdicts(&self, before: &Before<'_>) -> Vec<(ConditionType, Verdict)> {
        let (mut verdicts, mut missing) = (Vec::new(), None);
        for part in ConditionType::OF_PARTS {
            let carried = self.carried(*part, before).map(Said::Verdict);
            match carried.as_ref().or_else(|| self.said.get(part)) {
                Some(Said::Verdict(verdict) | Said::SoFar(verdict)) => verdicts.push((*part, verdict.clone())),
                None if part.counts() => missing = missing.or(Some(*part)),
                Some(Said::Off) | None => {}
            }
        }
        let generation = verdicts.iter().map(|(_, verdict)| verdict.generation).min().unwrap_or_default();
        let ready = Verdict { generation, ..ready(&verdicts, missing) };
        verdicts.push((ConditionType::Ready, ready));
        verdicts
    }

    /// The status of the one that counts.
    pub(super) fn status(&self, before: &Before<'_>, now: Timestamp) -> TelemetryStackStatus {
        use ConditionType as Of;
        let (verdicts, known) = (self.verdicts(before), before.status);
        let carries = |part| self.carried(part, before).is_some();
        // Those of the first few that were looked at go with what is said of them.
        let delivery = if carries(Of::CollectorDelivering) { &known.delivery } else { &self.delivery };
        TelemetryStackStatus {
            observed_generation: verdicts.iter().map(|(_, verdict)| verdict.generation).min().filter(|&of| of > 0),
            conditions: conditions(&verdicts, known, now),
            webhook: either(self.webhook.as_ref(), known.webhook.as_ref(), carries(Of::ConfigurationAccepted)),
            certificates: either(
                self.certificates.as_ref(),
                known.certificates.as_ref(),
                carries(Of::CertificateReady),
            ),
            collector: either(self.collector.as_ref(), known.collector.as_ref(), carries(Of::CollectorAvailable)),
            delivery: delivery.clone(),
            injection: either(self.injection.as_ref(), known.injection.as_ref(), carries(Of::InjectionComplete)),
            agent: either(self.agent.as_ref(), known.agent.as_ref(), carries(Of::AgentAvailable)),
            owners: self.owners,
        }
    }
}

/// This leader's numbers, or those that go with a condition of the one before.
fn either<T: Clone>(own: Option<&T>, known: Option<&T>, carries: bool) -> Option<T> {
    own.or_else(|| known.filter(|_| carries)).cloned()
}

/// What stands in the status, and for how long this leader leads.
#[derive(Clone, Copy)]
pub(super) struct Before<'b> {
    pub status: &'b TelemetryStackStatus,
    pub led_for: Duration,
}

/// How long a new leader's look at a part may take.
#[must_use]
pub const fn takes(part: ConditionType) -> Duration {
    match part {
        // Each Collector's second turn, where there are 5,000, and a minute for those that start.
        ConditionType::CollectorDelivering => Duration::from_mins(12),
        // All pods are listed.
        ConditionType::InjectionComplete => Duration::from_mins(5),
        _ => Duration::from_mins(1),
    }
}

/// The first part that isn't as it should be, of those that count.
fn ready(verdicts: &[(ConditionType, Verdict)], missing: Option<ConditionType>) -> Verdict {
    let first_of = |holds: Holds| {
        let mut counting = verdicts.iter().filter(|(part, _)| part.counts());
        counting.find(|(_, verdict)| verdict.reason.holds() == holds).map(|(_, verdict)| verdict.clone())
    };
    if let Some(failing) = first_of(Holds::False) {
        return failing;
    }
    if let Some(missing) = missing {
        return Verdict::new(Reason::NotLookedAt, format!("{missing}: {}", Reason::NotLookedAt.summary()), 0);
    }
    first_of(Holds::Unknown).unwrap_or_else(|| Verdict::new(Reason::AsConfigured, "", 0))
}
