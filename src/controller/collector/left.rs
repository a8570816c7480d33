//! What is left of the Collector in a namespace where it was before: seen by its pods, which the controller sees in every
//! namespace, and taken away where it may.
//!
//! Its rights go with the namespace that the chart's value names, maybe before it has cleared the former one. Two
//! Collectors on a node read the same lines, and want the same ports.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::objects::PART;
use crate::api::condition::Reason;
use crate::api::label;
use crate::controller::objects;
use crate::controller::pods::stream::Page;
use crate::controller::stack::Stack;
use crate::controller::{Context, injection};
use crate::k8s::{self, ListParams};

/// Collectors in another namespace than the spec names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub namespace: String,
    pub pods: usize,
    /// Why they can't be taken away.
    pub why: Option<String>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: String,
}

/// While there are none: somebody may give a backup back.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// While there are some.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const PAGE: u32 = 200;

// === impl Left ===

impl Left {
    pub fn told(&self) -> (Reason, String) {
        let Self { namespace, pods, why } = self;
        let plural = if *pods == 1 { "" } else { "s" };
        let detail = match why {
            Some(why) => format!("{pods} pod{plural} in namespace {namespace}, which can't be taken away: {why}"),
            None => format!("{pods} pod{plural} in namespace {namespace}, on the way out"),
        };
        (Reason::CollectorLeftBehind, detail)
    }
}

/// Never returns.
pub async fn run(context: Context, left: watch::Sender<Option<Left>>) {
    let mut stack = context.stack.clone();
    loop {
        let now = stack.borrow_and_update().clone();
        let namespace = now.as_deref().and_then(|stack| namespace(stack, &context));
        let mut again = LOOK_EVERY;
        if let (Some(now), Some(namespace)) = (&now, &namespace) {
            match elsewhere(&context, namespace).await {
                Ok(found) => {
                    let found = clear(&context, now, found).await;
                    if found.is_some() {
                        again = LOOK_AGAIN;
                    }
                    tell(&left, found.as_ref());
                }
                Err(error) => {
                    context.state.collector.failed(&error);
                    again = LOOK_AGAIN;
                }
            }
        } else {
            left.send_if_modified(|left| left.take().is_some());
        }
        let another = async {
            // The sender lives as long as the leader's tasks do.
            let is_other = |stack: &Option<_>| stack.as_deref().and_then(|stack| self::namespace(stack, &context));
            if stack.wait_for(|stack| is_other(stack) != namespace).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(again) => {}
            () = another => {}
        }
    }
}

/// Where the spec wants the Collector, or would.
fn namespace(stack: &Stack, context: &Context) -> Option<String> {
    let document = injection::document(&stack.injection, &context.namespace).ok()?;
    Some(document.collector.namespace)
}

/// How many of our Collectors are in each namespace but this one.
async fn elsewhere(context: &Context, namespace: &str) -> k8s::Result<BTreeMap<String, usize>> {
    let others = format!("metadata.namespace!={namespace}");
    let mut params = ListParams::default().labels(label::ROLLOUT).fields(&others).limit(PAGE);
    let mut found = BTreeMap::new();
    loop {
        let request = k8s::Request::new("/api/v1/pods").list_metadata(&params).map_err(k8s::Error::BuildRequest)?;
        let text = k8s::in_time(context.client.request_text(request)).await?;
        let page: Page<'_> = serde_json::from_str(&text).map_err(k8s::Error::SerdeError)?;
        for item in page.items {
            let Pod { metadata } = serde_json::from_str(item.get()).map_err(k8s::Error::SerdeError)?;
            *found.entry(metadata.namespace).or_default() += 1;
        }
        if page.metadata.r#continue.is_empty() {
            return Ok(found);
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

/// Takes them away; tells of the first that are still there, and rather of those that will stay.
async fn clear(context: &Context, stack: &Stack, found: BTreeMap<String, usize>) -> Option<Left> {
    let mut left: Option<Left> = None;
    for (namespace, pods) in found {
        let why = objects::clear(context, PART, &namespace, &stack.owner()).await.err();
        if left.as_ref().is_none_or(|left| left.why.is_none() && why.is_some()) {
            left = Some(Left { namespace, pods, why });
        }
    }
    left
}

fn tell(left: &watch::Sender<Option<Left>>, found: Option<&Left>) {
    let changed = left.send_if_modified(|left| std::mem::replace(left, found.cloned()).as_ref() != found);
    match found {
        Some(Left { namespace, why: Some(why), .. }) if changed => {
            warn!(k8s.namespace.name = namespace, error.message = why, "Collectors are left behind, and have to stay");
        }
        Some(Left { namespace, .. }) if changed => info!(k8s.namespace.name = namespace, "Collectors were left behind"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_with_its_namespace() {
        let told = |pods, why: Option<&str>| {
            let left = Left { namespace: "old".to_owned(), pods, why: why.map(str::to_owned) };
            left.told().1
        };
        assert_eq!(told(1, None), "1 pod in namespace old, on the way out");
        let why = "DaemonSet: not allowed to list daemonsets.apps in namespace old";
        assert_eq!(told(7, Some(why)), format!("7 pods in namespace old, which can't be taken away: {why}"));
    }
}
