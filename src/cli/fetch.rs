//! Objects as they are in a cluster: as JSON, so that fields newer than this program are seen, too.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::coverage;
use crate::k8s::{self, Client, GetParams, ListParams, LogParams};
use crate::unavailable::{self, Unavailable};

/// The path of every `TelemetryStack`.
pub const STACKS: &str = "/apis/otelgate.dev/v1alpha1/telemetrystacks";
/// Objects of one answer of a list.
const PAGE: u32 = 500;
/// A list of that size takes the API server less than a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// One object. `collection` is the path of its kind, such as `/api/v1/namespaces/shop/pods`.
///
/// # Errors
/// When it isn't there, or may not be read.
pub async fn object(client: &Client, collection: &str, name: &str) -> Result<Value, Unavailable> {
    let request = k8s::Request::new(collection).get(name, &GetParams::default());
    answer(client.request(request.map_err(|error| refused(&error))?)).await
}

/// All objects that the parameters select, page by page.
///
/// # Errors
/// When they may not be listed.
pub async fn list(client: &Client, collection: &str, params: ListParams) -> Result<Vec<Value>, Unavailable> {
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let request = k8s::Request::new(collection).list(&params);
        let mut page: Value = answer(client.request(request.map_err(|error| refused(&error))?)).await?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            found.extend(items);
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(next) if !next.is_empty() => params.continue_token = Some(next.to_owned()),
            _ => return Ok(found),
        }
    }
}

/// Which part of an object is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    Metadata,
}

/// Shows all objects that the parameters select, a page at a time, so that no more than one is in memory.
///
/// # Errors
/// When they may not be listed.
pub async fn each(
    client: &Client,
    collection: &str,
    part: Part,
    params: ListParams,
    mut show: impl FnMut(&Value),
) -> Result<(), Unavailable> {
    let mut params = params.limit(PAGE);
    loop {
        let request = k8s::Request::new(collection);
        let request = match part {
            Part::Whole => request.list(&params),
            Part::Metadata => request.list_metadata(&params),
        };
        let page: Value = answer(client.request(request.map_err(|error| refused(&error))?)).await?;
        page["items"].as_array().into_iter().flatten().for_each(&mut show);
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(next) if !next.is_empty() => params.continue_token = Some(next.to_owned()),
            _ => return Ok(()),
        }
    }
}

/// A container's log so far.
///
/// # Errors
/// When the pod's node can't be reached, or the log may not be read.
pub async fn log(client: &Client, namespace: &str, pod: &str, params: &LogParams) -> Result<String, Unavailable> {
    let request = k8s::Request::new(pods(namespace)).logs(pod, params).map_err(|error| refused(&error))?;
    answer(client.request_text(request)).await
}

/// The API server's own `/version`.
///
/// # Errors
/// When it can't be reached.
pub async fn version(client: &Client) -> Result<Value, Unavailable> {
    let request = k8s::Request::new("").get("version", &GetParams::default());
    answer(client.request(request.map_err(|error| refused(&error))?)).await
}

/// Since when the mode has let pods be injected, at the latest: as the controller remembers it in the status of the
/// `TelemetryStack`, else by the last change of any kind to the `ConfigMap` of the configuration.
#[must_use]
pub fn enabled_since(stack: Option<&Value>, map: Option<&Value>) -> Option<Timestamp> {
    let remembered = stack.and_then(|stack| stack["status"]["injection"]["enabledSince"].as_str()?.parse().ok());
    remembered.or_else(|| coverage::written(map?, &["f:data"]))
}

#[must_use]
pub fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

async fn answer<T>(call: impl Future<Output = Result<T, k8s::Error>>) -> Result<T, Unavailable> {
    unavailable::within(PATIENCE, call).await
}

/// A name or parameter that makes no request.
fn refused(error: &k8s::RequestError) -> Unavailable {
    Unavailable::Refused { why: error.to_string() }
}
