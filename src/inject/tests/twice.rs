//! A pod that meets the engine again.

use serde_json::{Value, json};

use super::{Case, app, case, pod, with_env};
use crate::inject::{Action, Reason, undo};

fn again(first: Case, change: impl FnOnce(&mut Value)) -> Case {
    let mut pod = first.decide().pod;
    change(&mut pod);
    Case { pod, ..first }
}

fn env(pod: &mut Value) -> &mut Vec<Value> {
    pod["spec"]["containers"][0]["env"].as_array_mut().unwrap()
}

#[test]
fn the_second_patch_is_empty() {
    for container in [
        app(),
        with_env(json!([])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": ""}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES"}])),
        with_env(json!([{"name": "DD_SERVICE", "value": "x"}, {"name": "A", "value": "$(OTELGATE_POD_NAME)"}])),
    ] {
        let second = again(case(pod(container)), |_| ()).decide();
        assert_eq!(second.operations, [] as [Value; 0]);
    }
}

#[test]
fn only_what_another_webhook_added_is_new() {
    let added = again(case(pod(app())), |pod| {
        let containers = pod["spec"]["containers"].as_array_mut().unwrap();
        containers.insert(0, json!({"name": "late", "image": "b:1"}));
    });
    let outcome = added.decide();
    assert!(outcome.operations.iter().all(|one| {
        let path = one["path"].as_str().unwrap();
        path.starts_with("/spec/containers/0") || path.starts_with("/metadata")
    }));
    assert_eq!(outcome.names().len(), 9);
    let variable = again(case(pod(app())), |pod| env(pod).insert(0, json!({"name": "X", "value": "1"})));
    assert_eq!(variable.decide().operations, [] as [Value; 0]);
}

#[test]
fn another_configuration_replaces_what_is_ours() {
    let mut second = again(case(pod(with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"}])))), |_| ());
    second = second.configure(|document| {
        document.otlp.protocol = crate::config::Protocol::Grpc;
        document.environment = Some("prod".into());
        document.otlp.metrics_temporality = crate::config::Temporality::Unset;
    });
    let outcome = second.decide();
    assert!(outcome.has_note(Reason::ConfigurationChanged));
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_PROTOCOL"), Some("grpc"));
    assert_eq!(outcome.variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"), None);
    assert!(outcome.variable("OTEL_RESOURCE_ATTRIBUTES").unwrap().starts_with("a=1,service.name="));
    assert_eq!(outcome.attribute("deployment.environment.name"), Some("prod"));
    let third = Case { pod: outcome.pod, ..second };
    assert_eq!(third.decide().operations, [] as [Value; 0]);
}

#[test]
fn an_edited_value_is_the_users() {
    let edited = again(case(pod(app())), |pod| {
        let variable = env(pod).iter_mut().find(|one| one["name"] == "OTEL_SERVICE_NAME").unwrap();
        variable["value"] = "mine".into();
        pod["metadata"]["labels"]["tags.datadoghq.com/env"] = "qa".into();
    });
    let outcome = edited.decide();
    assert!(outcome.has_note(Reason::EditedByUser));
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("mine"));
    assert!(outcome.is("OTEL_SERVICE_NAME", Action::Kept, None));
    assert_eq!(outcome.attribute("service.name"), Some("mine"));
    let third = Case { pod: outcome.pod, ..edited };
    assert_eq!(third.decide().operations, [] as [Value; 0]);
}

#[test]
fn a_value_that_was_removed_is_set_again() {
    let removed = again(case(pod(app())), |pod| env(pod).retain(|one| one["name"] != "OTEL_SERVICE_NAME"));
    assert_eq!(removed.decide().variable("OTEL_SERVICE_NAME"), Some("web"));
}

#[test]
fn text_behind_our_suffix_stays() {
    let behind = again(case(pod(with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"}])))), |pod| {
        let variable = env(pod).iter_mut().find(|one| one["name"] == "OTEL_RESOURCE_ATTRIBUTES").unwrap();
        variable["value"] = format!("{},z=9", variable["value"].as_str().unwrap()).into();
    });
    let outcome = behind.decide();
    assert_eq!(outcome.operations, [] as [Value; 0]);
    assert!(outcome.variable("OTEL_RESOURCE_ATTRIBUTES").unwrap().ends_with(",z=9"));
}

#[test]
fn a_container_that_is_no_longer_selected_is_cleared() {
    let mut two = pod(app());
    two["spec"]["containers"] = json!([{"name": "app", "image": "a:1"}, {"name": "worker", "image": "b:2"}]);
    let narrowed = again(case(two), |pod| {
        pod["metadata"]["annotations"]["otelgate.dev/containers"] = "worker".into();
    });
    let outcome = narrowed.decide();
    assert_eq!(outcome.names(), [] as [&str; 0]);
    let third = Case { pod: outcome.pod, ..narrowed };
    assert_eq!(third.decide().operations, [] as [Value; 0]);
}

#[test]
fn a_status_that_cannot_be_read_is_told_and_replaced() {
    for status in ["", "{", "[]", r#"{"version":1}"#] {
        let broken =
            again(case(pod(app())), |pod| pod["metadata"]["annotations"]["otelgate.dev/status"] = status.into());
        let outcome = broken.decide();
        assert!(outcome.has_note(Reason::InvalidStatus), "{status}");
        assert!(outcome.is("OTEL_SERVICE_NAME", Action::Kept, None));
        let third = Case { pod: outcome.pod, ..broken };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
    }
}

#[test]
fn a_reference_that_would_point_forwards_comes_to_the_front() {
    let own = again(case(pod(app())), |pod| {
        env(pod).insert(1, json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"}));
    });
    let outcome = own.decide();
    let names = outcome.names();
    let place = |name| names.iter().position(|one| *one == name).unwrap();
    for name in ["OTELGATE_POD_NAME", "OTELGATE_POD_UID", "OTELGATE_NODE_NAME"] {
        assert!(place(name) < place("OTEL_RESOURCE_ATTRIBUTES"), "{names:?}");
        assert_eq!(names.iter().filter(|one| **one == name).count(), 1);
    }
    let third = Case { pod: outcome.pod, ..own };
    assert_eq!(third.decide().operations, [] as [Value; 0]);
    let moved = again(case(pod(app())), |pod| env(pod).rotate_left(1)).decide();
    let place = |name| moved.names().iter().position(|one| *one == name).unwrap();
    assert!(place("OTELGATE_POD_NAME") < place("OTEL_RESOURCE_ATTRIBUTES"));
}

#[test]
fn a_suffix_moves_to_the_entry_that_counts() {
    for first in
        [json!({"name": "OTEL_RESOURCE_ATTRIBUTES"}), json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"})]
    {
        let later = json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "b=2"});
        let second = again(case(pod(with_env(json!([first])))), |pod| env(pod).push(later));
        let mut outcome = second.decide();
        let entries: Vec<Value> = env(&mut outcome.pod)
            .iter()
            .filter(|variable| variable["name"] == "OTEL_RESOURCE_ATTRIBUTES")
            .cloned()
            .collect();
        assert_eq!(entries[0], first);
        assert!(entries[1]["value"].as_str().unwrap().starts_with("b=2,service.name="));
        let third = Case { pod: outcome.pod, ..second };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
    }
}

#[test]
fn an_edit_before_our_suffix_leaves_it_ours() {
    let edited = again(case(pod(with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}])))), |pod| {
        let variable = env(pod).iter_mut().find(|one| one["name"] == "OTEL_RESOURCE_ATTRIBUTES").unwrap();
        variable["value"] = variable["value"].as_str().unwrap().replace("team=a", "team=abc").into();
        pod["spec"]["containers"][0]["image"] = "shop/web:2".into();
    });
    let outcome = edited.decide();
    assert_eq!(outcome.attribute("service.version"), Some("2"));
    assert!(outcome.variable("OTEL_RESOURCE_ATTRIBUTES").unwrap().starts_with("team=abc,service.name=web"));
    assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("web"));
}

