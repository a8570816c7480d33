//! Every field of a `DatadogAgent`, variable, capability and mount of an Agent's pods that otelgate writes, and what the
//! Cluster Agent writes itself, with the page where it was read. A test compares this with what is written.

/// What one name is for, and where that stands.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: &'static str,
    pub meaning: &'static str,
    pub source: Source,
}

/// A page that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Fields of a `DatadogAgent`.
    Fields,
    /// The operator's containers, before any feature.
    Pod,
    /// The operator's settings for all containers.
    Global,
    ClusterAgent,
    Apm,
    Dogstatsd,
    Otlp,
    Logs,
    Processes,
    Network,
    Compliance,
    RuntimeSecurity,
    Prometheus,
    ClusterState,
    ClusterChecks,
    Events,
    /// Datadog's chart, for what the operator has no field for.
    Chart,
    Proxy,
    /// How any setting is told by a variable.
    Variables,
    /// Go's own reading of authorities.
    Authorities,
    /// How the Cluster Agent finds the cluster's id.
    ClusterId,
    /// How it remembers which events it has read.
    EventsRead,
    /// By what it agrees with others on one.
    Leader,
    /// What the node agent tells of its host, and of itself.
    Metadata,
}

// === impl Source ===

impl Source {
    /// The page's address.
    #[must_use]
    pub fn page(self) -> String {
        let operator = |path: &str| format!("https://github.com/DataDog/datadog-operator/blob/v1.31.0/{path}");
        let agent = |commit: &str, path: &str| format!("https://github.com/DataDog/datadog-agent/blob/{commit}/{path}");
        let api_server = |commit: &str, path: &str| agent(commit, &format!("pkg/util/kubernetes/apiserver/{path}"));
        let feature = |name: &str| operator(&format!("internal/controller/datadogagent/feature/{name}/feature.go"));
        match self {
            Self::Fields => operator("docs/configuration.v2alpha1.md"),
            Self::Pod => operator("internal/controller/datadogagent/component/agent/default.go"),
            Self::Global => operator("internal/controller/datadogagent/global/global.go"),
            Self::ClusterAgent => operator("internal/controller/datadogagent/component/clusteragent/default.go"),
            Self::Apm => feature("apm"),
            Self::Dogstatsd => feature("dogstatsd"),
            Self::Otlp => feature("otlp"),
            Self::Logs => feature("logcollection"),
            Self::Processes => feature("liveprocess"),
            Self::Network => feature("npm"),
            Self::Compliance => feature("cspm"),
            Self::RuntimeSecurity => feature("cws"),
            Self::Prometheus => feature("prometheusscrape"),
            Self::ClusterState => feature("kubernetesstatecore"),
            Self::ClusterChecks => feature("clusterchecks"),
            Self::Events => feature("eventcollection"),
            Self::Chart => {
                "https://github.com/DataDog/helm-charts/tree/datadog-3.240.0/charts/datadog/templates".to_owned()
            }
            Self::Proxy => "https://docs.datadoghq.com/agent/configuration/proxy/".to_owned(),
            Self::Variables => "https://docs.datadoghq.com/agent/guide/environment-variables/".to_owned(),
            Self::Authorities => "https://pkg.go.dev/crypto/x509#SystemCertPool".to_owned(),
            Self::ClusterId => api_server("e3b29c2d8ac38fbbc0a6fd4f25f059eba630e115", "common/common.go"),
            Self::EventsRead => api_server("862fc222ea0e51f09b4336996aeb25576e4a5673", "apiserver.go"),
            Self::Leader => {
                api_server("1737e5be7cdc0ace2a3b1073211d3121f3704ebf", "leaderelection/leaderelection_engine.go")
            }
            Self::Metadata => {
                agent("0b22d302584e10d72c4f4e7b130efb20fbf2efb5", "comp/metadata/runner/runnerimpl/runner.go")
            }
        }
    }
}

const fn entry(name: &'static str, meaning: &'static str, source: Source) -> Entry {
    Entry { name, meaning, source }
}

