//! What is left of a part in a namespace where it was before: seen by its pods, which the controller sees in every
//! namespace, and taken away where it may.
//!
//! Its rights go with the namespace that the chart's value names, maybe before it has cleared the former one. Two
//! Collectors on a node read the same lines, and want the same ports; two Agents report the same host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Context;
use super::collector::Known;
use super::count::count;
use super::objects::{self, Part};
use super::pods::stream::Page;
use super::stack::Stack;
use crate::k8s::{self, ListParams};
use crate::watch::Health;

/// Pods in another namespace than the spec names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub namespace: String,
    pub pods: usize,
    /// Why they can't be taken away.
    pub why: Option<String>,
}

/// By what pods are known that the controller has made, wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct Traces {
    /// What they are, for the log.
    pub of: &'static str,
    /// A selector.
    pub labels: &'static str,
    /// Annotations, where others have such labels too: ours have one of them.
    pub marks: &'static [&'static str],
    /// What they are made of, and whether that is only where a pod has a mark.
    pub parts: &'static [(Part, Option<&'static str>)],
}

/// Ours in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    pods: usize,
    marks: BTreeSet<&'static str>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// While there are none: somebody may give a backup back.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// While there are some.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

// === impl Left ===

impl Left {
    #[must_use]
    pub fn told(&self) -> String {
        let Self { namespace, pods, why } = self;
        let pods = count(*pods, "pod");
        match why {
            Some(why) => format!("{pods} in namespace {namespace}, which can't be taken away: {why}"),
            None => format!("{pods} in namespace {namespace}, on the way out"),
        }
    }
}

/// Never returns.
pub async fn run(context: Context, traces: Traces, health: Arc<Health>, left: watch::Sender<Option<Left>>) {
    let mut known = context.known.clone();
    loop {
        let now = known.borrow_and_update().clone();
        let namespace = namespace(now.as_deref());
        let mut again = LOOK_EVERY;
        if let (Some(now), Some(namespace)) = (&now, &namespace) {
            match elsewhere(&context, &traces, namespace).await {
                Ok(found) => {
                    let found = clear(&context, &traces, &now.stack, found).await;
                    if found.is_some() {
                        again = LOOK_AGAIN;
                    }
                    tell(&traces, &left, found.as_ref());
                }
                Err(error) => {
                    health.failed(&error);
                    again = LOOK_AGAIN;
                }
            }
        } else {
            left.send_if_modified(|left| left.take().is_some());
        }
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if known.wait_for(|known| self::namespace(known.as_deref()) != namespace).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(again) => {}
            () = another => {}
        }
    }
}

/// Where the spec wants Collector and Agent, or would.
fn namespace(known: Option<&Known>) -> Option<String> {
    Some(known?.spec.as_ref()?.injection.collector.namespace.clone())
}

/// How many of ours are in each namespace but this one: out of the API server's memory, since no index has them, and
/// mostly there are none.
async fn elsewhere(context: &Context, traces: &Traces, namespace: &str) -> k8s::Result<BTreeMap<String, Found>> {
    let others = format!("metadata.namespace!={namespace}");
    let params = ListParams::default().labels(traces.labels).fields(&others).match_any();
    let request = k8s::Request::new("/api/v1/pods").list_metadata(&params).map_err(k8s::Error::BuildRequest)?;
    let text = k8s::in_time(context.client.request_text(request)).await?;
    let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
    let mut found = BTreeMap::new();
    for item in page.items {
        let Pod { metadata } = serde_json::from_str(item.get()).map_err(k8s::Error::SerdeError)?;
        traces.count(&mut found, metadata);
    }
    Ok(found)
}

/// Takes them away; tells of the first that are still there, and rather of those that will stay.
async fn clear(context: &Context, traces: &Traces, stack: &Stack, found: BTreeMap<String, Found>) -> Option<Left> {
    let mut left: Option<Left> = None;
    for (namespace, Found { pods, marks }) in found {
        let mut why = None;
        for (part, _) in traces.parts.iter().filter(|(_, mark)| mark.is_none_or(|mark| marks.contains(mark))) {
            let cleared = objects::clear(context, *part, &namespace, &stack.owner()).await;
            why = why.or(cleared.err());
        }
        if left.as_ref().is_none_or(|left| left.why.is_none() && why.is_some()) {
            left = Some(Left { namespace, pods, why });
        }
    }
    left
}

