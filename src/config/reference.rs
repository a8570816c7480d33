//! The configuration's reference page, from the types' doc comments, their schema and the defaults.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{API_VERSION, Document, KIND};

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = schemars::schema_for!(Document).to_value();
    let defaults = serde_json::to_value(Document::default()).unwrap_or_default();
    let mut page = format!(
        "# Configuration\n\n\
         One YAML document, for `otelgate webhook --config`, `otelgate inject -c` and `otelgate explain -c`, or a\n\
         ConfigMap that holds it under the key `config.yaml`. Unknown keys are refused. The least that it has to say:\n\n\
         ```yaml\napiVersion: {API_VERSION}\nkind: {KIND}\n```\n\n\
         | key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    );
    let page_of = Page { schema: &schema, defaults: &defaults };
    page_of.rows(&schema, "", true, &mut page);
    page
}

struct Page<'a> {
    schema: &'a Value,
    defaults: &'a Value,
}

impl<'a> Page<'a> {
    /// A row for each property of an object; `top` while defaults can be looked up by the path.
    fn rows(&self, object: &'a Value, path: &str, top: bool, page: &mut String) {
        let properties = object.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let required = object
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|names| names.iter().any(|one| one == name));
            let default = match self.default(&path).filter(|_| top) {
                _ if required => "required".to_owned(),
                Some(Value::Object(_)) => String::new(),
                Some(value) => format!("`{value}`"),
                None => "not set".to_owned(),
            };
            let target = self.resolve(property);
            let meaning = description(property).or_else(|| description(target)).unwrap_or_default();
            let cells = [format!("`{path}`"), self.type_of(property), default, meaning];
            writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).join(" | "))
                .expect("a String takes all");
            if let Some(items) = target.get("items") {
                self.rows(self.resolve(items), &format!("{path}[]"), false, page);
            }
            self.rows(target, &path, top, page);
        }
    }

    fn default(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.defaults, |value, name| value.get(name))
    }

    /// What a reference, or an optional type, stands for.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer));
            return target.map_or(schema, |target| self.resolve(target));
        }
        let mut alternatives = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let something = alternatives.find(|one| one.get("type").and_then(Value::as_str) != Some("null"));
        something.map_or(schema, |one| self.resolve(one))
    }

    fn type_of(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        if let Some(values) = values(schema) {
            return values;
        }
        let name = match schema.get("type") {
            Some(Value::String(name)) => name,
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
            }
            _ => "any",
        };
        match (name, schema.get("items"), schema.get("additionalProperties")) {
            ("array", Some(items), _) => format!("list of {}", self.type_of(items)),
            ("object", _, Some(values @ Value::Object(_))) => format!("map of {}", self.type_of(values)),
            ("object", ..) => "map".to_owned(),
            (name, ..) => name.to_owned(),
        }
    }
}

/// The values that are allowed, if they are listed.
fn values(schema: &Value) -> Option<String> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let one_of = schema.get("oneOf").and_then(Value::as_array);
    let values: Vec<&str> = match (listed, one_of) {
        (Some(listed), _) => listed.iter().filter_map(Value::as_str).collect(),
        (None, Some(one_of)) => one_of.iter().filter_map(|one| one.get("const").and_then(Value::as_str)).collect(),
        (None, None) => return None,
    };
    Some(values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "))
}

fn description(schema: &Value) -> Option<String> {
    schema.get("description").and_then(Value::as_str).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_documented_defaults_has_a_row_with_a_meaning() {
        fn check(value: &Value, path: &str, page: &str) {
            for (name, value) in value.as_object().into_iter().flatten() {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let row = page.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
                let row = row.unwrap_or_else(|| panic!("{path} has no row"));
                assert!(!row.ends_with("|  |"), "{row}");
                check(value, &path, page);
            }
        }

        let page = reference();
        check(&serde_json::to_value(Document::default()).expect("plain data"), "", &page);
        assert!(
            page.contains("| `otlp.protocol` | `grpc`, `http/protobuf`, `http/json` | `\"http/protobuf\"` |"),
            "{page}"
        );
        assert!(page.contains("| `env[].valueFrom.fieldRef.fieldPath` | string | required |"), "{page}");
        assert!(page.contains("| `clusterName` | string | not set |"), "{page}");
    }
}
