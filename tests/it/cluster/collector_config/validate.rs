//! Whether it accepts them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use otelgate::api::stack::{AgentMode, Exporter, LogScope, TelemetryStackSpec};
use otelgate::config::{Collection, LogOwner};
use serde_json::{Value, json};

use super::{Candidate, Spec, with_forward};

/// Each combination of modes and switches whose configuration differs from the others'. What changes little is varied
/// along with them, so that there are no more: each of its combinations comes with several of theirs.
fn every_combination() -> Vec<Spec> {
    let mut texts = BTreeSet::new();
    let mut specs = Vec::new();
    for exporter in [Exporter::Datadog, Exporter::Otlp, Exporter::Agent] {
        for bits in 0..(1 << 7) {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let mut spec = Spec::default();
            spec.collector.exporter = exporter;
            spec.collector.metrics.cluster = on(0);
            spec.collector.metrics.annotated_pods = on(1);
            spec.collector.logs.scope = if on(2) { LogScope::All } else { LogScope::OptedIn };
            spec.injection.logs.owner = if on(3) { LogOwner::Agent } else { LogOwner::Collector };
            spec.injection.logs.collection = if on(4) { Collection::Disabled } else { Collection::Enabled };
            spec.injection.cluster_name = on(5).then(|| "east".to_owned());
            spec.agent.mode = if on(6) && exporter != Exporter::Agent { AgentMode::Disabled } else { AgentMode::Auto };
            if texts.insert(spec.rendered().text) {
                specs.push(spec);
            }
        }
    }
    (0_u32..).zip(&mut specs).for_each(|(index, spec)| vary(spec, index));
    specs
}

/// By bits that have nothing to do with those of the switches.
fn vary(spec: &mut Spec, index: u32) {
    let bits = index.wrapping_mul(0x9E37_79B9) >> 28;
    let on = |bit: u32| bits & (1 << bit) != 0;
    spec.injection.identity.from_well_known_labels = on(0);
    spec.injection.environment = on(1).then(|| "production".to_owned());
    if on(2) {
        "http://127.0.0.1:3128".clone_into(&mut spec.egress.proxy);
        spec.egress.no_proxy = vec![".corp".to_owned()];
    }
    if on(3) && spec.agent.mode == AgentMode::Auto {
        spec.agent.mode = AgentMode::Adopt;
        "agents".clone_into(&mut spec.agent.adopt.daemon_set);
    }
}

fn golden_specs() -> BTreeMap<String, TelemetryStackSpec> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/collector/specs.json");
    serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("specs")
}

fn assert_valid(spec: &Spec) {
    let rendered = spec.rendered();
    let output = Candidate::new(&with_forward(&rendered.text), &rendered).run(&["validate"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{says}\n{}", rendered.text);
}

#[test]
fn every_combination_of_modes_and_switches_is_accepted() {
    let mut specs = every_combination();
    assert!(specs.len() > 100, "combinations differ");
    let seen = |is: fn(&Spec) -> bool| specs.iter().filter(|spec| is(spec)).count() > 10;
    assert!(seen(|spec| spec.injection.identity.from_well_known_labels) && seen(|spec| !spec.egress.proxy.is_empty()));
    assert!(seen(|spec| spec.injection.environment.is_some()) && seen(|spec| spec.agent.mode == AgentMode::Adopt));
    specs.extend(golden_specs().into_values().map(Spec::of));
    let specs = Mutex::new(specs);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(spec) = { specs.lock().expect("nobody fails with it").pop() } {
                    assert_valid(&spec);
                }
            });
        }
    });
}

#[test]
fn additions_are_accepted_as_they_are_merged() {
    let mut spec = Spec::default();
    let config = json!({
        "processors": {"transform/team": {"log_statements": [r#"set(resource.attributes["team"], "${env:TEAM}")"#]}},
        "exporters": {"debug": null, "datadog": {"metrics": {"endpoint": "http://10.0.0.1:8080"}}},
        "service": {"pipelines": {"logs": {"processors": ["transform/team"], "exporters": ["debug"]}}},
    });
    spec.collector.config = config.as_object().expect("a map").clone();
    spec.collector.env.insert("TEAM".to_owned(), "checkout".to_owned());
    assert_valid(&spec);
}

/// What is wrong is found: the others aren't accepted because nothing is looked at.
#[test]
fn a_fault_is_found() {
    let rendered = Spec::default().rendered();
    let mut document = with_forward(&rendered.text);
    document["service"]["pipelines"]["logs"]["processors"][0] = json!("memory_limite");
    let output = Candidate::new(&document, &rendered).run(&["validate"]);
    assert!(!output.status.success());
}

/// Texts come out as they went in, by the Collector's own reading.
#[test]
fn nobody_breaks_out_of_a_text() {
    for trick in
        ["${env:DD_API_KEY}", "$${file:/etc/passwd}", "${file:/etc/passwd}", "$$", "a\nservice: {}", "\"'#{}[]"]
    {
        let mut spec = Spec::default();
        trick.clone_into(&mut spec.datadog.site);
        spec.injection.cluster_name = Some(trick.to_owned());
        spec.injection.environment = Some(trick.to_owned());
        let rendered = spec.rendered();
        let candidate = Candidate::new(&with_forward(&rendered.text), &rendered);
        let output =
            candidate.run(&["print-config", "--mode=unredacted", "--feature-gates=otelcol.printInitialConfig"]);
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{trick}: {says}");
        let read: Value = serde_saphyr::from_slice(&output.stdout).expect("YAML");
        let exporter = &read["exporters"]["datadog"];
        assert_eq!(exporter["api"]["site"], trick);
        assert_eq!(exporter["hostname"], "node-1", "Datadog calls no host by such a name");
        let quoted = Value::String(trick.to_owned()).to_string();
        for (processor, key) in
            [("transform/cluster_name", "k8s.cluster.name"), ("transform/service", "deployment.environment.name")]
        {
            let of_logs = read["processors"][processor]["log_statements"].as_array().into_iter().flatten();
            let mut statements = of_logs.flat_map(|of| of["statements"].as_array().into_iter().flatten());
            let of_key = format!("set(resource.attributes[\"{key}\"], {quoted})");
            let is_set = statements.any(|statement| statement.as_str().is_some_and(|text| text.contains(&of_key)));
            assert!(is_set, "{of_key}: {}", read["processors"][processor]);
        }
    }
}
