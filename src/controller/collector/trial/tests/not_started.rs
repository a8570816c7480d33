//! Nodes on which a Collector never starts.

use super::*;

fn rejected() -> State {
    State::Down(Box::new(Ended { code: -1, reason: "NodeAffinity".to_owned(), words: "no".to_owned(), at: None }))
}

/// In every way in which a container doesn't start: a virtual node, say, whose name comes first.
fn sick() -> [State; 4] {
    [State::Unschedulable("no".into()), State::ImageNotPulled("no".into()), State::Creating, rejected()]
}

/// Seconds until what is wanted goes to every node.
#[track_caller]
fn until_rolled_out(cluster: &mut Cluster) -> i64 {
    let start = cluster.now;
    while cluster.plan().phase != Phase::RolledOut {
        cluster.control();
        cluster.check();
        // The DaemonSet controller takes another pod for one that was rejected.
        cluster.pods.retain(|pod| pod.state != rejected());
        cluster.daemon_sets();
        cluster.check();
        cluster.kubelets();
        cluster.check();
        cluster.now += 5;
        assert!(cluster.now < start + 7200, "{cluster:#?}");
    }
    cluster.now - start
}

#[test]
fn a_node_that_cannot_run_one_does_not_keep_the_first_from_the_others() {
    for state in sick() {
        for stuck in [false, true] {
            let mut cluster = Cluster::new("one", &["a", "b", "c"]);
            cluster.sick.insert("a", state.clone());
            cluster.stuck.extend(stuck.then_some("a"));
            let seconds = until_rolled_out(&mut cluster);
            assert!(seconds < 300, "{state:?}: {seconds} s");
            let healthy = cluster.pods.iter().filter(|pod| *pod.node != *"a").all(|pod| *pod.revision == *"one");
            assert!(healthy, "{cluster:#?}");
        }
    }
}

/// A whole pool, whose names come first.
#[test]
fn many_nodes_that_cannot_run_one_are_not_tried_one_after_the_other() {
    const NODES: [&str; 24] = [
        "a01", "a02", "a03", "a04", "a05", "a06", "a07", "a08", "a09", "a10", "a11", "a12", "b01", "b02", "b03", "b04",
        "b05", "b06", "b07", "b08", "b09", "b10", "b11", "b12",
    ];
    for state in sick() {
        let mut cluster = Cluster::new("one", &NODES);
        cluster.sick = NODES.iter().take(12).map(|node| (*node, state.clone())).collect();
        let seconds = until_rolled_out(&mut cluster);
        assert!(seconds < 900, "{state:?}: {seconds} s");
    }
}

#[test]
fn a_first_one_that_starts_nowhere_says_so_and_goes_on() {
    for state in sick() {
        let nodes = ["a", "b", "c", "d"];
        let mut cluster = Cluster::new("one", &nodes);
        cluster.sick = nodes.iter().map(|node| (*node, state.clone())).collect();
        let mut failing = Vec::new();
        for second in (0..3600).step_by(5) {
            let plan = cluster.control();
            assert!(plan.phase.is_looked_at(), "nobody tells of time that has gone by");
            cluster.pods.retain(|pod| pod.state != rejected());
            if let Phase::Failing(fault) = plan.phase {
                failing.push((second, fault));
            } else {
                assert!(failing.is_empty(), "it is said all the while: {:?}", plan.phase);
            }
            cluster.daemon_sets();
            cluster.kubelets();
            cluster.check();
            cluster.now += 5;
        }
        let (second, fault) = failing.first().expect("it fails").clone();
        assert!(second < 420 && failing.iter().all(|(_, other)| *other == fault), "{second} {fault}");
        assert!(fault.cause.is_of_the_node() && fault.words.contains("minutes, nor on "), "{fault}");
        // What kept it from it is mended.
        cluster.sick.clear();
        cluster.settle();
        cluster.runs("one");
    }
}

#[test]
fn a_next_one_is_tried_elsewhere_where_its_container_does_not_start() {
    for state in sick() {
        let mut cluster = Cluster::running("one", &["a", "b", "c", "d", "e"]);
        cluster.candidate = Some("two");
        while cluster.trial.is_none() {
            cluster.round(0b10_01_00);
        }
        cluster.sick.insert("a", state.clone());
        let seconds = until_rolled_out(&mut cluster);
        assert!(seconds < 300, "{state:?}: {seconds} s");
        assert!(cluster.known["two"].has_passed());
    }
}

#[test]
fn a_next_one_that_starts_nowhere_is_gone_back_from_after_a_few_nodes() {
    for state in sick() {
        let nodes = ["a", "b", "c", "d", "e"];
        let mut cluster = Cluster::running("one", &nodes);
        cluster.candidate = Some("two");
        let (start, mut tried) = (cluster.now, BTreeSet::new());
        while !matches!(cluster.known.get("two"), Some(Mark::Failed(_))) {
            cluster.control();
            cluster.check();
            cluster.daemon_sets();
            // Nothing is wrong with the nodes.
            for pod in cluster.pods.iter_mut().filter(|pod| pod.rollout == Some(Rollout::Trial)) {
                pod.state = state.clone();
                tried.insert(pod.node.clone());
            }
            cluster.pods.retain(|pod| !pod.leaving);
            let well = cluster.pods.iter_mut().filter(|pod| pod.rollout == Some(Rollout::Stable));
            well.for_each(|pod| pod.state = State::Ready { since: at(0) });
            cluster.now += 5;
            assert!(cluster.now < start + 840, "{cluster:#?}");
        }
        assert_eq!(tried.len(), unfit::MOST, "{tried:?}");
        let Mark::Failed(fault) = &cluster.known["two"] else { panic!("it failed") };
        assert!(fault.cause.is_of_the_node() && fault.words.contains("minutes, nor on a, "), "{fault}");
        cluster.settle();
        cluster.runs("one");
        // It's tried again, on each of them, once its record has gone.
        cluster.known.remove("two");
        cluster.settle();
        cluster.runs("two");
    }
}
