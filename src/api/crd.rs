//! The `CustomResourceDefinition`, made from the types: the file in the chart is generated from it, and the controller
//! compares with it what the API server serves.

use serde_json::{Value, json};

use super::stack::TelemetryStack;
use crate::k8s::CustomResourceExt as _;
use crate::manifest;

/// Name of the `CustomResourceDefinition`.
pub const NAME: &str = "telemetrystacks.otelgate.dev";

/// As it is applied.
#[must_use]
pub fn definition() -> Value {
    let mut definition = serde_json::to_value(TelemetryStack::crd()).unwrap_or_default();
    for version in definition["spec"]["versions"].as_array_mut().into_iter().flatten() {
        version["additionalPrinterColumns"] = columns();
        let schema = &mut version["schema"]["openAPIV3Schema"];
        without_defaults_in_lists(schema, false);
        with_sentences(schema);
    }
    definition
}

/// The file in the chart.
#[must_use]
pub fn yaml() -> String {
    manifest::document(&definition())
}

/// The schema of the whole object in the version that this program speaks.
#[must_use]
pub fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

/// What `kubectl get telemetrystack` shows.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, description: &str| json!({"name": name, "type": kind, "jsonPath": path, "description": description});
    let wide = |mut column: Value| {
        column["priority"] = 1.into();
        column
    };
    let ready = |field: &str| format!(r#".status.conditions[?(@.type=="Ready")].{field}"#);
    json!([
        column("Ready", "string", &ready("status"), "Whether everything is as the spec says."),
        column("Collector", "string", ".status.collector.ready", "Nodes with a Collector that is ready."),
        column("Agent", "string", ".status.agent.nodes", "Nodes with a Datadog Agent that is ready."),
        column(
            "Injected",
            "string",
            ".status.injection.injected",
            "Pods that carry what they should, of those that should."
        ),
        column("Reason", "string", &ready("reason"), "Why it isn't ready."),
        column("Age", "date", ".metadata.creationTimestamp", "Since when it is there."),
        wide(column("Mode", "string", ".spec.injection.mode", "What caps every opt-in.")),
        wide(column("Webhook", "string", ".status.webhook.serving", "Replicas that serve the newest configuration.")),
    ])
}

/// A default in a list's items would be a field that nobody wrote, in the middle of what somebody else applies.
fn without_defaults_in_lists(schema: &mut Value, in_list: bool) {
    let Value::Object(fields) = schema else { return };
    if in_list {
        fields.remove("default");
    }
    for (name, field) in fields {
        match name.as_str() {
            "properties" => {
                for property in field.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
                    without_defaults_in_lists(property, in_list);
                }
            }
            "items" => without_defaults_in_lists(field, true),
            _ => {}
        }
    }
}

/// Of a pattern, the API server says nothing but the pattern: it goes where a rule has a sentence for it.
fn with_sentences(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("x-kubernetes-validations") {
        fields.shift_remove("pattern");
    }
    for (name, field) in fields {
        match name.as_str() {
            "properties" => {
                field.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut).for_each(with_sentences);
            }
            "items" | "additionalProperties" => with_sentences(field),
            _ => {}
        }
    }
}

/// Paths of what `known` has and `served` hasn't: fields that the API server drops, or refuses.
#[must_use]
pub fn missing(known: &Value, served: &Value) -> Vec<String> {
    fn look(known: &Value, served: &Value, path: &str, missing: &mut Vec<String>) {
        let drops = served["x-kubernetes-preserve-unknown-fields"] != true;
        for (name, field) in known["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            match served["properties"].get(name) {
                Some(served) => look(field, served, &path, missing),
                None if drops => missing.push(path),
                None => {}
            }
        }
        if let (Some(known), Some(served)) = (known.get("items"), served.get("items")) {
            look(known, served, &format!("{path}[]"), missing);
        }
    }

    let mut paths = Vec::new();
    look(known, served, "", &mut paths);
    paths
}

#[cfg(test)]
pub(crate) mod tests {
    use regex::Regex;

    use super::*;

