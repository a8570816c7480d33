//! The manifests' registration, and others, for pods of all sorts.

use serde_json::{Value, json};

use super::*;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The registration that people without Helm apply.
fn own() -> Vec<MutatingWebhookConfiguration> {
    let text = include_str!("../../webhook-config/registration.yaml");
    vec![serde_saphyr::from_str(text).expect("a registration")]
}

fn registration(name: &str, entries: &Value) -> MutatingWebhookConfiguration {
    serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": entries})).expect("a registration")
}

/// The names of the entries that are called, and what stops the others.
fn asked(
    registrations: &[MutatingWebhookConfiguration],
    namespace: (&str, &[(&str, &str)]),
    labels: &[(&str, &str)],
    annotations: &[(&str, &str)],
) -> (Vec<String>, Vec<String>) {
    let (of_namespace, labels, annotations) = (map(namespace.1), map(labels), map(annotations));
    let creation = Creation {
        namespace: namespace.0,
        namespace_labels: Some(&of_namespace),
        labels: &labels,
        annotations: &annotations,
    };
    let (mut called, mut stopped) = (Vec::new(), Vec::new());
    for entry in entries(registrations, creation) {
        match (entry.called(), entry.decisive()) {
            (Called::Yes, None) => called.push(entry.webhook.name.clone()),
            (_, Some((step, Answer::Stops(why) | Answer::Unknown(why)))) => {
                stopped.push(format!("{}: {why}", step.field()));
            }
            other => panic!("{other:?}"),
        }
    }
    (called, stopped)
}

#[test]
fn each_opt_in_has_its_entry_and_the_others_say_why_not() {
    const KEY: &str = "otelgate.dev/inject";
    let enabled: &[(&str, &str)] = &[(KEY, "enabled")];
    let (called, stopped) = asked(&own(), ("shop", enabled), &[], &[]);
    assert_eq!(called, ["enabled.otelgate.dev"]);
    assert_eq!(
        stopped,
        [
            "namespaceSelector: otelgate.dev/inject must be observe, and is \"enabled\"",
            "objectSelector: otelgate.dev/inject must be one of enabled, observe, and is absent",
        ]
    );
    assert_eq!(asked(&own(), ("shop", &[(KEY, "observe")]), &[], &[]).0, ["observe.otelgate.dev"]);
    assert_eq!(asked(&own(), ("shop", enabled), &[(KEY, "enabled")], &[]).0, ["pod.otelgate.dev"]);
    assert_eq!(asked(&own(), ("shop", &[]), &[(KEY, "observe")], &[]).0, ["pod.otelgate.dev"]);
    for (namespace, labels) in [
        (("shop", &[][..]), &[][..]),
        (("shop", enabled), &[(KEY, "disabled")]),
        (("kube-system", &[(KEY, "enabled"), ("kubernetes.io/metadata.name", "kube-system")]), &[]),
        (("shop", enabled), &[("agent.datadoghq.com/component", "agent")]),
    ] {
        assert_eq!(asked(&own(), namespace, labels, &[]).0, [""; 0], "{namespace:?} {labels:?}");
    }
}

#[test]
fn our_own_conditions_are_evaluated() {
    let enabled: &[(&str, &str)] = &[("otelgate.dev/inject", "enabled")];
    let app: &[(&str, &str)] = &[("app.kubernetes.io/name", "otelgate")];
    let (called, stopped) = asked(&own(), ("otelgate", enabled), app, &[]);
    assert!(called.is_empty());
    assert_eq!(stopped[0], "matchConditions[not-otelgate]: its expression is false");
    assert_eq!(asked(&own(), ("shop", enabled), app, &[]).0, ["enabled.otelgate.dev"]);
    let mirror: &[(&str, &str)] = &[("kubernetes.io/config.mirror", "abc")];
    assert_eq!(asked(&own(), ("shop", enabled), &[], mirror).0, [""; 0]);
    assert_eq!(asked(&own(), ("datadog", enabled), &[("app", "otel-collector")], &[]).0, [""; 0]);
    assert_eq!(asked(&own(), ("datadog", enabled), &[("app", "shop")], &[("a", "b")]).0, ["enabled.otelgate.dev"]);
}

