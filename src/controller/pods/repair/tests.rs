//! What becomes of a repair while it is switched off, while nobody has looked whether it helps, and where it is refused.

use std::sync::{Mutex, PoisonError};

use axum::http::{Method, Request, Response};
use serde_json::{Value, json};

use super::ledger::{Entry, Key, Ledger};
use super::*;
use crate::api::condition::{ConditionType, Reason};
use crate::api::stack::RepairPhase;
use crate::config::Configuration;
use crate::controller::status::Verdict;
use crate::k8s::{Body, Client, OwnerReference};

mod refused;

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

/// That takes a repair, of which all that is changed is noted.
struct Cluster {
    context: Context,
    changes: Arc<Mutex<Vec<Method>>>,
    on: Arc<Targets>,
}

impl Cluster {
    fn new() -> Self {
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
        let on = Arc::new(Targets {
            asked: Repair { missed: true, ..Repair::default() },
            in_force: Some(InForce { configuration, enabled_since: None }),
            workloads: vec![Target { workload: Arc::new(web()), around: super::super::record::Around::default() }],
        });
        Self { context: Context::of_nothing(Client::new(service, "default")), changes, on }
    }

    fn find(&self, gate: ConditionType, reason: Reason) {
        self.context.status.report(|reports| reports.say(gate, Verdict::new(reason, "", 1)));
    }

    fn changes(&self) -> Vec<Method> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const GATES: [(ConditionType, Reason); 3] = [
    (ConditionType::ConfigurationAccepted, Reason::InForce),
    (ConditionType::CertificateReady, Reason::InForce),
    (ConditionType::WebhookReachable, Reason::Reachable),
];

fn repairs(status: Option<&RepairStatus>) -> bool {
    status.is_some_and(|one| one.phase == RepairPhase::Repairing)
}

/// The status has them for true, and the webhook may have gone with the leader that said so.
#[tokio::test(start_paused = true)]
async fn what_the_leader_before_has_found_lets_nobody_evict() {
    let cluster = Cluster::new();
    cluster.context.state.set_conditions(GATES.into_iter().map(|(gate, _)| (gate, Reason::AsConfigured)));
    let (_targets, wanted) = watch::channel(Arc::clone(&cluster.on));
    let (told, mut status) = watch::channel(None);
    let task = tokio::spawn(run(cluster.context.clone(), wanted, told));
    let waits = |what: String| {
        move |status: &Option<RepairStatus>| {
            let message = status.as_ref().filter(|one| one.phase == RepairPhase::Waiting)?.message.as_ref()?;
            (*message == format!("{what}, so that evicted pods might be missed again")).then_some(())
        }
    };
    for (gate, reason) in GATES {
        let waits = waits(format!("{gate} hasn't been looked at yet"));
        status.wait_for(|status| waits(status).is_some()).await.expect("it runs");
        cluster.find(gate, reason);
    }
    status.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    cluster.find(ConditionType::WebhookReachable, Reason::NotReached);
    let waits = waits("WebhookReachable isn't true".to_owned());
    status.wait_for(|status| waits(status).is_some()).await.expect("it runs");
    assert_eq!(cluster.changes(), [] as [Method; 0]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_isnt_late_for_the_time_that_it_was_switched_off() {
    let cluster = Cluster::new();
    for (gate, reason) in GATES {
        cluster.find(gate, reason);
    }
    let (targets, wanted) = watch::channel(Arc::clone(&cluster.on));
    let (told, mut status) = watch::channel(None);
    let task = tokio::spawn(run(cluster.context.clone(), wanted, told));
    status.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    targets.send_replace(Arc::default());
    status.wait_for(Option::is_none).await.expect("it runs");
    sleep(Duration::from_hours(2)).await;
    targets.send_replace(Arc::clone(&cluster.on));
    status.wait_for(|status| repairs(status.as_ref())).await.expect("it runs");
    sleep(10 * BETWEEN).await;
    let status = status.borrow().clone().expect("it is on");
    assert_eq!((status.phase, status.left), (RepairPhase::Repairing, Vec::new()));
    assert_eq!(cluster.changes(), [] as [Method; 0]);
    task.abort();
}
