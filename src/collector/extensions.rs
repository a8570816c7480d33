//! What runs beside the pipelines.

use serde_json::json;

use super::part::Part;
use super::rendered::{path, port};

pub const FILE_STORAGE: &str = "file_storage";

/// Answers the kubelet's probes. On every address of the pod, in both IP families: the pod's own would have to be in
/// brackets where it is an IPv6 address, and which it is nobody knows before the pod has one.
pub fn health_check() -> Part {
    Part::extension("health_check", json!({"endpoint": format!("0.0.0.0:{}", port::HEALTH.number)}))
}

/// Remembers how far each file was read, so that a restart neither loses nor repeats lines.
pub fn file_storage() -> Part {
    Part::extension(FILE_STORAGE, json!({"directory": path::CHECKPOINTS, "create_directory": true}))
}
