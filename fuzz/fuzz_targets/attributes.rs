//! Any text as a container's own `OTEL_RESOURCE_ATTRIBUTES`: what is appended leaves its bytes and its meaning alone.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use otelgate::config::Configuration;
use otelgate::inject::attributes::{Attributes, push_encoded};
use otelgate::inject::patch::to_json;
use otelgate::inject::{Decision, Namespace, Pod, decide};
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let mut encoded = String::new();
    push_encoded(&mut encoded, text);
    assert!(
        encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)),
        "not encoded: {encoded}"
    );
    // Kubernetes reads `$$` as `$` before an SDK sees the value.
    assert_eq!(decode(&encoded.replace("$$", "$")), text.as_bytes(), "encoding loses something");

    let variable = json!({ "name": "OTEL_RESOURCE_ATTRIBUTES", "value": text });
    let mut pod = json!({
        "metadata": { "name": "web-0" },
        "spec": { "containers": [{ "name": "web", "image": "web:1", "env": [variable] }] },
    });
    let Some(patch) = patch(&pod) else { return };
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    let env = pod["spec"]["containers"][0]["env"].as_array().expect("a list");
    let merged = env.iter().find(|variable| variable["name"] == "OTEL_RESOURCE_ATTRIBUTES").expect("it stays");
    let merged = merged["value"].as_str().expect("a literal");
    assert!(merged.starts_with(text), "{text:?} became {merged:?}");
    let (before, after) = (Attributes::parse(text), Attributes::parse(merged));
    for key in text.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, _)| key.trim()) {
        assert_eq!(before.get(key), after.get(key), "{key:?} of {text:?} changed in {merged:?}");
    }
    assert!(self::patch(&pod).is_none_or(|patch| patch.0.is_empty()), "a second call changes something");
    otelgate::inject::undo(&mut pod).expect("a status of ours");
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([variable]), "undo gives back the original");
});

fn patch(pod: &Value) -> Option<json_patch::Patch> {
    let (json, configuration) = (pod.to_string(), Configuration::default());
    let pod = Pod::from_json(&json).expect("a pod");
    let namespace = Namespace { name: Some("shop"), opt_in: Some("enabled"), left_out: None, annotations: Some(&[]) };
    match decide(&pod, &namespace, &configuration, Timestamp::UNIX_EPOCH) {
        Decision::Inject(plan) => {
            Some(serde_json::from_slice(&to_json(&plan.operations())).expect("a patch"))
        }
        Decision::Observe(_) | Decision::Skip { .. } => None,
    }
}

/// Percent-decoding, written anew.
fn decode(text: &str) -> Vec<u8> {
    let mut rest = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit =
            |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).expect("a hexadecimal digit");
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        decoded.push(u8::try_from(high * 16 + low).expect("a byte"));
    }
    decoded
}
