//! What is said while pods can't be seen.

use serde_json::json;

use super::super::index::tests::{namespace, pod};
use super::*;
use crate::controller::stack::Stack;
use crate::controller::status::{Reports, Sink};
use crate::k8s::Status;

/// Everything was listed, and a pod waits for a look where `looks`.
fn keeper(looks: bool) -> (Keeper, watch::Receiver<Reports>, watch::Receiver<Arc<Targets>>) {
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
    let mut keeper = Keeper::new(context, &InjectionStatus::default(), targets);
    let configuration = json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "InjectionConfiguration"}).to_string();
    let map = json!({"metadata": {"name": "otelgate-injection"}, "data": {CONFIG_MAP_KEY: configuration}});
    keeper.configure(Some(&Arc::new(serde_json::from_value(map).expect("a ConfigMap"))));
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
        health.failed(&k8s::Error::Api(Status::failure("no", "").with_code(500).boxed()));
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