#[test]
fn a_foreign_condition_is_not_guessed_but_what_stops_stops() {
    let mut registrations = own();
    for webhook in registrations[0].webhooks.iter_mut().flatten() {
        webhook.match_conditions.as_mut().expect("conditions")[0].expression = "object.spec.replicas > 1".to_owned();
    }
    let enabled: &[(&str, &str)] = &[("otelgate.dev/inject", "enabled")];
    let (called, stopped) = asked(&registrations, ("shop", enabled), &[], &[]);
    assert!(called.is_empty());
    assert_eq!(stopped[0], "matchConditions[no-mirror-pod]: its expression can't be evaluated here");
    assert!(stopped[1].starts_with("namespaceSelector: "), "{stopped:?}");
}

#[test]
fn an_unguarded_condition_loses_the_pods_that_it_fails_for() {
    let entry = |policy: &str| {
        json!([{
            "name": "a.example.com", "failurePolicy": policy, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com/"},
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}],
            "matchConditions": [{"name": "c", "expression": "!('x' in object.metadata.annotations)"}],
        }])
    };
    let stopped = |policy| asked(&[registration("a", &entry(policy))], ("shop", &[]), &[], &[]).1;
    assert!(stopped("Ignore")[0].contains("counts as false"), "{:?}", stopped("Ignore"));
    assert!(stopped("Fail")[0].contains("refused"), "{:?}", stopped("Fail"));
    let called = asked(&[registration("a", &entry("Ignore"))], ("shop", &[]), &[], &[("y", "z")]).0;
    assert_eq!(called, ["a.example.com"]);
}

#[test]
fn rules_that_are_about_something_else_stop() {
    for (field, value) in [
        ("apiGroups", json!(["apps"])),
        ("apiVersions", json!(["v2"])),
        ("operations", json!(["UPDATE"])),
        ("resources", json!(["pods/status"])),
        ("scope", json!("Cluster")),
    ] {
        let mut rule =
            json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        rule[field] = value;
        let entry = json!([{"name": "a", "clientConfig": {}, "rules": [rule], "sideEffects": "None",
                            "admissionReviewVersions": ["v1"]}]);
        let (called, stopped) = asked(&[registration("a", &entry)], ("shop", &[]), &[], &[]);
        assert!(called.is_empty() && stopped[0].starts_with("rules: "), "{field}: {stopped:?}");
    }
}

#[test]
fn a_namespace_whose_labels_are_hidden_is_not_guessed() {
    let (registrations, nothing) = (own(), BTreeMap::new());
    let creation = Creation { namespace: "shop", namespace_labels: None, labels: &nothing, annotations: &nothing };
    let called: Vec<_> = entries(&registrations, creation).iter().map(Entry::called).collect();
    assert_eq!(called, [Called::Unknown, Called::Unknown, Called::No], "the pod's own label is known to be absent");
}

/// The API server sorts registrations by name.
#[test]
fn entries_come_in_the_order_of_the_calls() {
    let entry = |name: &str| {
        json!([{"name": name, "clientConfig": {}, "sideEffects": "None",
                                     "admissionReviewVersions": ["v1"]}])
    };
    let registrations =
        [registration("z", &entry("1")), registration("a", &entry("2")), registration("m", &entry("3"))];
    let nothing = BTreeMap::new();
    let creation = Creation { namespace: "n", namespace_labels: None, labels: &nothing, annotations: &nothing };
    let names: Vec<_> = entries(&registrations, creation).iter().map(|entry| entry.webhook.name.clone()).collect();
    assert_eq!(names, ["2", "3", "1"]);
}

#[test]
fn other_injectors_are_known_by_what_they_register() {
    let service = |name: &str, path: &str| {
        json!({"name": name, "clientConfig": {"service": {"namespace": "x", "name": "y", "path": path}},
               "sideEffects": "None", "admissionReviewVersions": ["v1"]})
    };
    let operator = json!([
        service("mopentelemetrycollectorbeta.kb.io", "/mutate-opentelemetry-io-v1beta1-opentelemetrycollector"),
        service("mpod.kb.io", "/mutate-v1-pod"),
    ]);
    assert_eq!(Injector::of(&registration("any-mutation", &operator)), Some(Injector::OpenTelemetryOperator));
    let datadog = json!([service("datadog.webhook.lib.injection", "/injectlib")]);
    assert_eq!(Injector::of(&registration("datadog-webhook", &datadog)), Some(Injector::Datadog));
    let istio = json!([service("rev.namespace.sidecar-injector.istio.io", "/inject")]);
    assert_eq!(Injector::of(&registration("istio-sidecar-injector", &istio)), None);
    assert_eq!(Injector::of(&own()[0]), None);
}
