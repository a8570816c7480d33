//! Variables: what is set, kept, merged and left.

use serde_json::{Value, json};

use super::{app, case, pod, with_env};
use crate::config::LogOwner;
use crate::inject::{Action, Reason, undo};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

#[test]
fn a_plain_pod_gets_everything_in_order() {
    let outcome = case(pod(app())).decide();
    assert_eq!(
        outcome.names(),
        [
            "OTELGATE_POD_NAME",
            "OTELGATE_POD_UID",
            "OTELGATE_NODE_NAME",
            "OTEL_SERVICE_NAME",
            ENDPOINT,
            PROTOCOL,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "OTEL_LOGS_EXPORTER",
            ATTRIBUTES
        ]
    );
    assert_eq!(outcome.variable("OTELGATE_POD_UID"), Some("metadata.uid"));
    assert_eq!(outcome.variable(ENDPOINT), Some("http://otel-collector.datadog.svc.cluster.local:4318"));
    assert_eq!(outcome.variable(PROTOCOL), Some("http/protobuf"));
    assert_eq!(
        outcome.variable(ATTRIBUTES),
        Some(
            "service.name=web,service.namespace=shop,service.version=1.2,\
             service.instance.id=shop.$(OTELGATE_POD_NAME).app,k8s.namespace.name=shop,\
             k8s.pod.name=$(OTELGATE_POD_NAME),k8s.pod.uid=$(OTELGATE_POD_UID),\
             k8s.node.name=$(OTELGATE_NODE_NAME),k8s.container.name=app"
        )
    );
}

#[test]
fn a_list_that_is_absent_null_or_empty_is_made() {
    for env in [json!(null), json!([])] {
        assert_eq!(case(pod(with_env(env))).decide().names().len(), 9);
    }
}

