//! `otelgate webhook` as a process of its own.

use std::fmt::Debug;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;

use super::authority::Pair;
use super::client::wait_until;

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    reads: Arc<AtomicBool>,
}

pub fn otelgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
    // What a developer's shell or a pod would bring in.
    command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").stdin(Stdio::null());
    command
}

impl Process {
    /// With the certificate of that folder, ports of the system's choice, and further arguments.
    pub async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = Self::spawn(folder, arguments);
        wait_until(|| async { process.log().contains("listening") }).await;
        let log = process.log();
        let listening = log.lines().find(|line| line.contains("listening")).expect("just seen");
        process.address = SocketAddr::new(field(listening, "server.address"), field(listening, "server.port"));
        process.admin = field(listening, "otelgate.admin.address");
        process
    }

    fn spawn(folder: &Path, arguments: &[&str]) -> Self {
        let (certificate, key) = Pair::paths(folder);
        let mut command = otelgate();
        command.args(["webhook", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("otelgate starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let reads = Arc::new(AtomicBool::new(true));
        let (lines, may_read) = (Arc::clone(&log), Arc::clone(&reads));
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                while !may_read.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                lines.lock().expect("no panic").push(line);
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { child, address: unknown, admin: unknown, log, reader: Some(reader), reads }
    }

    /// Whether anybody reads what the process logs.
    pub fn read_log(&self, reads: bool) {
        self.reads.store(reads, SeqCst);
    }

    /// Everything that was logged until now.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").join("\n")
    }

    /// The events of that message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().expect("no panic");
        let events = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["message"] == message).collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process lives");
    }

    /// Lets it have so many files open at most, or as many as it started with.
    pub fn limit_files(&self, most: Option<u64>) {
        let inherited = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: most.or(inherited.current), maximum: inherited.maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("the process lives");
    }

    /// The most memory that it ever held, in MiB.
    pub fn peak(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("every process has one");
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("in KiB") / 1024.0
    }

    /// Waits for the end, and for the last of the log.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        status
    }
}

/// The value behind a field's name, in either format of the log.
fn field<T: FromStr<Err: Debug>>(line: &str, name: &str) -> T {
    let rest = line.split(name).nth(1).expect("the field");
    let rest = rest.trim_start_matches(['"', ':', '=']);
    let end = rest.find(['"', ' ', ',', '}']).unwrap_or(rest.len());
    rest[..end].parse().expect("a value of its type")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.read_log(true);
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
