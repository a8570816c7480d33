//! What becomes of the Collectors and of pods that were missed, as far as there is something to say.

use anstyle::Style;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::stack::{CollectorTrial, RepairPhase, RepairStatus};
use crate::cli::output::{ATTENTION, BAD};
use crate::words::some_of;

/// What is under way, or left undone.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Underway {
    /// The Collector's new revision, which one node tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<CollectorTrial>,
    /// Some of the nodes without a Collector, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_collector: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairStatus>,
}

// === impl Underway ===

impl Underway {
    /// By the status of a `TelemetryStack`.
    #[must_use]
    pub fn of(status: &Value) -> Self {
        let collector = &status["collector"];
        Self {
            trial: read(&collector["trial"]),
            without_collector: read(&collector["without"]).unwrap_or_default(),
            repair: read(&status["injection"]["repair"]),
        }
    }

    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, Style, String)> {
        let Self { trial, without_collector, repair } = self;
        let mut lines = Vec::new();
        if let Some(CollectorTrial { revision, node }) = trial {
            lines.push(("trial", ATTENTION, format!("revision {revision} on {node}, before other nodes get it")));
        }
        if !without_collector.is_empty() {
            lines.push(("no collector", BAD, some_of(without_collector)));
        }
        lines.extend(repair.as_ref().and_then(told).map(|(style, told)| ("repair", style, told)));
        lines
    }
}

/// Nothing of a repair that has nothing to do.
fn told(repair: &RepairStatus) -> Option<(Style, String)> {
    let RepairStatus { phase, message, evicted, would_evict, left } = repair;
    let (style, mut told) = match phase {
        RepairPhase::Idle if left.is_empty() => return None,
        RepairPhase::DryRun if left.is_empty() && would_evict.is_empty() => return None,
        RepairPhase::Idle => (ATTENTION, format!("done, {evicted} evicted")),
        RepairPhase::Repairing => (ATTENTION, format!("under way, {evicted} evicted")),
        RepairPhase::Waiting => (ATTENTION, "waits".to_owned()),
        RepairPhase::Stopped => (BAD, "stopped".to_owned()),
        RepairPhase::DryRun if would_evict.is_empty() => (ATTENTION, "dry run, would evict nothing".to_owned()),
        RepairPhase::DryRun => (ATTENTION, format!("dry run, would evict {}", some_of(would_evict))),
    };
    if let Some(message) = message {
        told = format!("{told}: {message}");
    }
    if !left.is_empty() {
        told = format!("{told}; left: {}", some_of(left));
    }
    Some((style, told))
}

/// What an otelgate of another version may have written in another way.
fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(status: &Value) -> Vec<(&'static str, String)> {
        Underway::of(status).lines().into_iter().map(|(label, _, told)| (label, told)).collect()
    }

    #[test]
    fn what_is_as_it_should_be_takes_no_line() {
        let idle = |repair: Value| json!({"collector": {"ready": "3/3"}, "injection": {"repair": repair}});
        for status in [
            json!(null),
            json!({"collector": {"ready": "3/3"}}),
            idle(json!({"phase": "Idle", "evicted": 3})),
            idle(json!({"phase": "DryRun", "evicted": 0})),
            idle(json!({"phase": "Later", "evicted": 0})),
        ] {
            assert!(lines(&status).is_empty(), "{status}");
        }
    }

    #[test]
    fn each_phase_of_a_repair_says_what_it_does() {
        let left = json!(["shop/Pod/bare: nobody would make it again"]);
        for (repair, expected) in [
            (
                json!({"phase": "Idle", "evicted": 3, "left": left}),
                "done, 3 evicted; left: shop/Pod/bare: nobody would make it again",
            ),
            (json!({"phase": "Repairing", "evicted": 1}), "under way, 1 evicted"),
            (json!({"phase": "Waiting", "evicted": 1, "message": "CertificateReady is False"}), {
                "waits: CertificateReady is False"
            }),
            (json!({"phase": "Stopped", "evicted": 3, "message": "three workloads in a row"}), {
                "stopped: three workloads in a row"
            }),
            (json!({"phase": "DryRun", "evicted": 0, "wouldEvict": ["a (1)", "b (2)", "c (1)", "d (1)"]}), {
                "dry run, would evict a (1), b (2), c (1) and 1 more"
            }),
            (json!({"phase": "DryRun", "evicted": 0, "left": left}), {
                "dry run, would evict nothing; left: shop/Pod/bare: nobody would make it again"
            }),
        ] {
            let told = lines(&json!({"injection": {"repair": repair}}));
            assert_eq!(told, [("repair", expected.to_owned())], "{repair}");
        }
    }
}
