//! The objects of a cluster that otelgate brings or makes, by name. There is one otelgate in a cluster, so that the
//! names are the same whatever a Helm release is called.

/// Where webhook and controller run, unless somebody chose otherwise.
pub const NAMESPACE: &str = "otelgate";
/// `app.kubernetes.io/name` of everything.
pub const APP: &str = "otelgate";
/// Deployment, Service, `ServiceAccount`, `PodDisruptionBudget` and rights of the webhook.
pub const WEBHOOK: &str = "otelgate-webhook";
/// Deployment, `ServiceAccount`, Lease and rights of the controller.
pub const CONTROLLER: &str = "otelgate-controller";
/// The `MutatingWebhookConfiguration`.
pub const REGISTRATION: &str = "otelgate";
/// `ConfigMap` with the configuration that is in force, under [`crate::config::CONFIG_MAP_KEY`].
pub const INJECTION: &str = "otelgate-injection";
/// `ConfigMap` in which the controller remembers what it has repaired.
pub const REPAIR: &str = "otelgate-repair";
/// Secret with what the webhook serves: `tls.crt`, `tls.key`, and in `ca.crt` every authority to be trusted for it.
pub const SERVING: &str = "otelgate-webhook-tls";
/// Secret with otelgate's own authority; nobody but the controller reads it.
pub const AUTHORITY: &str = "otelgate-ca";
/// The one `TelemetryStack` that counts.
pub const STACK: &str = "default";
/// Secret with Datadog's API key, in the Collector's namespace.
pub const CREDENTIALS: &str = "datadog-secret";
pub const CREDENTIALS_KEY: &str = "api-key";
/// `DaemonSet`, `ServiceAccount` and `NetworkPolicy` of the Collector, by default its Service, and its pods' label `app`.
pub const COLLECTOR: &str = "otel-collector";
/// `DaemonSet` of what is tried on one node first.
pub const COLLECTOR_TRIAL: &str = "otel-collector-trial";
/// Lease by which one Collector is chosen to read the cluster's objects: this behind the name of the Collector's Service.
pub const COLLECTOR_LEASE_SUFFIX: &str = "-k8s-cluster";
/// The Collector's rights and who has them: `ClusterRole` and `Role`, which the chart brings, and their bindings.
pub const COLLECTOR_RIGHTS: &str = "otelgate-collector";

/// The Datadog Agent's DaemonSet, Service and `ServiceAccount`: the names that the Datadog Operator gives too.
pub const AGENT: &str = "datadog-agent";
/// The Cluster Agent's Deployment, Service, `ServiceAccount`, and Secret with its token.
pub const CLUSTER_AGENT: &str = "datadog-cluster-agent";
/// Key of the token in its Secret.
pub const CLUSTER_AGENT_TOKEN: &str = "token";
/// Lease by which Cluster Agents agree on one.
pub const CLUSTER_AGENT_LEASE: &str = "datadog-leader-election";
/// `ConfigMaps` in which the Cluster Agent keeps the cluster's id, how far events were read, and, where it knows no
/// Leases or isn't told to use them, who leads.
pub const CLUSTER_AGENT_NOTES: [&str; 3] = ["datadog-cluster-id", "datadogtoken", CLUSTER_AGENT_LEASE];
/// The second of these where the Datadog Operator runs it.
pub const CLUSTER_AGENT_EVENTS_OF_OPERATOR: &str = "datadog-token";
/// The `DatadogAgent`, and the beginning of what the Datadog Operator makes from it.
pub const DATADOG_AGENT: &str = "datadog";
/// `ConfigMap` with the system calls that system-probe may make.
pub const AGENT_SECCOMP: &str = "datadog-agent-seccomp";
/// `ConfigMap` with what the Cluster Agent reads of the cluster's objects.
pub const CLUSTER_STATE: &str = "datadog-agent-cluster-state";
/// `ClusterRoles` of the Agent and the Cluster Agent, which the chart renders and the controller binds.
pub const AGENT_ROLE: &str = "otelgate-agent";
pub const CLUSTER_AGENT_ROLE: &str = "otelgate-cluster-agent";
/// What the Cluster Agent writes in its own namespace.
pub const CLUSTER_AGENT_OWN_ROLE: &str = "otelgate-cluster-agent-own";
/// What the Cluster Agent reads for metrics of the cluster's objects.
pub const CLUSTER_STATE_ROLE: &str = "otelgate-agent-cluster-state";
/// What cloud security posture reads.
pub const COMPLIANCE_ROLE: &str = "otelgate-agent-compliance";

/// The `CustomResourceDefinition` of the `TelemetryStack`.
pub const DEFINITION: &str = "telemetrystacks.otelgate.dev";

/// Label on what `otelgate deploy` made beside the chart, and `otelgate cleanup` takes away again; its value.
pub const CREATED_BY: &str = "otelgate.dev/created-by";
pub const DEPLOY: &str = "deploy";

/// Field manager of what the command line applies.
pub const COMMAND_LINE: &str = "otelgate-cli";
/// Field manager of everything that the controller applies.
pub const FIELD_MANAGER: &str = "otelgate-controller";
