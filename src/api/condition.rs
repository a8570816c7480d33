//! The conditions of a `TelemetryStack`, and the reasons that they give: one enum for the condition, the log line,
//! `otelgate status` and the reference page in `docs/`.

use std::fmt;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    ConfigurationAccepted,
    CertificateReady,
    Ready,
}

macro_rules! reasons {
    ($($name:ident: $holds:ident, $summary:literal, $next:literal;)+) => {
        /// A stable code with a one-line summary and a next step.
        ///
        /// Codes are part of the contract with users: they are never renamed, and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(clippy::doc_markdown, reason = "summaries are also printed where backticks would be noise")]
        pub enum Reason {
            $(#[doc = $summary] $name,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code, as it stands in a condition.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// One line: what it means.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary,)+ }
            }

            /// One line: what to do about it.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)+ }
            }

            /// What a condition with this reason says.
            #[must_use]
            pub const fn holds(self) -> Holds {
                match self { $(Self::$name => Holds::$holds,)+ }
            }
        }
    };
}

/// The `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    True,
    False,
    Unknown,
}

reasons! {
    InForce: True, "every ready webhook replica serves this configuration",
        "nothing";
    NotInForce: False, "not every ready webhook replica serves this configuration yet",
        "wait a moment; if it stays so, look at the log and at /readyz of the replicas that are named";
    NoReplica: False, "the configuration is written, and no webhook replica is ready to serve it",
        "kubectl describe the pods of Deployment otelgate-webhook";
    InvalidSpec: False, "the spec can't be turned into a configuration; the last good one stays in force",
        "correct the field that is named";
    SchemaOutdated: False, "the cluster's CustomResourceDefinition lacks fields of this version, so that they are lost on the way",
        "apply the CRD of this version: otelgate update does it first, Helm never does it";
    NotWritten: False, "the configuration can't be written to ConfigMap otelgate-injection; the last good one stays in force",
        "do what the API server's message says";
    Trusted: True, "every replica that answers serves a certificate that the registration trusts",
        "nothing";
    Rotating: True, "the next certificate is on its way, and the one before serves",
        "nothing";
    SourceUnusable: False, "the certificate that is asked for can't be used; the last good one stays in force, if there is one",
        "correct the Secret that is named; nothing has to be restarted";
    NotInjected: False, "cert-manager's CA injector hasn't written the authority into the registration",
        "look at the log of cert-manager's cainjector, and for the annotation cert-manager.io/inject-ca-from-secret on the registration";
    NotTrusted: False, "a replica serves a certificate that the registration doesn't trust, so that pods pass without it",
        "wait a moment; if it stays so, look at the log of the replicas that are named";
    NotSeen: False, "a replica that is ready shows no certificate to the controller, so that it can't tell whether calls succeed",
        "let the controller reach the webhook's port: look at network policies, and at the replicas that are named";
    NotRegistered: False, "there is no MutatingWebhookConfiguration otelgate, so that the API server calls nobody",
        "apply it: it is part of the chart and of webhook-config";
    CertificateNotWritten: False, "the certificate can't be written to its Secret, or the authority to the registration",
        "do what the API server's message says";
    NotDefault: False, "only the TelemetryStack named default counts",
        "move the spec there, and delete this one";
    NotLookedAt: Unknown, "the controller hasn't looked at this part yet",
        "wait a moment; if it stays so, look at the controller's log";
    AsConfigured: True, "everything is as the spec says",
        "nothing";
}

// === impl ConditionType ===

impl ConditionType {
    pub const ALL: [Self; 3] = [Self::ConfigurationAccepted, Self::CertificateReady, Self::Ready];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationAccepted => "ConfigurationAccepted",
            Self::CertificateReady => "CertificateReady",
            Self::Ready => "Ready",
        }
    }

    /// One line: what `True` means.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::ConfigurationAccepted => "the spec became a configuration, and every ready webhook replica serves it",
            Self::CertificateReady => {
                "every webhook replica serves a certificate that the API server has been told to trust"
            }
            Self::Ready => "all of the above",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Holds ===

impl Holds {
    /// As in a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        for reason in Reason::ALL {
            assert!(!reason.summary().is_empty() && !reason.summary().ends_with('.'), "{reason}");
            assert!(!reason.next_step().is_empty() && !reason.next_step().ends_with('.'), "{reason}");
        }
    }
}
