//! Datadog Agents that aren't otelgate's, wherever they run: seen by their pods, which the controller sees in every
//! namespace. Their label is that of Datadog's own installers; on pods of ours there is a mark beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::TRACES;
use crate::api::{label, object};
use crate::controller::Context;
use crate::controller::collector::WINDOWS;
use crate::controller::pods::stream::Page;
use crate::k8s::{self, Api, Client, ListParams, OwnerReference, Time};
use crate::watch::Pace;

/// What makes the pods of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other {
    pub namespace: String,
    pub kind: String,
    pub name: String,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// As long as none of ours is there.
    Everywhere,
    /// Ours is in this namespace, with a pod on every node: those aren't asked for.
    Beside(String),
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub search: Search,
    pub others: BTreeSet<Other>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

const PODS: &str = "/api/v1/pods";
/// What makes a pod for each node; the last two are Datadog's.
const MAKERS: [&str; 3] = ["DaemonSet", "ExtendedDaemonSet", "ExtendedDaemonSetReplicaSet"];
/// A pod that is there for so long after its time is on a node that doesn't answer, and nobody ends it.
const OVERDUE: SignedDuration = SignedDuration::from_mins(2);
/// As long as none of ours is there.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Beside ours, of which nothing but a word depends on it: where another has a pod on every node, the answer is large.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// Makers whose pods are looked at.
const MOST: usize = 10;

// === impl Other ===

impl Other {
    /// Whose pod it is; nobody's that counts, if it is ours or should have gone.
    fn of(pod: Pod, now: Timestamp) -> Option<Self> {
        let Metadata { name: _, namespace, deletion_timestamp, annotations, owner_references } = pod.metadata;
        let is_ours = TRACES.marks.iter().any(|mark| annotations.contains_key(*mark));
        let is_overdue = deletion_timestamp.is_some_and(|due| now.duration_since(due.0) >= OVERDUE);
        if is_ours || is_overdue {
            return None;
        }
        let maker = owner_references.into_iter().find(|owner| owner.controller == Some(true))?;
        let is_on_every_node = MAKERS.contains(&maker.kind.as_str());
        is_on_every_node.then_some(Self { namespace, kind: maker.kind, name: maker.name })
    }

    #[must_use]
    pub fn told(&self) -> String {
        let Self { namespace, kind, name } = self;
        format!("{kind} {name} in namespace {namespace}")
    }
}

// === impl Search ===

impl Search {
    /// Paths of pods, with the fields by which they are chosen.
    fn lists(&self) -> Vec<(String, Option<String>)> {
        match self {
            Self::Everywhere => vec![(PODS.to_owned(), None)],
            Self::Beside(namespace) => vec![
                (PODS.to_owned(), Some(format!("metadata.namespace!={namespace}"))),
                (
                    format!("/api/v1/namespaces/{namespace}/pods"),
                    Some(format!("spec.serviceAccountName!={}", object::AGENT)),
                ),
            ],
        }
    }

    /// Whether it is known by its name, which ours has there.
    fn is_ours(&self, other: &Other) -> bool {
        matches!(self, Self::Beside(namespace) if other.namespace == *namespace && other.name == object::AGENT)
    }

    fn again(&self) -> Duration {
        if *self == Self::Everywhere { LOOK_AGAIN } else { LOOK_EVERY }
    }
}

/// Looks wherever it is told to. Never returns.
pub(super) async fn run(
    context: Context,
    mut searches: watch::Receiver<Option<Search>>,
    found: watch::Sender<Option<Found>>,
) {
    let mut pace = Pace::default();
    loop {
        let search = searches.borrow_and_update().clone();
        let again = if let Some(search) = search {
            Some(look(&context, search, &mut pace, &found).await)
        } else {
            context.state.other_agents.forget();
            found.send_if_modified(|found| found.take().is_some());
            None
        };
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if searches.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            () = another => {}
        }
    }
}

/// Tells what was found, and when to look again.
async fn look(context: &Context, search: Search, pace: &mut Pace, found: &watch::Sender<Option<Found>>) -> Duration {
    let health = &context.state.other_agents;
    match find(&context.client, &search, Timestamp::now()).await {
        Ok(others) => {
            health.answered();
            let again = search.again();
            let now = Some(Found { search, others });
            found.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
            again
        }
        Err(error) => {
            health.failed(&error);
            pace.next().unwrap_or(LOOK_AGAIN)
        }
    }
}

/// Out of the API server's memory, as no index has these pods: where there is no such Agent, the answer is empty.
pub async fn find(client: &Client, search: &Search, now: Timestamp) -> k8s::Result<BTreeSet<Other>> {
    let labels = format!("{}=agent", label::AGENT_COMPONENT);
    let mut makers = BTreeMap::new();
    for (path, fields) in search.lists() {
        let mut params = ListParams::default().labels(&labels).match_any();
        params.field_selector = fields;
        let request = k8s::Request::new(path).list_metadata(&params).map_err(k8s::Error::BuildRequest)?;
        let text = k8s::in_time(client.request_text(request)).await?;
        makers.extend(read(&text, search, now).map_err(k8s::Error::SerdeError)?);
    }
    let mut others = BTreeSet::new();
    for (other, pod) in makers.into_iter().take(MOST) {
        if !Box::pin(is_for_windows(client, &other.namespace, &pod)).await? {
            others.insert(other);
        }
    }
    Ok(others)
}

/// Whether a pod is one for nodes that ours never runs on.
async fn is_for_windows(client: &Client, namespace: &str, pod: &str) -> k8s::Result<bool> {
    let named = ListParams::default().fields(&format!("metadata.name={pod}"));
    let found = k8s::in_time(Api::<k8s::Pod>::namespaced(client.clone(), namespace).list(&named)).await?;
    let spec = found.items.into_iter().find_map(|pod| pod.spec).unwrap_or_default();
    let (label, windows) = WINDOWS;
    let by_label = spec.node_selector.unwrap_or_default().remove(label);
    Ok([by_label, spec.os.map(|os| os.name)].into_iter().flatten().any(|os| os == windows))
}

/// Those whose pods are in an answer, each with the name of one.
pub(super) fn read(text: &str, search: &Search, now: Timestamp) -> serde_json::Result<BTreeMap<Other, String>> {
    let page: Page<'_> = serde_json::from_str(text)?;
    let mut others = BTreeMap::new();
    for item in page.items {
        let mut pod: Pod = serde_json::from_str(item.get())?;
        let name = std::mem::take(&mut pod.metadata.name);
        others.extend(Other::of(pod, now).filter(|other| !search.is_ours(other)).map(|other| (other, name)));
    }
    Ok(others)
}
