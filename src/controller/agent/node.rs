//! The Agent's DaemonSet, of the controller's own: a container for each thing that is asked for, with the mounts and
//! capabilities that it needs. Pure. Where each name was read stands in [`super::reference`].

use serde_json::{Map, Value, json};

use super::pod::{self, Container, Mount, field, read, variable, write};
use super::seccomp;
use super::settings::{Otlp, Settings};
use crate::api::object;
use crate::collector::Port;

pub const HEALTH_PORT: u16 = 5555;
const CONFIG: &str = "/etc/datadog-agent/datadog.yaml";
const SYSTEM_PROBE_SOCKET: &str = "/var/run/sysprobe/sysprobe.sock";
const RUNTIME_SECURITY_SOCKET: &str = "/var/run/sysprobe/runtime-security.sock";

/// Of system-probe.
pub const SYSTEM_PROBE_CAPABILITIES: [&str; 9] = [
    "SYS_ADMIN",
    "SYS_RESOURCE",
    "SYS_PTRACE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "NET_RAW",
    "IPC_LOCK",
    "CHOWN",
    "DAC_READ_SEARCH",
];
/// Of the security agent, for cloud security posture.
pub const COMPLIANCE_CAPABILITIES: [&str; 3] = ["AUDIT_CONTROL", "AUDIT_READ", "KILL"];

/// With the version of the Secret that has the Cluster Agent's token.
#[must_use]
pub fn daemon_set(settings: &Settings, token_version: Option<&str>) -> Value {
    let agent = &settings.agent;
    let (init, containers) = (init_containers(settings), containers(settings));
    let all: Vec<_> = init.iter().chain(&containers).cloned().collect();
    let written = |containers: &[Container]| -> Vec<Value> {
        let image = settings.image();
        containers.iter().map(|one| one.value(&image, &agent.image, agent.resources.get(one.name))).collect()
    };
    let mut labels = Map::new();
    let mut annotations = pod::versions(settings, token_version);
    labels.extend(agent.placement.pod_labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    annotations.extend(agent.placement.pod_annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    // By these the pods are found: they are never another's.
    labels.extend(pod::selector("agent").as_object().cloned().unwrap_or_default());
    let mut spec = json!({
        "serviceAccountName": object::AGENT,
        "securityContext": {"runAsUser": 0},
        "initContainers": written(&init),
        "containers": written(&containers),
        "volumes": pod::volumes(&all, settings),
        "tolerations": agent.placement.tolerations,
        "affinity": pod::on_real_nodes(),
    });
    if settings.has_system_probe() {
        spec["hostPID"] = true.into();
    }
    let mut node_selector = json!({"kubernetes.io/os": "linux"});
    for (key, value) in &agent.placement.node_selector {
        node_selector[key] = value.as_str().into();
    }
    spec["nodeSelector"] = node_selector;
    if !agent.placement.priority_class_name.is_empty() {
        spec["priorityClassName"] = agent.placement.priority_class_name.as_str().into();
    }
    if !agent.image.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = pod::pull_secrets(&agent.image).into();
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": object::AGENT},
        "spec": {
            "selector": {"matchLabels": pod::selector("agent")},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": agent.placement.max_unavailable},
            },
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        },
    })
}

/// They copy the image's configuration to where it can be written, and set it up.
fn init_containers(settings: &Settings) -> Vec<Container> {
    let mut all = vec![
        Container {
            name: "init-volume",
            command: vec!["bash", "-c", "cp -vnr /etc/datadog-agent /opt"],
            mounts: vec![write("config", "/opt/datadog-agent")],
            ..Container::default()
        },
        Container {
            name: "init-config",
            command: vec![
                "bash",
                "-c",
                "for script in $(find /etc/cont-init.d/ -type f -name '*.sh' | sort) ; do bash $script ; done",
            ],
            env: node(settings),
            mounts: vec![
                write("config", "/etc/datadog-agent"),
                write("auth", "/etc/datadog-agent/auth"),
                write("logdatadog", "/var/log/datadog"),
                read("proc", "/host/proc"),
                read("runtime", "/host/var/run"),
            ],
            ..Container::default()
        },
    ];
    if settings.has_system_probe() {
        all.push(Container {
            name: "seccomp-setup",
            command: vec!["cp", "/etc/config/system-probe-seccomp.json", "/host/var/lib/kubelet/seccomp/system-probe"],
            mounts: vec![
                read("seccomp-profile", "/etc/config"),
                write("seccomp-root", "/host/var/lib/kubelet/seccomp"),
            ],
            ..Container::default()
        });
    }
    all
}

