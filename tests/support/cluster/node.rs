//! A real node: kubelet, kube-proxy and containerd in a process and mount namespace of their own, as in a container that
//! plays a node. Killing its first process takes everything in it away, pods and mounts included.
//!
//! The first node is in the network of the control plane, the second in one of its own that is plugged into the first
//! one's bridge. Both give their pods addresses that the other knows the way to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::credentials::Subject;
use super::image;
use super::kubectl::Outcome;
use super::network::{Process, end_of};
use super::plane::ControlPlane;
use super::programs::{LEAVE_OUT, Programs};

const CNI: &str = "/usr/lib/cni";
/// What a node needs beside what `tests/programs/build` builds: where it is, and Debian's package.
const NEEDED: [(&str, &str); 6] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/conntrack", "conntrack"),
];
const PAUSE: &str = "local/pause:1";
/// Where its kubelet looks for pods of its own.
const STATIC: &str = "static";

/// In the node's own `/run`: a socket's path mustn't be long.
const SOCKET: &str = "/run/containerd.sock";

const FIRST: &str = r#"
set -e
ip route replace default via 10.88.0.1 dev br0
exec unshare --mount --pid --fork --kill-child --mount-proc sh "$@"
"#;

const SECOND: &str = r#"
set -e
ip link add node2 type veth peer name node2p
ip link set node2 master br0 up
ip route replace 10.244.2.0/24 via 10.88.0.2
network=$(readlink /proc/$$/ns/net)
(until [ "$(readlink /proc/$$/ns/net)" != "$network" ]; do sleep 0.01; done; ip link set node2p netns $$ name eth0) &
exec unshare --net --mount --pid --fork --kill-child --mount-proc sh -c '
  until ip link show eth0 >/dev/null 2>&1; do sleep 0.01; done
  ip link set lo up && ip address add 10.88.0.2/24 dev eth0 && ip link set eth0 up
  ip route add default via 10.88.0.1 && ip route add 10.244.1.0/24 via 10.88.0.1
  exec sh "$@"' sh "$@"
"#;

