//! The objects of the cluster that hold certificates: what stands in them, and how they are written.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::observe::{Contents, Registration};
use crate::api::{label, object};
use crate::k8s::{ByteString, MutatingWebhookConfiguration, ObjectMeta, OwnerReference, ResourceExt as _, Secret};
use crate::tls::Fingerprint;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const PREVIOUS: &str = "previous.crt";
const TLS: &str = "kubernetes.io/tls";

/// Lets cert-manager's injector copy `ca.crt` of a Secret.
const ALLOW_INJECTION: &str = "cert-manager.io/allow-direct-injection";
/// Annotations that have it write `caBundle` of a registration.
const INJECT: [&str; 3] =
    ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret", "cert-manager.io/inject-apiserver-ca"];

const LABELS: [(&str, &str); 2] = [(label::APP_NAME, object::APP), (label::APP_COMPONENT, "controller")];

/// Since when every entry of the registration has trusted an authority.
pub type Trust = BTreeMap<Fingerprint, Instant>;

/// What stands in a Secret.
pub fn contents(secret: &Secret) -> Contents {
    let of = |name: &str| secret.data.as_ref().and_then(|data| data.get(name)).map_or_else(Vec::new, |it| it.0.clone());
    Contents {
        certificate: of(CERTIFICATE),
        key: of(KEY),
        authorities: of(AUTHORITIES),
        previous: of(PREVIOUS),
        direct_injection: secret.annotations().get(ALLOW_INJECTION).is_some_and(|value| value == "true"),
    }
}

/// A Secret with these contents. What others added to the stored one stays, and so does its version: of two who write at
/// once, one is refused.
pub fn secret(stored: Option<&Secret>, name: &str, contents: Contents, owner: OwnerReference) -> Secret {
    let mut secret = stored.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some(TLS.to_owned()),
        ..Secret::default()
    });
    let Contents { certificate, key, authorities, previous, direct_injection } = contents;
    let data = secret.data.get_or_insert_default();
    // The type demands the first two, be they empty.
    for (name, bytes, demanded) in [
        (CERTIFICATE, certificate, true),
        (KEY, key, true),
        (AUTHORITIES, authorities, false),
        (PREVIOUS, previous, false),
    ] {
        if demanded || !bytes.is_empty() {
            data.insert(name.to_owned(), ByteString(bytes));
        } else {
            data.remove(name);
        }
    }
    let metadata = &mut secret.metadata;
    metadata.managed_fields = None;
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if direct_injection {
        metadata.annotations.get_or_insert_default().insert(ALLOW_INJECTION.to_owned(), "true".to_owned());
    }
    let owners = metadata.owner_references.get_or_insert_default();
    owners.retain(|other| (&other.kind, &other.name) != (&owner.kind, &owner.name));
    owners.push(owner);
    secret
}

/// Whether it isn't known for otelgate's any more, or wouldn't go with the stack.
pub fn is_stripped(secret: &Secret, owner: &OwnerReference) -> bool {
    let has = |(key, value): (&str, &str)| secret.labels().get(key).is_some_and(|found| found == value);
    !LABELS.into_iter().all(has) || !secret.owner_references().contains(owner)
}

/// `caBundle` of each entry.
pub fn bundles(registration: &MutatingWebhookConfiguration) -> Vec<Vec<u8>> {
    let entries = registration.webhooks.iter().flatten();
    entries.map(|entry| entry.client_config.ca_bundle.clone().unwrap_or_default().0).collect()
}

/// What stands in the registration.
pub fn registration(found: &MutatingWebhookConfiguration, trust: &Trust, now: Instant) -> Registration {
    Registration {
        bundles: bundles(found),
        injected: INJECT.iter().any(|key| found.annotations().contains_key(*key)),
        trusted_for: trust.iter().map(|(of, since)| (*of, now.saturating_duration_since(*since))).collect(),
    }
}

