//! Pods of what is adopted. They are left out as otelgate's own are: their resource attributes would be stamped on
//! everybody's data.

use super::injection;
use super::stack::Stack;
use crate::api::stack::{AgentMode, CollectorMode};
use crate::config::{Exclusion, Selector};
use crate::k8s::ConfigMap;

/// Entries of `exclude` for what the spec adopts in that namespace. `agent`: how the pods of an adopted Agent are found, as
/// far as that is known. As long as anything isn't, what the `ConfigMap` leaves out stays left out.
#[must_use]
pub fn exclusions(
    stack: &Stack,
    namespace: &str,
    agent: Option<&[Selector]>,
    map: Option<&ConfigMap>,
) -> Vec<Exclusion> {
    let of_collector = stack.collector.as_ref().ok().map(|collector| match collector.mode {
        CollectorMode::Adopt => vec![collector.adopt.selector.clone()],
        CollectorMode::Managed | CollectorMode::Disabled => Vec::new(),
    });
    let of_agent = match stack.agent.as_ref().map(|agent| agent.mode) {
        Ok(AgentMode::Adopt) => agent.map(<[_]>::to_vec),
        Ok(_) => Some(Vec::new()),
        Err(_) => None,
    };
    let is_known = of_collector.is_some() && of_agent.is_some();
    let before = if is_known { Vec::new() } else { injection::excluded_in(map) };
    let at = |selector| Exclusion { namespace: Some(namespace.to_owned()), selector };
    let adopted = of_collector.into_iter().chain(of_agent).flatten().map(at);
    // By a selector that the API server wouldn't take, no pod is found either.
    adopted.filter(|exclusion| exclusion.faults().is_empty()).chain(before).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Configuration;

    fn stack(spec: &Value) -> Stack {
        Stack::new("u".to_owned(), 1, spec)
    }

    fn by_app(name: &str) -> Selector {
        Selector::read(&json!({"matchLabels": {"app": name}})).expect("a selector")
    }

    /// With the app's names that are left out.
    fn found(spec: &Value, agent: Option<&[Selector]>, map: Option<&ConfigMap>) -> Vec<String> {
        let exclusions = exclusions(&stack(spec), "telemetry", agent, map);
        assert!(exclusions.iter().all(|one| one.namespace.as_deref() == Some("telemetry")), "{exclusions:?}");
        exclusions.into_iter().filter_map(|one| one.selector.match_labels.get("app").cloned()).collect()
    }

    #[test]
    fn only_what_is_adopted_is_left_out() {
        let gateway = json!({"matchLabels": {"app": "gateway"}});
        let adopts =
            json!({"collector": {"mode": "adopt", "adopt": {"selector": gateway}}, "agent": {"mode": "adopt"}});
        let agents = [by_app("their-agent"), by_app("their-cluster-agent")];
        assert_eq!(found(&adopts, Some(&agents), None), ["gateway", "their-agent", "their-cluster-agent"]);
        let keeps = json!({"collector": {"adopt": {"selector": gateway}}, "agent": {"mode": "daemonset"}});
        assert!(found(&keeps, Some(&agents), None).is_empty());
    }

    #[test]
    fn what_isnt_known_stays_as_it_was() {
        let mut document =
            injection::document(&json!({"collector": {"namespace": "telemetry"}}), "otelgate").expect("valid");
        document.exclude = vec![Exclusion { namespace: Some("telemetry".to_owned()), selector: by_app("their-agent") }];
        let text = injection::text(&Configuration::try_from(document).expect("valid"));
        let map = injection::config_map(&text, "otelgate", &stack(&json!({})).owner());
        let map: ConfigMap = serde_json::from_value(map).expect("a ConfigMap");
        let adopts = json!({"agent": {"mode": "adopt"}});
        assert_eq!(found(&adopts, None, Some(&map)), ["their-agent"]);
        assert_eq!(found(&adopts, Some(&[by_app("another")]), Some(&map)), ["another"]);
        assert_eq!(found(&json!({"collector": 1}), None, Some(&map)), ["their-agent"], "a fault takes nothing back");
        assert!(found(&adopts, None, None).is_empty());
    }

    #[test]
    fn a_selector_that_cant_be_is_no_fault_of_the_configuration() {
        let adopts =
            json!({"collector": {"mode": "adopt", "adopt": {"selector": {"matchLabels": {"app": "not a label"}}}}});
        assert!(found(&adopts, None, None).is_empty());
    }
}
