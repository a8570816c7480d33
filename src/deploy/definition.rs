//! What changes in the `CustomResourceDefinition`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What an apply would do to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Create,
    /// The fields that come, go and change, as `+spec.…`, `-spec.…` and `~spec.…`.
    Update(Vec<String>),
    Keep,
}

/// Compares the definition that is served, if any, with the one that the API server would make of ours.
#[must_use]
pub fn change(served: Option<&Value>, applied: &Value) -> Change {
    let Some(served) = served else { return Change::Create };
    let mut found = Vec::new();
    compare("", &served["spec"], &applied["spec"], &mut found);
    if found.is_empty() { Change::Keep } else { Change::Update(found) }
}

/// Of something that only one of the two has, its own name is enough.
fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => compare_maps(path, before, after, found),
        (Value::Array(before), Value::Array(after)) => {
            if let (Some(before), Some(after)) = (by_name(before), by_name(after)) {
                compare_maps(path, &before, &after, found);
            } else if before != after {
                found.push(format!("~{path}"));
            }
        }
        _ if before == after => {}
        _ => found.push(format!("~{path}")),
    }
}

fn compare_maps(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Vec<String>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let inner = step(path, key);
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => compare(&inner, before, after, found),
            (Some(_), None) => found.push(format!("-{inner}")),
            (None, _) => found.push(format!("+{inner}")),
        }
    }
}

/// The words of a schema that stand between each property and the next would only make it longer.
fn step(path: &str, key: &str) -> String {
    match (path, key) {
        (_, "properties" | "schema" | "openAPIV3Schema" | "versions") => path.to_owned(),
        ("", _) => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// A list of things that have names each, as a map.
fn by_name(list: &[Value]) -> Option<Map<String, Value>> {
    list.iter().map(|one| Some((one["name"].as_str()?.to_owned(), one.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(properties: &Value, columns: &Value) -> Value {
        json!({"spec": {"group": "otelgate.dev", "versions": [{
            "name": "v1alpha1",
            "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": properties}}}},
            "additionalPrinterColumns": columns,
        }]}})
    }

    #[test]
    fn what_comes_goes_and_changes_is_named() {
        let columns = json!([{"name": "READY", "jsonPath": ".a"}]);
        let before = definition(&json!({"a": {"type": "string"}, "gone": {}}), &columns);
        let after = definition(&json!({"a": {"type": "integer"}, "new": {"properties": {"x": {}}}}), &json!([]));
        assert_eq!(change(None, &after), Change::Create);
        assert_eq!(change(Some(&after), &after), Change::Keep);
        let Change::Update(found) = change(Some(&before), &after) else { panic!("it differs") };
        assert_eq!(
            found,
            [
                "-v1alpha1.additionalPrinterColumns.READY",
                "~v1alpha1.spec.a.type",
                "-v1alpha1.spec.gone",
                "+v1alpha1.spec.new"
            ]
        );
    }
}
