//! What is wrong on one node: told with its name, and kept from the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::intake::Intake;
use super::{Cluster, Running};
use crate::control_plane::network::ADDRESS;
use crate::control_plane::wait_for;

const TAINT: &str = "reserved=batch:NoExecute";

impl Cluster<'_> {
    /// Its opted-in pods stay there, and have nobody to send to.
    pub(super) fn a_node_without_a_collector_is_told_as_long_as_it_has_none(&self) {
        let node = self.nodes[1].name;
        self.plane.kubectl(&["taint", "node", node, TAINT]).expect("kubectl taint");
        let message = self.wait_for_reason("NodeWithoutCollector");
        let told = format!("1 of 1 node: {node} (spec.collector.tolerations has none for its taint {TAINT})");
        assert!(message.starts_with(&told), "{message}");
        self.wait_for_collectors_on(1);
        assert_eq!(self.status()["collector"]["ready"], "1/1", "of those that should have one");
        self.plane.kubectl(&["taint", "node", node, &format!("{TAINT}-")]).expect("kubectl taint");
        self.wait_for_collectors_on(2);
        self.wait_for_reason("CollectorOnEveryNode");
        assert_eq!(self.status()["collector"]["ready"], "2/2");
    }

    fn wait_for_collectors_on(&self, nodes: usize) {
        wait_for("Collectors", || (self.collectors().len() == nodes).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {nodes} nodes{}", self.words()));
    }

    /// It passes every check that is made without a Collector.
    pub(super) fn a_bad_configuration_is_stopped_at_the_first_node(&self) {
        let (before, revision) = (self.collectors(), self.revision());
        self.plane.apply(&[self.stack(&json!({"logs": {"endpoin": "http://nowhere"}}))]);
        let message = self.wait_for_reason("CollectorRolledBack");
        assert!(message.contains("by exporters.datadog.logs.endpoin: Error: failed to get config"), "{message}");
        assert!(message.contains("has invalid keys: endpoin"), "{message}");
        self.is_as_before(&before, &revision, &message);
    }

    /// Its Collector starts, becomes ready, and gets rid of nothing.
    pub(super) fn one_whose_data_are_refused_is_stopped_there_too(&self) {
        let (before, revision) = (self.collectors(), self.revision());
        let refusing = Intake::start(self.plane);
        refusing.refuse();
        let endpoint = format!("http://{ADDRESS}:{}", refusing.port);
        self.plane.apply(&[self.stack(&json!({"logs": {"endpoint": endpoint, "use_compression": false}}))]);
        let message = self.wait_for_reason("CollectorRolledBack");
        assert!(message.contains(": exporter datadog failed to send "), "{message}");
        assert!(message.contains(" log_records: ") && message.contains("403"), "in its own words: {message}");
        assert!(message.contains("; Collectors of other nodes don't"), "{message}");
        self.is_as_before(&before, &revision, &message);
    }

    fn revision(&self) -> Value {
        self.status()["collector"]["revision"].clone()
    }

    /// But for the Collector of the one node where something else was tried.
    fn is_as_before(&self, before: &BTreeMap<String, Running>, revision: &Value, message: &str) {
        assert_eq!(self.revision(), *revision);
        let tried = self.nodes.iter().filter(|node| message.contains(&format!("on node {}", node.name)));
        let tried: Vec<_> = tried.map(|node| node.name).collect();
        assert_eq!(tried.len(), 1, "{message}");
        let after = wait_for("the last good one on every node", || {
            let now = self.collectors();
            (now.len() == 2 && now.values().all(|one| *revision == one.revision)).then_some(now)
        });
        let after = after.unwrap_or_else(|error| panic!("{error}{}", self.words()));
        for node in self.nodes {
            assert_eq!(after[node.name] == before[node.name], node.name != tried[0], "{}: {after:#?}", node.name);
        }
    }
}
