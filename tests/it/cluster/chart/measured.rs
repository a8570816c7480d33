//! The Collectors' metrics that alerts, monitors and the dashboard ask for are those of a real Collector, whichever way its
//! reader spells them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use otelgate::monitoring::{FOREIGN, Foreign, alerts};
use serde_json::{Value, json};

use crate::control_plane::network::{Network, Process};
use crate::control_plane::programs::built;
use crate::control_plane::wait_for;

/// As in `tests/programs/otelcol/builder.yaml`.
const VERSION: &str = "0.149.0";
const MINOR: u32 = 149;
/// Ports: of a receiver that takes everything, which is lost then; of one that is short of memory; of the Collector's own
/// metrics; and of somebody who never answers.
const OPEN: u16 = 4318;
const SHORT: u16 = 4319;
const METRICS: u16 = 8888;
const MUTE: u16 = 9999;

#[test]
fn a_real_collector_has_the_metrics_that_are_asked_for() {
    // As the controller configures it, and as Datadog has them.
    let mut wanted = recorded();
    wanted.extend(of_collector().map(str::to_owned));
    let names =
        names(&json!({"without_scope_info": true, "without_type_suffix": true, "without_units": true}), |names| {
            names.is_superset(&wanted)
        });
    let missing: Vec<_> = wanted.difference(&names).collect();
    assert!(missing.is_empty(), "{missing:?} of {names:#?}");
    assert_alerts_are_on(&names);
}

/// Collectors that somebody else keeps.
#[test]
fn alerts_ask_for_metrics_with_suffixes_too() {
    let seen = |names: &BTreeSet<String>| patterns().iter().all(|pattern| is_one_of(pattern, names));
    assert_alerts_are_on(&names(&json!({}), seen));
}

fn assert_alerts_are_on(names: &BTreeSet<String>) {
    let missing: Vec<_> = patterns().into_iter().filter(|pattern| !is_one_of(pattern, names)).collect();
    assert!(missing.is_empty(), "{missing:?} of {names:#?}");
}

/// Those of others that are a Collector's, without what Datadog's exporter puts in front of some.
fn of_collector() -> impl Iterator<Item = &'static str> {
    let of_this = |metric: &&Foreign| is_its_own(metric.name) && metric.is_of(MINOR);
    let names = FOREIGN.iter().filter(of_this).map(|metric| metric.name);
    names.map(|name| name.strip_prefix("otelcol_").filter(|name| name.starts_with("datadog_")).unwrap_or(name))
}

/// The Collector's own names in what was recorded of one for the tests of what the controller reads.
fn recorded() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("metrics-"));
    let texts = files.filter(is_one).map(|path| std::fs::read_to_string(path).expect("a file"));
    let names: BTreeSet<String> = texts.flat_map(|text| names_of(&text)).filter(|name| is_its_own(name)).collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

fn is_its_own(name: &str) -> bool {
    name.starts_with("otelcol_")
}

fn names_of(exposition: &str) -> BTreeSet<String> {
    let samples = exposition.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(ToOwned::to_owned).collect()
}

/// What alerts ask Prometheus for by a pattern, or by name.
fn patterns() -> BTreeSet<String> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || "_()?".contains(c);
    let of = |alert: otelgate::monitoring::Alert| {
        let words: Vec<String> = alert.expression.split(|c: char| !is_in_name(c)).map(ToOwned::to_owned).collect();
        words.into_iter().filter(|word| word.trim_start_matches('(').starts_with("otelcol_"))
    };
    // Those without quotes begin with the parenthesis of what they are in.
    let whole = |word: String| if word.contains(")?") { word } else { word.trim_matches(['(', ')']).to_owned() };
    alerts().into_iter().flat_map(of).map(whole).collect()
}

fn is_one_of(pattern: &str, names: &BTreeSet<String>) -> bool {
    match pattern.split_once('(') {
        None => names.contains(pattern),
        Some((before, rest)) => {
            let (option, after) = rest.split_once(")?").expect("what may be there ends");
            is_one_of(&format!("{before}{option}{after}"), names) || is_one_of(&format!("{before}{after}"), names)
        }
    }
}

