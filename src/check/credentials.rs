//! The Secret with Datadog's API key. The key itself is never in a snapshot.

use super::{Objection, Shape, Snapshot, Stage, Verdict};
use crate::api::stack::KeyReference;

pub fn shape(snapshot: &Snapshot) -> Verdict {
    let document = snapshot.document();
    if let Some(endpoint) = &document.otlp.endpoint {
        return Ok(format!("not needed: pods send to {endpoint}"));
    }
    let namespace = document.collector.namespace;
    let KeyReference { name, key } = snapshot.key_reference();
    let write = format!(
        "write it: kubectl create secret generic {name} -n {namespace} --from-file={key}=FILE, where FILE has no newline \
         at its end"
    );
    let Some(credentials) = snapshot.credentials.as_ref()? else {
        if snapshot.stage == Stage::Before {
            return Ok("not there yet; otelgate deploy writes it from DD_API_KEY".to_owned());
        }
        return Err(Objection::fail(format!("there is no Secret {name} in namespace {namespace}"), write));
    };
    let wrong = |what: &str| {
        Err(Objection::fail(
            format!("{key} of Secret {name} in namespace {namespace} {what}"),
            format!("delete the Secret and {write}"),
        ))
    };
    match credentials.shape {
        None => {
            let keys = if credentials.keys.is_empty() { "none".to_owned() } else { credentials.keys.join(", ") };
            wrong(&format!("is missing; its keys are: {keys}"))
        }
        Some(Shape::Empty) => wrong("is empty"),
        Some(Shape::Blank) => wrong("has a newline or another blank, which Datadog refuses"),
        Some(Shape::Other) => wrong("isn't 32 hexadecimal digits"),
        Some(Shape::Good) => Ok(String::new()),
    }
}
