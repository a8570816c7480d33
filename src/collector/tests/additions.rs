//! What users add.

use serde_json::{Map, Value, json};

use super::Spec;
use crate::collector::Fault;

fn with(config: &Value) -> Spec {
    let mut spec = Spec::named("east");
    spec.collector.config = config.as_object().expect("a map").clone();
    spec.collector.env.insert("TEAM".to_owned(), "checkout".to_owned());
    spec
}

fn added(config: &Value) -> Map<String, Value> {
    with(config).document()
}

fn refused(config: &Value) -> String {
    let fault: Fault = with(config).render().expect_err("it is refused");
    fault.to_string()
}

#[test]
fn maps_are_merged_and_lists_of_pipelines_grow() {
    let document = added(&json!({
        "receivers": {"file_log": {"operators": [], "poll_interval": "1s"}, "zipkin": null},
        "processors": {"attributes/team": {"actions": [{"key": "team", "value": "${env:TEAM}", "action": "insert"}]}},
        "exporters": {"debug": {"verbosity": "basic"}, "datadog": {"metrics": {"endpoint": "http://10.0.0.1:8080"}}},
        "extensions": {"zpages": null},
        "service": {
            "extensions": ["zpages"],
            "telemetry": {"logs": {"level": "debug"}},
            "pipelines": {
                "traces": {"receivers": ["zipkin", "otlp"]},
                "traces/export": {"processors": ["attributes/team"]},
                "logs": {"processors": ["attributes/team"], "exporters": ["debug"]},
            },
        },
    }));
    let pipelines = &document["service"]["pipelines"];
    assert_eq!(pipelines["traces"]["receivers"], json!(["otlp", "zipkin"]));
    assert_eq!(pipelines["traces/export"]["processors"], json!(["attributes/team", "batch"]));
    assert_eq!(
        pipelines["logs"]["processors"].as_array().expect("a list")[4..],
        [json!("attributes/team"), json!("batch")]
    );
    assert_eq!(pipelines["logs"]["exporters"], json!(["datadog", "debug"]));
    assert_eq!(document["service"]["extensions"].as_array().expect("a list").last(), Some(&json!("zpages")));
    assert_eq!(document["service"]["telemetry"]["logs"]["level"], "debug");
    assert_eq!(document["receivers"]["file_log"]["operators"], json!([]), "another list takes the place of ours");
    assert_eq!(document["receivers"]["file_log"]["include"], json!(["/var/log/pods/*/*/*.log"]));
    assert_eq!(document["exporters"]["datadog"]["metrics"], json!({"endpoint": "http://10.0.0.1:8080"}));
    assert_eq!(document["exporters"]["datadog"]["api"]["key"], "${env:DD_API_KEY}");
}

#[test]
fn a_pipeline_of_theirs_is_as_they_wrote_it() {
    let document = added(&json!({
        "receivers": {"statsd": {}},
        "service": {"pipelines": {"metrics/statsd": {"receivers": ["statsd"], "processors": ["batch", "memory_limiter"], "exporters": ["datadog"]}}},
    }));
    let pipeline = &document["service"]["pipelines"]["metrics/statsd"];
    assert_eq!(pipeline["processors"], json!(["batch", "memory_limiter"]));
}

#[test]
fn what_others_rely_on_cannot_be_set() {
    for (config, says) in [
        (
            json!({"receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:1"}}}}}),
            "receivers.otlp.protocols.grpc.endpoint: can't be set: pods send there",
        ),
        (
            json!({"receivers": {"otlp": {"protocols": {"x": {"endpoint": "127.0.0.1:1"}}}}}),
            "receivers.otlp.protocols.x.endpoint: can't be set",
        ),
        (json!({"receivers": {"otlp": "x"}}), "receivers.otlp: has to be a map"),
        (json!({"extensions": {"health_check": {"endpoint": "x"}}}), "extensions.health_check: can't be set"),
        (
            json!({"extensions": {"file_storage": {"directory": "/"}}}),
            "extensions.file_storage.directory: can't be set",
        ),
        (
            json!({"processors": {"memory_limiter": {"limit_mib": 1}}}),
            "processors.memory_limiter: can't be set: it follows spec.collector.resources",
        ),
        (
            json!({"processors": {"batch": {"timeout": "1m"}}}),
            "processors.batch: can't be set: it follows spec.collector.batch",
        ),
        (json!({"service": {"telemetry": {"metrics": {"level": "none"}}}}), "service.telemetry.metrics: can't be set"),
        (
            json!({"processors": {"filter/not_opted_in": {"log_conditions": ["false"]}}}),
            "processors.filter/not_opted_in: can't be set: it decides whose",
        ),
        (
            json!({"processors": {"transform/without_helpers": null}}),
            "processors.transform/without_helpers: can't be set",
        ),
    ] {
        let fault = refused(&config);
        assert!(fault.starts_with(&format!("spec.collector.config.{says}")), "{fault}");
    }
}

