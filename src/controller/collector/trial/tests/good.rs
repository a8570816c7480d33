//! What runs, or has passed once.

use super::*;

#[test]
fn a_spec_with_a_fault_leaves_what_runs() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = None;
    cluster.settle();
    cluster.runs("one");
    // In the middle of a trial, the trial ends.
    cluster.candidate = Some("two");
    cluster.round(0b10_01_00);
    cluster.round(0b10_01_00);
    assert!(cluster.trial.is_some());
    cluster.candidate = None;
    cluster.settle();
    cluster.runs("one");
    // A first trial goes on: nothing else is known to run.
    let mut cluster = Cluster::new("one", &["a"]);
    cluster.round(0b10_01_00);
    cluster.candidate = None;
    assert!(cluster.control().trial.is_some());
}

#[test]
fn what_has_passed_once_is_gone_back_to_at_once() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = Some("two");
    cluster.settle();
    cluster.candidate = Some("one");
    let plan = cluster.control();
    assert_eq!(plan.stable, Some(Stable { revision: "one".to_owned(), spares: None }));
    cluster.settle();
    cluster.runs("one");
}

#[test]
fn what_runs_and_is_wanted_is_good_without_its_record() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.known.clear();
    let plan = cluster.control();
    assert_eq!((plan.phase, plan.stable.map(|one| one.revision)), (Phase::RolledOut, Some("one".to_owned())));
    // What isn't wanted can't be written again: the last that has passed stands in for it.
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.known = [("zero".to_owned(), Mark::Passed)].into();
    (cluster.candidate, cluster.passed) = (Some("two"), Some("zero"));
    let plan = cluster.control();
    assert_eq!(plan.stable.map(|one| one.revision).as_deref(), Some("zero"));
    // Likewise where the DaemonSet was deleted.
    cluster.stable = None;
    assert_eq!(cluster.plan().stable.map(|one| one.revision).as_deref(), Some("zero"));
}
