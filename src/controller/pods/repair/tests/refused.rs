//! Evictions that the API server refuses: asked for again, seldom, and nothing else waits for them.

use std::collections::BTreeMap;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::api::{OptIn, object};
use crate::controller::pods::record::{Around, OwnLabel};
use crate::controller::stack::Stack;

/// Of the configuration in force, and of the label.
const LONG_AGO: i64 = 1_000;
const BUDGET: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// Less than the pause between two looks at a workload that is left.
const SELDOM: Duration = Duration::from_secs(25);

/// Workloads of two pods each, both of which were missed.
#[derive(Default)]
struct Shop {
    hash: String,
    /// By name, which begins with that of the workload; whether it is missed.
    pods: BTreeMap<String, bool>,
    /// What is remembered, and how often that was written.
    map: Option<Value>,
    writes: usize,
    /// Evictions that were asked for.
    asked: Vec<Asked>,
    /// How many more evictions of a workload are refused, and with which status.
    refuses: BTreeMap<String, (u16, usize)>,
}

#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    pod: String,
    code: u16,
}

// === impl Shop ===

impl Shop {
    fn open(workload: &str) -> [(String, bool); 2] {
        [0, 1].map(|number| (format!("{workload}-{number}"), true))
    }

    fn answer(&mut self, request: &Request<Body>, body: &[u8]) -> (u16, Value) {
        let path = request.uri().path();
        let last = path.rsplit('/').next().unwrap_or_default();
        match (request.method(), path) {
            (&Method::GET, "/api/v1/namespaces/shop/pods") => {
                let query = request.uri().query().unwrap_or_default();
                let app = query.split('&').find_map(|part| part.strip_prefix("labelSelector=app%3D"));
                (200, self.list(app.expect("pods of one workload are asked for")))
            }
            (&Method::GET, _) if path.ends_with(object::REPAIR) => match &self.map {
                Some(map) => (200, map.clone()),
                None => (404, status(404, "")),
            },
            (&Method::GET, _) => (
                200,
                json!({"metadata": {"name": last, "uid": last},
                       "spec": {"replicas": 2, "selector": {"matchLabels": {"app": last}}}}),
            ),
            (&Method::PATCH, _) if path.ends_with(object::REPAIR) => {
                self.writes += 1;
                let mut map: Value = serde_json::from_slice(body).expect("JSON");
                map["metadata"]["resourceVersion"] = json!(self.writes.to_string());
                (200, self.map.insert(map).clone())
            }
            (&Method::POST, _) if last == "eviction" => {
                let pod = path.rsplit('/').nth(1).expect("a pod").to_owned();
                self.evict(pod)
            }
            other => panic!("{other:?} is asked for"),
        }
    }

    fn evict(&mut self, pod: String) -> (u16, Value) {
        let (workload, number) = pod.rsplit_once('-').expect("a number");
        let code = match self.refuses.get_mut(workload) {
            Some((code, times)) if *times > 0 => {
                *times -= 1;
                *code
            }
            _ => 201,
        };
        if code == 201 {
            let next = format!("{workload}-{number}x");
            self.pods.remove(&pod).expect("it is there");
            self.pods.insert(next, false);
        }
        self.asked.push(Asked { at: Instant::now(), pod, code });
        (code, status(code, BUDGET))
    }

    fn list(&self, app: &str) -> Value {
        let mark = json!({"version": "1", "config": self.hash}).to_string();
        let pod = |(name, missed): (&String, &bool)| {
            let (created, annotations) = if *missed {
                ("2026-11-02T12:00:00Z", json!({}))
            } else {
                ("2026-11-02T13:00:00Z", json!({"otelgate.dev/status": mark}))
            };
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-5d9"), "uid": "r", "controller": true});
            json!({
                "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created,
                    "labels": {"pod-template-hash": "5d9"}, "annotations": annotations, "ownerReferences": [owner]},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            })
        };
        let own = self.pods.iter().filter(|(name, _)| name.rsplit_once('-').is_some_and(|(of, _)| of == app));
        json!({"metadata": {}, "items": own.map(pod).collect::<Vec<_>>()})
    }
}

fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = if code < 300 { "Success" } else { "Failure" };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status, "message": message,
           "reason": reason, "code": code})
}

/// A repair of it that runs.
struct Running {
    shop: Arc<Mutex<Shop>>,
    targets: watch::Sender<Arc<Targets>>,
    told: watch::Receiver<Option<RepairStatus>>,
    task: JoinHandle<()>,
}

// === impl Running ===

