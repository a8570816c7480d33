//! What is refused, and in which words.

use std::collections::BTreeSet;

use super::*;

const HEAD: &str = "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n";

fn fault(text: &str) -> String {
    parse(text).expect_err("the text has a fault").to_string()
}

fn fault_in(body: &str) -> String {
    fault(&format!("{HEAD}{body}"))
}

/// Behind the place.
fn said(fault: &str) -> &str {
    assert!(fault.starts_with("line "), "{fault}");
    fault.split_once(": ").expect("a place").1
}

#[test]
fn minimal_document_is_the_documented_defaults() {
    assert_eq!(*parse(HEAD).expect("valid").document(), Document::default());
}

#[test]
fn byte_order_mark_and_windows_newlines_are_read() {
    let text = format!("\u{feff}{HEAD}clusterName: east\n").replace('\n', "\r\n");
    assert_eq!(parse(&text).expect("valid").cluster_name(), Some("east"));
}

#[test]
fn scalars_that_look_like_something_else_are_the_text_they_are() {
    let text = format!("{HEAD}environment: no\nsampler: {{name: traceidratio, arg: 0.10}}\n");
    let configuration = parse(&text).expect("valid");
    assert_eq!(configuration.environment(), Some("no"));
    assert_eq!(configuration.sampler(), Some(("traceidratio", Some("0.10"))));
}

#[test]
fn empty_texts_say_what_a_minimal_file_is() {
    for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}--- # nothing\n...\n"] {
        assert!(fault(text).contains("apiVersion: otelgate.dev/v1alpha1"), "{text:?}");
    }
}

#[test]
fn unknown_keys_name_line_path_and_the_nearest_right_one() {
    assert_eq!(
        fault_in("otlp:\n  protcol: grpc\n"),
        "line 4, column 3: otlp.protcol: unknown key; did you mean protocol?"
    );
    assert_eq!(fault_in("Mode: observe\n"), "line 3, column 1: Mode: unknown key; did you mean mode?");
    assert_eq!(
        fault_in("exclude:\n- selector:\n    matchExpressions:\n    - {key: a, operatr: Exists}\n"),
        "line 6, column 16: exclude[0].selector.matchExpressions[0].operatr: unknown key; did you mean operator?"
    );
    assert_eq!(
        fault_in("identity:\n  zzz: 1\n"),
        "line 4, column 3: identity.zzz: unknown key; known are fromWellKnownLabels"
    );
}

#[test]
fn duplicate_keys_are_refused() {
    assert_eq!(fault_in("mode: observe\nmode: enabled\n"), "line 4, column 1: mode: stands twice; keep one");
}

#[test]
fn wrong_types_and_values_name_what_would_be_right() {
    assert_eq!(fault_in("mode: off\n"), "line 3, column 7: mode: \"off\" isn't one of enabled, observe, disabled");
    assert_eq!(
        fault_in("otlp:\n  protocol: http\n"),
        "line 4, column 13: otlp.protocol: \"http\" isn't one of grpc, http/protobuf, http/json"
    );
    let fault = fault_in("env:\n- name: A\n  value: {secret: hunter2}\n");
    assert!(fault.starts_with("line 5, column 10: env[0].value: "), "{fault}");
    assert!(!fault.contains("hunter2"), "{fault}");
    for (body, says) in [
        ("identity:\n  fromWellKnownLabels: maybe\n", "identity.fromWellKnownLabels: must be a boolean"),
        (
            "identity:\n  fromWellKnownLabels: [a]\n",
            "identity.fromWellKnownLabels: must be a single value, and no list or map",
        ),
        ("propagators: tracecontext\n", "propagators: must be a list"),
        ("otlp: grpc\n", "otlp: must be a map"),
        ("otlp: [grpc]\n", "otlp: must be a map"),
        ("exclude: {namespace: a}\n", "exclude: must be a list"),
        ("clusterName: [a]\n", "clusterName: must be a single value, and no list or map"),
        ("mode: [observe]\n", "mode: must be a single value, and no list or map"),
        ("sampler: {arg: \"1\"}\n", "sampler: name is missing; write it"),
    ] {
        assert_eq!(said(&fault_in(body)), says);
    }
}

