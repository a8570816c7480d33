//! Whether the API server calls a webhook when a pod is created: what it evaluates, evaluated here, from the
//! registrations as they are in the cluster.
//!
//! Nothing here does I/O. What isn't known, such as the labels of a namespace that may not be read, and what can't be
//! evaluated here, such as an expression of somebody else's, is said to be so; it is never guessed.

mod condition;
mod injector;
mod selector;

use std::collections::BTreeMap;

pub use injector::Injector;
pub use selector::{requirements, unmet};

use crate::k8s::{LabelSelector, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations};
use condition::Truth;

/// The creation of a pod, as far as registrations look at it.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    pub namespace: &'a str,
    /// `None` where they may not be read.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    pub labels: &'a BTreeMap<String, String>,
    /// Whether the pod has that annotation.
    pub annotations: &'a BTreeMap<String, String>,
}

/// What the API server asks of an entry before it calls, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Rules,
    NamespaceSelector,
    ObjectSelector,
    /// With its name.
    MatchCondition(&'a str),
}

/// The answer to one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Passes,
    /// The entry isn't called, because of this.
    Stops(String),
    /// What is missing for an answer.
    Unknown(String),
}

/// Whether an entry is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Yes,
    No,
    Unknown,
}

/// What becomes of the pod when the call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It is created unchanged.
    Ignore,
    /// It is refused.
    Fail,
}

/// One entry of a registration, and whether it's called.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub configuration: &'a str,
    pub webhook: &'a MutatingWebhook,
    pub steps: Vec<(Step<'a>, Answer)>,
}

/// All entries of all registrations, in the order in which the API server calls them: by the registrations' names, and
/// within one in its own order.
#[must_use]
pub fn entries<'a>(registrations: &'a [MutatingWebhookConfiguration], creation: Creation<'_>) -> Vec<Entry<'a>> {
    let mut sorted: Vec<_> =
        registrations.iter().map(|one| (one.metadata.name.as_deref().unwrap_or(""), one)).collect();
    sorted.sort_by_key(|(name, _)| *name);
    let webhooks =
        sorted.into_iter().flat_map(|(name, one)| one.webhooks.iter().flatten().map(move |entry| (name, entry)));
    webhooks.map(|(configuration, webhook)| Entry::new(configuration, webhook, creation)).collect()
}

// === impl Entry ===

impl<'a> Entry<'a> {
    #[must_use]
    pub fn new(configuration: &'a str, webhook: &'a MutatingWebhook, creation: Creation<'_>) -> Self {
        let mut steps = vec![
            (Step::Rules, rules(webhook.rules.as_deref().unwrap_or_default())),
            (Step::NamespaceSelector, namespace_selector(webhook.namespace_selector.as_ref(), creation)),
            (Step::ObjectSelector, object_selector(webhook.object_selector.as_ref(), creation)),
        ];
        let policy = FailurePolicy::of(webhook);
        let conditions = webhook.match_conditions.iter().flatten();
        steps.extend(conditions.map(|one| {
            let answer = match condition::evaluate(&one.expression, creation) {
                Some(truth) => answer(truth, policy),
                None => Answer::Unknown("its expression can't be evaluated here".to_owned()),
            };
            (Step::MatchCondition(&one.name), answer)
        }));
        Self { configuration, webhook, steps }
    }

    /// One step that stops is enough, whatever the others are.
    #[must_use]
    pub fn called(&self) -> Called {
        let any = |wanted: fn(&Answer) -> bool| self.steps.iter().any(|(_, answer)| wanted(answer));
        if any(|answer| matches!(answer, Answer::Stops(_))) {
            Called::No
        } else if any(|answer| matches!(answer, Answer::Unknown(_))) {
            Called::Unknown
        } else {
            Called::Yes
        }
    }

    /// What stops it, or else what isn't known.
    #[must_use]
    pub fn decisive(&self) -> Option<&(Step<'a>, Answer)> {
        let stops = self.steps.iter().find(|(_, answer)| matches!(answer, Answer::Stops(_)));
        stops.or_else(|| self.steps.iter().find(|(_, answer)| matches!(answer, Answer::Unknown(_))))
    }

    /// Namespace and name of the Service that is called; `None` for a URL.
    #[must_use]
    pub fn service(&self) -> Option<(&'a str, &'a str)> {
        self.webhook.client_config.service.as_ref().map(|service| (service.namespace.as_str(), service.name.as_str()))
    }

    #[must_use]
    pub fn has_ca_bundle(&self) -> bool {
        self.webhook.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty())
    }

    #[must_use]
    pub fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::of(self.webhook)
    }
}

/// A condition whose evaluation fails counts by the failure policy: with `Ignore`, the webhook isn't called.
fn answer(truth: Truth, policy: FailurePolicy) -> Answer {
    match (truth, policy) {
        (Truth::True, _) => Answer::Passes,
        (Truth::False, _) => Answer::Stops("its expression is false".to_owned()),
        (Truth::Error, FailurePolicy::Ignore) => Answer::Stops(
            "its expression fails for this pod, which counts as false with failurePolicy Ignore".to_owned(),
        ),
        (Truth::Error, FailurePolicy::Fail) => {
            Answer::Stops("its expression fails for this pod, so with failurePolicy Fail the pod is refused".to_owned())
        }
    }
}

/// Whether any rule is about the creation of pods.
fn rules(rules: &[RuleWithOperations]) -> Answer {
    let has =
        |list: &Option<Vec<String>>, wanted: &[&str]| list.iter().flatten().any(|one| wanted.contains(&one.as_str()));
    let is_creation = |rule: &RuleWithOperations| {
        has(&rule.operations, &["CREATE", "*"])
            && has(&rule.api_groups, &["", "*"])
            && has(&rule.api_versions, &["v1", "*"])
            && has(&rule.resources, &["pods", "*", "*/*"])
            && rule.scope.as_deref().is_none_or(|scope| scope != "Cluster")
    };
    if rules.iter().any(is_creation) {
        Answer::Passes
    } else {
        Answer::Stops("none is about the creation of pods".to_owned())
    }
}

fn namespace_selector(selector: Option<&LabelSelector>, creation: Creation<'_>) -> Answer {
    match creation.namespace_labels {
        None if selector.is_none_or(|selector| requirements(selector).is_empty()) => Answer::Passes,
        None => Answer::Unknown(format!("the labels of namespace {} can't be read", creation.namespace)),
        Some(labels) => selected(selector, labels),
    }
}

fn object_selector(selector: Option<&LabelSelector>, creation: Creation<'_>) -> Answer {
    selected(selector, creation.labels)
}

/// No selector selects everything.
fn selected(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> Answer {
    selector.and_then(|selector| unmet(selector, labels)).map_or(Answer::Passes, Answer::Stops)
}

// === impl FailurePolicy ===

impl FailurePolicy {
    /// Kubernetes' default is to refuse.
    #[must_use]
    pub fn of(webhook: &MutatingWebhook) -> Self {
        if webhook.failure_policy.as_deref() == Some("Ignore") { Self::Ignore } else { Self::Fail }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Fail => "Fail",
        }
    }
}

// === impl Step ===

impl Step<'_> {
    /// The field of an entry.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Rules => "rules".to_owned(),
            Self::NamespaceSelector => "namespaceSelector".to_owned(),
            Self::ObjectSelector => "objectSelector".to_owned(),
            Self::MatchCondition(name) => format!("matchConditions[{name}]"),
        }
    }
}

#[cfg(test)]
mod tests;
