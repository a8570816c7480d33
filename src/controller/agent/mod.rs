//! The Datadog Agent on every node, and its Cluster Agent: made by the Datadog Operator, by the controller itself, by
//! somebody else, or not at all.
//!
//! What is decided is pure and stands in modules of its own: which way the Agent comes about ([`mode`]), what it is made of
//! ([`node`], [`cluster_agent`], [`operator`]), and how it is ([`verdict`]). Who has which data is decided for Agent and
//! Collector at once: [`crate::api::stack::Owners`].

use std::time::Duration;

use super::left::Traces;
use super::metrics::Write;
use super::objects::{Kind, LEASE, Part, Scope};
use crate::api::{annotation, label, object};

pub mod cluster_agent;
mod discover;
pub mod mode;
pub mod node;
pub mod observe;
pub mod operator;
pub mod others;
pub mod pod;
mod present;
pub mod reference;
mod rights;
mod run;
pub mod seccomp;
pub mod settings;
mod share;
mod token;
pub mod verdict;
mod watches;

#[cfg(test)]
mod tests;

pub use run::start;

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(200);

/// What the controller makes by itself.
pub const PART: Part = Part {
    name: "agent",
    kinds: &[
        kind("v1", "ServiceAccount", "serviceaccounts", Scope::Namespace),
        kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", Scope::Cluster),
        kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", Scope::Namespace),
        LEASE,
        kind("v1", "ConfigMap", "configmaps", Scope::Namespace),
        kind("v1", "Service", "services", Scope::Namespace),
        kind("apps/v1", "Deployment", "deployments", Scope::Namespace),
        kind("apps/v1", "DaemonSet", "daemonsets", Scope::Namespace),
    ],
    notes: &object::CLUSTER_AGENT_NOTES,
    write: Write::Agent,
};

/// What the Datadog Operator makes an Agent from: only there where its definition is. Its label has another value, as
/// the operator may hand labels on to what it makes.
pub const OF_OPERATOR: Part = Part { name: "operator", kinds: &[DATADOG_AGENT], notes: &[], write: Write::Agent };

/// Of Agents in a former namespace. What the operator makes is taken away by its `DatadogAgent`.
pub const TRACES: Traces<2> = Traces {
    of: "Datadog Agent",
    labels: label::AGENT_COMPONENT,
    marks: &[annotation::AGENT_REVISION, annotation::CREDENTIALS],
    parts: [(OF_OPERATOR, Some(annotation::AGENT_REVISION)), (PART, None)],
};

pub const DATADOG_AGENT: Kind = kind("datadoghq.com/v2alpha1", "DatadogAgent", "datadogagents", Scope::Namespace);

const fn kind(api_version: &'static str, kind: &'static str, plural: &'static str, scope: Scope) -> Kind {
    Kind { api_version, kind, plural, scope }
}
