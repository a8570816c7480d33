//! What goes into the bundle. Whatever can't be read is left out, and said to be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::redact::{self, Words};
use super::{certificate, elsewhere};
use crate::api::stack::{KeyReference, TelemetryStackSpec};
use crate::api::{label, object};
use crate::check::{self, Stage};
use crate::cli::check::Report;
use crate::cli::logs::{OWN, Origin, Source};
use crate::cli::telemetry::Telemetry;
use crate::cli::{fetch, status};
use crate::config::{CONFIG_MAP_KEY, Document};
use crate::k8s::{Client, ListParams, LogParams};
use crate::manifest;
use crate::registration::Injector;
use crate::unavailable::Unavailable;

/// The end of one log.
pub struct End {
    pub lines: i64,
    pub bytes: i64,
}

const LOG: End = End { lines: 5_000, bytes: 4 << 20 };
/// Names of what is about otelgate begin so.
const OWN_PREFIX: &str = "otelgate";

pub struct Collection<'a> {
    pub client: &'a Client,
    /// Otelgate's own.
    pub namespace: &'a str,
    pub words: &'a Words,
    pub bundle: &'a mut Bundle,
}

/// # Errors
/// When there is no API server to ask.
pub async fn all(client: &Client, namespace: &str, words: &Words, bundle: &mut Bundle) -> Result<(), Unavailable> {
    let mut collection = Collection { client, namespace, words, bundle };
    collection.versions().await?;
    // The Secrets first: their values are in no file that follows.
    let stacks = collection.stacks().await;
    let document = collection.configuration().await;
    let telemetry = Telemetry::of(&stacks, document.as_ref());
    telemetry.variables.iter().for_each(|value| collection.bundle.hide_variable(value));
    collection.secrets(&stacks, &telemetry.namespace).await;
    collection.registrations().await;
    collection.definition().await;
    collection.own_objects().await;
    collection.events().await;
    collection.namespaces().await;
    collection.logs().await;
    elsewhere::all(&mut collection, &telemetry).await;
    Box::pin(collection.reports()).await;
    Ok(())
}

