//! Tests over whole renderings.

mod additions;
mod carries;
mod goldens;
mod keys;
pub mod strings;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Fault, Input, Rendered, render};
use crate::api::stack::{Agent, AgentMode, Collector, Datadog, Egress, Exporter, LogScope};
use crate::config::{Collection, Document, LogOwner};

/// What an [`Input`] refers to.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub collector: Collector,
    pub datadog: Datadog,
    pub egress: Egress,
    pub agent: Agent,
    pub injection: Document,
}

impl Spec {
    fn named(cluster: &str) -> Self {
        let mut spec = Self::default();
        spec.injection.cluster_name = Some(cluster.to_owned());
        spec
    }

    fn render(&self) -> Result<Rendered, Fault> {
        render(&Input {
            collector: &self.collector,
            datadog: &self.datadog,
            egress: &self.egress,
            agent: &self.agent,
            injection: &self.injection,
        })
    }

    pub fn rendered(&self) -> Rendered {
        self.render().unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    fn document(&self) -> Map<String, Value> {
        let rendered = self.rendered();
        serde_saphyr::from_str(&rendered.text).unwrap_or_else(|error| panic!("{error}: {}", rendered.text))
    }
}

/// Every combination of modes and switches whose configuration differs from the others'.
fn every_combination() -> Vec<Spec> {
    let mut specs = Vec::new();
    let mut texts = BTreeSet::new();
    for exporter in [Exporter::Datadog, Exporter::Otlp, Exporter::Agent] {
        for bits in 0..(1 << 7) {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let mut spec = Spec::default();
            spec.collector.exporter = exporter;
            spec.collector.metrics.cluster = on(0);
            spec.collector.metrics.annotated_pods = on(1);
            spec.collector.logs.scope = if on(2) { LogScope::All } else { LogScope::OptedIn };
            spec.injection.logs.owner = if on(3) { LogOwner::Agent } else { LogOwner::Collector };
            spec.injection.logs.collection = if on(4) { Collection::Disabled } else { Collection::Enabled };
            spec.injection.cluster_name = on(5).then(|| "east".to_owned());
            spec.agent.mode = if on(6) && exporter != Exporter::Agent { AgentMode::Disabled } else { AgentMode::Auto };
            if texts.insert(spec.render().expect("a configuration").text) {
                specs.push(spec);
            }
        }
    }
    specs
}

#[test]
fn every_combination_hangs_together_and_is_itself_again() {
    for mut spec in every_combination() {
        for tag in ["0.146.0", "0.149.0", "0.165.1"] {
            tag.clone_into(&mut spec.collector.image.tag);
            let rendered = spec.render().unwrap_or_else(|fault| panic!("{fault}: {spec:?}"));
            assert_eq!(rendered, spec.render().expect("as before"));
        }
        let rendered = spec.render().expect("as before");
        let receivers = &spec.document()["receivers"];
        assert_eq!(rendered.files.pod_logs, receivers.get("file_log").is_some());
        assert_eq!(rendered.lease.is_some(), receivers.get("k8s_cluster").is_some());
        let known: Vec<&str> = rendered.environment.iter().map(|one| one.name.as_str()).collect();
        for name in super::reference::variables(&rendered.text).expect("nothing but variables") {
            assert!(known.contains(&name), "{name}");
        }
    }
}

#[test]
fn a_spec_that_nothing_can_be_made_from_names_its_field() {
    type Change = fn(&mut Spec);
    let faults: [(&str, Change); 8] = [
        ("spec.collector.image.tag: ", |spec| spec.collector.image.tag = "latest".to_owned()),
        ("spec.collector.resources.limits.memory: ", |spec| spec.collector.resources.limits.clear()),
        ("spec.collector.exporter: is agent, and there is no Agent", |spec| {
            spec.collector.exporter = Exporter::Agent;
            spec.agent.mode = AgentMode::Disabled;
        }),
        ("spec.collector.env.GOMEMLIMIT: is set by otelgate", |spec| set(spec, "GOMEMLIMIT", "1")),
        ("spec.collector.env.1A: isn't a name", |spec| set(spec, "1A", "x")),
        ("spec.collector.env.A}: isn't a name", |spec| set(spec, "A}", "x")),
        ("spec.collector.env.A: has ${ in its value", |spec| set(spec, "A", "${file:/etc/passwd}")),
        ("spec.collector.env.A: has ${ in its value, or ends with $", |spec| set(spec, "A", "x$")),
    ];
    for (expected, change) in faults {
        let mut spec = Spec::default();
        change(&mut spec);
        let fault = spec.render().expect_err(expected).to_string();
        assert!(fault.starts_with(expected), "{fault}");
    }
}

fn set(spec: &mut Spec, name: &str, value: &str) {
    spec.collector.env.insert(name.to_owned(), value.to_owned());
}

#[test]
fn nothing_of_the_files_is_sent_but_through_the_filters() {
    for spec in every_combination().into_iter().filter(|spec| spec.injection.logs.owner == LogOwner::Collector) {
        let document = spec.document();
        let pipelines = document["service"]["pipelines"].as_object().expect("pipelines");
        let reading: Vec<_> = pipelines.iter().filter(|(_, one)| one["receivers"][0] == "file_log").collect();
        let [(_, pipeline)] = reading[..] else { panic!("one pipeline reads files") };
        let processors: Vec<&str> =
            pipeline["processors"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let at = |id: &str| processors.iter().position(|one| *one == id);
        let opted_in = spec.collector.logs.scope == LogScope::OptedIn;
        assert!(at("k8s_attributes/files") < at("filter/unknown_pods"));
        assert_eq!(at("filter/not_opted_in").is_some(), opted_in);
        let switches = at("transform/without_switches").expect("switches are taken out");
        assert!(at("k8s_attributes/files") < at("filter/switched_off") && at("filter/switched_off") < Some(switches));
        assert!(at("filter/not_opted_in") < Some(switches) && Some(switches) < at("batch"));
    }
}

#[test]
fn one_collector_reads_the_cluster_and_none_asks_whose_node_it_is() {
    for spec in every_combination().into_iter().filter(|spec| spec.collector.metrics.cluster) {
        let document = spec.document();
        assert_eq!(document["receivers"]["k8s_cluster"]["k8s_leader_elector"], "k8s_leader_elector");
        let pipeline = &document["service"]["pipelines"]["metrics/cluster"];
        assert_eq!(pipeline["receivers"], serde_json::json!(["k8s_cluster"]));
        let processors = pipeline["processors"].to_string();
        assert!(!processors.contains("k8s_attributes") && !processors.contains("resource_detection"), "{processors}");
    }
}

#[test]
fn the_collectors_own_attributes_are_on_nobodys_data() {
    for spec in every_combination() {
        let detection = &spec.document()["processors"]["resource_detection"];
        let detectors = detection["detectors"].as_array().expect("a list");
        assert!(!detectors.contains(&Value::from("env")) && detection["override"] == false);
    }
}
