//! What has to be done so that the cluster has what is wanted: pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::memory::Drift;
use super::{Key, Memory};
use crate::controller::contest::Contested;
use crate::k8s::{DynamicObject, ResourceExt as _};

/// The objects of a part that are there.
pub type Observed = BTreeMap<Key, Arc<DynamicObject>>;

/// One call, or the reason why it has to wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Apply {
        key: Key,
        object: Value,
    },
    Delete {
        key: Key,
        uid: String,
    },
    /// It differs or is put back again and again, or did so just now: somebody else writes it too.
    Wait {
        key: Key,
        contested: Contested,
    },
    /// It was applied or deleted, and the watch hasn't shown it yet.
    Await {
        until: Instant,
    },
}

// === impl Action ===

impl Action {
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Apply { key, .. } | Self::Delete { key, .. } | Self::Wait { key, .. } => Some(key),
            Self::Await { .. } => None,
        }
    }
}

/// In the order of the calls: what is wanted before what isn't any more, so that a reader never finds nothing.
#[must_use]
pub fn plan(wanted: &BTreeMap<Key, Value>, observed: &Observed, memory: &mut Memory, now: Instant) -> Vec<Action> {
    let mut actions = Vec::new();
    for (key, object) in wanted {
        let found = observed.get(key).map(Arc::as_ref);
        // What is on its way out can't be kept; it is made anew once it has gone.
        if found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()) {
            continue;
        }
        match memory.drift(key, object, found, now) {
            Drift::None => {
                let contested = memory.going_on(key, now);
                actions.extend(contested.map(|contested| Action::Wait { key: key.clone(), contested }));
                continue;
            }
            Drift::Awaited { until } => {
                actions.push(Action::Await { until });
                continue;
            }
            Drift::Differs => {}
        }
        match memory.over(key, object, now) {
            Some(contested) => actions.push(Action::Wait { key: key.clone(), contested }),
            None => actions.push(Action::Apply { key: key.clone(), object: object.clone() }),
        }
    }
    let unwanted =
        observed.iter().filter(|(key, found)| !wanted.contains_key(key) && found.metadata.deletion_timestamp.is_none());
    actions.extend(unwanted.map(|(key, found)| {
        let uid = found.uid().unwrap_or_default();
        if let Some(until) = memory.lingers(key, &uid, now) {
            return Action::Await { until };
        }
        match memory.put_back(key, now) {
            Some(contested) => Action::Wait { key: key.clone(), contested },
            None => Action::Delete { key: key.clone(), uid },
        }
    }));
    let gone = memory.going_on_without(|key| wanted.contains_key(key), |key| observed.contains_key(key), now);
    actions.extend(gone.into_iter().map(|(key, contested)| Action::Wait { key, contested }));
    actions
}
