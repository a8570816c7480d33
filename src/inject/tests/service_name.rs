//! The service's name, version and environment: each step of their order.

use serde_json::{Value, json};

use super::{Case, Outcome, app, case, pod, with_env};
use crate::inject::{Action, Reason};

fn owned(api_version: &str, kind: &str, name: &str) -> Case {
    let mut pod = pod(app());
    pod["metadata"]["name"] = Value::Null;
    pod["metadata"]["generateName"] = "x-".into();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": "n"}, {"apiVersion": api_version, "kind": kind, "name": name, "controller": true}]);
    case(pod)
}

fn name(case: Case) -> String {
    case.decide().variable("OTEL_SERVICE_NAME").unwrap().to_owned()
}

#[test]
fn each_step_of_the_order_beats_the_next() {
    let owned =
        || owned("apps/v1", "StatefulSet", "web").configure(|document| document.identity.from_well_known_labels = true);
    assert_order(
        owned,
        |outcome| outcome.variable("OTEL_SERVICE_NAME"),
        &[
            ("by-annotation", &|case| case.annotate("resource.opentelemetry.io/service.name", "by-annotation")),
            ("by-container-label", &|case| case.label("tags.datadoghq.com/app.service", "by-container-label")),
            ("by-label", &|case| case.label("tags.datadoghq.com/service", "by-label")),
            ("by-instance", &|case| case.label("app.kubernetes.io/instance", "by-instance")),
            ("by-name", &|case| case.label("app.kubernetes.io/name", "by-name")),
            ("web", &|case| case),
        ],
    );
}

#[test]
fn the_version_has_an_order_too() {
    const KEY: &str = "resource.opentelemetry.io/service.version";
    assert_order(
        || case(pod(app())).configure(|document| document.identity.from_well_known_labels = true),
        |outcome| outcome.attribute("service.version"),
        &[
            ("by-annotation", &|case| case.annotate(KEY, "by-annotation")),
            ("by-container-label", &|case| case.label("tags.datadoghq.com/app.version", "by-container-label")),
            ("by-label", &|case| case.label("tags.datadoghq.com/version", "by-label")),
            ("by-well-known", &|case| case.label("app.kubernetes.io/version", "by-well-known")),
            ("by-namespace", &|case| case.on_namespace(KEY, "by-namespace")),
            ("1.2", &|case| case),
        ],
    );
}

type Step = (&'static str, &'static dyn Fn(Case) -> Case);

/// Fails unless each step gives its value, whatever the later ones say.
fn assert_order(base: impl Fn() -> Case, found: impl Fn(&Outcome) -> Option<&str>, steps: &[Step]) {
    for from in 0..steps.len() {
        let case = steps[from..].iter().fold(base(), |case, (_, step)| step(case));
        assert_eq!(found(&case.decide()), Some(steps[from].0));
    }
}

#[test]
fn an_empty_one_is_none() {
    let owned = || owned("apps/v1", "StatefulSet", "web");
    assert_eq!(name(owned().label("tags.datadoghq.com/service", "")), "web");
    let annotated = owned().annotate("resource.opentelemetry.io/service.name", "");
    assert_eq!(name(annotated.label("tags.datadoghq.com/service", "by-label")), "by-label");
    let labelled = owned().label("tags.datadoghq.com/app.service", "");
    assert_eq!(name(labelled.label("tags.datadoghq.com/service", "by-label")), "by-label");
}

#[test]
fn well_known_labels_count_only_when_switched_on() {
    let labelled = || {
        owned("apps/v1", "StatefulSet", "web")
            .label("app.kubernetes.io/instance", "release")
            .label("app.kubernetes.io/name", "chart")
            .label("app.kubernetes.io/version", "9")
    };
    assert_eq!(name(labelled()), "web");
    let switched = labelled().configure(|document| document.identity.from_well_known_labels = true);
    assert_eq!(switched.decide().attribute("service.version"), Some("9"));
    assert_eq!(name(switched), "release");
}

#[test]
fn two_deployments_of_one_release_are_two_services() {
    let of = |owner: &'static str, switched: bool| {
        let pod = owned("apps/v1", "ReplicaSet", owner).label("pod-template-hash", "5d9");
        name(
            pod.label("app.kubernetes.io/instance", "release")
                .configure(|document| document.identity.from_well_known_labels = switched),
        )
    };
    assert_eq!((of("web-5d9", false), of("api-5d9", false)), ("web".to_owned(), "api".to_owned()));
    assert_eq!((of("web-5d9", true), of("api-5d9", true)), ("release".to_owned(), "release".to_owned()));
}

