//! What each set of values becomes. The default's rendering is kept in full, the others' as differences from it;
//! `SNAPSHOTS=overwrite cargo test --test it cluster::chart::rendered` writes them anew.

use serde_json::Value;
use similar::TextDiff;
use snapbox::{Data, assert_data_eq};

use super::{SETS, helm, name_of, objects, rendered, root, template, values};
use crate::control_plane::programs::Helm;

#[test]
fn helm_finds_no_fault() {
    for version in [Helm::Four, Helm::Three] {
        for set in SETS {
            let file = values(set).map(|file| file.display().to_string());
            let file: Vec<&str> = file.iter().flat_map(|file| ["--values", file]).collect();
            let outcome = helm(version, &[&["lint", "--strict", "charts/otelgate"][..], &file].concat());
            assert!(outcome.success && !outcome.stdout.contains("[WARNING]"), "{set}: {}", outcome.stdout);
        }
    }
}

#[test]
fn each_set_of_values_is_rendered_as_before() {
    let default = rendered(Helm::Four, "default");
    for set in SETS {
        let (name, text) = if set == "default" {
            ("default.yaml".to_owned(), default.clone())
        } else {
            let text = rendered(Helm::Four, set);
            let diff = TextDiff::from_lines(&default, &text);
            let diff = diff.unified_diff().context_radius(3).header("default", set).to_string();
            (format!("{set}.diff"), diff)
        };
        let file = root().join("tests/data/chart/rendered").join(name);
        assert_data_eq!(text, Data::read_from(&file, None).raw());
    }
}

/// What Helm prints at the end of an installation.
#[test]
fn the_notes_name_the_next_command() {
    for set in ["default", "by-hand", "host-network"] {
        let file = values(set).map(|file| file.display().to_string());
        let file: Vec<&str> = file.iter().flat_map(|file| ["--values", file]).collect();
        let install = ["install", "otelgate", "charts/otelgate", "--namespace", "otelgate", "--dry-run=client"];
        let said = helm(Helm::Four, &[&install[..], &file].concat()).expect(set);
        let (_, notes) = said.split_once("NOTES:\n").expect("notes");
        let golden = root().join("tests/data/chart/rendered").join(format!("{set}.notes"));
        assert_data_eq!(notes, Data::read_from(&golden, None).raw());
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes_and_both_helms_the_same_objects() {
    for set in SETS {
        let file = values(set);
        let raw = || template(Helm::Four, "otelgate", file.as_deref(), &[]).expect(set);
        let once = raw();
        assert!(once == raw(), "{set}");
        assert_eq!(
            sorted(&once),
            sorted(&template(Helm::Three, "otelgate", file.as_deref(), &[]).expect(set)),
            "{set}"
        );
    }
}

fn sorted(text: &str) -> Vec<Value> {
    let mut objects = objects(text);
    objects.sort_by_key(name_of);
    objects
}

/// Whatever is applied stays as it was applied: the API server takes nulls and empty lists out of its own types.
#[test]
fn nothing_empty_is_rendered() {
    /// Left out, it would be the default of the `TelemetryStack`'s schema, which need not be empty.
    fn is_said(place: &str) -> bool {
        place.contains(": TelemetryStack/default.spec.")
    }
    fn check(value: &Value, place: &str) {
        match value {
            Value::Null => panic!("{place} is null"),
            Value::Array(items) => {
                assert!(!items.is_empty() || is_said(place), "{place} is empty");
                items.iter().enumerate().for_each(|(at, item)| check(item, &format!("{place}[{at}]")));
            }
            Value::Object(fields) => {
                // cert-manager's word for an issuer without anything to say.
                assert!(!fields.is_empty() || place.ends_with(".selfSigned") || is_said(place), "{place} is empty");
                fields.iter().for_each(|(name, field)| check(field, &format!("{place}.{name}")));
            }
            Value::String(_) | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    for set in SETS {
        for object in objects(&rendered(Helm::Four, set)) {
            check(&object, &format!("{set}: {}", name_of(&object)));
        }
    }
}

/// What alerts and monitors say to type is said of the namespace that it is in.
#[test]
fn next_steps_have_the_releases_namespace() {
    let text = template(Helm::Four, "telemetry", values("monitoring").as_deref(), &[]).expect("helm template");
    let objects = objects(&text);
    let named = |name: &str| objects.iter().find(|object| name_of(object) == name).expect(name);
    for name in ["PrometheusRule/otelgate", "DatadogMonitor/otelgate-no-leader"] {
        let spec = named(name)["spec"].to_string();
        assert!(spec.contains("pods,leases,events -n telemetry"), "{spec}");
    }
    for object in &objects {
        assert!(!object.to_string().contains("-n otelgate"), "{}", name_of(object));
    }
}

/// Names don't depend on the release's, and the namespace is the release's everywhere but for roles in the Collector's.
#[test]
fn the_release_may_have_any_name_and_namespace() {
    let as_usual = rendered(Helm::Four, "default");
    let arguments = ["template", "observability", "charts/otelgate", "--namespace", "telemetry"];
    let elsewhere = helm(Helm::Four, &arguments).expect("helm template");
    let (as_usual, elsewhere) = (objects(&as_usual), objects(&elsewhere));
    assert_eq!(as_usual.iter().map(name_of).collect::<Vec<_>>(), elsewhere.iter().map(name_of).collect::<Vec<_>>());
    for object in &elsewhere {
        for (place, value) in object.pointer("/metadata/namespace").into_iter().map(|value| ("metadata", value)).chain(
            object["subjects"].as_array().into_iter().flatten().map(|subject| ("subject", &subject["namespace"])),
        ) {
            let of_the_collector =
                ["Role", "RoleBinding"].iter().any(|kind| object["kind"] == *kind) && value == "datadog";
            assert!(value == "telemetry" || of_the_collector, "{} {place} is {value}", name_of(object));
        }
        for entry in object["webhooks"].as_array().into_iter().flatten() {
            assert_eq!(entry["clientConfig"]["service"]["namespace"], "telemetry");
            let own = entry["matchConditions"][1]["expression"].as_str().expect("an expression");
            assert!(own.contains("request.namespace == 'telemetry'"), "{own}");
        }
        // A selector can't be changed later.
        let selector = object["spec"]["selector"].to_string();
        assert!(!selector.contains("app.kubernetes.io/instance") && !selector.contains("observability"), "{selector}");
    }
}
