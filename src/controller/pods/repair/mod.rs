//! Evicts pods that were missed, or that carry an old configuration, where `spec.repair` asks for it.
//!
//! Eviction, because the API server then keeps every `PodDisruptionBudget`, and no template changes. One pod of the
//! cluster every two seconds at most, one of a workload at a time, and only while the webhook is there to do better.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::index::Index;
use super::record::{Count, InForce, Name, Tally};
use crate::api::stack::{Repair, RepairStatus};
use crate::controller::Context;

pub mod facts;
pub mod ledger;
pub mod plan;
mod repairer;

use facts::Target;
use repairer::Repairer;

/// What may have to be repaired.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    pub asked: Repair,
    pub in_force: Option<InForce>,
    /// Workloads with pods to be repaired, by name.
    pub workloads: Vec<Target>,
}

/// Between two evictions.
const BETWEEN: Duration = Duration::from_secs(2);

// === impl Targets ===

impl Targets {
    #[must_use]
    pub fn of(index: &Index, asked: &Repair) -> Self {
        if !asked.missed && !asked.outdated {
            return Self::default();
        }
        let is_asked = |tally: &Tally| {
            (asked.missed && tally.get(Count::Missed) > 0) || (asked.outdated && tally.get(Count::Outdated) > 0)
        };
        let workloads = index.workloads().filter(|(_, tally)| is_asked(tally));
        let target = |name: &Arc<Name>| Target { workload: Arc::clone(name), around: index.around(&name.namespace) };
        Self {
            asked: asked.clone(),
            in_force: index.in_force().cloned(),
            workloads: workloads.map(|(name, _)| target(name)).collect(),
        }
    }
}

/// Repairs what is wanted, and tells how it stands; `None` while it is switched off. Never returns.
pub async fn run(
    context: Context,
    mut wanted: watch::Receiver<Arc<Targets>>,
    told: watch::Sender<Option<RepairStatus>>,
) {
    let mut repairer = Repairer::new(context.clone());
    loop {
        let targets = Arc::clone(&wanted.borrow_and_update());
        let status = if let Some(in_force) = &targets.in_force {
            Some(repairer.round(&targets, in_force).await)
        } else {
            // Whatever it waited for: switched on again, it begins as a new leader does.
            repairer = Repairer::new(context.clone());
            None
        };
        told.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                known.clone_from(&status);
            }
            changed
        });
        let pause = repairer.pause(&targets);
        tokio::select! {
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                // The rate holds, however often the targets change.
                sleep(BETWEEN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
