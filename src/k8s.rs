//! The Kubernetes types and clients in use, and no others: a new version of kube is met here.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

pub use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
};
pub use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
pub use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
pub use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
pub use k8s_openapi::api::core::v1::{
    Affinity, ConfigMap, Container, ContainerStatus, Event as CoreEvent, Namespace, Node, ObjectReference, Pod,
    PodStatus, ResourceQuota, ResourceRequirements, Secret, Service, ServicePort, Toleration, TopologySpreadConstraint,
};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;
pub use k8s_openapi::api::events::v1::Event as Note;
pub use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, LabelSelector, LabelSelectorRequirement, ManagedFieldsEntry, MicroTime, OwnerReference, Time,
};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use k8s_openapi::apimachinery::pkg::version::Info as ServerVersion;
pub use k8s_openapi::{ByteString, NamespaceResourceScope};
pub use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GetParams, ListParams, LogParams, ObjectMeta, PartialObjectMeta,
    Patch, PatchParams, PostParams, Preconditions, PropagationPolicy, WatchParams,
};
pub use kube::client::{AuthError, Body};
pub use kube::core::{GroupVersionKind, Request, Status, WatchEvent, request::Error as RequestError};
pub use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
pub use kube::runtime::WatchStreamExt;
pub use kube::runtime::utils::Backoff;
pub use kube::runtime::watcher::{self, Event, watcher};
pub use kube::{Client, CustomResourceExt, Error, Resource, ResourceExt, Result};

use axum::http::{HeaderValue, header};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Seconds after which a watch goes on over a request of its own: an API server that went without a word is missed that
/// soon, and not after the usual five minutes.
pub const WATCH_FOR: u32 = 30;
/// How long a server waits on a connection on which nothing comes: longer than a watch lasts. Reads that aren't watches
/// have less.
const SILENCE: Duration = Duration::from_secs(WATCH_FOR as u64 + 15);
/// How long a request has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the API server is can't be told.
#[derive(Debug, Error)]
pub enum ConnectionError {
    #[error("this isn't a pod with a service account; give --kubeconfig")]
    NotInCluster,
    #[error("the kubeconfig {path} can't be used; check it with kubectl --kubeconfig {path} version")]
    Kubeconfig { path: String, source: KubeconfigFault },
}

/// The connection of a kubeconfig, else that of the pod's service account. Nothing is called yet.
///
/// # Errors
/// When neither tells where the API server is.
pub async fn connection(kubeconfig: Option<&Path>) -> Result<Config, ConnectionError> {
    let mut connection = match kubeconfig {
        None => Config::incluster().map_err(|_| ConnectionError::NotInCluster)?,
        Some(path) => {
            let failed = |error: KubeconfigError| ConnectionError::Kubeconfig {
                path: path.display().to_string(),
                source: error.into(),
            };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?
        }
    };
    connection.connect_timeout = Some(PATIENCE);
    connection.read_timeout = Some(SILENCE);
    // Whoever calls tries again in its own time. Kube would do so inside of the call: at first after milliseconds, in the end
    // after minutes, when the API server has long been well.
    connection.default_retry = false;
    Ok(connection)
}

/// A person's kubeconfig doesn't lead to a cluster.
#[derive(Debug, Error)]
pub enum KubeconfigFault {
    #[error("neither $KUBECONFIG nor ~/.kube/config is there, and this isn't a pod with a service account")]
    Nowhere,
    #[error("{path} can't be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("it has no current context")]
    NoContext,
    #[error("it has no context {0}")]
    UnknownContext(String),
    #[error("it has no cluster {0}, which the context names")]
    UnknownCluster(String),
    /// The parser's own message shows the lines around, and a token is likely to stand in one of them.
    #[error("it isn't the YAML of a kubeconfig: see line {line}, column {column}")]
    Malformed { line: u64, column: u64 },
    #[error("{0}")]
    Invalid(String),
}

/// The connection that kubectl would take: that of the file, else of `$KUBECONFIG`, else of `~/.kube/config`, else that of
/// the pod's service account.
///
/// # Errors
/// When none of them tells where the API server is.
pub async fn connection_of_user(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, KubeconfigFault> {
    let options = KubeConfigOptions { context: context.map(ToOwned::to_owned), ..KubeConfigOptions::default() };
    if let Some(path) = kubeconfig {
        let file = Kubeconfig::read_from(path)?;
        return Ok(Config::from_custom_kubeconfig(file, &options).await?);
    }
    let named = context.is_some() || std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty());
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(KubeconfigError::ReadConfig(error, _)) if !named && error.kind() == io::ErrorKind::NotFound => {
            Config::incluster().map_err(|_| KubeconfigFault::Nowhere)
        }
        Err(KubeconfigError::FindPath) => Config::incluster().map_err(|_| KubeconfigFault::Nowhere),
        Err(error) => Err(error.into()),
    }
}

/// How the API server's audit log shall call this program.
pub fn name_user_agent(config: &mut Config, name: &'static str) {
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(name)));
}

impl From<KubeconfigError> for KubeconfigFault {
    fn from(error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::ReadConfig(error, path) => {
                let why = error.to_string();
                let why = why.split(" (os error").next().unwrap_or(&why).to_lowercase();
                Self::Unreadable { path: path.display().to_string(), why }
            }
            KubeconfigError::CurrentContextNotSet => Self::NoContext,
            KubeconfigError::LoadContext(name) => Self::UnknownContext(name),
            KubeconfigError::LoadClusterOfContext(name) => Self::UnknownCluster(name),
            KubeconfigError::Parse(error) => {
                let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                Self::Malformed { line, column }
            }
            other => {
                let words = other.to_string();
                let words = words.split(" (os error").next().unwrap_or(&words);
                Self::Invalid(words.replace('\n', " ").replace("'\"", "").replace("\"'", ""))
            }
        }
    }
}

/// A request with an end: over a connection whose other side went without a word, there would be none.
///
/// # Errors
/// Those of the request, or that there was no answer.
pub async fn in_time<T>(request: impl Future<Output = Result<T>>) -> Result<T> {
    within(PATIENCE, request).await
}

/// The same for one whose answer takes longer.
///
/// # Errors
/// Those of the request, or that there was no answer.
pub async fn within<T>(patience: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
    let silence = |_| Error::Service(io::Error::new(io::ErrorKind::TimedOut, "no answer").into());
    tokio::time::timeout(patience, request).await.map_err(silence)?
}

/// Kinds with objects in namespaces, which can be read and watched.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static
{
}