#[test]
fn what_does_not_hang_together_is_named() {
    let pipeline = |list: &str, id: &str| json!({"service": {"pipelines": {"logs": {list: [id]}}}});
    let of_exporter =
        |id: &str| json!({"exporters": {id: {}}, "service": {"pipelines": {"logs": {"exporters": [id]}}}});
    for (config, says) in [
        (
            pipeline("processors", "resource"),
            "service.pipelines.logs.processors: names \"resource\", which isn't declared under processors",
        ),
        (
            pipeline("receivers", "zipkin"),
            "service.pipelines.logs.receivers: names \"zipkin\", which isn't declared under receivers or connectors",
        ),
        (
            json!({"processors": {"resource": {}}}),
            "processors.resource: is declared, and is in no pipeline's processors",
        ),
        (
            json!({"connectors": {"count": {}}, "service": {"pipelines": {"logs": {"exporters": ["count"]}}}}),
            "connectors.count: is declared, and is in no pipeline's receivers",
        ),
        (json!({"extensions": {"zpages": {}}}), "extensions.zpages: is declared, and isn't in service.extensions"),
        (json!({"service": {"extensions": ["zpages"]}}), "service.extensions: names \"zpages\", which isn't declared"),
        (of_exporter("splunk"), "exporters.splunk: is no exporter of otelcol-contrib 0.159"),
        (of_exporter("datadgo"), "exporters.datadgo: is no exporter of otelcol-contrib 0.159; did you mean datadog?"),
        (of_exporter("debug/"), "exporters.debug/: isn't a component's type"),
        (json!({"service": {"pipelines": {"log": {}}}}), "service.pipelines.log: isn't a pipeline of traces"),
        (
            json!({"service": {"pipelines": {"logs/x": {"receivers": ["otlp"]}}}}),
            "service.pipelines.logs/x.exporters: has to name at least one",
        ),
        (
            json!({"service": {"pipelines": {"logs/x": {"exporter": ["otlp"]}}}}),
            "service.pipelines.logs/x.exporter: is no part of a pipeline",
        ),
        (
            json!({"service": {"pipelines": {"logs/x": {"receivers": ["otlp", "otlp"], "exporters": ["datadog"]}}}}),
            "service.pipelines.logs/x.receivers: names otlp twice",
        ),
        (
            json!({"service": {"pipelines": {"logs": {"receivers": "otlp"}}}}),
            "service.pipelines.logs.receivers: has to be a list",
        ),
        (
            json!({"service": {"pipelines": {"logs": {"receivers": [1]}}}}),
            "service.pipelines.logs.receivers: has to be a list",
        ),
        (json!({"service": {"pipelines": []}}), "service.pipelines: has to be a map"),
        (json!({"receiver": {"otlp": {}}}), "receiver: is no section of a configuration"),
        (json!({"receivers": []}), "receivers: has to be a map"),
    ] {
        let fault = refused(&config);
        assert!(fault.starts_with(&format!("spec.collector.config.{says}")), "{fault}");
    }
}

#[test]
fn nothing_is_referred_to_but_variables_that_are_listed() {
    let at = |text: &str| {
        json!({"processors": {"attributes/a": {"actions": [{"key": "a", "action": "insert", "value": text}]}},
               "service": {"pipelines": {"logs": {"processors": ["attributes/a"]}}}})
    };
    for text in [
        "${env:TEAM}",
        "${TEAM}",
        "${env:DD_API_KEY}",
        "x-${env:K8S_NODE_NAME}-${env:TEAM:-none}",
        "$${file:/etc/passwd}",
        "$1",
    ] {
        assert!(with(&at(text)).render().is_ok(), "{text}");
    }
    for (text, says) in [
        ("${file:/etc/passwd}", "only variables may be referred to"),
        ("${yaml:a: b}", "only variables"),
        ("${https://example.com/config}", "only variables"),
        ("${env:${file:/etc/passwd}}", "only variables"),
        ("$$${file:/etc/passwd}", "only variables"),
        ("${env:HOME}", "refers to HOME, which is no variable of the Collector's; add it to spec.collector.env"),
    ] {
        let fault = refused(&at(text));
        assert!(
            fault.starts_with("spec.collector.config.processors.attributes/a.actions.value: ") && fault.contains(says),
            "{fault}"
        );
    }
    let key = refused(&json!({"receivers": {"zipkin": {"${file:/etc/passwd}": 1}}}));
    assert!(key.contains("only variables"), "{key}");
}

#[test]
fn a_distribution_of_their_own_has_what_it_has() {
    let mut spec =
        with(&json!({"exporters": {"splunk": {}}, "service": {"pipelines": {"logs": {"exporters": ["splunk"]}}}}));
    spec.collector.image.repository = "registry.example.com/telemetry/collector".to_owned();
    assert!(spec.render().is_ok());
}
