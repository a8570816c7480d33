//! Every component of the default version's renderings, with its keys and where they were read.

use serde_json::Value;

use super::every_combination;
use crate::api::stack::COLLECTOR_VERSION;
use crate::collector::part::{Section, type_of};

/// Where a type's keys were read.
struct Known {
    section: Section,
    kind: &'static str,
    /// A file of its module, in opentelemetry-collector (`core`) or opentelemetry-collector-contrib, at the default release.
    source: &'static str,
    /// Paths: `*` stands for any key, `[]` for each item of a list.
    keys: &'static [&'static str],
}

const fn known(section: Section, kind: &'static str, source: &'static str, keys: &'static [&'static str]) -> Known {
    Known { section, kind, source, keys }
}

const KNOWN: [Known; 20] = [
    known(Section::Extensions, "health_check", "extension/healthcheckextension/README.md 0.159.0", &["endpoint"]),
    known(
        Section::Extensions,
        "file_storage",
        "extension/storage/filestorage/config.go 0.159.0",
        &["directory", "create_directory"],
    ),
    known(
        Section::Extensions,
        "k8s_leader_elector",
        "extension/k8sleaderelector/config.go 0.149.0, internal/k8sconfig/config.go 0.159.0",
        &["auth_type", "lease_name", "lease_namespace", "lease_duration", "renew_deadline", "retry_period"],
    ),
    known(
        Section::Receivers,
        "otlp",
        "core receiver/otlpreceiver/config.go 0.159.0",
        &["protocols.grpc.endpoint", "protocols.http.endpoint"],
    ),
    known(
        Section::Receivers,
        "file_log",
        "receiver/filelogreceiver/README.md 0.159.0, pkg/stanza/docs/operators 0.159.0",
        &[
            "include[]",
            "exclude[]",
            "start_at",
            "include_file_path",
            "include_file_name",
            "storage",
            "retry_on_failure.enabled",
            "operators[].type",
            "operators[].id",
            "operators[].if",
            "operators[].field",
            "operators[].parse_to",
            "operators[].parse_from",
            "operators[].on_error",
            "operators[].mapping.*",
            "operators[].trace_id.parse_from",
            "operators[].span_id.parse_from",
        ],
    ),
    known(
        Section::Receivers,
        "k8s_cluster",
        "receiver/k8sclusterreceiver/config.go 0.149.0 and 0.161.0, internal/k8sconfig/config.go 0.159.0",
        &[
            "auth_type",
            "collection_interval",
            "k8s_leader_elector",
            "node_conditions_to_report[]",
            "allocatable_types_to_report[]",
        ],
    ),
    known(
        Section::Receivers,
        "prometheus",
        "receiver/prometheusreceiver/README.md 0.159.0, prometheus/prometheus docs/configuration/configuration.md",
        &[
            "config.scrape_configs[].job_name",
            "config.scrape_configs[].scrape_interval",
            "config.scrape_configs[].kubernetes_sd_configs[].role",
            "config.scrape_configs[].kubernetes_sd_configs[].selectors[].role",
            "config.scrape_configs[].kubernetes_sd_configs[].selectors[].field",
            "config.scrape_configs[].relabel_configs[].action",
            "config.scrape_configs[].relabel_configs[].source_labels[]",
            "config.scrape_configs[].relabel_configs[].regex",
            "config.scrape_configs[].relabel_configs[].target_label",
            "config.scrape_configs[].relabel_configs[].replacement",
        ],
    ),
    known(
        Section::Processors,
        "memory_limiter",
        "core processor/memorylimiterprocessor/README.md 0.159.0",
        &["check_interval", "limit_mib", "spike_limit_mib"],
    ),
    known(
        Section::Processors,
        "k8s_attributes",
        "processor/k8sattributesprocessor/config.go 0.159.0, internal/k8sconfig/config.go 0.159.0",
        &[
            "auth_type",
            "wait_for_metadata",
            "wait_for_metadata_timeout",
            "filter.node_from_env_var",
            "extract.otel_annotations",
            "extract.metadata[]",
            "extract.labels[].tag_name",
            "extract.labels[].key",
            "extract.labels[].from",
            "extract.annotations[].tag_name",
            "extract.annotations[].key",
            "extract.annotations[].from",
            "pod_association[].sources[].from",
            "pod_association[].sources[].name",
        ],
    ),
    known(
        Section::Processors,
        "filter",
        "processor/filterprocessor/config.go 0.159.0",
        &["error_mode", "log_conditions[]"],
    ),
    known(
        Section::Processors,
        "transform",
        "processor/transformprocessor/config.go 0.159.0",
        &[
            "error_mode",
            "trace_statements[].context",
            "trace_statements[].statements[]",
            "metric_statements[].context",
            "metric_statements[].statements[]",
            "log_statements[].context",
            "log_statements[].statements[]",
        ],
    ),
    known(
        Section::Processors,
        "resource_detection",
        "processor/resourcedetectionprocessor/config.go 0.159.0",
        &["detectors[]", "timeout", "override", "k8s_api.auth_type", "k8s_api.node_from_env_var"],
    ),
    known(
        Section::Processors,
        "cumulative_to_delta",
        "processor/cumulativetodeltaprocessor/config.go 0.159.0",
        &["max_staleness"],
    ),
    known(
        Section::Processors,
        "batch",
        "core processor/batchprocessor/config.go 0.159.0",
        &["send_batch_size", "send_batch_max_size", "timeout"],
    ),
    known(
        Section::Connectors,
        "datadog",
        "pkg/datadog/config/traces.go 0.159.0",
        &["traces.compute_stats_by_span_kind", "traces.compute_top_level_by_span_kind", "traces.peer_tags_aggregation"],
    ),
    known(
        Section::Connectors,
        "span_metrics",
        "connector/spanmetricsconnector/config.go 0.159.0",
        &[
            "aggregation_temporality",
            "add_resource_attributes",
            "histogram.exponential.max_size",
            "histogram.unit",
            "dimensions[].name",
        ],
    ),
    known(Section::Connectors, "forward", "core connector/forwardconnector/README.md 0.159.0", &[]),
    known(
        Section::Exporters,
        "datadog",
        "pkg/datadog/config/config.go and host.go 0.159.0",
        &["hostname", "api.key", "api.site", "host_metadata.enabled", "host_metadata.hostname_source"],
    ),
    known(
        Section::Exporters,
        "otlp_http",
        "core exporter/otlphttpexporter/README.md 0.159.0; the headers: docs.datadoghq.com, OTLP Metrics Intake Endpoint",
        &["endpoint", "headers.dd-api-key", "headers.dd-otel-metric-config"],
    ),
    known(
        Section::Exporters,
        "otlp_grpc",
        "core exporter/otlpexporter/README.md 0.159.0, core config/configtls/README.md 0.159.0",
        &["endpoint", "tls.insecure"],
    ),
];

