//! Whose lines are sent, decided by the real filters.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use otelgate::api::stack::LogScope;
use otelgate::config::Collection;
use serde_json::{Value, json};

use super::{Candidate, Running, Spec};
use crate::control_plane::wait_for;

/// Values that a label or an annotation may have; none, an illegal one, and those that mean something.
const OPT_INS: [Option<&str>; 5] = [None, Some("yes"), Some("enabled"), Some("observe"), Some("disabled")];
const SWITCHES: [Option<&str>; 4] = [None, Some("off"), Some("enabled"), Some("disabled")];

/// A resource's attributes, and one record of it.
type Record = (BTreeMap<String, String>, Value);

/// Takes what a Collector sends.
pub struct Intake {
    port: u16,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Intake {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let records = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&records);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = Arc::clone(&all);
                std::thread::spawn(move || while take(&stream, &all).is_some() {});
            }
        });
        Self { port, records }
    }

    /// As a Collector's `exporters`.
    pub fn exporter(&self) -> Value {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        json!({"otlp_http": {"endpoint": endpoint, "encoding": "json", "compression": "none"}})
    }

    /// As many as there have to be, and no more.
    pub fn records(&self, number: usize, collector: &Running) -> Vec<Record> {
        let enough = || (self.records.lock().expect("no thread failed").len() >= number).then_some(());
        wait_for("records", enough).unwrap_or_else(|error| panic!("{error}: {}", collector.log()));
        let records = self.records.lock().expect("no thread failed").clone();
        assert_eq!(records.len(), number, "{records:?}");
        records
    }
}

/// One request of a connection.
fn take(stream: &TcpStream, all: &Mutex<Vec<Record>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Value = serde_json::from_slice(&body).ok()?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for of_resource in list(&request, "resourceLogs") {
        let attributes = list(&of_resource["resource"], "attributes");
        let text = |one: &Value| one["value"]["stringValue"].as_str().unwrap_or_default().to_owned();
        let attributes: BTreeMap<String, String> =
            attributes.iter().map(|one| (one["key"].as_str().unwrap_or_default().to_owned(), text(one))).collect();
        for scope in list(&of_resource, "scopeLogs") {
            let mut all = all.lock().expect("no thread failed");
            all.extend(list(&scope, "logRecords").into_iter().map(|record| (attributes.clone(), record)));
        }
    }
    (&*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").ok()
}

/// A pod of which the Collector knows what it has read.
#[derive(Clone, Copy, Debug)]
struct Pod {
    known: bool,
    label: Option<&'static str>,
    of_namespace: Option<&'static str>,
    switch: Option<&'static str>,
    switch_of_namespace: Option<&'static str>,
}

impl Pod {
    fn all() -> Vec<Self> {
        let mut pods = Vec::new();
        for label in OPT_INS {
            for of_namespace in OPT_INS {
                for switch in SWITCHES {
                    for switch_of_namespace in SWITCHES {
                        pods.push(Self { known: true, label, of_namespace, switch, switch_of_namespace });
                    }
                }
            }
        }
        pods.push(Self { known: false, label: None, of_namespace: None, switch: None, switch_of_namespace: None });
        pods
    }

    /// By the rules of opting in.
    fn is_sent(&self, scope: LogScope, collection: Collection) -> bool {
        let legal = |value: Option<&'static str>| value.filter(|one| ["enabled", "observe", "disabled"].contains(one));
        let opted_in = legal(self.label).or(legal(self.of_namespace)) == Some("enabled");
        let default = if collection == Collection::Enabled { "enabled" } else { "disabled" };
        let switch = legal(self.switch).or(legal(self.switch_of_namespace)).unwrap_or(default);
        self.known && (scope == LogScope::All || opted_in) && switch == "enabled"
    }

    fn resource(&self, name: &str) -> Value {
        let given = [
            ("k8s.pod.name", Some(name)),
            ("k8s.deployment.name", self.known.then_some("cart")),
            ("k8s.node.name", self.known.then_some("node-1")),
            ("otelgate.switch.inject.pod", self.label),
            ("otelgate.switch.inject.namespace", self.of_namespace),
            ("otelgate.switch.logs.pod", self.switch),
            ("otelgate.switch.logs.namespace", self.switch_of_namespace),
        ];
        let attributes: Vec<Value> = given
            .into_iter()
            .filter_map(|(key, value)| Some(json!({"key": key, "value": {"stringValue": value?}})))
            .collect();
        json!({"resource": {"attributes": attributes},
               "scopeLogs": [{"logRecords": [{"body": {"stringValue": "a line"}}]}]})
    }
}

#[test]
fn lines_are_sent_of_pods_that_are_opted_in_and_have_not_switched_them_off() {
    for scope in [LogScope::OptedIn, LogScope::All] {
        for collection in [Collection::Enabled, Collection::Disabled] {
            let pods = Pod::all();
            let expected: Vec<String> = pods
                .iter()
                .enumerate()
                .filter(|(_, pod)| pod.is_sent(scope, collection))
                .map(|(index, _)| format!("pod-{index}"))
                .collect();
            let records = through_the_filters(scope, collection, &pods, expected.len());
            let mut sent: Vec<&str> = records.iter().map(|(resource, _)| resource["k8s.pod.name"].as_str()).collect();
            let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            sent.sort_unstable();
            expected.sort_unstable();
            assert_eq!(sent, expected, "{scope:?} {collection:?}");
            for (resource, _) in &records {
                assert!(resource.keys().all(|key| !key.starts_with("otelgate.")), "{resource:?}");
                assert_eq!(resource["service.name"], "cart");
            }
        }
    }
}

/// What is between the pod's attributes and the host's, in the rendered order, fed by OTLP.
fn through_the_filters(scope: LogScope, collection: Collection, pods: &[Pod], expected: usize) -> Vec<Record> {
    let mut spec = Spec::default();
    spec.collector.logs.scope = scope;
    spec.injection.logs.collection = collection;
    let rendered = spec.rendered();
    let document: Value = serde_saphyr::from_str(&rendered.text).expect("YAML");
    let processors = document["service"]["pipelines"]["logs/files"]["processors"].as_array().expect("a list");
    let here = |id: &&Value| id.as_str().is_some_and(|id| id.starts_with("filter/") || id.starts_with("transform/"));
    let processors: Vec<&Value> = processors.iter().filter(here).collect();
    let settings: serde_json::Map<String, Value> = processors
        .iter()
        .filter_map(|id| id.as_str())
        .map(|id| (id.to_owned(), document["processors"][id].clone()))
        .collect();
    let intake = Intake::start();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let collector = Candidate::new(
        &json!({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{port}")}}}},
            "processors": settings,
            "exporters": intake.exporter(),
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"logs": {"receivers": ["otlp"], "processors": processors, "exporters": ["otlp_http"]}},
            },
        }),
        &rendered,
    )
    .start();
    let resources: Vec<Value> =
        pods.iter().enumerate().map(|(index, pod)| pod.resource(&format!("pod-{index}"))).collect();
    let body = json!({"resourceLogs": resources}).to_string();
    let sent = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    wait_for("the Collector to take lines", sent).unwrap_or_else(|error| panic!("{error}: {}", collector.log()));
    intake.records(expected, &collector)
}
