//! The main renderings, as an expert would write them. `SNAPSHOTS=overwrite cargo test --lib goldens` writes them anew.

use std::path::Path;

use snapbox::{Data, assert_data_eq};

use super::Spec;
use crate::api::stack::{AgentMode, Exporter, LogScope};
use crate::config::{Collection, LogOwner};

fn golden(name: &str, spec: &Spec) {
    let rendered = spec.render().expect("a configuration");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector").join(name);
    assert_data_eq!(rendered.text, Data::read_from(&file, None).raw());
}

#[test]
fn with_defaults() {
    golden("default.yaml", &Spec::named("east"));
}

#[test]
fn without_an_agent() {
    let mut spec = Spec::default();
    spec.agent.mode = AgentMode::Disabled;
    spec.injection.environment = Some("production".to_owned());
    golden("without-agent.yaml", &spec);
}

#[test]
fn to_the_otlp_intake() {
    let mut spec = Spec::named("east");
    spec.collector.exporter = Exporter::Otlp;
    spec.datadog.site = "datadoghq.eu".to_owned();
    golden("otlp.yaml", &spec);
}

#[test]
fn to_the_agent_which_owns_the_logs() {
    let mut spec = Spec::named("east");
    spec.collector.exporter = Exporter::Agent;
    spec.injection.logs.owner = LogOwner::Agent;
    spec.collector.metrics.cluster = false;
    spec.collector.metrics.annotated_pods = false;
    golden("agent.yaml", &spec);
}

#[test]
fn of_an_older_collector_for_all_logs() {
    let mut spec = Spec::named("east");
    spec.collector.image.tag = "0.149.0".to_owned();
    spec.collector.logs.scope = LogScope::All;
    spec.injection.logs.collection = Collection::Disabled;
    spec.injection.identity.from_well_known_labels = true;
    golden("all-logs-0.149.yaml", &spec);
}
