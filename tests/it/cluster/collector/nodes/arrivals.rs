//! Ways by which data comes in, as the Collectors count it themselves and as those tell who are asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ACCEPTED, Cluster, OTELCOL};
use crate::control_plane::node::Node;
use crate::control_plane::plane::sum_of;
use crate::control_plane::wait_for;

/// Of the Collector's own metrics.
const POINTS: &str = "otelcol_receiver_accepted_metric_points";
const PORT: u16 = 9090;
const PATH: &str = "/offered.txt";

impl Cluster<'_> {
    /// On each node one that is annotated, and tells who asks it.
    pub(super) fn pods_offer_metrics(&self) {
        let script = format!(
            "/bin/busybox mkdir /www; echo 'offered 1' >/www{PATH}; exec /bin/busybox httpd -f -vv -p {PORT} -h /www"
        );
        for node in self.nodes {
            let mut pod = Self::pod("other", "offer", node, &script);
            pod["metadata"]["annotations"] = json!({
                "prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string(), "prometheus.io/path": PATH,
            });
            self.plane.apply(&[pod]);
        }
    }

    /// Every half minute, by nobody else.
    pub(super) fn annotated_pods_are_read_by_their_own_nodes(&self) {
        for node in self.nodes {
            let own = self.collectors()[node.name].address.to_string();
            wait_for("its metric to be read", || {
                let is_counted = self.points(node, "prometheus") > 0;
                (is_counted && self.who_asked(node).contains(&own)).then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}: {own}, {:?}{}", self.who_asked(node), self.words()));
        }
        for node in self.nodes {
            let own = self.collectors()[node.name].address.octets();
            // Of a trial before, too.
            let of_node = format!("{}.{}.{}.", own[0], own[1], own[2]);
            let asked = self.who_asked(node);
            assert!(asked.iter().all(|one| one.starts_with(&of_node)), "{}, {of_node}: {asked:?}", node.name);
            let name = format!("offer-{}", node.name);
            self.plane.kubectl(&["delete", "pod", "-n", "other", &name, "--wait=false"]).expect("kubectl delete");
        }
    }

    fn who_asked(&self, node: &Node<'_>) -> BTreeSet<String> {
        let log = self.plane.kubectl(&["logs", "-n", "other", &format!("offer-{}", node.name)]).stdout;
        let who = |line: &str| {
            let (peer, _) = line.split_once(&format!(": url:{PATH}"))?;
            let address = peer.trim_start_matches("[::ffff:").split([']', ':']).next()?;
            Some(address.to_owned())
        };
        log.lines().filter_map(who).collect()
    }

    fn points(&self, node: &Node<'_>, receiver: &str) -> u64 {
        sum_of(&self.metrics_of(node), POINTS, &[&format!("receiver=\"{receiver}\"")])
    }

    pub(super) fn the_clusters_objects_are_read_by_one(&self) {
        let readers = || -> Vec<_> {
            let counts = self.nodes.iter().map(|node| (node.name, self.points(node, "k8s_cluster")));
            counts.filter(|(_, points)| *points > 0).collect()
        };
        wait_for("the cluster's objects to be read", || (!readers().is_empty()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}{}", self.words()));
        let readers = readers();
        let lease = self.plane.get(super::NAMESPACE, "lease/otel-collector-k8s-cluster");
        assert_eq!(readers.len(), 1, "{readers:?}: {:#}", lease["spec"]);
    }

    /// From another program of the Collector's, which knows how to send them.
    pub(super) fn lines_arrive_by_grpc(&self) {
        let node = &self.nodes[0];
        let words = format!("sent by gRPC from {}", node.name);
        let lines = json!({
            "include": ["/etc/hosts"], "start_at": "beginning",
            "operators": [{"type": "add", "field": "body", "value": words}],
        });
        let config = json!({
            "receivers": {"file_log": lines},
            "exporters": {"otlp_grpc": {
                "endpoint": format!("{}:4317", self.service_address()), "tls": {"insecure": true},
            }},
            "service": {"pipelines": {"logs": {"receivers": ["file_log"], "exporters": ["otlp_grpc"]}}},
        });
        let mut pod: Value = Self::pod("other", "grpc", node, "");
        pod["spec"]["containers"][0]["image"] = json!(OTELCOL);
        pod["spec"]["containers"][0]["args"] = json!([format!("--config=yaml:{config}")]);
        self.plane.apply(&[pod]);
        let name = format!("grpc-{}", node.name);
        self.intake.wait_for(&words, 1).unwrap_or_else(|error| {
            panic!("{error}: {}{}", self.plane.kubectl(&["logs", "-n", "other", &name]).stdout, self.words())
        });
        let metrics = self.metrics_of(node);
        assert!(sum_of(&metrics, ACCEPTED, &["receiver=\"otlp\"", "transport=\"grpc\""]) > 0, "{metrics}");
        self.plane.kubectl(&["delete", "pod", "-n", "other", &name, "--wait=false"]).expect("kubectl delete");
    }
}