#[test]
fn a_fault_in_a_list_names_the_entry_however_the_list_is_laid_out() {
    for (key, entry, says) in [
        ("exclude", "foo", "exclude[0]: must be a map"),
        ("exclude", "", "exclude[0]: must be a map"),
        ("exclude", "[a]", "exclude[0]: must be a map"),
        ("exclude", "selector: {matchExpressions: [a]}", "exclude[0].selector.matchExpressions[0]: must be a map"),
        ("propagators", "null", "propagators[0]: has no value; write one"),
        ("propagators", "a: b", "propagators[0]: must be a single value, and no list or map"),
        ("propagators", "- a", "propagators[0]: must be a single value, and no list or map"),
        ("env", "value: x", "env[0]: name is missing; write it"),
        // Where no list may stand, it is what is wrong.
        ("otlp", "grpc", "otlp: must be a map"),
        ("otlp", "protocol: grpc", "otlp: must be a map"),
        ("mode", "observe", "mode: must be a single value, and no list or map"),
        ("clusterName", "a: b", "clusterName: must be a single value, and no list or map"),
    ] {
        for indentation in ["", "  "] {
            let body = format!("{key}:\n{indentation}- {entry}\n");
            assert_eq!(said(&fault_in(&body)), says, "{body}");
        }
    }
    for (body, says) in [
        ("env: {A: b}\n", "env: must be a list"),
        ("env:\n  A: b\n", "env: must be a list"),
        ("exclude:\n- {}\n- foo\n", "exclude[1]: must be a map"),
        (
            "exclude:\n- selector:\n    matchExpressions:\n    - key: a\n      operator: In\n      values:\n      - [b]\n",
            "exclude[0].selector.matchExpressions[0].values[0]: must be a single value, and no list or map",
        ),
        (
            "exclude:\n- selector:\n    matchLabels:\n      env: [a]\n",
            "exclude[0].selector.matchLabels.env: must be a single value, and no list or map",
        ),
    ] {
        assert_eq!(said(&fault_in(body)), says, "{body}");
    }
    let held = "kind: ConfigMap\ndata:\n  config.yaml:\n  - a\n";
    assert!(fault(held).starts_with("data.config.yaml must be a text"), "{}", fault(held));
}

#[test]
fn every_list_of_a_configuration_is_known_as_one() {
    let page = crate::config::reference();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | list of "));
    let lists: BTreeSet<_> = rows.map(|(path, _)| path.rsplit('.').next().unwrap_or(path)).collect();
    assert_eq!(lists, BTreeSet::from(LISTS));
}

/// As a template or a comment leaves it.
#[test]
fn a_key_without_a_value_counts_as_absent() {
    for key in [
        "mode",
        "clusterName",
        "clusterDomain",
        "environment",
        "otlp",
        "collector",
        "identity",
        "propagators",
        "sampler",
        "logs",
        "env",
        "exclude",
        "otlp.endpoint",
        "otlp.protocol",
        "otlp.reach",
        "otlp.ipFamily",
        "otlp.metricsTemporality",
        "collector.namespace",
        "collector.service",
        "collector.address",
        "identity.fromWellKnownLabels",
        "logs.collection",
        "logs.owner",
    ] {
        for nothing in ["", " ~", " null", " # a comment"] {
            let body = match key.split_once('.') {
                Some((map, key)) => format!("{map}:\n  {key}:{nothing}\n"),
                None => format!("{key}:{nothing}\n"),
            };
            let read = parse(&format!("{HEAD}{body}")).unwrap_or_else(|fault| panic!("{body}: {fault}"));
            assert_eq!(*read.document(), Document::default(), "{body}");
        }
    }
    let inner = "exclude:\n- namespace: a\n  selector:\n- selector:\n    matchLabels:\n    matchExpressions: [{key: b, operator: Exists, values: }]\n";
    assert_eq!(parse(&format!("{HEAD}{inner}")).expect("valid").document().exclude.len(), 2);
    let variables = "env: [{name: A, value: x, valueFrom: }, {name: B, value: , valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n";
    assert_eq!(parse(&format!("{HEAD}{variables}")).expect("valid").extra().len(), 2);
}