/// Attributes of another webhook's, which ours are merged into: what stood alone until then goes, and what they refer to
/// stays in front of them, or comes there.
#[test]
fn attributes_that_come_in_between_refer_to_what_stands_before_them() {
    for removed in ["", "OTEL_SERVICE_NAME"] {
        let second = again(case(pod(app())), |pod| {
            let env = env(pod);
            env.retain(|one| one["name"] != removed);
            let refers =
                json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "deployment.environment=$(OTEL_SERVICE_NAME)"});
            env.insert(env.len() - 1, refers);
        });
        let outcome = second.decide();
        assert_eq!(outcome.pod["metadata"]["labels"]["tags.datadoghq.com/env"], "web", "without {removed:?}");
        let third = Case { pod: outcome.pod, ..second };
        assert_eq!(third.decide().operations, [] as [Value; 0], "without {removed:?}");
    }
}

#[test]
fn nulls_beside_a_literal_change_nothing() {
    let second = again(
        case(pod(with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a", "valueFrom": null}])))),
        |_| (),
    );
    assert_eq!(second.decide().operations, [] as [Value; 0]);
}

#[test]
fn of_containers_with_one_name_only_the_first_is_written_into() {
    let mut two = pod(app());
    two["spec"]["containers"] = json!([{"name": "app", "image": "a:1"}, {"name": "app", "image": "b:2"}]);
    let second = again(case(two.clone()), |_| ());
    assert_eq!(second.decide().operations, [] as [Value; 0]);
    let mut injected = second.decide().pod;
    undo(&mut injected).unwrap();
    assert_eq!(injected, two);
}

/// Whoever may create a pod may write any status into it, and everybody else's pods wait while it is read.
#[test]
fn a_forged_status_makes_no_decision_slow() {
    let forged = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| format!("v{index:05}")).collect();
        let mark = |name: &String| (name.clone(), json!("00000000"));
        let env: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        let set: serde_json::Map<_, _> = names.iter().take(count / 2).map(mark).collect();
        let status = json!({
            "version": "0.1.0", "decision": "inject", "config": "00000000",
            "containers": {"app": {"set": set, "edited": names[count / 2..]}},
            "labels": {"edited": names}, "annotations": {},
        });
        let labels: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), json!("x"))).collect();
        let mut pod = pod(with_env(json!(env)));
        pod["metadata"]["labels"] = json!(labels);
        pod["metadata"]["annotations"] = json!({"otelgate.dev/status": status.to_string()});
        pod.to_string()
    };
    super::assert_linear(forged, 500);
}

