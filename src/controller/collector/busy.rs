//! Whether opted-in pods on nodes that have no Collector send to it: looked at by a task of its own, one call at a time
//! and never more than one a second. Such nodes may be thousands, and nothing but a word to people depends on them.
//!
//! What is asked for is answered from the API server's memory, by the node: it is what kubelets ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::{OptIn, label};
use crate::config::Configuration;
use crate::controller::Context;
use crate::controller::pods::look;
use crate::controller::pods::metadata::{NamespaceSeen, PodSeen};
use crate::controller::pods::record::{Around, OwnLabel};
use crate::controller::pods::stream::Page;
use crate::coverage;
use crate::inject::rules::Case;
use crate::inject::{Namespace, Pod};
use crate::k8s::{self, ListParams};

/// What is to be looked at, and what was found.
#[derive(Debug)]
pub struct Busy {
    asked: watch::Sender<Option<Arc<Asked>>>,
    found: watch::Sender<BTreeSet<String>>,
}

/// Nodes, and by what it is told whether a pod is opted in.
#[derive(Debug)]
struct Asked {
    nodes: BTreeSet<String>,
    configuration: Configuration,
}

/// When each node was looked at last, and whether it had such pods.
#[derive(Debug, Default)]
struct Looks(BTreeMap<String, (Instant, bool)>);

/// What is next.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Node(String),
    /// All were looked at lately.
    At(Instant),
    /// There is no node.
    Never,
}

/// Calls of the API server at their pace, and what is known of its namespaces.
struct Calls<'c> {
    context: &'c Context,
    next: Instant,
    namespaces: Option<(Instant, Namespaces)>,
}

/// Those that are opted in, and others in which pods opt in themselves.
type Namespaces = BTreeMap<Box<str>, Around>;

/// Between two looks at a node.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Between two calls, however many nodes there are.
const BETWEEN: Duration = Duration::from_secs(1);
/// After one that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// What is known of namespaces is true for so long.
const TRUSTED: Duration = Duration::from_mins(1);
/// Namespaces of one answer.
const PAGE: u32 = 200;

// === impl Busy ===

impl Default for Busy {
    fn default() -> Self {
        Self { asked: watch::channel(None).0, found: watch::channel(BTreeSet::new()).0 }
    }
}

impl Busy {
    /// These are looked at from now on, and no others.
    pub fn ask(&self, nodes: BTreeSet<String>, configuration: &Configuration) {
        self.asked.send_if_modified(|asked| {
            let same = asked.as_ref().is_some_and(|asked| {
                asked.nodes == nodes && asked.configuration.revision() == configuration.revision()
            });
            if !same {
                *asked = Some(Arc::new(Asked { nodes, configuration: configuration.clone() }));
            }
            !same
        });
    }

    /// Which of them have opted-in pods, as far as they were looked at.
    #[must_use]
    pub fn found(&self) -> watch::Receiver<BTreeSet<String>> {
        self.found.subscribe()
    }

    /// Looks at one after the other. Never returns.
    pub async fn look(&self, context: &Context) {
        let mut asked = self.asked.subscribe();
        let mut looks = Looks::default();
        let mut calls = Calls { context, next: Instant::now(), namespaces: None };
        loop {
            let now = asked.borrow_and_update().clone();
            let nodes = now.as_ref().map(|asked| &asked.nodes);
            looks.keep_only(nodes);
            self.tell(&looks);
            let turn = looks.next(nodes, Instant::now());
            match (turn, now) {
                (Turn::Node(node), Some(now)) => {
                    let busy = calls.is_busy(&node, &now.configuration).await;
                    looks.note(node, busy, Instant::now());
                }
                (Turn::At(at), _) => {
                    calls.namespaces = None;
                    tokio::select! {
                        () = sleep_until(at) => {}
                        Ok(()) = asked.changed() => {}
                    }
                }
                (Turn::Node(_) | Turn::Never, _) => {
                    calls.namespaces = None;
                    // The sender is this one's own.
                    let _ = asked.changed().await;
                }
            }
        }
    }

