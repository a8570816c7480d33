//! Watches what the Agent's verdict and objects depend on: one name each, and the pods by the DaemonSet's selector.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::observe::{self, DatadogAgent, Nodes, Pod, Replicas};
use super::token::Token;
use super::{DATADOG_AGENT, SETTLE};
use crate::api::object;
use crate::controller::Context;
use crate::k8s::{Api, DaemonSet, Deployment, DynamicObject, PartialObjectMeta, Secret, Service, watcher};
use crate::watch::{self as watching, Store};

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub namespace: String,
    pub daemon_set: String,
    /// None is looked for when empty.
    pub cluster_agent: String,
    /// The Secret with the API key.
    pub key: String,
    /// The Service that somebody else has to make for theirs.
    pub service: Option<String>,
    /// Whether there can be any `DatadogAgent`.
    pub served: bool,
}

/// `None` until it was looked for, then what was there.
type Found<T> = Option<Option<T>>;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub at: Option<Place>,
    pub nodes: Found<Nodes>,
    pub cluster_agent: Found<Replicas>,
    pub key_version: Found<String>,
    pub token: Found<Token>,
    /// Whether that Service is there.
    pub service: Option<bool>,
    pub datadog_agents: Option<Vec<DatadogAgent>>,
    pub pods: Arc<[Arc<Pod>]>,
}

// === impl Seen ===

impl Seen {
    /// The key's version that the Agents of now were made for.
    pub fn key_version_in_use(&self) -> Option<String> {
        let of_nodes = self.nodes.iter().flatten().find_map(|nodes| nodes.key_version.clone());
        of_nodes.or_else(|| self.datadog_agents.iter().flatten().find_map(|agent| agent.key_version.clone()))
    }
}

