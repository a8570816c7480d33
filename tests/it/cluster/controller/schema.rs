//! What the definition of a `TelemetryStack` refuses, and what it tells of each field.

use serde_json::{Value, json};

use super::Installed;
use crate::control_plane::kubectl::Outcome;

impl Installed<'_> {
    pub(super) fn what_the_schema_excludes_never_gets_that_far(&self) {
        for (injection, says) in [
            (json!({"mode": "off"}), "supported values: \"enabled\", \"observe\", \"disabled\""),
            (json!({"env": [{"name": "A"}]}), "one of value and valueFrom has to be there, and not both"),
            (json!({"exclude": [{}]}), "without a namespace or a requirement, every pod would be excluded"),
            (
                json!({"exclude": [{"namespace": "a"}, {"selector": {"matchLabels": {}, "matchExpressions": []}}]}),
                "without a namespace or a requirement, every pod would be excluded",
            ),
            (json!({"otlp": {"protcol": "grpc"}}), "protcol"),
        ] {
            let stack = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack",
                               "metadata": {"name": "default"}, "spec": {"injection": injection}});
            let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
            let refused = self.plane.kubectl_with(&arguments, &stack.to_string());
            assert!(!refused.success && refused.stderr.contains(says), "{}", refused.stderr);
        }
        for (certificates, says) in [
            (json!({"leafLifetime": "9000h"}), "authorityLifetime is shorter than leafLifetime"),
            (json!({"leafLifetime": "2 weeks"}), "a lifetime is hours, minutes and seconds, such as 336h or 1h30m"),
            (
                json!({"leafLifetime": "9999999999999h"}),
                "a lifetime is hours, minutes and seconds, such as 336h or 1h30m",
            ),
            (json!({"secretName": "a/b"}), "secretName isn't the name of a Secret"),
            (json!({"secretName": ""}), "secretName isn't the name of a Secret"),
        ] {
            let refused = self.patch_in_vain(&json!({"certificates": certificates}));
            assert!(!refused.success && refused.stderr.contains(says), "{}", refused.stderr);
        }
        self.what_no_configuration_takes_is_refused();
        self.nowhere_to_send_is_refused();
        self.nonsense_of_a_part_is_refused("collector");
        self.nonsense_of_a_part_is_refused("agent");
        self.what_no_pod_could_be_called_is_refused("collector");
        self.what_no_pod_could_be_called_is_refused("agent");
        self.what_no_container_could_have_is_refused();
    }

    fn what_no_configuration_takes_is_refused(&self) {
        let url = "otlp.endpoint isn't an http or https URL";
        let address = "collector.address isn't an IP address";
        for (injection, says) in [
            (json!({"clusterDomain": "a..b"}), "clusterDomain isn't a DNS name, such as cluster.local"),
            (json!({"clusterName": ""}), "clusterName is empty, or has control characters"),
            (json!({"environment": "a\nb"}), "environment is empty, or has control characters"),
            (json!({"collector": {"namespace": "Data_dog"}}), "collector.namespace isn't the name of a namespace"),
            (json!({"collector": {"service": "a.b"}}), "collector.service isn't the name of a Service"),
            (json!({"collector": {"address": "10.0.0.256"}}), address),
            (json!({"collector": {"address": "[fd00::7]"}}), address),
            (json!({"otlp": {"endpoint": "collector:4317"}}), url),
            (json!({"otlp": {"endpoint": "http://$(HOST_IP):4318"}}), url),
            (json!({"otlp": {"endpoint": "http://a:65536"}}), url),
            (json!({"propagators": ["b4"]}), "what propagators lists is some of tracecontext, baggage, b3"),
            (json!({"propagators": ["none", "b3"]}), "propagators has none beside others: it stands alone"),
            (json!({"sampler": {"name": "sometimes"}}), "supported values: \"always_on\", \"always_off\""),
            (json!({"env": [{"name": "A-B", "value": "x"}]}), "the name of a variable has letters, digits and _"),
            (
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.label"}}}]}),
                "fieldPath isn't one of metadata.name, metadata.namespace",
            ),
            (json!({"exclude": [{"namespace": "team-*"}]}), "exclude.namespace isn't the whole name of a namespace"),
        ] {
            let refused = self.patch_in_vain(&json!({"injection": injection}));
            assert!(!refused.success && refused.stderr.contains(says), "{injection}: {}", refused.stderr);
        }
        let whole = json!({
            "clusterDomain": "corp", "clusterName": "Straße 1", "environment": "no",
            "collector": {"namespace": "0-a", "service": "otlp", "address": "fd00::7"},
            "otlp": {"endpoint": "HTTPS://u:p@[::1]:4318/x?y='z'"},
            "propagators": ["tracecontext, baggage", "b3"], "sampler": {"name": "xray", "arg": null},
            "env": [{"name": "_A1", "value": ""},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}}],
            "exclude": [{"namespace": "batch"}],
        });
        let taken = self.patch_in_vain(&json!({"injection": whole}));
        assert!(taken.success, "{}", taken.stderr);
    }

    fn nowhere_to_send_is_refused(&self) {
        let (site, proxy) =
            ("site isn't a domain, such as datadoghq.com", "proxy isn't an http or https URL of a host");
        let direct = "what noProxy lists is a host, a domain such as .corp, an address, or a network";
        let (name, key) = ("secret.name isn't the name of a Secret", "secret.key isn't a key of a Secret");
        let secret = |name: &str, key: &str| json!({"datadog": {"secret": {"name": name, "key": key}}});
        for (spec, says) in [
            (json!({"datadog": {"site": ""}}), site),
            (json!({"datadog": {"site": "datadoghq"}}), site),
            (json!({"datadog": {"site": "https://datadoghq.com"}}), site),
            (secret("Datadog", "api_key"), name),
            (secret("a/b", "api_key"), name),
            (secret("", "api_key"), name),
            (secret("datadog", "a b"), key),
            (secret("datadog", ".."), key),
            (json!({"egress": {"proxy": "proxy:3128"}}), proxy),
            (json!({"egress": {"proxy": "http://user:password@proxy:3128"}}), proxy),
            (json!({"egress": {"proxy": "http://[fd00::1]:65536"}}), proxy),
            (json!({"egress": {"noProxy": ["corp", "a,b"]}}), direct),
            (json!({"egress": {"noProxy": ["http://corp"]}}), direct),
            (json!({"egress": {"noProxy": ["*"]}}), direct),
            (json!({"egress": {"caConfigMap": "a_b"}}), "caConfigMap isn't the name of a ConfigMap"),
        ] {
            let refused = self.patch_in_vain(&spec);
            assert!(!refused.success && refused.stderr.contains(says), "{spec}: {}", refused.stderr);
        }
        for spec in [
            json!({"datadog": {"site": "us5.datadoghq.com", "secret": {"name": "a.b-c", "key": ".API_key-1"}}}),
            json!({"egress": {"proxy": "http://[fd00::1]:3128", "noProxy": ["corp", "*.corp", "10.0.0.0/8", "fd00::/8"],
                "caConfigMap": "authorities"}}),
            json!({"egress": {"proxy": "", "noProxy": [], "caConfigMap": ""}}),
        ] {
            let taken = self.patch_in_vain(&spec);
            assert!(taken.success, "{spec}: {}", taken.stderr);
        }
    }

    fn what_no_container_could_have_is_refused(&self) {
        let more = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}});
        let managed = |tag: &str| json!({"collector": {"mode": "managed", "image": {"tag": tag}}});
        let old = "image.tag is older than 0.146, the oldest version whose components are known";
        let (name, value) = ("a variable's name has letters, digits and _", "a value has ${ in it, or ends with $");
        for (spec, says) in [
            (json!({"agent": {"resources": {"agnt": {}}}}), "no container of that name; agent, trace-agent"),
            (json!({"agent": {"adopt": {"daemonSet": "agent-[ab]"}}}), "adopt.daemonSet isn't the name of a DaemonSet"),
            (json!({"agent": {"adopt": {"clusterAgent": "a*"}}}), "adopt.clusterAgent isn't the name of a Deployment"),
            (json!({"agent": {"clusterImage": {"tag": "-1"}}}), "image.tag has letters, digits, _, . and -"),
            (
                json!({"agent": {"resources": {"agent": more}}}),
                "resources.agent.requests asks for more cpu or memory than its limits allow",
            ),
            (
                json!({"agent": {"resources": {"cluster-agent": {"requests": {"memory": "1Gi"}, "limits": {"memory": 1}}}}}),
                "resources.cluster-agent.requests asks for more",
            ),
            (json!({"collector": {"resources": more}}), "resources.requests asks for more cpu or memory"),
            (
                json!({"collector": {"mode": "managed", "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "127Mi"}}}}),
                "resources.limits.memory is less than a Collector can run with; at least 128Mi",
            ),
            (managed("0.145.9"), old),
            (managed("v0.100.0"), old),
            (managed("latest"), "image.tag doesn't begin with the Collector's version"),
            (json!({"collector": {"env": {"1A": "x"}}}), name),
            (json!({"collector": {"env": {"A-B": "x"}}}), name),
            (json!({"collector": {"env": {"A": "x${env:B}"}}}), value),
            (json!({"collector": {"env": {"A": "x$"}}}), value),
        ] {
            let refused = self.patch_in_vain(&spec);
            assert!(!refused.success && refused.stderr.contains(says), "{spec}: {}", refused.stderr);
        }
        for spec in [
            json!({"agent": {"resources": {"agent": {"requests": {"cpu": "0.5"}, "limits": {"cpu": "500m"}},
                "cluster-agent": {"requests": {"memory": "1Gi"}}}}}),
            json!({"collector": {"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "128Mi"}}}}),
            json!({"collector": {"env": {"_A1": "a$b", "B": ""}}}),
            managed(""),
            managed("0.146"),
            managed("v1.0.0-amd64"),
            json!({"collector": {"mode": "disabled", "image": {"tag": "0.100.0"}}}),
        ] {
            let taken = self.patch_in_vain(&spec);
            assert!(taken.success, "{spec}: {}", taken.stderr);
        }
    }

    fn nonsense_of_a_part_is_refused(&self, part: &str) {
        let share = "maxUnavailable has to be a number from 1 on, or a percentage from 1% to 100%";
        let exists = "a toleration with operator Exists has no value";
        let amount = |field: &str| format!("{field} in body should match");
        let resources = |amounts: Value| match part {
            "collector" => json!({"resources": amounts}),
            _ => json!({"resources": {"agent": amounts}}),
        };
        for (fields, says) in [
            (json!({"maxUnavailable": 0}), share.to_owned()),
            (json!({"maxUnavailable": -1}), share.to_owned()),
            (json!({"maxUnavailable": "0%"}), share.to_owned()),
            (json!({"maxUnavailable": "101%"}), share.to_owned()),
            (json!({"maxUnavailable": "lots"}), share.to_owned()),
            (json!({"tolerations": [{"operator": "Exists", "key": "a", "value": "b"}]}), exists.to_owned()),
            (
                json!({"tolerations": [{"effect": "NoSchedule"}]}),
                "a toleration without a key tolerates every taint, and has the operator Exists".to_owned(),
            ),
            (
                json!({"tolerations": [{"key": "a", "operator": "Exist"}]}),
                "a toleration's operator is Exists or Equal".to_owned(),
            ),
            (
                json!({"tolerations": [{"key": "a", "effect": "NoSchedul"}]}),
                "a toleration's effect is NoSchedule, PreferNoSchedule or NoExecute".to_owned(),
            ),
            (
                json!({"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]}),
                "a toleration with tolerationSeconds has the effect NoExecute".to_owned(),
            ),
            (resources(json!({"limits": {"memory": "much"}})), amount("limits.memory")),
            (resources(json!({"limits": {"memory": "-1Gi"}})), amount("limits.memory")),
            (
                resources(json!({"requests": {"cpu": -1}})),
                "requests.cpu in body should be greater than or equal to 0".to_owned(),
            ),
        ] {
            let refused = self.patch_in_vain(&json!({part: fields}));
            assert!(!refused.success && refused.stderr.contains(&says), "{fields}: {}", refused.stderr);
        }
        for fields in [
            json!({"maxUnavailable": 1}),
            json!({"maxUnavailable": "1%"}),
            json!({"maxUnavailable": "100%"}),
            json!({"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]}),
            json!({"tolerations": [{"key": "a", "operator": "", "effect": ""},
                {"key": "a", "effect": "NoExecute", "tolerationSeconds": 5}]}),
            resources(json!({"limits": {"memory": "1.5Gi", "cpu": 2}, "requests": {"cpu": "100m", "memory": "1e9"}})),
        ] {
            let taken = self.patch_in_vain(&json!({part: fields}));
            assert!(taken.success, "{fields}: {}", taken.stderr);
        }
    }

    fn what_no_pod_could_be_called_is_refused(&self, part: &str) {
        let (value, key) = ("a label's value has letters, digits", "a key is a name of at most 63 letters");
        for (fields, says) in [
            (json!({"podLabels": {"team": "not a label"}}), value),
            (json!({"podLabels": {"not a key": "a"}}), key),
            (json!({"nodeSelector": {"pool": "a/b"}}), value),
            (json!({"nodeSelector": {"Example.com/pool": "a"}}), key),
            (json!({"podAnnotations": {"a/b/c": "x"}}), key),
            (json!({"priorityClassName": "System"}), "priorityClassName isn't the name of a PriorityClass"),
            (json!({"image": {"pullSecrets": ["a_b"]}}), "what pullSecrets lists is the name of a Secret"),
            (json!({"image": {"repository": "https://corp/agent"}}), "image.repository isn't the name of an image"),
            (json!({"image": {"digest": "sha256:1"}}), "image.digest is sha256: and 64 of 0 to 9 and a to f"),
        ] {
            let refused = self.patch_in_vain(&json!({part: fields}));
            assert!(!refused.success && refused.stderr.contains(says), "{fields}: {}", refused.stderr);
        }
        let fields = json!({
            "podLabels": {"team": "", "example.com/team": "A_b.c"}, "nodeSelector": {"kubernetes.io/os": "linux"},
            "podAnnotations": {"Example.com/note": "a b"}, "priorityClassName": "system-node-critical",
            "image": {"pullSecrets": ["corp.example"]},
        });
        let taken = self.patch_in_vain(&json!({part: fields}));
        assert!(taken.success, "{}", taken.stderr);
    }

    /// Nothing stays of it.
    fn patch_in_vain(&self, spec: &Value) -> Outcome {
        let patch = json!({"spec": spec}).to_string();
        self.plane.kubectl(&["patch", "telemetrystack", "default", "--type=merge", "--dry-run=server", "-p", &patch])
    }

    /// What `kubectl explain` reads.
    pub(super) fn every_field_is_explained(&self) {
        let path = "/openapi/v3/apis/otelgate.dev/v1alpha1";
        let api = self.plane.kubectl(&["get", "--raw", path]).json("the API's description");
        let stack = &api["components"]["schemas"]["dev.otelgate.v1alpha1.TelemetryStack"];
        assert!(stack["properties"]["spec"]["properties"]["agent"].is_object(), "{stack:#}");
        let mut silent = Vec::new();
        without_description(stack, "", &mut silent);
        assert!(silent.is_empty(), "{silent:#?}");
        let told =
            self.plane.kubectl(&["explain", "telemetrystack.spec.agent.kubelet.tlsVerify"]).expect("an explanation");
        assert!(told.contains("FIELD: tlsVerify <boolean>") && told.contains("Kubeadm's kubelets"), "{told}");
    }
}

/// Fields of a schema that have none.
fn without_description(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        // Those of every object refer to the API server's own.
        let is_told = field["description"].as_str().is_some_and(|text| !text.trim().is_empty());
        if !is_told {
            silent.push(path.clone());
        }
        without_description(field, &path, silent);
    }
    for nested in ["items", "additionalProperties"] {
        if schema[nested].is_object() {
            without_description(&schema[nested], &format!("{path}[]"), silent);
        }
    }
}
