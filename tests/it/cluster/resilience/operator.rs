//! What the Datadog Operator does for the life of a `DatadogAgent`: it has a finalizer on it, and takes it out once it's
//! to go. Of what it makes from one, nothing is made here.

use std::io;

use serde_json::{Value, json};

use super::state::DATADOG_AGENTS;
use crate::control_plane::api_proxy::call;

const FINALIZER: &str = "finalizer.agent.datadoghq.com";

/// # Errors
/// When the API server doesn't answer.
pub fn round(port: u16) -> io::Result<()> {
    let (_, list) = call(port, "GET", DATADOG_AGENTS, &Value::Null)?;
    for agent in list["items"].as_array().into_iter().flatten() {
        let metadata = &agent["metadata"];
        let finalizers = match (metadata["deletionTimestamp"].is_string(), metadata["finalizers"].is_null()) {
            (true, false) => Value::Null,
            (false, true) => json!([FINALIZER]),
            _ => continue,
        };
        let path = format!("{DATADOG_AGENTS}/{}", metadata["name"].as_str().unwrap_or_default());
        call(port, "PATCH", &path, &json!({"metadata": {"finalizers": finalizers}}))?;
    }
    Ok(())
}
