//! What is read of a configuration is what it was made for.

use serde_json::json;

use super::*;
use crate::collector::Carries;

fn carries(spec: &Spec) -> Carries {
    Carries::of(&spec.render().expect("a configuration").text).expect("it can be read")
}

#[test]
fn once_it_runs_everywhere_the_owners_are_those_of_the_spec() {
    for mut spec in every_combination() {
        for tag in ["0.146.0", "0.149.0", "0.165.1"] {
            tag.clone_into(&mut spec.collector.image.tag);
            let Spec { collector, datadog, egress, agent, injection } = &spec;
            let input = Input { collector, datadog, egress, agent, injection };
            let found = carries(&spec);
            assert_eq!(found.owners(agent), input.owners(), "{spec:?}");
            assert_eq!(found.to_agent, collector.exporter == Exporter::Agent, "{spec:?}");
            assert_eq!(found.cluster_state, spec.render().expect("a configuration").lease.is_some(), "{spec:?}");
        }
    }
}

#[test]
fn what_users_add_of_the_same_type_is_theirs() {
    let mut spec = Spec::default();
    spec.injection.logs.owner = LogOwner::Agent;
    let added = json!({
        "receivers": {"file_log/mine": {"include": ["/var/log/mine.log"]}},
        "service": {"pipelines": {"logs/mine": {"receivers": ["file_log/mine"], "exporters": ["datadog"]}}},
    });
    spec.collector.config = added.as_object().cloned().expect("a map");
    assert!(!carries(&spec).container_logs);
}

#[test]
fn what_is_no_configuration_says_nothing() {
    for text in ["", "a: 1", "a: [", "service: {pipelines: 1}"] {
        assert_eq!(Carries::of(text), None, "{text}");
    }
}
