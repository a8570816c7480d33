//! The Secret with the Cluster Agent's token: random, and made once. Its metadata alone is read, so that nobody can put
//! back what was in it: where somebody has changed it, another takes its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use tracing::{info, warn};

use super::{PART, cluster_agent};
use crate::api::{label, object};
use crate::controller::contest::{Contest, Contested};
use crate::controller::metrics::Write;
use crate::controller::objects::{Held, Key, Outcome, Why};
use crate::controller::stack::Stack;
use crate::controller::{Context, stripped};
use crate::k8s::{
    self, Api, DeleteParams, ManagedFieldsEntry, PartialObjectMeta, PostParams, Preconditions, ResourceExt as _, Secret,
};

/// The Secret, by its metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// As it was made.
    Whole { uid: String },
    /// Ours, and somebody has changed or taken away the token, or what it is known for ours by.
    Changed(Arc<Secret>),
    /// Somebody else's: whatever is in it counts.
    Foreign { version: String },
}

/// What follows from it.
#[derive(Debug)]
pub enum Next {
    /// The version that pods are made for.
    Use(String),
    /// The watch tells.
    Wait,
    Again(Again),
}

/// When to try again, and what is told until then.
#[derive(Debug)]
pub struct Again {
    pub after: Duration,
    pub told: Option<Outcome>,
}

/// What is remembered of it.
#[derive(Debug, Default)]
pub struct Keeper {
    contest: Contest<()>,
    /// What was deleted to be made anew.
    changed: Option<Arc<Secret>>,
    held: Held,
}

/// Where the system has none.
const LOOK_FOR_RANDOM_BYTES_EVERY: Duration = Duration::from_secs(10);

// === impl Token ===

impl Token {
    #[must_use]
    pub fn of(found: &PartialObjectMeta<Secret>) -> Self {
        let metadata = &found.metadata;
        let part = metadata.labels.as_ref().and_then(|labels| labels.get(label::PART));
        let is_labelled = part.is_some_and(|part| part == PART.name);
        let is_as_made = metadata.managed_fields.iter().flatten().any(is_of_its_maker);
        if is_labelled && is_as_made && stripped::is_owned(metadata) {
            Self::Whole { uid: metadata.uid.clone().unwrap_or_default() }
        } else if is_labelled || is_as_made || stripped::is_stripped(metadata) {
            Self::Changed(Arc::new(Secret { metadata: metadata.clone(), ..Secret::default() }))
        } else {
            Self::Foreign { version: metadata.resource_version.clone().unwrap_or_default() }
        }
    }

    /// Its uid, where it is the controller's to delete.
    #[must_use]
    pub fn ours(&self) -> Option<String> {
        match self {
            Self::Whole { uid } => Some(uid.clone()),
            Self::Changed(secret) => secret.uid(),
            Self::Foreign { .. } => None,
        }
    }
}

/// Whoever writes a field that is another's takes it over, and one that is taken away is nobody's.
fn is_of_its_maker(entry: &ManagedFieldsEntry) -> bool {
    let field = format!("/f:data/f:{}", object::CLUSTER_AGENT_TOKEN);
    entry.manager.as_deref() == Some(object::FIELD_MANAGER)
        && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&field).is_some())
}

// === impl Keeper ===

impl Keeper {
    /// Has one there that is whole.
    pub async fn keep(&mut self, context: &Context, stack: &Stack, namespace: &str, found: Option<Token>) -> Next {
        let found = match found {
            Some(Token::Whole { uid: version } | Token::Foreign { version }) => return Next::Use(version),
            Some(Token::Changed(found)) => Some(found),
            None => None,
        };
        if let Some(contested) = self.contest.over(&(), Instant::now()) {
            let (after, Contested { how, by, .. }) = (contested.wait(), contested);
            let told = Some(Outcome::Contested { generation: stack.generation, object: named(), how, by });
            return Next::Again(Again { after, told });
        }
        let again = match found {
            Some(found) => {
                let uid = found.uid().unwrap_or_default();
                if self.again(stack, namespace, &Value::from(uid.as_str())).is_none() {
                    warn!(
                        otelgate.object.kind = "Secret",
                        otelgate.object.name = object::CLUSTER_AGENT,
                        "somebody has changed it; it is made anew"
                    );
                }
                let again = self.delete(context, stack, namespace, uid).await;
                self.changed = Some(found);
                again
            }
            None => self.make(context, stack, namespace).await,
        };
        again.map_or(Next::Wait, Next::Again)
    }

