//! etcd, kube-apiserver and, with the newest version, kube-controller-manager and kube-scheduler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::audit;
use super::credentials::{Authority, Subject};
use super::kubectl::{Kubectl, Outcome};
use super::network::{ADDRESS, Network, Process};
use super::programs::{Helm, Programs, Version};
use super::wait_for;

const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
/// Where the API server listens, at each address of the network.
pub const PORT: u16 = 6443;

pub struct ControlPlane {
    pub version: Version,
    kubectl: Kubectl,
    authority: Authority,
    // Before the network: fields are dropped in their order.
    processes: Vec<Process>,
    network: Arc<Network>,
}

/// Which programs a control plane consists of: each has what those before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parts {
    ApiServer,
    WithControllers,
    /// With a scheduler, and an audit log of what the API server was asked: for what is installed in it.
    Whole,
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
        let only_from = |least, program| (parts >= least).then(|| programs.path(program)).transpose();
        let controllers = only_from(Parts::WithControllers, CONTROLLERS)?;
        let scheduler = only_from(Parts::Whole, SCHEDULER)?;
        let network = Arc::new(Network::new()?);
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
        // Pods reach the API server through the Service that it keeps itself, where there can be pods.
        let further = match parts {
            Parts::Whole => audit::enable(plane.network.folder())?,
            Parts::ApiServer | Parts::WithControllers => "--endpoint-reconciler-type=none".to_owned(),
        };
        // Aggregator routing: webhooks are called at their endpoints, without kube-proxy.
        plane.run(
            "kube-apiserver",
            &api_server,
            &format!(
                "--etcd-servers=http://127.0.0.1:2379 --secure-port={PORT} --bind-address=0.0.0.0
             --tls-cert-file={folder}/apiserver.crt --tls-private-key-file={folder}/apiserver.key
             --client-ca-file={folder}/ca.crt --service-cluster-ip-range=10.0.0.0/24
             --service-account-key-file={folder}/accounts.pub --service-account-signing-key-file={folder}/accounts.key
             --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC
             --enable-admission-plugins=NodeRestriction --allow-privileged=true
             --enable-aggregator-routing=true
             --advertise-address={ADDRESS} --kubelet-preferred-address-types=InternalIP
             --kubelet-certificate-authority={folder}/ca.crt
             --kubelet-client-certificate={folder}/admin.crt --kubelet-client-key={folder}/admin.key {further}"
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
                 --root-ca-file={folder}/ca.crt --use-service-account-credentials=true --leader-elect=false
                 --node-monitor-grace-period=24h"
                ),
            )?;
        }
        if let Some(scheduler) = scheduler {
            plane.run(
                SCHEDULER,
                &scheduler,
                &format!("--kubeconfig={folder}/scheduler.conf --leader-elect=false --bind-address=127.0.0.1"),
            )?;
        }
        Ok(plane)
    }

    /// The ids of its processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Process::id).chain([self.network.holder()])
    }

    pub fn network(&self) -> &Arc<Network> {
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

    /// Runs a program that finds the cluster in its environment, as a person's shell has it: `KUBECONFIG`, kubectl in
    /// the search path, and folders of its own for what kubectl and Helm keep.
    pub fn tool(&self, program: &Path, path: &[&Path], arguments: &[&str], input: &str) -> Outcome {
        let home = self.network.folder().join("home");
        let mut path: Vec<PathBuf> = path.iter().map(|&folder| folder.to_owned()).collect();
        path.extend(self.kubectl.program.parent().map(Path::to_owned));
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubectl.kubeconfig).env("HOME", &home);
        command.env("PATH", std::env::join_paths(path).expect("no folder of theirs has a colon in its name"));
        for (name, folder) in [
            ("KUBECACHEDIR", "kube"),
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(name, home.join(folder));
        }
        self.network.inside(|| Outcome::of(&mut command, input))
    }

    /// # Panics
    /// When that version isn't there: says how to get it.
    #[track_caller]
    pub fn helm(&self, version: Helm, arguments: &[&str]) -> Outcome {
        self.tool(&version.path().unwrap_or_else(|error| panic!("{error}")), &[], arguments, "")
    }

    /// What the API server was asked so far, by others than its own parts: in a plane with [`Parts::Whole`].
    #[track_caller]
    pub fn audit(&self) -> Vec<audit::Entry> {
        audit::read(self.network.folder())
    }

    /// The way to kubectl, for scripts: its folder and the kubeconfig.
    pub fn kubectl_environment(&self) -> (&Path, &Path) {
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

    /// Waits until the API server serves a definition's kind. `kubectl wait` gives up on one that has no condition yet.
    #[track_caller]
    pub fn wait_until_served(&self, definition: &str) {
        let is_established = || {
            let found = self.kubectl(&["get", "crd", definition, "-o", "json"]);
            let definition: Value = serde_json::from_str(&found.stdout).unwrap_or_default();
            let conditions = definition["status"]["conditions"].as_array()?;
            let established = |one: &Value| one["type"] == "Established" && one["status"] == "True";
            conditions.iter().any(established).then_some(())
        };
        wait_for("the API server to serve a kind", is_established)
            .unwrap_or_else(|error| panic!("{definition}: {error}"));
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
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", "--duration=24h", "-n", namespace, account]).expect("a token");
        let path = self.network.folder().join(format!("{namespace}.{account}.conf"));
        // Another test's process may be reading it at this moment.
        let fresh = path.with_extension(format!("{:?}", std::thread::current().id()));
        fs::write(&fresh, kubeconfig(&self.authority.pem(), &json!({"token": token.trim()}))).expect("a kubeconfig");
        fs::rename(&fresh, &path).expect("a kubeconfig in its place");
        path
    }

    /// A kubeconfig for a user with a certificate, which is written beside it: `<file>.conf`, `.crt`, `.key`.
    ///
    /// # Errors
    /// When a certificate can't be made or written.
    pub fn kubeconfig_for(&self, file: &str, name: &str, group: Option<&str>) -> Result<PathBuf, String> {
        let folder = self.network.folder();
        let user = self.authority.issue(&Subject::User { name, group });
        let user = user.map_err(|error| format!("a certificate for {name}: {error}"))?;
        let content = kubeconfig(
            &self.authority.pem(),
            &json!({"client-certificate-data": base64(&user.certificate), "client-key-data": base64(&user.key)}),
        );
        let path = folder.join(format!("{file}.conf"));
        user.write(folder, file)
            .and_then(|()| fs::write(&path, content))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    fn run(&mut self, name: &str, program: &Path, arguments: &str) -> Result<(), String> {
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
        self.kubeconfig_for("admin", "admin", Some("system:masters"))?;
        self.kubeconfig_for("controllers", "system:kube-controller-manager", None)?;
        self.kubeconfig_for("scheduler", "system:kube-scheduler", None)?;
        Ok(())
    }

    /// The ends of the programs' logs, for a start that failed.
    fn last_words(&self) -> String {
        self.processes.iter().map(Process::last_words).collect::<Vec<_>>().join("\n")
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
    let server = format!("https://{ADDRESS}:{PORT}");
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": base64(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
    .to_string()
}
