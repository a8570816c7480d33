//! What is known after the watches have told this and that.

use serde_json::{Value, json};

use super::*;
use crate::config::{self, Configuration};

mod kept;

const NOON: i64 = 1_793_620_800;

fn configuration(fields: &Value) -> Arc<Configuration> {
    let mut document = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration"});
    for (field, value) in fields.as_object().expect("fields") {
        document[field] = value.clone();
    }
    Arc::new(config::parse(&document.to_string()).expect("a configuration"))
}

fn in_force(fields: &Value) -> InForce {
    InForce { configuration: configuration(fields), enabled_since: None }
}

pub fn index() -> Index {
    let mut index = Index::default();
    assert!(!index.put_in_force(in_force(&json!({}))));
    index
}

pub fn namespace(name: &str, opt_in: Option<&str>) -> NamespaceSeen {
    let labels = opt_in.map_or(json!({}), |value| json!({"otelgate.dev/inject": value}));
    NamespaceSeen::read(&json!({"metadata": {"name": name, "labels": labels}}).to_string()).expect("a namespace")
}

/// A pod of Deployment `web`, created at noon, under a configuration with that hash if it has a mark.
pub fn pod(name: &str, mark: Option<&str>, change: impl FnOnce(&mut Value)) -> PodSeen {
    let mut pod = json!({"metadata": {
        "name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-02T12:00:00Z",
        "labels": {"pod-template-hash": "5d9"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "r", "controller": true}],
    }});
    if let Some(hash) = mark {
        let status = json!({"version": "1", "config": hash}).to_string();
        pod["metadata"]["annotations"] = json!({"otelgate.dev/status": status});
    }
    change(&mut pod);
    PodSeen::read(&pod.to_string()).expect("a pod")
}

fn counts(index: &Index) -> [u32; 5] {
    let totals = index.totals();
    [Count::Injected, Count::Missed, Count::RestartPending, Count::Outdated, Count::Unseen]
        .map(|count| totals.get(count))
}

pub fn look(index: &mut Index, name: &str, injects: bool) -> Option<Coverage> {
    let uid = pod(name, None, |_| {}).uid;
    index.looked_at("shop", name, uid, injects).map(|(coverage, ..)| coverage)
}

/// Of pods that are to be looked at; none for a whole namespace.
fn names(index: &Index, most: usize) -> Vec<Option<Box<str>>> {
    index.to_look_at(most).iter().map(|one| one.name().map(Into::into)).collect()
}

/// Counts kept along the way are those that one would find by going through everything.
#[track_caller]
fn add_up(index: &Index) {
    let mut sum = Tally::default();
    for (_, tally) in index.workloads() {
        assert!(tally.get(Count::Pods) > 0);
        sum.add(*tally);
    }
    assert_eq!(sum, index.totals());
    let pods: usize = index.namespaces.values().map(|namespace| namespace.pods.len()).sum();
    assert_eq!(index.totals().get(Count::Pods) as usize, pods);
}

#[test]
fn a_pod_without_a_mark_is_looked_at_before_it_is_missed() {
    let mut index = index();
    let own = index.in_force().expect("it is").configuration.hash().to_owned();
    index.namespace_seen(namespace("shop", Some("enabled")));
    for (name, mark) in [("a", Some(own.as_str())), ("b", Some("earlier")), ("c", None), ("d", None)] {
        index.pod(pod(name, mark, |_| {}));
    }
    assert_eq!(counts(&index), [1, 0, 0, 1, 2]);
    assert_eq!(look(&mut index, "c", true), Some(Coverage::Missed));
    assert_eq!(look(&mut index, "d", false), Some(Coverage::NotExpected));
    assert_eq!(counts(&index), [1, 1, 0, 1, 0]);
    // Its kubelet writes a status: nothing that counts.
    index.pod(pod("c", None, |_| {}));
    assert_eq!(counts(&index), [1, 1, 0, 1, 0]);
    let workloads: Vec<_> = index.workloads().map(|(name, tally)| (name.to_string(), tally.lacking())).collect();
    assert_eq!(workloads, [("shop/Deployment/web".to_owned(), 2)]);
    // The next of that name is another.
    index.pod(pod("c", None, |pod| pod["metadata"]["uid"] = json!("another")));
    assert_eq!(counts(&index), [1, 0, 0, 1, 1]);
    add_up(&index);
}

