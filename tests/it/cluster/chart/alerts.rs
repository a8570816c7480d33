//! The alerts that Helm renders, as Prometheus reads them: promtool checks them, and fires each of them from samples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use otelgate::monitoring;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{objects, rendered, root, template, values};
use crate::control_plane::kubectl::Outcome;
use crate::control_plane::programs::{Helm, PROMTOOL, built};

/// Samples with which an alert fires, and some with which it doesn't.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    alert: String,
    /// How often it fires at once.
    #[serde(default = "once")]
    firing: u32,
    fires: Samples,
    silent: Samples,
}

/// Values of each series, one a minute, as promtool writes them.
type Samples = BTreeMap<String, String>;

fn once() -> u32 {
    1
}

#[test]
fn promtool_finds_no_fault_with_the_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = write_rules(folder.path());
    let outcome = promtool(folder.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.json"]);
    let said = outcome.expect("promtool check rules");
    assert!(said.contains(&format!("SUCCESS: {} rules found", names.len())), "{said}");
    assert_eq!(names, monitoring::alerts().into_iter().map(|alert| alert.name).collect());
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = write_rules(folder.path());
    let text = std::fs::read_to_string(root().join("tests/data/monitoring/alerts.yaml")).expect("cases");
    let cases: Vec<Case> = serde_saphyr::from_str(&text).expect("cases");
    assert_eq!(cases.iter().map(|case| case.alert.clone()).collect::<BTreeSet<_>>(), names);
    let tests: Vec<Value> = cases.iter().flat_map(|case| [case.fires(), case.silent()]).collect();
    let file = json!({"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": tests});
    std::fs::write(folder.path().join("tests.json"), file.to_string()).expect("a file");
    let outcome = promtool(folder.path(), &["test", "rules", "tests.json"]);
    assert!(outcome.success, "{}{}", outcome.stdout, outcome.stderr);
}

/// A certificate is renewed when a third of its life is left; one that somebody else provides, when they see fit.
#[test]
fn a_certificate_is_late_only_after_the_next_should_have_been_made() {
    let cases = [
        ("otelgate", "336h", 86400),
        ("otelgate", "72h", 43200),
        ("otelgate", "1h30m", 900),
        ("certManager", "010h1s", 6000),
        ("provided", "1h", 86400),
    ];
    for (provider, lifetime, late) in cases {
        let set = format!("certificates.provider={provider},certificates.leafLifetime={lifetime}");
        let text = template(Helm::Four, "otelgate", values("monitoring").as_deref(), &["--set", &set]).expect(&set);
        let rules = objects(&text).into_iter().find(|object| object["kind"] == "PrometheusRule").expect("alerts");
        let rules = rules["spec"]["groups"][0]["rules"].as_array().expect("rules").clone();
        let expires = rules.iter().find(|rule| rule["alert"] == "OtelgateCertificateExpires").expect("an alert");
        let expression = expires["expr"].as_str().expect("an expression");
        assert!(expression.ends_with(&format!(" < {late}")), "{set}: {expression}");
    }
}

/// The rules of everything that is watched, where Prometheus and no operator reads them; and the alerts' names.
fn write_rules(folder: &Path) -> BTreeSet<String> {
    let objects = objects(&rendered(Helm::Four, "monitoring"));
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").expect("alerts");
    std::fs::write(folder.join("rules.json"), rule["spec"].to_string()).expect("a file");
    let groups = rule["spec"]["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["alert"].as_str().expect("a name").to_owned()).collect()
}

fn promtool(folder: &Path, arguments: &[&str]) -> Outcome {
    let program = built("promtool", PROMTOOL).unwrap_or_else(|error| panic!("{error}"));
    Outcome::of(Command::new(program).args(arguments).current_dir(folder), "")
}

impl Case {
    fn fires(&self) -> Value {
        let firing = format!("count(ALERTS{{alertname=\"{}\",alertstate=\"firing\"}})", self.alert);
        self.test("fires", &self.fires, &firing, &json!([{"labels": "{}", "value": self.firing}]))
    }

    fn silent(&self) -> Value {
        let active = format!("ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}", self.alert);
        self.test("stays silent", &self.silent, &active, &json!([]))
    }

    fn test(&self, does: &str, samples: &Samples, asks: &str, expected: &Value) -> Value {
        let series: Vec<Value> =
            samples.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
        json!({
            "name": format!("{} {does}", self.alert), "interval": "1m", "input_series": series,
            "promql_expr_test": [{"expr": asks, "eval_time": "2h", "exp_samples": expected}],
        })
    }
}
