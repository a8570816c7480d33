//! What the cluster has of otelgate before anything is done.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use serde::de::DeserializeOwned;

use super::chart;
use crate::api::object;
use crate::cli::cluster::Cluster;
use crate::cli::output::Complaint;
use crate::deploy::Version;
use crate::deploy::definition;
use crate::deploy::plan::{Observed, Registration, Right};
use crate::deploy::release::{Installed, RELEASE_NAME, Rendered};
use crate::k8s::{
    self, Api, ApiResource, DynamicObject, GroupVersionKind, MutatingWebhookConfiguration, Namespace, Patch,
    PatchParams, PostParams, ResourceAttributes, ResourceExt as _, Secret, SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
};

/// The API server's version.
///
/// # Errors
/// When it can't be reached.
pub async fn version(cluster: &Cluster) -> Result<Version, Complaint> {
    let info = cluster.client.apiserver_version().await.map_err(|error| cluster.complaint(&error))?;
    info.git_version.parse().map_err(|()| Complaint {
        place: cluster.url.clone(),
        message: format!("the API server says that its version is {:?}", info.git_version),
        next: "see whether a Kubernetes API server answers there".to_owned(),
    })
}

/// Everything that the plan is made from.
///
/// # Errors
/// When something of it can't be read.
pub async fn observe(
    cluster: &Cluster,
    namespace: &str,
    rendered: &Rendered,
    release: Option<Installed>,
) -> Result<Observed, Complaint> {
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let mut found = BTreeMap::new();
    for name in [namespace, rendered.collector_namespace()] {
        if let Some(namespace) = existing(cluster, &namespaces, name).await? {
            found.insert(name.to_owned(), namespace);
        }
    }
    let wanted = rendered.credentials();
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), &wanted.namespace);
    let credentials = existing(cluster, &secrets, &wanted.name).await?;
    let registration = registration(cluster).await?;
    let definition = definition(cluster).await?;
    Ok(Observed { namespaces: found, credentials, definition, release, registration })
}

/// An object, if it is there.
///
/// # Errors
/// When that can't be told.
pub async fn existing<K>(cluster: &Cluster, api: &Api<K>, name: &str) -> Result<Option<K>, Complaint>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.get_opt(name).await.map_err(|error| cluster.complaint(&error))
}

async fn registration(cluster: &Cluster) -> Result<Option<Registration>, Complaint> {
    let api = Api::<MutatingWebhookConfiguration>::all(cluster.client.clone());
    let found = existing(cluster, &api, object::REGISTRATION).await?;
    Ok(found.and_then(|found| {
        let entry = found.webhooks.as_ref()?.first()?;
        let namespace = entry.client_config.service.as_ref()?.namespace.clone();
        Some(Registration { namespace, by_helm: found.annotations().contains_key(RELEASE_NAME) })
    }))
}

/// Definitions, whatever their version has.
#[must_use]
pub fn definitions(cluster: &Cluster) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    Api::all_with(cluster.client.clone(), &ApiResource::from_gvk(&kind))
}

/// How the command line applies what is wholly otelgate's.
#[must_use]
pub fn apply() -> PatchParams {
    PatchParams::apply(object::COMMAND_LINE).force()
}

async fn definition(cluster: &Cluster) -> Result<definition::Change, Complaint> {
    let api = definitions(cluster);
    let served = existing(cluster, &api, object::DEFINITION).await?;
    // The API server adds defaults: only what it makes of ours can be compared.
    let ours = Patch::Apply(chart::definition());
    let applied = api.patch(object::DEFINITION, &apply().dry_run(), &ours).await;
    let applied = applied.map_err(|error| cluster.complaint(&error))?;
    Ok(definition::change(served.as_ref().map(|served| &served.data), &applied.data))
}

/// The rights of these that whoever asks hasn't got.
///
/// # Errors
/// When that can't be told.
pub async fn missing(cluster: &Cluster, rights: Vec<Right>) -> Result<Vec<Right>, Complaint> {
    let api = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    let ask = async |right: Right| -> Result<Option<Right>, k8s::Error> {
        let attributes = ResourceAttributes {
            verb: Some(right.verb.to_owned()),
            group: Some(right.group.clone()),
            resource: Some(right.resource.clone()),
            namespace: right.namespace.clone(),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok((!answer.status.is_some_and(|status| status.allowed)).then_some(right))
    };
    let asked = try_join_all(rights.into_iter().map(ask)).await.map_err(|error| cluster.complaint(&error))?;
    Ok(asked.into_iter().flatten().collect())
}
