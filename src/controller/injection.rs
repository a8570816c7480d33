//! From a `TelemetryStack` to the configuration that the webhook reads, without any I/O.

use serde_json::{Value, json};
use thiserror::Error;

use crate::api::{label, object};
use crate::config::{self, CONFIG_MAP_KEY, Configuration, Document, Exclusion, own_pods};
use crate::k8s::{ConfigMap, OwnerReference};
use crate::manifest;

/// A spec that no configuration can be made from.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidSpec(Vec<String>);

/// Where the Collector's Service is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub namespace: String,
    pub service: String,
}

/// For people who look at the `ConfigMap`.
const HEAD: &str = "# Made by otelgate from TelemetryStack default: change that instead, as changes here are undone.\n";

/// Longest part of a faulty spec's fault that is told.
const MAX_FAULTS: usize = 10;

// === impl InvalidSpec ===

impl InvalidSpec {
    fn new(faults: impl IntoIterator<Item = String>) -> Self {
        Self(faults.into_iter().take(MAX_FAULTS).map(|fault| format!("spec.injection.{fault}")).collect())
    }
}

/// Reads the fields, and adds what only the controller knows but for the address: the pods of otelgate's own, and of
/// what it feeds.
///
/// # Errors
/// Names each field that is wrong, and what would be right.
pub fn document(injection: &Value, namespace: &str) -> Result<Document, InvalidSpec> {
    let Value::Object(fields) = injection else {
        return Err(InvalidSpec(vec!["spec.injection: must be a map of fields".to_owned()]));
    };
    let mut document = config::fields(fields).map_err(|fault| InvalidSpec::new([fault]))?;
    // Before anything is added: what is told is what somebody wrote.
    Configuration::try_from(document.clone()).map_err(|error| InvalidSpec::new(error.faults))?;
    let further = if fields.get("exclude").is_some_and(|exclude| !exclude.is_null()) {
        std::mem::take(&mut document.exclude)
    } else {
        Vec::new()
    };
    document.exclude = own_pods(namespace, &document.collector.namespace);
    exclude(&mut document, further);
    Ok(document)
}

/// Leaves further pods out.
pub fn exclude(document: &mut Document, further: Vec<Exclusion>) {
    for exclusion in further {
        if !document.exclude.contains(&exclusion) {
            document.exclude.push(exclusion);
        }
    }
}

/// Where to look the Collector's address up; nowhere, where somebody has written it.
#[must_use]
pub fn place(document: &Document) -> Option<Place> {
    let collector = &document.collector;
    let place = Place { namespace: collector.namespace.clone(), service: collector.service.clone() };
    collector.address.is_none().then_some(place)
}

/// The configuration with the address, where there is one.
///
/// # Errors
/// When the address isn't one.
pub fn complete(mut document: Document, address: Option<&str>) -> Result<Configuration, InvalidSpec> {
    if document.collector.address.is_none() {
        document.collector.address = address.map(ToOwned::to_owned);
    }
    Configuration::try_from(document).map_err(|error| InvalidSpec::new(error.faults))
}

/// The text under [`CONFIG_MAP_KEY`]: the same for the same document, byte by byte.
#[must_use]
pub fn text(configuration: &Configuration) -> String {
    let document = serde_json::to_value(configuration.document()).unwrap_or_default();
    format!("{HEAD}{}", manifest::document(&document))
}

/// The `ConfigMap` as it is applied.
#[must_use]
pub fn config_map(text: &str, namespace: &str, owner: &OwnerReference) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": object::INJECTION,
            "namespace": namespace,
            "labels": labels(),
            "ownerReferences": [owner],
        },
        "data": {CONFIG_MAP_KEY: text},
    })
}

fn labels() -> Value {
    json!({label::APP_NAME: object::APP, label::APP_COMPONENT: "controller"})
}

