//! A pod that is created in a dry run, to see whether the API server has the webhook called on the way: the one test of
//! firewall, Service, certificate and registration together that costs nothing.

use axum::http::{HeaderMap, Request, header};
use serde_json::{Value, json};

use crate::api::{OptIn, annotation, label};
use crate::k8s::{self, Body, Client};

/// How it came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// With the webhook's mark.
    pub marked: bool,
    /// What the webhook had to say.
    pub warnings: Vec<String>,
}

/// Sends one through the API server, in otelgate's own namespace. `by` says who does, in the pod's label.
///
/// # Errors
/// When there is no answer, or one that refuses the pod.
pub async fn send(client: &Client, namespace: &str, by: &str) -> k8s::Result<Probe> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(pod(by).to_string().into_bytes())).map_err(k8s::Error::HttpError)?;
    let (parts, body) = client.send(request).await?.into_parts();
    let body = body.collect_bytes().await?;
    if !parts.status.is_success() {
        let unreadable = |_| k8s::Status::failure(&String::from_utf8_lossy(&body), "").with_code(parts.status.as_u16());
        return Err(k8s::Error::Api(serde_json::from_slice(&body).unwrap_or_else(unreadable).boxed()));
    }
    let pod: Value = serde_json::from_slice(&body).map_err(k8s::Error::SerdeError)?;
    let marked = pod["metadata"]["annotations"][annotation::STATUS].is_string();
    Ok(Probe { marked, warnings: warnings(&parts.headers) })
}

/// One that opts in itself, and that every level of pod security and most quotas admit.
fn pod(by: &str) -> Value {
    let amounts = json!({"cpu": "1m", "memory": "1Mi"});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("otelgate-{by}-"),
            "labels": {label::INJECT: OptIn::Enabled.as_str(), label::PROBE: by},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe", "image": "otelgate.dev/never-pulled",
                "resources": {"requests": amounts, "limits": amounts},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// What otelgate says to whoever creates a pod: `299 - "otelgate: …"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(header::WARNING).iter().filter_map(|value| value.to_str().ok());
    let texts = texts.filter_map(|text| text.split_once('"')?.1.strip_suffix('"'));
    texts.filter(|text| text.starts_with("otelgate: ")).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_webhooks_own_warnings_count() {
        let mut headers = HeaderMap::new();
        headers.append(header::WARNING, "299 - \"would violate PodSecurity\"".parse().expect("a value"));
        headers.append(header::WARNING, "299 - \"otelgate: Overloaded: too much\"".parse().expect("a value"));
        assert_eq!(warnings(&headers), ["otelgate: Overloaded: too much"]);
    }
}
