//! etcd, kube-apiserver and, with the newest version, kube-controller-manager.

use std::fs;
use std::sync::OnceLock;

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::credentials::{Authority, Subject};
use super::kubectl::{Kubectl, Outcome};
use super::network::{ADDRESS, Network, Process};
use super::programs::{Programs, Version};
use super::wait_for;

const CONTROLLERS: &str = "kube-controller-manager";
const SERVER: &str = "https://127.0.0.1:6443";

pub struct ControlPlane {
    pub version: Version,
    kubectl: Kubectl,
    authority: Authority,
    // Before the network: fields are dropped in their order.
    processes: Vec<Process>,
    network: Network,
}

/// Which programs a control plane consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    ApiServer,
    WithControllers,
}

impl ControlPlane {
    /// The one that all tests of this process share; on the newest version with controllers, if they are there.
    ///
    /// # Panics
    /// When it can't be started: says what is missing.
    pub fn shared(version: Version) -> &'static Self {
        static NEWEST: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        static OLDEST: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        let (cell, parts) = match version {
            Version::Newest if Programs::of(version).path(CONTROLLERS).is_ok() => (&NEWEST, Parts::WithControllers),
            Version::Newest => (&NEWEST, Parts::ApiServer),
            Version::Oldest => (&OLDEST, Parts::ApiServer),
        };
        cell.get_or_init(|| Self::start(version, parts)).as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// # Errors
    /// When the machine lacks something: says what, and how to get it.
    pub fn start(version: Version, parts: Parts) -> Result<Self, String> {
        let programs = Programs::of(version);
        let (etcd, api_server) = (programs.path("etcd")?, programs.path("kube-apiserver")?);
        let kubectl = programs.path("kubectl")?;
        let controllers = match parts {
            Parts::ApiServer => None,
            Parts::WithControllers => Some(programs.path(CONTROLLERS)?),
        };
        let network = Network::new()?;
        let authority = Authority::new().map_err(|error| format!("a certificate authority: {error}"))?;
        let kubectl = Kubectl { program: kubectl, kubeconfig: network.folder().join("admin.conf") };
        let mut plane = Self { version, kubectl, authority, processes: Vec::new(), network };
        plane.write_credentials()?;
        let folder = plane.network.folder().display().to_string();
        plane.run(
            "etcd",
            &etcd,
            &format!(
                "--data-dir={folder}/etcd --unsafe-no-fsync --log-level=warn
             --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379
             --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380
             --initial-cluster=default=http://127.0.0.1:2380"
            ),
        )?;
        // Aggregator routing: webhooks are called at their endpoints, without kube-proxy.
        plane.run(
            "kube-apiserver",
            &api_server,
            &format!(
                "--etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address=127.0.0.1
             --tls-cert-file={folder}/apiserver.crt --tls-private-key-file={folder}/apiserver.key
             --client-ca-file={folder}/ca.crt --service-cluster-ip-range=10.0.0.0/24
             --service-account-key-file={folder}/accounts.pub --service-account-signing-key-file={folder}/accounts.key
             --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC
             --enable-admission-plugins=NodeRestriction --allow-privileged=true
             --enable-aggregator-routing=true --endpoint-reconciler-type=none
             --advertise-address={ADDRESS}"
            ),
        )?;
        wait_for("kube-apiserver to be ready", || {
            let ended = plane.processes.iter_mut().any(Process::has_ended);
            (ended || plane.kubectl(&["get", "--raw=/readyz"]).success).then_some(ended)
        })
        .and_then(|ended| if ended { Err("a program ended".to_owned()) } else { Ok(()) })
        .map_err(|error| format!("{error}: {}", plane.last_words()))?;
        if let Some(controllers) = controllers {
            plane.run(
                CONTROLLERS,
                &controllers,
                &format!(
                    "--kubeconfig={folder}/controllers.conf --service-account-private-key-file={folder}/accounts.key
                 --root-ca-file={folder}/ca.crt --use-service-account-credentials=true --leader-elect=false"
                ),
            )?;
        }
        Ok(plane)
    }

    /// The ids of its processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Process::id).chain([self.network.holder()])
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Outcome {
        self.kubectl_with(arguments, "")
    }

