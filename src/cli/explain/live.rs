//! Objects of a cluster: what has to be fetched for an explanation, and what is said where that isn't allowed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::calls::{self, Calls, Endpoints};
use super::collector::Collectors;
use super::explanation::{Configured, Explanation, Gap, Subject};
use super::running::{Around, Replicas, Running};
use super::target::{self, Target};
use crate::api::{OptIn, label, object};
use crate::cli::cluster::Cluster;
use crate::cli::fetch;
use crate::cli::input::{self, FileArgs};
use crate::cli::offline::created;
use crate::cli::output::Complaint;
use crate::config::{self, CONFIG_MAP_KEY, Configuration};
use crate::coverage::{self, Changes};
use crate::inject::rules::{Case, LeftOut};
use crate::inject::{Namespace, Pod, decide};
use crate::k8s::{Client, LabelSelector, ListParams, MutatingWebhookConfiguration};
use crate::manifest::kind::{self, Templated};
use crate::registration::{self, Creation};
use crate::unavailable::Unavailable;

/// What is the same for all objects of one call.
struct Surroundings {
    /// Otelgate's own.
    namespace: String,
    registrations: Result<Vec<MutatingWebhookConfiguration>, Unavailable>,
    endpoints: Endpoints,
    configuration: Configuration,
    configured: Configured,
    enabled: Option<Timestamp>,
    /// Until when pods of a namespace were left alone.
    left_alone: BTreeMap<String, Timestamp>,
    /// Those that take what pods send.
    collectors: Option<Collectors>,
    gaps: Vec<Gap>,
}

/// The namespace of the objects.
#[derive(Default)]
struct Surrounding {
    name: String,
    /// `None` where it may not be read.
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<Vec<(Box<str>, Box<str>)>>,
    opted_in: Option<Timestamp>,
    gap: Option<Gap>,
}

/// Explains what can be explained, and complains about the rest.
///
/// # Errors
/// When the cluster can't be reached, or the configuration that was named can't be used.
pub async fn explain(
    cluster: &Cluster,
    targets: &[Target],
    files: &FileArgs,
) -> Result<(Vec<Explanation>, Vec<Complaint>), Complaint> {
    let namespace = files.namespace.as_deref().unwrap_or(&cluster.namespace);
    target::check(namespace).map_err(|message| Complaint {
        place: "--namespace".to_owned(),
        message,
        next: "correct it".to_owned(),
    })?;
    let surroundings = Surroundings::fetch(cluster, files).await?;
    let surrounding = Surrounding::fetch(cluster, namespace).await;
    let (mut explanations, mut complaints) = (Vec::new(), Vec::new());
    for target in targets {
        match surroundings.explain(cluster, target, &surrounding).await {
            Ok(explanation) => explanations.push(explanation),
            Err(complaint) => complaints.push(complaint),
        }
    }
    Ok((explanations, complaints))
}

// === impl Surroundings ===

impl Surroundings {
    async fn fetch(cluster: &Cluster, files: &FileArgs) -> Result<Self, Complaint> {
        let namespace = cluster.otelgate_namespace().await?;
        let registrations = registrations(cluster).await;
        let endpoints = match &registrations {
            Ok(registrations) => endpoints(cluster, registrations).await,
            Err(_) => Endpoints::new(),
        };
        let mut surroundings = Self {
            registrations,
            endpoints,
            configuration: Configuration::default(),
            configured: Configured { source: "the documented defaults".to_owned(), hash: String::new() },
            enabled: None,
            left_alone: BTreeMap::new(),
            collectors: None,
            gaps: Vec::new(),
            namespace,
        };
        match &files.config {
            Some(path) => {
                surroundings.configuration = input::configuration(Some(path))?;
                surroundings.configured.source = path.display().to_string();
            }
            None => surroundings.read_configuration(&cluster.client).await,
        }
        surroundings.configured.hash = surroundings.configuration.hash().to_owned();
        Ok(surroundings)
    }

