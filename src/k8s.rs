//! The Kubernetes types and clients in use, and no others: a new version of kube is met here.

use std::path::Path;

pub use k8s_openapi::api::core::v1::Namespace;
pub use kube::Client;
pub use kube::api::{Api, ObjectMeta, PartialObjectMeta};
pub use kube::runtime::WatchStreamExt;
pub use kube::runtime::watcher::{self, Event, watcher};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

/// Where the API server is can't be told.
#[derive(Debug, Error)]
pub enum ConnectionError {
    #[error("this isn't a pod with a service account; give --kubeconfig, or --no-namespaces to do without the cluster")]
    NotInCluster(#[source] kube::config::InClusterError),
    #[error("the kubeconfig {path} can't be used; check it with kubectl --kubeconfig {path} version")]
    Kubeconfig { path: String, source: KubeconfigError },
}

/// The connection of a kubeconfig, else that of the pod's service account. Nothing is called yet.
///
/// # Errors
/// When neither tells where the API server is.
pub async fn connection(kubeconfig: Option<&Path>) -> Result<Config, ConnectionError> {
    let Some(path) = kubeconfig else {
        return Config::incluster().map_err(ConnectionError::NotInCluster);
    };
    let failed = |source| ConnectionError::Kubeconfig { path: path.display().to_string(), source };
    let file = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)
}
