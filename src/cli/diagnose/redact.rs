//! What of an object may leave the cluster in a bug report.
//!
//! Pure. What may hold a secret is named by its place, and its value replaced: values of variables, arguments, bodies of
//! annotations, data of `ConfigMap`s and Secrets, headers, options of volumes, keys and files of a `DatadogAgent`. Of
//! otelgate's own configuration and `TelemetryStack`, which people write by hand, only the fields that the schema knows
//! keep their values.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::certificate;
use crate::api::annotation;

/// Stands where something was taken out.
pub const HIDDEN: &str = "<redacted>";

/// Annotations whose bodies are told: otelgate's own report, and what its chart writes.
const TOLD_ANNOTATIONS: [&str; 8] = [
    annotation::STATUS,
    annotation::REVISION,
    annotation::SECRET_VERSION,
    annotation::CREDENTIALS,
    annotation::AGENT_REVISION,
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/allow-direct-injection",
];
/// Maps whose values may be anything.
const HIDDEN_MAPS: [&str; 12] = [
    "data",
    "stringData",
    "binaryData",
    "env",
    "podAnnotations",
    "volumeAttributes",
    "options",
    "parameters",
    "attributes",
    "configDataMap",
    "serviceAccountAnnotations",
    "userAnnotations",
];
/// Of a `DatadogAgent`: keys in the clear, and in its status the token that the operator made up.
const KEYS: [&str; 4] = ["apiKey", "appKey", "clusterAgentToken", "generatedToken"];
/// Likewise texts that may hold anything: files, and what a program that finds secrets is told.
const TEXTS: [&str; 3] = ["configData", "additionalConfigs", "args"];

/// The words of otelgate's own command lines: flags, whose values are no secrets, and subcommands.
#[derive(Clone, Debug, Default)]
pub struct Words {
    flags: BTreeSet<String>,
    subcommands: BTreeSet<String>,
}

/// An object of the cluster without what may be secret.
#[must_use]
pub fn object(value: &Value, words: &Words) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "managedFields");
            Value::Object(kept.map(|(key, value)| (key.clone(), field(key, value, words))).collect())
        }
        Value::Array(items) => items.iter().map(|item| object(item, words)).collect(),
        Value::String(text) => Value::String(without_password(text)),
        other => other.clone(),
    }
}

fn field(key: &str, value: &Value, words: &Words) -> Value {
    match (key, value) {
        ("annotations", Value::Object(map)) => {
            let told = |key: &str, value: &Value| match key {
                annotation::TRIAL => trial(value),
                _ if TOLD_ANNOTATIONS.contains(&key) => value.clone(),
                _ => HIDDEN.into(),
            };
            map.iter().map(|(key, value)| (key.clone(), told(key, value))).collect()
        }
        ("env" | "httpHeaders" | "ddTraceConfigs", Value::Array(items)) => {
            items.iter().map(|item| named(item, words)).collect()
        }
        ("args" | "command", Value::Array(items)) => items.iter().map(|item| words.argument(item)).collect(),
        ("terminated", Value::Object(map)) => {
            // What a container wrote last, which may be anything.
            let message = map.get("message").map(|_| ("message".to_owned(), Value::from(HIDDEN)));
            let others = map.iter().filter(|(key, _)| *key != "message");
            others.map(|(key, value)| (key.clone(), object(value, words))).chain(message).collect()
        }
        ("caBundle", Value::String(text)) => certificate::of_base64(text),
        (key, Value::String(_)) if KEYS.contains(&key) || TEXTS.contains(&key) => HIDDEN.into(),
        (key, Value::Object(map)) if HIDDEN_MAPS.contains(&key) => hidden_values(map),
        (_, value) => object(value, words),
    }
}

/// The keys that an object holds in the clear, which may stand elsewhere, too.
pub fn keys<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| match value {
            Value::String(text) if KEYS.contains(&name.as_str()) => found.push(text),
            other => keys(other, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// How a trial ended, without the Collector's words, which may quote its configuration.
fn trial(value: &Value) -> Value {
    fn without_words(value: &mut Value) {
        for (key, value) in value.as_object_mut().into_iter().flatten() {
            if key == "words" {
                *value = HIDDEN.into();
            } else {
                without_words(value);
            }
        }
    }
    let Some(mut mark) = value.as_str().and_then(|text| serde_json::from_str(text).ok()) else { return HIDDEN.into() };
    without_words(&mut mark);
    mark.to_string().into()
}

/// A variable or a header: its name, and where its value comes from.
fn named(item: &Value, words: &Words) -> Value {
    let Value::Object(map) = item else { return HIDDEN.into() };
    let told = |(key, value): (&String, &Value)| match key.as_str() {
        "name" | "valueFrom" => (key.clone(), object(value, words)),
        _ => (key.clone(), HIDDEN.into()),
    };
    map.iter().map(told).collect()
}

fn hidden_values(map: &Map<String, Value>) -> Value {
    map.keys().map(|key| (key.clone(), Value::from(HIDDEN))).collect()
}

/// A URL may carry a name and a password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// What a schema knows of a value, and of the rest the names.
#[must_use]
pub fn known(value: &Value, schema: &Value, root: &Value) -> Value {
    let schema = resolved(schema, root);
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties");
            let further = schema.get("additionalProperties").filter(|further| further.is_object());
            let of = |key: &str| properties.and_then(|properties| properties.get(key)).or(further);
            let told = |key: &str, value| of(key).map_or_else(|| HIDDEN.into(), |schema| known(value, schema, root));
            map.iter().map(|(key, value)| (key.clone(), told(key, value))).collect()
        }
        Value::Array(items) => match schema.get("items") {
            Some(schema) => items.iter().map(|item| known(item, schema, root)).collect(),
            None => HIDDEN.into(),
        },
        Value::Null => Value::Null,
        _ if schema.get("properties").is_some() || schema.get("items").is_some() => HIDDEN.into(),
        scalar => scalar.clone(),
    }
}