fn containers(settings: &Settings) -> Vec<Container> {
    let features = &settings.agent.features;
    let mut all = vec![core(settings)];
    if features.apm {
        all.push(trace(settings));
    }
    if settings.has_process_agent() {
        all.push(process(settings));
    }
    if settings.has_system_probe() {
        all.push(system_probe(settings));
    }
    if settings.has_security_agent() {
        all.push(security(settings));
    }
    for container in &mut all {
        container.mounts.extend(pod::authorities(settings));
        let context = container.further.entry("securityContext").or_insert_with(|| json!({}));
        context["readOnlyRootFilesystem"] = true.into();
    }
    all
}

/// What every container of the node has.
fn node(settings: &Settings) -> Vec<Value> {
    let mut env = pod::common(settings);
    env.push(variable("DD_CLUSTER_AGENT_ENABLED", "true"));
    env.push(field("DD_KUBERNETES_KUBELET_HOST", "status.hostIP"));
    if !settings.agent.kubelet.tls_verify {
        env.push(variable("DD_KUBELET_TLS_VERIFY", "false"));
    }
    env
}

/// Every container has the configuration, somewhere to write, and the token by which the others know it: the node agent
/// makes that, and all others read it.
fn base(token: fn(&'static str, &'static str) -> Mount) -> Vec<Mount> {
    vec![
        write("config", "/etc/datadog-agent"),
        token("auth", "/etc/datadog-agent/auth"),
        write("logdatadog", "/var/log/datadog"),
        write("tmpdir", "/tmp"),
        write("sockets", "/var/run/datadog"),
    ]
}

/// What runs on the node, and what it uses.
fn node_processes() -> [Mount; 2] {
    [read("proc", "/host/proc"), read("cgroups", "/host/sys/fs/cgroup")]
}

fn container_runtime() -> Mount {
    read("runtime", "/host/var/run")
}

/// Variables that the node agent has too, for the settings that it hands on to the others.
fn shared(settings: &Settings) -> Vec<Value> {
    let features = &settings.agent.features;
    let mut env = Vec::new();
    if features.network_monitoring {
        env.extend([
            variable("DD_SYSTEM_PROBE_NETWORK_ENABLED", "true"),
            variable("DD_SYSTEM_PROBE_ENABLED", "true"),
            variable("DD_SYSPROBE_SOCKET", SYSTEM_PROBE_SOCKET),
            variable("DD_SYSTEM_PROBE_CONFIG_ENABLE_CONNTRACK", "true"),
            variable("DD_COLLECT_DNS_STATS", "true"),
        ]);
        if settings.release().sends_connections() {
            env.extend([
                variable("DD_NETWORK_CONFIG_DIRECT_SEND", "true"),
                variable("DD_AGENT_IPC_PORT", "5009"),
                variable("DD_AGENT_IPC_CONFIG_REFRESH_INTERVAL", "60"),
            ]);
        }
    }
    env
}

fn runtime_security(settings: &Settings) -> Vec<Value> {
    if !settings.agent.features.cws {
        return Vec::new();
    }
    vec![
        variable("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"),
        variable("DD_RUNTIME_SECURITY_CONFIG_SOCKET", RUNTIME_SECURITY_SOCKET),
        // The security agent does, whatever a release does by default.
        variable("DD_RUNTIME_SECURITY_CONFIG_DIRECT_SEND_FROM_SYSTEM_PROBE", "false"),
    ]
}

fn compliance(settings: &Settings) -> Vec<Value> {
    if !settings.agent.features.cspm {
        return Vec::new();
    }
    vec![
        variable("DD_COMPLIANCE_CONFIG_ENABLED", "true"),
        variable("DD_COMPLIANCE_CONFIG_HOST_BENCHMARKS_ENABLED", "true"),
        variable("DD_COMPLIANCE_CONFIG_RUN_IN_SYSTEM_PROBE", "false"),
    ]
}

fn flag(name: &str, value: bool) -> Value {
    variable(name, if value { "true" } else { "false" })
}

