//! Of Collectors and Agents: what should run, what does, what was tried, and what they say.
//!
//! There are as many as nodes. So of pods and logs only some are taken, those in trouble first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::collect::{Collection, End};
use super::redact;
use crate::api::{label, object};
use crate::cli::fetch::{self, Part};
use crate::cli::logs::Source;
use crate::cli::telemetry::{self, Telemetry};
use crate::controller::agent::DATADOG_AGENT;
use crate::k8s::{ListParams, Pod};
use crate::unavailable::Unavailable;

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
    collection.datadog_agents(telemetry).await;
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

    /// Where there is no Datadog Operator, none is missed.
    async fn datadog_agents(&mut self, telemetry: &Telemetry) {
        let path = "telemetry/datadogagents.yaml";
        let (version, plural) = (DATADOG_AGENT.api_version, DATADOG_AGENT.plural);
        let collection = format!("/apis/{version}/namespaces/{}/{plural}", telemetry.namespace);
        let (agents, about) = match fetch::list(self.client, &collection, ListParams::default()).await {
            Ok(agents) => (agents, "what the Datadog Operator makes Agents from, and what became of it"),
            Err(Unavailable::NotFound { .. }) => (Vec::new(), "DatadogAgent, which the API server doesn't serve"),
            Err(fault) => return self.bundle.leave_out(path, fault),
        };
        let mut keys = Vec::new();
        for agent in &agents {
            redact::keys(agent, &mut keys);
        }
        for key in keys {
            self.bundle.hide(key.as_bytes());
        }
        self.add_objects(path, about, &agents);
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

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};
    use serde_json::json;

    use super::super::bundle::Bundle;
    use super::super::redact::Words;
    use super::*;
    use crate::k8s::{Body, Client};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// All files, with an Agent's log that tells its key, where the API server answers so.
    async fn collected(code: u16, answer: Value) -> BTreeMap<String, String> {
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = "/apis/datadoghq.com/v2alpha1/namespaces/datadog/datadogagents";
            assert_eq!(request.uri().path(), asked);
            let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            async move { Ok::<_, tower::BoxError>(response.expect("a response")) }
        });
        let client = Client::new(service, "default");
        let (mut bundle, words) = (Bundle::default(), Words::default());
        let mut collection = Collection { client: &client, namespace: "otelgate", words: &words, bundle: &mut bundle };
        collection.datadog_agents(&Telemetry::of(&[], None)).await;
        bundle.add("logs/agent.log", "the last lines", format!("my key is {KEY}"));
        bundle.finished("a title").into_iter().collect()
    }

    fn failure(code: u16, message: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code})
    }

    #[tokio::test]
    async fn a_datadog_agent_is_there_with_its_status_and_its_key_is_nowhere() {
        let agent = json!({
            "metadata": {"name": "datadog"}, "spec": {"global": {"credentials": {"apiKey": KEY}}},
            "status": {"conditions": [{"type": "AgentReconcile", "reason": "reconcile_error"}]},
        });
        let files = collected(200, json!({"metadata": {}, "items": [agent]})).await;
        let told = &files["telemetry/datadogagents.yaml"];
        assert!(told.contains("apiKey: <redacted>") && told.contains("reason: reconcile_error"), "{told}");
        assert_eq!(files["logs/agent.log"], "my key is <redacted>");
    }

    #[tokio::test]
    async fn what_is_not_served_and_what_may_not_be_read_is_said() {
        let index = |files: BTreeMap<String, String>| files["INDEX.md"].clone();
        let unserved = index(collected(404, failure(404, "404 page not found")).await);
        let said = "- `telemetry/datadogagents.yaml`: DatadogAgent, which the API server doesn't serve: none\n";
        assert!(unserved.contains(said) && unserved.contains("- nothing of what is looked for\n"), "{unserved}");
        let message = "datadogagents.datadoghq.com is forbidden: User \"u\" cannot list resource \"datadogagents\" in API \
                       group \"datadoghq.com\" in the namespace \"datadog\"";
        let forbidden = index(collected(403, failure(403, message)).await);
        let said =
            "- telemetry/datadogagents.yaml: not allowed to list datadogagents.datadoghq.com in namespace datadog\n";
        assert!(forbidden.contains(said), "{forbidden}");
    }
}
