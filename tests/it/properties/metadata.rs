//! Owners, labels and annotations.

use jiff::Timestamp;
use otelgate::api::annotation as key;
use serde_json::{Map, Value, json};

use super::generate::{Standing, pod_opt_in, secret, stand, standing, tricky};
use super::random::Random;

/// What a controller writes into its pods.
#[derive(Default)]
pub struct Owner {
    references: Vec<Value>,
    labels: Vec<(&'static str, String)>,
    /// What `generateName` says, without the dash.
    stem: Option<String>,
    /// A name that the controller gives, in place of `generateName`.
    name: Option<String>,
}

const HASH: &str = "7d4b9c6f5d";
const LONG: &str = "a-workload-with-a-name-that-is-as-long-as-names-may-be-in-total";

fn workload(random: &mut Random) -> &'static str {
    random.pick(&["checkout", "web", "billing-api", "a", LONG, "release-1-web", "release.with.dots"])
}

/// Kind and name, as the offline commands read them from the document around a template; it may have a `generateName`.
pub fn template_of(random: &mut Random) -> (&'static str, String) {
    let kind = random.pick(&["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Rollout", "ReplicaSet"]);
    (kind, if random.percent(10) { String::new() } else { workload(random).to_owned() })
}

pub fn owner(random: &mut Random, now: Timestamp) -> Owner {
    let name = workload(random);
    let replica_set = format!("{name}-{HASH}");
    match random.below(18) {
        0..5 => controlled("apps/v1", "ReplicaSet", &replica_set, &[("pod-template-hash", HASH)]),
        5 => controlled("apps/v1", "ReplicaSet", &replica_set, &[("rollouts-pod-template-hash", HASH)]),
        6 => controlled("apps/v1", "ReplicaSet", name, &[("pod-template-hash", "5c689d88bb")]),
        7 => controlled("apps/v1", "ReplicaSet", &replica_set, &[]),
        8 => {
            let mut owner = controlled("apps/v1", "StatefulSet", name, &[]);
            owner.name = Some(format!("{name}-3"));
            owner
        }
        9 => controlled("apps/v1", "DaemonSet", name, &[("pod-template-generation", "1")]),
        10 | 11 => controlled("batch/v1", "Job", &cron_job(random, name, now), &[("job-name", "whatever")]),
        12 => controlled("batch/v1", "Job", name, &[]),
        13 => foreign(random, name),
        14 => {
            // Owned, but not controlled; and a controller behind it.
            let mut owner = controlled("apps/v1", "ReplicaSet", &replica_set, &[("pod-template-hash", HASH)]);
            owner.references.insert(0, reference("example.com/v1", "Budget", "q3", false));
            owner
        }
        _ => Owner { stem: random.percent(20).then(|| name.to_owned()), ..Owner::default() },
    }
}

fn controlled(api_version: &str, kind: &str, name: &str, labels: &[(&'static str, &str)]) -> Owner {
    Owner {
        references: vec![reference(api_version, kind, name, true)],
        labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        stem: Some(name.to_owned()),
        name: None,
    }
}

fn foreign(random: &mut Random, name: &str) -> Owner {
    let (api_version, kind) = random.pick(&[
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
        ("argoproj.io/v1alpha1", "Workflow"),
        ("foreign.example.com/v1", "ReplicaSet"),
        ("batch.volcano.sh/v1alpha1", "Job"),
        ("v1", "ReplicationController"),
        ("apps.kruise.io/v1alpha1", "StatefulSet"),
    ]);
    controlled(api_version, kind, name, &[("pod-template-hash", HASH)])
}

/// A Job's name with the minute of its schedule, plausible or not.
fn cron_job(random: &mut Random, name: &str, now: Timestamp) -> String {
    let minute = now.as_second() / 60;
    let suffix = match random.below(6) {
        0 => 1,
        1 => minute + 60 * 24 * 900,
        2 => minute - 60 * 24 * 3650,
        _ => minute - i64::from(random.bits() % 120),
    };
    format!("{}-{suffix}", &name[..name.len().min(52)])
}

fn reference(api_version: &str, kind: &str, name: &str, controller: bool) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name,
        "uid": "1ed1b0f6-6b6b-4a4c-9d0c-0a3c4a8f1b11", "controller": controller, "blockOwnerDeletion": true,
    })
}

