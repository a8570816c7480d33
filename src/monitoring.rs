//! What the chart watches: its alerts and monitors as data, and where the metrics come from that they and the dashboard
//! read and that no program of otelgate has.
//!
//! Names of metrics are nobody's contract but their program's, so that each has its source here. Tests compare every
//! query with this list and with the programs' own.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::api::condition::Reason;
use crate::chart;

/// An alert of the `PrometheusRule`, as the chart's files have it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    #[serde(rename = "alert")]
    pub name: String,
    /// In `PromQL`, with names in angle brackets where the chart puts a value.
    #[serde(rename = "expr")]
    pub expression: String,
    /// For how long that has to hold.
    #[serde(rename = "for")]
    pub after: String,
    pub severity: Severity,
    /// What is wrong, in one line.
    pub summary: String,
    /// What to do.
    pub next: String,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Telemetry is lost, or is about to be: somebody is woken.
    Critical,
    /// Somebody looks on the same day.
    Warning,
    /// Somebody should know.
    Info,
}

/// A monitor of Datadog's, as its API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Monitor {
    pub name: String,
    pub query: String,
    pub message: String,
    pub priority: u8,
}

/// A metric that another program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// As it is called in Datadog. In Prometheus the Collector's have an ending more, by its configuration.
    pub name: &'static str,
    /// Where it is written that there is such a metric.
    pub source: &'static str,
    /// Of the Collector's, the first minor release that calls it so.
    pub since: u32,
    /// The first that calls it otherwise.
    pub before: u32,
}

const fn foreign(name: &'static str, source: &'static str) -> Foreign {
    Foreign { name, source, since: 0, before: u32::MAX }
}

const fn until_0_154(name: &'static str, source: &'static str) -> Foreign {
    Foreign { before: MEMORY_LIMITER_RENAMED, ..foreign(name, source) }
}

const fn since_0_155(name: &'static str, source: &'static str) -> Foreign {
    Foreign { since: MEMORY_LIMITER_RENAMED, ..foreign(name, source) }
}

/// The release whose `memory_limiter` has its own name in those of its metrics.
const MEMORY_LIMITER_RENAMED: u32 = 155;

macro_rules! collector {
    ($path:literal) => {
        collector!($path, "0.149.0")
    };
    ($path:literal, $version:literal) => {
        concat!(
            "https://github.com/open-telemetry/opentelemetry-collector/blob/v",
            $version,
            "/",
            $path,
            "/documentation.md"
        )
    };
}
const SERVICE: &str = collector!("service");
const RECEIVERS: &str = collector!("receiver/receiverhelper");
const EXPORTERS: &str = collector!("exporter/exporterhelper");
const MEMORY_LIMITER: &str = collector!("processor/memorylimiterprocessor", "0.159.0");
const MEMORY_LIMITER_BEFORE: &str = collector!("processor/memorylimiterprocessor", "0.154.0");
const CLUSTER: &str = "https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/v0.149.0/receiver/k8sclusterreceiver/documentation.md";
const NODE_CONDITIONS: &str = "https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/v0.149.0/receiver/k8sclusterreceiver/README.md";
const TRACE_WRITER: &str = "https://github.com/DataDog/datadog-agent/blob/7.77.0/pkg/opentelemetry-mapping-go/otlp/metrics/metrics_remapping.go";
const TRACE_AGENT: &str = "https://docs.datadoghq.com/tracing/troubleshooting/agent_apm_metrics/";
const CONTAINER: &str = "https://docs.datadoghq.com/integrations/container/";
const CLUSTER_BY_AGENT: &str = "https://docs.datadoghq.com/integrations/kubernetes_state_core/";
const SECURITY_AGENT: &str = "https://github.com/DataDog/datadog-agent/blob/0174b124e654cce7e0f0fd448f0ba882ed95db0d/pkg/security/metrics/metrics.go";
const COMPLIANCE_AGENT: &str = "https://github.com/DataDog/datadog-agent/blob/24391ae2853357dc1d3e978900affbe217b3a510/test/new-e2e/tests/cspm/cspm_test.go";

