//! A cluster with workloads of two pods each, and a repair of them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{Method, Request, Response};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::api::{OptIn, object};
use crate::config::Configuration;
use crate::controller::pods::record::{Around, OwnLabel};
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::k8s::{Body, Client};

pub const MISSED: Repair = Repair { missed: true, outdated: false, dry_run: false };
/// Of the configuration in force, and of the label.
const LONG_AGO: i64 = 1_000;
pub const BUDGET: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// For an evicted pod to go.
pub const GRACE: Duration = Duration::from_mins(1);

/// Workloads of two pods each, both of which were missed.
#[derive(Default)]
pub struct Shop {
    pub hash: String,
    /// By name, which begins with that of the workload; whether it is missed.
    pods: BTreeMap<String, bool>,
    /// What is remembered, and how often that was written.
    pub map: Option<Value>,
    pub writes: usize,
    /// What becomes of the next writes, before they succeed.
    pub unwritten: Vec<Unwritten>,
    /// Evictions that were asked for.
    pub asked: Vec<Asked>,
    /// How many more evictions of a workload are refused, and with which status.
    pub refuses: BTreeMap<String, (u16, usize)>,
    /// How evicted pods come back.
    pub back: Back,
    /// Whether they stay meanwhile, and those that do.
    pub stay: Stay,
    leaving: BTreeSet<String>,
    /// The Deployments are.
    pub paused: bool,
    /// How many more questions for a Deployment get no answer.
    pub unanswered: usize,
    /// How long a list of a workload's pods takes.
    pub takes: Duration,
    /// Lists of a workload's pods.
    pub looks: Vec<(Instant, String)>,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub enum Back {
    #[default]
    Ready,
    Starting,
    Crashing,
}

/// Where evicted pods stay until they are told to go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Stay {
    #[default]
    Nowhere,
    /// As a Deployment's.
    BesideTheNext,
    /// As a StatefulSet's.
    InPlaceOfTheNext,
}

/// A write that fails.
#[derive(Clone, Copy)]
pub enum Unwritten {
    Refused,
    /// It is done, and the answer is lost.
    Unanswered,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub pod: String,
    pub code: u16,
}

// === impl Shop ===

impl Shop {
    fn open(workload: &str) -> [(String, bool); 2] {
        [0, 1].map(|number| (format!("{workload}-{number}"), true))
    }

    /// With how long it takes.
    fn answer(&mut self, request: &Request<Body>, body: &[u8]) -> (u16, Value, Duration) {
        let is_list = request.uri().path().ends_with("/pods");
        let (code, answer) = self.answer_at_once(request, body);
        (code, answer, if is_list { self.takes } else { Duration::ZERO })
    }

    fn answer_at_once(&mut self, request: &Request<Body>, body: &[u8]) -> (u16, Value) {
        let path = request.uri().path();
        let last = path.rsplit('/').next().unwrap_or_default();
        match (request.method(), path) {
            (&Method::GET, "/api/v1/namespaces/shop/pods") => {
                let query = request.uri().query().unwrap_or_default();
                let app = query.split('&').find_map(|part| part.strip_prefix("labelSelector=app%3D"));
                let app = app.expect("pods of one workload are asked for");
                self.looks.push((Instant::now(), app.to_owned()));
                (200, self.list(app))
            }
            (&Method::GET, _) if path.ends_with(object::REPAIR) => match &self.map {
                Some(map) => (200, map.clone()),
                None => (404, status(404, "")),
            },
            (&Method::GET, _) if self.unanswered > 0 => {
                self.unanswered -= 1;
                (503, status(503, "not now"))
            }
            (&Method::GET, _) => (
                200,
                json!({"metadata": {"name": last, "uid": last},
                       "spec": {"replicas": 2, "paused": self.paused, "selector": {"matchLabels": {"app": last}}}}),
            ),
            (&Method::PATCH, _) if path.ends_with(object::REPAIR) => {
                self.write(serde_json::from_slice(body).expect("JSON"))
            }
            (&Method::POST, _) if last == "eviction" => {
                let pod = path.rsplit('/').nth(1).expect("a pod").to_owned();
                self.evict(pod)
            }
            other => panic!("{other:?} is asked for"),
        }
    }