/// Own logs and state: two kubelets with one `/var/log/pods` delete each other's. kubelet gives up when it comes before
/// containerd's socket.
const INIT: &str = r#"
set -e
folder=$1 programs=$2 name=$3 address=$4
mount --make-rshared /
mkdir -p "$folder/log" "$folder/collector" /var/lib/cni /var/lib/otelgate
mount --bind "$folder/log" /var/log
mount --bind "$folder/collector" /var/lib/otelgate
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/cni
echo 1 >/proc/sys/net/ipv4/ip_forward
containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
until [ -S /run/containerd.sock ] && ctr --address /run/containerd.sock version >/dev/null 2>&1; do sleep 0.1; done
for image in "$folder"/images/*.tar; do ctr --address /run/containerd.sock --namespace k8s.io images import "$image"; done
"$programs/kube-proxy" --config "$folder/kube-proxy.json" >"$folder/kube-proxy.log" 2>&1 &
"$programs/kubelet" --config "$folder/kubelet.json" --kubeconfig "$folder.conf" --hostname-override "$name" \
  --node-ip "$address" --root-dir "$folder/kubelet" --cert-dir "$folder/kubelet" >"$folder/kubelet.log" 2>&1 &
wait
"#;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    First,
    Second,
}

pub struct Node<'p> {
    pub plane: &'p ControlPlane,
    pub name: &'static str,
    folder: PathBuf,
    process: Process,
}

impl<'p> Node<'p> {
    /// Adds a node to a cluster with a scheduler, with these images (archives of OCI's or Docker's), and waits until
    /// it's ready.
    ///
    /// # Errors
    /// When the machine lacks something: says what, and how to get it.
    pub fn join(plane: &'p ControlPlane, at: Place, images: &[&Path]) -> Result<Self, String> {
        if let Some((_, package)) = NEEDED.iter().find(|(path, _)| !Path::new(path).exists()) {
            return Err(format!("a node needs the Debian package {package}: install it. {LEAVE_OUT}"));
        }
        let programs = Programs::of(plane.version);
        let programs = programs.path("kubelet").and(programs.path("kube-proxy"))?;
        let programs = programs.parent().expect("a program is in a folder").to_owned();
        let folder = plane.network().folder().join(at.name());
        issue(plane, at, &folder)?;
        write(plane, at, &folder, images).map_err(|error| format!("{}: {error}", folder.display()))?;
        let script = match at {
            Place::First => FIRST,
            Place::Second => SECOND,
        };
        let init = folder.join("init");
        let arguments = [Path::new("-c"), Path::new(script), Path::new("sh"), &init, &folder, &programs]
            .into_iter()
            .chain([at.name(), at.address()].map(Path::new));
        let process = plane.network().start(at.name(), Path::new("sh"), arguments)?;
        let node = Self { plane, name: at.name(), folder, process };
        super::wait_for("a node to be ready", || {
            let what = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            (plane.kubectl(&["get", "node", node.name, "-o", what]).stdout == "True").then_some(())
        })
        .map_err(|error| format!("{error}: {}", node.last_words()))?;
        Ok(node)
    }

    /// Adds an image to those that it has.
    #[track_caller]
    pub fn import(&self, archive: &Path) {
        let mut command = self.inside("ctr");
        command.args(["--address", SOCKET, "--namespace", "k8s.io", "images", "import"]).arg(archive);
        Outcome::of(&mut command, "").expect("ctr images import");
    }

    /// Has the kubelet run a pod of its own, which the API server knows by its mirror.
    #[track_caller]
    pub fn run_static(&self, pod: &serde_json::Value) {
        let (name, folder) = (pod["metadata"]["name"].as_str().expect("a name"), self.folder.join(STATIC));
        // The kubelet leaves out names that begin with a dot.
        let (hidden, shown) = (folder.join(format!(".{name}")), folder.join(format!("{name}.json")));
        fs::write(&hidden, pod.to_string()).and_then(|()| fs::rename(&hidden, &shown)).expect("a manifest");
    }

    /// What containerd says of its images: a line for each with its name, and whether it is complete and unpacked.
    #[track_caller]
    pub fn images(&self) -> String {
        let mut command = self.inside("ctr");
        command.args(["--address", SOCKET, "--namespace", "k8s.io", "images", "check"]);
        Outcome::of(&mut command, "").expect("ctr images check")
    }

    /// A program of this machine, with the node's mounts and network.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", "--target", &self.process.id().to_string(), program]);
        command
    }

    /// The ends of its programs' logs.
    pub fn last_words(&self) -> String {
        let programs = ["containerd", "kubelet", "kube-proxy"].map(|name| {
            let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            format!("{name}: {}", end_of(&log, 8))
        });
        [vec![self.process.log()], programs.to_vec()].concat().join("\n")
    }
}

impl Place {
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "node-1",
            Self::Second => "node-2",
        }
    }

    pub const fn address(self) -> &'static str {
        match self {
            Self::First => "10.88.0.1",
            Self::Second => "10.88.0.2",
        }
    }

    const fn pods(self) -> &'static str {
        match self {
            Self::First => "10.244.1.0/24",
            Self::Second => "10.244.2.0/24",
        }
    }
}

/// Its certificates and kubeconfigs, and the image that every pod starts with.
fn issue(plane: &ControlPlane, at: Place, folder: &Path) -> Result<(), String> {
    let images = folder.join("images");
    fs::create_dir_all(&images).map_err(|error| format!("{}: {error}", images.display()))?;
    plane.kubeconfig_for(at.name(), &format!("system:node:{}", at.name()), Some("system:nodes"))?;
    plane.kubeconfig_for("kube-proxy", "system:kube-proxy", None)?;
    let server = plane.authority().issue(&Subject::Server { names: &[at.name(), at.address()] });
    let server = server.map_err(|error| format!("a certificate of {}: {error}", at.name()))?;
    server.write(folder, "server").map_err(|error| format!("{}: {error}", folder.display()))?;
    image::busybox(&images, PAUSE, &["/bin/busybox", "sleep", "1000000000"]).map(|_| ())
}

/// Everything else that its programs read.
fn write(plane: &ControlPlane, at: Place, folder: &Path, images: &[&Path]) -> std::io::Result<()> {
    let all = plane.network().folder();
    for part in ["cni", "kubelet", STATIC] {
        fs::create_dir_all(folder.join(part))?;
    }
    for (number, image) in images.iter().enumerate() {
        fs::copy(image, folder.join(format!("images/{number}.tar")))?;
    }
    fs::write(folder.join("init"), INIT)?;
    fs::write(folder.join("containerd.toml"), containerd(folder))?;
    fs::write(folder.join("cni/10-bridge.conflist"), network(at).to_string())?;
    fs::write(folder.join("kubelet.json"), kubelet(all, folder).to_string())?;
    let proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
        "hostnameOverride": at.name(), "clientConnection": {"kubeconfig": all.join("kube-proxy.conf")},
        // The machine's own limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    fs::write(folder.join("kube-proxy.json"), proxy.to_string())
}

fn containerd(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{PAUSE}"
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI}"
  conf_dir = "{folder}/cni"
"#
    )
}

fn network(at: Place) -> serde_json::Value {
    json!({"cniVersion": "1.0.0", "name": "bridge", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": at.pods()}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
}

/// Cgroups and memory are the machine's, which may be a container itself: nothing is reserved or enforced.
fn kubelet(all: &Path, folder: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs", "cgroupsPerQOS": false, "enforceNodeAllocatable": [], "failCgroupV1": false,
        "failSwapOn": false, "localStorageCapacityIsolation": false, "evictionHard": {"memory.available": "1Mi"}, "imageGCHighThresholdPercent": 100,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"), "volumePluginDir": folder.join("plugins"),
        "staticPodPath": folder.join(STATIC),
        "clusterDomain": "cluster.local", "clusterDNS": ["10.0.0.10"],
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
                           "x509": {"clientCAFile": all.join("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": folder.join("server.crt"), "tlsPrivateKeyFile": folder.join("server.key"),
    })
}
