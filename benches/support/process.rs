//! A program that runs as long as its handle, and what the kernel knows of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub struct Process(Child);

/// Longer than any program here takes to start.
const PATIENCE: Duration = Duration::from_secs(30);

impl Process {
    /// With the environment that its image has; its log goes to a file, as a container's does.
    pub fn start<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>, log: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).envs(of_the_image()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(log).expect("a log file"));
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }

    /// Waits until a port answers `GET` with status 200.
    pub fn wait_for(&mut self, port: u16, path: &str) {
        self.wait_until(|| get(port, path).is_some());
    }

    /// Waits until a port accepts connections.
    pub fn wait_for_port(&mut self, port: u16) {
        self.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn wait_until(&mut self, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(self.0.try_wait().expect("its state").is_none(), "the program ended; see its log");
            assert!(started.elapsed() < PATIENCE, "the program doesn't listen");
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// Time that its threads have spent on a processor.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("it runs");
        let nanoseconds = tasks.flatten().filter_map(|task| {
            let statistics = fs::read_to_string(task.path().join("schedstat")).ok()?;
            statistics.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Memory that it holds, and the most it ever held, in MiB; and what of the first is no file's, as its code is.
    pub fn memory(&self) -> (f64, f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of every process");
            line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).expect("in kB") / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"), field("RssAnon:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The variables that the Dockerfile sets.
fn of_the_image() -> Vec<(String, String)> {
    let dockerfile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile"));
    let dockerfile = dockerfile.expect("the Dockerfile");
    let set = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    set.filter_map(|one| one.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The body of an answer with status 200.
pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_whitespace().nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
}