/// Whether the `ConfigMap` says what it should. What others added to it is theirs.
#[must_use]
pub fn is_as_applied(found: Option<&ConfigMap>, text: &str, owner: &OwnerReference) -> bool {
    let Some(found) = found else { return false };
    let of_ours = |name: &str| found.data.as_ref().and_then(|data| data.get(name));
    let has = |key: &str, value: &Value| {
        let labels = found.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(key)).map(String::as_str) == value.as_str()
    };
    of_ours(CONFIG_MAP_KEY).map(String::as_str) == Some(text)
        && found.metadata.owner_references.iter().flatten().any(|one| one == owner)
        && labels().as_object().is_some_and(|labels| labels.iter().all(|(key, value)| has(key, value)))
}

/// The address that a `ConfigMap` has for the Collector at this place, as long as nothing newer is known.
#[must_use]
pub fn address_in(found: Option<&ConfigMap>, at: &Place) -> Option<String> {
    let Document { collector, .. } = read(found)?;
    (collector.namespace == at.namespace && collector.service == at.service).then_some(collector.address)?
}

/// The pods that a `ConfigMap` leaves out.
#[must_use]
pub fn excluded_in(found: Option<&ConfigMap>) -> Vec<Exclusion> {
    read(found).map(|document| document.exclude).unwrap_or_default()
}

