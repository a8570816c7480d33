//! What each request is answered.

use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::super::objects::{namespace, node, pod_name, pod_of_node};
use super::{Cluster, Happening, NAMESPACES, NODES, OfNode, PODS, TELEMETRY, key};

/// What a path names.
struct Target {
    collection: String,
    namespace: String,
    name: Option<String>,
    subresource: Option<String>,
}

impl Cluster {
    pub(super) async fn answer(&self, request: Request<Body>) -> Response {
        self.requests.fetch_add(1, Relaxed);
        let (head, body) = request.into_parts();
        let query: Vec<(String, String)> = parameters(head.uri.query().unwrap_or_default());
        let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let target = Target::of(head.uri.path());
        let body = to_bytes(body, 1 << 22).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let metadata_only = head
            .headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|text| text.contains("PartialObjectMetadata")));
        // There is no Datadog Operator, nor anything else that is asked for by its group.
        if head.uri.path() == "/apis" {
            let none = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []});
            return json_response(StatusCode::OK, none.to_string());
        }
        if head.uri.path().starts_with("/apis/datadoghq.com") {
            return missing();
        }
        match (&head.method, &target.name) {
            (&Method::GET, None) if parameter("watch").is_some_and(|watch| watch != "0" && watch != "false") => {
                self.watches.fetch_add(1, Relaxed);
                let from = parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
                let seconds = parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(30);
                self.watch(&target, parameter("labelSelector").map(str::to_owned), from, seconds)
            }
            (&Method::GET, None) => self.list(&target, &parameter, metadata_only),
            (&Method::GET, Some(name)) => match self.get(&target.collection, &target.namespace, name) {
                Some(object) => json_response(StatusCode::OK, object.to_string()),
                None => missing(),
            },
            (&Method::POST, _) => {
                let name = target.name.clone().or_else(|| Some(body["metadata"]["name"].as_str()?.to_owned()));
                let object = self.store(&target.collection, &target.namespace, &name.unwrap_or_default(), body);
                json_response(StatusCode::CREATED, object.to_string())
            }
            (&Method::PUT, Some(name)) => {
                json_response(StatusCode::OK, self.store(&target.collection, &target.namespace, name, body).to_string())
            }
            (&Method::PATCH, Some(_)) if parameter("dryRun").is_some() => {
                json_response(StatusCode::OK, body.to_string())
            }
            (&Method::PATCH, Some(name)) => self.patch(&target, name, body),
            (&Method::DELETE, Some(name)) => self.delete(&target.collection, &target.namespace, name),
            _ => missing(),
        }
    }

    fn patch(&self, target: &Target, name: &str, body: Value) -> Response {
        let known = self.get(&target.collection, &target.namespace, name);
        let object = match (&target.subresource, known) {
            (Some(_), None) => return missing(),
            (Some(part), Some(mut known)) => {
                known[part.as_str()] = body[part.as_str()].clone();
                known
            }
            (None, known) => {
                let mut object = body;
                if object["kind"] == "ConfigMap" {
                    let annotations = object["metadata"]["annotations"].as_object();
                    let annotated: serde_json::Map<_, _> =
                        annotations.into_iter().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect();
                    let fields = json!({"f:data": {}, "f:metadata": {"f:annotations": annotated}});
                    object["metadata"]["managedFields"] = json!([{"manager": "otelgate-controller", "operation": "Apply",
                        "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}]);
                }
                object["metadata"]["creationTimestamp"] = json!("2026-03-01T10:00:00Z");
                let known = known.unwrap_or_default();
                let generation = known["metadata"]["generation"].as_u64().unwrap_or_default();
                let changed = u64::from(known["spec"] != object["spec"]);
                object["metadata"]["generation"] = json!(generation + changed);
                object["metadata"]["uid"] = known["metadata"]["uid"].clone();
                object["status"] = known["status"].clone();
                object
            }
        };
        json_response(StatusCode::OK, self.store(&target.collection, &target.namespace, name, object).to_string())
    }

    fn delete(&self, collection: &str, namespace: &str, name: &str) -> Response {
        let mut state = self.lock();
        state.version += 1;
        let Some(object) = state.objects.remove(&key(collection, namespace, name)) else { return missing() };
        self.happened(state, "DELETED", collection, namespace, &object);
        json_response(StatusCode::OK, object.to_string())
    }

    fn list<'q>(&self, target: &Target, parameter: &dyn Fn(&str) -> Option<&'q str>, metadata_only: bool) -> Response {
        let number = |name: &str| parameter(name).and_then(|value| value.parse::<usize>().ok());
        let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let version = self.lock().version;
        let of_node = OfNode::chosen_by(parameter("labelSelector")).filter(|_| target.namespace == TELEMETRY);
        let runs = of_node.map(|of| self.runs(of)).unwrap_or_default();
        let chosen: Vec<usize> = match target.collection.as_str() {
            NODES => (0..self.nodes).collect(),
            NAMESPACES => (0..self.namespaces).collect(),
            PODS if of_node.is_some() => (0..self.nodes).filter(|&node| runs[node].is_some()).collect(),
            PODS => self.chosen(target, parameter("labelSelector"), parameter("fieldSelector")),
            _ => Vec::new(),
        };
        let until = from.saturating_add(limit).min(chosen.len());
        let items = chosen[from.min(until)..until].iter().map(|&index| match target.collection.as_str() {
            NODES => node(index),
            NAMESPACES => namespace(index).to_string(),
            _ => match of_node {
                Some(of) => pod_of_node(of, index, runs[index].as_ref().expect("those alone are chosen"), 1),
                None => self.pod(index, 1, !metadata_only),
            },
        });
        let mut items: Vec<String> = items.collect();
        let state = self.lock();
        let of_it = |key: &(String, String, String)| {
            key.0 == target.collection && (target.namespace.is_empty() || key.1 == target.namespace)
        };
        let named = parameter("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name="));
        let is_chosen = |key: &(String, String, String), object: &Value| {
            named.is_none_or(|name| key.2 == name)
                && parameter("labelSelector").is_none_or(|labels| selects(labels, &object["metadata"]["labels"]))
        };
        let objects = state.objects.iter().filter(|(key, object)| of_it(key) && is_chosen(key, object));
        items.extend(objects.map(|(_, object)| object.to_string()));
        let next = if until < chosen.len() { until.to_string() } else { String::new() };
        let text = format!(
            "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{next}\"}},\"items\":[{}]}}",
            items.join(",")
        );
        json_response(StatusCode::OK, text)
    }

    /// The pods that selectors choose: those of which the controller makes use.
    fn chosen(&self, target: &Target, labels: Option<&str>, fields: Option<&str>) -> Vec<usize> {
        let created = self.lock().created.clone();
        let all = (0..self.pods).chain(created);
        let all = all.filter(|&index| target.namespace.is_empty() || self.namespace_of(index) == target.namespace);
        let unmarked = labels == Some("!otelgate.dev/config");
        let asked = |field: &str| fields.and_then(|fields| fields.split(',').find_map(|one| one.strip_prefix(field)));
        let (name, node) = (asked("metadata.name="), asked("spec.nodeName=node-"));
        let node: Option<usize> = node.and_then(|node| node.parse().ok());
        // A selector of somebody else's chooses none of these pods.
        let others = labels.is_some() && !unmarked;
        all.filter(|&index| {
            !others
                && (!unmarked || index >= self.pods)
                && name.is_none_or(|name| pod_name(index) == name)
                && node.is_none_or(|node| index % self.nodes == node)
        })
        .collect()
    }

    fn watch(&self, target: &Target, labels: Option<String>, from: u64, seconds: u64) -> Response {
        let chosen = OfNode::chosen_by(labels.as_deref());
        let receiver = self.events.subscribe();
        let past: Vec<Happening> = self.lock().history.iter().filter(|one| one.version > from).cloned().collect();
        let last = past.last().map_or(from, |one| one.version);
        let (collection, of) = (target.collection.clone(), target.namespace.clone());
        let coming = futures::stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(happening) => return Some((happening, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let is_new = move |one: &Happening| one.version > last;
        let all = futures::stream::iter(past).chain(coming.filter(move |one| std::future::ready(is_new(one))));
        let of_it = move |one: Happening| {
            let matches = one.collection == collection
                && (of.is_empty() || one.namespace == of)
                && (chosen.is_none() || one.of == chosen)
                && one.labels.as_deref().is_none_or(|of| labels.as_ref().is_none_or(|labels| selects(labels, of)));
            std::future::ready(matches.then_some(Ok::<_, Infallible>(one.text)))
        };
        let over = tokio::time::sleep(Duration::from_secs(seconds));
        json_body(StatusCode::OK, Body::from_stream(all.filter_map(of_it).take_until(over)))
    }
}

impl Target {
    fn of(path: &str) -> Self {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = words.split_at(words.len().min(if words.first() == Some(&"api") { 2 } else { 3 }));
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = rest.first().copied().unwrap_or_default();
        let word = |index: usize| rest.get(index).map(|word| (*word).to_owned());
        Self {
            collection: format!("/{}/{plural}", group.join("/")),
            namespace: namespace.to_owned(),
            name: word(1),
            subresource: word(2),
        }
    }
}

/// Whether labels are as a selector of `name=value` asks; of no other kind, an object here is ever chosen.
fn selects(selector: &str, labels: &Value) -> bool {
    selector.split(',').all(|one| one.split_once('=').is_some_and(|(name, value)| labels[name] == value))
}

/// Of a query, as far as its values are escaped here.
fn parameters(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        [("%2F", "/"), ("%21", "!"), ("%3D", "="), ("%2C", ","), ("%28", "("), ("%29", ")"), ("+", " ")]
            .iter()
            .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (plain(key), plain(value))).collect()
}

fn json_response(code: StatusCode, text: String) -> Response {
    json_body(code, Body::from(text))
}

fn json_body(code: StatusCode, body: Body) -> Response {
    Response::builder().status(code).header(CONTENT_TYPE, "application/json").body(body).expect("a response")
}

fn missing() -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"});
    json_response(StatusCode::NOT_FOUND, status.to_string())
}
