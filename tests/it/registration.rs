//! The plain manifests in `webhook-config/` agree with the program.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use otelgate::admission::Entry;
use otelgate::api::{OptIn, annotation, label, object};
use otelgate::config::Document;
use otelgate::inject::rules::{LEFT_OUT, SYSTEM_NAMESPACES};
use serde_json::{Value, json};

use crate::control_plane::webhook::manifests;

fn entries() -> Vec<Value> {
    manifests("registration.yaml")[0]["webhooks"].as_array().expect("entries").clone()
}

/// Whether a selector of expressions matches, as Kubernetes has it.
fn matches(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    selector["matchExpressions"].as_array().expect("expressions").iter().all(|expression| {
        let value = labels.get(expression["key"].as_str().expect("a key"));
        let values = expression["values"].as_array().cloned().unwrap_or_default();
        let listed = value.is_some_and(|value| values.contains(&json!(value)));
        match expression["operator"].as_str().expect("an operator") {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("{other} is no operator"),
        }
    })
}

/// The paths that are called for a pod.
fn called(namespace: &[(&str, &str)], pod: &[(&str, &str)]) -> Vec<String> {
    let (namespace, pod) = (namespace.iter().copied().collect(), pod.iter().copied().collect());
    let selects =
        |entry: &&Value| matches(&entry["namespaceSelector"], &namespace) && matches(&entry["objectSelector"], &pod);
    let path = |entry: &Value| entry["clientConfig"]["service"]["path"].as_str().expect("a path").to_owned();
    entries().iter().filter(selects).map(path).collect()
}

#[test]
fn each_opt_in_calls_the_path_that_says_so() {
    const VALUES: [Option<&str>; 6] =
        [None, Some("enabled"), Some("observe"), Some("disabled"), Some("enbled"), Some("")];
    for of_namespace in VALUES {
        for of_pod in VALUES {
            let by_pod = of_pod.and_then(OptIn::parse);
            let by_namespace = of_namespace.and_then(OptIn::parse);
            let expected = match (by_pod, by_namespace) {
                (Some(OptIn::Enabled | OptIn::Observe), _) => Some(Entry::Pod),
                (None, Some(OptIn::Enabled)) => Some(Entry::Enabled),
                (None, Some(OptIn::Observe)) => Some(Entry::Observe),
                _ => None,
            };
            let labels = |value: Option<&'static str>| Vec::from_iter(value.map(|value| (label::INJECT, value)));
            let paths = called(&labels(of_namespace), &labels(of_pod));
            assert_eq!(paths, Vec::from_iter(expected.map(Entry::path)), "{of_namespace:?} {of_pod:?}");
        }
    }
}

#[test]
fn some_namespaces_are_never_asked_about() {
    let names = SYSTEM_NAMESPACES.map(|name| ("kubernetes.io/metadata.name", name));
    let never: Vec<_> = names.into_iter().chain(LEFT_OUT).collect();
    for entry in entries() {
        let expressions = entry["namespaceSelector"]["matchExpressions"].as_array().expect("expressions").clone();
        let others = expressions.iter().filter(|expression| expression["key"] != label::INJECT);
        let left_out: usize = others.map(|one| one["values"].as_array().map_or(1, Vec::len)).sum();
        assert_eq!(left_out, never.len(), "none besides");
    }
    for excluded in never {
        for opt_in in OptIn::ALL {
            let namespace = [(label::INJECT, opt_in.as_str()), excluded];
            assert!(called(&namespace, &[]).is_empty(), "{excluded:?} {opt_in}");
            assert!(called(&namespace, &[(label::INJECT, "enabled")]).is_empty(), "{excluded:?} {opt_in}");
        }
    }
    let of_an_operator = [(label::INJECT, "enabled"), ("control-plane", "controller-manager")];
    assert_eq!(called(&of_an_operator, &[]), [Entry::Enabled.path()]);
}

