//! What the API server asks a node's kubelet for when somebody wants a log, without a node: the same path over TLS, and
//! lines that a test wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::credentials::Subject;
use super::network::ADDRESS;
use super::plane::ControlPlane;

/// The kubelet of any number of nodes.
#[derive(Clone)]
pub struct Kubelet {
    port: u16,
    logs: Arc<Logs>,
}

#[derive(Default)]
struct Logs {
    by_pod: Mutex<BTreeMap<String, Log>>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    lines: Vec<(Timestamp, String)>,
    /// How often the container was started again.
    restarts: usize,
}

/// What the API server passes on of a request.
#[derive(Default)]
struct Wanted {
    pod: String,
    follow: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
}

impl Kubelet {
    #[track_caller]
    pub fn start(plane: &ControlPlane) -> Self {
        let credentials = plane.authority().issue(&Subject::Server { names: &[ADDRESS] }).expect("a certificate");
        let certificate = CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key is the certificate's");
        let config = Arc::new(config);
        let listener = plane.network().inside(|| TcpListener::bind((ADDRESS, 0))).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let kubelet = Self { port, logs: Arc::default() };
        let logs = Arc::clone(&kubelet.logs);
        plane.network().spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, logs) = (Arc::clone(&config), Arc::clone(&logs));
                thread::spawn(move || serve(stream, config, &logs));
            }
        });
        kubelet
    }

    /// A node whose kubelet this is. Nothing runs on it.
    #[track_caller]
    pub fn add_node(&self, plane: &ControlPlane, name: &str) {
        plane.apply(&[json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})]);
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }});
        plane
            .kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()])
            .expect("a node's status");
    }

    pub fn log(&self, pod: &str, time: &str, line: &str) {
        let time = time.parse().unwrap_or_else(|error| panic!("{time}: {error}"));
        self.change(|logs| logs.entry(pod.to_owned()).or_default().lines.push((time, line.to_owned())));
    }

    /// The container starts again, with an empty log.
    pub fn restart(&self, pod: &str) {
        self.change(|logs| {
            let log = logs.entry(pod.to_owned()).or_default();
            *log = Log { lines: Vec::new(), restarts: log.restarts + 1 };
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Log>)) {
        change(&mut lock(&self.logs));
        self.logs.changed.notify_all();
    }
}

fn lock(logs: &Logs) -> MutexGuard<'_, BTreeMap<String, Log>> {
    logs.by_pod.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, logs: &Logs) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut request = String::new();
    stream.read_line(&mut request).ok()?;
    while stream.read_line(&mut String::new()).ok()? > 2 {}
    let stream = stream.get_mut();
    let wanted = Wanted::read(request.split(' ').nth(1)?)?;
    let (mut start, restarts) = wanted.start(&mut lock(logs));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n").ok()?;
    stream.flush().ok()?;
    loop {
        let (lines, goes_on) = {
            let mut by_pod = lock(logs);
            loop {
                let log = by_pod.get(&wanted.pod)?;
                let same = log.restarts == restarts;
                let lines = if same { &log.lines[start.min(log.lines.len())..] } else { &[] };
                if !lines.is_empty() || !same || !wanted.follow {
                    start += lines.len();
                    let lines = lines.iter().filter(|(time, _)| wanted.since.is_none_or(|since| *time >= since));
                    let mut text = String::new();
                    for (time, line) in lines {
                        writeln!(text, "{time} {line}").expect("a String takes all");
                    }
                    break (text, same && wanted.follow);
                }
                by_pod = logs.changed.wait(by_pod).unwrap_or_else(PoisonError::into_inner);
            }
        };
        stream.write_all(lines.as_bytes()).and_then(|()| stream.flush()).ok()?;
        if !goes_on {
            stream.conn.send_close_notify();
            return stream.flush().ok();
        }
    }
}

impl Wanted {
    /// `/containerLogs/NAMESPACE/POD/CONTAINER?follow=true`
    fn read(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pod = path.strip_prefix("/containerLogs/")?.split('/').nth(1)?.to_owned();
        let mut wanted = Self { pod, ..Self::default() };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "follow" => wanted.follow = value == "true",
                "tailLines" => wanted.tail = value.parse().ok(),
                "sinceTime" => wanted.since = value.replace("%3A", ":").parse().ok(),
                "sinceSeconds" => {
                    let since = SignedDuration::from_secs(value.parse().ok()?);
                    wanted.since = Timestamp::now().checked_sub(since).ok();
                }
                _ => {}
            }
        }
        Some(wanted)
    }

    /// The first line, and of which start of the container. A pod whose log nobody wrote has an empty one.
    fn start(&self, logs: &mut BTreeMap<String, Log>) -> (usize, usize) {
        let log = logs.entry(self.pod.clone()).or_default();
        (self.tail.map_or(0, |tail| log.lines.len().saturating_sub(tail)), log.restarts)
    }
}
