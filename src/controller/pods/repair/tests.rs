//! What becomes of a repair while it is switched off.

use std::sync::{Mutex, PoisonError};

use axum::http::{Method, Request, Response};
use serde_json::{Value, json};

use super::ledger::{Entry, Key, Ledger};
use super::*;
use crate::api::condition::{ConditionType, Holds};
use crate::api::stack::RepairPhase;
use crate::config::Configuration;
use crate::k8s::{Body, Client, OwnerReference};

fn web() -> Name {
    Name { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() }
}

/// One of its three pods was evicted, and its replacement isn't Ready.
fn answer(path: &str, hash: &str) -> Value {
    let pod = |name: &str, ready: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-02T12:00:00Z",
                "labels": {"pod-template-hash": "5d9"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "r", "controller": true}]},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    };
    match path {
        "/apis/apps/v1/namespaces/shop/deployments/web" => json!({
            "metadata": {"name": "web", "uid": "u"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
        }),
        "/api/v1/namespaces/shop/pods" => {
            json!({"metadata": {}, "items": [pod("a", "True"), pod("b", "True"), pod("c", "False")]})
        }
        "/api/v1/namespaces/otelgate/configmaps/otelgate-repair" => {
            let mut ledger = Ledger { hash: hash.to_owned(), evicted: 1, ..Ledger::default() };
            ledger.entries.insert(Key::of(&web(), "u"), Entry { left: 2, newest: 2_000_000_000, end: None });
            ledger.config_map("otelgate", &OwnerReference::default())
        }
        other => panic!("{other} is asked for"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_isnt_late_for_the_time_that_it_was_switched_off() {
    let configuration = Arc::new(Configuration::default());
    let hash = configuration.hash().to_owned();
    let changes = Arc::<Mutex<Vec<Method>>>::default();
    let seen = Arc::clone(&changes);
    let service = tower::service_fn(move |request: Request<Body>| {
        if *request.method() != Method::GET {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.method().clone());
        }
        let body = Body::from(answer(request.uri().path(), &hash).to_string().into_bytes());
        async move { Ok::<_, tower::BoxError>(Response::builder().status(200).body(body).expect("a response")) }
    });
    let context = Context::of_nothing(Client::new(service, "default"));
    let gates =
        [ConditionType::ConfigurationAccepted, ConditionType::CertificateReady, ConditionType::WebhookReachable];
    context.state.set_conditions(gates.into_iter().map(|gate| (gate, Holds::True)));
    let on = Arc::new(Targets {
        asked: Repair { missed: true, ..Repair::default() },
        in_force: Some(InForce { configuration, enabled_since: None }),
        workloads: vec![Target { workload: Arc::new(web()), around: super::super::record::Around::default() }],
    });
    let (targets, wanted) = watch::channel(Arc::clone(&on));
    let (told, mut status) = watch::channel(None);
    let task = tokio::spawn(run(context, wanted, told));
    let repairs = |status: &Option<RepairStatus>| status.as_ref().map(|one| one.phase) == Some(RepairPhase::Repairing);
    status.wait_for(repairs).await.expect("it runs");
    targets.send_replace(Arc::default());
    status.wait_for(Option::is_none).await.expect("it runs");
    sleep(Duration::from_hours(2)).await;
    targets.send_replace(on);
    status.wait_for(repairs).await.expect("it runs");
    sleep(10 * BETWEEN).await;
    let status = status.borrow().clone().expect("it is on");
    assert_eq!((status.phase, status.left), (RepairPhase::Repairing, Vec::new()));
    assert_eq!(*changes.lock().unwrap_or_else(PoisonError::into_inner), [] as [Method; 0]);
    task.abort();
}
