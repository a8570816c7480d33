//! What was fetched, each part with why it is missing if it is. No part holds a secret: of those only their shape is kept.

use jiff::Timestamp;
use serde_json::Value;

use super::{Asked, Objection, Stage};
use crate::api::object;
use crate::api::stack::KeyReference;
use crate::config::{self, Configuration, Document};
use crate::controller::agent::others::Other;
use crate::controller::stack::Stack;
use crate::k8s::{
    ConfigMap, Deployment, EndpointSlice, Lease, MutatingWebhookConfiguration, NetworkPolicy, ObjectMeta, Pod,
    ResourceQuota, Service,
};
pub use crate::probe::Probe;
use crate::unavailable::Unavailable;

/// What is told of checks of what only a controller does.
pub const WITHOUT_CONTROLLER: &str = "installed without the controller";

pub type Fetched<T> = Result<T, Unavailable>;

/// A cluster at one moment, as far as the checks look at it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub stage: Stage,
    /// Otelgate's own.
    pub namespace: String,
    /// This program's.
    pub version: String,
    /// By the clock here.
    pub now: Timestamp,
    pub server: Fetched<Server>,
    pub admission: Fetched<AdmissionApi>,
    /// This and the next as they are: those of another version of otelgate's must not be in the way.
    pub crd: Fetched<Option<Value>>,
    pub stacks: Fetched<Vec<Value>>,
    pub config_map: Fetched<Option<ConfigMap>>,
    pub registrations: Fetched<Vec<MutatingWebhookConfiguration>>,
    pub namespaces: Fetched<Vec<ObjectMeta>>,
    pub deployments: Fetched<Vec<Deployment>>,
    /// Webhook's and controller's.
    pub pods: Fetched<Vec<Pod>>,
    pub service: Fetched<Option<Service>>,
    pub endpoints: Fetched<Vec<EndpointSlice>>,
    pub lease: Fetched<Option<Lease>>,
    /// How many nodes there are; more than one counts as two.
    pub nodes: Fetched<usize>,
    pub serving: Fetched<Option<Serving>>,
    pub credentials: Fetched<Option<Credentials>>,
    pub collector: Fetched<Option<Service>>,
    pub policies: Fetched<Vec<NetworkPolicy>>,
    pub quotas: Fetched<Vec<ResourceQuota>>,
    /// Looked for before the installation: after it, the controller does.
    pub other_agents: Fetched<Vec<Other>>,
    pub rights: Vec<Asked>,
    /// Not before there is a webhook.
    pub probe: Option<Fetched<Probe>>,
}

/// The API server.
#[derive(Clone, Debug)]
pub struct Server {
    pub major: String,
    /// May end in a plus sign.
    pub minor: String,
    pub git_version: String,
    /// When it answered, by its own clock, to the second.
    pub date: Option<Timestamp>,
}

/// What it serves of `admissionregistration.k8s.io/v1`.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionApi {
    pub webhooks: bool,
    pub policies: bool,
}

/// The public part of what the webhook serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// In PEM, leaf first.
    pub chain: Vec<u8>,
}

/// The Secret with Datadog's API key, without the key.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub keys: Vec<String>,
    pub shape: Option<Shape>,
}

/// How an API key looks, and no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Good,
    Empty,
    /// A blank or the end of a line, at its ends or in it.
    Blank,
    /// Otherwise not 32 hexadecimal digits.
    Other,
}

// === impl Shape ===

impl Shape {
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        if key.is_empty() {
            Self::Empty
        } else if key.iter().any(u8::is_ascii_whitespace) {
            Self::Blank
        } else if key.len() == 32 && key.iter().all(u8::is_ascii_hexdigit) {
            Self::Good
        } else {
            Self::Other
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// By the cluster's clock, which is the one that certificates are measured by there.
    #[must_use]
    pub fn cluster_time(&self) -> Timestamp {
        self.server.as_ref().ok().and_then(|server| server.date).unwrap_or(self.now)
    }

    /// Whether somebody installed the webhook alone, and writes configuration and certificate by hand.
    pub(super) fn is_without_controller(&self) -> Result<bool, Objection> {
        let has = |name: &str| self.deployment(name).map(|found| found.is_some());
        Ok(self.stacks.as_ref()?.is_empty() && has(object::WEBHOOK)? && !has(object::CONTROLLER)?)
    }

    /// The `TelemetryStack` that counts.
    pub(super) fn stack(&self) -> Result<&Value, Objection> {
        let stacks = self.stacks.as_ref()?;
        stacks.iter().find(|stack| stack["metadata"]["name"] == object::STACK).ok_or_else(|| Objection::see("stack"))
    }

    /// What that one asks for, as the controller reads it; before the installation the defaults, where there is none.
    pub(super) fn spec(&self) -> Result<Stack, Objection> {
        let nothing = Value::Null;
        let spec = match self.stage {
            Stage::Before if self.stacks.as_ref()?.is_empty() => &nothing,
            Stage::Before | Stage::After => &self.stack()?["spec"],
        };
        Ok(Stack::new(String::new(), 0, spec))
    }

    /// What the webhook's configuration says.
    pub(super) fn configuration(&self) -> Result<Configuration, Objection> {
        let map = self.config_map.as_ref()?.as_ref();
        let text = map.and_then(|map| map.data.as_ref()?.get(config::CONFIG_MAP_KEY));
        text.and_then(|text| config::parse(text).ok()).ok_or_else(|| Objection::see("configuration"))
    }

    /// The configuration, as far as it can be told: the documented defaults otherwise.
    pub(super) fn document(&self) -> Document {
        self.configuration().map_or_else(|_| Document::default(), |configuration| configuration.document().clone())
    }

    /// Where Datadog's API key is.
    pub(super) fn key_reference(&self) -> KeyReference {
        KeyReference::of(self.stacks.as_ref().map(Vec::as_slice).unwrap_or_default())
    }

    pub(super) fn registration(&self) -> Result<&MutatingWebhookConfiguration, Objection> {
        let registrations = self.registrations.as_ref()?;
        let own = registrations.iter().find(|one| one.metadata.name.as_deref() == Some(object::REGISTRATION));
        own.ok_or_else(|| Objection::see("registration"))
    }

    pub(super) fn deployment(&self, name: &str) -> Result<Option<&Deployment>, Objection> {
        Ok(self.deployments.as_ref()?.iter().find(|one| one.metadata.name.as_deref() == Some(name)))
    }

    pub(super) fn namespace_named(&self, name: &str) -> Result<Option<&ObjectMeta>, Objection> {
        Ok(self.namespaces.as_ref()?.iter().find(|one| one.name.as_deref() == Some(name)))
    }
}
