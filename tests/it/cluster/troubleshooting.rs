//! Every command of the pages for people who look after a cluster, in one as the pages have it.

use std::path::Path;

use serde_json::json;

use super::OTELGATE;
use super::by_hand::shell_blocks;
use super::command::{deployment, installed};

const PAGES: [&str; 5] =
    ["docs/troubleshooting.md", "docs/controller.md", "docs/collector.md", "docs/missed-pods.md", "docs/monitoring.md"];

#[test]
fn every_command_of_the_pages_runs() {
    let installed = installed();
    installed.plane.make_namespace("payments", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    // What the controller has written: of the pods that it evicted, and the Collector's configuration.
    let written = [("otelgate-repair", "otelgate"), ("otel-collector-config", "datadog")].map(|(name, namespace)| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}})
    });
    installed.plane.apply(&written);
    installed.plane.apply(&[deployment("payments", "api", 1)]);
    installed.pods("payments", "app=api", 1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let blocks: Vec<_> = PAGES.iter().flat_map(|page| shell_blocks(&root.join(page))).collect();
    assert!(blocks.len() >= 13, "{blocks:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let programs = Path::new(OTELGATE).parent().expect("a folder");
    for block in blocks {
        let script = format!("cd {}\n{block}", folder.path().display());
        let outcome = installed.plane.tool(Path::new("sh"), &[programs], &["-ec", &script], "");
        // In a cluster that is made of parts, checks fail: they have to be told.
        let told = block.starts_with("otelgate check") && outcome.stdout.contains("checks of otelgate in namespace");
        assert!(outcome.success || told, "{block}: {} {}", outcome.stdout, outcome.stderr);
        assert!(!outcome.stdout.is_empty() || block.starts_with("otelgate logs"), "{block} says nothing");
    }
    assert!(folder.path().join("otelgate.tar.gz").exists());
}