pub fn metadata(random: &mut Random, template: bool, owner: Owner, containers: &[String]) -> Value {
    let mut metadata = Map::new();
    if let Some(name) = owner.name {
        metadata.insert("name".to_owned(), json!(name));
    } else if let Some(stem) = owner.stem {
        metadata.insert("generateName".to_owned(), json!(format!("{stem}-")));
    } else if !template {
        let name = if random.percent(5) { "p".repeat(random.between(240, 253)) } else { "bare-pod".to_owned() };
        metadata.insert("name".to_owned(), json!(name));
    }
    let labels = labels(random, owner.labels);
    let standing_of_labels = if labels.is_empty() { standing(random, 0) } else { Standing::Filled };
    stand(&mut metadata, "labels", standing_of_labels, Value::Object(labels));
    let annotations = annotations(random, containers);
    let standing_of_annotations = if annotations.is_empty() { standing(random, 0) } else { Standing::Filled };
    stand(&mut metadata, "annotations", standing_of_annotations, Value::Object(annotations));
    if !owner.references.is_empty() {
        metadata.insert("ownerReferences".to_owned(), json!(owner.references));
    }
    if random.percent(10) {
        metadata.insert("aFieldOfTomorrow".to_owned(), json!({ "deep": [1, null, { "er": 1.5e300 }] }));
    }
    Value::Object(metadata)
}

