//! Pods whose `DaemonSet` was deleted without them: pure. They run on, and nobody but a `DaemonSet` takes them away: so
//! they get theirs again, which adopts them.

use super::super::pod::{Pod, Rollout};
use super::{Observed, Trial};

impl Observed<'_> {
    /// The trial that takes an orphan in: its own, if that can be written, and as long as it has one that hasn't.
    pub(super) fn adopting(&self, good: Option<&str>) -> Option<Trial> {
        let orphan = self.orphan()?;
        let there = self.trial.as_ref().and_then(|trial| Some((&*trial.revision, trial.node.as_deref()?)));
        let (revision, node) = there.unwrap_or((&orphan.revision, &orphan.node));
        let revision = Some(revision).filter(|revision| self.can_write(revision)).or(good)?;
        Some(Trial { revision: revision.to_owned(), node: node.to_owned() })
    }

    /// Whether this trial goes on with what another of its kind has left.
    pub(super) fn adopts(&self, revision: &str, node: &str) -> bool {
        let is_it = |orphan: &Pod| *orphan.revision == *revision && *orphan.node == *node;
        self.trial.is_none() && self.orphan().is_some_and(is_it)
    }

    fn orphan(&self) -> Option<&Pod> {
        self.of(Rollout::Trial).find(|pod| pod.is_orphan() && !pod.leaving)
    }

    /// What ran on every node, and still does without its `DaemonSet`.
    pub(super) fn orphaned(&self) -> Option<&str> {
        let orphans = self.of(Rollout::Stable).filter(|pod| self.stable.is_none() && pod.is_orphan() && !pod.leaving);
        orphans.map(|pod| &*pod.revision).find(|revision| self.can_write(revision))
    }
}