    fn write(&mut self, mut map: Value) -> (u16, Value) {
        let version = |map: &Value| map["metadata"]["resourceVersion"].clone();
        let now = self.map.as_ref().map(version).unwrap_or_default();
        if version(&map) != Value::Null && version(&map) != now {
            return (409, status(409, "changed in between"));
        }
        let fails = self.unwritten.pop();
        if matches!(fails, Some(Unwritten::Refused)) {
            return (403, status(403, "no"));
        }
        self.writes += 1;
        map["metadata"]["resourceVersion"] = json!(self.writes.to_string());
        let map = self.map.insert(map).clone();
        if fails.is_some() { (504, status(504, "lost")) } else { (200, map) }
    }

    fn evict(&mut self, pod: String) -> (u16, Value) {
        let (workload, _) = pod.rsplit_once('-').expect("a number");
        let code = match self.refuses.get_mut(workload) {
            Some((code, times)) if *times > 0 => {
                *times -= 1;
                *code
            }
            _ => 201,
        };
        if code == 201 {
            self.pods.remove(&pod).expect("it is there");
            if self.stay != Stay::InPlaceOfTheNext {
                self.pods.insert(next(&pod), false);
            }
            if self.stay != Stay::Nowhere {
                self.leaving.insert(pod.clone());
            }
        }
        self.asked.push(Asked { at: Instant::now(), pod, code });
        (code, status(code, BUDGET))
    }

    /// Evicted pods go, and so do those that are evicted from now on.
    pub fn go(&mut self) {
        self.stay = Stay::Nowhere;
        self.pods.extend(mem::take(&mut self.leaving).iter().map(|pod| (next(pod), false)));
    }

    fn list(&self, app: &str) -> Value {
        let mark = json!({"version": "1", "config": self.hash}).to_string();
        let pod = |(name, missed): (&String, &bool)| {
            let (created, annotations, back) = if *missed {
                ("2026-11-02T12:00:00Z".to_owned(), json!({}), Back::Ready)
            } else {
                // They are evicted by their numbers.
                let number = name.rsplit('-').next().unwrap_or_default().trim_end_matches('x');
                (format!("2026-11-02T13:0{number}:00Z"), json!({"otelgate.dev/status": mark}), self.back)
            };
            let ready = if back == Back::Ready { "True" } else { "False" };
            let waiting = (back == Back::Crashing).then(|| json!({"waiting": {"reason": "CrashLoopBackOff"}}));
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-5d9"), "uid": "r", "controller": true});
            json!({
                "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created,
                    "labels": {"pod-template-hash": "5d9"}, "annotations": annotations, "ownerReferences": [owner]},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [{"state": waiting}]},
            })
        };
        let is_own = |name: &str| name.rsplit_once('-').is_some_and(|(of, _)| of == app);
        let leaving = self.leaving.iter().filter(|name| is_own(name)).map(|name| {
            let mut pod = pod((name, &true));
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-02T13:01:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(GRACE.as_secs());
            pod
        });
        let staying = self.pods.iter().filter(|(name, _)| is_own(name)).map(pod);
        json!({"metadata": {}, "items": staying.chain(leaving).collect::<Vec<_>>()})
    }
}

