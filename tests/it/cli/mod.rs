//! The offline commands, as people call them: transcripts in `tests/cmd`, and inputs that no transcript can hold.
//! `TRYCMD=overwrite cargo test --test it transcripts` writes the transcripts anew.

mod output;
mod refused;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const NAMESPACE: &str =
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {otelgate.dev/inject: enabled}}}\n";
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: p
  namespace: shop
spec:
  containers:
  - name: main
    image: nginx:1.27
";

fn otelgate(directory: &Path, args: &[&str]) -> Output {
    fed(directory, args, b"")
}

fn fed(directory: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_otelgate"))
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that refuses its arguments doesn't read.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("the program ends")
}

fn otelgate_on(directory: &Path, args: &[&str], input: &str) -> String {
    let output = fed(directory, args, input.as_bytes());
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    printed(&output)
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.toml").case("tests/cmd/*.md");
}

#[test]
fn a_pod_is_explained_with_its_namespace_as_kubectl_gives_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let explained = |text: &str| {
        let output = fed(directory.path(), &["explain", "-o", "json", "-f", "-"], text.as_bytes());
        let value: serde_json::Value = serde_json::from_str(&printed(&output)).expect("JSON");
        (
            value[0]["decision"].as_str().expect("text").to_owned(),
            value[0]["reason"]["code"].as_str().map(str::to_owned),
        )
    };
    let pod = POD.trim_end().replace('\n', "\n  ");
    let list = |items: &str| format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n");
    let pod = format!("- {pod}\n");
    assert_eq!(explained(&list(&format!("- {NAMESPACE}{pod}"))), ("inject".to_owned(), None));
    assert_eq!(explained(&list(&pod)), ("skip".to_owned(), Some("NotOptedIn".to_owned())));
}

#[test]
fn items_of_a_list_have_their_own_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let item = POD.trim_end().replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n- {item}\n");
    let output = fed(directory.path(), &["inject", "-f", "-"], list.as_bytes());
    let stderr = told(&output);
    assert!(
        stderr.contains("standard input:4 Pod shop/p") && stderr.contains("standard input:13 Pod shop/p"),
        "{stderr}"
    );
}

#[test]
fn the_namespace_is_that_of_the_document_then_of_the_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let nameless = POD.replace("  namespace: shop\n", "");
    let said = |args: &[&str], input: &str| {
        let output = fed(
            directory.path(),
            &[&["explain", "-o", "json", "--opt-in", "-f", "-"], args].concat(),
            input.as_bytes(),
        );
        let explained: serde_json::Value = serde_json::from_str(&printed(&output)).expect("JSON");
        let attributes = explained[0]["containers"][0]["attributes"].as_array().expect("a list").clone();
        let namespace = attributes.into_iter().find(|one| one["key"] == "k8s.namespace.name").expect("planned");
        (namespace["action"].as_str().expect("text").to_owned(), namespace["value"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(said(&[], &nameless), ("left".to_owned(), None));
    assert_eq!(said(&["-n", "other"], &nameless), ("set".to_owned(), Some("other".to_owned())));
    assert_eq!(said(&["-n", "other"], POD), ("set".to_owned(), Some("shop".to_owned())));
    // Without either, its Namespace in the input helps nothing.
    let input = format!("{NAMESPACE}---\n{nameless}");
    for command in ["inject", "explain"] {
        let asked = |args: &[&str]| {
            let output = fed(directory.path(), &[&[command, "-f", "-"], args].concat(), input.as_bytes());
            if command == "inject" { told(&output) } else { printed(&output) }
        };
        let alone = asked(&[]);
        assert!(alone.contains("NotOptedIn") && alone.contains("give -n NAMESPACE"), "{alone}");
        assert!(asked(&["-n", "shop"]).contains("injected"), "{}", asked(&["-n", "shop"]));
    }
}

#[test]
fn what_holds_no_objects_passes_untouched() {
    let directory = tempfile::tempdir().expect("a directory");
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "---\n---\n",
        "- a\n- {b: yes}\n",
        "plain text\n",
        "a: 1\r\n---\r\nb: 2\r\n",
        "\u{feff}a: 1",
    ] {
        let output = fed(directory.path(), &["inject", "-f", "-"], text.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert_eq!(printed(&output), if text.trim().is_empty() { "" } else { text });
        assert_eq!(told(&output), "no pod or pod template in the input\n");
    }
}

#[test]
fn braces_pass_where_kubernetes_takes_them() {
    let pod = POD.replace("  name: p", "  name: p\n  annotations: {a: \"{{ x }}\"}")
        + "    env: [{name: A, value: \"{{ x }}\"}]\n    command: [\"{{ x }}\"]\n    args: [\"{{ x }}\"]\n";
    let directory = tempfile::tempdir().expect("a directory");
    let injected = otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], &pod);
    assert!(injected.contains("OTEL_SERVICE_NAME"), "{injected}");
    assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "--undo", "-f", "-"], &injected), pod);
}

#[test]
fn pod_templates_of_custom_resources_are_written_as_their_owners_allow() {
    let directory = tempfile::tempdir().expect("a directory");
    let of = |api_version: &str, kind: &str| {
        format!(
            "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: w, namespace: ns}}\nspec:\n  template:\n    \
             metadata: {{labels: {{otelgate.dev/inject: enabled}}}}\n    spec:\n      containers:\n      - name: a\n"
        )
    };
    let kruise = of("apps.kruise.io/v1alpha1", "CloneSet");
    let other = of("example.com/v1", "Workload");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", other.trim_end().replace('\n', "\n  ") + "\n");
    for (input, named) in [(&kruise, true), (&other, false), (&list, false)] {
        let injected = otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], input);
        assert!(injected.contains("k8s.container.name=a"), "{injected}");
        assert_eq!(injected.contains("service.name=w"), named, "{injected}");
        assert_eq!(injected.contains("OTEL_SERVICE_NAME"), named, "{injected}");
        let check =
            |text: &str| fed(directory.path(), &["inject", "--check", "-f", "-"], text.as_bytes()).status.code();
        assert_eq!((check(input), check(&injected)), (Some(1), Some(0)));
        assert_eq!(&otelgate_on(directory.path(), &["inject", "-q", "--undo", "-f", "-"], &injected), input);
    }
    // Knative refuses what would be written, and a template without names for its containers is no pod's.
    for input in
        [of("serving.knative.dev/v1", "Service"), other.replace("- name: a", "- image: a"), of("extensions/v1", "X")]
    {
        assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], &input), input);
    }
    // Nor does what the definition of such a resource may not keep, or may hold for something else, become a pod's.
    let labels = "    metadata: {labels: {otelgate.dev/inject: enabled}}\n";
    for (part, instead) in [
        (labels, ""),
        (labels, "    metadata: {}\n"),
        (labels, "    metadata: {name: w, labels: {}, annotations: null}\n"),
        (labels, "    metadata: {labels: {otelgate.dev/inject: true}}\n"),
        ("- name: a\n", "- name: a\n        env: {A: b}\n"),
        ("- name: a\n", "- name: a\n        image: \"{{ image }}\"\n"),
        ("- name: a\n", "- name: a\n      - name: a\n"),
        ("- name: a\n", "- name: a\n      initContainers:\n      - image: b\n"),
    ] {
        let input = other.replace(part, instead);
        assert_ne!(input, other);
        assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], &input), input);
    }
    let annotated = other.replace(labels, "    metadata: {annotations: {a: b}}\n");
    let injected = otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], &annotated);
    assert!(injected.contains("k8s.container.name=a"), "{injected}");
}

#[test]
fn injected_is_stable_and_undone_to_the_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let windows = format!("{NAMESPACE}---\n{POD}").replace('\n', "\r\n");
    let json = format!(
        "{{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": [{},\n{}]\n}}\n",
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"otelgate.dev/inject": "enabled"}}}"#,
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": [{"name": "main"}]}}"#,
    );
    let item = POD.trim_end().replace('\n', "\n  ");
    let inputs = [
        format!("{NAMESPACE}---\n# c\n{POD}"),
        format!("{NAMESPACE}---\napiVersion: v1\nkind: List\nitems:\n- {item} # beside\n# above\n- {item}\n"),
        windows,
        format!("\u{feff}{NAMESPACE}---\n{POD}"),
        format!("{NAMESPACE}---\n{POD}    args: # both\n    - |\n      run one\n      run two\n"),
        json.clone(),
    ];
    // The last line may lack its newline, and then does so ever after.
    let unfinished = inputs.clone().map(|input| input.trim_end().to_owned());
    for input in inputs.into_iter().chain(unfinished) {
        let once = otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], &input);
        assert!(once.contains("OTEL_SERVICE_NAME"), "{once}");
        assert_eq!(once.ends_with('\n'), input.ends_with('\n'), "{once}");
        assert!(once.lines().all(|line| !line.trim().is_empty()), "{once}");
        assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], &input), once);
        let twice = fed(directory.path(), &["inject", "--check", "-f", "-"], once.as_bytes());
        assert_eq!((twice.status.code(), printed(&twice).as_str()), (Some(0), ""), "{}", told(&twice));
        let undone = otelgate_on(directory.path(), &["inject", "-q", "--undo", "-f", "-"], &once);
        if input.trim_end() == json.trim_end() {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(&undone), value(&input));
        } else {
            assert_eq!(undone, input);
        }
    }
}

#[test]
fn both_commands_call_an_object_the_same_and_no_name_acts_on_a_terminal() {
    let directory = tempfile::tempdir().expect("a directory");
    for (metadata, called) in [
        ("{generateName: p-, namespace: shop}", "Pod shop/p-*"),
        ("{namespace: shop}", "Pod shop/(no name)"),
        (
            r#"{name: "p\e[31mX\n", namespace: shop, labels: {otelgate.dev/inject: "en\ex"}, annotations: {"otelgate.dev/\e": x}}"#,
            r"Pod shop/p\u{1b}[31mX\n",
        ),
    ] {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: {{containers: [{{name: \"a\\e[1m\", env: [{{name: \"\\eX\", value: \"\\e\"}}]}}]}}\n"
        );
        let told_by_both = [
            told(&fed(directory.path(), &["inject", "--opt-in", "-f", "-"], pod.as_bytes())),
            printed(&fed(directory.path(), &["explain", "--opt-in", "-f", "-"], pod.as_bytes())),
        ];
        for told in told_by_both {
            assert!(told.contains(called), "{told}");
            assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told:?}");
        }
    }
    let faulty = "apiVersion: v1\nkind: Pod\nmetadata: {name: \"\\e\"}\nspec: {nodeSelector: {\"\\e\": 1}}\n";
    let output = fed(directory.path(), &["inject", "-f", "-"], faulty.as_bytes());
    let says = r"Pod \u{1b}: spec.nodeSelector[\u{1b}] must be a string";
    assert!(told(&output).contains(says) && !told(&output).contains('\u{1b}'), "{:?}", told(&output));
}

#[test]
fn what_the_cluster_will_not_inject_or_name_so_is_not_here() {
    let directory = tempfile::tempdir().expect("a directory");
    let left_out = NAMESPACE.replace("enabled}", "enabled, control-plane: 'true'}");
    let input = format!("{left_out}---\n{POD}");
    let output = fed(directory.path(), &["inject", "-f", "-"], input.as_bytes());
    assert_eq!(printed(&output), input);
    let says =
        "LeftOutNamespace: the API server doesn't call the webhook for a namespace with label control-plane=true; ";
    assert!(told(&output).contains(says), "{}", told(&output));
    let explained = printed(&fed(directory.path(), &["explain", "-f", "-"], input.as_bytes()));
    assert!(explained.contains(says) && !explained.contains("managedby"), "{explained}");

    let template = "{spec: {restartPolicy: Never, containers: [{name: main, image: 'import:1'}]}}";
    let job = format!(
        "{NAMESPACE}---\napiVersion: batch/v1\nkind: Job\nmetadata: {{generateName: import-, namespace: shop}}\n\
         spec:\n  template: {template}\n"
    );
    let output = fed(directory.path(), &["inject", "-f", "-"], job.as_bytes());
    assert!(printed(&output).contains("k8s.container.name=main"), "{}", printed(&output));
    assert!(!printed(&output).contains("service.name=") && !printed(&output).contains("OTEL_SERVICE_NAME"));
    assert!(told(&output).contains("NoName"), "{}", told(&output));
}

#[test]
fn files_in_a_row_are_read_again_as_what_they_were() {
    let directory = tempfile::tempdir().expect("a directory");
    let json =
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "j"}, "spec": {"containers": [{"name": "j"}]}}"#;
    let pod = |name: &str| POD.replace("name: p", &format!("name: {name}"));
    let files = |files: &[(&str, String)]| {
        let mut args = vec!["inject", "-q", "--opt-in"];
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("written");
            args.extend(["-f", name]);
        }
        let once = otelgate_on(directory.path(), &args, "");
        assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], &once), once);
        let output = fed(directory.path(), &["explain", "-o", "json", "-f", "-"], once.as_bytes());
        let explained: serde_json::Value = serde_json::from_str(&printed(&output)).expect("JSON");
        let names =
            explained.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("text").to_owned());
        names.collect::<String>()
    };
    let directive = |name| ("directive.yaml", format!("# c\n%YAML 1.1\n---\n{}", pod(name)));
    assert_eq!(files(&[("a.yaml", pod("a")), directive("b")]), "ab");
    assert_eq!(files(&[("a.yaml", format!("{}...\n", pod("a"))), directive("b"), ("c.yaml", pod("c"))]), "abc");
    assert_eq!(files(&[("a.yaml", "# only a comment\n".to_owned()), directive("b")]), "b");
    assert_eq!(files(&[("a.json", json.to_owned()), ("b.json", json.to_owned())]), "jj");
    assert_eq!(files(&[("a.json", json.to_owned()), ("b.json", json.to_owned()), ("c.yaml", pod("c"))]), "jjc");
    assert_eq!(files(&[("a.json", format!("\u{feff}{json}")), ("b.json", format!("\u{feff}{json}"))]), "jj");
    let stream = || format!("{json}\n{json} {json}\n");
    assert_eq!(files(&[("a.json", stream()), ("c.yaml", pod("c")), ("b.json", json.to_owned())]), "jjjcj");
    assert_eq!(files(&[("c.yaml", pod("c")), ("a.json", stream())]), "cjjj");
    assert_eq!(files(&[("a.json", stream()), ("b.json", stream())]), "jjjjjj");
}
