//! Asks the API server for all that the checks look at, at once, and changes nothing: the only object that is created is a
//! pod in a dry run.

use std::time::Duration;

use axum::http::{HeaderMap, Request, header};
use futures::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rights::{self, Scope};
use super::{AdmissionApi, Asked, Credentials, Fetched, Probe, Right, Server, Serving, Shape, Snapshot, Stage, Who};
use crate::api::stack::{KeyReference, TelemetryStack};
use crate::api::{crd, label, object};
use crate::config::Document;
use crate::controller::agent::others::{self, Other, Search};
use crate::k8s::{
    self, Api, ApiResource, Body, Client, CustomResourceDefinition, CustomResourceExt as _, DynamicObject, ListParams,
    Namespace, Node, ObjectMeta, PostParams, ResourceAttributes, Secret, SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec, ServerVersion, Service, SubjectAccessReview, SubjectAccessReviewSpec,
};
use crate::probe;
use crate::unavailable::{self, Unavailable};

/// Of one call.
const PATIENCE: Duration = Duration::from_secs(20);
const PAGE: u32 = 500;

/// Fetches everything for the checks of a stage.
pub async fn fetch(client: &Client, namespace: &str, stage: Stage) -> Snapshot {
    let own = Asking { client, namespace };
    let first = async {
        tokio::join!(own.config_map(), own.stacks(), own.server(), own.admission(), own.crd(), own.rights(stage))
    };
    let second = async {
        tokio::join!(
            list(Api::all(client.clone()), ListParams::default()),
            own.namespaces(),
            own.labelled(),
            own.labelled(),
            get(Api::namespaced(client.clone(), namespace), object::WEBHOOK),
            own.endpoints(),
        )
    };
    let third = async {
        tokio::join!(
            get(Api::namespaced(client.clone(), namespace), object::CONTROLLER),
            own.nodes(),
            own.serving(),
            list(Api::all(client.clone()), ListParams::default()),
            list(Api::namespaced(client.clone(), namespace), ListParams::default()),
            own.other_agents(stage),
            own.probe(stage),
        )
    };
    let (
        (config_map, stacks, (server, now), admission, crd, rights),
        (registrations, namespaces, deployments, pods, service, endpoints),
        (lease, nodes, serving, policies, quotas, other_agents, probe),
    ) = tokio::join!(first, second, third);
    let mut snapshot = Snapshot {
        stage,
        namespace: namespace.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        server,
        admission,
        crd,
        stacks,
        config_map,
        registrations,
        namespaces,
        deployments,
        pods,
        service,
        endpoints,
        lease,
        nodes,
        serving,
        credentials: Ok(None),
        collector: Ok(None),
        policies,
        quotas,
        other_agents,
        rights,
        probe,
    };
    // Where the Collector is stands in the configuration, and where the key is in the TelemetryStack.
    let (document, reference) = (snapshot.document(), snapshot.key_reference());
    (snapshot.credentials, snapshot.collector) =
        tokio::join!(own.credentials(&document, &reference), own.collector(&document));
    snapshot
}

