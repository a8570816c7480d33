//! What is seen of the cluster for the Collector: watches that fill stores, and what is asked for now and then.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::no_pod::NoPod;
use super::node::{self, Node};
use super::pod::{self, Pod, Rollout, State};
use super::revision::{CONFIG_MAP, Revision, Stored};
use super::trial::Deployed;
use super::{objects, refusal, template, words};
use crate::api::stack::CollectorMode;
use crate::api::{label, object};
use crate::controller::collector_pods;
use crate::controller::{Context, stripped};
use crate::k8s::{
    self, Api, ConfigMap, CoreEvent, DaemonSet, ListParams, LogParams, Patch, PatchParams, ResourceExt as _, watcher,
};
use crate::unavailable::Unavailable;
use crate::watch::{self as watching, Store};

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub mode: CollectorMode,
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Of the Collectors' pods.
    pub pods: collector_pods::Place,
    /// Labels of nodes that are looked at.
    pub node_labels: BTreeSet<String>,
}

/// What is seen there.
#[derive(Debug, Default)]
pub struct Seen {
    pub nodes: Store<Node>,
    /// Nothing of what isn't ours.
    pub sets: Store<Option<Set>>,
    pub maps: Store<Map>,
    /// Of ours, while somebody else's are looked at.
    pub own_pods: Store<Arc<Pod>>,
    /// Whether nodes are looked at where there is to be no Collector.
    needs_nodes: watch::Sender<bool>,
    pub changed: Notify,
}

/// A `DaemonSet` of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub deployed: Deployed,
    pub uid: String,
    pub created: Timestamp,
    /// Pods are due that aren't made.
    pub lacks_pods: bool,
    /// It has no label, so that nobody else would see it.
    pub stripped: bool,
    /// By a `TelemetryStack`, so that it goes with that.
    pub owned: bool,
}

/// A `ConfigMap` of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Map {
    Revision(Stored),
    Copy(Revision),
    Other,
}

/// What is asked for beside what is watched.
#[derive(Debug, Default)]
pub struct Asked {
    /// The words of the container that ended last, by the pod's uid and how often it had.
    said: Mutex<Option<(String, i32, String)>>,
    no_pod: NoPod,
    /// Whether the API server would take the trial of which revision, and when it was asked.
    refused: Option<(String, Instant, Option<String>)>,
}

/// Of a log: what is said at the end.
const LAST_LINES: i64 = 60;
/// A trial whose record is taken away soon has another try.
const TRUST_ANSWER: Duration = Duration::from_secs(5);

impl Seen {
    /// Fills the stores, as far as the mode makes anything of them. Never returns.
    pub async fn watch(&self, context: &Context, place: &Place) {
        let state = &context.state;
        for health in [&state.nodes, &state.collector_sets, &state.collector_maps] {
            health.forget();
        }
        match place.mode {
            CollectorMode::Managed => tokio::join!(self.watch_nodes(context, place), self.watch_own(context, place)).0,
            // Ours are to go, and may have no label.
            CollectorMode::Adopt => {
                tokio::join!(
                    self.watch_nodes(context, place),
                    self.watch_sets(context, place),
                    self.watch_own_pods(context, place)
                );
            }
            CollectorMode::Disabled => {
                tokio::join!(self.watch_sets(context, place), self.watch_nodes_while_needed(context, place));
            }
        }
    }

    /// Of pods that are about to end, whether somebody ends them.
    pub fn need_nodes(&self, needed: bool) {
        self.needs_nodes.send_if_modified(|before| std::mem::replace(before, needed) != needed);
    }

    async fn watch_nodes_while_needed(&self, context: &Context, place: &Place) {
        let mut needed = self.needs_nodes.subscribe();
        // The sender lives as long as this does.
        while needed.wait_for(|needed| *needed).await.is_ok() {
            tokio::select! {
                () = self.watch_nodes(context, place) => {}
                _ = needed.wait_for(|needed| !needed) => {}
            }
            context.state.nodes.forget();
            self.nodes.lock().take();
        }
    }

