//! The Helm chart in `charts/otelgate`: its files, so that the program can install itself, and its values, of which the
//! chart's defaults, its schema and the reference page are written.

mod generated;
mod values;

pub use generated::{defaults, reference, schema};
pub use values::*;

/// A file of the chart.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Within the chart's folder.
    pub path: &'static str,
    pub text: &'static str,
}

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../charts/otelgate/", $path)) }),+]
    };
}

/// All of the chart, sorted by path.
pub const FILES: &[File] = files![
    "Chart.yaml",
    "crds/telemetrystacks.yaml",
    "monitoring/alerts/collector.yaml",
    "monitoring/alerts/conditions.yaml",
    "monitoring/alerts/controller.yaml",
    "monitoring/alerts/limits.yaml",
    "monitoring/alerts/webhook.yaml",
    "monitoring/dashboard.json",
    "monitoring/monitors.json",
    "templates/NOTES.txt",
    "templates/_helpers.tpl",
    "templates/agent/controller.yaml",
    "templates/agent/roles.yaml",
    "templates/certmanager.yaml",
    "templates/collector/rbac.yaml",
    "templates/controller/deployment.yaml",
    "templates/controller/networkpolicy.yaml",
    "templates/controller/rbac.yaml",
    "templates/monitoring/alerts.yaml",
    "templates/monitoring/datadog.yaml",
    "templates/monitoring/podmonitors.yaml",
    "templates/namespaces.yaml",
    "templates/registration.yaml",
    "templates/stack.yaml",
    "templates/webhook/deployment.yaml",
    "templates/webhook/networkpolicy.yaml",
    "templates/webhook/poddisruptionbudget.yaml",
    "templates/webhook/rbac.yaml",
    "templates/webhook/service.yaml",
    "values.schema.json",
    "values.yaml",
];
