//! Each mode as a file, each feature as what it changes in that. `SNAPSHOTS=overwrite cargo test --lib agent` writes them
//! anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use similar::TextDiff;
use snapbox::{Data, assert_data_eq};

use super::super::settings::Settings;
use super::super::{PART, cluster_agent, node, operator, pod, reference};
use crate::api::annotation;
use crate::collector::Carries;
use crate::controller::collector::Carried;
use crate::controller::stack::Stack;
use crate::manifest;

/// What is asked for beyond the defaults, each apart from the others.
fn features() -> Vec<(&'static str, Value)> {
    let feature = |name: &str| json!({"agent": {"features": {name: true}}});
    vec![
        ("no-apm", json!({"agent": {"features": {"apm": false}}})),
        ("no-processes", json!({"agent": {"features": {"processes": false}}})),
        ("network-monitoring", feature("networkMonitoring")),
        ("cspm", feature("cspm")),
        ("cws", feature("cws")),
        ("kubelet", json!({"agent": {"kubelet": {"tlsVerify": false}}})),
        ("logs", json!({"injection": {"logs": {"owner": "agent"}}})),
        ("from-the-collector", json!({"collector": {"exporter": "agent"}})),
        ("without-collector", json!({"collector": {"mode": "disabled"}})),
        ("host-ports", json!({"collector": {"mode": "disabled"}, "injection": {"otlp": {"reach": "node"}}})),
        ("older-release", json!({"agent": {"image": {"tag": "7.58.2"}, "features": {"networkMonitoring": true}}})),
        (
            "way-out",
            json!({"egress": {"proxy": "http://proxy.corp:3128", "noProxy": ["corp", "10.0.0.0/8"],
                "caConfigMap": "corp-authorities"}}),
        ),
        // The key stands before it.
        ("dollars", json!({"egress": {"proxy": "http://$(DD_API_KEY).$$.corp:3128", "noProxy": ["$(DD_SITE)"]}})),
        (
            "placement",
            json!({"datadog": {"site": "datadoghq.eu", "secret": {"name": "key", "key": "k"}}, "agent": {
                "image": {"repository": "registry.corp/agent", "digest": format!("sha256:{}", "0".repeat(64)),
                    "pullPolicy": "Always", "pullSecrets": ["corp"]},
                "clusterImage": {"repository": "registry.corp/cluster-agent", "pullSecrets": ["corp"]},
                "nodeSelector": {"pool": "general"}, "tolerations": [{"key": "a", "operator": "Exists"}],
                "priorityClassName": "system-node-critical", "podLabels": {"team": "sre"},
                "podAnnotations": {"note": "x"}, "maxUnavailable": 2,
                "resources": {"agent": {"limits": {"memory": "512Mi"}},
                    "cluster-agent": {"requests": {"cpu": "100m"}}}}}),
        ),
    ]
}

fn settings(spec: &Value) -> Settings {
    beside(spec, Carried::default())
}

/// What Collectors that run leave.
fn beside(spec: &Value, carried: Carried) -> Settings {
    let mut spec = spec.clone();
    spec["injection"]["clusterName"] = json!("prod-eu1");
    let stack = Stack::new("u".to_owned(), 1, &spec);
    Settings::new(&stack, "otelgate", Some("41".to_owned()), carried, None).expect("valid")
}

fn of_operator(settings: &Settings) -> Vec<Value> {
    [operator::datadog_agent(settings)].into_iter().chain(cluster_agent::otlp_service(settings)).collect()
}

fn of_controller(settings: &Settings) -> Vec<Value> {
    cluster_agent::objects(settings, Some("7"))
}

type Objects = fn(&Settings) -> Vec<Value>;

const WAYS: [(&str, Objects); 2] = [("operator", of_operator), ("daemonset", of_controller)];

fn text(objects: &[Value]) -> String {
    objects.iter().map(manifest::document).collect::<Vec<_>>().join("---\n")
}

fn compare(text: String, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/agent").join(name);
    assert_data_eq!(text, Data::read_from(&file, None).raw());
}

#[test]
fn each_mode_is_as_its_file() {
    for (way, objects) in WAYS {
        compare(text(&objects(&settings(&json!({})))), &format!("{way}.yaml"));
    }
}

