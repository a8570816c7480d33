//! The chart in `charts/otelgate`, as far as it can be read without Helm.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use otelgate::api::object;
use otelgate::chart::{FILES, Values};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/otelgate")
}

fn files_below(folder: &Path, list: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files_below(&path, list) } else { list.push(path) }
    }
}

#[test]
fn the_program_has_every_file_of_the_chart() {
    let mut files = Vec::new();
    files_below(&folder(), &mut files);
    let mut found: Vec<String> =
        files.iter().map(|file| file.strip_prefix(folder()).expect("it is below").display().to_string()).collect();
    found.sort();
    assert_eq!(FILES.iter().map(|file| file.path).collect::<Vec<_>>(), found);
    for file in FILES {
        assert_eq!(file.text, fs::read_to_string(folder().join(file.path)).expect("a file"), "{}", file.path);
    }
}

#[test]
fn the_chart_is_of_the_programs_version() {
    let chart: Value = serde_saphyr::from_str(text("Chart.yaml")).expect("YAML");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["kubeVersion"], ">=1.30.0-0");
}

#[test]
fn values_yaml_reads_as_the_defaults() {
    let values: Values = serde_saphyr::from_str(text("values.yaml")).expect("values");
    assert_eq!(values, Values::default());
}

/// Names that the program knows aren't misspelt in the templates.
#[test]
fn objects_have_the_programs_names() {
    let all: String = FILES.iter().filter(|file| file.path.starts_with("templates/")).map(|file| file.text).collect();
    let words: BTreeSet<&str> = all.split(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c))).collect();
    for name in [object::WEBHOOK, object::CONTROLLER, object::INJECTION, object::SERVING, object::AUTHORITY] {
        assert!(words.contains(name), "{name}");
    }
}

/// Nothing that differs from one rendering to the next, nothing that asks the cluster, and nothing that Helm runs.
#[test]
fn templates_depend_on_values_alone() {
    const BANNED: [&str; 14] = [
        "lookup",
        "now",
        "uuidv4",
        "randAlphaNum",
        "randAlpha",
        "randNumeric",
        "randBytes",
        "genCA",
        "genSignedCert",
        "genSelfSignedCert",
        "genPrivateKey",
        ".Release.Time",
        ".Release.Revision",
        ".Capabilities",
    ];
    for file in FILES.iter().filter(|file| file.path.starts_with("templates/")) {
        let actions = file.text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        for action in actions.filter(|action| !action.contains("/*")) {
            let found = action.split([' ', '(', ')', '|']).find(|word| BANNED.contains(&word.trim_start_matches('$')));
            assert_eq!(found, None, "{}: {action}", file.path);
        }
        assert!(!file.text.contains("helm.sh/hook"), "{} has a hook", file.path);
    }
}

fn text(path: &str) -> &'static str {
    FILES.iter().find(|file| file.path == path).expect("a file of the chart").text
}