    fn tell(&self, looks: &Looks) {
        let busy: BTreeSet<_> = looks.0.iter().filter(|(_, (_, busy))| *busy).map(|(node, _)| node.clone()).collect();
        self.found.send_if_modified(|found| {
            let changed = *found != busy;
            if changed {
                *found = busy;
            }
            changed
        });
    }
}

// === impl Looks ===

impl Looks {
    fn keep_only(&mut self, nodes: Option<&BTreeSet<String>>) {
        self.0.retain(|node, _| nodes.is_some_and(|nodes| nodes.contains(node)));
    }

    /// First those that never were looked at, then the one that was longest ago.
    fn next(&self, nodes: Option<&BTreeSet<String>>, now: Instant) -> Turn {
        let due = |node: &&String| self.0.get(*node).map(|(at, _)| *at + LOOK_EVERY);
        let Some(node) = nodes.into_iter().flatten().min_by_key(due) else { return Turn::Never };
        match due(&node).filter(|at| *at > now) {
            None => Turn::Node(node.clone()),
            Some(at) => Turn::At(at),
        }
    }

    /// One that can't be looked at is as it was.
    fn note(&mut self, node: String, busy: Option<bool>, now: Instant) {
        let before = self.0.get(&node).is_some_and(|(_, busy)| *busy);
        self.0.insert(node, (now, busy.unwrap_or(before)));
    }
}

// === impl Calls ===

impl Calls<'_> {
    async fn is_busy(&mut self, node: &str, configuration: &Configuration) -> Option<bool> {
        match self.look_at(node, configuration).await {
            Ok(busy) => Some(busy),
            Err(error) => {
                self.context.state.collector.failed(&error);
                self.next = Instant::now() + AFTER_FAILURE;
                None
            }
        }
    }

    /// A pod with the mark sends to the Collector; one without should, where its labels and its spec say so. Neither does
    /// where it is told another endpoint. The specs are only asked for where the metadata don't say no.
    async fn look_at(&mut self, node: &str, configuration: &Configuration) -> k8s::Result<bool> {
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node},status.phase=Running")).match_any();
        let text = self.list("/api/v1/pods", &on_node, Parts::Metadata).await?;
        let mut asked = Namespaces::new();
        for pod in page(&text)?.items {
            let Some((labels, namespace)) = Labels::of(pod.get(), configuration) else { continue };
            let around = match labels {
                Labels::AskIf => self.namespaces().await?.get(&namespace).filter(|around| opts_in(around)).cloned(),
                Labels::Marked | Labels::Ask => Some(self.around(&namespace).await?),
            };
            let Some(around) = around.filter(|around| is_of_collector(pod.get(), configuration, &namespace, around))
            else {
                continue;
            };
            if labels == Labels::Marked {
                return Ok(true);
            }
            asked.insert(namespace, around);
        }
        if asked.is_empty() {
            return Ok(false);
        }
        let unmarked = on_node.labels(&format!("!{}", label::CONFIG));
        let text = self.list("/api/v1/pods", &unmarked, Parts::All).await?;
        Ok(page(&text)?.items.iter().any(|pod| is_opted_in(pod.get(), configuration, &asked)))
    }

    /// A namespace that isn't opted in is asked for by its name.
    async fn around(&mut self, name: &str) -> k8s::Result<Around> {
        if let Some(around) = self.namespaces().await?.get(name) {
            return Ok(around.clone());
        }
        let params = ListParams::default().fields(&format!("metadata.name={name}")).match_any();
        let text = self.list("/api/v1/namespaces", &params, Parts::Metadata).await?;
        let mut seen = page(&text)?.items.into_iter().filter_map(|item| NamespaceSeen::read(item.get()));
        let around = seen.find(|seen| *seen.name == *name).map(|seen| seen.around).unwrap_or_default();
        if let Some((_, known)) = &mut self.namespaces {
            known.insert(name.into(), around.clone());
        }
        Ok(around)
    }

    async fn namespaces(&mut self) -> k8s::Result<&Namespaces> {
        let known = self.namespaces.take().filter(|(at, _)| at.elapsed() < TRUSTED);
        let known = match known {
            Some(known) => known,
            None => (Instant::now(), self.list_namespaces().await?),
        };
        Ok(&self.namespaces.insert(known).1)
    }

    async fn list_namespaces(&mut self) -> k8s::Result<Namespaces> {
        let opted_in = format!("{}={}", label::INJECT, OptIn::Enabled.as_str());
        let mut params = ListParams::default().labels(&opted_in).limit(PAGE);
        let mut namespaces = Namespaces::new();
        loop {
            let text = self.list("/api/v1/namespaces", &params, Parts::Metadata).await?;
            let page = page(&text)?;
            let seen = page.items.iter().filter_map(|item| NamespaceSeen::read(item.get()));
            namespaces.extend(seen.map(|seen| (seen.name, seen.around)));
            if page.metadata.r#continue.is_empty() {
                return Ok(namespaces);
            }
            params.continue_token = Some(page.metadata.r#continue);
        }
    }

    async fn list(&mut self, path: &str, params: &ListParams, parts: Parts) -> k8s::Result<String> {
        sleep_until(self.next).await;
        self.next = Instant::now() + BETWEEN;
        let request = k8s::Request::new(path);
        let request = match parts {
            Parts::Metadata => request.list_metadata(params),
            Parts::All => request.list(params),
        };
        k8s::in_time(self.context.client.request_text(request.map_err(k8s::Error::BuildRequest)?)).await
    }
}

