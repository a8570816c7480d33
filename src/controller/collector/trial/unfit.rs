//! Nodes that can't run what is on trial, so that it's tried on another: pure. Nothing of it stands in the cluster; another
//! leader finds out by itself.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Fault, Mark, Plan};

/// Of one revision.
#[derive(Clone, Debug, Default)]
pub struct Unfit {
    revision: String,
    nodes: BTreeSet<String>,
    /// What is told of a first one while it goes from node to node.
    failing: Option<Fault>,
}

/// On so many nodes its container didn't start: that is nothing of theirs. One that may be gone back from isn't tried on
/// more of them.
pub const MOST: usize = 3;

// === impl Unfit ===

impl Unfit {
    /// What a plan for a revision has shown; `nodes` are those that it may be tried on.
    pub fn learn<'n>(&mut self, revision: Option<&str>, plan: &Plan, mut nodes: impl Iterator<Item = &'n str>) {
        let revision = revision.unwrap_or_default();
        if self.revision != *revision || matches!(plan.mark, Some(Mark::Failed(_))) {
            *self = Self { revision: revision.to_owned(), ..Self::default() };
            if plan.mark.is_some() {
                return;
            }
        }
        let Some(fault) = &plan.unfit else { return };
        self.nodes.insert(fault.node.clone());
        let are_all = nodes.all(|node| self.nodes.contains(node));
        if are_all || self.nodes.len() >= MOST {
            self.failing.get_or_insert_with(|| fault.clone());
        }
        // They all begin anew.
        if are_all {
            self.nodes.clear();
        }
    }

    #[must_use]
    pub fn contains(&self, node: &str) -> bool {
        self.nodes.contains(node)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    #[must_use]
    pub fn failing(&self) -> Option<&Fault> {
        self.failing.as_ref()
    }

    /// As a fault tells of it: the others that it was tried on.
    #[must_use]
    pub fn told(&self) -> String {
        let names: Vec<_> = self.nodes.iter().take(MOST).map(String::as_str).collect();
        let others = if self.nodes.len() > MOST { " and others" } else { "" };
        if names.is_empty() { String::new() } else { format!(", nor on {}{others}", names.join(", ")) }
    }

    /// By name at first; then from everywhere, since nodes with the same fault are often of one pool, and next to each
    /// other.
    pub fn first<'n>(&self, nodes: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        nodes.min_by_key(|node| (if self.nodes.is_empty() { 0 } else { scattered(node) }, *node))
    }
}

fn scattered(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
