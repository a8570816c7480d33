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

/// As if each had been there from the beginning, and with nothing left of it after an undo.
fn assert_each_has_its_own(second: &Case, fresh: &Value) {
    let outcome = second.decide();
    assert_eq!(outcome.pod["spec"], case(fresh.clone()).decide().pod["spec"]);
    let third = Case { pod: outcome.pod.clone(), ..case(fresh.clone()) };
    assert_eq!(third.decide().operations, [] as [Value; 0]);
    for mut injected in [second.pod.clone(), outcome.pod] {
        let undone = undo(&mut injected).unwrap();
        assert_eq!(injected["spec"], fresh["spec"]);
        assert!(undone.kept.is_empty() && undone.unclaimed.is_empty(), "{undone:?}");
    }
}

fn of(containers: Value) -> Value {
    json!({"metadata": {"name": "web", "labels": {}}, "spec": {"containers": containers}})
}

#[test]
fn a_copy_has_an_identity_of_its_own() {
    let merged = with_env(json!([{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}]));
    for container in [app(), merged] {
        let mut named = ["copy", "another", "app"].map(|name| {
            let mut container = container.clone();
            container["name"] = name.into();
            container
        });
        for (there, notes) in [(vec![2, 0], 1), (vec![2, 0, 1], 2), (vec![0, 1], 2)] {
            let second = changed(case(pod(container.clone())), |containers| {
                let injected = containers.remove(0);
                containers.extend(there.iter().map(|at| {
                    let mut copy = injected.clone();
                    copy["name"] = named[*at]["name"].clone();
                    copy
                }));
            });
            let outcome = second.decide();
            let told = outcome.notes.iter().filter(|(reason, _)| *reason == Reason::ContainerCopied);
            assert_eq!(told.count(), notes, "{:?}", outcome.notes);
            assert!(!outcome.has_note(Reason::UnclaimedValues) && !outcome.has_note(Reason::EditedByUser));
            let fresh: Vec<_> = there.iter().map(|at| named[*at].take()).collect();
            assert_each_has_its_own(&second, &of(json!(fresh)));
            for (at, container) in there.iter().zip(fresh) {
                named[*at] = container;
            }
        }
    }
}

#[test]
fn a_copy_that_is_not_selected_gets_nothing() {
    let first = case(pod(app())).annotate("otelgate.dev/containers", "app");
    let second = changed(first, |containers| {
        let mut copy = containers[0].clone();
        copy["name"] = "copy".into();
        containers.push(copy);
    });
    let outcome = second.decide();
    assert!(outcome.has_note(Reason::ContainerCopied));
    assert_eq!(outcome.pod["spec"]["containers"][1], json!({"name": "copy", "image": "shop/web:1.2", "env": []}));
}

#[test]
fn two_that_swap_names_and_one_that_takes_anothers_keep_their_own() {
    let two = || case(of(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}])));
    let swapped = changed(two(), |containers| {
        containers[0]["name"] = "b".into();
        containers[1]["name"] = "a".into();
    });
    let taken = changed(two(), |containers| {
        containers.pop();
        containers[0]["name"] = "b".into();
    });
    for (second, fresh) in [
        (swapped, json!([{"name": "b", "image": "a:1"}, {"name": "a", "image": "b:2"}])),
        (taken, json!([{"name": "b", "image": "a:1"}])),
    ] {
        let outcome = second.decide();
        assert!(outcome.has_note(Reason::ContainerRenamed), "{:?}", outcome.notes);
        assert!(!outcome.has_note(Reason::EditedByUser) && !outcome.has_note(Reason::ContainerCopied));
        assert_each_has_its_own(&second, &of(fresh));
    }
}

/// Such as where the pod gives all its containers one name.
#[test]
fn one_that_has_what_the_status_says_of_it_is_itself() {
    let first = case(of(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "a:1"}])))
        .annotate("resource.opentelemetry.io/k8s.container.name", "a")
        .annotate("otelgate.dev/skip", "service.instance.id,k8s.pod.name,k8s.pod.uid,k8s.node.name");
    let second = changed(first, |_| {});
    let outcome = second.decide();
    assert_eq!((outcome.operations, outcome.notes), (Vec::new(), Vec::new()));
}

/// Whose they are can't be known: nothing of them changes, and somebody is told.
#[test]
fn what_may_be_the_users_stays() {
    type Change = fn(&mut Vec<Value>);
    let proof_is_gone: Change = |containers| {
        containers[0]["name"] = "x".into();
        let env = containers[0]["env"].as_array_mut().unwrap();
        env.retain(|one| one["name"] != "OTEL_RESOURCE_ATTRIBUTES");
    };
    let written_by_hand: Change = |containers| {
        let protocol = json!({"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "http/protobuf"});
        containers[0] = json!({"name": "x", "image": "a:1", "env": [protocol]});
    };
    for change in [proof_is_gone, written_by_hand] {
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
        // It is told as long as they stand there.
        let mut third = Case { pod: outcome.pod.clone(), ..case(pod(app())) };
        assert_eq!(third.decide().operations, [] as [Value; 0]);
        assert!(third.decide().has_note(Reason::UnclaimedValues));
        for mut pod in [second.pod, outcome.pod] {
            assert_eq!(undo(&mut pod).unwrap().unclaimed, ["x"]);
            assert_eq!(pod["spec"]["containers"].as_array().unwrap().last(), before.last());
        }
        let env = third.pod["spec"]["containers"].as_array_mut().unwrap().last_mut().unwrap()["env"].as_array_mut();
        env.unwrap().retain(|one| !before.last().unwrap()["env"].as_array().unwrap().contains(one));
        let fourth = Case { pod: third.decide().pod, ..third };
        assert!(!fourth.decide().has_note(Reason::UnclaimedValues));
    }
}

#[test]
fn what_may_be_the_users_is_told_of_a_container_that_is_not_selected_too() {
    let first = case(pod(app())).annotate("otelgate.dev/containers", "app");
    let second = changed(first, |containers| {
        containers[0]["name"] = "other".into();
        containers[0]["env"].as_array_mut().unwrap().retain(|one| one["name"] != "OTEL_RESOURCE_ATTRIBUTES");
    });
    let outcome = second.decide();
    assert_eq!(outcome.pod["spec"], second.pod["spec"]);
    let third = Case { pod: outcome.pod.clone(), ..second };
    assert!(outcome.has_note(Reason::UnclaimedValues) && third.decide().has_note(Reason::UnclaimedValues));
    assert_eq!(third.decide().operations, [] as [Value; 0]);
    assert_eq!(undo(&mut third.pod.clone()).unwrap().unclaimed, ["other"]);
}

#[test]
fn one_that_never_had_anything_of_ours_is_no_matter() {
    let second = changed(case(pod(app())), |containers| {
        containers[0] = json!({"name": "x", "image": "a:1", "env": [{"name": "OTEL_SERVICE_NAME", "value": "mine"}]});
    });
    let outcome = second.decide();
    assert!(!outcome.has_note(Reason::UnclaimedValues) && !outcome.has_note(Reason::ContainerRenamed));
    // Nor one with what anybody may write, while the one that otelgate wrote into is there.
    let written = [
        json!({"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "http/protobuf"}),
        json!({"name": "OTELGATE_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    ];
    for variable in written {
        let second = changed(case(pod(app())), |containers| {
            containers.push(json!({"name": "x", "image": "a:1", "env": [variable]}));
        });
        let outcome = second.decide();
        assert!(!outcome.has_note(Reason::UnclaimedValues) && !outcome.has_note(Reason::ContainerCopied));
    }
}