fn core(settings: &Settings) -> Container {
    let features = &settings.agent.features;
    let own_process_checks = features.processes && settings.release().runs_process_checks();
    let logs = settings.agent_has(|owners| owners.container_logs);
    let otlp = settings.otlp != Otlp::Nobody;
    let mut env = node(settings);
    env.extend([
        variable("DD_HEALTH_PORT", &HEALTH_PORT.to_string()),
        variable("DD_DOGSTATSD_SOCKET", "/var/run/datadog/dsd.socket"),
        variable("DD_DOGSTATSD_NON_LOCAL_TRAFFIC", "true"),
        // Where the Collector has the files, lines come by OTLP, if at all.
        flag("DD_LOGS_ENABLED", logs || otlp),
        // Only of pods that say so, by annotations that the webhook writes.
        variable("DD_LOGS_CONFIG_CONTAINER_COLLECT_ALL", "false"),
        flag("DD_PROMETHEUS_SCRAPE_ENABLED", settings.agent_has(|owners| owners.prometheus)),
        flag("DD_APM_ENABLED", features.apm),
        flag("DD_PROCESS_CONFIG_RUN_IN_CORE_AGENT_ENABLED", own_process_checks),
        flag("DD_PROCESS_CONFIG_PROCESS_COLLECTION_ENABLED", own_process_checks),
        variable("DD_EXTRA_CONFIG_PROVIDERS", "clusterchecks endpointschecks"),
        // That check is the Cluster Agent's, if anybody's.
        variable("DD_IGNORE_AUTOCONF", "kubernetes_state"),
    ]);
    env.extend(pod::without_host_metadata(settings));
    env.extend(otlp_variables(settings));
    env.extend(shared(settings));
    env.extend(runtime_security(settings));
    env.extend(compliance(settings));
    let mut mounts = base(write);
    mounts.push(container_runtime());
    mounts.extend(node_processes());
    if logs {
        env.push(variable("DD_LOGS_CONFIG_K8S_CONTAINER_USE_FILE", "true"));
        mounts.extend([
            // How far each file was read, across restarts.
            write("pointers", "/opt/datadog-agent/run"),
            read("pod-logs", "/var/log/pods"),
            read("container-logs", "/var/lib/docker/containers"),
            read("log-links", "/var/log/containers"),
        ]);
    } else {
        mounts.push(write("run", "/opt/datadog-agent/run"));
    }
    if own_process_checks {
        mounts.push(read("passwd", "/etc/passwd"));
    }
    if settings.has_system_probe() {
        mounts.push(read("sysprobe-socket", "/var/run/sysprobe"));
    }
    let mut ports = vec![json!({"name": "dogstatsdport", "containerPort": 8125, "protocol": "UDP"})];
    ports.extend(otlp_ports(settings));
    let further = pod::probes(HEALTH_PORT).into_iter().collect();
    Container { name: "agent", command: vec!["agent", "run"], env, mounts, ports, further }
}

fn otlp_variables(settings: &Settings) -> Vec<Value> {
    if settings.otlp == Otlp::Nobody {
        return Vec::new();
    }
    let [grpc, http] = pod::OTLP.map(|port| format!("0.0.0.0:{}", port.number));
    vec![
        variable("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", &grpc),
        variable("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", &http),
        variable("DD_OTLP_CONFIG_LOGS_ENABLED", "true"),
    ]
}

fn otlp_ports(settings: &Settings) -> Vec<Value> {
    let port = |Port { name, number }: Port| {
        let mut value = json!({"name": name, "containerPort": number, "protocol": "TCP"});
        if settings.otlp == (Otlp::Pods { host_ports: true }) {
            value["hostPort"] = number.into();
        }
        value
    };
    if settings.otlp == Otlp::Nobody { Vec::new() } else { pod::OTLP.map(port).into() }
}

