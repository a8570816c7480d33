//! The spec, as far as it's about the Collector, and the revision that it asks for.
//!
//! A fault keeps nobody from looking after what runs: until it is mended the last spec that could be read counts, and for a
//! controller that has read none yet, what the webhook's configuration still says of it. Where that has the Collectors is
//! read here alone, so that all who look at them look at the same ones.

use std::sync::Arc;

use tokio::sync::watch;

use super::observe::Place;
use super::revision::{Revision, Stored};
use super::template;
use crate::api::stack::{Agent, AgentMode, Collector, Datadog, Egress, Owner, Owners};
use crate::collector::{self, Rendered, Source};
use crate::config::{self, CONFIG_MAP_KEY, Configuration, Document};
use crate::controller::configuration::Seen;
use crate::controller::stack::Stack;
use crate::controller::{Context, collector_pods, injection};
use crate::k8s::ConfigMap;

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
    fn read(stack: Arc<Stack>, namespace: &str, before: Option<Arc<Spec>>, in_force: Option<&ConfigMap>) -> Self {
        match Spec::of(&stack, namespace) {
            Ok(spec) => Self { stack, spec: Some(Arc::new(spec)), fault: None },
            Err(fault) => {
                let spec = before.or_else(|| Spec::recovered(&stack, namespace, in_force).map(Arc::new));
                Self { stack, spec, fault: Some(fault) }
            }
        }
    }

    /// Where the Collectors' pods are.
    #[must_use]
    pub fn pods(&self) -> Option<collector_pods::Place> {
        Some(self.spec.as_ref()?.place().pods)
    }

    /// Of a spec alone.
    #[cfg(test)]
    #[must_use]
    pub fn of(stack: Stack) -> watch::Sender<Option<Arc<Self>>> {
        watch::Sender::new(Some(Arc::new(Self::read(Arc::new(stack), "otelgate", None, None))))
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

    /// Of one with a fault, what tells where the Collectors are and who looks after them. The rest makes revisions, and none
    /// is made of a spec with a fault.
    fn recovered(stack: &Stack, namespace: &str, in_force: Option<&ConfigMap>) -> Option<Self> {
        let written = injection::document(&stack.injection, namespace).ok();
        let injection = written.or_else(|| {
            let text = in_force?.data.as_ref()?.get(CONFIG_MAP_KEY)?;
            Some(config::parse(text).ok()?.document().clone())
        })?;
        Some(Self {
            collector: stack.collector.clone().ok()?,
            datadog: stack.datadog.clone().unwrap_or_default(),
            egress: stack.egress.clone().unwrap_or_default(),
            agent: stack.agent.clone().unwrap_or_default(),
            configuration: injection::complete(injection.clone(), None).ok()?,
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

    /// Whether the Service that pods are told comes to be the Agent's, once no Collector is left.
    #[must_use]
    pub fn hands_service_over(&self) -> bool {
        let Self { collector, agent, injection, .. } = self;
        let makes_one = !matches!(agent.mode, AgentMode::Adopt | AgentMode::Disabled);
        makes_one && Owners::of(collector, agent, injection.logs.owner).otlp == Owner::Agent
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
pub async fn know(context: Context, mut maps: watch::Receiver<Seen>, known: watch::Sender<Option<Arc<Known>>>) {
    let mut stack = context.stack.clone();
    loop {
        let now = stack.borrow_and_update().clone();
        let in_force = maps.borrow_and_update().clone().flatten();
        let before = known.borrow().as_ref().and_then(|known| known.spec.clone());
        let read = now.map(|now| Arc::new(Known::read(now, &context.namespace, before, in_force.as_deref())));
        let lacks_one = read.as_ref().is_some_and(|known| known.spec.is_none());
        known.send_replace(read);
        tokio::select! {
            // The sender lives as long as the leader's tasks do.
            changed = stack.changed() => if changed.is_err() { std::future::pending::<()>().await; },
            Ok(()) = maps.changed(), if lacks_one => {}
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
        Known::read(stack, "otelgate", before.and_then(|known| known.spec.clone()), None)
    }

    /// As a controller before has left it, that had read this spec.
    fn in_force(injection: &Value) -> ConfigMap {
        let document = injection::document(injection, "otelgate").expect("valid");
        let text = injection::text(&injection::complete(document, Some("10.0.0.1")).expect("valid"));
        let stack = Stack::new("u".to_owned(), 1, &json!({}));
        serde_json::from_value(injection::config_map(&text, "otelgate", &stack.owner())).expect("a ConfigMap")
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
            assert_eq!(still.pods().as_ref(), Some(&place.pods), "{fault}");
            assert!(still.fault.is_some_and(|fault| fault.starts_with("spec.")));
        }
        let again = read(&json!({}), Some(&known));
        assert_eq!(again.spec.map(|spec| spec.place().mode), Some(CollectorMode::Managed));
    }

    #[test]
    fn the_service_that_pods_are_told_goes_over_to_an_agent_that_is_to_take_otlp() {
        let of = |collector: &str, agent: &Value| json!({"collector": {"mode": collector}, "agent": agent});
        for (spec, expected) in [
            (of("disabled", &json!({})), true),
            (of("disabled", &json!({"mode": "operator"})), true),
            (of("disabled", &json!({"features": {"apm": false}})), false),
            (of("disabled", &json!({"mode": "adopt"})), false),
            (of("disabled", &json!({"mode": "disabled"})), false),
            (of("adopt", &json!({})), false),
            (of("managed", &json!({})), false),
        ] {
            let read = Spec::of(&Stack::new("u".to_owned(), 1, &spec), "otelgate").expect("valid");
            assert_eq!(read.hands_service_over(), expected, "{spec}");
        }
    }

    /// The next leader has to look after what the one before has left.
    #[test]
    fn where_the_collectors_are_outlasts_a_restart() {
        let map = in_force(&json!({"collector": {"namespace": "a", "service": "otlp"}}));
        let place = |spec: &Value, map: Option<&ConfigMap>| {
            let known = Known::read(Arc::new(Stack::new("u".to_owned(), 1, spec)), "otelgate", None, map);
            assert!(known.fault.is_some(), "{spec}");
            known.spec.map(|spec| spec.place())
        };
        let on_some = json!({"nodeSelector": {"pool": "apps"}});
        let fault = json!({"injection": {"clusterDomain": "a..b"}, "collector": on_some});
        let found = place(&fault, Some(&map)).expect("it stands there");
        assert_eq!(
            (found.mode, found.namespace.as_str(), found.service.as_str()),
            (CollectorMode::Managed, "a", "otlp")
        );
        assert!(found.node_labels.contains("pool"), "which ones, too");
        assert_eq!(place(&fault, None), None, "it isn't known yet");
        let of_others = json!({"egress": {"caConfigMap": 1}, "injection": {"collector": {"namespace": "b"}}});
        assert_eq!(
            place(&of_others, Some(&map)).map(|place| place.namespace).as_deref(),
            Some("b"),
            "it says so itself"
        );
        let whose = json!({"collector": {"mode": "off"}});
        assert_eq!(place(&whose, Some(&map)), None, "nobody says whether they are the controller's");
    }
}
