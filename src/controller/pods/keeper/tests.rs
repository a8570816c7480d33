//! What is said while pods can't be seen, and what becomes of looks and of what they found.

use serde_json::{Value, json};
use tokio::time::advance;

use super::super::index::tests::{namespace, pod};
use super::*;
use crate::controller::events::{Happenings, Recorder};
use crate::controller::stack::Stack;
use crate::controller::status::{Reports, Sink};
use crate::k8s::Status;

/// One that goes by the defaults, and that nobody has told of any pod yet.
fn fresh(before: &InjectionStatus) -> (Keeper, watch::Receiver<Reports>, watch::Receiver<Arc<Targets>>) {
    let service = tower::service_fn(|_: axum::http::Request<k8s::Body>| {
        std::future::pending::<Result<axum::http::Response<k8s::Body>, tower::BoxError>>()
    });
    let (status, reports) = Sink::new();
    let stack = Stack::new("u".to_owned(), 1, &json!({"repair": {"missed": true}}));
    let context = Context {
        stack: watch::channel(Some(Arc::new(stack))).1,
        status,
        ..Context::of_nothing(Client::new(service, "default"))
    };
    let (targets, wanted) = watch::channel(Arc::default());
    let mut keeper = Keeper::new(context, before, targets);
    keeper.configure(Some(&config_map(&json!({}))));
    (keeper, reports, wanted)
}

fn config_map(fields: &Value) -> Arc<ConfigMap> {
    let mut document = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration"});
    for (field, value) in fields.as_object().expect("fields") {
        document[field] = value.clone();
    }
    let map = json!({"metadata": {"name": "otelgate-injection"}, "data": {CONFIG_MAP_KEY: document.to_string()}});
    Arc::new(serde_json::from_value(map).expect("a ConfigMap"))
}

/// Everything was listed, and a pod waits for a look where `looks`.
fn keeper(looks: bool) -> (Keeper, watch::Receiver<Reports>, watch::Receiver<Arc<Targets>>) {
    let (mut keeper, reports, wanted) = fresh(&InjectionStatus::default());
    let opted_in = namespace("shop", looks.then_some("enabled"));
    for told in [Told::Begin, Told::Is(opted_in), Told::End] {
        keeper.namespace(told);
    }
    for told in [Told::Begin, Told::Is(pod("web-1", None, |_| {})), Told::End] {
        keeper.pod(told);
    }
    (keeper, reports, wanted)
}

fn forbidden(verb: &str, resource: &str) -> k8s::Error {
    let message = format!(
        r#"{resource} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "" at the cluster scope"#
    );
    k8s::Error::Api(Status::failure(&message, "Forbidden").with_code(403).boxed())
}

fn said(reports: &watch::Receiver<Reports>) -> String {
    format!("{:?}", *reports.borrow())
}

fn failed(health: &Health) {
    health.failed(&k8s::Error::Api(Status::failure("no", "").with_code(500).boxed()));
}

#[tokio::test(start_paused = true)]
async fn what_the_leader_before_has_told_outlasts_a_list_that_fails() {
    let before = InjectionStatus {
        injected: "7/9".to_owned(),
        missed: 2,
        enabled_since: Some("2026-11-02T12:00:00Z".to_owned()),
        told_until: Some("2026-11-02T13:00:00Z".to_owned()),
        ..InjectionStatus::default()
    };
    let (mut keeper, reports, _targets) = fresh(&before);
    failed(&keeper.context.state.pods);
    keeper.report();
    assert_eq!(reports.borrow().injection, Some(before.clone()));
    assert!(!said(&reports).contains("PodsUnseen"), "{}", said(&reports));
    let started = Instant::now();
    keeper.until_seen_otherwise().await;
    assert!(started.elapsed() >= takes(ConditionType::InjectionComplete), "{:?}", started.elapsed());
    keeper.seen_otherwise();
    keeper.report();
    assert!(said(&reports).contains("reason: PodsUnseen"), "{}", said(&reports));
    assert_eq!(reports.borrow().injection, Some(before.clone()), "what is remembered isn't erased");
    keeper.configure(Some(&config_map(&json!({"mode": "observe"}))));
    keeper.report();
    assert_eq!(reports.borrow().injection, Some(InjectionStatus { enabled_since: None, ..before }));

    let (mut keeper, reports, _targets) = fresh(&InjectionStatus::default());
    keeper.context.state.pods.failed(&forbidden("list", "pods"));
    keeper.report();
    assert!(said(&reports).contains("reason: PodsUnseen"), "no right comes by itself: {}", said(&reports));
}

