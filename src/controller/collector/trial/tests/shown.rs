//! What a Collector on trial shows, and what becomes of that.

use super::*;

const LOST: &str = "exporter datadog failed to send 3 spans";

const LOSES: &str = "exporter datadog fails to send traces, as on other nodes";

/// State and last end of its pod, seconds, how it fares with data, and what becomes of that.
type Case = (State, Option<Box<Ended>>, i64, Fares, Option<Mark>);

#[test]
fn what_the_trial_shows() {
    let ended =
        |words: &str| Box::new(Ended { code: 1, reason: "Error".to_owned(), words: words.to_owned(), at: None });
    let ready = || State::Ready { since: at(5) };
    let waiting = "Error: cannot start pipelines: failed to start \"k8s_attributes\" processor: failed to wait for caches to sync";
    let fault =
        |words: &str, cause| Fault { node: "a".to_owned(), cause, words: words.to_owned(), key: words::key(words) };
    let failed = |words: &str| Some(Mark::Failed(fault(words, Cause::Collector)));
    let unmade = "RunContainerError failed to create containerd task";
    let never_ran = || {
        State::Down(Box::new(Ended {
            code: -1,
            reason: "RunContainerError".to_owned(),
            words: unmade.to_owned(),
            at: None,
        }))
    };
    let never_started =
        |why: &str, cause| Some(Mark::Failed(fault(&format!("its container didn't start in 5 minutes: {why}"), cause)));
    let unread = || Fares::Unread("no answer".to_owned());
    let worse = |beside| Fares::Worse { lost: LOST.to_owned(), beside };
    let (fails, lost) = ("exporter x fails to send logs", "exporter x fails to send logs: refused");
    let stuck = |beside| Fares::Stuck { fails: fails.to_owned(), lost: lost.to_owned(), beside };
    let cases: [Case; 26] = [
        (never_ran(), None, 10, Fares::Well, None),
        (never_ran(), None, 300, Fares::Well, never_started(unmade, Cause::NotStarted)),
        (never_ran(), Some(ended(waiting)), 300, Fares::Well, never_started(unmade, Cause::NotStarted)),
        (State::Creating, None, 299, Fares::Well, None),
        (State::Creating, None, 300, Fares::Well, never_started("its container isn't there yet", Cause::NotStarted)),
        (State::Starting, None, 10, Fares::Well, None),
        (State::Starting, None, 300, Fares::Well, failed("not ready in 5 minutes: it runs, and isn't ready")),
        (ready(), None, 29, Fares::Well, None),
        (ready(), None, 30, Fares::Well, Some(Mark::Passed)),
        (ready(), None, 40, worse(""), failed(LOST)),
        (ready(), None, 40, worse("others don't"), failed(&format!("{LOST}; others don't"))),
        (ready(), None, 40, Fares::Undecided { until: at(60) }, None),
        (ready(), None, 299, Fares::Alike(LOSES.to_owned()), None),
        (ready(), None, 300, Fares::Alike(LOSES.to_owned()), Some(Mark::Passed)),
        (ready(), None, 299, stuck(""), None),
        (ready(), None, 300, stuck(""), failed(lost)),
        (ready(), None, 300, stuck("its node's didn't"), failed(&format!("{lost}; its node's didn't"))),
        (ready(), None, 59, unread(), None),
        (ready(), None, 60, unread(), Some(Mark::Unmeasured("no answer".to_owned()))),
        (State::Down(ended(WORDS)), Some(ended(WORDS)), 1, Fares::Well, failed(WORDS)),
        // It came up again.
        (ready(), Some(ended(WORDS)), 35, Fares::Well, failed(WORDS)),
        (State::Down(ended(waiting)), Some(ended(waiting)), 299, Fares::Well, None),
        (
            State::Down(ended(waiting)),
            Some(ended(waiting)),
            400,
            Fares::Well,
            failed(&format!("not ready in 5 minutes: {waiting}")),
        ),
        (ready(), Some(ended(waiting)), 35, Fares::Well, Some(Mark::Passed)),
        (State::ImageNotPulled("ErrImagePull".into()), None, 10, Fares::Well, None),
        (
            State::ImageNotPulled("ErrImagePull".into()),
            None,
            300,
            Fares::Well,
            never_started("ErrImagePull", Cause::Image),
        ),
    ];
    for (state, ended, now, fares, expected) in cases {
        let mut cluster = Cluster::running("one", &["a"]);
        cluster.candidate = Some("two");
        cluster.control();
        cluster.daemon_sets();
        cluster.kubelets();
        cluster.control();
        cluster.daemon_sets();
        let tried = cluster.pods.iter_mut().find(|pod| pod.rollout == Some(Rollout::Trial)).expect("a trial");
        (tried.state, tried.ended) = (state.clone(), ended.clone());
        cluster.fares = fares.clone();
        // It is seen like that at first.
        let mark = cluster.plan().mark;
        assert!(mark.is_none() || mark == expected, "{state:?} {ended:?} {fares:?} at once: {mark:?}");
        cluster.now += now;
        assert_eq!(cluster.plan().mark, expected, "{state:?} {ended:?} {fares:?} after {now} s");
    }
}