fn tell(traces: &Traces, left: &watch::Sender<Option<Left>>, found: Option<&Left>) {
    let changed = left.send_if_modified(|left| std::mem::replace(left, found.cloned()).as_ref() != found);
    match found {
        Some(Left { namespace, why: Some(why), .. }) if changed => {
            warn!(
                k8s.namespace.name = namespace,
                otelgate.object = traces.of,
                error.message = why,
                "pods are left behind, and have to stay"
            );
        }
        Some(Left { namespace, .. }) if changed => {
            info!(k8s.namespace.name = namespace, otelgate.object = traces.of, "pods were left behind");
        }
        _ => {}
    }
}

// === impl Traces ===

impl Traces {
    fn count(&self, found: &mut BTreeMap<String, Found>, pod: Metadata) {
        let marks: Vec<_> = self.marks.iter().filter(|mark| pod.annotations.contains_key(**mark)).collect();
        if marks.is_empty() && !self.marks.is_empty() {
            return;
        }
        let found = found.entry(pod.namespace).or_default();
        found.pods += 1;
        found.marks.extend(marks);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::controller::{agent, collector};
    use axum::http::{Request, Response};
    use serde_json::{Value, json};

    #[test]
    fn what_is_left_is_told_with_its_namespace() {
        let told = |pods, why: Option<&str>| {
            let left = Left { namespace: "old".to_owned(), pods, why: why.map(str::to_owned) };
            left.told()
        };
        assert_eq!(told(1, None), "1 pod in namespace old, on the way out");
        let why = "DaemonSet: not allowed to list daemonsets.apps in namespace old";
        assert_eq!(told(7, Some(why)), format!("7 pods in namespace old, which can't be taken away: {why}"));
    }

    /// Per namespace: how many, and of which parts there is something to take away.
    fn found(traces: &Traces, pods: &[Value]) -> Vec<(String, usize, Vec<&'static str>)> {
        let mut found = BTreeMap::new();
        for pod in pods {
            traces.count(&mut found, serde_json::from_value(pod.clone()).expect("metadata"));
        }
        let parts = |marks: &BTreeSet<&'static str>| {
            let there = traces.parts.iter().filter(|(_, mark)| mark.is_none_or(|mark| marks.contains(mark)));
            there.map(|(part, _)| part.name).collect()
        };
        found.iter().map(|(namespace, one)| (namespace.clone(), one.pods, parts(&one.marks))).collect()
    }

    #[tokio::test]
    async fn they_are_asked_for_in_one_answer_from_memory() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = tower::service_fn({
            let asked = Arc::clone(&asked);
            move |request: Request<k8s::Body>| {
                asked.lock().expect("a lock").push(request.uri().to_string());
                let list = json!({"metadata": {}, "items": [{"metadata": {"namespace": "old"}}]});
                let answer = Response::builder().body(k8s::Body::from(list.to_string().into_bytes()));
                async move { Ok::<_, tower::BoxError>(answer.expect("a response")) }
            }
        });
        let context = Context::of_nothing(k8s::Client::new(service, "default"));
        let found = elsewhere(&context, &collector::TRACES, "datadog").await.expect("an answer");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["old"]);
        let asked = asked.lock().expect("a lock");
        let [asked] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(asked.contains("resourceVersion=0") && asked.contains("NotOlderThan"), "{asked}");
        assert!(!asked.contains("limit="), "with one, the API server would be asked for the newest: {asked}");
    }

    #[test]
    fn agents_of_somebody_else_are_none_of_ours() {
        let pods = [
            json!({"namespace": "helm", "annotations": {"checksum/config": "x"}}),
            json!({"namespace": "helm"}),
            json!({"namespace": "old", "annotations": {"otelgate.dev/credentials": "1.2"}}),
            json!({"namespace": "old", "annotations": {"otelgate.dev/credentials": "1.2"}}),
            json!({"namespace": "older", "annotations": {"otelgate.dev/credentials": "1", "otelgate.dev/agent-revision": "ab"}}),
        ];
        let expected = [("old".to_owned(), 2, vec!["agent"]), ("older".to_owned(), 1, vec!["operator", "agent"])];
        assert_eq!(found(&agent::TRACES, &pods), expected);
    }

    #[test]
    fn collectors_are_known_by_their_label_alone() {
        let pods = [json!({"namespace": "old"}), json!({"namespace": "old", "annotations": {"a": "b"}})];
        assert_eq!(found(&collector::TRACES, &pods), [("old".to_owned(), 2, vec!["collector"])]);
    }
}
