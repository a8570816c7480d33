//! Where Collectors and Agents are, as the `TelemetryStack` says, for commands that show what they do.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;

use super::fetch;
use crate::api::stack::{Collector, CollectorMode};
use crate::api::{label, object};
use crate::config::{CONFIG_MAP_KEY, Document, Selector};
use crate::k8s::{Client, LabelSelector, ListParams, Pod, ResourceExt};
use crate::registration::unmet;
use crate::unavailable::Unavailable;

/// A namespace, and how pods there are told apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    pub namespace: String,
    /// The Collector's pods.
    pub collector: Selector,
    /// Variables of the Collector that somebody wrote in the clear.
    pub variables: Vec<String>,
}

/// By which the pods of Agent and Cluster Agent are found, whoever made them.
pub const AGENT: &str = label::AGENT_COMPONENT;

impl Telemetry {
    /// By the stack that counts, whatever else is wrong with it; without one by the webhook's configuration, and at last by
    /// the defaults.
    #[must_use]
    pub fn of(stacks: &[Value], configuration: Option<&Value>) -> Self {
        let stack = stacks.iter().find(|stack| stack["metadata"]["name"] == object::STACK);
        let said = |pointer: &str| stack.and_then(|stack| stack.pointer(pointer));
        let namespace = said("/spec/injection/collector/namespace")
            .or_else(|| configuration.and_then(|document| document.pointer("/collector/namespace")))
            .and_then(Value::as_str)
            .map_or_else(|| Document::default().collector.namespace, ToOwned::to_owned);
        let collector = said("/spec/collector").and_then(|collector| Collector::deserialize(collector).ok());
        let collector = collector.unwrap_or_default();
        let variables = collector.env.into_values().collect();
        let selector = if collector.mode == CollectorMode::Adopt {
            collector.adopt.selector
        } else {
            let labels = BTreeMap::from([("app".to_owned(), object::COLLECTOR.to_owned())]);
            Selector { match_labels: labels, match_expressions: Vec::new() }
        };
        Self { namespace, collector: selector, variables }
    }

    /// Whether labels are those of a Collector's pod.
    #[must_use]
    pub fn is_collector(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = serde_json::to_value(&self.collector).and_then(serde_json::from_value::<LabelSelector>);
        selector.is_ok_and(|selector| unmet(&selector, labels).is_none())
    }
}

/// Whether labels are those of an Agent's pod, or of the Cluster Agent's.
#[must_use]
pub fn is_agent(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(AGENT)
}

/// Looked up in a cluster whose otelgate is in that namespace.
///
/// # Errors
/// When the API server can't be reached, or the stack not be read.
pub async fn look_up(client: &Client, own: &str) -> Result<Telemetry, Unavailable> {
    let stacks = match fetch::list(client, fetch::STACKS, ListParams::default()).await {
        Ok(stacks) => stacks,
        // The webhook alone.
        Err(Unavailable::NotFound { .. }) => Vec::new(),
        Err(fault) => return Err(fault),
    };
    let map = if stacks.is_empty() {
        fetch::object(client, &format!("/api/v1/namespaces/{own}/configmaps"), object::INJECTION).await.ok()
    } else {
        None
    };
    let text = map.as_ref().and_then(|map| map.pointer(&format!("/data/{CONFIG_MAP_KEY}"))).and_then(Value::as_str);
    let document = text.and_then(|text| serde_saphyr::from_str::<Value>(text).ok());
    Ok(Telemetry::of(&stacks, document.as_ref()))
}

/// By which pods are put in order where not all can be shown: those in trouble first, and the others by their names.
#[must_use]
pub fn urgency(pod: &Pod) -> (bool, i32, String) {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let is_ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
    let containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let restarts: i32 = containers.map(|container| container.restart_count).sum();
    (is_ready, restarts.saturating_neg(), pod.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stack(spec: &Value) -> [Value; 2] {
        [json!({"metadata": {"name": "other"}}), json!({"metadata": {"name": object::STACK}, "spec": spec})]
    }

    #[test]
    fn the_stack_says_where_they_are() {
        let untold = Telemetry::of(&[], None);
        assert_eq!((untold.namespace.as_str(), untold.collector.query().as_str()), ("datadog", "app=otel-collector"));
        let by_hand = Telemetry::of(&[], Some(&json!({"collector": {"namespace": "observability"}})));
        assert_eq!(by_hand.namespace, "observability");
        let told = Telemetry::of(
            &stack(&json!({
                "injection": {"collector": {"namespace": "monitoring"}},
                "collector": {"mode": "adopt", "adopt": {"selector": {"matchLabels": {"tier": "gateway"}}},
                              "env": {"TEAM": "shop"}},
            })),
            Some(&json!({"collector": {"namespace": "observability"}})),
        );
        assert_eq!((told.namespace.as_str(), told.collector.query().as_str()), ("monitoring", "tier=gateway"));
        assert_eq!(told.variables, ["shop"]);
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(told.is_collector(&labels("tier", "gateway")) && !told.is_collector(&labels("app", "otel-collector")));
        assert!(is_agent(&labels(AGENT, "cluster-agent")) && !is_agent(&labels("tier", "gateway")));
        // Which is adopted matters only where one is.
        let managed =
            Telemetry::of(&stack(&json!({"collector": {"adopt": {"selector": {"matchLabels": {"a": "b"}}}}})), None);
        assert_eq!(managed.collector, untold.collector);
    }

    #[test]
    fn pods_in_trouble_come_first() {
        let pod = |name: &str, ready: &str, restarts: i32| -> Pod {
            let status = json!({
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts}],
            });
            serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).expect("a pod")
        };
        let mut pods = [
            pod("d", "True", 0),
            pod("c", "True", 3),
            pod("b", "False", 0),
            pod("a", "True", 0),
            serde_json::from_value(json!({"metadata": {"name": "new"}})).expect("a pod"),
            pod("e", "False", 9),
        ];
        pods.sort_by_key(urgency);
        let names: Vec<_> = pods.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["e", "b", "new", "c", "a", "d"]);
    }
}
