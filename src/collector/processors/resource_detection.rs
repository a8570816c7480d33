//! Which host this is.

use serde_json::{Value, json};

use crate::collector::names::Version;
use crate::collector::part::Part;
use crate::collector::variables;

/// Each says nothing where the node isn't its cloud's. Never `env`: it would stamp the Collector's own attributes on
/// everybody's data.
const CLOUDS: [&str; 3] = ["ec2", "gcp", "azure"];

/// What data says of itself stays. A cloud's server answers within milliseconds, and where there is none the Collector
/// isn't ready before each pipeline has waited for it in vain.
pub fn resource_detection(version: Version) -> Part {
    let kubernetes = version.name("k8s_api");
    let detectors: Vec<&str> = [kubernetes].into_iter().chain(CLOUDS).collect();
    let mut settings = json!({"detectors": detectors, "timeout": "2s", "override": false});
    if let Value::Object(settings) = &mut settings {
        let of_kubernetes = json!({"auth_type": "serviceAccount", "node_from_env_var": variables::NODE_NAME});
        settings.insert(kubernetes.to_owned(), of_kubernetes);
    }
    Part::processor(version.name("resource_detection"), settings)
}
