//! A step, by the time at which it began.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::json;

use super::*;
use crate::controller::contest::Undoing;
use crate::controller::metrics::Write;
use crate::k8s::Client;

const SERVICE: Kind = Kind { api_version: "v1", kind: "Service", plural: "services", scope: Scope::Namespace };
const PART: Part = Part { name: "collector", kinds: &[SERVICE], notes: &[], write: Write::Collector };

/// It ends after the step has begun and before it asks anything: what is held then is told of, and not written, until
/// the step is over. As over for one half of it and as going on for the other, it would be neither.
#[tokio::test]
async fn a_hold_that_ends_in_the_midst_of_a_step_goes_on_until_its_end() {
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&calls);
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let call = format!("{} {}", request.method(), request.uri().path());
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let none = json!({"metadata": {}, "items": []}).to_string();
        async move { Ok::<_, tower::BoxError>(Response::new(Body::from(none))) }
    });
    let context = Context::of_nothing(Client::new(service, "default"));
    let mut keeper = Keeper::new(context, PART, &Arc::new(Health::new("Collector")), "datadog".to_owned());
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
    let wanted = Wanted { namespace: "datadog".to_owned(), objects: vec![object], generation: 1, ..Wanted::default() };

    let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a clock that has run so long");
    let (held_at, began) = (ago(15), ago(10));
    for (key, object) in keeper.labelled(&wanted) {
        keeper.held.hold(key.clone(), object.clone(), Why::Foreign, held_at);
        assert!(keeper.held.until(&key, &object, began).is_some(), "it is held when the step begins");
        assert_eq!(keeper.held.until(&key, &object, Instant::now()), None, "and over by now");
    }
    let listed = Seen::from([(SERVICE.kind, Some(Arc::default()))]);

    let step = keeper.step(&wanted, &listed, false, began).await;
    let Step::Again(delay, Some(Outcome::Foreign { object, .. })) = step else {
        panic!("what is held is forgotten");
    };
    assert_eq!((delay, object.as_str()), (Duration::ZERO, "Service a"), "it is looked at again at once");
    assert_eq!(*calls.lock().unwrap_or_else(PoisonError::into_inner), [] as [String; 0]);

    let next = keeper.step(&wanted, &listed, false, Instant::now()).await;
    assert!(!matches!(next, Step::Again(_, Some(Outcome::Foreign { .. }))), "nobody has that name");
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(calls.first().map(String::as_str), Some("GET /api/v1/namespaces/datadog/services"));
}

/// An API server with one object of that name at most.
#[derive(Default)]
struct One {
    is_theirs: bool,
    made: u32,
    deleted: u32,
}

impl One {
    fn answer(&mut self, method: &str) -> (u16, Value) {
        match method {
            "PATCH" if self.is_theirs => {
                let message = "Service \"a\" is invalid: spec.of: Invalid value: field is immutable";
                (
                    422,
                    json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": message}),
                )
            }
            "PATCH" => {
                self.made += 1;
                (200, service(&format!("ours-{}", self.made), "ours"))
            }
            "DELETE" => {
                (self.is_theirs, self.deleted) = (false, self.deleted + 1);
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            _ => (200, json!({"metadata": {}, "items": []})),
        }
    }
}

fn service(uid: &str, of: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "a", "uid": uid, "resourceVersion": uid, "managedFields": [{"manager": of}]},
        "spec": {"of": of},
    })
}

/// With a field that can't be changed any more: ours can only be made anew, once theirs has gone.
#[tokio::test]
async fn who_has_another_in_its_place_each_time_is_left_to_it_for_a_while() {
    let one = Arc::<Mutex<One>>::default();
    let lock = || one.lock().unwrap_or_else(PoisonError::into_inner);
    let server = tower::service_fn({
        let one = Arc::clone(&one);
        move |request: Request<k8s::Body>| {
            let (status, answer) = one.lock().unwrap_or_else(PoisonError::into_inner).answer(request.method().as_str());
            let answer = Response::builder().status(status).body(Body::from(answer.to_string()));
            async move { Ok::<_, tower::BoxError>(answer.expect("a response")) }
        }
    });
    let context = Context::of_nothing(Client::new(server, "default"));
    let mut keeper = Keeper::new(context, PART, &Arc::new(Health::new("Collector")), "datadog".to_owned());
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"of": "ours"}});
    let wanted = Wanted { namespace: "datadog".to_owned(), objects: vec![object], generation: 1, ..Wanted::default() };
    let seen = |found: Option<Value>| {
        let found = found.map(|found| ("a".to_owned(), serde_json::from_value(found).expect("a Service")));
        Seen::from([(SERVICE.kind, Some(Arc::new(found.into_iter().collect())))])
    };

    let mut last = None;
    for round in 0..9 {
        lock().is_theirs = true;
        let theirs = service(&format!("theirs-{round}"), "tug");
        last = Some(keeper.step(&wanted, &seen(Some(theirs)), false, Instant::now()).await);
        keeper.step(&wanted, &seen(None), false, Instant::now()).await;
    }
    let Some(Step::Again(_, Some(Outcome::Contested { object, how, by, .. }))) = last else {
        panic!("they fight on, and nobody is told");
    };
    assert_eq!((object.as_str(), how, by.as_str()), ("Service a", Undoing::MadeAnew, "tug"));
    let One { deleted, made, .. } = *lock();
    assert_eq!((deleted, made), (6, 6), "the first was no fight");
}

/// Another part takes it over by its own label, and whoever was given its address goes on.
#[tokio::test]
async fn what_another_part_takes_over_is_neither_deleted_nor_written() {
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&calls);
    let service = tower::service_fn(move |request: Request<k8s::Body>| {
        let call = format!("{} {}", request.method(), request.uri().path());
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let done = json!({"kind": "Status", "status": "Success"}).to_string();
        async move { Ok::<_, tower::BoxError>(Response::new(Body::from(done))) }
    });
    let context = Context::of_nothing(Client::new(service, "default"));
    let mut keeper = Keeper::new(context, PART, &Arc::new(Health::new("Collector")), "datadog".to_owned());
    let there = |name: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "uid": name}});
        (name.to_owned(), serde_json::from_value(object).expect("an object"))
    };
    let listed = Objects::from([there("mine"), there("told")]);
    let listed = Seen::from([(SERVICE.kind, Some(Arc::new(listed)))]);
    let wanted = Wanted {
        namespace: "datadog".to_owned(),
        spares: vec![Key::service("told")],
        generation: 1,
        ..Wanted::default()
    };
    assert!(matches!(keeper.step(&wanted, &listed, false, Instant::now()).await, Step::Again(..) | Step::Done(_)));
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*calls, ["DELETE /api/v1/namespaces/datadog/services/mine"]);
}