#[test]
fn each_feature_changes_what_its_file_says() {
    for (way, objects) in WAYS {
        let untold = text(&objects(&settings(&json!({}))));
        for (name, settings) in told() {
            let told = text(&objects(&settings));
            let changes = TextDiff::from_lines(&untold, &told).unified_diff().context_radius(2).to_string();
            compare(changes, &format!("{way}-{name}.diff"));
        }
    }
}

fn told() -> Vec<(&'static str, Settings)> {
    let hosts = Some(Carries { to_agent: false, ..Carries::ALL });
    let run = Carried { settled: hosts, anywhere: hosts };
    let mut told: Vec<_> = features().into_iter().map(|(name, spec)| (name, settings(&spec))).collect();
    // They still tell of hosts, as they did before there was an Agent.
    told.push(("beside-former-collectors", beside(&json!({}), run)));
    told
}

fn everything() -> Vec<(&'static str, Settings)> {
    told().into_iter().chain([("untold", settings(&json!({})))]).collect()
}

/// Each name of a list of entries once.
fn names(entries: &[reference::Entry]) -> BTreeSet<String> {
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(names.len(), entries.len(), "none stands twice");
    names
}

/// Each value that stands under such a key, at any depth.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == key {
                    found.push(field);
                }
                under(field, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| under(item, key, found)),
        _ => {}
    }
}

#[test]
fn the_reference_has_what_is_written_and_nothing_else() {
    let (mut variables, mut capabilities, mut paths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, settings) in everything() {
        for object in cluster_agent::objects(&settings, None) {
            let words = |key: &str, field: &str| -> Vec<String> {
                let mut found = Vec::new();
                under(&object, key, &mut found);
                let word = |one: &Value| one[field].as_str().map(ToOwned::to_owned);
                found
                    .iter()
                    .flat_map(|one| one.as_array().cloned().unwrap_or_else(|| vec![(*one).clone()]))
                    .filter_map(|one| word(&one))
                    .collect()
            };
            variables.extend(words("env", "name"));
            paths.extend(words("hostPath", "path"));
            let mut added = Vec::new();
            under(&object, "add", &mut added);
            capabilities.extend(
                added
                    .iter()
                    .flat_map(|one| one.as_array().cloned().unwrap_or_default())
                    .map(|one| one.as_str().expect("a name").to_owned()),
            );
        }
        // The operator's own variables are the operator's; these are ours.
        let mut env = Vec::new();
        let datadog_agent = operator::datadog_agent(&settings);
        under(&datadog_agent, "env", &mut env);
        variables.extend(
            env.iter()
                .flat_map(|one| one.as_array().cloned().unwrap_or_default())
                .filter_map(|one| one["name"].as_str().map(ToOwned::to_owned)),
        );
    }
    assert_eq!(variables, names(&reference::VARIABLES));
    assert_eq!(capabilities, names(&reference::CAPABILITIES));
    assert_eq!(paths, names(&reference::HOST_PATHS));
}

#[test]
fn the_reference_says_what_is_only_read_of_the_node() {
    let mut written = BTreeSet::new();
    for (_, settings) in everything() {
        for object in cluster_agent::objects(&settings, None) {
            let pod = &object["spec"]["template"]["spec"];
            let containers =
                ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten();
            let mounts = containers.filter_map(|one| one["volumeMounts"].as_array()).flatten();
            let by_name: BTreeSet<_> =
                mounts.filter(|one| one["readOnly"] != true).filter_map(|one| one["name"].as_str()).collect();
            let volumes = pod["volumes"].as_array().into_iter().flatten();
            written.extend(
                volumes
                    .filter(|one| one["name"].as_str().is_some_and(|name| by_name.contains(name)))
                    .filter_map(|one| one["hostPath"]["path"].as_str().map(ToOwned::to_owned)),
            );
        }
    }
    let mut said = BTreeSet::new();
    let mut is_read_only = false;
    for entry in reference::HOST_PATHS {
        if entry.meaning != "the same" {
            is_read_only = entry.meaning.contains("read only");
        }
        if !is_read_only {
            said.insert(entry.name.to_owned());
        }
    }
    assert_eq!(written, said);
}

