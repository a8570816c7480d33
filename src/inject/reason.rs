//! Why something happened, or did not: one enum for the log line, the metric label, the status annotation, `explain`
//! and the reference page in `docs/`.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a reason is about, which also sorts the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The pod is left as it is.
    Skip,
    /// One variable, attribute, annotation or label is not as one might expect.
    Key,
    /// Something about the pod or its namespace that somebody should know.
    Notice,
    /// The webhook could not decide, and let the pod pass.
    Failure,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $scope:ident, $summary:literal, $next:literal;)+) => {
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

            /// The code, as users see it everywhere.
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

            #[must_use]
            pub const fn scope(self) -> Scope {
                match self { $(Self::$name => Scope::$scope,)+ }
            }
        }
    };
}

reasons! {
    NotOptedIn: Skip, "neither the pod nor its namespace is opted in",
        "label the namespace or the pod template otelgate.dev/inject=enabled";
    OptedOut: Skip, "the label says disabled",
        "nothing, if that is meant; else change the label otelgate.dev/inject";
    ModeDisabled: Skip, "the configuration's mode is disabled, which caps every opt-in",
        "set mode to enabled or observe in the configuration";
    SystemNamespace: Skip, "the namespace belongs to Kubernetes itself",
        "nothing: kube-system, kube-public and kube-node-lease are never injected";
    LeftOutNamespace: Skip, "the API server doesn't call the webhook for a namespace with label control-plane=true or kubernetes.azure.com/managedby=aks",
        "nothing, if the namespace is the cluster's own; else take that label off it, or run the pod in another namespace";
    Excluded: Skip, "the configuration excludes this pod",
        "see exclude in the configuration; the telemetry pipeline's own pods must stay in it";
    MirrorPod: Skip, "a mirror pod: the kubelet made it from a file, and admission can't change it",
        "nothing: set the variables in the static pod's file";
    WindowsPod: Skip, "a Windows pod",
        "nothing: Windows pods are not supported";
    NoContainers: Skip, "no container is selected",
        "name one in otelgate.dev/containers; without that, every regular container but known sidecars is selected";
    ObjectTooLarge: Skip, "with the patch the object would pass 1 MiB",
        "make the pod smaller: etcd refuses objects of 1.5 MiB";
    TooManyContainers: Skip, "the pod has more than 1,000 containers",
        "make it several pods: no node runs such a one";
    AnnotationsTooLarge: Skip, "all annotations together would pass 256 KiB, which the API server refuses",
        "remove annotations from the pod template; otelgate's are left out till then, and without room for otelgate.dev/status the pod is left alone";

    ValueFrom: Key, "the user's value comes from elsewhere (valueFrom), so it can't be known here",
        "nothing; to have it set by otelgate, write a literal or remove the variable";
    MayOverride: Key, "may override a value that can't be seen at admission (envFrom, or an unresolved reference)",
        "if the hidden value should win, name the key in otelgate.dev/skip";
    UnresolvedReference: Key, "the container's value has a reference that can't be resolved at admission",
        "write the value out, if it should be known to logs and tags too";
    PairIsUsers: Key, "belongs to a setting that the container has itself, and is left alone with it",
        "nothing; to have both from otelgate, remove the container's own";
    LogsExcluded: Key, "the pod's annotation ad.datadoghq.com/logs_exclude or exclude, or that of the container, keeps the Datadog Agent from the logs, so nobody reads them from files",
        "nothing, if that is meant; else remove that annotation";
    LogsNotRead: Key, "the Datadog Agent isn't told to read this container's logs, so its SDK goes on sending them",
        "see why the container's annotation ad.datadoghq.com/<container>.logs is left out";
    SkippedByAnnotation: Key, "named in otelgate.dev/skip, or goes with a key that is",
        "nothing, if that is meant";
    NotLegal: Key, "not legal as a Kubernetes name or value, so the API server would refuse it",
        "shorten or change the value; the variables carry it all the same";
    ContainersDiffer: Key, "the selected containers have different values, so no pod-wide key can be right",
        "nothing; to have one value, set it by annotation or select fewer containers";
    NoNamespace: Key, "the document names no namespace, so what depends on it is left out here",
        "give -n NAMESPACE; the webhook adds it in any case";
    NoName: Key, "the document doesn't name the pods' owner, or only how its name begins (generateName), so what depends on it is left out here",
        "nothing: the webhook adds it by the name that the owner has then";
    NoEndpoint: Key, "this pod can't resolve cluster names (hostNetwork or dnsPolicy), and the Collector's address isn't known",
        "set dnsPolicy: ClusterFirstWithHostNet, or collector.address in the configuration";
    NoEndpointForProtocol: Key, "no endpoint is known that speaks the protocol which the container or otelgate.dev/protocol asks for",
        "correct or remove that protocol, or set the endpoint beside it: in the container, or by otelgate.dev/endpoint";
    UnclosedReference: Key, "the user's value has an unclosed $(, so nothing can be appended to it",
        "close the reference, or write $$( for a literal $(";
    ReferenceBehind: Key, "the container has the variable that ours would refer to, but behind the place of ours, where it can't be referred to",
        "remove the container's own OTELGATE_ variable: otelgate sets it";
    ReferenceTaken: Key, "a variable that ours would refer to has another meaning in this container",
        "rename the container's own OTELGATE_ variable";
    ValueTooLarge: Key, "the value is longer than 4 KiB",
        "shorten it";
    VariableTooLarge: Key, "OTEL_RESOURCE_ATTRIBUTES would be longer than 32 KiB",
        "shorten it, or the pod's resource.opentelemetry.io annotations";
    ControlCharacter: Key, "the value has control characters",
        "remove them";
    PerContainerLogSource: Key, "a log source for one container works only where the Datadog Agent owns the logs",
        "use otelgate.dev/log-source for the whole pod";

    InvalidOptIn: Notice, "the label otelgate.dev/inject has a value that isn't enabled, observe or disabled",
        "correct the label; until then it counts as absent";
    OptInIsALabel: Notice, "otelgate.dev/inject is written as an annotation, where it has no effect",
        "write it as a label";
    InvalidOption: Notice, "an option has a value that isn't allowed, or one of more than 4 KiB, and counts as absent",
        "see the options' reference for its values";
    UnknownAnnotation: Notice, "an otelgate.dev/ annotation that doesn't exist",
        "correct its name";
    NotOnNamespace: Notice, "this attribute on a Namespace would make many services one, and is ignored",
        "set it on the pod template";
    UnknownContainer: Notice, "the pod has no container of that name",
        "correct the name";
    NamespaceUnknown: Notice, "the namespace's annotations weren't known yet, so its defaults are missing",
        "restart the pod if the namespace has otelgate annotations";
    SdkDisabled: Notice, "the container sets OTEL_SDK_DISABLED=true and gets no variables",
        "nothing, if that is meant";
    MalformedAttributes: Notice, "the container's OTEL_RESOURCE_ATTRIBUTES isn't a list of key=value, so SDKs may discard all of it",
        "correct it: key=value pairs, separated by commas, percent-encoded";
    EditedByUser: Notice, "a value that otelgate wrote was edited since, and is the user's now",
        "nothing, if that is meant; remove the key to have it set again";
    ContainerRenamed: Notice, "the container had another name when otelgate wrote into it; what it wrote is renewed under this one",
        "nothing";
    ContainerCopied: Notice, "the container has what otelgate wrote into another, as a copy of it has; it is otelgate's here too",
        "nothing";
    UnclaimedValues: Notice, "the container has values as otelgate wrote them into another; whose they are can't be known, so they stay",
        "if the container was renamed or copied, take otelgate's variables out of it; if they are its own, undo and inject anew";
    ConfigurationChanged: Notice, "the pod carries values of an earlier configuration, which are replaced where it is injected",
        "nothing";
    InjectedBefore: Notice, "the pod is left alone now, and still carries what otelgate wrote before",
        "take it out of the manifest with otelgate inject --undo, if that isn't meant";
    InvalidStatus: Notice, "the annotation otelgate.dev/status can't be read, so what it listed counts as the user's",
        "remove the annotation, or restore it from the manifest that otelgate wrote";
    UnsupportedSkip: Notice, "otelgate.dev/skip names neither a variable nor an attribute that otelgate sets",
        "correct the name; for an annotation or a label, name its attribute, such as service.name";

    Undecodable: Failure, "the review couldn't be decoded",
        "please report it with the pod's manifest; the pod was created unchanged";
    NotAPod: Failure, "the review isn't about the creation of a pod",
        "compare the webhook configuration with the one of this version";
    BodyTooLarge: Failure, "the request is larger than 7 MiB",
        "make the pod smaller";
    Overloaded: Failure, "too many requests at once; this one was let through",
        "add replicas or CPU to the webhook";
    DeadlineExceeded: Failure, "most of the API server's timeout was spent before the review was decided",
        "look for CPU throttling of the webhook, and for a slow network";
    NoConfiguration: Failure, "no usable configuration has been read yet",
        "see /readyz of the webhook for what is wrong with it";
    InternalError: Failure, "a defect in otelgate; the pod was created unchanged",
        "please report it with the log line";
}

impl Reason {
    /// Whether the pod is too large, which its creator is told at once: nobody else makes it smaller.
    #[must_use]
    pub const fn is_of_size(self) -> bool {
        matches!(self, Self::ObjectTooLarge | Self::TooManyContainers | Self::AnnotationsTooLarge)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
