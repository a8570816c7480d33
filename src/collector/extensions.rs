//! What runs beside the pipelines.

use serde_json::json;

use super::part::Part;
use super::reference::variable;
use super::rendered::{path, port};
use super::variables;
use crate::config::IpFamily;

pub const FILE_STORAGE: &str = "file_storage";

/// Answers the kubelet's probes, which come to the pod's own address.
pub fn health_check(family: IpFamily) -> Part {
    let address = variable(variables::POD_IP);
    let endpoint = match family {
        IpFamily::IPv4 => format!("{address}:{}", port::HEALTH.number),
        IpFamily::IPv6 => format!("[{address}]:{}", port::HEALTH.number),
    };
    Part::extension("health_check", json!({"endpoint": endpoint}))
}

/// Remembers how far each file was read, so that a restart neither loses nor repeats lines.
pub fn file_storage() -> Part {
    Part::extension(FILE_STORAGE, json!({"directory": path::CHECKPOINTS, "create_directory": true}))
}