#[test]
fn the_reference_has_each_field_of_a_datadog_agent() {
    /// Paths of the values within.
    fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    leaves(field, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
                }
            }
            _ => {
                found.insert(
                    path.replace("override.nodeAgent", "override.*").replace("override.clusterAgent", "override.*"),
                );
            }
        }
    }
    let mut written = BTreeSet::new();
    for (_, settings) in everything() {
        leaves(&operator::datadog_agent(&settings)["spec"], "", &mut written);
    }
    let listed = names(&reference::FIELDS);
    let covers =
        |entry: &str, path: &str| path == entry || path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('.'));
    for path in &written {
        assert!(listed.iter().any(|entry| covers(entry, path)), "{path} isn't in the reference");
    }
    for entry in &listed {
        assert!(written.iter().any(|path| covers(entry, path)), "{entry} is never written");
    }
}

/// What the Cluster Agent made itself would be nobody's. Some releases end where they find one without `data`.
#[test]
fn what_the_cluster_agent_writes_is_there_before_it() {
    let known = names(&reference::NOTES);
    assert_eq!(PART.notes.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), known);
    let made = of_controller(&settings(&json!({})));
    for name in &known {
        let is_it = |one: &&Value| one["kind"] == "ConfigMap" && one["metadata"]["name"] == name.as_str();
        let found = made.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {made:#?}"));
        assert!(found["data"].as_object().is_some_and(|data| !data.is_empty()), "{found:#}");
    }
    let place = |kind: &str| PART.kinds.iter().position(|one| one.kind == kind);
    assert!(place("ConfigMap") < place("Deployment"));

    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate/templates/agent/roles.yaml");
    let roles = std::fs::read_to_string(roles).expect("a file");
    assert!(known.iter().all(|name| roles.contains(name.as_str())), "{roles}");
    assert!(!roles.contains("create"), "while it ends it could put back what has gone: {roles}");
}