    async fn watch_own_pods(&self, context: &Context, place: &Place) {
        let api = Api::<pod::Read>::namespaced(context.client.clone(), &place.namespace);
        let config = watcher::Config::default().labels(label::ROLLOUT);
        let health = context.state.collector_pods.of_one("Pod of the Collector");
        let cut = |pod: pod::Read| Arc::new(Pod::of(&pod));
        watching::fill(api, config, &health, cut, &self.own_pods, &self.changed).await;
    }

    async fn watch_nodes(&self, context: &Context, place: &Place) {
        let api = Api::<node::Read>::all(context.client.clone());
        let cut = |node| Node::of(node, &place.node_labels);
        let health = &context.state.nodes;
        watching::fill(api, watcher::Config::default(), health, cut, &self.nodes, &self.changed).await;
    }

    async fn watch_own(&self, context: &Context, place: &Place) {
        let Context { client, state, .. } = context;
        let of_part = || watcher::Config::default().labels(&format!("{}={}", label::PART, objects::PART.name));
        tokio::join!(
            self.watch_sets(context, place),
            watching::fill(
                Api::namespaced(client.clone(), &place.namespace),
                of_part(),
                &state.collector_maps,
                |map| Map::of(&map),
                &self.maps,
                &self.changed
            ),
        );
    }

    /// By their names, whatever became of their labels: as long as one is there unseen, no node is ever vacated.
    async fn watch_sets(&self, context: &Context, place: &Place) {
        let api = Api::namespaced(context.client.clone(), &place.namespace);
        let (of_all, health) = (watcher::Config::default(), &context.state.collector_sets);
        watching::fill(api, of_all, health, |set| Set::of(&set), &self.sets, &self.changed).await;
    }

    /// What the revisions of the cluster are; `None` before they are listed. The copy for people stands in for one whose
    /// own `ConfigMap` was deleted: it ran, or was about to.
    #[must_use]
    pub fn stored(&self) -> Option<Vec<Stored>> {
        let maps = self.maps.lock();
        let maps = maps.as_ref()?;
        let mut stored: Vec<_> = maps
            .values()
            .filter_map(|map| match map {
                Map::Revision(stored) => Some(stored.clone()),
                Map::Copy(_) | Map::Other => None,
            })
            .collect();
        for map in maps.values() {
            if let Map::Copy(copy) = map
                && stored.iter().all(|one| one.revision != *copy)
            {
                stored.push(Stored {
                    revision: copy.clone(),
                    mark: super::trial::Mark::Untried,
                    created: String::new(),
                });
            }
        }
        Some(stored)
    }
}

impl Set {
    /// What has neither label nor owner isn't known to be anybody's to delete.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.owned || !self.stripped
    }

    fn of(set: &DaemonSet) -> Option<Self> {
        let stripped = stripped::is_stripped(&set.metadata);
        let labelled = set.labels().get(label::PART).is_some_and(|part| part == objects::PART.name);
        if !(stripped || labelled) {
            return None;
        }
        let template = set.spec.as_ref().and_then(|spec| serde_json::to_value(&spec.template).ok()).unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let deployed = Deployed {
            revision: template::revision(&template).unwrap_or_default().to_owned(),
            node: template::node_in(&template).map(|(_, node)| node.to_owned()),
            settled: status.observed_generation >= set.metadata.generation && set.metadata.deletion_timestamp.is_none(),
        };
        let uid = set.uid().unwrap_or_default();
        let created = set.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
        let lacks_pods = status.current_number_scheduled < status.desired_number_scheduled;
        let owned = stripped::is_owned(&set.metadata);
        Some(Self { deployed, uid, created, lacks_pods, stripped, owned })
    }
}

