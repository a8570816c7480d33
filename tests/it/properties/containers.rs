//! Specs, containers and their environments.

use otelgate::api::otel::var;
use serde_json::{Map, Value, json};

use super::configuration;
use super::generate::{Standing, secret, stand, standing, tricky};
use super::random::Random;

const SIDECARS: [&str; 6] =
    ["istio-proxy", "linkerd-proxy", "datadog-agent", "vault-agent", "cloud-sql-proxy", "otc-container"];

pub fn spec(random: &mut Random) -> Value {
    let mut spec = Map::new();
    let mut taken = Vec::new();
    let only_sidecars = random.percent(2);
    let containers: Vec<Value> = (0..random.weighted(&[(60, 1), (25, 2), (12, 3), (3, 5)]))
        .map(|_| container(random, &mut taken, only_sidecars))
        .collect();
    if random.percent(20) {
        let mut init = container(random, &mut taken, false);
        if random.percent(40) {
            init["restartPolicy"] = json!("Always");
        }
        spec.insert("initContainers".to_owned(), json!([init]));
    }
    spec.insert("containers".to_owned(), Value::Array(containers));
    networking(random, &mut spec);
    if random.percent(3) {
        let node = json!({ "kubernetes.io/os": "windows" });
        let (key, value) = random.pick(&[("os", false), ("nodeSelector", true)]);
        spec.insert(key.to_owned(), if value { node } else { json!({ "name": "windows" }) });
        spec.remove("hostNetwork");
    } else if random.percent(10) {
        spec.insert("nodeSelector".to_owned(), json!({ "kubernetes.io/os": "linux", "disk": "ssd" }));
    }
    if random.percent(10) {
        spec.insert("tomorrowsField".to_owned(), json!({ "containers": [{ "env": null }] }));
    }
    Value::Object(spec)
}

fn networking(random: &mut Random, spec: &mut Map<String, Value>) {
    if random.percent(20) {
        spec.insert("hostNetwork".to_owned(), json!(random.percent(80)));
    }
    if random.percent(40) {
        let policy = random.pick(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]);
        spec.insert("dnsPolicy".to_owned(), json!(policy));
        if policy == "None" {
            spec.insert("dnsConfig".to_owned(), json!({ "nameservers": ["192.0.2.53"] }));
        }
    }
}

fn container_name(random: &mut Random, sidecar: bool) -> String {
    if sidecar || random.percent(8) {
        return random.pick(&SIDECARS).to_owned();
    }
    match random.below(20) {
        0 => "c".to_owned(),
        1 => "n".repeat(58),
        2 => "n".repeat(59),
        3 => "n".repeat(63),
        _ => random.pick(&["app", "web", "worker", "api-v2", "0"]).to_owned(),
    }
}

pub fn container(random: &mut Random, taken: &mut Vec<String>, sidecar: bool) -> Value {
    let mut name = container_name(random, sidecar);
    while taken.contains(&name) {
        name = format!("x{}", random.bits());
    }
    taken.push(name.clone());
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(name));
    container.insert("image".to_owned(), json!(image(random)));
    let environment = environment(random);
    let standing = if environment.is_empty() { standing(random, 0) } else { Standing::Filled };
    stand(&mut container, "env", standing, Value::Array(environment));
    if random.percent(15) {
        let source = random.pick(&["configMapRef", "secretRef"]);
        container.insert("envFrom".to_owned(), json!([{ source: { "name": "settings" } }]));
    }
    if random.percent(10) {
        container.insert("resources".to_owned(), json!({ "limits": { "memory": "1Gi" }, "tomorrow/~x": [null, 0.1] }));
    }
    Value::Object(container)
}

/// So many more of them.
pub fn crowd(pod: &mut Value, more: usize) {
    let Some(Value::Array(containers)) = pod.pointer_mut("/spec/containers") else { return };
    containers.extend((0..more).map(|index| json!({"name": format!("more-{index}"), "image": "a"})));
}

/// As `kubectl debug` does with a pod that runs; no API server takes a new pod with such containers.
pub fn debug(random: &mut Random, pod: &mut Value) {
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    let containers: Vec<Value> = (0..random.between(1, 2))
        .map(|index| json!({"name": format!("debugger-{index}"), "image": image(random), "env": environment(random)}))
        .collect();
    spec.insert("ephemeralContainers".to_owned(), Value::Array(containers));
}