    async fn read_configuration(&mut self, client: &Client) {
        let collection = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        let (map, stack) = tokio::join!(
            fetch::object(client, &collection, object::INJECTION),
            fetch::object(client, fetch::STACKS, object::STACK),
        );
        let map = match map {
            Ok(map) => map,
            Err(fault) => return self.gaps.push(Gap::new(&fault, DEFAULTS_INSTEAD)),
        };
        let source = format!("ConfigMap {}/{}", self.namespace, object::INJECTION);
        let text = map.pointer(&format!("/data/{CONFIG_MAP_KEY}")).and_then(Value::as_str).unwrap_or_default();
        match config::parse(text) {
            Ok(configuration) => {
                self.configuration = configuration;
                self.configured.source = source;
                self.enabled = fetch::enabled_since(stack.as_ref().ok(), Some(&map));
                self.left_alone = stack.as_ref().map(coverage::left_alone).unwrap_or_default();
                self.collectors = stack.as_ref().ok().and_then(Collectors::of);
                // Where the webhook was installed by hand there is none.
                if let Err(fault) = stack
                    && !matches!(fault, Unavailable::NotFound { .. })
                {
                    self.gaps.push(Gap::new(&fault, LAST_CHANGE_INSTEAD));
                }
            }
            Err(error) => self.gaps.push(Gap {
                what: format!("{source} can't be used: {error}"),
                next_step: "see kubectl describe telemetrystack; the webhook goes on with the last good one".to_owned(),
                instead: DEFAULTS_INSTEAD,
            }),
        }
    }

    async fn explain(
        &self,
        cluster: &Cluster,
        target: &Target,
        surrounding: &Surrounding,
    ) -> Result<Explanation, Complaint> {
        let place = || format!("{target} in namespace {}", surrounding.name);
        let object = fetch::object(&cluster.client, &target.collection(&surrounding.name), &target.name).await;
        let object = object.map_err(|fault| Complaint {
            place: place(),
            message: fault.to_string(),
            next: fault.next_step(),
        })?;
        let unreadable = |next: &str| Complaint {
            place: place(),
            message: "it has no pod template that can be read".to_owned(),
            next: next.to_owned(),
        };
        let templated = kind::templated(&object).into_iter().next();
        let templated = templated.ok_or_else(|| unreadable("explain the workload that it refers to"))?;
        let template = object.pointer(&templated.template).unwrap_or(&Value::Null);
        let json = template.to_string();
        let mut pod = Pod::from_json(&json).map_err(|_| unreadable("use an otelgate of the cluster's version"))?;
        pod.template_of.clone_from(&templated.workload);
        Ok(self.explain_pod(cluster, &object, &templated, &pod, surrounding).await)
    }

    async fn explain_pod(
        &self,
        cluster: &Cluster,
        object: &Value,
        templated: &Templated<'_>,
        pod: &Pod<'_>,
        surrounding: &Surrounding,
    ) -> Explanation {
        let view = surrounding.view();
        let now = Timestamp::now();
        let at = created(object).unwrap_or(now);
        let case = Case { pod, namespace: &view, configuration: &self.configuration };
        let decision = decide(pod, &view, &self.configuration, at);
        let kind::Object { kind, name, .. } = templated.object;
        let subject = Subject { kind, namespace: Some(&surrounding.name), name, generate_name: "" };
        let mut explanation = Explanation::new(subject, case, &decision, true);
        explanation.calls = Some(self.calls(pod, surrounding));
        explanation.configuration = Some(self.configured.clone());
        explanation.unknown = self.gaps.iter().chain(&surrounding.gap).cloned().collect();
        let around = self.around(surrounding, &view, now);
        if templated.workload.is_none() {
            let mut running = Running::new(object, pod, &decision, around);
            if let Some(collectors) = &self.collectors {
                match collectors.missed_by(&cluster.client, object, case, &running).await {
                    Ok(why) => running.collector = why,
                    Err(fault) => explanation.unknown.push(Gap::new(&fault, COLLECTOR_UNTOLD)),
                }
            }
            explanation.running = Some(running);
        } else {
            match pods(cluster, object, &templated.template, &surrounding.name).await {
                Ok(pods) => explanation.pods = Some(Replicas::new(&pods, around)),
                Err(fault) => explanation.unknown.push(Gap::new(&fault, "nothing is said of the pods that run")),
            }
        }
        explanation
    }

