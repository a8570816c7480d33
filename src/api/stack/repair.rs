//! `spec.repair`: what becomes of pods that were missed.

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