#[test]
fn what_has_to_be_there_has_a_value() {
    for (body, says) in [
        ("propagators: [~]\n", "propagators[0]: has no value; write one"),
        ("sampler: {name: }\n", "sampler.name: has no value; write one"),
        ("exclude: [{selector: {matchLabels: {a: }}}]\n", "exclude[0].selector.matchLabels.a: has no value; write one"),
        (
            "exclude: [{selector: {matchExpressions: [{key: a, operator: }]}}]\n",
            "exclude[0].selector.matchExpressions[0].operator: has no value; write one of In, NotIn, Exists, DoesNotExist",
        ),
        ("exclude: [~]\n", "exclude[0]: must be a map"),
    ] {
        assert_eq!(said(&fault_in(body)), says);
    }
    let faults = fault_in("env: [{name: A, value: }]\n");
    assert_eq!(faults, "env: A must have either value or valueFrom");
    let nothing = fault("apiVersion:\nkind: InjectionConfiguration\n");
    assert_eq!(said(&nothing), "apiVersion: has no value; write one");
}

#[test]
fn a_document_of_another_kind_is_told_so() {
    let stack = "apiVersion: otelgate.dev/v1alpha1\nkind: TelemetryStack\nmetadata: {name: default}\nspec: {injection: {mode: observe}}\n";
    let says = "kind: \"TelemetryStack\" is no configuration; give one of kind InjectionConfiguration, or a ConfigMap that \
                holds it, such as otelgate-injection, which the controller makes from the TelemetryStack";
    assert_eq!(fault(stack), says);
    let held = stack.replace('\n', "\n    ");
    assert_eq!(fault(&format!("kind: ConfigMap\ndata:\n  config.yaml: |\n    {held}")), says);
    let list = "apiVersion: v1\nkind: List\nitems: []\n";
    assert!(fault(list).starts_with("kind: \"List\" is no configuration; "), "{}", fault(list));
    // Of what could be one, every fault is told.
    let misspelt = "apiVersion: otelgate.dev/v1\nkind: Injection\n";
    assert!(fault(misspelt).contains("apiVersion: ") && fault(misspelt).contains("kind: "), "{}", fault(misspelt));
}

#[test]
fn a_document_of_another_version_is_told_so() {
    let next = "apiVersion: otelgate.dev/v1beta1\nkind: InjectionConfiguration\n";
    let says = "apiVersion: \"otelgate.dev/v1beta1\" isn't known; this version reads otelgate.dev/v1alpha1";
    for fields in ["", "injection: {mode: observe}\n", "otlp: {endpoints: []}\n"] {
        assert_eq!(fault(&format!("{next}{fields}")), says);
    }
    let held = format!("{next}injection: {{}}").replace('\n', "\n    ");
    assert_eq!(fault(&format!("kind: ConfigMap\ndata:\n  config.yaml: |\n    {held}\n")), says);
}

#[test]
fn the_collectors_own_pods_are_excluded_where_it_is() {
    let namespaces = |body: &str| -> Vec<Option<String>> {
        let read = parse(&format!("{HEAD}{body}")).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        read.document().exclude.iter().map(|one| one.namespace.clone()).collect()
    };
    let elsewhere = [Some("otelgate"), Some("telemetry"), None].map(|name| name.map(str::to_owned));
    for absent in ["", "exclude:\n", "exclude: null\n", "exclude: ~\n"] {
        assert_eq!(namespaces(&format!("{absent}collector: {{namespace: telemetry}}\n")), elsewhere, "{absent:?}");
    }
    assert!(namespaces("collector: {namespace: telemetry}\nexclude: []\n").is_empty());
    let own = namespaces("collector: {namespace: telemetry}\nexclude: [{namespace: batch}]\n");
    assert_eq!(own, [Some("batch".to_owned())]);
    let one = fault_in("collector: {namespace: Bad_NS}\n");
    assert_eq!(one, "collector.namespace: \"Bad_NS\" is no name of a Kubernetes object");
}

#[test]
fn what_stands_in_place_of_a_variables_key_may_be_its_value() {
    for body in [
        "env: [{name: TOKEN, hunter2}]\n",
        "env: [{name: TOKEN, hunter2: 1, hunter2: 2}]\n",
        "env: [{name: A}, {hunter2}]\n",
        "env:\n- name: TOKEN\n  hunter2\n",
        "env:\n- name: TOKEN\n  valueFrom: {hunter2}\n",
        "env:\n- name: TOKEN\n  valueFrom: hunter2\n",
        "env:\n- hunter2\n",
        "env: hunter2\n",
        "env: {TOKEN: hunter2}\n",
        "env: [{name: TOKEN, value: *hunter2}]\n",
        "env: [{name: TOKEN, value: \"hunter2\n",
    ] {
        let fault = fault_in(body);
        assert!(fault.starts_with("line ") && !fault.contains("hunter2"), "{body:?}: {fault}");
    }
    assert_eq!(
        fault_in("env: [{name: TOKEN, hunter2}]\n"),
        "line 3, column 21: env[0]: has an unknown key; known are name, value, valueFrom"
    );
}

