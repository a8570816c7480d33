//! The spec, as far as it's about the Collector, and the revision that it asks for: pure.

use super::observe::Place;
use super::revision::{Revision, Stored};
use super::template;
use crate::api::stack::{Agent, Collector, Datadog, Egress};
use crate::collector::{self, Rendered, Source};
use crate::config::{Configuration, Document};
use crate::controller::collector_pods;
use crate::controller::injection;
use crate::controller::stack::Stack;

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

/// What is gone by: a fault in the spec keeps nobody from looking after what runs.
#[derive(Debug, Default)]
pub struct Known(Option<Spec>);

// === impl Known ===

impl Known {
    /// The last spec that could be read, and what is wrong with the one that there is now.
    ///
    /// # Errors
    /// Likewise, where there was none before.
    pub fn read(&mut self, stack: &Stack, namespace: &str) -> Result<(&Spec, Option<String>), String> {
        let fault = match Spec::of(stack, namespace) {
            Ok(spec) => {
                self.0 = Some(spec);
                None
            }
            Err(fault) => Some(fault),
        };
        match (&self.0, fault) {
            (Some(spec), fault) => Ok((spec, fault)),
            (None, fault) => Err(fault.unwrap_or_default()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::stack::CollectorMode;
    use serde_json::{Value, json};

    #[test]
    fn what_was_known_of_the_spec_outlasts_a_fault() {
        let stack = |spec: &Value| Stack::new("u".to_owned(), 1, spec);
        let fault = stack(&json!({"injection": {"clusterDomain": "a..b"}}));
        let mut known = Known::default();
        let told = known.read(&fault, "otelgate").expect_err("nothing is known yet");
        assert!(told.starts_with("spec.injection.clusterDomain: "), "{told}");
        let read = |known: &mut Known, stack: &Stack| {
            let (spec, fault) = known.read(stack, "otelgate").expect("something is known");
            (spec.place(), fault)
        };
        let adopted = stack(&json!({"collector": {"mode": "adopt"}, "injection": {"collector": {"namespace": "a"}}}));
        let (place, none) = read(&mut known, &adopted);
        assert_eq!((place.mode, place.namespace.as_str(), none), (CollectorMode::Adopt, "a", None));
        for fault in [&fault, &stack(&json!({"egress": {"mode": 1, "caConfigMap": 1}}))] {
            let (still, told) = read(&mut known, fault);
            assert_eq!(still, place);
            assert!(told.is_some_and(|told| told.starts_with("spec.")));
        }
        assert_eq!(read(&mut known, &stack(&json!({}))).0.mode, CollectorMode::Managed);
    }
}
