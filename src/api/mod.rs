//! The names that users meet: labels, annotations and the values they take.
//!
//! Each is defined here once; the engine, the manifests' tests and the reference pages in `docs/` read it from here.

pub mod annotation;
pub mod condition;
pub mod crd;
pub(crate) mod form;
pub mod label;
pub mod object;
pub mod otel;
mod placeholder;
pub mod replica;
pub mod stack;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Domain of every label and annotation of otelgate's own.
pub const DOMAIN: &str = "otelgate.dev";

/// What the opt-in label asks for, on a Namespace or a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptIn {
    Enabled,
    Observe,
    Disabled,
}

impl OptIn {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Observe, Self::Disabled];

    /// The value as it is written in a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Observe => "observe",
            Self::Disabled => "disabled",
        }
    }

    /// Reads a label's value; anything but the three words is `None`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|opt_in| opt_in.as_str() == value)
    }
}

impl fmt::Display for OptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
