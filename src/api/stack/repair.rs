//! `spec.repair`: what becomes of pods that were missed; and what the status says of pods and of their repair.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which pods are evicted, one at a time for each workload, so that they come back as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Repair {
    /// Those that were created while the webhook was away.
    pub missed: bool,
    /// Those that carry what an earlier configuration put into them.
    pub outdated: bool,
    /// Tell what would be evicted, and evict nothing.
    pub dry_run: bool,
}

/// Opted-in pods, and what they carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InjectionStatus {
    /// How many carry what the configuration puts into pods, of those that should, such as `214/214`.
    pub injected: String,
    /// Created while the webhook was away.
    pub missed: i32,
    /// Older than what opts them in, or than the mode `enabled`.
    pub restart_pending: i32,
    /// Carry what an earlier configuration put into pods.
    pub outdated: i32,
    /// Some of the workloads whose pods were missed, and how many of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed_of: Vec<String>,
    /// Some of the labels that count as absent because of their value, and of those that stand as an annotation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_opt_ins: Vec<String>,
    /// Since when the mode lets pods be injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled_since: Option<String>,
    /// When the newest missed pod that an Event has told of was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_until: Option<String>,
    /// Of namespaces in which `exclude`, a label or an annotation has kept pods from being injected until it was changed:
    /// when the newest of those that wait for a restart was created. None of its age or older counts as missed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_alone_until: BTreeMap<String, String>,
    /// What becomes of pods that were missed, or are outdated; nothing where that is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairStatus>,
}

/// What becomes of pods that were missed, or are outdated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepairStatus {
    pub phase: RepairPhase,
    /// Why it waits, or has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Pods that were evicted for the configuration in force.
    pub evicted: i32,
    /// With `dryRun`: some of the workloads of which pods would be evicted, and how many of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_evict: Vec<String>,
    /// Some of the workloads that are left as they are, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// How the repair stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RepairPhase {
    /// Nothing is to be repaired, or all that is left has a reason.
    #[default]
    Idle,
    /// Pods are being evicted, one after the other.
    Repairing,
    /// For the webhook.
    Waiting,
    /// What was evicted came back no better.
    Stopped,
    /// Nothing is evicted, only told.
    DryRun,
}