impl Running {
    /// Of these workloads, whose evictions are refused so often with that.
    fn start<'w>(workloads: impl IntoIterator<Item = (&'w str, u16, usize)>) -> Self {
        let configuration = Arc::new(Configuration::default());
        let shop = Arc::new(Mutex::new(Shop { hash: configuration.hash().to_owned(), ..Shop::default() }));
        let there = Arc::clone(&shop);
        let service = tower::service_fn(move |request: Request<Body>| {
            let shop = Arc::clone(&there);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.expect("a body");
                let request = Request::from_parts(parts, Body::empty());
                let (code, answer) = shop.lock().unwrap_or_else(PoisonError::into_inner).answer(&request, &body);
                let response = Response::builder().status(code).header("retry-after", "1");
                Ok::<_, tower::BoxError>(
                    response.body(Body::from(answer.to_string().into_bytes())).expect("a response"),
                )
            }
        });
        let stack = Stack::new("u".to_owned(), 1, &json!({}));
        let stack = watch::channel(Some(Arc::new(stack))).1;
        let context = Context { stack, ..Context::of_nothing(Client::new(service, "default")) };
        for (gate, reason) in GATES {
            context.status.report(|reports| reports.say(gate, Verdict::new(reason, "", 1)));
        }
        let in_force = Some(InForce { configuration, enabled_since: Some(LONG_AGO) });
        let asked = Repair { missed: true, ..Repair::default() };
        let (targets, wanted) = watch::channel(Arc::new(Targets { asked, in_force, workloads: Vec::new() }));
        let (teller, told) = watch::channel(None);
        let task = tokio::spawn(run(context, wanted, teller));
        let running = Self { shop, targets, told, task };
        running.miss(workloads);
        running
    }

    fn miss<'w>(&self, workloads: impl IntoIterator<Item = (&'w str, u16, usize)>) {
        let around = Around { own: OwnLabel::Says(OptIn::Enabled), opted_in: Some(LONG_AGO), ..Around::default() };
        let mut targets = Targets::clone(&self.targets.borrow());
        for (name, code, times) in workloads {
            let workload = Name { namespace: "shop".into(), kind: "Deployment".into(), name: name.into() };
            targets.workloads.push(Target { workload: Arc::new(workload), around: around.clone() });
            self.with(|shop| {
                shop.pods.extend(Shop::open(name));
                shop.refuses.insert(name.to_owned(), (code, times));
            });
        }
        targets.workloads.sort_by(|one, other| one.workload.cmp(&other.workload));
        self.targets.send_replace(Arc::new(targets));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Shop) -> T) -> T {
        look(&mut self.shop.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn missed(&self, workload: &str) -> usize {
        self.with(|shop| shop.pods.iter().filter(|(name, missed)| name.starts_with(workload) && **missed).count())
    }

    fn asked(&self) -> Vec<Asked> {
        self.with(|shop| shop.asked.clone())
    }

    fn status(&self) -> RepairStatus {
        self.told.borrow().clone().expect("it is on")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_for_a_while_is_asked_seldom_and_then_obeys() {
    const TIMES: usize = 3;
    for (code, at_once) in [(500, 1), (429, 1), (403, 1), (409, 2), (404, 2)] {
        let running = Running::start([("web", code, TIMES)]);
        sleep(Duration::from_mins(4)).await;
        let asked = running.asked();
        let codes: Vec<_> = asked.iter().map(|one| one.code).collect();
        assert_eq!(codes, [code, code, code, 201, 201], "{asked:?}");
        let pairs: Vec<_> = asked.windows(2).map(|pair| (&pair[0], &pair[1])).collect();
        // Whether a pod has gone is looked at once more, in the next round.
        let soon = pairs.iter().filter(|(one, _)| one.code == code).filter(|(one, next)| next.at - one.at < SELDOM);
        assert_eq!(soon.count(), at_once - 1, "{asked:?}");
        assert!(pairs.iter().all(|(one, next)| next.at - one.at >= BETWEEN), "{asked:?}");
        assert_eq!((running.missed("web"), running.status().evicted), (0, 2), "{code}");
        // One for each eviction, and one for the end: nothing is written of what is refused again.
        assert_eq!(running.with(|shop| shop.writes), 3, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_budget_refuses_for_good_is_told_once_and_repaired_when_the_budget_lets_it() {
    let mut running = Running::start([("guarded", 429, usize::MAX)]);
    let left = vec![format!("shop/Deployment/guarded: the API server refused: {BUDGET}")];
    let expected = RepairStatus { left, ..RepairStatus::default() };
    running.told.wait_for(|told| told.as_ref() == Some(&expected)).await.expect("it runs");
    running.told.mark_unchanged();
    sleep(Duration::from_mins(10)).await;
    assert!(!running.told.has_changed().expect("it runs"), "{:?}", running.status());
    let asked = running.asked();
    assert!((10..=21).contains(&asked.len()), "{} times in 10 minutes", asked.len());
    assert!(asked.iter().all(|one| one.pod == "guarded-0" && one.code == 429), "{asked:?}");
    running.with(|shop| shop.refuses.clear());
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("guarded"), running.status().evicted), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_workloads_that_are_refused() {
    let names: Vec<_> = (0..150).map(|number| format!("guarded{number:03}")).collect();
    let running = Running::start(names.iter().map(|name| (name.as_str(), 429, usize::MAX)));
    sleep(Duration::from_mins(3)).await;
    running.miss([("web", 201, 0)]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((running.missed("web"), running.status().evicted), (0, 2));
    assert_eq!(running.missed("guarded"), 2 * names.len());
}
