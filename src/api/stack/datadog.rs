//! `spec.datadog`: where telemetry goes, and with which key. `spec.egress`: through what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::object;

/// Where telemetry goes, and with which key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Datadog {
    /// Such as `datadoghq.com` or `datadoghq.eu`.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"), length(max = 253))]
    pub site: String,
    /// Where the API key is; nobody but the Collector, the Agent and the controller's check of its shape reads it.
    pub secret: KeyReference,
    /// Whether the controller asks Datadog if it accepts the key.
    pub validate_key: bool,
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

/// What Collector, Agent and controller go through to Datadog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Egress {
    /// An http or https URL; none when empty.
    #[schemars(regex(pattern = r"^(https?://[^\s@]+)?$"), length(max = 2048))]
    pub proxy: String,
    /// Hosts, domains and networks that are reached without it, beside those of the cluster.
    pub no_proxy: Vec<String>,
    /// ConfigMap in the Collector's namespace with further authorities to trust under `ca.crt`; none when empty.
    #[schemars(length(max = 253))]
    pub ca_config_map: String,
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

// === defaults ===

impl Default for Datadog {
    fn default() -> Self {
        Self { site: "datadoghq.com".to_owned(), secret: KeyReference::default(), validate_key: false }
    }
}

impl Default for KeyReference {
    fn default() -> Self {
        Self { name: object::CREDENTIALS.to_owned(), key: object::CREDENTIALS_KEY.to_owned() }
    }
}
