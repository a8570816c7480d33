//! Data that a trial's Collector can't get rid of, since nobody can.

use serde_json::json;

use super::Cluster;
use crate::control_plane::wait_for;

impl Cluster<'_> {
    /// Nothing is taken from anybody; then everything is again.
    pub(super) fn what_nobody_gets_rid_of_is_no_fault_of_a_revision(&self) {
        let revision = self.status()["collector"]["revision"].clone();
        self.intake.refuse();
        let mut stack = self.stack(&json!({}));
        stack["spec"]["collector"]["batch"] = json!({"timeoutSeconds": 2});
        self.plane.apply(&[stack]);
        let message = self.wait_for_reason("CollectorTrialHeld");
        assert!(message.contains(", where its exporter datadog fails to send logs, as on other nodes"), "{message}");
        let status = self.status();
        assert_eq!(status["collector"]["revision"], revision);
        let tried = status["collector"]["trial"]["node"].as_str().expect("a trial").to_owned();
        for (node, running) in self.collectors() {
            assert_eq!(revision == running.revision, node != tried, "{node}: {running:?}");
        }
        self.intake.accept();
        self.wait_for_reason("CollectorOnEveryNode");
        let now = self.status()["collector"]["revision"].clone();
        assert_ne!(now, revision);
        wait_for("the new one on every node", || {
            let all = self.collectors();
            (all.len() == 2 && all.values().all(|one| now == one.revision)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}{}", self.words()));
    }
}
