//! Whose lines are sent: `file_log` reads every pod's files, so it is decided here, by labels and annotations of the pod and
//! its namespace that `k8s_attributes` has put beside each line.

use serde_json::json;

use crate::api::stack::LogScope;
use crate::api::{annotation, label};
use crate::collector::part::Part;
use crate::config::Collection;

/// An attribute that is there for this decision alone, and is taken out before lines are sent.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The label's or annotation's key.
    pub key: &'static str,
    name: &'static str,
}

/// The opt-in label, and the annotation that switches logs.
pub const SWITCHES: [Switch; 2] =
    [Switch { key: label::INJECT, name: "inject" }, Switch { key: annotation::LOGS, name: "logs" }];

/// Begins every switch's attribute.
const PREFIX: &str = "otelgate.switch.";

/// What takes lines out, and then the switches.
pub fn of_files(scope: LogScope, collection: Collection) -> Vec<Part> {
    let [inject, logs] = SWITCHES;
    // The node's name is there for every pod that is known, and comes from nowhere else in this pipeline so far. Whether one
    // that isn't has switched its lines off can't be told.
    let mut parts = vec![drop("unknown_pods", r#"resource.attributes["k8s.node.name"] == nil"#)];
    if scope == LogScope::OptedIn {
        let [pod, namespace] = inject.both();
        let opted_in = format!(
            r#"{pod} == "enabled" or ({namespace} == "enabled" and {pod} != "observe" and {pod} != "disabled")"#
        );
        parts.push(drop("not_opted_in", &format!("not ({opted_in})")));
    }
    // A value that is neither counts as absent, here as anywhere.
    let [pod, namespace] = logs.both();
    let switched = match collection {
        Collection::Enabled => {
            format!(r#"{pod} == "disabled" or ({pod} != "enabled" and {namespace} == "disabled")"#)
        }
        Collection::Disabled => {
            format!(r#"{pod} == "disabled" or ({pod} != "enabled" and {namespace} != "enabled")"#)
        }
    };
    parts.push(drop("switched_off", &switched));
    parts.push(without_switches());
    parts
}

/// One filter for each reason, so that each counts what it takes out.
fn drop(name: &str, condition: &str) -> Part {
    Part::processor(format!("filter/{name}"), json!({"error_mode": "ignore", "log_conditions": [condition]}))
}

fn without_switches() -> Part {
    let pattern = PREFIX.replace('.', "[.]");
    let statement = format!(r#"delete_matching_keys(resource.attributes, "^{pattern}")"#);
    Part::processor(
        "transform/without_switches",
        json!({"error_mode": "ignore", "log_statements": [{"context": "resource", "statements": [statement]}]}),
    )
}

// === impl Switch ===

impl Switch {
    /// `from` is `pod` or `namespace`.
    pub fn attribute(&self, from: &str) -> String {
        format!("{PREFIX}{}.{from}", self.name)
    }

    fn both(&self) -> [String; 2] {
        ["pod", "namespace"].map(|from| format!(r#"resource.attributes["{}"]"#, self.attribute(from)))
    }
}