/// The name of what comes back for it.
fn next(pod: &str) -> String {
    format!("{pod}x")
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

fn lock(shop: &Mutex<Shop>) -> MutexGuard<'_, Shop> {
    shop.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn deployment(name: &str) -> Name {
    Name { namespace: "shop".into(), kind: "Deployment".into(), name: name.into() }
}

/// What is found of a gate that is open.
pub fn open(gate: ConditionType) -> Reason {
    if gate == ConditionType::WebhookReachable { Reason::Reachable } else { Reason::InForce }
}

/// A repair of it that runs.
pub struct Running {
    pub context: Context,
    shop: Arc<Mutex<Shop>>,
    pub targets: watch::Sender<Arc<Targets>>,
    pub told: watch::Receiver<Option<RepairStatus>>,
    task: JoinHandle<()>,
}

// === impl Running ===

impl Running {
    /// Of these workloads, whose evictions are refused so often with that.
    pub fn start<'w>(workloads: impl IntoIterator<Item = (&'w str, u16, usize)>) -> Self {
        let running = Self::of_nothing(MISSED);
        running.open_gates();
        running.miss(workloads);
        running
    }

    /// Nothing is missed yet, and nobody has looked at whether it would help.
    pub fn of_nothing(asked: Repair) -> Self {
        let configuration = Arc::new(Configuration::default());
        let shop = Arc::new(Mutex::new(Shop { hash: configuration.hash().to_owned(), ..Shop::default() }));
        let there = Arc::clone(&shop);
        let service = tower::service_fn(move |request: Request<Body>| {
            let shop = Arc::clone(&there);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.expect("a body");
                let request = Request::from_parts(parts, Body::empty());
                let (code, answer, takes) = lock(&shop).answer(&request, &body);
                sleep(takes).await;
                let response = Response::builder().status(code).header("retry-after", "1");
                Ok::<_, tower::BoxError>(
                    response.body(Body::from(answer.to_string().into_bytes())).expect("a response"),
                )
            }
        });
        let stack = Stack::new("u".to_owned(), 1, &json!({}));
        let stack = watch::channel(Some(Arc::new(stack))).1;
        let context = Context { stack, ..Context::of_nothing(Client::new(service, "default")) };
        let in_force = Some(InForce { configuration, enabled_since: Some(LONG_AGO) });
        let (targets, wanted) = watch::channel(Arc::new(Targets { asked, in_force, workloads: Vec::new() }));
        let (teller, told) = watch::channel(None);
        let task = tokio::spawn(run(context.clone(), wanted, teller));
        Self { context, shop, targets, told, task }
    }

    pub fn open_gates(&self) {
        for gate in GATES {
            self.find(*gate, open(*gate));
        }
    }

    pub fn find(&self, gate: ConditionType, reason: Reason) {
        self.context.status.report(|reports| reports.say(gate, Verdict::new(reason, "", 1)));
    }

    pub fn miss<'w>(&self, workloads: impl IntoIterator<Item = (&'w str, u16, usize)>) {
        let workloads = workloads.into_iter().map(|(name, code, times)| {
            self.with(|shop| {
                shop.pods.extend(Shop::open(name));
                shop.refuses.insert(name.to_owned(), (code, times));
            });
            deployment(name)
        });
        self.want(workloads);
    }

    pub fn want(&self, workloads: impl IntoIterator<Item = Name>) {
        let around = Around { own: OwnLabel::Says(OptIn::Enabled), opted_in: Some(LONG_AGO), ..Around::default() };
        let mut targets = Targets::clone(&self.targets.borrow());
        let target = |workload| Target { workload: Arc::new(workload), around: around.clone() };
        targets.workloads.extend(workloads.into_iter().map(target));
        targets.workloads.sort_by(|one, other| one.workload.cmp(&other.workload));
        self.targets.send_replace(Arc::new(targets));
    }

    /// Nothing lacks its mark any more.
    pub fn want_nothing(&self) {
        let targets = Targets { workloads: Vec::new(), ..Targets::clone(&self.targets.borrow()) };
        self.targets.send_replace(Arc::new(targets));
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Shop) -> T) -> T {
        look(&mut lock(&self.shop))
    }

    pub fn missed(&self, workload: &str) -> usize {
        self.with(|shop| shop.pods.iter().filter(|(name, missed)| name.starts_with(workload) && **missed).count())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.with(|shop| shop.asked.clone())
    }

    pub fn status(&self) -> RepairStatus {
        self.told.borrow().clone().expect("it is on")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
