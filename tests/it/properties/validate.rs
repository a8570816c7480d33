//! The rules of the API server that a patch of ours could break, written from Kubernetes' documentation.

use std::collections::BTreeSet;

use serde_json::Value;

const MAX_ANNOTATIONS: usize = 256 * 1024;
const MAX_OBJECT: usize = 1536 * 1024;

/// Everything that the API server would refuse in a pod (a template needs no name).
pub fn faults(pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if !pod.is_object() || !pod["spec"].is_object() {
        return vec!["no pod".to_owned()];
    }
    for field in ["/metadata", "/metadata/labels", "/metadata/annotations"] {
        if pod.pointer(field).is_some_and(|value| !value.is_object() && !value.is_null()) {
            faults.push(format!("{field} is no object"));
        }
    }
    annotations(&pod["metadata"]["annotations"], &mut faults);
    labels(&pod["metadata"]["labels"], &mut faults);
    containers(&pod["spec"], &mut faults);
    if pod.to_string().len() > MAX_OBJECT {
        faults.push("the object is larger than 1.5 MiB".to_owned());
    }
    faults
}

fn annotations(annotations: &Value, faults: &mut Vec<String>) {
    let mut total = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else {
            faults.push(format!("annotation {key} is no string"));
            continue;
        };
        total += key.len() + value.len();
        if !is_key(&key.to_lowercase()) {
            faults.push(format!("annotation {key}: illegal key"));
        }
    }
    if total > MAX_ANNOTATIONS {
        faults.push(format!("annotations have {total} bytes"));
    }
}

fn labels(labels: &Value, faults: &mut Vec<String>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if !is_key(key) {
            faults.push(format!("label {key}: illegal key"));
        }
        if !value.as_str().is_some_and(|value| value.is_empty() || is_name(value)) {
            faults.push(format!("label {key}: illegal value"));
        }
    }
}

fn containers(spec: &Value, faults: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        faults.push("no containers".to_owned());
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        if spec.get(list).is_some_and(|value| !value.is_array() && !value.is_null()) {
            faults.push(format!("{list} is no list"));
        }
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if !is_dns_label(name) {
                faults.push(format!("container {name}: illegal name"));
            }
            if !names.insert(name) {
                faults.push(format!("container {name} stands twice"));
            }
            let image = container["image"].as_str().unwrap_or_default();
            if image.is_empty() || image.trim() != image {
                faults.push(format!("container {name}: illegal image"));
            }
            environment(name, &container["env"], faults);
        }
    }
}

fn environment(container: &str, env: &Value, faults: &mut Vec<String>) {
    if !env.is_array() && !env.is_null() {
        faults.push(format!("container {container}: env is no list"));
    }
    for variable in env.as_array().into_iter().flatten() {
        let Some(name) = variable["name"].as_str().filter(|name| is_variable(name)) else {
            faults.push(format!("container {container}: illegal variable name {}", variable["name"]));
            continue;
        };
        if !variable["value"].is_string() && !variable["value"].is_null() {
            faults.push(format!("container {container}: {name} has a value that is no string"));
        }
        match &variable["valueFrom"] {
            Value::Null => {}
            Value::Object(from) => {
                if variable["value"].as_str().is_some_and(|value| !value.is_empty()) {
                    faults.push(format!("container {container}: {name} has value and valueFrom"));
                }
                if from.values().filter(|source| !source.is_null()).count() != 1 {
                    faults.push(format!("container {container}: {name} needs one source"));
                }
                if from.get("fieldRef").is_some_and(|field| !is_field(field["fieldPath"].as_str())) {
                    faults.push(format!("container {container}: {name} names no field"));
                }
            }
            _ => faults.push(format!("container {container}: {name} has a valueFrom that is no object")),
        }
    }
}

fn is_field(path: Option<&str>) -> bool {
    const FIELDS: [&str; 9] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    path.is_some_and(|path| {
        let subscripted = ["metadata.labels['", "metadata.annotations['"]
            .iter()
            .filter_map(|prefix| path.strip_prefix(prefix)?.strip_suffix("']"))
            .any(|key| is_key(&key.to_lowercase()));
        subscripted || FIELDS.contains(&path)
    })
}

/// `[prefix/]name`.
pub fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(|part| is_lower(part) && !part.is_empty()) && is_name(name)
        }
        None => is_name(key),
    }
}

/// At most 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends.
pub fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_dns_label(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && is_lower(name)
}

fn is_lower(part: &str) -> bool {
    part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// The strict rule, which every supported version accepts.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && !name.starts_with("..")
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
