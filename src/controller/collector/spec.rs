//! The spec, as far as it's about the Collector, and the revision that it asks for.
//!
//! A fault keeps nobody from looking after what runs: until it is mended the last spec that could be read counts. Where that
//! has the Collectors is read here alone, so that all who look at them look at the same ones.

use std::sync::Arc;

use tokio::sync::watch;

use super::observe::Place;
use super::revision::{Revision, Stored};
use super::template;
use crate::api::stack::{Agent, Collector, Datadog, Egress};
use crate::collector::{self, Rendered, Source};
use crate::config::{Configuration, Document};
use crate::controller::stack::Stack;
use crate::controller::{Context, collector_pods, injection};

/// The spec, as far as it's about the Collector.
#[derive(Clone, Debug)]
pub struct Spec {
    pub collector: Collector,
    pub datadog: Datadog,
    pub egress: Egress,
    pub agent: Agent,
    pub injection: Document,
    pub configuration: Configuration,
}

/// The `TelemetryStack`, and what is gone by.
#[derive(Clone, Debug)]
pub struct Known {
    pub stack: Arc<Stack>,
    /// The last that could be read, if there was one.
    pub spec: Option<Arc<Spec>>,
    /// What is wrong with the one that there is now.
    pub fault: Option<String>,
}

// === impl Known ===

impl Known {
    fn read(stack: Arc<Stack>, namespace: &str, before: Option<Arc<Spec>>) -> Self {
        match Spec::of(&stack, namespace) {
            Ok(spec) => Self { stack, spec: Some(Arc::new(spec)), fault: None },
            Err(fault) => Self { stack, spec: before, fault: Some(fault) },
        }
    }

    /// Where the Collectors' pods are; nowhere, where there are to be none.
    #[must_use]
    pub fn pods(&self) -> Option<collector_pods::Place> {
        self.spec.as_ref()?.place().pods
    }

    /// Of a spec alone.
    #[cfg(test)]
    pub fn of(stack: Stack) -> watch::Sender<Option<Arc<Self>>> {
        watch::Sender::new(Some(Arc::new(Self::read(Arc::new(stack), "otelgate", None))))
    }
}

// === impl Spec ===

impl Spec {
    /// # Errors
    /// Which field is wrong.
    pub fn of(stack: &Stack, namespace: &str) -> Result<Self, String> {
        let injection = injection::document(&stack.injection, namespace).map_err(|fault| fault.to_string())?;
        Ok(Self {
            collector: stack.collector.clone()?,
            datadog: stack.datadog.clone()?,
            egress: stack.egress.clone()?,
            agent: stack.agent.clone()?,
            configuration: injection::complete(injection.clone(), None).map_err(|fault| fault.to_string())?,
            injection,
        })
    }

    pub fn place(&self) -> Place {
        let of = &self.injection.collector;
        Place {
            mode: self.collector.mode,
            namespace: of.namespace.clone(),
            service: of.service.clone(),
            pods: collector_pods::Place::at(&self.collector, &of.namespace),
            node_labels: self.collector.placement.node_selector.keys().cloned().collect(),
        }
    }

    /// What the spec asks for. Without the Secret, it's that of what runs: there is nothing to roll to.
    ///
    /// # Errors
    /// Which fields are wrong.
    pub fn revision(
        &self,
        secret: Option<String>,
        stored: &[Stored],
        runs: Option<&str>,
    ) -> Result<(Revision, Rendered), String> {
        let input = collector::Input {
            collector: &self.collector,
            datadog: &self.datadog,
            egress: &self.egress,
            agent: &self.agent,
            injection: &self.injection,
        };
        let rendered = collector::render(&input).map_err(|fault| fault.to_string())?;
        let running = stored.iter().find(|one| Some(one.revision.hash.as_str()) == runs);
        let before = || template::secret_version(&running?.revision.template()).map(str::to_owned);
        let reads_it = rendered.environment.iter().any(|variable| matches!(variable.source, Source::Secret(_)));
        let secret_version = secret.or_else(before).filter(|_| reads_it);
        let pod = template::pod(&template::Input {
            collector: &self.collector,
            rendered: &rendered,
            reach: self.injection.otlp.reach,
            secret_version: secret_version.as_deref(),
        });
        Ok((Revision::new(rendered.text.clone(), &pod), rendered))
    }
}

/// Publishes what is known of the spec. Never returns.
pub async fn know(context: Context, known: watch::Sender<Option<Arc<Known>>>) {
    let mut stack = context.stack.clone();
    loop {
        let now = stack.borrow_and_update().clone();
        let before = known.borrow().as_ref().and_then(|known| known.spec.clone());
        known.send_replace(now.map(|now| Arc::new(Known::read(now, &context.namespace, before))));
        // The sender lives as long as the leader's tasks do.
        if stack.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::stack::CollectorMode;
    use serde_json::{Value, json};

    fn read(spec: &Value, before: Option<&Known>) -> Known {
        let stack = Arc::new(Stack::new("u".to_owned(), 1, spec));
        Known::read(stack, "otelgate", before.and_then(|known| known.spec.clone()))
    }

    #[test]
    fn what_was_known_of_the_spec_outlasts_a_fault() {
        let fault = json!({"injection": {"clusterDomain": "a..b"}});
        let nothing = read(&fault, None);
        assert!(nothing.spec.is_none() && nothing.pods().is_none());
        assert!(nothing.fault.is_some_and(|fault| fault.starts_with("spec.injection.clusterDomain: ")));
        let adopted = json!({"collector": {"mode": "adopt"}, "injection": {"collector": {"namespace": "a"}}});
        let known = read(&adopted, None);
        let place = known.spec.as_ref().expect("it was read").place();
        assert_eq!((place.mode, place.namespace.as_str(), &known.fault), (CollectorMode::Adopt, "a", &None));
        // Of which only one part says where the Collectors are, or are to be now.
        let elsewhere = json!({"egress": {"caConfigMap": 1}, "injection": {"collector": {"namespace": "b"}}});
        for fault in [&fault, &elsewhere] {
            let still = read(fault, Some(&known));
            assert_eq!(still.spec.as_ref().map(|spec| spec.place()), Some(place.clone()), "{fault}");
            assert_eq!(still.pods(), place.pods, "{fault}");
            assert!(still.fault.is_some_and(|fault| fault.starts_with("spec.")));
        }
        let again = read(&json!({}), Some(&known));
        assert_eq!(again.spec.map(|spec| spec.place().mode), Some(CollectorMode::Managed));
    }
}
