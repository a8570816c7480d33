//! How parts are put together.

use serde_json::json;

use super::names::Version;
use super::own::Own;
use super::part::{Layout, Part, Pipeline};
use super::reference::variable;
use super::rendered::port;
use super::{Input, Memory, connectors, exporters, extensions, processors, receivers, variables};
use crate::api::stack::{Exporter, Owner};

/// The pipeline of container logs that are read from files, which sorts out whose are sent.
pub const FILES: &str = "logs/files";

/// What every pipeline of an input is made of.
struct Parts<'a> {
    input: &'a Input<'a>,
    version: Version,
    memory: &'a Memory,
    exporter: Part,
}

pub fn layout(input: &Input<'_>, version: Version, memory: &Memory) -> Layout {
    let parts = Parts { input, version, memory, exporter: exporters::exporter(input) };
    let mut pipelines = parts.traces();
    pipelines.extend(parts.metrics());
    pipelines.extend(parts.logs());
    let mut extensions = vec![extensions::health_check()];
    if parts.reads_files() {
        extensions.push(extensions::file_storage());
    }
    if input.owners().cluster_state == Owner::Collector {
        extensions.push(receivers::leader_elector(&receivers::lease(input.injection)));
    }
    // The host's brackets, where it is an IPv6 address, are the Collector's own to write. Names without suffixes are those
    // of the Collector where nobody says otherwise, and those that Datadog's page and dashboard of it have.
    let exporter = json!({
        "host": variable(variables::POD_IP),
        "port": port::METRICS.number,
        "without_scope_info": true,
        "without_type_suffix": true,
        "without_units": true,
    });
    let telemetry =
        json!({"metrics": {"level": "normal", "readers": [{"pull": {"exporter": {"prometheus": exporter}}}]}});
    Layout { extensions, pipelines, telemetry }
}

/// Whether the Collector reads the files of container logs.
pub fn reads_files(input: &Input<'_>) -> bool {
    input.owners().container_logs == Owner::Collector
}

// === impl Parts ===

impl Parts<'_> {
    fn reads_files(&self) -> bool {
        reads_files(self.input)
    }

    fn first(&self) -> Part {
        processors::memory_limiter(self.memory)
    }

    fn batch(&self) -> Part {
        processors::batch(&self.input.collector.batch)
    }

    /// What data is told of the pod and host that it comes from.
    fn identity(&self) -> Vec<Part> {
        let mut parts = vec![processors::k8s_attributes(self.version, &self.input.injection.identity)];
        parts.extend(self.host());
        parts
    }

    fn host(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.cluster_name().into_iter().collect();
        parts.push(processors::resource_detection(self.version));
        parts
    }

    fn cluster_name(&self) -> Option<Part> {
        self.input.injection.cluster_name.as_deref().map(processors::cluster_name)
    }

    /// Every span is counted before any may be left out: who wants to sample does it in `traces/export`.
    fn traces(&self) -> Vec<Pipeline> {
        let mut on_arrival = vec![self.first()];
        on_arrival.extend(self.identity());
        let (counted, exporters, metrics) = match self.input.collector.exporter {
            Exporter::Agent => {
                on_arrival.push(self.batch());
                return vec![self.pipeline("traces", [receivers::otlp()], on_arrival)];
            }
            Exporter::Datadog => {
                let connector = connectors::datadog();
                (connector.clone(), vec![connector.clone()], ("metrics/stats", connector))
            }
            Exporter::Otlp => {
                let (forward, metrics) = (connectors::forward(), connectors::span_metrics(self.version));
                (forward.clone(), vec![metrics.clone(), forward], ("metrics/spans", metrics))
            }
        };
        vec![
            Pipeline { id: "traces", receivers: vec![receivers::otlp()], processors: on_arrival, exporters },
            self.pipeline("traces/export", [counted], vec![self.batch()]),
            self.pipeline(metrics.0, [metrics.1], vec![self.batch()]),
        ]
    }

    fn metrics(&self) -> Vec<Pipeline> {
        let owners = self.input.owners();
        let mut receivers = vec![receivers::otlp()];
        if owners.prometheus == Owner::Collector {
            receivers.push(receivers::prometheus());
        }
        let mut processors = vec![self.first()];
        processors.extend(self.identity());
        processors.extend(self.differences());
        processors.push(self.batch());
        let mut pipelines = vec![self.pipeline("metrics", receivers, processors)];
        if owners.cluster_state == Owner::Collector {
            // These are of the whole cluster: neither the own node's pods nor the own host are what they are about.
            let mut processors = vec![self.first()];
            processors.extend(self.cluster_name());
            processors.extend(self.differences());
            processors.push(self.batch());
            pipelines.push(self.pipeline("metrics/cluster", [receivers::k8s_cluster()], processors));
        }
        pipelines
    }

    fn differences(&self) -> Option<Part> {
        (self.input.collector.exporter == Exporter::Otlp).then(|| processors::cumulative_to_delta(self.version))
    }

    fn logs(&self) -> Vec<Pipeline> {
        let mut processors = vec![self.first()];
        processors.extend(self.identity());
        processors.push(self.batch());
        let mut pipelines = vec![self.pipeline("logs", [receivers::otlp()], processors)];
        if self.reads_files() {
            let injection = self.input.injection;
            let pod = processors::k8s_attributes_of_files(self.version, &injection.identity);
            let mut processors = vec![self.first(), pod];
            processors.extend(processors::scope::of_files(self.input.collector.logs.scope, injection.logs.collection));
            processors.push(processors::service(injection.environment.as_deref()));
            processors.extend(self.host());
            processors.push(self.batch());
            let files = receivers::file_log(self.version, &Own::of(self.input));
            pipelines.push(self.pipeline(FILES, [files], processors));
        }
        pipelines
    }

    fn pipeline(&self, id: &'static str, receivers: impl Into<Vec<Part>>, processors: Vec<Part>) -> Pipeline {
        Pipeline { id, receivers: receivers.into(), processors, exporters: vec![self.exporter.clone()] }
    }
}