fn trace(settings: &Settings) -> Container {
    let mut env = node(settings);
    env.extend([
        variable("DD_APM_ENABLED", "true"),
        variable("DD_APM_NON_LOCAL_TRAFFIC", "true"),
        variable("DD_APM_RECEIVER_PORT", "8126"),
        variable("DD_APM_RECEIVER_SOCKET", "/var/run/datadog/apm.socket"),
        variable("DD_DOGSTATSD_SOCKET", "/var/run/datadog/dsd.socket"),
    ]);
    env.extend(otlp_variables(settings).into_iter().take(2));
    let mut mounts = base(read);
    mounts.push(container_runtime());
    mounts.extend(node_processes());
    let mut command = vec!["trace-agent", "--config=/etc/datadog-agent/datadog.yaml"];
    if settings.release().has_trace_loader() {
        command.splice(0..0, ["trace-loader", CONFIG]);
    }
    let alive = json!({
        "tcpSocket": {"port": 8126}, "initialDelaySeconds": 15, "periodSeconds": 15, "timeoutSeconds": 5,
    });
    Container {
        name: "trace-agent",
        command,
        env,
        mounts,
        ports: vec![json!({"name": "traceport", "containerPort": 8126, "protocol": "TCP"})],
        further: Map::from_iter([("livenessProbe".to_owned(), alive)]),
    }
}

/// Of releases that need one.
fn process(settings: &Settings) -> Container {
    let checks = settings.agent.features.processes && !settings.release().runs_process_checks();
    let mut env = node(settings);
    env.extend([
        flag("DD_PROCESS_CONFIG_RUN_IN_CORE_AGENT_ENABLED", settings.release().runs_process_checks()),
        flag("DD_PROCESS_CONFIG_PROCESS_COLLECTION_ENABLED", checks),
    ]);
    env.extend(shared(settings));
    let mut mounts = base(read);
    mounts.push(container_runtime());
    mounts.extend(node_processes());
    if checks {
        mounts.push(read("passwd", "/etc/passwd"));
    }
    if settings.agent.features.network_monitoring {
        env.push(variable("DD_SYSTEM_PROBE_EXTERNAL", "true"));
        mounts.push(read("sysprobe-socket", "/var/run/sysprobe"));
    }
    let command = vec![
        "process-agent",
        "--cfgpath=/etc/datadog-agent/datadog.yaml",
        "--sysprobe-config=/etc/datadog-agent/system-probe.yaml",
    ];
    Container { name: "process-agent", command, env, mounts, ..Container::default() }
}

fn system_probe(settings: &Settings) -> Container {
    let cws = settings.agent.features.cws;
    let mut env = node(settings);
    env.extend(shared(settings));
    env.extend(runtime_security(settings));
    let mut mounts = base(read);
    mounts.push(write("run", "/opt/datadog-agent/run"));
    mounts.extend(node_processes());
    mounts.extend([write("debugfs", "/sys/kernel/debug"), write("sysprobe-socket", "/var/run/sysprobe")]);
    if cws {
        env.extend([
            variable("DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED", "true"),
            variable("DD_RUNTIME_SECURITY_CONFIG_ACTIVITY_DUMP_ENABLED", "true"),
            variable("DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR", "/etc/datadog-agent/runtime-security.d"),
        ]);
        mounts.extend([
            read("passwd", "/etc/passwd"),
            read("group", "/etc/group"),
            read("os-release", "/host/etc/os-release"),
            read("root", "/host/root"),
        ]);
    }
    let context = json!({
        "capabilities": {"add": SYSTEM_PROBE_CAPABILITIES},
        "seccompProfile": {"type": "Localhost", "localhostProfile": seccomp::PROFILE},
        "appArmorProfile": {"type": "Unconfined"},
    });
    Container {
        name: "system-probe",
        command: vec!["system-probe", "--config=/etc/datadog-agent/system-probe.yaml"],
        env,
        mounts,
        further: Map::from_iter([("securityContext".to_owned(), context)]),
        ..Container::default()
    }
}

fn security(settings: &Settings) -> Container {
    let features = &settings.agent.features;
    let mut env = node(settings);
    env.extend(runtime_security(settings));
    env.extend(compliance(settings));
    let mut mounts = base(read);
    mounts.push(container_runtime());
    let mut further = Map::new();
    if features.cspm {
        env.push(variable("HOST_ROOT", "/host/root"));
        mounts.extend(node_processes());
        mounts.extend([read("passwd", "/etc/passwd"), read("group", "/etc/group"), read("root", "/host/root")]);
        further.insert("securityContext".to_owned(), json!({"capabilities": {"add": COMPLIANCE_CAPABILITIES}}));
    }
    if features.cws {
        mounts.push(write("sysprobe-socket", "/var/run/sysprobe"));
    }
    let command = vec!["security-agent", "start", "-c=/etc/datadog-agent/datadog.yaml"];
    Container { name: "security-agent", command, env, mounts, further, ..Container::default() }
}
