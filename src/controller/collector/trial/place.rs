//! On which node a trial is, and when that is free for it: pure.

use std::collections::BTreeSet;

use super::super::pod::{Pod, Rollout};
use super::Observed;

impl Observed<'_> {
    /// The node that the trial is on, or is to be on, as long as it's fit; else the first that is, or is ready at least. A
    /// node that can't run one mustn't keep all others waiting.
    pub(super) fn choose(&self, good: Option<&str>) -> Option<&str> {
        let is_fit = |node: &str| self.nodes.get(node) == Some(&true) && !self.unfit.contains(node);
        let chosen = self.trial.as_ref().and_then(|trial| trial.node.as_deref());
        let chosen = chosen.or_else(|| self.stable.as_ref()?.node.as_deref());
        let chosen = chosen.and_then(|chosen| self.nodes.get_key_value(chosen).map(|(node, _)| *node));
        if let Some(chosen) = chosen.filter(|chosen| is_fit(chosen)) {
            return Some(chosen);
        }
        // Where the last good one runs well, the next one's faults are its own.
        let well = self.of(Rollout::Stable).filter(|pod| good.is_some() && pod.is_ready());
        let well: BTreeSet<_> = well.map(|pod| &*pod.node).collect();
        let first =
            |nodes: &dyn Fn(&str) -> bool| self.unfit.first(self.nodes.keys().copied().filter(|node| nodes(node)));
        let on_trial = || chosen.filter(|_| self.trial.is_some());
        first(&|node| is_fit(node) && well.contains(node))
            .or_else(|| first(&is_fit))
            .or_else(on_trial)
            .or_else(|| first(&|node| self.nodes.get(node) == Some(&true)))
    }

    /// Other nodes that it may be tried on.
    pub(super) fn others(&self, node: &str) -> impl Iterator<Item = &str> {
        let ready = self.nodes.iter().filter(|(_, ready)| **ready).map(|(name, _)| *name);
        ready.filter(move |name| *name != node && !self.unfit.contains(name))
    }

    /// Whether nothing runs there any more, and nothing will.
    pub(super) fn is_vacated(&self, node: &str) -> bool {
        let spared = self.stable.as_ref().is_none_or(|one| one.node.as_deref() == Some(node) && one.settled);
        spared && self.of(Rollout::Stable).all(|pod| *pod.node != *node)
    }

    /// Whether there is something to compare a trial there with: other Collectors, or else what its own did.
    pub(super) fn is_measured(&self, node: &str) -> bool {
        let asked = |pod: &&Pod| pod.is_ready() && pod.address.is_some();
        let mut ready = self.of(Rollout::Stable).filter(asked).map(|pod| &*pod.node);
        let is_alone = ready.next() == Some(node) && ready.next().is_none();
        !is_alone || self.measured.contains(node)
    }
}
