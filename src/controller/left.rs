//! What is left of a part in a namespace where it was before: seen by its pods, which the controller sees in every
//! namespace, and taken away where it may.
//!
//! Its rights go with the namespace that the chart's value names, maybe before it has cleared the former one. Two
//! Collectors on a node read the same lines, and want the same ports; two Agents report the same host. But a part that is
//! kept where it was, since it can't be told yet what is to be where the spec names, isn't left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Context;
use super::collector::Known;
use super::objects::{self, Part, Wanted};
use super::pods::stream::Page;
use super::stack::Stack;
use crate::k8s::{self, ListParams};
use crate::watch::Health;
use crate::words::count;

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
pub struct Traces<const N: usize> {
    /// What they are, for the log.
    pub of: &'static str,
    /// A selector.
    pub labels: &'static str,
    /// Annotations, where others have such labels too: ours have one of them.
    pub marks: &'static [&'static str],
    /// What they are made of, and whether that is only where a pod has a mark.
    pub parts: [(Part, Option<&'static str>); N],
}

/// What one of the parts wants.
type Wants = watch::Receiver<Option<Arc<Wanted>>>;

/// Where the parts are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Home<const N: usize> {
    namespace: String,
    /// Which of them are wanted there, or nowhere: these are kept in no other namespace any more.
    moved: [bool; N],
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

// === impl Home ===

impl<const N: usize> Home<N> {
    fn of(known: Option<&Known>, wanted: &[Wants; N]) -> Option<Self> {
        let namespace = known?.spec.as_ref()?.injection.collector.namespace.clone();
        let has_moved = |wanted: &Wants| wanted.borrow().as_ref().is_some_and(|wanted| wanted.namespace == namespace);
        let moved = wanted.each_ref().map(has_moved);
        Some(Self { namespace, moved })
    }

    /// Until it is another, or more has moved.
    async fn until_other(
        before: Option<&Self>,
        known: &mut watch::Receiver<Option<Arc<Known>>>,
        wanted: &mut [Wants; N],
    ) {
        loop {
            let now = known.borrow_and_update().clone();
            if Self::of(now.as_deref(), wanted).as_ref() != before {
                return;
            }
            let wants = select_all(wanted.iter_mut().map(|wanted| Box::pin(wanted.changed())));
            let changed = tokio::select! {
                changed = known.changed() => changed,
                (changed, ..) = wants => changed,
            };
            // The senders live as long as the leader's tasks do.
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// With what each of the parts wants. Never returns.
pub async fn run<const N: usize>(
    context: Context,
    traces: Traces<N>,
    mut wanted: [Wants; N],
    health: Arc<Health>,
    left: watch::Sender<Option<Left>>,
) {
    let mut known = context.known.clone();
    loop {
        let now = known.borrow_and_update().clone();
        let home = Home::of(now.as_deref(), &wanted);
        let mut again = LOOK_EVERY;
        if let (Some(now), Some(home)) = (&now, &home) {
            match elsewhere(&context, &traces, &home.namespace).await {
                Ok(found) => {
                    let found = clear(&context, &traces, home, &now.stack, found).await;
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
        tokio::select! {
            () = sleep(again) => {}
            () = Home::until_other(home.as_ref(), &mut known, &mut wanted) => {}
        }
    }
}

/// How many of ours are in each namespace but this one: out of the API server's memory, since no index has them, and
/// mostly there are none.
async fn elsewhere<const N: usize>(
    context: &Context,
    traces: &Traces<N>,
    namespace: &str,
) -> k8s::Result<BTreeMap<String, Found>> {
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

/// Takes away what has moved; tells of the first that are still there, and rather of those that will stay.
async fn clear<const N: usize>(
    context: &Context,
    traces: &Traces<N>,
    home: &Home<N>,
    stack: &Stack,
    found: BTreeMap<String, Found>,
) -> Option<Left> {
    let mut left: Option<Left> = None;
    for (namespace, Found { pods, marks }) in found {
        let (mut is_kept, mut why) = (false, None);
        for ((part, mark), moved) in traces.parts.iter().zip(home.moved) {
            if mark.is_some_and(|mark| !marks.contains(mark)) {
                continue;
            }
            if !moved {
                is_kept = true;
                continue;
            }
            let cleared = objects::clear(context, *part, &namespace, &stack.owner()).await;
            why = why.or(cleared.err());
        }
        if is_kept {
            info!(
                k8s.namespace.name = namespace,
                otelgate.object = traces.of,
                "pods run on where they are: what is to be in the namespace of the spec isn't known yet"
            );
        } else if left.as_ref().is_none_or(|left| left.why.is_none() && why.is_some()) {
            left = Some(Left { namespace, pods, why });
        }
    }
    left
}

fn tell<const N: usize>(traces: &Traces<N>, left: &watch::Sender<Option<Left>>, found: Option<&Left>) {
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

impl<const N: usize> Traces<N> {
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
    use axum::http::{Method, Request, Response};
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
    fn found<const N: usize>(traces: &Traces<N>, pods: &[Value]) -> Vec<(String, usize, Vec<&'static str>)> {
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

    fn wants(namespace: Option<&str>) -> watch::Sender<Option<Arc<Wanted>>> {
        let of = |namespace: &str| Arc::new(Wanted { namespace: namespace.to_owned(), ..Wanted::default() });
        watch::Sender::new(namespace.map(of))
    }

    #[test]
    fn a_part_has_moved_once_it_is_wanted_where_the_spec_names() {
        let stack = |spec: &Value| Stack::new("u".to_owned(), 1, spec);
        let known = |namespace: &str| Known::of(stack(&json!({"injection": {"collector": {"namespace": namespace}}})));
        let moved = |own: Option<&str>, of_operator: Option<&str>| {
            let wanted = [of_operator, own].map(|namespace| wants(namespace).subscribe());
            let now = known("b").borrow().clone();
            Home::of(now.as_deref(), &wanted).map(|home| (home.namespace, home.moved))
        };
        for (own, of_operator, expected) in [
            (None, None, [false, false]),
            (Some("a"), Some("a"), [false, false]),
            (Some("a"), Some("b"), [true, false]),
            (Some("b"), None, [false, true]),
            (Some("b"), Some("b"), [true, true]),
        ] {
            assert_eq!(moved(own, of_operator), Some(("b".to_owned(), expected)), "{own:?} {of_operator:?}");
        }
        assert_eq!(Home::of(None, &[wants(Some("b")).subscribe()]), None, "the stack has gone");
    }

    /// Whoever keeps it there would make it anew each time; and where nothing is wanted yet, there would be none at all.
    #[tokio::test(start_paused = true)]
    async fn what_is_kept_where_it_was_isnt_left_behind() {
        let deleted = Arc::<Mutex<Vec<String>>>::default();
        let stack = Stack::new("u".to_owned(), 1, &json!({}));
        let set = json!({"metadata": {"name": "a", "uid": "s", "ownerReferences": [stack.owner()]}});
        let service = tower::service_fn({
            let deleted = Arc::clone(&deleted);
            move |request: Request<k8s::Body>| {
                let path = request.uri().path();
                let answer = if *request.method() == Method::DELETE {
                    deleted.lock().expect("a lock").push(path.to_owned());
                    json!({"kind": "Status", "status": "Success"})
                } else {
                    let pod = json!({"metadata": {"namespace": "old"}});
                    let items = match path.rsplit('/').next() {
                        Some("pods") => json!([pod]),
                        Some("daemonsets") => json!([set]),
                        _ => json!([]),
                    };
                    json!({"metadata": {"resourceVersion": "1"}, "items": items})
                };
                let answer = Response::builder().body(k8s::Body::from(answer.to_string().into_bytes()));
                async move { Ok::<_, tower::BoxError>(answer.expect("a response")) }
            }
        });
        let (known, wanted, left) = (Known::of(stack), wants(None), watch::Sender::new(None));
        let mut told = left.subscribe();
        let client = k8s::Client::new(service, "default");
        let context = Context { known: known.subscribe(), ..Context::of_nothing(client) };
        let health = Arc::new(Health::new("Collector"));
        let runs = run(context, collector::TRACES, [wanted.subscribe()], health, left);
        let moves = async {
            for before in [None, Some("old")] {
                wanted.send_replace(wants(before).borrow().clone());
                sleep(2 * LOOK_EVERY).await;
                assert_eq!(*deleted.lock().expect("a lock"), [] as [String; 0], "wanted in {before:?}");
                assert_eq!(*told.borrow(), None, "wanted in {before:?}");
            }
            wanted.send_replace(wants(Some("datadog")).borrow().clone());
            told.changed().await.expect("it is told");
            assert_eq!(*deleted.lock().expect("a lock"), ["/apis/apps/v1/namespaces/old/daemonsets/a"]);
            assert_eq!(*told.borrow(), Some(Left { namespace: "old".to_owned(), pods: 1, why: None }));
        };
        tokio::select! {
            () = runs => panic!("it never returns"),
            () = moves => {}
        }
    }
}