pub fn send_to_the_node(random: &mut Random, pod: &mut Value) {
    let Some(container) = pod.pointer_mut("/spec/containers/0").and_then(Value::as_object_mut) else { return };
    let Some(variables) = container.entry("env").or_insert_with(|| json!([])).as_array_mut() else { return };
    variables.insert(random.below(variables.len() + 1), node_endpoint(random));
}

/// By a variable of otelgate's.
fn node_endpoint(random: &mut Random) -> Value {
    let host = random.pick(&[configuration::NODE_ADDRESS, var::NODE_IP]);
    let name = random.pick(&[var::ENDPOINT, var::METRICS_ENDPOINT, var::LOGS_ENDPOINT]);
    json!({ "name": name, "value": format!("http://$({host}):4318/v1/own") })
}

/// What refers to variables of otelgate's that stand behind it.
pub fn in_front(random: &mut Random) -> Vec<Value> {
    let attributes = json!({ "name": var::RESOURCE_ATTRIBUTES, "value": resource_attributes(random) });
    let attributes = random.percent(50).then_some(attributes);
    std::iter::once(node_endpoint(random)).chain(attributes).collect()
}

fn image(random: &mut Random) -> &'static str {
    random.pick(&[
        "nginx",
        "nginx:1.27.3",
        "registry.example.com:5000/team/app:v1.2.3-rc.1",
        "ghcr.io/example/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "app:1.0@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "localhost:5000/app",
        "redis:latest",
        "docker.io/library/postgres:16-alpine",
    ])
}

fn environment(random: &mut Random) -> Vec<Value> {
    if random.percent(25) {
        return Vec::new();
    }
    let mut variables: Vec<Value> = Vec::new();
    for _ in 0..random.weighted(&[(3, 1), (3, 2), (3, 4), (2, 8)]) {
        let duplicate = !variables.is_empty() && random.percent(6);
        let variable = if duplicate {
            let again = variables[random.below(variables.len())]["name"].clone();
            json!({ "name": again, "value": tricky(random) })
        } else {
            variable(random)
        };
        variables.push(variable);
    }
    variables
}

pub fn variable(random: &mut Random) -> Value {
    match random.below(20) {
        0..6 => {
            let name = random.pick(&["A", "LATER", "DB_PASSWORD", "LOG_LEVEL", "JAVA_OPTS", "my.dotted-name", "LANG"]);
            let value = if random.percent(50) { secret(random) } else { tricky(random) };
            json!({ "name": name, "value": value })
        }
        6 => json!({ "name": random.pick(&["A", "EMPTY"]) }),
        7 | 8 => from_elsewhere(random, random_name),
        9..12 => json!({ "name": var::RESOURCE_ATTRIBUTES, "value": resource_attributes(random) }),
        12..16 => opentelemetry(random),
        16 | 17 => signal(random),
        18 => {
            let name = random.pick(&[var::DD_SERVICE, var::DD_ENV, var::DD_VERSION]);
            let value = random.pick(&["dd-value", "", "2.0.1+x", "$(A)", "a b", "$(OTEL_SERVICE_NAME)"]);
            json!({ "name": name, "value": value })
        }
        _ => {
            let name = random.pick(&[var::POD_NAME, var::POD_UID, var::NODE_NAME, var::NODE_IP]);
            match random.below(3) {
                0 => json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
                1 => {
                    json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } })
                }
                _ => json!({ "name": name, "value": secret(random) }),
            }
        }
    }
}

fn random_name(random: &mut Random) -> &'static str {
    random.pick(&[
        "DB_PASSWORD",
        "A",
        var::DD_SERVICE,
        var::DD_ENV,
        var::DD_VERSION,
        var::SERVICE_NAME,
        var::RESOURCE_ATTRIBUTES,
        var::ENDPOINT,
        var::PROTOCOL,
        var::SAMPLER,
        var::PROPAGATORS,
        var::SDK_DISABLED,
        var::LOGS_EXPORTER,
    ])
}