fn labels(random: &mut Random, of_owner: Vec<(&'static str, String)>) -> Map<String, Value> {
    let mut labels: Map<String, Value> =
        of_owner.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    pod_opt_in(random, &mut labels);
    let mut sometimes = |percent, key: &str, value: String| {
        if random.percent(percent) {
            labels.insert(key.to_owned(), json!(value));
        }
    };
    sometimes(40, "app", "web".to_owned());
    sometimes(3, "app", "left-alone".to_owned());
    sometimes(4, "app", "otel-collector".to_owned());
    sometimes(2, "agent.datadoghq.com/component", "agent".to_owned());
    sometimes(20, "app.kubernetes.io/name", "otelgate".to_owned());
    sometimes(20, "app.kubernetes.io/instance", "release-1".to_owned());
    sometimes(20, "app.kubernetes.io/version", "2.4.0".to_owned());
    sometimes(8, "tags.datadoghq.com/env", "staging".to_owned());
    sometimes(8, "tags.datadoghq.com/service", "from-label".to_owned());
    sometimes(8, "tags.datadoghq.com/version", "1.2.3".to_owned());
    sometimes(8, "tags.datadoghq.com/app.service", "app-only".to_owned());
    sometimes(3, "tags.datadoghq.com/service", String::new());
    let key = secret(random);
    if random.percent(20) {
        labels.insert("team".to_owned(), json!(key));
    }
    labels
}

fn annotations(random: &mut Random, containers: &[String]) -> Map<String, Value> {
    let mut annotations = Map::new();
    if random.percent(45) {
        return annotations;
    }
    for _ in 0..random.between(1, 4) {
        let (key, value) = match random.below(10) {
            0..4 => option(random, containers),
            4..7 => attribute(random),
            _ => foreign_annotation(random, containers),
        };
        annotations.insert(key, json!(value));
    }
    annotations
}

pub fn namespace_annotations(random: &mut Random) -> Vec<(Box<str>, Box<str>)> {
    let mut annotations: Vec<(Box<str>, Box<str>)> = Vec::new();
    if random.percent(55) {
        return annotations;
    }
    for _ in 0..random.between(1, 3) {
        let (key, value) = if random.percent(50) { option(random, &[]) } else { attribute(random) };
        if annotations.iter().all(|(present, _)| **present != *key) {
            annotations.push((key.into(), value.into()));
        }
    }
    annotations
}

/// One of otelgate's own, right or wrong.
pub fn option(random: &mut Random, containers: &[String]) -> (String, String) {
    let (option, value) = match random.below(12) {
        0 => (key::CONTAINERS, container_list(random, containers)),
        1 => (key::ENDPOINT, endpoint(random)),
        2 => (key::PROTOCOL, random.pick(&["grpc", "http/protobuf", "http/json", "http", "gRPC", ""]).to_owned()),
        3 => {
            (key::SAMPLER, random.pick(&["always_on", "traceidratio", "parentbased_traceidratio", "often"]).to_owned())
        }
        4 => (key::SAMPLER_ARG, random.pick(&["0.1", "1", "2", "$(RATIO)", "half"]).to_owned()),
        5 => (key::PROPAGATORS, random.pick(&["b3", "tracecontext, baggage", "b3,datadog", "none", ""]).to_owned()),
        6 => (key::LOG_SOURCE, random.pick(&["nginx", "my source", "java", "a$b"]).to_owned()),
        7 => (key::LOGS, random.pick(&["enabled", "disabled", "false", "Enabled"]).to_owned()),
        8 | 9 => (key::SKIP, skip(random)),
        10 => {
            let container = containers.first().map_or("app", String::as_str);
            let fits = container.len() + key::LOG_SOURCE_SUFFIX.len() <= 63;
            let container = random.pick(&[if fits { container } else { "app" }, "nobody"]);
            return (format!("otelgate.dev/{container}.log-source"), "redis".to_owned());
        }
        _ => {
            let unknown =
                ["otelgate.dev/sampler_arg", "otelgate.dev/endpiont", "otelgate.dev/x", "otelgate.dev/inject"];
            return (random.pick(&unknown).to_owned(), random.pick(&["enabled", "true"]).to_owned());
        }
    };
    let value = if random.percent(8) { tricky(random) } else { value };
    // Names are told in notes; a secret in their place would be the user's own doing.
    let value = if [key::CONTAINERS, key::SKIP].contains(&option) { value.replace("zq9x", "") } else { value };
    (option.to_owned(), value)
}

fn container_list(random: &mut Random, containers: &[String]) -> String {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..random.between(1, 3) {
        if containers.is_empty() || random.percent(15) {
            names.push(random.pick(&["nobody", "app", ""]).to_owned());
        } else {
            names.push(containers[random.below(containers.len())].clone());
        }
    }
    names.join(random.pick(&[",", ", ", " ,"]))
}

fn endpoint(random: &mut Random) -> String {
    let endpoints = [
        "http://gateway:4317",
        "https://gateway:4318",
        "http://gateway.example:9999",
        "https://otlp.example.com/in?k=$(A)",
        "gateway:4317",
        "ftp://gateway",
        "http://",
        "http://[2001:db8::5]:4317",
        "http://user:pa$$w@gateway:4318/",
        "HTTP://GATEWAY:4318",
    ];
    random.pick(&endpoints).to_owned()
}

fn skip(random: &mut Random) -> String {
    let keys = [
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "k8s.pod.uid",
        "service.version",
        "OTEL_LOGS_EXPORTER",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "PATH",
        "team",
        "service.name",
        "OTELGATE_POD_NAME",
        "OTELGATE_NODE_NAME",
        "deployment.environment.name",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "COMPANY_SETTING",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    (0..random.between(1, 3)).map(|_| random.pick(&keys)).collect::<Vec<_>>().join(random.pick(&[",", ", "]))
}

/// A resource attribute by annotation.
pub fn attribute(random: &mut Random) -> (String, String) {
    let attributes = [
        "service.name",
        "service.name",
        "service.version",
        "deployment.environment.name",
        "service.namespace",
        "team",
        "deployment.environment",
        "service.instance.id",
        "k8s.cluster.name",
        "k8s.pod.name",
        "datadog.log.source",
        "Cost_Center-1",
    ];
    let value = match random.below(14) {
        0..5 => secret(random),
        5..8 => tricky(random),
        8 => String::new(),
        9 => "1.0.0+build.7".to_owned(),
        10 => format!("{}{}", secret(random), "v".repeat(random.between(4070, 4090))),
        11 => format!("{}\u{7}\n", secret(random)),
        12 => format!("{}-a-value-that-is-too-long-for-a-label-of-kubernetes-by-some", secret(random)),
        _ => "plain".to_owned(),
    };
    (format!("{}{}", key::RESOURCE, random.pick(&attributes)), value)
}

fn foreign_annotation(random: &mut Random, containers: &[String]) -> (String, String) {
    let container = containers.first().map_or("app", String::as_str);
    let datadog = format!("ad.datadoghq.com/{container}.logs");
    let keys = [
        "prometheus.io/scrape",
        "kubectl.kubernetes.io/restartedAt",
        "example.com/a.b_c-d",
        key::DISCOVERY_LOGS,
        "note",
    ];
    match random.below(6) {
        0 if datadog.len() <= "ad.datadoghq.com/".len() + 63 => {
            (datadog, format!(r#"[{{"source":"{}"}}]"#, secret(random)))
        }
        1 => (key::STATUS.to_owned(), random.pick(&["", "{}", "not json", r#"{"version":"0.0.0"}"#]).to_owned()),
        _ => (random.pick(&keys).to_owned(), if random.percent(50) { secret(random) } else { tricky(random) }),
    }
}

/// By an annotation of the Datadog Agent's, for the pod or its first container.
pub fn exclude_logs(random: &mut Random, pod: &mut Value) {
    let container = pod["spec"]["containers"][0]["name"].as_str().filter(|name| name.len() < 40).map(str::to_owned);
    let exclude = random.pick(&key::DATADOG_EXCLUDE);
    let of = container.filter(|_| random.percent(50)).map_or_else(String::new, |name| format!("{name}."));
    if let Some(Value::Object(annotations)) = pod.pointer_mut("/metadata/annotations") {
        let value = random.pick(&["true", "1", "T", "false"]);
        annotations.insert(format!("{}{of}{exclude}", key::DATADOG_AUTODISCOVERY), json!(value));
    }
}

/// By annotations that are legal, but for some, and too long for what is made of them.
pub fn lengthen(random: &mut Random, pod: &mut Value) {
    let Some(Value::Object(annotations)) = pod.pointer_mut("/metadata/annotations") else { return };
    if random.percent(50) {
        let endpoint = format!("http://gateway:4318/{}", "x".repeat(random.between(4060, 4080)));
        annotations.insert(key::ENDPOINT.to_owned(), json!(endpoint));
        return;
    }
    for attribute in ["a", "service.version", "team", "zone"] {
        let value = "漢".repeat(random.between(1, 1365));
        annotations.insert(format!("{}{attribute}", key::RESOURCE), json!(value));
    }
}
