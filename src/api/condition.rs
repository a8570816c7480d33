//! The conditions of a `TelemetryStack`, and the reasons that they give: one enum for the condition, the log line,
//! `otelgate status` and the reference page in `docs/`.

use std::fmt;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    ConfigurationAccepted,
    CertificateReady,
    AgentAvailable,
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
    AgentReady: True, "every node that should run a Datadog Agent has one that is ready, and the Cluster Agent is",
        "nothing";
    AgentUnusable: False, "no Datadog Agent can be made from the spec; the one that is there stays as it is",
        "correct the field that is named";
    AgentUndecided: Unknown, "with agent.mode auto, the API server hasn't told yet whether it serves DatadogAgent",
        "wait a moment; if it stays so, look at the controller's log, or set agent.mode to operator or daemonset";
    AgentForeign: False, "somebody else's Datadog Agent is there, so that a second one would report the same hosts",
        "set agent.mode to adopt, or remove the object that is named";
    AgentLeftOver: False, "the Agent of the mode before isn't gone yet, and the one that is asked for waits for that",
        "wait a moment; if a DatadogAgent stays, its finalizer waits for the Datadog Operator: start it again, or take the finalizer out";
    AgentNotWritten: False, "the API server doesn't take an object of the Datadog Agent",
        "do what the API server's message says";
    AgentContested: False, "somebody changes an object of the Datadog Agent back each time",
        "keep whoever is named away from it, or change spec.agent instead";
    OperatorMissing: False, "the API server doesn't serve DatadogAgent, which agent.mode operator writes",
        "install the Datadog Operator with its definitions, or set agent.mode to daemonset";
    OperatorOutdated: False, "the API server serves DatadogAgent in other versions than v2alpha1 only",
        "install a version of the Datadog Operator that serves v2alpha1, or set agent.mode to daemonset";
    OperatorSilent: False, "the Datadog Operator doesn't act on the DatadogAgent",
        "look whether the operator runs, whether it watches this namespace (WATCH_NAMESPACE, DD_AGENT_WATCH_NAMESPACE), and what its log says of the object";
    OperatorFailing: False, "the Datadog Operator reports a fault of its own",
        "look at the operator's log: its conditions don't say why";
    AgentMissing: False, "the DaemonSet of the Datadog Agent isn't there",
        "correct agent.adopt.daemonSet; in any other mode wait a moment, and look at the controller's log";
    NoNodeForAgent: False, "the Datadog Agent is to run on no node at all",
        "correct agent.nodeSelector and agent.tolerations, or label nodes";
    AgentOutOfMemory: False, "Datadog Agents are killed because they need more memory than they may have",
        "give the container that is named a higher limit, or fewer features";
    AgentCrashing: False, "Datadog Agents end again and again",
        "look at the log of the container that is named: kubectl logs --previous";
    AgentImageMissing: False, "nodes can't have the Datadog Agent's image",
        "correct agent.image, its pullSecrets, or the node's way to the registry";
    AgentNotStarted: False, "containers of the Datadog Agent can't be started",
        "do what the kubelet's message says; a Secret or key that it misses is that of spec.datadog.secret";
    AgentNotScheduled: False, "pods of the Datadog Agent find no place on their node",
        "do what the scheduler's message says: a port that is taken, a taint without toleration, or no room";
    AgentPodsRefused: False, "pods of the Datadog Agent aren't made on nodes that should have one",
        "kubectl describe the DaemonSet: mostly the namespace's pod-security level, which has to be privileged, or a quota";
    AgentNotDelivering: False, "Datadog Agents run and say of themselves that they aren't ready, which is trouble with Datadog's intake or the key; they are not restarted for it",
        "look at the API key, spec.datadog.site and the way to Datadog: kubectl exec -c agent -- agent diagnose";
    AgentRollingOut: False, "the Datadog Agent's newest version isn't on every node yet",
        "wait a moment; if it stays so, kubectl describe the pods that are named";
    ClusterAgentNotReady: False, "the Cluster Agent has fewer ready replicas than it should",
        "kubectl describe the Deployment that is named, and look at its pods' log";
    NotDefault: False, "only the TelemetryStack named default counts",
        "move the spec there, and delete this one";
    NotLookedAt: Unknown, "the controller hasn't looked at this part yet",
        "wait a moment; if it stays so, look at the controller's log";
    AsConfigured: True, "everything is as the spec says",
        "nothing";
}

// === impl ConditionType ===

impl ConditionType {
    pub const ALL: [Self; 4] = [Self::ConfigurationAccepted, Self::CertificateReady, Self::AgentAvailable, Self::Ready];
    /// Each a part's own, in the order in which they are told.
    pub const OF_PARTS: &[Self] = &[Self::ConfigurationAccepted, Self::CertificateReady, Self::AgentAvailable];

    /// Whether `Ready` takes it to hold.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Ready)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationAccepted => "ConfigurationAccepted",
            Self::CertificateReady => "CertificateReady",
            Self::AgentAvailable => "AgentAvailable",
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
            Self::AgentAvailable => {
                "every node that should run a Datadog Agent has one that is ready, and the Cluster Agent is"
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