/// Behind a reference, and of `T or null` the T.
fn resolved<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let alternatives = ["anyOf", "allOf"].into_iter().find_map(|key| schema.get(key)?.as_array());
    let schema =
        alternatives.and_then(|all| all.iter().find(|one| one.get("type") != Some(&json!("null")))).unwrap_or(schema);
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    match reference.and_then(|pointer| root.pointer(pointer)) {
        Some(target) => resolved(target, root),
        None => schema,
    }
}

/// Of a Secret: everything but its data, whose keys are named, and whose certificates' dates are told.
#[must_use]
pub fn secret(value: &Value, words: &Words) -> Value {
    let mut told = object(value, words);
    let data = value.get("data").and_then(Value::as_object).into_iter().flatten();
    let keys = data.map(|(key, value)| {
        let certificates = certificate::of_base64(value.as_str().unwrap_or_default());
        (key.clone(), certificates)
    });
    let keys: Map<String, Value> = keys.collect();
    if let Value::Object(told) = &mut told {
        told.remove("data");
        told.remove("stringData");
        told.insert("keys".to_owned(), Value::Object(keys));
    }
    told
}

// === impl Words ===

impl Words {
    /// Those of the programs that run in the cluster.
    #[must_use]
    pub fn of(command: &clap::Command) -> Self {
        let mut words = Self::default();
        for program in command.get_subcommands().filter(|one| ["webhook", "controller"].contains(&one.get_name())) {
            words.subcommands.insert(program.get_name().to_owned());
            for flag in program.get_arguments() {
                words.flags.extend(flag.get_long().map(|long| format!("--{long}")));
                words.flags.extend(flag.get_short().map(|short| format!("-{short}")));
            }
        }
        words
    }

