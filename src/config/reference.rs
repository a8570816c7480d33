//! The configuration's reference page, from the types' doc comments, their schema and the defaults.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{API_VERSION, Document, KIND};
use crate::schema::Fields;

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
    for field in (Fields { schema: &schema, defaults: &defaults, opens: |_, _| true }).list() {
        let default = match field.default {
            _ if field.required => "required".to_owned(),
            Some(Value::Object(_)) => String::new(),
            Some(value) => format!("`{value}`"),
            None => "not set".to_owned(),
        };
        let cells = [format!("`{}`", field.path), field.kind, default, field.meaning];
        writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")).expect("a String takes all");
    }
    page
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
