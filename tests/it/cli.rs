//! The offline commands, as people call them: transcripts in `tests/cmd`, and inputs that no transcript can hold.
//! `TRYCMD=overwrite cargo test --test it transcripts` writes the transcripts anew.

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

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Gives a file to `inject` beside a good one; it must say that, and print nothing.
fn refused(name: &str, content: &[u8], says: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a-good.yaml"), POD).expect("written");
    fs::write(directory.path().join(name), content).expect("written");
    for command in [&["inject", "-f", "."][..], &["inject", "--undo", "-f", "."], &["explain", "-f", "."]] {
        let output = otelgate(directory.path(), command);
        let stderr = told(&output);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty(), "half an output: {}", printed(&output));
        for part in says.iter().chain(&["error: ", "next: "]) {
            assert!(stderr.contains(part), "{part:?} isn't in {stderr}");
        }
    }
}

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.toml").case("tests/cmd/*.md");
}

#[test]
fn faulty_inputs_name_file_line_and_next_step_and_give_no_output() {
    refused("x.yaml", b"a: 1\nb: [1,\n", &["./x.yaml:", "not YAML"]);
    refused("x.json", b"{\"a\": 1\n\"b\": 2}", &["./x.json:2:1: not JSON"]);
    for behind in ["trailing", "}", ", {}", "\n\n        ]"] {
        let text = format!("{{\"a\": 1}}{}{behind}", if behind.starts_with('\n') { "" } else { " " });
        let place = if behind.starts_with('\n') { "3:9" } else { "1:10" };
        refused("x.json", text.as_bytes(), &[&format!("./x.json:{place}: not JSON: text stands behind the object")]);
    }
    refused("x.yaml", b"a:\n  b: 1\n  b: 2\n", &["./x.yaml:3:3: the key \"b\" stands twice"]);
    refused("x.yaml", b"kind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n", &["./x.yaml:3:", "helm template"]);
    refused("x.yaml", b"a: &a [*a]\n", &["./x.yaml:1:8: an alias stands inside the value it names"]);
    refused("x.yaml", b"k\0i\0n\0d\0:\0 \0P\0o\0d\0\n\0", &["./x.yaml:1:1: the text is UTF-16", "iconv"]);
    refused("x.yaml", b"a: 1\nb: \xff\n", &["./x.yaml:2:1: the text is not UTF-8"]);
    refused("x.yaml", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03 binary, packed", &["./x.yaml:1:1: "]);
    refused("x.yaml", b"a: 1\n---b: 2\n", &["./x.yaml:2:1: a line begins with ---"]);
    let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
        text + &format!("a{}: &a{} [{}]\n", i + 1, i + 1, vec![format!("*a{i}"); 9].join(", "))
    });
    refused("x.yaml", bomb.as_bytes(), &["./x.yaml:", "aliases make more than"]);
    refused("x.yaml", &vec![b'#'; 64 * 1024 * 1024 + 1], &["./x.yaml:1:1: the input is larger than 64 MiB"]);
    refused(
        "x.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: a\n    env: [{name: A, value: 1}]\n",
        &["./x.yaml:7: Pod p: spec.containers[0].env[0].value must be a string, and is an integer", "quote it"],
    );
    for (spec, says) in [
        ("containers: {}", "x.yaml:5: Pod p: spec.containers must be a list, and is a map"),
        ("containers: [null]", "spec.containers[0] must be a map, and is null"),
        ("containers: [[a, b]]", "spec.containers[0] must be a map, and is a list"),
        ("containers: [{name: [a]}]", "spec.containers[0].name must be a string, and is a list"),
        ("containers: [{name: a, env: [x]}]", "spec.containers[0].env[0] must be a map, and is a string"),
        ("containers: [{name: a, envFrom: {}}]", "spec.containers[0].envFrom must be a list, and is a map"),
        ("nodeSelector: {a/b: {}}", "spec.nodeSelector[a/b] must be a string, and is a map"),
        ("hostNetwork: 0.5", "spec.hostNetwork must be a boolean, and is a number"),
        ("os: linux", "spec.os must be a map, and is a string"),
        ("containers:\n  - name: a\n  - image: x", "x.yaml:7: Pod p: spec.containers[1] has no name"),
        ("containers: [{name: ''}]", "spec.containers[0] has no name"),
        (
            "containers:\n  - name: a\n  - image: x\n    name: a",
            "x.yaml:8: Pod p: spec.containers[1] has the name of spec.containers[0]",
        ),
        (
            "containers: [{name: a}]\n  initContainers: [{name: a}]",
            "spec.initContainers[0] has the name of spec.containers[0]",
        ),
    ] {
        let pod = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {spec}\n");
        refused("x.yaml", pod.as_bytes(), &[says]);
    }
    for (metadata, says) in [
        ("{name: d, namespace: n}", "Deployment d: metadata.namespace must be a string, and is a boolean"),
        ("{name: d}", "Deployment d: spec.template.spec.containers[0].image must be a string, and is an integer"),
    ] {
        let deployment = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {metadata}\nspec: {{template: {{spec: {{containers: [{{name: a, image: 1}}]}}}}}}\n"
        );
        refused("x.yaml", deployment.as_bytes(), &[says]);
    }
    for (kind, spec, says) in [
        ("Deployment", "\n  template: x", "5: Deployment w: spec.template must be a map, and is a string"),
        ("Deployment", "{template: [a]}", "4: Deployment w: spec.template must be a map, and is a list"),
        ("StatefulSet", " 1", "4: StatefulSet w: spec must be a map, and is an integer"),
        ("DaemonSet", "{template: {spec: x}}", "4: DaemonSet w: spec.template.spec must be a map, and is a string"),
    ] {
        let workload = format!("apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: w}}\nspec: {spec}\n");
        refused("x.yaml", workload.as_bytes(), &[&format!("./x.yaml:{says}")]);
    }
    let job = b"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: yes}}\n";
    refused("x.yaml", job, &["./x.yaml:4: CronJob c: spec.jobTemplate.spec must be a map, and is a boolean"]);
    for (metadata, says) in [
        (
            "labels:\n    otelgate.dev/inject: on",
            "5: Namespace shop: metadata.labels[otelgate.dev/inject] must be a string, and is a boolean",
        ),
        (
            "annotations:\n    otelgate.dev/sampler-arg: 0.5",
            "5: Namespace shop: metadata.annotations[otelgate.dev/sampler-arg] must be a string, and is a number",
        ),
        ("labels: [a]", "4: Namespace shop: metadata.labels must be a map, and is a list"),
    ] {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  {metadata}\n  name: shop\n");
        refused("x.yaml", namespace.as_bytes(), &[&format!("./x.yaml:{says}")]);
    }
    for (good, template, says) in [
        ("  name: p", "  name: \"{{ .Release.Name }}-p\"", "4: Pod shop/{{ .Release.Name }}-p: metadata.name is"),
        ("namespace: shop", "namespace: x-{{ .Values.y }}", "5: Pod x-{{ .Values.y }}/p: metadata.namespace is"),
        ("  name: p", "  labels: {a: \"{{ b }}\"}\n  name: p", "4: Pod shop/p: metadata.labels[a] is"),
        ("- name: main", "- name: main-{{ .x }}", "8: Pod shop/p: spec.containers[0].name is"),
        ("nginx:1.27", "nginx:{{ .Values.tag }}", "9: Pod shop/p: spec.containers[0].image is"),
    ] {
        let says = format!("./x.yaml:{says} a template that wasn't rendered: {{{{ … }}}}");
        refused("x.yaml", POD.replace(good, template).as_bytes(), &[&says, "helm template"]);
    }
    let short = POD.replace("shop", "n");
    refused(
        "x.yaml",
        short.as_bytes(),
        &["./x.yaml:5: Pod p: metadata.namespace must be a string, and is a boolean", "y, n, yes"],
    );
}

#[test]
fn a_status_that_cannot_be_read_is_not_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let once = otelgate_on(directory.path(), &["inject", "-q", "--opt-in", "-f", "-"], POD);
    let (head, tail) = once.split_once("otelgate.dev/status: '{").expect("a status");
    let broken = format!("{head}otelgate.dev/status: '{tail}");
    let line = head.lines().count();
    for args in [&["inject", "--opt-in", "-f", "-"][..], &["inject", "--undo", "-f", "-"]] {
        let output = fed(directory.path(), args, broken.as_bytes());
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(2), ""));
        let says = format!(
            "error: standard input:{line}: Pod shop/p: the annotation otelgate.dev/status can't be read\n       next: restore it from"
        );
        assert!(told(&output).contains(&says), "{}", told(&output));
    }
    // Nothing is replaced where nothing is injected.
    assert_eq!(otelgate_on(directory.path(), &["inject", "-q", "-f", "-"], &broken), broken);
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
fn all_faulty_files_are_named_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a.yaml"), "a: [\n").expect("written");
    fs::write(directory.path().join("b.yaml"), "a: 1\na: 2\n").expect("written");
    let output = otelgate(directory.path(), &["inject", "-f", "a.yaml", "-f", "b.yaml", "-f", "missing.yaml"]);
    assert!(told(&output).contains("missing.yaml: no such file or directory"), "{}", told(&output));
    let output = otelgate(directory.path(), &["inject", "-f", "a.yaml", "-f", "b.yaml"]);
    assert!(
        told(&output).contains("error: a.yaml:") && told(&output).contains("error: b.yaml:2:1:"),
        "{}",
        told(&output)
    );
}

#[test]
fn paths_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("empty")).expect("made");
    fs::create_dir_all(directory.path().join("deep/below")).expect("made");
    fs::write(directory.path().join("deep/below/p.yaml"), POD).expect("written");
    for (path, says) in [
        ("missing.yaml", "missing.yaml: no such file or directory"),
        ("empty", "empty: the directory has no .yaml, .yml or .json file"),
        ("deep", "give -R to look into the directories below"),
        ("https://example.com/pod.yaml", "reads no network"),
    ] {
        let output = otelgate(directory.path(), &["inject", "-f", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains(says), "{}", told(&output));
        assert!(!told(&output).contains("os error"), "{}", told(&output));
    }
    let output = otelgate(directory.path(), &["inject", "-R", "-f", "deep"]);
    assert_eq!((output.status.code(), printed(&output)), (Some(0), POD.to_owned()));
}

#[test]
fn faulty_configurations_and_wrong_usage_have_their_own_exit_codes() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    for (text, says) in [
        ("", "c.yaml: the configuration is empty; a minimal one has the lines `apiVersion: otelgate.dev/v1alpha1`"),
        (
            "apiVersion: otelgate.dev/v1alpha1\nkind: InjectionConfiguration\notlp: {protcol: grpc}\n",
            "c.yaml:3:8: otlp.protcol: unknown key; did you mean protocol?",
        ),
        (
            "apiVersion: otelgate.dev/v1\nkind: InjectionConfiguration\npropagators: [b4]\n",
            "c.yaml: apiVersion: \"otelgate.dev/v1\" isn't known; this version reads otelgate.dev/v1alpha1; propagators: ",
        ),
    ] {
        fs::write(directory.path().join("c.yaml"), text).expect("written");
        let output = otelgate(directory.path(), &["inject", "-c", "c.yaml", "-f", "p.yaml"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(told(&output).contains(says), "{}", told(&output));
    }
    for args in [&["inject"][..], &["inject", "-f", "p.yaml", "--udno"], &["explain", "-f", "p.yaml", "-o", "xml"], &[]]
    {
        let output = otelgate(directory.path(), args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{}", told(&output));
    }
    for name in ["", "Shop", "a/b", "shop.east", &"n".repeat(64)] {
        for args in [
            &["inject", "-f", "p.yaml", "-n", name][..],
            &["explain", "-f", "p.yaml", "-n", name],
            &["status", "-n", name],
            &["check", "--otelgate-namespace", name],
        ] {
            let output = otelgate(directory.path(), args);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{args:?}: {}", told(&output));
            assert!(told(&output).contains(&format!("{name:?} is no name of a namespace")), "{}", told(&output));
        }
    }
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
fn a_difference_has_the_ends_of_the_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    for end in ["\n", "\r\n"] {
        let pod = POD.replace('\n', end);
        fs::write(directory.path().join("p.yaml"), pod.trim_end()).expect("written");
        let args = ["inject", "-q", "--opt-in", "-f", "p.yaml"];
        let whole = otelgate_on(directory.path(), &args, "");
        let diff = otelgate_on(directory.path(), &[&args[..], &["--diff"]].concat(), "");
        let of = |sign: char| -> String {
            let body = diff.split_inclusive('\n').skip_while(|line| !line.starts_with("@@"));
            body.filter_map(|line| line.strip_prefix([' ', sign])).collect()
        };
        let lacking = |text: &str| format!("{}\n", text.trim_end());
        // The first lines are no context.
        for (side, text) in [(of('-'), lacking(&pod)), (of('+'), lacking(&whole))] {
            assert!(side.contains("image: nginx:1.27") && text.ends_with(&side), "{diff}");
        }
        assert_eq!(diff.matches("\n\\ No newline at end of file\n").count(), 2, "{diff}");
    }
}

#[test]
fn a_file_under_two_names_is_printed_once() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("d")).expect("made");
    fs::write(directory.path().join("d/p.yaml"), POD).expect("written");
    std::os::unix::fs::symlink("d/p.yaml", directory.path().join("link.yaml")).expect("linked");
    let absolute = directory.path().join("d/p.yaml");
    let names = ["d/p.yaml", "./d/p.yaml", "d/../d/p.yaml", "d", "link.yaml", absolute.to_str().expect("UTF-8")];
    let args: Vec<&str> = ["inject", "-q"].into_iter().chain(names.into_iter().flat_map(|name| ["-f", name])).collect();
    assert_eq!(otelgate_on(directory.path(), &args, ""), POD);
    // Standard input is no file of that name.
    fs::write(directory.path().join("-"), POD).expect("written");
    assert_eq!(
        otelgate_on(directory.path(), &["inject", "-q", "-f", "-", "-f", "./-"], POD),
        format!("{POD}---\n{POD}")
    );
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

fn otelgate_on(directory: &Path, args: &[&str], input: &str) -> String {
    let output = fed(directory, args, input.as_bytes());
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    printed(&output)
}

#[test]
fn many_files_are_written_and_told_as_each_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    // Large enough together for several threads.
    let padding = format!("# {}\n", "x".repeat(70)).repeat(80);
    let names: Vec<_> = (0..30).map(|index| format!("{index:02}.yaml")).collect();
    let write = |name: &str, from: &str, to: &str| {
        let pod = POD.replace("name: p\n", &format!("name: p{name}\n")).replace(from, to);
        fs::write(directory.path().join(name), format!("---\n{padding}{pod}")).expect("written");
    };
    for name in &names {
        write(name, "", "");
    }
    let run = |args: &[&str], names: &[String]| {
        let files = names.iter().flat_map(|name| ["-f", name]);
        otelgate(
            directory.path(),
            &["inject", "--opt-in"].into_iter().chain(args.to_owned()).chain(files).collect::<Vec<_>>(),
        )
    };
    // The last line of a report is its sum.
    let without_sum = |output: &Output| told(output).trim_end().rsplit_once('\n').expect("lines").0.to_owned() + "\n";
    let all = run(&[], &names);
    let alone: Vec<_> = names.iter().map(|name| run(&[], std::slice::from_ref(name))).collect();
    assert_eq!(printed(&all), alone.iter().map(printed).collect::<String>());
    assert_eq!(without_sum(&all), alone.iter().map(without_sum).collect::<String>());
    assert_eq!(run(&["--check", "-q"], &names).status.code(), Some(1));
    let original = names.iter().map(|name| fs::read_to_string(directory.path().join(name)).expect("there"));
    let original: String = original.collect();
    for (name, output) in names.iter().zip(&alone) {
        fs::write(directory.path().join(name), printed(output)).expect("written");
    }
    let files = names.iter().flat_map(|name| ["-f", name]);
    let undo: Vec<_> = ["inject", "--undo", "-q"].into_iter().chain(files).collect();
    assert_eq!(otelgate_on(directory.path(), &undo, ""), original);
    assert_eq!(run(&["--check", "-q"], &names).status.code(), Some(0));
    for name in ["21.yaml", "09.yaml", "28.yaml"] {
        write(name, "nginx:1.27", "1");
    }
    let all = run(&[], &names);
    assert_eq!((all.status.code(), printed(&all).as_str()), (Some(2), ""));
    let faulty = ["09.yaml", "21.yaml", "28.yaml"].map(str::to_owned);
    let alone = faulty.map(|name| told(&run(&[], &[name])));
    assert_eq!(told(&all), alone.concat());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let many = POD.replace("apiVersion", "---\napiVersion").repeat(20_000);
    fs::write(directory.path().join("many.yaml"), many).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_otelgate"))
        .args(["inject", "-q", "-f", "many.yaml"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{:.500}", told(&output));
    assert_eq!(told(&output), "");
}

#[test]
fn a_result_that_cannot_be_written_has_an_exit_code_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    for args in [
        &["inject", "--opt-in", "-f", "p.yaml"][..],
        &["inject", "--opt-in", "--diff", "-f", "p.yaml"],
        &["explain", "-f", "p.yaml"],
        &["completions", "bash"],
        &["man"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = Command::new(env!("CARGO_BIN_EXE_otelgate"))
            .args(args)
            .current_dir(directory.path())
            .stdout(full)
            .output()
            .expect("the program ends");
        assert_eq!(output.status.code(), Some(74), "{}", told(&output));
        assert_eq!(
            told(&output),
            "error: standard output can't be written: no space left on device; see whether there is room for it\n"
        );
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_force_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
        command.args(["inject", "--diff", "--opt-in", "-f", "p.yaml"]).current_dir(directory.path());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env(variable, "1");
        let output = command.output().expect("the program runs");
        (printed(&output).contains('\u{1b}'), told(&output).contains('\u{1b}'))
    };
    fs::write(directory.path().join("p.yaml"), POD).expect("written");
    assert_eq!(run("UNRELATED"), (false, false));
    assert_eq!(run("NO_COLOR"), (false, false));
    assert_eq!(run("CLICOLOR_FORCE"), (true, true));
}

#[test]
fn the_users_own_values_are_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = POD.replace(
        "    image",
        "    env:\n    - {name: OTEL_RESOURCE_ATTRIBUTES, value: 'token=hunter2'}\n    - {name: OTEL_SERVICE_NAME, value: hunter2}\n    image",
    );
    for args in [
        &["explain", "--opt-in", "-f", "-"][..],
        &["explain", "--opt-in", "-o", "json", "-f", "-"],
        &["inject", "--opt-in", "--check", "-f", "-"],
    ] {
        let output = fed(directory.path(), args, secret.as_bytes());
        assert!(!told(&output).contains("token"), "{}", told(&output));
        assert!(!printed(&output).contains("token"), "{}", printed(&output));
    }
    let invalid = secret.replace("value: hunter2", "value: [hunter2]").replace("name: main", "name: 4711");
    let output = fed(directory.path(), &["inject", "-f", "-"], invalid.as_bytes());
    assert!(!told(&output).contains("hunter2") && !told(&output).contains("4711"), "{}", told(&output));
}