    /// kubectl, with something to read: `-f -`.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Outcome {
        self.kubectl.run(&self.network, arguments, input)
    }

    /// The way to kubectl, for scripts: its folder and the kubeconfig.
    pub fn kubectl_environment(&self) -> (&std::path::Path, &std::path::Path) {
        (self.kubectl.program.parent().expect("it is in a folder"), &self.kubectl.kubeconfig)
    }

    /// Applies objects, which have to be accepted.
    #[track_caller]
    pub fn apply(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list.to_string())
            .expect("kubectl apply");
    }

    /// One object, as the API server has it.
    #[track_caller]
    pub fn get(&self, namespace: &str, object: &str) -> Value {
        self.kubectl(&["get", "-n", namespace, object, "-o", "json"]).json(object)
    }

    /// A metric of the API server's: the sum of the series whose labels contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        sum_of(&self.kubectl(&["get", "--raw=/metrics"]).expect("metrics of the API server"), name, labels)
    }

    /// Makes a namespace in which pods can be created: with its `ServiceAccount`, which elsewhere a controller makes.
    #[track_caller]
    pub fn make_namespace(&self, name: &str, labels: &Value, annotations: &Value) {
        self.apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": name, "labels": labels, "annotations": annotations}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}),
        ]);
    }

    /// A kubeconfig for a `ServiceAccount`, with the rights that RBAC gives it and no more.
    #[track_caller]
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> std::path::PathBuf {
        let token = self.kubectl(&["create", "token", "-n", namespace, account]).expect("a token");
        let path = self.network.folder().join(format!("{account}.conf"));
        fs::write(&path, kubeconfig(&self.authority.pem(), &json!({"token": token.trim()}))).expect("a kubeconfig");
        path
    }

    fn run(&mut self, name: &str, program: &std::path::Path, arguments: &str) -> Result<(), String> {
        self.processes.push(self.network.start(name, program, arguments.split_whitespace())?);
        Ok(())
    }

    fn write_credentials(&self) -> Result<(), String> {
        let folder = self.network.folder();
        let certificate = |error: rcgen::Error| format!("a certificate: {error}");
        let written = |error: std::io::Error| format!("{}: {error}", folder.display());
        let names = ["127.0.0.1", "10.0.0.1", ADDRESS, "localhost", "kubernetes.default.svc"];
        fs::write(folder.join("ca.crt"), self.authority.pem()).map_err(written)?;
        let server = self.authority.issue(&Subject::Server { names: &names }).map_err(certificate)?;
        server.write(folder, "apiserver").map_err(written)?;
        let accounts = KeyPair::generate().map_err(certificate)?;
        fs::write(folder.join("accounts.key"), accounts.serialize_pem()).map_err(written)?;
        fs::write(folder.join("accounts.pub"), accounts.public_key_pem()).map_err(written)?;
        for (file, name, group) in [
            ("admin.conf", "admin", Some("system:masters")),
            ("controllers.conf", "system:kube-controller-manager", None),
        ] {
            let user = self.authority.issue(&Subject::User { name, group }).map_err(certificate)?;
            let user = json!({
                "client-certificate-data": base64(&user.certificate),
                "client-key-data": base64(&user.key),
            });
            fs::write(folder.join(file), kubeconfig(&self.authority.pem(), &user)).map_err(written)?;
        }
        Ok(())
    }

    /// The ends of the programs' logs, for a start that failed.
    fn last_words(&self) -> String {
        let tail = |log: String| log.lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>();
        self.processes.iter().flat_map(|process| tail(process.log())).collect::<Vec<_>>().join("\n")
    }
}

/// Of a text in Prometheus' format: the sum of the series of that name whose labels contain all of `labels`; counts only.
pub fn sum_of(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let series = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let of_name = series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        (of_name && labels.iter().all(|label| series.contains(label))).then(|| value.parse::<u64>().ok())?
    };
    metrics.lines().filter_map(series).sum()
}

pub fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// A kubeconfig is YAML, of which JSON is a part.
fn kubeconfig(authority: &str, user: &Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": SERVER, "certificate-authority-data": base64(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
    .to_string()
}