impl Collection<'_> {
    async fn versions(&mut self) -> Result<(), Unavailable> {
        let server = match fetch::version(self.client).await {
            Ok(server) => server,
            Err(fault) if fault.is_of_connection() => return Err(fault),
            Err(fault) => {
                self.bundle.leave_out("the API server's version", fault);
                Value::Null
            }
        };
        let versions = json!({"otelgate": env!("CARGO_PKG_VERSION"), "kubernetes": server});
        self.add("versions.yaml", "this program's version and the API server's", &versions);
        Ok(())
    }

    async fn stacks(&mut self) -> Vec<Value> {
        let stacks = self.list("telemetrystacks.yaml", fetch::STACKS, None).await;
        let schema = schema::<TelemetryStackSpec>();
        let told = stacks.iter().map(|stack| {
            let mut stack = stack.clone();
            if let Some(spec) = stack.get_mut("spec") {
                *spec = redact::known(spec, &schema, &schema);
            }
            stack
        });
        let told = told.collect::<Vec<_>>();
        self.add_objects("telemetrystacks.yaml", "what otelgate was told to do, and what became of it", &told);
        stacks
    }

    /// The document in force.
    async fn configuration(&mut self) -> Option<Value> {
        let map = self.object("configuration.yaml", &self.own("configmaps"), object::INJECTION).await?;
        let text = map.pointer(&format!("/data/{CONFIG_MAP_KEY}")).and_then(Value::as_str).unwrap_or_default();
        let document = serde_saphyr::from_str::<Value>(text).ok();
        let schema = schema::<Document>();
        let told = document.as_ref().map(|document| redact::known(document, &schema, &schema));
        let told = json!({"metadata": map.get("metadata"), "document": told});
        self.add(
            "configuration.yaml",
            "the configuration in force, without the values of env",
            &redacted(&told, self.words),
        );
        document
    }

    async fn secrets(&mut self, stacks: &[Value], of_collector: &str) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
        let provided = stacks.iter().filter_map(|stack| text(stack.pointer("/spec/certificates/secretName")));
        let mut wanted: Vec<(String, String)> = [object::SERVING.to_owned(), object::AUTHORITY.to_owned()]
            .into_iter()
            .chain(provided)
            .map(|name| (self.namespace.to_owned(), name))
            .collect();
        wanted.push((of_collector.to_owned(), KeyReference::of(stacks).name));
        let mut told = Vec::new();
        for (namespace, name) in wanted {
            let collection = format!("/api/v1/namespaces/{namespace}/secrets");
            let what = format!("Secret {namespace}/{name}");
            let Some(secret) = self.object(&what, &collection, &name).await else { continue };
            for value in secret.get("data").and_then(Value::as_object).into_iter().flat_map(|data| data.values()) {
                let decoded = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
                // Certificates are public, and stand in the registration, too.
                if !decoded.starts_with(b"-----BEGIN CERTIFICATE") {
                    self.bundle.hide(&decoded);
                }
            }
            told.push(redact::secret(&secret, self.words));
        }
        self.add("secrets.yaml", "metadata of Secrets, names of their keys, dates of certificates", &json!(told));
    }

    async fn registrations(&mut self) {
        const COLLECTION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let all = self.list("registration.yaml", COLLECTION, None).await;
        let is_own = |one: &&Value| one.pointer("/metadata/name").and_then(Value::as_str) == Some(object::REGISTRATION);
        let (own, others): (Vec<_>, Vec<_>) = all.iter().partition(is_own);
        let own: Vec<_> = own.into_iter().cloned().collect();
        self.add_objects("registration.yaml", "when the API server calls the webhook", &own);
        let others: Vec<_> = others.into_iter().map(|one| summary(one, self.words)).collect();
        self.add("other-webhooks.yaml", "when the API server calls other mutating webhooks", &json!(others));
    }

    /// Not the schema itself, which is this version's own or is told by its digest.
    async fn definition(&mut self) {
        const COLLECTION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let Some(definition) = self.object("definition.yaml", COLLECTION, "telemetrystacks.otelgate.dev").await else {
            return;
        };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        let versions = versions.map(|version| {
            let schema = version.get("schema").map(ToString::to_string).unwrap_or_default();
            let digest = certificate::sha256(schema.as_bytes());
            json!({"name": version.get("name"), "served": version.get("served"), "storage": version.get("storage"),
                   "schemaSha256": digest})
        });
        let told = json!({
            "metadata": definition.get("metadata"), "versions": versions.collect::<Vec<_>>(),
            "status": definition.get("status"),
        });
        self.add("definition.yaml", "the definition of TelemetryStack", &redacted(&told, self.words));
    }

    async fn own_objects(&mut self) {
        let app = format!("{}={}", label::APP_NAME, object::APP);
        let service = format!("kubernetes.io/service-name={}", object::WEBHOOK);
        let namespace = self.namespace;
        for (path, about, collection, labels) in [
            (
                "deployments.yaml",
                "webhook and controller",
                format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
                &app,
            ),
            ("pods.yaml", "otelgate's pods", self.own("pods"), &app),
            ("services.yaml", "otelgate's Services", self.own("services"), &app),
            (
                "endpointslices.yaml",
                "where the API server finds the webhook",
                format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"),
                &service,
            ),
        ] {
            let objects = self.list(path, &collection, Some(labels)).await;
            self.add_objects(path, about, &objects);
        }
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        if let Some(lease) = self.object("lease.yaml", &collection, object::CONTROLLER).await {
            self.add("lease.yaml", "which controller is active", &redacted(&lease, self.words));
        }
    }

    async fn events(&mut self) {
        let (path, about) = ("events.yaml", "events about otelgate's objects");
        self.events_about(path, about, self.namespace, |name| name.starts_with(OWN_PREFIX)).await;
    }

    pub async fn events_about(&mut self, path: &str, about: &str, namespace: &str, wanted: impl Fn(&str) -> bool) {
        let events = self.list(path, &format!("/api/v1/namespaces/{namespace}/events"), None).await;
        let is_wanted = |event: &&Value| {
            let name = event.pointer("/involvedObject/name").and_then(Value::as_str);
            name.is_some_and(&wanted)
        };
        let told = events.iter().filter(is_wanted).map(|event| {
            let fields = ["type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime"];
            let mut told: serde_json::Map<String, Value> =
                fields.iter().filter_map(|field| Some(((*field).to_owned(), event.get(field)?.clone()))).collect();
            let about = |field: &str| event.pointer(&format!("/involvedObject/{field}")).cloned().unwrap_or_default();
            told.insert("about".to_owned(), json!({"kind": about("kind"), "name": about("name")}));
            Value::Object(told)
        });
        let told: Vec<_> = told.collect();
        self.add(path, about, &json!(told));
    }

    async fn namespaces(&mut self) {
        let namespaces = self.list("namespaces.yaml", "/api/v1/namespaces", None).await;
        let told = namespaces.iter().map(|namespace| {
            json!({"name": namespace.pointer("/metadata/name"), "labels": namespace.pointer("/metadata/labels")})
        });
        let told: Vec<_> = told.collect();
        self.add("namespaces.yaml", "names and labels of namespaces", &json!(told));
    }

    async fn logs(&mut self) {
        let source = Source::own(self.namespace, OWN);
        let pods = self.list("logs", &self.own("pods"), Some(&source.labels)).await;
        for pod in pods {
            self.logs_of(&source, &pod, &LOG).await;
        }
    }

    /// Of each container that counts, and of the one before where it started again.
    pub async fn logs_of(&mut self, source: &Source, pod: &Value, end: &End) {
        let origins = serde_json::from_value(pod.clone()).map(|pod| source.origins(&pod)).unwrap_or_default();
        for origin in origins {
            let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
            let restarted = statuses
                .filter(|status| status.get("name").and_then(Value::as_str) == Some(&origin.container))
                .any(|status| status.get("restartCount").and_then(Value::as_i64).unwrap_or_default() > 0);
            self.log(&origin, false, end).await;
            if restarted {
                self.log(&origin, true, end).await;
            }
        }
    }

    /// What `otelgate check` and `otelgate status` say.
    async fn reports(&mut self) {
        let snapshot = Box::pin(check::fetch(self.client, self.namespace, Stage::After)).await;
        let report = serde_json::to_value(Report::of(&snapshot)).unwrap_or_default();
        self.add("check.yaml", "what otelgate check says", &redacted(&report, self.words));
        match status::report(self.client, self.namespace).await {
            Ok(report) => {
                let report = serde_json::to_value(report).unwrap_or_default();
                self.add("status.yaml", "what otelgate status says", &redacted(&report, self.words));
            }
            Err(fault) => self.bundle.leave_out("status.yaml", fault),
        }
    }

    async fn log(&mut self, origin: &Origin, previous: bool, end: &End) {
        let Origin { namespace, pod, container, .. } = origin;
        let params = LogParams {
            container: Some(container.clone()),
            previous,
            timestamps: true,
            tail_lines: Some(end.lines),
            limit_bytes: Some(end.bytes),
            ..LogParams::default()
        };
        let name = if origin.is_one_of_several { format!("{pod}.{container}") } else { pod.clone() };
        let path = format!("logs/{name}{}.log", if previous { ".previous" } else { "" });
        match fetch::log(self.client, namespace, pod, &params).await {
            Ok(log) => {
                let about =
                    if previous { "the last lines before the container started again" } else { "the last lines" };
                self.bundle.add(&path, about, log);
            }
            Err(fault) => self.bundle.leave_out(&path, fault),
        }
    }

    /// The path of a kind of the core group in otelgate's namespace.
    fn own(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    async fn object(&mut self, what: &str, collection: &str, name: &str) -> Option<Value> {
        match fetch::object(self.client, collection, name).await {
            Ok(object) => Some(object),
            Err(fault) => {
                self.bundle.leave_out(what, fault);
                None
            }
        }
    }

    pub async fn list(&mut self, what: &str, collection: &str, labels: Option<&str>) -> Vec<Value> {
        let params = labels.map_or_else(ListParams::default, |labels| ListParams::default().labels(labels));
        fetch::list(self.client, collection, params).await.unwrap_or_else(|fault| {
            self.bundle.leave_out(what, fault);
            Vec::new()
        })
    }

    pub fn add_objects(&mut self, path: &str, about: &str, objects: &[Value]) {
        let told: Vec<_> = objects.iter().map(|one| redacted(one, self.words)).collect();
        self.add(path, about, &json!(told));
    }

    fn add(&mut self, path: &str, about: &str, value: &Value) {
        let nothing = value.as_array().is_some_and(Vec::is_empty);
        let about = if nothing { format!("{about}: none") } else { about.to_owned() };
        self.bundle.add(path, &about, manifest::document(value));
    }
}

fn redacted(value: &Value, words: &Words) -> Value {
    redact::object(value, words)
}

/// Of a registration of somebody else's: when it is called, and how.
fn summary(registration: &Value, words: &Words) -> Value {
    let entries = registration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let told = entries.map(|entry| {
        let fields = [
            "name",
            "rules",
            "namespaceSelector",
            "objectSelector",
            "failurePolicy",
            "reinvocationPolicy",
            "timeoutSeconds",
        ];
        let field = |field: &&str| Some(((*field).to_owned(), redacted(entry.get(*field)?, words)));
        fields.iter().filter_map(field).collect::<Value>()
    });
    let injector = serde_json::from_value(registration.clone()).ok().as_ref().and_then(Injector::of);
    json!({
        "name": registration.pointer("/metadata/name"), "injector": injector.map(Injector::name),
        "webhooks": told.collect::<Vec<_>>(),
    })
}

fn schema<T: schemars::JsonSchema>() -> Value {
    serde_json::to_value(schemars::schema_for!(T)).unwrap_or_default()
}
