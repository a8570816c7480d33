//! Which pods are a matter for otelgate, and which of their containers.

use serde_json::{Value, json};

use super::{Case, app, case, pod};
use crate::api::OptIn;
use crate::config::{Exclusion, Selector};
use crate::inject::Reason;
use crate::inject::containers::SIDECARS;
use crate::inject::rules::{self, LeftOut};

#[test]
fn the_pod_beats_its_namespace_both_ways() {
    for (on_pod, on_namespace, name, skipped) in [
        (None, None, "skip", Some(Reason::NotOptedIn)),
        (None, Some("enabled"), "inject", None),
        (None, Some("observe"), "observe", None),
        (None, Some("disabled"), "skip", Some(Reason::OptedOut)),
        (Some("enabled"), None, "inject", None),
        (Some("enabled"), Some("disabled"), "inject", None),
        (Some("disabled"), Some("enabled"), "skip", Some(Reason::OptedOut)),
        (Some("observe"), Some("enabled"), "observe", None),
        (Some("true"), Some("enabled"), "inject", None),
        (Some("true"), None, "skip", Some(Reason::NotOptedIn)),
        (None, Some("yes"), "skip", Some(Reason::NotOptedIn)),
    ] {
        let mut case = case(pod(app())).opt_in(on_namespace);
        if let Some(value) = on_pod {
            case = case.label("otelgate.dev/inject", value);
        }
        let outcome = case.decide();
        assert_eq!((outcome.name, outcome.skipped), (name, skipped), "pod {on_pod:?}, namespace {on_namespace:?}");
        let invalid = on_pod == Some("true") || on_namespace == Some("yes");
        assert_eq!(outcome.has_note(Reason::InvalidOptIn), invalid);
    }
}

#[test]
fn the_mode_caps_every_opt_in() {
    for (mode, name) in [(OptIn::Enabled, "inject"), (OptIn::Observe, "observe"), (OptIn::Disabled, "skip")] {
        let outcome = case(pod(app())).configure(|document| document.mode = mode).decide();
        assert_eq!(outcome.name, name);
    }
    let observed = case(pod(app())).opt_in(Some("observe")).configure(|document| document.mode = OptIn::Enabled);
    assert_eq!(observed.decide().name, "observe");
}

#[test]
fn the_label_as_an_annotation_is_told() {
    let outcome = case(pod(app())).opt_in(None).annotate("otelgate.dev/inject", "enabled").decide();
    assert_eq!(outcome.skipped, Some(Reason::NotOptedIn));
    assert!(outcome.has_note(Reason::OptInIsALabel));
    let injected = case(pod(app())).annotate("otelgate.dev/inject", "disabled").decide();
    assert_eq!(injected.notes.iter().filter(|(reason, _)| *reason == Reason::OptInIsALabel).count(), 1);
}