/// Names of what a Collector tells of itself that refuses, loses and drops, as soon as that is `enough`.
#[track_caller]
fn names(reader: &Value, enough: impl Fn(&BTreeSet<String>) -> bool) -> BTreeSet<String> {
    let network = Network::new().unwrap_or_else(|error| panic!("{error}"));
    let mute = network.inside(|| TcpListener::bind(("127.0.0.1", MUTE))).expect("a port");
    let mut collector = start(&network, reader);
    let mut names = BTreeSet::new();
    let outcome = wait_for("the Collector's metrics", || {
        assert!(!collector.has_ended(), "{}", collector.log());
        let exposition = network.inside(|| {
            for (path, body) in data() {
                for port in [OPEN, SHORT] {
                    let _ = ask(port, "POST", path, &body.to_string());
                }
            }
            ask(METRICS, "GET", "/metrics", "")
        })?;
        names = names_of(&exposition);
        enough(&names).then_some(())
    });
    drop(mute);
    assert!(outcome.is_ok() || !names.is_empty(), "{}", collector.log());
    names
}

fn start(network: &Network, reader: &Value) -> Process {
    let program = built("otelcol", VERSION).unwrap_or_else(|error| panic!("{error}"));
    let mut prometheus = json!({"host": "127.0.0.1", "port": METRICS});
    for (key, value) in reader.as_object().expect("settings") {
        prometheus[key] = value.clone();
    }
    let receiver = |port: u16| json!({"protocols": {"http": {"endpoint": format!("127.0.0.1:{port}")}}});
    let lost = json!({
        "endpoint": "http://127.0.0.1:9", "retry_on_failure": {"enabled": false}, "sending_queue": {"enabled": false},
    });
    let full = json!({
        "endpoint": format!("http://127.0.0.1:{MUTE}"), "timeout": "10m",
        "sending_queue": {"queue_size": 1, "num_consumers": 1},
    });
    let datadog = json!({
        "api": {"key": "0".repeat(32)}, "hostname": "node", "host_metadata": {"enabled": false},
        "traces": {"endpoint": "http://127.0.0.1:9"}, "metrics": {"endpoint": "http://127.0.0.1:9"},
        "logs": {"endpoint": "http://127.0.0.1:9"},
    });
    let pipeline = |receiver: &str, limiter: &str, exporters: &[&str]| json!({"receivers": [receiver], "processors": [limiter], "exporters": exporters});
    let mut pipelines = json!({"traces/datadog": pipeline("otlp", "memory_limiter", &["datadog"])});
    for signal in ["traces", "metrics", "logs"] {
        let exporters = ["debug", "otlp_http/lost", "otlp_http/full"];
        pipelines[signal] = pipeline("otlp", "memory_limiter", &exporters);
        pipelines[format!("{signal}/short")] = pipeline("otlp/short", "memory_limiter/short", &["debug"]);
    }
    let configuration = json!({
        "receivers": {"otlp": receiver(OPEN), "otlp/short": receiver(SHORT)},
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_mib": 4096},
            "memory_limiter/short": {"check_interval": "100ms", "limit_mib": 2, "spike_limit_mib": 1},
        },
        "exporters": {"debug": {}, "otlp_http/lost": lost, "otlp_http/full": full, "datadog": datadog},
        "service": {
            "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}},
            "pipelines": pipelines,
        },
    });
    let file = network.folder().join("otelcol.yaml");
    std::fs::write(&file, configuration.to_string()).expect("a file");
    network
        .start("otelcol", &program, [format!("--config={}", file.display())])
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A span, a metric and a log line.
fn data() -> [(&'static str, Value); 3] {
    let time = "1700000000000000000";
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "a", "kind": 2,
        "startTimeUnixNano": time, "endTimeUnixNano": time,
    });
    let metric = json!({"name": "a", "gauge": {"dataPoints": [{"asDouble": 1, "timeUnixNano": time}]}});
    let line = json!({"timeUnixNano": time, "body": {"stringValue": "a"}});
    [
        ("/v1/traces", json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})),
        ("/v1/metrics", json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})),
        ("/v1/logs", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]})),
    ]
}

/// The body of an answer, whatever its status.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
