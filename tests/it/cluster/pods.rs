//! Pods as people and controllers post them: what comes back is what the offline command says, field by field.

use serde_json::{Value, json};

use super::offline::{comparable, differences, inject, injected, list_of, parse, status, variable};
use crate::control_plane::Webhook;
use Expect::{Injected, Untouched};

super::on_every_version!(pods_come_back_as_the_offline_command_says, whatever_is_accepted_without_is_accepted_with);

struct Case {
    /// Also the pod's name, or the beginning of it.
    name: &'static str,
    namespace: &'static str,
    /// YAML of the pod, without its name and namespace.
    pod: &'static str,
    expect: Expect,
}

enum Expect {
    /// With this service name in its first container.
    Injected(&'static str),
    Untouched,
}

/// Name, opt-in, annotations.
const NAMESPACES: [(&str, Option<&str>, &str); 6] = [
    ("on", Some("enabled"), "{}"),
    (
        "defaults",
        Some("enabled"),
        r#"{"resource.opentelemetry.io/deployment.environment.name": "staging", "otelgate.dev/propagators": "b3",
            "resource.opentelemetry.io/service.name": "refused"}"#,
    ),
    ("watched", Some("observe"), "{}"),
    ("off", Some("disabled"), "{}"),
    ("mistyped", Some("enbled"), "{}"),
    ("silent", None, "{}"),
];

