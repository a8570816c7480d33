//! Whether opted-in pods run on a node that has no Collector: asked for now and then, since such nodes are few.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::api::label;
use crate::config::Configuration;
use crate::controller::Context;
use crate::controller::pods::look;
use crate::controller::pods::metadata::{NamespaceSeen, PodSeen};
use crate::controller::pods::record::{Around, OwnLabel};
use crate::controller::pods::stream::Page;
use crate::inject::Pod;
use crate::k8s::{self, ListParams};

/// What was found, node by node.
#[derive(Debug, Default)]
pub struct Busy {
    /// When nodes were looked at, and whether each had such pods when it last was.
    found: Option<(Instant, BTreeMap<String, bool>)>,
    looked_up_to: Option<String>,
}

/// What is known of namespaces, for as long as one look at nodes lasts.
type Namespaces = BTreeMap<Box<str>, Around>;

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Nodes on purpose without a Collector are few; of many, so many are looked at each time.
const MOST_NODES: usize = 50;
/// Whole pods of one answer.
const PAGE: u32 = 50;

// === impl Busy ===

impl Busy {
    /// Which of these nodes have pods that are opted in, as far as they were looked at. Those come first that never were,
    /// and one that can't be looked at is as it was.
    pub async fn among(
        &mut self,
        context: &Context,
        configuration: &Configuration,
        nodes: Vec<String>,
    ) -> BTreeSet<String> {
        let (at, mut known) = self.found.take().map_or((None, BTreeMap::new()), |(at, known)| (Some(at), known));
        known.retain(|node, _| nodes.contains(node));
        let recent = at.filter(|at| at.elapsed() < LOOK_EVERY && nodes.iter().all(|node| known.contains_key(node)));
        if recent.is_none() {
            let mut namespaces = Namespaces::new();
            for node in turn(&nodes, &known, self.looked_up_to.as_deref()) {
                match is_busy(context, configuration, &mut namespaces, &node).await {
                    Ok(busy) => {
                        known.insert(node.clone(), busy);
                    }
                    Err(error) => {
                        context.state.collector.failed(&error);
                        known.entry(node.clone()).or_insert(false);
                    }
                }
                self.looked_up_to = Some(node);
            }
        }
        let busy = known.iter().filter(|(_, busy)| **busy).map(|(node, _)| node.clone()).collect();
        self.found = Some((recent.unwrap_or_else(Instant::now), known));
        busy
    }
}

/// Those that are looked at next: in their order, from behind the last that was.
fn turn(nodes: &[String], known: &BTreeMap<String, bool>, last: Option<&str>) -> Vec<String> {
    let (unknown, others): (Vec<_>, Vec<_>) = nodes.iter().cloned().partition(|node| !known.contains_key(node));
    let (before, behind): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|node| last.is_some_and(|last| node.as_str() <= last));
    unknown.into_iter().chain(behind).chain(before).take(MOST_NODES).collect()
}

/// A pod with the mark sends to a Collector; one without should have it, where its labels and its spec say so.
async fn is_busy(
    context: &Context,
    configuration: &Configuration,
    namespaces: &mut Namespaces,
    node: &str,
) -> k8s::Result<bool> {
    let on_node = format!("spec.nodeName={node},status.phase=Running");
    let marked = ListParams::default().labels(label::CONFIG).fields(&on_node).limit(1);
    let api = k8s::Api::<k8s::Pod>::all(context.client.clone());
    if !k8s::in_time(api.list_metadata(&marked)).await?.items.is_empty() {
        return Ok(true);
    }
    let mut unmarked = ListParams::default().labels(&format!("!{}", label::CONFIG)).fields(&on_node).limit(PAGE);
    loop {
        let text = list(context, "/api/v1/pods", &unmarked).await?;
        let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
        for pod in page.items {
            if let Some(namespace) = namespace_of(pod.get(), configuration)
                && !namespaces.contains_key(&namespace)
            {
                let around = around(context, &namespace).await?;
                namespaces.insert(namespace, around);
            }
            if is_opted_in(pod.get(), configuration, namespaces) {
                return Ok(true);
            }
        }
        if page.metadata.r#continue.is_empty() {
            return Ok(false);
        }
        unmarked.continue_token = Some(page.metadata.r#continue);
    }
}

/// What the namespace says of its pods; nothing, once it has gone.
async fn around(context: &Context, namespace: &str) -> k8s::Result<Around> {
    let one = ListParams::default().fields(&format!("metadata.name={namespace}"));
    let text = list(context, "/api/v1/namespaces", &one).await?;
    let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
    let seen = page.items.first().and_then(|item| NamespaceSeen::read(item.get()));
    Ok(seen.map(|seen| seen.around).unwrap_or_default())
}

