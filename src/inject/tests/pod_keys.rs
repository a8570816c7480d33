//! Annotations and labels on the pod itself.

use serde_json::json;

use super::{Case, app, case, pod, with_env};
use crate::config::LogOwner;
use crate::inject::{Action, Reason};

#[test]
fn a_pod_gets_its_identity_and_its_mark() {
    let outcome = case(pod(app())).configure(|document| document.environment = Some("prod".into())).decide();
    for (key, value) in [("service.name", "web"), ("service.version", "1.2"), ("deployment.environment.name", "prod")] {
        assert_eq!(outcome.annotation(&format!("resource.opentelemetry.io/{key}")), Some(value));
    }
    assert_eq!(outcome.label("tags.datadoghq.com/env"), Some("prod"));
    assert_eq!(outcome.label("tags.datadoghq.com/service"), Some("web"));
    assert_eq!(outcome.label("otelgate.dev/config").map(str::len), Some(16));
    assert_eq!(outcome.annotation("io.opentelemetry.discovery.logs/enabled"), Some("true"));
}

#[test]
fn maps_that_are_absent_or_null_are_made() {
    for metadata in [json!({"name": "web"}), json!({"name": "web", "labels": null, "annotations": null}), json!(null)] {
        let mut pod = pod(app());
        pod["metadata"] = metadata;
        let outcome = case(pod.clone()).decide();
        assert!(outcome.label("otelgate.dev/config").is_some(), "{pod}");
        assert!(outcome.annotation("otelgate.dev/status").is_some(), "{pod}");
    }
    let mut without = pod(app());
    without.as_object_mut().unwrap().shift_remove("metadata");
    assert!(case(without).decide().annotation("otelgate.dev/status").is_some());
}

#[test]
fn what_stands_there_stays() {
    let outcome = case(pod(app()))
        .annotate("resource.opentelemetry.io/service.version", "9")
        .annotate("io.opentelemetry.discovery.logs/enabled", "false")
        .label("tags.datadoghq.com/env", "mine")
        .decide();
    assert_eq!(outcome.annotation("io.opentelemetry.discovery.logs/enabled"), Some("false"));
    assert_eq!(outcome.label("tags.datadoghq.com/env"), Some("mine"));
    assert_eq!(outcome.label("tags.datadoghq.com/version"), Some("9"));
    assert!(outcome.is("tags.datadoghq.com/env", Action::Kept, None));
}

#[test]
fn what_kubernetes_would_refuse_is_left_out() {
    for (value, legal) in
        [("1.2+build", false), (&"v".repeat(63), true), (&"v".repeat(64), false), ("-v", false), ("v_1.x", true)]
    {
        let outcome = case(pod(app())).annotate("resource.opentelemetry.io/service.version", value).decide();
        let key = "tags.datadoghq.com/version";
        assert_eq!(outcome.label(key).is_some(), legal, "{value}");
        assert_eq!(outcome.is(key, Action::Left, Some(Reason::NotLegal)), !legal, "{value}");
        assert!(outcome.attribute("service.version").is_some());
    }
}

