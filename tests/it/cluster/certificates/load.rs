//! Pods that are created one after the other through the API server, and handshakes with every replica as the API server
//! makes them. Each that fails is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::control_plane::{ControlPlane, wait_for};

/// The pods' namespace, which is opted in.
pub const SHOP: &str = "shop";
const PAUSE: Duration = Duration::from_millis(40);

pub struct Load<'p> {
    plane: &'p ControlPlane,
    shared: Arc<Shared>,
    failed_open: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    paused: AtomicBool,
    /// Nothing is on its way.
    rests: AtomicBool,
    made: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl<'p> Load<'p> {
    /// Into a namespace that is there.
    pub fn start(plane: &'p ControlPlane) -> Self {
        let shared = Arc::<Shared>::default();
        let (_, kubeconfig) = plane.kubectl_environment();
        let (kubeconfig, with) = (kubeconfig.to_owned(), Arc::clone(&shared));
        let thread = plane.network().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
                let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
                create(Client::try_from(config.expect("a kubeconfig")).expect("a client"), &with).await;
            });
        });
        Self { plane, shared, failed_open: failed_open(plane), thread: Some(thread) }
    }

    pub fn made(&self) -> usize {
        self.shared.made.load(Relaxed)
    }

    /// While what is done may cost calls.
    pub fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
        wait_for("the load to rest", || self.shared.rests.load(Relaxed).then_some(())).expect("a rest");
        self.check();
    }

    pub fn resume(&mut self) {
        self.failed_open = failed_open(self.plane);
        self.shared.paused.store(false, Relaxed);
    }

    /// Not one call has failed, and there were some.
    #[track_caller]
    pub fn check(&self) {
        let faults = self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(faults.is_empty(), "of {} pods {}: {:#?}", self.made(), faults.len(), &faults[..faults.len().min(5)]);
        assert_eq!(failed_open(self.plane), self.failed_open, "calls that the API server gave up");
    }

    /// Until that many more pods were created.
    #[track_caller]
    pub fn wait_for(&self, more: usize) {
        let before = self.made();
        wait_for("pods to be created", || (self.made() >= before + more).then_some(())).expect("a load");
        self.check();
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn failed_open(plane: &ControlPlane) -> u64 {
    plane.metric("apiserver_admission_webhook_fail_open_count", &[".otelgate.dev"])
}

async fn create(client: Client, shared: &Shared) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods = Api::<DynamicObject>::namespaced_with(client, SHOP, &kind);
    // Nobody has to run it.
    let pod = DynamicObject::new("", &kind).data(json!({
        "spec": {"schedulerName": "nobody", "containers": [{"name": "app", "image": "shop/app:1"}]},
    }));
    while !shared.stop.load(Relaxed) {
        if shared.paused.load(Relaxed) {
            shared.rests.store(true, Relaxed);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        shared.rests.store(false, Relaxed);
        let mut pod = pod.clone();
        pod.metadata.generate_name = Some("app-".to_owned());
        pod.metadata.name = None;
        let fault = match pods.create(&PostParams::default(), &pod).await {
            Ok(made) if made.metadata.annotations.as_ref().is_some_and(|it| it.contains_key("otelgate.dev/status")) => {
                None
            }
            Ok(_) => Some("not injected".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        shared.made.fetch_add(1, Relaxed);
        if let Some(fault) = fault {
            let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.push(format!("{} {fault}", Timestamp::now()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