/// Sources of another release than the default one, and why they do.
const OTHERWISE: [(&str, &str); 2] = [
    (
        "k8s_leader_elector",
        "Go's proxy has no later release of the module; the Collector of the tests runs with its keys",
    ),
    ("k8s_cluster", "Go's proxy has the modules of one release before and of one after it, and both have the keys"),
];

/// What `service` has beside pipelines and extensions, whose names are looked up elsewhere. Read in `core`:
/// service/telemetry/otelconftelemetry/internal/migration/v0.3.0.go, and the tests' data beside it, 0.159.0.
const TELEMETRY: [&str; 6] = [
    "metrics.level",
    "metrics.readers[].pull.exporter.prometheus.host",
    "metrics.readers[].pull.exporter.prometheus.port",
    "metrics.readers[].pull.exporter.prometheus.without_scope_info",
    "metrics.readers[].pull.exporter.prometheus.without_type_suffix",
    "metrics.readers[].pull.exporter.prometheus.without_units",
];

/// The paths of every leaf, as in [`Known::keys`].
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), found)),
        _ => found.push(path.to_owned()),
    }
}

fn is(pattern: &str, path: &str) -> bool {
    pattern == path
        || pattern.strip_suffix('*').is_some_and(|stem| path.strip_prefix(stem).is_some_and(|key| !key.contains('.')))
}

#[test]
fn every_key_of_the_default_version_is_one_that_was_read() {
    let mut used = std::collections::BTreeSet::new();
    for spec in every_combination() {
        let document = spec.document();
        for section in Section::ALL {
            for (id, settings) in document.get(section.key()).and_then(Value::as_object).into_iter().flatten() {
                let kind = type_of(id);
                let known = KNOWN.iter().find(|one| one.section == section && one.kind == kind);
                let known = known.unwrap_or_else(|| panic!("{id} isn't in the table"));
                let mut found = Vec::new();
                leaves(settings, "", &mut found);
                for path in found {
                    let key = known.keys.iter().find(|key| is(key, &path));
                    let key = key.unwrap_or_else(|| panic!("{id} has {path}, which {} hasn't", known.source));
                    used.insert((known.kind, section, *key));
                }
            }
        }
    }
    for one in &KNOWN {
        for key in one.keys {
            assert!(used.contains(&(one.kind, one.section, *key)), "{} is never rendered with {key}", one.kind);
        }
    }
}

#[test]
fn every_key_of_the_service_is_one_that_was_read() {
    for spec in every_combination() {
        let service = &spec.document()["service"];
        let keys: Vec<_> = service.as_object().expect("a map").keys().map(String::as_str).collect();
        assert!(keys.iter().all(|key| ["extensions", "telemetry", "pipelines"].contains(key)), "{keys:?}");
        for (id, pipeline) in service["pipelines"].as_object().expect("pipelines") {
            let mut lists = pipeline.as_object().expect("a map").keys();
            assert!(lists.all(|list| ["receivers", "processors", "exporters"].contains(&list.as_str())), "{id}");
        }
        let mut found = Vec::new();
        leaves(&service["telemetry"], "", &mut found);
        assert_eq!(found, TELEMETRY);
    }
}

#[test]
fn sources_are_of_the_default_release_or_say_why_not() {
    let is_of_it = |one: &Known| one.source.split_whitespace().all(|word| !is_release(word) || is_default(word));
    let of_others: Vec<_> = KNOWN.iter().filter(|one| !is_of_it(one)).map(|one| one.kind).collect();
    assert_eq!(of_others, OTHERWISE.map(|(kind, _)| kind));
    for one in &KNOWN {
        assert!(
            one.source.split_whitespace().any(is_default),
            "{}: {} has no part of the release",
            one.kind,
            one.source
        );
    }
}

fn is_release(word: &str) -> bool {
    word.starts_with("0.")
}

fn is_default(word: &str) -> bool {
    word.trim_end_matches([',', ';']) == COLLECTOR_VERSION
}