#[test]
fn existing_entries_stay_as_they_are_and_behind_ours() {
    let env = json!([{"name": "A", "value": "$(OTEL_SERVICE_NAME)"}, {"name": "A", "value": "2"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let outcome = case(pod(with_env(env.clone()))).decide();
    let after = outcome.pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(after[after.len() - 3..], env.as_array().unwrap()[..]);
}

#[test]
fn a_literal_is_appended_to_and_its_keys_win() {
    let env = json!([{"name": ATTRIBUTES, "value": "team=a, service.version=9 ,deployment.environment=qa"}]);
    let outcome = case(pod(with_env(env))).configure(|document| document.environment = Some("prod".into())).decide();
    let text = outcome.variable(ATTRIBUTES).unwrap();
    assert!(text.starts_with("team=a, service.version=9 ,deployment.environment=qa,service.name=web,"), "{text}");
    assert_eq!(outcome.attribute("deployment.environment.name"), None);
    assert!(outcome.is(ATTRIBUTES, Action::Merged, None));
    assert_eq!(outcome.label("tags.datadoghq.com/env"), Some("qa"));
    assert_eq!(outcome.label("tags.datadoghq.com/version"), Some("9"));
}

#[test]
fn a_literal_that_cannot_be_appended_to_is_left() {
    let from = json!([{"name": ATTRIBUTES, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]);
    let outcome = case(pod(with_env(from.clone()))).decide();
    assert!(outcome.is(ATTRIBUTES, Action::Left, Some(Reason::ValueFrom)));
    let after = outcome.pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(after.last(), from.as_array().unwrap().last());
    let unclosed = json!([{"name": ATTRIBUTES, "value": "a=$(B"}]);
    assert!(case(pod(with_env(unclosed))).decide().is(ATTRIBUTES, Action::Left, Some(Reason::UnclosedReference)));
}

#[test]
fn a_reference_is_resolved_as_far_as_it_can_be() {
    let known = json!([{"name": "N", "value": "cart"}, {"name": ATTRIBUTES, "value": "service.name=$(N)"}]);
    let outcome = case(pod(with_env(known))).decide();
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), None);
    assert_eq!(outcome.label("tags.datadoghq.com/service"), Some("cart"));
    let unknown = json!([{"name": ATTRIBUTES, "value": "$(MORE)"}]);
    let outcome = case(pod(with_env(unknown))).decide();
    assert!(outcome.is(ATTRIBUTES, Action::Merged, Some(Reason::MayOverride)));
    assert!(outcome.is("OTEL_SERVICE_NAME", Action::Set, Some(Reason::MayOverride)));
    let later = json!([{"name": ATTRIBUTES, "value": "$(N)"}, {"name": "N", "value": "service.name=x"}]);
    assert_eq!(case(pod(with_env(later))).decide().variable("OTEL_SERVICE_NAME"), Some("web"));
}

#[test]
fn a_value_that_cannot_be_resolved_is_not_guessed() {
    let hidden = json!([{"name": ATTRIBUTES, "value": "service.name=$(N),team=$(T)"}]);
    let outcome = case(pod(with_env(hidden))).decide();
    assert!(outcome.is("service.name", Action::Kept, None));
    assert!(outcome.is("tags.datadoghq.com/service", Action::Left, Some(Reason::UnresolvedReference)));
    // No variable has such a name, so Kubernetes leaves the text, and the key in it, as they are.
    let odd = json!([{"name": ATTRIBUTES, "value": "a=$(,service.version=9,b=)"}]);
    assert!(case(pod(with_env(odd))).decide().is("service.version", Action::Kept, None));
}

#[test]
fn the_last_of_two_is_merged() {
    let env = json!([{"name": ATTRIBUTES, "value": "a=1"}, {"name": ATTRIBUTES, "value": "b=2"}]);
    let outcome = case(pod(with_env(env))).decide();
    let values: Vec<_> = outcome.pod["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|variable| variable["name"] == ATTRIBUTES)
        .map(|variable| variable["value"].as_str().unwrap())
        .collect();
    assert_eq!(values.len(), 2);
    assert_eq!(values[0], "a=1");
    assert!(values[1].starts_with("b=2,service.name="));
}

#[test]
fn env_from_is_reported_and_skip_gives_it_back() {
    let mut container = app();
    container["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
    let outcome = case(pod(container.clone())).decide();
    for name in [ENDPOINT, "OTEL_RESOURCE_ATTRIBUTES"] {
        assert!(outcome.is(name, Action::Set, Some(Reason::MayOverride)), "{name}");
    }
    let outcome = case(pod(container))
        .annotate("otelgate.dev/skip", "OTEL_EXPORTER_OTLP_ENDPOINT, service.version,nonsense")
        .decide();
    assert!(outcome.is(ENDPOINT, Action::Left, Some(Reason::SkippedByAnnotation)));
    assert!(outcome.is(PROTOCOL, Action::Left, Some(Reason::SkippedByAnnotation)));
    assert_eq!(outcome.attribute("service.version"), None);
    assert_eq!(outcome.label("tags.datadoghq.com/version"), None);
    assert!(outcome.has_note(Reason::UnsupportedSkip));
}

/// The API server sorts maps before a webhook sees them, and offline they stand as somebody wrote them.
#[test]
fn the_order_of_annotations_does_not_matter() {
    let annotations = ["resource.opentelemetry.io/a", "resource.opentelemetry.io/b", "resource.opentelemetry.io/c"];
    let annotated = |order: [usize; 3]| {
        order.iter().fold(case(pod(app())), |case, index| case.annotate(annotations[*index], "x")).decide()
    };
    let sorted = annotated([0, 1, 2]);
    assert_eq!(sorted.attribute("b"), Some("x"));
    assert_eq!(annotated([2, 0, 1]).variable("OTEL_RESOURCE_ATTRIBUTES"), sorted.variable("OTEL_RESOURCE_ATTRIBUTES"));
}

#[test]
fn every_dollar_of_ours_is_doubled() {
    for name in ["a$b", "$(X)", "$$", "end$", "$$(Y"] {
        let outcome = case(pod(app())).annotate("resource.opentelemetry.io/service.name", name).decide();
        let doubled = name.replace('$', "$$");
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some(doubled.as_str()));
    }
    let endpoint = case(pod(app())).annotate("otelgate.dev/endpoint", "http://gw/$x").decide();
    assert_eq!(endpoint.variable(ENDPOINT), Some("http://gw/$$x"));
}

/// What a pod may hold at most, all of it where a reference would begin.
#[test]
fn references_that_never_close_make_no_decision_slow() {
    let unclosed = |count: usize| {
        let refers = "$(X)".repeat(60);
        let variable = |name: &str, value: &str| json!({"name": name, "value": value});
        let names = ["OTEL_SERVICE_NAME", ENDPOINT, PROTOCOL, "OTEL_SDK_DISABLED"];
        let mut env = vec![variable(ATTRIBUTES, &"$(".repeat(count)), variable("X", &"$(".repeat(count / 16))];
        env.extend(names.map(|name| variable(name, &refers)));
        pod(with_env(json!(env))).to_string()
    };
    super::assert_linear(unclosed, 8_000);
}

#[test]
fn the_logs_exporter_is_switched_off_only_where_files_are_read() {
    assert_eq!(case(pod(app())).decide().variable("OTEL_LOGS_EXPORTER"), Some("none"));
    assert_eq!(
        case(pod(app())).annotate("otelgate.dev/logs", "disabled").decide().variable("OTEL_LOGS_EXPORTER"),
        None
    );
    let own = json!([{"name": "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "value": "x"}]);
    assert_eq!(case(pod(with_env(own))).decide().variable("OTEL_LOGS_EXPORTER"), None);
    let agent = case(pod(app())).configure(|document| document.logs.owner = LogOwner::Agent).decide();
    assert_eq!(agent.variable("OTEL_LOGS_EXPORTER"), Some("none"));
}

#[test]
fn a_disabled_sdk_is_respected() {
    let outcome = case(pod(with_env(json!([{"name": "OTEL_SDK_DISABLED", "value": "True"}])))).decide();
    assert_eq!(outcome.names(), ["OTEL_SDK_DISABLED"]);
    assert!(outcome.has_note(Reason::SdkDisabled));
    assert_eq!(outcome.label("tags.datadoghq.com/service"), Some("web"));
}

#[test]
fn datadogs_own_variables_count_as_what_the_container_has() {
    let env = json!([{"name": "DD_SERVICE", "value": "cart"}, {"name": "DD_ENV", "value": "qa"}, {"name": "DD_VERSION", "value": "7"}]);
    let outcome = case(pod(with_env(env))).decide();
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("cart"));
    assert_eq!(outcome.attribute("deployment.environment.name"), Some("qa"));
    assert_eq!(outcome.label("tags.datadoghq.com/version"), Some("7"));
    for (name, attribute, tag) in
        [("DD_ENV", "deployment.environment.name", "env"), ("DD_VERSION", "service.version", "version")]
    {
        let hidden = json!([{"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
        let outcome = case(pod(with_env(hidden))).decide();
        assert!(outcome.is(attribute, Action::Left, Some(Reason::ValueFrom)), "{name}");
        assert!(outcome.is(&format!("tags.datadoghq.com/{tag}"), Action::Left, Some(Reason::ValueFrom)), "{name}");
    }
    let hidden = json!([{"name": "DD_SERVICE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let outcome = case(pod(with_env(hidden))).decide();
    assert!(outcome.is("OTEL_SERVICE_NAME", Action::Left, Some(Reason::ValueFrom)));
    assert!(outcome.is("service.name", Action::Left, Some(Reason::ValueFrom)));
    assert!(outcome.is("tags.datadoghq.com/service", Action::Left, Some(Reason::ValueFrom)));
}

#[test]
fn a_name_that_the_user_took_is_not_referred_to() {
    let taken = json!([{"name": "OTELGATE_POD_NAME", "value": "mine"}]);
    let outcome = case(pod(with_env(taken))).decide();
    assert_eq!(outcome.names().iter().filter(|name| **name == "OTELGATE_POD_NAME").count(), 1);
    assert!(outcome.is("k8s.pod.name", Action::Left, Some(Reason::ReferenceTaken)));
    let same = || json!({"name": "OTELGATE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    let literal = || json!({"name": ATTRIBUTES, "value": "a=1"});
    let before = case(pod(with_env(json!([same(), literal()])))).decide();
    assert_eq!(before.attribute("k8s.pod.name"), Some("$(OTELGATE_POD_NAME)"));
    // With the same meaning it is no other's: it stands behind what would refer to it.
    for env in [json!([same()]), json!([literal(), same()]), json!([same(), literal(), same()])] {
        let outcome = case(pod(with_env(env.clone()))).decide();
        for key in ["k8s.pod.name", "service.instance.id"] {
            assert!(outcome.is(key, Action::Left, Some(Reason::ReferenceBehind)), "{key}: {env}");
        }
    }
    let both = json!([same(), {"name": "OTELGATE_POD_NAME", "value": "mine"}, literal()]);
    assert!(case(pod(with_env(both))).decide().is("k8s.pod.name", Action::Left, Some(Reason::ReferenceTaken)));
}

#[test]
fn further_variables_follow_the_same_rules() {
    let configure = |document: &mut crate::config::Document| {
        document.env = serde_json::from_value(json!([
            {"name": "REGION", "value": "eu$1"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        ]))
        .unwrap();
    };
    let outcome = case(pod(app())).configure(configure).decide();
    assert_eq!((outcome.variable("REGION"), outcome.variable("POD_IP")), (Some("eu$$1"), Some("status.podIP")));
    let own = case(pod(with_env(json!([{"name": "REGION", "value": "us"}])))).configure(configure).decide();
    assert_eq!(own.variable("REGION"), Some("us"));
}

#[test]
fn sizes_and_control_characters_are_refused_value_by_value() {
    let long = case(pod(app())).annotate("resource.opentelemetry.io/a", &"x".repeat(4097)).decide();
    assert!(long.is("a", Action::Left, Some(Reason::ValueTooLarge)));
    let control = case(pod(app())).annotate("resource.opentelemetry.io/a", "x\ny").decide();
    assert!(control.is("a", Action::Left, Some(Reason::ControlCharacter)));
}

#[test]
fn what_does_not_fit_into_the_variable_is_left_attribute_by_attribute() {
    const LIMIT: usize = 32 * 1024;
    let own = |length: usize| json!([{"name": ATTRIBUTES, "value": format!("a={}", "x".repeat(length - 2))}]);
    for length in [LIMIT - 10, LIMIT - 1, LIMIT, LIMIT + 1] {
        let outcome = case(pod(with_env(own(length)))).decide();
        assert!(outcome.is(ATTRIBUTES, Action::Left, Some(Reason::VariableTooLarge)), "{length}");
        assert!(!outcome.names().contains(&"OTELGATE_POD_UID"), "nothing refers to it");
    }
    // The name of the service fits, and what is longer doesn't.
    let outcome = case(pod(with_env(own(LIMIT - 20)))).decide();
    assert!(outcome.is(ATTRIBUTES, Action::Merged, None));
    assert!(
        outcome.variable(ATTRIBUTES).is_some_and(|text| text.ends_with("x,service.name=web") && text.len() <= LIMIT)
    );
    assert!(outcome.is("k8s.pod.uid", Action::Left, Some(Reason::VariableTooLarge)));
    assert!(!outcome.names().contains(&"OTELGATE_POD_UID"), "nothing refers to it");
    assert_eq!(case(outcome.pod).decide().operations, [] as [Value; 0]);
}

#[test]
fn long_annotations_cost_a_container_none_of_its_other_attributes() {
    // Encoded, each is three times as long.
    let long = "\u{65e5}".repeat(4000 / 3);
    for keys in [["x1", "x2", "x3"], ["service.name", "service.version", "deployment.environment.name"]] {
        let asked = keys
            .iter()
            .fold(case(pod(app())), |case, key| case.annotate(&format!("resource.opentelemetry.io/{key}"), &long));
        let outcome = asked.annotate("resource.opentelemetry.io/a", "b").decide();
        let last = keys[2];
        assert!(outcome.is(last, Action::Left, Some(Reason::VariableTooLarge)), "{last}");
        assert!(outcome.attribute(keys[0]).is_some() && outcome.attribute(last).is_none());
        assert_eq!(outcome.attribute("k8s.container.name"), Some("app"));
        assert_eq!(outcome.attribute("k8s.pod.uid"), Some("$(OTELGATE_POD_UID)"));
        assert_eq!(outcome.attribute("a"), Some("b"));
        assert!(outcome.variable(ATTRIBUTES).is_some_and(|text| text.len() <= 32 * 1024));
        let again = case(outcome.pod.clone()).decide();
        assert_eq!(again.operations, [] as [Value; 0]);
        let mut undone = outcome.pod;
        undo(&mut undone).unwrap();
        assert_eq!(undone["spec"], pod(app())["spec"]);
    }
    assert!(Reason::VariableTooLarge.next_step().contains("resource.opentelemetry.io"));
}

/// Whoever may create a pod may give each of a thousand containers thousands of attributes that it doesn't get.
#[test]
fn of_attributes_that_a_container_does_not_get_few_are_told() {
    let asked = |count: usize, value: &str| {
        (0..count).fold(case(pod(app())), |case, n| case.annotate(&format!("resource.opentelemetry.io/a{n}"), value))
    };
    let skip = (0..800).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
    for (case, reason) in [
        (asked(5000, "\u{7}"), Reason::ControlCharacter),
        (asked(800, "x").annotate("otelgate.dev/skip", &skip), Reason::SkippedByAnnotation),
        (asked(5000, "xxxxxxxx"), Reason::VariableTooLarge),
    ] {
        let outcome = case.annotate("resource.opentelemetry.io/a", "b").decide();
        let told = outcome.entries.iter().filter(|(_, _, why)| *why == Some(reason)).count();
        assert_eq!(told, 32, "{reason}");
        assert_eq!(outcome.attribute("a"), Some("b"), "{reason}");
        assert_eq!(outcome.attribute("k8s.container.name"), Some("app"), "{reason}");
    }
}

#[test]
fn references_that_grow_without_end_are_not_followed() {
    let mut env = vec![json!({"name": "V0", "value": "x".repeat(1000)})];
    for n in 1..60 {
        env.push(json!({"name": format!("V{n}"), "value": format!("$(V{0})$(V{0})", n - 1)}));
    }
    env.push(json!({"name": ATTRIBUTES, "value": "$(V59)"}));
    let outcome = case(pod(with_env(env.into()))).decide();
    assert!(outcome.is(ATTRIBUTES, Action::Merged, Some(Reason::MayOverride)));
}

#[test]
fn an_attribute_is_never_empty() {
    let nameless = case(pod(json!({"image": "a:1"}))).decide();
    assert_eq!(nameless.attribute("k8s.container.name"), None);
}

#[test]
fn an_empty_variable_counts_as_unset_but_its_name_is_taken() {
    let empty = |name: &str| json!({"name": name, "value": ""});
    let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let outcome = case(pod(with_env(json!([empty(traces)])))).decide();
    assert_eq!(outcome.variable(PROTOCOL), Some("http/protobuf"));
    assert!(outcome.variable(ENDPOINT).is_some());
    let general = case(pod(with_env(json!([empty(ENDPOINT)])))).decide();
    assert!(general.variable(traces).is_some());
    assert_eq!(general.names().iter().filter(|name| **name == ENDPOINT).count(), 1);
    let grpc = json!([{"name": PROTOCOL, "value": "grpc"}, {"name": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "value": "http://m:4317"},
        empty("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")]);
    let outcome = case(pod(with_env(grpc))).decide();
    assert_eq!(outcome.variable(traces), Some("http://otel-collector.datadog.svc.cluster.local:4317"));
}

#[test]
fn what_the_container_does_not_have_is_not_kept() {
    let env = json!([{"name": ENDPOINT, "value": "http://mine:1"}, {"name": "OTEL_LOGS_LEVEL", "value": "x"},
        {"name": ATTRIBUTES, "value": "service.name=a"}]);
    let outcome = case(pod(with_env(env))).decide();
    for name in [PROTOCOL, "OTEL_LOGS_EXPORTER", "OTEL_SERVICE_NAME"] {
        assert!(outcome.is(name, Action::Left, Some(Reason::PairIsUsers)), "{name}");
    }
}

#[test]
fn pairs_behind_a_reference_are_no_malformed_attributes() {
    let env = json!([{"name": ATTRIBUTES, "value": "$(COMMON),team=a"}]);
    assert!(!case(pod(with_env(env))).decide().has_note(Reason::MalformedAttributes));
}

#[test]
fn an_environment_under_its_old_name_contradicts_none() {
    let old = "resource.opentelemetry.io/deployment.environment";
    let of = |env| case(pod(with_env(env))).annotate(old, "staging").decide();
    let literal = of(json!([{"name": ATTRIBUTES, "value": "deployment.environment.name=prod"}]));
    let datadogs = of(json!([{"name": "DD_ENV", "value": "prod"}]));
    let hidden = of(json!([{"name": "DD_ENV", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]));
    for (outcome, environment) in [(literal, Some("prod")), (datadogs, Some("prod")), (hidden, None)] {
        assert_eq!(outcome.attribute("deployment.environment.name"), environment);
        assert_eq!(outcome.attribute("deployment.environment"), None);
    }
    let alone = of(json!([]));
    assert_eq!(alone.attribute("deployment.environment.name"), Some("staging"));
    assert_eq!(alone.attribute("deployment.environment"), Some("staging"));
}

#[test]
fn a_configuration_may_set_what_is_not_computed() {
    let configure = |document: &mut crate::config::Document| {
        document.env =
            serde_json::from_value(json!([{"name": "OTEL_EXPORTER_OTLP_TIMEOUT", "value": "5000"}])).unwrap();
    };
    let outcome = case(pod(app())).configure(configure).decide();
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_TIMEOUT"), Some("5000"));
    for name in ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_PROPAGATORS", "OTELGATE_X"] {
        let env = serde_json::from_value(json!([{"name": name, "value": "x"}])).unwrap();
        let document = crate::config::Document { env, ..crate::config::Document::default() };
        assert!(crate::config::Configuration::try_from(document).is_err(), "{name}");
    }
}
