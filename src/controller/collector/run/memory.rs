//! What doesn't stand in the cluster. Another leader does without.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};

use super::super::joining::Joining;
use super::super::revision::{Revision, Stored};
use super::super::since::Clocks;
use super::super::taken::Taken;
use super::super::trial::{Mark, Phase, Plan, Unfit};

#[derive(Debug, Default)]
pub struct Memory {
    told: Option<Phase>,
    pub unfit: Unfit,
    pub clocks: Clocks,
    /// When the record of each revision that failed was made.
    failed: BTreeMap<String, String>,
    /// Names that somebody else may have.
    pub taken: Taken,
    pub joining: Joining,
    /// Nobody says since when somebody else's is to be on every node: nodes that are there first aren't new.
    pub adopting: Option<Timestamp>,
}

impl Memory {
    /// A record that was deleted is written again as it was before anybody can have seen that it had gone. That it is
    /// another one says so: its revision is to be tried again.
    pub fn forgive(&mut self, stored: &mut [Stored]) {
        for one in stored {
            if !matches!(one.mark, Mark::Failed(_)) {
                self.failed.remove(&one.revision.hash);
            } else if *self.failed.entry(one.revision.hash.clone()).or_insert_with(|| one.created.clone())
                != one.created
            {
                one.mark = Mark::Untried;
            }
        }
    }

    /// Logs where the rollout stands, once for each change.
    pub fn tell(&mut self, plan: &Plan, revision: Option<&Revision>, unmeasured: Option<&str>) {
        if self.told.as_ref() == Some(&plan.phase) {
            return;
        }
        let revision = revision.map(|revision| revision.hash.as_str());
        match &plan.phase {
            Phase::RolledBack(fault) | Phase::Failing(fault) => {
                warn!(otelgate.revision = revision, error.message = %fault, "the Collector's trial has failed");
            }
            Phase::Trying { node } => {
                info!(otelgate.revision = revision, k8s.node.name = node, "the Collector is tried");
            }
            Phase::Held { node, why } => {
                info!(
                    otelgate.revision = revision,
                    k8s.node.name = node,
                    error.message = why,
                    "the Collector's trial is held: nothing of it is its own fault"
                );
            }
            Phase::RolledOut if unmeasured.is_some() => {
                warn!(
                    otelgate.revision = revision,
                    error.message = unmeasured,
                    "the Collector goes to every node, and its metrics couldn't be read in its trial"
                );
            }
            Phase::RolledOut => info!(otelgate.revision = revision, "the Collector goes to every node"),
            Phase::NothingToRun | Phase::NoNode | Phase::Vacating { .. } | Phase::Clearing => {}
        }
        self.told = Some(plan.phase.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Cause, Fault};
    use super::*;
    use serde_json::Value;

    fn failed(created: &str) -> Stored {
        let fault = Fault { node: "a".to_owned(), cause: Cause::Unschedulable, words: "no".to_owned(), key: None };
        Stored {
            revision: Revision::new("text".to_owned(), &Value::Null),
            mark: Mark::Failed(fault),
            created: created.to_owned(),
        }
    }

    #[test]
    fn a_record_that_was_deleted_is_forgiven_though_it_is_back() {
        let mut memory = Memory::default();
        let mut look = |created: &str| {
            let mut stored = [failed(created)];
            memory.forgive(&mut stored);
            let [one] = stored;
            one.mark
        };
        assert!(matches!(look("2026-01-01T00:00:00Z"), Mark::Failed(_)));
        assert!(matches!(look("2026-01-01T00:00:00Z"), Mark::Failed(_)));
        assert_eq!(look("2026-01-01T00:09:00Z"), Mark::Untried);
        // Until it is written that it is tried anew; then a failure is one again.
        assert_eq!(look("2026-01-01T00:09:00Z"), Mark::Untried);
        memory.forgive(&mut [Stored { mark: Mark::Untried, ..failed("2026-01-01T00:09:00Z") }]);
        let mut again = [failed("2026-01-01T00:09:00Z")];
        memory.forgive(&mut again);
        assert!(matches!(again[0].mark, Mark::Failed(_)));
    }
}