fn attributes(pod: &mut Value) -> &mut Value {
    let variable = env(pod).iter_mut().find(|one| one["name"] == "OTEL_RESOURCE_ATTRIBUTES").unwrap();
    &mut variable["value"]
}

#[test]
fn what_somebody_adds_to_attributes_of_ours_freezes_none_of_them() {
    for (before, behind, team) in
        [("", ",team=pay", "pay"), ("team=pay,", "", "pay"), ("", ",service.version=7,team=x", "x")]
    {
        let edited = again(case(pod(app())), |pod| {
            let now = attributes(pod).as_str().unwrap().to_owned();
            *attributes(pod) = format!("{before}{now}{behind}").into();
        });
        let outcome = edited.decide();
        assert!(!outcome.has_note(Reason::EditedByUser), "{before}{behind}");
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("web"));
        assert_eq!(outcome.attribute("team"), Some(team));
        let mut upgraded = Case { pod: outcome.pod.clone(), ..edited };
        assert_eq!(upgraded.decide().operations, [] as [Value; 0], "{before}{behind}");
        upgraded.pod["spec"]["containers"][0]["image"] = "shop/web:2.0".into();
        let mut outcome = upgraded.decide();
        let version = if behind.contains("version") { "7" } else { "2.0" };
        assert_eq!(outcome.attribute("service.version"), Some(version), "{before}{behind}");
        assert_eq!(attributes(&mut outcome.pod).as_str().unwrap().matches("service.version=").count(), 1);
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME"), Some("web"));
        let third = Case { pod: outcome.pod.clone(), ..upgraded };
        assert_eq!(third.decide().operations, [] as [Value; 0], "{before}{behind}");
        undo(&mut outcome.pod).unwrap();
        let theirs = if before.is_empty() { &behind[1..] } else { before };
        let undone = json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": theirs}]);
        assert_eq!(outcome.pod["spec"]["containers"][0]["env"], undone);
    }
}

#[test]
fn an_edit_that_makes_an_attribute_of_ours_longer_makes_all_of_it_the_users() {
    for (own, before, behind) in [
        (None, "", "ments"),
        (None, "x", ""),
        (Some(""), "x", ""),
        (Some("team=a"), "", "-blue"),
        (Some("team=a,"), "", " "),
        (Some("team=a, "), "", "-blue,late=1"),
    ] {
        let variable = |own: &str| with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": own}]));
        let container = own.map_or_else(app, variable);
        let mut edited = again(case(pod(container)).annotate("resource.opentelemetry.io/team", "pay"), |pod| {
            let now = attributes(pod).as_str().unwrap().to_owned();
            *attributes(pod) = format!("{before}{now}{behind}").into();
        });
        let theirs = attributes(&mut edited.pod).as_str().unwrap().to_owned();
        let mut undone = edited.pod.clone();
        let kept = undo(&mut undone).unwrap().kept;
        assert_eq!(kept, ["OTEL_RESOURCE_ATTRIBUTES of container app"], "{own:?} {before}{behind}");
        assert_eq!(*attributes(&mut undone), *theirs);
        let edited = edited.annotate("resource.opentelemetry.io/team", "shop");
        let mut outcome = edited.decide();
        assert!(outcome.has_note(Reason::EditedByUser), "{own:?} {before}{behind}");
        assert!(attributes(&mut outcome.pod).as_str().unwrap().starts_with(&theirs));
        let third = Case { pod: outcome.pod.clone(), ..edited };
        assert_eq!(third.decide().operations, [] as [Value; 0], "{own:?} {before}{behind}");
        undo(&mut outcome.pod).unwrap();
        assert_eq!(*attributes(&mut outcome.pod), *theirs);
    }
}

#[test]
fn a_status_without_lengths_is_read_too() {
    for (behind, stands) in [("", true), (",team=pay", false)] {
        let old = again(case(pod(app())), |pod| {
            let status = pod["metadata"]["annotations"]["otelgate.dev/status"].as_str().unwrap();
            let (start, rest) = status.split_once("@none+").unwrap();
            let older = format!("{start}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            pod["metadata"]["annotations"]["otelgate.dev/status"] = older.into();
            let now = attributes(pod).as_str().unwrap().to_owned();
            *attributes(pod) = format!("{now}{behind}").into();
        });
        let mut outcome = old.decide();
        assert!(!outcome.has_note(Reason::InvalidStatus));
        assert_eq!(outcome.has_note(Reason::EditedByUser), !stands);
        assert_eq!(outcome.variable("OTEL_SERVICE_NAME").is_some(), stands);
        let third = Case { pod: outcome.pod.clone(), ..old };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
        undo(&mut outcome.pod).unwrap();
        let env = outcome.pod["spec"]["containers"][0]["env"].as_array();
        assert_eq!(env.is_none(), stands);
    }
}
