//! A network of a control plane's own, and the processes in it.
//!
//! The namespace has no name and belongs to a shell, which also removes the working folder once nobody is left at the
//! other end of its standard input. The programs are started by one thread that lives as long as the process, and ask
//! the kernel to be killed when it goes: a thread of a test's own would be gone too early. So nothing is left behind
//! by a test that panics, nor by a run that is killed, and nothing has to be run at exit.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::{io, process, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::programs::LEAVE_OUT;

/// An address in the network that isn't loopback: the API server refuses loopback as an endpoint.
pub const ADDRESS: &str = "10.88.0.1";

const HOLD: &str = r#"
ip link set lo up && ip link add br0 type bridge && ip addr add 10.88.0.1/24 dev br0 && ip link set br0 up || exit
echo ready
cat >/dev/null
groups_of_containers() { # that a node ran: the groups can go when the node's processes have
  for task in "$1"/node-*/containerd/io.containerd.runtime.v2.task/k8s.io/*; do
    for group in /sys/fs/cgroup/k8s.io/"${task##*/}" /sys/fs/cgroup/*/k8s.io/"${task##*/}"; do
      [ ! -d "$group" ] || rmdir "$group" || return
    done
  done
}
for _ in 1 2 3 4 5 6 7 8 9 10; do groups_of_containers "$1" 2>/dev/null && rm -rf "$1" 2>/dev/null && exit; sleep 0.2; done
rm -rf "$1"
"#;

pub struct Network {
    holder: Child,
    namespace: File,
    folder: PathBuf,
    starts: Mutex<mpsc::Sender<Start>>,
}

/// A program to start, and where its handle goes.
struct Start {
    command: Command,
    started: mpsc::SyncSender<io::Result<Child>>,
}

/// A process that is killed when it's dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

// === impl Network ===

impl Network {
    /// # Errors
    /// When the machine doesn't allow it: says what is missing.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err(format!("a network namespace needs root: run the tests with sudo. {LEAVE_OUT}"));
        }
        let folder = working_folder().map_err(|error| format!("no working folder for a control plane: {error}"))?;
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", HOLD, "sh"])
            .arg(&folder)
            // A group of its own: Ctrl-C must not end it before it has removed the folder.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started("unshare", &error))?;
        let mut ready = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut ready).map_err(|error| format!("unshare: {error}"))?;
        if ready.is_empty() {
            let output = holder.wait_with_output().map_err(|error| format!("unshare: {error}"))?;
            return Err(format!(
                "no network namespace of its own could be made: {}; it takes root, `ip` (package iproute2) and a \
                 kernel with bridges. {LEAVE_OUT}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        let path = format!("/proc/{}/ns/net", holder.id());
        let namespace = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        let starts = Mutex::new(starter(&namespace)?);
        Ok(Self { holder, namespace, folder, starts })
    }

    /// For certificates, data and logs; removed with the network.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The id of the process that holds the namespace.
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// Runs something in the network, sockets and child processes included.
    pub fn inside<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&self.namespace).expect("the namespace exists as long as its holder");
                run()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a thread in the network.
    pub fn spawn(&self, run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
        let namespace = self.namespace.try_clone().expect("a descriptor can be duplicated");
        thread::spawn(move || {
            enter(&namespace).expect("the namespace exists as long as a thread is in it");
            run();
        })
    }

    /// Starts a program that runs until it's dropped, or until this process ends. Its output goes to `<name>.log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Process, String> {
        let log = self.folder.join(format!("{name}.log"));
        let failed = |error: io::Error| format!("{}: {error}", log.display());
        let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments).process_group(0).stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(failed)?).stderr(output);
        let (started, child) = mpsc::sync_channel(1);
        let starts = self.starts.lock().expect("no holder of this lock panics");
        starts.send(Start { command, started }).expect("the thread lives as long as its sender");
        let child = child.recv().expect("each start is answered").map_err(|error| not_started("setpriv", &error))?;
        Ok(Process { child, log })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn not_started(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{program} is missing; it is in the package util-linux. {LEAVE_OUT}"),
        _ => format!("{program} can't be started: {error}"),
    }
}

/// The thread that starts programs.
fn starter(namespace: &File) -> Result<mpsc::Sender<Start>, String> {
    let namespace = namespace.try_clone().map_err(|error| format!("a network namespace: {error}"))?;
    let (sender, starts) = mpsc::channel::<Start>();
    thread::Builder::new()
        .name("cluster-starter".to_owned())
        .spawn(move || {
            let entered = enter(&namespace);
            for mut start in starts {
                let child = entered.as_ref().map(|&()| ()).map_err(|error| io::Error::from(error.kind()));
                let _ = start.started.send(child.and_then(|()| start.command.spawn()));
            }
        })
        .map_err(|error| format!("a thread: {error}"))?;
    Ok(sender)
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A new folder below cargo's own for tests, after removing those of processes that are gone.
fn working_folder() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    fs::create_dir_all(&parent)?;
    for entry in fs::read_dir(&parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()).unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            // Its own shell may be at it just now.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = parent.join(format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The last lines of a log.
pub fn end_of(log: &str, lines: usize) -> String {
    let end = log.lines().rev().take(lines).collect::<Vec<_>>();
    end.into_iter().rev().collect::<Vec<_>>().join("\n")
}

// === impl Process ===

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its last lines.
    pub fn last_words(&self) -> String {
        end_of(&self.log(), 5)
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    pub fn wait(&mut self) -> io::Result<process::ExitStatus> {
        self.child.wait()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
