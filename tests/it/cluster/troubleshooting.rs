//! Every command of `docs/troubleshooting.md` and of `docs/controller.md`, in a cluster as the pages have it.

use std::path::Path;

use serde_json::json;

use super::OTELGATE;
use super::by_hand::shell_blocks;
use super::command::{deployment, installed};

#[test]
fn every_command_of_the_pages_runs() {
    let installed = installed();
    installed.plane.make_namespace("payments", &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    installed.plane.apply(&[deployment("payments", "api", 1)]);
    installed.pods("payments", "app=api", 1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut blocks = shell_blocks(&root.join("docs/troubleshooting.md"));
    assert!(blocks.len() >= 9, "{blocks:?}");
    blocks.extend(shell_blocks(&root.join("docs/controller.md")));
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
