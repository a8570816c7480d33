//! Where a container sends to, and how.

use serde_json::json;

use super::{Case, app, case, pod, with_env};
use crate::config::{IpFamily, Protocol, Reach};
use crate::inject::{Action, Reason};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

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
fn an_endpoint_that_is_too_long_as_it_is_written_takes_its_protocol_with_it() {
    let traces = || json!([{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://mine:4318/v1/traces"}]);
    let at = |length: usize| format!("http://gw:4318/{:x<1$}", "", length - "http://gw:4318/".len());
    // The path of the signal comes behind it: that of metrics is too long, and that of logs just fits.
    let outcome =
        case(pod(with_env(traces()))).annotate("otelgate.dev/endpoint", &at(4096 - "/v1/logs".len())).decide();
    for kind in ["ENDPOINT", "PROTOCOL"] {
        let name = format!("OTEL_EXPORTER_OTLP_METRICS_{kind}");
        assert!(outcome.is(&name, Action::Left, Some(Reason::ValueTooLarge)), "{name}");
        assert!(outcome.is(&format!("OTEL_EXPORTER_OTLP_LOGS_{kind}"), Action::Set, None));
    }
    // Each `$` is written twice.
    let dollars = format!("http://gw:4318/{}", "$".repeat(2100));
    let outcome = case(pod(app())).annotate("otelgate.dev/endpoint", &dollars).decide();
    for name in [ENDPOINT, PROTOCOL] {
        assert!(outcome.is(name, Action::Left, Some(Reason::ValueTooLarge)), "{name}");
    }
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
    // Of a port of somebody's own it isn't known what else is spoken there: who asks says where.
    let asked = || {
        case(pod(app()))
            .configure(|document| document.otlp.endpoint = Some("http://gw:9999".into()))
            .annotate("otelgate.dev/protocol", "grpc")
    };
    for key in [ENDPOINT, PROTOCOL] {
        assert!(asked().decide().is(key, Action::Left, Some(Reason::NoEndpointForProtocol)), "{key}");
    }
    let next = Reason::NoEndpointForProtocol.next_step();
    assert!(next.contains("otelgate.dev/endpoint") && next.contains("container"), "{next}");
    let beside = asked().annotate("otelgate.dev/endpoint", "http://gw:9999").decide();
    assert_eq!((beside.variable(ENDPOINT), beside.variable(PROTOCOL)), (Some("http://gw:9999"), Some("grpc")));
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
        (true, Some("Default"), false),
        (true, Some("None"), false),
        (false, None, true),
        (false, Some("ClusterFirst"), true),
        (false, Some("ClusterFirstWithHostNet"), true),
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
    for (family, endpoint) in
        [(IpFamily::IPv4, "http://$(OTELGATE_NODE_IP):4318"), (IpFamily::IPv6, "http://[$(OTELGATE_NODE_IP)]:4318")]
    {
        let by_node = case(pod(app())).configure(|document| {
            document.otlp.reach = Reach::Node;
            document.otlp.ip_family = family;
        });
        let outcome = by_node.decide();
        assert_eq!(outcome.variable(ENDPOINT), Some(endpoint));
        let names = outcome.names();
        let place = |name| names.iter().position(|one| *one == name).unwrap();
        assert!(place("OTELGATE_NODE_IP") < place(ENDPOINT));
    }
}

#[test]
fn the_collectors_name_ends_in_the_clusters_domain() {
    let outcome = case(pod(app())).configure(|document| document.cluster_domain = "corp.example".into()).decide();
    assert_eq!(outcome.variable(ENDPOINT), Some("http://otel-collector.datadog.svc.corp.example:4318"));
}

#[test]
fn a_configured_protocol_picks_the_port() {
    let outcome = case(pod(app())).configure(|document| document.otlp.protocol = Protocol::Grpc).decide();
    assert_eq!(outcome.variable(ENDPOINT), Some("http://otel-collector.datadog.svc.cluster.local:4317"));
    assert_eq!(outcome.variable(PROTOCOL), Some("grpc"));
}

#[test]
fn skipping_the_general_endpoint_skips_what_stands_for_it() {
    let env = json!([{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://mine:4318/v1/traces"}]);
    let outcome = case(pod(with_env(env))).annotate("otelgate.dev/skip", ENDPOINT).decide();
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), None);
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
fn what_goes_to_a_backend_of_the_containers_own_is_left_as_it_is() {
    const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    const EXPORTER: &str = "OTEL_LOGS_EXPORTER";
    let from = json!({"configMapKeyRef": {"name": "otel", "key": "k"}});
    for (env, temporality, exporter) in [
        (json!([]), Some("delta"), Some("none")),
        (json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": ""}]), Some("delta"), Some("none")),
        (json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "https://team.example"}]), None, None),
        (json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "valueFrom": from}]), None, None),
        (
            json!([{"name": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "value": "http://prometheus:9090"}]),
            None,
            Some("none"),
        ),
        (json!([{"name": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "value": ""}]), Some("delta"), Some("none")),
        (
            json!([{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://t:4318"}]),
            Some("delta"),
            Some("none"),
        ),
        (json!([{"name": "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "value": "http://l:4318"}]), Some("delta"), None),
    ] {
        let outcome = case(pod(with_env(env.clone()))).decide();
        for (name, value) in [(TEMPORALITY, temporality), (EXPORTER, exporter)] {
            assert_eq!(outcome.variable(name), value, "{name}: {env}");
            let is_left = outcome.is(name, Action::Left, Some(Reason::PairIsUsers));
            assert_eq!(is_left, value.is_none(), "{name}: {env}");
        }
    }
    // What is given back to envFrom is as hidden as what a valueFrom has.
    for (skip, temporality, exporter) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", None, None),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", None, None),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", None, Some("none")),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", Some("delta"), None),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Some("delta"), Some("none")),
    ] {
        let outcome = case(pod(app())).annotate("otelgate.dev/skip", skip).decide();
        assert_eq!([outcome.variable(TEMPORALITY), outcome.variable(EXPORTER)], [temporality, exporter], "{skip}");
    }
    let collector = json!([{"name": ENDPOINT, "value": "http://otel-collector.datadog:4318"}]);
    let given = case(pod(with_env(collector))).annotate("otelgate.dev/skip", ENDPOINT).decide();
    assert_eq!(given.variable(EXPORTER), Some("none"), "its own is known");
    let own = json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://a"}, {"name": TEMPORALITY, "value": "lowmemory"}]);
    assert!(case(pod(with_env(own))).decide().is(TEMPORALITY, Action::Kept, None));
}

/// Whether both are set of which another backend may want neither.
fn goes_to_the_collector(case: &Case) -> bool {
    let outcome = case.decide();
    let [temporality, exporter] = ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "OTEL_LOGS_EXPORTER"]
        .map(|name| outcome.variable(name).is_some());
    assert_eq!(temporality, exporter, "{}", case.pod);
    temporality
}

#[test]
fn an_endpoint_of_the_containers_own_may_be_the_collector_all_the_same() {
    let on = |env: serde_json::Value| {
        case(pod(with_env(env))).configure(|document| document.collector.address = Some("fd00::17".into()))
    };
    let of = |url: &str| on(json!([{"name": ENDPOINT, "value": url}]));
    for (url, is_collector) in [
        ("http://otel-collector.datadog.svc.cluster.local:4318", true),
        ("https://u:p@OTEL-Collector.datadog.svc.cluster.local.:9/v1?x", true),
        ("http://otel-collector.datadog.svc:4317", true),
        ("http://otel-collector.datadog", true),
        ("otel-collector.datadog:4317", true),
        ("http://[fd00:0:0::17]:4318", true),
        ("http://otel-collector:4318", false),
        ("http://otel-collector.shop:4318", false),
        ("http://otel-collector.datadog.cluster.local:4318", false),
        ("http://otel-collector.datadog.svc.example.com:4318", false),
        ("http://team.example/?http://otel-collector.datadog", false),
        ("http://otel-collector.datadog@team.example", false),
        ("http://[fd00::18]:4318", false),
        ("http://:4318", false),
        ("http://[", false),
    ] {
        assert_eq!(goes_to_the_collector(&of(url)), is_collector, "{url}");
    }
    assert!(goes_to_the_collector(&of("http://otel-collector:4318").namespace(Some("datadog"))));
    let renamed = of("http://otel-collector.datadog.svc.example.org").configure(|document| {
        document.cluster_domain = "example.org".into();
    });
    assert!(goes_to_the_collector(&renamed));
    let by_reference =
        |host: &str| json!([{"name": "HOST", "value": host}, {"name": ENDPOINT, "value": "http://$(HOST):1"}]);
    assert!(goes_to_the_collector(&on(by_reference("otel-collector.datadog"))));
    assert!(!goes_to_the_collector(&on(by_reference("$(UNKNOWN)"))));
    let own_metrics = on(json!([
        {"name": ENDPOINT, "value": "http://otel-collector.datadog"},
        {"name": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "value": "http://prometheus"}
    ]));
    let outcome = own_metrics.decide();
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"), None);
    assert_eq!(outcome.variable("OTEL_LOGS_EXPORTER"), Some("none"));
}

#[test]
fn where_an_annotation_sends_the_pod_is_not_elsewhere() {
    let of = |url: &str| {
        case(pod(with_env(json!([{"name": ENDPOINT, "value": url}]))))
            .annotate("otelgate.dev/endpoint", "http://gw:4317")
    };
    for (url, is_there) in [
        ("http://gw:4318", true),
        ("http://gw.shop.svc", true),
        ("http://otel-collector.datadog", true),
        ("http://gw.other", false),
    ] {
        assert_eq!(goes_to_the_collector(&of(url)), is_there, "{url}");
    }
}

#[test]
fn by_the_node_its_address_is_the_collectors() {
    let of = |path: &str, url: &str, reach| {
        let address = json!({"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": path}}});
        case(pod(with_env(json!([address, {"name": ENDPOINT, "value": url}]))))
            .configure(|document| document.otlp.reach = reach)
    };
    for (path, url, reach, is_collector) in [
        ("status.hostIP", "http://$(ADDRESS):4318", Reach::Node, true),
        ("status.hostIP", "http://[$(ADDRESS)]:4317", Reach::Node, true),
        ("status.hostIP", "http://$(ADDRESS):4318", Reach::Service, false),
        ("status.podIP", "http://$(ADDRESS):4318", Reach::Node, false),
        ("status.hostIP", "http://$(ADDRESS).example:4318", Reach::Node, false),
        ("status.hostIP", "http://$$(ADDRESS):4318", Reach::Node, false),
        ("status.hostIP", "http://otel-collector.datadog", Reach::Node, true),
    ] {
        assert_eq!(goes_to_the_collector(&of(path, url, reach)), is_collector, "{path} {url}");
    }
}

