//! `webhook-config/` is the chart, rendered by `webhook-config/values.yaml` and without the labels that say whose release
//! it is. `SNAPSHOTS=overwrite cargo test --test it cluster::chart::plain` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use snapbox::{Data, assert_data_eq};

use super::{objects, rendered, root};
use crate::cluster::by_hand::shell_blocks;
use crate::control_plane::Version;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::programs::{self, Helm, Programs};
use crate::control_plane::webhook::manifests;

/// Written by hand: they have no counterpart in the chart.
const OWN: [&str; 3] = ["configuration.yaml", "kustomization.yaml", "namespace.yaml"];

/// The manifests by the name of the template that they come from.
fn files() -> BTreeMap<String, String> {
    const OF_HELM: [&str; 3] = ["app.kubernetes.io/instance:", "app.kubernetes.io/managed-by:", "helm.sh/chart:"];
    let text = rendered(Helm::Four, "by-hand");
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for object in text.split("---\n# Source: ").skip(1) {
        let (source, body) = object.split_once('\n').expect("a line with the template, and more");
        let name = source.rsplit('/').next().expect("a path").to_owned();
        let lines = body.lines().filter(|line| !OF_HELM.iter().any(|label| line.trim_start().starts_with(label)));
        files.entry(name).or_default().push(lines.flat_map(|line| [line, "\n"]).collect());
    }
    files.into_iter().map(|(name, objects)| (name, objects.join("---\n"))).collect()
}

#[test]
fn the_manifests_are_the_chart() {
    for (name, text) in files() {
        let file = root().join("webhook-config").join(name);
        assert_data_eq!(text, Data::read_from(&file, None).raw());
    }
}

#[test]
fn kustomize_applies_every_manifest() {
    let kustomization = fs::read_to_string(root().join("webhook-config/kustomization.yaml")).expect("a file");
    let kustomization: Value = serde_saphyr::from_str(&kustomization).expect("YAML");
    let applied: Vec<&str> = kustomization["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| name.as_str().expect("text"))
        .collect();
    let mut expected: Vec<String> =
        files().into_keys().chain(["configuration.yaml".into(), "namespace.yaml".into()]).collect();
    let mut sorted = applied.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(applied.last(), Some(&"registration.yaml"), "until then no pod is looked at");
    for entry in fs::read_dir(root().join("webhook-config")).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let is_known = expected.contains(&name) || OWN.contains(&name.as_str());
        assert!(is_known || ["README.md", "values.yaml"].contains(&name.as_str()), "nothing applies {name}");
    }
}

/// Typed one after the other in one shell, the README's first two commands give the Deployment its image, and change
/// nothing else.
#[test]
fn the_readmes_commands_set_the_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let copied = folder.path().join("webhook-config");
    fs::create_dir(&copied).expect("a folder");
    for entry in fs::read_dir(root().join("webhook-config")).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copied.join(entry.file_name())).expect("a file");
    }
    let blocks = shell_blocks(&root().join("webhook-config/README.md"));
    let (image, apply) = (&blocks[0], &blocks[1]);
    let render = apply.replace("kubectl apply -k", "kubectl kustomize");
    assert_ne!(*apply, render, "{apply}");
    let kustomize = programs::built("kustomize", "5.8.2").unwrap_or_else(|error| panic!("{error}"));
    let kubectl = Programs::of(Version::Newest).path("kubectl").unwrap_or_else(|error| panic!("{error}"));
    let run = |script: &str| {
        let mut command = Command::new("sh");
        let mut path: Vec<PathBuf> =
            [&kustomize, &kubectl].map(|program| program.parent().expect("a folder").into()).into();
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command
            .args(["-euc", script])
            .current_dir(folder.path())
            .env("PATH", std::env::join_paths(path).expect("a path"));
        objects(&Outcome::of(&mut command, "").expect(script))
    };
    let mut before = run(&render);
    let after = run(&format!("{image}\n{render}"));
    let name = format!("REGISTRY/otelgate:{}", env!("CARGO_PKG_VERSION"));
    let deployment = before.iter_mut().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = name.into();
    assert_eq!(before, after);
}

/// But for what only the controller needs, both ways of installing give the same objects.
#[test]
fn the_webhook_is_the_same_with_helm() {
    let with_helm = objects(&rendered(Helm::Four, "default"));
    for name in ["deployment.yaml", "service.yaml", "registration.yaml"] {
        for mut object in manifests(name) {
            let is_same = |other: &&Value| {
                other["kind"] == object["kind"] && other["metadata"]["name"] == object["metadata"]["name"]
            };
            let mut other = with_helm.iter().find(is_same).expect("the chart has it").clone();
            for one in [&mut object, &mut other] {
                one["metadata"].as_object_mut().expect("metadata").remove("labels");
            }
            assert_eq!(object, other, "{name}");
        }
    }
}
