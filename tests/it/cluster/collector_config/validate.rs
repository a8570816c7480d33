//! Whether it accepts them.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{Candidate, Spec, every_combination, with_forward};

fn assert_valid(spec: &Spec) {
    let rendered = spec.rendered();
    let output = Candidate::new(&with_forward(&rendered.text), &rendered).run(&["validate"]);
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{says}\n{}", rendered.text);
}

#[test]
fn every_combination_of_modes_and_switches_is_accepted() {
    let specs = Mutex::new(every_combination());
    assert!(specs.lock().expect("nobody failed yet").len() > 100, "combinations differ");
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
        let statement = &read["processors"]["transform/cluster_name"]["log_statements"][0]["statements"][0];
        let quoted = Value::String(trick.to_owned()).to_string();
        assert!(statement.as_str().is_some_and(|statement| statement.contains(&quoted)), "{trick}: {statement}");
    }
}