impl Map {
    fn of(map: &ConfigMap) -> Self {
        if let Some(stored) = Stored::of(map) {
            return Self::Revision(stored);
        }
        match Revision::in_config_map(map) {
            Some(copy) if map.name_any() == CONFIG_MAP => Self::Copy(copy),
            _ => Self::Other,
        }
    }
}

impl Asked {
    /// The words of a trial's pod that ended: more than fits into its status.
    pub async fn last_words(&self, context: &Context, place: &Place, pod: &Pod) -> Option<String> {
        if let Some((uid, restarts, words)) = &*self.said()
            && (uid.as_str(), restarts) == (&*pod.uid, &pod.restarts)
        {
            return Some(words.clone()).filter(|words| !words.is_empty());
        }
        let previous = !matches!(pod.state, State::Down(_)) || pod.restarts > 0;
        // What can't be read now is asked for again.
        let words = words::of(&log(context, place, pod, previous).await?);
        *self.said() = Some((pod.uid.to_string(), pod.restarts, words.clone()));
        Some(words).filter(|words| !words.is_empty())
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Option<(String, i32, String)>> {
        self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Why the API server refuses pods: the last event of the `DaemonSet` that lacks some.
    pub async fn why_no_pod(&mut self, context: &Context, place: &Place, lacks_pods: Option<&Set>) -> Option<String> {
        let uid = lacks_pods.map(|set| set.uid.as_str());
        if self.no_pod.see(uid, Instant::now())
            && let Some(uid) = uid
        {
            let fields = format!("involvedObject.kind=DaemonSet,involvedObject.uid={uid},reason=FailedCreate");
            let api = Api::<CoreEvent>::namespaced(context.client.clone(), &place.namespace);
            match k8s::in_time(api.list(&ListParams::default().fields(&fields).limit(20))).await {
                Ok(events) => {
                    context.state.collector.answered();
                    self.no_pod.listed(events.items);
                }
                Err(error) => context.state.collector.failed(&error),
            }
        }
        self.no_pod.why(Instant::now())
    }

    /// Why the API server wouldn't take this `DaemonSet`, for a reason that lies in it. What it can't say now shows when
    /// it is written.
    pub async fn why_refused(
        &mut self,
        context: &Context,
        place: &Place,
        set: &Value,
        revision: &Revision,
    ) -> Option<String> {
        if let Some((hash, at, why)) = &self.refused
            && *hash == revision.hash
            && at.elapsed() < TRUST_ANSWER
        {
            return why.clone();
        }
        let api = Api::<DaemonSet>::namespaced(context.client.clone(), &place.namespace);
        let params = PatchParams { dry_run: true, ..PatchParams::apply(object::FIELD_MANAGER).force() };
        let name = Rollout::Trial.daemon_set();
        let why = match k8s::in_time(api.patch_metadata(name, &params, &Patch::Apply(set))).await {
            Ok(_) => None,
            Err(k8s::Error::Api(status)) if lies_in_it(&status) => {
                Some(format!("DaemonSet {name}: {}", Unavailable::of(&k8s::Error::Api(status))))
            }
            Err(_) => return None,
        };
        self.refused = Some((revision.hash.clone(), Instant::now(), why.clone()));
        why
    }
}

/// What the Collector of a trial lost, with its last words on it.
pub async fn in_its_words(context: &Context, place: &Place, pod: &Pod, lost: &str) -> String {
    let log = log(context, place, pod, false).await.unwrap_or_default();
    match refusal::words(&log, lost) {
        Some(words) => format!("{lost}: {}", words::of(words)),
        None => lost.to_owned(),
    }
}

async fn log(context: &Context, place: &Place, pod: &Pod, previous: bool) -> Option<String> {
    let api = Api::<k8s::Pod>::namespaced(context.client.clone(), &place.namespace);
    let params = LogParams { previous, tail_lines: Some(LAST_LINES), ..LogParams::default() };
    match k8s::in_time(api.logs(&pod.name, &params)).await {
        Ok(log) => Some(log),
        Err(error) => {
            context.state.collector.failed(&error);
            None
        }
    }
}

/// Whether the API server, or whoever it asks, refuses an object for what it is.
fn lies_in_it(status: &k8s::Status) -> bool {
    match status.code {
        422 => true,
        400 => !status.message.contains("does not support dry run"),
        // A missing right is told in another form than a policy's word.
        403 => matches!(Unavailable::of(&k8s::Error::Api(status.clone().boxed())), Unavailable::Refused { .. }),
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::pod::pod;
    use super::*;
    use crate::api::stack::Collector;
    use axum::http::{Request, Response};
    use serde_json::json;

    /// One of ours that has all of its pods.
    pub fn set(revision: &str) -> Set {
        Set {
            deployed: Deployed { revision: revision.to_owned(), node: None, settled: true },
            uid: "u".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            lacks_pods: false,
            stripped: false,
            owned: true,
        }
    }

    #[test]
    fn a_daemon_set_without_its_label_is_seen_and_nobody_elses() {
        let seen =
            |metadata: Value| Set::of(&serde_json::from_value(json!({"metadata": metadata})).expect("a DaemonSet"));
        let owner =
            json!([{"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "u"}]);
        let labelled =
            |part: &str| json!({"name": "otel-collector", "labels": {label::PART: part}, "ownerReferences": owner});
        assert_eq!(seen(labelled("collector")).map(|set| set.stripped), Some(false));
        assert_eq!(
            seen(json!({"name": "otel-collector", "ownerReferences": owner})).map(|set| set.stripped),
            Some(true)
        );
        assert_eq!(seen(labelled("agent")), None);
        assert_eq!(seen(json!({"name": "otel-collector", "labels": {"app": "otel-collector"}})), None);
    }

    /// An API server that is away for a moment keeps nobody from the words.
    #[tokio::test]
    async fn words_that_could_not_be_read_are_asked_for_again() {
        let answers = Mutex::new(vec![(200, "Error: no\n"), (500, "")]);
        let service = tower::service_fn(move |_: Request<k8s::Body>| {
            let next = answers.lock().ok().and_then(|mut answers| answers.pop());
            let (status, body) = next.expect("what is known isn't asked for again");
            let answer = Response::builder().status(status).body(k8s::Body::from(body.as_bytes().to_vec()));
            async move { Ok::<_, tower::BoxError>(answer.expect("a response")) }
        });
        let context = Context::of_nothing(k8s::Client::new(service, "default"));
        let place = Place {
            mode: CollectorMode::Managed,
            namespace: "datadog".to_owned(),
            service: "otel-collector".to_owned(),
            pods: collector_pods::Place::at(&Collector::default(), "datadog"),
            node_labels: BTreeSet::new(),
        };
        let (asked, pod) = (Asked::default(), pod("a", Rollout::Trial, "r", &json!({})));
        assert_eq!(asked.last_words(&context, &place, &pod).await, None);
        for _ in 0..2 {
            assert_eq!(asked.last_words(&context, &place, &pod).await.as_deref(), Some("Error: no"));
        }
    }

    #[test]
    fn a_refusal_lies_in_what_is_refused_or_elsewhere() {
        let forbidden = "daemonsets.apps \"x\" is forbidden: User \"u\" cannot patch resource \"daemonsets\" in API group \"apps\" in the namespace \"datadog\"";
        for (code, message, lies) in [
            (422, "DaemonSet.apps \"x\" is invalid: spec.template.labels: Invalid value", true),
            (400, "unable to parse quantity's suffix", true),
            (400, "admission webhook \"w\" does not support dry run", false),
            (403, "admission webhook \"w\" denied the request: no host paths", true),
            (403, forbidden, false),
            (409, "conflict", false),
            (429, "too many requests", false),
            (500, "etcdserver: leader changed", false),
        ] {
            let status = k8s::Status::failure(message, "").with_code(code);
            assert_eq!(lies_in_it(&status), lies, "{code} {message}");
        }
    }
}
