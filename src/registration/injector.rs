//! Other products whose webhooks put the same variables into pods.

use crate::k8s::{MutatingWebhook, MutatingWebhookConfiguration};

/// A product that instruments pods itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injector {
    OpenTelemetryOperator,
    Datadog,
}

/// Of its webhooks for its own custom resources, which are in the same registration as the one for pods, whatever a
/// Helm release makes of the names.
const OPERATORS_PATHS: &str = "/mutate-opentelemetry-io-";
/// Of the entries that Datadog's Cluster Agent registers.
const CLUSTER_AGENTS_NAMES: &str = "datadog.webhook.";

// === impl Injector ===

impl Injector {
    /// Whose registration it is, if it is one of theirs.
    #[must_use]
    pub fn of(registration: &MutatingWebhookConfiguration) -> Option<Self> {
        let any = |is: fn(&MutatingWebhook) -> bool| registration.webhooks.iter().flatten().any(is);
        if any(|webhook| path(webhook).is_some_and(|path| path.starts_with(OPERATORS_PATHS))) {
            Some(Self::OpenTelemetryOperator)
        } else if any(|webhook| webhook.name.starts_with(CLUSTER_AGENTS_NAMES)) {
            Some(Self::Datadog)
        } else {
            None
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenTelemetryOperator => "OpenTelemetry Operator",
            Self::Datadog => "Datadog Cluster Agent",
        }
    }
}

fn path(webhook: &MutatingWebhook) -> Option<&str> {
    webhook.client_config.service.as_ref()?.path.as_deref()
}
