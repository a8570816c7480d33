//! Nobody breaks out of a text of the spec.

use serde_json::Value;

use super::Spec;
use crate::api::stack::{AgentMode, Exporter};
use crate::collector::reference::variables;

/// What could mean something to YAML, to the Collector, or to OTTL.
const TRICKS: [&str; 14] = [
    "Plain",
    "${env:DD_API_KEY}",
    "${file:/etc/passwd}",
    "$${file:/etc/passwd}",
    "$$${yaml:{a: b}}",
    "$",
    "a\nservice:\n  extensions: []\n",
    "\"\nexporters: {}\n#",
    "'\" or true or \"",
    "\\\") where true #",
    "x\") set(resource.attributes[\"a\"], \"b",
    "{a: b}",
    "*anchor &anchor !tag",
    "\u{7}\u{85}\u{2028}é",
];

/// Sets every text of the spec that the configuration has in it, and tells how it has to come out.
fn tricked(trick: &str, exporter: Exporter) -> Spec {
    let mut spec = Spec::default();
    spec.collector.exporter = exporter;
    trick.clone_into(&mut spec.datadog.site);
    spec.injection.cluster_name = Some(trick.to_owned());
    trick.clone_into(&mut spec.injection.cluster_domain);
    trick.clone_into(&mut spec.injection.collector.namespace);
    trick.clone_into(&mut spec.injection.collector.service);
    spec.injection.environment = Some(trick.to_owned());
    spec.agent.mode = AgentMode::Adopt;
    trick.clone_into(&mut spec.agent.adopt.daemon_set);
    trick.clone_into(&mut spec.agent.adopt.cluster_agent);
    trick.clone_into(&mut spec.egress.proxy);
    spec.egress.no_proxy = vec![trick.to_owned()];
    trick.clone_into(&mut spec.egress.ca_config_map);
    spec
}

/// The same places in both: keys, lengths, and every text that isn't a trick.
fn same_but_for(plain: &Value, tricked: &Value, trick: &str) {
    match (plain, tricked) {
        (Value::Object(plain), Value::Object(tricked)) => {
            assert!(plain.keys().eq(tricked.keys()), "{trick:?}: {plain:?} {tricked:?}");
            plain.values().zip(tricked.values()).for_each(|(plain, tricked)| same_but_for(plain, tricked, trick));
        }
        (Value::Array(plain), Value::Array(tricked)) => {
            assert_eq!(plain.len(), tricked.len(), "{trick:?}");
            plain.iter().zip(tricked).for_each(|(plain, tricked)| same_but_for(plain, tricked, trick));
        }
        (Value::String(plain), Value::String(tricked)) => {
            let ours = variables(plain).expect("variables");
            assert_eq!(variables(tricked).expect("nothing but variables"), ours, "{tricked}");
            let in_ottl = Value::String(trick.to_owned()).to_string();
            let expected = if plain.contains("\"Plain\"") {
                plain.replace("\"Plain\"", &in_ottl.replace('$', "$$"))
            } else {
                plain.replace("Plain", &trick.replace('$', "$$"))
            };
            assert_eq!(*tricked, expected);
        }
        (plain, tricked) => assert_eq!(plain, tricked),
    }
}

#[test]
fn a_text_of_the_spec_is_that_text_wherever_it_stands() {
    for exporter in [Exporter::Datadog, Exporter::Otlp, Exporter::Agent] {
        let plain = Value::Object(tricked("Plain", exporter).document());
        assert!(plain.to_string().matches("Plain").count() >= 8, "the texts are in it");
        for trick in TRICKS {
            same_but_for(&plain, &Value::Object(tricked(trick, exporter).document()), trick);
        }
    }
}

#[test]
fn what_kubernetes_would_replace_in_a_variable_stays_too() {
    let spec = tricked("$(DD_API_KEY)", Exporter::Datadog);
    let rendered = spec.render().expect("a configuration");
    for variable in rendered.environment {
        let crate::collector::Source::Value(value) = variable.source else { continue };
        let theirs = value.replace("$$", "");
        assert!(!theirs.contains("$(DD_API_KEY)"), "{}={value}", variable.name);
    }
}