/// An hour ahead or behind, and then another leader.
#[test]
fn the_clock_of_the_kubelet_says_nothing_of_how_long_it_is_ready() {
    for clock in [-3600, 3600] {
        let mut cluster = Cluster::running("one", &["a", "b"]);
        cluster.candidate = Some("two");
        while cluster.plan().trial.is_none() {
            cluster.control();
            cluster.daemon_sets();
            cluster.kubelets();
        }
        cluster.control();
        cluster.daemon_sets();
        let now = cluster.now;
        let tried = cluster.pods.iter_mut().find(|pod| pod.rollout == Some(Rollout::Trial)).expect("a trial");
        tried.state = State::Ready { since: at(now + clock) };
        assert_eq!(cluster.plan().again, Some(Duration::from_secs(30)));
        cluster.now += 20;
        assert_eq!(cluster.plan().again, Some(Duration::from_secs(10)));
        cluster.clocks = RefCell::default();
        assert_eq!(cluster.plan().again, Some(Duration::from_secs(30)), "another leader");
        cluster.now += 30;
        assert_eq!(cluster.plan().mark, Some(Mark::Passed));
    }
}

#[test]
fn one_that_loses_data_as_others_do_is_held_and_goes_on() {
    let mut cluster = Cluster::running("one", &["a", "b"]);
    cluster.candidate = Some("two");
    cluster.fares = Fares::Alike(LOSES.to_owned());
    while !matches!(cluster.plan().phase, Phase::Held { .. }) {
        cluster.round(0b10_01_00);
    }
    let start = cluster.now;
    assert_eq!(cluster.plan().phase, Phase::Held { node: "a".to_owned(), why: LOSES.to_owned() });
    assert!(cluster.plan().again.is_some_and(|again| again <= Duration::from_mins(5)));
    while cluster.now < start + 240 {
        cluster.round(0b10_01_00);
        assert!(cluster.pods.iter().all(|pod| *pod.node == *"a" || *pod.revision == *"one"), "{cluster:#?}");
    }
    cluster.settle();
    cluster.runs("two");
}

#[test]
fn one_that_gets_rid_of_nothing_is_held_where_there_is_a_good_one() {
    let fails = "exporter x fails to send logs".to_owned();
    let stuck = Fares::Stuck { lost: fails.clone(), fails: fails.clone(), beside: "" };
    let mut cluster = Cluster::running("one", &["a", "b"]);
    (cluster.candidate, cluster.fares) = (Some("two"), stuck.clone());
    while !matches!(cluster.plan().phase, Phase::Held { .. }) {
        cluster.round(0b10_01_00);
    }
    assert_eq!(cluster.plan().phase, Phase::Held { node: "a".to_owned(), why: fails });
    cluster.settle();
    cluster.runs("one");
    // The first of all: where it sends to may come later, and nothing else runs meanwhile.
    let mut cluster = Cluster::new("one", &["a", "b"]);
    cluster.fares = stuck;
    cluster.settle();
    cluster.runs("one");
}

/// It may be that node that the API server doesn't tell; elsewhere the same starts.
#[test]
fn one_that_is_not_told_of_pods_is_tried_elsewhere_and_then_gone_back_from() {
    const UNTOLD: &str = "Error: failed to wait for caches to sync";
    let mut cluster = Cluster::running("one", &["a", "b", "c", "d"]);
    cluster.candidate = Some("two");
    cluster.bad.insert("two", UNTOLD);
    let mut tried = BTreeSet::new();
    while !matches!(cluster.plan().phase, Phase::RolledBack(_)) {
        cluster.round(0b10_01_00);
        tried.extend(cluster.plan().trial.map(|trial| trial.node));
        assert!(cluster.now < 7200, "it comes to an end: {cluster:#?}");
    }
    assert_eq!(tried.len(), 3);
    cluster.settle();
    cluster.runs("one");
    let Some(Mark::Failed(fault)) = cluster.known.get("two") else { panic!("it has failed") };
    assert!(fault.words.starts_with("not ready in 5 minutes, nor on ") && fault.words.ends_with(UNTOLD), "{fault}");
    // The first of all is waited for.
    let mut cluster = Cluster::new("one", &["a", "b"]);
    cluster.bad.insert("one", UNTOLD);
    cluster.settle();
    assert_eq!(cluster.plan().phase, Phase::Trying { node: "a".to_owned() });
}

/// Its Collector is the only one: what it does can be told only as long as it is there.
#[test]
fn a_node_that_is_alone_is_measured_before_its_collector_goes() {
    let mut cluster = Cluster::running("one", &["a"]);
    cluster.pods[0].address = Some(std::net::Ipv4Addr::LOCALHOST.into());
    cluster.measured.clear();
    cluster.candidate = Some("two");
    for _ in 0..10 {
        cluster.round(0b10_01_00);
    }
    assert_eq!(cluster.plan().phase, Phase::Vacating { node: "a".to_owned() });
    assert_eq!((cluster.pods.len(), &*cluster.pods[0].revision, cluster.pods[0].leaving), (1, "one", false));
    cluster.measured.insert("a".into());
    cluster.settle();
    cluster.runs("two");
    // One that isn't well isn't waited for.
    cluster.measured.clear();
    cluster.pods[0].state = State::Starting;
    cluster.candidate = Some("three");
    assert!(matches!(cluster.plan().stable, Some(Stable { spares: Some(_), .. })), "{:?}", cluster.plan());
}