    /// Whether the API server lets a field of the spec have that text, as far as its length and its rules say.
    pub(crate) fn takes(field: &str, text: &str) -> bool {
        let schema = of_spec(field);
        assert!(schema.get("pattern").is_none(), "{field} has nothing but a pattern to say");
        let longest = schema["maxLength"].as_u64().expect("a length");
        holds(&schema, "self.matches(r'", "')", text) && text.len() as u64 <= longest
    }

    /// Whether it lets a map have that key.
    pub(crate) fn takes_key(field: &str, key: &str) -> bool {
        holds(&of_spec(field), "self.all(key, key.matches(r'", "'))", key)
    }

    /// Each item of a list is written `[]`, and each value of a map `{}`.
    fn of_spec(field: &str) -> Value {
        let pointer = field.replace("[]", "/items").replace("{}", "/additionalProperties").replace('.', "/properties/");
        schema().pointer(&format!("/properties/spec/properties/{pointer}")).expect("the field").clone()
    }

    /// Whether a text is like the pattern of each rule, which stands between these.
    fn holds(schema: &Value, before: &str, behind: &str, text: &str) -> bool {
        schema["x-kubernetes-validations"].as_array().expect("rules").iter().all(|rule| {
            let rule = rule["rule"].as_str().expect("a rule");
            let pattern = rule.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
            Regex::new(pattern.expect("a pattern")).expect("it is one").is_match(text)
        })
    }

    /// Calls `see` with each schema and its path.
    pub(crate) fn walk(schema: &Value, path: &str, see: &mut dyn FnMut(&Value, &str)) {
        see(schema, path);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            walk(field, &format!("{path}.{name}"), see);
        }
        if let Some(items) = schema.get("items") {
            walk(items, &format!("{path}[]"), see);
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            walk(values, &format!("{path}{{}}"), see);
        }
    }

    #[test]
    fn every_field_says_what_it_is() {
        walk(&schema(), "", &mut |schema, path| {
            let described = schema["description"].as_str().is_some_and(|text| !text.contains("Auto-generated"));
            let is_one_of_many = path.ends_with("[]") || path.ends_with("{}");
            assert!(described || is_one_of_many, "{path} has no description");
        });
    }

    /// But for amounts: on API servers before 1.31, a rule for each would cost more than they allow.
    #[test]
    fn what_a_text_has_to_be_like_is_told_in_a_sentence() {
        walk(&schema()["properties"]["spec"], "", &mut |schema, path| {
            let is_amount = path.ends_with(".requests{}") || path.ends_with(".limits{}");
            assert_eq!(schema.get("pattern").is_some(), is_amount, "{path}");
        });
    }

    #[test]
    fn defaults_stand_outside_of_lists_only_and_are_those_of_the_program() {
        let mut defaults = Vec::new();
        walk(&schema(), "", &mut |schema, path| {
            if let Some(default) = schema.get("default") {
                assert!(!path.contains("[]"), "{path} has a default");
                defaults.push((path.to_owned(), default.clone()));
            }
        });
        let found = |path: &str| defaults.iter().find(|(one, _)| one == path).map(|(_, default)| default.clone());
        assert_eq!(found(".spec.injection.mode"), Some(json!("enabled")));
        assert_eq!(found(".spec.injection.exclude"), None, "the controller adds to it");
        assert_eq!(found(".spec.certificates.leafLifetime"), Some(json!("336h")));
    }

    #[test]
    fn what_an_older_schema_lacks_is_named() {
        assert!(missing(&schema(), &schema()).is_empty());
        let mut older = schema();
        let injection = &mut older["properties"]["spec"]["properties"]["injection"]["properties"];
        injection.as_object_mut().expect("fields").remove("mode");
        let of_list = &mut injection["env"]["items"]["properties"];
        of_list.as_object_mut().expect("fields").remove("valueFrom");
        let gone = missing(&schema(), &older);
        assert_eq!(gone, [".spec.injection.env[].valueFrom", ".spec.injection.mode"]);
        let open = json!({"properties": {"spec": {"x-kubernetes-preserve-unknown-fields": true}}});
        assert!(missing(&schema(), &open).iter().all(|path| !path.starts_with(".spec")));
        assert_eq!(missing(&schema(), &json!({})), [".spec", ".status"]);
    }
}