    /// A flag of otelgate's with its value, another flag's name, and nothing else.
    fn argument(&self, argument: &Value) -> Value {
        let Some(text) = argument.as_str() else { return HIDDEN.into() };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if self.subcommands.contains(text) || self.flags.contains(name) {
            return without_password(text).into();
        }
        if name.starts_with('-') && !value.is_empty() { format!("{name}={HIDDEN}").into() } else { HIDDEN.into() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::config::Document;

    const SECRET: &str = "hunter2-hunter2";

    fn words() -> Words {
        Words::of(&Cli::command())
    }

    /// A pod with a secret wherever people put them.
    fn planted() -> Value {
        let container = json!({
            "name": "webhook", "image": "otelgate:1",
            "args": ["webhook", "--listen=0.0.0.0:8443", format!("--token={SECRET}"), SECRET, "--client-ca", SECRET],
            "command": ["/bin/sh", "-c", format!("curl -H {SECRET}")],
            "env": [{"name": "A", "value": SECRET}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "livenessProbe": {"httpGet": {"path": "/livez", "httpHeaders": [{"name": "Authorization", "value": SECRET}]}},
            "lifecycle": {"preStop": {"exec": {"command": [SECRET]}}},
        });
        json!({
            "metadata": {
                "name": "p", "namespace": "otelgate", "labels": {"app.kubernetes.io/name": "otelgate"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"env\": \"{SECRET}\"}}"),
                    "example.com/token": SECRET, "otelgate.dev/endpoint": format!("https://u:{SECRET}@host/"),
                    annotation::STATUS: "{\"version\":\"0.1.0\"}",
                    annotation::TRIAL: json!({"failed": {"node": "node-7", "words": SECRET}}).to_string(),
                },
                "managedFields": [{"manager": "m", "fieldsV1": {format!("f:{SECRET}"): {}}}],
            },
            "spec": {
                "containers": [container.clone()], "initContainers": [container.clone()],
                "ephemeralContainers": [container],
                "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"password": SECRET}}}],
            },
            "status": {"containerStatuses": [
                {"name": "webhook", "lastState": {"terminated": {"exitCode": 1, "message": SECRET}}},
            ]},
            "data": {"config": SECRET, "pod.json": json!({"env": [{"name": "A", "value": SECRET}]}).to_string()},
            "env": {"KEY": SECRET}, "podAnnotations": {"example.com/key": SECRET},
            "url": format!("https://user:{SECRET}@example.com/path"),
        })
    }

    #[test]
    fn nothing_that_was_planted_is_left() {
        let told = object(&planted(), &words());
        assert!(!told.to_string().contains(SECRET), "{told:#}");
        let text = told.to_string();
        for kept in [
            "--listen=0.0.0.0:8443",
            "\"webhook\"",
            "--token=<redacted>",
            "secretKeyRef",
            "example.com/token",
            "https://<redacted>@example.com/path",
            "{\\\"version\\\":\\\"0.1.0\\\"}",
            "\"config\"",
            "\"pod.json\"",
            "\"KEY\"",
            "node-7",
        ] {
            assert!(text.contains(kept), "{kept} is missing: {told:#}");
        }
    }

    /// Wherever release 1.31.0 of the Datadog Operator takes a text that may be secret, or writes one.
    #[test]
    fn a_datadog_agent_keeps_what_it_refers_to_and_no_secret() {
        let env = json!([{"name": "DD_PROXY_HTTPS", "value": SECRET},
                         {"name": "DD_KEY", "valueFrom": {"secretKeyRef": {"name": "more-keys", "key": "k"}}}]);
        let credentials = json!({
            "apiKey": SECRET, "appKey": SECRET,
            "apiSecret": {"secretName": "datadog-secret", "keyName": "api-key"},
        });
        let file = json!({"configData": SECRET, "configMap": {"name": "files"}});
        let agent = json!({
            "metadata": {"name": "datadog", "annotations": {"note": SECRET}},
            "spec": {
                "global": {
                    "site": "datadoghq.eu", "credentials": credentials, "env": env, "clusterAgentToken": SECRET,
                    "clusterAgentTokenSecret": {"secretName": "token-of-ours"},
                    "endpoint": {"url": format!("https://u:{SECRET}@intake"), "credentials": credentials},
                    "secretBackend": {"command": "/bin/finder", "args": format!("--token {SECRET}")},
                },
                "features": {
                    "cspm": {"customBenchmarks": file},
                    "prometheusScrape": {"enabled": true, "additionalConfigs": format!("- password: {SECRET}")},
                    "apm": {"instrumentation": {"targets": [{"name": "web", "ddTraceConfigs": env}]}},
                },
                "override": {"nodeAgent": {
                    "env": env, "annotations": {"note": SECRET}, "serviceAccountAnnotations": {"note": SECRET},
                    "containers": {"agent": {"env": env, "args": [SECRET], "command": [SECRET]}},
                    "customConfigurations": {"datadog.yaml": file},
                    "extraConfd": {"configDataMap": {"redis.yaml": SECRET}},
                    "extraChecksd": {"configDataMap": {"check.py": SECRET}},
                }},
            },
            "status": {
                "clusterAgent": {"state": "Running", "generatedToken": SECRET},
                "remoteConfigConfiguration": {"features": {"cws": {"customPolicies": file}}},
            },
        });
        let told = object(&agent, &words()).to_string();
        assert!(!told.contains(SECRET), "{told}");
        for kept in ["datadoghq.eu", "datadog-secret", "api-key", "token-of-ours", "DD_PROXY_HTTPS", "more-keys"] {
            assert!(told.contains(kept), "{kept} is missing: {told}");
        }
        for kept in ["datadog.yaml", "files", "redis.yaml", "check.py", "/bin/finder", "Running", "web"] {
            assert!(told.contains(kept), "{kept} is missing: {told}");
        }
        let mut found = Vec::new();
        keys(&agent, &mut found);
        assert_eq!(found, [SECRET; 6], "of two credentials, and two tokens");
    }

    #[test]
    fn a_secret_keeps_the_names_of_its_keys() {
        let data = json!({"api-key": crate::cli::diagnose::tests::base64(SECRET)});
        let secret =
            secret(&json!({"kind": "Secret", "metadata": {"name": "s"}, "data": data, "type": "Opaque"}), &words());
        assert_eq!(
            secret,
            json!({"kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "keys": {"api-key": []}})
        );
    }

    #[test]
    fn of_a_configuration_only_what_the_schema_knows_is_told() {
        let schema = serde_json::to_value(schemars::schema_for!(Document)).expect("a schema");
        let written = json!({
            "apiVersion": "otelgate.dev/v1alpha1", "clusterName": "east", "apiKey": SECRET,
            "otlp": {"endpoint": format!("https://u:{SECRET}@host:4318"), "headers": {"api-key": SECRET}},
            "collector": SECRET, "propagators": ["b3"], "sampler": {"name": "always_on", "key": SECRET},
            "env": [{"name": "A", "value": SECRET}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "exclude": [{"namespace": "n", "selector": {"matchLabels": {"a": "b"},
                         "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}}],
        });
        let told = object(&known(&written, &schema, &schema), &words());
        assert!(!told.to_string().contains(SECRET), "{told:#}");
        for pointer in ["/apiVersion", "/clusterName", "/propagators", "/sampler/name", "/env/1", "/exclude"] {
            assert_eq!(told.pointer(pointer), written.pointer(pointer), "{pointer}");
        }
        assert_eq!(told["otlp"]["endpoint"], "https://<redacted>@host:4318");
        assert_eq!(told["apiKey"], HIDDEN);
    }
}
