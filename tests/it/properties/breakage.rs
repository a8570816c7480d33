//! Things broken in a pod that otherwise could exist: the engine must bear them all.

use serde_json::{Value, json};

use super::generate::secret;
use super::random::Random;

pub fn break_something(random: &mut Random, pod: &mut Value) {
    let mut paths = Vec::new();
    collect(pod, "", &mut paths);
    let path = &paths[random.below(paths.len())];
    let place = pod.pointer_mut(path).expect("the path was just collected");
    match random.below(12) {
        0..4 => *place = Value::Null,
        4..7 => add_unknown(place),
        7 => illegal_annotation(random, pod),
        8 => value_and_value_from(random, pod),
        9 => *place = json!(""),
        10 => *place = json!([place.clone(), 1e308, -0.0]),
        _ => *place = json!({ "": place.clone(), "/~": u64::MAX }),
    }
}

/// Pointers to everything in the value but itself.
pub fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                collect(field, &path, paths);
                paths.push(path);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}/{index}");
                collect(item, &path, paths);
                paths.push(path);
            }
        }
        _ => {}
    }
}

fn add_unknown(place: &mut Value) {
    if let Value::Object(fields) = place {
        fields.insert("aFieldOfTomorrow".to_owned(), json!({ "a/b~c": [null, {}], "": 1 }));
    }
}

fn illegal_annotation(random: &mut Random, pod: &mut Value) {
    if let Some(Value::Object(annotations)) = pod.pointer_mut("/metadata/annotations") {
        let key = random.pick(&["a~b/c/d", "", "/", "otelgate.dev/", "resource.opentelemetry.io/", "ü"]);
        annotations.insert(key.to_owned(), json!(secret(random)));
    }
}

fn value_and_value_from(random: &mut Random, pod: &mut Value) {
    if let Some(Value::Object(variable)) = pod.pointer_mut("/spec/containers/0/env/0") {
        variable.insert("value".to_owned(), json!(secret(random)));
        variable.insert("valueFrom".to_owned(), json!({ "fieldRef": { "fieldPath": "metadata.name" } }));
    }
}