/// Its pods will know the name: none is made up for it.
#[test]
fn a_workload_without_a_name_yet_has_no_service_name_of_its_own() {
    for (kind, key) in [("Deployment", "k8s.deployment.name"), ("StatefulSet", "k8s.statefulset.name")] {
        let outcome = owned("apps/v1", kind, "").decide();
        for variable in ["OTEL_SERVICE_NAME", "service.name", "tags.datadoghq.com/service", key] {
            assert!(outcome.is(variable, Action::Left, Some(Reason::NoName)), "{variable}: {:?}", outcome.entries);
        }
        assert_eq!((outcome.variable("OTEL_SERVICE_NAME"), outcome.attribute(key)), (None, None));
        assert_eq!(outcome.attribute("k8s.container.name"), Some("app"));
    }
    let labelled = || owned("batch/v1", "Job", "").label("tags.datadoghq.com/service", "import");
    assert_eq!(name(labelled()), "import");
    let annotated = labelled().annotate("resource.opentelemetry.io/k8s.job.name", "nightly").decide();
    assert_eq!(annotated.attribute("k8s.job.name"), Some("nightly"));
}

#[test]
fn an_owner_gives_its_name_and_attributes() {
    let hashed = |key: &str| owned("apps/v1", "ReplicaSet", "web-5d9").label(key, "5d9");
    let deployment = hashed("pod-template-hash").decide();
    assert_eq!(deployment.variable("OTEL_SERVICE_NAME"), Some("web"));
    assert_eq!(deployment.attribute("k8s.deployment.name"), Some("web"));
    assert_eq!(deployment.attribute("k8s.replicaset.name"), Some("web-5d9"));
    let rollout = hashed("rollouts-pod-template-hash").decide();
    assert_eq!(rollout.variable("OTEL_SERVICE_NAME"), Some("web"));
    assert_eq!(rollout.attribute("k8s.deployment.name"), None);
    for (api_version, kind, owner, expected, attribute) in [
        ("apps/v1", "StatefulSet", "db", "db", Some("k8s.statefulset.name")),
        ("apps/v1", "DaemonSet", "log", "log", Some("k8s.daemonset.name")),
        ("batch/v1", "Job", "import-20261123", "import-20261123", Some("k8s.job.name")),
        ("batch/v1", "Job", "nightly-29923920", "nightly", Some("k8s.cronjob.name")),
        // A CronWorkflow of Argo's counts in seconds.
        ("batch/v1", "Job", "nightly-1795435200", "nightly-1795435200", Some("k8s.job.name")),
        ("batch.volcano.sh/v1alpha1", "Job", "nightly-29923920", "nightly-29923920", None),
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication", "pi", "pi", None),
        ("v1", "ReplicationController", "old", "old", None),
    ] {
        let outcome = owned(api_version, kind, owner).decide();
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some(expected), "{kind}");
        if let Some(attribute) = attribute {
            assert_eq!(outcome.attribute(attribute), Some(expected), "{kind}");
        }
    }
}

#[test]
fn a_bare_pod_has_its_name_or_its_containers() {
    assert_eq!(name(case(pod(app()))), "web");
    let mut generated = pod(app());
    for (metadata, expected) in [
        (json!({"generateName": "web-"}), "app"),
        (json!({"generateName": "web-", "name": "web-x7k2p"}), "app"),
        (json!({"generateName": "web-", "name": "shop-x7k2p"}), "shop-x7k2p"),
        (json!({"generateName": "web-", "name": "web"}), "web"),
        (json!({"generateName": "x".repeat(60), "name": "x".repeat(58) + "x7k2p"}), "app"),
    ] {
        generated["metadata"] = metadata;
        assert_eq!(name(case(generated.clone())), expected, "{}", generated["metadata"]);
    }
}

#[test]
fn a_namespace_cannot_name_a_service() {
    let outcome = case(pod(app()))
        .on_namespace("resource.opentelemetry.io/service.name", "all")
        .on_namespace("resource.opentelemetry.io/service.instance.id", "one")
        .on_namespace("resource.opentelemetry.io/service.version", "8")
        .on_namespace("resource.opentelemetry.io/team", "a,b=c d")
        .decide();
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("web"));
    assert_eq!(outcome.attribute("service.version"), Some("8"));
    assert_eq!(outcome.attribute("team"), Some("a%2Cb%3Dc%20d"));
    assert_eq!(outcome.notes.iter().filter(|(reason, _)| *reason == Reason::NotOnNamespace).count(), 2);
}

#[test]
fn two_containers_of_two_names_leave_the_pod_wide_keys_out() {
    let mut two = pod(app());
    two["spec"]["containers"] = json!([{"name": "app", "image": "a:1"}, {"name": "worker", "image": "b:2"}]);
    let outcome = case(two).label("tags.datadoghq.com/worker.service", "worker").decide();
    for key in ["tags.datadoghq.com/service", "tags.datadoghq.com/version", "resource.opentelemetry.io/service.name"] {
        assert!(outcome.is(key, Action::Left, Some(Reason::ContainersDiffer)), "{key}");
    }
}