fn from_elsewhere(random: &mut Random, name: fn(&mut Random) -> &'static str) -> Value {
    let from = match random.below(4) {
        0 => json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.labels['app']" } }),
        1 => json!({ "secretKeyRef": { "name": "database", "key": "password", "optional": true } }),
        2 => json!({ "configMapKeyRef": { "name": "settings", "key": "k" } }),
        _ => json!({ "resourceFieldRef": { "resource": "limits.memory" } }),
    };
    let mut variable = json!({ "name": name(random), "valueFrom": from });
    if random.percent(10) {
        variable["value"] = json!("");
    }
    variable
}

fn opentelemetry(random: &mut Random) -> Value {
    let (name, values): (_, &[&str]) = random.pick(&[
        (var::SERVICE_NAME, &["users-name", "", "$(A)", "pay$$ments", "$(NOWHERE)"] as &[&str]),
        (
            var::ENDPOINT,
            &[
                "http://users:4317",
                "https://users.example",
                "",
                "http://$(HIDDEN_HOST):4318",
                "http://otel-collector.datadog:4318",
            ],
        ),
        (var::PROTOCOL, &["grpc", "http/protobuf", "http/json", "thrift", ""]),
        (var::SAMPLER, &["always_off", "traceidratio", ""]),
        (var::SAMPLER_ARG, &["0.5", ""]),
        (var::PROPAGATORS, &["b3", "tracecontext,baggage"]),
        (var::LOGS_EXPORTER, &["otlp", "console"]),
        (var::SDK_DISABLED, &["true", "false", "TRUE", "$(A)"]),
        (var::TEMPORALITY, &["cumulative", "delta"]),
        ("OTEL_EXPORTER_OTLP_HEADERS", &["api-key=zq9xsecretheader"]),
    ]);
    json!({ "name": name, "value": random.pick(values) })
}

/// A variable of one signal alone.
fn signal(random: &mut Random) -> Value {
    let signal = random.pick(&["TRACES", "METRICS", "LOGS"]);
    let (suffix, value) = random.pick(&[
        ("ENDPOINT", "http://one-signal:4318/v1/own"),
        ("ENDPOINT", "http://one-signal:4317"),
        ("PROTOCOL", "grpc"),
        ("PROTOCOL", "http/protobuf"),
        ("PROTOCOL", "smoke"),
        ("HEADERS", "x=y"),
        ("TIMEOUT", "10"),
    ]);
    let mut variable = json!({ "name": format!("OTEL_EXPORTER_OTLP_{signal}_{suffix}"), "value": value });
    if random.percent(10) {
        variable =
            json!({ "name": variable["name"], "valueFrom": { "configMapKeyRef": { "name": "otel", "key": "k" } } });
    }
    variable
}

/// As people write it, and as nobody should.
pub fn resource_attributes(random: &mut Random) -> String {
    const KEYS: [&str; 12] = [
        "service.name",
        "service.version",
        "deployment.environment",
        "deployment.environment.name",
        "service.namespace",
        "service.instance.id",
        "k8s.pod.name",
        "k8s.cluster.name",
        "team",
        "k8s.container.name",
        "team",
        "Own.Key",
    ];
    if random.percent(3) {
        return format!("blob={}", "b".repeat(random.between(31 * 1024, 33 * 1024)));
    }
    if random.percent(5) {
        return random.pick(&["", " ", ",", "junk", "=v", "$(A)", "$(FROM_CONFIG)", "a=$(", "a=b,$("]).to_owned();
    }
    let mut text = String::new();
    for index in 0..random.between(1, 4) {
        if index > 0 {
            text.push_str(random.pick(&[",", ",", ", ", ",,", " , "]));
        }
        text.push_str(random.pick(&KEYS));
        text.push_str(random.pick(&["=", "=", "=", " = ", "=="]));
        let value = match random.below(10) {
            0..3 => secret(random),
            3 => tricky(random).replace(',', ""),
            _ => random
                .pick(&[
                    "a%20b",
                    "%C3%A9",
                    "%zz",
                    "v%2C1",
                    "$(A)",
                    "$(LATER)",
                    "pa$$s",
                    "$",
                    "",
                    "plain",
                    "$(OTEL_SERVICE_NAME)",
                ])
                .to_owned(),
        };
        text.push_str(&value);
    }
    text.push_str(random.pick(&["", "", "", ",", " ", "$"]));
    text
}
