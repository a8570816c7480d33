//! What the Collectors do that run, whatever the spec asks for by now: the Agent's share is what they leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::observe::Set;
use super::pod::{Pod, Rollout};
use super::revision::Stored;
use crate::collector::Carries;
use crate::watch::Objects;

/// Of Collectors that are the controller's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What those of every node do; nothing before the first rollout, when the spec says what they will.
    pub everywhere: Option<Carries>,
    /// One of any node sends to the Agent.
    pub to_agent: bool,
}

// === impl Carried ===

impl Carried {
    #[must_use]
    pub fn of(stored: &[Stored], sets: &Objects<Option<Set>>, pods: &[Arc<Pod>]) -> Self {
        let deployed = |rollout: Rollout| sets.get(rollout.daemon_set())?.as_ref().map(|set| &*set.deployed.revision);
        // Thousands of pods have the same.
        let mut all: BTreeSet<_> = pods.iter().map(|pod| &*pod.revision).collect();
        all.extend(Rollout::ALL.into_iter().filter_map(deployed));
        let sends = |revision: &str| carries(stored, revision).is_some_and(|carries| carries.to_agent);
        Self {
            everywhere: deployed(Rollout::Stable).and_then(|revision| carries(stored, revision)),
            to_agent: all.into_iter().any(sends),
        }
    }
}

/// What a revision does, as long as it stands in the cluster.
pub fn carries(stored: &[Stored], revision: &str) -> Option<Carries> {
    let known = stored.iter().find(|known| *known.revision.hash == *revision)?;
    Carries::of(&known.revision.configuration)
}
