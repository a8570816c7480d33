//! What is written from the types of [`Values`]: the schema that Helm checks values with, the chart's `values.yaml`, and
//! the reference page.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Values;
use crate::schema::{Fields, reference as reference_of};

/// Columns of comments in `values.yaml`.
const WIDTH: usize = 110;

/// `values.schema.json`. Unknown keys are refused, at any depth.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Values>().to_value();
    tidy(&mut schema);
    for (name, definition) in schema["definitions"].as_object_mut().into_iter().flatten() {
        if name.starts_with("io.k8s.") {
            shorten(definition);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let global = json!({"description": "Helm's own, for charts within charts; not used here.", "type": "object"});
        properties.insert("global".to_owned(), global);
    }
    schema
}

/// The reference page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let (schema, defaults) = (schema(), default_values());
    let mut page = String::from(
        "# Values of the chart\n\n\
         Helm refuses unknown keys, and values of another type. `kubectl explain` has the fields of Kubernetes' own types.\n\n\
         | key | type | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for field in fields(&schema, &defaults) {
        let default = match field.default {
            Some(Value::Object(fields)) if !fields.is_empty() && !is_leaf(&field.path, &schema) => String::new(),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        let cells = [format!("`{}`", field.path), field.kind, default, field.meaning];
        writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")).expect("a String takes all");
    }
    page
}

/// `values.yaml`: every value, with what it means.
#[must_use]
pub fn defaults() -> String {
    let (schema, defaults) = (schema(), default_values());
    let mut text = String::from("# Every value with its default. docs/reference/values.md is the same as a table.\n");
    for field in fields(&schema, &defaults) {
        let Some(default) = field.default else { continue };
        let depth = field.path.matches('.').count();
        let (indent, name) = ("  ".repeat(depth), field.path.rsplit('.').next().unwrap_or(&field.path));
        if depth == 0 {
            text.push('\n');
        }
        for line in wrapped(&field.meaning, WIDTH - indent.len()) {
            writeln!(text, "{indent}# {line}").expect("a String takes all");
        }
        match default {
            Value::Object(fields) if !fields.is_empty() => {
                writeln!(text, "{indent}{name}:").expect("a String takes all");
                if is_leaf(&field.path, &schema) {
                    write_block(&mut text, fields, depth + 1);
                }
            }
            value => writeln!(text, "{indent}{name}: {}", flow(value)).expect("a String takes all"),
        }
    }
    text
}

fn default_values() -> Value {
    serde_json::to_value(Values::default()).expect("plain data")
}

fn fields<'a>(schema: &'a Value, defaults: &'a Value) -> Vec<crate::schema::Field<'a>> {
    Fields { schema, defaults, opens }.list().into_iter().filter(|field| field.path != "global").collect()
}

/// Kubernetes' own types have their own reference, and so has the configuration.
fn opens(path: &str, property: &Value) -> bool {
    let of_kubernetes = |schema: &Value| reference_of(schema).is_some_and(|name| name.contains("/io.k8s."));
    path != "injection" && !of_kubernetes(property) && !property.get("items").is_some_and(of_kubernetes)
}

/// Whether a value is written in one piece.
fn is_leaf(path: &str, schema: &Value) -> bool {
    let defaults = Value::Null;
    let within = format!("{path}.");
    !fields(schema, &defaults).iter().any(|field| field.path.starts_with(&within))
}

/// Closes objects, and takes out what values never are: null, which deletes a value before Helm looks at the schema.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(schema) => {
            tidy_object(schema);
            schema.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn tidy_object(schema: &mut Map<String, Value>) {
    if schema.get("properties").is_some_and(Value::is_object) && schema.get("type") == Some(&json!("object")) {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if schema.remove("x-kubernetes-int-or-string").is_some() {
        schema.insert("type".to_owned(), json!(["number", "string"]));
        schema.insert("description".to_owned(), json!("A number, or a number with a unit."));
    }
    schema.retain(|name, _| !name.starts_with("x-kubernetes-"));
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(mut alternatives)) = schema.remove("anyOf") {
        alternatives.retain(|one| one.get("type") != Some(&json!("null")));
        schema.insert(if alternatives.len() == 1 { "allOf" } else { "anyOf" }.to_owned(), Value::Array(alternatives));
    }
    // A reference beside a description, as Helm's messages name each level that they go through.
    if let Some(reference) = schema.get("allOf").and_then(|all| all.pointer("/0/$ref")).cloned() {
        schema.remove("allOf");
        schema.insert("$ref".to_owned(), reference);
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// Leaves of each description the first sentence.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(schema) => {
            if let Some(Value::String(text)) = schema.get_mut("description") {
                text.truncate(text.find(". ").map_or(text.len(), |end| end + 1));
            }
            schema.values_mut().for_each(shorten);
        }
        _ => {}
    }
}

/// Lines of as many columns at most, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn write_block(text: &mut String, fields: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth);
    for (name, value) in fields {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                writeln!(text, "{indent}{name}:").expect("a String takes all");
                write_block(text, fields, depth + 1);
            }
            value => writeln!(text, "{indent}{name}: {}", flow(value)).expect("a String takes all"),
        }
    }
}

/// A value on one line of YAML: JSON, but that words need no quotes.
fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text.chars().all(|one| one.is_ascii_alphanumeric() || "-./".contains(one));
            if is_word { text.clone() } else { value.to_string() }
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_described() {
        let (schema, defaults) = (schema(), default_values());
        for field in (Fields { schema: &schema, defaults: &defaults, opens: |_, _| true }).list() {
            assert!(!field.meaning.is_empty(), "{}", field.path);
        }
    }

    #[test]
    fn every_object_is_closed() {
        fn check(value: &Value) {
            if value.get("type") == Some(&json!("object")) && value.get("properties").is_some_and(Value::is_object) {
                assert_eq!(value["additionalProperties"], false, "{value}");
            }
            match value {
                Value::Array(items) => items.iter().for_each(check),
                Value::Object(fields) => fields.values().for_each(check),
                _ => {}
            }
        }
        check(&schema());
    }

    #[test]
    fn values_yaml_has_the_defaults_of_the_types() {
        let text = defaults();
        let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read, default_values());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 2), "{text}");
    }
}
