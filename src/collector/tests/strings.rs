//! Nobody breaks out of a text of the spec.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::Spec;
use crate::api::crd;
use crate::api::stack::{AgentMode, Exporter};
use crate::collector::reference::variables;

/// What could mean something to YAML, to the Collector, or to OTTL.
pub const TRICKS: [&str; 14] = [
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

/// What the schema lets be any of these, and comes into the configuration or into its variables.
const FREE_AND_RENDERED: [&str; 3] = [".collector.env{}", ".injection.clusterName", ".injection.environment"];

/// What it lets be any of these, and what it comes into beside: values of an object's fields, a selector, which has to
/// be one, or the webhook's configuration, which is read back.
const FREE_ELSEWHERE: [&str; 18] = [
    ".agent.podAnnotations{}",
    ".agent.tolerations[].effect",
    ".agent.tolerations[].key",
    ".agent.tolerations[].operator",
    ".agent.tolerations[].value",
    ".collector.adopt.selector.matchExpressions[].key",
    ".collector.adopt.selector.matchExpressions[].values[]",
    ".collector.adopt.selector.matchLabels{}",
    ".collector.podAnnotations{}",
    ".collector.tolerations[].effect",
    ".collector.tolerations[].key",
    ".collector.tolerations[].operator",
    ".collector.tolerations[].value",
    ".injection.env[].value",
    ".injection.exclude[].selector.matchExpressions[].key",
    ".injection.exclude[].selector.matchExpressions[].values[]",
    ".injection.exclude[].selector.matchLabels{}",
    ".injection.sampler.arg",
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

/// Whether the schema lets a field be that text.
fn admits(schema: &Value, text: &str) -> bool {
    let is_text =
        schema["type"] == "string" || schema["type"].as_array().is_some_and(|all| all.contains(&"string".into()));
    let is_like = |pattern: &str| Regex::new(pattern).expect("a pattern").is_match(text);
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let mut patterns =
        rules.filter_map(|rule| rule["rule"].as_str()?.strip_prefix("self.matches(r'")?.strip_suffix("')"));
    is_text
        && schema["enum"].as_array().is_none_or(|all| all.contains(&text.into()))
        && schema["maxLength"].as_u64().is_none_or(|longest| text.len() as u64 <= longest)
        && schema["pattern"].as_str().is_none_or(is_like)
        && patterns.all(is_like)
}

#[test]
fn no_other_text_of_the_spec_can_be_a_trick() {
    let mut free = BTreeSet::new();
    crd::tests::walk(&crd::schema()["properties"]["spec"], "", &mut |schema, path| {
        if TRICKS[1..].iter().any(|trick| admits(schema, trick)) {
            free.insert(path.to_owned());
        }
    });
    assert_eq!(free, FREE_AND_RENDERED.into_iter().chain(FREE_ELSEWHERE).map(str::to_owned).collect());
}

#[test]
fn what_kubernetes_would_replace_in_a_variable_stays_too() {
    let mut spec = tricked("$(DD_API_KEY)", Exporter::Datadog);
    spec.collector.env.insert("THEIRS".to_owned(), "$(DD_API_KEY)".to_owned());
    let rendered = spec.render().expect("a configuration");
    for variable in rendered.environment {
        let crate::collector::Source::Value(value) = variable.source else { continue };
        let theirs = value.replace("$$", "");
        assert!(!theirs.contains("$(DD_API_KEY)"), "{}={value}", variable.name);
    }
}
