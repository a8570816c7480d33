//! `logs.scope: all`, which sends the lines of pods that never asked for it.

use serde_json::json;

use super::Cluster;
use crate::control_plane::wait_for;

impl Cluster<'_> {
    /// A static pod's folder has another UID than its mirror, by which the API server knows it.
    pub(super) fn lines_of_all_but_those_who_switched_them_off_are_sent(&self) {
        let node = &self.nodes[0];
        let mut silent = Self::writer("other", "silent", node, "line of silent");
        silent["metadata"]["annotations"] = json!({"otelgate.dev/logs": "disabled"});
        self.plane.apply(&[silent.clone()]);
        let mut own = Self::writer("other", "static", node, "line of static");
        own["metadata"]["name"] = json!("static");
        node.run_static(&own);
        silent["metadata"]["name"] = json!("still");
        node.run_static(&silent);
        for name in ["silent", "static", "still"] {
            let pod = format!("{name}-{}", node.name);
            wait_for("a pod to write", || {
                let log = self.plane.kubectl(&["logs", "-n", "other", &pod]).stdout;
                log.contains("line of").then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}: {pod}{}", self.words()));
        }
        let mirror = self.plane.get("other", &format!("pod/static-{}", node.name));
        let hash = &mirror["metadata"]["annotations"]["kubernetes.io/config.hash"];
        assert!(hash.is_string() && *hash != mirror["metadata"]["uid"], "{mirror:#}");

        let mut stack = self.stack(&json!({}));
        stack["spec"]["collector"]["logs"] = json!({"scope": "all"});
        self.plane.apply(&[stack]);
        self.wait_for_reason("CollectorOnEveryNode");
        for words in ["line of static", "line of other on node-1", "line of other on node-2"] {
            self.intake.wait_for(words, 5).unwrap_or_else(|error| panic!("{error}{}", self.words()));
        }
        let line = self.intake.with("line of static").swap_remove(0);
        let tags = line["ddtags"].as_str().unwrap_or_default();
        let told = [format!("pod_name:static-{}", node.name), "kube_namespace:other".to_owned()];
        assert!(told.iter().all(|tag| tags.contains(tag)), "{line:#}");
        assert!(self.intake.with("line of silent").is_empty(), "{:#?}", self.intake.with("line of silent"));
    }
}
