//! `kubectl delete daemonset --cascade=orphan`: the pods run on, and hold nothing up.

use super::*;

/// On node `a`, a trial of `two` that runs, in the place of `one`.
fn on_trial() -> Cluster {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = Some("two");
    while cluster.plan().phase != (Phase::Trying { node: "a".to_owned() }) || cluster.trial.is_none() {
        cluster.round(0b10_01_00);
    }
    cluster.round(0b10_01_00);
    assert!(cluster.tried().is_ready(), "{cluster:#?}");
    cluster
}

impl Cluster {
    fn tried(&self) -> &Pod {
        self.pods.iter().find(|pod| pod.rollout == Some(Rollout::Trial)).expect("a trial's pod")
    }
}

#[test]
fn a_trial_goes_on_with_the_pod_that_it_had() {
    let mut cluster = on_trial();
    let uid = cluster.tried().uid.clone();
    cluster.orphan(Rollout::Trial);
    let Plan { trial, stable, phase, .. } = cluster.control();
    assert_eq!(trial, Some(Trial { revision: "two".to_owned(), node: "a".to_owned() }));
    assert_eq!(stable.and_then(|stable| stable.spares).as_deref(), Some("a"));
    assert_eq!(phase, Phase::Trying { node: "a".to_owned() });
    cluster.daemon_sets();
    assert_eq!((&cluster.tried().uid, cluster.tried().is_orphan()), (&uid, false));
    cluster.settle();
    cluster.runs("two");
}

#[test]
fn a_trials_pod_is_taken_away_whatever_is_wanted_by_then() {
    type Change = fn(&mut Cluster);
    let cases: [(&str, Change, &str); 7] = [
        ("it has passed", |cluster| drop(cluster.known.insert("two".to_owned(), Mark::Passed)), "two"),
        ("it has failed", |cluster| drop(cluster.known.insert("two".to_owned(), Mark::Failed(fault("a")))), "one"),
        ("another is tried", |cluster| cluster.candidate = Some("three"), "three"),
        ("the one before is wanted again", |cluster| cluster.candidate = Some("one"), "one"),
        ("the spec has a fault", |cluster| cluster.candidate = None, "one"),
        (
            "its node isn't fit any more",
            |cluster| {
                cluster.nodes.insert("a", false);
            },
            "two",
        ),
        (
            "nothing is known of it",
            |cluster| {
                cluster.candidate = Some("three");
                cluster.known.remove("two");
            },
            "three",
        ),
    ];
    for (case, change, expected) in cases {
        let mut cluster = on_trial();
        change(&mut cluster);
        cluster.orphan(Rollout::Trial);
        cluster.settle();
        assert!(cluster.pods.iter().all(|pod| !pod.is_orphan()), "{case}: {cluster:#?}");
        // A kubelet that comes back ends first what it was told to end meanwhile.
        cluster.nodes.insert("a", true);
        cluster.kubelets();
        cluster.settle();
        let revisions: Vec<_> = cluster.pods.iter().map(|pod| &*pod.revision).collect();
        assert_eq!((revisions, &cluster.trial), (vec![expected; 2], &None), "{case}: {cluster:#?}");
        cluster.runs(expected);
    }
}

/// A `DaemonSet` that is deleted before it has adopted the pod leaves it behind once more.
#[test]
fn what_adopts_it_stays_until_it_has() {
    let mut cluster = on_trial();
    cluster.candidate = Some("one");
    cluster.orphan(Rollout::Trial);
    for _ in 0..3 {
        let Plan { trial, phase, .. } = cluster.control();
        assert_eq!(trial, Some(Trial { revision: "two".to_owned(), node: "a".to_owned() }));
        assert_eq!(phase, Phase::Clearing);
    }
    cluster.daemon_sets();
    assert_eq!(cluster.control().trial, None);
    cluster.settle();
    cluster.runs("one");
}

/// It may be elsewhere than the next leader would have begun.
#[test]
fn a_first_one_goes_on_where_it_is() {
    let mut cluster = Cluster::new("one", &["b", "c"]);
    for _ in 0..2 {
        cluster.round(0b10_01_00);
    }
    let uid = cluster.tried().uid.clone();
    cluster.nodes.insert("a", true);
    cluster.orphan(Rollout::Trial);
    cluster.round(0b10_01_00);
    assert_eq!((&*cluster.tried().node, &cluster.tried().uid), ("b", &uid));
    cluster.settle();
    cluster.runs("one");
}

#[test]
fn what_ran_on_every_node_runs_on() {
    type Change = fn(&mut Cluster);
    let cases: [(&str, Change, &str); 3] = [
        ("it is still wanted", |_| {}, "one"),
        ("another is wanted", |cluster| cluster.candidate = Some("two"), "two"),
        ("the spec has a fault", |cluster| cluster.candidate = None, "one"),
    ];
    for (case, change, expected) in cases {
        for (records, mark) in [("with its record", Mark::Passed), ("whose record was deleted", Mark::Untried)] {
            let mut cluster = Cluster::running("one", &["a", "b"]);
            let before: Vec<_> = cluster.pods.iter().map(|pod| pod.uid.clone()).collect();
            cluster.known.insert("one".to_owned(), mark.clone());
            cluster.passed = Some("one").filter(|_| mark.has_passed());
            change(&mut cluster);
            cluster.orphan(Rollout::Stable);
            let plan = cluster.control();
            assert_eq!(plan.stable.map(|stable| stable.revision).as_deref(), Some("one"), "{case}, {records}");
            // What runs on every node has passed, whatever became of the record.
            cluster.known.insert("one".to_owned(), Mark::Passed);
            cluster.daemon_sets();
            assert!(cluster.pods.iter().all(|pod| !pod.is_orphan()), "{case}, {records}: {cluster:#?}");
            let kept = cluster.pods.iter().filter(|pod| !pod.leaving && before.contains(&pod.uid)).count();
            assert_eq!(kept, if expected == "one" { 2 } else { 1 }, "{case}, {records}: {cluster:#?}");
            cluster.settle();
            cluster.runs(expected);
        }
    }
}

/// In the middle of a trial, both at once.
#[test]
fn both_are_made_again() {
    let mut cluster = on_trial();
    cluster.passed = Some("one");
    cluster.orphan(Rollout::Stable);
    cluster.orphan(Rollout::Trial);
    cluster.settle();
    cluster.runs("two");
}