/// Looks wherever it is told to. Never returns.
pub(super) async fn run(context: Context, mut place: watch::Receiver<Option<Place>>, seen: watch::Sender<Seen>) {
    loop {
        let now = place.borrow_and_update().clone();
        seen.send_replace(Seen { at: now.clone(), ..Seen::default() });
        let state = &context.state;
        let of_secrets = [&state.agent_secrets, &state.cluster_agent_token];
        let of_others = [&state.agent_set, &state.cluster_agent, &state.agent_service, &state.datadog_agents];
        for health in of_others.into_iter().chain(of_secrets) {
            health.forget();
        }
        let mut watches = JoinSet::new();
        if let Some(now) = &now {
            watches.spawn(daemon_set(context.clone(), now.clone(), seen.clone()));
            watches.spawn(cluster_agent(context.clone(), now.clone(), seen.clone()));
            watches.spawn(key(context.clone(), now.clone(), seen.clone()));
            watches.spawn(token(context.clone(), now.clone(), seen.clone()));
            watches.spawn(service(context.clone(), now.clone(), seen.clone()));
            watches.spawn(datadog_agents(context.clone(), now.clone(), seen.clone()));
            watches.spawn(pods(context.clone(), now.clone(), seen.clone()));
        }
        // The sender lives as long as the leader's tasks do.
        if place.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn daemon_set(context: Context, place: Place, seen: watch::Sender<Seen>) {
    let api = Api::<DaemonSet>::namespaced(context.client, &place.namespace);
    watching::objects(api, watching::named(&place.daemon_set), &context.state.agent_set, |objects| {
        let nodes = Some(objects.get(&place.daemon_set).map(Nodes::of));
        seen.send_if_modified(|seen| std::mem::replace(&mut seen.nodes, nodes.clone()) != nodes);
    })
    .await;
}

async fn cluster_agent(context: Context, place: Place, seen: watch::Sender<Seen>) {
    if place.cluster_agent.is_empty() {
        seen.send_modify(|seen| seen.cluster_agent = Some(None));
        return;
    }
    let api = Api::<Deployment>::namespaced(context.client, &place.namespace);
    watching::objects(api, watching::named(&place.cluster_agent), &context.state.cluster_agent, |objects| {
        let replicas = Some(objects.get(&place.cluster_agent).map(Replicas::of));
        seen.send_if_modified(|seen| std::mem::replace(&mut seen.cluster_agent, replicas.clone()) != replicas);
    })
    .await;
}

async fn key(context: Context, place: Place, seen: watch::Sender<Seen>) {
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(context.client, &place.namespace);
    watching::objects(api, watching::named(&place.key), &context.state.agent_secrets, |objects| {
        let version = Some(objects.get(&place.key).and_then(|found| found.metadata.resource_version.clone()));
        seen.send_if_modified(|seen| std::mem::replace(&mut seen.key_version, version.clone()) != version);
    })
    .await;
}

async fn token(context: Context, place: Place, seen: watch::Sender<Seen>) {
    let api = Api::<PartialObjectMeta<Secret>>::namespaced(context.client, &place.namespace);
    watching::objects(api, watching::named(object::CLUSTER_AGENT), &context.state.cluster_agent_token, |objects| {
        let token = objects.get(object::CLUSTER_AGENT).map(Token::of);
        seen.send_if_modified(|seen| seen.token.replace(token.clone()) != Some(token));
    })
    .await;
}

async fn service(context: Context, place: Place, seen: watch::Sender<Seen>) {
    let Some(name) = &place.service else { return };
    let api = Api::<PartialObjectMeta<Service>>::namespaced(context.client, &place.namespace);
    watching::objects(api, watching::named(name), &context.state.agent_service, |objects| {
        let is_there = objects.contains_key(name.as_str());
        seen.send_if_modified(|seen| seen.service.replace(is_there) != Some(is_there));
    })
    .await;
}

async fn datadog_agents(context: Context, place: Place, seen: watch::Sender<Seen>) {
    if !place.served {
        seen.send_modify(|seen| seen.datadog_agents = Some(Vec::new()));
        return;
    }
    let api = Api::<DynamicObject>::namespaced_with(context.client, &place.namespace, &DATADOG_AGENT.resource());
    watching::objects(api, watcher::Config::default(), &context.state.datadog_agents, |objects| {
        let agents: Vec<_> = objects.values().map(DatadogAgent::of).collect();
        seen.send_if_modified(|seen| seen.datadog_agents.replace(agents.clone()) != Some(agents));
    })
    .await;
}

/// Those of the DaemonSet, as soon as it is known.
async fn pods(context: Context, place: Place, seen: watch::Sender<Seen>) {
    let api = Api::<observe::Read>::namespaced(context.client, &place.namespace);
    let cut = |pod| Arc::new(Pod::of(pod));
    let mut changes = seen.subscribe();
    loop {
        let selector_of = |seen: &Seen| seen.nodes.clone().flatten().map(|nodes| nodes.selector.query());
        let selector = selector_of(&changes.borrow_and_update());
        let another = async {
            if changes.wait_for(|seen| selector_of(seen) != selector).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let Some(selector) = selector.clone().filter(|selector| !selector.is_empty()) else {
            context.state.agent_pods.forget();
            seen.send_if_modified(|seen| !std::mem::take(&mut seen.pods).is_empty());
            another.await;
            continue;
        };
        let config = watcher::Config::default().labels(&selector);
        let (store, news) = (Store::default(), Notify::new());
        tokio::select! {
            () = watching::fill(api.clone(), config, &context.state.agent_pods, cut, &store, &news) => {}
            () = publish(&store, &news, &seen) => {}
            () = another => {}
        }
    }
}

/// Tells of all pods, and not for each that changes: there is one on every node. Never returns.
async fn publish(store: &Store<Arc<Pod>>, news: &Notify, seen: &watch::Sender<Seen>) {
    loop {
        news.notified().await;
        sleep(SETTLE).await;
        let pods = store.lock().iter().flat_map(|pods| pods.values()).filter(|pod| pod.counts()).cloned().collect();
        seen.send_modify(|seen| seen.pods = pods);
    }
}
