//! A container that was renamed in a manifest which `otelgate inject` wrote into.

use serde_json::{Value, json};

use super::{Case, Outcome, app, case, pod, with_env};
use crate::inject::{Action, Reason, undo};

/// After the change, of a pod that was injected before.
fn changed(first: Case, change: impl FnOnce(&mut Vec<Value>)) -> Case {
    let mut pod = first.decide().pod;
    change(pod["spec"]["containers"].as_array_mut().unwrap());
    Case { pod, ..first }
}

fn renamed(first: Case) -> Case {
    changed(first, |containers| containers[0]["name"] = "web".into())
}

/// By the pod's status.
fn listed(outcome: &Outcome) -> Vec<String> {
    let status: Value = serde_json::from_str(outcome.annotation("otelgate.dev/status").unwrap()).unwrap();
    status["containers"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn what_was_written_is_renewed_under_the_new_name() {
    for container in [
        app(),
        with_env(json!([{"name": "A", "value": "1"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}])),
        with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES"}, {"name": "OTEL_SERVICE_NAME", "value": "mine"}])),
    ] {
        let mut fresh = pod(container.clone());
        fresh["spec"]["containers"][0]["name"] = "web".into();
        let second = renamed(case(pod(container)));
        let outcome = second.decide();
        assert!(outcome.has_note(Reason::ContainerRenamed), "{:?}", outcome.notes);
        assert_eq!(outcome.attribute("k8s.container.name"), Some("web"));
        assert_eq!(listed(&outcome), ["web"]);
        // As if it had been called so from the beginning.
        let from_the_beginning = case(fresh.clone()).decide().pod;
        assert_eq!(outcome.pod["spec"], from_the_beginning["spec"]);
        let renamed = second.pod.clone();
        let third = Case { pod: outcome.pod.clone(), ..second };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
        for mut injected in [renamed, outcome.pod] {
            let undone = undo(&mut injected).unwrap();
            assert_eq!(injected["spec"], fresh["spec"]);
            assert!(undone.kept.is_empty() && undone.unclaimed.is_empty(), "{undone:?}");
        }
    }
}

#[test]
fn what_somebody_edited_as_well_is_the_users() {
    let second = changed(case(pod(app())), |containers| {
        containers[0]["name"] = "web".into();
        let env = containers[0]["env"].as_array_mut().unwrap();
        env.iter_mut().find(|one| one["name"] == "OTEL_SERVICE_NAME").unwrap()["value"] = "mine".into();
    });
    let outcome = second.decide();
    assert!(outcome.has_note(Reason::ContainerRenamed) && outcome.has_note(Reason::EditedByUser));
    assert!(outcome.is("OTEL_SERVICE_NAME", Action::Kept, None));
    assert_eq!(outcome.attribute("k8s.container.name"), Some("web"));
}

#[test]
fn two_that_change_names_each_keep_their_own() {
    let mut two = pod(app());
    two["spec"]["containers"] = json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}]);
    let second = changed(case(two), |containers| {
        containers[0]["name"] = "x".into();
        containers[1]["name"] = "y".into();
        containers.swap(0, 1);
    });
    let outcome = second.decide();
    assert_eq!(listed(&outcome), ["y", "x"]);
    assert_eq!(outcome.attribute("service.version"), Some("2"));
    let mut injected = outcome.pod;
    undo(&mut injected).unwrap();
    assert_eq!(injected["spec"]["containers"], json!([{"name": "y", "image": "b:2"}, {"name": "x", "image": "a:1"}]));
}

/// Whose they are can't be known: nothing of them changes, and somebody is told.
#[test]
fn what_may_be_the_users_stays() {
    type Change = fn(&mut Vec<Value>);
    let copied: Change = |containers| {
        let mut copy = containers[0].clone();
        containers[0]["name"] = "x".into();
        copy["name"] = "y".into();
        containers.push(copy);
    };
    let proof_is_gone: Change = |containers| {
        containers[0]["name"] = "x".into();
        let env = containers[0]["env"].as_array_mut().unwrap();
        env.retain(|one| one["name"] != "OTEL_RESOURCE_ATTRIBUTES");
    };
    let written_by_hand: Change = |containers| {
        let protocol = json!({"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "http/protobuf"});
        containers[0] = json!({"name": "x", "image": "a:1", "env": [protocol]});
    };
    for change in [copied, proof_is_gone, written_by_hand] {
        let second = changed(case(pod(app())), change);
        let before = second.pod["spec"]["containers"].as_array().unwrap().clone();
        let outcome = second.decide();
        assert!(outcome.has_note(Reason::UnclaimedValues), "{:?}", outcome.notes);
        assert!(!outcome.has_note(Reason::ContainerRenamed));
        for (container, before) in outcome.pod["spec"]["containers"].as_array().unwrap().iter().zip(&before) {
            let env = container["env"].as_array().unwrap();
            for variable in before["env"].as_array().unwrap() {
                let same = |one: &&Value| {
                    let now = one["value"].as_str().unwrap_or_default();
                    one["name"] == variable["name"] && now.starts_with(variable["value"].as_str().unwrap_or_default())
                };
                assert!(env.iter().any(|one| same(&one)), "{variable} in {env:#?}");
            }
        }
        let third = Case { pod: outcome.pod, ..case(pod(app())) };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
        let mut pod = second.pod.clone();
        assert!(!undo(&mut pod).unwrap().unclaimed.is_empty());
        assert_eq!(pod["spec"], second.pod["spec"]);
    }
}

#[test]
fn one_that_never_had_anything_of_ours_is_no_matter() {
    let second = changed(case(pod(app())), |containers| {
        containers[0] = json!({"name": "x", "image": "a:1", "env": [{"name": "OTEL_SERVICE_NAME", "value": "mine"}]});
    });
    let outcome = second.decide();
    assert!(!outcome.has_note(Reason::UnclaimedValues) && !outcome.has_note(Reason::ContainerRenamed));
    // Nor is one that another webhook adds, while the first is there.
    let second = changed(case(pod(app())), |containers| {
        let mut copy = containers[0].clone();
        copy["name"] = "copy".into();
        containers.push(copy);
    });
    assert!(!second.decide().has_note(Reason::ContainerRenamed));
}