/// What is asked for of each object.
enum Parts {
    Metadata,
    All,
}

fn page(text: &str) -> k8s::Result<Page<'_>> {
    serde_json::from_str(text).map_err(k8s::Error::SerdeError)
}

/// What a pod's metadata say of whether it is opted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Labels {
    Marked,
    /// The spec decides.
    Ask,
    /// The spec does, where the namespace is opted in.
    AskIf,
}

impl Labels {
    /// With the pod's namespace; `None` of one that isn't.
    fn of(json: &str, configuration: &Configuration) -> Option<(Self, Box<str>)> {
        let (seen, pod) = (PodSeen::read(json)?, Pod::from_json(json).ok()?);
        let labels = match seen.own {
            _ if pod.label(label::CONFIG).is_some() => Self::Marked,
            _ if seen.leaving || seen.is_barred(configuration) => return None,
            OwnLabel::Says(OptIn::Enabled) => Self::Ask,
            OwnLabel::Says(_) => return None,
            OwnLabel::Absent | OwnLabel::Invalid => Self::AskIf,
        };
        Some((labels, seen.namespace))
    }
}

fn opts_in(around: &Around) -> bool {
    around.own.opt_in() == Some(OptIn::Enabled)
}

/// Whether what it sends, if it does, is for the Collector.
fn is_of_collector(json: &str, configuration: &Configuration, namespace: &str, around: &Around) -> bool {
    let Ok(pod) = Pod::from_json(json) else { return false };
    let annotations = Some(&*around.annotations);
    let namespace = Namespace { name: Some(namespace), annotations, ..Namespace::default() };
    !coverage::sends_elsewhere(Case { pod: &pod, namespace: &namespace, configuration })
}

/// Whether it would be injected, had it been created now, and told the Collector's endpoint.
fn is_opted_in(json: &str, configuration: &Configuration, namespaces: &Namespaces) -> bool {
    let (Some(seen), Ok(pod)) = (PodSeen::read(json), Pod::from_json(json)) else { return false };
    let unknown = Around::default();
    let around = namespaces.get(&seen.namespace).unwrap_or(&unknown);
    !seen.leaving
        && !seen.is_barred(configuration)
        && look::injects(&pod, configuration, &seen.namespace, around, seen.created)
        && is_of_collector(json, configuration, &seen.namespace, around)
}

#[cfg(test)]
mod tests;
