//! What a status is made from. Of pods, only counts are kept: there may be a hundred thousand.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use crate::api::{OptIn, label, object};
use crate::cli::fetch::{self, Part};
use crate::config::{self, CONFIG_MAP_KEY, Configuration};
use crate::coverage::{self, Changes, Coverage};
use crate::inject::rules::{Case, LeftOut};
use crate::inject::{Namespace, Pod, Workload, decide};
use crate::k8s::{Client, ListParams};
use crate::namespaces::is_read;
use crate::unavailable::Unavailable;

/// A cluster, as far as a status tells of it.
pub struct Observed {
    /// Otelgate's own.
    pub namespace: String,
    pub stacks: Result<Vec<Value>, Unavailable>,
    pub deployments: Result<Vec<Value>, Unavailable>,
    pub lease: Result<Option<Value>, Unavailable>,
    /// What the webhook goes by, or why that can't be told.
    pub configuration: Result<Configuration, Gap>,
    /// Opt-in labels by namespace, where there is one.
    pub namespaces: BTreeMap<String, OptIn>,
    pub tallies: BTreeMap<Owner, Tally>,
    pub gaps: Vec<Gap>,
}

/// Something that isn't known.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub what: String,
    pub next_step: String,
}

/// Whose pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    pub namespace: String,
    pub kind: String,
    pub name: String,
}

/// How many of its pods are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([usize; Coverage::ALL.len()]);

/// A namespace, as far as its pods' coverage depends on it.
#[derive(Default)]
struct Around {
    /// The label's value, as it is.
    opt_in: Option<String>,
    opted_in: Option<Timestamp>,
    left_out: Option<LeftOut>,
    /// Those that the engine reads; `None` of a namespace that isn't known.
    annotations: Option<Vec<(Box<str>, Box<str>)>>,
}

/// Lists of namespaces that are open at a time.
const AT_ONCE: usize = 8;
/// Pods that have ended are nobody's concern.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Looks at otelgate in one namespace, and at the pods of another or of all.
///
/// # Errors
/// When the cluster can't be reached; what may not be seen is a gap.
pub async fn observe(client: &Client, own: &str, only: Option<&str>) -> Result<Observed, Unavailable> {
    let (deployments, maps, leases) = (
        format!("/apis/apps/v1/namespaces/{own}/deployments"),
        format!("/api/v1/namespaces/{own}/configmaps"),
        format!("/apis/coordination.k8s.io/v1/namespaces/{own}/leases"),
    );
    let labelled = ListParams::default().labels(&format!("{}={}", label::APP_NAME, object::APP));
    let (stacks, deployments, map, lease, namespaces) = tokio::join!(
        Box::pin(fetch::list(client, fetch::STACKS, ListParams::default())),
        fetch::list(client, &deployments, labelled),
        fetch::object(client, &maps, object::INJECTION),
        fetch::object(client, &leases, object::CONTROLLER),
        Box::pin(namespaces(client, only)),
    );
    if let Err(fault) = &deployments
        && fault.is_of_connection()
    {
        return Err(fault.clone());
    }
    let stack = stacks.iter().flatten().find(|stack| stack["metadata"]["name"] == object::STACK);
    let enabled = fetch::enabled_since(stack, map.as_ref().ok());
    let left_alone = stack.map(coverage::left_alone).unwrap_or_default();
    let mut gaps = Vec::new();
    let around = namespaces.unwrap_or_else(|fault| {
        let next = format!("{}; or name a namespace of yours with -n", fault.next_step());
        gaps.push(Gap { what: format!("namespaces: {fault}"), next_step: next });
        BTreeMap::new()
    });
    let configuration = configuration(map, own);
    let tallies = match &configuration {
        Ok(configuration) => {
            let (around, now) = (&around, Timestamp::now());
            let counting = Counting { client, around, configuration, enabled, left_alone, only, now };
            counting.sum(&mut gaps).await
        }
        Err(gap) => {
            gaps.push(gap.clone());
            Tallies::new()
        }
    };
    let opt_ins =
        around.into_iter().filter_map(|(name, around)| Some((name, OptIn::parse(around.opt_in.as_deref()?)?)));
    Ok(Observed {
        namespace: own.to_owned(),
        stacks: or_none(stacks).map(Option::unwrap_or_default),
        deployments,
        lease: or_none(lease),
        configuration,
        namespaces: opt_ins.collect(),
        tallies,
        gaps,
    })
}

fn or_none<T>(answer: Result<T, Unavailable>) -> Result<Option<T>, Unavailable> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Unavailable::NotFound { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn configuration(map: Result<Value, Unavailable>, own: &str) -> Result<Configuration, Gap> {
    let name = format!("ConfigMap {} in namespace {own}", object::INJECTION);
    let map = map.map_err(|fault| Gap { what: format!("{name}: {fault}"), next_step: fault.next_step() })?;
    let text = map["data"][CONFIG_MAP_KEY].as_str().unwrap_or_default();
    config::parse(text).map_err(|error| Gap {
        what: format!("{name}: {error}"),
        next_step: "otelgate check tells what to do about it".to_owned(),
    })
}

/// Every namespace, or the one that was named: pods that opt in themselves may be in one without the label.
async fn namespaces(client: &Client, only: Option<&str>) -> Result<BTreeMap<String, Around>, Unavailable> {
    let mut found = BTreeMap::new();
    let mut note = |namespace: &Value| {
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        found.insert(name.to_owned(), Around::read(namespace));
    };
    if let Some(name) = only {
        note(&fetch::object(client, "/api/v1/namespaces", name).await?);
    } else {
        fetch::each(client, "/api/v1/namespaces", Part::Metadata, ListParams::default(), note).await?;
    }
    Ok(found)
}

// === impl Around ===

impl Around {
    fn read(namespace: &Value) -> Self {
        let metadata = &namespace["metadata"];
        let annotations = metadata["annotations"].as_object().into_iter().flatten().filter(|(key, _)| is_read(key));
        let annotations = annotations.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())));
        Self {
            opt_in: metadata["labels"][label::INJECT].as_str().map(ToOwned::to_owned),
            opted_in: coverage::label_written(namespace),
            left_out: LeftOut::by(|key| metadata["labels"][key].as_str()),
            annotations: Some(annotations.collect()),
        }
    }

    /// What the engine is told of it.
    fn view<'a>(&'a self, name: &'a str) -> Namespace<'a> {
        Namespace {
            name: Some(name),
            opt_in: self.opt_in.as_deref(),
            left_out: self.left_out,
            annotations: self.annotations.as_deref(),
        }
    }
}

