//! Revisions that fail.

use super::*;

#[test]
fn a_first_one_that_fails_stays_on_its_node_and_says_why() {
    let mut cluster = Cluster::new("one", &["a", "b"]);
    cluster.bad.insert("one", WORDS);
    cluster.settle();
    let plan = cluster.control();
    assert_eq!(plan.phase, Phase::Failing(fault("a")));
    assert_eq!((plan.stable, plan.mark), (None, None));
    assert_eq!(cluster.pods.len(), 1);
    // What it waited for has come: it's good all the same.
    cluster.bad.clear();
    cluster.pods[0].state = State::Ready { since: at(cluster.now) };
    cluster.settle();
    cluster.runs("one");
}

#[test]
fn a_next_one_that_fails_is_gone_back_from_with_its_words() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    let before: Vec<_> = cluster.pods.iter().map(|pod| (pod.node.clone(), pod.uid.clone())).collect();
    cluster.candidate = Some("two");
    cluster.bad.insert("two", WORDS);
    cluster.settle();
    cluster.runs("one");
    assert_eq!(cluster.control().phase, Phase::RolledBack(fault("a")));
    assert_eq!(cluster.known["two"], Mark::Failed(fault("a")));
    let after: Vec<_> = cluster.pods.iter().map(|pod| (pod.node.clone(), pod.uid.clone())).collect();
    let of_b = |all: &[(Box<str>, Box<str>)]| all.iter().find(|(node, _)| **node == *"b").cloned();
    assert_eq!(of_b(&after), of_b(&before), "the other node's was never touched");
    // It's tried again once its record has gone.
    cluster.known.remove("two");
    cluster.bad.clear();
    cluster.settle();
    cluster.runs("two");
}

#[test]
fn a_trial_without_a_pod_has_its_time_too() {
    let mut cluster = Cluster::running("one", &["a"]);
    cluster.candidate = Some("two");
    for _ in 0..3 {
        cluster.control();
        cluster.daemon_sets();
        cluster.kubelets();
    }
    cluster.pods.clear();
    assert_eq!(cluster.plan().mark, None);
    cluster.now += 301;
    assert!(matches!(cluster.plan().mark, Some(Mark::Failed(fault)) if fault.words.ends_with("no pod was made")));
}

#[test]
fn one_that_the_api_server_would_refuse_takes_no_node_its_collector() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    let before = cluster.pods.clone();
    cluster.candidate = Some("two");
    cluster.refused = Some("the API server refused: no");
    let Plan { mark, stable, .. } = cluster.control();
    let words = "the API server refused: no".to_owned();
    let fault = Fault { node: String::new(), cause: Cause::Refused, words, key: None };
    assert_eq!(mark, Some(Mark::Failed(fault.clone())));
    assert_eq!(stable, Some(Stable { revision: "one".to_owned(), spares: None }));
    cluster.settle();
    assert_eq!(cluster.control().phase, Phase::RolledBack(fault));
    assert_eq!(cluster.pods, before, "none was replaced");
    // Something else is wanted, and nothing is said of it.
    (cluster.candidate, cluster.refused) = (Some("three"), None);
    cluster.settle();
    cluster.runs("three");
}

#[test]
fn one_whose_daemon_set_is_never_taken_is_gone_back_from() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = Some("two");
    while cluster.plan().trial.is_none() {
        cluster.control();
        cluster.daemon_sets();
        cluster.kubelets();
    }
    assert_eq!(cluster.plan().mark, None);
    cluster.not_taken = true;
    assert_eq!(cluster.plan().again, Some(Duration::from_mins(5)));
    cluster.now += 301;
    let mark = cluster.plan().mark;
    assert!(matches!(&mark, Some(Mark::Failed(fault)) if fault.cause == Cause::Refused), "{mark:?}");
    cluster.control();
    cluster.trial = None;
    cluster.not_taken = false;
    cluster.settle();
    cluster.runs("one");
}
