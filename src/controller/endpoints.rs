//! The webhook's replicas, as the API server knows them: the endpoints of its Service.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::api::object;
use crate::k8s::{Api, Client, EndpointSlice, watcher};
use crate::watch::{self as watching, Health, Objects};

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: IpAddr,
    /// The port that the API server calls.
    pub webhook: Option<u16>,
    /// The plain port.
    pub admin: Option<u16>,
    /// The pod's name, where the slice tells it.
    pub pod: Option<String>,
    /// Whether the API server may call it now.
    pub ready: bool,
    /// Whether it answers calls at all: also true for one that is on its way out, and still drains.
    pub serving: bool,
}

/// In a stable order, each once. `None` before they were listed.
pub type Endpoints = Option<Arc<[Endpoint]>>;

/// Label of a slice with the name of its Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// Names of the Service's ports.
const WEBHOOK_PORT: &str = "webhook";
const ADMIN_PORT: &str = "admin";

// === impl Endpoint ===

impl Endpoint {
    /// For people: the pod's name, else where it is.
    #[must_use]
    pub fn name(&self) -> String {
        self.pod.clone().unwrap_or_else(|| match self.webhook {
            Some(port) => format!("{}:{port}", self.address),
            None => self.address.to_string(),
        })
    }
}

/// Joins the slices. An endpoint may stand in two of them while it moves: the one that says more counts.
fn join(slices: &Objects<EndpointSlice>) -> Vec<Endpoint> {
    let mut joined: BTreeMap<(IpAddr, Option<u16>), Endpoint> = BTreeMap::new();
    for slice in slices.values() {
        let port = |name: &str| {
            let ports = slice.ports.iter().flatten();
            let named = ports.filter(|port| port.name.as_deref() == Some(name)).find_map(|port| port.port);
            named.and_then(|port| u16::try_from(port).ok())
        };
        let (webhook, admin) = (port(WEBHOOK_PORT), port(ADMIN_PORT));
        for one in slice.endpoints.iter().flatten() {
            let Some(address) = one.addresses.first().and_then(|address| address.parse().ok()) else { continue };
            let conditions = one.conditions.clone().unwrap_or_default();
            // As the API has it: what isn't said counts as ready, and serving as whatever ready is.
            let ready = conditions.ready.unwrap_or(true);
            let endpoint = Endpoint {
                address,
                webhook,
                admin,
                pod: one.target_ref.as_ref().and_then(|target| target.name.clone()),
                ready,
                serving: conditions.serving.unwrap_or(ready),
            };
            let known = joined.entry((address, webhook)).or_insert_with(|| endpoint.clone());
            if (endpoint.ready, endpoint.admin, &endpoint.pod) > (known.ready, known.admin, &known.pod) {
                *known = endpoint;
            }
        }
    }
    joined.into_values().collect()
}

/// Publishes every change. Never returns.
pub async fn watch(client: Client, namespace: &str, publisher: watch::Sender<Endpoints>, health: Arc<Health>) {
    let api = Api::<EndpointSlice>::namespaced(client, namespace);
    let config = watcher::Config::default().labels(&format!("{SERVICE}={}", object::WEBHOOK));
    watching::objects(api, config, &health, |slices| {
        let endpoints = join(slices);
        publisher.send_if_modified(|published| {
            let changed = published.as_deref() != Some(&endpoints);
            if changed {
                *published = Some(endpoints.into());
            }
            changed
        });
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn joined(slices: &[Value]) -> Vec<String> {
        let slices = slices.iter().enumerate().map(|(index, slice)| {
            let mut slice = slice.clone();
            slice["addressType"] = json!("IPv4");
            (index.to_string(), serde_json::from_value(slice).expect("a slice"))
        });
        let tell = |one: &Endpoint| {
            let ports = [one.webhook, one.admin].map(|port| port.map_or("-".to_owned(), |port| port.to_string()));
            format!("{} {} ready={} serving={}", one.name(), ports.join(","), one.ready, one.serving)
        };
        join(&slices.collect()).iter().map(tell).collect()
    }

    #[test]
    fn ports_are_found_by_name_and_conditions_have_the_apis_defaults() {
        let ports = json!([{"name": "admin", "port": 8080}, {"name": "webhook", "port": 8443}, {"port": 1}]);
        let endpoints = json!([
            {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod", "name": "b"}, "conditions": {"ready": false}},
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["elsewhere.example"]},
            {"addresses": []},
        ]);
        assert_eq!(
            joined(&[json!({"ports": ports, "endpoints": endpoints})]),
            [
                "a 8443,8080 ready=true serving=true",
                "b 8443,8080 ready=false serving=false",
                "10.0.0.3:8443 8443,8080 ready=false serving=true",
            ]
        );
    }

    #[test]
    fn an_endpoint_in_two_slices_is_one() {
        let slice = |ready: bool| {
            json!({"ports": [{"name": "webhook", "port": 8443}],
                   "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
        };
        for slices in [[slice(true), slice(false)], [slice(false), slice(true)]] {
            assert_eq!(joined(&slices), ["10.0.0.1:8443 8443,- ready=true serving=true"]);
        }
    }

    #[test]
    fn slices_without_anything_are_none() {
        assert!(joined(&[json!({"endpoints": null, "ports": null}), json!({"endpoints": []})]).is_empty());
    }
}
