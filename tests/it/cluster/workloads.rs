//! Pods that the real controllers make, from the templates of workloads.

use serde_json::{Value, json};

use super::offline::{comparable, differences, inject, injected, list_of, parse, status, variable, without_defaults};
use crate::control_plane::programs::Programs;
use crate::control_plane::{Version, Webhook, wait_for};

/// Each with the labels by which its pods are found, and how many there are.
const WORKLOADS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: workloads}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: shop
          image: shop/web:1.2
          env: [{name: OTEL_RESOURCE_ATTRIBUTES, value: team=web}]
        - {name: istio-proxy, image: 'istio/proxyv2:1.27'}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database, namespace: workloads}
spec:
  serviceName: database
  replicas: 1
  selector: {matchLabels: {app: database}}
  template:
    metadata:
      labels: {app: database}
      annotations: {resource.opentelemetry.io/service.version: '17'}
    spec: {containers: [{name: postgres, image: 'postgres:17.1'}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: exporter, namespace: workloads}
spec:
  selector: {matchLabels: {app: exporter}}
  template:
    metadata: {labels: {app: exporter}}
    spec:
      hostNetwork: true
      containers: [{name: exporter, image: 'exporter:3'}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: import, namespace: workloads}
spec:
  template:
    metadata: {labels: {app: import}}
    spec: {restartPolicy: Never, containers: [{name: import, image: 'shop/import:1'}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: workloads}
spec:
  schedule: '* * * * *'
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: report}}
        spec: {restartPolicy: Never, containers: [{name: report, image: 'shop/report:1'}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: lonely, namespace: workloads}
spec:
  replicas: 1
  selector: {matchLabels: {app: lonely}}
  template:
    metadata: {labels: {app: lonely}}
    spec: {containers: [{name: lonely, image: 'lonely:1'}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: out, namespace: workloads}
spec:
  replicas: 1
  selector: {matchLabels: {app: out}}
  template:
    metadata: {labels: {app: out, otelgate.dev/inject: disabled}}
    spec: {containers: [{name: out, image: 'out:1'}]}
";

/// A pod of each workload has what `otelgate inject` puts into the workload's template, and besides only what the
/// controllers put there and the names that they alone know.
#[test]
fn pods_of_controllers_have_what_the_offline_command_says_of_their_templates() {
    // Other tests do without, as with the programs that KUBEBUILDER_ASSETS usually names.
    Programs::of(Version::Newest).path("kube-controller-manager").unwrap_or_else(|error| panic!("{error}"));
    let webhook = super::webhook(Version::Newest);
    webhook.make_namespace("workloads", Some("enabled"));
    // For the DaemonSet: a node without a machine.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}});
    webhook.plane.apply(&[node]);
    webhook.plane.kubectl_with(&["apply", "-f", "-"], WORKLOADS).expect("kubectl apply");
    let namespace = webhook.plane.get("", "namespace/workloads");
    let templates = injected(webhook, std::slice::from_ref(&namespace), &parse(WORKLOADS));
    for workload in &templates {
        let name = workload["metadata"]["name"].as_str().expect("a name");
        let template = match workload["kind"].as_str() {
            Some("CronJob") => &workload["spec"]["jobTemplate"]["spec"]["template"],
            _ => &workload["spec"]["template"],
        };
        let replicas = workload["spec"]["replicas"].as_u64().unwrap_or(1);
        for pod in pods_of(webhook, name, replicas) {
            compare_with_template(name, &pod, template);
            if name == "out" {
                continue;
            }
            assert_eq!(variable(&pod, 0, "OTEL_SERVICE_NAME"), Some(name));
            restored_and_injected_again(webhook, &namespace, &pod);
        }
    }
}

fn pods_of(webhook: &Webhook<'_>, app: &str, count: u64) -> Vec<Value> {
    wait_for(&format!("{count} pods of {app}"), || {
        let selector = format!("app={app}");
        let pods =
            webhook.plane.kubectl(&["get", "pods", "-n", "workloads", "-l", &selector, "-o", "json"]).json("pods");
        let pods = pods["items"].as_array().expect("items").clone();
        (pods.len() as u64 >= count).then_some(pods)
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

fn compare_with_template(name: &str, pod: &Value, template: &Value) {
    let containers = |of: &Value| of["spec"]["containers"].as_array().expect("containers").clone();
    for (of_pod, of_template) in containers(pod).iter().zip(containers(template)) {
        let found = differences(&known_offline(&of_pod["env"]), &known_offline(&of_template["env"]));
        assert!(found.is_empty(), "{name}: {}", found.join("; "));
    }
    for map in ["labels", "annotations"] {
        let empty = serde_json::Map::new();
        let of_template = template["metadata"][map].as_object().unwrap_or(&empty);
        let mut of_pod = pod["metadata"][map].as_object().unwrap_or(&empty).clone();
        of_pod.retain(|key, _| of_template.contains_key(key) || !by_controllers(key));
        let (left, right) = (Value::Object(of_pod), Value::Object(of_template.clone()));
        let mut found = differences(&left, &right);
        // It has digests, which differ where the values do.
        found.retain(|difference| !difference.starts_with("/otelgate.dev/status: "));
        assert!(found.is_empty(), "{name}: {map}: {}", found.join("; "));
    }
    assert_eq!(status(pod).is_some(), status(template).is_some(), "{name}");
}

/// Variables without the names that only controllers know, which offline leaves out.
pub fn known_offline(env: &Value) -> Value {
    let mut env = env.clone();
    for entry in env.as_array_mut().into_iter().flatten() {
        if entry["name"] == "OTEL_RESOURCE_ATTRIBUTES"
            && let Some(value) = entry["value"].as_str()
        {
            let mut attributes: Vec<_> = value.split(',').collect();
            attributes.retain(|one| !one.starts_with("k8s.replicaset.name=") && !one.starts_with("k8s.job.name="));
            entry["value"] = json!(attributes.join(","));
        }
    }
    without_defaults(&mut env);
    env
}

fn by_controllers(key: &str) -> bool {
    const KEYS: [&str; 8] = [
        "pod-template-hash",
        "pod-template-generation",
        "controller-revision-hash",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "job-name",
        "controller-uid",
        "cronjob-scheduled-timestamp",
    ];
    KEYS.contains(&key) || key.starts_with("batch.kubernetes.io/")
}

/// As its controller made it, the pod is injected offline just as it was online.
fn restored_and_injected_again(webhook: &Webhook<'_>, namespace: &Value, pod: &Value) {
    let both = |pod: &Value| list_of(&[namespace.clone(), pod.clone()]).to_string();
    let unchanged = inject(webhook, &["--diff", "--quiet"], &both(pod)).expect("otelgate inject");
    assert_eq!(unchanged, "", "a captured pod would be changed");
    let restored = parse(&inject(webhook, &["--undo"], &both(pod)).expect("otelgate inject --undo")).remove(1);
    assert_eq!(status(&restored), None);
    let again = parse(&inject(webhook, &[], &both(&restored)).expect("otelgate inject")).remove(1);
    let found = differences(&comparable(&again), &comparable(pod));
    assert!(found.is_empty(), "{}", found.join("; "));
}
