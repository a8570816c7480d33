//! The offline commands, and how what they say is compared with what came back from an API server.

use std::process::Command;

use serde_json::{Value, json};

use super::OTELGATE;
use crate::control_plane::Webhook;
use crate::control_plane::kubectl::Outcome;

/// `otelgate inject`, with the configuration that the webhook serves.
pub fn inject(webhook: &Webhook<'_>, arguments: &[&str], input: &str) -> Outcome {
    let mut command = Command::new(OTELGATE);
    command.arg("inject").arg("-c").arg(webhook.configuration()).args(arguments).args(["-f", "-"]);
    Outcome::of(&mut command, input)
}

/// What `otelgate inject` makes of objects, told of their namespaces.
#[track_caller]
pub fn injected(webhook: &Webhook<'_>, namespaces: &[Value], objects: &[Value]) -> Vec<Value> {
    let list = list_of(&[namespaces, objects].concat()).to_string();
    let mut documents = parse(&inject(webhook, &[], &list).expect("otelgate inject"));
    documents.retain(|document| document["kind"] != "Namespace");
    documents
}

/// The objects of a stream of YAML documents or JSON values, and of the lists in it.
#[track_caller]
pub fn parse(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = if text.starts_with('{') {
        let values = serde_json::Deserializer::from_str(text).into_iter();
        values.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {text}"))
    } else {
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in {text}"))
    };
    let items = |document: Value| match &document["items"] {
        Value::Array(items) => items.clone(),
        _ => vec![document],
    };
    documents.into_iter().filter(|document| !document.is_null()).flat_map(items).collect()
}

pub fn list_of(objects: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

/// A pod without what differs each time that it is created: two that are equal were injected equally.
pub fn comparable(pod: &Value) -> Value {
    let mut pod = without_random_volumes(pod);
    // Conditions have times.
    pod.as_object_mut().expect("a pod is an object").remove("status");
    let metadata = pod["metadata"].as_object_mut().expect("an object has metadata");
    for key in ["uid", "creationTimestamp", "managedFields", "resourceVersion", "generation"] {
        metadata.remove(key);
    }
    if metadata.contains_key("generateName") {
        metadata.remove("name");
    }
    without_defaults(&mut pod);
    pod
}

/// The API server says of each reference to a field which version's field it is, and leaves an empty value out.
pub fn without_defaults(value: &mut Value) {
    if value["value"] == "" {
        value.as_object_mut().expect("it has a field").remove("value");
    }
    match value {
        Value::Object(object) if object.contains_key("fieldPath") => drop(object.remove("apiVersion")),
        Value::Object(object) => object.values_mut().for_each(without_defaults),
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}

/// The volume with the account's token has a random name.
fn without_random_volumes(pod: &Value) -> Value {
    const PREFIX: &str = "kube-api-access-";
    let text = pod.to_string();
    let mut parts = text.split(PREFIX);
    let mut same = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        same.push_str(PREFIX);
        same.push_str(part.get(5..).unwrap_or_default());
    }
    serde_json::from_str(&same).expect("the names are letters and digits")
}

/// The value of a literal variable of a container.
pub fn variable<'p>(pod: &'p Value, container: usize, name: &str) -> Option<&'p str> {
    let env = pod["spec"]["containers"][container]["env"].as_array()?;
    env.iter().find(|entry| entry["name"] == name)?["value"].as_str()
}

/// The annotation that says what was decided.
pub fn status(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"]["otelgate.dev/status"].as_str()
}

/// Says where two values differ, as paths.
pub fn differences(left: &Value, right: &Value) -> Vec<String> {
    fn walk(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
        match (left, right) {
            (Value::Object(a), Value::Object(b)) => {
                let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
                for key in keys {
                    walk(&format!("{path}/{key}"), &left[key], &right[key], found);
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                for index in 0..a.len().max(b.len()) {
                    walk(
                        &format!("{path}/{index}"),
                        a.get(index).unwrap_or(&Value::Null),
                        b.get(index).unwrap_or(&Value::Null),
                        found,
                    );
                }
            }
            _ if left == right => {}
            _ => found.push(format!("{path}: {left} is not {right}")),
        }
    }
    let mut found = Vec::new();
    walk("", left, right, &mut found);
    found
}