#[test]
fn a_missing_field_is_named() {
    assert_eq!(fault("kind: InjectionConfiguration\n"), "line 1, column 1: apiVersion is missing; write it");
}

#[test]
fn illegal_values_are_all_told_at_once() {
    let fault = fault_in("propagators: [b4]\nclusterDomain: a..b\n");
    assert!(fault.contains("propagators:") && fault.contains("clusterDomain:"), "{fault}");
}

#[test]
fn an_exclusion_says_whom_it_means() {
    let everybody = "has neither a namespace nor a requirement, so it would exclude every pod; give it one, or write \
                     mode: disabled";
    for (entry, says) in [
        ("{}", everybody),
        ("{namespace: }", everybody),
        ("{selector: {}}", everybody),
        ("{selector: {matchLabels: {}, matchExpressions: []}}", everybody),
        ("{namespace: \"team-*\"}", "\"team-*\" is no name of a namespace; write an entry for each"),
        ("{namespace: Bad_NS}", "\"Bad_NS\" is no name of a namespace; write an entry for each"),
        ("{namespace: \"\"}", "\"\" is no name of a namespace; write an entry for each"),
        ("{selector: {matchLabels: {a: \"-bad-\"}}}", "\"-bad-\" is no value of a label"),
        (
            "{selector: {matchExpressions: [{key: a, operator: In, values: [good, \"b d\"]}]}}",
            "\"b d\" is no value of a label",
        ),
    ] {
        let fault = fault_in(&format!("exclude:\n- namespace: kept\n- {entry}\n"));
        assert_eq!(fault, format!("exclude[1]: {says}"), "{entry}");
    }
    for entry in ["{namespace: a}", "{selector: {matchLabels: {a: \"\"}}}"] {
        assert_eq!(parse(&format!("{HEAD}exclude: [{entry}]\n")).expect("valid").document().exclude.len(), 1);
    }
    let fault = fault_in("exclude: [{}]\nclusterDomain: a..b\n");
    assert!(fault.contains("exclude[0]:") && fault.contains("clusterDomain:"), "{fault}");
}

#[test]
fn a_config_map_is_opened() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: otelgate-injection}\ndata:\n  config.yaml: |\n    apiVersion: otelgate.dev/v1alpha1\n    kind: InjectionConfiguration\n    clusterName: east\n";
    assert_eq!(parse(text).expect("valid").cluster_name(), Some("east"));
    let wrong = text.replace("clusterName", "clusterNam");
    assert_eq!(fault(&wrong), "line 8, column 5: clusterNam: unknown key; did you mean clusterName?");
    let quoted = "kind: ConfigMap\ndata:\n  config.yaml: \"kind: InjectionConfiguration\\nmod: observe\\n\"\n";
    assert!(
        fault(quoted).starts_with("line 3, column 1: in config.yaml, line 2: mod: unknown key"),
        "{}",
        fault(quoted)
    );
    assert!(fault("kind: ConfigMap\ndata: {}\n").contains("data.config.yaml"));
    assert!(fault("kind: ConfigMap\ndata: {config.yaml: \"\"}\n").contains("empty"));
    let says = "data.config.yaml must be a text: write `config.yaml: |`, and the configuration indented below it";
    assert_eq!(fault(&text.replace("config.yaml: |", "config.yaml:")), says);
    for held in ["{}", "{mode: observe}", "[]", "[a]"] {
        assert_eq!(fault(&format!("kind: ConfigMap\ndata:\n  config.yaml: {held}\n")), says, "{held}");
    }
}

#[test]
fn syntax_errors_and_bombs_are_refused() {
    assert!(fault_in("otlp: [\n").starts_with("line "), "{}", fault_in("otlp: [\n"));
    assert!(fault_in("---\nmode: observe\n").contains("one document"));
    let bomb = (0..12).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        let aliases = vec![format!("*a{i}"); 9].join(", ");
        format!("{text}a{}: &a{} [{aliases}]\n", i + 1, i + 1)
    });
    let fault = fault(&format!("{HEAD}propagators: *a12\n{bomb}"));
    assert!(fault.starts_with("line "), "{fault}");
}
