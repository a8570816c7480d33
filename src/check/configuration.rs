//! From the `TelemetryStack` to the `ConfigMap` that the webhook reads.

use serde_json::{Value, json};

use super::snapshot::WITHOUT_CONTROLLER;
use super::{Objection, Snapshot, Verdict, health};
use crate::api::OptIn;
use crate::api::object::{CONTROLLER, INJECTION, STACK};
use crate::config::{self, Document};
use crate::controller::injection;
use crate::words::some_of;

const CONTROLLERS_LOG: &str = "the controller writes it: look at its log with otelgate logs --component controller";

pub fn stack(snapshot: &Snapshot) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    let stacks = snapshot.stacks.as_ref()?;
    let Some(stack) = stacks.iter().find(|stack| stack["metadata"]["name"] == STACK) else {
        return Err(Objection::fail(
            format!("there is no TelemetryStack {STACK}"),
            "otelgate update makes it anew, as does helm upgrade",
        ));
    };
    let conditions = stack["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if conditions.is_empty() {
        return Err(Objection::fail(
            format!("no controller has looked at TelemetryStack {STACK} yet"),
            format!(
                "look at the pods of Deployment {CONTROLLER}, and at their log with otelgate logs --component controller"
            ),
        ));
    }
    let generation = &stack["metadata"]["generation"];
    if generation.is_number() && stack["status"]["observedGeneration"] != *generation {
        return Err(Objection::fail(
            format!("no controller has looked at the last change of TelemetryStack {STACK}"),
            format!(
                "look at the pods of Deployment {CONTROLLER}, and at their log with otelgate logs --component controller"
            ),
        ));
    }
    health::accepted(snapshot)
}

pub fn other_stacks(snapshot: &Snapshot) -> Verdict {
    let names = snapshot.stacks.as_ref()?.iter().filter_map(|stack| stack["metadata"]["name"].as_str());
    let others: Vec<String> = names.filter(|name| *name != STACK).map(ToOwned::to_owned).collect();
    if others.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("only TelemetryStack {STACK} counts, and there is also {}", some_of(&others)),
        format!("move what they say to {STACK}, and delete them"),
    ))
}

pub fn readable(snapshot: &Snapshot) -> Verdict {
    let namespace = &snapshot.namespace;
    let Some(map) = snapshot.config_map.as_ref()? else {
        return Err(Objection::fail(
            format!("there is no ConfigMap {INJECTION} in namespace {namespace}"),
            CONTROLLERS_LOG,
        ));
    };
    let Some(text) = map.data.as_ref().and_then(|data| data.get(config::CONFIG_MAP_KEY)) else {
        return Err(Objection::fail(
            format!("ConfigMap {INJECTION} in namespace {namespace} has no key {}", config::CONFIG_MAP_KEY),
            CONTROLLERS_LOG,
        ));
    };
    match config::parse(text) {
        Ok(configuration) => Ok(format!("hash {}", configuration.hash())),
        Err(error) => Err(Objection::fail(
            format!("{} of ConfigMap {INJECTION} in namespace {namespace}: {error}", config::CONFIG_MAP_KEY),
            "the webhook goes on with the last one that it could read; take the change back, or delete the ConfigMap: the \
             controller makes it anew",
        )),
    }
}

pub fn current(snapshot: &Snapshot) -> Verdict {
    if snapshot.is_without_controller()? {
        return Ok(WITHOUT_CONTROLLER.to_owned());
    }
    let wanted = document_of(snapshot.stack()?, &snapshot.namespace).ok_or_else(|| Objection::see("stack"))?;
    let mut is = snapshot.configuration()?.document().clone();
    if wanted.collector.address.is_none() {
        // The controller looks it up.
        is.collector.address = None;
    }
    let fields = differing(&wanted, &is);
    if fields.is_empty() {
        return Ok(String::new());
    }
    Err(Objection::fail(
        format!("ConfigMap {INJECTION} differs from TelemetryStack {STACK} in {}", fields.join(", ")),
        "change the TelemetryStack only, and delete the ConfigMap: the controller makes it anew; if it doesn't, look at its \
         log with otelgate logs --component controller",
    ))
}

pub fn mode(snapshot: &Snapshot) -> Verdict {
    // What is in force, and otherwise what is wanted.
    let mode = match snapshot.configuration() {
        Ok(configuration) => configuration.mode(),
        Err(unknown) => {
            let stack = snapshot.stack().map_err(|_| unknown.clone())?;
            document_of(stack, &snapshot.namespace).ok_or(unknown)?.mode
        }
    };
    if mode == OptIn::Disabled {
        return Err(Objection::fail(
            "mode is disabled: no pod is injected, whatever its labels say",
            format!(
                "set it to enabled in the values, or for now: kubectl patch telemetrystack {STACK} --type=merge \
                 -p '{{\"spec\":{{\"injection\":{{\"mode\":\"enabled\"}}}}}}'"
            ),
        ));
    }
    Ok(if mode == OptIn::Observe { "observe: pods are decided about and left as they are" } else { "enabled" }
        .to_owned())
}

/// What a `TelemetryStack` wants, as the controller reads it.
fn document_of(stack: &Value, namespace: &str) -> Option<Document> {
    let nothing = json!({});
    let injection = stack["spec"].get("injection").unwrap_or(&nothing);
    injection::document(injection, namespace).ok()
}

fn differing(wanted: &Document, is: &Document) -> Vec<String> {
    let value = |document| serde_json::to_value(document).expect("a document is plain data");
    let (wanted, is): (Value, Value) = (value(wanted), value(is));
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let mut fields: Vec<String> = keys(&wanted);
    fields.extend(keys(&is));
    fields.sort();
    fields.dedup();
    fields.retain(|field| wanted[field] != is[field]);
    fields
}
