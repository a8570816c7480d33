//! The Secret with Datadog's API key. The key itself is never in a snapshot.

use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Shape, Snapshot, Stage, Verdict};
use crate::api::condition::Reason;
use crate::api::object::STACK;
use crate::api::stack::KeyReference;

pub fn shape(snapshot: &Snapshot) -> Verdict {
    if let Some(why) = not_needed(snapshot)? {
        return Ok(why.to_owned());
    }
    let namespace = snapshot.document().collector.namespace;
    let KeyReference { name, key } = snapshot.key_reference();
    let names = [("NAMESPACE", namespace.as_str()), ("SECRET", &name), ("KEY", &key)];
    let fail = |reason: Reason, found: String| Err(Objection::fail(found, reason.next_step_naming(&names)));
    let Some(credentials) = snapshot.credentials.as_ref()? else {
        if snapshot.stage == Stage::Before {
            return Ok("not there yet; otelgate deploy writes it from DD_API_KEY".to_owned());
        }
        return fail(Reason::SecretMissing, format!("there is no Secret {name} in namespace {namespace}"));
    };
    let of_key = |what: &str| format!("{key} of Secret {name} in namespace {namespace} {what}");
    let malformed = |what: &str| fail(Reason::KeyMalformed, of_key(what));
    match credentials.shape {
        None => {
            let keys = if credentials.keys.is_empty() { "none".to_owned() } else { credentials.keys.join(", ") };
            fail(Reason::KeyMissing, of_key(&format!("is missing; its keys are: {keys}")))
        }
        Some(Shape::Empty) => malformed("is empty"),
        Some(Shape::Blank) => malformed("has a newline or another blank, which Datadog refuses"),
        Some(Shape::Other) => malformed("isn't 32 hexadecimal digits"),
        Some(Shape::Good) => Ok(String::new()),
    }
}

/// Why nobody needs the key, if that is so.
pub fn not_needed(snapshot: &Snapshot) -> Result<Option<&'static str>, Objection> {
    if snapshot.is_without_controller()? {
        return Ok(Some(WITHOUT_CONTROLLER));
    }
    match snapshot.spec()?.sends_with_the_key() {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("not needed: no Collector or Agent of otelgate's sends with it")),
        Err(fault) => {
            let next = format!("correct the field that is named: kubectl edit telemetrystack {STACK}");
            Err(Objection::unknown(fault, next))
        }
    }
}
