//! `TelemetryStack`: the one object that says what otelgate does in a cluster, and what became of it.

mod agent;
mod collector;
mod datadog;
mod owners;
mod pods;
mod repair;

pub use agent::*;
pub use collector::*;
pub use datadog::*;
pub use owners::*;
pub use pods::*;
pub use repair::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::form::{Form, dns_name, schemas};
use crate::config::Document;

/// What otelgate does in this cluster. Only the one named `default` counts.
#[derive(Clone, Debug, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(group = "otelgate.dev", version = "v1alpha1", kind = "TelemetryStack", plural = "telemetrystacks")]
#[kube(status = "TelemetryStackStatus", derive = "Default", derive = "PartialEq")]
#[kube(
    category = "otelgate",
    doc = "What otelgate does in this cluster, and what became of it. Only the one named `default` counts."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.collector.mode != 'managed' || self.collector.exporter != 'agent' || self.agent.mode != 'disabled'",
        "message": "collector.exporter is agent, and there is no Agent: set agent.mode, or another exporter",
    },
    {
        "rule": "!has(self.injection.logs) || !has(self.injection.logs.owner) || self.injection.logs.owner != 'agent' || self.agent.mode != 'disabled'",
        "message": "injection.logs.owner is agent, and there is no Agent: set agent.mode, or the owner collector",
    },
]))]
pub struct TelemetryStackSpec {
    /// What is put into pods, and into which.
    #[serde(default)]
    pub injection: Injection,
    /// The webhook's certificate.
    #[serde(default)]
    pub certificates: Certificates,
    /// Where telemetry goes, and with which key.
    #[serde(default)]
    pub datadog: Datadog,
    /// What Collector, Agent and controller go through to Datadog.
    #[serde(default)]
    pub egress: Egress,
    /// The OpenTelemetry Collector on every node.
    #[serde(default)]
    pub collector: Collector,
    /// The Datadog Agent on every node, and its Cluster Agent.
    #[serde(default)]
    pub agent: Agent,
    /// What becomes of pods that were missed.
    #[serde(default)]
    pub repair: Repair,
}

/// The fields of [`Document`], as they were written: reading them strictly is the controller's, which has a condition
/// to say what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Injection(pub Map<String, Value>);

/// The webhook's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": lives_as_long(),
    "message": "authorityLifetime is shorter than leafLifetime: no certificate outlives its authority",
}]))]
pub struct Certificates {
    /// Who makes it: `otelgate` itself, `certManager`, or whoever writes the Secret (`provided`).
    #[serde(default)]
    pub provider: Provider,
    /// With `certManager` and `provided`: the Secret in otelgate's namespace with `tls.crt`, `tls.key` and `ca.crt`.
    #[serde(default = "default_secret_name")]
    #[schemars(schema_with = "provided_secret")]
    pub secret_name: String,
    /// With `otelgate`: how long an authority lives, such as `8760h`.
    #[serde(default = "default_authority_lifetime")]
    #[schemars(schema_with = "lifetime")]
    pub authority_lifetime: String,
    /// With `otelgate`: how long a certificate lives, such as `336h`. The next is made when a third of it is left.
    #[serde(default = "default_leaf_lifetime")]
    #[schemars(schema_with = "lifetime")]
    pub leaf_lifetime: String,
}

/// Anything with fields.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

const LIFETIME: Form<'static> = Form {
    // More digits would be more than CEL reckons with.
    pattern: "^[0-9]{1,6}(h([0-9]{1,6}m)?([0-9]{1,6}s)?|m([0-9]{1,6}s)?|s)$",
    longest: 20,
    message: "a lifetime is hours, minutes and seconds, such as 336h or 1h30m",
};

const PROVIDED_SECRET: Form<'static> = dns_name!("secretName isn't the name of a Secret");

schemas! {
    lifetime: LIFETIME.schema();
    provided_secret: PROVIDED_SECRET.schema();
}

/// What is no lifetime is another rule's.
fn lives_as_long() -> String {
    let form = LIFETIME.pattern;
    format!(
        "self.provider != 'otelgate' || [self.authorityLifetime, self.leafLifetime].exists(one, !one.matches(r'{form}')) \
         || duration(self.authorityLifetime) >= duration(self.leafLifetime)"
    )
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    #[default]
    Otelgate,
    CertManager,
    Provided,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryStackStatus {
    /// The generation of the spec that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The webhook's replicas, and what they serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookStatus>,
    /// The webhook's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificatesStatus>,
    /// The Collectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<CollectorStatus>,
    /// What was measured of the Collectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryStatus>,
    /// Opted-in pods, and what they carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injection: Option<InjectionStatus>,
    /// How the Agent comes about in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
    /// Who has each kind of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Owners>,
}

/// The webhook's replicas, and what they serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// How many serve the newest configuration, of those that there are, such as `2/2`.
    pub serving: String,
    /// Replicas that the API server may call.
    pub ready: i32,
    /// Replicas that there are.
    pub replicas: i32,
    /// The newest configuration, as `/status` of the webhook's second port tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The hash of what it puts into pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Some of those that are ready and don't serve it yet, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
}

/// The webhook's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificatesStatus {
    /// Who makes it.
    pub provider: Provider,
    /// When the authority's certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_not_after: Option<String>,
    /// When the certificate that replicas are given ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_not_after: Option<String>,
    /// Where a change of certificates stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// What was measured of the Collectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// How many send what they take in, of those that there are, such as `3/3`.
    pub delivering: String,
    /// How many have been measured.
    pub measured: i32,
}

// === impl Injection ===

impl JsonSchema for Injection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Injection".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// That of the configuration file, without its envelope, and without what the controller adds.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Document::json_schema(generator);
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.remove("apiVersion");
            properties.remove("kind");
            if let Some(Value::Object(exclude)) = properties.get_mut("exclude") {
                exclude.remove("default");
                let further =
                    "Further pods that are never touched, beside those of otelgate, the Collector and the Agent.";
                exclude.insert("description".to_owned(), further.into());
            }
        }
        schema.remove("required");
        schema.remove("additionalProperties");
        schema
    }
}

// === impl Certificates ===

impl Default for Certificates {
    fn default() -> Self {
        Self {
            provider: Provider::default(),
            secret_name: default_secret_name(),
            authority_lifetime: default_authority_lifetime(),
            leaf_lifetime: default_leaf_lifetime(),
        }
    }
}

fn default_secret_name() -> String {
    "otelgate-webhook-provided".to_owned()
}

fn default_authority_lifetime() -> String {
    "8760h".to_owned()
}

fn default_leaf_lifetime() -> String {
    "336h".to_owned()
}
