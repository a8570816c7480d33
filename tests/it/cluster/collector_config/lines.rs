//! What becomes of the lines that containers write.

use std::fs;

use serde_json::{Value, json};

use super::scope::Intake;
use super::{Candidate, Spec};

const LINES: [&str; 6] = [
    "plain text",
    r#"{"level":"warn","message":"late","trace_id":"e12c408e028299900d48a9dd29b0dc4c","span_id":"197492ff2b4e1c65"}"#,
    r#"{"level":50,"msg":"pino"}"#,
    r#"{"severity":"ERROR","n":12345678901234567890}"#,
    r#"{"status":"info","trace_id":"not one","span_id":"x"}"#,
    r#"{"level": broken"#,
];

#[test]
fn lines_have_their_text_their_severity_and_their_trace() {
    let intake = Intake::start();
    let pods = tempfile::tempdir().expect("a folder");
    let folder = pods.path().join("shop_cart-0_49cc7c1f-d370-4c40-b268-6ea7486091d6/cart");
    fs::create_dir_all(&folder).expect("a folder");
    let written = LINES.map(|line| format!("2026-01-02T03:04:05.000000001Z stdout F {line}\n"));
    fs::write(folder.join("0.log"), written.concat()).expect("a file");
    fs::write(folder.join("0.log.20260101-000000"), "2026-01-02T03:04:05Z stdout F rotated\n").expect("a file");
    let rendered = Spec::default().rendered();
    let mut document: Value = serde_saphyr::from_str(&rendered.text).expect("YAML");
    let mut receiver = document["receivers"]["file_log"].take();
    let include = receiver["include"][0].as_str().expect("a text");
    receiver["include"] = json!([include.replace("/var/log/pods", &pods.path().display().to_string())]);
    receiver["start_at"] = json!("beginning");
    receiver.as_object_mut().expect("a map").remove("storage");
    let document = json!({
        "receivers": {"file_log": receiver},
        "exporters": intake.exporter(),
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["file_log"], "exporters": ["otlp_http"]}},
        },
    });
    let collector = Candidate::new(&document, &rendered).start();
    let records = intake.records(LINES.len(), &collector);
    let of = |line: &str| {
        let found = records.iter().find(|(_, record)| record["body"]["stringValue"] == line);
        found.unwrap_or_else(|| panic!("{line} isn't there: {records:?}"))
    };
    for (line, severity) in LINES.iter().zip([0, 13, 17, 17, 9, 0]) {
        let (resource, record) = of(line);
        assert_eq!(record["severityNumber"].as_i64().unwrap_or(0), severity, "{line}");
        assert_eq!(resource["k8s.pod.name"], "cart-0");
        assert_eq!(resource["k8s.container.name"], "cart");
        assert_eq!(resource["k8s.pod.uid"], "49cc7c1f-d370-4c40-b268-6ea7486091d6");
    }
    let (_, traced) = of(LINES[1]);
    assert_eq!(traced["traceId"], "e12c408e028299900d48a9dd29b0dc4c");
    assert_eq!(traced["spanId"], "197492ff2b4e1c65");
    let (_, untraced) = of(LINES[4]);
    assert_eq!(untraced["traceId"].as_str().unwrap_or_default(), "");
}
