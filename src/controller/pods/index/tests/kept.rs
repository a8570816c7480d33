//! Pods that were kept from being injected when they were created, and so were never missed.

use super::*;

fn labelled(opt_in: &'static str) -> impl FnOnce(&mut Value) {
    move |pod: &mut Value| pod["metadata"]["labels"]["otelgate.dev/inject"] = json!(opt_in)
}

/// With the opt-in label of a manager that wrote it then.
fn labelled_at(time: &'static str) -> impl FnOnce(&mut Value) {
    move |pod: &mut Value| {
        labelled("enabled")(pod);
        let fields = json!({"f:metadata": {"f:labels": {"f:otelgate.dev/inject": {}}}});
        pod["metadata"]["managedFields"] = json!([{"manager": "m", "time": time, "fieldsV1": fields}]);
    }
}

#[test]
fn what_was_excluded_waits_for_a_restart_whoever_leads() {
    let later = || pod("b", None, |pod| pod["metadata"]["creationTimestamp"] = json!("2026-11-02T13:00:00Z"));
    let tells = |index: &mut Index| {
        index.begin_pods();
        index.pod(pod("z", None, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-02T12:00:01Z")));
        index.pod(pod("a", None, |_| {}));
        index.pod(later());
        index.end_pods();
        index.namespace_seen(namespace("shop", Some("enabled")));
        ["a", "b"].map(|name| look(index, name, true))
    };
    let mut first = Index::default();
    let _ = first.put_in_force(in_force(&json!({"exclude": [{"namespace": "shop"}]})));
    first.namespace_seen(namespace("shop", Some("enabled")));
    first.pod(pod("a", None, |_| {}));
    assert_eq!(counts(&first), [0; 5]);
    assert!(first.put_in_force(in_force(&json!({}))));
    let expected = [Some(Coverage::RestartPending), Some(Coverage::Missed)];
    assert_eq!(tells(&mut first), expected);
    assert_eq!(first.around("shop").opted_in, Some(NOON), "a repair goes by that, too");
    let left_alone = first.left_alone();
    assert_eq!(left_alone, vec![(Arc::<str>::from("shop"), NOON)]);
    add_up(&first);

    let mut next = index();
    next.remember_left_alone(left_alone.iter().map(|(name, until)| (name.to_string(), *until)));
    assert_eq!(tells(&mut next), expected);
    assert_eq!(next.left_alone(), left_alone);
    next.pod_gone(&pod("a", None, |_| {}));
    assert!(next.left_alone().is_empty(), "it was restarted");
}

#[test]
fn a_label_that_a_running_pod_was_given_misses_nothing() {
    const CREATED: &str = "2026-11-02T12:00:00Z";
    const LATER: &str = "2026-11-02T12:00:01Z";
    type Change = Box<dyn FnOnce(&mut Value)>;
    let none = || -> Change { Box::new(|_| {}) };
    let own = |opt_in: &'static str| -> Change { Box::new(labelled(opt_in)) };
    let at = |time: &'static str| -> Change { Box::new(labelled_at(time)) };
    let cases: [(Option<i64>, Vec<Change>, Coverage); 10] = [
        (None, vec![own("enabled")], Coverage::Missed),
        (None, vec![at(CREATED)], Coverage::Missed),
        (None, vec![at(CREATED), at(LATER)], Coverage::Missed),
        (None, vec![at(LATER)], Coverage::RestartPending),
        (None, vec![none(), own("enabled")], Coverage::RestartPending),
        (None, vec![own("disabled"), own("enabled")], Coverage::RestartPending),
        // Its namespace had it in when it was created, or not before.
        (Some(NOON - 1), vec![at(LATER)], Coverage::Missed),
        (Some(NOON - 1), vec![none(), own("enabled")], Coverage::Missed),
        (Some(NOON), vec![none(), own("enabled")], Coverage::RestartPending),
        (Some(NOON - 1), vec![own("disabled"), none()], Coverage::RestartPending),
    ];
    for (number, (opted_in, seen, expected)) in cases.into_iter().enumerate() {
        let mut index = index();
        let mut shop = namespace("shop", opted_in.map(|_| "enabled"));
        shop.around.opted_in = opted_in;
        index.namespace_seen(shop);
        for change in seen {
            index.pod(pod("a", None, change));
        }
        assert_eq!(look(&mut index, "a", true), Some(expected), "{number}");
        add_up(&index);
    }
}

#[test]
fn what_its_namespace_kept_from_being_injected_waits_for_a_restart() {
    let shop = |labels: Value, containers: &str| {
        let annotations = json!({"otelgate.dev/containers": containers});
        let metadata = json!({"name": "shop", "uid": "u", "labels": labels, "annotations": annotations});
        NamespaceSeen::read(&json!({"metadata": metadata}).to_string()).expect("a namespace")
    };
    let called = || json!({"otelgate.dev/inject": "enabled"});
    let left_out = || json!({"otelgate.dev/inject": "enabled", "control-plane": "true"});
    let mut index = index();
    index.pod(pod("a", None, |_| {}));
    index.namespace_seen(shop(left_out(), "app"));
    index.namespace_seen(shop(called(), "app"));
    assert_eq!(look(&mut index, "a", true), Some(Coverage::RestartPending));
    index.pod(pod("b", None, |pod| pod["metadata"]["creationTimestamp"] = json!("2026-11-02T13:00:00Z")));
    assert_eq!(look(&mut index, "b", true), Some(Coverage::Missed));
    index.namespace_seen(shop(left_out(), "app"));
    index.namespace_seen(shop(called(), "app"));
    assert_eq!(counts(&index), [0, 1, 1, 0, 0], "what was missed before still is");

    // Only c's containers have other names.
    index.pod(pod("c", None, |pod| pod["metadata"]["creationTimestamp"] = json!("2026-11-02T13:00:00Z")));
    assert_eq!(look(&mut index, "c", false), Some(Coverage::NotExpected));
    index.namespace_seen(shop(called(), "app,web"));
    let told = ["a", "b", "c"].map(|name| look(&mut index, name, true));
    assert_eq!(
        told,
        [Coverage::RestartPending, Coverage::Missed, Coverage::RestartPending].map(Some),
        "each for its own reason"
    );
    assert_eq!(index.left_alone(), vec![(Arc::<str>::from("shop"), NOON + 3600)]);
    // What a configuration skips, another may not.
    index.pod(pod("d", None, |pod| pod["metadata"]["creationTimestamp"] = json!("2026-11-02T14:00:00Z")));
    look(&mut index, "d", false);
    let _ = index.put_in_force(in_force(&json!({"clusterName": "other"})));
    assert_eq!(look(&mut index, "d", true), Some(Coverage::RestartPending));
    add_up(&index);
}
