use std::fmt::Write as _;

use serde_json::{Value, json};

use super::object;
use crate::deploy::progress::{Observed, changes, is_done, lines};

fn deployment(replicas: &Value) -> (String, Option<crate::k8s::Deployment>) {
    let labels = json!({"app": "a"});
    let mut status = replicas.clone();
    status["observedGeneration"] = json!(2);
    let deployment = json!({
        "metadata": {"name": "otelgate-webhook", "generation": 2},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": []}}},
        "status": status,
    });
    ("otelgate-webhook".to_owned(), Some(object(deployment)))
}

fn pod(status: &Value) -> crate::k8s::Pod {
    object(json!({"metadata": {"name": "web-1", "labels": {"app": "a"}}, "status": status}))
}

fn stack(conditions: &Value) -> Value {
    json!({"metadata": {"generation": 3}, "status": {"conditions": conditions}})
}

fn holds(name: &str, generation: u32, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": name, "status": status, "observedGeneration": generation, "reason": reason, "message": message})
}

fn registration(bundle: &str) -> crate::k8s::MutatingWebhookConfiguration {
    object(json!({"metadata": {"name": "otelgate"}, "webhooks": [{
        "name": "a.otelgate.dev", "clientConfig": {"caBundle": bundle}, "admissionReviewVersions": ["v1"], "sideEffects": "None"}]}))
}

/// Everything that a pipe is told of an installation, moment by moment.
#[test]
fn an_installation_is_told_as_it_goes() {
    let container = |state: Value| {
        json!({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
               "containerStatuses": [{"name": "w", "image": "w", "imageID": "", "ready": false, "restartCount": 0,
                                      "state": state}]})
    };
    let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                             "message": "0/3 nodes are available: 3 Insufficient memory."}]});
    let pulling =
        container(json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}));
    let half = json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1});
    let pending = holds("CertificateReady", 3, "Unknown", "NotLookedAt", "not looked at yet");
    let moments = [
        Observed { deployments: vec![("otelgate-webhook".to_owned(), None)], ..Observed::default() },
        Observed {
            deployments: vec![deployment(&json!({"replicas": 1, "updatedReplicas": 1}))],
            pods: vec![pod(&unscheduled)],
            registration: Some(registration("")),
            stack: Some(stack(&json!([]))),
        },
        Observed {
            deployments: vec![deployment(&half)],
            pods: vec![pod(&pulling)],
            registration: Some(registration("")),
            stack: Some(stack(&json!([pending, holds("Ready", 2, "True", "AsConfigured", "")]))),
        },
        Observed {
            deployments: vec![deployment(&half)],
            pods: vec![pod(&container(json!({"running": {}})))],
            registration: Some(registration("eA==")),
            stack: Some(stack(&json!([
                holds("ConfigurationAccepted", 3, "False", "InvalidSpec", "no field colector"),
                holds("Ready", 3, "False", "InvalidSpec", "no field colector")
            ]))),
        },
        Observed {
            deployments: vec![deployment(&json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}))],
            pods: vec![],
            registration: Some(registration("eA==")),
            stack: Some(stack(&json!([
                holds("ConfigurationAccepted", 3, "True", "AsConfigured", ""),
                holds("Ready", 3, "True", "AsConfigured", "")
            ]))),
        },
    ];
    let mut told = String::new();
    let mut before = Vec::new();
    for moment in &moments {
        let now = lines(moment);
        for line in changes(&before, &now) {
            let state = if line.ready { "ready" } else { "waiting" };
            writeln!(told, "{state} {}: {}", line.object, line.says).expect("writing to a String can't fail");
        }
        told.push('\n');
        before = now;
    }
    assert!(is_done(&before));
    snapbox::assert_data_eq!(told, snapbox::file!["../../../tests/data/deploy/progress.txt"].raw());
}

#[test]
fn a_pod_that_is_refused_and_one_that_crashes_say_why() {
    let mut status = json!({"replicas": 0});
    let message = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"";
    status["conditions"] =
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]);
    let observed = Observed { deployments: vec![deployment(&status)], ..Observed::default() };
    assert_eq!(lines(&observed)[1].says, format!("0 of 2 updated; {message}"));
    let crashed = json!({"conditions": [{"type": "PodScheduled", "status": "True"}], "containerStatuses": [{
        "name": "w", "image": "w", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]});
    let two = json!({"replicas": 2, "updatedReplicas": 2});
    let observed = Observed { deployments: vec![deployment(&two)], pods: vec![pod(&crashed)], ..Observed::default() };
    assert_eq!(lines(&observed)[1].says, "0 of 2 available; web-1: CrashLoopBackOff: it ended with 137 (OOMKilled)");
}
