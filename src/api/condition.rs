//! The conditions of a `TelemetryStack`, and the reasons that they give: one enum for the condition, the log line,
//! `otelgate status` and the reference page in `docs/`.

use std::fmt;

use super::placeholder::filled;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    ConfigurationAccepted,
    CertificateReady,
    CredentialsReady,
    CollectorAvailable,
    CollectorDelivering,
    AgentAvailable,
    WebhookReachable,
    InjectionComplete,
    Ready,
}

/// The reference page of conditions, where the repository is read.
const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/reference/conditions.md");

macro_rules! reasons {
    ($($name:ident: $holds:ident, $summary:literal, $next:expr;)+) => {
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

            /// The same, with names for the words that stand for them, such as `NAMESPACE`.
            #[must_use]
            pub fn next_step_naming(self, names: &[(&str, &str)]) -> String {
                filled(self.next_step(), names)
            }

            /// Where the reference has a section about it.
            #[must_use]
            pub fn page(self) -> String {
                format!("{PAGE}#{}", self.code().to_lowercase())
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

/// Of a Secret that is there: with `kubectl create` alone it would have to be deleted first, with all else that is in it.
macro_rules! with_the_key {
    () => {
        "kubectl create secret generic SECRET -n NAMESPACE --from-file=KEY=FILE --dry-run=client -o yaml | kubectl apply -n NAMESPACE --server-side --force-conflicts -f -, where FILE has the 32 hexadecimal digits and no newline at its end"
    };
}

reasons! {
    InForce: True, "every ready webhook replica serves this configuration",
        "nothing";
    NotInForce: False, "not every ready webhook replica serves this configuration yet",
        "wait a moment; if it stays so, look at the log and at /status of the replicas that are named; where one gives no answer, let the controller reach its admin port: look at network policies";
    NoReplica: False, "the configuration is written, and no webhook replica is ready to serve it",
        "kubectl describe the pods of Deployment otelgate-webhook";
    InvalidSpec: False, "the spec can't be turned into a configuration; the last good one stays in force",
        "correct the field that is named";
    SchemaOutdated: False, "the cluster's CustomResourceDefinition lacks fields of this version, so that they are lost on the way",
        "apply the CRD of this version: otelgate update does it first, Helm never does it";
    OtherClusterDomain: False, "pods are told a name of a domain that isn't this cluster's, so that they don't find the Collector",
        "set spec.injection.clusterDomain to the domain that is named; pods have it from their next start on";
    NotWritten: False, "the configuration can't be written to ConfigMap otelgate-injection; the last good one stays in force",
        "do what the API server's message says; where a right is missing, otelgate update gives it";
    ConfigurationContested: False, "somebody else writes ConfigMap otelgate-injection too, so that the webhook serves now one, now the other",
        "have only one of the two write it: leave it to otelgate, and take it out of what whoever is named applies";
    Trusted: True, "every replica that answers serves a certificate that the registration trusts",
        "nothing";
    Rotating: True, "the next certificate is on its way, and the one before serves",
        "nothing";
    SourceUnusable: False, "the certificate that is asked for can't be used; the last good one stays in force, if there is one",
        "correct the Secret that is named; nothing has to be restarted";
    SourceNotReadable: False, "the Secret with the certificate that is asked for can't be looked at; the last good one stays in force, if there is one",
        "give the controller the right to list and watch it: otelgate update does, where certificates.provider and certificates.secretName of the chart's values are those of the spec";
    NotInjected: False, "cert-manager's CA injector hasn't written the authority into the registration",
        "look at the log of cert-manager's cainjector, and for the annotation cert-manager.io/inject-ca-from-secret on the registration";
    NotTrusted: False, "a replica serves a certificate that the registration doesn't trust, so that pods pass without it",
        "wait a moment; if it stays so, look at the log of the replicas that are named";
    NotSeen: False, "a replica that is ready shows no certificate to the controller, so that it can't tell whether calls succeed",
        "let the controller reach the webhook's port: look at network policies, and at the replicas that are named";
    NotRegistered: False, "there is no MutatingWebhookConfiguration otelgate, so that the API server calls nobody",
        "apply it: it is part of the chart and of webhook-config";
    CertificateNotWritten: False, "the certificate can't be written to its Secret, or the authority to the registration",
        "do what the API server's message says; where a right is missing, otelgate update gives it";
    RegistrationContested: False, "somebody else writes caBundle of MutatingWebhookConfiguration otelgate too, so that calls fail in between",
        "have only one of the two write it: leave caBundle to otelgate, and tell whoever is named to ignore it";
    CertificateContested: False, "somebody else writes a Secret of the webhook's certificate too, so that calls fail in between",
        "have only one of the two write it: leave it to otelgate, or set spec.certificates.provider to provided and name a Secret of your own";
    KeyInPlace: True, "the Secret has an API key that looks like one",
        "nothing";
    KeyAccepted: True, "the Secret has an API key, and Datadog accepts it",
        "nothing";
    SecretMissing: False, "the Secret with the API key isn't there",
        "write it: kubectl create secret generic SECRET -n NAMESPACE --from-file=KEY=FILE, where FILE has no newline at its end; otelgate deploy does it from DD_API_KEY";
    KeyMissing: False, "the Secret has no such key",
        concat!("name the right one in spec.datadog.secret.key, or add it to the Secret: ", with_the_key!());
    KeyMalformed: False, "what stands in the Secret is no API key",
        concat!("write it anew: ", with_the_key!());
    KeyRefused: False, "Datadog doesn't accept the API key",
        concat!("look in Datadog whether the key is still there and of this site, spec.datadog.site; then write it anew: ", with_the_key!());
    KeyNotChecked: Unknown, "Datadog can't be asked whether it accepts the API key",
        "let the controller reach https://api.SITE: look at network policies, at spec.egress, and at firewalls; or set spec.datadog.validateKey to false";
    SecretNotReadable: Unknown, "the Secret with the API key can't be looked at",
        "give the controller the right to list and watch it: otelgate update does, where Secret and namespace are those of the chart's values";
    CollectorOnEveryNode: True, "every node that should run a Collector has one that is ready, with the current configuration",
        "nothing";
    CollectorRollingOut: False, "the current revision of the Collector isn't ready on every node yet",
        "wait a moment; if it stays so, kubectl describe daemonset -A -l otelgate.dev/part=collector, and the pods on the nodes that are named";
    CollectorTrialHeld: False, "the Collector of a new revision's trial loses data as others do, or sends none where nobody else tries, so that nothing shows whether it is the revision's fault",
        "mend what it names, or CollectorDelivering: where data goes may be away, or refuse the key; the rollout goes on once nothing is lost, and is decided after five minutes";
    CollectorRolledBack: False, "the spec's Collector failed its trial; the last good one is kept",
        "correct what the Collector's words name; to have the same tried again, delete ConfigMap otel-collector-config-REVISION";
    CollectorSpecInvalid: False, "the spec makes no configuration for the Collector; the last good one stays in force",
        "correct the field that is named";
    CollectorNotReadable: False, "what the controller keeps of the Collector, or looks at for it, can't be read",
        "give the controller the right that is named: otelgate update does, for the namespace and the names of the chart's values";
    CollectorNotWritten: False, "an object of the Collector can't be written, or isn't deleted where it is to go",
        "do what its message says; otelgate update gives the rights for the namespace and the names of the chart's values";
    CollectorForeign: False, "an object that isn't otelgate's has a name of the Collector's, and is left as it is",
        "set spec.collector.mode to adopt where it is of a Collector of your own; otherwise delete it, and otelgate makes its own";
    CollectorLeftBehind: False, "Collectors still run in a namespace where they were before, beside those of now if there are any",
        "wait a moment; what the controller may not take away, delete: kubectl delete daemonset,configmap,service,serviceaccount,networkpolicy,rolebinding,lease -n NAMESPACE -l otelgate.dev/part=collector";
    CollectorContested: False, "somebody else writes an object of the Collector too",
        "have only one of the two write it: leave it to otelgate, or set spec.collector.mode to adopt or disabled";
    CollectorWithoutNode: False, "there is no node that a Collector should run on",
        "compare spec.collector.nodeSelector and tolerations with the labels and taints of nodes";
    CollectorPodRefused: False, "the API server refuses the Collector's pods",
        "do what its message says; host paths take a namespace labelled pod-security.kubernetes.io/enforce=privileged";
    CollectorImageNotPulled: False, "a node can't pull the Collector's image",
        "check spec.collector.image, its pullSecrets, and that nodes reach the registry";
    CollectorNotConfigured: False, "a Secret or ConfigMap that the Collector refers to isn't there, or lacks the key",
        "make what is named, in the Collector's namespace; otelgate deploy makes the Secret";
    CollectorOutOfMemory: False, "a Collector was killed for using more memory than its limit",
        "raise spec.collector.resources.limits.memory; GOMEMLIMIT and memory_limiter follow it";
    CollectorPortTaken: False, "another program has a port of the Collector's",
        "free the port on the nodes that are named; spec.injection.otlp.reach: service needs no port of nodes";
    CollectorCrashing: False, "a Collector keeps crashing",
        "look at its words here, and at otelgate logs";
    CollectorUnschedulable: False, "a node has no room for a Collector",
        "lower spec.collector.resources.requests, make room, or set spec.collector.priorityClassName";
    CollectorNotReady: False, "a Collector isn't ready",
        "wait a moment; if it stays so, kubectl describe its pod on the node that is named, and look at otelgate logs";
    NodeNotReady: False, "a node that should run a Collector isn't ready itself",
        "kubectl describe the nodes that are named";
    NodeWithoutCollector: False, "opted-in pods run on a node that has no Collector, so that what they send is lost",
        "add to spec.collector.tolerations or widen nodeSelector, keep such pods off the nodes that are named, or have them send elsewhere by otelgate.dev/endpoint";
    NoCollectorToAdopt: False, "no pod matches spec.collector.adopt.selector",
        "correct the selector, or set spec.collector.mode to managed";
    Delivering: True, "what Collectors take in is sent",
        "nothing";
    NothingArrives: True, "Collectors answer, and nothing was sent to them in the last minutes, which is no fault of theirs",
        "where pods are opted in, look at otelgate explain for one of them, and whether it has an SDK that is switched on";
    NoCollector: False, "there is no pod of a Collector, so that what pods send goes nowhere",
        "look at condition CollectorAvailable; with spec.collector.mode adopt, correct spec.collector.adopt.selector";
    SendFailed: False, "Collectors couldn't send what they took in, and lost it",
        "look at their log for the answer of where they send to: kubectl logs, or otelgate logs; a refused key is told by condition CredentialsReady";
    DataRefused: False, "Collectors refused what was sent to them",
        "raise the limit of memory in spec.collector.resources if the memory limiter did it; otherwise their log says why";
    QueueFilling: False, "Collectors take in more than they get rid of, and are about to lose it",
        "look at their log for slow or failing answers of where they send to; then at the limit of CPU in spec.collector.resources";
    NothingSent: False, "Collectors take in data, and send nothing of it",
        "look at their log: kubectl logs, or otelgate logs; and at additions to their configuration in spec.collector.config";
    NotScraped: False, "Collectors don't tell their own metrics, so that nobody knows whether they send anything",
        "look at the pods that are named, and let the controller reach the port of their metrics: look at network policies";
    CollectorsNotReadable: Unknown, "the Collectors' pods can't be listed",
        "give the controller the right to list and watch pods in their namespace: otelgate update does, where that is the one of the chart's values";
    AgentReady: True, "every node that should run a Datadog Agent has one that is ready, and the Cluster Agent is",
        "nothing";
    AgentSpecInvalid: False, "no Datadog Agent can be made from the spec; the one that is there stays as it is",
        "correct the field that is named";
    AgentUndecided: Unknown, "with agent.mode auto, the API server hasn't told yet whether it serves DatadogAgent",
        "wait a moment; if it stays so, look at the controller's log, or set agent.mode to operator or daemonset";
    AgentForeign: False, "a Datadog Agent, or an object of its name, is there that isn't otelgate's: a second Agent would report the same hosts",
        "remove the object that is named; or leave the nodes to that Agent: set agent.mode to adopt where it is in the Collector's namespace, with its names in agent.adopt, and to disabled where it is elsewhere";
    AgentLeftOver: False, "the Agent of the mode before isn't gone yet, and the one that is asked for waits for that",
        "wait a moment; if a DatadogAgent stays, its finalizer waits for the Datadog Operator: start it again, or take the finalizer out";
    AgentLeftBehind: False, "Datadog Agents still run in a namespace where they were before, and report the same hosts as those of now",
        "wait a moment; what the controller may not take away, delete: kubectl delete daemonset,deployment,service,serviceaccount,configmap,rolebinding,lease,secret -n NAMESPACE -l otelgate.dev/part=agent; and one that the Datadog Operator made: kubectl delete datadogagent -n NAMESPACE -l otelgate.dev/part=operator";
    AgentNotReadable: False, "what the controller keeps of the Datadog Agent can't be read",
        "give the controller the right that is named: otelgate update does, for the namespace of the chart's values";
    AgentNotWritten: False, "an object of the Datadog Agent can't be written, or isn't deleted where it is to go",
        "do what the API server's message says; otelgate update gives the rights for the namespace of the chart's values";
    AgentContested: False, "somebody else writes an object of the Datadog Agent too",
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
    AgentWithoutNode: False, "the Datadog Agent is to run on no node at all",
        "correct agent.nodeSelector and agent.tolerations, or label nodes";
    AgentOutOfMemory: False, "Datadog Agents are killed because they need more memory than they may have",
        "give the container that is named a higher limit, or fewer features";
    AgentCrashing: False, "Datadog Agents keep crashing",
        "look at the log of the container that is named: kubectl logs POD -n NAMESPACE -c CONTAINER --previous";
    AgentImageNotPulled: False, "nodes can't pull the Datadog Agent's image",
        "correct agent.image, its pullSecrets, or the node's way to the registry";
    AgentNotStarted: False, "containers of the Datadog Agent don't start",
        "do what the kubelet says, here or in the events of these pods; a Secret or key that it misses is that of spec.datadog.secret";
    AgentUnschedulable: False, "pods of the Datadog Agent can't be scheduled on their node",
        "do what the scheduler's message says: a port that is taken, a taint without toleration, or no room";
    AgentPodRefused: False, "pods of the Datadog Agent aren't made on nodes that should have one",
        "kubectl describe the DaemonSet: mostly the namespace's pod-security level, which has to be privileged, or a quota";
    AgentNotDelivering: False, "Datadog Agents run and say of themselves that they aren't ready, which is trouble with Datadog's intake or the key; they are not restarted for it",
        "look at the API key, spec.datadog.site and the way to Datadog: kubectl exec POD -n NAMESPACE -c agent -- agent diagnose";
    AgentNodeNotReady: False, "a node that should run a Datadog Agent isn't ready itself",
        "kubectl describe the nodes that are named";
    AgentRollingOut: False, "the Datadog Agent's newest version isn't on every node yet",
        "wait a moment; if it stays so, kubectl describe the pods that are named";
    ClusterAgentNotReady: False, "the Cluster Agent has fewer ready replicas than it should",
        "kubectl describe the Deployment that is named, and look at its pods' log";
    AgentServiceMissing: False, "the Service by which the adopted Datadog Agent takes OTLP isn't there, so that what is sent to it is lost",
        "make the Service that is named: with the labels of the Agent's pods as its selector, ports 4317 and 4318, and internalTrafficPolicy: Local; the Agent has to take OTLP on these ports";
    Reachable: True, "a pod went through the API server and came back with the webhook's mark, and every endpoint is trusted",
        "nothing";
    NotReached: False, "a pod came back from the API server without the webhook's mark",
        "allow the way from the control plane to the webhook's pods, port 8443 unless the chart's values say otherwise: a firewall rule on private GKE, security groups on EKS; where the network plugin gives pods addresses that the control plane can't route to (EKS with another than Amazon's), set webhook.hostNetwork; and look for failed calls in the API server's log";
    LetThrough: False, "the webhook was called, and let a pod through unchanged",
        "docs/reference/reasons.md has the next step for the code in the message";
    EndpointNotTrusted: False, "an endpoint of the webhook shows a certificate that the registration's caBundle doesn't verify",
        "look at condition CertificateReady: caBundle is written anew within seconds unless that says otherwise";
    EndpointNotReached: False, "there is no TLS handshake with an endpoint of the webhook",
        "kubectl describe the pods that are named; let the controller reach the webhook's port: look at network policies";
    ProbeRefused: Unknown, "the pod of the probe isn't admitted, so that nobody knows whether the webhook is called",
        "do what the API server's message says: a quota, a policy or another webhook of the namespace has to let a pod with label otelgate.dev/probe pass in a dry run";
    ProbeNotAllowed: Unknown, "the controller may not create the pod of the probe, not even in a dry run",
        "give it the right to create pods in its own namespace: otelgate update does";
    ProbeUnanswered: Unknown, "the API server has no answer for the pod of the probe",
        "look at the API server's log, and at its load";
    Complete: True, "every opted-in pod is injected",
        "nothing";
    Missed: False, "pods were opted in when they were created, and the webhook didn't change them",
        "look for why the webhook was away; then restart their owners, or have it done by spec.repair.missed";
    RestartPending: False, "pods were created before they were opted in, or while mode, exclude or their namespace kept them from being injected",
        "restart their owners when it suits: kubectl rollout restart";
    Outdated: False, "pods carry what an earlier configuration put into them",
        "restart their owners when it suits, or have it done by spec.repair.outdated";
    PodsUnseen: Unknown, "pods or namespaces can't be listed, so that nobody knows which were missed",
        "do what the API server's message says; where a right is missing, otelgate update gives it";
    NotDefault: False, "only the TelemetryStack named default counts",
        "move the spec there, and delete this one";
    NotLookedAt: Unknown, "the controller hasn't looked at this part yet",
        "wait a moment; if it stays so, look at the controller's log";
    AsConfigured: True, "everything is as the spec says",
        "nothing";
}

// === impl ConditionType ===

impl ConditionType {
    pub const ALL: [Self; 9] = [
        Self::ConfigurationAccepted,
        Self::CertificateReady,
        Self::CredentialsReady,
        Self::CollectorAvailable,
        Self::CollectorDelivering,
        Self::AgentAvailable,
        Self::WebhookReachable,
        Self::InjectionComplete,
        Self::Ready,
    ];
    /// Each a part's own, in the order in which they are told.
    pub const OF_PARTS: &[Self] = &[
        Self::ConfigurationAccepted,
        Self::CertificateReady,
        Self::CredentialsReady,
        Self::CollectorAvailable,
        Self::CollectorDelivering,
        Self::AgentAvailable,
        Self::WebhookReachable,
        Self::InjectionComplete,
    ];

    /// Whether `Ready` takes it to hold.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::InjectionComplete | Self::Ready)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationAccepted => "ConfigurationAccepted",
            Self::CertificateReady => "CertificateReady",
            Self::CredentialsReady => "CredentialsReady",
            Self::CollectorAvailable => "CollectorAvailable",
            Self::CollectorDelivering => "CollectorDelivering",
            Self::AgentAvailable => "AgentAvailable",
            Self::WebhookReachable => "WebhookReachable",
            Self::InjectionComplete => "InjectionComplete",
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
            Self::CredentialsReady => {
                "the Secret and its key exist, and the key looks like one; with `datadog.validateKey`, Datadog accepts it"
            }
            Self::CollectorAvailable => {
                "every node that should run a Collector has one ready with the current configuration, and no opted-in pod \
                 runs on a node without one"
            }
            Self::CollectorDelivering => {
                "read from the Collectors' own metrics: what they take in is sent, not refused, not lost, and not piling up"
            }
            Self::AgentAvailable => {
                "every node that should run a Datadog Agent has one that is ready, and the Cluster Agent is"
            }
            Self::WebhookReachable => {
                "a pod that is tried every minute comes back through the API server with the webhook's mark, and every endpoint's certificate is trusted"
            }
            Self::InjectionComplete => "no pod that would be injected if it were created now lacks its mark",
            Self::Ready => "all of the above, but InjectionComplete",
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
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        for reason in Reason::ALL {
            assert!(!reason.summary().is_empty() && !reason.summary().ends_with('.'), "{reason}");
            assert!(!reason.next_step().is_empty() && !reason.next_step().ends_with('.'), "{reason}");
        }
    }

    /// A command runs as it is written, but for the words that stand for names.
    #[test]
    fn commands_of_next_steps_have_what_they_need() {
        let mut seen = 0;
        for reason in Reason::ALL {
            for command in reason.next_step().split("kubectl ").skip(1) {
                let end = [", ", "; "].into_iter().filter_map(|end| command.find(end)).min();
                let command = &command[..end.unwrap_or(command.len())];
                let words: Vec<_> = command.split_whitespace().collect();
                let is_a_command = words.iter().any(|word| word.starts_with('-')) || command.contains("otel-collector");
                if !is_a_command {
                    continue;
                }
                seen += 1;
                assert!(words.contains(&"NAMESPACE") || words.contains(&"-A"), "{reason}: {command}");
                let of_pod = ["logs", "exec"].contains(&words[0]);
                assert!(!of_pod || words.contains(&"POD"), "{reason}: {command}");
            }
        }
        assert!(seen > 5, "{seen}");
    }

    /// A Secret that is there can't be created.
    #[test]
    fn what_is_there_is_written_anew_as_it_is() {
        let names = [("SECRET", "s"), ("NAMESPACE", "n"), ("KEY", "k")];
        let command = "kubectl create secret generic s -n n --from-file=k=FILE --dry-run=client -o yaml | \
                       kubectl apply -n n --server-side --force-conflicts -f -, where FILE";
        for reason in [Reason::KeyMissing, Reason::KeyMalformed, Reason::KeyRefused] {
            let next = reason.next_step_naming(&names);
            assert!(next.contains(command), "{reason}: {next}");
        }
        assert!(!Reason::SecretMissing.next_step().contains("apply"), "what isn't there is created");
    }

    /// That is all that can be seen of a text: what gives it is in the tables of the verdicts.
    #[test]
    fn every_reason_stands_in_a_test() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tests = String::new();
        for folder in ["src", "tests"] {
            read_tests(&root.join(folder), folder == "tests", &mut tests);
        }
        let is_named = |reason: &Reason| {
            let ways = ["Reason::", "R::", "\"", "reason: "].map(|before| format!("{before}{reason}"));
            ways.iter().any(|way| {
                tests
                    .match_indices(way.as_str())
                    .any(|(at, _)| !tests[at + way.len()..].starts_with(char::is_alphanumeric))
            })
        };
        let unnamed: Vec<_> = Reason::ALL.iter().filter(|reason| !is_named(reason)).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
    }

    /// Files of tests, and the tests of other files.
    fn read_tests(folder: &Path, of_tests: bool, tests: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let of_tests = of_tests || path.file_stem().is_some_and(|name| name == "tests");
            if path.is_dir() {
                read_tests(&path, of_tests, tests);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with(file!()) {
                let text = fs::read_to_string(&path).expect("a file");
                let from = if of_tests { Some(0) } else { text.find("#[cfg(test)]\nmod ") };
                tests.push_str(from.map_or("", |from| &text[from..]));
            }
        }
    }
}
