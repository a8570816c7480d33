//! How a trial ended, as the `ConfigMap` of its revision keeps it for whoever leads next: pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::pod::State;

/// How a revision's trial ended, as its `ConfigMap` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    #[default]
    Untried,
    Passed,
    /// Likewise, without its metrics having been read, and why they weren't.
    Unmeasured(String),
    Failed(Fault),
}

/// Why a trial failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Where it was tried; empty where it came to no trial.
    pub node: String,
    #[serde(default)]
    pub cause: Cause,
    /// The Collector's own, where it has any.
    pub words: String,
    /// Of the configuration, where the words name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a failed trial lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// It ended, refused data, or didn't become ready.
    #[default]
    Collector,
    /// The API server takes no pod, or not even the `DaemonSet`.
    Refused,
    Unschedulable,
    Image,
    /// A Secret or a `ConfigMap` isn't there.
    Unconfigured,
    /// Its container isn't made, or doesn't start.
    NotStarted,
}

// === impl Mark ===

impl Mark {
    #[must_use]
    pub fn has_passed(&self) -> bool {
        matches!(self, Self::Passed | Self::Unmeasured(_))
    }
}

// === impl Cause ===

impl Cause {
    pub(super) fn of(state: &State) -> Self {
        match state {
            State::Unschedulable(_) => Self::Unschedulable,
            State::ImageNotPulled(_) => Self::Image,
            State::Unconfigured(_) => Self::Unconfigured,
            State::Creating => Self::NotStarted,
            State::Down(ended) if !ended.has_run() => Self::NotStarted,
            State::Ready { .. } | State::Starting | State::Down(_) => Self::Collector,
        }
    }

    /// Whether it may go well on another node.
    #[must_use]
    pub fn is_of_the_node(self) -> bool {
        matches!(self, Self::Unschedulable | Self::Image | Self::NotStarted)
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, words, key, .. } = self;
        if node.is_empty() {
            f.write_str("before its trial")?;
        } else {
            write!(f, "on node {node}")?;
        }
        if let Some(key) = key {
            write!(f, ", by {key}")?;
        }
        write!(f, ": {words}")
    }
}