#[test]
fn the_agents_key_has_room_for_58_characters_of_the_container() {
    for (length, legal) in [(58, true), (59, false), (63, false)] {
        let name = "c".repeat(length);
        let container = json!({"name": name, "image": "nginx:1"});
        let outcome = case(pod(container)).configure(|document| document.logs.owner = LogOwner::Agent).decide();
        let key = format!("ad.datadoghq.com/{name}.logs");
        assert_eq!(outcome.annotation(&key), legal.then_some(r#"[{"source":"nginx","service":"web"}]"#));
        assert_eq!(outcome.is(&key, Action::Left, Some(Reason::NotLegal)), !legal);
    }
}

#[test]
fn logs_have_one_owner() {
    let agent = case(pod(app())).configure(|document| document.logs.owner = LogOwner::Agent);
    let outcome = agent.annotate("otelgate.dev/app.log-source", "java").decide();
    assert_eq!(outcome.annotation("ad.datadoghq.com/app.logs"), Some(r#"[{"source":"java","service":"web"}]"#));
    assert_eq!(outcome.annotation("io.opentelemetry.discovery.logs/enabled"), None);
    let collector = case(pod(app()))
        .annotate("otelgate.dev/app.log-source", "java")
        .annotate("otelgate.dev/log-source", "go")
        .decide();
    assert_eq!(collector.annotation("resource.opentelemetry.io/datadog.log.source"), Some("go"));
    assert_eq!(collector.annotation("ad.datadoghq.com/app.logs"), None);
    assert!(collector.has_note(Reason::PerContainerLogSource));
    let off = case(pod(app())).annotate("otelgate.dev/logs", "disabled").decide();
    assert_eq!(off.annotation("io.opentelemetry.discovery.logs/enabled"), None);
}

#[test]
fn a_log_source_of_the_image_has_to_be_every_containers() {
    let mut two = pod(json!({"name": "app", "image": "nginx:1"}));
    assert_eq!(case(two.clone()).decide().annotation("resource.opentelemetry.io/datadog.log.source"), Some("nginx"));
    two["spec"]["containers"] = json!([{"name": "app", "image": "nginx:1"}, {"name": "b", "image": "shop/b:1"}]);
    let outcome = case(two).decide();
    assert!(outcome.is("resource.opentelemetry.io/datadog.log.source", Action::Left, Some(Reason::ContainersDiffer)));
}

#[test]
fn a_namespaces_log_source_may_be_written_as_a_resource_attribute() {
    const SOURCE: &str = "resource.opentelemetry.io/datadog.log.source";
    const OPTION: &str = "otelgate.dev/log-source";
    let nginx = || case(pod(json!({"name": "app", "image": "nginx:1"}))).on_namespace(SOURCE, "go");
    for (case, source) in [
        (nginx(), "go"),
        (nginx().on_namespace(OPTION, "java"), "java"),
        (nginx().annotate(OPTION, "python"), "python"),
        (nginx().annotate(SOURCE, "ruby"), "ruby"),
    ] {
        let outcome = case.decide();
        assert_eq!(outcome.annotation(SOURCE), Some(source));
        assert_eq!(outcome.attribute("datadog.log.source"), None, "of logs alone");
    }
    let agent = nginx().configure(|document| document.logs.owner = LogOwner::Agent).decide();
    assert_eq!(agent.annotation("ad.datadoghq.com/app.logs"), Some(r#"[{"source":"go","service":"web"}]"#));
    let empty = case(pod(json!({"name": "app", "image": "nginx:1"}))).on_namespace(SOURCE, "").decide();
    assert_eq!(empty.annotation(SOURCE), Some("nginx"));
}

#[test]
fn annotations_stay_below_the_api_servers_limit() {
    let room = |bytes: usize| case(pod(app())).annotate("big", &"x".repeat(bytes)).decide();
    let total = |outcome: &super::Outcome| -> usize {
        outcome.pod["metadata"]["annotations"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| key.len() + value.as_str().unwrap().len())
            .sum()
    };
    for bytes in (256 * 1024 - 2000..256 * 1024).step_by(40) {
        assert!(total(&room(bytes)) <= 256 * 1024, "{bytes}");
    }
    let outcome = room(256 * 1024 - 900);
    assert!(outcome.is("resource.opentelemetry.io/service.name", Action::Left, Some(Reason::AnnotationsTooLarge)));
    let full = room(256 * 1024 - 3);
    assert_eq!(full.skipped, Some(Reason::AnnotationsTooLarge));
}

#[test]
fn an_object_that_would_grow_too_large_is_left_alone() {
    let large = json!({"name": "app", "image": "a:1", "args": ["x".repeat(1024 * 1024 - 1000)]});
    assert_eq!(case(pod(large)).decide().skipped, Some(Reason::ObjectTooLarge));
    let fits = json!({"name": "app", "image": "a:1", "args": ["x".repeat(1024 * 1024 - 8000)]});
    assert_eq!(case(pod(fits)).decide().name, "inject");
}

fn with_containers(count: usize, container: impl Fn(usize) -> serde_json::Value) -> serde_json::Value {
    let mut pod = pod(app());
    pod["spec"]["containers"] = (0..count).map(container).collect();
    pod
}

/// What stands there already isn't written once more.
#[test]
fn a_large_object_that_was_injected_is_not_too_large() {
    let env = json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}]);
    let many = with_containers(300, |n| json!({"name": format!("c{n}"), "image": "a:1", "env": env}));
    let first = case(many).annotate("resource.opentelemetry.io/note", &"x".repeat(1500)).decide();
    assert_eq!((first.name, first.skipped), ("inject", None));
    let again = case(first.pod).decide();
    assert_eq!((again.name, again.skipped, again.operations.len()), ("inject", None, 0));
}

/// The plan with annotations for the Agent, which have no room, would write a long status anew.
#[test]
fn a_large_object_whose_logs_had_no_room_is_not_too_large() {
    let agent = |pod| case(pod).configure(|document| document.logs.owner = LogOwner::Agent);
    let many = with_containers(900, |n| json!({"name": format!("c{n}"), "image": "a:1"}));
    let first = agent(many)
        .annotate("otelgate.dev/skip", "OTEL_EXPORTER_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_PROTOCOL")
        .annotate("big", &"x".repeat(70_000))
        .decide();
    assert!(first.is("ad.datadoghq.com/c0.logs", Action::Left, Some(Reason::AnnotationsTooLarge)));
    let again = agent(first.pod).decide();
    assert_eq!((again.name, again.skipped, again.operations.len()), ("inject", None, 0));
}

/// Once the object has grown, what that plan would add to containers alone passes the limit.
#[test]
fn a_full_object_whose_logs_had_no_room_is_not_too_large() {
    let agent = |pod| case(pod).configure(|document| document.logs.owner = LogOwner::Agent);
    let env = json!([{"name": "OTEL_SERVICE_NAME", "value": "web"}]);
    let many = with_containers(900, |n| json!({"name": format!("c{n}"), "image": "a:1", "env": env}));
    let first = agent(many)
        .annotate("otelgate.dev/skip", "OTEL_RESOURCE_ATTRIBUTES")
        .annotate("big", &"x".repeat(60_000))
        .decide();
    assert!(first.is("ad.datadoghq.com/c0.logs", Action::Left, Some(Reason::AnnotationsTooLarge)));
    let mut full = first.pod;
    full["spec"]["containers"][0]["args"] = json!(["x".repeat(1024 * 1024 - 10_000 - full.to_string().len())]);
    let again = agent(full).decide();
    assert_eq!((again.name, again.skipped, again.operations.len()), ("inject", None, 0));
}

/// Nor is it refused for its annotations where the status of that plan alone has no room.
#[test]
fn a_status_without_room_for_what_is_given_up_refuses_nothing() {
    let agent = |pod| case(pod).configure(|document| document.logs.owner = LogOwner::Agent);
    let many = with_containers(300, |n| json!({"name": format!("c{n}"), "image": "a:1"}));
    let decided = |notes: usize| agent(many.clone()).annotate("notes", &"x".repeat(notes)).decide();
    let most = (150_000..262_144).step_by(500).take_while(|notes| decided(*notes).name == "inject").last().unwrap();
    let full = decided(most);
    let total = full.annotation("otelgate.dev/status").unwrap().len() + most;
    assert!(total + 1_000 > 256 * 1024, "{total}: as long as there is room, it is injected");
    assert!(full.is("ad.datadoghq.com/c0.logs", Action::Left, Some(Reason::AnnotationsTooLarge)));
    let again = agent(full.pod).decide();
    assert_eq!((again.name, again.skipped, again.operations.len()), ("inject", None, 0));
}

/// What is replaced counts once, and how a patch is written not at all.
#[test]
fn an_object_may_grow_to_the_limit() {
    let many = with_containers(200, |n| json!({"name": format!("c{n}"), "image": "a:1", "env": [{"name": "A"}]}));
    let filled = |pod: &serde_json::Value, room: usize| {
        let mut pod = pod.clone();
        pod["spec"]["containers"][0]["args"] = json!([""]);
        let fill = (1024 * 1024 - pod.to_string().len()).saturating_sub(room);
        pod["spec"]["containers"][0]["args"] = json!(["x".repeat(fill)]);
        pod
    };
    let first = case(filled(&many, 512 * 1024)).decide();
    // An API server adds `"apiVersion":"v1",` to each; an empty map gets a comma too many.
    let versions = first.pod.to_string().matches("fieldRef").count() * 18;
    let growth = first.pod.to_string().len() - 512 * 1024 + versions;
    for (room, name) in [(growth + 2, "inject"), (growth - 1, "skip")] {
        let outcome = case(filled(&many, room)).decide();
        assert_eq!(outcome.name, name, "{room}");
        assert!(outcome.pod.to_string().len() <= 1024 * 1024);
    }
    let full = filled(&first.pod, 0);
    assert_eq!(full.to_string().len(), 1024 * 1024);
    let again = case(full).decide();
    assert_eq!((again.name, again.operations.len()), ("inject", 0), "nothing is to be added");
    let changed = |room: usize| {
        case(filled(&first.pod, room)).configure(|document| document.environment = Some("production".into())).decide()
    };
    let shorter = "deployment.environment.name=production,".len() * 200 + 2_000;
    assert_eq!(changed(shorter).name, "inject", "values are replaced");
    assert_eq!(changed(1_000).skipped, Some(Reason::ObjectTooLarge));
}

#[test]
fn a_namespaces_log_source_for_one_container_is_the_default() {
    let two = || {
        let mut two = pod(app());
        let worker = json!({"name": "worker", "image": "shop/worker:1"});
        two["spec"]["containers"].as_array_mut().unwrap().push(worker);
        case(two).on_namespace("otelgate.dev/worker.log-source", "java").on_namespace("otelgate.dev/db.log-source", "x")
    };
    let source = |case: Case| {
        let outcome = case.configure(|document| document.logs.owner = LogOwner::Agent).decide();
        assert!(!outcome.has_note(Reason::UnknownContainer) && !outcome.has_note(Reason::UnknownAnnotation));
        let logs: serde_json::Value =
            serde_json::from_str(outcome.annotation("ad.datadoghq.com/worker.logs").unwrap()).unwrap();
        logs[0]["source"].as_str().map(str::to_owned)
    };
    assert_eq!(source(two()).as_deref(), Some("java"));
    assert_eq!(source(two().on_namespace("otelgate.dev/log-source", "go")).as_deref(), Some("java"));
    assert_eq!(source(two().annotate("otelgate.dev/worker.log-source", "ruby")).as_deref(), Some("ruby"));
    assert_eq!(source(two().annotate("otelgate.dev/log-source", "go")).as_deref(), Some("go"), "the pod's comes first");
    assert_eq!(source(two().annotate("otelgate.dev/worker.log-source", "")).as_deref(), Some("java"));
    let collector = two().decide();
    assert!(collector.has_note(Reason::PerContainerLogSource));
}

#[test]
fn the_status_never_holds_a_value() {
    let env =
        json!([{"name": "TOKEN", "value": "s3cr3t"}, {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "key=s3cr3t"}]);
    let outcome = case(pod(with_env(env))).annotate("resource.opentelemetry.io/x", "s3cr3t").decide();
    assert!(!outcome.annotation("otelgate.dev/status").unwrap().contains("s3cr3t"));
}

#[test]
fn what_the_container_hides_is_on_no_pod_wide_key() {
    let hidden =
        json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]);
    let outcome = case(pod(with_env(hidden))).decide();
    assert!(outcome.is("tags.datadoghq.com/version", Action::Left, Some(Reason::ValueFrom)));
    let skipped = case(pod(app())).annotate("otelgate.dev/skip", "OTEL_SERVICE_NAME").decide();
    assert!(skipped.is("tags.datadoghq.com/service", Action::Left, Some(Reason::SkippedByAnnotation)));
}

#[test]
fn an_older_environment_annotation_counts() {
    let outcome = case(pod(app()))
        .configure(|document| document.environment = Some("staging".into()))
        .annotate("resource.opentelemetry.io/deployment.environment", "prod")
        .decide();
    assert_eq!(outcome.label("tags.datadoghq.com/env"), Some("prod"));
    assert_eq!(outcome.attribute("deployment.environment.name"), Some("prod"));
}

#[test]
fn the_agents_annotation_is_never_empty() {
    let env = json!([{"name": "OTEL_SERVICE_NAME", "value": "$(FOO)"}]);
    let agent = case(pod(with_env(env))).configure(|document| document.logs.owner = LogOwner::Agent).decide();
    assert!(agent.is("ad.datadoghq.com/app.logs", Action::Left, Some(Reason::UnresolvedReference)));
}

#[test]
fn a_small_pod_that_would_grow_too_large_is_left_alone() {
    let containers: Vec<_> = (0..60).map(|n| json!({"name": format!("c{n}"), "image": "a:1"})).collect();
    let mut many = pod(app());
    many["spec"]["containers"] = containers.into();
    let asked =
        (0..7).fold(case(many), |case, n| case.annotate(&format!("resource.opentelemetry.io/k{n}"), &"x".repeat(4000)));
    assert_eq!(asked.decide().skipped, Some(Reason::ObjectTooLarge));
}

/// No legal key has a `~`, but JSON's pointers give it a meaning.
#[test]
fn keys_are_written_into_paths_so_that_they_are_found() {
    let mark = crate::inject::status::Digest::of("ours").to_string();
    let status = json!({"version": "0.1.0", "decision": "inject", "config": "0", "containers": {},
        "annotations": {"set": {"a~b/c": mark}}, "labels": {"set": {"~1d/~0": mark}}});
    let outcome = case(pod(app()))
        .annotate("otelgate.dev/status", &status.to_string())
        .annotate("a~b/c", "ours")
        .annotate("a~1b~0c", "theirs")
        .label("~1d/~0", "ours")
        .decide();
    assert_eq!((outcome.annotation("a~b/c"), outcome.label("~1d/~0")), (None, None));
    assert_eq!(outcome.annotation("a~1b~0c"), Some("theirs"));
}

/// The Agent reads the logs of those alone that an annotation tells it of.
#[test]
fn logs_that_the_agent_is_not_told_of_stay_with_the_sdk() {
    let tags = json!({"fieldRef": {"fieldPath": "metadata.labels['tags.datadoghq.com/service']"}});
    let named = |name: &str| json!({"name": name, "image": "shop/web:1"});
    let huge = "x".repeat(256 * 1024 - 900);
    let with = |variable: serde_json::Value| case(pod(with_env(json!([variable]))));
    let unknown = || with(json!({"name": "DD_SERVICE", "valueFrom": tags}));
    for (case, name, reason) in [
        (unknown(), "app", Some(Reason::ValueFrom)),
        (unknown().annotate("otelgate.dev/log-source", "java"), "app", None),
        (with(json!({"name": "DD_SERVICE", "value": "$(ELSEWHERE)"})), "app", Some(Reason::UnresolvedReference)),
        (with(json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "service.name="})), "app", Some(Reason::PairIsUsers)),
        (case(pod(app())).annotate("otelgate.dev/skip", "service.name"), "app", Some(Reason::SkippedByAnnotation)),
        (case(pod(named(&"n".repeat(59)))), &"n".repeat(59), Some(Reason::NotLegal)),
        (case(pod(named(&"n".repeat(58)))), &"n".repeat(58), None),
        (case(pod(app())).annotate("shop.example/notes", &huge), "app", Some(Reason::AnnotationsTooLarge)),
    ] {
        let case = case.configure(|document| document.logs.owner = LogOwner::Agent);
        let (outcome, key) = (case.decide(), format!("ad.datadoghq.com/{name}.logs"));
        let exporter = outcome.variable("OTEL_LOGS_EXPORTER");
        assert_eq!(
            (outcome.annotation(&key).is_some(), exporter.is_some()),
            (reason.is_none(), reason.is_none()),
            "{reason:?}"
        );
        if reason.is_some() {
            assert!(outcome.is(&key, Action::Left, reason), "{reason:?}: {:?}", outcome.entries);
            assert!(outcome.is("OTEL_LOGS_EXPORTER", Action::Left, Some(Reason::LogsNotRead)), "{:?}", outcome.entries);
            let told = case.annotate(&key, r#"[{"source": "java"}]"#).decide();
            assert_eq!(told.variable("OTEL_LOGS_EXPORTER"), Some("none"), "the pod tells the Agent itself");
        }
    }
}

