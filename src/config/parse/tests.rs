//! What is refused, and in which words.

use super::*;

const HEAD: &str = "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\n";

fn fault(text: &str) -> String {
    parse(text).expect_err("the text has a fault").to_string()
}

fn fault_in(body: &str) -> String {
    fault(&format!("{HEAD}{body}"))
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
    let fault = fault_in("identity:\n  fromWellKnownLabels: maybe\n");
    assert!(fault.starts_with("line 4, column 24: identity.fromWellKnownLabels: "), "{fault}");
    let fault = fault_in("propagators: tracecontext\n");
    assert!(fault.starts_with("line 3, column 14: propagators: "), "{fault}");
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
