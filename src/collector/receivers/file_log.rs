//! What the node's containers wrote to their standard output.

use serde_json::{Value, json};

use crate::collector::extensions;
use crate::collector::names::Version;
use crate::collector::own::Own;
use crate::collector::part::Part;
use crate::collector::reference::literal;
use crate::collector::rendered::path;

/// Its type, as versions of today have it.
pub const FILE_LOG: &str = "file_log";

/// Levels as numbers, which some loggers write, beside the names that are known without.
const LEVELS: [(&str, u32); 6] =
    [("trace", 10), ("debug", 20), ("info", 30), ("warn", 40), ("error", 50), ("fatal", 60)];

/// Where loggers write a line's level, the usual first.
const LEVEL_KEYS: [&str; 3] = ["level", "severity", "status"];

/// Every pod's lines but the pipeline's own, each with what its file's path tells of the pod. A rotated file has another
/// ending than `.log`, and is read to its end under its old name.
///
/// A file that is new while it runs is read from its beginning; `start_at: end` is about those that are there when it
/// starts for the first time on a node, and has no checkpoints.
pub fn file_log(version: Version, own: &Own) -> Part {
    let own: Vec<Value> =
        own.pods.iter().map(|pods| literal(&format!("{}/{pods}_*/*/*.log", path::POD_LOGS))).collect();
    Part::receiver(
        version.name(FILE_LOG),
        json!({
            "include": [format!("{}/*/*/*.log", path::POD_LOGS)],
            "exclude": own,
            "start_at": "end",
            "include_file_path": true,
            "include_file_name": false,
            "storage": extensions::FILE_STORAGE,
            "retry_on_failure": {"enabled": true},
            "operators": operators(),
        }),
    )
}

/// The container's line stays the record's body, as it was written. A line that is JSON becomes attributes too, and
/// gives the record its severity and, so that it is found by its trace, its trace context.
///
/// A static pod's folder has the hash of its manifest where others have the UID that the API server knows. Without that,
/// the pod is found by its name, and gives the UID.
fn operators() -> Vec<Value> {
    let mut operators = vec![
        json!({"type": "container", "id": "container"}),
        json!({
            "type": "remove",
            "id": "manifest_hash",
            "if": r#"resource["k8s.pod.uid"] != nil and not (resource["k8s.pod.uid"] contains "-")"#,
            "field": r#"resource["k8s.pod.uid"]"#,
            "on_error": "send_quiet",
        }),
        json!({
            "type": "json_parser",
            "id": "json",
            "if": r#"body matches "^\\s*{""#,
            "parse_to": "attributes",
            "on_error": "send_quiet",
        }),
    ];
    let mapping: serde_json::Map<String, Value> =
        LEVELS.iter().map(|(level, number)| ((*level).to_owned(), json!(number))).collect();
    let mut without = String::new();
    for key in LEVEL_KEYS {
        operators.push(json!({
            "type": "severity_parser",
            "id": format!("severity_{key}"),
            "if": format!("{without}attributes.{key} != nil"),
            "parse_from": format!("attributes.{key}"),
            "mapping": mapping,
            "on_error": "send_quiet",
        }));
        without = format!("{without}attributes.{key} == nil and ");
    }
    operators.push(json!({
        "type": "trace_parser",
        "id": "trace",
        "if": "attributes.trace_id != nil and attributes.span_id != nil",
        "trace_id": {"parse_from": "attributes.trace_id"},
        "span_id": {"parse_from": "attributes.span_id"},
        "on_error": "send_quiet",
    }));
    operators
}