#[test]
fn logs_that_the_agent_is_not_to_read_stay_with_the_sdk() {
    let owned = |owner, key: &str, value: &str| {
        let mut two = pod(app());
        let worker = json!({"name": "worker", "image": "shop/worker:1"});
        two["spec"]["containers"].as_array_mut().unwrap().push(worker);
        let outcome = case(two).annotate(key, value).configure(|document| document.logs.owner = owner).decide();
        let exporter = |container: usize| {
            let env = outcome.pod["spec"]["containers"][container]["env"].as_array().unwrap();
            env.iter().any(|variable| variable["name"] == "OTEL_LOGS_EXPORTER")
        };
        let read = |name: &str| outcome.annotation(&format!("ad.datadoghq.com/{name}.logs")).is_some();
        if owner == LogOwner::Agent {
            assert_eq!([exporter(0), exporter(1)], [read("app"), read("worker")], "{key}: {value}");
            for name in ["app", "worker"] {
                let key = format!("ad.datadoghq.com/{name}.logs");
                assert_eq!(outcome.is(&key, Action::Left, Some(Reason::LogsExcluded)), !read(name), "{key}: {value}");
            }
            let left = ("OTEL_LOGS_EXPORTER".to_owned(), Action::Left, Some(Reason::LogsExcluded));
            let count = outcome.entries.iter().filter(|entry| **entry == left).count();
            assert_eq!(count, [exporter(0), exporter(1)].iter().filter(|set| !**set).count(), "{key}: {value}");
        }
        [exporter(0), exporter(1)]
    };
    for (key, value, read) in [
        ("ad.datadoghq.com/logs_exclude", "true", [false, false]),
        ("ad.datadoghq.com/exclude", "1", [false, false]),
        ("ad.datadoghq.com/app.logs_exclude", "True", [false, true]),
        ("ad.datadoghq.com/worker.exclude", "t", [true, false]),
        ("ad.datadoghq.com/other.logs_exclude", "true", [true, true]),
        ("ad.datadoghq.com/logs_exclude", "false", [true, true]),
        ("ad.datadoghq.com/logs_exclude", "yes", [true, true]),
        ("ad.datadoghq.com/metrics_exclude", "true", [true, true]),
    ] {
        assert_eq!(owned(LogOwner::Agent, key, value), read, "{key}: {value}");
        assert_eq!(owned(LogOwner::Collector, key, value), [true, true], "{key}: {value}");
    }
}
