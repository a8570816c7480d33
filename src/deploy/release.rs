//! A Helm release: what a chart renders, and what Helm says of what is installed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Version;
use crate::api::object;

/// Of the chart.
pub const CHART: &str = "otelgate";
/// What a release is called, unless there is one already.
pub const NAME: &str = "otelgate";
/// Helm's annotations on what it made.
pub const RELEASE_NAME: &str = "meta.helm.sh/release-name";
pub const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// What the chart makes of somebody's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The manifests, in Helm's order.
    pub objects: Vec<Value>,
    /// All values, the chart's own defaults included.
    pub values: Value,
}

/// A release as `helm list -o json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub name: String,
    pub namespace: String,
    pub revision: String,
    pub status: String,
    /// `otelgate-0.1.0`.
    pub chart: String,
    pub app_version: String,
}

/// A Secret, and the key in it that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credentials {
    pub namespace: String,
    pub name: String,
    pub key: String,
}

// === impl Rendered ===

impl Rendered {
    #[must_use]
    pub fn collector_namespace(&self) -> &str {
        text(&self.values, "/injection/collector/namespace").unwrap_or("datadog")
    }

    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            namespace: self.collector_namespace().to_owned(),
            name: text(&self.values, "/datadog/secret/name").unwrap_or(object::CREDENTIALS).to_owned(),
            key: text(&self.values, "/datadog/secret/key").unwrap_or(object::CREDENTIALS_KEY).to_owned(),
        }
    }

    #[must_use]
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.objects.iter().any(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// Whether a pod of it uses its node's network, which no pod security but `privileged` lets pass.
    #[must_use]
    pub fn uses_host_network(&self) -> bool {
        self.objects.iter().any(|object| object["spec"]["template"]["spec"]["hostNetwork"] == true)
    }

    /// Kinds, each with the names of its objects.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |object: &Value| {
            let (kind, name) = (object["kind"].as_str()?, object["metadata"]["name"].as_str()?);
            Some(format!("{kind} {name}"))
        };
        self.objects.iter().filter_map(name).collect()
    }
}

fn text<'a>(values: &'a Value, pointer: &str) -> Option<&'a str> {
    values.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

// === impl Installed ===

impl Installed {
    /// Whether it is a release of otelgate's chart.
    #[must_use]
    pub fn is_of_chart(&self) -> bool {
        self.chart.strip_prefix(CHART).and_then(|rest| rest.strip_prefix('-')).is_some_and(|version| {
            // Not the chart `otelgate-something-1.0.0`.
            version.starts_with(|first: char| first.is_ascii_digit())
        })
    }

    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.app_version.parse().ok()
    }
}
