//! What is said of a repair, in the status and by Events.

use super::super::Targets;
use super::super::facts::OwnerKind;
use super::super::plan::Left;
use super::Repairer;
use crate::api::object;
use crate::api::stack::{RepairPhase, RepairStatus};
use crate::controller::events::{Happening, Weight};
use crate::controller::pods::record::Name;
use crate::controller::pods::verdict::Few;
use crate::inject::owner::kind;
use crate::k8s::ObjectReference;

impl Repairer {
    pub(super) fn outcome(&self, targets: &Targets) -> RepairStatus {
        let unvisited = targets.workloads.iter().any(|target| !self.visited.contains_key(&target.workload));
        let phase = if self.has_stopped() {
            RepairPhase::Stopped
        } else if self.asked.dry_run {
            RepairPhase::DryRun
        } else if self.is_busy() || unvisited {
            RepairPhase::Repairing
        } else {
            RepairPhase::Idle
        };
        self.status(phase, (phase == RepairPhase::Stopped).then(|| self.why_stopped()))
    }

    fn why_stopped(&self) -> String {
        let mut named = Few::default();
        for (name, left) in self.left.iter().filter(|(_, left)| left.is_fault()) {
            named.note(|| format!("{name}: {left}"));
        }
        let seen = if named.is_empty() { "workloads came back no better".to_owned() } else { named.in_words() };
        format!(
            "{seen}; when the cause is mended, let it begin anew: kubectl delete configmap -n {} {}",
            self.context.namespace,
            object::REPAIR
        )
    }

    pub(super) fn status(&self, phase: RepairPhase, message: Option<String>) -> RepairStatus {
        let (mut would, mut left) = (Few::default(), Few::default());
        for (name, pods) in &self.would {
            would.note(|| format!("{name} ({pods})"));
        }
        for (name, why) in &self.left {
            left.note(|| format!("{name}: {why}"));
        }
        let evicted = self.ledger.as_ref().map_or(0, |ledger| ledger.evicted);
        RepairStatus {
            phase,
            message,
            evicted: i32::try_from(evicted).unwrap_or(i32::MAX),
            would_evict: would.listed(),
            left: left.listed(),
        }
    }

    /// So that nobody has to wonder who did that.
    pub(super) fn tell(&self, name: &Name, uid: &str, pod: &str) {
        self.context.events.record(Happening {
            regarding: ObjectReference {
                api_version: OwnerKind::of(name).map(|kind| kind.group_version().to_owned()),
                kind: Some(name.kind.to_string()),
                namespace: Some(name.namespace.to_string()),
                name: Some(name.name.to_string()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            },
            weight: Weight::Normal,
            reason: "Evicted".to_owned(),
            action: "Repair".to_owned(),
            note: format!(
                "evicted pod {pod}, so that it comes back injected: spec.repair of the TelemetryStack asks for it"
            ),
        });
    }
}

/// Of which nothing has to be seen.
pub(super) fn of_no_owner(kind: &str) -> Left {
    match kind {
        kind::POD => Left::BarePod,
        kind::JOB | kind::CRON_JOB => Left::OfJob,
        _ => Left::UnknownOwner,
    }
}
