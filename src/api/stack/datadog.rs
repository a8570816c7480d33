//! `spec.datadog`: with which key telemetry goes to Datadog.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::object;

/// With which key telemetry goes to Datadog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Datadog {
    /// Where the API key is.
    pub secret: KeyReference,
}

/// Where the API key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyReference {
    /// A Secret in the Collector's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

// === impl KeyReference ===

impl KeyReference {
    /// What the one that counts among these stacks says, whatever else is wrong with it; the default without one.
    #[must_use]
    pub fn of(stacks: &[Value]) -> Self {
        let stack = stacks.iter().find(|stack| stack["metadata"]["name"] == object::STACK);
        let said = stack.and_then(|stack| stack.pointer("/spec/datadog/secret"));
        said.and_then(|said| Self::deserialize(said).ok()).unwrap_or_default()
    }
}

impl Default for KeyReference {
    fn default() -> Self {
        Self { name: object::CREDENTIALS.to_owned(), key: object::CREDENTIALS_KEY.to_owned() }
    }
}
