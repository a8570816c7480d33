//! What the controller of `DaemonSet`s and kubelets make of those of the Collector: each node has the pod that it should
//! have, and it is ready at once; one that is replaced goes first, and comes in the next round.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::cluster::{Cluster, OfNode, TELEMETRY};

/// What a node's pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Of which `DaemonSet`, where there are two.
    pub rollout: Arc<str>,
    pub revision: Arc<str>,
    /// Another number for each that was made since the cluster began.
    pub generation: usize,
}

/// A `DaemonSet`, as far as it says what a node should have.
struct Wanted {
    rollout: Arc<str>,
    revision: Arc<str>,
    /// `In` or `NotIn`, and which node.
    node: Option<(String, usize)>,
    replaces: bool,
}

pub const DAEMON_SETS: &str = "/apis/apps/v1/daemonsets";
const ROUND: Duration = Duration::from_millis(100);
const TERM: &str = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0";

impl Runs {
    /// Where a cluster begins with it on every node.
    pub fn first() -> Self {
        Self { rollout: "".into(), revision: "1".into(), generation: 1 }
    }
}

impl Wanted {
    fn of(set: &Value) -> Self {
        let label =
            |name: &str| set["spec"]["template"]["metadata"]["labels"][name].as_str().unwrap_or_default().into();
        let node = set.pointer(TERM).and_then(|term| {
            let node = term["values"][0].as_str()?.strip_prefix("node-")?.parse().ok()?;
            Some((term["operator"].as_str()?.to_owned(), node))
        });
        Self {
            rollout: label("otelgate.dev/rollout"),
            revision: label("otelgate.dev/revision"),
            node,
            replaces: set["spec"]["updateStrategy"]["type"] != "OnDelete",
        }
    }

    fn is_for(&self, node: usize) -> bool {
        self.node.as_ref().is_none_or(|(operator, named)| (operator == "In") == (*named == node))
    }
}

/// Goes on until the process ends, with so many pods made or replaced in a second at most.
pub fn keep(cluster: &Arc<Cluster>, a_second: usize) {
    let cluster = Arc::clone(cluster);
    thread::spawn(move || {
        let mut generation = 1;
        loop {
            round(&cluster, &mut generation, a_second / 10);
            thread::sleep(ROUND);
        }
    });
}

fn round(cluster: &Cluster, generation: &mut usize, most: usize) {
    let sets: Vec<_> = ["otel-collector", "otel-collector-trial"]
        .iter()
        .filter_map(|name| cluster.get(DAEMON_SETS, TELEMETRY, name))
        .collect();
    let wanted: Vec<_> = sets.iter().map(Wanted::of).collect();
    let mut left = most;
    for (node, runs) in cluster.runs(OfNode::Collector).into_iter().enumerate() {
        if left == 0 {
            break;
        }
        let mut of = wanted.iter().filter(|set| set.is_for(node));
        match (runs, of.next()) {
            (None, Some(set)) => {
                *generation += 1;
                let runs = Runs {
                    rollout: Arc::clone(&set.rollout),
                    revision: Arc::clone(&set.revision),
                    generation: *generation,
                };
                cluster.run(OfNode::Collector, node, Some(runs));
                left -= 1;
            }
            (Some(runs), Some(set)) if runs.rollout == set.rollout => {
                if runs.revision != set.revision && set.replaces {
                    cluster.run(OfNode::Collector, node, None);
                }
            }
            (Some(_), _) => cluster.run(OfNode::Collector, node, None),
            (None, None) => {}
        }
    }
    for set in sets {
        cluster.observe_daemon_set(set);
    }
}