/// Every metric of others that something in the chart reads.
pub const FOREIGN: &[Foreign] = &[
    foreign("otelcol_process_uptime", SERVICE),
    foreign("otelcol_process_memory_rss", SERVICE),
    foreign("otelcol_process_cpu_seconds", SERVICE),
    foreign("otelcol_receiver_accepted_spans", RECEIVERS),
    foreign("otelcol_receiver_accepted_metric_points", RECEIVERS),
    foreign("otelcol_receiver_accepted_log_records", RECEIVERS),
    foreign("otelcol_receiver_refused_spans", RECEIVERS),
    foreign("otelcol_receiver_refused_metric_points", RECEIVERS),
    foreign("otelcol_receiver_refused_log_records", RECEIVERS),
    since_0_155("otelcol_processor_memory_limiter_refused_spans", MEMORY_LIMITER),
    since_0_155("otelcol_processor_memory_limiter_refused_metric_points", MEMORY_LIMITER),
    since_0_155("otelcol_processor_memory_limiter_refused_log_records", MEMORY_LIMITER),
    until_0_154("otelcol_processor_refused_spans", MEMORY_LIMITER_BEFORE),
    until_0_154("otelcol_processor_refused_metric_points", MEMORY_LIMITER_BEFORE),
    until_0_154("otelcol_processor_refused_log_records", MEMORY_LIMITER_BEFORE),
    foreign("otelcol_exporter_sent_spans", EXPORTERS),
    foreign("otelcol_exporter_sent_metric_points", EXPORTERS),
    foreign("otelcol_exporter_sent_log_records", EXPORTERS),
    foreign("otelcol_exporter_send_failed_spans", EXPORTERS),
    foreign("otelcol_exporter_send_failed_metric_points", EXPORTERS),
    foreign("otelcol_exporter_send_failed_log_records", EXPORTERS),
    foreign("otelcol_exporter_enqueue_failed_spans", EXPORTERS),
    foreign("otelcol_exporter_enqueue_failed_metric_points", EXPORTERS),
    foreign("otelcol_exporter_enqueue_failed_log_records", EXPORTERS),
    foreign("otelcol_exporter_queue_size", EXPORTERS),
    foreign("otelcol_exporter_queue_capacity", EXPORTERS),
    foreign("otelcol_datadog_trace_agent_trace_writer_errors", TRACE_WRITER),
    foreign("otelcol_datadog_trace_agent_trace_writer_dropped", TRACE_WRITER),
    foreign("k8s.container.restarts", CLUSTER),
    foreign("k8s.daemonset.desired_scheduled_nodes", CLUSTER),
    foreign("k8s.daemonset.ready_nodes", CLUSTER),
    foreign("k8s.deployment.available", CLUSTER),
    foreign("k8s.deployment.desired", CLUSTER),
    foreign("k8s.node.condition_ready", NODE_CONDITIONS),
    foreign("kubernetes_state.daemonset.desired", CLUSTER_BY_AGENT),
    foreign("kubernetes_state.daemonset.ready", CLUSTER_BY_AGENT),
    foreign("kubernetes_state.node.by_condition", CLUSTER_BY_AGENT),
    foreign("container.cpu.limit", CONTAINER),
    foreign("container.cpu.usage", CONTAINER),
    foreign("container.memory.limit", CONTAINER),
    foreign("container.memory.usage", CONTAINER),
    foreign("datadog.trace_agent.heartbeat", TRACE_AGENT),
    foreign("datadog.trace_agent.receiver.payload_refused", TRACE_AGENT),
    foreign("datadog.trace_agent.receiver.traces_dropped", TRACE_AGENT),
    foreign("datadog.trace_agent.trace_writer.dropped", TRACE_AGENT),
    foreign("datadog.trace_agent.trace_writer.errors", TRACE_AGENT),
    foreign("datadog.security_agent.compliance.running", COMPLIANCE_AGENT),
    foreign("datadog.security_agent.runtime.running", SECURITY_AGENT),
];

/// Datadog's words for events that are no metrics.
pub const SECURITY_SIGNALS: Foreign = foreign("security_signals", "https://docs.datadoghq.com/api/latest/dashboards/");
/// What such an event has, beside the tags of where it is from: its severity, and which kind of rule has made it, as
/// <https://docs.datadoghq.com/bits_ai/mcp_server/tools/> has it.
pub const SIGNAL_FACETS: [&str; 2] = ["@workflow.rule.type", "status"];

/// Reasons of `CollectorAvailable` that say nothing of nodes, each of which may have a good Collector all the same.
pub const NOT_AS_ASKED: [Reason; 7] = [
    Reason::CollectorRolledBack,
    Reason::CollectorSpecInvalid,
    Reason::CollectorContested,
    Reason::CollectorForeign,
    Reason::CollectorLeftBehind,
    Reason::CollectorNotReadable,
    Reason::CollectorNotWritten,
];

const ALERTS: [&str; 5] = ["webhook", "controller", "conditions", "collector", "limits"];

/// Every alert, in the order in which the chart has them.
///
/// # Panics
/// Never: a test reads them.
#[must_use]
pub fn alerts() -> Vec<Alert> {
    let read = |group: &&str| -> Vec<Alert> {
        serde_saphyr::from_str(text(&format!("monitoring/alerts/{group}.yaml"))).expect("a test reads it")
    };
    ALERTS.iter().flat_map(read).collect()
}

/// Every monitor, by its name in the cluster.
///
/// # Panics
/// Never: a test reads them.
#[must_use]
pub fn monitors() -> BTreeMap<String, Monitor> {
    serde_json::from_str(text("monitoring/monitors.json")).expect("a test reads it")
}

/// The dashboard, as Datadog's API takes it.
#[must_use]
pub fn dashboard() -> &'static str {
    text("monitoring/dashboard.json")
}

fn text(path: &str) -> &'static str {
    chart::FILES.iter().find(|file| file.path == path).expect("the chart has it").text
}

// === impl Foreign ===

impl Foreign {
    /// Whether a Collector of that minor release calls it so.
    #[must_use]
    pub const fn is_of(&self, minor: u32) -> bool {
        self.since <= minor && minor < self.before
    }
}

// === impl Severity ===

impl Severity {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}