#[test]
fn some_pods_are_never_touched() {
    let skipped = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod(app());
        change(&mut pod);
        case(pod).decide().skipped
    };
    let mirror = |pod: &mut Value| pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    assert_eq!(skipped(&mirror), Some(Reason::MirrorPod));
    assert_eq!(skipped(&|pod| pod["spec"]["os"] = json!({"name": "windows"})), Some(Reason::WindowsPod));
    let selected = |pod: &mut Value| pod["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    assert_eq!(skipped(&selected), Some(Reason::WindowsPod));
    let formerly = |pod: &mut Value| pod["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "windows"});
    assert_eq!(skipped(&formerly), Some(Reason::WindowsPod));
    assert_eq!(skipped(&|pod| pod["spec"]["os"] = json!({"name": "linux"})), None);
    for namespace in ["kube-system", "kube-public", "kube-node-lease"] {
        let outcome = case(pod(app())).namespace(Some(namespace)).label("otelgate.dev/inject", "enabled").decide();
        assert_eq!(outcome.skipped, Some(Reason::SystemNamespace));
    }
}

#[test]
fn a_pod_of_more_containers_than_any_node_runs_is_left_alone() {
    let of = |count: usize| {
        let mut pod = pod(app());
        let more = (1..count).map(|index| json!({"name": format!("c{index}")}));
        pod["spec"]["containers"].as_array_mut().expect("a list").extend(more);
        case(pod).annotate("otelgate.dev/containers", "app").decide().skipped
    };
    assert_eq!((of(1000), of(1001)), (None, Some(Reason::TooManyContainers)));
}

#[test]
fn what_was_written_before_is_told_of_a_pod_that_is_left_alone() {
    let injected = case(pod(app())).decide().pod;
    for left in [
        case(injected.clone()).label("otelgate.dev/inject", "disabled"),
        case(injected.clone()).annotate("otelgate.dev/containers", "typo"),
        case(injected.clone()).annotate("shop.example/notes", &"x".repeat(256 * 1024)),
    ] {
        let outcome = left.decide();
        assert!(outcome.skipped.is_some() && outcome.has_note(Reason::InjectedBefore));
    }
    let observed = case(injected).label("otelgate.dev/inject", "observe").decide();
    assert!(observed.name == "observe" && observed.has_note(Reason::InjectedBefore), "{}", observed.name);
    assert!(!case(pod(app())).opt_in(Some("observe")).decide().has_note(Reason::InjectedBefore));
    assert!(!case(pod(app())).opt_in(None).decide().has_note(Reason::InjectedBefore));
}

#[test]
fn the_pipelines_own_pods_are_excluded_where_they_are() {
    for (namespace, key, value, excluded) in [
        ("otelgate", "app.kubernetes.io/name", "otelgate", true),
        ("shop", "app.kubernetes.io/name", "otelgate", false),
        ("datadog", "app", "otel-collector", true),
        ("shop", "app", "otel-collector", false),
        ("shop", "agent.datadoghq.com/component", "agent", true),
        ("otelgate", "app", "test", false),
    ] {
        let outcome = case(pod(app())).namespace(Some(namespace)).label(key, value).decide();
        assert_eq!(outcome.skipped == Some(Reason::Excluded), excluded, "{namespace} {key}={value}");
    }
}

/// What otelgate itself labels a pod with excludes nobody at the second look.
#[test]
fn own_labels_exclude_nobody() {
    let exclude = |key: &str, value: &str| Exclusion {
        namespace: None,
        selector: Selector { match_labels: [(key.to_owned(), value.to_owned())].into(), ..Selector::default() },
    };
    for (key, value) in [("tags.datadoghq.com/env", "prod"), ("tags.datadoghq.com/service", "web")] {
        let excluding = |pod| {
            case(pod).configure(|document| {
                document.environment = Some("prod".to_owned());
                document.exclude.push(exclude(key, value));
            })
        };
        let first = excluding(pod(app())).decide();
        assert_eq!((first.name, first.label(key)), ("inject", Some(value)));
        let again = excluding(first.pod.clone()).decide();
        assert_eq!((again.name, again.operations.len()), ("inject", 0), "{key}");
        let theirs = excluding(pod(app())).label(key, value);
        assert_eq!(theirs.decide().skipped, Some(Reason::Excluded), "{key}");
        let edited = excluding(first.pod).label(key, "other").configure(|document| {
            document.exclude.push(exclude(key, "other"));
        });
        assert_eq!(edited.decide().skipped, Some(Reason::Excluded), "{key}: it is the user's now");
    }
}

fn injected(outcome: &super::Outcome) -> Vec<String> {
    ["containers", "initContainers"]
        .iter()
        .flat_map(|list| outcome.pod["spec"][list].as_array().cloned().unwrap_or_default())
        .filter(|container| container["env"].is_array())
        .map(|container| container["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_namespaces_options_are_the_defaults_of_its_pods() {
    const LOGS: &str = "io.opentelemetry.discovery.logs/enabled";
    const SOURCE: &str = "resource.opentelemetry.io/datadog.log.source";
    let decided = |key: &str, on_namespace: &str, on_pod: Option<&str>| {
        let mut two = pod(app());
        two["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "worker", "image": "nginx:1"}));
        let case = case(two).on_namespace(key, on_namespace);
        match on_pod {
            Some(value) => case.annotate(key, value).decide(),
            None => case.decide(),
        }
    };

    let key = "otelgate.dev/containers";
    assert_eq!(injected(&decided(key, "worker", None)), ["worker"]);
    assert_eq!(injected(&decided(key, "worker", Some("app"))), ["app"]);

    let key = "otelgate.dev/skip";
    let skips = |on_pod| {
        let outcome = decided(key, "OTEL_SERVICE_NAME", on_pod);
        [outcome.variable("OTEL_SERVICE_NAME").is_none(), outcome.attribute("k8s.pod.uid").is_none()]
    };
    assert_eq!(skips(None), [true, false]);
    assert_eq!(skips(Some("k8s.pod.uid")), [false, true], "a list of the pod's own stands for the namespace's");

    let key = "otelgate.dev/logs";
    assert_eq!(decided(key, "disabled", None).annotation(LOGS), None);
    assert_eq!(decided(key, "disabled", Some("enabled")).annotation(LOGS), Some("true"));

    let key = "otelgate.dev/log-source";
    assert_eq!(decided(key, "go", None).annotation(SOURCE), Some("go"));
    assert_eq!(decided(key, "go", Some("java")).annotation(SOURCE), Some("java"));
}

#[test]
fn sidecars_and_init_containers_only_when_named() {
    let mut many = pod(app());
    many["spec"]["containers"] =
        json!([{"name": "istio-proxy"}, {"name": "app"}, {"name": "worker"}, {"name": "otc-container"}]);
    many["spec"]["initContainers"] = json!([{"name": "migrate"}, {"name": "cache", "restartPolicy": "Always"}]);
    many["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    assert_eq!(injected(&case(many.clone()).decide()), ["app", "worker"]);
    let named = case(many.clone()).annotate("otelgate.dev/containers", "worker, cache,istio-proxy,absent").decide();
    assert_eq!(injected(&named), ["istio-proxy", "worker", "cache"]);
    assert!(named.has_note(Reason::UnknownContainer));
    assert_eq!(named.pod["spec"]["ephemeralContainers"], many["spec"]["ephemeralContainers"]);
    let none = case(many).annotate("otelgate.dev/containers", "absent").decide();
    assert_eq!(none.skipped, Some(Reason::NoContainers));
    assert!(none.has_note(Reason::UnknownContainer));
}

#[test]
fn each_known_sidecar_is_one() {
    for name in SIDECARS {
        let mut two = pod(app());
        two["spec"]["containers"] = json!([{"name": name}, {"name": "app"}]);
        assert_eq!(injected(&case(two).decide()), ["app"], "{name}");
    }
    for name in ["istio-proxy", "linkerd-proxy", "datadog-agent", "otc-container", "vault-agent", "cloud-sql-proxy"] {
        assert!(SIDECARS.contains(&name), "{name}");
    }
}

#[test]
fn a_controllers_sidecar_is_one_in_its_pods_only() {
    let owned = |api_version: &str, kind: &str, names: [&str; 2]| {
        let mut pod = pod(app());
        let owner = json!({"apiVersion": api_version, "kind": kind, "name": "w", "controller": true});
        pod["metadata"]["ownerReferences"] = json!([owner]);
        pod["spec"]["containers"] = names.iter().map(|name| json!({"name": name})).collect();
        case(pod)
    };
    let workflow = || owned("argoproj.io/v1alpha1", "Workflow", ["main", "wait"]);
    assert_eq!(injected(&workflow().decide()), ["main"]);
    assert_eq!(injected(&workflow().annotate("otelgate.dev/containers", "wait").decide()), ["wait"]);
    for (api_version, kind) in
        [("argoproj.io/v1alpha1", "Rollout"), ("batch/v1", "Job"), ("example.com/v1", "Workflow")]
    {
        assert_eq!(injected(&owned(api_version, kind, ["main", "wait"]).decide()), ["main", "wait"], "{kind}");
    }
    // App Mesh's, in any pod.
    assert_eq!(injected(&owned("batch/v1", "Job", ["main", "envoy"]).decide()), ["main"]);
    let none = owned("argoproj.io/v1alpha1", "Workflow", ["envoy", "wait"]).decide();
    assert_eq!(none.skipped, Some(Reason::NoContainers));
    assert!(Reason::NoContainers.next_step().contains("name one in otelgate.dev/containers"));
}

#[test]
fn misspelt_annotations_are_told_the_right_name() {
    let outcome = case(pod(app())).annotate("otelgate.dev/endpiont", "http://a").decide();
    assert!(outcome.has_note(Reason::UnknownAnnotation));
    let on_namespace = case(pod(app())).on_namespace("otelgate.dev/skp", "a").decide();
    assert!(on_namespace.has_note(Reason::UnknownAnnotation));
}

#[test]
fn an_unknown_namespace_costs_its_defaults_only() {
    let mut unknown = case(pod(app()));
    unknown.annotations = None;
    let outcome = unknown.decide();
    assert_eq!(outcome.name, "inject");
    assert!(outcome.has_note(Reason::NamespaceUnknown));
    let known = case(pod(app())).on_namespace("resource.opentelemetry.io/deployment.environment.name", "qa").decide();
    assert_eq!(known.attribute("deployment.environment.name"), Some("qa"));
}

#[test]
fn what_the_registration_leaves_out_is_left_alone_whatever_the_labels() {
    for (key, value) in rules::LEFT_OUT {
        assert!(LeftOut::by(|asked| (asked == key).then_some(value)).is_some());
        assert_eq!(LeftOut::by(|asked| (asked == key).then_some("another")), None);
    }
    let left_out = LeftOut::by(|_| Some("true"));
    for pod in [pod(app()), case(pod(app())).label("otelgate.dev/inject", "enabled").pod] {
        let outcome = Case { left_out, ..case(pod) }.decide();
        assert_eq!((outcome.name, outcome.skipped), ("skip", Some(Reason::LeftOutNamespace)));
    }
}

/// The webhook knows of the namespace only what its path tells: what it wrote, others have to find as it should be.
#[test]
fn what_is_wrong_with_the_namespace_is_no_matter_of_the_pods_status() {
    let by_pod = || case(pod(app())).label("otelgate.dev/inject", "enabled");
    let mut unknown = by_pod().opt_in(None);
    unknown.annotations = None;
    let injected = unknown.decide().pod;
    for label in ["enbled", ""] {
        let seen = Case { pod: injected.clone(), ..by_pod().opt_in(Some(label)) };
        let outcome = seen.decide();
        assert!(outcome.has_note(Reason::InvalidOptIn), "{:?}", outcome.notes);
        assert_eq!(outcome.operations, [] as [Value; 0]);
    }
    let invalid = by_pod().opt_in(None).label("otelgate.dev/inject", "enbled").opt_in(Some("enabled")).decide();
    assert!(invalid.annotation("otelgate.dev/status").unwrap().contains("InvalidOptIn"), "the pod's own is");
}

#[test]
fn nulls_count_as_absent_everywhere() {
    let nulls = json!({"metadata": null, "spec": {"containers": [{"name": "app", "image": null, "env": null, "envFrom": null}],
        "initContainers": null, "dnsPolicy": null, "hostNetwork": null, "os": null, "nodeSelector": null}});
    assert_eq!(case(nulls).decide().name, "inject");
    let inner = json!({"metadata": {"name": null, "labels": null, "annotations": null, "ownerReferences": null},
        "spec": {"containers": [{"name": "app", "env": [{"name": "A", "value": null, "valueFrom": null}]}]}});
    assert_eq!(case(inner).decide().name, "inject");
    let empty = json!({"spec": {"containers": null}});
    assert_eq!(case(empty).decide().skipped, Some(Reason::NoContainers));
}
