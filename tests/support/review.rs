//! Admission reviews as an API server sends them, of the sizes that the benches and the allocation test speak of.

#![allow(dead_code, reason = "the benches and the tests each use their part")]

use std::fmt;

use serde_json::{Map, Value, json};

/// How much there is in a pod.
#[derive(Clone, Copy)]
pub struct Size {
    pub name: &'static str,
    pub containers: usize,
    pub variables: usize,
    pub mounts: usize,
    /// Bytes of one more annotation.
    pub annotation: usize,
}

/// A pod that somebody wrote by hand.
pub const SMALL: Size = Size { name: "small", containers: 1, variables: 2, mounts: 1, annotation: 0 };
/// A service of a company with conventions: about 21 kB.
pub const USUAL: Size = Size { name: "21 kB", containers: 3, variables: 30, mounts: 5, annotation: 400 };
/// About 200 kB.
pub const LARGE: Size = Size { name: "200 kB", containers: 12, variables: 91, mounts: 8, annotation: 2500 };

pub const NAMESPACE: &str = "payments";

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The review's bytes.
pub fn review(size: Size) -> String {
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "namespace": NAMESPACE,
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "12e7e8a6-6f52-44a1-a1b0-9fb1d3e7e1f2",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
                "extra": { "authentication.kubernetes.io/credential-id": ["JTI=7f3b1c9e-0c1d-4f39-9a55-2a3d5b7c9e11"] },
            },
            "object": pod(size),
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
    .to_string()
}

/// The patch in an answer, if there is one.
pub fn patch(answer: &[u8]) -> Option<json_patch::Patch> {
    use base64::Engine as _;
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    let patch = base64::engine::general_purpose::STANDARD.decode(answer["response"]["patch"].as_str()?);
    Some(serde_json::from_slice(&patch.expect("a patch is base64")).expect("and then of RFC 6902"))
}

/// The review that the API server would send after having applied an answer.
pub fn patched(review: &str, answer: &[u8]) -> String {
    let mut review: Value = serde_json::from_str(review).expect("a review is JSON");
    let patch = patch(answer).expect("the answer has a patch");
    json_patch::patch(&mut review["request"]["object"], &patch).expect("the patch applies");
    review.to_string()
}

/// A Deployment's pod, as its ReplicaSet creates it.
pub fn pod(size: Size) -> Value {
    let containers: Vec<Value> = (0..size.containers).map(|index| container(size, index)).collect();
    let mut annotations = Map::new();
    annotations.insert("prometheus.io/scrape".to_owned(), json!("true"));
    annotations.insert("kubectl.kubernetes.io/restartedAt".to_owned(), json!("2026-11-02T09:14:31Z"));
    if size.annotation > 0 {
        annotations.insert("vault.hashicorp.com/agent-inject-template".to_owned(), json!("t".repeat(size.annotation)));
    }
    let volumes: Vec<Value> =
        (0..size.mounts).map(|index| json!({ "name": format!("data-{index}"), "emptyDir": {} })).collect();
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "checkout-6d4cf56db6-",
            "namespace": NAMESPACE,
            "creationTimestamp": null,
            "labels": {
                "app": "checkout",
                "app.kubernetes.io/name": "checkout",
                "app.kubernetes.io/part-of": "shop",
                "pod-template-hash": "6d4cf56db6",
                "team": "payments",
            },
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-6d4cf56db6",
                "uid": "98c0ee32-6c33-4b7c-9e5b-6a3c8c4f2b10", "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [managed_fields(&containers)],
        },
        "spec": {
            "volumes": volumes,
            "containers": containers,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "checkout",
            "serviceAccount": "checkout",
            "securityContext": { "runAsNonRoot": true },
            "schedulerName": "default-scheduler",
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

fn container(size: Size, index: usize) -> Value {
    let name = if index == 0 { "checkout".to_owned() } else { format!("companion-{index}") };
    let variables: Vec<Value> = (0..size.variables).map(variable).collect();
    let mounts: Vec<Value> = (0..size.mounts)
        .map(|index| json!({ "name": format!("data-{index}"), "mountPath": format!("/var/lib/checkout/data-{index}") }))
        .collect();
    json!({
        "name": name,
        "image": format!("registry.example.com/shop/{name}:v2.14.{index}"),
        "ports": [{ "name": "http", "containerPort": 8080 + index, "protocol": "TCP" }],
        "env": variables,
        "resources": { "limits": { "memory": "512Mi" }, "requests": { "cpu": "250m", "memory": "512Mi" } },
        "volumeMounts": mounts,
        "livenessProbe": { "httpGet": { "path": "/healthz", "port": "http", "scheme": "HTTP" }, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
    })
}

/// One in eight from a Secret, one in fifty with escapes in it.
fn variable(index: usize) -> Value {
    let name = format!("CHECKOUT_SETTING_{index:03}");
    match index % 50 {
        7 => json!({ "name": name, "value": "{\"retries\": 3, \"path\": \"C:\\\\data\"}" }),
        other if other % 8 == 3 => {
            json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": "checkout", "key": format!("key-{index}") } } })
        }
        _ => json!({ "name": name, "value": format!("https://service-{index}.payments.svc:8443/v1") }),
    }
}

/// Who set which field: as large as the pod itself, and always there.
fn managed_fields(containers: &[Value]) -> Value {
    let of_container = |container: &Value| {
        let variables = container["env"].as_array().into_iter().flatten();
        let env: Map<String, Value> = variables
            .map(|variable| {
                let source = if variable.get("value").is_some() { "f:value" } else { "f:valueFrom" };
                (format!("k:{{\"name\":{}}}", variable["name"]), json!({ ".": {}, "f:name": {}, source: {} }))
            })
            .collect();
        let mounts: Map<String, Value> = container["volumeMounts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|mount| {
                (
                    format!("k:{{\"mountPath\":{}}}", mount["mountPath"]),
                    json!({ ".": {}, "f:mountPath": {}, "f:name": {} }),
                )
            })
            .collect();
        let fields = json!({ ".": {}, "f:env": env, "f:image": {}, "f:name": {}, "f:volumeMounts": mounts });
        (format!("k:{{\"name\":{}}}", container["name"]), fields)
    };
    let containers: Map<String, Value> = containers.iter().map(of_container).collect();
    json!({
        "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "time": "2026-11-02T09:14:32Z", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } }, "f:spec": { "f:containers": containers } },
    })
}
