//! What the pages about certificates say to type, word by word.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::load::Load;
use super::{Cluster, SERVING, plane};
use crate::cluster::OTELGATE;
use crate::cluster::by_hand::shell_blocks;
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::process_nodes::ProcessNodes;
use crate::control_plane::programs::Helm;
use crate::control_plane::release::Release;
use crate::control_plane::{ControlPlane, cert_manager, wait_for};

/// From top to bottom, with pods created all the while.
#[test]
fn the_pages_commands_do_what_it_says() {
    let plane = plane();
    let nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let release = Release::install(&nodes, Helm::Four, &json!({}));
    let cluster = Cluster { plane: &plane, release: &release };
    let _cert_manager = cert_manager::start(&plane).unwrap_or_else(|error| panic!("{error}"));
    cluster.open_shop();
    let mut at = cluster.settles(None);
    let load = Load::start(&plane);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = plane.network().folder().join("person");
    fs::create_dir(&folder).expect("a folder");
    symlink(root.join("charts"), folder.join("charts")).expect("a link");
    let make = shell_blocks(&root.join("certs/README.md")).swap_remove(0);
    let mut changes = 0;
    for block in shell_blocks(&root.join("docs/certificates.md")) {
        let renews = block.contains("--dry-run=client");
        if block.contains("create secret") {
            run(&plane, &folder, &make).expect("a certificate");
        }
        let output = run(&plane, &folder, &block).expect(&block);
        if renews || block.contains("delete") || block.contains("helm upgrade") {
            at = cluster.settles(Some(&at));
            changes += 1;
            load.wait_for(5);
        } else {
            assert!(output.lines().count() >= 2, "{block} says {output}");
        }
    }
    assert_eq!(changes, 6, "two deletions, three moves and a renewal");
    assert!(at.len() > 100);
}

/// Without the controller: the plain manifests, and cert-manager.
#[test]
fn cert_manager_alone_keeps_the_plain_manifests_trusted() {
    let plane = plane();
    let _nodes = ProcessNodes::join(&plane, Path::new(OTELGATE));
    let _cert_manager = cert_manager::start(&plane).unwrap_or_else(|error| panic!("{error}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    run(&plane, root, "kubectl apply -k webhook-config").expect("installing");
    let mut output = String::new();
    for block in shell_blocks(&root.join("certs/cert-manager/README.md")) {
        output = wait_for("cert-manager to have done its part", || {
            let outcome = run(&plane, root, &block);
            let same = |text: &str| text.lines().collect::<std::collections::BTreeSet<_>>().len() == 2;
            let last = block.contains("caBundle") && !block.contains("annotate");
            (outcome.success && (!last || same(&outcome.stdout))).then_some(outcome.stdout)
        })
        .unwrap_or_else(|error| panic!("{error}: {block}"));
    }
    assert!(output.contains("condition met"), "{output}");
    plane.make_namespace("shop", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
    });
    wait_for("a pod to be injected", || {
        let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let made = plane.kubectl_with(&arguments, &pod.to_string()).json("a pod");
        made["metadata"]["annotations"]["otelgate.dev/status"].is_string().then_some(())
    })
    .expect("a pod that is injected");
    let owner = &plane.get("otelgate", SERVING)["metadata"]["annotations"]["cert-manager.io/certificate-name"];
    assert_eq!(owner, "otelgate-webhook");
}

/// As a person types it, with kubectl and Helm at hand.
fn run(plane: &ControlPlane, folder: &Path, script: &str) -> Outcome {
    let helm = Helm::Four.path().unwrap_or_else(|error| panic!("{error}"));
    let script = format!("cd '{}'\n{script}", folder.display());
    plane.tool(Path::new("sh"), &[helm.parent().expect("a folder")], &["-euc", &script], "")
}
