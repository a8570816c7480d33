//! What the controller writes is taken by the API server, word by word.

use std::collections::BTreeSet;

use serde_json::json;

use crate::control_plane::{ControlPlane, Version};

/// All of it, while a trial goes on.
const OBJECTS: &str = include_str!("../../../data/collector/objects.yaml");

#[test]
fn the_api_server_takes_the_collectors_objects() {
    for version in [Version::Newest, Version::Oldest] {
        let plane = ControlPlane::shared(version);
        plane.make_namespace("collectors", &json!({}), &json!({}));
        let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", "collectors", "-f", "-"];
        let outcome = plane.kubectl_with(&apply, OBJECTS);
        assert!(outcome.success, "{}", outcome.stderr);
        assert_eq!(outcome.warnings(), Vec::<&str>::new());
        let kinds: BTreeSet<_> = outcome.stdout.lines().filter_map(|line| line.split('/').next()).collect();
        assert_eq!(kinds.len(), 8, "{}", outcome.stdout);
    }
}