/// Fields of the `DatadogAgent`, each with all within it.
pub const FIELDS: [Entry; 37] = [
    entry("global.site", "`spec.datadog.site`", Source::Fields),
    entry("global.credentials.apiSecret.secretName", "`spec.datadog.secret.name`", Source::Fields),
    entry("global.credentials.apiSecret.keyName", "`spec.datadog.secret.key`", Source::Fields),
    entry("global.clusterName", "`spec.injection.clusterName`", Source::Fields),
    entry("global.kubelet.tlsVerify", "`spec.agent.kubelet.tlsVerify`, where it is false", Source::Fields),
    entry("global.env", "proxy and authorities of `spec.egress`", Source::Fields),
    entry("features.admissionController.enabled", "never: pods are otelgate's to change", Source::Fields),
    entry("features.apm.enabled", "`features.apm`", Source::Fields),
    entry("features.apm.hostPortConfig.enabled", "never", Source::Fields),
    entry(
        "features.otlp.receiver.protocols.grpc",
        "where the Agent owns OTLP, or the Collector sends to it",
        Source::Fields,
    ),
    entry("features.otlp.receiver.protocols.http", "the same over HTTP", Source::Fields),
    entry("features.otelCollector.enabled", "never: it would be a second Collector", Source::Fields),
    entry("features.logCollection.enabled", "where the Agent owns container logs", Source::Fields),
    entry("features.logCollection.containerCollectAll", "never: only of pods that say so", Source::Fields),
    entry("features.prometheusScrape.enabled", "where the Agent owns it", Source::Fields),
    entry("features.kubeStateMetricsCore.enabled", "where the Agent owns the cluster's state", Source::Fields),
    entry("features.npm.enabled", "`features.networkMonitoring`", Source::Fields),
    entry("features.cspm.enabled", "`features.cspm`", Source::Fields),
    entry("features.cws.enabled", "`features.cws`", Source::Fields),
    entry("features.cws.enforcement.enabled", "never: it ends processes", Source::Fields),
    entry("features.liveProcessCollection.enabled", "`features.processes`", Source::Fields),
    entry("features.processDiscovery.enabled", "the same", Source::Fields),
    entry("features.serviceDiscovery.enabled", "never: it takes a system-probe", Source::Fields),
    entry("override.*.image.name", "`image` and `clusterImage`", Source::Fields),
    entry("override.*.image.pullPolicy", "the same", Source::Fields),
    entry("override.*.image.pullSecrets", "the same", Source::Fields),
    entry(
        "override.*.annotations",
        "the Secret's version, `podAnnotations`, and by which object the pods were made",
        Source::Fields,
    ),
    entry("override.*.labels", "`podLabels`", Source::Fields),
    entry("override.*.tolerations", "`tolerations`", Source::Fields),
    entry("override.*.affinity", "no virtual node, none with Windows", Source::Fields),
    entry("override.*.nodeSelector", "`nodeSelector`", Source::Fields),
    entry("override.*.priorityClassName", "`priorityClassName`", Source::Fields),
    entry("override.*.updateStrategy.type", "always `RollingUpdate`", Source::Fields),
    entry("override.*.updateStrategy.rollingUpdate.maxUnavailable", "`maxUnavailable`", Source::Fields),
    entry(
        "override.*.env",
        "lines that come by OTLP, and the list of hosts while a Collector still has it",
        Source::Fields,
    ),
    entry("override.*.containers", "`resources`, and the authorities' folder", Source::Fields),
    entry("override.*.volumes", "`spec.egress.caConfigMap`", Source::Fields),
];