/// What an address is of that otelgate itself adds is known at once, and the same at a second look.
#[test]
fn an_address_that_is_added_is_known_before_it_stands_there() {
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let skip = ("otelgate.dev/skip", "ADDRESS");
    for (name, url, annotation, sees_metrics) in [
        (ENDPOINT, "http://$(ADDRESS):4318", None, true),
        (METRICS, "http://$(ADDRESS):4318/v1/metrics", None, true),
        (METRICS, "http://$(OTELGATE_NODE_IP):4318/v1/metrics", None, true),
        // Nothing else refers to it, so that it isn't added.
        (ENDPOINT, "http://$(OTELGATE_NODE_IP):4318", None, false),
        (ENDPOINT, "http://$(ADDRESS):4318", Some(skip), false),
        (ENDPOINT, "http://$(POD):4318", None, false),
    ] {
        let configured = |pod| {
            let case = case(pod).configure(|document| {
                document.otlp.reach = Reach::Node;
                document.env = serde_json::from_value(json!([
                    {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ]))
                .unwrap();
            });
            annotation.into_iter().fold(case, |case, (key, value)| case.annotate(key, value)).decide()
        };
        let first = configured(pod(with_env(json!([{"name": name, "value": url}]))));
        let temporality = first.variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
        assert_eq!(temporality.is_some(), sees_metrics, "{name} {url}");
        assert_eq!(configured(first.pod).operations, Vec::<serde_json::Value>::new(), "{name} {url}");
    }
}

/// Also where what holds the address comes to the front only now.
#[test]
fn an_address_is_known_before_it_comes_to_the_front() {
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let configured = |pod, address: bool| {
        case(pod).configure(|document| {
            document.otlp.reach = Reach::Node;
            let source = json!({"fieldRef": {"fieldPath": "status.hostIP"}});
            let address = address.then(|| json!([{"name": "ADDRESS", "valueFrom": source}]));
            document.env = address.map(|env| serde_json::from_value(env).unwrap()).unwrap_or_default();
        })
    };
    let injected = configured(pod(app()), false).decide().pod;
    let attributes = json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"});
    for (host, address, in_front, sees_metrics) in [
        // Something is appended to what stands in front of all: references come before that.
        ("OTELGATE_NODE_IP", false, vec![attributes.clone()], true),
        // Nothing in front of the endpoint refers to them: they stay.
        ("OTELGATE_NODE_IP", false, vec![], false),
        ("ADDRESS", true, vec![attributes], true),
        // It comes behind the references that stay.
        ("ADDRESS", true, vec![], false),
    ] {
        let endpoint = json!({"name": METRICS, "value": format!("http://$({host}):4318/v1/metrics")});
        let mut edited = injected.clone();
        let env = edited["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        env.splice(0..0, in_front.iter().cloned().chain([endpoint]));
        let first = configured(edited, address).decide();
        assert_eq!(first.variable(TEMPORALITY).is_some(), sees_metrics, "{host} behind {in_front:?}");
        let again = configured(first.pod, address).decide();
        assert_eq!(again.operations, Vec::<serde_json::Value>::new(), "{host} behind {in_front:?}");
    }
}