struct Asking<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Asking<'_> {
    async fn server(&self) -> (Fetched<Server>, Timestamp) {
        let answer = raw(self.client, Request::get("/version").body(Body::empty())).await;
        let now = Timestamp::now();
        let server = answer.and_then(|(headers, body)| {
            let version: ServerVersion = read(&body)?;
            let ServerVersion { major, minor, git_version, .. } = version;
            Ok(Server { major, minor, git_version, date: date(&headers) })
        });
        (server, now)
    }

    async fn admission(&self) -> Fetched<AdmissionApi> {
        let resources = limited(self.client.list_api_group_resources("admissionregistration.k8s.io/v1")).await;
        let resources = match resources {
            Err(Unavailable::NotFound { .. }) => return Ok(AdmissionApi { webhooks: false, policies: false }),
            resources => resources?.resources,
        };
        let serves = |name: &str| resources.iter().any(|resource| resource.name == name);
        Ok(AdmissionApi {
            webhooks: serves("mutatingwebhookconfigurations"),
            policies: serves("mutatingadmissionpolicies"),
        })
    }

    async fn crd(&self) -> Fetched<Option<Value>> {
        let resource = ApiResource::erase::<CustomResourceDefinition>(&());
        let found = get(Api::<DynamicObject>::all_with(self.client.clone(), &resource), crd::NAME).await?;
        found.map(|crd| serde_json::to_value(crd).map_err(|error| Unavailable::of_json(&error))).transpose()
    }

    async fn stacks(&self) -> Fetched<Vec<Value>> {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &TelemetryStack::api_resource());
        match list(api, ListParams::default()).await {
            // There is no such resource yet.
            Err(Unavailable::NotFound { .. }) => Ok(Vec::new()),
            stacks => stacks?
                .iter()
                .map(|stack| serde_json::to_value(stack).map_err(|error| Unavailable::of_json(&error)))
                .collect(),
        }
    }

    async fn config_map(&self) -> Fetched<Option<k8s::ConfigMap>> {
        get(Api::namespaced(self.client.clone(), self.namespace), object::INJECTION).await
    }

    async fn namespaces(&self) -> Fetched<Vec<ObjectMeta>> {
        let api = Api::<Namespace>::all(self.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = limited(api.list_metadata(&params)).await?;
            found.extend(page.items.into_iter().map(|one| one.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Otelgate's own, by label.
    async fn labelled<K>(&self) -> Fetched<Vec<K>>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug + k8s::Namespaced,
    {
        let params = ListParams::default().labels(&format!("{}={}", label::APP_NAME, object::APP));
        list(Api::namespaced(self.client.clone(), self.namespace), params).await
    }

    async fn endpoints(&self) -> Fetched<Vec<k8s::EndpointSlice>> {
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", object::WEBHOOK));
        list(Api::namespaced(self.client.clone(), self.namespace), params).await
    }

    async fn nodes(&self) -> Fetched<usize> {
        let api = Api::<Node>::all(self.client.clone());
        Ok(limited(api.list_metadata(&ListParams::default().limit(2))).await?.items.len())
    }

    async fn serving(&self) -> Fetched<Option<Serving>> {
        let secret: Option<Secret> = get(Api::namespaced(self.client.clone(), self.namespace), object::SERVING).await?;
        let chain = |secret: Secret| secret.data.and_then(|mut data| data.remove("tls.crt")).unwrap_or_default().0;
        Ok(secret.map(|secret| Serving { chain: chain(secret) }))
    }

    async fn credentials(&self, document: &Document, at: &KeyReference) -> Fetched<Option<Credentials>> {
        let api = Api::<Secret>::namespaced(self.client.clone(), &document.collector.namespace);
        let Some(secret) = get(api, &at.name).await? else { return Ok(None) };
        let data = secret.data.unwrap_or_default();
        let shape = data.get(&at.key).map(|key| Shape::of(&key.0));
        Ok(Some(Credentials { keys: data.into_keys().collect(), shape }))
    }

    async fn collector(&self, document: &Document) -> Fetched<Option<Service>> {
        let collector = &document.collector;
        get(Api::namespaced(self.client.clone(), &collector.namespace), &collector.service).await
    }

    async fn rights(&self, stage: Stage) -> Vec<Asked> {
        let wanted = rights::wanted(stage).into_iter();
        join_all(wanted.map(async |(who, right)| Asked { who, right, allowed: self.may(who, right).await })).await
    }

    async fn may(&self, who: Who, right: Right) -> Fetched<bool> {
        let attributes = Some(self.attributes(right));
        let status = match who.account() {
            None => {
                let spec = SelfSubjectAccessReviewSpec { resource_attributes: attributes, ..Default::default() };
                let review = SelfSubjectAccessReview { spec, ..Default::default() };
                create(Api::all(self.client.clone()), &review).await?.status
            }
            Some(account) => {
                let spec = SubjectAccessReviewSpec {
                    resource_attributes: attributes,
                    user: Some(format!("system:serviceaccount:{}:{account}", self.namespace)),
                    groups: Some(vec![
                        "system:serviceaccounts".to_owned(),
                        format!("system:serviceaccounts:{}", self.namespace),
                        "system:authenticated".to_owned(),
                    ]),
                    ..Default::default()
                };
                let review = SubjectAccessReview { spec, ..Default::default() };
                create(Api::all(self.client.clone()), &review).await?.status
            }
        };
        Ok(status.is_some_and(|status| status.allowed))
    }

    fn attributes(&self, right: Right) -> ResourceAttributes {
        let Right { verb, group, resource, name, scope } = right;
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, sub)| (one, Some(sub)));
        ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(ToOwned::to_owned),
            name: name.map(ToOwned::to_owned),
            namespace: (scope == Scope::Own).then(|| self.namespace.to_owned()),
            ..ResourceAttributes::default()
        }
    }

    async fn other_agents(&self, stage: Stage) -> Fetched<Vec<Other>> {
        if stage == Stage::After {
            return Ok(Vec::new());
        }
        let found = limited(others::find(self.client, &Search::Everywhere, Timestamp::now())).await?;
        Ok(found.into_iter().collect())
    }

    async fn probe(&self, stage: Stage) -> Option<Fetched<Probe>> {
        if stage == Stage::Before {
            return None;
        }
        Some(limited(probe::send(self.client, self.namespace, "check")).await)
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

/// One object, if it is there.
async fn get<K>(api: Api<K>, name: &str) -> Fetched<Option<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    limited(api.get_opt(name)).await
}

/// All objects, page by page.
async fn list<K>(api: Api<K>, params: ListParams) -> Fetched<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = limited(api.list(&params)).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

async fn create<K>(api: Api<K>, object: &K) -> Fetched<K>
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    limited(api.create(&PostParams::default(), object)).await
}

/// A call whose headers count.
async fn raw(client: &Client, request: Result<Request<Body>, axum::http::Error>) -> Fetched<(HeaderMap, bytes::Bytes)> {
    let request = request.map_err(|error| Unavailable::Refused { why: error.to_string() })?;
    let (parts, body) = limited(client.send(request)).await?.into_parts();
    let body = limited(body.collect_bytes()).await?;
    if parts.status.is_success() {
        return Ok((parts.headers, body));
    }
    let status: k8s::Status = read(&body)
        .unwrap_or_else(|_| k8s::Status::failure(&String::from_utf8_lossy(&body), "").with_code(parts.status.as_u16()));
    Err(Unavailable::of(&k8s::Error::Api(status.boxed())))
}

async fn limited<T>(call: impl Future<Output = Result<T, k8s::Error>>) -> Fetched<T> {
    unavailable::within(PATIENCE, call).await
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Fetched<T> {
    serde_json::from_slice(body).map_err(|error| Unavailable::of_json(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_read_from_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, "Tue, 24 Nov 2026 01:43:50 GMT".parse().expect("a value"));
        assert_eq!(date(&headers).map(|date| date.to_string()).as_deref(), Some("2026-11-24T01:43:50Z"));
    }
}
