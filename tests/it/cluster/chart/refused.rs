//! Values that Helm refuses before anything is applied, with what it says.

use std::fmt::Write as _;
use std::fs;

use otelgate::inject::rules::SYSTEM_NAMESPACES;
use snapbox::{Data, assert_data_eq};

use super::{root, template};
use crate::control_plane::programs::Helm;

/// What is wrong, and the values.
const FAULTS: [(&str, &str); 16] = [
    ("a key that doesn't exist", "webhok: {replicas: 3}"),
    ("a key within that doesn't exist", "webhook: {replica: 3}"),
    ("text for a number", "webhook: {replicas: three}"),
    ("no replica", "webhook: {replicas: 0}"),
    ("a privileged port", "webhook: {port: 443}"),
    ("a tag for a digest", "image: {digest: v1.0}"),
    ("a registry with a scheme", "image: {registry: 'https://registry.example.com'}"),
    ("a log level of another program", "controller: {logLevel: verbose}"),
    ("a map for a list", "webhook: {tolerations: {key: dedicated}}"),
    ("a key that Kubernetes doesn't know", "webhook: {tolerations: [{keys: dedicated}]}"),
    ("an unknown source of certificates", "certificates: {provider: certmanager}"),
    ("a misspelt field of the configuration", "injection: {clustername: production}"),
    ("a mode that YAML reads as a boolean", "injection: {mode: off}"),
    ("a section that was deleted", "webhook: {podDisruptionBudget: null}"),
    (
        "the release's own namespace",
        "{namespaces: {datadog: {create: true}}, injection: {collector: {namespace: otelgate}}}",
    ),
    ("a configuration that nobody makes", "{controller: {enabled: false}, injection: {mode: observe}}"),
];

#[test]
fn wrong_values_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    let mut said = String::new();
    for (fault, values) in FAULTS {
        fs::write(&file, values).expect("a file");
        for version in [Helm::Three, Helm::Four] {
            let outcome = template(version, "otelgate", Some(&file), &[]);
            assert!(!outcome.success, "Helm {} takes {fault}: {values}", version.number());
            if version == Helm::Four {
                let lines = outcome.stderr.lines().map(str::trim_end).filter(|line| !line.is_empty());
                let error: String = lines.flat_map(|line| ["  ", line, "\n"]).collect();
                write!(said, "{fault}: {values}\n{error}\n").expect("a String takes all");
            }
        }
    }
    let said = said.replace(&root().display().to_string(), "…");
    assert_data_eq!(said, Data::read_from(&root().join("tests/data/chart/refused.txt"), None).raw());
}

/// As the program has it of them.
#[test]
fn a_namespace_of_kubernetes_itself_is_refused() {
    for version in [Helm::Three, Helm::Four] {
        for namespace in SYSTEM_NAMESPACES {
            let outcome = template(version, namespace, None, &[]);
            let says = format!("never calls the webhook for pods of namespace {namespace}, where otelgate tries one");
            assert!(!outcome.success && outcome.stderr.contains(&says), "{outcome:?}");
        }
    }
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    for version in [Helm::Three, Helm::Four] {
        let outcome = template(version, "otelgate", None, &["--kube-version", "1.29.14"]);
        assert!(!outcome.success && outcome.stderr.contains(">=1.30.0-0"), "{}", outcome.stderr);
        template(version, "otelgate", None, &["--kube-version", "1.30.0-gke.100"]).expect("a provider's version");
    }
}