#[tokio::test(start_paused = true)]
async fn without_a_stack_nothing_is_counted() {
    let (mut keeper, reports, _targets) = keeper(false);
    keeper.report();
    assert!(keeper.context.state.coverage.counts().is_some());
    keeper.context.stack = watch::channel(None).1;
    keeper.report();
    assert_eq!(keeper.context.state.coverage.counts(), None);
    assert_eq!(reports.borrow().injection, None);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_out_of_date_says_nothing() {
    type Change = fn(&mut Keeper);
    let unseen = |keeper: &Keeper| keeper.index.totals().get(Count::Unseen);
    let asked = |keeper: &Keeper| keeper.index.to_look_at(1).remove(0);
    let skips = || Looked {
        name: "web-1".into(),
        uid: pod("web-1", None, |_| {}).uid,
        injects: false,
        owner: look::Reference::default(),
    };
    let changes: [Change; 2] = [
        |keeper| {
            let mut shop = namespace("shop", Some("enabled"));
            shop.around.annotations = [("otelgate.dev/containers".into(), "app".into())].into();
            keeper.namespace(Told::Is(shop));
        },
        |keeper| {
            keeper.configure(Some(&config_map(&json!({"clusterName": "other"}))));
        },
    ];
    for change in changes {
        let (mut keeper, ..) = keeper(true);
        let before = asked(&keeper);
        change(&mut keeper);
        keeper.looked(Ok((before, Ok(vec![skips()]))));
        assert_eq!(unseen(&keeper), 1);
        let now = asked(&keeper);
        keeper.looked(Ok((now, Ok(vec![skips()]))));
        assert_eq!(unseen(&keeper), 0);
    }
    // Another of the same name.
    let (mut keeper, ..) = keeper(true);
    let before = asked(&keeper);
    keeper.pod(Told::Is(pod("web-1", None, |pod| pod["metadata"]["uid"] = json!("another"))));
    keeper.looked(Ok((before, Ok(Vec::new()))));
    assert_eq!(unseen(&keeper), 1);
    let now = asked(&keeper);
    keeper.looked(Ok((now, Ok(Vec::new()))));
    assert_eq!(unseen(&keeper), 0, "it has gone");
}

/// More workloads than Events that wait to be written.
#[tokio::test(start_paused = true)]
async fn however_many_were_missed_each_owner_is_told() {
    const WORKLOADS: usize = 600;
    let (mut keeper, reports, _targets) = fresh(&InjectionStatus::default());
    let (recorder, mut events) = Recorder::new("otelgate-controller-0", Arc::clone(&keeper.context.state));
    keeper.context.events = recorder;
    let bare =
        |number: usize| pod(&format!("bare-{number}"), None, |pod| pod["metadata"]["ownerReferences"] = json!([]));
    for told in [Told::Begin, Told::Is(namespace("shop", Some("enabled"))), Told::End] {
        keeper.namespace(told);
    }
    for told in [Told::Begin].into_iter().chain((0..WORKLOADS).map(|number| Told::Is(bare(number)))).chain([Told::End])
    {
        keeper.pod(told);
    }
    let looked = (0..WORKLOADS).map(|number| {
        let seen = bare(number);
        Looked { name: seen.name, uid: seen.uid, injects: true, owner: look::Reference::default() }
    });
    let asked = keeper.index.to_look_at(1).remove(0);
    keeper.looked(Ok((asked, Ok(looked.collect()))));
    let told_until = || reports.borrow().injection.clone().expect("it is reported").told_until;
    keeper.report();
    assert_eq!((told_until(), keeper.context.state.measured.events_lost.get()), (None, 0));
    let written = |events: &mut Happenings| std::iter::repeat_with(|| !events.none()).take_while(|some| *some).count();
    let mut all = 0;
    for _ in 0..10 {
        all += written(&mut events);
        assert!(all == WORKLOADS || keeper.due().is_some_and(|due| due <= Instant::now() + SOON), "{all}");
        keeper.report();
    }
    assert_eq!(all, WORKLOADS);
    advance(announced::LATE).await;
    keeper.report();
    assert_eq!(told_until().as_deref(), Some("2026-11-02T12:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_right_that_has_gone_is_told_until_it_is_back() {
    let (mut keeper, reports, targets) = keeper(false);
    keeper.report();
    assert!(said(&reports).contains("reason: Complete"), "{}", said(&reports));
    assert!(targets.borrow().in_force.is_some());
    let state = Arc::clone(&keeper.context.state);
    for (health, resource) in [(&state.pods, "pods"), (&state.namespaces, "namespaces")] {
        health.answered();
        // What passes is no right that is missing.
        failed(health);
        assert_eq!(keeper.why_unseen(), None);
        health.failed(&forbidden("watch", resource));
        keeper.until_seen_otherwise().await;
        keeper.seen_otherwise();
        keeper.report();
        let told = said(&reports);
        let right = format!("not allowed to watch {resource} in the whole cluster");
        assert!(told.contains("reason: PodsUnseen") && told.contains(&right), "{told}");
        assert_eq!((targets.borrow().in_force.is_some(), state.coverage.counts()), (false, None));
        health.answered();
        keeper.until_seen_otherwise().await;
        keeper.seen_otherwise();
        keeper.report();
        assert!(said(&reports).contains("reason: Complete"), "{}", said(&reports));
        assert!(targets.borrow().in_force.is_some() && state.coverage.counts().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_may_look_at_are_unseen_though_their_watch_goes_on() {
    let (mut keeper, reports, _targets) = keeper(true);
    keeper.context.state.pods.answered();
    keeper.report();
    assert!(!said(&reports).contains("InjectionComplete"), "{}", said(&reports));
    let asked = keeper.index.to_look_at(1).remove(0);
    keeper.looked(Ok((asked, Err(forbidden("list", "pods")))));
    keeper.report();
    let told = said(&reports);
    assert!(told.contains("reason: PodsUnseen") && told.contains("not allowed to list pods"), "{told}");
    keeper.pod(Told::Gone(pod("web-1", None, |_| {})));
    keeper.report();
    assert!(said(&reports).contains("reason: Complete"), "{}", said(&reports));
}