    /// Random: nobody can work it out, and nothing says it but the Secret. When to try again, where it couldn't be made.
    async fn make(&mut self, context: &Context, stack: &Stack, namespace: &str) -> Option<Again> {
        if let Some(again) = self.again(stack, namespace, &Value::Null) {
            return Some(again);
        }
        let mut random = [0; 32];
        if aws_lc_rs::default_provider().secure_random.fill(&mut random).is_err() {
            warn!("the system has no random bytes for the Cluster Agent's token; trying again");
            return Some(Again { after: LOOK_FOR_RANDOM_BYTES_EVERY, told: None });
        }
        let owner = serde_json::to_value(stack.owner()).unwrap_or_default();
        let secret = cluster_agent::token_secret(&random, &owner, namespace);
        let secret: Secret = serde_json::from_value(secret).unwrap_or_default();
        let api = Api::<Secret>::namespaced(context.client.clone(), namespace);
        let params = PostParams { field_manager: Some(object::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match k8s::in_time(api.create(&params, &secret)).await {
            Ok(made) => {
                self.held.release(&key(namespace));
                self.contest.wrote((), self.changed.take().as_deref(), &made, Instant::now());
                context.state.agent.answered();
                context.state.writes.add(Write::Agent);
                info!(otelgate.object.kind = "Secret", otelgate.object.name = object::CLUSTER_AGENT, "created");
                None
            }
            // It came up meanwhile.
            Err(k8s::Error::Api(status)) if status.is_already_exists() => None,
            Err(error) => {
                context.state.agent.failed(&error);
                self.hold(stack, namespace, &Value::Null, Why::of(&error))
            }
        }
    }

    /// That one, and none that has come in its place. When to try again, where it is still there.
    pub async fn delete(&mut self, context: &Context, stack: &Stack, namespace: &str, uid: String) -> Option<Again> {
        let sent = Value::from(uid.as_str());
        if let Some(again) = self.again(stack, namespace, &sent) {
            return Some(again);
        }
        let api = Api::<Secret>::namespaced(context.client.clone(), namespace);
        let preconditions = Some(Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match k8s::in_time(api.delete(object::CLUSTER_AGENT, &params)).await {
            Ok(_) => {
                self.held.release(&key(namespace));
                context.state.writes.add(Write::Agent);
                info!(otelgate.object.kind = "Secret", otelgate.object.name = object::CLUSTER_AGENT, "deleted");
                None
            }
            Err(k8s::Error::Api(status)) if status.is_not_found() || status.is_conflict() => None,
            Err(error) => {
                context.state.agent.failed(&error);
                self.hold(stack, namespace, &sent, Why::of(&error))
            }
        }
    }

    /// How long the same isn't tried yet, and why.
    fn again(&self, stack: &Stack, namespace: &str, sent: &Value) -> Option<Again> {
        let now = Instant::now();
        let (why, until) = self.held.until(&key(namespace), sent, now)?;
        let told = why.answer().map(|why| Outcome::refused(stack.generation, named(), why));
        Some(Again { after: until.saturating_duration_since(now), told })
    }

    fn hold(&mut self, stack: &Stack, namespace: &str, sent: &Value, why: Why) -> Option<Again> {
        self.held.hold(key(namespace), sent.clone(), why, Instant::now());
        self.again(stack, namespace, sent)
    }
}

/// As it is told.
fn named() -> String {
    format!("Secret {}", object::CLUSTER_AGENT)
}

fn key(namespace: &str) -> Key {
    Key { kind: "Secret", name: format!("{namespace}/{}", object::CLUSTER_AGENT) }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request, Response};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    fn token(labels: &Value, managers: &[(&str, Value)]) -> Token {
        let owner =
            json!({"apiVersion": "otelgate.dev/v1alpha1", "kind": "TelemetryStack", "name": "default", "uid": "s"});
        owned(labels, managers, &json!([owner]))
    }

    fn owned(labels: &Value, managers: &[(&str, Value)], owners: &Value) -> Token {
        let managers: Vec<_> = managers
            .iter()
            .map(|(manager, fields)| json!({"manager": manager, "operation": "Update", "fieldsV1": fields}))
            .collect();
        let metadata = json!({"name": "datadog-cluster-agent", "uid": "u", "resourceVersion": "7", "labels": labels,
            "managedFields": managers, "ownerReferences": owners});
        Token::of(&serde_json::from_value(json!({"metadata": metadata})).expect("metadata"))
    }

    /// As it would be until somebody gives it the right.
    #[tokio::test]
    async fn what_is_refused_isnt_asked_for_each_time() {
        let (ask, mut asked) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: Request<k8s::Body>| {
            ask.send(request.method().clone()).ok();
            let body = json!({"status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}).to_string();
            async move { Ok::<_, tower::BoxError>(Response::builder().status(403).body(Body::from(body))?) }
        });
        let context = Context::of_nothing(k8s::Client::new(service, "default"));
        let (stack, mut keeper) = (Stack::new("u".to_owned(), 3, &json!({})), Keeper::default());
        let changed = token(&json!({label::PART: PART.name}), &[]);
        for found in [None, Some(changed)] {
            for _ in 0..10 {
                let next = keeper.keep(&context, &stack, "datadog", found.clone()).await;
                let Next::Again(Again { after, told: Some(Outcome::Refused { generation: 3, object, .. }) }) = next
                else {
                    panic!("{next:?}");
                };
                assert!(!after.is_zero(), "it is held");
                assert_eq!(object, "Secret datadog-cluster-agent");
            }
        }
        let asked: Vec<_> = std::iter::from_fn(|| asked.try_recv().ok()).collect();
        assert_eq!(asked, [Method::POST, Method::DELETE]);
    }

    /// As the API server has it after each.
    #[test]
    fn whoever_changes_the_token_shows_in_the_metadata() {
        let (ours, theirs) = (object::FIELD_MANAGER, "kubectl-patch");
        let label = json!({label::PART: PART.name});
        let made = || json!({"f:data": {".": {}, "f:token": {}}, "f:metadata": {"f:labels": {}}, "f:type": {}});
        let without = || json!({"f:data": {".": {}}, "f:metadata": {"f:labels": {}}, "f:type": {}});
        let whole = || Token::Whole { uid: "u".to_owned() };
        assert_eq!(token(&label, &[(ours, made())]), whole());
        let annotated = json!({"f:metadata": {"f:annotations": {"f:a": {}}}});
        assert_eq!(token(&label, &[(ours, made()), (theirs, annotated)]), whole(), "it says nothing of the token");
        let another_key = json!({"f:data": {"f:other": {}}});
        assert_eq!(token(&label, &[(ours, made()), (theirs, another_key)]), whole());
        for (what, labels, managers) in [
            ("another value", &label, vec![(ours, without()), (theirs, json!({"f:data": {"f:token": {}}}))]),
            ("the key was taken away", &label, vec![(ours, without())]),
            ("nobody knows who wrote what", &label, vec![]),
            ("the label was taken away", &json!({}), vec![(ours, made())]),
            ("its owner alone says whose it is", &json!({}), vec![]),
            ("another's label", &json!({label::PART: "operator"}), vec![(ours, made())]),
        ] {
            let token = token(labels, &managers);
            assert!(matches!(token, Token::Changed(_)), "{what}: {token:?}");
            assert_eq!(token.ours().as_deref(), Some("u"), "{what}");
        }
        assert!(matches!(owned(&label, &[(ours, made())], &json!([])), Token::Changed(_)), "it would stay for ever");
        let foreign = owned(&json!({"app": "theirs"}), &[(theirs, made())], &json!([]));
        assert_eq!((foreign.ours(), foreign), (None, Token::Foreign { version: "7".to_owned() }));
    }
}
