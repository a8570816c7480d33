//! Variables: what is set, kept, merged and left.

use serde_json::json;

use super::{app, case, pod, with_env};
use crate::config::{LogOwner, Protocol, Reach};
use crate::inject::{Action, Reason};

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
fn endpoint_and_protocol_go_together() {
    let set = |name: &str, value: &str| json!({"name": name, "value": value});
    let own_endpoint = case(pod(with_env(json!([set(ENDPOINT, "http://mine:1")])))).decide();
    assert_eq!((own_endpoint.variable(ENDPOINT), own_endpoint.variable(PROTOCOL)), (Some("http://mine:1"), None));

    let own_protocol = case(pod(with_env(json!([set(PROTOCOL, "grpc")])))).decide();
    assert_eq!(own_protocol.variable(ENDPOINT), Some("http://otel-collector.datadog.svc.cluster.local:4317"));
    assert!(own_protocol.is(PROTOCOL, Action::Kept, None));

    let unknown = case(pod(with_env(json!([set(PROTOCOL, "thrift")])))).decide();
    assert!(unknown.is(ENDPOINT, Action::Left, Some(Reason::NoEndpointForProtocol)));

    let hidden = json!([{"name": PROTOCOL, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]);
    assert!(case(pod(with_env(hidden))).decide().is(ENDPOINT, Action::Left, Some(Reason::ValueFrom)));
}

#[test]
fn a_signal_of_its_own_means_no_general_pair() {
    let env = json!([{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://mine:4318/v1/traces"},
        {"name": "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "value": "grpc"}]);
    let outcome = case(pod(with_env(env))).decide();
    assert_eq!((outcome.variable(ENDPOINT), outcome.variable(PROTOCOL)), (None, None));
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), None);
    assert_eq!(
        outcome.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
        Some("http://otel-collector.datadog.svc.cluster.local:4318/v1/metrics")
    );
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"), Some("http/protobuf"));
    assert_eq!(
        outcome.variable("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
        Some("http://otel-collector.datadog.svc.cluster.local:4317")
    );
}

#[test]
fn the_general_protocol_holds_for_signals_without_one() {
    let env = json!([{"name": PROTOCOL, "value": "grpc"}, {"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://mine:4317"}]);
    let outcome = case(pod(with_env(env))).decide();
    assert_eq!(
        outcome.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
        Some("http://otel-collector.datadog.svc.cluster.local:4317")
    );
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"), None);
}

#[test]
fn annotations_say_where_and_how_to_send() {
    let by_port = case(pod(app())).annotate("otelgate.dev/endpoint", "http://gw:4317").decide();
    assert_eq!((by_port.variable(ENDPOINT), by_port.variable(PROTOCOL)), (Some("http://gw:4317"), Some("grpc")));
    let both = case(pod(app()))
        .annotate("otelgate.dev/endpoint", "https://gw/otlp")
        .annotate("otelgate.dev/protocol", "http/json")
        .decide();
    assert_eq!((both.variable(ENDPOINT), both.variable(PROTOCOL)), (Some("https://gw/otlp"), Some("http/json")));
    let pod_first = case(pod(app()))
        .on_namespace("otelgate.dev/protocol", "grpc")
        .annotate("otelgate.dev/endpoint", "http://gw:4318");
    assert_eq!(pod_first.decide().variable(PROTOCOL), Some("http/protobuf"));
    let illegal = case(pod(app())).annotate("otelgate.dev/endpoint", "gw:4317").decide();
    assert!(illegal.has_note(Reason::InvalidOption));
    assert_eq!(illegal.variable(PROTOCOL), Some("http/protobuf"));
}

#[test]
fn a_pod_that_cannot_resolve_cluster_names_gets_the_address() {
    let mut host = pod(app());
    for (host_network, policy, resolves) in [
        (true, None, false),
        (true, Some("ClusterFirst"), false),
        (true, Some("ClusterFirstWithHostNet"), true),
        (false, Some("ClusterFirst"), true),
        (false, Some("Default"), false),
        (false, Some("None"), false),
    ] {
        host["spec"]["hostNetwork"] = host_network.into();
        host["spec"]["dnsPolicy"] = policy.into();
        let outcome = case(host.clone()).decide();
        assert_eq!(outcome.variable(ENDPOINT).is_some(), resolves, "{host_network} {policy:?}");
        assert_eq!(outcome.is(ENDPOINT, Action::Left, Some(Reason::NoEndpoint)), !resolves);
        let with_address = case(host.clone()).configure(|document| document.collector.address = Some("fd00::1".into()));
        let expected =
            if resolves { "http://otel-collector.datadog.svc.cluster.local:4318" } else { "http://[fd00::1]:4318" };
        assert_eq!(with_address.decide().variable(ENDPOINT), Some(expected));
    }
}

#[test]
fn by_the_node_the_address_comes_first() {
    let outcome = case(pod(app())).configure(|document| document.otlp.reach = Reach::Node).decide();
    assert_eq!(outcome.variable(ENDPOINT), Some("http://$(OTELGATE_NODE_IP):4318"));
    let names = outcome.names();
    let place = |name| names.iter().position(|one| *one == name).unwrap();
    assert!(place("OTELGATE_NODE_IP") < place(ENDPOINT));
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
    assert!(outcome.is(ENDPOINT, Action::Set, Some(Reason::MayOverride)));
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

#[test]
fn sampler_and_propagators_are_legal_or_absent() {
    let outcome = case(pod(app()))
        .annotate("otelgate.dev/sampler", "traceidratio")
        .annotate("otelgate.dev/sampler-arg", "0.1")
        .annotate("otelgate.dev/propagators", "tracecontext,b3")
        .decide();
    assert_eq!(outcome.variable("OTEL_TRACES_SAMPLER"), Some("traceidratio"));
    assert_eq!(outcome.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.1"));
    assert_eq!(outcome.variable("OTEL_PROPAGATORS"), Some("tracecontext,b3"));
    let illegal = case(pod(app()))
        .annotate("otelgate.dev/sampler", "sometimes")
        .annotate("otelgate.dev/propagators", "b3,datadog")
        .decide();
    assert_eq!(illegal.variable("OTEL_TRACES_SAMPLER"), None);
    assert_eq!(illegal.variable("OTEL_PROPAGATORS"), None);
    assert_eq!(illegal.notes.iter().filter(|(reason, _)| *reason == Reason::InvalidOption).count(), 2);
    let own = case(pod(with_env(json!([{"name": "OTEL_TRACES_SAMPLER_ARG", "value": "1"}]))))
        .annotate("otelgate.dev/sampler", "traceidratio")
        .decide();
    assert_eq!(own.variable("OTEL_TRACES_SAMPLER"), None);
}

#[test]
fn a_sampler_never_takes_anothers_argument() {
    let configured = |document: &mut crate::config::Document| {
        document.sampler = Some(crate::config::Sampler { name: "traceidratio".into(), arg: Some("0.5".into()) });
    };
    let other = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler", "always_on").decide();
    assert_eq!(other.variable("OTEL_TRACES_SAMPLER_ARG"), None);
    let own = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler-arg", "0.2").decide();
    assert_eq!(own.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.2"));
    let illegal = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler-arg", "2").decide();
    assert_eq!(illegal.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.5"));
}

#[test]
fn a_sampler_whose_argument_isnt_legal_doesnt_count() {
    let pair = |outcome: &super::Outcome| {
        ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"].map(|name| outcome.variable(name).map(str::to_owned))
    };
    let both = |name: &str, arg: &str| [Some(name.to_owned()), Some(arg.to_owned())];
    let asked = |sampler: &str, arg: &str| {
        case(pod(app())).annotate("otelgate.dev/sampler", sampler).annotate("otelgate.dev/sampler-arg", arg)
    };
    let long = "x".repeat(5000);
    for (sampler, arg) in [
        ("traceidratio", "10%"),
        ("traceidratio", "0.1\n"),
        ("traceidratio", ""),
        ("jaeger_remote", "endpoint=http://jaeger\n"),
        ("jaeger_remote", long.as_str()),
    ] {
        let outcome = asked(sampler, arg).decide();
        assert_eq!(pair(&outcome), [None, None], "{sampler} {arg}");
        assert_eq!(outcome.notes, [(Reason::InvalidOption, "annotation otelgate.dev/sampler-arg".to_owned())]);
    }
    let namespace = asked("traceidratio", "10%")
        .on_namespace("otelgate.dev/sampler", "parentbased_traceidratio")
        .on_namespace("otelgate.dev/sampler-arg", "0.3");
    assert_eq!(pair(&namespace.decide()), both("parentbased_traceidratio", "0.3"), "the namespace's stands");
    let defaults = case(pod(app()))
        .annotate("otelgate.dev/sampler-arg", "10%")
        .on_namespace("otelgate.dev/sampler", "traceidratio")
        .on_namespace("otelgate.dev/sampler-arg", "0.3");
    assert_eq!(pair(&defaults.decide()), both("traceidratio", "0.3"), "the pod's argument is absent");
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
    let same = json!([{"name": "OTELGATE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": ATTRIBUTES, "value": "a=1"}]);
    assert_eq!(case(pod(with_env(same))).decide().attribute("k8s.pod.name"), Some("$(OTELGATE_POD_NAME)"));
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
    let merged = json!([{"name": ATTRIBUTES, "value": format!("a={}", "x".repeat(32 * 1024 - 100))}]);
    let outcome = case(pod(with_env(merged))).decide();
    assert!(outcome.is(ATTRIBUTES, Action::Left, Some(Reason::VariableTooLarge)));
    assert!(!outcome.names().contains(&"OTELGATE_POD_UID"), "nothing refers to it");
}

#[test]
fn a_configured_protocol_picks_the_port() {
    let outcome = case(pod(app())).configure(|document| document.otlp.protocol = Protocol::Grpc).decide();
    assert_eq!(outcome.variable(ENDPOINT), Some("http://otel-collector.datadog.svc.cluster.local:4317"));
    assert_eq!(outcome.variable(PROTOCOL), Some("grpc"));
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
fn skipping_the_general_endpoint_skips_what_stands_for_it() {
    let env = json!([{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://mine:4318/v1/traces"}]);
    let outcome = case(pod(with_env(env))).annotate("otelgate.dev/skip", ENDPOINT).decide();
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), None);
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
fn none_stands_alone_among_propagators() {
    let of = |value: &str| case(pod(app())).annotate("otelgate.dev/propagators", value).decide();
    assert_eq!(of("none").variable("OTEL_PROPAGATORS"), Some("none"));
    assert!(of("none,b3").has_note(Reason::InvalidOption));
}

#[test]
fn propagators_are_written_without_blanks() {
    let annotated = case(pod(app())).annotate("otelgate.dev/propagators", "tracecontext, baggage").decide();
    assert_eq!(annotated.variable("OTEL_PROPAGATORS"), Some("tracecontext,baggage"));
    let configure = |document: &mut crate::config::Document| {
        document.propagators = vec![" tracecontext".into(), "b3 , baggage".into()];
    };
    let configured = case(pod(app())).configure(configure).decide();
    assert_eq!(configured.variable("OTEL_PROPAGATORS"), Some("tracecontext,b3,baggage"));
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
fn a_pods_protocol_picks_the_port_of_its_namespaces_endpoint() {
    let of = |own: &str| {
        case(pod(app()))
            .on_namespace("otelgate.dev/endpoint", "http://gw:4317")
            .annotate("otelgate.dev/protocol", own)
            .decide()
    };
    let (http, grpc) = (of("http/protobuf"), of("grpc"));
    assert_eq!((http.variable(ENDPOINT), http.variable(PROTOCOL)), (Some("http://gw:4318"), Some("http/protobuf")));
    assert_eq!((grpc.variable(ENDPOINT), grpc.variable(PROTOCOL)), (Some("http://gw:4317"), Some("grpc")));
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
