//! Which way the Agent comes about, and what has to go before it may. Pure.

use crate::api::stack::{AgentMode, AgentWay};

/// What the API server says of the kind `DatadogAgent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    No,
    /// In the version that the controller writes.
    Yes,
    /// In these only.
    Others(Vec<String>),
}

/// The version of `DatadogAgent` that the controller writes.
pub const VERSION: &str = "v2alpha1";

/// What is there, beside what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// The controller's own DaemonSet or Deployment.
    pub own: bool,
    /// The controller's `DatadogAgent`, or what the operator still has of it.
    pub of_operator: bool,
    /// An Agent that isn't otelgate's, by kind and name; while none of ours is there, in any namespace.
    pub foreign: Option<String>,
}

/// What may be there now. Of two ways one is always empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Objects of the way that was decided.
    Way(AgentWay),
    /// Nothing, until what is left of the other way has gone.
    LeftOver,
    /// Nothing of ours beside somebody else's.
    Foreign(String),
}

/// The way that was decided; `None` while that can't be told.
///
/// What `auto` was decided to be stays, whatever the API server serves later: a definition that comes or goes must not
/// replace every Agent of a cluster.
#[must_use]
pub fn settle(asked: AgentMode, kept: Option<AgentWay>, served: Option<&Served>) -> Option<AgentWay> {
    match asked {
        AgentMode::Operator => Some(AgentWay::Operator),
        AgentMode::Daemonset => Some(AgentWay::Daemonset),
        AgentMode::Adopt => Some(AgentWay::Adopt),
        AgentMode::Disabled => Some(AgentWay::Disabled),
        AgentMode::Auto => match (kept, served) {
            (Some(kept @ (AgentWay::Operator | AgentWay::Daemonset)), _) => Some(kept),
            (_, Some(Served::Yes)) => Some(AgentWay::Operator),
            (_, Some(Served::No | Served::Others(_))) => Some(AgentWay::Daemonset),
            (_, None) => None,
        },
    }
}

/// One way at a time: two Agents on a node would send everything twice.
#[must_use]
pub fn allowed(way: AgentWay, present: &Present) -> Allowed {
    match way {
        AgentWay::Adopt | AgentWay::Disabled => Allowed::Way(way),
        AgentWay::Operator if present.own => Allowed::LeftOver,
        AgentWay::Daemonset if present.of_operator => Allowed::LeftOver,
        AgentWay::Operator | AgentWay::Daemonset => present.foreign.clone().map_or(Allowed::Way(way), Allowed::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_decided_once() {
        let others = Served::Others(vec!["v3".to_owned()]);
        for (kept, served, expected) in [
            (None, None, None),
            (None, Some(&Served::Yes), Some(AgentWay::Operator)),
            (None, Some(&Served::No), Some(AgentWay::Daemonset)),
            (None, Some(&others), Some(AgentWay::Daemonset)),
            (Some(AgentWay::Operator), None, Some(AgentWay::Operator)),
            (Some(AgentWay::Operator), Some(&Served::No), Some(AgentWay::Operator)),
            (Some(AgentWay::Operator), Some(&others), Some(AgentWay::Operator)),
            (Some(AgentWay::Daemonset), Some(&Served::Yes), Some(AgentWay::Daemonset)),
            (Some(AgentWay::Disabled), Some(&Served::Yes), Some(AgentWay::Operator)),
            (Some(AgentWay::Adopt), None, None),
        ] {
            assert_eq!(settle(AgentMode::Auto, kept, served), expected, "{kept:?} {served:?}");
        }
    }

    #[test]
    fn what_is_said_is_done() {
        for (asked, expected) in [
            (AgentMode::Operator, AgentWay::Operator),
            (AgentMode::Daemonset, AgentWay::Daemonset),
            (AgentMode::Adopt, AgentWay::Adopt),
            (AgentMode::Disabled, AgentWay::Disabled),
        ] {
            for kept in [None, Some(AgentWay::Operator), Some(AgentWay::Daemonset)] {
                for served in [None, Some(&Served::Yes), Some(&Served::No)] {
                    assert_eq!(settle(asked, kept, served), Some(expected));
                }
            }
        }
    }

    #[test]
    fn the_next_way_waits_for_the_one_before_and_never_stands_beside_a_stranger() {
        let own = Present { own: true, ..Present::default() };
        let of_operator = Present { of_operator: true, ..Present::default() };
        let foreign = Present { foreign: Some("DaemonSet datadog".to_owned()), ..Present::default() };
        for (way, present, expected) in [
            (AgentWay::Operator, &own, Allowed::LeftOver),
            (AgentWay::Operator, &of_operator, Allowed::Way(AgentWay::Operator)),
            (AgentWay::Operator, &foreign, Allowed::Foreign("DaemonSet datadog".to_owned())),
            (AgentWay::Daemonset, &own, Allowed::Way(AgentWay::Daemonset)),
            (AgentWay::Daemonset, &of_operator, Allowed::LeftOver),
            (AgentWay::Daemonset, &foreign, Allowed::Foreign("DaemonSet datadog".to_owned())),
            (AgentWay::Adopt, &own, Allowed::Way(AgentWay::Adopt)),
            (AgentWay::Disabled, &of_operator, Allowed::Way(AgentWay::Disabled)),
        ] {
            assert_eq!(allowed(way, present), expected, "{way:?} {present:?}");
        }
    }
}
