//! What users add.

use serde_json::{Map, Value, json};

use super::Spec;
use crate::api::stack::Exporter;
use crate::collector::Fault;
use crate::collector::additions::{GROWING, SCOPE, TOLD};

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
        "receivers": {"file_log": {"poll_interval": "1s"}, "zipkin": null},
        "processors": {
            "attributes/team": {"actions": [{"key": "team", "value": "${env:TEAM}", "action": "insert"}]},
            "resource_detection": {"detectors": ["env"]},
        },
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
    let detectors = &document["processors"]["resource_detection"]["detectors"];
    assert_eq!(*detectors, json!(["env"]), "another list takes the place of ours");
    assert_eq!(document["receivers"]["file_log"]["poll_interval"], "1s");
    assert_eq!(document["receivers"]["file_log"]["include"], json!(["/var/log/pods/*/*/*.log"]));
    assert_eq!(document["exporters"]["datadog"]["metrics"], json!({"endpoint": "http://10.0.0.1:8080"}));
    assert_eq!(document["exporters"]["datadog"]["api"]["key"], "${env:DD_API_KEY}");
}

#[test]
fn how_often_the_lease_is_asked_for_is_theirs_to_choose() {
    let document =
        added(&json!({"extensions": {"k8s_leader_elector": {"lease_duration": "5m", "renew_deadline": "3m"}}}));
    let elector = &document["extensions"]["k8s_leader_elector"];
    let periods = ["lease_duration", "renew_deadline", "retry_period"].map(|key| &elector[key]);
    assert_eq!(periods, ["5m", "3m", "15s"]);
    assert_eq!(elector["lease_name"], "otel-collector-k8s-cluster");
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
fn lists_that_say_whose_a_line_is_keep_what_they_have() {
    let theirs = json!({"tag_name": "team", "key": "team", "from": "pod"});
    let files = json!({"extract": {"labels": [theirs], "annotations": [theirs], "metadata": ["k8s.cluster.uid"]}});
    for (tag, file_log, k8s_attributes) in
        [("0.159.0", "file_log", "k8s_attributes/files"), ("0.148.0", "filelog", "k8sattributes/files")]
    {
        let excluded = json!({"exclude": ["/var/log/pods/noisy_*/*/*.log"], "operators": [{"type": "noop"}]});
        let mut spec = with(&json!({"receivers": {file_log: excluded}, "processors": {k8s_attributes: files}}));
        spec.collector.image.tag = tag.to_owned();
        let mut plain = Spec::named("east");
        plain.collector.image.tag = tag.to_owned();
        let (ours, merged) = (plain.document(), spec.document());
        let lists = |document: &Map<String, Value>| {
            let (receiver, extract) =
                (&document["receivers"][file_log], &document["processors"][k8s_attributes]["extract"]);
            let lists = [
                &receiver["exclude"],
                &receiver["operators"],
                &extract["metadata"],
                &extract["annotations"],
                &extract["labels"],
            ];
            lists.map(|list| list.as_array().expect("a list").clone())
        };
        for (n, (ours, merged)) in lists(&ours).into_iter().zip(lists(&merged)).enumerate() {
            assert!(!ours.is_empty());
            assert_eq!(merged.len(), ours.len() + 1, "{tag}: {n}");
            // Of two labels that give the same attribute, ours counts.
            assert!(if n < 3 { merged.starts_with(&ours) } else { merged.ends_with(&ours) }, "{tag}: {merged:?}");
        }
    }
}

#[test]
fn a_further_datadog_exporter_tells_of_no_hosts() {
    let document = added(&json!({
        "exporters": {"datadog/other": {"api": {"key": "${env:TEAM}"}}, "datadog": {"host_metadata": {"tags": ["a:b"]}}},
        "service": {"pipelines": {"traces/export": {"exporters": ["datadog/other"]}}},
    }));
    let (ours, other) = (&document["exporters"]["datadog"], &document["exporters"]["datadog/other"]);
    assert_eq!(other["host_metadata"], json!({"enabled": false}));
    assert_eq!(other["hostname"], ours["hostname"]);
    assert_eq!(ours["host_metadata"]["tags"], json!(["a:b"]));
    let mut spec = with(&json!({
        "exporters": {"datadog": null},
        "service": {"pipelines": {"traces/export": {"exporters": ["datadog"]}}},
    }));
    spec.collector.exporter = Exporter::Otlp;
    assert_eq!(spec.document()["exporters"]["datadog"]["host_metadata"], json!({"enabled": false}));
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
            json!({"extensions": {"k8s_leader_elector": {"lease_name": "mine"}}}),
            "extensions.k8s_leader_elector.lease_name: can't be set: one Collector in the cluster",
        ),
        (
            json!({"extensions": {"k8s_leader_elector/mine": {"lease_namespace": "shop"}}}),
            "extensions.k8s_leader_elector/mine.lease_namespace: can't be set",
        ),
        (
            json!({"processors": {"memory_limiter": {"limit_mib": 1}}}),
            "processors.memory_limiter: can't be set: it follows spec.collector.resources",
        ),
        (
            json!({"processors": {"batch": {"timeout": "1m"}}}),
            "processors.batch: can't be set: it follows spec.collector.batch",
        ),
        (json!({"processors": {"batch/mine": {"timeout": "1m"}}}), "processors.batch/mine: can't be set: it follows"),
        (json!({"extensions": {"health_check/mine": null}}), "extensions.health_check/mine: can't be set"),
        (
            json!({"receivers": {"otlp/mine": {"protocols": {"http": {"endpoint": "0.0.0.0:4318"}}}}}),
            "receivers.otlp/mine.protocols.http.endpoint: can't be set",
        ),
        (
            json!({"exporters": {"datadog": {"host_metadata": {"enabled": true}}}}),
            "exporters.datadog.host_metadata.enabled: can't be set: one alone tells what hosts are",
        ),
        (
            json!({"exporters": {"datadog/mine": {"host_metadata": {"enabled": true}}}}),
            "exporters.datadog/mine.host_metadata.enabled: can't be set",
        ),
        (
            json!({"exporters": {"datadog": {"hostname": "x"}}}),
            "exporters.datadog.hostname: can't be set: with another",
        ),
        (
            json!({"receivers": {"file_log": {"include_file_path": false}}}),
            "receivers.file_log.include_file_path: can't be set: it decides whose lines are sent",
        ),
        (json!({"receivers": {"file_log": {"exclude": null}}}), "receivers.file_log.exclude: has to be a list"),
        (
            json!({"processors": {"k8s_attributes/files": {"pod_association": []}}}),
            "processors.k8s_attributes/files.pod_association: can't be set: it decides whose lines are sent",
        ),
        (
            json!({"processors": {"k8s_attributes/files": {"exclude": {"pods": [{"name": "x"}]}}}}),
            "processors.k8s_attributes/files.exclude: can't be set",
        ),
        (
            json!({"processors": {"k8s_attributes": {"auth_type": "none"}}}),
            "processors.k8s_attributes.auth_type: can't be set: a Collector that isn't told of pods doesn't start",
        ),
        (
            json!({"processors": {"k8s_attributes/files": {"wait_for_metadata_timeout": "1ms"}}}),
            "processors.k8s_attributes/files.wait_for_metadata_timeout: can't be set: a Collector that isn't told",
        ),
        (
            json!({"processors": {"k8s_attributes": {"filter": {"node_from_env_var": "HOME"}}}}),
            "processors.k8s_attributes.filter.node_from_env_var: can't be set",
        ),
        (
            json!({"service": {"pipelines": {"logs": {"receivers": ["file_log"]}}}}),
            "service.pipelines.logs.receivers: names \"file_log\", whose lines go through logs/files alone",
        ),
        (
            json!({"service": {"pipelines": {"logs/raw": {"receivers": ["file_log"], "exporters": ["datadog"]}}}}),
            "service.pipelines.logs/raw.receivers: names \"file_log\"",
        ),
        (json!({"service": {"telemetry": {"metrics": {"level": "none"}}}}), "service.telemetry.metrics: can't be set"),
        (
            json!({"processors": {"filter/not_opted_in": {"log_conditions": ["false"]}}}),
            "processors.filter/not_opted_in: can't be set: it decides whose",
        ),
        (
            json!({"processors": {"transform/without_switches": null}}),
            "processors.transform/without_switches: can't be set",
        ),
    ] {
        let fault = refused(&config);
        assert!(fault.starts_with(&format!("spec.collector.config.{says}")), "{fault}");
    }
}