    fn around<'a>(&'a self, surrounding: &Surrounding, view: &'a Namespace<'a>, now: Timestamp) -> Around<'a> {
        let changes = Changes {
            opt_in: surrounding.opted_in,
            namespace: view.opt_in.and_then(OptIn::parse),
            configuration: self.enabled,
            left_alone: self.left_alone.get(&surrounding.name).copied(),
            ..Changes::default()
        };
        Around { namespace: view, configuration: &self.configuration, changes, now }
    }

    fn calls(&self, pod: &Pod<'_>, surrounding: &Surrounding) -> Calls {
        let owned = |entries: &crate::inject::view::Map<'_>| -> BTreeMap<String, String> {
            entries.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let metadata = &pod.metadata.value;
        let (labels, annotations) = (owned(&metadata.labels), owned(&metadata.annotations));
        let creation = Creation {
            namespace: &surrounding.name,
            namespace_labels: surrounding.labels.as_ref(),
            labels: &labels,
            annotations: &annotations,
        };
        match &self.registrations {
            Ok(registrations) => calls::calls(registrations, &self.endpoints, creation, &self.namespace),
            Err(fault) => Calls::hidden(fault),
        }
    }
}

const DEFAULTS_INSTEAD: &str = "the documented defaults are taken instead";
const COLLECTOR_UNTOLD: &str = "nothing is said of the Collector on the pod's node";
const LAST_CHANGE_INSTEAD: &str = "mode is taken to be enabled since the configuration's last change";

async fn registrations(cluster: &Cluster) -> Result<Vec<MutatingWebhookConfiguration>, Unavailable> {
    const COLLECTION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let items = fetch::list(&cluster.client, COLLECTION, ListParams::default()).await?;
    let read = |item| serde_json::from_value(item).map_err(|error| Unavailable::Unreadable { why: error.to_string() });
    items.into_iter().map(read).collect()
}

/// How many endpoints of otelgate's Services are ready.
async fn endpoints(cluster: &Cluster, registrations: &[MutatingWebhookConfiguration]) -> Endpoints {
    let mut found = Endpoints::new();
    for (namespace, name) in calls::services(registrations) {
        let collection = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
        let slices = fetch::list(&cluster.client, &collection, params).await;
        let ready = slices.ok().map(|slices| slices.iter().map(ready).sum());
        found.insert((namespace, name), ready);
    }
    found
}

/// An endpoint that doesn't say it isn't ready is.
fn ready(slice: &Value) -> usize {
    let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    endpoints.filter(|endpoint| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false))).count()
}

/// The pods of a workload that are there.
async fn pods(cluster: &Cluster, workload: &Value, template: &str, namespace: &str) -> Result<Vec<Value>, Unavailable> {
    if template.starts_with("/spec/jobTemplate") {
        return pods_of_cron_job(cluster, workload, namespace).await;
    }
    let Some(selector) = selector(workload) else { return Ok(Vec::new()) };
    fetch::list(&cluster.client, &fetch::pods(namespace), ListParams::default().labels(&selector)).await
}

/// Those of the Jobs that it made.
async fn pods_of_cron_job(cluster: &Cluster, cron_job: &Value, namespace: &str) -> Result<Vec<Value>, Unavailable> {
    let collection = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let jobs = fetch::list(&cluster.client, &collection, ListParams::default()).await?;
    let uid = cron_job.pointer("/metadata/uid");
    let is_of_it = |job: &&Value| {
        let owners = job.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        uid.is_some() && owners.into_iter().flatten().any(|owner| owner.get("uid") == uid)
    };
    let mut pods = Vec::new();
    for selector in jobs.iter().filter(is_of_it).filter_map(selector) {
        let params = ListParams::default().labels(&selector);
        pods.extend(fetch::list(&cluster.client, &fetch::pods(namespace), params).await?);
    }
    Ok(pods)
}

