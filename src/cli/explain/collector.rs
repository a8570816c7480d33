//! Whether anybody takes what a pod sends: the Collectors' Service leads to the one on the pod's own node, and to no other.

use serde::Deserialize as _;
use serde_json::Value;

use super::explanation::Why;
use super::running::{Record, Running, has_ended};
use crate::api::condition::Reason;
use crate::api::otel::var;
use crate::api::stack::Owner;
use crate::cli::fetch;
use crate::cli::logs::Source;
use crate::cli::telemetry::Telemetry;
use crate::coverage;
use crate::inject::rules::Case;
use crate::k8s::Client;
use crate::unavailable::Unavailable;

/// Where they are.
pub struct Collectors(Telemetry);

const NEXT: &str = "see condition CollectorAvailable: kubectl describe telemetrystack default";

// === impl Collectors ===

impl Collectors {
    /// `None` unless the controller says that they take OTLP.
    pub fn of(stack: &Value) -> Option<Self> {
        let takes_otlp = matches!(Owner::deserialize(&stack["status"]["owners"]["otlp"]), Ok(Owner::Collector));
        takes_otlp.then(|| Self(Telemetry::of(std::slice::from_ref(stack), None)))
    }

    /// Why a pod that was told their endpoint, and none elsewhere, sends for nothing.
    ///
    /// # Errors
    /// When those on its node may not be listed.
    pub async fn missed_by(
        &self,
        client: &Client,
        object: &Value,
        case: Case<'_>,
        running: &Running,
    ) -> Result<Option<Why>, Unavailable> {
        let has_endpoint = |record: &Record| record.containers.values().flatten().any(|name| name == var::ENDPOINT);
        let is_told = running.written.as_ref().is_some_and(has_endpoint) && !coverage::sends_elsewhere(case);
        let node = running.replica.node.as_ref().filter(|_| is_told && !has_ended(object));
        let Some(node) = node else { return Ok(None) };
        let mut source = Source::collectors(&self.0);
        source.node = Some(node.clone());
        let collectors = fetch::list(client, &fetch::pods(&source.namespace), source.params()).await?;
        Ok(verdict(&collectors, node))
    }
}

fn verdict(collectors: &[Value], node: &str) -> Option<Why> {
    let (reason, summary) = if collectors.is_empty() {
        (Reason::NodeWithoutCollector, format!("node {node} has no Collector, so that what this pod sends is lost"))
    } else if collectors.iter().any(is_ready) {
        return None;
    } else {
        let summary = format!("the Collector on node {node} isn't ready; until it is, what this pod sends is lost");
        (Reason::CollectorNotReady, summary)
    };
    Some(Why { code: reason.code(), summary: summary.into(), next_step: NEXT })
}

/// And isn't about to end.
fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut ready = conditions.filter(|one| one["type"] == "Ready" && one["status"] == "True");
    ready.next().is_some() && pod.pointer("/metadata/deletionTimestamp").is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::{Request, Response};
    use serde_json::json;

    use super::super::running::Replica;
    use super::*;
    use crate::api::annotation;
    use crate::config::Configuration;
    use crate::coverage::Coverage;
    use crate::inject::{Namespace, Pod};
    use crate::k8s::Body;

    fn collectors(otlp: &str) -> Option<Collectors> {
        let stack = json!({
            "metadata": {"name": "default"}, "spec": {"injection": {"collector": {"namespace": "monitoring"}}},
            "status": {"owners": {"otlp": otlp}},
        });
        Collectors::of(&stack)
    }

    /// A pod that was told something.
    fn running(node: Option<&str>, variable: &str) -> Running {
        let containers = BTreeMap::from([("app".to_owned(), vec![variable.to_owned()])]);
        let (version, configuration) = ("0.1.0".to_owned(), "b4b03f7b35c375e6".to_owned());
        let (labels, annotations, edited) = (Vec::new(), Vec::new(), Vec::new());
        Running {
            replica: Replica {
                name: "web".to_owned(),
                node: node.map(ToOwned::to_owned),
                created: None,
                coverage: Coverage::Injected,
            },
            written: Some(Record { version, configuration, containers, labels, annotations, edited }),
            collector: None,
            opted_in: None,
            enabled_since: None,
            left_alone_until: None,
        }
    }

    /// What is said of a pod, where the API server answers so about the Collectors of its node.
    async fn said(code: u16, answer: Value, running: &Running, phase: &str) -> Result<Option<String>, Unavailable> {
        said_of(&json!({"status": {"phase": phase}}), code, answer, running).await
    }

    async fn said_of(
        object: &Value,
        code: u16,
        answer: Value,
        running: &Running,
    ) -> Result<Option<String>, Unavailable> {
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = request.uri().to_string();
            assert!(asked.starts_with("/api/v1/namespaces/monitoring/pods?"), "{asked}");
            assert!(asked.contains("fieldSelector=spec.nodeName%3Dnode-7"), "{asked}");
            let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            async move { Ok::<_, tower::BoxError>(response.expect("a response")) }
        });
        let collectors = collectors("collector").expect("they take OTLP");
        let (json, namespace, configuration) = (object.to_string(), Namespace::default(), Configuration::default());
        let pod = Pod::from_json(&json).expect("a pod");
        let case = Case { pod: &pod, namespace: &namespace, configuration: &configuration };
        let why = collectors.missed_by(&Client::new(service, "default"), object, case, running).await?;
        Ok(why.map(|why| format!("{}: {}", why.code, why.summary)))
    }

    fn pod(ready: &str) -> Value {
        json!({"metadata": {"name": "c"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[tokio::test]
    async fn a_pod_whose_node_has_no_collector_sends_for_nothing() {
        let mut leaving = pod("True");
        leaving["metadata"]["deletionTimestamp"] = "2026-11-02T12:00:00Z".into();
        let none = Some("NodeWithoutCollector: node node-7 has no Collector, so that what this pod sends is lost");
        let unready = Some(
            "CollectorNotReady: the Collector on node node-7 isn't ready; until it is, what this pod sends is lost",
        );
        for (pods, expected) in [
            (vec![], none),
            (vec![pod("False")], unready),
            (vec![leaving.clone()], unready),
            (vec![leaving, pod("True")], None),
        ] {
            let answer = json!({"metadata": {}, "items": pods});
            let told = said(200, answer, &running(Some("node-7"), var::ENDPOINT), "Running").await;
            assert_eq!(told.expect("an answer").as_deref(), expected, "{pods:?}");
        }
    }

    #[tokio::test]
    async fn of_a_pod_that_sends_nothing_there_nobody_is_asked() {
        // Whoever asks fails.
        let fault = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500});
        for (node, variable, phase) in [
            (None, var::ENDPOINT, "Pending"),
            (Some("node-7"), var::SERVICE_NAME, "Running"),
            (Some("node-7"), var::ENDPOINT, "Succeeded"),
        ] {
            let told = said(500, fault.clone(), &running(node, variable), phase).await;
            assert_eq!(told, Ok(None), "{node:?} {variable} {phase}");
        }
        let told_it = running(Some("node-7"), var::ENDPOINT);
        let elsewhere = json!({"metadata": {"annotations": {annotation::ENDPOINT: "https://gateway.example:4318"}}});
        assert_eq!(said_of(&elsewhere, 500, fault.clone(), &told_it).await, Ok(None));
        assert!(said(500, fault, &told_it, "Running").await.is_err());
        assert!(collectors("agent").is_none() && collectors("").is_none(), "the Agent's are others");
    }
}
