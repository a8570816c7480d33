//! The real `otelgate webhook` in a control plane, registered by the manifests of `webhook-config/`.
//!
//! Tests share a control plane, so that several webhooks are registered in it: the manifests as they are, but for the
//! names, the certificate authority, and one more expression in each namespace selector.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::credentials::Subject;
use super::network::{ADDRESS, Process};
use super::plane::{ControlPlane, base64, sum_of};
use super::wait_for;

/// A namespace with this label is seen by the webhook that the value names, and by no other.
pub const SEEN_BY: &str = "cluster-test/webhook";

/// For an answer of a server that may be busy.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Webhook<'p> {
    pub plane: &'p ControlPlane,
    pub name: String,
    program: &'p Path,
    port: u16,
    configuration: PathBuf,
    kubeconfig: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// In place of the registration's own.
    pub timeout_seconds: Option<u32>,
    process: Mutex<Option<Process>>,
}

impl<'p> Webhook<'p> {
    /// Registers a webhook and runs it. `configuration` is the document that it serves.
    #[track_caller]
    pub fn start(plane: &'p ControlPlane, name: &str, program: &'p Path, configuration: &Value) -> Self {
        let webhook = Self::prepare(plane, name, program, configuration);
        webhook.run();
        webhook.register_at(webhook.port);
        webhook
    }

    /// All but running and registering it.
    #[track_caller]
    pub fn prepare(plane: &'p ControlPlane, name: &str, program: &'p Path, configuration: &Value) -> Self {
        // Two ports each, for the API server and for people.
        static PORT: AtomicU16 = AtomicU16::new(20_000);
        let port = PORT.fetch_add(2, Ordering::Relaxed);
        let folder = plane.network().folder();
        let service = format!("{name}.otelgate.svc");
        let credentials = plane.authority().issue(&Subject::Server { names: &[&service] }).expect("a certificate");
        credentials.write(folder, name).expect("a certificate's files");
        let path = folder.join(format!("{name}.yaml"));
        fs::write(&path, configuration.to_string()).expect("a configuration's file");
        plane.apply(&[manifests("namespace.yaml"), manifests("rbac.yaml")].concat());
        let kubeconfig = plane.kubeconfig_of("otelgate", "otelgate-webhook");
        let process = Mutex::new(None);
        let name = name.to_owned();
        let (configuration, arguments) = (path, Vec::new());
        Self { plane, name, program, port, configuration, kubeconfig, arguments, timeout_seconds: None, process }
    }

    /// Runs the program, and waits until it is ready.
    #[track_caller]
    pub fn run(&self) {
        let file = |end: &str| self.plane.network().folder().join(format!("{}.{end}", self.name)).display().to_string();
        let arguments = [
            "webhook".to_owned(),
            format!("--listen={ADDRESS}:{}", self.port),
            format!("--admin-listen={ADDRESS}:{}", self.port + 1),
            format!("--tls-cert={}", file("crt")),
            format!("--tls-key={}", file("key")),
            format!("--kubeconfig={}", self.kubeconfig.display()),
            "--log-format=json".to_owned(),
            "-c".to_owned(),
            self.configuration.display().to_string(),
        ];
        let arguments = arguments.iter().chain(&self.arguments);
        let process = self.plane.network().start(&self.name, self.program, arguments).expect("otelgate webhook");
        *self.process() = Some(process);
        wait_for("otelgate webhook to be ready", || {
            let ended = self.process().as_mut().is_none_or(Process::has_ended);
            assert!(!ended, "otelgate webhook ended: {}", self.log());
            self.plane.network().inside(|| http_get(self.port + 1, "/readyz")).map(|_| ())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.log()));
    }