#[test]
fn every_volume_that_is_known_is_mounted_by_somebody() {
    let mut mounted = BTreeSet::new();
    for (_, settings) in everything() {
        for object in cluster_agent::objects(&settings, None) {
            let mut found = Vec::new();
            under(&object, "volumeMounts", &mut found);
            let mounts = found.iter().flat_map(|one| one.as_array().cloned().unwrap_or_default());
            mounted.extend(mounts.filter_map(|one| one["name"].as_str().map(ToOwned::to_owned)));
        }
    }
    assert_eq!(mounted, pod::VOLUMES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn nobody_but_those_who_are_asked_for_may_do_more() {
    for (name, settings) in everything() {
        let set = node::daemon_set(&settings, None);
        let pod = &set["spec"]["template"]["spec"];
        let features = &settings.agent.features;
        assert_eq!(pod["hostPID"] == true, features.network_monitoring || features.cws, "{name}");
        assert_eq!(pod.get("hostNetwork"), None, "{name}");
        for container in pod["containers"].as_array().expect("containers") {
            let of = container["name"].as_str().expect("a name");
            let may_more = container.pointer("/securityContext/capabilities").is_some();
            let asked = of == "system-probe" || (of == "security-agent" && features.cspm);
            assert_eq!(may_more, asked, "{name} {of}");
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name} {of}");
            assert_eq!(container["securityContext"].get("privileged"), None, "{name} {of}");
            let sees_root =
                container["volumeMounts"].as_array().expect("mounts").iter().any(|mount| mount["name"] == "root");
            assert!(!sees_root || features.cspm || features.cws, "{name} {of}");
        }
    }
}

/// Releases differ in what they do by default, and a system-probe that is told nothing of it isn't there for posture alone.
#[test]
fn what_the_security_agent_is_there_for_is_its_own() {
    for (name, settings) in everything().into_iter().filter(|(_, settings)| settings.has_security_agent()) {
        let set = node::daemon_set(&settings, None);
        let containers = set["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
        let security = containers.iter().find(|one| one["name"] == "security-agent").expect("it is there");
        let is_off = |variable: &str| {
            let mut env = security["env"].as_array().expect("variables").iter();
            env.any(|one| one["name"] == variable && one["value"] == "false")
        };
        let features = &settings.agent.features;
        assert_eq!(is_off("DD_COMPLIANCE_CONFIG_RUN_IN_SYSTEM_PROBE"), features.cspm, "{name}");
        assert_eq!(is_off("DD_RUNTIME_SECURITY_CONFIG_DIRECT_SEND_FROM_SYSTEM_PROBE"), features.cws, "{name}");
    }
}

/// Beside the lines, whoever has them has them alone.
#[test]
fn the_agent_does_what_it_owns() {
    for (name, settings) in everything() {
        let features = &operator::datadog_agent(&settings)["spec"]["features"];
        let set = node::daemon_set(&settings, None);
        let core = &set["spec"]["template"]["spec"]["containers"][0];
        let says = |variable: &str| -> Option<String> {
            let env = core["env"].as_array().expect("variables");
            env.iter().find(|one| one["name"] == variable).and_then(|one| one["value"].as_str()).map(ToOwned::to_owned)
        };
        let mounts = core["volumeMounts"].to_string();
        let logs = settings.agent_has(|owners| owners.container_logs);
        assert_eq!(features["logCollection"]["enabled"], logs, "{name}");
        assert_eq!(mounts.contains("/var/log/pods"), logs, "{name}");
        let prometheus = settings.agent_has(|owners| owners.prometheus);
        assert_eq!(features["prometheusScrape"]["enabled"], prometheus, "{name}");
        assert_eq!(
            says("DD_PROMETHEUS_SCRAPE_ENABLED").as_deref(),
            Some(if prometheus { "true" } else { "false" }),
            "{name}"
        );
        let state = settings.agent_has(|owners| owners.cluster_state);
        assert_eq!(features["kubeStateMetricsCore"]["enabled"], state, "{name}");
        let ports = core["ports"].to_string();
        let host_ports = set.to_string().contains("hostPort\"");
        assert!(!host_ports || settings.agent_has(|owners| owners.otlp), "{name}");
        assert_eq!(
            ports.contains("4317"),
            features["otlp"]["receiver"]["protocols"]["grpc"]["enabled"] == true,
            "{name}"
        );
        assert_eq!(says("DD_CLUSTER_NAME").as_deref(), Some("prod-eu1"), "{name}");
        assert_eq!(operator::datadog_agent(&settings)["spec"]["global"]["clusterName"], "prod-eu1", "{name}");
    }
}

#[test]
fn a_new_key_or_token_rolls_the_pods() {
    let before = settings(&json!({}));
    let after = Settings { key_version: Some("42".to_owned()), ..before.clone() };
    let templates = |settings: &Settings, token: &str| -> Vec<Value> {
        let made = cluster_agent::objects(settings, Some(token));
        made.iter()
            .filter(|one| one["spec"]["template"].is_object())
            .map(|one| one["spec"]["template"].clone())
            .collect()
    };
    let [one, other, new_token] = [templates(&before, "7"), templates(&after, "7"), templates(&before, "8")];
    assert_eq!(one.len(), 2);
    for at in 0..2 {
        assert!(one[at] != other[at] && one[at] != new_token[at]);
    }
    let annotations = |settings: &Settings, of: &str| {
        operator::datadog_agent(settings)["spec"]["override"][of]["annotations"].clone()
    };
    for of in ["nodeAgent", "clusterAgent"] {
        assert_ne!(annotations(&before, of), annotations(&after, of), "{of}");
    }
}

/// As it is read back where the Secret has gone.
#[test]
fn the_keys_version_is_read_as_it_was_written() {
    let with = |key: Option<&str>| Settings { key_version: key.map(ToOwned::to_owned), ..settings(&json!({})) };
    for key in [None, Some("41")] {
        for token in [None, Some("7"), Some("2b1f-9c")] {
            let written = pod::versions(&with(key), token);
            let written = written.get(annotation::CREDENTIALS).and_then(Value::as_str);
            let read = written.and_then(|written| pod::key_version(written, token.is_some()));
            assert_eq!(read.as_deref(), key, "{written:?}");
        }
    }
}

#[test]
fn the_revision_tells_one_datadog_agent_from_another() {
    let one = operator::datadog_agent(&settings(&json!({})));
    let same = operator::datadog_agent(&settings(&json!({})));
    let other = operator::datadog_agent(&settings(&json!({"agent": {"features": {"cws": true}}})));
    assert_eq!(operator::revision(&one), operator::revision(&same));
    assert_ne!(operator::revision(&one), operator::revision(&other));
    assert_eq!(operator::revision(&one).map(str::len), Some(16));
}

#[test]
fn the_token_is_random_and_nowhere_else() {
    let secret = cluster_agent::token_secret(&[7; 32], &json!({}), "datadog");
    let token = secret["stringData"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(token, "07".repeat(32));
    let made = cluster_agent::objects(&settings(&json!({})), Some("7"));
    assert!(!json!(made).to_string().contains(&token));
}
