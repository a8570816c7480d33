//! What one condition says, in words: what was seen, and what to do about it.

use crate::api::condition::{Holds, Reason};
use crate::k8s::Condition;

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    /// What was seen, with names; the reason's summary where it is empty.
    pub detail: String,
    /// Of the spec that it is about.
    pub generation: i64,
    /// The reason's, with the names that it leaves open.
    pub(super) next_step: Option<String>,
}

/// Longest message of a condition that the API takes.
const MAX_MESSAGE: usize = 32_768;
/// Between what was seen and what to do about it.
pub const NEXT_STEP: &str = "; next step: ";

// === impl Verdict ===

impl Verdict {
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>, generation: i64) -> Self {
        Self { reason, detail: detail.into(), generation, next_step: None }
    }

    /// With names in the next step for the words that stand for them, such as `NAMESPACE`.
    #[must_use]
    pub fn naming(mut self, names: &[(&str, &str)]) -> Self {
        let told = self.reason.next_step_naming(names);
        self.next_step = (told != self.reason.next_step()).then_some(told);
        self
    }

    /// As it stands in a condition; `None` for a reason that this version doesn't know.
    pub(super) fn written(condition: &Condition) -> Option<Self> {
        let reason = *Reason::ALL.iter().find(|reason| reason.code() == condition.reason)?;
        let (seen, next_step) = match condition.message.rsplit_once(NEXT_STEP) {
            Some((seen, next_step)) if reason.holds() != Holds::True => (seen, Some(next_step.to_owned())),
            _ => (condition.message.as_str(), None),
        };
        let generation = condition.observed_generation.unwrap_or_default();
        Some(Self { reason, detail: seen.to_owned(), generation, next_step })
    }

    /// What was seen and, unless all is well, what to do.
    pub(in crate::controller) fn message(&self) -> String {
        let seen = if self.detail.is_empty() { self.reason.summary() } else { &self.detail };
        let message = match self.reason.holds() {
            Holds::True => seen.to_owned(),
            Holds::False | Holds::Unknown => {
                let next_step = self.next_step.as_deref().unwrap_or_else(|| self.reason.next_step());
                format!("{seen}{NEXT_STEP}{next_step}")
            }
        };
        message.chars().take(MAX_MESSAGE / 4).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_next_step_unless_all_is_well() {
        let message = Verdict::new(Reason::InvalidSpec, "spec.injection.mode: must be a string", 1).message();
        assert_eq!(message, "spec.injection.mode: must be a string; next step: correct the field that is named");
        assert_eq!(Verdict::new(Reason::InForce, "", 1).message(), Reason::InForce.summary());
    }

    #[test]
    fn a_next_step_can_be_done_as_it_is_written() {
        let names = [("SECRET", "KEY"), ("NAMESPACE", "datadog"), ("KEY", "api-key")];
        let message = Verdict::new(Reason::SecretMissing, "", 1).naming(&names).message();
        let command = "kubectl create secret generic KEY -n datadog --from-file=api-key=FILE";
        assert!(message.contains(command) && message.ends_with("from DD_API_KEY"), "{message}");
        let all_is_well = Verdict::new(Reason::KeyInPlace, "", 1).naming(&names);
        assert_eq!(all_is_well, Verdict::new(Reason::KeyInPlace, "", 1));
    }

    #[test]
    fn a_condition_says_what_was_said() {
        let named = Verdict::new(Reason::CollectorLeftBehind, "2 pods", 3).naming(&[("NAMESPACE", "old")]);
        for verdict in [
            named,
            Verdict::new(Reason::SendFailed, "1 of 3 Collectors lost data; others not", 4),
            Verdict::new(Reason::Delivering, "what arrives is sent", 4),
            Verdict::new(Reason::NotLookedAt, "", 4),
        ] {
            let mut condition = condition(&verdict);
            let again = Verdict::written(&condition).expect("a reason that is known");
            assert_eq!((again.reason, again.generation), (verdict.reason, verdict.generation));
            assert_eq!(again.message(), verdict.message());
            condition.reason = "OfAnotherVersion".to_owned();
            assert_eq!(Verdict::written(&condition), None);
        }
    }

    fn condition(verdict: &Verdict) -> Condition {
        let condition = serde_json::json!({
            "type": "Ready", "status": verdict.reason.holds().as_str(), "reason": verdict.reason.code(),
            "message": verdict.message(), "observedGeneration": verdict.generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(condition).expect("a condition")
    }
}
