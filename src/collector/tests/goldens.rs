//! The main renderings, as an expert would write them. `SNAPSHOTS=overwrite cargo test --lib goldens` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use snapbox::{Data, assert_data_eq};

use super::Spec;
use crate::api::stack::TelemetryStackSpec;

/// By the golden's file, the spec of which it is rendered, as a `TelemetryStack` has it.
const SPECS: &str = include_str!("../../../tests/data/collector/specs.json");

impl Spec {
    fn of(spec: TelemetryStackSpec) -> Self {
        let TelemetryStackSpec { collector, datadog, egress, agent, injection, .. } = spec;
        let mut document = Value::Object(injection.0);
        document["apiVersion"] = json!("otelgate.dev/v1alpha1");
        document["kind"] = json!("InjectionConfiguration");
        let injection = serde_json::from_value(document).expect("a configuration");
        Self { collector, datadog, egress, agent, injection }
    }
}

#[test]
fn the_main_renderings_are_as_before() {
    let specs: BTreeMap<String, TelemetryStackSpec> = serde_json::from_str(SPECS).expect("specs");
    assert_eq!(specs.len(), 5);
    for (name, spec) in specs {
        let rendered = Spec::of(spec).render().expect("a configuration");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector").join(name);
        assert_data_eq!(rendered.text, Data::read_from(&file, None).raw());
    }
}