    /// Registers it, called at a port of the network's address.
    #[track_caller]
    pub fn register_at(&self, port: u16) {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name, "namespace": "otelgate"},
            "spec": {"ports": [{"name": "webhook", "port": 443}]},
        });
        let mut registration = manifests("registration.yaml").remove(0);
        registration["metadata"]["name"] = json!(format!("otelgate-{}", self.name));
        for entry in registration["webhooks"].as_array_mut().expect("entries") {
            // The API server's metrics are by this name.
            let own = entry["name"].as_str().expect("a name").replacen('.', &format!(".{}.", self.name), 1);
            entry["name"] = json!(own);
            entry["clientConfig"]["caBundle"] = json!(base64(&self.plane.authority().pem()));
            entry["clientConfig"]["service"]["name"] = json!(self.name);
            if let Some(seconds) = self.timeout_seconds {
                entry["timeoutSeconds"] = json!(seconds);
            }
            let expressions = entry["namespaceSelector"]["matchExpressions"].as_array_mut().expect("expressions");
            expressions.push(json!({"key": SEEN_BY, "operator": "In", "values": [self.name]}));
        }
        self.plane.apply(&[vec![service, registration], endpoints(&self.name, port)].concat());
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with the configuration that it serves.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Makes a namespace whose pods this webhook sees.
    #[track_caller]
    pub fn make_namespace(&self, name: &str, opt_in: Option<&str>) {
        let labels = opt_in.map_or(json!({}), |value| json!({"otelgate.dev/inject": value}));
        self.plane.make_namespace(name, &labels, &json!({}));
        self.watch(name);
    }

    /// Lets this webhook see a namespace's pods, and waits until the API server acts on it: it learns of labels,
    /// registrations and endpoints by watching itself. Until a pod that says so itself comes back injected.
    #[track_caller]
    pub fn watch(&self, namespace: &str) {
        let label = format!("{SEEN_BY}={}", self.name);
        self.plane.kubectl(&["label", "--overwrite", "namespace", namespace, &label]).expect("kubectl label");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "seen", "namespace": namespace, "labels": {"otelgate.dev/inject": "enabled"}},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        })
        .to_string();
        wait_for("the API server to call the webhook", || {
            let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
            let created = self.plane.kubectl_with(&arguments, &pod).json("a pod");
            created["metadata"]["annotations"]["otelgate.dev/status"].is_string().then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.log()));
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process() {
            process.signal(signal);
        }
    }

    /// Ends it at once, connections and all.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    pub fn log(&self) -> String {
        self.process().as_ref().map(Process::log).unwrap_or_default()
    }

    /// A metric of its own: the sum of the series whose labels contain all of `labels`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let metrics = self.plane.network().inside(|| http_get(self.port + 1, "/metrics")).expect("metrics");
        sum_of(&metrics, name, labels)
    }

    /// Calls of this webhook that the API server gave up.
    pub fn failed_open(&self) -> u64 {
        self.plane.metric("apiserver_admission_webhook_fail_open_count", &[&format!(".{}.otelgate.dev", self.name)])
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Webhook<'_> {
    /// Takes the registration away: it would cost other tests a failed call for each pod.
    fn drop(&mut self) {
        let name = format!("otelgate-{}", self.name);
        self.plane.kubectl(&["delete", "--ignore-not-found", "mutatingwebhookconfiguration", &name]);
    }
}

/// The objects of a file in `webhook-config/`.
pub fn manifests(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What points a Service without a selector at a port of the network's address. Old versions of the API server look
/// for the first, new ones for the second.
pub fn endpoints(service: &str, port: u16) -> Vec<Value> {
    let ports = json!([{"name": "webhook", "port": port, "protocol": "TCP"}]);
    vec![
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": service, "namespace": "otelgate",
                         "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": ports}],
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": service, "namespace": "otelgate", "labels": {"kubernetes.io/service-name": service}},
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
            "ports": ports,
        }),
    ]
}

/// The body of an answer with status 200 of a plain HTTP server at the network's address.
pub fn http_get(port: u16, path: &str) -> Option<String> {
    http_get_from(ADDRESS.parse().expect("an address"), port, path)
}

/// The same of a server at another address of the network, which may not answer at all.
pub fn http_get_from(address: Ipv4Addr, port: u16, path: &str) -> Option<String> {
    http_get_within(HTTP_TIMEOUT, address, port, path)
}

/// The same for whoever waits no longer than that for the connection, and for each part of the answer.
pub fn http_get_within(patience: Duration, address: Ipv4Addr, port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&(address, port).into(), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    // A server of 1.0 ends with the connection, and has no chunks between the lines.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_whitespace().nth(1).is_some_and(|status| status == "200").then(|| body.to_owned())
}
