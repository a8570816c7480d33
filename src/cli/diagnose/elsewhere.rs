//! Of Collectors and Agents: what should run, what does, what was tried, and what they say.
//!
//! There are as many as nodes. So of pods and logs only some are taken, those in trouble first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::collect::{Collection, End};
use crate::api::{label, object};
use crate::cli::fetch::{self, Part};
use crate::cli::logs::Source;
use crate::cli::telemetry::{self, Telemetry};
use crate::k8s::Pod;

/// Pods of each kind that are told of, and of these those whose logs are.
const PODS: usize = 50;
const LOGS: usize = 10;
const LOG: End = End { lines: 1_000, bytes: 1 << 20 };
/// Names of what is about them begin so, whatever is there.
const NAMES: [&str; 3] = [object::COLLECTOR, object::AGENT, object::CLUSTER_AGENT];

pub async fn all(collection: &mut Collection<'_>, telemetry: &Telemetry) {
    let mut names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    for (plural, about) in [
        ("daemonsets", "DaemonSets of Collectors and Agents, without the values of env"),
        ("deployments", "Deployments of Collectors and of the Cluster Agent, likewise"),
    ] {
        names.extend(collection.workloads(telemetry, plural, about).await);
    }
    collection.records(telemetry).await;
    let is_about = |name: &str| names.iter().any(|known| name.starts_with(known.as_str()));
    let (path, about) = ("telemetry/events.yaml", "events about Collectors and Agents");
    collection.events_about(path, about, &telemetry.namespace, is_about).await;
    for (source, path, about) in [
        (Source::collectors(telemetry), "telemetry/collectors.yaml", "the Collectors' pods"),
        (Source::agents(telemetry), "telemetry/agents.yaml", "the pods of Agents and Cluster Agent"),
    ] {
        let pods = collection.pods(&source, path, about).await;
        for pod in pods.iter().take(LOGS) {
            collection.logs_of(&source, pod, &LOG).await;
        }
    }
}

impl Collection<'_> {
    /// Those whose pods they are, and their names.
    async fn workloads(&mut self, telemetry: &Telemetry, plural: &str, about: &str) -> Vec<String> {
        let path = format!("telemetry/{plural}.yaml");
        let collection = format!("/apis/apps/v1/namespaces/{}/{plural}", telemetry.namespace);
        let mut workloads = self.list(&path, &collection, None).await;
        workloads.retain(|workload| {
            let labels = workload.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
            let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap_or_default();
            telemetry.is_collector(&labels) || telemetry::is_agent(&labels)
        });
        self.add_objects(&path, about, &workloads);
        let name = |workload: &Value| workload.pointer("/metadata/name")?.as_str().map(ToOwned::to_owned);
        workloads.iter().filter_map(name).collect()
    }

    /// What the controller has rolled out, and how trials ended: neither the configurations nor the pods, whose variables
    /// may be anything.
    async fn records(&mut self, telemetry: &Telemetry) {
        let path = "telemetry/revisions.yaml";
        let collection = format!("/api/v1/namespaces/{}/configmaps", telemetry.namespace);
        let labels = format!("{}=collector", label::PART);
        let records = self.list(path, &collection, Some(&labels)).await;
        self.add_objects(path, "revisions of the Collector, by name, and how their trials ended", &records);
    }

    /// Some of a source's pods, those in trouble first.
    async fn pods(&mut self, source: &Source, path: &str, about: &str) -> Vec<Value> {
        let (mut found, mut all) = (Vec::new(), 0_usize);
        let show = |pod: &Value| {
            all += 1;
            let Ok(read) = serde_json::from_value::<Pod>(pod.clone()) else { return };
            found.push((telemetry::urgency(&read), pod.clone()));
            if found.len() >= 4 * PODS {
                shorten(&mut found);
            }
        };
        let pods = fetch::pods(&source.namespace);
        if let Err(fault) = fetch::each(self.client, &pods, Part::Whole, source.params(), show).await {
            self.bundle.leave_out(path, fault);
        }
        shorten(&mut found);
        let found: Vec<Value> = found.into_iter().map(|(_, pod)| pod).collect();
        let about = if all > found.len() {
            format!("{about}: {} of {all}, those in trouble first", found.len())
        } else {
            about.to_owned()
        };
        self.add_objects(path, &about, &found);
        found
    }
}

fn shorten<R: Ord>(found: &mut Vec<(R, Value)>) {
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.truncate(PODS);
}
