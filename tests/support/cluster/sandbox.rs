//! A container as a process of this machine: with a network, mounts, a root folder and a host name of its own, so that
//! it finds what it finds in a pod (its address, its mounted files, the API server in its environment) and nothing of
//! what the test's own shell has.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::network::{ADDRESS, Network, Process};

/// What a container is started with.
pub struct Container {
    /// The pod's: names the log too.
    pub name: String,
    pub namespace: String,
    pub address: Ipv4Addr,
    /// The program of this machine that stands for the image's.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// By their paths in the container.
    pub files: Vec<(String, Vec<u8>)>,
    /// Folders that are there though nothing is in them.
    pub folders: Vec<String>,
}

/// A cable to the bridge, whose end goes into the network that `unshare` makes for this very process. The hardware
/// address is the address's: a container that starts again must be found by those who still know the last one.
const OUTSIDE: &str = r#"
set -e
root=$1 address=$2 cable=$3 name=$4 program=$5 inside=$6; shift 6
ip link add "$cable" type veth peer name "${cable}p" address "$(printf 02:00:%02x:%02x:%02x:%02x $(echo "$address" | tr . ' '))"
ip link set "$cable" master br0 up
network=$(readlink /proc/$$/ns/net)
(until [ "$(readlink /proc/$$/ns/net)" != "$network" ]; do sleep 0.01; done; ip link set "${cable}p" netns $$ name eth0) &
exec unshare --net --mount --uts sh -c "$inside" sh "$root" "$address" "$name" "$program" "$@"
"#;

const INSIDE: &str = r#"
set -e
root=$1 address=$2 name=$3 program=$4; shift 4
until ip link show eth0 >/dev/null 2>&1; do sleep 0.01; done
ip link set lo up && ip address add "$address/24" dev eth0 && ip link set eth0 up && ip route add default via 10.88.0.1
echo "$name" >/proc/sys/kernel/hostname
for path in usr proc dev; do mkdir -p "$root/$path"; mount --rbind "/$path" "$root/$path"; done
for path in bin lib lib64; do ln -sfn "usr/$path" "$root/$path"; done
touch "$root/otelgate"; mount --bind "$program" "$root/otelgate"
exec chroot "$root" env -i "$@"
"#;

impl Container {
    /// # Errors
    /// When its files can't be written, or nothing can be started.
    pub fn start(&self, network: &Network) -> Result<Process, String> {
        static CABLE: AtomicU32 = AtomicU32::new(0);
        let root = network.folder().join("pods").join(&self.name);
        self.write(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let cable = format!("pod{}", CABLE.fetch_add(1, Ordering::Relaxed));
        let start = ["-c", OUTSIDE, "sh", text(&root), &self.address.to_string(), &cable, &self.name];
        let start = start.map(str::to_owned).into_iter().chain([text(&self.program).to_owned(), INSIDE.to_owned()]);
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let program = ["/otelgate".to_owned()];
        network.start(
            &self.name,
            Path::new("sh"),
            start.chain(environment).chain(program).chain(self.arguments.iter().cloned()),
        )
    }

    fn write(&self, root: &Path) -> std::io::Result<()> {
        let names = format!("127.0.0.1 localhost\n{} {}\n", self.address, self.name);
        for folder in ["/etc", "/tmp"].into_iter().chain(self.folders.iter().map(String::as_str)) {
            fs::create_dir_all(inside(root, folder))?;
        }
        fs::write(root.join("etc/hosts"), names)?;
        fs::write(root.join("etc/resolv.conf"), resolver(&self.namespace))?;
        for (path, content) in &self.files {
            let path = inside(root, path);
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(path, content)?;
        }
        Ok(())
    }
}

/// As kubelet writes it.
fn resolver(namespace: &str) -> String {
    format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {ADDRESS}\noptions ndots:5\n"
    )
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' folders have names in UTF-8")
}