/// A pattern that names a component which was renamed would protect nothing.
#[test]
fn what_decides_about_lines_is_there_and_cannot_be_set() {
    let document = added(&json!({}));
    for pattern in SCOPE.into_iter().chain(TOLD).chain(GROWING.map(|(pattern, _)| pattern)) {
        let keys: Vec<_> = pattern.split('.').collect();
        assert!(document[keys[0]].get(keys[1]).is_some(), "{pattern}");
        let theirs = keys.iter().rev().fold(json!("x"), |inner, key| json!({*key: inner}));
        let why =
            if GROWING.iter().any(|(growing, _)| *growing == pattern) { "has to be a list" } else { "can't be set" };
        let fault = refused(&theirs);
        assert!(fault.starts_with(&format!("spec.collector.config.{pattern}: {why}")), "{fault}");
    }
}

/// Under a name of their own it may be told of pods in any way.
#[test]
fn what_ours_are_told_of_pods_by_is_theirs_to_choose_elsewhere() {
    let mine = json!({"auth_type": "serviceAccount", "filter": {"node_from_env_var": "K8S_NODE_NAME"}});
    let document = added(&json!({
        "processors": {"k8s_attributes/mine": mine, "k8s_attributes": {"filter": {"namespace": "shop"}}},
        "service": {"pipelines": {"logs": {"processors": ["k8s_attributes/mine"]}}},
    }));
    assert_eq!(document["processors"]["k8s_attributes/mine"], mine);
    assert_eq!(
        document["processors"]["k8s_attributes"]["filter"],
        json!({"node_from_env_var": "K8S_NODE_NAME", "namespace": "shop"})
    );
    let mut older = with(&json!({"processors": {"k8sattributes/files": {"auth_type": "none"}}}));
    older.collector.image.tag = "0.148.0".to_owned();
    let fault = older.render().expect_err("it is refused").to_string();
    assert!(fault.contains("k8sattributes/files.auth_type: can't be set"), "{fault}");
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