/// Variables of the containers.
pub const VARIABLES: [Entry; 66] = [
    entry("KUBERNETES", "the image sets itself up for Kubernetes", Source::Pod),
    entry("DD_API_KEY", "the key, from its Secret", Source::Global),
    entry("DD_SITE", "`spec.datadog.site`", Source::Global),
    entry("DD_CLUSTER_NAME", "`spec.injection.clusterName`", Source::Global),
    entry("DD_AUTH_TOKEN_FILE_PATH", "by which the pod's containers know each other", Source::Pod),
    entry("DD_KUBERNETES_USE_ENDPOINT_SLICES", "instead of Endpoints", Source::Pod),
    entry("DD_CLUSTER_AGENT_ENABLED", "there is a Cluster Agent", Source::Pod),
    entry("DD_CLUSTER_AGENT_KUBERNETES_SERVICE_NAME", "where it is", Source::Pod),
    entry("DD_CLUSTER_AGENT_AUTH_TOKEN", "by which it knows Agents, from a Secret", Source::Global),
    entry("DD_KUBERNETES_KUBELET_HOST", "the own node's kubelet", Source::Pod),
    entry("DD_KUBELET_TLS_VERIFY", "`spec.agent.kubelet.tlsVerify`, where it is false", Source::Global),
    entry("DD_HEALTH_PORT", "of the probes", Source::Pod),
    entry("DD_PROXY_HTTP", "`spec.egress.proxy`", Source::Proxy),
    entry("DD_PROXY_HTTPS", "the same", Source::Proxy),
    entry("DD_PROXY_NO_PROXY", "`spec.egress.noProxy`", Source::Proxy),
    entry("DD_NO_PROXY_NONEXACT_MATCH", "domains and networks count too", Source::Variables),
    entry("SSL_CERT_DIR", "further authorities", Source::Authorities),
    entry("DD_DOGSTATSD_SOCKET", "metrics of Datadog's own libraries, on the node", Source::Dogstatsd),
    entry("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "and by the Service", Source::Dogstatsd),
    entry("DD_LOGS_ENABLED", "any lines at all", Source::Logs),
    entry("DD_LOGS_CONFIG_CONTAINER_COLLECT_ALL", "never: only of pods that say so", Source::Logs),
    entry("DD_LOGS_CONFIG_K8S_CONTAINER_USE_FILE", "from files, not from the runtime", Source::Logs),
    entry(
        "DD_ENABLE_METADATA_COLLECTION",
        "not while a Collector still tells of hosts, as before there was an Agent",
        Source::Metadata,
    ),
    entry("DD_PROMETHEUS_SCRAPE_ENABLED", "where the Agent owns it", Source::Prometheus),
    entry("DD_APM_ENABLED", "`features.apm`", Source::Apm),
    entry("DD_APM_NON_LOCAL_TRAFFIC", "by the Service", Source::Apm),
    entry("DD_APM_RECEIVER_PORT", "of the Service", Source::Apm),
    entry("DD_APM_RECEIVER_SOCKET", "and on the node", Source::Apm),
    entry("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "OTLP over gRPC", Source::Otlp),
    entry("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", "OTLP over HTTP", Source::Otlp),
    entry("DD_OTLP_CONFIG_LOGS_ENABLED", "lines that come by OTLP", Source::Chart),
    entry("DD_PROCESS_CONFIG_RUN_IN_CORE_AGENT_ENABLED", "process checks without a process agent", Source::Processes),
    entry("DD_PROCESS_CONFIG_PROCESS_COLLECTION_ENABLED", "`features.processes`", Source::Processes),
    entry("DD_EXTRA_CONFIG_PROVIDERS", "checks that the Cluster Agent hands out", Source::ClusterChecks),
    entry("DD_EXTRA_LISTENERS", "what it finds them by", Source::ClusterChecks),
    entry("DD_CLUSTER_CHECKS_ENABLED", "it does so", Source::ClusterChecks),
    entry("DD_IGNORE_AUTOCONF", "the cluster's state isn't the node's", Source::ClusterState),
    entry("DD_KUBE_STATE_METRICS_CORE_ENABLED", "where the Agent owns the cluster's state", Source::ClusterState),
    entry("DD_KUBE_STATE_METRICS_CORE_CONFIGMAP_NAME", "what of it", Source::ClusterState),
    entry("DD_SYSTEM_PROBE_NETWORK_ENABLED", "`features.networkMonitoring`", Source::Network),
    entry("DD_SYSTEM_PROBE_ENABLED", "the same", Source::Network),
    entry("DD_SYSPROBE_SOCKET", "of system-probe", Source::Network),
    entry("DD_SYSTEM_PROBE_CONFIG_ENABLE_CONNTRACK", "addresses behind translation", Source::Network),
    entry("DD_COLLECT_DNS_STATS", "names", Source::Network),
    entry("DD_NETWORK_CONFIG_DIRECT_SEND", "without a process agent", Source::Network),
    entry("DD_AGENT_IPC_PORT", "settings from the node agent", Source::Network),
    entry("DD_AGENT_IPC_CONFIG_REFRESH_INTERVAL", "how often", Source::Network),
    entry("DD_SYSTEM_PROBE_EXTERNAL", "it is a container of its own", Source::Network),
    entry("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "`features.cws`", Source::RuntimeSecurity),
    entry("DD_RUNTIME_SECURITY_CONFIG_SOCKET", "between system-probe and security agent", Source::RuntimeSecurity),
    entry(
        "DD_RUNTIME_SECURITY_CONFIG_DIRECT_SEND_FROM_SYSTEM_PROBE",
        "never: the security agent sends",
        Source::RuntimeSecurity,
    ),
    entry("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "network events", Source::RuntimeSecurity),
    entry("DD_RUNTIME_SECURITY_CONFIG_ACTIVITY_DUMP_ENABLED", "profiles", Source::RuntimeSecurity),
    entry("DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR", "rules", Source::RuntimeSecurity),
    entry("DD_COMPLIANCE_CONFIG_ENABLED", "`features.cspm`", Source::Compliance),
    entry("DD_COMPLIANCE_CONFIG_HOST_BENCHMARKS_ENABLED", "of nodes too", Source::Compliance),
    entry("DD_COMPLIANCE_CONFIG_RUN_IN_SYSTEM_PROBE", "never: the security agent looks", Source::Compliance),
    entry("HOST_ROOT", "where the node's files are", Source::Pod),
    entry("DD_POD_NAME", "the leader's name", Source::ClusterAgent),
    entry("DD_KUBE_RESOURCES_NAMESPACE", "where its Lease is", Source::ClusterAgent),
    entry("DD_LEADER_ELECTION", "one Cluster Agent acts", Source::ClusterAgent),
    entry("DD_LEADER_LEASE_NAME", "by this Lease", Source::Events),
    entry("DD_LEADER_ELECTION_DEFAULT_RESOURCE", "and by no `ConfigMap`, which it takes by default", Source::Chart),
    entry("DD_COLLECT_KUBERNETES_EVENTS", "events", Source::Events),
    entry("DD_ADMISSION_CONTROLLER_ENABLED", "never: pods are otelgate's to change", Source::Chart),
    entry("DD_ORCHESTRATOR_EXPLORER_ENABLED", "never: it reads every object of the cluster", Source::Chart),
];

/// Capabilities, with the container that has them.
pub const CAPABILITIES: [Entry; 12] = [
    entry("SYS_ADMIN", "system-probe: programs in the kernel", Source::Pod),
    entry("SYS_RESOURCE", "system-probe: their memory", Source::Pod),
    entry("SYS_PTRACE", "system-probe: other processes' files", Source::Pod),
    entry("NET_ADMIN", "system-probe: connections", Source::Pod),
    entry("NET_BROADCAST", "system-probe: the same", Source::Pod),
    entry("NET_RAW", "system-probe: names", Source::Pod),
    entry("IPC_LOCK", "system-probe: memory that stays", Source::Pod),
    entry("CHOWN", "system-probe: its socket", Source::Pod),
    entry("DAC_READ_SEARCH", "system-probe: files of others", Source::Pod),
    entry("AUDIT_CONTROL", "security-agent with `features.cspm`", Source::Compliance),
    entry("AUDIT_READ", "the same", Source::Compliance),
    entry("KILL", "the same", Source::Compliance),
];

/// Paths of the node that containers see.
pub const HOST_PATHS: [Entry; 14] = [
    entry("/proc", "nodes, containers and processes; read only", Source::Pod),
    entry("/sys/fs/cgroup", "the same", Source::Pod),
    entry("/var/run", "the container runtime's socket; read only", Source::Pod),
    entry("/var/run/datadog", "sockets for Datadog's own libraries", Source::Pod),
    entry("/var/lib/datadog-agent/logs", "how far log files were read", Source::Logs),
    entry("/var/log/pods", "log files; read only", Source::Logs),
    entry("/var/log/containers", "the same", Source::Logs),
    entry("/var/lib/docker/containers", "the same", Source::Logs),
    entry("/etc/passwd", "names of users; read only", Source::Processes),
    entry("/etc/group", "`features.cspm` and `features.cws`; read only", Source::Compliance),
    entry("/etc/os-release", "`features.cws`; read only", Source::RuntimeSecurity),
    entry("/", "`features.cspm` and `features.cws`; read only", Source::Compliance),
    entry("/sys/kernel/debug", "system-probe", Source::Network),
    entry("/var/lib/kubelet/seccomp", "system-probe: the calls that it may make", Source::Pod),
];

/// `ConfigMaps` that the Cluster Agent writes, and makes where it finds none.
pub const NOTES: [Entry; 3] = [
    entry("datadog-cluster-id", "the cluster's id: the uid of namespace `kube-system`", Source::ClusterId),
    entry("datadogtoken", "how far events were read", Source::EventsRead),
    entry("datadog-leader-election", "who leads, in releases before 7.47, which know no Leases", Source::Leader),
];
