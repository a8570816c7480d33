//! Looks at whole pods: those without a mark that should have one, unless their specs say otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::warn;

use super::metadata::{PodSeen, uid};
use super::record::{Around, Uid};
use super::stream::Page;
use crate::api::label;
use crate::config::Configuration;
use crate::inject::{Decision, Namespace, Pod, decide};
use crate::k8s::{self, Client, ListParams};

/// What was seen of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub name: Box<str>,
    pub uid: Uid,
    pub injects: bool,
    pub owner: Reference,
}

/// An object, as an Event names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

#[derive(Debug, Deserialize)]
struct Owned {
    metadata: OwnedMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnedMetadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference {
    #[serde(flatten)]
    reference: Reference,
    #[serde(default)]
    controller: bool,
}

/// Pods that have ended are nobody's concern.
pub const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Whole pods of one answer.
const PAGE: u32 = 50;
/// Between two calls, so that a day without the webhook is no burden for the API server.
const BETWEEN: Duration = Duration::from_millis(100);
/// For a page.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at the pods of a namespace without a mark, or at the one of a name.
///
/// # Errors
/// When the API server doesn't answer, or refuses.
pub async fn look(
    client: &Client,
    configuration: &Configuration,
    namespace: &str,
    around: &Around,
    only: Option<&str>,
) -> k8s::Result<Vec<Looked>> {
    let params = match only {
        Some(name) => ListParams::default().fields(&format!("metadata.name={name}")),
        None => ListParams::default().fields(RUNNING).labels(&format!("!{}", label::CONFIG)),
    };
    judge_each(client, namespace, params, |json| at(json, configuration, namespace, around)).await
}

/// One that can't be judged keeps nobody from telling of the others.
async fn judge_each(
    client: &Client,
    namespace: &str,
    params: ListParams,
    judge: impl Fn(&str) -> Option<Looked>,
) -> k8s::Result<Vec<Looked>> {
    let mut looked = Vec::new();
    let guarded =
        |json: &str| catch_unwind(AssertUnwindSafe(|| judge(json))).unwrap_or_else(|_| given_up(json, namespace));
    each(client, namespace, params, |json| looked.extend(guarded(json))).await?;
    Ok(looked)
}

/// The same would panic again, however often it is looked at: it is taken for one that is left alone.
fn given_up(json: &str, namespace: &str) -> Option<Looked> {
    let Owned { metadata } = serde_json::from_str(json).ok()?;
    warn!(
        k8s.namespace.name = namespace,
        k8s.pod.name = metadata.name.as_str(),
        "whether a pod was missed can't be told, by a defect of otelgate's: it isn't counted; report the panic above"
    );
    Some(Looked { name: metadata.name.as_str().into(), uid: uid(&metadata.uid), injects: false, owner: owner(json)? })
}

/// Shows whole pods, page by page.
///
/// # Errors
/// When the API server doesn't answer, or refuses.
pub async fn each(client: &Client, namespace: &str, params: ListParams, mut show: impl FnMut(&str)) -> k8s::Result<()> {
    let mut params = params.limit(PAGE);
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    loop {
        let request = k8s::Request::new(&path).list(&params).map_err(k8s::Error::BuildRequest)?;
        let text = k8s::within(PATIENCE, client.request_text(request)).await?;
        let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
        page.items.iter().for_each(|item| show(item.get()));
        sleep(BETWEEN).await;
        if page.metadata.r#continue.is_empty() {
            return Ok(());
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

/// What would become of a pod like that.
fn at(json: &str, configuration: &Configuration, namespace: &str, around: &Around) -> Option<Looked> {
    let PodSeen { name, uid, created, .. } = PodSeen::read(json)?;
    let injects = injects(&Pod::from_json(json).ok()?, configuration, namespace, around, created);
    Some(Looked { name, uid, injects, owner: owner(json)? })
}

/// Whether the decision, made at the time of its creation, would be to inject it.
pub fn injects(pod: &Pod<'_>, configuration: &Configuration, namespace: &str, around: &Around, created: i64) -> bool {
    let opt_in = around.own.opt_in().map(crate::api::OptIn::as_str);
    let annotations = Some(&*around.annotations);
    let namespace = Namespace { name: Some(namespace), opt_in, left_out: around.left_out, annotations };
    let at = Timestamp::from_second(created).unwrap_or_default();
    matches!(decide(pod, &namespace, configuration, at), Decision::Inject(_))
}

/// Whose pod it is, as the pod says it; itself, where it is nobody's.
fn owner(json: &str) -> Option<Reference> {
    let Owned { metadata } = serde_json::from_str(json).ok()?;
    let own =
        Reference { api_version: "v1".to_owned(), kind: "Pod".to_owned(), name: metadata.name, uid: metadata.uid };
    let controller = metadata.owner_references.into_iter().find(|owner| owner.controller);
    Some(controller.map_or(own, |owner| owner.reference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OptIn;
    use crate::controller::pods::record::OwnLabel;
    use crate::k8s::Body;
    use serde_json::{Value, json};

    fn pod(change: impl FnOnce(&mut Value)) -> String {
        let mut pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-11-02T12:00:00Z",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "x"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "r", "controller": true},
                ]},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        change(&mut pod);
        pod.to_string()
    }

    #[test]
    fn the_spec_and_the_namespaces_defaults_say_whether_it_would_be_injected() {
        type Change = fn(&mut Value);
        let enabled = Around { own: OwnLabel::Says(OptIn::Enabled), ..Around::default() };
        let elsewhere =
            Around { annotations: [("otelgate.dev/containers".into(), "x".into())].into(), ..enabled.clone() };
        let cases: [(Change, &Around, bool); 5] = [
            (|_| {}, &enabled, true),
            (|_| {}, &Around::default(), false),
            (|_| {}, &elsewhere, false),
            (|pod| pod["spec"]["os"] = json!({"name": "windows"}), &enabled, false),
            (|pod| pod["metadata"]["labels"] = json!({"otelgate.dev/inject": "observe"}), &enabled, false),
        ];
        for (change, around, expected) in cases {
            let json = pod(change);
            let looked = at(&json, &Configuration::default(), "shop", around).expect("a pod");
            assert_eq!(looked.injects, expected, "{json} {around:?}");
            assert_eq!((looked.owner.kind.as_str(), looked.owner.uid.as_str()), ("ReplicaSet", "r"));
        }
    }

    #[test]
    fn a_pod_of_nobody_is_its_own() {
        let json = pod(|pod| pod["metadata"]["ownerReferences"] = json!([]));
        let expected = Reference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: "web-1".to_owned(),
            uid: "u".to_owned(),
        };
        assert_eq!(owner(&json), Some(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_judged_hides_none_of_the_others() {
        let named = |name: &str| serde_json::from_str::<Value>(&pod(|pod| pod["metadata"]["name"] = json!(name)));
        let items = ["a", "b", "c"].map(|name| named(name).expect("JSON"));
        let list = json!({"metadata": {}, "items": items}).to_string();
        let service = tower::service_fn(move |_: axum::http::Request<Body>| {
            let body = Body::from(list.clone().into_bytes());
            async move { Ok::<_, tower::BoxError>(axum::http::Response::new(body)) }
        });
        let judge = |json: &str| {
            let seen = PodSeen::read(json)?;
            assert_ne!(&*seen.name, "b", "as the test wants");
            Some(Looked { name: seen.name, uid: seen.uid, injects: true, owner: owner(json)? })
        };
        let client = Client::new(service, "default");
        let looked = judge_each(&client, "shop", ListParams::default(), judge).await.expect("an answer");
        let told: Vec<_> = looked.iter().map(|one| (&*one.name, one.injects)).collect();
        assert_eq!(told, [("a", true), ("b", false), ("c", true)]);
        assert!(looked.iter().all(|one| one.uid == uid("u") && one.owner.kind == "ReplicaSet"));
    }
}
