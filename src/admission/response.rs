//! `AdmissionReview` as it is answered: written into one buffer, always `allowed`.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;

use crate::inject::patch::to_json;
use crate::inject::{Operation, Reason};
use crate::json;

/// With the widest registers that the processor has.
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// Longest warning that the API server passes on.
pub const MAX_WARNING: usize = 120;

const HEAD: &[u8] =
    br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"allowed":true,"uid":"#;

/// Lets the pod through with a patch, if there are operations.
#[must_use]
pub fn patch(uid: &str, operations: &[Operation<'_>]) -> Vec<u8> {
    if operations.is_empty() {
        return allow(uid);
    }
    let patch = to_json(operations);
    let encoded = base64::encoded_len(patch.len(), true).unwrap_or_default();
    let mut body = head(uid, encoded + 64);
    body.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
    let start = body.len();
    body.resize(start + encoded, 0);
    BASE64.encode_slice(&patch, &mut body[start..]).expect("as long as encoded_len says");
    body.extend_from_slice(br#""}}"#);
    body
}

/// Lets the pod through as it is.
#[must_use]
pub fn allow(uid: &str) -> Vec<u8> {
    let mut body = head(uid, 8);
    body.extend_from_slice(b"}}");
    body
}

/// Lets the pod through as it is, and tells its creator why.
#[must_use]
pub fn warn(uid: &str, reason: Reason) -> Vec<u8> {
    let mut body = head(uid, MAX_WARNING + 32);
    body.extend_from_slice(br#","warnings":["#);
    json::push_string(&mut body, &warning(reason));
    body.extend_from_slice(b"]}}");
    body
}

/// The answer up to its uid, with room for that much more.
fn head(uid: &str, more: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD.len() + uid.len() + more);
    body.extend_from_slice(HEAD);
    json::push_string(&mut body, uid);
    body
}

/// One line, for the creator of the pod.
#[must_use]
pub fn warning(reason: Reason) -> String {
    let mut text = format!("otelgate: {}: {}", reason.code(), reason.summary());
    if let Some((end, _)) = text.char_indices().nth(MAX_WARNING) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::inject::Scope;
    use crate::inject::patch::{Node, Path};

    #[test]
    fn a_patch_is_a_base64_string_and_the_uid_is_escaped() {
        let operations = [Operation::Add(Path::Key("labels", "a~b/c"), Node::Text("\"1\""))];
        let body = patch("u\"1", &operations);
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let response = &answer["response"];
        assert_eq!((&response["uid"], &response["allowed"]), (&"u\"1".into(), &true.into()));
        assert_eq!(response["patchType"], "JSONPatch");
        let patch = STANDARD.decode(response["patch"].as_str().expect("a string")).expect("base64");
        assert_eq!(patch, br#"[{"op":"add","path":"/metadata/labels/a~0b~1c","value":"\"1\""}]"#);
    }

    #[test]
    fn no_operations_mean_neither_patch_nor_type() {
        let answer: serde_json::Value = serde_json::from_slice(&patch("u", &[])).expect("JSON");
        assert_eq!(answer["response"], serde_json::json!({"allowed": true, "uid": "u"}));
    }

    #[test]
    fn every_warning_is_whole() {
        let failures = Reason::ALL.iter().filter(|reason| reason.scope() == Scope::Failure);
        for reason in failures.chain(Reason::ALL.iter().filter(|reason| reason.is_of_size())) {
            let text = warning(*reason);
            assert!(text.ends_with(reason.summary()), "{text} is cut");
            let answer: serde_json::Value = serde_json::from_slice(&warn("u", *reason)).expect("JSON");
            assert_eq!(answer["response"]["warnings"], serde_json::json!([text]));
        }
    }
}