const CASES: &[Case] = &[
    // Opting in.
    Case { name: "by-namespace", namespace: "on", expect: Injected("by-namespace"), pod: "
        spec: {containers: [{name: app, image: shop/app:1.2.3}]}" },
    Case { name: "out-by-pod", namespace: "on", expect: Untouched, pod: "
        metadata: {labels: {otelgate.dev/inject: disabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "observed-by-pod", namespace: "on", expect: Untouched, pod: "
        metadata: {labels: {otelgate.dev/inject: observe}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "mistyped-pod", namespace: "on", expect: Injected("mistyped-pod"), pod: "
        metadata: {labels: {otelgate.dev/inject: enbled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "empty-label", namespace: "on", expect: Injected("empty-label"), pod: "
        metadata: {labels: {otelgate.dev/inject: ''}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "label-as-annotation", namespace: "on", expect: Injected("label-as-annotation"), pod: "
        metadata: {annotations: {otelgate.dev/inject: disabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "observed", namespace: "watched", expect: Untouched, pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "pod-beats-observe", namespace: "watched", expect: Injected("pod-beats-observe"), pod: "
        metadata: {labels: {otelgate.dev/inject: enabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "disabled", namespace: "off", expect: Untouched, pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "pod-beats-disabled", namespace: "off", expect: Injected("pod-beats-disabled"), pod: "
        metadata: {labels: {otelgate.dev/inject: enabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "mistyped-namespace", namespace: "mistyped", expect: Untouched, pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "pod-beats-mistyped", namespace: "mistyped", expect: Injected("pod-beats-mistyped"), pod: "
        metadata: {labels: {otelgate.dev/inject: enabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "not-opted-in", namespace: "silent", expect: Untouched, pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "by-pod", namespace: "silent", expect: Injected("by-pod"), pod: "
        metadata: {labels: {otelgate.dev/inject: enabled}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    // Left alone, whatever the labels.
    Case { name: "agent", namespace: "on", expect: Untouched, pod: "
        metadata: {labels: {agent.datadoghq.com/component: agent}}
        spec: {containers: [{name: agent, image: agent:7}]}" },
    Case { name: "windows", namespace: "on", expect: Untouched, pod: "
        spec: {os: {name: windows}, containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "mirror", namespace: "on", expect: Untouched, pod: "
        metadata: {annotations: {kubernetes.io/config.mirror: abc}}
        spec: {nodeName: node-1, automountServiceAccountToken: false, containers: [{name: app, image: shop/app:1}]}" },
    // As controllers post them.
    Case { name: "shop-7d9c8f6b5-", namespace: "on", expect: Injected("shop"), pod: "
        metadata:
          labels: {app: shop, pod-template-hash: 7d9c8f6b5}
          ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: shop-7d9c8f6b5, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111, blockOwnerDeletion: true}]
        spec: {containers: [{name: app, image: 'shop/app:1'}]}" },
    Case { name: "canary-6c5d4-", namespace: "on", expect: Injected("canary"), pod: "
        metadata:
          labels: {rollouts-pod-template-hash: 6c5d4}
          ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: canary-6c5d4, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111}]
        spec: {containers: [{name: app, image: 'shop/app:1'}]}" },
    Case { name: "database-0", namespace: "on", expect: Injected("database"), pod: "
        metadata:
          generateName: database-
          labels: {statefulset.kubernetes.io/pod-name: database-0, controller-revision-hash: database-6f}
          ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: database, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111}]
        spec: {hostname: database-0, containers: [{name: app, image: 'postgres:17'}]}" },
    Case { name: "agent-of-node-", namespace: "on", expect: Injected("node-exporter"), pod: "
        metadata:
          labels: {controller-revision-hash: 5f, pod-template-generation: '1'}
          ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: node-exporter, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111}]
        spec: {hostNetwork: true, containers: [{name: app, image: 'node-exporter:1'}]}" },
    Case { name: "import-", namespace: "on", expect: Injected("import"), pod: "
        metadata:
          labels: {batch.kubernetes.io/job-name: import}
          ownerReferences: [{apiVersion: batch/v1, kind: Job, name: import, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111}]
        spec: {restartPolicy: Never, containers: [{name: app, image: 'shop/import:1'}]}" },
    Case { name: "report-MINUTE-", namespace: "on", expect: Injected("report"), pod: "
        metadata:
          labels: {batch.kubernetes.io/job-name: report-MINUTE}
          ownerReferences: [{apiVersion: batch/v1, kind: Job, name: report-MINUTE, controller: true,
                             uid: 11111111-1111-4111-8111-111111111111}]
        spec: {restartPolicy: Never, containers: [{name: app, image: 'shop/report:1'}]}" },
    Case { name: "spark-exec-1", namespace: "on", expect: Injected("wordcount"), pod: "
        metadata:
          ownerReferences: [{apiVersion: sparkoperator.k8s.io/v1beta2, kind: SparkApplication, name: wordcount,
                             controller: true, uid: 11111111-1111-4111-8111-111111111111}]
        spec: {containers: [{name: executor, image: 'spark:4'}]}" },
    Case { name: "generated-", namespace: "on", expect: Injected("app"), pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    // Options and what the containers already have.
    Case { name: "namespace-defaults", namespace: "defaults", expect: Injected("namespace-defaults"), pod: "
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "named", namespace: "on", expect: Injected("checkout"), pod: "
        metadata: {annotations: {resource.opentelemetry.io/service.name: checkout,
                                 resource.opentelemetry.io/service.version: 4.5.6,
                                 otelgate.dev/endpoint: 'http://collector.tools:4317', otelgate.dev/skip: OTEL_PROPAGATORS}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "tagged", namespace: "on", expect: Injected("cart"), pod: "
        metadata: {labels: {tags.datadoghq.com/service: cart, tags.datadoghq.com/env: prod}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case { name: "attributes", namespace: "on", expect: Injected("attributes"), pod: "
        spec:
          containers:
            - name: app
              image: shop/app:1
              env:
                - {name: TEAM, value: payments}
                - {name: OTEL_RESOURCE_ATTRIBUTES, value: 'team=$(TEAM),deployment.environment=qa'}
                - {name: COSTS, value: 'US$5 and $$6'}
            - {name: istio-proxy, image: 'istio/proxyv2:1.27'}" },
    Case { name: "own-service", namespace: "on", expect: Injected("mine"), pod: "
        spec: {containers: [{name: app, image: shop/app:1, env: [{name: OTEL_SERVICE_NAME, value: mine}]}]}" },
    Case { name: "value-from", namespace: "on", expect: Injected("value-from"), pod: "
        spec:
          containers:
            - name: app
              image: shop/app:1
              env:
                - {name: OTEL_RESOURCE_ATTRIBUTES, valueFrom: {configMapKeyRef: {name: otel, key: attributes}}}
              envFrom: [{configMapRef: {name: all}}]" },
    Case { name: "sidecars", namespace: "on", expect: Injected("sidecars"), pod: "
        metadata: {annotations: {otelgate.dev/containers: 'app,prepare,proxy'}}
        spec:
          initContainers:
            - {name: prepare, image: 'shop/prepare:1'}
            - {name: proxy, image: 'envoy:1', restartPolicy: Always}
          containers: [{name: app, image: 'shop/app:1'}, {name: other, image: 'shop/other:1'}]" },
    // A digest, and names at their limits: no key may be made of them that the API server would refuse.
    Case { name: "digest", namespace: "on", expect: Injected("digest"), pod: "
        spec: {containers: [{name: app, image: 'shop/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}]}" },
    Case { name: "plus-in-version", namespace: "on", expect: Injected("plus-in-version"), pod: "
        metadata: {annotations: {resource.opentelemetry.io/service.version: 1.2.3+build.7}}
        spec: {containers: [{name: app, image: shop/app:1}]}" },
    Case {
        name: "a-name-of-seventy-one-characters-is-legal-for-a-pod-but-not-for-a-label",
        namespace: "on",
        expect: Injected("a-name-of-seventy-one-characters-is-legal-for-a-pod-but-not-for-a-label"),
        pod: "
        spec: {containers: [{name: a-container-name-of-sixty-three-characters-which-is-the-most-xx, image: shop/app:1}]}" },
    // Fields that the program has no types for.
    Case { name: "unknown-fields", namespace: "on", expect: Injected("unknown-fields"), pod: "
        spec:
          schedulingGates: [{name: example.com/wait}]
          topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway,
                                       matchLabelKeys: [pod-template-hash], labelSelector: {matchLabels: {app: x}}}]
          volumes:
            - {name: all, projected: {sources: [{downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]}}
          containers:
            - name: app
              image: shop/app:1
              resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]
              lifecycle: {preStop: {sleep: {seconds: 1}}}
              volumeMounts: [{name: all, mountPath: /all, recursiveReadOnly: IfPossible, readOnly: true}]" },
];

/// Each case is posted three times: as it is and as `otelgate inject` makes it, while no webhook sees its namespace,
/// and as it is with the webhook. The last two come back equal, whatever the API server adds.
fn pods_come_back_as_the_offline_command_says(webhook: &Webhook<'_>) {
    let name = |namespace: &str| format!("pods-{namespace}");
    let mut namespaces = Vec::new();
    for (namespace, opt_in, annotations) in NAMESPACES {
        let labels = opt_in.map_or(json!({}), |value| json!({"otelgate.dev/inject": value}));
        let annotations = serde_json::from_str(annotations).expect("annotations");
        webhook.plane.make_namespace(&name(namespace), &labels, &annotations);
        namespaces.push(webhook.plane.get("", &format!("namespace/{}", name(namespace))));
    }
    let pods: Vec<Value> = CASES.iter().map(|case| pod(case.name, &name(case.namespace), case.pod)).collect();
    let plain = create(webhook, true, &pods);
    let offline = create(webhook, true, &injected(webhook, &namespaces, &pods));
    for (namespace, ..) in NAMESPACES {
        webhook.watch(&name(namespace));
    }
    let real = create(webhook, false, &pods);
    let mut wrong = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        let mut check = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{} in {}: {what}", case.name, case.namespace));
            }
        };
        let found = differences(&comparable(&real[index]), &comparable(&offline[index]));
        check(found.is_empty(), format!("online is not offline: {}", found.join("; ")));
        match case.expect {
            Injected(service) => {
                let set = variable(&real[index], 0, "OTEL_SERVICE_NAME");
                check(status(&real[index]).is_some(), "it has no status".to_owned());
                check(set == Some(service), format!("its service is {set:?}, not {service}"));
            }
            Untouched => {
                let found = differences(&comparable(&real[index]), &comparable(&plain[index]));
                check(found.is_empty(), format!("it was changed: {}", found.join("; ")));
            }
        }
    }
    // What came back is left as it is: by `inject`, and by a second way through the webhook.
    let captured = list_of(&[namespaces, real].concat()).to_string();
    let again = inject(webhook, &["--diff", "--quiet"], &captured).expect("otelgate inject");
    if !again.is_empty() {
        wrong.push(format!("captured pods would be changed: {again}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Pods that stay as they are were decided all the same, if they are opted in by anything.
    for labels in [["decision=\"observe\"", "path=\"observe\""], ["decision=\"observe\"", "path=\"pod\""]] {
        assert!(webhook.metric("otelgate_decisions_total", &labels) > 0, "{labels:?}");
    }
    assert!(webhook.metric("otelgate_notes_total", &["reason=\"InvalidOptIn\""]) > 0);
}

/// Pods of which some are not valid: the webhook changes nothing about which, nor about what the API server says.
fn whatever_is_accepted_without_is_accepted_with(webhook: &Webhook<'_>) {
    const SPECS: &[(&str, &str)] = &[
        ("no-containers", "spec: {containers: []}"),
        ("no-spec", "metadata: {labels: {a: b}}"),
        ("twice", "spec: {containers: [{name: app, image: a}, {name: app, image: b}]}"),
        ("no-image", "spec: {containers: [{name: app}]}"),
        ("no-name", "spec: {containers: [{image: a}]}"),
        ("bad-variable", "spec: {containers: [{name: app, image: a, env: [{name: 'a=b', value: c}]}]}"),
        (
            "value-and-from",
            "spec: {containers: [{name: app, image: a, env: [{name: OTEL_RESOURCE_ATTRIBUTES, value: a=b,
                valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]}",
        ),
        (
            "same-variable-twice",
            "spec: {containers: [{name: app, image: a, env: [{name: A, value: b}, {name: A, value: c}]}]}",
        ),
        ("null-variables", "spec: {containers: [{name: app, image: a, env: null}]}"),
        ("empty-variables", "spec: {containers: [{name: app, image: a, env: []}]}"),
        (
            "null-annotations",
            "{metadata: {annotations: null, labels: null}, spec: {containers: [{name: app, image: a}]}}",
        ),
        ("bad-label", "{metadata: {labels: {a: '-'}}, spec: {containers: [{name: app, image: a}]}}"),
        ("bad-annotation", "{metadata: {annotations: {'a/b/c': d}}, spec: {containers: [{name: app, image: a}]}}"),
        ("unknown-policy", "spec: {dnsPolicy: Sometimes, containers: [{name: app, image: a}]}"),
        (
            "host-network",
            "spec: {hostNetwork: true, dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.10]}, containers: [{name: app, image: a}]}",
        ),
        ("ephemeral", "spec: {ephemeralContainers: [{name: debug, image: b}], containers: [{name: app, image: a}]}"),
        ("no-such-account", "spec: {serviceAccountName: nobody, containers: [{name: app, image: a}]}"),
        (
            "tilde-and-slash",
            "{metadata: {annotations: {'a.b/c~d': 'e~1f'}}, spec: {containers: [{name: app, image: a}]}}",
        ),
        (
            "unicode",
            "spec: {containers: [{name: app, image: a, env: [{name: OTEL_RESOURCE_ATTRIBUTES, value: 'größe=groß,x=%E4'}]}]}",
        ),
        (
            "broken-status",
            "{metadata: {annotations: {otelgate.dev/status: '{'}}, spec: {containers: [{name: app, image: a}]}}",
        ),
        (
            "wrong-status",
            "{metadata: {annotations: {otelgate.dev/status: '[1]'}}, spec: {containers: [{name: app, image: a}]}}",
        ),
    ];
    let namespace = "accepted";
    webhook.plane.make_namespace(namespace, &json!({"otelgate.dev/inject": "enabled"}), &json!({}));
    let post = |(name, spec): &(&str, &str)| {
        let body = pod(name, namespace, spec).to_string();
        webhook.plane.kubectl_with(&["create", "--dry-run=server", "--validate=warn", "-f", "-"], &body)
    };
    let without: Vec<_> = SPECS.iter().map(post).collect();
    webhook.watch(namespace);
    let with: Vec<_> = SPECS.iter().map(post).collect();
    for (((name, _), without), with) in SPECS.iter().zip(&without).zip(&with) {
        assert_eq!(with.success, without.success, "{name}: {with:?} {without:?}");
        if !without.success {
            let without_index = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
            assert_eq!(without_index(&with.stderr), without_index(&without.stderr), "{name}");
        }
    }
    let accepted = without.iter().filter(|outcome| outcome.success).count();
    assert!((1..SPECS.len()).contains(&accepted), "some of the pods are valid and some aren't: {accepted}");
}

/// A pod of the table; a name that ends in a dash is the beginning of a generated one. A CronJob's Jobs are named by the
/// minute for which they are scheduled.
fn pod(name: &str, namespace: &str, yaml: &str) -> Value {
    let minute = (jiff::Timestamp::now().as_second() / 60).to_string();
    let name = name.replace("MINUTE", &minute);
    let mut pod: Value =
        serde_saphyr::from_str(&yaml.replace("MINUTE", &minute)).unwrap_or_else(|error| panic!("{name}: {error}"));
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    let key = if name.ends_with('-') { "generateName" } else { "name" };
    pod["metadata"][key] = json!(name);
    pod["metadata"]["namespace"] = json!(namespace);
    pod
}

/// Creates all, and returns them as the API server has them.
#[track_caller]
fn create(webhook: &Webhook<'_>, dry: bool, pods: &[Value]) -> Vec<Value> {
    let dry = if dry { "--dry-run=server" } else { "--dry-run=none" };
    let arguments = ["create", dry, "-o", "json", "-f", "-"];
    let outcome = webhook.plane.kubectl_with(&arguments, &list_of(pods).to_string());
    let created = parse(&outcome.expect("kubectl create"));
    assert_eq!(created.len(), pods.len());
    created
}
