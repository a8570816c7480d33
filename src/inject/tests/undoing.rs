//! Undo, from the status alone.

use serde_json::{Value, json};

use super::{app, case, pod, with_env};
use crate::inject::undo;

fn originals() -> Vec<Value> {
    let mut pods: Vec<Value> = [
        app(),
        with_env(json!(null)),
        with_env(json!([])),
        with_env(json!([{"name": "A", "value": "1"}])),
        with_env(json!([{"name": "A", "value": "$(OTELGATE_POD_NAME)"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1,"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": ""}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": null}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES"}])),
        with_env(json!([{"name": "OTEL_SERVICE_NAME", "value": "mine"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1", "valueFrom": null}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "$(OTELGATE_POD_NAME)"}, {"name": "OTEL_RESOURCE_ATTRIBUTES"}])),
    ]
    .into_iter()
    .map(pod)
    .collect();
    for metadata in [
        json!(null),
        json!({}),
        json!({"labels": null}),
        json!({"annotations": {}, "labels": {"tags.datadoghq.com/env": "x"}}),
    ] {
        let mut one = pod(app());
        one["metadata"] = metadata;
        pods.push(one);
    }
    let mut bare = pod(app());
    bare.as_object_mut().unwrap().shift_remove("metadata");
    pods.push(bare);
    pods
}

#[test]
fn the_original_comes_back() {
    for original in originals() {
        let mut injected = case(original.clone()).decide().pod;
        assert_ne!(injected, original);
        let undone = undo(&mut injected).unwrap();
        assert!(undone.found);
        assert_eq!(injected, original);
    }
}

#[test]
fn the_original_comes_back_after_a_second_decision_with_another_configuration() {
    for original in originals() {
        let first = case(original.clone());
        let second = super::Case { pod: first.decide().pod, ..first }
            .configure(|document| document.otlp.reach = crate::config::Reach::Node);
        let mut injected = second.decide().pod;
        undo(&mut injected).unwrap();
        assert_eq!(injected, original);
    }
}

#[test]
fn what_somebody_edited_or_added_stays() {
    let first = case(pod(with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1"}]))));
    let mut injected = first.decide().pod;
    let env = injected["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    for variable in env.iter_mut() {
        match variable["name"].as_str().unwrap() {
            "OTEL_SERVICE_NAME" => variable["value"] = "mine".into(),
            "OTEL_RESOURCE_ATTRIBUTES" => {
                variable["value"] = format!("{},z=$(OTELGATE_POD_NAME)", variable["value"].as_str().unwrap()).into();
            }
            _ => {}
        }
    }
    env.push(json!({"name": "NEW", "value": "1"}));
    injected["metadata"]["labels"]["tags.datadoghq.com/service"] = "mine".into();
    let undone = undo(&mut injected).unwrap();
    assert_eq!(
        injected["spec"]["containers"][0]["env"],
        json!([
            {"name": "OTELGATE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "OTEL_SERVICE_NAME", "value": "mine"},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "a=1,z=$(OTELGATE_POD_NAME)"},
            {"name": "NEW", "value": "1"}
        ])
    );
    assert_eq!(injected["metadata"]["labels"], json!({"tags.datadoghq.com/service": "mine"}));
    assert_eq!(undone.kept, ["OTEL_SERVICE_NAME of container app", "tags.datadoghq.com/service"]);
}

#[test]
fn without_a_status_nothing_happens() {
    let mut plain = pod(app());
    assert!(!undo(&mut plain).unwrap().found);
    assert_eq!(plain, pod(app()));
    plain["metadata"]["annotations"] = json!({"otelgate.dev/status": "{"});
    let before = plain.clone();
    assert!(undo(&mut plain).is_err());
    assert_eq!(plain, before);
}

#[test]
fn an_edited_value_keeps_what_it_refers_to_also_after_another_decision() {
    let first = case(pod(app()));
    let mut injected = first.decide().pod;
    for variable in injected["spec"]["containers"][0]["env"].as_array_mut().unwrap() {
        if variable["name"] == "OTEL_RESOURCE_ATTRIBUTES" {
            variable["value"] = "mine=$(OTELGATE_POD_NAME)".into();
        }
    }
    let mut again = super::Case { pod: injected, ..first }.decide().pod;
    undo(&mut again).unwrap();
    let names: Vec<_> = again["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["OTELGATE_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES"]);
    assert_eq!(again["spec"]["containers"][0]["env"][1]["value"], "mine=$(OTELGATE_POD_NAME)");
}

#[test]
fn an_entry_that_somebody_added_under_a_name_of_ours_stays() {
    let own = json!({"name": "OTELGATE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    let mut injected = case(pod(app())).decide().pod;
    let env = injected["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.last_mut().unwrap()["value"] = "edited".into();
    env.insert(5, own.clone());
    undo(&mut injected).unwrap();
    let edited = json!({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "edited"});
    assert_eq!(injected["spec"]["containers"][0]["env"], json!([own, edited]));
}