#[test]
fn labels_and_modes_say_what_is_expected() {
    for (opt_in, own, fields, unseen) in [
        (Some("enabled"), None, json!({}), 1),
        (None, Some("enabled"), json!({}), 1),
        (Some("enabled"), Some("yes"), json!({}), 1),
        (Some("enabled"), Some("disabled"), json!({}), 0),
        (Some("enabled"), Some("observe"), json!({}), 0),
        (Some("observe"), None, json!({}), 0),
        (Some("on"), None, json!({}), 0),
        (None, None, json!({}), 0),
        (Some("enabled"), None, json!({"mode": "observe"}), 0),
        (Some("enabled"), None, json!({"mode": "disabled"}), 0),
        (
            Some("enabled"),
            None,
            json!({"exclude": [{"namespace": "shop", "selector": {"matchLabels": {"pod-template-hash": "5d9"}}}]}),
            0,
        ),
    ] {
        let mut index = Index::default();
        let _ = index.put_in_force(in_force(&fields));
        index.namespace_seen(namespace("shop", opt_in));
        index.pod(pod("a", None, |pod| {
            if let Some(own) = own {
                pod["metadata"]["labels"]["otelgate.dev/inject"] = json!(own);
            }
        }));
        assert_eq!(counts(&index)[4], unseen, "{opt_in:?} {own:?} {fields}");
    }
    let mut index = index();
    index.namespace_seen(namespace("shop", Some("enabled")));
    index.pod(pod("m", None, |pod| pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"})));
    assert_eq!(counts(&index)[4], 0, "a mirror pod");
}

#[test]
fn what_is_older_than_its_opt_in_waits_for_a_restart() {
    let labelled = |at: i64| {
        let mut namespace = namespace("shop", Some("enabled"));
        namespace.around.opted_in = Some(at);
        namespace
    };
    for (opted_in, enabled_since, own, expected) in [
        (NOON - 1, NOON - 1, None, Coverage::Missed),
        (NOON, NOON - 1, None, Coverage::RestartPending),
        (NOON - 1, NOON, None, Coverage::RestartPending),
        (NOON + 1, NOON - 1, Some("enabled"), Coverage::Missed),
        (NOON + 1, NOON, Some("enabled"), Coverage::RestartPending),
        (NOON - 1, NOON - 1, Some("yes"), Coverage::Missed),
        (NOON + 1, NOON - 1, Some("yes"), Coverage::RestartPending),
    ] {
        let mut index = Index::default();
        let _ = index.put_in_force(InForce { enabled_since: Some(enabled_since), ..in_force(&json!({})) });
        index.namespace_seen(labelled(opted_in));
        index.pod(pod("a", None, |pod| {
            if let Some(own) = own {
                pod["metadata"]["labels"]["otelgate.dev/inject"] = json!(own);
            }
        }));
        assert_eq!(look(&mut index, "a", true), Some(expected), "{opted_in} {enabled_since} {own:?}");
    }
}

#[test]
fn an_opt_in_is_as_old_as_it_was_first_seen() {
    let labelled = |uid: &str, opt_in: &str, at: i64| {
        let mut namespace = namespace("shop", Some(opt_in));
        (namespace.around.uid, namespace.around.opted_in) = (uid.into(), Some(at));
        namespace
    };
    let mut index = index();
    index.namespace_seen(labelled("u", "enabled", NOON - 1));
    index.pod(pod("a", None, |_| {}));
    assert_eq!(look(&mut index, "a", true), Some(Coverage::Missed));
    index.namespace_seen(labelled("u", "enabled", NOON + 1));
    assert_eq!(counts(&index), [0, 1, 0, 0, 0], "its manager has written something else");
    index.begin_namespaces();
    index.namespace_seen(labelled("u", "enabled", NOON + 2));
    index.end_namespaces();
    assert_eq!(counts(&index), [0, 1, 0, 0, 0], "listed again");
    index.namespace_seen(labelled("u", "observe", NOON + 3));
    index.namespace_seen(labelled("u", "enabled", NOON + 4));
    assert_eq!(counts(&index), [0, 0, 1, 0, 0], "opted in anew");
    index.namespace_seen(labelled("u", "enabled", NOON - 1));
    assert_eq!(counts(&index), [0, 1, 0, 0, 0], "it was there earlier than had been told");
    index.namespace_seen(labelled("another", "enabled", NOON + 5));
    assert_eq!(counts(&index), [0, 0, 1, 0, 0], "another of that name");
    add_up(&index);
}

#[test]
fn a_change_of_the_namespace_counts_for_all_of_its_pods() {
    let mut index = index();
    for name in ["a", "b"] {
        index.pod(pod(name, None, |_| {}));
    }
    assert_eq!(counts(&index), [0; 5], "nobody has told of the namespace yet");
    index.namespace_seen(namespace("shop", Some("enabled")));
    assert_eq!(counts(&index)[4], 2);
    look(&mut index, "a", true);
    index.namespace_seen(namespace("shop", Some("observe")));
    assert_eq!(counts(&index), [0; 5]);
    index.namespace_seen(namespace("shop", Some("enabled")));
    assert_eq!(counts(&index), [0, 1, 0, 0, 1], "what was seen of the spec is still known");
    let mut other = namespace("shop", Some("enabled"));
    other.around.annotations = [("otelgate.dev/containers".into(), "x".into())].into();
    index.namespace_seen(other);
    assert_eq!(counts(&index), [0, 0, 0, 0, 2], "other defaults may make another decision");
    index.namespace_gone("shop");
    assert_eq!(counts(&index), [0; 5]);
    add_up(&index);
}

/// Nobody would inject what comes in an evicted pod's place.
#[test]
fn no_pod_is_missed_where_the_api_server_never_asks() {
    let mut index = index();
    index.pod(pod("a", None, |_| {}));
    index.pod(pod("b", None, |pod| pod["metadata"]["labels"]["otelgate.dev/inject"] = json!("enabled")));
    index.namespace_seen(namespace("shop", Some("enabled")));
    assert_eq!(counts(&index), [0, 0, 0, 0, 2]);
    let labels = json!({"otelgate.dev/inject": "enabled", "control-plane": "true"});
    let left_out = json!({"metadata": {"name": "shop", "labels": labels}}).to_string();
    index.namespace_seen(NamespaceSeen::read(&left_out).expect("a namespace"));
    assert_eq!(counts(&index), [0; 5]);
    add_up(&index);
}

#[test]
fn another_configuration_makes_marks_old_and_new_again() {
    let mut index = index();
    let first = index.in_force().cloned().expect("it is");
    index.namespace_seen(namespace("shop", Some("enabled")));
    index.pod(pod("a", Some(first.configuration.hash()), |_| {}));
    index.pod(pod("b", None, |_| {}));
    look(&mut index, "b", false);
    assert_eq!(counts(&index), [1, 0, 0, 0, 0]);
    assert!(!index.put_in_force(in_force(&json!({"clusterName": "other"}))));
    assert_eq!(counts(&index), [0, 0, 0, 1, 1], "what was skipped is looked at again");
    assert!(!index.put_in_force(first));
    assert_eq!(counts(&index), [1, 0, 0, 0, 1]);
    let exclude = json!({"exclude": [{"namespace": "shop", "selector": {"matchLabels": {"a": "b"}}}]});
    assert!(index.put_in_force(in_force(&exclude)), "labels aren't kept: all are listed again");
    add_up(&index);
}

#[test]
fn a_list_takes_away_what_it_lacks() {
    let mut index = index();
    index.begin_namespaces();
    index.namespace_seen(namespace("shop", Some("enabled")));
    index.namespace_seen(namespace("other", None));
    index.end_namespaces();
    index.begin_pods();
    for name in ["a", "b", "c"] {
        index.pod(pod(name, None, |_| {}));
    }
    index.end_pods();
    assert_eq!(counts(&index)[4], 3);
    index.begin_pods();
    index.pod(pod("b", None, |_| {}));
    assert_eq!(counts(&index)[4], 3, "until it is complete");
    index.end_pods();
    assert_eq!(counts(&index)[4], 1);
    index.begin_namespaces();
    index.namespace_seen(namespace("other", None));
    index.end_namespaces();
    assert_eq!((counts(&index)[4], index.namespaces().count()), (0, 1));
    let other = pod("b", None, |pod| pod["metadata"]["uid"] = json!("another"));
    index.pod_gone(&other);
    assert_eq!(index.totals().get(Count::Pods), 1, "another of that name has gone");
    index.pod(pod("b", None, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-02T12:00:01Z")));
    assert_eq!((index.totals(), index.workloads().count()), (Tally::default(), 0));
}

#[test]
fn a_few_are_looked_at_by_name_and_many_by_a_list() {
    let mut index = index();
    index.namespace_seen(namespace("shop", Some("enabled")));
    let only = |index: &Index| {
        let mut only = names(index, 10);
        only.sort();
        only
    };
    for name in ["a", "b"] {
        index.pod(pod(name, None, |_| {}));
    }
    assert_eq!(only(&index), [Some("a".into()), Some("b".into())]);
    for name in ["c", "d", "e"] {
        index.pod(pod(name, None, |_| {}));
    }
    assert_eq!(only(&index), [None]);
    for name in ["a", "b", "c", "d"] {
        look(&mut index, name, true);
    }
    index.listed("shop");
    assert_eq!(only(&index), [Some("e".into())], "the list didn't have it");
    let mut other = namespace("shop", Some("enabled"));
    other.around.annotations = [("otelgate.dev/containers".into(), "x".into())].into();
    index.namespace_seen(other);
    assert_eq!(only(&index), [None], "all have to be looked at again, in one list");
}

#[test]
fn a_few_new_ones_among_many_are_no_reason_for_a_list() {
    let mut index = index();
    index.namespace_seen(namespace("shop", Some("enabled")));
    for n in 0..60 {
        let name = format!("missed-{n}");
        index.pod(pod(&name, None, |_| {}));
        look(&mut index, &name, true);
    }
    // Marked ones are in no list.
    for n in 0..1000 {
        index.pod(pod(&format!("marked-{n}"), Some("earlier"), |_| {}));
    }
    for n in 0..6 {
        index.pod(pod(&format!("new-{n}"), None, |pod| {
            pod["metadata"]["creationTimestamp"] = json!(format!("2026-11-02T13:00:0{}Z", 6 - n));
        }));
    }
    let only = |most| names(&index, most);
    let named = |names: &[&str]| names.iter().map(|name| Some((*name).into())).collect::<Vec<_>>();
    assert_eq!(only(3), named(&["new-5", "new-4", "new-3"]), "the oldest first");
    assert_eq!(only(10).len(), 6);
    index.pod(pod("new-6", None, |_| {}));
    assert_eq!(names(&index, 10), [None], "7 of 67");
}

#[test]
fn what_is_written_wrong_is_counted() {
    let mut index = index();
    index.namespace_seen(namespace("shop", None));
    index.pod(pod("a", None, |pod| pod["metadata"]["labels"]["otelgate.dev/inject"] = json!("true")));
    let annotated = |pod: &mut Value| pod["metadata"]["annotations"] = json!({"otelgate.dev/inject": "enabled"});
    index.pod(pod("b", None, annotated));
    let totals = index.totals();
    assert_eq!((totals.get(Count::InvalidOptIn), totals.get(Count::OptInIsALabel)), (1, 1));
    index.namespace_seen(namespace("shop", Some("enabled")));
    assert_eq!(index.totals().get(Count::OptInIsALabel), 0, "it is opted in all the same");
}
