//! Looking through a cluster for everything that is otelgate's.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _};

use crate::api::{label, object};
use crate::cli::cluster::Cluster;
use crate::cli::output::Complaint;
use crate::deploy::inventory::{Found, Kind, PASSING};
use crate::k8s::{
    Api, ApiGroup, ApiResource, Discovery, DynamicObject, Error, ListParams, Namespace, ResourceExt, Scope, verbs,
};

/// What to look through.
pub struct Scanner<'a> {
    cluster: &'a Cluster,
    /// otelgate's own, and those that `deploy` made: everything in them.
    namespaces: BTreeSet<String>,
    resources: Vec<(Kind, ApiResource)>,
}

/// Everything that was seen, and what couldn't be looked at.
#[derive(Default)]
pub struct Scan {
    pub seen: Vec<Found>,
    pub unseen: BTreeSet<String>,
}

/// How much to look at.
pub enum Depth<'a> {
    Everything,
    /// Kinds of which there was something before, and those that a program can still make.
    Kinds(&'a BTreeSet<String>),
}

/// Questions under way at a time.
const AT_A_TIME: usize = 8;

/// What is there of a kind, in a place, with a label.
struct Question<'a> {
    kind: &'a Kind,
    resource: &'a ApiResource,
    namespace: Option<&'a str>,
    selector: Option<String>,
}

impl<'a> Scanner<'a> {
    /// Asks what the API server serves, and which namespaces `deploy` made.
    ///
    /// # Errors
    /// When it can't be reached, or doesn't tell.
    pub async fn new(cluster: &'a Cluster, namespace: &str) -> Result<Self, Complaint> {
        let discovery = Discovery::new(cluster.client.clone()).run_aggregated().await;
        let discovery = discovery.map_err(|error| cluster.complaint(&error))?;
        let mut resources = Vec::new();
        for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
            let kind = Kind {
                group: resource.group.clone(),
                kind: resource.kind.clone(),
                plural: resource.plural.clone(),
                namespaced: capabilities.scope == Scope::Namespaced,
            };
            let removable =
                capabilities.supports_operation(verbs::LIST) && capabilities.supports_operation(verbs::DELETE);
            if removable && !PASSING.contains(&kind.kind.as_str()) {
                resources.push((kind, resource));
            }
        }
        let made = ListParams::default().labels(&by_deploy());
        let made = Api::<Namespace>::all(cluster.client.clone()).list_metadata(&made).await;
        let made = made.map_err(|error| cluster.complaint(&error))?;
        let namespaces = made.items.iter().map(ResourceExt::name_any).chain([namespace.to_owned()]).collect();
        Ok(Self { cluster, namespaces, resources })
    }

    /// # Errors
    /// When the API server can't be asked any more.
    pub async fn scan(&self, depth: Depth<'_>) -> Result<Scan, Complaint> {
        let wanted = |kind: &Kind| match depth {
            Depth::Everything => true,
            Depth::Kinds(kinds) => kinds.contains(&kind.kind),
        };
        let resources = self.resources.iter().filter(|(kind, _)| wanted(kind));
        let questions: Vec<Question<'_>> =
            resources.flat_map(|(kind, resource)| self.questions_about(kind, resource)).collect();
        let mut answers = stream::iter(questions)
            .map(async |question| {
                let answer = self.ask(&question).await;
                (question, answer)
            })
            .buffer_unordered(AT_A_TIME);
        let mut scan = Scan::default();
        while let Some((question, answer)) = answers.next().await {
            match answer {
                Ok(found) => scan.seen.extend(found),
                // Gone since it was discovered, or of a kind that isn't stored.
                Err(Error::Api(status)) if matches!(status.code, 404 | 405) => {}
                // A right that is missing, or somebody else's API that is broken: no reason to leave the rest.
                Err(Error::Api(status)) if status.code != 401 => {
                    scan.unseen.insert(question.told());
                }
                Err(error) => return Err(self.cluster.complaint(&error)),
            }
        }
        // An object that two questions brought up is one; groups may serve the same one under two names.
        scan.seen.sort_by(|a, b| (&a.uid, &a.kind).cmp(&(&b.uid, &b.kind)));
        scan.seen.dedup_by(|a, b| a.uid == b.uid);
        Ok(scan)
    }

    fn questions_about<'q>(&'q self, kind: &'q Kind, resource: &'q ApiResource) -> Vec<Question<'q>> {
        let question = |namespace, selector| Question { kind, resource, namespace, selector };
        let by_name = format!("{}={}", label::APP_NAME, object::APP);
        match kind.kind.as_str() {
            // Few, and known by their names.
            "CustomResourceDefinition" | "MutatingWebhookConfiguration" | "TelemetryStack" => {
                vec![question(None, None)]
            }
            "Namespace" => vec![question(None, Some(by_deploy()))],
            _ if !kind.namespaced => vec![question(None, Some(by_name))],
            kind => {
                let within = self.namespaces.iter().map(|namespace| question(Some(namespace), None));
                let secrets = (kind == "Secret").then(|| question(None, Some(by_deploy())));
                within.chain([question(None, Some(by_name))]).chain(secrets).collect()
            }
        }
    }

    /// Of what is found, only the metadata: what is in it is none of this command's business.
    async fn ask(&self, question: &Question<'_>) -> Result<Vec<Found>, Error> {
        let api = self.api(question.resource, question.namespace);
        let params = match &question.selector {
            Some(selector) => ListParams::default().labels(selector),
            None => ListParams::default(),
        };
        let list = api.list_metadata(&params).await?;
        Ok(list.items.iter().map(|seen| Found::new(question.kind, &seen.metadata)).collect())
    }

    fn api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.cluster.client.clone(), namespace, resource),
            None => Api::all_with(self.cluster.client.clone(), resource),
        }
    }

    /// The way to one of the objects that were found.
    #[must_use]
    pub fn api_of(&self, found: &Found) -> Option<Api<DynamicObject>> {
        let (_, resource) = self.resources.iter().find(|(kind, _)| *kind == found.kind)?;
        Some(self.api(resource, found.namespace.as_deref()))
    }
}

fn by_deploy() -> String {
    format!("{}={}", object::CREATED_BY, object::DEPLOY)
}

impl Question<'_> {
    fn told(&self) -> String {
        let Kind { plural, group, .. } = self.kind;
        let dot = if group.is_empty() { "" } else { "." };
        match self.namespace {
            Some(namespace) => format!("{plural}{dot}{group} in namespace {namespace}"),
            None => format!("{plural}{dot}{group} in the whole cluster"),
        }
    }
}
