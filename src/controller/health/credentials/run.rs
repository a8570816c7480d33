//! Watches the Secret, asks Datadog where that is wanted, and reports.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::intake::Answer;
use super::verdict::{Intake, Wanted, verdict};
use super::{Credentials, Secrets};
use crate::api::condition::{ConditionType, Reason};
use crate::check::Shape;
use crate::controller::Context;
use crate::controller::health::KeyOutcome;
use crate::controller::stack::Stack;
use crate::controller::status::Verdict;
use crate::k8s::{self, Api, ConfigMap, ListParams, Secret};
use crate::unavailable::Unavailable;
use crate::watch::{self as watching, Objects};

/// What Datadog said, of which Secret, when.
struct Asked {
    resource_version: String,
    intake: Intake,
    answer: Answer,
    at: Instant,
}

/// For Datadog's answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A key may be taken back at any time.
const ASK_EVERY: Duration = Duration::from_mins(30);
/// While somebody is expected to mend something.
const ASK_AGAIN: Duration = Duration::from_mins(2);
/// Between two looks at how a watch is.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// In the `ConfigMap` with further authorities.
const AUTHORITIES: &str = "ca.crt";

/// Never returns.
pub async fn run(context: Context, secrets: watch::Sender<Secrets>) {
    let mut stack = context.stack.clone();
    let of = |stack: &Option<Arc<Stack>>| stack.as_deref().map(|stack| Wanted::of(stack, &context.namespace));
    loop {
        let now = stack.borrow_and_update().clone();
        let wanted = of(&now);
        let generation = now.as_deref().map_or(0, |stack| stack.generation);
        secrets.send_if_modified(|secrets| secrets.take().is_some());
        context.state.credentials.forget();
        let condition = ConditionType::CredentialsReady;
        match &wanted {
            None => context.status.report(|reports| reports.take_back(condition)),
            Some(Ok(None)) => context.status.report(|reports| reports.switch_off(condition)),
            Some(Err(fault)) => {
                let verdict = Verdict::new(Reason::InvalidSpec, fault.clone(), generation);
                context.status.report(|reports| reports.say(condition, verdict));
            }
            Some(Ok(Some(_))) => {}
        }
        let mut as_now = stack.clone();
        let another = async {
            // The sender lives as long as the leader's tasks do.
            if stack.wait_for(|stack| of(stack) != wanted).await.is_err() {
                pending::<()>().await;
            }
        };
        let keep = async {
            match &wanted {
                Some(Ok(Some(wanted))) => {
                    tokio::join!(look(&context, wanted, &secrets), judge(&context, wanted, &secrets));
                }
                // Until the generation is another: what was said is said of that.
                Some(Err(_) | Ok(None)) => {
                    if as_now.changed().await.is_err() {
                        pending::<()>().await;
                    }
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = keep => {}
            () = another => {}
        }
    }
}

async fn look(context: &Context, wanted: &Wanted, secrets: &watch::Sender<Secrets>) {
    let api = Api::<Secret>::namespaced(context.client.clone(), &wanted.namespace);
    let (store, mut seen) = watch::channel::<Option<Objects<Credentials>>>(None);
    let cut = |secret: Secret| Credentials::of(secret, &wanted.key);
    let publish = async {
        while seen.changed().await.is_ok() {
            let now = seen.borrow_and_update().as_ref().map(|objects| objects.get(&wanted.secret).cloned());
            secrets.send_replace(now);
        }
    };
    tokio::join!(
        watching::reflect(api, watching::named(&wanted.secret), &context.state.credentials, cut, &store, |known| known),
        publish
    );
}

/// Never returns.
async fn judge(context: &Context, wanted: &Wanted, secrets: &watch::Sender<Secrets>) {
    let (mut seen, mut stack) = (secrets.subscribe(), context.stack.clone());
    let mut asked: Option<Asked> = None;
    loop {
        let now = seen.borrow_and_update().clone();
        let generation = stack.borrow_and_update().as_deref().map_or(0, |stack| stack.generation);
        let mut again = None;
        let unseen = context.state.credentials.unseen();
        if let (Some(intake), Some(Some(credentials)), None) = (&wanted.validate, &now, &unseen)
            && credentials.shape == Some(Shape::Good)
        {
            if asked.as_ref().is_none_or(|asked| !asked.counts(credentials, intake)) {
                asked = Some(ask(context, wanted, intake, credentials).await);
            }
            again = asked.as_ref().map(Asked::ask_in);
        }
        let answer = asked.as_ref().map(|asked| &asked.answer);
        if let Some(verdict) = verdict(wanted, &now, unseen.clone(), answer, generation) {
            context.status.report(|reports| reports.say(ConditionType::CredentialsReady, verdict));
        }
        tokio::select! {
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            () = until_seen_otherwise(context, unseen.as_ref()) => {}
            Ok(()) = seen.changed() => {}
            Ok(()) = stack.changed() => {}
        }
    }
}

/// Until the Secret can't be looked at any more, or can be again.
async fn until_seen_otherwise(context: &Context, before: Option<&String>) {
    while context.state.credentials.unseen().as_ref() == before {
        sleep(LOOK_AGAIN).await;
    }
}

async fn ask(context: &Context, wanted: &Wanted, intake: &Intake, credentials: &Credentials) -> Asked {
    let answer = match timeout(PATIENCE, exchange(context, wanted, intake)).await {
        Ok(answer) => answer,
        Err(_) => Answer::None(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    context.state.measured.validated(match answer {
        Answer::Accepted => KeyOutcome::Accepted,
        Answer::Refused => KeyOutcome::Refused,
        Answer::None(_) => KeyOutcome::Unanswered,
    });
    let resource_version = credentials.resource_version.clone();
    Asked { resource_version, intake: intake.clone(), answer, at: Instant::now() }
}

async fn exchange(context: &Context, wanted: &Wanted, intake: &Intake) -> Answer {
    let authorities = match authorities(context, wanted, intake).await {
        Ok(authorities) => authorities,
        Err(fault) => return Answer::None(fault),
    };
    match key(context, wanted).await {
        Ok(key) => intake.ask(&key, &authorities).await,
        Err(fault) => Answer::None(fault),
    }
}

/// By the right to list it, which the watch has anyway.
async fn key(context: &Context, wanted: &Wanted) -> Result<Vec<u8>, String> {
    let api = Api::<Secret>::namespaced(context.client.clone(), &wanted.namespace);
    let named = ListParams::default().fields(&format!("metadata.name={}", wanted.secret));
    let found = k8s::in_time(api.list(&named)).await.map_err(|error| Unavailable::of(&error).to_string())?;
    let key = found.items.into_iter().next().and_then(|secret| secret.data?.remove(&wanted.key));
    key.map(|key| key.0).ok_or_else(|| format!("Secret {} has just gone", wanted.secret))
}

async fn authorities(context: &Context, wanted: &Wanted, intake: &Intake) -> Result<Vec<u8>, String> {
    let name = &intake.ca_config_map;
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let of_map = |fault: String| format!("ConfigMap {name} in namespace {}: {fault}", wanted.namespace);
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), &wanted.namespace);
    let map = k8s::in_time(api.get(name)).await.map_err(|error| of_map(Unavailable::of(&error).to_string()))?;
    let text = map.data.and_then(|mut data| data.remove(AUTHORITIES));
    text.map(String::into_bytes).ok_or_else(|| of_map(format!("it has no {AUTHORITIES}")))
}

// === impl Asked ===

impl Asked {
    /// Whether it is still the answer to the question.
    fn counts(&self, credentials: &Credentials, intake: &Intake) -> bool {
        self.resource_version == credentials.resource_version && self.intake == *intake && !self.ask_in().is_zero()
    }

    fn ask_in(&self) -> Duration {
        let stands = if self.answer == Answer::Accepted { ASK_EVERY } else { ASK_AGAIN };
        stands.saturating_sub(self.at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use axum::body::Body;
    use axum::http::{Request, Response};
    use futures::stream;
    use serde_json::json;

    use super::*;
    use crate::controller::status::Sink;
    use crate::k8s::Client;

    /// A watch ends in its time, whatever became of the right to it.
    fn answer(request: &Request<k8s::Body>, allowed: bool) -> (u16, Body) {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        if !allowed {
            let verb = if watches { "watch" } else { "list" };
            let message = format!(
                r#"secrets is forbidden: User "u" cannot {verb} resource "secrets" in API group "" in the namespace "datadog""#
            );
            let answer = json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
            return (403, Body::from(answer.to_string()));
        }
        if watches {
            let ends = stream::once(async {
                sleep(Duration::from_secs(u64::from(k8s::WATCH_FOR))).await;
                Ok::<_, tower::BoxError>(String::new())
            });
            return (200, Body::from_stream(ends));
        }
        let secret = json!({
            "metadata": {"name": "datadog-secret", "namespace": "datadog", "resourceVersion": "1"},
            "data": {"api-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
        });
        (200, Body::from(json!({"metadata": {"resourceVersion": "1"}, "items": [secret]}).to_string()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_that_is_taken_away_is_told_and_so_is_that_it_is_back() {
        let allowed = Arc::new(AtomicBool::new(true));
        let now = Arc::clone(&allowed);
        let service = tower::service_fn(move |request: Request<k8s::Body>| {
            let (status, body) = answer(&request, now.load(Relaxed));
            async move { Ok::<_, tower::BoxError>(Response::builder().status(status).body(body).expect("a response")) }
        });
        let (sink, mut reports) = Sink::new();
        let spec = json!({"injection": {"collector": {"namespace": "datadog"}}});
        let (_stack, stacks) = watch::channel(Some(Arc::new(Stack::new("u".to_owned(), 1, &spec))));
        let context = Context { stack: stacks, status: sink, ..Context::of_nothing(Client::new(service, "default")) };
        let task = tokio::spawn(run(context, watch::channel(None).0));
        for (is_allowed, reason, detail) in [
            (true, Reason::KeyInPlace, ""),
            (false, Reason::SecretNotReadable, "secrets in namespace datadog"),
            (true, Reason::KeyInPlace, ""),
        ] {
            allowed.store(is_allowed, Relaxed);
            let told = reports.wait_for(|reports| {
                let told = format!("{reports:?}");
                told.contains(&format!("{reason:?}")) && told.contains(detail)
            });
            timeout(Duration::from_mins(5), told).await.expect("it is told").expect("the context has the sender");
        }
        task.abort();
    }
}
