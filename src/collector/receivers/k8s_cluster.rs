//! The state of the cluster's objects, read by one Collector of all.

use serde_json::json;

use crate::api::object;
use crate::collector::part::Part;
use crate::collector::reference::literal;
use crate::collector::rendered::Lease;
use crate::config::Document;

pub const K8S_CLUSTER: &str = "k8s_cluster";
const LEADER_ELECTOR: &str = "k8s_leader_elector";

/// By one Collector, so that everything is counted once.
pub fn k8s_cluster() -> Part {
    Part::receiver(
        K8S_CLUSTER,
        json!({
            "auth_type": "serviceAccount",
            "collection_interval": "30s",
            "k8s_leader_elector": LEADER_ELECTOR,
            "node_conditions_to_report": ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"],
            "allocatable_types_to_report": ["cpu", "memory"],
        }),
    )
}

/// Which Collector that is. Every other one reads the Lease each one to 2.2 times `retry_period` (`JitterFactor` of
/// client-go's tools/leaderelection): on 5,000 nodes the default of 2 seconds is 1,560 requests a second, and this is 208.
/// When the one ends, the next begins after a minute or two.
pub fn leader_elector(lease: &Lease) -> Part {
    Part::extension(
        LEADER_ELECTOR,
        json!({
            "auth_type": "serviceAccount",
            "lease_name": literal(&lease.name),
            "lease_namespace": literal(&lease.namespace),
            "lease_duration": "60s",
            "renew_deadline": "40s",
            "retry_period": "15s",
        }),
    )
}

/// Beside the Collector's Service.
pub fn lease(injection: &Document) -> Lease {
    let place = &injection.collector;
    let name = format!("{}{}", place.service, object::COLLECTOR_LEASE_SUFFIX);
    Lease { namespace: place.namespace.clone(), name }
}
