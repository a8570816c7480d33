//! A right that is taken away while all is well.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use super::steady::{Agent, pod, spec};
use super::{answer, client, daemon_set, silence, watches};
use crate::k8s;

/// A watch ends in its time, whatever became of the right to it.
fn ends() -> Body {
    let after = Duration::from_secs(u64::from(k8s::WATCH_FOR));
    Body::from_stream(stream::once(async move {
        sleep(after).await;
        Ok::<_, tower::BoxError>(String::new())
    }))
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_taken_away_is_told_and_so_is_that_it_is_back() {
    for (resource, what) in [("pods", "Pod of the Datadog Agent"), ("daemonsets", "DaemonSet of the Datadog Agent")] {
        let allowed = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&allowed);
        let there = Arc::new((daemon_set(1), pod()));
        let api_server = client(move |request| {
            let path = request.uri().path();
            // Others than the Agent's are looked for in the whole cluster.
            let is_it = path.contains("/namespaces/") && path.ends_with(resource);
            if is_it && !now.load(Relaxed) {
                let message = format!(
                    r#"{resource} is forbidden: User "u" cannot list resource "{resource}" in API group "" in the namespace "datadog""#
                );
                let answer = json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
                return (403, Body::from(answer.to_string()));
            }
            if is_it && watches(request) { (200, ends()) } else { answer(request, &there, silence) }
        });
        let mut agent = Agent::of(&spec(&json!({})), Value::Null, api_server);
        agent.until("AgentReady").await;
        allowed.store(false, Relaxed);
        agent.until(&format!("{what}: not allowed to list {resource} in namespace datadog")).await;
        allowed.store(true, Relaxed);
        agent.until("AgentReady").await;
    }
}