#[test]
fn the_environment_has_an_order_too() {
    const KEY: &str = "resource.opentelemetry.io/deployment.environment.name";
    assert_order(
        || case(pod(app())),
        |outcome| outcome.attribute("deployment.environment.name"),
        &[
            ("by-annotation", &|case| case.annotate(KEY, "by-annotation")),
            ("by-container-label", &|case| case.label("tags.datadoghq.com/app.env", "by-container-label")),
            ("by-label", &|case| case.label("tags.datadoghq.com/env", "by-label")),
            ("by-namespace", &|case| case.on_namespace(KEY, "by-namespace")),
            ("by-configuration", &|case| {
                case.configure(|document| document.environment = Some("by-configuration".into()))
            }),
        ],
    );
    assert_eq!(case(pod(app())).decide().attribute("deployment.environment.name"), None);
}

#[test]
fn without_a_namespace_what_needs_it_is_left_out() {
    let outcome = case(pod(app())).namespace(None).decide();
    for key in ["service.namespace", "service.instance.id", "k8s.namespace.name"] {
        assert!(outcome.is(key, Action::Left, Some(Reason::NoNamespace)), "{key}");
    }
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("web"));
}

/// What the kubelet makes of a value that is one reference, or has none.
fn seen<'o>(outcome: &'o Outcome, name: &str) -> &'o str {
    let env = outcome.pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let at = env.iter().rposition(|variable| variable["name"] == name).unwrap();
    let value = env[at]["value"].as_str().unwrap();
    let referred = value.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
    let found = referred.and_then(|referred| env[..at].iter().rfind(|variable| variable["name"] == referred));
    found.map_or(value, |variable| variable["value"].as_str().unwrap())
}

#[test]
fn what_refers_to_the_service_name_finds_it() {
    let set = |name: &str, value: &str| json!({"name": name, "value": value});
    let datadogs = || set("DD_SERVICE", "$(OTEL_SERVICE_NAME)");
    let attributes = |text: &str| set("OTEL_RESOURCE_ATTRIBUTES", text);
    for (env, service) in [
        (json!([datadogs()]), Some("web")),
        (json!([set("X", "$(OTEL_SERVICE_NAME)"), set("DD_SERVICE", "$(X)")]), Some("web")),
        (json!([attributes("service.name=$(OTEL_SERVICE_NAME),x=y")]), Some("web")),
        (json!([attributes("service.name=$(OTEL_SERVICE_NAME)"), set("DD_SERVICE", "pay")]), Some("pay")),
        (json!([datadogs(), attributes("service.name=$(OTEL_SERVICE_NAME)")]), Some("web")),
        (json!([set("DD_SERVICE", "pay"), set("DD_ENV", "$(OTEL_SERVICE_NAME)")]), Some("pay")),
        // It would be two names.
        (json!([set("DD_SERVICE", "a-$(OTEL_SERVICE_NAME)")]), None),
        (json!([attributes("service.name=a-$(OTEL_SERVICE_NAME)")]), None),
        (json!([attributes("service.name=shop"), datadogs()]), None),
        (json!([set("DD_SERVICE", "$(NOWHERE)")]), None),
    ] {
        let of = case(pod(with_env(env.clone())));
        let outcome = of.decide();
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), service, "{env}");
        if let Some(service) = service {
            assert_eq!(outcome.label("tags.datadoghq.com/service"), Some(service), "{env}");
            let again = Case { pod: outcome.pod.clone(), ..of }.decide();
            assert_eq!(again.operations, [] as [Value; 0], "{env}");
            if env[0]["name"] == "DD_SERVICE" {
                assert_eq!(seen(&outcome, "DD_SERVICE"), service, "{env}");
            }
        }
    }
    assert_eq!(
        case(pod(with_env(json!([datadogs()]))))
            .annotate("otelgate.dev/skip", "OTEL_SERVICE_NAME")
            .decide()
            .variable("OTEL_SERVICE_NAME"),
        None
    );
    let mut hidden = with_env(json!([datadogs()]));
    hidden["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
    assert_eq!(case(pod(hidden)).decide().variable("OTEL_SERVICE_NAME"), None);
}

/// Another webhook put what refers to it in front of everything.
#[test]
fn a_service_name_comes_before_what_refers_to_it() {
    let env = json!([{"name": "DD_SERVICE", "value": "$(OTEL_SERVICE_NAME)"}]);
    let first = case(pod(with_env(env)));
    let mut moved = first.decide().pod;
    let list = moved["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    let at = list.iter().position(|variable| variable["name"] == "OTEL_SERVICE_NAME").unwrap();
    let ours = list.remove(at);
    list.push(ours);
    let second = Case { pod: moved, ..first };
    let outcome = second.decide();
    assert_eq!(seen(&outcome, "DD_SERVICE"), "web");
    assert_eq!(outcome.names().iter().filter(|name| **name == "OTEL_SERVICE_NAME").count(), 1);
    assert_eq!(Case { pod: outcome.pod, ..second }.decide().operations, [] as [Value; 0]);
}
