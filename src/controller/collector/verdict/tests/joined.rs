//! Nodes that have just joined.

use super::*;

/// A third node, that has just joined: without a Collector, unless there is one.
fn joined(world: &mut World) {
    world.nodes.insert("c".to_owned(), node(&json!({}), true));
    world.joining.insert("c".to_owned());
}

#[test]
fn what_a_node_lacks_that_has_just_joined_is_told_and_no_fault() {
    let cases: [Case; 7] = [
        (
            joined,
            R::CollectorOnEveryNode,
            "on 2 nodes; 1 node has just joined, without one that is ready yet: c (it has none yet)",
            "2/2",
        ),
        (
            |w| {
                joined(w);
                w.nodes.insert("c".to_owned(), node(&json!({}), false));
                w.pods.push(in_state("c", State::ImageNotPulled("ErrImagePull x".into())));
            },
            R::CollectorOnEveryNode,
            "on 2 nodes; 1 node has just joined, without one that is ready yet: c (the node itself isn't ready)",
            "2/2",
        ),
        (
            |w| {
                joined(w);
                w.pods.push(ready("c", "new"));
            },
            R::CollectorOnEveryNode,
            "on 3 nodes",
            "3/3",
        ),
        (
            |w| {
                joined(w);
                w.pods[1] = in_state("b", State::Starting);
            },
            R::CollectorNotReady,
            "1 of 2 nodes: b (it runs, and isn't ready); 1 node has just joined, without one that is ready yet: c (it has none yet)",
            "1/2",
        ),
        (
            |w| {
                joined(w);
                w.joining.clear();
            },
            R::CollectorRollingOut,
            "1 of 3 nodes: c (it has none yet)",
            "2/3",
        ),
        // It isn't the new ones that are late.
        (
            |w| {
                joined(w);
                w.joining = ["a", "b", "c"].map(str::to_owned).into();
                w.pods.clear();
            },
            R::CollectorRollingOut,
            "3 of 3 nodes: a (it has none yet), b (it has none yet), c (it has none yet)",
            "0/3",
        ),
        // A taint that it loses when it is set up.
        (
            |w| {
                joined(w);
                w.nodes
                    .insert("c".to_owned(), node(&json!({"taints": [{"key": "cni", "effect": "NoSchedule"}]}), true));
                w.placement.tolerations.clear();
                w.busy.insert("c".to_owned());
            },
            R::CollectorOnEveryNode,
            "on 2 nodes",
            "2/2",
        ),
    ];
    for (change, reason, detail, numbers) in cases {
        let world = world(change);
        assert_eq!(look(&world, false), (reason, detail.to_owned(), numbers.to_owned()));
    }
    assert_eq!(said(&world(joined), false).status.joining, Some(1));
    let adopted = world(|w| {
        joined(w);
        w.busy.insert("c".to_owned());
        w.pods.push(in_state("c", State::Starting));
    });
    let detail = "on 2 nodes; 1 node has just joined, without one that is ready yet: c (it runs, and isn't ready)";
    assert_eq!(look(&adopted, true), (R::CollectorOnEveryNode, detail.to_owned(), "2/2".to_owned()));
}