/// Whatever the configuration excludes by default stands in the registration, too: those pods must be able to start
/// while no webhook answers.
#[test]
fn what_is_excluded_by_default_is_not_asked_about() {
    for exclusion in Document::default().exclude {
        for requirement in &exclusion.selector.match_expressions {
            let pod = [(requirement.key.as_str(), "any")];
            assert!(called(&[(label::INJECT, "enabled")], &pod).is_empty(), "{}", requirement.key);
        }
        for (key, value) in &exclusion.selector.match_labels {
            let namespace = exclusion.namespace.as_deref().expect("labels that others may use are of one namespace");
            for entry in entries() {
                let conditions = entry["matchConditions"].as_array().expect("conditions").clone();
                let parts = [
                    format!("request.namespace == '{namespace}'"),
                    "has(object.metadata.labels)".to_owned(),
                    format!("'{key}' in object.metadata.labels"),
                    format!("object.metadata.labels['{key}'] == '{value}'"),
                ];
                let expected = format!("!({})", parts.join(" && "));
                let found = conditions.iter().any(|condition| condition["expression"] == expected.as_str());
                assert!(found, "no condition is {expected}");
            }
        }
    }
}

/// Each expression looks before it reads: one that fails means that the webhook isn't called.
#[test]
fn mirror_pods_are_left_out_by_a_guarded_condition() {
    let guarded =
        format!("!(has(object.metadata.annotations) && '{}' in object.metadata.annotations)", annotation::MIRROR);
    for entry in entries() {
        assert_eq!(entry["matchConditions"][0]["expression"], guarded.as_str());
    }
}

#[test]
fn the_entries_differ_in_what_they_select_only() {
    let mut entries = entries();
    let names = Entry::ALL.map(|entry| format!("{}.{}", entry.as_str(), otelgate::api::DOMAIN));
    assert_eq!(entries.iter().map(|entry| entry["name"].as_str().expect("a name")).collect::<Vec<_>>(), names);
    for entry in &mut entries {
        assert_eq!(entry["failurePolicy"], "Ignore");
        assert_eq!(entry["sideEffects"], "None");
        assert_eq!(entry["reinvocationPolicy"], "IfNeeded");
        assert_eq!(entry["matchPolicy"], "Equivalent");
        assert_eq!(entry["timeoutSeconds"], 3);
        let rule = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                           "scope": "Namespaced"}]);
        assert_eq!(entry["rules"], rule);
        let fields = entry.as_object_mut().expect("an object");
        fields.retain(|field, _| !["name", "namespaceSelector", "objectSelector"].contains(&field.as_str()));
        fields["clientConfig"]["service"].as_object_mut().expect("a service").remove("path");
    }
    assert!(entries.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Selectors, ports and names of the objects refer to each other.
#[test]
fn the_registration_leads_to_the_deployment() {
    let [service] = &manifests("service.yaml")[..] else { panic!("one Service") };
    let deployment = &manifests("deployment.yaml")[0];
    let client = &entries()[0]["clientConfig"]["service"];
    for key in ["name", "namespace"] {
        assert_eq!(client[key], service["metadata"][key]);
    }
    assert_eq!(client["port"], service["spec"]["ports"][0]["port"]);
    let template = &deployment["spec"]["template"];
    assert_eq!(service["spec"]["selector"], template["metadata"]["labels"]);
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
    let ports = template["spec"]["containers"][0]["ports"].as_array().expect("ports");
    assert!(ports.iter().any(|port| port["name"] == service["spec"]["ports"][0]["targetPort"]));
    let account = manifests("rbac.yaml").into_iter().find(|object| object["kind"] == "ServiceAccount");
    assert_eq!(account.expect("an account")["metadata"]["name"], template["spec"]["serviceAccountName"]);
}

/// No verb that writes, and nothing but what is read.
#[test]
fn the_webhook_may_only_read() {
    let objects = manifests("rbac.yaml");
    let rules: Vec<&Value> = objects.iter().filter_map(|object| object["rules"].as_array()).flatten().collect();
    let named = |resource: &str, name: &str| json!({"apiGroups": [""], "resources": [resource], "resourceNames": [name], "verbs": ["list", "watch"]});
    let expected = [
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}),
        named("configmaps", object::INJECTION),
        named("secrets", object::SERVING),
    ];
    assert_eq!(rules, expected.iter().collect::<Vec<_>>());
}