fn read(found: Option<&ConfigMap>) -> Option<Document> {
    let text = found?.data.as_ref()?.get(CONFIG_MAP_KEY)?;
    Some(config::parse(text).ok()?.document().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::tests::strings::TRICKS;
    use std::collections::BTreeMap;

    fn fault(injection: &Value) -> String {
        document(injection, "otelgate").expect_err("it has a fault").to_string()
    }

    #[test]
    fn an_empty_spec_is_the_documented_defaults() {
        for empty in [json!({}), json!({"mode": null, "otlp": null, "exclude": null, "collector": {"namespace": null}})]
        {
            assert_eq!(document(&empty, "otelgate").expect("valid"), Document::default(), "{empty}");
        }
        let elsewhere = document(&json!({"exclude": null, "collector": {"namespace": "x"}}), "y").expect("valid");
        let namespaces: Vec<_> = elsewhere.exclude.iter().map(|one| one.namespace.as_deref()).collect();
        assert_eq!(namespaces, [Some("y"), Some("x"), None]);
    }

    #[test]
    fn own_pods_are_left_out_wherever_they_are() {
        let spec = json!({
            "collector": {"namespace": "telemetry"},
            "exclude": [{"namespace": "batch"}, {"selector": {"matchExpressions": [
                {"key": "agent.datadoghq.com/component", "operator": "Exists"}]}}],
        });
        let made = document(&spec, "observability").expect("valid");
        let namespaces: Vec<_> = made.exclude.iter().map(|one| one.namespace.as_deref()).collect();
        assert_eq!(namespaces, [Some("observability"), Some("telemetry"), None, Some("batch")]);
    }

    #[test]
    fn each_fault_has_its_path_and_what_would_be_right() {
        for (injection, expected) in [
            (json!([1]), "spec.injection: must be a map of fields"),
            (json!("mode: observe"), "spec.injection: must be a map of fields"),
            (json!({"otlp": {"protcol": "grpc"}}), "spec.injection.otlp.protcol: unknown key; did you mean protocol?"),
            (json!({"mode": "off"}), "spec.injection.mode: \"off\" isn't one of enabled, observe, disabled"),
            (json!({"otlp": "grpc"}), "spec.injection.otlp: must be a map"),
            (
                json!({"exclude": [{}]}),
                "spec.injection.exclude[0]: has neither a namespace nor a requirement, so it would exclude every pod; give \
                 it one, or write mode: disabled",
            ),
            // That otelgate excludes its own pods there is no fault of the user's.
            (
                json!({"collector": {"namespace": "Bad_NS"}}),
                "spec.injection.collector.namespace: \"Bad_NS\" is no name of a Kubernetes object",
            ),
            (json!({"kind": "x"}), "spec.injection.kind: belongs to the configuration's file; leave it out"),
        ] {
            assert_eq!(fault(&injection), expected);
        }
        let both = fault(&json!({"propagators": ["b4"], "clusterDomain": "a..b"}));
        assert!(
            both.contains("; spec.injection.clusterDomain") || both.contains("; spec.injection.propagators"),
            "{both}"
        );
        let secret =
            fault(&json!({"env": [{"name": "TOKEN", "value": {"hunter2": 1}}, {"name": "A", "hunter2": "x"}]}));
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn the_text_is_read_back_as_what_it_was_made_from() {
        let spec = json!({
            "mode": "observe", "clusterName": "no", "environment": "1.0",
            "sampler": {"name": "traceidratio", "arg": "0.10"},
            "env": [{"name": "A", "value": "line \u{e9} $(B) 'x' \"y\" # z"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "exclude": [{"namespace": "yes", "selector": {"matchLabels": {"a": "null", "b": "no"}}}],
        });
        let made = document(&spec, "otelgate").expect("valid");
        let configuration = complete(made.clone(), Some("10.0.0.9")).expect("valid");
        let read = config::parse(&text(&configuration)).expect("its own text is one");
        assert_eq!(read.document(), configuration.document());
        assert_eq!(read.revision(), configuration.revision());
        assert_eq!(text(&read), text(&configuration), "byte by byte");
        let other = complete(made, Some("10.0.0.10")).expect("valid");
        assert_eq!(other.hash(), configuration.hash(), "an address is no part of the hash");
        assert_ne!(other.revision(), configuration.revision());
    }

    #[test]
    fn no_text_breaks_out_of_the_configuration() {
        let read = |spec: &Value| -> Result<(), InvalidSpec> {
            let configuration = complete(document(spec, "otelgate")?, None)?;
            let read = config::parse(&text(&configuration)).expect("its own text is one");
            assert_eq!(read.document(), configuration.document());
            Ok(())
        };
        for trick in TRICKS {
            let is_plain = !trick.chars().any(char::is_control);
            let text =
                read(&json!({"clusterName": trick, "environment": trick, "env": [{"name": "A", "value": trick}]}));
            assert_eq!(text.is_ok(), is_plain, "{trick:?}");
            let label = read(&json!({"exclude": [{"selector": {"matchLabels": {"a": trick}}}]}));
            let argument = read(&json!({"sampler": {"name": "traceidratio", "arg": trick}}));
            assert_eq!((label.is_ok(), argument.is_ok()), (trick == "Plain", false), "{trick:?}");
        }
    }

    #[test]
    fn a_written_address_stays() {
        let made = document(&json!({"collector": {"address": "10.1.1.1"}}), "otelgate").expect("valid");
        assert_eq!(place(&made), None);
        let configuration = complete(made, Some("10.2.2.2")).expect("valid");
        assert_eq!(configuration.document().collector.address.as_deref(), Some("10.1.1.1"));
    }

    #[test]
    fn what_differs_is_seen_and_what_others_added_is_not() {
        let owner = OwnerReference { uid: "u".to_owned(), ..OwnerReference::default() };
        let applied: ConfigMap = serde_json::from_value(config_map("text", "otelgate", &owner)).expect("a ConfigMap");
        assert!(is_as_applied(Some(&applied), "text", &owner));
        assert!(!is_as_applied(None, "text", &owner));
        assert!(!is_as_applied(Some(&applied), "other", &owner));
        let heir = OwnerReference { uid: "v".to_owned(), ..OwnerReference::default() };
        assert!(!is_as_applied(Some(&applied), "text", &heir), "the stack was made anew");
        let mut stripped = applied.clone();
        stripped.metadata.labels = None;
        assert!(!is_as_applied(Some(&stripped), "text", &owner));
        let mut extended = applied;
        extended.data.get_or_insert_with(BTreeMap::new).insert("notes".to_owned(), "mine".to_owned());
        extended.metadata.annotations = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert!(is_as_applied(Some(&extended), "text", &owner));
    }

    #[test]
    fn the_last_known_address_is_found_again() {
        let configuration = complete(Document::default(), Some("10.0.0.9")).expect("valid");
        let owner = OwnerReference::default();
        let map = serde_json::from_value(config_map(&text(&configuration), "otelgate", &owner)).expect("a ConfigMap");
        let here = place(&Document::default()).expect("it isn't written");
        assert_eq!(address_in(Some(&map), &here).as_deref(), Some("10.0.0.9"));
        let elsewhere = Place { namespace: "other".to_owned(), ..here };
        assert_eq!(address_in(Some(&map), &elsewhere), None);
    }
}
