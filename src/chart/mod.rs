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
    "templates/NOTES.txt",
    "templates/_helpers.tpl",
    "templates/certmanager.yaml",
    "templates/controller/deployment.yaml",
    "templates/controller/networkpolicy.yaml",
    "templates/controller/rbac.yaml",
    "templates/monitoring.yaml",
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