type Tallies = BTreeMap<Owner, Tally>;

struct Counting<'a> {
    client: &'a Client,
    around: &'a BTreeMap<String, Around>,
    configuration: &'a Configuration,
    enabled: Option<Timestamp>,
    left_alone: BTreeMap<String, Timestamp>,
    only: Option<&'a str>,
    now: Timestamp,
}

impl Counting<'_> {
    async fn sum(&self, gaps: &mut Vec<Gap>) -> Tallies {
        let mut tallies = Tallies::new();
        for part in self.count().await {
            match part {
                Ok(part) => part.into_iter().for_each(|(owner, tally)| tallies.entry(owner).or_default().add(tally)),
                Err(fault) => {
                    let gap = Gap { what: format!("pods: {fault}"), next_step: fault.next_step() };
                    if !gaps.contains(&gap) {
                        gaps.push(gap);
                    }
                }
            }
        }
        tallies
    }

    /// Pods with the mark by their metadata, wherever they are; without it as a whole, where they should have it, and by
    /// their metadata where they are only observed.
    async fn count(&self) -> Vec<Result<Tallies, Unavailable>> {
        let opt_in = |around: &Around| around.opt_in.as_deref().and_then(OptIn::parse);
        let unmarked = self.around.iter().filter_map(|(name, around)| {
            let (part, labels) = match opt_in(around)? {
                OptIn::Enabled => (Part::Whole, format!("!{}", label::CONFIG)),
                OptIn::Observe => {
                    (Part::Metadata, format!("!{},{} notin (enabled,observe)", label::CONFIG, label::INJECT))
                }
                OptIn::Disabled => return None,
            };
            Some(async move { self.list(&fetch::pods(name), part, &labels, &|_| true).await })
        });
        let path = self.only.map_or_else(|| "/api/v1/pods".to_owned(), fetch::pods);
        let own = format!("{} in (enabled,observe),!{}", label::INJECT, label::CONFIG);
        // Those in namespaces that are enabled are counted already.
        let elsewhere = |name: &str| self.around.get(name).and_then(opt_in) != Some(OptIn::Enabled);
        let (marked, own, mut rest) = tokio::join!(
            self.list(&path, Part::Metadata, label::CONFIG, &|_| true),
            self.list(&path, Part::Whole, &own, &elsewhere),
            stream::iter(unmarked).buffer_unordered(AT_ONCE).collect::<Vec<_>>(),
        );
        rest.extend([marked, own]);
        rest
    }

    async fn list(
        &self,
        path: &str,
        part: Part,
        labels: &str,
        counts: &dyn Fn(&str) -> bool,
    ) -> Result<Tallies, Unavailable> {
        let params = ListParams::default().labels(labels).fields(RUNNING);
        let mut tallies = Tallies::new();
        let show = |object: &Value| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            if counts(namespace)
                && let Some((owner, coverage)) = self.pod(object, namespace)
            {
                tallies.entry(owner).or_default().count(coverage);
            }
        };
        fetch::each(self.client, path, part, params, show).await?;
        Ok(tallies)
    }

    fn pod(&self, object: &Value, name: &str) -> Option<(Owner, Coverage)> {
        let json = object.to_string();
        let pod = Pod::from_json(&json).ok()?;
        let unknown = Around::default();
        let around = self.around.get(name).unwrap_or(&unknown);
        let namespace = around.view(name);
        let created = object["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let at = created.unwrap_or(self.now);
        let case = Case { pod: &pod, namespace: &namespace, configuration: self.configuration };
        let coverage = Coverage::of_marked(case).unwrap_or_else(|| {
            let decision = decide(&pod, &namespace, self.configuration, at);
            let changes = Changes {
                opt_in: around.opted_in,
                namespace: namespace.opt_in.and_then(OptIn::parse),
                own: coverage::label_written(object),
                configuration: self.enabled,
                left_alone: self.left_alone.get(name).copied(),
            };
            Coverage::of(&pod, &decision, self.configuration.hash(), created, changes)
        });
        let workload = Workload::of(&pod, at);
        let own_name = || object["metadata"]["name"].as_str().unwrap_or_default();
        let owner = Owner {
            namespace: name.to_owned(),
            kind: workload.kind().into_owned(),
            name: workload.name().unwrap_or_else(own_name).to_owned(),
        };
        Some((owner, coverage))
    }
}

// === impl Tally ===

impl Tally {
    pub fn count(&mut self, coverage: Coverage) {
        self.0[Self::place(coverage)] += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    #[must_use]
    pub fn get(&self, coverage: Coverage) -> usize {
        self.0[Self::place(coverage)]
    }

    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    fn place(coverage: Coverage) -> usize {
        Coverage::ALL.iter().position(|one| *one == coverage).expect("ALL has all of them")
    }
}