/// Goes on counting from what was trusted before.
pub fn trust(found: &MutatingWebhookConfiguration, before: &Trust, now: Instant) -> Trust {
    let registration = Registration { bundles: bundles(found), ..Registration::default() };
    let trusted = registration.trusted();
    trusted.iter().map(|it| (it.fingerprint(), before.get(&it.fingerprint()).copied().unwrap_or(now))).collect()
}

/// The one field that is ever changed in the registration, as it is applied to the version that was seen.
pub fn bundle_patch(found: &MutatingWebhookConfiguration, bundle: &[u8]) -> Value {
    let bundle = ByteString(bundle.to_vec());
    let entries = found.webhooks.iter().flatten();
    let entries = entries.map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}));
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": found.name_any(), "resourceVersion": found.resource_version()},
        "webhooks": entries.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference {
            kind: "TelemetryStack".to_owned(),
            name: "default".to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }
    }

    fn some_contents() -> Contents {
        Contents { authorities: b"ca".to_vec(), direct_injection: true, ..Contents::default() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = secret(None, "s", some_contents(), owner("1"));
        assert_eq!(contents(&written), some_contents());
        let data = written.data.as_ref().expect("data");
        assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
        assert_eq!(written.type_.as_deref(), Some("kubernetes.io/tls"));
    }

    #[test]
    fn what_others_added_stays() {
        let mut stored = secret(None, "s", some_contents(), owner("1"));
        stored.type_ = Some("Opaque".to_owned());
        stored.metadata.resource_version = Some("7".to_owned());
        stored.metadata.annotations.get_or_insert_default().insert("a".to_owned(), "b".to_owned());
        stored.data.get_or_insert_default().insert("other".to_owned(), ByteString(b"x".to_vec()));
        stored.data.get_or_insert_default().insert(PREVIOUS.to_owned(), ByteString(b"x".to_vec()));
        let written = secret(Some(&stored), "s", some_contents(), owner("2"));
        assert_eq!((written.type_.as_deref(), written.resource_version().as_deref()), (Some("Opaque"), Some("7")));
        assert_eq!(written.annotations().get("a").map(String::as_str), Some("b"));
        let data = written.data.as_ref().expect("data");
        assert!(data.contains_key("other") && !data.contains_key(PREVIOUS));
        let owners = written.metadata.owner_references.as_ref().expect("owners");
        assert_eq!(owners.iter().map(|owner| owner.uid.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn one_without_its_labels_or_its_owner_is_seen() {
        let written = secret(None, "s", some_contents(), owner("1"));
        assert!(!is_stripped(&written, &owner("1")));
        assert!(is_stripped(&written, &owner("2")), "the stack was made anew");
        let strip = |strip: fn(&mut ObjectMeta)| {
            let mut stripped = written.clone();
            strip(&mut stripped.metadata);
            stripped
        };
        let extended = strip(|metadata| {
            metadata.labels.get_or_insert_default().insert("a".to_owned(), "b".to_owned());
        });
        assert!(!is_stripped(&extended, &owner("1")), "what others added is theirs");
        for stripped in [strip(|metadata| metadata.labels = None), strip(|metadata| metadata.owner_references = None)] {
            assert!(is_stripped(&stripped, &owner("1")));
            assert!(!is_stripped(&secret(Some(&stripped), "s", some_contents(), owner("1")), &owner("1")));
        }
    }

    #[test]
    fn only_the_bundles_are_patched() {
        let found: MutatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {"name": "otelgate", "resourceVersion": "7"},
            "webhooks": [{"name": "a", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}],
        }))
        .expect("a registration");
        let patch = bundle_patch(&found, b"ca");
        assert_eq!(patch["webhooks"], json!([{"name": "a", "clientConfig": {"caBundle": "Y2E="}}]));
        assert_eq!(patch["metadata"], json!({"name": "otelgate", "resourceVersion": "7"}));
    }
}
