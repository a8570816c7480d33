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
