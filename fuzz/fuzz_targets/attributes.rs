//! Any text as a container's own `OTEL_RESOURCE_ATTRIBUTES`: it stays the prefix, and what is appended can be read.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use otelgate::config::Configuration;
use otelgate::inject::attributes::Attributes;
use otelgate::inject::{Action, Decision, Namespace, Pod, Value, decide};

fuzz_target!(|text: &str| {
    let pod = serde_json::json!({"metadata": {"name": "web"}, "spec": {"containers": [
        {"name": "app", "image": "app:1", "env": [{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": text}]}
    ]}});
    let json = pod.to_string();
    let pod = Pod::from_json(&json).expect("it was just written");
    let namespace = Namespace { name: Some("shop"), opt_in: Some("enabled"), annotations: Some(&[]) };
    let configuration = Configuration::default();
    let Decision::Inject(plan) = decide(&pod, &namespace, &configuration, Timestamp::UNIX_EPOCH) else { return };
    let own = Attributes::parse(text);
    for entry in plan.containers.iter().flat_map(|container| &container.env) {
        if let (Action::Merged, Some(Value::Text(suffix))) = (entry.action, &entry.value) {
            let suffix = Attributes::parse(suffix);
            assert!(!suffix.malformed, "what is appended is well-formed");
            assert!(suffix.pairs.iter().all(|(key, _)| own.get(key).is_none() || text.contains('$')), "the user's keys win");
        }
    }
});
