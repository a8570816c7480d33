//! Who has each kind of data: the Collector, the Agent, or nobody. Pure.
//!
//! Where both had the same, every line and host would arrive twice, and two processes would fight for a port. So the
//! answer has room for one name for each kind, and what Agent and Collector are told follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Agent, AgentMode, Collector, CollectorMode, Exporter};
use crate::config::LogOwner;

/// Who has each kind of data: one, or nobody, and never two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owners {
    /// Lines that containers write.
    pub container_logs: Owner,
    /// What containers send by OTLP.
    pub otlp: Owner,
    /// Metrics of pods that are annotated with `prometheus.io/scrape`.
    pub prometheus: Owner,
    /// Metrics of the cluster's objects.
    pub cluster_state: Owner,
    /// Metrics of nodes and their kubelets.
    pub host_metrics: Owner,
    /// What Datadog's list of hosts is made from.
    pub host_metadata: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    Collector,
    Agent,
    Nobody,
}

// === impl Owners ===

impl Owners {
    /// Works it out from what both are asked to do.
    #[must_use]
    pub fn of(collector: &Collector, agent: &Agent, logs: LogOwner) -> Self {
        let has_collector = collector.mode != CollectorMode::Disabled;
        let has_agent = agent.mode != AgentMode::Disabled;
        let of_collector = if has_collector { Owner::Collector } else { Owner::Nobody };
        let of_agent = if has_agent { Owner::Agent } else { Owner::Nobody };
        let collector_first = if has_collector { Owner::Collector } else { of_agent };
        Self {
            container_logs: match logs {
                LogOwner::Collector => of_collector,
                LogOwner::Agent => of_agent,
            },
            otlp: match collector_first {
                Owner::Agent if !agent.features.apm => Owner::Nobody,
                owner => owner,
            },
            prometheus: if collector.metrics.annotated_pods { collector_first } else { Owner::Nobody },
            cluster_state: if collector.metrics.cluster { collector_first } else { of_agent },
            host_metrics: of_agent,
            host_metadata: match of_agent {
                Owner::Nobody if collector.exporter == Exporter::Datadog => of_collector,
                owner => owner,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENTS: [AgentMode; 5] =
        [AgentMode::Auto, AgentMode::Operator, AgentMode::Daemonset, AgentMode::Adopt, AgentMode::Disabled];
    const COLLECTORS: [CollectorMode; 3] = [CollectorMode::Managed, CollectorMode::Adopt, CollectorMode::Disabled];

    fn of(collector: CollectorMode, agent: AgentMode, logs: LogOwner) -> Owners {
        let collector = Collector { mode: collector, ..Collector::default() };
        Owners::of(&collector, &Agent { mode: agent, ..Agent::default() }, logs)
    }

    #[test]
    fn untold_the_collector_has_what_pods_say_and_the_agent_what_hosts_say() {
        let untold = Owners::of(&Collector::default(), &Agent::default(), LogOwner::default());
        let expected = Owners {
            container_logs: Owner::Collector,
            otlp: Owner::Collector,
            prometheus: Owner::Collector,
            cluster_state: Owner::Collector,
            host_metrics: Owner::Agent,
            host_metadata: Owner::Agent,
        };
        assert_eq!(untold, expected);
    }

    #[test]
    fn nobody_is_named_who_is_not_there() {
        for collector in COLLECTORS {
            for agent in AGENTS {
                for logs in [LogOwner::Collector, LogOwner::Agent] {
                    let found = of(collector, agent, logs);
                    let Owners { container_logs, otlp, prometheus, cluster_state, host_metrics, host_metadata } = found;
                    for owner in [container_logs, otlp, prometheus, cluster_state, host_metrics, host_metadata] {
                        let there = match owner {
                            Owner::Collector => collector != CollectorMode::Disabled,
                            Owner::Agent => agent != AgentMode::Disabled,
                            Owner::Nobody => true,
                        };
                        assert!(there, "{collector:?} {agent:?} {logs:?}: {found:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_one_lacks_the_other_takes() {
        let alone = of(CollectorMode::Disabled, AgentMode::Auto, LogOwner::Collector);
        assert_eq!(
            (alone.container_logs, alone.otlp),
            (Owner::Nobody, Owner::Agent),
            "an owner of logs is asked for by name"
        );
        assert_eq!((alone.prometheus, alone.cluster_state), (Owner::Agent, Owner::Agent));
        let alone = of(CollectorMode::Managed, AgentMode::Disabled, LogOwner::Agent);
        assert_eq!((alone.container_logs, alone.host_metadata), (Owner::Nobody, Owner::Collector));
        assert_eq!(alone.host_metrics, Owner::Nobody, "the Collector reads none");
    }

    #[test]
    fn what_is_not_asked_for_is_taken_by_nobody() {
        let mut collector = Collector { mode: CollectorMode::Disabled, ..Collector::default() };
        let mut agent = Agent::default();
        agent.features.apm = false;
        assert_eq!(Owners::of(&collector, &agent, LogOwner::Agent).otlp, Owner::Nobody);
        collector.metrics.annotated_pods = false;
        assert_eq!(Owners::of(&collector, &agent, LogOwner::Agent).prometheus, Owner::Nobody);
        collector.mode = CollectorMode::Managed;
        collector.metrics.cluster = false;
        assert_eq!(Owners::of(&collector, &agent, LogOwner::Agent).cluster_state, Owner::Agent);
        agent.mode = AgentMode::Disabled;
        collector.exporter = Exporter::Otlp;
        assert_eq!(
            Owners::of(&collector, &agent, LogOwner::Agent).host_metadata,
            Owner::Nobody,
            "the intake takes no metadata"
        );
    }
}
