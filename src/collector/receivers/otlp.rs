//! What applications send.

use serde_json::json;

use crate::collector::part::Part;
use crate::collector::rendered::port;

/// On every address of the pod, in both IP families: its Service, host ports and a port that is forwarded to it all
/// come in somewhere else.
pub fn otlp() -> Part {
    let endpoint = |number: u16| format!("0.0.0.0:{number}");
    Part::receiver(
        "otlp",
        json!({"protocols": {
            "grpc": {"endpoint": endpoint(port::GRPC.number)},
            "http": {"endpoint": endpoint(port::HTTP.number)},
        }}),
    )
}