/// `spec.selector`, as a list of the API server takes it. A `ReplicationController`'s is a plain map.
fn selector(workload: &Value) -> Option<String> {
    let selector = workload.pointer("/spec/selector")?;
    let read = |value: &Value| serde_json::from_value::<LabelSelector>(value.clone()).ok();
    let is_plain = selector.as_object()?.values().all(Value::is_string);
    let selector = if is_plain { read(&serde_json::json!({"matchLabels": selector})) } else { read(selector) }?;
    let requirements: Vec<_> = registration::requirements(&selector).iter().map(ToString::to_string).collect();
    (!requirements.is_empty()).then(|| requirements.join(","))
}

// === impl Surrounding ===

impl Surrounding {
    async fn fetch(cluster: &Cluster, name: &str) -> Self {
        match fetch::object(&cluster.client, "/api/v1/namespaces", name).await {
            Ok(namespace) => Self::read(name, &namespace),
            Err(fault) => Self {
                name: name.to_owned(),
                gap: Some(Gap::new(&fault, "the namespace is taken as opted in, and without annotations")),
                ..Self::default()
            },
        }
    }

    fn read(name: &str, namespace: &Value) -> Self {
        let texts = |pointer: &str| {
            let map = namespace.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
            map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        };
        let annotations = texts("/metadata/annotations").map(|(key, value)| (key.into(), value.into()));
        Self {
            name: name.to_owned(),
            annotations: Some(annotations.collect()),
            opted_in: coverage::label_written(namespace),
            labels: Some(texts("/metadata/labels").collect()),
            gap: None,
        }
    }

    /// What the engine is told of it.
    fn view(&self) -> Namespace<'_> {
        let label = self.labels.as_ref().map(|labels| labels.get(label::INJECT).map(String::as_str));
        let label_of = |key: &str| self.labels.as_ref()?.get(key).map(String::as_str);
        Namespace {
            left_out: LeftOut::by(label_of),
            name: Some(&self.name),
            opt_in: label.unwrap_or(Some(OptIn::Enabled.as_str())),
            annotations: self.annotations.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};
    use serde_json::json;

    use super::*;
    use crate::coverage::Coverage;
    use crate::k8s::Body;

