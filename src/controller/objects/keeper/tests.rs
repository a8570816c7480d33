//! A step, by the time at which it began.

use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::json;

use super::*;
use crate::controller::metrics::Write;
use crate::k8s::Client;

const SERVICE: Kind = Kind { api_version: "v1", kind: "Service", plural: "services", scope: Scope::Namespace };
const PART: Part = Part { name: "collector", kinds: &[SERVICE], write: Write::Collector };

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