async fn list(context: &Context, path: &str, params: &ListParams) -> k8s::Result<String> {
    let request = k8s::Request::new(path).list(params).map_err(k8s::Error::BuildRequest)?;
    k8s::in_time(context.client.request_text(request)).await
}

/// The namespace, where its label decides.
fn namespace_of(json: &str, configuration: &Configuration) -> Option<Box<str>> {
    let seen = PodSeen::read(json)?;
    let decides = !matches!(seen.own, OwnLabel::Says(_)) && !seen.is_barred(configuration);
    decides.then_some(seen.namespace)
}

/// Whether it would be injected, had it been created now.
fn is_opted_in(json: &str, configuration: &Configuration, namespaces: &Namespaces) -> bool {
    let (Some(seen), Ok(pod)) = (PodSeen::read(json), Pod::from_json(json)) else { return false };
    let unknown = Around::default();
    let around = namespaces.get(&seen.namespace).unwrap_or(&unknown);
    !seen.leaving
        && !seen.is_barred(configuration)
        && look::injects(&pod, configuration, &seen.namespace, around, seen.created)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OptIn;
    use serde_json::{Value, json};

    #[test]
    fn every_node_has_its_turn() {
        let nodes: Vec<_> = (0..120).map(|n| format!("n{n:03}")).collect();
        let mut known = BTreeMap::new();
        let mut last: Option<String> = None;
        let mut looked_at = BTreeMap::<String, usize>::new();
        for _ in 0..12 {
            let now = turn(&nodes, &known, last.as_deref());
            assert_eq!(now.len(), MOST_NODES);
            last = now.last().cloned();
            for node in now {
                known.insert(node.clone(), false);
                *looked_at.entry(node).or_default() += 1;
            }
        }
        assert!(nodes.iter().all(|node| looked_at[node] >= 4), "{looked_at:?}");
    }

    /// Of a namespace without a label, and of one that is opted in.
    #[test]
    fn a_pod_that_was_missed_needs_a_collector_as_one_with_the_mark_does() {
        type Case = (&'static str, Value, Value, [bool; 2]);
        let own = |value: &str| json!({"labels": {"otelgate.dev/inject": value}});
        let cases: [Case; 7] = [
            ("no label of its own", json!({}), json!({}), [false, true]),
            ("opted in itself", own("enabled"), json!({}), [true, true]),
            ("opted out itself", own("disabled"), json!({}), [false, false]),
            ("watched only", own("observe"), json!({}), [false, false]),
            ("a word that is none", own("yes"), json!({}), [false, true]),
            ("Windows", json!({}), json!({"os": {"name": "windows"}}), [false, false]),
            ("on its way out", json!({"deletionTimestamp": "2026-11-02T13:00:00Z"}), json!({}), [false, false]),
        ];
        let opted_in = Around { own: OwnLabel::Says(OptIn::Enabled), ..Around::default() };
        let namespaces = Namespaces::from([("shop".into(), opted_in), ("plain".into(), Around::default())]);
        let configuration = Configuration::default();
        for (what, metadata, spec, expected) in cases {
            let pod = |namespace: &str| {
                let mut pod = json!({
                    "metadata": {"name": "a", "namespace": namespace, "uid": "u", "creationTimestamp": "2026-11-02T12:00:00Z"},
                    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
                });
                for (part, fields) in [("metadata", &metadata), ("spec", &spec)] {
                    for (field, value) in fields.as_object().expect("fields") {
                        pod[part][field] = value.clone();
                    }
                }
                pod.to_string()
            };
            let found = ["plain", "shop"].map(|namespace| is_opted_in(&pod(namespace), &configuration, &namespaces));
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn namespaces_are_asked_for_where_they_decide() {
        let pod = |namespace: &str, labels: Value| {
            json!({"metadata": {"name": "a", "namespace": namespace, "uid": "u", "labels": labels,
                                "creationTimestamp": "2026-11-02T12:00:00Z"}})
            .to_string()
        };
        for (namespace, labels, expected) in [
            ("shop", json!({}), Some("shop")),
            ("shop", json!({"otelgate.dev/inject": "enabled"}), None),
            ("kube-system", json!({}), None),
        ] {
            let asked = namespace_of(&pod(namespace, labels), &Configuration::default());
            assert_eq!(asked.as_deref(), expected, "{namespace}");
        }
    }
}
