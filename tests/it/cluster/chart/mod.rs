//! The chart as the real Helm renders it, and the API servers' word on that.

mod accepted;
mod alerts;
mod datadog;
mod installed;
mod measured;
mod plain;
mod refused;
mod rendered;
mod rights;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::control_plane::kubectl::Outcome;
use crate::control_plane::programs::Helm;

/// Eleven ways to install it: in `tests/data/chart/values`, but for the first two.
const SETS: [&str; 11] = [
    "default",
    "by-hand",
    "host-network",
    "private-registry",
    "placement",
    "cert-manager",
    "cert-manager-issuer",
    "provided-certificate",
    "monitoring",
    "injection",
    "repair",
];

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// The file with a set's values; the default has none.
fn values(set: &str) -> Option<PathBuf> {
    match set {
        "default" => None,
        "by-hand" => Some(root().join("webhook-config/values.yaml")),
        set => Some(root().join(format!("tests/data/chart/values/{set}.yaml"))),
    }
}

/// Helm on a machine that has no cluster.
fn helm(version: Helm, arguments: &[&str]) -> Outcome {
    let home = tempfile::tempdir().expect("a folder");
    let program = version.path().unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).env("HOME", home.path()).env_remove("KUBECONFIG");
    for (name, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(name, home.path().join(folder));
    }
    Outcome::of(&mut command, "")
}

/// `helm template` with a file of values.
fn template(version: Helm, namespace: &str, values: Option<&Path>, further: &[&str]) -> Outcome {
    let mut arguments = vec!["template", "otelgate", "charts/otelgate", "--namespace", namespace];
    if let Some(values) = values {
        arguments.extend(["--values", values.to_str().expect("names here are in UTF-8")]);
    }
    arguments.extend(further);
    helm(version, &arguments)
}

/// What Helm makes of a set, without the blanks at lines' ends, of which its versions have different ideas.
fn rendered(version: Helm, set: &str) -> String {
    let text = template(version, "otelgate", values(set).as_deref(), &[]).expect(set);
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    // A blank line before the next object is Helm 4's.
    let is_kept =
        |(at, line): (usize, &&str)| !(line.is_empty() && lines.get(at + 1).is_none_or(|next| *next == "---"));
    let kept: Vec<&str> = lines.iter().enumerate().filter(|one| is_kept(*one)).map(|(_, line)| *line).collect();
    kept.join("\n") + "\n"
}

fn objects(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Kind and name, as kubectl writes them.
fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}