    #[test]
    fn selectors_are_written_as_the_api_server_reads_them() {
        let of = |value: Value| selector(&json!({"spec": {"selector": value}}));
        assert_eq!(of(json!({"matchLabels": {"a": "b", "c": "d"}})).as_deref(), Some("a in (b),c in (d)"));
        let expressions = json!({"matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b", "c"]}, {"key": "d", "operator": "NotIn", "values": ["e"]},
            {"key": "f", "operator": "Exists"}, {"key": "g/h", "operator": "DoesNotExist"},
        ]});
        assert_eq!(of(expressions).as_deref(), Some("a in (b,c),d notin (e),f,!g/h"));
        assert_eq!(of(json!({"app": "x"})).as_deref(), Some("app in (x)"), "of a ReplicationController");
        assert_eq!(of(json!({})), None, "nothing, instead of everything");
        assert_eq!(selector(&json!({"spec": {}})), None);
    }

    /// The configuration in force, written at 14:00, with mode `enabled` since noon, and what is answered of the
    /// `TelemetryStack`.
    async fn read(code: u16, stack: Value) -> Surroundings {
        let configuration = "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n";
        let map = json!({"data": {CONFIG_MAP_KEY: configuration}, "metadata": {"managedFields": [
            {"time": "2026-11-02T14:00:00Z", "fieldsV1": {"f:data": {}}}]}});
        let service = tower::service_fn(move |request: Request<Body>| {
            let is_stack = request.uri().path().starts_with(fetch::STACKS);
            let (code, object) = if is_stack { (code, stack.clone()) } else { (200, map.clone()) };
            let response = Response::builder().status(code).body(Body::from(object.to_string().into_bytes()));
            async move { Ok::<_, tower::BoxError>(response.expect("a response")) }
        });
        let mut surroundings = Surroundings {
            namespace: "otelgate".to_owned(),
            registrations: Ok(Vec::new()),
            endpoints: Endpoints::new(),
            configuration: Configuration::default(),
            configured: Configured { source: String::new(), hash: String::new() },
            enabled: None,
            left_alone: BTreeMap::new(),
            collectors: None,
            gaps: Vec::new(),
        };
        surroundings.read_configuration(&Client::new(service, "default")).await;
        surroundings
    }

    fn status(code: u16, message: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code})
    }

    #[tokio::test]
    async fn a_pod_is_as_old_as_the_controller_says_and_not_as_the_last_change() {
        let noon = "2026-11-02T12:00:00Z".parse::<Timestamp>().expect("a time");
        let last_change = "2026-11-02T14:00:00Z".parse::<Timestamp>().expect("a time");
        let told = json!({"injection": {"enabledSince": noon.to_string()}, "owners": {"otlp": "collector"}});
        let remembered = read(200, json!({"status": told})).await;
        assert_eq!((remembered.enabled, remembered.gaps), (Some(noon), Vec::new()));
        assert!(remembered.collectors.is_some(), "pods send to them");
        let by_hand = read(404, status(404, "the server could not find the requested resource")).await;
        assert_eq!((by_hand.enabled, by_hand.gaps), (Some(last_change), Vec::new()));
        let message = "telemetrystacks.otelgate.dev \"default\" is forbidden: User \"u\" cannot get resource \
                       \"telemetrystacks\" in API group \"otelgate.dev\" at the cluster scope";
        let narrow = read(403, status(403, message)).await;
        assert_eq!(narrow.enabled, Some(last_change));
        let told: Vec<_> = narrow.gaps.iter().map(|gap| (gap.what.as_str(), gap.instead)).collect();
        let what = "not allowed to get telemetrystacks.otelgate.dev in the whole cluster";
        assert_eq!(told, [(what, LAST_CHANGE_INSTEAD)]);
    }

    /// What is said of a pod of namespace `shop` that was created at that time.
    fn coverage_of(surroundings: &Surroundings, namespace: &Value, labels: &Value, created: &str) -> Coverage {
        let surrounding = Surrounding::read("shop", namespace);
        let view = surrounding.view();
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": labels, "creationTimestamp": created},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        let replicas = Replicas::new(&[pod], surroundings.around(&surrounding, &view, Timestamp::now()));
        replicas.items[0].coverage
    }

    #[tokio::test]
    async fn pods_are_judged_by_all_that_the_controller_judges_them_by() {
        let told = json!({"injection": {
            "enabledSince": "2026-11-02T09:00:00Z", "leftAloneUntil": {"shop": "2026-11-02T13:00:00Z"}}});
        let remembers = read(200, json!({"status": told})).await;
        let knows_nothing = read(200, json!({"status": {"injection": {"enabledSince": "2026-11-02T09:00:00Z"}}})).await;
        let (none, enabled) = (json!({}), json!({"otelgate.dev/inject": "enabled"}));
        let others = json!({"otelgate.dev/containers": "sidecar"});
        for (surroundings, labels, annotations, own, time, expected) in [
            (&remembers, &enabled, &none, &none, "12:00", Coverage::RestartPending),
            (&remembers, &enabled, &none, &none, "13:00", Coverage::RestartPending),
            (&remembers, &none, &none, &enabled, "12:00", Coverage::RestartPending),
            (&remembers, &enabled, &none, &none, "13:01", Coverage::Missed),
            (&knows_nothing, &enabled, &none, &none, "12:00", Coverage::Missed),
            (&knows_nothing, &enabled, &others, &none, "12:00", Coverage::NotExpected),
            (&knows_nothing, &none, &others, &enabled, "12:00", Coverage::NotExpected),
        ] {
            let namespace = json!({"metadata": {"name": "shop", "labels": labels, "annotations": annotations}});
            let found = coverage_of(surroundings, &namespace, own, &format!("2026-11-02T{time}:00Z"));
            assert_eq!(found, expected, "{namespace} {own} {time}");
        }
    }
}
